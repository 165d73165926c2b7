"""The exact system of a small environment: by its own table, or by every action in every state from snapshots."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats
from .._progress import Progress, advance, reporting
from .._random import generator
from .._types import RNG, EnvironmentLike, EnvironmentPolicyLike, LocalState
from ..errors import InvalidInput, TooLarge, Unsupported
from ..model.mdp import JointChain, MultiAgentMDP
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..readers._gymnasium import from_gymnasium
from .face import Environment, face_of
from .local import LocalStates
from .policy import EnvironmentPolicy, policy_of
from .snapshot import Snapshots, Token, check_snapshot

State = tuple[int, ...]
Actions = tuple[int | None, ...]
#: The state after the last step of a task.
END: State = ()
#: Fewest resets that are looked at for first states; ways into a state that are compared with the first one.
_RESETS, _WAYS = 50, 5


class Outcome(NamedTuple):
    """What an action in a state brings: chances of next states, and the mean rewards."""

    after: dict[State, float]
    rewards: Floats


class Place(NamedTuple):
    """A state: where it was met, the chance of each joint action that is tried there."""

    token: Token
    actions: dict[Actions, float]


@reporting("tabulating")
def tabulate(
    env: EnvironmentLike,
    policy: EnvironmentPolicyLike = None,
    *,
    local_state: LocalState | None = None,
    agents: Sequence[str] | None = None,
    discount: float | None = None,
    n_states: Sequence[int] | None = None,
    n_actions: Sequence[int] | None = None,
    draws: int | None = None,
    most: int = 100_000,
    rng: RNG = 0,
    progress: Progress | bool | None = None,
) -> MultiAgentMDP | WeaklyCoupledMDP | JointChain:
    """The system of a small environment, for the exact questions.

    From the table of Gymnasium's toy-text environments, see `from_gymnasium`, where no `local_state` is given; else
    every action is tried in every joint local state that can be reached, from snapshots. Joint local states must say
    all that the next step depends on: where two ways into one are seen to differ, it is refused.

    Parameters
    ----------
    env, local_state, agents : see `diagnose`.
    policy : "uniform", or a function (observations, rng) that returns probabilities: the chain on the joint pairs that
        it reaches. None: the system with all actions, on the product of the local states.
    discount : gamma in [0, 1); None: everything but values.
    n_states, n_actions : of an environment with a table, how it splits into agents.
    draws : how often each action is drawn where next steps are random; laws are then frequencies, which `reading` says.
        None: a random step is refused.
    most : steps that may be made in all.
    rng : seed or numpy Generator.
    progress : see `analyze`.

    Returns
    -------
    MultiAgentMDP, with a policy JointChain. Rewards are local tables where each agent's depend on its own pair alone,
    else one reward of all.

    Raises
    ------
    InvalidInput : random next steps without `draws`, local states that hide something, a clock that cuts episodes.
    TooLarge : more than `most` steps, or a product of local states that does not fit.

    >>> import gymnasium, markov_entanglement as me
    >>> me.tabulate(gymnasium.make("FrozenLake-v1"), discount=0.9)
    MultiAgentMDP(1 agents, 16 joint states)
    """
    count = None if draws is None else _check.integer("draws", draws, low=2, high=10**6)
    limit = _check.integer("most", most, low=1, high=10**9)
    if local_state is None and policy is None and hasattr(getattr(env, "unwrapped", env), "P"):
        return from_gymnasium(env, n_states=n_states, n_actions=n_actions, discount=discount)
    if n_states is not None or n_actions is not None:
        rule = "they split the table of an environment, which this one lacks, or which is not used"
        raise InvalidInput("n_states, n_actions", "sizes", rule, "Leave them out, or local_state and policy.")
    face = face_of(env, agents)
    acts = None if policy is None else policy_of(policy, face)
    report = check_snapshot(face, rng=rng)
    if report.method is None:
        raise Unsupported("env", repr(face), report.sentence, "Give it get_state and set_state.")
    made = _Explorer(
        face, acts, LocalStates(face, local_state), Snapshots(face, report.method), count, limit, rng
    )
    made.explore()
    system = made.chain(discount) if acts is not None else made.system(discount)
    words = "every action tried in every joint state that was reached, from snapshots"
    if count is not None:
        words += f"; laws are frequencies of {count:,} draws each, and are known no better than these"
    if len(made.start) > 1:
        words += f"; first states come as often as in {made.resets:,} resets"
    object.__setattr__(system, "reading", words)
    return system


class _Explorer:
    """Finds the joint states that can be reached, and what each action brings there."""

    def __init__(
        self, face: Environment, policy: EnvironmentPolicy | None, local: LocalStates, snapshots: Snapshots,
        draws: int | None, most: int, rng: RNG,
    ) -> None:  # fmt: skip
        self.face, self.policy, self.local, self.snapshots = face, policy, local, snapshots
        self.draws, self.most, self.rng = draws, most, generator(rng)
        self.resets = max(_RESETS, draws or 0)
        self.places: dict[State, Place] = {}
        self.ways: dict[State, set[int]] = {}
        self.origin = 0
        self.others: deque[tuple[State, Place]] = deque()
        self.start: dict[State, float] = {}
        self.found: dict[tuple[State, Actions], Outcome] = {}
        self.todo: deque[State] = deque()
        self.steps, self.wide = 0, 1

    def explore(self) -> None:
        """From the first states on, as far as it goes."""
        for _ in range(self.resets):
            self.face.reset(int(self.rng.integers(2**31)))
            state = self._here()
            self.start[state] = self.start.get(state, 0.0) + 1.0 / self.resets
        while self.todo or self.others:
            while self.todo:
                state = self.todo.popleft()
                for actions in self.places[state].actions:
                    self.found[state, actions] = self._outcome(self.places[state].token, actions)
                advance(min(self.steps / self.most, 0.99))
            if self.others:
                self._compare(*self.others.popleft())

    def _here(self) -> State:
        """The state now, which is remembered when it is new; other ways into it are compared with the first later."""
        state = tuple(self.local.read(self.face))
        if state not in self.places:
            self.places[state] = Place(self.snapshots.take(), self._actions())
            self.todo.append(state)
        elif (
            self.draws is None
            and len(ways := self.ways.setdefault(state, set())) < _WAYS
            and self.origin not in ways
        ):
            ways.add(self.origin)
            self.others.append((state, Place(self.snapshots.take(), self._actions())))
        return state

    def _compare(self, state: State, other: Place) -> None:
        """Refuse a state whose next steps depend on how it was entered."""
        first = self.places[state]
        if first.actions != other.actions:
            raise self._hidden(state, "other actions are legal")
        for actions in first.actions:
            known, now = self.found[state, actions], self._step(other.token, actions)
            if now[0] not in known.after or not np.array_equal(now[1], known.rewards):
                self._outcome(first.token, actions, 16)  # refused where it is random
                raise self._hidden(state, f"action {self._shown(actions)} leads elsewhere")

    def _hidden(self, state: State, what: str) -> InvalidInput:
        names = ", ".join(n[s] for n, s in zip(self.local.labels, state, strict=True))
        rule = "joint local states say all that the next step depends on"
        got = f"({names}) entered in two ways, and {what}"
        return InvalidInput("local_state", got, rule, "Add what is hidden, e.g. a clock.")

    def _shown(self, actions: Actions) -> str:
        return str(tuple("-" if a is None else a for a in actions))

    def _actions(self) -> dict[Actions, float]:
        """The joint actions that are tried here, with their chances under the policy."""
        step = self.face.last
        assert step is not None
        laws = None if self.policy is None else self.policy.laws(step)
        if self.policy is not None and laws is None:
            rule, remedy = (
                "the chain needs the probabilities of actions",
                "Let the policy return these, or leave it out.",
            )
            raise InvalidInput("policy", self.policy.name, rule, remedy)
        each: list[list[tuple[int | None, float]]] = []
        for i, (here, mask) in enumerate(zip(step.present, step.masks, strict=True)):
            if not here:
                each.append([(None, 1.0)])
            elif laws is not None:
                law: Any = laws[i]
                each.append([(int(a), float(law[a])) for a in np.flatnonzero(law)])
            else:
                legal = np.arange(self.face.n_actions[i]) if mask is None else np.flatnonzero(mask)
                each.append([(int(a), 1.0) for a in legal])
        if (size := math.prod(map(len, each))) > self.most:
            raise TooLarge(
                "joint actions of one state", f"{size:,}", f"{self.most:,}", "Give a policy, or fewer agents."
            )
        return {tuple(a for a, _ in row): math.prod(p for _, p in row) for row in itertools.product(*each)}

    def _step(self, token: Token, actions: Actions) -> tuple[State, Floats]:
        """One step from a place, all random numbers new: the next state, and the rewards."""
        self.steps += 1
        if self.steps > self.most:
            got = f"more than {self.most:,} steps, {len(self.places):,} joint states so far"
            raise TooLarge(
                "env", got, f"{self.most:,} (most=)", "Take coarser local states, or a larger `most`."
            )
        self.origin = id(token)
        self.snapshots.restore(token, int(self.rng.integers(2**62)))
        step = self.face.step(actions)
        self.wide = len(step.rewards)
        if step.over and not step.ended:
            rule = "a table has no clock that cuts episodes"
            raise self.face.wrong(
                "an episode that is truncated", rule, "Make the environment without a time limit."
            )
        return (END, step.rewards) if step.over else (self._here(), step.rewards)

    def _outcome(self, token: Token, actions: Actions, often: int = 2) -> Outcome:
        tries = [self._step(token, actions) for _ in range(self.draws or often)]
        if self.draws is None and any(to != tries[0][0] or (paid != tries[0][1]).any() for to, paid in tries):
            rule = "the next step is random, and its law is not said"
            raise InvalidInput(
                "draws", "None", rule, "E.g. draws=1000: laws are then frequencies, and it is said so."
            )
        after: dict[State, float] = {}
        for to, _ in tries:
            after[to] = after.get(to, 0.0) + 1.0 / len(tries)
        return Outcome(after, np.mean([paid for _, paid in tries], axis=0))

    def _pairs(self, state: State, actions: Actions) -> tuple[int, ...]:
        """Local pairs of all agents."""
        both = zip(state, self.face.n_actions, actions, strict=True)
        return tuple(s * n + (0 if a is None else a) for s, n, a in both)

    @property
    def _labels(self) -> dict[str, Any]:
        return {"names": list(self.face.agents), "states": [list(n) for n in self.local.labels]}

    @property
    def _ends(self) -> bool:
        return any(END in o.after for o in self.found.values())

    def _local(self, sizes: Sequence[int]) -> list[Floats] | None:
        """Reward tables (m_i,) of agents whose rewards depend on their own pairs alone; None: some does not."""
        n = len(sizes)
        if self.wide != n:
            return None
        tables = [np.full(m, np.nan) for m in sizes]
        for (state, actions), outcome in self.found.items():
            for i, x in enumerate(self._pairs(state, actions)):
                known, now = tables[i][x], outcome.rewards[i]
                if not math.isnan(known) and known != now:
                    return None
                tables[i][x] = now
        return [np.nan_to_num(t) for t in tables]

    def chain(self, discount: float | None) -> JointChain:
        """The chain on the joint pairs that the policy reaches."""
        sizes = [len(n) * a for n, a in zip(self.local.names, self.face.n_actions, strict=True)]
        labels: dict[str, Any] = {"names": list(self.face.agents), "states": [list(_pair_names(n, a)) for n, a in
                  zip(self.local.labels, self.face.n_actions, strict=True)]}  # fmt: skip
        keys = list(self.found)
        index = {key: k for k, key in enumerate(keys)}
        first = {s: [(index[s, a], p) for a, p in self.places[s].actions.items()] for s in self.places}
        rows = [(k, y, p * q) for k, key in enumerate(keys) for s, p in self.found[key].after.items() if s != END
                for y, q in first[s]]  # fmt: skip
        pairs = [self._pairs(*key) for key in keys]
        more: dict[str, Any] = {}
        local = self._local(sizes)
        joint = np.array([o.rewards.sum() for o in self.found.values()])
        if self._ends:
            end = len(keys)
            rows += [
                (k, end, self.found[key].after[END])
                for k, key in enumerate(keys)
                if END in self.found[key].after
            ]
            rows.append((end, end, 1.0))
            pairs.append((sizes[0], *pairs[0][1:]))
            sizes[0] += 1
            labels["states"][0].append("ended")
            law = np.zeros(end + 1)
            for s, p in self.start.items():
                for y, q in first[s]:
                    law[y] += p * q
            more = {"terminal": np.arange(end + 1) == end, "restart": law}
            joint = np.append(joint, 0.0)
            local = None if local is None else [np.append(local[0], 0.0), *local[1:]]
        matrix = _matrix(rows, len(pairs))
        return JointChain.from_pairs(
            np.array(pairs), matrix, sizes=sizes, rewards=joint if local is None else local, discount=discount,
            labels=labels, normalize=True, **more,
        )  # fmt: skip

    def system(self, discount: float | None) -> MultiAgentMDP:
        """The system with all actions, on the product of the local states."""
        ends = self._ends
        names = [list(n) for n in self.local.labels]
        if ends:
            names[0].append("ended")
        states, actions = [len(n) for n in names], self.face.n_actions
        many, wide = math.prod(states), math.prod(actions)
        if many * wide * 8 > tol.BYTES // 64:
            got = f"{many:,} joint states x {wide:,} joint actions"
            limit = f"{tol.BYTES // 512:,} of both together"
            raise TooLarge(
                "product of local states", got, limit, "Give a policy: its chain has only what is reached."
            )
        strides = [math.prod(states[i + 1 :]) for i in range(len(states))]
        end = (len(names[0]) - 1) * strides[0]
        at = {s: sum(x * k for x, k in zip(s, strides, strict=True)) for s in self.places} | {END: end}
        home = at[max(self.start, key=lambda s: self.start[s])]
        entries: list[list[tuple[int, int, float]]] = [[] for _ in range(wide)]
        joint = np.zeros((many, wide))
        for (state, chosen), outcome in self.found.items():
            a = int(np.ravel_multi_index([0 if c is None else c for c in chosen], actions))
            entries[a] += [(at[state], at[to], p) for to, p in outcome.after.items()]
            joint[at[state], a] = outcome.rewards.sum()
        unmet = np.setdiff1d(np.arange(many), list(at.values()))
        entries[0] += [(int(s), home, 1.0) for s in unmet]  # nothing leads there
        matrices = [_matrix(rows, many) for rows in entries]
        more: dict[str, Any] = {}
        if ends:
            law = np.zeros(many)
            for s, p in self.start.items():
                law[at[s]] += p
            more = {"terminal": np.arange(many) // strides[0] == len(names[0]) - 1, "restart": law}
        local = self._local([len(n) * a for n, a in zip(names, actions, strict=True)])
        tables = None if local is None else [t.reshape(-1, a) for t, a in zip(local, actions, strict=True)]
        return MultiAgentMDP(
            matrices, joint if tables is None else tables, n_states=states, n_actions=actions, discount=discount,
            labels={"names": list(self.face.agents), "states": names}, normalize=True, **more,
        )  # fmt: skip


def _matrix(rows: list[tuple[int, int, float]], many: int) -> sp.csr_array:
    x, y, p = (np.array([row[k] for row in rows]) for k in range(3))
    return sp.csr_array((p, (x.astype(np.int64), y.astype(np.int64))), shape=(many, many))


def _pair_names(states: Sequence[str], actions: int) -> Iterator[str]:
    """Names of local pairs."""
    for s in states:
        yield from (f"{s}, {a}" if actions > 1 else s for a in range(actions))
