"""LP-update: plans against enumeration of a small program, values against optima and bounds, budgets, laws."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.bandits.lp_update import LPUpdate, rounded
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported


def small(seed: int, n: int = 4, budget: int = 2, states: int = 2) -> me.WeaklyCoupledMDP:
    rng = np.random.default_rng(seed)
    kernels, rewards = rng.dirichlet(np.ones(states), (n, 2, states)), rng.random((n, states, 2))
    return me.WeaklyCoupledMDP(list(kernels), list(rewards), discount=0.9, budget=budget)


@pytest.mark.parametrize("horizon", [1, 2, 6])
def test_no_plan_earns_more_than_the_optimum_or_the_relaxation(horizon: int) -> None:
    for seed in range(2):
        system = small(seed)
        chain, best = system.under(me.LPUpdatePolicy(horizon)), system.under("optimal")
        v, top = (c.average(me.value_decomposition(c).joint_q) for c in (chain, best))
        assert (v <= top + 1e-9).all()
        mean = chain.occupancy @ chain.reward(chain.read_rewards(None))
        assert mean <= 4 * me.lp_priority(system).value + 1e-9
        assert mean > 0.98 * best.occupancy @ best.reward(best.read_rewards(None))


def test_a_plan_of_one_step_is_lp_priority() -> None:
    for seed in range(4):
        system = small(seed, 5, 2, 3)
        states = np.array(list(itertools.product(range(3), repeat=5)))
        plan, index = (system.bind(p).marginals(states) for p in (me.LPUpdatePolicy(1), "lp"))
        assert np.abs(np.stack(plan) - np.stack(index)).max() < 1e-7


def test_a_plan_of_two_steps_is_the_best_of_its_program() -> None:
    """All ways to serve now, the best ways then, as vertices of a tiny program by brute force over a grid."""
    kernel, reward = (
        np.array([[[0.8, 0.2], [0.4, 0.6]], [[0.1, 0.9], [0.3, 0.7]]]),
        np.array([[0.0, 0.1], [1.0, 0.4]]),
    )
    bandit = me.RestlessBandit(kernel, reward, n_arms=4, budget=2, discount=0.9)
    lp, chain = me.lp_priority(bandit), bandit.under(me.LPUpdatePolicy(2))
    policy: LPUpdate = chain.system.bind(me.LPUpdatePolicy(2))
    served = lp.index > 0  # relative values at the price: those of the better action in each state
    act = served.astype(int)
    p, r = kernel[act, [0, 1]], reward[[0, 1], act] - lp.price * act
    m = np.eye(2) - p
    m[:, 0] += 1.0
    h = np.linalg.solve(m, r)
    for n0 in range(5):
        n = np.array([n0, 4 - n0])
        grid = np.linspace(0, 2, 201)

        def worth(z0: float, n: np.ndarray, last: bool) -> float:
            z = np.array([z0, 2 - z0])
            if (z > n + 1e-12).any():
                return -np.inf
            after = (n - z) @ kernel[0] + z @ kernel[1]
            now = (n - z) @ reward[:, 0] + z @ reward[:, 1]
            return now + (after @ h if last else max(worth(y, after, True) for y in ends(after)))

        def ends(n: np.ndarray) -> tuple[float, float]:
            return max(0.0, 2 - n[1]), min(2.0, n[0])

        best = max(worth(z, n, False) for z in grid)
        assert worth(policy.plan(n)[0], n, False) >= best - 1e-9


def test_fractions_are_rounded_to_the_budget_and_right_on_average() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        plan = rng.random(6) * 3
        plan[rng.integers(6)] = 2.0
        plan[-1] += np.ceil(plan.sum()) - plan.sum()
        budget = round(float(plan.sum()))
        u = (np.arange(20_000) + 0.5) / 20_000
        out = rounded(plan, budget, u)
        assert (out.sum(axis=1) == budget).all() and np.abs(out - plan).max() < 1 + 1e-9
        assert np.abs(out.mean(axis=0) - plan).max() < 2e-4


def test_law_samples_and_marginals_agree_and_meet_the_budget() -> None:
    kernel, reward = np.random.default_rng(3).dirichlet(np.ones(3), (2, 3)), [0.0, 0.3, 1.0]
    system = me.WeaklyCoupledMDP([kernel] * 5, [reward] * 5, discount=0.9, budget=2)
    bound = system.bind(me.LPUpdatePolicy(4))
    states = np.array([[0, 0, 1, 2, 1], [2, 2, 2, 0, 0], [1, 1, 1, 1, 1]])
    marginals = np.stack([m[:, 1] for m in bound.marginals(states)], axis=1)
    assert np.allclose(marginals.sum(axis=1), 2.0)
    drawn = bound.sample(np.repeat(states, 4000, axis=0), np.random.default_rng(0)).reshape(3, 4000, 5)
    assert (drawn.sum(axis=2) == 2).all()
    assert np.abs(drawn.mean(axis=1) - marginals).max() < 5 * 0.5 / np.sqrt(4000)
    for s, want in zip(states, marginals, strict=True):
        law = bound.law(s.tolist())
        assert sum(law.values()) == pytest.approx(1.0) and all(sum(a) == 2 for a in law)
        assert np.allclose(sum(np.array(a) * p for a, p in law.items()), want)
    assert np.allclose(marginals[2], 0.4)  # alike arms in one state


def test_many_arms_come_near_the_relaxation_and_the_same_seed_gives_the_same() -> None:
    bandit = me.gallery.build("circulant-bandit", n_arms=30).system
    bound = me.lp_priority(bandit).value
    chain = bandit.under(me.LPUpdatePolicy())
    mean, half, _ = chain.runs.worth(0)
    assert abs(mean / 30 - bound) < 2 * half / 30 + 0.005
    assert bandit.under(me.LPUpdatePolicy()).runs.worth(0)[0] == mean
    found = me.compare({"lp": "lp", "ahead": me.LPUpdatePolicy(3)}, bandit, rng=0)
    line = next(x for x in found.lines if x.name == "ahead")
    assert np.isnan(line.entanglement) and "linear program" in line.estimator
    assert found.to_dict()["policies"] and "ahead" in found.summary() and "nan" not in found.summary()


def test_different_arms_are_planned_together() -> None:
    system = small(7, 3, 1, 2)
    chain = system.under(me.LPUpdatePolicy(3))
    mean = chain.occupancy @ chain.reward(chain.read_rewards(None))
    runs = me.compare({"ahead": me.LPUpdatePolicy(3), "uniform": "uniform"}, system)
    assert runs.lines[0].name == "ahead" and runs.lines[0].average_reward == pytest.approx(float(mean))


def test_what_cannot_be_planned_says_so_and_the_remedy_works() -> None:
    with pytest.raises(InvalidInput, match="horizon"):
        me.LPUpdatePolicy(0)
    with pytest.raises(Unsupported, match="budget"):
        me.MultiAgentMDP(np.full((4, 4, 4), 0.25), n_states=(2, 2), n_actions=(2, 2)).under(
            me.LPUpdatePolicy()
        )
    with pytest.raises(Unsupported, match="budget"):
        me.WeaklyCoupledMDP([np.full((2, 2, 2), 0.5)] * 2, [[0, 1]] * 2).under(me.LPUpdatePolicy())
    bandit = me.RestlessBandit(np.full((2, 2, 2), 0.5), [0, 1], n_arms=3, budget=1, discount=0.9)
    chain = bandit.under(me.LPUpdatePolicy())
    with pytest.raises(Unsupported, match=r"me\.WeaklyCoupledMDP of the same arms"):
        me.value_decomposition(chain)
    apart = me.WeaklyCoupledMDP([np.full((2, 2, 2), 0.5)] * 3, [[0, 1]] * 3, budget=1, discount=0.9)
    assert me.value_decomposition(apart.under(me.LPUpdatePolicy())).unexplained < 1
    assert me.simulate(apart, me.LPUpdatePolicy(), 5, rng=0).steps == 5


def test_what_takes_too_many_plans_is_refused_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen sets of counts of four different arms, 2 * 4 * 2 * 5 unknowns each; what the remedy names is answered."""
    system, policy = small(1), me.LPUpdatePolicy()
    assert isinstance(system.under(policy), type(small(2).under("uniform")))
    monkeypatch.setattr(tol, "PLANNED", 15 * 80)
    monkeypatch.setattr(LPUpdate, "plan", lambda *_: pytest.fail("it began"))
    chain = system.under(policy)
    with pytest.raises(
        TooLarge, match=r"16 linear programs of 80 unknowns; the limit is 15 of them.*me\.compare"
    ):
        me.value_decomposition(chain)
    for ask in (lambda: me.entanglement(chain, "policy", rng=0), lambda: me.analyze(system, policy, method="exact"),
                lambda: me.certify([np.zeros(4)] * 4, system, policy, rng=0)):  # fmt: skip
        with pytest.raises(TooLarge, match="16 linear programs"):
            ask()
    told = me.analyze(system, policy)
    assert told.verdict == "cannot-tell" and len(told.refused) == 2
    monkeypatch.undo()
    monkeypatch.setattr(tol, "PLANNED", 15 * 80)
    assert me.compare({"ahead": policy, "uniform": "uniform"}, system, rng=0).lines[0].average_reward > 0
    shorter = me.LPUpdatePolicy(4)
    assert me.entanglement(system.under(shorter), "policy").method == "exact"
    alike = me.WeaklyCoupledMDP(
        [system.kernels[0]] * 4, [system.rewards.local[0]] * 4, discount=0.9, budget=2
    )
    assert me.value_decomposition(alike.under(policy)).unexplained < 1


