"""Stationary law of a chain given by its operators, with a bound of its error.

One recurrent class: the law is unique. Several: the Cesaro limit from an initial law, each class weighted
with the probability of being absorbed in it.

A residual `r = nu T - nu` tells little: where blocks of states hardly communicate every mixture of their laws has a
small one. With `h_i` the expected number of steps from i to a state k (`h_k = 0`), the error is

    ||nu - mu||_1 <= 2 sum_i |r_i| h_i,

for `nu (I - T) = -r` without state k is solved by `nu_k w - r (I - T_{-k})^{-1}`, where `(1, w)` is a multiple of mu
and the row sums of the inverse are `h`. Any `g >= 0` with `g - T g >= 1` off k is at least h; so an h that was solved
for roughly gives a bound that holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import NoConvergence
from .classes import Classes
from .elimination import leaving, reduced_absorption, reduced_law
from .linear import LinearSystem

Step = Callable[[Floats], Floats]
#: A law, how it was found, and a bound of its L1 error.
_Found = tuple[Floats, str, float]


@dataclass(frozen=True, eq=False)
class Stationary:
    """A stationary law with its evidence.

    Attributes
    ----------
    law : (n,) over states.
    method : how it was found.
    residual : ||nu T - nu||_1; says nothing of the error where parts of the chain hardly communicate.
    error_bound : ||nu - mu||_1 at most.
    """

    law: Floats
    method: str
    residual: float
    error_bound: float


def stationary(
    step: Step,
    step_left: Step,
    classes: Classes,
    graph: sp.csr_array | None = None,
    initial: Floats | None = None,
) -> Stationary:
    """The stationary law of the only recurrent class, or the Cesaro limit from `initial`.

    Parameters
    ----------
    step, step_left : `f -> T f`, (n,) or (n, k), and `nu -> nu T`.
    classes : recurrent classes of T.
    graph : (n, n) explicit T, or None. Of its diagonal nothing is asked: a chain is what leaves its states.
    initial : (n,) initial law; may be None when there is one class.

    Raises
    ------
    NoConvergence : the law cannot be told; carries the best answer.
    """
    n = len(classes.label)
    if classes.count == 1:
        weights, error = np.ones(1), 0.0
    else:
        assert initial is not None
        weights, error = _absorption(step, classes, graph, initial)
    law = np.zeros(n)
    methods = []
    for k in np.flatnonzero(weights):
        members = np.flatnonzero(classes.label == k)
        part, method, bound = _one_class(_Part(step, step_left, graph, members, n))
        law[members] = weights[k] * part
        error += weights[k] * bound
        methods.append(method)
    residual = float(np.abs(step_left(law) - law).sum())
    if not error <= tol.STATIONARY_ERROR:
        told = f"up to {error:.1e}" if np.isfinite(error) else "without a bound"
        raise NoConvergence(
            f"the stationary law cannot be told: parts of the chain hardly communicate, so that its error is {told}",
            law,
            residual,
        )
    return Stationary(freeze(law), methods[0], residual, float(error))


class _Part:
    """A closed class: its operators, its rates of leaving where they are explicit, and a first guess of its law."""

    def __init__(
        self, step: Step, step_left: Step, graph: sp.csr_array | None, members: Ints, n: int
    ) -> None:
        self.size = len(members)
        self.step, self.step_left = _restricted(step, n, members), _restricted(step_left, n, members)
        self.moves: sp.csr_array | None = None
        if graph is not None:
            inside = graph if self.size == n else sp.csr_array(graph[members][:, members])
            back = sp.csr_array(inside.T)
            self.step, self.step_left = (lambda f: inside @ f), (lambda nu: back @ nu)
            self.moves, self.out = leaving(inside)
        self.guess = np.full(self.size, 1.0 / self.size)

    def mix(self, steps: int) -> Floats:
        """The guess after some averaged steps (a lazy chain has the same law)."""
        nu = np.maximum(self.guess, 0.0)
        for _ in range(steps):
            nu = 0.5 * (nu + self.step_left(nu))
        return nu / nu.sum()

    def bound(self, nu: Floats, h: Floats, k: int) -> float:
        """`||nu - mu||_1` at most, from approximate steps h to state k; inf where rounding hides it."""
        if self.moves is None:
            into, away, there, here = self.step_left(nu), nu, self.step(h), h
        else:
            into, away, there, here = self.moves.T @ nu, nu * self.out, self.moves @ h, self.out * h
        least = np.delete(here - there - tol.STEP_ROUNDING * (here + there), k).min()
        if not least > 0.01 or h.min() < 0:
            return np.inf
        missed = np.abs(into - away) + tol.STEP_ROUNDING * (into + away)
        return float(2.0 * (missed @ h) / least)


def _restricted(step: Step, size: int, members: Ints) -> Step:
    """`step` on vectors over `members`, the other entries held at 0; takes (k,) or (k, c)."""
    if len(members) == size:
        return step

    def inner(v: Floats) -> Floats:
        full = np.zeros((size, *v.shape[1:]))
        full[members] = v
        return step(full)[members]

    return inner


def _sure(ways: Iterable[Callable[[], _Found | None]]) -> _Found:
    """The first answer that is sure enough, else the surest."""
    best: _Found = np.zeros(0), "none", np.inf
    for way in ways:
        found = way()
        if found is not None and (found[2] < best[2] or best[1] == "none"):
            best = found
        if best[2] <= tol.STATIONARY_SURE:
            break
    return best


def _one_class(part: _Part) -> _Found:
    """The law of one closed class: by elimination where it is small, else by what is sure enough soonest."""
    if part.size == 1:
        return np.ones(1), "single state", 0.0
    ways: list[Callable[[], _Found | None]] = [lambda: _by_krylov(part)]
    if part.moves is not None:
        moves = part.moves  # an LU of few neighbours is soon done
        ways.insert(0 if moves.nnz <= 6 * part.size else 1, lambda: _by_factors(part, moves))
        ways.insert(0 if part.size <= tol.GTH_STATES else 2, lambda: reduced_law(moves))
    elif 64 * part.size**2 <= tol.BYTES:
        ways.append(
            lambda: reduced_law(
                leaving(sp.csr_array(np.stack([part.step(e) for e in np.eye(part.size)], 1)))[0]
            )
        )
    law, method, bound = _sure(ways)
    # a recurrent state has positive mass, also where it is below what a double resolves
    law = np.maximum(law, tol.LEAST_MASS)
    return law / law.sum(), method, bound


def _by_krylov(part: _Part) -> _Found:
    """Solve `nu (I - T) + (sum nu) u = u`, u the law after a likely state, and `(I - T) h = 1 - e_k / nu_k`."""
    n = part.size
    cycles = None if part.moves is None else 1  # there are other ways
    u = part.step_left(np.eye(1, n, int(part.mix(4).argmax()))[0])
    rest = part.step_left(u) - u
    goal = tol.SOLVE / np.sqrt(n) / (float(np.abs(rest).max()) or 1.0)
    more, method = _roughly(n, lambda v: part.step_left(v) - v.sum() * u, rest, goal, cycles)
    part.guess = u + more
    nu = part.guess = part.mix(2)
    k = int(nu.argmax())
    b = np.ones(n)
    b[k] -= 1.0 / nu[k]
    h, _ = _roughly(n, lambda f: part.step(f) - nu @ f, b, 0.5 / float(np.abs(b).max()), cycles)
    return nu, method, part.bound(nu, h - h[k], k)


def _roughly(n: int, apply: Step, b: Floats, goal: float, cycles: int | None) -> tuple[Floats, str]:
    """`(I - A)^{-1} b` as far as it goes; what becomes of it is bounded afterwards."""
    try:
        found = LinearSystem(n, apply, None, None).solve(b, goal=goal, cycles=cycles)
        return found.x, found.method
    except NoConvergence as e:
        return np.asarray(e.best), "GMRES"


def _by_factors(part: _Part, moves: sp.csr_array) -> _Found | None:
    """Balance of the chain of moves without a likely state k, by LU; one factor gives the law and the steps to k."""
    n, k = part.size, int(part.mix(12).argmax())
    jumps = sp.csr_array(
        (moves.data / np.repeat(part.out, np.diff(moves.indptr)), moves.indices, moves.indptr), (n, n)
    )
    rest = np.delete(np.arange(n), k)
    try:
        system = LinearSystem(n - 1, part.step, sp.csr_array(jumps[rest][:, rest]), None)
    except RuntimeError:  # singular in doubles
        return None
    if not system.method:
        return None
    nu, h = np.ones(n), np.zeros(n)
    nu[rest] = system.solve(jumps[[k]].toarray()[0, rest], left=True).x
    h[rest] = system.solve(1.0 / part.out[rest]).x
    nu = np.maximum(nu, 0.0) / part.out
    nu /= nu.sum()
    return nu, system.method, part.bound(nu, h, k)


def _absorption(
    step: Step, classes: Classes, graph: sp.csr_array | None, initial: Floats
) -> tuple[Floats, float]:
    """(count,) probability of ending in each class from the initial law, and a bound of the L1 error of that."""
    label, count = classes.label, classes.count
    inside = np.zeros((len(label), count))
    inside[label >= 0, label[label >= 0]] = 1.0
    transient = np.flatnonzero(label < 0)
    direct = initial @ inside
    start = initial[transient]
    if not start.any():
        return direct, 0.0
    rows = None if graph is None else sp.csr_array(graph[transient])

    def eliminate() -> _Found | None:
        if rows is None:
            return None
        from_ = sp.csr_array(start[None])
        blocks = [
            [rows[:, transient], None, rows @ sp.csr_array(inside)],
            [from_, None, sp.csr_array(direct[None])],
            [None, sp.csr_array((count, 1)), None],
        ]
        return reduced_absorption(leaving(sp.csr_array(sp.block_array(blocks)))[0], count)

    def solve() -> _Found | None:
        """`|x - x*| <= max |r| h`, h the expected number of transient steps, from above as for the law."""
        move = _restricted(step, len(label), transient)
        hits = step(inside)[transient]
        try:
            system = LinearSystem(len(start), move, None if rows is None else rows[:, transient], None)
            x, h = system.solve(hits).x, system.solve(np.ones(len(start)), goal=0.1).x
        except (RuntimeError, NoConvergence):
            return None
        there, after = move(h), hits + move(x)
        least = (h - there - tol.STEP_ROUNDING * (h + there)).min()
        missed = (np.abs(after - x) + tol.STEP_ROUNDING * (after + x)).max(axis=0).sum()
        weights = direct + start @ x
        bound = float(missed * (start @ h) / least) if least > 0.01 else np.inf
        return weights / weights.sum(), system.method, 2.0 * bound

    small = len(start) <= tol.GTH_STATES
    weights, method, bound = _sure([eliminate, solve] if small else [solve, eliminate])
    if method == "none":
        raise NoConvergence("the chance of ending in each recurrent class cannot be told", direct, np.inf)
    return weights, bound
