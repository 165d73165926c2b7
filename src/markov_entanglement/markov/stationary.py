"""Stationary law of the joint states.

One recurrent class: the law is unique. Several: an error that names them, unless there is an initial
law; then the Cesaro limit, each class weighted with the probability of being absorbed in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import NoConvergence, SeveralRecurrentClasses
from .classes import state_graph
from .linear import LinearSystem

if TYPE_CHECKING:
    from .space import FactoredSpace as Chain

_Step = Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class Stationary:
    """A stationary law with its evidence.

    Attributes
    ----------
    law : (S,) over joint states.
    method : how it was found.
    residual : ||nu T - nu||_1.
    """

    law: Floats
    method: str
    residual: float


def state_step_left(chain: Chain, nu: Floats) -> Floats:
    """`nu T`: one step of a law over joint states."""
    return chain.kernel.apply_left(nu[chain.pair_state] * chain.choice.data)


def stationary_law(chain: Chain) -> Stationary:
    """See `Chain.stationary`."""
    classes = chain.classes
    if classes.count > 1 and chain.initial is None:
        raise SeveralRecurrentClasses(
            "system under this policy",
            _describe(chain),
            "the stationary law needs one recurrent class",
            "Give `initial` (a joint state or a law), or a policy that connects them.",
        )
    weights = [1.0] if classes.count == 1 else _absorption(chain)
    law = np.zeros(chain.choice.shape[0])
    methods = []
    for k, w in enumerate(weights):
        if w > 0:
            members = np.flatnonzero(classes.label == k)
            part, method = _one_class(chain, members)
            law[members] = w * part
            methods.append(method)
    residual = float(np.abs(state_step_left(chain, law) - law).sum())
    if residual > tol.STATIONARY:
        raise NoConvergence("the stationary law was not found to tolerance", law, residual)
    return Stationary(freeze(law), methods[0], residual)


def _describe(chain: Chain) -> str:
    label = chain.classes.label
    shown = []
    for k in range(min(chain.classes.count, 4)):
        members = np.flatnonzero(label == k)
        state = chain.describe(int(members[0]))
        shown.append(f"one of {len(members)} joint states around ({state})")
    more = ", ..." if chain.classes.count > 4 else ""
    return f"{chain.classes.count} recurrent classes: {'; '.join(shown)}{more}"


def _one_class(chain: Chain, members: Ints) -> tuple[Floats, str]:
    """Stationary law on one closed class, restricted to its states."""
    size = len(members)
    if size == 1:
        return np.ones(1), "single state"
    graph = state_graph(chain)
    step = _restricted(lambda v: state_step_left(chain, v), chain.choice.shape[0], members)
    nu = np.full(size, 1.0 / size)
    method, gap = "power iteration", np.inf
    for _ in range(12):  # blocks of averaged steps: a lazy chain has the same law and no period
        for _ in range(12):
            nu = 0.5 * (nu + step(nu))
        nu /= nu.sum()
        last, gap = gap, float(np.abs(step(nu) - nu).sum())
        if gap <= 1e-14 or gap > 0.3 * last:
            break
    if gap > 1e-13:
        nu, method = _direct(step, size, None if graph is None else graph[members][:, members], nu)
    # a recurrent state has positive mass, also where it is below what a double resolves
    nu = np.maximum(nu, tol.LEAST_MASS)
    return nu / nu.sum(), method


def _restricted(step: _Step, size: int, members: Ints) -> _Step:
    """`step` on vectors over `members`, the other entries held at 0; takes (k,) or (k, c)."""

    def inner(v: Floats) -> Floats:
        full = np.zeros((size, *v.shape[1:]))
        full[members] = v
        return step(full)[members]

    return inner


def _direct(step: _Step, size: int, graph: sp.csr_array | None, guess: Floats) -> tuple[Floats, str]:
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


def _absorption(chain: Chain) -> list[float]:
    """Probability of ending in each recurrent class from the initial law."""
    assert chain.initial is not None
    label, count = chain.classes.label, chain.classes.count
    inside = np.zeros((len(label), count))
    inside[label >= 0, label[label >= 0]] = 1.0
    transient = np.flatnonzero(label < 0)
    if len(transient) == 0:
        return [float(w) for w in chain.initial @ inside]

    def step(f: Floats) -> Floats:
        return np.asarray(chain.choice @ chain.kernel.apply(f))

    graph = state_graph(chain)
    matrix = None if graph is None else sp.csr_array(graph[transient][:, transient])
    system = LinearSystem(len(transient), _restricted(step, len(label), transient), matrix, None)
    inside[transient] = system.solve(step(inside)[transient]).x
    weights = np.asarray(chain.initial @ inside)
    return [float(w) for w in weights / weights.sum()]
