"""The public contract checker: the same that the tests run over the gallery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
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
    system, policy : see `analyze`.

    Returns
    -------
    SystemCheck : laws are laws, the chain closes, one recurrent class, stationarity, consistent local laws.

    Raises
    ------
    InvalidInput : the system or the policy is malformed (the checks below need a chain).

    >>> import markov_entanglement as me
    >>> subject = me.gallery.build("parity")
    >>> me.check_system(subject.system).ok
    True
    """
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
    checks.append(Check("period", True, ", ".join(str(period(chain, k)) for k in range(min(count, 4)))))
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
        f"{s.method}, residual {s.residual:.1e}, {share} of {chain.n_pairs} pairs recurrent",
    )


def _agent(chain: Chain, i: int) -> Check:
    """Lemma G.1: the stationary law of P_i is the marginal mu_i."""
    rows = chain.rows(i)
    mu_i = rows.key_weight
    off = float(np.abs(mu_i @ np.nan_to_num(rows.mean_law) - mu_i).sum())
    visited = int((mu_i > 0).sum())
    return Check(
        chain.system.labels.agent(i),
        off <= tol.ROW_SUM,
        f"{visited} of {len(mu_i)} local pairs visited, mu_i P_i = mu_i within {off:.1e}",
    )
