"""Groups of agents that are only stepped: the steps are the members', numbers cover those of the exact chain."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import TooLarge, Unsupported
from markov_entanglement.runs.agents import AgentChain
from test_merge import chain_of_four as four


def plant(pays: str = "each", n: int = 4, ends: bool = False) -> Any:
    """Machines that wear the others, as a simulator whose steps pay nothing, each agent, or all together."""

    def step(states: Any, actions: Any, rng: Any) -> Any:
        failed = (states == 0).mean(axis=1, keepdims=True)
        works = np.where(actions == 1, 1, states * (rng.random(states.shape) > 0.1 + 0.4 * failed))
        paid = works - 0.2 * actions
        over = rng.random(len(states)) < (0.05 if ends else 0.0)
        return works, paid if pays == "each" else paid.sum(axis=1), over

    return me.Simulator(step, [2] * n, [2] * n, start=[1] * n, budget=1, discount=0.9)


PRICE = [[0.7, 0.3], [0.4, 0.6]]
BATTERY = [[[1.0, 0.0], [0.4, 0.6]], [[0.1, 0.9], [0.0, 1.0]]]
EARNED = [[[0.0, -0.2], [1.0, 0.8]], [[0.0, -0.6], [1.0, 0.4]]]


def system(kind: str) -> tuple[Any, Any]:
    """A system of four agents and a policy."""
    if kind == "arms":
        entry = me.gallery.build("circulant", n_arms=4, budget=2)
        return entry.system, entry.policy
    if kind == "signal":
        made = me.ExogenousMDP([BATTERY] * 4, [EARNED] * 4, signal=PRICE, budget=[2, 1], discount=0.9)
        return made, me.IndexPolicy([1.0, 0.0])
    if kind == "neighbours":
        up = np.ones((4, 4))
        up[[0, 2]] = [[0.02, 0.02, 0.05, 0.05], [0.5, 0.5, 0.95, 0.95]]
        near = [(i, (i - 1) % 4) for i in range(4)]
        made = me.FactoredMDP([np.stack([1 - up, up], axis=2)], [[0, 1]] * 4, neighbours=near, discount=0.9)
        return made, me.LocalPolicy([[[0, 1], [0.8, 0.2]]] * 4)
    return plant(ends=kind == "ends"), me.IndexPolicy([1.0, 0.0])


def stepped(kind: str) -> AgentChain:
    made, policy = system(kind)
    return AgentChain(made, made.bind(policy))


GROUPS = [(2, 0), (3,), (1,)]
KINDS = ("arms", "signal", "neighbours", "simulator", "ends")


@pytest.mark.parametrize("kind", KINDS)
def test_groups_take_the_steps_of_their_members(kind: str) -> None:
    """The same seed, the same steps; the pair of a group lists the states, then the actions of its members."""
    base = stepped(kind)
    merged: Any = base.merge(GROUPS)
    spaces = base.system.spaces
    runs = [[*c.runs.chunks(200, np.random.default_rng(1), runs=2)] for c in (base, merged)]
    for one, two in zip(*runs, strict=True):
        states, actions = spaces.split(one.pairs)
        names = [(s, a) for s, a in zip(states.tolist(), actions.tolist(), strict=True)]
        for k, g in enumerate(GROUPS):
            s, a = (len(x) for x in merged.local_names(k))
            assert two.sizes[k].tolist() == [s, a]
            told = np.divmod(two.pairs[:, k], a)
            seen = {(x, y): (tuple(n[0][i] for i in g), tuple(n[1][i] for i in g))
                    for x, y, n in zip(*told, names, strict=True)}  # fmt: skip
            assert len(set(seen.values())) == len(seen)  # different pairs of members are different pairs
            for (x, _), (members, _) in seen.items():
                want = ", ".join(base.local_names(i)[0][m] for i, m in zip(g, members, strict=True))
                assert merged.local_names(k)[0][x] == want
        assert (one.ended == two.ended).all()
        paid = np.stack([one.rewards[:, list(g)].sum(axis=1) for g in GROUPS], axis=1)
        np.testing.assert_allclose(two.rewards, paid, atol=1e-12)


def test_members_of_a_group_see_one_signal() -> None:
    merged: Any = stepped("signal").merge([(0, 1, 3), (2,)])
    assert [u.size for u in merged.units] == [2 * 2**3 * 2**3, 2 * 2 * 2]
    assert merged.local_names(0)[0][:2] == ["0 | z=0, 0 | z=0, 0 | z=0", "0 | z=0, 0 | z=0, 1 | z=0"]


@pytest.mark.parametrize("kind", ["served", "own", "asked"])
def test_what_members_do_together(kind: str) -> None:
    """Laws of the actions of groups, against sums over all joint actions."""
    arms = me.WeaklyCoupledMDP([np.full((2, 3, 3), 1 / 3)] * 4, [[0, 1, 2]] * 4, discount=0.9, budget=2)
    free = me.WeaklyCoupledMDP([np.full((2, 3, 3), 1 / 3)] * 4, [[0, 1, 2]] * 4, discount=0.9)
    local = np.random.default_rng(0).dirichlet([1, 1], size=(4, 3))
    made, policy = {
        "served": (arms, me.IndexPolicy([1.0, 1.0, 0.0])),
        "own": (free, me.LocalPolicy(list(local))),
        "asked": (arms, lambda s: {(1, 1, 0, 0): 0.25 * (1 + s[0]), (0, 0, 1, 1): 1 - 0.25 * (1 + s[0])}),
    }[kind]  # fmt: skip
    merged: Any = AgentChain(made, made.bind(policy)).merge(GROUPS)
    states = np.array([*itertools.product(range(3), repeat=4)])
    told = np.stack([states[:, 2] * 3 + states[:, 0], states[:, 3], states[:, 1]], axis=1)
    found = merged.policy.marginals(told)
    whole = made.bind(policy)
    for t, state in enumerate(states.tolist()):
        for k, g in enumerate(GROUPS):
            want = np.zeros(2 ** len(g))
            for action, p in whole.law(state).items():
                want[sum(action[i] * 2 ** (len(g) - 1 - j) for j, i in enumerate(g))] += p
            np.testing.assert_allclose(found[k][t], want, atol=1e-12)


@pytest.mark.parametrize(
    "kind", ["arms", *(pytest.param(k, marks=pytest.mark.slow) for k in ("signal", "neighbours"))]
)
def test_intervals_cover_the_exact_chain_of_groups(kind: str) -> None:
    made, policy = system(kind)
    exact = made.under(policy).merge(GROUPS)
    merged: Any = stepped(kind).merge(GROUPS)
    values = me.value_decomposition(exact)
    found = merged.runs.errors(np.random.default_rng(0))
    low, high = found.unexplained_interval
    assert low <= values.unexplained <= high < low + 0.25
    seen = me.entanglement(merged, "policy", rng=0)
    want = me.entanglement(exact, "policy").per_agent
    assert ((seen.interval[:, 0] <= want + 1e-9) & (want <= seen.interval[:, 1])).all()


def test_an_analysis_of_groups_of_a_simulator() -> None:
    found = me.analyze(stepped("simulator").merge(GROUPS), rng=0)
    assert found.to_dict()["system"]["names"] == ["agent 2 + agent 0", "agent 3", "agent 1"]
    assert not found.refused and found.decomposition is not None


# --- suggestions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weak", [0.02, pytest.param(0.0, marks=pytest.mark.slow)])
def test_the_close_pairs_are_found_by_runs(weak: float) -> None:
    """Their gains are those of the table, as shares of the variance of Q."""
    alone, one, two = (0.588055, 0.401615, 0.108094) if weak else (0.536424, 0.379309, 0.0)
    found = me.merge_suggestions(four(weak), method="simulate", rng=0)
    assert {frozenset(g) for g in found.groups} == {frozenset((0, 1)), frozenset((2, 3))}
    for merge, gain in zip(found.merges, (alone**2 - one**2, one**2 - two**2), strict=True):
        assert merge.gain is not None and merge.gain[0] <= gain <= merge.gain[1] < merge.gain[0] + 0.06
        assert merge.before is merge.after is None
    for value, interval in ((alone, found.alone_interval), (two, found.unexplained_interval)):
        assert interval is not None and interval[0] <= value <= interval[1]
    assert "double sampling" in found.estimator and np.isnan(found.entanglement).all()
    assert found.to_dict()["merges"][0]["gain"] == list(found.merges[0].gain)


def test_the_same_seed_the_same_suggestions() -> None:
    more: Any = {"method": "simulate", "rng": 3, "tolerance": 0.5, "starts": 1000}
    one, two = (me.merge_suggestions(four(), **more).to_dict() for _ in range(2))
    assert one == two and len(one["groups"]) == 3
    assert "the tolerance is 50 %" in one["stopped"]


def test_what_runs_cannot_tell_is_said_with_what_would() -> None:
    """A tie so weak that few starts cannot tell whether it is worth a merge."""
    chain = me.JointChain(weakly_tied(), (2, 2, 2), rewards=[[0, 1]] * 3, discount=0.5).under()
    found = me.merge_suggestions(chain, method="simulate", starts=200, rng=0, tolerance=1e-4)
    assert found.merges == () and found.otherwise is not None and found.otherwise.gain is not None
    assert found.otherwise.gain[0] <= 0.0 < found.otherwise.gain[1]
    assert re.search(r"these runs cannot tell .* starts=\d+$", found.stopped)


@pytest.mark.slow
def test_as_many_starts_as_are_named_decide() -> None:
    chain = me.JointChain(weakly_tied(), (2, 2, 2), rewards=[[0, 1]] * 3, discount=0.5).under()
    few = me.merge_suggestions(chain, method="simulate", starts=200, rng=0, tolerance=1e-4)
    starts = int(few.stopped.rpartition("starts=")[2])
    again = me.merge_suggestions(chain, method="simulate", starts=starts, rng=1, tolerance=1e-4)
    assert again.groups == ((0, 1), (2,)) and len(again.merges) == 1


def weakly_tied() -> np.ndarray:
    """(8, 8) agents 0 and 1 follow each other a little; agent 2 is alone."""
    states = [*itertools.product((0, 1), repeat=3)]
    up = [
        [0.5 + 0.2 * (2 * x[i] - 1) + (0.008 * (2 * x[1 - i] - 1) if i < 2 else 0.0) for i in range(3)]
        for x in states
    ]
    return np.array(
        [[np.prod([p if b else 1 - p for p, b in zip(u, y, strict=True)]) for y in states] for u in up]
    )


def test_agents_that_pay_as_they_go() -> None:
    found = me.merge_suggestions(stepped("simulator"), rng=0, starts=1000)
    assert found.alone_interval is not None and found.stopped


# --- what is refused ------------------------------------------------------------------------------------------------


def test_groups_of_stepped_agents_that_are_too_large() -> None:
    many = me.WeaklyCoupledMDP([np.full((2, 4, 4), 0.25)] * 40, [[0, 1, 2, 3]] * 40, discount=0.9, budget=8)
    chain: Any = many.under("uniform")
    with pytest.raises(TooLarge, match=r"local pairs of agents .* the limit is 1,000\. Make smaller groups"):
        chain.merge([range(40)])
    rest = [(i,) for i in range(3, 40)]
    assert chain.merge([(0, 1, 2), *rest]).units[0].size == 8**3


def test_too_many_pairs_along_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = stepped("simulator")
    monkeypatch.setattr(tol, "MERGE_PAIRS", 5)
    with pytest.raises(
        TooLarge, match=r"got 6 pairs of agents.*me\.analyze\(chain\.merge\(groups\), rng=0\)"
    ):
        me.merge_suggestions(chain, rng=0)
    me.analyze(chain.merge(GROUPS), rng=0)


def test_one_reward_of_all_is_split_first() -> None:
    made, policy = plant("all"), me.IndexPolicy([1.0, 0.0])
    chain = made.under(policy)
    with pytest.raises(Unsupported, match=r"me\.reward_entanglement\(chain, rng=0\)\.local"):
        me.merge_suggestions(chain, rng=0, starts=200)
    local = me.reward_entanglement(chain, rng=0).local
    assert [len(t) for t in local] == [4] * 4


def test_other_rewards_and_no_discount_along_runs() -> None:
    chain = stepped("arms")
    for more in ({"rewards": [[0, 1, 2, 3]] * 4}, {"discount": 0.5}):
        with pytest.raises(Unsupported, match="Make a system with these"):
            me.merge_suggestions(chain, rng=0, **more)
    with pytest.raises(Unsupported, match="Give the system a discount"):
        me.merge_suggestions(four(discount=None), method="simulate", rng=0)
    with pytest.raises(Unsupported, match="rewards"):
        me.merge_suggestions(four(rewards=None), method="simulate", rng=0)


def test_arms_that_are_counted_by_runs() -> None:
    bandit = me.gallery.build("circulant-bandit", n_arms=500, budget=100)
    with pytest.raises(Unsupported, match=r"me\.WeaklyCoupledMDP"):
        me.merge_suggestions(bandit.chain(), method="simulate", rng=0)
