"""Limit constants of an index policy as N grows with M/N fixed: Gaussian fluctuations about the mean field.

Near a fixed point `m*` that attracts and is not degenerate, `sqrt(N)(m - m*)` becomes Gaussian with covariance

    Sigma = K' Sigma K + Gamma                                 (solved on vectors that sum to 0 within each type)
    Gamma = sum_x (m_x - z_x) C(P_0(x,.)) + z_x C(P_1(x,.)) + Delta' H Delta,     C(p) = diag p - p p'

where `K` is the derivative of the mean-field map and `H = p(1-p)(diag m_x - m_x m_y / C)` the covariance of the service
numbers within the marginal class, of mass `C`, probability `p` and members `m_x`. With `a_x = pi*(1|x)` (1 above, p in,
0 below that class) the fluctuation of `p` is `-a'xi / C` at first order, hence, for arms of type t with mass `b_t` and
class mass `C_t`,

    sqrt(N) E_t -> C_t/(b_t C) sqrt(2 a'Sigma a / pi)                          Prop. 7.2
    sqrt(N) E_t -> C_t/(b_t C) sqrt(2 a'(K'Sigma K + Delta'H Delta) a / pi)    Eq. 7 (next-step laws)

For any additive approximation `sum q(x, u)` over arms in state x with action u, the error of a joint pair moves with
`e(x,u) = r(x,u) + gamma P_u(x,.) h - q(x,u)`, `h` the slope of the true values (`fluid.response`), so that its slope in
the counts is `delta = e_0 + a (e_1 - e_0 - w'(e_1 - e_0))`, `w` the shares of the marginal class, and

    ||err||_{2,mu}/sqrt(N) -> s = sqrt(delta'Sigma delta + f'H f),   f = e_1 - e_0,
    ||err||_mu/sqrt(N) -> s sqrt(2/pi).

For local TD `q` solves the local Bellman equation of `pi*`; `q(x,u) = r(x,u) + gamma P_u(x,.)h` has error 0 at this
order: the corrected values. So has `q = h(x)` where the marginal class has one state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl

from .. import _tolerance as tol
from .._check import Floats, freeze, unit_of
from .._json import plain
from ..errors import Unsupported
from ..model.bandit import RestlessBandit
from ..report import tabulate, terms
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table, distinct
from .attractor import turn_radius
from .fluid import Fluid, derivative, response
from .many_types import Fluctuations

_LEMMA_DRAWS = 200_000
_HALF_NORMAL = math.sqrt(2 / math.pi)


@dataclass(frozen=True, eq=False, repr=False)
class LimitConstants(Result):
    """Constants of the central limit theorem of a bandit; N is the number of all arms.

    Attributes
    ----------
    covariance : (T*S, T*S) `Sigma`, of `sqrt(N)(m - m*)`; index `type * S + state`; (0, 0), not formed, beyond 400
        local states over all types.
    policy_entanglement : (T,) limit of `sqrt(N) E` by Prop. 7.2 per arm type; NaN for a type without arms.
    entanglement : (T,) limit of `sqrt(N) E` by Eq. 7 (`mu-atv`).
    error_mu, error_l2 : limits of `||Q - sum Q_i|| / sqrt(N)` in L1(mu) and L2(mu), local TD values.
    unexplained : limit of `||err - mean||_{2,mu} / ||Q - mean||_{2,mu}`; NaN when Q does not fluctuate.
    relative_error : limit of `sqrt(N) ||err||_mu / ||Q||_mu`; NaN when the mean reward is 0.
    slope : (T, S) `h`, slope of the true values in the counts, up to a constant per type; `sum_i h(s_i)` gives
        the corrected values.
    local_slope : (T, S) `d`, slope of the sum of local TD values.
    gap : (T, S) `delta = h - d`, up to a constant per type; centred to mean 0 under `m*` within each type.
    local_q : (T, S, 2) local TD values at the mean field.
    edge : standard deviations from `m*` to the edge of its affine piece at one arm, `sqrt(N)` times as many at N;
        infinite when fluctuations never lead there.
    bandit : the bandit, for the names of its types, states and actions.
    """

    covariance: Floats
    policy_entanglement: Floats
    entanglement: Floats
    error_mu: float
    error_l2: float
    unexplained: float
    relative_error: float
    slope: Floats
    local_slope: Floats
    gap: Floats
    local_q: Floats
    edge: float
    bandit: RestlessBandit

    @property
    def sentence(self) -> str:
        """What the limits say of large N."""
        e = ", ".join(f"{v:.4g}" for v in self.policy_entanglement[:4])
        more = ", ..." if len(self.policy_entanglement) > 4 else ""
        known = not math.isnan(self.unexplained)
        missed = f" and the sum misses {percent(self.unexplained)} of the spread of Q" if known else ""
        return (
            f"With N arms, entanglement is about {e}{more} over the root of N{missed}, "
            f"from about {self.valid_from:,} arms on."
        )

    def _brief(self) -> str:
        e = ", ".join(f"{v:.4g}" for v in self.policy_entanglement[:4])
        return f"sqrt(N) E -> [{e}], unexplained -> {self.unexplained:.4g}, N >= {self.valid_from}"

    def _tables(self) -> Iterator[Table]:
        unit, bandit = terms.REWARD, self.bandit
        types = distinct(bandit.labels.names or [f"type {t}" for t in range(bandit.n_types)])
        rows = [
            *((f"policy_entanglement of {t}", x, "", "limit of sqrt(N) E by Prop. 7.2")
              for t, x in zip(types, self.policy_entanglement.tolist(), strict=True)),
            *((f"entanglement of {t}", x, "", "limit of sqrt(N) E by Eq. 7")
              for t, x in zip(types, self.entanglement.tolist(), strict=True)),
            ("error_mu", self.error_mu, unit, "limit of the mean error over sqrt(N)"),
            ("error_l2", self.error_l2, unit, "limit of the root mean square error over sqrt(N)"),
            ("unexplained", self.unexplained, terms.SHARE, "limit of the share of the spread of Q that is missed"),
            ("relative_error", self.relative_error, "", "limit of sqrt(N) times error_mu over the mean size of Q"),
            *tabulate.of("mean_field", {"valid_from": self.valid_from}),
        ]  # fmt: skip
        yield tabulate.numbers([r for r in rows if r[1] == r[1]])
        if np.isnan(self.local_q).all():
            return
        names, tables = [u.name for u in bandit.units], self.local_q.reshape(bandit.n_types, -1).tolist()
        labels, unknown = [*map(bandit.local_names, range(len(names)))], [[math.nan] * len(q) for q in tables]
        kind = "local TD at the mean field"
        found = tabulate.local_block(names, labels, tables, unknown, kind=kind, constant=0.0)
        yield tabulate.local_values(found)

    @property
    def valid_from(self) -> int:
        """Arms from which the edge of the piece is 3 standard deviations away; below, limits need not predict."""
        return max(1, math.ceil((tol.EDGE / self.edge) ** 2))

    @cached_property
    def lemma_7_8(self) -> tuple[float, float, float]:
        """Limit of `sqrt(N) |S|^2 E||m - m*||_inf`, the bound of Lemma 7.8: `(value, low, high)`.

        The estimator is the mean over 200,000 Gaussian draws of a fixed stream, with its 95 % interval. NaN
        for several types, of which the lemma does not speak.
        """
        types, states = self.slope.shape
        if types > 1 or not self.covariance.size:
            return (math.nan,) * 3
        values, vectors = np.linalg.eigh(self.covariance)
        draws = np.random.default_rng(0).standard_normal((_LEMMA_DRAWS, states))
        top = states**2 * np.abs((draws * np.sqrt(np.maximum(values, 0.0))) @ vectors.T).max(axis=1)
        mean, half = float(top.mean()), 1.96 * float(top.std()) / math.sqrt(_LEMMA_DRAWS)
        return mean, mean - half, mean + half

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values; NaN is None."""
        value, *interval = self.lemma_7_8
        names = [name for name in self.__dataclass_fields__ if name != "bandit"]
        out = {name: getattr(self, name) for name in (*names, "valid_from")}
        return plain(out | {"lemma_7_8": value, "lemma_7_8_interval": interval})


