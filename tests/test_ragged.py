"""Arm types with different numbers of states: the same answers as of agents that are listed one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput

RNG = np.random.default_rng(0)
SMALL, LARGE = RNG.dirichlet(np.ones(2), size=(2, 2)), RNG.dirichlet(np.ones(3), size=(2, 3))
REWARDS = [[0, 1], [0, 1, 2]]
PRIORITY = [[1, 2], [4, 3, 0]]


def bandit(**changes) -> me.RestlessBandit:
    """Two arms of two states and two of three (D08)."""
    given = {
        "kernels": [SMALL, LARGE],
        "rewards": REWARDS,
        "n_arms": [2, 2],
        "budget": 1,
        "discount": 0.9,
    } | changes
    return me.RestlessBandit(given.pop("kernels"), given.pop("rewards"), **given)


def agents() -> me.WeaklyCoupledMDP:
    return me.WeaklyCoupledMDP(
        [SMALL] * 2 + [LARGE] * 2, [REWARDS[0]] * 2 + [REWARDS[1]] * 2, discount=0.9, budget=1
    )


@pytest.mark.parametrize("priority", [PRIORITY, [[1, 1], [1, 1, 1]], [[3, 1], [3, 2, 2]]])
def test_types_of_different_sizes_answer_as_their_agents_do(priority) -> None:
    counts = bandit().under(me.IndexPolicy(priority))
    chain = agents().under(me.IndexPolicy([priority[0]] * 2 + [priority[1]] * 2))
    for distance in ("mu-atv", "atv", "policy", "spectral"):
        mine, theirs = (me.entanglement(c, distance).per_agent for c in (counts, chain))
        assert mine == pytest.approx(theirs[[0, 2]], abs=1e-9), distance
    mine, theirs = me.value_decomposition(counts), me.value_decomposition(chain)
    for norm in ("mu", "l2", "sup"):
        assert mine.error(norm) == pytest.approx(theirs.error(norm), abs=1e-9)
    for got, want in zip(mine.local_q, (theirs.local_q[0], theirs.local_q[2]), strict=True):
        assert (
            got[: len(want)] == pytest.approx(want, abs=1e-9, nan_ok=True)
            and np.isnan(got[len(want) :]).all()
        )
    assert me.error_budget(counts).floor == pytest.approx(me.error_budget(chain).floor, abs=1e-9)


def test_indices_are_those_of_each_type_alone() -> None:
    found = me.whittle_index(bandit())
    assert found.index[0, :2] == pytest.approx(me.whittle_index(SMALL, REWARDS[0], discount=0.9).index)
    assert found.index[1] == pytest.approx(me.whittle_index(LARGE, REWARDS[1], discount=0.9).index)
    same = me.whittle_index([SMALL, LARGE], REWARDS, discount=0.9)
    assert np.array_equal(same.index, found.index) and found.index[0, 2] == found.index[0, 1]
    rested = [np.stack([np.eye(2), SMALL[1]]), np.stack([np.eye(3), LARGE[1]])]
    played = bandit(kernels=rested, rewards=[[[0, 1], [0, 2]], [[0, 1], [0, 0], [0, 2]]])
    gittins = me.gittins_index(played)
    assert gittins.index[0, :2] == pytest.approx(me.gittins_index(SMALL[1], [1, 2], discount=0.9).index)
    assert gittins.index[1] == pytest.approx(me.gittins_index(LARGE[1], [1, 0, 2], discount=0.9).index)


def test_states_that_are_not_used_are_named_so_and_never_met(tmp_path: Path) -> None:
    b = bandit(labels={"names": ["old", "new"], "states": [["up", "down"], ["good", "fair", "bad"]]})
    assert (
        b.local_names(0)[0] == ["up", "down", "(not used)"] and b.own_states(0) == 2 and b.own_states(1) == 3
    )
    assert "2 to 3 states" in b.reading
    a = me.analyze(b, "whittle")
    table = a.tables()["local_values"]
    unused = [r for r in table.rows if r["state"] == "(not used)"]
    assert unused and all(r["value"] is None for r in unused)
    field = me.mean_field(b, me.IndexPolicy(PRIORITY))
    assert field.fixed_point[0, 2] == pytest.approx(
        0, abs=1e-12
    ) and field.fixed_point.sum() == pytest.approx(1)
    me.save(tmp_path / "b.toml", b, me.IndexPolicy(PRIORITY))
    again, _ = me.load(tmp_path / "b.toml")
    for name in ("kernels", "rewards", "n_arms"):
        assert np.array_equal(getattr(again, name), getattr(b, name))
    assert again.labels == b.labels


def test_simulations_and_files_take_them(tmp_path: Path) -> None:
    path = me.simulate(bandit(n_arms=[30, 20], budget=10), me.IndexPolicy(PRIORITY), 200, rng=0)
    assert (path.counts[-50:, 0, 2] == 0).all()
    e = me.estimate_entanglement(bandit(), me.IndexPolicy(PRIORITY), rng=0)
    exact = me.entanglement(bandit().under(me.IndexPolicy(PRIORITY)), "policy").per_agent
    assert ((e.interval[:, 0] <= exact) & (exact <= e.interval[:, 1])).all()
    file = tmp_path / "two.toml"
    file.write_text(f"""schema = 1
