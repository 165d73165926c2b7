"""k-step certificate: a two-sided bracket of `||Q - D||` for any candidate D, without solving for Q.

With the Bellman operator `T D = r + gamma P D` and `b_k = ||T^k D - D||`,

    b_k / (1 + gamma^k)  <=  ||Q - D||  <=  b_k / (1 - gamma^k)

in the sup norm over recurrent pairs, in L1(mu) and in L2(mu): `Q - D = (T^k D - D) + (gamma P)^k (Q - D)`, and P
does not expand any of the three (the recurrent pairs are closed, mu is stationary). The ratio of the two sides is
`(1 + gamma^k) / (1 - gamma^k)`, so the bracket closes as k grows. Both sides are widened by an allowance for
rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats
from ..errors import InvalidInput
from ..markov.chain import Chain
from ..measures.entanglement import as_chain
from .approximation import NORMS, norm_on
from .decomposition import resolve_discount, resolve_rewards

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Certificate:
    """Brackets of the error of one candidate.

    Attributes
    ----------
    discount : gamma.
    mu, sup, l2 : k -> (low, high), reward units; "mu" is L1(mu), "l2" L2(mu), "sup" over the recurrent pairs.
    """

    discount: float
    mu: Mapping[int, Interval]
    sup: Mapping[int, Interval]
    l2: Mapping[int, Interval]

    def interval(self, norm: str = "mu") -> Interval:
        """What all k together prove: the largest lower and the smallest upper limit.

        Raises
        ------
        InvalidInput : an unknown norm.
        """
        table: Mapping[int, Interval] = getattr(self, _check.choice("norm", norm, NORMS))
        return max(low for low, _ in table.values()), min(high for _, high in table.values())

    def to_dict(self) -> dict[str, dict[int, list[float]]]:
        """{NORM: {k: [low, high]}}."""
        return {norm: {k: list(v) for k, v in getattr(self, norm).items()} for norm in NORMS}


def certificate(
    chain: Chain,
    rewards: Any,
    discount: float | None,
    candidate: Any,
    *,
    ks: Iterable[int] = (1, 4, 16, 64),
) -> Certificate:
    """Bracket the error of any candidate values.

    Parameters
    ----------
    chain : from `system.under(policy)`.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    candidate : D. An array (n,) on `chain.pairs`, a list or tuple of one local table (m_i,) per agent (NaN
        where never visited), or a callable that takes the tuple of local pairs `(x_0, ..., x_{N-1})`. It must be
        finite on the recurrent pairs.
    ks : numbers of steps k >= 1; the cost is that of max(ks) applications of P.

    Returns
    -------
    Certificate

    Raises
    ------
    InvalidInput : a malformed candidate, reward, discount or k.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.values.certificate import certificate
    >>> chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    >>> low, high = certificate(chain, [[0, 1], [0, 1]], 0.5, np.zeros(4)).mu[16]
    >>> bool(low <= 2.0 <= high)  # the mean of Q is 1 / (1 - 0.5)
    True
    """
    chain = as_chain(chain)
    steps = _steps(ks)
    gamma = resolve_discount(chain, discount)
    reward = resolve_rewards(chain, rewards).on_pairs(chain.pairs, chain.system.spaces)
    at = chain.recurrent
    # recurrent pairs are closed: zeros elsewhere never reach them
    reward = np.where(at, reward, 0.0)
    d = np.where(at, candidate_values(chain, candidate), 0.0)
    term = np.where(at, reward + gamma * chain.carry(d) - d, 0.0)
    slack = tol.ROUNDING * float(np.abs(d).max() + np.abs(reward).max()) / (1.0 - gamma)
    total = term  # T^k D - D = sum_{t<k} (gamma P)^t (T D - D)
    tables: dict[str, dict[int, Interval]] = {norm: {} for norm in NORMS}
    for k in range(1, steps[-1] + 1):
        if k in steps:
            for norm in NORMS:
                b = norm_on(total, chain.occupancy, at, norm)
                tables[norm][k] = (
                    max(b - slack, 0.0) / (1.0 + gamma**k),
                    (b + slack) / (1.0 - gamma**k),
                )
        if k < steps[-1]:
            term = np.where(at, gamma * chain.carry(term), 0.0)
            total = total + term
    return Certificate(gamma, **{norm: MappingProxyType(table) for norm, table in tables.items()})


def _steps(ks: Iterable[int]) -> list[int]:
    if isinstance(ks, str) or not isinstance(ks, Iterable):
        raise InvalidInput(
            "ks", repr(ks), "it must be a sequence of numbers of steps", "E.g. (1, 4, 16, 64)."
        )
    steps = sorted({_check.integer(f"ks[{j}]", k, low=1) for j, k in enumerate(ks)})
    if not steps:
        raise InvalidInput("ks", "an empty sequence", "at least one number of steps is needed", "E.g. (64,).")
    return steps


def candidate_values(chain: Chain, candidate: Any) -> Floats:
    """(n,) values of a candidate on `chain.pairs`, finite on the recurrent ones.

    Raises
    ------
    InvalidInput : neither an array on the pairs, nor one table per agent, nor a callable; or not finite.
    """
    if callable(candidate):
        values = _called(chain, candidate)
    elif isinstance(candidate, list | tuple) and any(np.ndim(t) > 0 for t in candidate):
        values = _summed(chain, candidate)
    else:
        values = _numeric("candidate", candidate, chain.n_pairs)
    bad = np.flatnonzero(chain.recurrent & ~np.isfinite(values))
    if len(bad):
        raise InvalidInput(
            "candidate", f"{values[bad[0]]} at local pairs {tuple(map(int, chain.pairs[bad[0]]))}",
            "it must be finite on every recurrent pair", "Fill the value, or certify another candidate.",
        )  # fmt: skip
    return values


def _called(chain: Chain, candidate: Callable[[tuple[int, ...]], Any]) -> Floats:
    values = np.zeros(chain.n_pairs)
    for x in np.flatnonzero(chain.recurrent):
        pair = tuple(int(k) for k in chain.pairs[x])
        values[x] = _check.number(f"candidate at local pairs {pair}", candidate(pair))
    return values


def _summed(chain: Chain, tables: Sequence[Any]) -> Floats:
    if len(tables) != chain.n_agents:
        raise InvalidInput("candidate", f"{len(tables)} local tables", f"there are {chain.n_agents} agents",
                           "Give one (m_i,) table per agent.")  # fmt: skip
    parts = [
        _numeric(f"candidate[{i}]", t, m)[chain.pairs[:, i]]
        for i, (t, m) in enumerate(zip(tables, chain.sizes, strict=True))
    ]
    return np.asarray(np.sum(parts, axis=0))


def _numeric(name: str, value: Any, size: int) -> Floats:
    """A real (size,) array in which NaN may stand where no recurrent pair is."""
    try:
        a = np.asarray(value)
    except ValueError:  # ragged
        a = np.asarray(value, dtype=object)
    if a.dtype.kind not in "biuf":
        raise InvalidInput(
            name, f"entries of type {a.dtype}", "entries must be real numbers", "Pass numbers."
        )
    if a.shape != (size,):
        got = "x".join(map(str, a.shape)) or "a single number"
        raise InvalidInput(name, f"shape {got}", f"the shape must be {size}", "Match the chain's pairs.")
    return np.asarray(a, dtype=np.float64)