def limit_constants(f: Fluid, m: Floats, bandit: RestlessBandit, refused: str | None) -> LimitConstants:
    """All constants at the fixed point m (n,), the public way is `MeanField.limit_constants`.

    Without a discount those of values are NaN."""
    if refused is not None:
        raise Unsupported("mean field", refused, "limit constants need an attracting, non-degenerate point",
                          "Use me.estimate_error and me.estimate_entanglement.")  # fmt: skip
    gamma = 0.0 if bandit.discount is None else bandit.discount
    radius = turn_radius(f, m[None])
    if radius > 1 - tol.SAME_STATE:
        raise Unsupported("mean field", f"spectral radius {radius:.9g}", "fluctuations must die out",
                          "Use me.estimate_error, which says what it takes.")  # fmt: skip
    at = _by_matrices(f, m) if f.dense else _by_products(f, m)
    a, w = at.a, at.w
    now, ahead = _deviation(a, at.sigma, at.scale, 1.0), _deviation(a, at.ahead, at.scale, 1.0)

    r0, r1 = f.rewards.T
    h, v = at.response(gamma, False), at.response(gamma, True)  # alone: one arm under pi*
    true_q, local_q = (_one_step(f, x, gamma) for x in (h, v))
    size = float(np.abs(true_q).max())
    spread_true, spread = _spread(true_q, at, size), _spread(true_q - local_q, at, size)
    local_slope = derivative(local_q[:, 0], local_q[:, 1], a, w)
    gap = (h - local_slope).reshape(f.shape)
    level = (m.reshape(f.shape) * gap).sum(axis=1) / np.where(f.mass > 0, f.mass, 1.0)
    mean = abs(float(m @ (r0 + a * (r1 - r0))))
    share = _HALF_NORMAL * w.reshape(f.shape).sum(axis=1) / np.where(f.mass > 0, f.mass, np.nan)
    found = LimitConstants(
        covariance=freeze(at.covariance),
        policy_entanglement=freeze(share * now),
        entanglement=freeze(share * ahead),
        error_mu=spread * _HALF_NORMAL,
        error_l2=spread,
        unexplained=spread / spread_true if spread_true > 0 else np.nan,
        relative_error=spread * _HALF_NORMAL * (1 - gamma) / mean if mean > tol.FLOOR * size else np.nan,
        slope=freeze(h.reshape(f.shape)),
        local_slope=freeze(local_slope.reshape(f.shape)),
        gap=freeze(gap - level[:, None]),
        local_q=freeze(local_q.reshape(*f.shape, 2)),
        edge=_edge(f, m, at),
        bandit=bandit,
    )
    if bandit.discount is None:
        words = (
            "error_mu",
            "error_l2",
            "unexplained",
            "relative_error",
            "slope",
            "local_slope",
            "gap",
            "local_q",
        )
        return replace(found, **{k: np.nan * getattr(found, k) for k in words})
    return found


