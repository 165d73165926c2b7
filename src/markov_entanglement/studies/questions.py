"""Questions that a sweep asks by name: each cell names a system, a policy, and whatever else the question takes.

What else a cell says is a parameter of a gallery system, or an option of the reader of a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _check
from ..analysis.analyze import analyze
from ..bandits.error_estimate import estimate_error
from ..bandits.estimate import estimate_entanglement
from ..errors import InvalidInput
from ..gallery.named import Opened, named
from ..laws.source import as_source
from ..measures.entanglement import entanglement
from ..values.decomposition import value_decomposition
from .sample_complexity import sample_complexity

#: What every question takes.
SUBJECT = ("system", "policy", "initial")


@dataclass(frozen=True)
class Question:
    """A question by name.

    Attributes
    ----------
    ask : (what the cell opened, its start or None, a Generator, options by name) -> a result.
    options : what it takes beside the subject.
    columns : column of the table -> places in the result, of which the first that is there counts.
    """

    ask: Callable[..., Any]
    options: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]


def _chain(found: Opened, policy: Any, initial: Any) -> Any:
    return as_source(found.system, policy, initial)


def _analyze(found: Opened, policy: Any, initial: Any, rng: Any, **given: Any) -> Any:
    return analyze(_chain(found, policy, initial), rng=rng, **given)


def _entanglement(found: Opened, policy: Any, initial: Any, rng: Any, **given: Any) -> Any:
    return entanglement(_chain(found, policy, initial), rng=rng, **given)


def _values(found: Opened, policy: Any, initial: Any, rng: Any, **given: Any) -> Any:
    return value_decomposition(_chain(found, policy, initial), **given)


def _learning(found: Opened, policy: Any, initial: Any, rng: Any, **given: Any) -> Any:
    return sample_complexity(_chain(found, policy, initial), rng=rng, **given)


def _arms(estimate: Callable[..., Any]) -> Callable[..., Any]:
    def ask(found: Opened, policy: Any, initial: Any, rng: Any, **given: Any) -> Any:
        if initial is not None:
            raise InvalidInput("initial", str(initial), "this question starts by itself", "Leave it out.")
        return estimate(found.system, policy, rng=rng, **given)

    return ask


def _limits(name: str, place: str) -> dict[str, tuple[str, ...]]:
    return {f"{name}_low": (f"{place}.0",), f"{name}_high": (f"{place}.1",)}


_ERRORS = ("error_mu", "error_l2", "error_sup", "relative_error", "unexplained")
QUESTIONS = {
    "analyze": Question(
        _analyze,
        ("discount", "distances", "tolerance", "method"),
        {"unexplained": ("values.unexplained",), **_limits("unexplained", "values.intervals.unexplained"),
         "verdict": ("verdict.word",), "error_mu": ("values.error_mu",), "relative_error": ("values.relative_error",),
         **{key: (key,) for key in ("entanglement.mu-atv.total", "entanglement.policy.total")}},
    ),
    "entanglement": Question(
        _entanglement, ("distance", "method", "support"),
        {"entanglement": ("total", "value")},
    ),
    "value_decomposition": Question(_values, ("discount",), {k: (k,) for k in _ERRORS}),
    "estimate_entanglement": Question(
        _arms(estimate_entanglement), ("replications", "steps", "burn_in", "start", "batches"),
        {"entanglement": ("per_agent.0",), **_limits("entanglement", "interval.0"), "stderr": ("stderr.0",)},
    ),
    "estimate_error": Question(
        _arms(estimate_error), ("starts", "steps", "blocks", "gap", "burn_in", "training", "start"),
        {"error_mu": ("error_mu",), **_limits("error_mu", "error_mu_interval"), "unexplained": ("unexplained",),
         **_limits("unexplained", "unexplained_interval"), "error_l2": ("error_l2",)},
    ),
    "sample_complexity": Question(
        _learning, ("steps", "runs", "burn_in", "discount"),
        {"slope": ("slope.0",), "slope_low": ("slope.1",), "slope_high": ("slope.2",), "bias": ("bias",)},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A question of `QUESTIONS` as the work of a sweep; names of files are looked for in `folder`."""

    word: str
    folder: str

    def __call__(self, rng: Any, **cell: Any) -> Any:
        """Ask it of what a cell says."""
        if not isinstance(cell.get("system"), str):
            rule = "a cell names a system: a file or gallery:ID"
            raise InvalidInput("system", repr(cell.get("system")), rule, "E.g. system = 'gallery:circulant'.")
        question, policy = QUESTIONS[self.word], cell.get("policy")
        options = {k: v for k, v in cell.items() if k in question.options}
        given = {k: _tuple(v) for k, v in cell.items() if k not in options and k not in SUBJECT}
        found = named(self._path(cell["system"]), given, options.get("discount"), name="system")
        if policy is not None and not isinstance(policy, str):
            raise InvalidInput.kind("policy", policy, "a word or a name", "E.g. 'uniform'.")
        text = policy if policy is None or not policy.endswith(".npz") else self._file(policy)
        return question.ask(found, found.policy(text, "policy"), cell.get("initial"), rng, **options)

    def _path(self, system: str) -> str:
        return system if system.startswith("gallery:") else os.fspath(Path(self.folder) / system)

    def _file(self, policy: str) -> str:
        word, colon, file = policy.rpartition(":")
        return f"{word}{colon}{os.fspath(Path(self.folder) / file)}"


def asked(word: str, folder: Path) -> Asked:
    """The question of that name.

    Raises
    ------
    InvalidInput : no such question; names the nearest.
    """
    return Asked(_check.choice("work", word, QUESTIONS), os.fspath(folder.resolve()))


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
