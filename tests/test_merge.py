"""Agents that count as one, against the same system built anew from its raw arrays with the groups as its agents."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
import oracles_space as o
from brute import World, kron_kernel, laws
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported

# --- four agents, two close pairs, weak ties across: numbers of an independent program ------------------------------


def four(weak: float = 0.02) -> np.ndarray:
    """(16, 16) `P(x_i' = 1) = .5 + .1 s_i + .3 s_partner + weak s_{i+2}`, s = 2 x - 1, partners 0-1 and 2-3."""
    states, rows = list(itertools.product((0, 1), repeat=4)), []
    for x in states:
        s = [2 * k - 1 for k in x]
        up = [0.5 + 0.1 * s[i] + 0.3 * s[i ^ 1] + weak * s[(i + 2) % 4] for i in range(4)]
        rows.append([np.prod([p if b else 1 - p for p, b in zip(up, y, strict=True)]) for y in states])
    return np.array(rows)


def chain_of_four(weak: float = 0.02, rewards: Any = ((0, 1),) * 4, discount: float | None = 0.9) -> Any:
    given = None if rewards is None else [list(r) for r in rewards]
    return me.JointChain(four(weak), (2,) * 4, rewards=given, discount=discount).under()


TABLE = [
    ([(0,), (1,), (2,), (3,)], [0.186836] * 4, [0.32] * 4, 2.502128, 0.588055),
    ([(0, 1), (2,), (3,)], [0.028048, 0.186836, 0.186836], [0.036, 0.32, 0.32], 1.850612, 0.401615),
    ([(0, 1), (2, 3)], [0.028048] * 2, [0.036] * 2, 0.459932, 0.108094),
    ([(0, 2), (1, 3)], [0.304283] * 2, [0.39] * 2, 2.246669, 0.528016),
    ([(0, 3), (1, 2)], [0.307492] * 2, [0.3904] * 2, 2.374441, 0.558045),
    ([(0, 1, 2), (3,)], [0.175808, 0.186836], [0.3, 0.32], 1.666180, 0.365285),
    ([(0, 1, 2, 3)], [0.0], [0.0], 0.0, 0.0),
]
NO_TIE = [
    ([(0,), (1,), (2,), (3,)], [0.18] * 4, [0.3] * 4, 1.743377, 0.536424),
    ([(0, 1), (2,), (3,)], [0.0, 0.18, 0.18], [0.0, 0.3, 0.3], 1.341060, 0.379309),
    ([(0, 1), (2, 3)], [0.0] * 2, [0.0] * 2, 0.0, 0.0),
    ([(0, 2), (1, 3)], [0.3156] * 2, [0.39] * 2, 1.743377, 0.536424),
]


@pytest.mark.parametrize(
    ("weak", "groups", "mu_atv", "atv", "error", "unexplained"),
    [(0.02, *row) for row in TABLE] + [(0.0, *row) for row in NO_TIE],
)
def test_the_table_of_four_agents(weak, groups, mu_atv, atv, error, unexplained) -> None:
    merged = chain_of_four(weak).merge(groups)
    values = me.value_decomposition(merged)
    np.testing.assert_allclose(me.entanglement(merged).per_agent, mu_atv, atol=6e-7)
    np.testing.assert_allclose(me.entanglement(merged, "atv").per_agent, atv, atol=6e-7)
    assert values.error("mu") == pytest.approx(error, abs=6e-7)
    assert values.unexplained == pytest.approx(unexplained, abs=6e-7)


@pytest.mark.parametrize(("weak", "removed"), [(0.02, (0.169585, 0.011028, 0.002382)), (0.0, (0.18, 0, 0))])
def test_what_reading_another_agent_removes(weak, removed) -> None:
    found = me.analyze(me.JointChain(four(weak), (2,) * 4, rewards=[[0, 1]] * 4, discount=0.9)).breakdown
    np.testing.assert_allclose(found.remaining[0, 0] - found.remaining[0, 1:], removed, atol=6e-7)


# --- any system, any groups: the same as building it anew -----------------------------------------------------------


def axes(groups: Sequence[Sequence[int]], n: int, blocks: int) -> list[int]:
    order = [i for g in groups for i in g]
    return [b * n + i for b in range(blocks) for i in order]


def sizes(each: Sequence[int], groups: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(int(np.prod([each[i] for i in g])) for g in groups)


class Arrays:
    """A random system of three agents of different sizes as raw arrays; the arrays with groups as agents."""

    n_states, n_actions, gamma = (2, 3, 2), (2, 1, 2), 0.8

    def __init__(self, seed: int, decoupled: bool = False) -> None:
        rng = np.random.default_rng(seed)
        s, a = int(np.prod(self.n_states)), int(np.prod(self.n_actions))
        own = [laws(rng, k, n, n) for k, n in zip(self.n_actions, self.n_states, strict=True)]
        self.own = own if decoupled else None
        self.kernel = kron_kernel(own) if decoupled else laws(rng, s, a, s, zeros=0.5)
        self.table = laws(rng, s, a, zeros=0.3)
        self.rewards = [rng.normal(size=shape) for shape in zip(self.n_states, self.n_actions, strict=True)]

    def world(self, groups: Sequence[Sequence[int]], shared: np.ndarray | None = None, **ends: Any) -> World:
        n, ns, na = len(self.n_states), self.n_states, self.n_actions
        s, a = sizes(ns, groups), sizes(na, groups)
        joint = int(np.prod(s)), int(np.prod(a))
        kernel = self.kernel.reshape(*ns, *na, *ns).transpose(axes(groups, n, 3)).reshape(*joint, joint[0])
        table = self.table.reshape(*ns, *na).transpose(axes(groups, n, 2)).reshape(joint)
        rewards: Any = [self.summed(g) for g in groups]
        if shared is not None:
            rewards = shared.reshape(*ns, *na).transpose(axes(groups, n, 2)).reshape(joint)
        moved = {k: v.reshape(ns).transpose(axes(groups, n, 1)).reshape(-1) for k, v in ends.items()}
        return World(s, a, kernel, table, rewards, self.gamma, **moved)

    def summed(self, group: Sequence[int]) -> np.ndarray:
        """Row by row: the pair of a group is its members' states, then its members' actions."""
        out = []
        for s in itertools.product(*(range(self.n_states[i]) for i in group)):
            for a in itertools.product(*(range(self.n_actions[i]) for i in group)):
                out.append(sum(self.rewards[i][x, y] for i, x, y in zip(group, s, a, strict=True)))
        return np.array(out)

    def chain(self, **more: Any) -> Any:
        if self.own is not None:
            system: Any = me.WeaklyCoupledMDP(self.own, self.rewards, discount=self.gamma)
        else:
            system = me.MultiAgentMDP(self.kernel, more.pop("rewards", self.rewards), n_states=self.n_states,
                                      n_actions=self.n_actions, discount=self.gamma, **more)  # fmt: skip
        return system.under(self.table)


GROUPS = [[(0,), (1,), (2,)], [(2, 0), (1,)], [(1,), (0, 2)], [(1, 2), (0,)], [(2, 1, 0)], [(2,), (0,), (1,)]]


def same_order(chain: Any, world: World) -> np.ndarray:
    """The row of the world for every joint pair of the chain."""
    rows = {tuple(x): k for k, x in enumerate(world.pairs.tolist())}
    assert len(rows) == len(chain.pairs)
    return np.array([rows[tuple(x)] for x in chain.pairs.tolist()])


@pytest.mark.parametrize("groups", GROUPS, ids=str)
@pytest.mark.parametrize("decoupled", [False, True], ids=["joint", "weakly coupled"])
def test_merging_is_building_the_system_anew(groups, decoupled) -> None:
    arrays = Arrays(len(groups), decoupled)
    chain, world = arrays.chain().merge(groups), arrays.world(groups)
    at = same_order(chain, world)
    np.testing.assert_allclose(chain.occupancy, world.mu[at], atol=1e-11)
    np.testing.assert_allclose(chain.step.toarray(), world.p[np.ix_(at, at)], atol=1e-12)
    for distance in ("mu-atv", "atv", "policy", "kernel", "spectral"):
        found = me.entanglement(chain, distance)
        np.testing.assert_allclose(found.per_agent, world.per_unit(distance), atol=1e-8, err_msg=distance)
    values = me.value_decomposition(chain)
    local = o.local_q(world.pc, world.pairs, world.mu, [arrays.summed(g) for g in groups], arrays.gamma)
    np.testing.assert_allclose(values.joint_q, world.q()[at], atol=1e-9)
    for mine, theirs in zip(values.local_q, local, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-9)
    d = sum(q[world.pairs[:, i]] for i, q in enumerate(local))
    assert values.unexplained == pytest.approx(o.unexplained(world.q(), d, world.mu), abs=1e-9)


@pytest.mark.parametrize("groups", GROUPS[1:4], ids=str)
def test_questions_about_other_actions_and_all_of_the_joint_chain(groups) -> None:
    """Joint actions and joint states keep their numbers inside; neither decisions nor `tv` may notice."""
    arrays = Arrays(7)
    chain = arrays.chain().merge(groups)
    s, a = sizes(arrays.n_states, groups), sizes(arrays.n_actions, groups)
    world = arrays.world(groups)
    anew = me.MultiAgentMDP(
        world.kernel, [arrays.summed(g) for g in groups], n_states=s, n_actions=a, discount=arrays.gamma
    )
    other = anew.under(world.table)
    assert me.decision_loss(chain).loss == pytest.approx(me.decision_loss(other).loss, abs=1e-10)
    assert me.error_budget(chain).floor == pytest.approx(me.error_budget(other).floor, abs=1e-10)
    assert me.separability(chain).verdict == me.separability(other).verdict
    one, two = me.additive_values(chain), me.additive_values(other)
    assert one.vdn_gap.value == pytest.approx(two.vdn_gap.value, abs=1e-9)


def test_a_shared_reward_and_tasks_that_end() -> None:
    arrays, groups = Arrays(11), [(2, 0), (1,)]
    rng = np.random.default_rng(0)
    shared = rng.normal(size=arrays.table.shape)
    chain = arrays.chain(rewards=shared).merge(groups)
    world = arrays.world(groups, shared)
    np.testing.assert_allclose(
        me.value_decomposition(chain).joint_q, world.q()[same_order(chain, world)], atol=1e-9
    )
    terminal, restart = np.zeros(12, dtype=bool), np.zeros(12)
    terminal[[5, 7]], restart[[0, 3]] = True, (0.25, 0.75)
    chain = arrays.chain(terminal=terminal, restart=restart).merge(groups)
    world = arrays.world(groups, terminal=terminal, restart=restart, initial=restart)
    world_all = {tuple(x): k for k, x in enumerate(world.pairs.tolist())}
    kept = [(k, world_all[tuple(x)]) for k, x in enumerate(chain.pairs.tolist()) if tuple(x) in world_all]
    mine, theirs = map(list, zip(*kept, strict=True))
    np.testing.assert_allclose(chain.occupancy[mine], world.mu[theirs], atol=1e-10)
    np.testing.assert_allclose(me.value_decomposition(chain).joint_q[mine], world.q()[theirs], atol=1e-9)


def test_groups_of_groups_and_a_budget() -> None:
    chain = me.gallery.build("circulant", n_arms=4, budget=1).chain()
    once = chain.merge([(3, 1), (0, 2)])
    twice = chain.merge([(3,), (1,), (0, 2)]).merge([(0, 1), (2,)])
    assert (once.pairs == twice.pairs).all() and once.units == twice.units
    assert me.value_decomposition(once).unexplained == pytest.approx(
        me.value_decomposition(twice).unexplained
    )


def test_names_are_joined_and_agents_may_be_named() -> None:
    arm = np.full((2, 2, 2), 0.5)
    labels = {"names": ["pump", "valve", "tank"], "states": ["low", "high"]}
    chain = me.WeaklyCoupledMDP([arm] * 3, [[0, 1]] * 3, discount=0.9, labels=labels).under("uniform")
    merged = chain.merge([("valve", "pump"), ("tank",)])
    assert [u.name for u in merged.units] == ["valve + pump", "tank"]
    assert merged.local_names(0)[0] == ["low, low", "low, high", "high, low", "high, high"]
    assert merged.local_names(0)[1] == ["0, 0", "0, 1", "1, 0", "1, 1"]
    assert merged.local_names(1) == (["low", "high"], ["0", "1"])
    assert merged.pairs.tolist() == chain.merge([[1, 0], [2]]).pairs.tolist()


def test_a_whole_analysis_of_groups(tmp_path: Any) -> None:
    found = me.analyze(chain_of_four().merge([(0, 1), (2, 3)]))
    assert found.verdict == "do-not-add" and found.to_dict()["system"]["agents"] == 2
    found.save_json(tmp_path / "a.json")
    found.save_html(tmp_path / "a.html")
    assert me.read_result(tmp_path / "a.json").sentence == found.sentence


@pytest.mark.parametrize(
    ("id", "groups"),
    [
        ("sysadmin-ring", [(0, 1), (4, 2), (3,)]),
        ("revenue-management", [(1, 0)]),
        ("sysadmin-load", [(1,), (0,)]),
        ("inventory", [(2, 0), (1,)]),
        pytest.param("ride-hailing", [(0, 2), (1,)], marks=pytest.mark.slow),
    ],
)
def test_agents_that_read_neighbours_or_a_signal(id: str, groups: list[tuple[int, ...]]) -> None:
    """The same joint pairs and steps, listed with the groups' pairs by hand; only those that occur are there."""
    subject = me.gallery.build(id)
    chain: Any = subject.chain()
    system: Any = subject.system
    each, actions = chain.sizes, system.spaces.n_actions
    pairs, rewards = np.zeros((len(chain.pairs), len(groups)), dtype=int), []
    sizes_of = []
    for g, group in enumerate(groups):
        states, acts = zip(*(divmod(chain.pairs[:, i], actions[i]) for i in group), strict=True)
        met = []
        for value in (states, acts):
            listed, place = np.unique(np.stack(value, axis=1), axis=0, return_inverse=True)
            met.append((len(listed), place.ravel()))
        if len(group) == 1:
            met = [(each[group[0]] // actions[group[0]], states[0]), (actions[group[0]], acts[0])]
        pairs[:, g] = met[0][1] * met[1][0] + met[1][1]
        sizes_of.append(met[0][0] * met[1][0])
        table = np.zeros(sizes_of[-1])
        table[pairs[:, g]] = sum(system.rewards.local[i][chain.pairs[:, i]] for i in group)
        rewards.append(table)
    other = me.JointChain.from_pairs(
        pairs, chain.step, sizes=sizes_of, rewards=rewards, discount=system.discount
    ).under()
    merged = chain.merge(groups)
    assert (merged.pairs == pairs).all() and merged.sizes == tuple(sizes_of)
    for distance in ("mu-atv", "atv"):
        found, want = (me.entanglement(c, distance).per_agent for c in (merged, other))
        np.testing.assert_allclose(found, want, atol=1e-9)
    one, two = me.value_decomposition(merged), me.value_decomposition(other)
    assert one.unexplained == pytest.approx(two.unexplained, abs=1e-9)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        (
            [(0, 1), (1, 2, 3)],
            "groups: got agent 1 2 times; every agent is in exactly one group. Leave it in one",
        ),
        ([(0, 1), (2,)], r"got no group with agent 3; .* Add \(3,\) to leave it as it is"),
        ([(0, 0), (1, 2, 3)], "agent 0 2 times"),
        ([(0, 1, 2), (4,)], r"groups\[1\]\[0\]: got 4; it must be in 0..3"),
        ([(0, 1), (2, 3), ()], r"groups\[2\]: got no agent"),
        ([(0, 1), ("agent 2", "agent 9")], "agents are agent 0, agent 1, agent 2, agent 3"),
        ([0, 1, 2, 3], r"groups\[0\]"),
        (3, "groups"),
        ([(0, 1.5), (1, 2, 3)], r"groups\[0\]\[1\]"),
    ],
)
def test_groups_that_are_none(groups: Any, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        chain_of_four().merge(groups)


def test_the_remedies_help() -> None:
    assert chain_of_four().merge([(0, 1), (2,), (3,)]).n_agents == 3
    assert chain_of_four().merge([(0,), (1, 2, 3)]).n_agents == 2


def test_arms_that_are_counted_are_not_merged() -> None:
    bandit = me.gallery.build("circulant-bandit", n_arms=5, budget=1)
    for ask in (
        lambda: bandit.chain().merge([(0, 1), (2, 3, 4)]),
        lambda: me.merge_suggestions(bandit.chain()),
    ):
        with pytest.raises(Unsupported, match=r"me\.WeaklyCoupledMDP"):
            ask()
    small = me.gallery.build("circulant", n_arms=5, budget=1).chain()
    assert small.merge([(0, 1), (2, 3, 4)]).n_agents == 2


def test_a_chain_that_may_not_see_the_signal_is_not_merged() -> None:
    chain: Any = me.gallery.build("revenue-management").chain()
    with pytest.raises(Unsupported, match="without the signal joint pairs do not tell"):
        chain.blind().merge([(0, 1)])


def test_a_merged_chain_keeps_its_policy_and_is_not_stepped() -> None:
    merged = me.gallery.build("circulant", n_arms=4, budget=1).chain().merge([(0, 1), (2, 3)])
    with pytest.raises(Unsupported, match="they had"):
        merged.system.under("uniform")
    with pytest.raises(InvalidInput, match=r"simulation does not answer it\. Use 'exact'"):
        me.entanglement(merged, "mu-atv", method="simulate", rng=0)


def test_a_group_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = chain_of_four()
    monkeypatch.setattr(tol, "BYTES", 100)
    with pytest.raises(TooLarge, match="Make smaller groups"):
        chain.merge([(0, 1, 2, 3)])


# --- suggestions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weak", [0.02, 0.0])
def test_the_close_pairs_are_found(weak: float) -> None:
    found = me.merge_suggestions(chain_of_four(weak))
    assert found.groups == ((0, 1), (2, 3)) and len(found.merges) == 2
    assert found.unexplained == pytest.approx(0.108094 if weak else 0.0, abs=6e-7)
    assert found.alone == pytest.approx(0.588055 if weak else 0.536424, abs=6e-7)
    np.testing.assert_allclose(found.entanglement, [0.028048 if weak else 0.0] * 2, atol=6e-7)
    assert found.merges[0].unexplained == pytest.approx(0.401615 if weak else 0.379309, abs=6e-7)
    assert found.sentence.startswith(
        "Count agent 0 + agent 1; agent 2 + agent 3 as one agent each: then the sum"
    )


def test_without_values_suggestions_rest_on_entanglement() -> None:
    for chain in (chain_of_four(rewards=None), chain_of_four(discount=None)):
        found = me.merge_suggestions(chain)
        assert found.groups == ((0, 1), (2, 3))
        assert found.unexplained is found.alone is None and "the largest E_i is 0.02805" in found.sentence


def test_rewards_and_discount_of_ones_own_are_those_of_the_agents() -> None:
    asked = me.merge_suggestions(chain_of_four(rewards=None, discount=None), [[0, 1]] * 4, 0.9)
    assert asked.to_dict() == me.merge_suggestions(chain_of_four()).to_dict()
    shared = me.merge_suggestions(chain_of_four(), np.arange(16.0), 0.5)
    assert shared.groups == ((0, 1), (2, 3))


def test_an_error_that_is_accepted_is_left_alone() -> None:
    found = me.merge_suggestions(chain_of_four(), tolerance=0.7)
    assert found.groups == ((0,), (1,), (2,), (3,))
    assert found.stopped == "the sum of local values misses 58.8 % of the spread of Q, the tolerance is 70 %"
    assert me.merge_suggestions(chain_of_four(), tolerance=0.45).groups == ((0, 1), (2,), (3,))


@pytest.mark.parametrize("seed", range(4))
def test_hidden_partners_are_found(seed: int) -> None:
    """Five agents in a random order: two that copy each other, two that do so, one alone."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(5)
    partner = {int(order[0]): int(order[1]), int(order[1]): int(order[0])}
    partner |= {int(order[2]): int(order[3]), int(order[3]): int(order[2])}
    states = list(itertools.product((0, 1), repeat=5))
    up = [[0.5 + 0.4 * (2 * x[partner.get(i, i)] - 1) for i in range(5)] for x in states]
    law = np.array(
        [[np.prod([p if b else 1 - p for p, b in zip(u, y, strict=True)]) for y in states] for u in up]
    )
    found = me.merge_suggestions(me.JointChain(law, (2,) * 5, rewards=[[0, 1]] * 5, discount=0.9))
    want = {frozenset(map(int, order[:2])), frozenset(map(int, order[2:4])), frozenset([int(order[4])])}
    assert {frozenset(g) for g in found.groups} == want and found.unexplained == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("id", "why"),
    [
        ("shared-randomness", "no agent is entangled"),
        ("sysadmin-load", "any two that are left are all agents together, where everything is exact"),
        ("sysadmin-ring", "no two as one have a smaller E_i than the more entangled of them has alone; "),
    ],
)
def test_nothing_to_merge(id: str, why: str) -> None:
    found = me.merge_suggestions(me.gallery.build(id).chain())
    assert found.merges == () and found.sentence.startswith(f"No agents are merged: {why}")


def test_what_the_rule_leaves_out_is_named_with_what_it_would_change() -> None:
    """Merging neighbours of the ring leaves E_i as it is, and the sum misses less."""
    chain: Any = me.gallery.build("sysadmin-ring").chain()
    found = me.merge_suggestions(chain)
    other = found.otherwise
    assert found.rule.startswith("E_i of the two as one is below") and other is not None
    pairs = [(i, j, *(k for k in range(5) if k not in (i, j))) for i in range(5) for j in range(i)]
    left = [me.value_decomposition(chain.merge([p[:2], *((k,) for k in p[2:])])).unexplained for p in pairs]
    assert other.unexplained == pytest.approx(min(left), abs=1e-9) and min(left) < 0.4 < 0.43 < found.alone
    assert other.after == pytest.approx(other.before, abs=1e-9) == me.entanglement(chain).per_agent[0]
    assert "but the sum would miss 39.4 %, where it misses 43.1 %" in found.sentence
    assert found.to_dict()["otherwise"]["unexplained"] == other.unexplained


def test_rewards_given_for_groups_and_decisions() -> None:
    """A decision off the chain needs the rewards of pairs that do not occur in it; one joint array has them."""
    chain: Any = me.gallery.build("inventory").chain().merge([(0, 1), (2,)])
    own = [np.arange(float(m)) for m in chain.sizes]
    with pytest.raises(Unsupported, match="one joint array"):
        me.decision_loss(chain, own)
    me.decision_loss(chain)
    spaces = chain.system.spaces
    me.decision_loss(chain, np.zeros((spaces.joint_states, spaces.joint_actions)))


def test_a_function_pays_for_what_the_agents_do() -> None:
    """It is told the agents' states and actions, whoever counts as one."""
    arrays = Arrays(3)
    chain = arrays.chain()
    pays = {"rewards": lambda s, a: s[0] * s[1] - a[2] + 0.5 * s[2] * a[0], "discount": 0.8}
    q = [me.value_decomposition(c, **pays).joint_q for c in (chain, chain.merge([(2, 0), (1,)]))]
    np.testing.assert_allclose(*q, atol=1e-10)


def test_too_many_agents_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tol, "BREAKDOWN_WORK", 100)
    with pytest.raises(TooLarge, match="Coarsen the local states, or drop agents"):
        me.merge_suggestions(chain_of_four())
