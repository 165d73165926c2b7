"""LP-update: at every step plan a few steps ahead on average, and do the first of them.

From the arms now, `n[t,s]` of type t in state s, the plan of H steps is a linear program in `y[k,t,s,a]`, the mean
number of arms of type t that are in state s at step k and take action a:

    max  sum_k r y[k] + sum h[t,s'] P_t(s'|s,a) y[H-1,t,s,a]
    s.t. sum_a y[0,t,s,a] = n[t,s],   sum_a y[k+1,t,s',a] = sum_{s,a} y[k,t,s,a] P_t(s'|s,a),   sum y[k,t,s,1] = M.

What lies beyond the plan is worth `h`, the relative values of an arm that pays the price of the average-reward
relaxation (`lp_priority`), so that a plan of one step serves by LP-priority. Of the first step `y[0,t,s,1]` arms are
served; fractions are rounded at random, all together, so that each is right on average and exactly M are served (one
uniform number falls through the cumulative fractions). Arms alike, of one type and state, are served uniformly.

Planning anew at every step is almost optimal for many arms, of one type or all different (arXiv 2511.08097). It takes
a linear program for every set of counts that is met; plans are kept.
"""

from __future__ import annotations

import itertools
import math
import threading
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._lp import Program
from ..errors import NoConvergence, TooLarge, Unsupported
from ..laws.source import demand
from ..model.bandit import RestlessBandit
from ..model.bound_policy import BoundPolicy
from ..model.policy import LPUpdatePolicy
from ..model.spaces import AT_SCALE, about, ravel
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..model.words import lacks
from ..runs.agents import AgentChain
from .lp_priority import relaxed
from .whittle import bandit_of

#: Parts of an arm below this are rounding of the solver.
_WHOLE = 1e-7


