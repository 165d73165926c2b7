"""Upper bounds on what any policy can earn in a weakly coupled system, by the two relaxations of dynamic programming.

Joint actions meet `sum_i c_i(s_i, a_i) <= b` (or `==`), one such row for each constraint; `nu` is the law of the first
state, `nu_i` that of agent i. With `V_i^lam` the optimal values of agent i alone, that pays `lam c_i` for what it uses,

    Lagrangian   L(nu) = min over lam of  lam b / (1 - gamma) + sum_i nu_i . V_i^lam,  lam >= 0 for "<=", free for "==",
    ALP          A(nu) = min of  theta + sum_i nu_i . V_i,  where  theta + sum_i V_i(s_i)  is at least one step of the
                 Bellman equation for every joint state s and every feasible joint action a,

and `V*(nu) <= A(nu) <= L(nu)` (D. Adelman and A. Mersereau, *Relaxations of weakly coupled stochastic dynamic
programs*, 2008). L can be arbitrarily bad where no joint action uses the whole of b. Both are linear programs; the
multipliers are among the unknowns of the first.

Where agents have two actions and the constraint is on how many take the second, A = L: for given V_i the rows of the
second program ask for the maximum of `sum_i g_i(a_i)` over integers a_i in {0, 1} of a given sum, whose linear
relaxation has integer corners. Then the first program, which grows with the agents only, answers for both.

Neither says anything of `sum_i Q_i`: that evaluates one policy, on either side of its value, and bounds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats
from .._json import plain
from .._lp import minimum
from .._types import ArrayLike
from ..errors import InvalidInput, TooLarge
from ..model.bandit import RestlessBandit
from ..model.spaces import about, unravel
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..report import tabulate, terms
from ..report.result import Result
from ..report.table import Columns, Table, table
from .coupled import Coupled, read


@dataclass(frozen=True, eq=False, repr=False)
class UpperBound(Result):
    """What no policy exceeds.

    Attributes
    ----------
    method : "Lagrangian" or "approximate linear programme".
    value : discounted total reward of all agents from the start law, reward units; no policy earns more.
    multipliers : (R,) price of one unit of each constraint for one step, reward units; empty where none was solved for.
    constraints : (R,) their names, "budget" or "resources[k]".
    start : the start law in words.
    """

    method: str
    value: float
    multipliers: tuple[float, ...]
    constraints: tuple[str, ...]
    start: str

    @property
    def sentence(self) -> str:
        """The bound, and what is none."""
        return (
            f"No policy earns more than {self.value:.6g} (discounted total, {self.method}), started {self.start}. A "
            "sum of local values is no such bound: it evaluates one policy."
        )

    def _brief(self) -> str:
        return f"{self.value:.6g}, {self.method}"

    def _tables(self) -> Iterator[Table]:
        says = f"no policy earns more, started {self.start} ({self.method})"
        yield tabulate.numbers([("value", self.value, terms.REWARD, says)])
        columns: Columns = {
            "constraint": "what joint actions share",
            "multiplier": ("price of one unit of it for one step", terms.REWARD),
        }
        yield table("multipliers", "Prices", columns, zip(self.constraints, self.multipliers, strict=False))

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return plain({"sentence": self.sentence, **vars(self)})


def lagrangian_bound(mdp: WeaklyCoupledMDP | RestlessBandit, initial: ArrayLike | None = None) -> UpperBound:
    """The Lagrangian bound on the discounted total reward of any policy, with `.value` and `.multipliers` (R,).

    `min over lam of lam b / (1 - gamma) + sum_i nu_i . V_i^lam`: every agent pays a price for what it uses, and the
    prices are the best ones. It grows with the number of agents, and of a bandit with the number of types only.

    Parameters
    ----------
    mdp : with a discount and a reward table of each agent.
    initial : law `nu` of the first state: None, all joint states alike; a joint state, or a law over joint states; of a
        bandit the numbers of arms in each state, (S,) or (T, S).

    Raises
    ------
    Unsupported : not weakly coupled, or its tasks end.
    InvalidInput : no rewards of single agents, no discount, a bad start, or limits that no policy meets.

    >>> import markov_entanglement as me
    >>> one = [[[1.0]], [[1.0]]]  # one state, two actions, each pays its number and uses as much
    >>> two = me.WeaklyCoupledMDP([one] * 2, [[[0, 1]]] * 2, discount=0.9, resources=[([0, 1], 0.9, "<=")])
    >>> round(me.lagrangian_bound(two).value, 9), abs(round(me.alp_bound(two).value, 9))
    (9.0, 0.0)
    """
    system = read(mdp, initial)
    value, prices = _lagrangian(system)
    return UpperBound("Lagrangian", value, prices, system.names, system.start)


def alp_bound(mdp: WeaklyCoupledMDP | RestlessBandit, initial: ArrayLike | None = None) -> UpperBound:
    """The bound of the approximate linear programme on the discounted total reward of any policy, `.value`.

    `min theta + sum_i nu_i . V_i`, such that `theta + sum_i V_i(s_i)` satisfies the Bellman inequality in every joint
    state for every feasible joint action: never below the optimum, never above `lagrangian_bound`. Where agents have
    two actions and only the number of those that take the second is limited the two are equal, and the smaller program
    of the Lagrangian answers, `.multipliers` with it; else every joint state is listed.

    Parameters
    ----------
    mdp, initial : as in `lagrangian_bound`.

    Raises
    ------
    Unsupported, InvalidInput : as `lagrangian_bound`.
    TooLarge : too many feasible joint actions in all joint states.

    >>> import markov_entanglement as me
    >>> system = me.gallery.build("circulant", n_arms=4, budget=1).system
    >>> round(me.alp_bound(system).value, 9)
    8.910891089
    """
    system = read(mdp, initial)
    value, prices = _lagrangian(system) if system.corners else (_listed(mdp, system), ())
    return UpperBound("approximate linear programme", value, prices, system.names, system.start)


def _lagrangian(system: Coupled) -> tuple[float, tuple[float, ...]]:
    """L and its multipliers."""
    parts = [a.pairs(system.discount) for a in system.agents]
    matrix = sp.hstack([np.concatenate([p[3] for p in parts]), sp.block_diag([p[1] for p in parts])])
    cost = np.concatenate([system.limit / (1.0 - system.discount), *(a.weight for a in system.agents)])
    low = np.full(len(cost), -np.inf)
    low[: len(system.limit)] = np.where(system.exact, -np.inf, 0.0)
    solved = _minimum(cost, matrix, np.concatenate([p[2] for p in parts]), low)
    prices = system.unit * solved[: len(system.limit)]
    return float(system.unit * (cost @ solved) + system.constant), tuple(float(x) + 0.0 for x in prices)


def _listed(mdp: Any, system: Coupled) -> float:
    """A, with a row for every feasible joint action in every joint state."""
    spaces, columns = mdp.spaces, sum(mdp.spaces.n_states) + 1
    most = tol.ALP_ENTRIES // columns
    few = spaces.joint_states <= most
    mask = (
        sp.csr_array(mdp.feasible(states := spaces.states_at(np.arange(spaces.joint_states))))
        if few
        else None
    )
    if mask is None or mask.nnz > most:
        size = about(spaces.joint_states if mask is None else mask.nnz)
        got = f"{size} {'joint states' if mask is None else 'of them in all joint states'}"
        raise TooLarge(
            "feasible joint actions", got, f"{most:,}", "Use me.lagrangian_bound, which is never below."
        )
    row = np.repeat(np.arange(len(states)), np.diff(mask.indptr))
    pairs = spaces.local_pairs(states[row], unravel(mask.indices.astype(np.int64), spaces.n_actions))
    steps, reward = [], np.zeros(len(pairs))
    for i, agent in enumerate(system.agents):
        at, step, paid, _ = agent.pairs(system.discount)
        x = np.searchsorted(at, pairs[:, i])
        steps.append(step[x])
        reward += paid[x]
    matrix = sp.hstack([np.full((len(pairs), 1), 1.0 - system.discount), *steps])
    cost = np.concatenate([[1.0], *(a.weight for a in system.agents)])
    solved = _minimum(cost, matrix, reward, np.full(columns, -np.inf))
    return float(system.unit * (cost @ solved) + system.constant)


def _minimum(cost: Floats, matrix: Any, least: Floats, low: Floats) -> Floats:
    """x >= low of least `cost x` with `matrix x >= least`."""
    solved = minimum(cost, matrix, least, np.full(len(least), np.inf), (low, None))
    if solved is None:
        rule = "no policy meets the limits, not even on average"
        remedy = 'Raise the limits, or write "<=" for "==".'
        raise InvalidInput("resources", "a program without an optimum", rule, remedy)
    return solved[0]