class _Forms(NamedTuple):
    """Quadratic forms of the fluctuations at a fixed point, of columns x (n,)."""

    a: Floats  # (n,) chances of service
    w: Floats  # (n,) shares of the marginal class
    sigma: Callable[[Floats], float]  # x' Sigma x
    ahead: Callable[[Floats], float]  # x' (K' Sigma K + Delta' H Delta) x
    drawn: Callable[[Floats], float]  # x' H x
    scale: float  # trace of Sigma
    response: Callable[[float, bool], Floats]  # slope of the values; of one arm alone
    covariance: Floats


def _by_matrices(f: Fluid, m: Floats) -> _Forms:
    a, w, inner = _service(f, m)
    delta, k = f.p1 - f.p0, f.derivative(a, w)
    drawn = delta.T @ inner @ delta
    covariance = _covariance(f, m, a, k, drawn)
    later = k.T @ covariance @ k + drawn

    def form(matrix: Floats, x: Floats) -> float:
        x = f.basis @ (f.basis.T @ x)  # without its constant per type, which adds nothing but rounding
        return float(x @ matrix @ x)

    def slope(gamma: float, alone: bool) -> Floats:
        shares = np.zeros(len(m)) if alone else w
        return response(f.derivative(a, shares) if alone else k, f.rewards, a, shares, gamma)

    return _Forms(a, w, partial(form, covariance), partial(form, later), lambda x: float(x @ inner @ x),
                  float(np.trace(covariance)), slope, covariance)  # fmt: skip


