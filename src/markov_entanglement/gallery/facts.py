"""What a fact speaks of, computed afresh: the one evaluator behind the tests and the page.

| quantity | what it is |
|---|---|
| `mu-atv`, `atv`, `policy`, `tv`, `mu-tv`, `spectral` | `me.entanglement`, per agent or arm type; [1] |
| `error_mu`, `error_l2`, `error_sup`, `unexplained`, `relative_error` | `me.value_decomposition` |
| `e(r)`, `e(r) centred`, `least span`, `rms` | `me.reward_entanglement`; span of the first |
| `error_mu centred`, `error_mu least-squares`, `unexplained least-squares` | after these splits of a shared reward |
| `blind_mu-atv`, `blind_unexplained` | the same of `chain.blind()`, where local values may not see the signal |
| `corrected_error_mu` | the same of the corrected values of a bandit |
| `reward` | long-run reward per arm and step of a bandit under its policy, exact |
| `whittle`, `indexable` | `me.whittle_index` by the discounted criterion |
| `whittle-average`, `indexable-average` | the same by the average criterion |
| `lp-priority`, `lp-price`, `lp-value` | `me.lp_priority` |
| `lagrangian`, `alp` | `me.lagrangian_bound`, `me.alp_bound`, from all joint states alike |
| `optimal` | discounted total reward of an optimal policy, from all joint states alike |
| `fixed_point`, `activation`, `radius`, `attractor`, `cycle`, `degenerate`, `entanglement_limit` | `me.mean_field` |
| `mean_field_reward` | its reward per arm and step at the fixed point |
| `limit_policy`, `limit_mu-atv` | its limits of `sqrt(N) E` |
| `limit_error_mu`, `limit_error_l2`, `limit_unexplained` | its limits of `error/sqrt(N)` and of `unexplained` |

[1] Exact where the chain is small; `policy` of a large bandit is simulated with seed 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._check import Floats, choice
from ..bandits.lp_priority import lp_priority
from ..bandits.mean_field import mean_field
from ..bandits.whittle import whittle_index
from ..measures.entanglement import DISTANCES, entanglement
from ..values.decomposition import value_decomposition
from ..values.reward_entanglement import reward_entanglement
from ..values.upper import alp_bound, lagrangian_bound
from .registry import Entry, Fact, Subject


def _distance(name: str) -> Callable[[Subject], Any]:
    return lambda s: entanglement(s.chain(), name).numbers


def _value(name: str) -> Callable[[Subject], Any]:
    kind, _, norm = name.partition("_")

    def of(s: Subject) -> Any:
        d = value_decomposition(s.chain())
        return d.error(norm) if kind == "error" else getattr(d, name)

    return of


def _split(split: str, name: str = "error_mu") -> Callable[[Subject], Any]:
    return lambda s: value_decomposition(s.chain(), split=split).errors()[name]


def _reward_of_all(name: str, method: str = "lad") -> Callable[[Subject], Any]:
    return lambda s: getattr(reward_entanglement(s.chain(), method=method), name)


def _blind(of: Callable[[Subject], Any]) -> Callable[[Subject], Any]:
    """The same where local values may not see the signal."""

    class Blind(Subject):
        def chain(self) -> Any:
            return super().chain().blind()  # type: ignore[union-attr]

    return lambda s: of(Blind(s.system, s.policy))


def _mean_field(name: str) -> Callable[[Subject], Any]:
    return lambda s: getattr(mean_field(s.system, s.policy), name)  # type: ignore[arg-type]


def _limit(name: str) -> Callable[[Subject], Any]:
    return lambda s: getattr(_mean_field("limit_constants")(s), name)


def _reward(s: Subject) -> Any:
    chain: Any = s.chain().exact  # type: ignore[union-attr]
    return chain.occupancy @ chain.rewards / chain.bandit.n_agents


def _optimal(s: Subject) -> Any:
    chain: Any = s.system.under("optimal")
    return chain.start @ chain.average(value_decomposition(chain).joint_q)


#: name -> how it is computed from a built system.
QUANTITIES: dict[str, Callable[[Subject], Any]] = {
    **{name: _distance(name) for name in DISTANCES},
    **{n: _value(n) for n in ("error_mu", "error_l2", "error_sup", "unexplained", "relative_error")},
    "e(r)": _reward_of_all("value"),
    "e(r) centred": _reward_of_all("value", "lad-centred"),
    "least span": _reward_of_all("span"),
    "rms": _reward_of_all("rms"),
    "error_mu centred": _split("lad-centred"),
    "error_mu least-squares": _split("least-squares"),
    "unexplained least-squares": _split("least-squares", "unexplained"),
    **{f"blind_{n}": _blind(of) for n, of in (("mu-atv", _distance("mu-atv")), ("unexplained", _value("unexplained")))},
    "corrected_error_mu": lambda s: s.chain().exact.corrected_values().error("mu"),  # type: ignore[union-attr]
    "reward": _reward,
    "whittle": lambda s: whittle_index(s.system).index,
    "whittle-average": lambda s: whittle_index(s.system, criterion="average").index,
    "indexable": lambda s: whittle_index(s.system).verdict[0],
    "indexable-average": lambda s: whittle_index(s.system, criterion="average").verdict[0],
    "lagrangian": lambda s: lagrangian_bound(s.system).value,  # type: ignore[arg-type]
    "alp": lambda s: alp_bound(s.system).value,  # type: ignore[arg-type]
    "optimal": _optimal,
    "lp-priority": lambda s: lp_priority(s.system).index,  # type: ignore[arg-type]
    "lp-price": lambda s: lp_priority(s.system).price,  # type: ignore[arg-type]
    "lp-value": lambda s: lp_priority(s.system).value,  # type: ignore[arg-type]
    **{
        n: _mean_field(n)
        for n in (
            "fixed_point", "activation", "radius", "attractor", "cycle", "degenerate", "entanglement_limit",
        )
    },
    "mean_field_reward": _mean_field("reward"),
    "limit_policy": _limit("policy_entanglement"),
    "limit_mu-atv": _limit("entanglement"),
    **{f"limit_{n}": _limit(n) for n in ("error_mu", "error_l2", "unexplained")},
}  # fmt: skip


def observe(entry: Entry, fact: Fact) -> Floats | str:
    """The quantity of a fact, computed afresh: (n,) numbers in row-major order, or a word.

    Raises
    ------
    InvalidInput : a quantity without a meaning; the message names the nearest.

    >>> import markov_entanglement as me
    >>> record = me.gallery.entry("appendix-e")
    >>> me.gallery.observe(record, record.facts[0]).round(12).tolist()
    [0.0, 0.4]
    """
    choice("quantity", fact.quantity, tuple(QUANTITIES))
    found = QUANTITIES[fact.quantity](entry.build(fact.policy, **fact.params))
    return found if isinstance(found, str) else np.ravel(np.asarray(found, dtype=np.float64))