def together(bandit: RestlessBandit) -> tuple[RestlessBandit, Ints]:
    """Arm types that are alike as one, and (T,) which of these each was."""
    both = np.concatenate(
        [bandit.kernels.reshape(bandit.n_types, -1), bandit.rewards.reshape(bandit.n_types, -1)], axis=1
    )
    _, first, which = np.unique(both, axis=0, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    arms = np.bincount(which, weights=bandit.n_arms).astype(np.int64)
    merged = RestlessBandit(
        bandit.kernels[first], bandit.rewards[first], n_arms=arms.tolist(), budget=bandit.budget,
        discount=bandit.discount,
    )  # fmt: skip
    return merged, which


class LPUpdate(BoundPolicy):
    """An `LPUpdatePolicy` on the agents of a weakly coupled system with a budget."""

    costly = True

    def __init__(self, system: Any, policy: LPUpdatePolicy) -> None:
        helps = "Build a me.RestlessBandit or a me.WeaklyCoupledMDP(budget=...)."
        demand(
            "policy", system, WeaklyCoupledMDP, "plans need a budget, and agents with two actions each", helps
        )
        if lack := lacks(system, "lp"):
            raise Unsupported("policy", repr(policy), f"plans need {lack}", helps)
        super().__init__(system.spaces)
        self.bandit, self.which = together(bandit_of("system", system))
        self.budget, self.horizon = self.bandit.budget, policy.horizon
        self.kept: dict[bytes, Floats] = {}
        self._lock = threading.Lock()

    def programs(self, decisions: int) -> tuple[int, int]:
        states = self.bandit.n_states
        differ = math.prod(math.comb(n + states - 1, states - 1) for n in self.bandit.n_arms.tolist())
        return min(decisions, differ), 2 * self.bandit.n_types * states * self.horizon

    @cached_property
    def _program(self) -> Program:
        """Rows: arms now, balance of each step, budgets; only the first change."""
        bandit, steps = self.bandit, self.horizon
        r = relaxed(bandit)
        cells = bandit.n_types * bandit.n_states
        leave = sp.kron(sp.eye_array(cells), np.ones((1, 2)))
        arrive = sp.block_diag([k.transpose(2, 1, 0).reshape(bandit.n_states, -1) for k in bandit.kernels])
        flow = sp.kron(sp.eye_array(steps), leave) - sp.kron(sp.eye_array(steps, k=-1), arrive)
        budget = sp.kron(sp.eye_array(steps), np.tile([0.0, 1.0], cells)[None])
        rest = np.concatenate([np.zeros(steps * cells), np.full(steps, float(self.budget))])
        gain = np.tile(r.rewards.reshape(-1), (steps, 1))
        gain[-1] += np.einsum("tasu,tu->tsa", bandit.kernels, r.relative).reshape(-1)
        program = Program(rest, presolve=False)
        program.add(sp.csc_array(sp.vstack([flow, budget])), -gain.reshape(-1))
        return program

    def plan(self, counts: Ints) -> Floats:
        """(C,) arms to be served of each cell `type * S + state` when so many are there."""
        key = counts.tobytes()
        with self._lock:
            if key not in self.kept:
                self._program.reset(counts.astype(np.float64))
                found = self._program.solve()
                if found is None:
                    raise NoConvergence("the linear program of a plan stopped", None, np.inf)
                self.kept[key] = np.clip(found[0][1 : 2 * len(counts) : 2], 0.0, counts)
            return self.kept[key]

    def cells(self, states: Ints) -> Ints:
        """(T, N) cell of every agent."""
        return self.which * self.bandit.n_states + states

    def _counts(self, cells: Ints) -> Ints:
        """(T, C) agents in each cell."""
        size = self.bandit.n_types * self.bandit.n_states
        return np.stack([np.bincount(c, minlength=size) for c in cells]).astype(np.int64)

    def marginals(self, states: Ints) -> list[Floats]:
        """One array (T, 2) per agent: the plan of its cell, shared evenly among the agents there."""
        cells = self.cells(states)
        counts = self._counts(cells)
        plans = np.array([self.plan(n) for n in counts]) / np.maximum(counts, 1)
        p = np.take_along_axis(plans, cells, axis=1)
        return [np.stack([1.0 - x, x], axis=1) for x in p.T]

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        """One joint action (T, N) per row of local states (T, N): the plan rounded to the budget, at random."""
        cells, u, ties = self.cells(states), rng.random(len(states)), rng.random(states.shape)
        out = np.zeros_like(states)
        for row, (c, n) in enumerate(zip(cells, self._counts(cells), strict=True)):
            take = rounded(self.plan(n), self.budget, u[row : row + 1])[0]
            order = np.lexsort((ties[row], c))
            place = np.arange(len(c)) - (np.cumsum(n) - n)[c[order]]
            out[row, order] = place < take[c[order]]
        return out

    def table(self, states: Ints) -> sp.csr_array:
        """Probabilities (T, joint actions), sparse; see `support`."""
        row, actions, p = self.support(states)
        shape = len(states), self.spaces.joint_actions
        return sp.csr_array((p, (row, ravel(actions, self.spaces.n_actions))), shape=shape)

    def support(self, states: Ints) -> tuple[Ints, Ints, Floats]:
        """The laws of all local states (T, N) in a row: state (K,), actions (K, N), probability (K,).

        Raises
        ------
        TooLarge : more joint actions than fit.
        """
        rows, actions, chances = [], [], []
        cells = self.cells(states)
        for row, (c, n) in enumerate(zip(cells, self._counts(cells), strict=True)):
            law: dict[tuple[int, ...], float] = {}
            for take, chance in self._roundings(n):
                ways = math.prod(math.comb(int(a), int(b)) for a, b in zip(n, take, strict=True))
                if ways * self.spaces.n_agents * 64 > tol.BYTES // 64:
                    raise TooLarge("policy table", f"{about(ways)} joint actions of {len(c)} agents",
                                   f"{tol.BYTES / 64 / 64 / len(c):.3g}", AT_SCALE)  # fmt: skip
                each = (
                    itertools.combinations(np.flatnonzero(c == x), int(take[x])) for x in np.flatnonzero(n)
                )
                for chosen in itertools.product(*each):
                    action = np.zeros(len(c), dtype=np.int64)
                    action[[i for some in chosen for i in some]] = 1
                    law[tuple(action.tolist())] = law.get(tuple(action.tolist()), 0.0) + chance / ways
            rows += [row] * len(law)
            actions += sorted(law)
            chances += [law[a] for a in sorted(law)]
        return (
            np.array(rows),
            np.array(actions, dtype=np.int64).reshape(-1, states.shape[1]),
            np.array(chances),
        )

    def _roundings(self, counts: Ints) -> list[tuple[Ints, float]]:
        """All ways to round the plan at these counts, with their chances."""
        plan = self.plan(counts)
        ends = np.unique(np.concatenate([[0.0, 1.0], np.cumsum(_parts(plan)) % 1.0]))
        wide = np.diff(ends)
        keep = wide > _WHOLE
        return list(zip(rounded(plan, self.budget, (ends[:-1] + wide / 2)[keep]), wide[keep] / wide[keep].sum(),
                        strict=True))  # fmt: skip


def _parts(plan: Floats) -> Floats:
    """(C,) fractions of a plan, what is whole but for rounding being 0."""
    parts = plan - np.floor(plan + _WHOLE)
    return np.where(parts > _WHOLE, parts, 0.0)


def rounded(plan: Floats, budget: int, u: Floats) -> Ints:
    """Whole numbers (T, C) near the plan (C,) that sum to the budget, for uniform numbers u (T,); on average it."""
    parts = _parts(plan)
    whole = np.round(plan - parts).astype(np.int64)
    some = np.flatnonzero(parts)
    out = np.tile(whole, (len(u), 1))
    if len(some):
        ends = np.cumsum(parts[some])
        ends[-1] = budget - whole.sum()
        met = np.clip(np.floor(ends - u[:, None]) + 1.0, 0.0, ends[-1])
        out[:, some] += np.diff(met, axis=1, prepend=0.0).astype(np.int64)
    return out


class ArmsChain(AgentChain):
    """The arms of a bandit one by one, under a policy that plans."""

    def __repr__(self) -> str:
        return f"ArmsChain({self.system.n_agents:,} arms)"

    @property
    def exact(self) -> Any:
        """Refused: counts are enumerated under index policies alone."""
        rule = "counts are enumerated under index and uniform policies; under a plan arms are stepped"
        raise Unsupported("chain", repr(self), rule, "Use runs: me.compare, or method='simulate'; or a small "
                          "me.WeaklyCoupledMDP of the same arms.")  # fmt: skip


def spelled_out(bandit: RestlessBandit) -> WeaklyCoupledMDP:
    """Every arm an agent."""
    each = np.repeat(np.arange(bandit.n_types), bandit.n_arms)
    return WeaklyCoupledMDP(
        [bandit.kernels[t] for t in each], [bandit.rewards[t] for t in each], discount=bandit.discount,
        budget=bandit.budget,
    )  # fmt: skip


def arms_under(bandit: RestlessBandit, policy: LPUpdatePolicy) -> ArmsChain:
    """A bandit under a policy that plans."""
    system = spelled_out(bandit)
    return ArmsChain(system, system.bind(policy))
