"""Named systems with known facts, one registered record each.

>>> import markov_entanglement as me
>>> me.gallery.entries()[0].id
'shared-randomness'
"""

from . import small, circulant, frozen_lake  # noqa: F401, I001  (registers, in the order of the gallery)
from .registry import Entry, Fact, Subject, build, entries, entry

__all__ = ["Entry", "Fact", "Subject", "build", "entries", "entry"]
