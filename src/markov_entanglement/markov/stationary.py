"""Stationary law of a chain given by its operators, with a bound of its error.

One recurrent class: the law is unique. Several: the Cesaro limit from an initial law, each class weighted
with the probability of being absorbed in it.

A residual `r = nu T - nu` tells little: where blocks of states hardly communicate every mixture of their laws has a
small one. With `h_i` the expected number of steps from i to a state k (`h_k = 0`), the error is

    ||nu - mu||_1 <= 2 sum_i |r_i| h_i,

for `nu (I - T) = -r` without state k is solved by `nu_k w - r (I - T_{-k})^{-1}`, where `(1, w)` is a multiple of mu
and the row sums of the inverse are h. Any `g >= 0` with `g - T g >= 1` off k is at least h; so an h that was solved
for roughly gives a bound that holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze, sums_by
from ..errors import NoConvergence
from .classes import Classes
from .elimination import jumps, leaving, reduced_law
from .linear import LinearSystem

Step = Callable[[Floats], Floats]
#: A law, how it was found, and a bound of its L1 error (by elimination: of its relative errors).
_Found = tuple[Floats, str, float]


@dataclass(frozen=True, eq=False)
class Stationary:
    """A stationary law with its evidence."""

    law: Floats  # (n,) over states
    method: str  # how it was found
    residual: float  # ||nu T - nu||_1; says nothing of the error where parts of the chain hardly communicate
    error_bound: float  # ||nu - mu||_1 at most


def stationary(
    step: Step, step_left: Step, classes: Classes, graph: sp.csr_array | None, initial: Floats | None = None,
    meeting: float = 0.0,
) -> Stationary:  # fmt: skip
    """The stationary law of the only recurrent class, or the Cesaro limit from `initial` (n,).

    `step` is `f -> T f`, `step_left` is `nu -> nu T`, `graph` the explicit T (n, n), or None; of its diagonal nothing
    is asked, a chain is what leaves its states. `meeting`: see `FactoredSpace`.

    `NoConvergence`, with the best answer, where the law cannot be told.
    """
    n, label = len(classes.label), classes.label
    weights, error = np.ones(1), 0.0
    if classes.count > 1:
        assert initial is not None
        weights, error = _absorption(step, step_left, label, graph, initial)
    law, method = np.zeros(n), ""
    for k in np.flatnonzero(weights):
        at = np.flatnonzero(label == k)
        inner = graph if graph is None or len(at) == n else sp.csr_array(graph[at][:, at])
        ahead, back = (_restricted(f, n, at) for f in (step, step_left))
        part, method, bound = _Part(ahead, back, inner, len(at), meeting=meeting).law()
        # a recurrent state has positive mass, also where it is below what a double resolves
        part = np.maximum(part, tol.LEAST_MASS)
        law[at] = weights[k] * part / part.sum()
        error += weights[k] * bound
    residual = float(np.abs(step_left(law) - law).sum())
    if not error <= tol.STATIONARY_ERROR:
        told = f"up to {error:.1e}" if np.isfinite(error) else "without a bound"
        why = "parts of the chain hardly communicate, so that its error is"
        raise NoConvergence(f"the stationary law cannot be told: {why} {told}", law, residual)
    return Stationary(freeze(law), method, residual, float(error))


def _restricted(step: Step, size: int, members: Ints) -> Step:
    """`step` on vectors over `members`, the other entries held at 0."""

    def inner(v: Floats) -> Floats:
        full = np.zeros(size)
        full[members] = v
        return step(full)[members]

    return step if len(members) == size else inner


def _absorption(
    step: Step, step_left: Step, label: Ints, graph: sp.csr_array | None, initial: Floats
) -> tuple[Floats, float]:
    """(count,) probability of ending in each class, and a bound of its L1 error.

    It is the mass of the classes, one state each, where all of them lead to one more state that starts anew.
    """
    n, here, count = len(label), np.flatnonzero(label < 0), int(label.max()) + 1
    m = len(here)
    size = m + count + 1
    spot = np.where(label < 0, np.cumsum(label < 0) - 1, m + label)
    start = sums_by(spot, initial, size)
    if not start[:m].any():
        return start[m:-1], 0.0

    def ahead(f: Floats) -> Floats:
        return np.concatenate([step(f[spot])[here], np.full(count, f[-1]), [start @ f]])

    def back(nu: Floats) -> Floats:
        full = np.zeros(n)
        full[here] = nu[:m]
        image = sums_by(spot, step_left(full), size) + nu[-1] * start
        image[-1] += nu[m:-1].sum()
        return image

    small = None
    if graph is not None:
        merge = sp.csr_array((np.ones(n), (np.arange(n), spot)), shape=(n, size))
        anew = sp.csr_array((np.ones(count), np.full(count, m + count), np.arange(count + 1)), (count, size))
        small = sp.csr_array(sp.vstack([graph[here] @ merge, anew, sp.csr_array(start[None])]))
    ends, method, bound = _Part(ahead, back, small, size, slice(m, m + count)).law()
    total = ends.sum()
    return ends / total, 2.0 * bound / (1.0 if method == "elimination" else total)


class _Part:
    """A chain of one class: its operators, its rates of leaving where explicit, and the states that one asks for."""

    def __init__(
        self, step: Step, step_left: Step, graph: sp.csr_array | None, size: int, among: slice = slice(None),
        meeting: float = 0.0,
    ) -> None:  # fmt: skip
        self.n, self.step, self.left, self.moves, self.among = size, step, step_left, None, among
        self.meeting = meeting
        self.guess = np.full(size, 1.0 / size)
        if graph is not None:
            moves, self.out = leaving(graph)
            if self.out.all():  # else products vanished
                stay, self.moves, self.back = graph.diagonal(), moves, sp.csr_array(moves.T)
                self.step, self.left = (lambda f: graph @ f), (lambda nu: self.back @ nu + stay * nu)

    def law(self) -> _Found:
        """By elimination where the chain is small, else by what is sure enough soonest, else the surest."""
        if self.n == 1:
            return np.ones(1), "single state", 0.0
        ways = [self._by_krylov, self._by_elimination]
        if self.meeting > 0.0 and self.n > tol.LARGE:
            ways.insert(0, self._by_steps)
        if self.moves is not None:  # an LU of few neighbours is soon done
            ways.insert(0 if self.moves.nnz <= 6 * self.n else 1, self._by_factors)
            if self.n <= tol.GTH_STATES:
                ways.insert(0, ways.pop())
        best: _Found = self.guess[self.among], "none", np.inf
        for way in ways:
            with np.errstate(all="ignore"):  # what overflows has no bound
                found = way()
            best = found if found is not None and found[2] < best[2] else best
            if best[2] <= tol.STATIONARY_SURE:
                break
        return best

    def bound(self, nu: Floats, h: Floats, k: int) -> float:
        """`||nu - mu||_1` at most, from approximate steps h to state k; inf where rounding hides it."""
        if self.moves is None:
            into, away, there, here = self.left(nu), nu, self.step(h), h
            slack = 4.0 * tol.STEP_ROUNDING + np.abs(self.step(np.ones(self.n)) - 1.0)
        else:
            into, away, there, here = self.back @ nu, nu * self.out, self.moves @ h, self.out * h
            slack = np.full(self.n, tol.STEP_ROUNDING)
        least = np.delete(here - there - slack * (here + there), k).min()
        missed = np.abs(into - away) + slack * (into + away)
        bound = float(2.0 * (missed @ h) / least) + tol.STEP_ROUNDING
        return bound if least > 0.01 and h.min() >= 0 and bound >= 0 else np.inf

    def _by_steps(self) -> _Found:
        """The law after many steps. Two copies meet with a chance c, so the distance of two laws falls to 1 - c of it:
        `||nu - mu||_1 <= ||nu T - nu||_1 / c`, rounding included."""
        nu, last, missed = self.guess.copy(), np.inf, 2.0
        for _ in range(tol.POWER_STEPS):
            into = self.left(nu)
            nu -= into
            last, missed, nu = missed, float(np.abs(nu, out=nu).sum()), into
            if missed <= 0.1 * tol.SOLVE or not missed < 0.9 * last:
                break
        nu /= nu.sum()
        self.guess = nu
        return nu[self.among], "steps", (missed + 8.0 * tol.STEP_ROUNDING) / self.meeting

    def likely(self, steps: int) -> int:
        """A state of large mass: the guess after some averaged steps (a lazy chain has the same law)."""
        nu = np.maximum(self.guess, 0.0)
        for _ in range(steps):
            nu = 0.5 * (nu + self.left(nu))
        return int(nu.argmax())

    def _by_elimination(self) -> _Found | None:
        if self.moves is not None:
            return reduced_law(self.moves, self.out, self.among)
        if 64 * self.n**2 > tol.BYTES:
            return None
        columns = np.stack([self.step(e) for e in np.eye(self.n)], axis=1)
        return reduced_law(*leaving(sp.csr_array(columns)), self.among)

    def _by_krylov(self) -> _Found:
        """Solve `nu (I - T) + (sum nu) u = u`, u the law after a likely state, and `(I - T) h = 1 - e_k / nu_k`."""
        n, few = self.n, None if self.moves is None else 1  # there are other ways
        u = self.left(np.eye(1, n, self.likely(2))[0])
        rest = self.left(u) - u
        goal = tol.SOLVE / np.sqrt(n) / (float(np.abs(rest).max()) or 1.0)
        shifted = LinearSystem(n, lambda v: self.left(v) - v.sum() * u, None, None)
        more = shifted.solve(rest, goal=goal, cycles=few)
        nu = np.maximum(u + more.x, 0.0)
        # from what enters and leaves, without subtraction: for rare states
        for _ in range(2 if few is None else 12):
            last, nu = nu, self.left(nu) if self.moves is None else self.back @ nu / self.out
            if (np.abs(nu - last) <= 1e-12 * nu).all():
                break
        nu /= nu.sum()
        self.guess, k = nu, int(nu.argmax())
        b = 1.0 - np.eye(1, n, k)[0] / nu[k]
        goal = 0.5 / float(np.abs(b).max())
        h = LinearSystem(n, lambda f: self.step(f) - nu @ f, None, None).solve(b, goal=goal, cycles=few).x
        return nu[self.among], more.method, self.bound(nu, h - h[k], k)

    def _by_factors(self) -> _Found | None:
        """Balance of the chain of jumps without a likely state k, by LU; one factor gives the law and h."""
        assert self.moves is not None
        n, k, jump = self.n, self.likely(12), jumps(self.moves, self.out)
        rest = np.delete(np.arange(n), k)
        try:
            system = LinearSystem(n - 1, self.step, sp.csr_array(jump[rest][:, rest]), None)
        except RuntimeError:  # singular in doubles
            return None
        if not system.method:
            return None
        nu, h = np.ones(n), np.zeros(n)
        nu[rest] = system.solve(jump[[k]].toarray()[0, rest], left=True).x
        h[rest] = system.solve(1.0 / self.out[rest]).x
        nu = np.maximum(nu, 0.0) / self.out
        nu /= nu.sum()
        return nu[self.among], system.method, self.bound(nu, h, k)
