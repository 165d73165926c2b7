"""The exact chain of a restless bandit in counts.

Under an index policy (Def. 7.5) the joint pair chain of N exchangeable arms collapses to pairs
`(n, z)` = (counts, served counts); `mu`, the entanglement of an arm, its local values, the true values and
every error norm depend on them alone, exactly: `||err||_mu` over joint pairs equals the same norm over
`(n, z)`. Expectations are taken matrix-free (`CountOperator`), so 100 arms of four states (176,851 count
states) take a minute where the matrix has 6 10^9 non-zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze
from ..errors import InvalidInput
from ..laws.rows import Rows
from ..markov.chain import Cache
from ..markov.classes import Classes, classes
from ..markov.evaluate import Evaluator
from ..markov.stationary import Stationary, stationary
from ..measures.local_fit import LocalFit, fit_mean
from ..model.bandit import RestlessBandit
from .count_operator import CountOperator, predicted_bytes, refuse_above
from .count_rows import count_policy_rows, count_rows
from .count_space import CountPairs, enumerate_pairs, guard_counts, number_of_counts, ranks_of
from .count_values import CountValues, corrected_values, local_td_values


@dataclass(frozen=True, eq=False, repr=False)
class CountEntanglement:
    """Entanglement of an arm of each type, exact.

    Attributes
    ----------
    distance : "mu-atv" (Eq. 7) or "policy" (Prop. 7.2, an upper bound of "mu-atv").
    per_agent : (T,) E of an arm of each type, in [0, 1]; NaN for a type without arms.
    multiplicity : (T,) number of arms of each type.
    fits : per type, the optimal local model and the contribution of each key.
    """

    distance: str
    per_agent: Floats
    multiplicity: Ints
    fits: tuple[LocalFit, ...]

    @property
    def total(self) -> float:
        """sum_i E_i over all arms."""
        here = self.multiplicity > 0
        return float(self.multiplicity[here] @ self.per_agent[here])

    @property
    def worst(self) -> float:
        """max_i E_i."""
        return float(np.nanmax(self.per_agent))

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        values = [float(e) if np.isfinite(e) else None for e in self.per_agent]
        return {
            "per_agent": values, "multiplicity": self.multiplicity.tolist(), "total": self.total,
            "estimator": "exact count chain",
        }  # fmt: skip

    def __repr__(self) -> str:
        values = ", ".join(f"{v:.6g}" for v in self.per_agent[:6])
        return f"CountEntanglement({self.distance}: [{values}])"


@dataclass(frozen=True, eq=False, repr=False)
class CountChain:
    """The chain of (counts, served counts) of a bandit under an index policy; made by `count_chain`.

    A cell is `type * S + state`; K count states, J pairs (J = K when the marginal class always has one
    cell). A local pair is `2 s + a`.

    Attributes
    ----------
    bandit : the bandit; policy : its policy.
    ranks : (C,) class of every cell, 0 served first.
    states : the count states and pairs.
    operator : expectations over the next counts, matrix-free.
    """

    bandit: RestlessBandit
    policy: Any
    ranks: Ints
    states: CountPairs
    operator: CountOperator

    def __repr__(self) -> str:
        return f"CountChain({self.bandit.n_agents} arms, {self.n_counts} count states, {self.n_pairs} pairs)"

    @property
    def n_counts(self) -> int:
        """Number of count states K."""
        return len(self.states.counts)

    @property
    def n_pairs(self) -> int:
        """Number of pairs (counts, served counts) J."""
        return len(self.states.count)

    @property
    def counts(self) -> Ints:
        """(J, T, S) arms in each local state, per pair."""
        return self._shaped(self.states.counts[self.states.count])

    @property
    def served(self) -> Ints:
        """(J, T, S) active arms in each local state, per pair."""
        return self._shaped(self.states.served)

    def _shaped(self, a: Any) -> Ints:
        return freeze(a.astype(np.int64).reshape(len(a), self.bandit.n_types, self.bandit.n_states))

    # --- the chain -----------------------------------------------------------------------------------

    def serve(self, f: Floats) -> Floats:
        """(K,) mean over the served counts of a function of pairs (J,)."""
        weighted = self.states.probability * f
        return np.asarray(np.bincount(self.states.count, weighted, self.n_counts), dtype=np.float64)

    def step(self, f: Floats) -> Floats:
        """(K,) `E[f(n') | n]` of a function of counts (K,)."""
        return self.serve(self.operator.expect(f))

    def step_left(self, nu: Floats) -> Floats:
        """(K,) law of the counts one step after the law `nu` (K,)."""
        return self.operator.push(nu[self.states.count] * self.states.probability)

    @cached_property
    def transition(self) -> sp.csr_array:
        """(K, K) explicit transition matrix of the counts.

        Raises
        ------
        TooLarge : it would not fit; `step` and `step_left` need no matrix.
        """
        shape = (self.n_counts, self.n_pairs)
        where = (self.states.count, np.arange(self.n_pairs))
        return sp.csr_array(sp.csr_array((self.states.probability, where), shape) @ self.operator.matrix())

    @property
    def graph(self) -> sp.csr_array | None:
        """`transition` where the chain is small, else None."""
        return self.transition if self.n_counts <= tol.COUNT_DENSE else None

    def ahead(self, marked: Bools) -> Bools:
        """(K,) counts that one step may reach from the marked ones, however improbable."""
        return self.operator.reached_from(marked[self.states.count])

    def behind(self, marked: Bools) -> Bools:
        """(K,) counts from which one step may lead to a marked one."""
        hits = self.states.count[self.operator.can_reach(marked)]
        return np.bincount(hits, minlength=self.n_counts) > 0

    @cached_property
    def classes(self) -> Classes:
        """Recurrent classes of the counts; the search starts where arms are spread evenly."""
        even = int(np.argmin(np.ptp(self.states.counts, axis=1)))
        return classes(self.ahead, self.behind, self.n_counts, start=even)

    @cached_property
    def stationary(self) -> Stationary:
        """Stationary law of the counts, with its method and evidence.

        Raises
        ------
        SeveralRecurrentClasses : it is not unique.
        """
        remedy = "Mend the kernels of arms that split into several classes, or simulate from a start."
        self.classes.require_one("bandit under this policy", "count states", self.describe, remedy)
        return stationary(self.step, self.step_left, self.classes, self.graph)

    def describe(self, state: int) -> str:
        """A count state for a message."""
        return ", ".join(str(n) for n in self.states.counts[state])

    @property
    def count_occupancy(self) -> Floats:
        """(K,) stationary law of the counts."""
        return self.stationary.law

    @cached_property
    def occupancy(self) -> Floats:
        """(J,) stationary law mu of the pairs (counts, served counts)."""
        return freeze(self.count_occupancy[self.states.count] * self.states.probability)

    @cached_property
    def recurrent(self) -> Bools:
        """(J,) True on the recurrent pairs."""
        return freeze(self.classes.recurrent[self.states.count])

    # --- what one arm sees -----------------------------------------------------------------------------

    @cached_property
    def _rows(self) -> dict[int, Rows]:
        return {}

    def rows(self, t: int = 0) -> Rows:
        """Rows (key x_i, weight, law p_i) of Eq. 7 of an arm of type t, one per (pair of counts, x_i)."""
        t = _check.integer("t", t, low=0, high=self.bandit.n_types - 1)
        if t not in self._rows:
            self._rows[t] = count_rows(self.bandit, self.ranks, self.states, self.occupancy, t)
        return self._rows[t]

    def policy_rows(self, t: int = 0) -> Rows:
        """Rows (key s_i, weight, law pi(.|s)) of Prop. 7.2 of an arm of type t."""
        t = _check.integer("t", t, low=0, high=self.bandit.n_types - 1)
        return count_policy_rows(self.bandit, self.ranks, self.states, self.count_occupancy, t)

    def local_transition(self, t: int = 0) -> Floats:
        """(2S, 2S) marginalised local transition P_i (Eq. 2) of an arm of type t; NaN rows: never visited."""
        return self.rows(t).mean_law

    @cached_property
    def mu_atv(self) -> CountEntanglement:
        """Exact Eq. 7 of an arm of each type."""
        return self._measure("mu-atv")

    @cached_property
    def policy_entanglement(self) -> CountEntanglement:
        """Prop. 7.2 of an arm of each type: `min_pi' sum_n mu(n) TV(pi(.|n, s), pi'(.|s))`."""
        return self._measure("policy")

    def _measure(self, distance: str) -> CountEntanglement:
        of = self.rows if distance == "mu-atv" else self.policy_rows
        fits = tuple(fit_mean(of(t)) for t in range(self.bandit.n_types))
        arms = self.bandit.n_arms
        values = np.where(arms > 0, [f.value for f in fits], np.nan)
        return CountEntanglement(distance, freeze(values), arms, fits)

    # --- values ------------------------------------------------------------------------------------------

    @cached_property
    def rewards(self) -> Floats:
        """(J,) reward of all arms in one step at each pair."""
        r = self.bandit.rewards.reshape(-1, 2)
        return freeze(self.states.passive @ r[:, 0] + self.states.served @ r[:, 1])

    @cached_property
    def evaluators(self) -> Cache[float, Evaluator]:
        """Per discount, what evaluates rewards; the matrix of a discount is factored once."""
        return Cache(lambda g: Evaluator(self.serve, self.operator.expect, self.n_counts, self.graph, g))

    @cached_property
    def _joint(self) -> Cache[float, Floats]:
        return Cache(lambda gamma: freeze(self.evaluators[gamma](self.rewards).q))

    def joint_q(self, discount: float | None = None) -> Floats:
        """(J,) true values `Q = r + gamma E[V(n')]` of all arms together, `V(n) = E[Q(n, z) | n]`."""
        return self._joint[self._discount(discount)]

    def local_values(self, discount: float | None = None) -> CountValues:
        """Sum of the local values `Q_i = (I - gamma P_i)^{-1} r_i` (what TD learns) beside the truth."""
        return local_td_values(self, self._discount(discount))

    def corrected_values(self, discount: float | None = None, *, table: str = "state") -> CountValues:
        """Additive values from the linear response of the mean field beside the truth.

        Parameters
        ----------
        discount : gamma in [0, 1); None takes the bandit's.
        table : "state", `D = sum_i h(s_i) + const`; or "pair", one step ahead of it,
            `D = sum_i r(x_i) + gamma sum_s' P(s'|x_i) h(s') + const`.

        Raises
        ------
        InvalidInput : another table, or a discount outside [0, 1).
        Unsupported : the affine piece grows faster than the discount, so that it has no slope.
        """
        return corrected_values(self, self._discount(discount), table)

    def _discount(self, discount: float | None) -> float:
        return self.bandit.discount if discount is None else _check.discount(discount)


def count_chain(bandit: RestlessBandit, policy: Any) -> CountChain:
    """The exact chain of a restless bandit in counts.

    Parameters
    ----------
    bandit : a `RestlessBandit`, one or several arm types.
    policy : `me.IndexPolicy` or `me.UniformPolicy`; equal priorities are served uniformly.

    Returns
    -------
    CountChain

    Raises
    ------
    InvalidInput : not a bandit, or priorities of the wrong length.
    Unsupported : another policy, under which counts are not a chain.
    TooLarge : the count states or an intermediate space would not fit; told before allocation.

    >>> import markov_entanglement as me
    >>> P0 = [[.5, 0, 0, .5], [.5, .5, 0, 0], [0, .5, .5, 0], [0, 0, .5, .5]]
    >>> P1 = [list(column) for column in zip(*P0)]
    >>> arms = me.RestlessBandit([P0, P1], [-1, 0, 0, 1], n_arms=5, budget=1, discount=0.5)
    >>> chain = me.count_chain(arms, me.IndexPolicy([1, 2, 3, 0]))
    >>> [round(float(e.per_agent[0]), 6) for e in (chain.policy_entanglement, chain.mu_atv)]
    [0.081759, 0.039742]
    >>> round(chain.local_values().error("mu"), 6), round(chain.corrected_values().error("mu"), 6)
    (0.042994, 0.066535)
    """
    if not isinstance(bandit, RestlessBandit):
        raise InvalidInput("bandit", type(bandit).__name__, "it must be a RestlessBandit",
                           "Make one with me.RestlessBandit(...).")  # fmt: skip
    ranks = freeze(ranks_of(bandit, policy))
    arms = [int(n) for n in bandit.n_arms]
    guard_counts(arms, bandit.n_states)
    if number_of_counts(arms, bandit.n_states) > tol.COUNT_PREDICT:
        need = predicted_bytes(arms, bandit.n_states, ranks, bandit.budget, bandit.kernels)
        refuse_above(need, f"count operator of {bandit.n_agents} arms (predicted)")
    states = enumerate_pairs(arms, bandit.n_states, ranks, bandit.budget)
    return CountChain(bandit, policy, ranks, states, CountOperator(states, bandit.kernels))
