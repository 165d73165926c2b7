"""Lagrangian bound and approximate linear programme against value iteration and plain linear programs on raw arrays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, REWARD

Limit = tuple[Sequence[np.ndarray], float, str]

#: (p, g, tau) of stable, responsive and chronic patients.
STABLE, RESPONSIVE, CHRONIC = (0.30, 0.05, 0.10), (0.05, 0.10, 0.40), (0.02, 0.30, 0.15)


def patient(p: float, g: float, tau: float) -> list[list[list[float]]]:
    return [[[1 - p, p], [g, 1 - g]], [[1 - p - tau, p + tau], [g, 1 - g]]]


class Raw:
    """Joint states with their feasible actions, from kernels (A, S, S), rewards (S, A) and limits."""

    def __init__(
        self,
        kernels: Sequence[np.ndarray],
        rewards: Sequence[np.ndarray],
        limits: Sequence[Limit],
        gamma: float,
    ) -> None:
        self.kernels, self.rewards, self.limits, self.gamma = kernels, rewards, limits, gamma
        self.states = list(itertools.product(*(range(k.shape[1]) for k in kernels)))
        self.pairs = [
            (s, a)
            for s in self.states
            for a in itertools.product(*(range(len(k)) for k in kernels))
            if all(self.meets(s, a, *limit) for limit in limits)
        ]
        self.nu = np.full(len(self.states), 1 / len(self.states))

    @staticmethod
    def meets(s: tuple[int, ...], a: tuple[int, ...], costs: Any, limit: float, sense: str) -> bool:
        used = sum(float(c[x, y]) for c, x, y in zip(costs, s, a, strict=True))
        return abs(used - limit) < 1e-9 if sense == "==" else used < limit + 1e-9

    def law(self, s: tuple[int, ...], a: tuple[int, ...]) -> np.ndarray:
        out = np.ones(1)
        for k, x, y in zip(self.kernels, s, a, strict=True):
            out = np.kron(out, k[y, x])
        return out

    def paid(self, s: tuple[int, ...], a: tuple[int, ...]) -> float:
        return sum(float(r[x, y]) for r, x, y in zip(self.rewards, s, a, strict=True))

    def optimum(self) -> float:
        """nu . V*, by value iteration."""
        laws = np.array([self.law(s, a) for s, a in self.pairs])
        paid = np.array([self.paid(s, a) for s, a in self.pairs])
        of = np.array([self.states.index(s) for s, _ in self.pairs])
        v = np.zeros(len(self.states))
        for _ in range(int(np.log(1e-12) / np.log(self.gamma)) + 1):
            q = paid + self.gamma * laws @ v
            v = np.full(len(v), -np.inf)
            np.maximum.at(v, of, q)
        return float(self.nu @ v)

    def alp(self) -> float:
        """min theta + nu . sum_i V_i, one row a feasible joint pair, by another solver."""
        first = np.cumsum([1, *(k.shape[1] for k in self.kernels)])
        cost = np.zeros(first[-1])
        cost[0] = 1.0
        for weight, s in zip(self.nu, self.states, strict=True):
            for i, x in enumerate(s):
                cost[first[i] + x] += weight
        rows, paid = [], []
        for s, a in self.pairs:
            row = np.zeros(len(cost))
            row[0] = 1 - self.gamma
            for i, (x, y) in enumerate(zip(s, a, strict=True)):
                row[first[i] + x] += 1
                row[first[i] : first[i + 1]] -= self.gamma * self.kernels[i][y, x]
            rows.append(row)
            paid.append(self.paid(s, a))
        found = linprog(cost, A_ub=-np.array(rows), b_ub=-np.array(paid), bounds=(None, None))
        assert found.status == 0
        return float(found.fun)

    def priced(self, prices: np.ndarray) -> float:
        """lam b / (1 - gamma) + sum_i nu_i . V_i^lam, by value iteration of every agent."""
        total = sum(p * limit[1] for p, limit in zip(prices, self.limits, strict=True)) / (1 - self.gamma)
        for i, (k, r) in enumerate(zip(self.kernels, self.rewards, strict=True)):
            pay = r - sum(p * limit[0][i] for p, limit in zip(prices, self.limits, strict=True))
            v = np.zeros(k.shape[1])
            for _ in range(int(np.log(1e-12) / np.log(self.gamma)) + 1):
                v = (pay.T + self.gamma * k @ v).max(axis=0)
            nu = np.zeros(len(v))
            for weight, s in zip(self.nu, self.states, strict=True):
                nu[s[i]] += weight
            total += float(nu @ v)
        return float(total)

    def system(self) -> me.WeaklyCoupledMDP:
        return me.WeaklyCoupledMDP(
            list(self.kernels), list(self.rewards), discount=self.gamma, resources=list(self.limits)
        )


def units(n: int, limit: float, sense: str = "<=", states: int = 2) -> Limit:
    return [np.tile([0.0, 1.0], (states, 1))] * n, limit, sense


def arms(kernel: Any, reward: Any, n: int, limits: Sequence[Limit], gamma: float) -> Raw:
    k = np.asarray(kernel, dtype=float)
    r = np.repeat(np.asarray(reward, dtype=float)[:, None], 2, axis=1)
    return Raw([k] * n, [r] * n, limits, gamma)


# --- numbers that two other programs printed ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "capacity", "alp", "lagrangian"),
    [(2, 0.9, 0, 9), (2, 0.5, 0, 5), (5, 2.5, 20, 25), (5, 2.0, 20, 20)],
)
def test_the_lagrangian_bound_can_be_arbitrarily_bad(n, capacity, alp, lagrangian) -> None:
    one = np.ones((2, 1, 1))
    raw = Raw([one] * n, [np.array([[0.0, 1.0]])] * n, [units(n, capacity, states=1)], 0.9)
    system = raw.system()
    assert me.lagrangian_bound(system).value == pytest.approx(lagrangian, abs=1e-9)
    assert me.alp_bound(system).value == pytest.approx(alp, abs=1e-9)
    assert raw.optimum() == pytest.approx(alp, abs=1e-9)
    assert raw.alp() == pytest.approx(alp, abs=1e-7)


HEALTH = [np.array(patient(*p)) for p in (STABLE, RESPONSIVE, CHRONIC)]
PAID = np.array([[0.0, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("raw", "optimal", "bound"),
    [
        (Raw(HEALTH, [PAID] * 3, [units(3, 1)], 0.95), 38.918233, 40.283799),
        (Raw(HEALTH, [PAID] * 3, [units(3, 1, "==")], 0.95), 38.918233, 40.283799),
        (arms(patient(*RESPONSIVE), [0, 1], 4, [units(4, 1, "==")], 0.95), 57.248150, 63.231441),
        (arms([PASSIVE, ACTIVE], REWARD, 4, [units(4, 1, "==", 4)], 0.5), 0.628367, 0.8),
        (arms([PASSIVE, ACTIVE], REWARD, 4, [units(4, 1, "==", 4)], 0.9), 7.228510, 8.910891),
    ],
    ids=[
        "three patients, at most one",
        "three patients, one",
        "four responsive",
        "circulant 4",
        "circulant 4, .9",
    ],
)
def test_tables_of_two_independent_programs(raw: Raw, optimal: float, bound: float) -> None:
    system = raw.system()
    assert me.lagrangian_bound(system).value == pytest.approx(bound, abs=1e-6)
    assert me.alp_bound(system).value == pytest.approx(bound, abs=1e-6)
    assert raw.optimum() == pytest.approx(optimal, abs=1e-6)
    assert raw.alp() == pytest.approx(bound, abs=1e-6)


def test_five_circulant_arms_as_agents_and_as_a_bandit() -> None:
    bandit = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=5, budget=1, discount=0.9)
    agents = me.WeaklyCoupledMDP([[PASSIVE, ACTIVE]] * 5, [REWARD] * 5, budget=1, discount=0.9)
    for bound in (me.lagrangian_bound, me.alp_bound):
        assert bound(agents).value == pytest.approx(8.910891, abs=1e-6)
        assert bound(bandit).value == pytest.approx(bound(agents).value, abs=1e-9)
    values = me.value_decomposition(agents.under(me.IndexPolicy([1, 2, 3, 0])))
    assert float(values.chain.average(values.sum_q).mean()) == pytest.approx(7.446740, abs=1e-6)


# --- the order of the three, and the two programs themselves --------------------------------------------------------


def random_system(seed: int) -> Raw:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    sizes = [(int(rng.integers(1, 4)), int(rng.integers(1, 4))) for _ in range(n)]
    kernels = [rng.dirichlet(np.ones(s), size=(a, s)) for s, a in sizes]
    rewards = [rng.normal(size=(s, a)) for s, a in sizes]
    limits: list[Limit] = []
    for _ in range(int(rng.integers(1, 3))):
        costs = [rng.integers(0, 4, size=(s, a)).astype(float) for s, a in sizes]
        for c in costs:
            c[:, 0] = 0.0
        limits.append((costs, float(rng.integers(0, 5)) + float(rng.choice([0.0, 0.5])), "<="))
    if rng.random() < 0.3:
        limits = [([np.tile(np.arange(a, dtype=float), (s, 1)) for s, a in sizes],
                   float(rng.integers(0, 1 + sum(a - 1 for _, a in sizes))), "==")]  # fmt: skip
    return Raw(kernels, rewards, limits, float(rng.uniform(0.2, 0.9)))


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_optimum_alp_lagrangian_in_that_order(seed: int) -> None:
    raw = random_system(seed)
    system = raw.system()
    lagrangian, alp = me.lagrangian_bound(system), me.alp_bound(system)
    assert raw.optimum() <= alp.value + 1e-7
    assert alp.value <= lagrangian.value + 1e-7
    assert alp.value == pytest.approx(raw.alp(), abs=1e-6)
    assert lagrangian.value == pytest.approx(raw.priced(np.array(lagrangian.multipliers)), abs=1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_no_other_prices_give_less(seed: int) -> None:
    raw = random_system(seed)
    found = me.lagrangian_bound(raw.system())
    free = np.array([limit[2] == "==" for limit in raw.limits])
    assert all(x >= 0 for x, f in zip(found.multipliers, free, strict=True) if not f)
    rng = np.random.default_rng(seed)
    for scale in (1e-3, 0.1, 1.0):
        for _ in range(4):
            other = np.array(found.multipliers) + scale * rng.normal(size=len(free))
            assert raw.priced(np.where(free, other, np.maximum(other, 0.0))) >= found.value - 1e-7


def test_the_alp_is_strictly_below_where_costs_do_not_fill_the_limit() -> None:
    kernel, reward = np.full((2, 2, 2), 0.5), np.array([[0.0, 1.0], [0.0, 2.0]])
    raw = Raw([kernel] * 2, [reward] * 2, [units(2, 1.5)], 0.8)
    alp, lagrangian = me.alp_bound(raw.system()).value, me.lagrangian_bound(raw.system()).value
    assert raw.optimum() - 1e-9 <= alp == pytest.approx(raw.alp(), abs=1e-7)
    assert alp < lagrangian - 0.5


@pytest.mark.parametrize("sense", ["<=", "=="])
@pytest.mark.parametrize("seed", range(4))
def test_the_two_are_equal_where_only_a_number_of_agents_is_limited(seed: int, sense: str) -> None:
    rng = np.random.default_rng(seed)
    kernels, rewards = list(rng.dirichlet(np.ones(3), size=(3, 2, 3))), list(rng.normal(size=(3, 3, 2)))
    raw = Raw(kernels, rewards, [units(3, 1 + seed % 2, sense, 3)], 0.9)
    assert me.alp_bound(raw.system()).value == pytest.approx(raw.alp(), abs=1e-7)


def test_without_limits_the_bound_is_the_optimum() -> None:
    rng = np.random.default_rng(3)
    raw = Raw(list(rng.dirichlet(np.ones(2), size=(2, 2, 2))), list(rng.normal(size=(2, 2, 2))), [], 0.7)
    system = me.WeaklyCoupledMDP(list(raw.kernels), list(raw.rewards), discount=0.7)
    for bound in (me.lagrangian_bound(system), me.alp_bound(system)):
        assert bound.value == pytest.approx(raw.optimum(), abs=1e-9)
        assert bound.multipliers == bound.constraints == ()


def test_start_laws() -> None:
    raw = random_system(4)
    system = raw.system()
    rng = np.random.default_rng(0)
    state = raw.states[-1]
    for given_, nu in (
        (state, np.eye(len(raw.states))[-1]),
        (law := rng.dirichlet(np.ones(len(raw.states))), law),
    ):
        raw.nu = np.asarray(nu)
        assert me.alp_bound(system, given_).value == pytest.approx(raw.alp(), abs=1e-6)
        found = me.lagrangian_bound(system, initial=given_)
        assert found.value == pytest.approx(raw.priced(np.array(found.multipliers)), abs=1e-7)
    assert "the given law" in me.lagrangian_bound(system, law).start
    assert str(state) in me.lagrangian_bound(system, state).sentence


def test_counts_are_a_start_of_a_bandit() -> None:
    kernels = [patient(*STABLE), patient(*CHRONIC)]
    bandit = me.RestlessBandit(kernels, [0, 1], n_arms=(2, 1), budget=1, discount=0.9)
    agents = me.WeaklyCoupledMDP([kernels[0]] * 2 + [kernels[1]], [[0, 1]] * 3, budget=1, discount=0.9)
    found = me.lagrangian_bound(bandit, [[1, 1], [0, 1]])
    assert found.value == pytest.approx(me.lagrangian_bound(agents, (0, 1, 1)).value, abs=1e-9)
    with pytest.raises(InvalidInput, match=r"initial: got \[1, 1\] arms"):
        me.lagrangian_bound(bandit, [[1, 0], [0, 1]])


def test_units_and_constants_of_the_reward() -> None:
    raw = random_system(9)
    bound = me.lagrangian_bound(raw.system()).value
    n = len(raw.kernels)
    for scale, shift in ((1e-8, 0.0), (1e8, 0.0), (1.0, 1e4)):
        moved = Raw(raw.kernels, [scale * r + shift for r in raw.rewards], raw.limits, raw.gamma).system()
        want = scale * bound + shift * n / (1 - raw.gamma)
        assert me.lagrangian_bound(moved).value == pytest.approx(want, rel=1e-9)
        assert me.alp_bound(moved).value <= want + 1e-9 * abs(want)


def test_a_reward_that_forbids_costs_no_digit() -> None:
    kernel = np.array(patient(*RESPONSIVE))
    paid = np.array([[0.0, 0.0], [1.0, -1e9]])
    raw = Raw([kernel] * 2, [paid] * 2, [units(2, 1)], 0.9)
    found = me.lagrangian_bound(raw.system())
    assert found.value == pytest.approx(raw.priced(np.array(found.multipliers)), rel=1e-8)
    assert me.alp_bound(raw.system()).value == pytest.approx(found.value, rel=1e-8)


@pytest.mark.parametrize("never_paid", [99.0, 1e15, -1e15])
def test_an_action_that_a_state_does_not_offer(never_paid: float) -> None:
    """What stands in the reward table at it changes nothing, not even in digits."""
    kernel = np.array([[[0.5, 0.5], [0.5, 0.5]], [[0.0, 0.0], [1.0, 0.0]]])
    reward = np.array([[0.0, never_paid], [0.0, 1.0]])
    system = me.WeaklyCoupledMDP([kernel] * 2, [reward] * 2, discount=0.8)
    best = me.optimal_policy(system)
    values = me.value_decomposition(system.under(best))
    want = float(values.chain.average(values.joint_q).mean())
    for bound in (me.lagrangian_bound(system), me.alp_bound(system)):
        assert bound.value == pytest.approx(want, abs=1e-9)


def test_eighteen_hundred_arms_and_as_many_agents_of_their_own() -> None:
    """Nothing of the joint space is listed; 1,000 agents of their own are one linear program of 4,000 unknowns."""
    bandit = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=1800, budget=360, discount=0.5)
    found = me.alp_bound(bandit)
    assert found.value == pytest.approx(1800 / 5 * 0.8, abs=1e-6)  # five arms with one service: .8
    agents = me.WeaklyCoupledMDP([[PASSIVE, ACTIVE]] * 1000, [REWARD] * 1000, budget=200, discount=0.5)
    assert me.alp_bound(agents).value == pytest.approx(found.value / 1.8, abs=1e-6)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_refusals_name_what_is_wrong_and_what_helps() -> None:
    joint = me.MultiAgentMDP(
        np.full((4, 2, 4), 0.25), [[0, 1]] * 2, n_states=(2, 2), n_actions=(2, 1), discount=0.9
    )
    arm = np.full((2, 2, 2), 0.5)
    ends = me.WeaklyCoupledMDP(
        [arm] * 2, [[0, 1]] * 2, discount=0.9, budget=1, terminal=[(1, 1)], restart=(0, 0)
    )
    shared = me.WeaklyCoupledMDP([arm] * 2, np.arange(4.0), discount=0.9, budget=1)
    bare = me.WeaklyCoupledMDP([arm] * 2, budget=1, discount=0.9)
    timeless = me.WeaklyCoupledMDP([arm] * 2, [[0, 1]] * 2, budget=1)
    for bound in (me.lagrangian_bound, me.alp_bound):
        for subject, error, match in (
            (
                joint,
                Unsupported,
                "MultiAgentMDP; the relaxations are of agents that move on kernels of their own",
            ),
            (ends, Unsupported, "tasks that end"),
            (shared, InvalidInput, "one joint array; .* Give one table per agent"),
            (bare, InvalidInput, "rewards: got None"),
            (timeless, InvalidInput, "discount"),
            (3, Unsupported, "got a int"),
        ):
            with pytest.raises(error, match=match):
                bound(subject)
        with pytest.raises(InvalidInput, match="initial"):
            bound(me.WeaklyCoupledMDP([arm] * 2, [[0, 1]] * 2, discount=0.9, budget=1), [0.5, 0.5, 0.5])


def test_limits_that_no_policy_meets() -> None:
    """Two resources that exclude each other, which shows in the program only; with "<=" there is an optimum."""
    one, costs = np.ones((3, 1, 1)), [np.array([[0.0, 1.0, 2.0]])]
    for sense in ("==", "<="):
        limits = [(costs, 1.0, "=="), ([np.array([[0.0, 2.0, 4.0]])], 3.0, sense)]
        system = me.WeaklyCoupledMDP([one], [[[0, 1, 2]]], discount=0.5, resources=limits)
        if sense == "==":
            with pytest.raises(
                InvalidInput, match=r'not even on average\. Raise the limits, or write "<=" for "=="'
            ):
                me.lagrangian_bound(system)
        else:
            assert me.lagrangian_bound(system).value > 0.0


def test_too_many_joint_actions_for_a_list_and_the_remedy() -> None:
    kernel, reward = np.full((3, 4, 4), 0.25), np.zeros((4, 3))
    system = me.WeaklyCoupledMDP([kernel] * 12, [reward] * 12, discount=0.9, budget=8)
    with pytest.raises(TooLarge, match=r"Use me\.lagrangian_bound, which is never below"):
        me.alp_bound(system)
    assert me.lagrangian_bound(system).value == pytest.approx(0.0, abs=1e-9)


def test_listed_actions_are_refused_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tol, "ALP_ENTRIES", 200)
    kernel, reward = np.full((3, 2, 2), 0.5), np.zeros((2, 3))
    system = me.WeaklyCoupledMDP([kernel] * 3, [reward] * 3, discount=0.9, budget=2)
    with pytest.raises(TooLarge, match="48 of them in all joint states; the limit is 28"):
        me.alp_bound(system)


@pytest.mark.parametrize("start", [None, (0, 1, 3, 2)])
def test_policies_side_by_side_stand_beside_the_bound(start: Any) -> None:
    system = me.gallery.build("circulant", n_arms=4, budget=1).system
    policies = {"index": me.IndexPolicy([1, 2, 3, 0]), "best": "optimal"}
    found = me.compare(policies, system, initial=start)
    assert found.upper_bound == me.lagrangian_bound(system, start).value >= found.lines[0].value
    assert (
        found.to_dict()["upper_bound"] == found.upper_bound and "no policy earns more than" in found.summary()
    )
    assert found.tables()["numbers"].rows[0]["value"] == found.upper_bound
    bandit = me.gallery.build("circulant-bandit", n_arms=5).system  # its values are those of the long run
    assert me.compare({"index": me.IndexPolicy([1, 2, 3, 0])}, bandit).upper_bound is None


def test_the_answer_says_that_a_sum_of_local_values_is_no_bound() -> None:
    found = me.lagrangian_bound(me.gallery.build("circulant").system)
    assert found.sentence.startswith("No policy earns more than ")
    assert "evaluates one policy" in found.sentence
    assert found.to_dict()["value"] == found.value
    assert found.tables()["multipliers"].rows == [
        {"constraint": "budget", "multiplier": found.multipliers[0]}
    ]
