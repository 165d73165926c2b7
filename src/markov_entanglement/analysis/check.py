"""The public contract checker: the same that the tests run over the gallery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Ints
from ..bandits.chain import BanditChain
from ..bandits.simulate import simulate
from ..errors import SeveralRecurrentClasses
from ..laws.rows import Rows
from ..markov.chain import Chain
from ..markov.classes import period
from ..measures.entanglement import as_chain


@dataclass(frozen=True)
class Check:
    """One line of the checker.

    Attributes
    ----------
    name : what was checked.
    ok : whether it holds.
    detail : the numbers behind it.
    """

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class SystemCheck:
    """What `check_system` found.

    Attributes
    ----------
    checks : every line; `ok` is True when all hold.
    """

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """True when every check holds."""
        return all(c.ok for c in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"ok": self.ok, "checks": [vars(c) for c in self.checks]}

    def summary(self) -> str:
        """One line per check."""
        return "\n".join(f"{'ok ' if c.ok else 'NO '} {c.name}: {c.detail}" for c in self.checks)


def check_system(system: Any, policy: Any = None) -> SystemCheck:
    """Check that a system and a policy make a chain that can be analysed.

    Parameters
    ----------
    system, policy : see `analyze`; a bandit is checked in counts.

    Returns
    -------
    SystemCheck : laws are laws, the chain closes, one recurrent class, stationarity, consistent local laws (Lemma
        G.1). For a bandit also: the budget is used exactly. Beyond exact size a bandit's budget is checked along a
        simulated path, and the long run is not checked, which the first line says.

    Raises
    ------
    InvalidInput : the system or the policy is malformed (the checks below need a chain).
    Unsupported : neither a system nor a chain; or a bandit under a policy that counts do not follow.

    >>> import markov_entanglement as me
    >>> subject = me.gallery.build("parity")
    >>> me.check_system(subject.system).ok
    True
    """
    if hasattr(system, "n_arms"):
        system, policy = system.under(policy), None
    if isinstance(system, BanditChain):
        return SystemCheck(tuple(_counts(system) if system.small else _path(system)))
    chain = as_chain(system, policy)
    checks = [
        Check(
            "size",
            True,
            f"{chain.n_agents} agents, {len(chain.states)} joint states, "
            f"{chain.n_pairs} joint pairs, local pairs {list(chain.sizes)}",
        ),
        _policy_laws(chain),
        _kernel_laws(chain),
    ]
    count = chain.classes.count
    single = count == 1 or chain.initial is not None
    checks.append(
        Check(
            "recurrent classes",
            single,
            f"{count}" if single else f"{count}: give an initial joint state or law",
        )
    )
    if single:
        checks += [_stationary(chain), *(_agent(chain, i) for i in range(chain.n_agents))]
    periods = (period(chain.ahead, chain.classes.label, k) for k in range(min(count, 4)))
    checks.append(Check("period", True, ", ".join(map(str, periods))))
    return SystemCheck(tuple(checks))


def _policy_laws(chain: Chain) -> Check:
    off = float(np.abs(np.asarray(chain.choice.sum(axis=1)).ravel() - 1.0).max())
    return Check("policy", off <= tol.ROW_SUM, f"rows sum to 1 within {off:.1e}")


def _kernel_laws(chain: Chain) -> Check:
    off = float(np.abs(chain.kernel.apply(np.ones(len(chain.states))) - 1.0).max())
    return Check("kernel", off <= tol.ROW_SUM, f"next laws of all pairs stay in the chain, within {off:.1e}")


def _stationary(chain: Chain) -> Check:
    s = chain.stationary
    share = int(chain.recurrent.sum())
    return Check(
        "stationary law",
        s.residual <= tol.STATIONARY,
        f"{s.method}, residual {s.residual:.1e}, error at most {s.error_bound:.1e}, "
        f"{share} of {chain.n_pairs} pairs recurrent",
    )


def _agent(chain: Chain, i: int) -> Check:
    return _local_laws(chain.system.labels.agent(i), chain.rows(i))


def _local_laws(name: str, rows: Rows) -> Check:
    """Lemma G.1: the stationary law of P_i is the marginal mu_i."""
    mu_i = rows.key_weight
    off = float(np.abs(mu_i @ np.nan_to_num(rows.mean_law) - mu_i).sum())
    visited = int((mu_i > 0).sum())
    return Check(
        name,
        off <= tol.ROW_SUM,
        f"{visited} of {len(mu_i)} local pairs visited, mu_i P_i = mu_i within {off:.1e}",
    )


# --- bandits, in counts ------------------------------------------------------------------------------------


def _size(chain: BanditChain, rest: str) -> Check:
    types = chain.bandit.n_types
    kinds = f"{types} types" if types > 1 else "one type"
    return Check("size", True, f"{chain.n_agents} arms of {kinds}, {chain.count_states} count states, {rest}")


def _arm_laws(chain: BanditChain) -> Check:
    off = float(np.abs(chain.bandit.kernels.sum(axis=-1) - 1.0).max())
    return Check("kernel", off <= tol.ROW_SUM, f"next laws of all local pairs sum to 1 within {off:.1e}")


def _budget(chain: BanditChain, counts: Ints, served: Ints) -> Check:
    """Counts and served counts (..., T, S): nobody is lost, M are served, none that is not there."""
    bandit = chain.bandit
    kept = bool((counts.sum(axis=-1) == bandit.n_arms).all())
    used = bool((served.sum(axis=(-2, -1)) == bandit.budget).all())
    there = bool(((served >= 0) & (served <= counts)).all())
    detail = f"{bandit.budget} of {bandit.n_agents} arms active in each of {len(served)} pairs of counts"
    return Check("budget", kept and used and there, detail)


def _counts(chain: BanditChain) -> list[Check]:
    exact = chain.exact
    given = float(np.abs(exact.serve(np.ones(exact.n_pairs)) - 1.0).max())
    ahead = float(np.abs(exact.operator.expect(np.ones(exact.n_counts)) - 1.0).max())
    checks = [
        _size(chain, f"{exact.n_pairs} pairs of counts, local pairs {list(chain.sizes)}"),
        Check("policy", given <= tol.ROW_SUM, f"laws of the served counts sum to 1 within {given:.1e}"),
        _arm_laws(chain),
        Check("counts", ahead <= tol.ROW_SUM, f"laws of the next counts sum to 1 within {ahead:.1e}"),
        _budget(chain, exact.counts, exact.served),
    ]
    try:
        found = exact.stationary
    except SeveralRecurrentClasses as several:
        return [*checks, Check("recurrent classes", False, str(several))]
    share = int(exact.classes.recurrent.sum())
    types = [t for t in range(chain.bandit.n_types) if chain.bandit.n_arms[t] > 0]
    return [
        *checks,
        Check("recurrent classes", True, "1"),
        Check(
            "stationary law",
            found.residual <= tol.STATIONARY,
            f"{found.method}, residual {found.residual:.1e}, error at most {found.error_bound:.1e}, "
            f"{share} of {exact.n_counts} count states recurrent",
        ),
        *(_local_laws(f"arm type {t}", exact.rows(t)) for t in types),
        Check("period", True, str(period(exact.ahead, exact.classes.label))),
    ]


def _path(chain: BanditChain) -> list[Check]:
    path = simulate(chain.bandit, chain.policy, 100, rng=0, flows="none")
    assert path.counts is not None and path.served is not None
    return [
        _size(chain, f"more than {tol.COUNT_EXACT}: the long run is simulated, not checked"),
        _arm_laws(chain),
        _arm_classes(chain),
        _budget(chain, path.counts[:-1], path.served),
    ]


def _arm_classes(chain: BanditChain) -> Check:
    try:
        chain.require_one_class()
    except SeveralRecurrentClasses as e:
        return Check("closed classes of an arm", False, f"{e.argument}: {e.got}")
    return Check("closed classes of an arm", True, "one for each type")