def _by_products(f: Fluid, m: Floats) -> _Forms:
    c = f.marginal_at(m)[-1]
    inside = 0.0 < f.alpha < 1.0
    a = f.activation(m) if inside else np.full(len(m), f.alpha)
    w = f.shares(m, c) if inside else np.zeros(len(m))
    x = Fluctuations(f, m, a, w)
    return _Forms(a, w, x.variance, lambda v: x.variance(v) - x.noise(v) + x.between(v), x.drawn, 1.0, x.response,
                  np.zeros((0, 0)))  # fmt: skip


def _one_step(f: Fluid, x: Floats, gamma: float) -> Floats:
    """(n, 2) `r + gamma P x`."""
    after = np.einsum("tasu,tu->tsa", f.kernels, x.reshape(f.shape))
    return np.asarray(f.rewards + gamma * after.reshape(-1, 2))


def _service(f: Fluid, m: Floats) -> tuple[Floats, Floats, Floats]:
    """`a` (n,), shares `w` (n,) of the marginal class, and `H` (n, n)."""
    n = len(m)
    if f.alpha in (0.0, 1.0):
        return np.full(n, f.alpha), np.zeros(n), np.zeros((n, n))
    c = f.marginal_at(m)[-1]
    a, w, mine = f.activation(m), f.shares(m, c), np.where(f.rank == c, m, 0.0)
    p = float(a[f.members(c)[0]])
    return a, w, p * (1 - p) * (np.diag(mine) - np.outer(mine, mine) / mine.sum())


def _covariance(f: Fluid, m: Floats, a: Floats, k: Floats, inner: Floats) -> Floats:
    """`Sigma`: the Lyapunov equation in a basis of zero-sum vectors, where `K` is stable."""
    noise = inner.copy()
    for weight, p in ((m * (1 - a), f.p0), (m * a, f.p1)):
        noise += np.diag(weight @ p) - p.T @ (weight[:, None] * p)
    if not f.basis.shape[1]:
        return np.zeros_like(noise)
    small = sl.solve_discrete_lyapunov(f.tangent(k), f.basis.T @ noise @ f.basis)
    full = f.basis @ small @ f.basis.T
    return np.asarray((full + full.T) / 2)


def _spread(q: Floats, at: _Forms, size: float) -> float:
    """Standard deviation of `sum_x (n_x - z_x) q(x,0) + z_x q(x,1)` over sqrt(N); `size` of what q was made from."""
    gain = q[:, 1] - q[:, 0]
    between = _deviation(derivative(q[:, 0], q[:, 1], at.a, at.w), at.sigma, at.scale, size)
    return math.hypot(between, _deviation(gain - at.w @ gain, at.drawn, at.scale, size))


def _deviation(x: Floats, form: Callable[[Floats], float], scale: float, size: float) -> float:
    """Root of a form of this scale, exactly 0 where it is the rounding of an x made from numbers of this size."""
    unit = unit_of(x)
    square = form(x / unit)
    floor = tol.FLOOR * size / unit  # a product, which may be infinite; a power would raise
    return math.sqrt(square) * unit if square > floor * floor * scale else 0.0


def _edge(f: Fluid, m: Floats, at: _Forms) -> float:
    """Distance of m to the nearer edge of its piece in standard deviations of `sqrt(N)(m - m*)`."""
    if f.alpha in (0.0, 1.0):
        return math.inf
    c = f.marginal_at(m)[-1]
    up, both = f.above(c), f.above(c + 1)
    room = f.alpha - up @ m, both @ m - f.alpha
    sides = [_deviation(x, at.sigma, at.scale, 1.0) for x in (up, both)]
    return min((float(g) / s for g, s in zip(room, sides, strict=True) if s > 0), default=math.inf)
