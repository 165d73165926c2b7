"""Somebody's simulator as a system: the same numbers as the exact chain of the model inside, errors in words."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.laws.source import as_source
from test_agents import laws

GAMMA = 0.8
SIZES, ACTIONS = (2, 3), (2, 2)
KERNEL = laws(0, 6, 4, 6)  # joint states, joint actions, next joint states
TABLES = [np.random.default_rng(1).normal(size=(s, 2)) for s in SIZES]


def joint(a: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    return np.ravel_multi_index(tuple(a.T), sizes)


def moved(states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Next joint states by inversion of the rows of KERNEL."""
    law = KERNEL[joint(states, SIZES), joint(actions, ACTIONS)].cumsum(axis=1)
    reached = np.minimum((rng.random(len(states))[:, None] >= law).sum(axis=1), 5)
    return np.stack(np.unravel_index(reached, SIZES), axis=1)


def own(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return np.stack([t[states[:, i], actions[:, i]] for i, t in enumerate(TABLES)], axis=1)


def policy(state: tuple[int, ...]) -> dict[tuple[int, int], float]:
    """Which agent acts depends on the state of the other."""
    return (
        {(0, 0): 0.4, (1, 1): 0.6}
        if state[0]
        else {(0, 1): 0.5 + 0.25 * state[1], (1, 0): 0.5 - 0.25 * state[1]}
    )


def simulator(pay: str = "own", **given: Any) -> me.Simulator:
    def step(states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> Any:
        after, paid = moved(states, actions, rng), own(states, actions)
        return {"own": (after, paid), "shared": (after, paid.sum(axis=1)), "column": (after, paid.sum(axis=1)[:, None]),
                "next": (after, paid + (after == 1)), "none": after}[pay]  # fmt: skip

    return me.Simulator(step, SIZES, ACTIONS, start=(0, 0), discount=GAMMA, **given)


def model(rewards: Any = TABLES) -> me.MultiAgentMDP:
    return me.MultiAgentMDP(KERNEL, rewards, n_states=SIZES, n_actions=ACTIONS, discount=GAMMA)


def exact(tables: Any = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stationary law, transition and reward on joint pairs (s, a), by raw arrays."""
    pi = np.zeros((6, 4))
    for s, state in enumerate(np.ndindex(*SIZES)):
        for action, p in policy(state).items():
            pi[s, 2 * action[0] + action[1]] = p
    p = np.einsum("sat,tb->satb", KERNEL, pi).reshape(24, 24)
    w, v = np.linalg.eig(p.T)
    mu = np.real(v[:, np.argmax(np.real(w))])
    states = np.array(list(np.ndindex(*SIZES))).repeat(4, axis=0)
    actions = np.tile(np.array(list(np.ndindex(*ACTIONS))), (6, 1))
    return mu / mu.sum(), p, own(states, actions).sum(axis=1)


def test_the_analysis_of_a_simulator_contains_the_exact_numbers() -> None:
    truth, chain = me.value_decomposition(model().under(policy)), model().under(policy)
    e = me.entanglement(chain, "policy").per_agent
    for sim in (simulator("own"), simulator("none", rewards=TABLES)):
        a = me.analyze(sim, policy, rng=1)
        found = a.decomposition
        for name, value in (("error_mu", truth.error("mu")), ("error_l2", truth.error("l2")),
                            ("relative_error", truth.relative_error), ("unexplained", truth.unexplained)):  # fmt: skip
            low, high = getattr(found, f"{name}_interval")
            assert low <= value <= high < np.inf, name
        assert max(np.abs(m - t).max() for m, t in zip(found.local_q, truth.local_q, strict=True)) < 0.05
        limits = a.entanglements["policy"].interval
        assert ((limits[:, 0] <= e + 1e-12) & (e <= limits[:, 1])).all() and (limits[:, 1] < e + 0.02).all()
    again = me.analyze(simulator("none", rewards=TABLES), policy, rng=1)
    assert again.decomposition.to_dict() == a.decomposition.to_dict()


@pytest.mark.parametrize("pay", ["own", "shared", "column", "none"])
def test_certificates_from_a_simulator_contain_the_error_of_any_candidate(pay: str) -> None:
    mu, p, r = exact()
    q = np.linalg.solve(np.eye(24) - GAMMA * p, r)
    states = np.array(list(np.ndindex(*SIZES))).repeat(4, axis=0)
    pairs = 2 * states + np.tile(np.array(list(np.ndindex(*ACTIONS))), (6, 1))

    def network(x: np.ndarray) -> np.ndarray:
        return 0.3 * x[:, 0] * x[:, 1] - 4.0

    error = np.sqrt(mu @ (q - network(pairs)) ** 2)
    sim = simulator(pay, **({"rewards": TABLES} if pay == "none" else {}))
    found = me.certify(network, sim, policy, steps=(4, 40), starts=2000, rng=3)
    for low, high in found.l2.values():
        assert low <= error <= high
    assert found.l2[40][1] / found.l2[40][0] < 1.2


def test_rewards_on_next_states_count_and_teach_by_their_means() -> None:
    bonus = [KERNEL.reshape(6, 4, 2, 3).sum(axis=3)[:, :, 1], KERNEL.reshape(6, 4, 2, 3).sum(axis=2)[:, :, 1]]
    mu, p, r = exact()
    q = np.linalg.solve(np.eye(24) - GAMMA * p, r + sum(b.ravel() for b in bonus))
    found = me.certify(lambda x: 0.0 * x[:, 0], simulator("next"), policy, steps=(40,), starts=2000, rng=0)
    low, high = found.l2[40]
    assert low <= np.sqrt(mu @ q**2) <= high < 1.2 * low
    # Eq. 2 of the mean reward given the own pair
    states = np.array(list(np.ndindex(*SIZES))).repeat(4, axis=0)
    pairs = 2 * states + np.tile(np.array(list(np.ndindex(*ACTIONS))), (6, 1))
    learned = me.analyze(simulator("next"), policy, rng=0).decomposition.local_q
    for i, m in enumerate((4, 6)):
        hot = np.eye(m)[pairs[:, i]] * mu[:, None]
        visits = hot.sum(axis=0)
        met = visits > 0
        law = (hot.T @ p @ np.eye(m)[pairs[:, i]])[met] / visits[met, None]
        pay = TABLES[i].ravel()[met] + (hot.T @ bonus[i].ravel())[met] / visits[met]
        want = np.linalg.solve(np.eye(met.sum()) - GAMMA * law[:, met], pay)
        assert np.abs(learned[i][met] - want).max() < 0.06


def test_tasks_that_end_start_again_and_values_stop() -> None:
    kernel = np.array([[0.1, 0.5, 0.2, 0.2], [0.3, 0.1, 0.2, 0.4], [0.2, 0.2, 0.1, 0.5], [0, 0, 0, 1.0]])
    tables = [[1.0, -2.0], [0.5, 3.0]]
    chain = me.JointChain(
        kernel, (2, 2), rewards=tables, discount=0.9, terminal=[(1, 1)], restart=[0.5, 0.5, 0, 0]
    )

    def step(states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> Any:
        law = kernel[2 * states[:, 0] + states[:, 1]].cumsum(axis=1)
        reached = np.minimum((rng.random(len(states))[:, None] >= law).sum(axis=1), 3)
        after, ended = np.stack([reached // 2, reached % 2], axis=1), reached == 3
        after[ended] = 99  # nobody looks
        return after, np.stack([np.array(t)[states[:, i]] for i, t in enumerate(tables)], axis=1), ended

    for start in (
        [(0, 0), (0, 1)],
        lambda count, rng: np.stack([np.zeros(count, int), rng.integers(0, 2, count)], 1),
    ):
        sim = me.Simulator(step, (2, 2), (1, 1), start=start, discount=0.9)
        truth = me.value_decomposition(chain.under())
        a = me.analyze(sim, rng=0)
        low, high = a.decomposition.error_l2_interval
        assert low <= truth.error("l2") <= high < np.inf
        for mine, theirs in zip(a.decomposition.local_q, truth.local_q, strict=True):
            assert np.abs(mine - theirs).max() < 0.15
        found = me.certify(lambda x: x[:, 0] * x[:, 1] - 1.0, sim, steps=(60,), starts=2000, rng=2)
        pairs, mu = chain.under().pairs, chain.under().occupancy
        error = np.sqrt(mu @ (truth.joint_q - pairs[:, 0] * pairs[:, 1] + 1.0) ** 2)
        assert found.l2[60][0] <= error <= found.l2[60][1] < 1.2 * found.l2[60][0]
        path = me.simulate(sim, None, 3000, rng=0)
        assert path.states.max() == 1 and (path.states[1:][path.terminated][:, 0] == 0).all()
        mass = chain.under().occupancy @ chain.under().ends
        assert abs(path.terminated.mean() - mass) < 5 * np.sqrt(mass / 3000)


def test_pairs_that_no_run_left_have_no_local_value(tmp_path: Path) -> None:
    """State 2 of agent 1 is out of reach and agent 0 never acts; certificates know what stands there inside."""
    kernel = np.einsum(
        "ax,by->abxy", [[0.7, 0.3], [0.4, 0.6]], [[0.8, 0.2, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]
    )
    kernel = np.repeat(kernel.reshape(6, 1, 6), 4, axis=1)
    rest = np.zeros((6, 4))
    rest[:, 0] = 1.0

    def step(states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> Any:
        law = kernel[joint(states, SIZES), 0].cumsum(axis=1)
        reached = np.minimum((rng.random(len(states))[:, None] >= law).sum(axis=1), 5)
        return np.stack(np.unravel_index(reached, SIZES), axis=1), own(states, actions)

    stepped = me.Simulator(step, SIZES, ACTIONS, start=(0, 0), discount=GAMMA)
    given = me.MultiAgentMDP(kernel, TABLES, n_states=SIZES, n_actions=ACTIONS, discount=GAMMA)
    truth = me.value_decomposition(given.under(rest, initial=(0, 0)))
    unknown = [[False, True, False, True], [False, True, False, True, True, True]]
    for system in (stepped, given):
        source = as_source(system, (lambda state: {(0, 0): 1.0}), stepped=True)
        a = me.analyze(source, method="simulate", rng=0)
        found = a.decomposition
        for i, gaps in enumerate(unknown):
            assert np.isnan(found.local_q[i]).tolist() == gaps
            assert np.isfinite(found.completed[i]).all()
            assert [
                x is None for row in a.to_dict()["local_values"]["agents"][i]["values"] for x in row
            ] == gaps
        a.save_csv(tmp_path / "q.csv", "local_values")
        rows = list(csv.DictReader((tmp_path / "q.csv").read_text().splitlines()))
        assert [r["value"] == "" for r in rows] == unknown[0] + unknown[1]
        assert [float(r["visited"]) == 0.0 for r in rows] == unknown[0] + unknown[1]
        low, high = found.error_mu_interval
        assert low <= truth.error("mu") <= high < np.inf
        assert me.certify(found, source, steps=(16,), starts=400, rng=1).l2[16][1] < np.inf


def test_one_step_has_the_law_of_the_function_and_seeds_give_bytes() -> None:
    sim = simulator("own")
    path = me.simulate(sim, policy, 8_000, rng=4)
    visits = (
        np.bincount(joint(path.states[:-1], SIZES) * 4 + joint(path.actions, ACTIONS), minlength=24) / 8_000
    )
    mu, _, _ = exact()
    assert np.abs(visits - mu).max() < 0.03 and np.array_equal(
        path.rewards, own(path.states[:-1], path.actions)
    )
    again = me.simulate(sim, policy, 500, rng=4)
    assert again.states.tobytes() == path.states[:501].tobytes()
    assert (me.simulate(sim, policy, 500, rng=5).states != again.states).any()
    first = me.simulate(sim, policy, 5, rng=0, start=(1, 2)).states[0]
    assert first.tolist() == [1, 2]


def test_learners_take_a_simulator() -> None:
    truth = me.value_decomposition(model().under(policy)).local_q
    found = me.learn(me.LSTD(), simulator("own"), policy, steps=10_000, rng=0)
    assert max(np.nanmax(np.abs(found.q(i) - q)) for i, q in enumerate(truth)) < 0.3
    joint_ones = me.learn(me.JointLSTD(), simulator("shared"), policy, steps=2000, rng=0)
    assert joint_ones.q(1).shape == (6,)


def test_thousands_of_agents_on_a_budget() -> None:
    def step(states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> Any:
        works = np.where(actions == 1, 1, states * (rng.random(states.shape) > 0.1))
        return works, works.astype(float)

    sim = me.Simulator(step, [2] * 2000, [2] * 2000, start=np.ones(2000, int), budget=100, discount=0.9)
    path = me.simulate(sim, me.IndexPolicy([1, 0]), 50, rng=0)
    assert (path.actions.sum(axis=1) == 100).all()
    assert (path.actions[path.states[:-1] == 1].sum() == 0) or path.actions.sum() == 5000
    uniform = next(iter(me.chunks(sim, "uniform", 3, rng=0)))
    assert ((uniform.pairs % 2).sum(axis=1) == 100).all()


def test_what_needs_laws_is_refused_with_what_answers() -> None:
    sim = simulator("own")
    chain = sim.under(policy)
    for ask in (lambda: chain.exact, lambda: me.separability(chain), lambda: me.value_decomposition(chain),
                lambda: me.entanglement(chain, "atv"), lambda: me.analyze(sim, policy, method="exact"),
                lambda: me.certificate(chain, None, None, np.zeros(24))):  # fmt: skip
        with pytest.raises(Unsupported, match="only steps, no laws"):
            ask()
    with pytest.raises(Unsupported, match=r"kernels of their own. Ask 'policy'"):
        me.entanglement(chain, "mu-atv")
    assert me.entanglement(chain, "policy", method="simulate", rng=0).interval.shape == (2, 2)
    for word in ("whittle", "lp", "myopic", "lp-update", "optimal"):
        with pytest.raises(Unsupported, match="only steps"):
            sim.under(word)
    with pytest.raises(Unsupported, match="a budget or resources"):
        sim.under("index")
    for ask in (lambda: me.optimal_policy(sim), lambda: me.whittle_index(sim),
                lambda: me.improve(sim, "uniform", rng=0), lambda: me.lp_priority(sim),
                lambda: me.save("x.toml", sim)):  # fmt: skip
        with pytest.raises((InvalidInput, Unsupported)):
            ask()
    assert me.check_system(sim, policy).ok
    lines = me.compare({"mine": policy, "uniform": "uniform"}, sim, rng=0).lines
    mu, _, r = exact()
    (mine,) = (x for x in lines if x.name == "mine")
    assert abs(mine.average_reward - mu @ r) < 2 * mine.uncertainty * (1 - GAMMA)


def test_rewards_have_one_home() -> None:
    with pytest.raises(InvalidInput, match="tables beside rewards"):
        me.simulate(simulator("own", rewards=TABLES), policy, 5, rng=0)
    assert me.simulate(simulator("none", rewards=TABLES), policy, 5, rng=0).rewards.shape == (5, 2)
    assert me.simulate(simulator("shared"), policy, 5, rng=0).rewards.shape == (5, 1)
    assert me.simulate(simulator("none"), policy, 5, rng=0).rewards.shape == (5, 0)
    none = me.analyze(simulator("none"), policy, rng=0)
    assert none.decomposition is None and any("no rewards" in why for _, why in none.refused)
    with pytest.raises(Unsupported, match="no rewards"):
        me.certify([np.zeros(4), np.zeros(6)], simulator("none"), policy, starts=200, steps=(2,), rng=0)


def test_one_reward_for_all_is_split_and_the_sum_judged_by_what_was_paid() -> None:
    """The reward is a sum, so that its split misses nothing; the exact chain has the same split."""
    joint_reward = np.array([[sum(t[s[i], a[i]] for i, t in enumerate(TABLES)) for a in np.ndindex(*ACTIONS)]
                             for s in np.ndindex(*SIZES)])  # fmt: skip
    truth = me.value_decomposition(model(joint_reward).under(policy))
    found = me.analyze(simulator("shared"), policy, rng=0).decomposition
    assert found.shared_interval[1] < 1e-9
    for name, value in (("error_mu", truth.error("mu")), ("error_l2", truth.error("l2")),
                        ("relative_error", truth.relative_error), ("unexplained", truth.unexplained)):  # fmt: skip
        low, high = getattr(found, f"{name}_interval")
        assert low <= value <= high < np.inf, name


WRONG: dict[str, Any] = {
    "ZeroDivisionError": lambda s, a, rng: 1 / 0,
    "2x3": lambda s, a, rng: np.zeros((len(s), 3), int),
    "whole numbers": lambda s, a, rng: s + 0.5,
    "state 7 of agent 1": lambda s, a, rng: s * 0 + np.array([0, 7]),
    "ragged": lambda s, a, rng: [[0], [0, 1]],
    "4 parts": lambda s, a, rng: (s, None, None, None),
    "rewards of shape": lambda s, a, rng: (s, np.zeros((len(s), 5))),
    "NaN": lambda s, a, rng: (s, np.full(len(s), np.nan)),
    "booleans": lambda s, a, rng: (s, None, np.zeros(len(s))),
    "one form": lambda s, a, rng: (s, None if rng.random() < 0.5 else np.zeros(len(s))),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_a_function_returns_is_checked(words: str) -> None:
    sim = me.Simulator(WRONG[words], SIZES, ACTIONS, start=(0, 0), discount=GAMMA)
    with pytest.raises(InvalidInput, match="Mend the function") as e:
        for _ in me.chunks(sim, "uniform", 50, rng=0, runs=2):
            pass
    assert words in str(e.value)


def test_rewards_whose_sums_are_infinite_are_refused_and_smaller_ones_are_fine() -> None:
    def paid(size: float) -> me.Simulator:
        def step(s: Any, a: Any, rng: Any) -> Any:
            return s, np.full(len(s), size)

        return me.Simulator(step, SIZES, ACTIONS, start=(0, 0), discount=GAMMA)

    with pytest.raises(InvalidInput, match="Divide all rewards"):
        list(me.chunks(paid(1e300), "uniform", 50, rng=0))
    list(me.chunks(paid(1e300 / 1e100), "uniform", 50, rng=0))


def test_arguments_are_checked() -> None:
    fine: dict[str, Any] = {"step": moved, "n_states": SIZES, "n_actions": ACTIONS, "start": (0, 0)}
    for change, words in (({"step": 3}, "function"), ({"n_states": (2, 0)}, "n_states"),
                          ({"n_actions": (2,)}, "n_actions"),
                          ({"start": (0, 3)}, "start"), ({"start": [[0, 1, 2]]}, "start"), ({"start": None}, "start"),
                          ({"discount": 1.0}, "discount"), ({"budget": 5}, "budget"),
                          ({"rewards": [[1, 2, 3]]}, "rewards")):  # fmt: skip
        with pytest.raises(InvalidInput, match=words):
            me.Simulator(**fine | change)
    bad = me.Simulator(moved, SIZES, ACTIONS, start=lambda count, rng: np.zeros((count, 5), int))
    with pytest.raises(InvalidInput, match="start"):
        me.simulate(bad, "uniform", 3, rng=0)
    sim = simulator()
    with pytest.raises(InvalidInput, match="`start` of the simulator"):
        sim.under(policy, initial=np.full(6, 1 / 6))
    assert (
        me.simulate(me.Simulator(moved, SIZES, ACTIONS, start=[(0, 0), (1, 2)]), "uniform", 3, rng=0).steps
        == 3
    )
    named = me.Simulator(
        moved, SIZES, ACTIONS, start=("on", "b"), labels={"states": [["off", "on"], ["a", "b", "c"]]}
    )
    assert me.simulate(named, "uniform", 3, rng=0).states[0].tolist() == [1, 1]
    in_place = me.Simulator(lambda s, a, rng: np.multiply(s, 0, out=s), SIZES, ACTIONS, start=(1, 2))
    assert me.simulate(in_place, "uniform", 3, rng=0).states.tolist() == [[1, 2], [0, 0], [0, 0], [0, 0]]


def test_the_page_on_simulators_runs() -> None:
    import doctest
    from pathlib import Path

    page = Path(__file__).parents[1] / "docs" / "simulators.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.failed == 0 and found.attempted > 5
