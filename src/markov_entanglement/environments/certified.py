"""Certificate of a network on its own environment: how wrong its values are, and whether training or a sum is at fault.

Starts are steps of independent runs of the network's own play; from snapshots of each two independent rollouts, as in
`runs/certify.py`, whose brackets, floor and decisions these are. Where agents may see everything, a second floor is
found from the same starts: what the best sums of `f_i(state, a_i)` miss, by further rollouts with other actions
(`runs/floor.py`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from .._interval import jackknife
from .._progress import Progress, advance, reporting
from .._random import generator, seed_of, stream
from .._types import RNG, EnvironmentLike, LocalState
from ..errors import InvalidInput, Unsupported
from ..laws.source import Unit
from ..markov.chain import one_hot
from ..runs.candidate import Given
from ..runs.certify import Certified, SimulatedCertificate, answered, brackets
from ..runs.decisions import LISTED, DecisionEstimate, Options, Plan, estimate, listed
from ..runs.errors import ErrorEstimate
from ..runs.floor import Floor, Sample, excess_of, floor_of, given_state
from .face import face_of, leaves
from .local import LocalStates
from .network_certificate import NetworkCertificate, ratio_of
from .network_policy import Actions, Actor, View
from .network_runs import Play, Start
from .snapshot import Snapshots, check_snapshot
from .values import LONGEST, Network, NetworkLike, network_of

#: Independent runs.
_RUNS = 10
#: What rollouts without a horizon may leave unknown.
_FAR = 0.02
#: Starts of the smallest certificate, and how many times a joint observation is met before it tells who sees what.
_LEAST, _MET = 100, 2.0


class Agents(NamedTuple):
    """Names of agents and of what they were seen at."""

    units: Sequence[Unit]

    def local_names(self, u: int) -> tuple[Sequence[str], Sequence[str]]:
        """Of local pairs, in the order in which they were met."""
        return [f"pair {j}" for j in range(self.units[u].size)], ["any"]


@reporting("certifying")
def certify_network(
    network: NetworkLike,
    env: EnvironmentLike,
    *,
    rng: RNG,
    epsilon: float = 0.0,
    discount: float | None = None,
    horizon: int | None = None,
    local_state: LocalState | None = None,
    sees: str | None = None,
    agents: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    starts: int = 400,
    decisions: int = 10,
    margin: float = 0.1,
    tolerance: float = 0.05,
    progress: Progress | bool | None = None,
) -> NetworkCertificate:
    """How wrong a trained network's values are on its own environment: is it its training, or that it adds up?

    The candidate is `D = sum_i Q_i(o_i, a_i)`, or what the network's mixer makes of these, at steps of its own play; Q
    counts the rewards of all agents from there on. Two-sided limits of the error, what the best sums of values miss,
    and what choosing by the network costs.

    Parameters
    ----------
    network : a `me.Network` (`me.read_pymarl`, `me.read_mlp`, `me.torch_network`), an object with
        `values(observations, hidden) -> (N, A), hidden`, or a function from observations (N,) to (N, A).
    env : a PettingZoo or Gymnasium environment, or another of their styles, whose snapshots are faithful.
    rng : seed or numpy Generator.
    epsilon : chance with which each agent takes any legal action instead of its best, in 0..1; 1: all at random.
    discount : gamma in [0, 1); None takes the network's.
    horizon : steps after which an episode ends and values stop. None: the game without its clock, as networks learn it
        that bootstrap through a time limit (the network's own horizon, where it does not).
    local_state : see `diagnose`; adds the floor over local pairs.
    sees : "everything", where each agent's observation tells all that the others' do, or "own"; None: told from the
        observations met, where they come back.
    agents : names, where the environment has none.
    steps : numbers of steps k; None: 1, 4, 16 and as many as leave at most 2 % unknown, or the horizon.
    starts : stationary starts in all, 100..10^7, two rollouts each and about two more.
    decisions : starts at which choices by the network are judged, 0..100,000; 0: none.
    margin : share of the error that the best sum may avoid where its form is said to be at fault, in 0..0.5.
    tolerance : share of the size of Q within which values count as right, in 0..1.
    progress : see `analyze`.

    Returns
    -------
    NetworkCertificate : `.verdict`, `.error`, `.floors`, `.certificate` with limits for each k and the decision loss.

    Raises
    ------
    InvalidInput : a network that does not fit the environment, no discount, an episode beyond the horizon, or cut where
        no horizon is given.
    Unsupported : no snapshot of the environment is faithful.

    >>> import gymnasium, numpy as np, markov_entanglement as me
    >>> lake = gymnasium.make("FrozenLake-v1")
    >>> found = me.certify_network(
    ...     lambda observations: np.ones((1, 4)), lake, epsilon=1.0, discount=0.9, horizon=100, starts=100, rng=0
    ... )
    >>> low, high = found.error
    >>> bool(0.9 < low < high < 1.1)  # it says 1 everywhere; play at random is worth next to nothing
    True
    """
    net, face = network_of(network), face_of(env, agents)
    chance = _share("epsilon", epsilon, 1.0)
    gamma = net.discount if discount is None else _check.discount(discount)
    if gamma is None:
        raise InvalidInput(
            "discount", "None", "values are sums with discount", "Pass discount=, as in training."
        )
    if horizon is None and not net.through:
        horizon = net.horizon
    if horizon is not None:
        horizon = _check.integer("horizon", horizon, low=1, high=LONGEST)
    if sees is not None:
        _check.choice("sees", sees, ("everything", "own"))
    count = _check.integer("starts", starts, low=_LEAST, high=tol.MOST_STARTS)
    states = _check.integer("decisions", decisions, low=0, high=100_000)
    edge, right = _share("margin", margin, 0.5), _share("tolerance", tolerance, 1.0)
    random = generator(rng)
    checked = check_snapshot(env, agents=agents, rng=random)
    if checked.method is None:
        rule, remedy = "errors are found by going on twice from one state", "Give it get_state and set_state."
        raise Unsupported("env", checked.reason, rule, remedy)
    local = None if local_state is None else LocalStates(face, local_state)
    actor, known = Actor(net, face.n_actions, chance), _known(net)
    play = Play(
        face, Snapshots(face, checked.method), actor, gamma, horizon, actor.value if known else _zero, local,
        net.pay, net.reward_units if known and net.reward_units else (0.0, 1.0),
    )  # fmt: skip
    longest = horizon or max(1, math.ceil(math.log(_FAR) / math.log(play.shrink(0)))) if gamma else 1
    ks = sorted({*(k for k in (1, 4, 16) if k < longest), longest}) if steps is None else _check_steps(steps)
    given = face.given
    try:
        met = _meet(play, ks, -(-count // _RUNS), states, seed_of(random))
        return _told(play, met, ks, states, random, edge, right, sees, f"snapshots by {checked.method}")
    finally:
        face.given = given


def _share(name: str, value: Any, most: float) -> float:
    found = _check.number(name, value)
    if not 0.0 <= found <= most:
        raise InvalidInput.range(name, value, 0, most)
    return found


def _check_steps(steps: Any) -> list[int]:
    from ..values.certificate import steps_of

    return steps_of(steps)


def _known(net: Network) -> bool:
    """Whether its values are in units of rewards."""
    return net.reward_units is None or all(map(math.isfinite, net.reward_units))


def _zero(view: View, actions: Actions) -> float:
    return 0.0


class Met(NamedTuple):
    """What was found at all starts, run by run."""

    g: Floats  # (B, m, 2, K) of `T^k D - D`
    value: Floats  # (B, m) D
    said: Floats  # (B, m) what the network says, in whatever units
    alone: Floats  # (B, m) the sum of its values, in the same
    mixed: (
        Floats | None
    )  # (B, c, N + 1) with other actions, at the first c starts of a run; None: there are none
    less: Floats  # (B, c, N + 2) the sum of its values at the start's action, and at those
    own: Ints  # (B m, N) observation and action of each agent, numbered as met
    joint: list[list[int]]  # (N + 1, B m) numbers of the observations of each agent, and of all
    local: Ints | None  # (B m, N) local state and action
    judged: list[Start]


def _meet(play: Play, ks: list[int], each: int, states: int, seed: int) -> Met:
    """All starts of all runs, their rollouts, and what is seen there."""
    mean = play.length(stream(seed, 0))
    n = len(play.face.agents)
    few = each if n == 1 else max(2, min(each, -(-2 * each // (n + 1))))
    shape = _RUNS, each
    g, value, said, alone = np.empty((*shape, 2, len(ks))), np.empty(shape), np.empty(shape), np.empty(shape)
    mixes = play.actor.epsilon > 0.0 and n > 1
    mixed, less = np.zeros((_RUNS, few, n + 1)), np.zeros((_RUNS, few, n + 2))
    numbers: list[dict[Hashable, int]] = [{} for _ in range(2 * n + n + 1)]
    own, local = np.zeros((_RUNS * each, n), np.int64), np.zeros((_RUNS * each, n), np.int64)
    joint: list[list[int]] = [[] for _ in range(n + 1)]
    judged: list[Start] = []
    kept = 0 if not states else min(each, -(-states // _RUNS))
    for b in range(_RUNS):
        run = list(play.starts(each, mean, stream(seed, 1, b)))
        judged += [run[j] for j in np.linspace(0, each - 1, kept).astype(int)]
        for j, start in enumerate(run):
            rng = stream(seed, 2, b, j)
            seeds = [int(s) for s in rng.integers(2**31, size=n + 3)]
            view, actions = start.view, start.actions
            value[b, j], said[b, j] = play.worth(view, actions), play.actor.value(view, actions)
            alone[b, j] = play.actor.alone(view, actions).sum()
            for r in range(2):
                g[b, j, r] = play.roll(start, actions, ks, seeds[r], rng)
            if mixes and j < few:
                others = _others(play.actor.act(view, rng), actions)
                mixed[b, j] = [
                    play.roll(start, a, ks[-1:], s, rng)[0] for a, s in zip(others, seeds[2:], strict=True)
                ]
                less[b, j] = [play.actor.alone(view, a).sum() for a in (actions, *others)]
            keys = [_key(x) for x in view.seen]
            row = b * each + j
            for i, key in enumerate(keys):
                own[row, i] = _number(numbers[i], (key, actions[i]))
                joint[i].append(_number(numbers[2 * n + i], key))
                if start.local is not None:
                    local[row, i] = _number(numbers[n + i], (start.local[i], actions[i]))
            joint[n].append(_number(numbers[3 * n], tuple(keys)))
        advance((b + 1) / _RUNS)
    g -= value[..., None, None]
    return Met(
        g, value, said, alone, mixed if mixes else None, less, own, joint,
        local if play.local is not None else None, judged,
    )  # fmt: skip


def _others(fresh: Actions, actions: Actions) -> list[Actions]:
    """Fresh joint actions with the one of agent i as it was, for each i, and all of them fresh."""
    return [*((*fresh[:i], a, *fresh[i + 1 :]) for i, a in enumerate(actions)), fresh]


def _number(numbers: dict[Hashable, int], key: Hashable) -> int:
    return numbers.setdefault(key, len(numbers))


def _key(seen: Any) -> Hashable:
    """An observation as something that can be compared."""
    return None if seen is None else tuple((a.shape, a.dtype.str, a.tobytes()) for a in leaves(seen))


def _told(
    play: Play, met: Met, ks: list[int], states: int, rng: np.random.Generator, margin: float, tolerance: float,
    sees: str | None, snapshots: str,
) -> NetworkCertificate:  # fmt: skip
    """The certificate from what was met."""
    net, caution = play.actor.network, ""
    names = Agents([Unit(a, int(m) + 1) for a, m in zip(play.face.agents, met.own.max(axis=0), strict=True)])
    tables = [np.full(u.size, math.nan) for u in names.units]
    given = Given(tables, 0.0, lambda _: met.value, None)
    estimates: dict[int, ErrorEstimate] = {}
    ratios: dict[int, float] = {}
    for j, k in enumerate(ks):
        g = met.g[..., j : j + 1]
        e, r = brackets(names, given, [k], play.shrink(k), g, g, met.value, "none", caution)
        estimates, ratios = estimates | e, ratios | r
    k = ks[-1]
    far = play.shrink(k) ** k
    last = met.g[..., -1]
    inside = not _known(net) or (net.combined != "mixer" and not net.recurrent)
    own = _sample(last, met.value, met.own, inside)

    def judge(count: int, budget: float, child: np.random.Generator) -> DecisionEstimate:
        return _decided(play, met.judged, k, far, budget, child)

    got = Certified(estimates, ratios, own, None, judge)
    found = answered(play.gamma, got, "none", states, 2.0 * own.value.size * k, rng)
    floors: dict[str, Floor] = {}
    if met.mixed is None:
        none = "one joint action in each state" if play.actor.epsilon == 0.0 else "one agent"
        beyond = far / (1.0 - far) * found.estimates[k].error_l2_interval[1]
        floors["actions given the state"] = Floor(
            0.0, beyond, f"{none}: any function of the state is such a sum"
        )
    else:
        few = met.mixed.shape[1]
        pair = (last + met.value[..., None])[:, :few]
        less = met.less * (0.0 if not _known(net) else _weight(net, play))
        floors["actions given the state"] = given_state(
            pair - less[..., :1], met.mixed - less[..., 1:], last, far
        )
    floors["own observations"] = Floor(*found.floor, found.floor_note)
    if met.local is not None:
        floors["local pairs"] = floor_of(_sample(last, met.value, met.local, False), far)
    seen = _sees(met, sees)
    excess = (
        excess_of(own, far)
        if inside and not (sees == "everything" and _sees(met, None)[1])
        else (0.0, math.inf)
    )
    return _answer(play, met, found, floors, excess, seen, far, margin, tolerance, snapshots)


def _weight(net: Network, play: Play) -> float:
    """What the sum of its values is multiplied by; any number leaves the floor as it is."""
    return 1.0 / len(play.face.agents) if net.combined == "mean" else 1.0


def _sample(g: Floats, value: Floats, pairs: Ints, additive: bool) -> Sample:
    """The sample of starts at numbered pairs (B m, N) of each agent."""
    x = one_hot(pairs, [int(m) + 1 for m in pairs.max(axis=0)])
    return Sample(g, value, x, np.zeros((len(pairs), 0)), pairs.shape[1], additive)


def _sees(met: Met, told: str | None) -> tuple[str, str]:
    """What agents see, and why it cannot be told, or ""."""
    *each, whole = (len(set(j)) for j in met.joint)
    least = int(np.argmin(each))
    if len(met.joint[-1]) < _MET * whole:
        return told or "own", "" if told else (
            "Observations hardly come back, so that it cannot be told whether each agent sees everything: "
            "pass sees='everything' if it does"
        )
    if told == "everything" and each[least] < whole:
        rule = f"agent {least} saw {each[least]:,} things where all together saw {whole:,}"
        raise InvalidInput("sees", "'everything'", rule, "Leave it out.")
    return told or ("everything" if each[least] == whole else "own"), ""


def _answer(
    play: Play, met: Met, found: SimulatedCertificate, floors: dict[str, Floor], excess: tuple[float, float],
    seen: tuple[str, str], far: float, margin: float, tolerance: float, snapshots: str,
) -> NetworkCertificate:  # fmt: skip
    net, k = play.actor.network, max(found.l2)
    everything, error = seen[0] == "everything", found.l2[k]
    state, own = floors["actions given the state"], floors["own observations"]
    unlike = net.recurrent or (
        everything and own.note != ""
    )  # what is read is more than an observation that comes back
    low = max(state.low, 0.0 if unlike else own.low)
    high = min(own.high, state.high if everything else math.inf)
    if _known(net) and net.combined != "mixer":
        high = min(high, error[1])
    floor = min(low, high), max(low, high)
    ratio, free = ratio_of(error, floor, excess), None
    notes = [seen[1]] if seen[1] and net.combined != "mixer" else []
    relative = found.estimates[k].relative_error_interval[1]
    verdict = "right" if relative <= tolerance else ratio.verdict(margin)
    if not _known(net):
        free, verdict, ratio = _scale_free(met, far), "cannot tell", ratio._replace(low=0.0, high=1.0)
        if play.longest > 1:
            notes.append(
                f"Episodes last up to {play.longest:,} steps, so that a mean taken off the rewards shifts values by "
                "the time that is left: even a + b D is no fair judge"
            )
        notes.append("Train with standardise_rewards=False, or pass reward_mean= and reward_std=")
    elif found.caution:
        verdict = "cannot tell"
    elif net.combined == "mixer" and verdict != "right":
        verdict = "mixer" if error[1] < floor[0] else "cannot tell"
        if verdict == "cannot tell":
            notes.append("A mixer may err less than the best sum, and how much less is not known")
    if net.combined == "mixer":
        notes.append(
            "What is judged is what the mixer makes of its agents' values, which is no sum; floors are of sums"
        )
    if net.through and play.horizon is None:
        notes.append("Its training took values to go on beyond the time limit: this is the game without it")
    elif net.through:
        notes.append(
            f"Its training took values to go on beyond the time limit, here they stop after {play.horizon:,} steps"
        )
    how = (
        "greedy"
        if play.actor.epsilon == 0.0
        else f"greedy, any legal action with chance {play.actor.epsilon:g}"
    )
    return NetworkCertificate(
        found, verdict, floors, floor, (ratio.low, ratio.high), margin, tolerance, seen[0], free, net.combined,
        repr(net), repr(play.face), how, snapshots, play.horizon, tuple(notes),
    )  # fmt: skip


def _scale_free(met: Met, far: float) -> tuple[float, float]:
    """Share of the spread of Q that the best `a + b D` leaves, with 95 % confidence, from returns."""
    y, d = met.g[..., -1] + met.value[..., None], met.said
    terms = np.stack([d, d**2, y[..., 0] * y[..., 1], y.mean(axis=2), d * y.mean(axis=2)], axis=2).mean(
        axis=1
    )

    def left(m: Floats) -> float:
        spread, size = m[2] - m[3] ** 2, m[1] - m[0] ** 2
        if spread <= 0.0 or size <= 0.0:
            return math.nan if spread <= 0.0 else 1.0
        return float(1.0 - (m[4] - m[0] * m[3]) ** 2 / (size * spread))

    middle, half = jackknife(terms, left)
    if not math.isfinite(half):
        return 0.0, 1.0
    low, high = (math.sqrt(min(max(middle + s * half, 0.0), 1.0)) for s in (-1.0, 1.0))
    return max((1.0 - far) / (1.0 + far) * low, 0.0), min((1.0 + far) / (1.0 - far) * high, 1.0)


def _decided(
    play: Play, judged: list[Start], k: int, far: float, budget: float, rng: np.random.Generator
) -> DecisionEstimate:
    """What choosing by the network costs at these starts, those of one run in a row."""
    each = budget / len(judged)
    low, high = play.spread
    tail = far * (high - low) / (1.0 - play.gamma)
    plan = Plan(int(np.clip(each / (4 * k), 3, 64)), k, each, tail)
    lists: dict[int, list[Actions]] = {}

    def choose(start: Start, child: np.random.Generator) -> Options:
        """The joint actions that are worth trying from there."""
        view = start.view
        sets = [
            np.flatnonzero(row).tolist() if here else [None]
            for row, here in zip(view.legal, view.present, strict=True)
        ]
        if math.prod(map(len, sets)) > LISTED:
            got, rule = f"{math.prod(map(len, sets)):,} joint actions", f"at most {LISTED:,} are compared"
            raise Unsupported("decisions", got, rule, "Leave decisions=0.")
        all_ = list(itertools.product(*sets))
        d = np.array([play.actor.value(view, a) for a in all_])
        kept, chosen, complete = listed(d, np.ones(len(d)), plan.most, child)
        lists[id(start)] = [all_[j] for j in kept]
        return Options(kept[:, None], chosen, complete)

    def roll(start: Start, options: Options, r: int, child: np.random.Generator) -> Floats:
        """(2, r, options) sums of rollouts; all options of one rollout have equal random numbers."""
        seeds = child.integers(2**31, size=(2 * r, 2))
        rows = [
            [play.roll(start, a, [k], int(s), np.random.default_rng(int(t)))[0] for a in lists[id(start)]]
            for s, t in seeds
        ]
        return np.array(rows).reshape(2, r, -1)

    play = replace(play, worth=_zero)
    return estimate(judged, _RUNS, plan, choose, roll, rng, 1)  # type: ignore[arg-type]