def test_its_word_plans_five_steps_unless_a_horizon_says(tmp_path: Path) -> None:
    system = small(3)
    worth = {h: me.compare({"x": me.LPUpdatePolicy(h)}, system).lines[0].average_reward for h in (1, 5)}
    assert me.compare({"x": "lp-update"}, system).lines[0].average_reward == worth[5] != worth[1]
    for inline, one in ((True, system), (False, small(4, n=3, states=40))):
        for policy, horizon in (("lp-update", 5), (me.LPUpdatePolicy(7), 7)):
            me.save(tmp_path / "s.toml", one, policy)
            assert ("horizon = 7" in (tmp_path / "s.toml").read_text()) == (horizon == 7)
            assert ("arrays" in (tmp_path / "s.toml").read_text()) != inline
            assert me.load(tmp_path / "s.toml")[1] == me.LPUpdatePolicy(horizon)
    me.save(tmp_path / "s.toml", system)
    file = str(tmp_path / "s.toml")
    assert main(["compare", file, "lp-update", "lp-update:1", "--json", str(tmp_path / "r.json")]) == 0
    lines = json.loads((tmp_path / "r.json").read_text())["policies"]
    assert {p["name"]: p["average_reward"] for p in lines} == {"lp-update": worth[5], "lp-update:1": worth[1]}
    for wrong in ("lp-update:0", "lp-update:x", "lp-update:1,2", "lp-update:1.5"):
        assert main(["compare", file, wrong]) == 2
