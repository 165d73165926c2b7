"""Somebody's simulator as a system: it can be stepped from any joint state, and nothing else is known of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._check import Bools, Floats, Ints, freeze
from .._types import ArrayLike, LabelsLike, RewardsLike, Sizes
from ..errors import InvalidInput, by, short
from .bound_policy import BoundPolicy
from .ends import one_state
from .limited import Limited
from .reading import Reading
from .resources import Resources, read
from .spaces import Labels, Spaces, about

#: What `step` returns: next states alone, or with rewards and ends.
Step = Callable[[Ints, Ints, np.random.Generator], Any]
Start = Callable[[int, np.random.Generator], ArrayLike]
_FORMS = "next states; (next states, rewards); or (next states, rewards, ended)"


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Simulator(Limited):
    """A simulator with resets: R joint states (R, N) and joint actions (R, N) in, R next joint states (R, N) out.

    What is asked of it is answered by runs (`analyze`, `certify`, `learn`, `compare`, `entanglement(..., "policy")`,
    `simulate`, `chunks`), under every policy that needs no laws.

    Parameters
    ----------
    step : `step(states, actions, rng)` on R copies side by side, integers (R, N) each. It returns the next states
        (R, N); or `(next states, rewards)`; or `(next states, rewards, ended)`. Rewards are (R, N), one of each agent,
        or (R, 1) or (R,), one of all together, or None; they may depend on the next states. `ended` (R,) bool: the task
        is over, values stop, and the next task begins at `start`, whatever the next state says. All randomness comes
        from `rng`; the same states, actions and rng must give the same answer. It is called by one thread at a time.
    n_states, n_actions : (N,) local states and actions of each agent.
    start : where runs, and tasks after an end, begin: one joint state (N,), several (n, N) that are alike likely, or
        `start(count, rng)` -> (count, N).
    rewards : one table per agent, (S_i, A_i), (S_i,) or (m_i,), or one joint array; only where `step` returns none.
        Rewards that `step` returns enter local values (Eq. 2) by their means at each local pair.
    discount : gamma in [0, 1); None: everything but values.
    budget, resources : which joint actions are feasible, see `WeaklyCoupledMDP`; None: all.
    labels : display names, see `Labels`.

    A simulator without actions has n_actions of ones, and needs no policy.

    Raises
    ------
    InvalidInput : malformed arguments. While it runs: a `step` or `start` that raises, or whose answer has another
        shape, states out of range, or numbers that are not finite.

    >>> import numpy as np, markov_entanglement as me
    >>> def step(states, actions, rng):
    ...     '''A machine that is repaired works; a working one fails the more often the more others have failed.'''
    ...     failed = (states == 0).mean(axis=1, keepdims=True)
    ...     works = np.where(actions == 1, 1, states * (rng.random(states.shape) > 0.1 + 0.4 * failed))
    ...     return works, works - 0.2 * actions
    >>> plant = me.Simulator(step, [2] * 5, [2] * 5, start=[1] * 5, budget=1, discount=0.9)
    >>> answer = me.analyze(plant, me.IndexPolicy([1, 0]), rng=0)
    >>> answer.verdict
    'do-not-add'

    Attributes
    ----------
    step, start : as given, fixed starts as an array (n, N).
    """

    step: Step
    start: Start | Ints
    only_steps = moves_itself = True

    def __init__(
        self,
        step: Step,
        n_states: Sizes,
        n_actions: Sizes,
        *,
        start: ArrayLike | Start,
        rewards: RewardsLike = None,
        discount: float | None = None,
        budget: int | None = None,
        resources: Sequence[object] | None = None,
        labels: LabelsLike = None,
    ) -> None:
        if not callable(step):
            raise InvalidInput.kind(
                "step", step, "a function (states, actions, rng) -> next states", "Pass it."
            )
        spaces = Spaces(_check.sizes("n_states", n_states), _check.sizes("n_actions", n_actions))
        named = Labels.of(labels, spaces)
        if budget is not None:
            budget = _check.integer("budget", budget, low=0, high=sum(a - 1 for a in spaces.n_actions))
        budget, each = read(resources, budget, spaces)
        limits = None if budget is None and not each else Resources(spaces, budget, each, [])
        own = {"budget": budget, "resources": each, "limits": limits, "step": step}
        first = start if callable(start) else freeze(_fixed(named.numbered("start", start), spaces))
        reading = Reading(None, "", False, labels)
        self._hold(spaces, named, None, rewards, discount, reading, start=first, **own)

    def __repr__(self) -> str:
        return f"Simulator({self.n_agents:,} agents, {about(self.spaces.joint_states)} joint states)"

    def bind(self, policy: Any) -> BoundPolicy:
        alone = policy is None and set(self.spaces.n_actions) == {1}
        return super().bind("uniform" if alone else policy)

    def _starts(self, initial: Any) -> tuple[Ints, Floats] | None:
        found = super()._starts(initial)
        if found is None and initial is not None:
            rule = f"it must be one joint state ({self.n_agents} local states)"
            raise InvalidInput(
                "initial", short(initial), rule, "Several belong in the `start` of the simulator."
            )
        return found

    def advance(
        self, states: Ints, actions: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Floats | None, Bools]:
        """One call of `step` at joint states and actions (R, N): next states (R, N), rewards (R, K) or None, and (R,)
        whether the task ended; where it did, nobody looks at the next state.

        Raises
        ------
        InvalidInput : what the function returns does not fit.
        """
        count = len(states)
        found = _called("step", lambda: self.step(states.copy(), actions.copy(), rng))
        parts = found if isinstance(found, tuple) else (found,)
        if not 1 <= len(parts) <= 3:
            raise InvalidInput("step", f"{len(parts)} parts", f"it returns {_FORMS}", "Mend the function.")
        after, paid, over = (*parts, None, None)[:3]
        over = np.zeros(count, dtype=np.bool_) if over is None else over
        ended: Bools = _of_shape("step", over, (count,), "b", "`ended` holds booleans")
        return self._states("step", after, count, ended), self._paid(paid, count), ended

    def begin(self, count: int, rng: np.random.Generator) -> Ints:
        """(R, N) first joint states of R tasks: drawn from the list `start`, or what the function `start` gives."""
        if isinstance(self.start, np.ndarray):
            return self.start[rng.integers(0, len(self.start), count)]
        make: Any = self.start
        return self._states(
            "start", _called("start", lambda: make(count, rng)), count, np.zeros(count, np.bool_)
        )

    def _states(self, name: str, value: Any, count: int, ended: Bools) -> Ints:
        """(R, N) joint states; those after an end are not looked at."""
        found = _of_shape(name, value, (count, self.n_agents), "iu", "states are whole numbers").astype(
            np.int64
        )
        outside = ((found < 0) | (found >= np.array(self.spaces.n_states))) & ~ended[:, None]
        if outside.any():
            r, i = (int(k) for k in np.argwhere(outside)[0])
            rule = f"it must lie in 0..{self.spaces.n_states[i] - 1}"
            raise InvalidInput(name, f"state {found[r, i]} of agent {i}", rule, "Mend the function.")
        return found

    def _paid(self, value: Any, count: int) -> Floats | None:
        """(R, N) or (R, 1) rewards."""
        if value is None:
            return None
        if self.rewards is not None:
            rule = "rewards are tables or what `step` returns"
            raise InvalidInput("rewards", "tables beside rewards of `step`", rule, "Give one of the two.")
        found = _array("step", value)
        found = found[:, None] if found.ndim == 1 else found
        if found.shape not in {(count, self.n_agents), (count, 1)} or found.dtype.kind not in "fiu":
            got, rule = (
                f"{found.dtype} rewards of shape {by(np.shape(value))}",
                f"{count}x{self.n_agents} or {count}",
            )
            raise InvalidInput("step", got, f"they must be numbers of shape {rule}", "Mend the function.")
        if not np.isfinite(found).all():
            raise InvalidInput(
                "step", "a reward that is NaN or infinite", "rewards are finite", "Mend the function."
            )
        return _check.amounts("step", found)


def _fixed(value: Any, spaces: Spaces) -> Ints:
    """(n, N) joint states."""
    shape = _check.shape_of("start", value)
    if shape == (spaces.n_agents,):
        return one_state("start", value, spaces)[None]
    if len(shape) != 2 or shape[1] != spaces.n_agents or not shape[0]:
        raise InvalidInput.shape("start", shape, ("n", spaces.n_agents))
    return np.stack([one_state(f"start[{k}]", state, spaces) for k, state in enumerate(value)])


def _called(name: str, work: Callable[[], Any]) -> Any:
    """What a user's function answers; whatever it raises, in words."""
    try:
        return work()
    except Exception as e:
        raise InvalidInput(name, f"{type(e).__name__}: {e}", "it must answer every joint state and action that occurs",
                           "Mend the function.") from e  # fmt: skip


def _array(name: str, value: Any) -> Any:
    try:
        return np.asarray(value)
    except ValueError:
        raise InvalidInput(name, "a ragged list", "it returns arrays", "Mend the function.") from None


def _of_shape(name: str, value: Any, shape: tuple[int, ...], kinds: str, words: str) -> Any:
    """An array of that shape whose type is of these kinds."""
    found = _array(name, value)
    if found.shape != shape or found.dtype.kind not in kinds:
        got = f"{found.dtype} of shape {by(found.shape)}"
        raise InvalidInput(name, got, f"{words} of shape {by(shape)}", "Mend the function.")
    return found