kind = "bandit"
discount = 0.9
n_arms = [2, 2]
budget = 1
kernels = {[SMALL.tolist(), LARGE.tolist()]}
rewards = {REWARDS}
[policy]
kind = "index"
priority = {PRIORITY}
""")
    system, policy = me.load(file)
    assert me.entanglement(system.under(policy), "policy").per_agent == pytest.approx(exact)


def test_rewards_on_next_states_and_both_orders() -> None:
    next_states = [np.stack([np.tile(r, (len(r), 1))] * 2) for r in REWARDS]
    b = bandit(rewards=next_states)
    assert b.rewards[1, :, 1] == pytest.approx(LARGE[1] @ [0, 1, 2])
    sas = bandit(kernels=[SMALL.swapaxes(0, 1), LARGE.swapaxes(0, 1)], order="SAS")
    assert np.array_equal(sas.kernels, bandit().kernels)


def test_what_does_not_fit_is_refused_by_type() -> None:
    for priority in ([[1, 2, 3, 4], [1, 2, 3]], [[1], [1, 2, 3]]):
        with pytest.raises(InvalidInput, match="2 local states"):
            me.entanglement(bandit().under(me.IndexPolicy(priority)))
    with pytest.raises(InvalidInput, match=r"rewards\[0\]"):
        bandit(rewards=[[0, 1, 2], [0, 1, 2, 3]])


@pytest.mark.parametrize("word", ["whittle", "lp", "myopic"])
def test_words_by_priority_serve_agents_of_different_sizes(word) -> None:
    counts, chain = bandit().under(word), agents().under(word)
    mine = me.entanglement(counts, "policy").per_agent
    assert mine == pytest.approx(me.entanglement(chain, "policy").per_agent[[0, 2]], abs=1e-9)
    assert me.value_decomposition(counts).error("l2") == pytest.approx(
        me.value_decomposition(chain).error("l2"), abs=1e-9
    )


def test_indices_of_agents_of_different_sizes_are_policies() -> None:
    found = me.whittle_index(agents())
    alone = [me.whittle_index(k, r, discount=0.9).index for k, r in zip([SMALL, LARGE], REWARDS, strict=True)]
    for row, want in zip(found.rows, [alone[0], alone[0], alone[1], alone[1]], strict=True):
        np.testing.assert_allclose(row, want, rtol=1e-12)
    policy = me.IndexPolicy(found)
    assert [len(p) for p in policy.priority] == [2, 2, 3, 3]
    assert agents().under(policy).n_pairs == agents().under(me.IndexPolicy(list(found.rows))).n_pairs
