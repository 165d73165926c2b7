"""Interaction orders: what would functions of two agents, of three, explain?

`Pi_k` projects on sums of functions of at most k agents' pairs (k = 1 additive, k = 2 what a coordination graph can
represent), and `unexplained[k] = ||Q - Pi_k Q|| / ||Q - E_mu Q||` in L2(mu). For arms that are alike these are the
polynomials of degree k in the counts of local pairs. Then greedily: which pair's joint function buys most.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._json import plain
from ..errors import TooLarge
from ..laws.source import Space
from ..measures.spectral import AdditiveBasis, additive_basis
from .approximation import root_mean_square, share
from .decomposition import ValueDecomposition, decomposed


@dataclass(frozen=True)
class BestPair:
    """A pair of units whose joint function is added.

    Attributes
    ----------
    agents : the two units; names : their names.
    unexplained : what is left with it and the pairs before it.
    """

    agents: tuple[int, int]
    names: tuple[str, str]
    unexplained: float


@dataclass(frozen=True, eq=False)
class InteractionOrders:
    """What sums of functions of at most k agents miss.

    Attributes
    ----------
    unexplained : (upto + 1,) for k = 0..upto, the share of the spread of Q.
    best_pairs : greedily, the pairs whose joint functions explain most beside the additive ones.
    """

    unexplained: Floats
    best_pairs: tuple[BestPair, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        pairs = [{**vars(p), "agents": list(p.agents), "names": list(p.names)} for p in self.best_pairs]
        return plain({"unexplained": self.unexplained, "best_pairs": pairs})


def interaction_orders(
    chain: Any, rewards: Any = None, discount: float | None = None, *, upto: int = 3
) -> InteractionOrders:
    """What functions of one, two, three agents explain of Q, and which pairs matter most.

    Parameters
    ----------
    chain : from `system.under(policy)`; a bandit is answered in counts.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    upto : largest number of agents that a function may read.

    Raises
    ------
    InvalidInput : malformed arguments.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : the functions would not fit.

    >>> import markov_entanglement as me
    >>> me.interaction_orders(me.gallery.build("circulant-bandit", n_arms=5).chain()).unexplained.round(7).tolist()
    [1.0, 0.0065466, 0.0029007, 0.0009631]
    """
    top = _check.integer("upto", upto, low=1, high=8)
    values = decomposed(chain, rewards, discount, "interaction orders")
    return orders_of(values, additive_basis(values.chain), top)


def orders_of(
    values: ValueDecomposition, basis: AdditiveBasis, upto: int, *, unasked: bool = False
) -> InteractionOrders:
    """See `interaction_orders`; `unasked`: only while it takes moments.

    Raises
    ------
    TooLarge : the functions would not fit, or, where nobody asked, would take long.
    """
    space = values.chain
    if unasked:
        room = int(tol.ORDERS_UNASKED // len(basis.support))
        groups = itertools.chain.from_iterable(space.subsets(k) for k in range(2, upto + 1))
        if next(itertools.islice(groups, room, None), None) is not None:
            what, most = "functions of several agents", f"{tol.ORDERS_UNASKED:.0e}"
            remedy = "Ask for them: me.interaction_orders(chain)."
            raise TooLarge(what, f"more than {most} entries", f"{most} where nobody asks", remedy)

    support, weight = basis.support, basis.weight
    q = values.values[support] - weight @ values.values[support]
    unit = float(np.abs(q).max(initial=0.0)) or 1.0
    q = q / unit

    def missed(rest: Floats) -> float:
        return share(unit * root_mean_square(weight, rest), values.spread, values.rounding)[0]

    alone = q - basis.project(q)
    rest, unexplained = alone, [missed(q), missed(alone)]
    for k in range(2, upto + 1):
        if unexplained[-1] > 0.0:
            rest = rest - _projection(_functions(space, space.subsets(k), support), weight, rest)
        unexplained.append(missed(rest))
    return InteractionOrders(freeze(np.array(unexplained)), tuple(_best_pairs(space, basis, alone, missed)))


def _best_pairs(space: Space, basis: AdditiveBasis, rest: Floats, missed: Any) -> list[BestPair]:
    """The first `_tolerance.BEST_PAIRS` pairs, each the one that leaves least beside those before it.

    With B orthonormal on what is already there and `rest` orthogonal to it, functions F of a pair add
    `(F - B B'F)` and explain `g' G^+ g` more of it, `g = F' rest` and `G = F'F - (B'F)'(B'F)`, all weighted.
    """
    root, names = np.sqrt(basis.weight), [u.name for u in space.units]
    have, rest = root[:, None] * basis.values, root * rest
    scaled = {p: space.interaction(p, basis.support) * root[:, None] for p in map(tuple, space.subsets(2))}
    if sum(f.shape[1] ** 2 for f in scaled.values()) * 8 + have.size * 8 * 4 > tol.BYTES:
        return []
    gram = {p: (f.T @ f).toarray() for p, f in scaled.items()}
    fresh, out = have, list[BestPair]()
    while scaled and len(out) < tol.BEST_PAIRS and missed(rest / root) > 0.0:
        gains, turns = {}, {}
        for p, f in scaled.items():
            cross = f.T @ fresh
            gram[p] -= cross @ cross.T
            values, vectors = np.linalg.eigh(gram[p])
            keep = values > tol.ADDITIVE_RANK * max(float(values[-1]), 0.0)
            turns[p] = vectors[:, keep] / np.sqrt(values[keep])
            along = turns[p].T @ (f.T @ rest)
            gains[p] = float(along @ along)
        best = min(gains, key=lambda p: (-float(f"{gains[p]:.9g}"), p))  # equal agents in their order
        fresh = scaled.pop(best) @ turns[best]
        fresh = np.linalg.qr(fresh - have @ (have.T @ fresh))[0]
        have = np.hstack([have, fresh])
        rest = rest - fresh @ (fresh.T @ rest)
        a, b = best
        out.append(BestPair((a, b), (names[a], names[b]), missed(rest / root)))
    return out


def _functions(space: Space, subsets: Any, support: Ints) -> sp.csr_array:
    """(s, F) functions of the pairs of the units in each of the subsets."""
    parts, size = [], 0.0
    for units in subsets:
        parts.append(space.interaction(units, support))
        size += parts[-1].nnz * 16
        if size > tol.BYTES:
            raise TooLarge("functions of several agents", f"more than {size / 1024**3:.2g} GiB",
                           f"{tol.BYTES / 1024**3:.0f} GiB", "Ask for a smaller `upto`.")  # fmt: skip
    return sp.csr_array(sp.hstack(parts, format="csr"))


def _projection(functions: sp.csr_array, weight: Floats, f: Floats) -> Floats:
    """(s,) L2(weight) projection of f on the span of the functions, by LSMR."""
    root = np.sqrt(weight)
    scaled = sp.csr_array(functions * root[:, None])
    norm = np.sqrt(np.asarray(scaled.multiply(scaled).sum(axis=0)).ravel())
    scaled = sp.csr_array(scaled / np.where(norm > 0, norm, 1.0))
    size = float(np.abs(f).max(initial=0.0))
    if size == 0.0:
        return np.zeros_like(f)
    found = scaled @ spl.lsmr(scaled, root * (f / size), atol=1e-14, btol=1e-14, conlim=0.0, maxiter=5000)[0]
    return np.asarray(size * found / root)
