"""Interaction orders: what would functions of two agents, of three, explain?

`Pi_k` projects on sums of functions of at most k agents' pairs (k = 1 additive, k = 2 what a coordination graph can
represent), and `unexplained[k] = ||Q - Pi_k Q|| / ||Q - E_mu Q||` in L2(mu). For arms that are alike these are the
polynomials of degree k in the counts of local pairs. Then greedily: which pair's joint function buys most.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._json import plain
from .._types import RewardsLike, Subject
from ..errors import TooLarge, gib
from ..laws.source import Space
from ..measures.spectral import AdditiveBasis, additive_basis
from ..report import tabulate
from ..report.facts import even, percent
from ..report.result import Result
from ..report.table import Table
from .approximation import share
from .decomposition import ValueDecomposition, decomposed


@dataclass(frozen=True)
class BestPair:
    """Two units, with their names, whose joint function is added; what is left with it and the pairs before it."""

    agents: tuple[int, int]
    names: tuple[str, str]
    unexplained: float


@dataclass(frozen=True, eq=False, repr=False)
class InteractionOrders(Result):
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
        return plain({"unexplained": self.unexplained, "best_pairs": [vars(p) for p in self.best_pairs]})

    @property
    def sentence(self) -> str:
        """What functions of one agent each leave, and of two."""
        left = [percent(float(x)) for x in self.unexplained]
        two = f"; functions of two agents leave {left[2]}" if len(left) > 2 else ""
        return f"The best sum of functions of one agent leaves {left[1]} of the spread of Q{two}."

    def _brief(self) -> str:
        return f"unexplained [{', '.join(f'{x:.4g}' for x in self.unexplained)}], {len(self.best_pairs)} best pairs"

    def _tables(self) -> Iterator[Table]:
        block = self.to_dict()
        yield tabulate.orders(block)
        yield tabulate.best_pairs(block["best_pairs"])


def interaction_orders(
    chain: Subject, rewards: RewardsLike = None, discount: float | None = None, *, upto: int = 3
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
    """See `interaction_orders`; `unasked`: only while it takes moments, else `TooLarge`."""
    space = values.chain
    if unasked:
        room = int(tol.ORDERS_UNASKED // len(basis.support))
        groups = itertools.chain.from_iterable(space.subsets(k) for k in range(2, upto + 1))
        if next(itertools.islice(groups, room, None), None) is not None:
            what, most = "functions of several agents", f"{tol.ORDERS_UNASKED:.0e}"
            remedy = "Ask for them: me.interaction_orders(chain)."
            raise TooLarge(what, f"more than {most} entries", f"{most} where nobody asks", remedy)

    # times the root of mu, so that L2(mu) is Euclidean
    support, root = basis.support, np.sqrt(basis.weight)
    have, q = root[:, None] * basis.values, values.values[support]
    q = root * (q - basis.weight @ q)
    unit = float(np.abs(q).max(initial=0.0)) or 1.0
    q = q / unit

    def missed(rest: Floats) -> float:
        return share(unit * float(np.linalg.norm(rest)), values.spread, values.rounding)[0]

    whole = share(values.spread, values.spread, values.rounding)[0]
    alone = q - have @ (have.T @ q)
    rest, unexplained = alone, [whole, missed(alone)]
    pairs = _functions(space, 2, support, root)
    for k in range(2, upto + 1):
        if unexplained[-1] > 0.0:
            functions = pairs if k == 2 else _functions(space, k, support, root)
            rest = rest - _projection(list(functions.values()), rest)
        unexplained.append(missed(rest))
    names = [u.name for u in space.units]
    best = [
        BestPair((a, b), (names[a], names[b]), missed(left))
        for (a, b), left in _best_pairs(pairs, have, alone, missed)
    ]
    return InteractionOrders(freeze(np.array(unexplained)), tuple(best))


def _functions(space: Space, k: int, support: Ints, root: Floats) -> dict[tuple[int, ...], sp.csr_array]:
    """(s, F) functions of the pairs of each k units."""
    found, size = {}, 0.0
    for units in space.subsets(k):
        found[units] = f = space.interaction(units, support)
        f.data *= np.repeat(root, np.diff(f.indptr))
        size += f.nnz * 16
        if size > tol.BYTES:
            got, limit = f"more than {gib(size)}", gib(tol.BYTES)
            raise TooLarge("functions of several agents", got, limit, "Ask for a smaller `upto`.")
    return found


def _best_pairs(
    pairs: dict[tuple[int, ...], sp.csr_array], have: Floats, rest: Floats, missed: Callable[[Floats], float]
) -> Iterator[tuple[tuple[int, ...], Floats]]:
    """The first `_tolerance.BEST_PAIRS` pairs, each the one that leaves least beside those before it, and what is left.

    With B = C W orthonormal on what is already there (columns C: the additive basis, the functions of pairs), functions
    F of a pair add `F - B B'F` and explain `g' G^+ g` more of `rest`, which B is orthogonal to: `g = F' rest` and
    `G = F'F - (B'F)'(B'F)`. Only inner products of columns are ever formed, B is not.
    """
    if sum(f.shape[1] ** 2 for f in pairs.values()) * 8 * (1 + tol.BEST_PAIRS) + have.size * 8 > tol.BYTES:
        return
    across = {p: sp.csr_array(f.T) for p, f in pairs.items()}
    gram = {p: (across[p] @ f).toarray() for p, f in pairs.items()}
    inner = {p: f @ have for p, f in across.items()}
    columns, weights = [have], np.eye(have.shape[1])
    for _ in range(tol.BEST_PAIRS):
        if not across or missed(rest) <= 0.0:
            return
        gains, turns = {}, {}
        for p, f in across.items():
            cross = inner[p] @ weights
            values, vectors = np.linalg.eigh(gram[p] - cross @ cross.T)
            keep = values > tol.ADDITIVE_RANK * max(float(values[-1]), 0.0)
            turns[p] = vectors[:, keep] / np.sqrt(values[keep])
            along = turns[p].T @ (f @ rest)
            gains[p] = float(along @ along)
        best = min(gains, key=lambda p: (-even(gains[p]), p))  # equal agents in their order
        turn = turns[best]
        known = -weights @ (weights.T @ (inner[best].T @ turn))
        weights = np.block([[weights, known], [np.zeros((len(turn), weights.shape[1])), turn]])
        columns.append(pairs[best])
        del across[best]
        for p, f in across.items():
            inner[p] = np.hstack([inner[p], (f @ pairs[best]).toarray()])
        for _ in range(2):  # the second time for rounding
            along = weights @ (weights.T @ np.concatenate([c.T @ rest for c in columns]))
            cuts = np.cumsum([c.shape[1] for c in columns])[:-1]
            rest = rest - sum(c @ part for c, part in zip(columns, np.split(along, cuts), strict=True))
        yield best, rest


def _projection(functions: list[sp.csr_array], y: Floats) -> Floats:
    """(s,) projection of y on the span of the functions, by LSMR."""
    a = sp.csr_array(sp.hstack(functions, format="csr"))
    norm = np.sqrt(np.bincount(a.indices, a.data**2, minlength=a.shape[1]))
    a.data /= np.where(norm > 0, norm, 1.0)[a.indices]
    left = sp.csr_array(a.T).__matmul__
    both = spl.LinearOperator(a.shape, matvec=a.__matmul__, rmatvec=left, dtype=a.dtype)
    return np.asarray(a @ spl.lsmr(both, y, atol=1e-14, btol=1e-14, conlim=0.0, maxiter=5000)[0])
