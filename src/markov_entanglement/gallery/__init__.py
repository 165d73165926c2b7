"""Named systems with known facts, one registered record each.

>>> import markov_entanglement as me
>>> me.gallery.entries()[0].id
'shared-randomness'
"""

# ruff: noqa: I001  (importing a module registers its records, in the order of the gallery)
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import small, circulant, arms, queues, health, assortment, coupled, counterexamples  # noqa: F401
from . import synchronisation, games, teams, frozen_lake, charging, rides, signals, sysadmin, warehouse  # noqa: F401
from .registry import Entry, Fact, Subject, build, entries, entry

if TYPE_CHECKING:
    from .catalogue import page
    from .measured import benchmark
    from .facts import observe

__all__ = ["Entry", "Fact", "Subject", "benchmark", "build", "entries", "entry", "observe", "page"]


def __getattr__(name: str) -> Any:
    home = {"observe": "facts", "page": "catalogue", "benchmark": "measured"}.get(name)
    if home:  # listing the gallery needs no engine; observing does
        return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
