"""What deciding by a candidate costs, by samples: states of the long run, feasible actions there, rollouts from both.

`loss(s) = max_a Q(s, a) - Q(s, a_D)`, `a_D` a maximiser of D over the feasible actions (ties averaged). Rollouts from
the same state share their random numbers, action by action, where moves read them by position, so that agents which an
action does not touch cancel. They are two halves:

- *lower limit*: the action that one half likes best is judged by the other, which knows nothing of the choice;
- *upper limit*: the largest of noisy means is at least `max_a Q` in expectation. It needs every feasible action; where
  only some are looked at there is none, and the loss is *at least* so much.

After k steps the rest is left out: rewards are bounded, so Q of two actions differ by at most
`gamma^k span / (1 - gamma)` more, by which the limits move out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._interval import t_interval
from .._json import plain
from .._random import children
from .._work import in_threads
from ..errors import Unsupported
from ..report import tabulate
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table
from .engine import Control

if TYPE_CHECKING:
    from .agents import AgentRuns

#: Feasible actions that are all judged; that are listed, so that the best by D is known; rollouts of one, at most.
_JUDGED, LISTED, _ROLLOUTS = 64, 4096, 400
#: Steps of a rollout at most, and numbers of the joint states of one batch of them.
_LONGEST, _BATCH = 2000, 2**18


@dataclass(frozen=True, eq=False, repr=False)
class DecisionEstimate(Result):
    """What choosing by a candidate costs, with 95 % limits.

    Attributes
    ----------
    loss : (low, high) of `E_nu[max_a Q(s, a) - Q(s, a_D)]`, reward units. `high` is inf where not every feasible action
        was looked at: the loss is at least `low`.
    right : (low, high) share of the sampled states where the choice is told to be a best one; the rest up to `high`
        cannot be told. `high` is below 1 where choices are told to be wrong.
    excluded : share of the sampled states without a value for some feasible action.
    complete : whether every feasible action was looked at.
    states : number of sampled states; actions : feasible actions judged in each, on average.
    steps : k of the rollouts; rollouts : how many from each action, on average.
    """

    loss: tuple[float, float]
    right: tuple[float, float]
    excluded: float
    complete: bool
    states: int
    actions: float
    steps: int
    rollouts: float

    @property
    def estimator(self) -> str:
        """How the numbers were obtained, in words."""
        which = "all" if self.complete else "some"
        return (
            f"{self.rollouts:.3g} rollouts of {self.steps:,} steps from each of {self.actions:.3g} feasible actions "
            f"({which}) in {self.states:,} states of the long run"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        names = ("estimator", *self.__dataclass_fields__)
        return {name: plain(getattr(self, name)) for name in names}

    @property
    def sentence(self) -> str:
        """What a choice by the candidate costs."""
        low, high = self.loss
        cost = f"{low:.4g} to {high:.4g}" if self.complete else f"at least {low:.4g}"
        among = "" if self.complete else ", among the actions looked at"
        right, wrong = self.right[0], 1.0 - self.right[1]
        rest = "" if right + wrong >= 1.0 else f", {percent(1.0 - right - wrong)} cannot be told"
        return (
            f"Choosing by it costs {cost} (reward units), with 95 % confidence; of {self.states:,} sampled states the "
            f"choice is right in {percent(right)} and wrong in {percent(wrong)}{among}{rest}."
        )

    def _brief(self) -> str:
        return f"loss in [{self.loss[0]:.4g}, {self.loss[1]:.4g}], {self.states:,} states"

    def rows(self) -> list[tuple[Any, ...]]:
        """Its rows in a table of numbers."""
        limits = {"loss": plain(list(self.loss)), "right": list(self.right)}
        return tabulate.of("decision", {"excluded": self.excluded, "intervals": limits})

    def _tables(self) -> Iterator[Table]:
        yield tabulate.numbers(self.rows())


class Options(NamedTuple):
    """Feasible actions of one state."""

    actions: Ints  # (A, N) of agents, or (A, C) served counts
    chosen: Floats  # (A,) chances with which D chooses them
    complete: bool  # whether they are all


class Plan(NamedTuple):
    """How much is spent, known beforehand."""

    most: int  # actions of a state
    k: int
    budget: float  # steps of one state
    tail: float  # by how much more Q of two actions may differ

    @classmethod
    def of(cls, states: int, budget: float, gamma: float, agents: int, span: float) -> Plan:
        """Rollouts until what is left is a hundredth of what one agent can change, in so many steps over all states."""
        k = 1
        if gamma > 0:
            k = min(_LONGEST, max(1, math.ceil(math.log(0.01 * (1.0 - gamma) / agents) / math.log(gamma))))
        each = budget / states
        return cls(int(np.clip(each / (4 * k), 3, _JUDGED)), k, each, gamma**k * span / (1.0 - gamma))

    def rollouts(self, actions: int) -> int:
        """Rollouts of each half from each of so many actions."""
        return int(np.clip(self.budget / (2 * self.k * actions), 2, _ROLLOUTS))


class Judged(NamedTuple):
    """What was found in one state."""

    low: float  # unbiased for at most the loss
    high: float  # unbiased for at least the loss
    widest: float  # largest difference between two actions
    right: float  # chance of a choice that is told to be a best one
    wrong: float  # of one that another action is told to be better than


def judged(y: Floats, chosen: Floats) -> Judged:
    """From rollouts y (2, R, A) of each action in two halves."""
    mean = y.mean(axis=1)
    by = mean @ chosen
    best = mean.argmax(axis=1)
    low = 0.5 * float(mean[1, best[0]] - by[1] + mean[0, best[1]] - by[0])
    whole = mean.mean(axis=0)
    flat, right, wrong = y.reshape(-1, y.shape[2]), 0.0, 0.0
    r, noise = len(flat), tol.SOLVE * float(np.abs(y).max())
    t = stdtrit(r - 1, 1.0 - 0.05 / y.shape[2]) / math.sqrt(r)
    for a in np.flatnonzero(chosen):
        gain = flat - flat[:, [a]]
        middle, half = gain.mean(axis=0), t * gain.std(axis=0, ddof=1)
        right += chosen[a] * bool((middle + half <= noise).all())
        wrong += chosen[a] * bool((middle - half > noise).any())
    return Judged(low, float(whole.max() - whole @ chosen), float(np.ptp(whole)), float(right), float(wrong))


def listed(d: Floats, many: Floats, most: int, rng: np.random.Generator) -> tuple[Ints, Floats, bool]:
    """Of all feasible actions of values d (A,), each standing for `many`: those that are judged, the chances that D
    chooses them, and whether they are all."""
    top = d >= d.max() - tol.TIE * float(np.abs(d).max())
    weight = np.where(top, many, 0.0)
    kept = np.arange(len(d))
    if len(d) > most:
        order = np.argsort(-d, kind="stable")
        near = max(1, most // 2)
        kept = np.concatenate([order[:near], rng.choice(order[near:], most - near, replace=False)])
    return kept, weight[kept] / weight[kept].sum(), len(kept) == len(d)


def estimate(
    states: Ints, runs: int, plan: Plan, choose: Callable[[Any, Any], Options | None],
    roll: Callable[[Any, Options, int, Any], Floats], rng: Any, workers: int | None = None,
) -> DecisionEstimate:  # fmt: skip
    """Judge the choice in every state, those of one run in a row; `choose` gives None where D has no value,
    `roll` gives y (2, R, A)."""

    def one(cell: tuple[int, np.random.Generator]) -> tuple[Judged, Options, int] | None:
        s, child = cell
        options = choose(states[s], child)
        if options is None:
            return None
        r = plan.rollouts(len(options.actions))
        return judged(roll(states[s], options, r, child), options.chosen), options, r

    found = in_threads(one, list(enumerate(children(rng, len(states)))), workers)
    block = [s * runs // len(states) for s, f in enumerate(found) if f is not None]
    told = [f for f in found if f is not None]
    if len(set(block)) < 2:
        got = f"{len(told)} of {len(states)} states in which every feasible action has a value"
        raise Unsupported("decisions", got, "a choice needs them all", "Give values for all local pairs.")
    limits = np.array([f[0][:2] for f in told])
    at = np.unique(block)
    means = np.stack([limits[np.array(block) == b].mean(axis=0) for b in at])
    mean, _, half = t_interval(means)
    complete = all(f[1].complete for f in told)
    right, wrong = (float(np.mean([getattr(f[0], name) for f in told])) for name in ("right", "wrong"))
    rare = 0.0
    if sum(f[0].wrong > 0 for f in told) < 10:
        rare = 3.0 / len(told) * max(f[0].widest for f in told)
    low = max(float(mean[0] - half[0]) - plan.tail, 0.0)
    high = max(float(mean[1] + half[1]), low) + plan.tail + rare
    return DecisionEstimate(
        loss=(low, high if complete else math.inf),
        right=(right if complete else 0.0, 1.0 - wrong),
        excluded=1.0 - len(told) / len(states),
        complete=complete,
        states=len(told),
        actions=float(np.mean([len(f[1].actions) for f in told])),
        steps=plan.k,
        rollouts=float(np.mean([2 * f[2] for f in told])),
    )


def spread(states: Ints, count: int) -> Ints:
    """About `count` of the states (B, m, ...), as many of each run, as far apart as can be; those of a run in a row."""
    each = min(states.shape[1], -(-count // len(states)))
    at = np.linspace(0, states.shape[1] - 1, each).astype(np.int64)
    return np.asarray(states[:, at].reshape(-1, *states.shape[2:]))


def of_agents(
    runs: AgentRuns, given: Any, states: Ints, blocks: int, budget: float, rng: Any
) -> DecisionEstimate:
    """The decision loss in joint states (n, N) of agents, in at most about so many steps."""
    system, gamma = runs.system, runs.discount
    assert gamma is not None
    if system.spaces.joint_actions == 1:
        rule = "a choice needs two actions"
        raise Unsupported("decisions", "a system with one joint action", rule, "Leave decisions=0.")
    if system.rewards is None or system.rewards.called is not None:
        rule = "how far rewards may still go after the last step must be known"
        raise Unsupported(
            "decisions",
            "rewards that are known where they are paid",
            rule,
            "Give the system rewards= as tables.",
        )
    lacking = () if system.limits is None else system.limits.lacking
    span = system.rewards.span(system.ends is not None, lacking)
    plan = Plan.of(len(states), budget, gamma, system.n_agents, span)
    zero = Control(
        [np.zeros(s) for s in system.spaces.n_states], [np.zeros(m) for m in system.spaces.pair_sizes]
    )

    def roll(state: Ints, options: Options, r: int, child: np.random.Generator) -> Floats:
        many, found = len(options.actions), []
        size = max(1, _BATCH // (many * len(state)))
        for part in [min(size, r - lo) for lo in range(0, r, size)]:
            actions, same = np.tile(options.actions, (part, 1)), np.repeat(np.arange(part) * many, many)
            there, steps = np.tile(state, (len(actions), 1)), (plan.k,)
            y = runs.rollouts(
                there, actions, steps, gamma, lambda x: np.zeros(len(x)), zero, child, same
            ).plain
            found.append(y[:, :, 0].reshape(part, many, 2))
        return np.moveaxis(np.concatenate(found), 2, 0)

    workers = None if runs.engine.remembered is None else 1  # they would share what it learns of the policy
    return estimate(
        states, blocks, plan, lambda s, child: _options(runs, given, s, plan.most, child), roll, rng, workers
    )


def _options(runs: AgentRuns, given: Any, state: Ints, most: int, rng: np.random.Generator) -> Options | None:
    """What the candidate chooses in one joint state (N,), and what else to look at; None: it has no value there."""
    system, spaces = runs.system, runs.system.spaces
    limits = system.limits
    few = spaces.joint_actions <= LISTED or (
        limits is not None and limits.count <= LISTED and spaces.joint_actions < 2**62
    )
    if few:
        actions = spaces.actions_at(system.feasible(state[None]).indices.astype(np.int64))
        d = given.of_pairs(spaces.local_pairs(np.tile(state, (len(actions), 1)), actions))
        if np.isnan(d).any():
            return None
        kept, chosen, complete = listed(d, np.ones(len(d)), most, rng)
        return Options(actions[kept], chosen, complete)
    if not given.additive or not (system.ranked or limits is None):
        rule = f"the best of more than {LISTED:,} feasible actions is known for sums of local values on a budget alone"
        raise Unsupported("decisions", "a choice among them", rule, "Leave decisions=0.")
    n = np.array(spaces.n_actions)
    rows = np.full((len(n), n.max()), -math.inf)
    for i, q in enumerate(given.tables):
        rows[i, : n[i]] = q.reshape(-1, n[i])[state[i]]
    if np.isnan(rows).any():
        return None
    gain = rows[:, 1] - rows[:, 0] if system.ranked else rows - rows.max(axis=1, keepdims=True)
    best, others = _served(gain, system.budget or 0, most, rng) if system.ranked else _apart(gain, most)
    assert runs.policy is not None
    own = runs.policy.sample(state[None], rng)
    return Options(np.concatenate([best[None], own, others]), np.eye(len(others) + 2)[0], False)


def _served(gain: Floats, budget: int, most: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """The agents of largest gain are served, ties at random; beside them swaps of one served and one other agent, the
    least costly first, and services at random."""
    order = np.lexsort((rng.random(len(gain)), -gain))
    best = np.zeros(len(gain), dtype=np.int64)
    best[order[:budget]] = 1
    wide = max(1, math.isqrt(most))
    out, into = (x.ravel() for x in np.meshgrid(order[:budget][::-1][:wide], order[budget:][:wide]))
    near = np.argsort(gain[out] - gain[into], kind="stable")[: most // 2]
    swapped = np.tile(best, (len(near), 1))
    swapped[np.arange(len(near)), out[near]], swapped[np.arange(len(near)), into[near]] = 0, 1
    free = np.stack([rng.permutation(best) for _ in range(max(1, most - 2 - len(near)))])
    return best, np.concatenate([swapped, free])


def _apart(gain: Floats, most: int) -> tuple[Ints, Ints]:
    """Every agent its own best action (N, A); beside it the second best of one agent, the least costly first."""
    best = gain.argmax(axis=1).astype(np.int64)
    rest = gain.copy()
    rest[np.arange(len(best)), best] = -math.inf
    near = np.argsort(-rest.max(axis=1), kind="stable")[: max(1, most - 2)]
    near = near[np.isfinite(rest.max(axis=1)[near])]
    others = np.tile(best, (len(near), 1))
    others[np.arange(len(near)), near] = rest.argmax(axis=1)[near]
    return best, others
