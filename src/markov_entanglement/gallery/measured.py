"""May local values be added up, over the whole gallery: one row a system, a benchmark of decomposability.

Each system has its default parameters and its default policy. What fits is exact; what is too large for that is
answered by runs, with limits; what cannot be told is empty, and says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .. import _check
from .._files import write_text
from .._json import plain
from .._progress import Progress, reporting, stage
from .._random import seed_of
from .._types import RNG
from ..analysis.parts import Inquiry, run
from ..errors import InvalidInput, UserError
from ..laws.source import Runs, Space, choose, offers
from ..report import tabulate, terms
from ..report.result import Brief, Result
from ..report.table import Columns, Table, table
from ..values.approximation import verdict
from .registry import Entry, entries, entry

#: The questions of a row, by the keys of `analysis.parts`.
_ASKED = ("entanglements", "decomposition", "basis", "budget", "decision")


@dataclass(frozen=True, repr=False)
class Row(Brief):
    """One system under its default policy; None where it cannot be told.

    Attributes
    ----------
    system, policy : ids.
    verdict : "add", "do-not-add" or "cannot-tell".
    agents : number of agents.
    entanglement : the largest E_i, by `distance` ("mu-atv"; of what is only counted by runs "policy", an upper limit).
    unexplained, low, high : share of the spread of Q that the sum of local values misses, and its limits.
    unexplained_floor : the least that any additive values miss.
    loss_share : loss as a share of the spread of Q.
    error_l2, floor, loss : root mean square error, that of the best additive values, and what choices by the sum lose;
        reward units.
    estimator : "exact" or "runs".
    note : why something is empty, or "".
    """

    system: str
    policy: str
    verdict: str
    agents: int | None = None
    entanglement: float | None = None
    distance: str = ""
    unexplained: float | None = None
    low: float | None = None
    high: float | None = None
    unexplained_floor: float | None = None
    loss_share: float | None = None
    error_l2: float | None = None
    floor: float | None = None
    loss: float | None = None
    estimator: str = ""
    note: str = ""

    def _brief(self) -> str:
        return f"{self.system}: {self.verdict}"


@dataclass(frozen=True, repr=False)
class Benchmark(Result):
    """Whether local values may be added up, system by system.

    Attributes
    ----------
    rows : one a system, in the order of the gallery.
    tolerance : largest unexplained share that is accepted.
    """

    rows: tuple[Row, ...]
    tolerance: float

    _calls: ClassVar[tuple[str, ...]] = ("save_html(path)",)

    @property
    def sentence(self) -> str:
        """How many of each verdict."""
        count = {
            word: sum(r.verdict == word for r in self.rows) for word in ("add", "do-not-add", "cannot-tell")
        }
        return (
            f"Of {len(self.rows)} systems local values may be added up in {count['add']}, not in "
            f"{count['do-not-add']}; of {count['cannot-tell']} it cannot be told (tolerance "
            f"{100 * self.tolerance:g} %)."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return plain(
            {"sentence": self.sentence, "tolerance": self.tolerance, "rows": [vars(r) for r in self.rows]}
        )

    def _tables(self) -> Iterator[Table]:
        columns: Columns = {
            "system": "id in the gallery",
            "policy": "its default policy",
            "verdict": "may local values be added up?",
            "agents": "number of agents",
            "entanglement": "largest E_i: 0 none, 1 complete",
            "distance": "how it was measured",
            "unexplained": tabulate.column("values.unexplained"),
            "low": ("its lower limit", terms.SHARE),
            "high": ("its upper limit", terms.SHARE),
            "unexplained_floor": tabulate.column("error_budget.unexplained_floor"),
            "loss_share": tabulate.column("decision.share"),
            "error_l2": tabulate.column("values.error_l2"),
            "floor": tabulate.column("error_budget.floor"),
            "loss": tabulate.column("decision.loss"),
            "estimator": "exact, or by runs",
            "note": "why something is empty",
        }
        yield table("gallery", "The gallery", columns, [[getattr(r, k) for k in columns] for r in self.rows])

    def save_html(self, path: str | Path) -> None:
        """Write the table as one page, atomically; it opens offline.

        Raises
        ------
        InvalidInput : the file cannot be written.
        """
        from ..report.gallery import render

        write_text(path, render(self))


@reporting("the gallery")
def benchmark(
    ids: Sequence[str] | None = None,
    *,
    tolerance: float = 0.05,
    rng: RNG = 0,
    progress: Progress | bool | None = None,
) -> Benchmark:
    """Whether local values may be added up in each system of the gallery, and how wrong the sum is.

    Parameters
    ----------
    ids : systems; None takes all.
    tolerance : the largest unexplained share of the spread of Q that is accepted.
    rng : seed of what is sampled.
    progress : see `me.analyze`.

    Raises
    ------
    InvalidInput : no such id (the message names the nearest), or a bad tolerance.

    >>> import markov_entanglement as me
    >>> found = me.gallery.benchmark(["parity", "appendix-e"])
    >>> [(r.system, r.verdict, round(r.unexplained, 6)) for r in found.rows]
    [('parity', 'add', 0.0), ('appendix-e', 'do-not-add', 0.361887)]
    """
    accepted = _check.tolerance(tolerance)
    if isinstance(ids, str):
        raise InvalidInput.kind("ids", ids, "a list of ids", f"E.g. [{ids!r}].")
    chosen = entries() if ids is None else tuple(entry(id) for id in ids)
    rows = []
    for k, e in enumerate(chosen):
        with stage(e.id, k / len(chosen), (k + 1) / len(chosen)):
            rows.append(_row(e, accepted, rng))
    return Benchmark(tuple(rows), accepted)


def _row(e: Entry, tolerance: float, rng: RNG) -> Row:
    name = next(iter(e.policies), "")
    try:
        chain: Any = e.build().chain()
        source: Any = choose(chain, Space, question="the gallery's table", sampled=True)
        simulated = offers(source, Runs)
        distance = "mu-atv" if not simulated or "mu-atv" in chain.sampled else "policy"
        inquiry = Inquiry(source, None, None, [distance], True, seed_of(rng), tolerance)
        run(inquiry, _ASKED)
    except UserError as reason:
        return Row(e.id, name, "cannot-tell", note=str(reason))
    found = inquiry.found
    measure, values = found["entanglements"].get(distance), found["decomposition"]
    budget, decision = found.get("budget"), found.get("decision")
    limits: Any = None if values is None else values.unexplained_interval
    low, high = limits or (None, None)
    errors = {} if values is None else values.errors()
    notes = [chain.absorbed] * bool(chain.absorbed) + [why for _, why in inquiry.refused]
    if decision is not None and np.isnan(decision.loss):
        notes.append(decision.note or decision.sentence)
    notes += ["By runs: me.certify tells the floor and what decisions lose."] * simulated
    return Row(
        system=e.id,
        policy=name,
        agents=sum(u.multiplicity for u in source.units),
        verdict="cannot-tell" if chain.absorbed else verdict(limits, tolerance),
        entanglement=None if measure is None else _number(np.max(measure.per_agent)),
        distance=distance,
        unexplained=_number(errors.get("unexplained")),
        low=_number(low),
        high=_number(high),
        unexplained_floor=None if budget is None else _number(budget.unexplained_floor),
        loss_share=None if decision is None else _number(decision.share),
        error_l2=_number(errors.get("error_l2")),
        floor=None if budget is None else _number(budget.floor),
        loss=None if decision is None else _number(decision.loss),
        estimator="runs" if simulated else "exact",
        note=" ".join(notes),
    )


def _number(x: Any) -> float | None:
    return float(x) if x is not None and np.isfinite(x) else None
