"""Meta Algorithm 2, first step: split one shared reward into local ones.

"lad": `e(r) = min_{r_i} sum_x mu(x) |r(x) - sum_i r_i(x_i)|` (Prop. J.7), a linear program solved through its dual,
`max sum_x z_x r(x)` with `|z_x| <= mu(x)` and `sum_{x ~ x_i} z_x = 0`: few rows, boxed columns.

Such a fit leaves a mean, `E_mu(r - sum_i r_i)`, which values multiply by 1/(1 - gamma). "lad-centred" is the nearest
among those that leave none: one equation more in the program, one more column in its dual. "least-squares", the
projection in L2(mu), leaves none either.

The minimiser is not unique. `r_1..r_N` is one exactly when the residual is >= 0 where `z = mu`, <= 0 where `z = -mu`
and 0 elsewhere; of least squares the sum is unique, its parts are not. Among these the least total span
`sum_i (max r_i - min r_i)` is taken, again through the dual, and of what is left the least of

    E_mu (r - sum_i r_i)^2 + sum_i Var(r_i),    Var over the local pairs that occur, each once.

This last one is strictly convex, so the split is unique: it depends neither on the order of agents or labels nor on the
unit of the reward, and a constant added to the reward is added to the split. Each r_i is written with mid-range 0, the
constant spread evenly.

Every split comes with a lower limit of the least deviation of its kind: `sum_x y_x r(x)` of a y that was made feasible
for the dual, whatever the solver left (`dual_value`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze, unit_of
from .._lp import minimum
from ..errors import NoConvergence, TooLarge
from .deviations import Columns, least_deviations, least_squares, numbered

#: How one reward may be split, and what that is called.
SPLITS = {
    "lad": "least absolute deviations",
    "lad-centred": "least absolute deviations that leave no mean",
    "least-squares": "least squares",
}


@dataclass(frozen=True, eq=False)
class SharedFit:
    """Local rewards (m_i,) per agent fitted to a shared one by one of `SPLITS`, `error = ||r - sum_i r_i||_mu`, and a
    lower limit by the dual of the least that any split (a centred one: any centred split) has. `unique`: whether of
    several best splits it is the one that the module names."""

    local: tuple[Floats, ...]
    error: float
    lower: float
    split: str
    unique: bool


def fit_shared_reward(
    pairs: Ints,
    sizes: Sequence[int],
    mu: Floats,
    reward: Floats,
    *,
    split: str = "lad",
    large: bool = False,
) -> SharedFit:
    """Split a reward (n,) on local pairs (n, N), m_i of each agent, under mu (n,); of several best splits the one that
    the module names.

    `large`, and wherever there are more pairs than the linear program takes: of several one near which the interior
    point method ends, whatever the number of joint pairs; `TooLarge` where local pairs are too many for it.

    >>> pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> fit = fit_shared_reward(pairs, (2, 2), np.full(4, .25), np.array([1., 0., 0., 1.]))
    >>> fit.error, fit.lower, [r.tolist() for r in fit.local]
    (0.5, 0.5, [[0.25, 0.25], [0.25, 0.25]])
    """
    at = np.flatnonzero(mu > 0)
    n, agents = len(at), len(sizes)
    large = large or n > tol.LAD_PAIRS
    found, column = numbered(pairs[at])
    owner = np.repeat(np.arange(agents), [len(seen) for seen in found])
    if large:
        measure(n, agents, len(owner), "Give one reward table per agent.")
    first = np.searchsorted(owner, np.arange(agents))
    columns = Columns(column, len(owner))
    r = reward[at] - 0.5 * (reward[at].max() + reward[at].min())
    unit = unit_of(r)
    scaled, weight, centred = r / unit, mu[at], split == "lad-centred"
    if large:
        table, constant, z = least_deviations(columns, weight, scaled, centred)
    else:
        z, side = _deviations(columns.place, weight, scaled, centred)
    lower = dual_value(columns, weight, z, scaled, centred)
    if split == "least-squares":
        table = least_squares(columns, weight, scaled)
        constant = 0.0
    if large:
        least, most = (f.reduceat(table, first) for f in (np.minimum, np.maximum))
        constant, table, span = constant + float(least.sum()), table - least[owner], most - least
    elif split == "least-squares":  # a sum is known by its means given each local pair
        mass = columns.place.T @ weight
        given = sp.csr_array(columns.gram(weight) / mass[:, None])
        constant, table, span = _narrowest(given, mass, given @ table, np.zeros(len(owner)), owner, False)
    else:
        constant, table, span = _narrowest(columns.place, weight, scaled, side, owner, centred)
    constant += 0.5 * float(span.sum())
    share = (unit * constant + reward[at[0]] - r[0]) / agents
    local = []
    for i, (m, seen) in enumerate(zip(sizes, found, strict=True)):
        full = np.full(m, share)
        full[seen] += unit * (table[owner == i] - 0.5 * span[i])
        local.append(freeze(full))
    fitted = np.sum([t[pairs[at, i]] for i, t in enumerate(local)], axis=0)
    error = float(weight @ np.abs(reward[at] - fitted))
    return SharedFit(tuple(local), error, float(np.clip(unit * lower, 0.0, error)), split, not large)


def measure(n: int, agents: int, local: int, remedy: str) -> None:
    """Refuse so many joint pairs, agents and local pairs that the interior point method would take hours or too much
    memory."""
    if n * agents**2 > tol.LAD_WORK or 32.0 * local**2 > tol.BYTES:
        size = f"{n:,} joint pairs of {agents:,} agents with {local:,} local pairs"
        limit = f"{tol.LAD_WORK:.0e} joint pairs times agents squared, {int((tol.BYTES / 32) ** 0.5):,} local pairs"
        raise TooLarge("split of the shared reward", size, limit, remedy)


def fit_sampled(
    pairs: Ints, sizes: Sequence[int], weight: Floats, reward: Floats, *, split: str, small: bool
) -> SharedFit:
    """The same of joint pairs that a run met; the minimiser that the module names where the pairs are `small` and the
    program ends well."""
    if small:
        with suppress(NoConvergence):
            return fit_shared_reward(pairs, sizes, weight, reward, split=split)
    return fit_shared_reward(pairs, sizes, weight, reward, split=split, large=True)


def dual_value(columns: Columns, mu: Floats, z: Floats, r: Floats, centred: bool) -> float:
    """`y r` of the feasible y nearest to multipliers z (n,): orthogonal to every additive function and within mu, about
    a multiple of mu where the fit is centred."""
    y = z / mu
    y = y - columns @ least_squares(columns, mu, y)
    middle = 0.5 * (float(y.max()) + float(y.min())) if centred else 0.0
    return float((mu * y) @ r) / max(1.0, float(np.abs(y - middle).max()))


def _deviations(place: sp.csr_array, mu: Floats, r: Floats, centred: bool) -> tuple[Floats, Floats]:
    """Multipliers (n,) of the residuals, and the sign (n,) that a residual of a best fit may have."""
    n, m = place.shape
    size = tol.LAD_RANGE[1] / mu.max()
    weight = np.clip(mu * size, *tol.LAD_RANGE)  # the solver sees rare pairs, too
    columns, cost, limit = place.T, -r, weight
    if centred:
        share = mu / mu.max()
        columns = sp.hstack([columns, sp.csr_array((place.T @ share)[:, None])])
        cost, limit = np.append(cost, -share @ r), np.append(weight, np.inf)
    z = _optimum(minimum(cost, columns, np.zeros(m), limits=(-limit, limit)))[0][:n]
    side = np.where(np.abs(z) < weight - tol.LAD * np.maximum(weight, 0.01), 0.0, -np.sign(z))
    return np.clip(z / size, -mu, mu), side


def _narrowest(
    place: sp.csr_array, mu: Floats, r: Floats, side: Floats, owner: Ints, centred: bool
) -> tuple[float, Floats, Floats]:
    """c, t >= 0 (m,) and spans s (N,): `r ~ c + sum_i t_i(x_i)`, `t_i <= s_i`; `place` (n, m), 1 for each agent a row.

    The residual has the sign `side` (n,), and is 0 where that is 0.
    """
    (n, m), agents = place.shape, int(owner[-1]) + 1
    # All minimisers u = (c, t, s): `rows u >= least`, some with equality; then those of least total span.
    fit = sp.hstack([np.ones((n, 1)), place, np.zeros((n, agents))], format="csr")
    own = np.eye(agents)[owner]
    box = np.block([[np.zeros((m, 1)), np.eye(m), 0.0 * own], [np.zeros((m, 1)), -np.eye(m), own]])
    sign = np.where(side == 0.0, 1.0, side)
    share = mu / mu.max()
    mean = sp.csr_array((share @ fit)[None] if centred else np.zeros((0, fit.shape[1])))
    rows = sp.csr_array(sp.vstack([fit.multiply(sign[:, None]), box, mean]))
    least = np.concatenate([sign * r, np.zeros(2 * m), np.full(int(centred), share @ r)])
    equal = np.concatenate([side == 0.0, np.zeros(2 * m, dtype=bool), np.ones(int(centred), dtype=bool)])
    spans = np.repeat([0.0, 1.0], [1 + m, agents])
    force, dual = _optimum(minimum(-least, rows.T, spans, limits=(np.where(equal, -np.inf, 0.0), None)))
    equal |= force > tol.LAD
    # u on the equations, and the directions that they leave free; `h` is the Hessian of what is minimised last.
    fixed = rows[equal]
    value, vector = np.linalg.eigh((fixed.T @ fixed).toarray())
    bound, free = vector[:, value > tol.LAD], vector[:, value <= tol.LAD]
    u = -dual
    for _ in range(2):
        u = u + bound @ (bound.T @ (fixed.T @ (least[equal] - fixed @ u)) / value[value > tol.LAD])
    if free.shape[1]:
        h = (fit.T @ fit.multiply(mu[:, None])).toarray()
        part = own / own.sum(axis=0)
        h[1 : m + 1, 1 : m + 1] += np.diag(part.sum(axis=1)) - part @ part.T
        root = np.linalg.cholesky(free.T @ h @ free).T
        ahead = np.linalg.solve(root.T, free.T @ (fit.T @ (mu * r) - h @ u))
        slope = np.linalg.solve(root.T, (rows[~equal] @ free).T).T
        step = _shortest(slope, least[~equal] - rows[~equal] @ u - slope @ ahead - tol.LAD_SLACK)
        u = u + free @ np.linalg.solve(root, ahead + step)
    return float(u[0]), u[1 : m + 1], u[m + 1 :]


def _shortest(a: Floats, b: Floats) -> Floats:
    """The shortest y with `a y >= b` (C. Lawson and R. Hanson, *Solving Least Squares Problems*, 1974, ch. 23)."""
    e, aim = np.vstack([a.T, b]), np.append(np.zeros(a.shape[1]), 1.0)
    u, y = np.zeros(len(b)), np.zeros(a.shape[1])
    while (short := np.where(u > 0.0, 0.0, b - a @ y)).max(initial=0.0) > 0.0:
        used = u > 0.0
        used[new := int(short.argmax())] = True
        while True:
            best = np.zeros(len(b))
            best[used] = np.linalg.lstsq(e[:, used], aim, rcond=None)[0]
            low = np.flatnonzero(used & (best <= 0.0))
            if not len(low):
                break
            part = u[low] / np.maximum(u[low] - best[low], np.finfo(np.float64).tiny)
            u += part.min() * (best - u)
            used[low[part.argmin()]] = False
        if not used[new]:
            break
        u, gap = best, e @ best - aim
        y = -gap[:-1] / gap[-1]
    return y


def _optimum(solved: tuple[Floats, Floats] | None) -> tuple[Floats, Floats]:
    if solved is None:
        raise NoConvergence("the split of the shared reward did not finish", None, float("nan"))
    return solved
