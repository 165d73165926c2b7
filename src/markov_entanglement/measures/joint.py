"""Joint distances from separable transitions: `tv` (Section 5) and its occupancy-weighted form `mu-tv`.

`tv = min_{P' in P_SEP} max_x TV(P_x, P'_x)`, `mu-tv = min_{P' in P_SEP} sum_x mu(x) TV(P_x, P'_x)`: Theorems 5.3
and 6.3 bound the decomposition error by either. `P_SEP` is the no-signalling polytope: transitions of the full
product whose sums `sum_t P'(x, (t, y_{-i})) = R_i(y_{-i} | x_{-i})` do not depend on `x_i`. So both are linear
programs, over `P' = u + v` with `0 <= u <= P` and `v >= 0`: `TV(P_x, P'_x) = 1 - max sum_y u(x, y)`.

Three reductions keep the program small, each without loss.

1. Columns: sending every next local pair that never occurs to one that does is a local map, keeps `P'`
   separable and moves mass only into cells where it can overlap with `P_x`.
2. Rows, two agents: if the rows of the support agree on the laws `R_0(.|x_1)` and `R_1(.|x_0)`, the products
   `R_1(.|x_0) x R_0(.|x_1)` complete them on every other row, and they are transitions.
3. Rows, three and more agents: local pairs that never occur copy the row of one that does, but the rows of the
   product of the occurring ones are all needed (as free transitions), so large ones are refused.

Guarantee: `lower <= distance <= value` up to `residual`. The lower limit is a linear functional, exact after a
repair of the solver's dual: weights `lambda_x >= 0` (sum 1, or mu) and tests `psi_i(x, y_{-i})` with
`S_x(y) = sum_i psi_i(x, y_{-i}) >= 0`. Every separable `P'` has
`sum_x E_{P'_x} S_x <= B = sum_i sum_{x_{-i}} max_{y_{-i}} sum_{x_i} psi_i(x, y_{-i})`, hence
`sum_x lambda_x TV(P_x, P'_x) >= sum_x E_{P_x} min(S_x, lambda_x) - B`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import TooLarge, Unsupported
from ..markov.chain import Chain
from ..model.spaces import joint_size, ravel, unravel
from .joint_program import JointProgram, certify, separable_part, solve


@dataclass(frozen=True, eq=False, repr=False)
class JointDistance:
    """Distance of a chain from the separable transitions, with both sides certified.

    Attributes
    ----------
    distance : "tv" or "mu-tv".
    support : rows that it runs over, "recurrent" or "reachable".
    value : the distance attained by `nearest`, in [0, 1].
    lower : lower limit proved by `weights` and `tests`.
    alphabet : per agent (k_i,) the local pairs that occur, ascending.
    rows : (R, N) local pairs of each row of the program: the support for one or two agents, the product of the
        alphabets for more.
    nearest : (R, K) a nearest separable transition; columns are the product of the alphabets, agent 0 slowest.
    weights : (R,) lambda_x; 0 off the support.
    tests : per agent (R, K / k_i) `psi_i(x, y_{-i})`; columns the product of the other agents' alphabets.
    residual : largest violation of the no-signalling equations by `nearest`.
    """

    distance: str
    support: str
    value: float
    lower: float
    alphabet: tuple[Ints, ...]
    rows: Ints
    nearest: Floats
    weights: Floats
    tests: tuple[Floats, ...]
    residual: float

    @property
    def numbers(self) -> Floats:
        """(1,) the value."""
        return np.array([self.value])

    @property
    def gap(self) -> float:
        """`value - lower`, at least 0."""
        return max(self.value - self.lower, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"value": self.value, "lower": self.lower, "support": self.support}

    def __repr__(self) -> str:
        return f"JointDistance({self.distance}={self.value:.6g}, gap={self.gap:.1e}, support={self.support})"


def joint_distance(
    chain: Chain, *, weighted: bool, support: str = "recurrent", entries: int = tol.JOINT_ENTRIES
) -> JointDistance:
    """`tv` or, with `weighted`, `mu-tv`.

    Parameters
    ----------
    chain : from `system.under(policy)`.
    weighted : False for "tv", True for "mu-tv" (which always runs over the recurrent pairs).
    support : "recurrent" (default) or "reachable": the rows over which the maximum of "tv" runs.
    entries : rows times next joint pairs that the linear program may have.

    Returns
    -------
    JointDistance

    Raises
    ------
    InvalidInput : an unknown support.
    TooLarge : the linear program has too many entries; its size is named.
    Unsupported : tasks end.
    SeveralRecurrentClasses : "mu-tv" where mu is not unique.

    >>> import markov_entanglement as me
    >>> from markov_entanglement.measures.joint import joint_distance
    >>> chain = me.JointChain([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], (2, 2)).under()
    >>> round(joint_distance(chain, weighted=False, support="reachable").value, 9)  # the swap
    0.5
    """
    _check.choice("support", support, ("recurrent", "reachable"))
    if chain.ends is not None:
        raise Unsupported("distance", f"{'mu-tv' if weighted else 'tv'} on tasks that end", "its program knows no "
                          "outcome in which all agents end together", "Use 'atv' or 'mu-atv'.")  # fmt: skip
    wide = support == "reachable" and not weighted
    keep = np.arange(chain.n_pairs) if wide else np.flatnonzero(chain.recurrent)
    program = _program(chain, keep, entries)
    mu = None
    if weighted:
        mu = np.zeros(len(program.rows))
        mu[program.at] = chain.occupancy[keep]
    primal, dual = solve(program, mu)
    nearest, residual = separable_part(program, primal)
    tv = 1.0 - np.minimum(program.law, nearest).sum(axis=1)[program.at]
    value = float(tv.max(initial=0.0)) if mu is None else float(mu[program.at] @ tv)
    weights, tests, lower = certify(program, dual, mu)
    return JointDistance(
        "mu-tv" if weighted else "tv",
        "reachable" if wide else "recurrent",
        min(max(value, 0.0), 1.0),
        lower,
        tuple(freeze(a) for a in program.alphabet),
        freeze(program.locals),
        freeze(nearest),
        freeze(weights),
        tuple(freeze(t) for t in tests),
        residual,
    )


def _program(chain: Chain, keep: Ints, entries: int) -> JointProgram:
    pairs = chain.pairs[keep]
    alphabet = tuple(np.unique(pairs[:, i]) for i in range(chain.n_agents))
    sizes = tuple(len(a) for a in alphabet)
    columns = joint_size(sizes)
    rows = len(keep) if chain.n_agents <= 2 else columns
    size = rows * columns
    if size > entries:
        remedy = "'atv' and 'mu-atv' need next laws of single agents only."
        if size <= tol.JOINT_ENTRIES:
            remedy = "It runs when the distance is asked for by name; a minute at most."
        raise TooLarge(
            "linear program of the joint distance",
            f"{rows:,} rows x {columns:,} next joint pairs",
            f"{entries if size <= tol.JOINT_ENTRIES else tol.JOINT_ENTRIES:,} entries",
            remedy,
        )
    at = np.stack([np.searchsorted(a, pairs[:, i]) for i, a in enumerate(alphabet)], axis=1)
    index = ravel(at.astype(np.int64), sizes)
    if chain.n_agents > 2:
        place, order = unravel(np.arange(columns), sizes), index
    else:
        place, order = at.astype(np.int64), np.arange(len(keep))
    law = np.zeros((rows, columns))
    law[np.ix_(order, index)] = _laws(chain, keep)
    return JointProgram(alphabet, place, order, law)


def _laws(chain: Chain, keep: Ints) -> Floats:
    """(R, R) transition among the pairs `keep`, a closed set."""
    choice = sp.csr_array(chain.choice[:, keep])
    matrix = chain.kernel.matrix
    if matrix is not None:
        return np.asarray((sp.csr_array(matrix[keep]) @ choice).toarray())
    size = 8 * len(keep) * (chain.n_pairs + len(chain.states))
    if size > tol.BYTES:
        raise TooLarge("rows of the joint chain", f"{size / 1024**3:.3g} GiB", f"{tol.BYTES / 1024**3:.0f} GiB",
                       "Use 'atv' or 'mu-atv'.")  # fmt: skip
    return chain.kernel.apply(choice.toarray())[keep]
