"""Stationary law of a chain given by its operators.

One recurrent class: the law is unique. Several: the Cesaro limit from an initial law, each class weighted
with the probability of being absorbed in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import NoConvergence
from .classes import Classes
from .linear import LinearSystem

Step = Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class Stationary:
    """A stationary law with its evidence.

    Attributes
    ----------
    law : (n,) over states.
    method : how it was found.
    residual : ||nu T - nu||_1.
    """

    law: Floats
    method: str
    residual: float


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
    step, step_left : `f -> T f` and `nu -> nu T`.
    classes : recurrent classes of T.
    graph : (n, n) explicit T, or None.
    initial : (n,) initial law; may be None when there is one class.

    Raises
    ------
    NoConvergence : the law was not found; carries the best answer.
    """
    n = len(classes.label)
    weights = [1.0] if classes.count == 1 else _absorption(step, classes, graph, initial)
    law = np.zeros(n)
    methods = []
    for k, w in enumerate(weights):
        if w > 0:
            members = np.flatnonzero(classes.label == k)
            part, method = _one_class(_restricted(step_left, n, members), members, graph)
            law[members] = w * part
            methods.append(method)
    residual = float(np.abs(step_left(law) - law).sum())
    if residual > tol.STATIONARY:
        raise NoConvergence("the stationary law was not found to tolerance", law, residual)
    return Stationary(freeze(law), methods[0], residual)


def _one_class(step_left: Step, members: Ints, graph: sp.csr_array | None) -> tuple[Floats, str]:
    """Stationary law on one closed class, restricted to its states."""
    size = len(members)
    if size == 1:
        return np.ones(1), "single state"
    nu = np.full(size, 1.0 / size)
    method, gap = "power iteration", np.inf
    for _ in range(12):  # blocks of averaged steps: a lazy chain has the same law and no period
        for _ in range(12):
            nu = 0.5 * (nu + step_left(nu))
        nu /= nu.sum()
        last, gap = gap, float(np.abs(step_left(nu) - nu).sum())
        if gap <= 1e-14 or gap > 0.3 * last:
            break
    if gap > 1e-13:
        nu, method = _direct(step_left, size, None if graph is None else graph[members][:, members], nu)
    # a recurrent state has positive mass, also where it is below what a double resolves
    nu = np.maximum(nu, tol.LEAST_MASS)
    return nu / nu.sum(), method


def _restricted(step: Step, size: int, members: Ints) -> Step:
    """`step` on vectors over `members`, the other entries held at 0; takes (k,) or (k, c)."""
    if len(members) == size:
        return step

    def inner(v: Floats) -> Floats:
        full = np.zeros((size, *v.shape[1:]))
        full[members] = v
        return step(full)[members]

    return inner


def _direct(step: Step, size: int, graph: sp.csr_array | None, guess: Floats) -> tuple[Floats, str]:
    """Solve the balance equations with one state as the reference: `nu_{-k}(I - T_{-k}) = nu_k T_{k,-k}`.

    The state of largest guessed mass is taken out; the rest is substochastic, so `I - T` is an M-matrix.
    """
    k = int(guess.argmax())
    rest = np.delete(np.arange(size), k)
    unit = np.zeros(size)
    unit[k] = 1.0
    matrix = None if graph is None else sp.csr_array(graph[rest][:, rest].T)
    solution = LinearSystem(size - 1, _restricted(step, size, rest), matrix, None).solve(step(unit)[rest])
    nu = np.empty(size)
    nu[k], nu[rest] = 1.0, solution.x
    return nu / nu.sum(), solution.method


def _absorption(
    step: Step, classes: Classes, graph: sp.csr_array | None, initial: Floats | None
) -> list[float]:
    """Probability of ending in each recurrent class from the initial law."""
    assert initial is not None
    label, count = classes.label, classes.count
    inside = np.zeros((len(label), count))
    inside[label >= 0, label[label >= 0]] = 1.0
    transient = np.flatnonzero(label < 0)
    if len(transient) == 0:
        return [float(w) for w in initial @ inside]
    matrix = None if graph is None else sp.csr_array(graph[transient][:, transient])
    system = LinearSystem(len(transient), _restricted(step, len(label), transient), matrix, None)
    inside[transient] = system.solve(step(inside)[transient]).x
    weights = np.asarray(initial @ inside)
    return [float(w) for w in weights / weights.sum()]
