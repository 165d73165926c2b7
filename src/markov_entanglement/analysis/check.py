"""The public contract checker: the same that the tests run over the gallery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import _tolerance as tol
from .._types import PolicyLike, Subject
from ..errors import SeveralRecurrentClasses
from ..laws.rows import Rows
from ..laws.source import Joint, Runs, Source, Space, as_source, choose, offers
from ..markov.classes import period
from ..report.result import Result
from ..report.table import Table, distinct, table


@dataclass(frozen=True)
class Check:
    """One line of the checker: what was checked, whether it holds, and the numbers behind it."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, repr=False)
class SystemCheck(Result):
    """What `check_system` found, line by line; `ok` is True when all hold."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True when every check holds."""
        return all(c.ok for c in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"ok": self.ok, "checks": [vars(c) for c in self.checks]}

    @property
    def sentence(self) -> str:
        """Whether all holds, and what does not."""
        wrong = [c for c in self.checks if not c.ok]
        if not wrong:
            return f"All {len(self.checks)} checks hold."
        return f"{len(wrong)} of {len(self.checks)} checks fail: {'; '.join(f'{c.name}, {c.detail}' for c in wrong)}."

    _calls: ClassVar[tuple[str, ...]] = ("summary()",)

    def _badge(self) -> tuple[str, str]:
        return ("good", "ok") if self.ok else ("bad", "not ok")

    def _tables(self) -> Iterator[Table]:
        columns = {"check": "what was checked", "ok": "whether it holds", "detail": "the numbers behind it"}
        rows = zip(distinct([c.name for c in self.checks]), self.checks, strict=True)
        yield table("checks", "Checks", columns, [(name, c.ok, c.detail) for name, c in rows])

    def summary(self) -> str:
        """One line per check."""
        return "\n".join(f"{'ok ' if c.ok else 'NO '} {c.name}: {c.detail}" for c in self.checks)


def check_system(system: Subject, policy: PolicyLike = None) -> SystemCheck:
    """Check that a system and a policy make a chain that can be analysed.

    Parameters
    ----------
    system, policy : see `analyze`; a bandit is checked in counts.

    Returns
    -------
    SystemCheck : how the laws were read, and what shapes could not tell; laws are laws, the chain closes, one recurrent
        class, stationarity, consistent local laws (Lemma G.1). For a bandit also: the budget is used exactly. Beyond
        exact size a bandit's budget is checked along a simulated path, and the long run is not checked, which is said.

    Raises
    ------
    InvalidInput : the system or the policy is malformed (the checks below need a chain).
    Unsupported : neither a system nor a chain; or a bandit under a policy that counts do not follow.

    >>> import markov_entanglement as me
    >>> subject = me.gallery.build("parity")
    >>> me.check_system(subject.system).ok
    True
    """
    source = as_source(system, policy)
    read = [Check("reading", True, source.reading)] if source.reading else []
    try:
        answers: Any = choose(source, Space, question="a check", sampled=True)
    except SeveralRecurrentClasses as several:
        return SystemCheck(
            (
                *read,
                Check("recurrent classes", False, f"{several.argument}: {several.got}"),
            )
        )
    if offers(answers, Runs):
        checks = [Check("size", True, f"{_size(source)}: the long run is simulated, not checked")]
    else:
        checks = [Check("size", True, _size(source)), *_chain(answers, source.member)]
    return SystemCheck((*read, *checks, *(Check(*line) for line in source.checks())))


def _size(source: Source) -> str:
    """What it is, in numbers."""
    s = source.summary()
    states = f"{s['joint_states']:,} joint states, " if s.get("joint_states") else ""
    word = s.get("pair_word", "joint pairs")
    local = ", ".join(f"{m:,}" for m in s["local_pairs"][:8]) + (", ..." if len(s["local_pairs"]) > 8 else "")
    pairs = f"{word} too many to list" if s["pairs"] is None else f"{s['pairs']:,} {word}"
    return f"{s['agents']:,} {source.member}s, {states}{pairs}, local pairs [{local}]"


def _chain(chain: Any, member: str) -> list[Check]:
    """Laws are laws, the chain closes, one recurrent class, stationarity, consistent local laws."""
    given = float(np.abs(np.asarray(chain.choice.sum(axis=1)).ravel() - 1.0).max())
    ahead = float(np.abs(chain.kernel.apply(np.ones(chain.choice.shape[0])) - 1.0).max())
    count = chain.classes.count
    single = count == 1 or chain.initial is not None
    stays = f"next laws of all pairs stay in the chain, within {ahead:.1e}"
    classes = f"{count}" if single else f"{count}: give an initial joint state or law"
    checks = [
        Check("policy", given <= tol.ROW_SUM, f"rows sum to 1 within {given:.1e}"),
        Check("kernel", ahead <= tol.ROW_SUM, stays),
        Check("recurrent classes", single, classes),
    ]
    if single:
        found, share = chain.stationary, int(chain.recurrent.sum())
        how = f"{found.method}, residual {found.residual:.1e}, error at most {found.error_bound:.1e}, "
        how += f"{share:,} of {chain.n_pairs:,} pairs recurrent"
        checks.append(Check("stationary law", found.residual <= tol.STATIONARY, how))
        kind = member if offers(chain, Joint) else f"{member} type"
        units = [i for i, u in enumerate(chain.units) if u.multiplicity]
        checks += [_local_laws(f"{kind} {i}", chain.rows(i)) for i in units]
    periods = [str(period(chain.ahead, chain.classes.label, k)) for k in range(min(count, 4))]
    return [*checks, Check("period", True, ", ".join(periods))]


def _local_laws(name: str, rows: Rows) -> Check:
    """Lemma G.1: the stationary law of P_i is the marginal mu_i."""
    mu_i = rows.key_weight
    ahead = (mu_i @ np.nan_to_num(rows.mean_law))[: len(mu_i)] - mu_i
    # a restart brings back what ends
    off = float((np.maximum(ahead, 0.0) if rows.ended else np.abs(ahead)).sum())
    seen = f"{int((mu_i > 0).sum())} of {len(mu_i)} local pairs visited"
    return Check(name, off <= tol.ROW_SUM, f"{seen}, mu_i P_i = mu_i within {off:.1e}")
