"""Agents stepped one by one: engines against laws on raw arrays, estimates against exact chains."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.runs.agents import AgentChain, AgentRuns, Walk
from markov_entanglement.runs.engine import Control
from markov_entanglement.runs.estimates import additive, medians
from markov_entanglement.runs.flows import Flows

GAMMA = 0.95


def patients(n: int, seed: int, budget: int, low: float = 0.02) -> tuple[me.WeaklyCoupledMDP, me.IndexPolicy]:
    """Two-state arms, each its own (p, g, tau), under their Whittle priority in closed form."""
    rng = np.random.default_rng(seed)
    p, g = rng.uniform(low, 0.5, (2, n))
    tau = rng.uniform(0.0, 1.0, n) * (1.0 - p)
    kernels = [
        [[[1 - a, a], [b, 1 - b]], [[1 - a - c, a + c], [b, 1 - b]]]
        for a, b, c in zip(p, g, tau, strict=True)
    ]
    index = np.stack([GAMMA * tau / (1 - GAMMA * (1 - p - g)), np.zeros(n)], axis=1)
    system = me.WeaklyCoupledMDP(kernels, [[0.0, 1.0]] * n, discount=GAMMA, budget=budget)
    return system, me.IndexPolicy(list(index))


def runs_of(system: Any, policy: Any = None) -> AgentRuns:
    return AgentRuns(system, system.bind(policy) if system.acts else None)


def laws(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), size=shape[:-1])


def two_agents() -> me.MultiAgentMDP:
    return me.MultiAgentMDP(
        laws(0, 6, 4, 6), [[0, 1, 2, 3], [0, 1, 2, 3, 4, 5]], n_states=(2, 3), n_actions=(2, 2), discount=0.9
    )


def joint(states: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    return np.ravel_multi_index(tuple(states.T), sizes)


def near(counts: np.ndarray, law: np.ndarray) -> bool:
    """Whether counts lie within five standard deviations of what the law expects, and nothing impossible was met."""
    n = counts.sum()
    return bool((np.abs(counts - n * law) <= 5 * np.sqrt(n * law * (1 - law)) + 1e-9).all())


def test_one_step_of_every_engine_has_the_law_of_the_kernel() -> None:
    n = 40_000
    mdp, policy = two_agents(), laws(5, 6, 4)
    walk = Walk(runs_of(mdp, policy).engine, n, np.random.default_rng(0), np.tile([1, 2], (n, 1)))
    does = joint(walk.actions, (2, 2))
    assert near(np.bincount(does, minlength=4), policy[5])
    walk.step()
    reached = joint(walk.states, (2, 3))
    for a in range(4):
        assert near(np.bincount(reached[does == a], minlength=6), laws(0, 6, 4, 6)[5, a])
    kernels = [laws(7 + i, 2, s, s) for i, s in enumerate((2, 3, 12))]
    weak = me.WeaklyCoupledMDP(kernels, discount=0.9, budget=1)
    walk = Walk(runs_of(weak, me.IndexPolicy([[1, 1], [1, 1, 1], [1] * 12])).engine, n, np.random.default_rng(1),
                np.tile([1, 0, 11], (n, 1)))  # fmt: skip
    served = walk.actions.argmax(axis=1)
    assert (walk.actions.sum(axis=1) == 1).all() and near(np.bincount(served, minlength=3), np.full(3, 1 / 3))
    walk.step()
    for i, s in enumerate((1, 0, 11)):
        for a in range(2):
            met = walk.states[(served == i) == bool(a), i]
            assert near(np.bincount(met, minlength=kernels[i].shape[1]), kernels[i][a, s])


def test_strict_priorities_serve_as_the_policy_does() -> None:
    system, policy = patients(40, 3, 7)
    walk = runs_of(system, policy).walk(50, np.random.default_rng(0), 3)
    served = system.bind(policy).marginals(walk.states)
    assert np.array_equal(walk.actions, np.stack([m[:, 1] for m in served], axis=1))


def test_chunks_of_any_size_are_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of(*patients(6, 0, 2))
    whole = next(iter(runs.walk(3, np.random.default_rng(2)).chunks(50)))
    for size in (1, 7, 49):
        monkeypatch.setattr("markov_entanglement.runs.agents._CHUNK", size * 18)
        parts = list(runs.walk(3, np.random.default_rng(2)).chunks(50))
        assert np.array_equal(np.concatenate([p[:, 1:] for p, *_ in parts], axis=1), whole[0][:, 1:])
        assert all(np.array_equal(a[:, -1], b[:, 0]) for (a, *_), (b, *_) in itertools.pairwise(parts))
    listed = list(runs.chunks(20, np.random.default_rng(0), runs=2))
    assert {c.run for c in listed} == {0, 1} and listed[0].rewards.shape[1] == 6
    pairs = listed[0].pairs[:-1]
    assert np.array_equal(listed[0].rewards, (pairs // 2).astype(float))  # state 1 pays 1


def test_tasks_that_end_start_again_and_values_stop() -> None:
    law = np.zeros((4, 1, 4))
    law[0, 0] = 0, 0.5, 0.25, 0.25
    law[1, 0, 3] = law[2, 0, 0] = 1.0
    mdp = me.MultiAgentMDP(law, [[1, 0], [0, 0]], n_states=(2, 2), n_actions=(1, 1), discount=0.9,
                           terminal=[(1, 1)], restart=[0.5, 0.5, 0, 0])  # fmt: skip
    counts = np.zeros(4)
    ends = 0
    for pairs, ended, *_ in runs_of(mdp, "uniform").walk(50, np.random.default_rng(0), 20).chunks(400):
        counts += np.bincount(joint(pairs[:, :-1].reshape(-1, 2), (2, 2)), minlength=4)
        ends += ended.sum()
    mu = mdp.under("uniform").occupancy  # of the live states 0, 1, 2
    assert counts[3] == 0 and np.abs(counts[:3] / counts.sum() - mu).max() < 0.02
    assert abs(ends / counts.sum() - (0.25 * mu[0] + mu[1])) < 0.02


def test_flows_are_the_moves_of_every_agent() -> None:
    from markov_entanglement.runs.estimates import teach

    runs = runs_of(*patients(5, 1, 2))
    found, _ = teach(runs.walk(2, np.random.default_rng(4)), runs, 300)
    ((pairs, *_),) = runs.walk(2, np.random.default_rng(4)).chunks(300)
    for r, i in itertools.product(range(2), range(5)):
        table = np.zeros((4, 5))
        np.add.at(table, (pairs[r, :-1, i], pairs[r, 1:, i]), 1)
        (group,) = found[r].groups
        assert np.array_equal(found[r].of(group)[i], table)


def test_medians_of_sure_choices_are_those_of_any_laws() -> None:
    rng = np.random.default_rng(0)
    key, choice = rng.integers(0, 6, 500), rng.integers(0, 3, 500)
    key[key == 4] = 5
    q = medians(key, np.eye(3)[choice], 7)
    assert np.isnan(q[[4, 6]]).all()
    for k in (0, 1, 2, 3, 5):
        law = np.eye(3)[choice[key == k]]
        best, value = me.weighted_l1_median(law)
        assert 0.5 * np.abs(law - q[k]).sum(axis=1).mean() == pytest.approx(value, abs=1e-12)
        assert best.shape == (3,)
    mixed = rng.dirichlet(np.ones(3), 500)
    q = medians(key, mixed, 6)
    assert 0.5 * np.abs(mixed[key == 2] - q[2]).sum(axis=1).mean() == pytest.approx(
        me.weighted_l1_median(mixed[key == 2])[1]
    )


@pytest.mark.parametrize("control", [False, True])
def test_rollouts_have_the_mean_of_the_bellman_sum(control: bool) -> None:
    system, policy = patients(3, 8, 1)
    chain, runs = system.under(policy), runs_of(system, policy)
    rng, k = np.random.default_rng(0), 5
    tables = [rng.random(4) for _ in range(3)]
    h = [rng.random(2) if control else np.zeros(2) for _ in range(3)]
    ahead = [np.einsum("ast,t->sa", kernel, f).ravel() for kernel, f in zip(system.kernels, h, strict=True)]
    d = sum(t[chain.pairs[:, i]] for i, t in enumerate(tables))
    r = chain.reward(chain.read_rewards(None))
    want = d.copy()
    for _ in range(k):
        want = r + GAMMA * chain.apply(want)
    x, many = 3, 20_000
    at = np.repeat(chain.pairs[[x]], many, axis=0)
    found = runs.rollouts(
        at // 2, at % 2, (2, k), GAMMA, additive(tables), Control(h, ahead), np.random.default_rng(1)
    )
    assert np.allclose(found.value, d[x])
    for both in (found.g[:, :, 1], found.plain[:, :, 1]):
        assert np.abs(both.mean(axis=0) - (want - d)[x]).max() < 5 * both.std() / np.sqrt(many)
        assert abs(np.corrcoef(both.T)[0, 1]) < 5 / np.sqrt(many)
    assert control or np.allclose(found.g, found.plain)


def test_estimates_of_eight_different_arms_contain_the_exact_chain() -> None:
    system, policy = patients(8, 3, 2)
    chain = system.under(policy)
    exact, truth = me.value_decomposition(chain), me.entanglement(chain, "policy").per_agent
    e = me.entanglement(chain, "policy", method="simulate", rng=1)
    assert ((e.interval[:, 0] <= truth) & (truth <= e.interval[:, 1])).all() and (
        e.interval[:, 1] < truth + 0.02
    ).all()
    a = me.analyze(system, policy, method="simulate", rng=2)
    found = a.decomposition
    for name, value in (("error_mu", exact.error("mu")), ("error_l2", exact.error("l2")),
                        ("relative_error", exact.relative_error), ("unexplained", exact.unexplained)):  # fmt: skip
        low, high = getattr(found, f"{name}_interval")
        assert low <= value <= high < np.inf, name
    for mine, theirs in zip(found.local_q, exact.local_q, strict=True):
        met = ~np.isnan(theirs)
        assert np.abs(mine - theirs)[met].max() < 0.1
    low, half, _ = runs_of(system, policy).worth(0)
    assert abs(low - chain.occupancy @ chain.reward(chain.read_rewards(None))) < 1.5 * half


def test_hundreds_of_different_arms_get_a_verdict() -> None:
    """Case D21: 400 patients, each a type of its own, as a bandit and as a weakly coupled system."""
    system, policy = patients(400, 0, 40)
    a = me.analyze(system, policy)
    assert a.verdict == "do-not-add" and not a.decomposition.caution
    low, high = a.decomposition.error_l2_interval
    assert (high - low) / a.decomposition.error_l2 < 0.1
    assert len(a.entanglements["policy"].per_agent) == 400
    bandit = me.RestlessBandit(
        np.stack(system.kernels), [[0.0, 1.0]] * 400, n_arms=[1] * 400, budget=40, discount=GAMMA
    )
    b = me.analyze(bandit, me.IndexPolicy([list(p) for p in policy.priority]))
    assert (
        b.verdict == "do-not-add" and b.decomposition.error_l2_interval == a.decomposition.error_l2_interval
    )
    assert "400 agents" in a.summary() and len(a.tables()["entanglement"]) == 400


def test_a_system_too_large_to_list_is_stepped_and_says_what_it_lacks() -> None:
    system, policy = patients(60, 0, 6)
    chain = system.under(policy)
    assert isinstance(chain, AgentChain) and chain.discount == GAMMA and len(chain.units) == 60
    for ask in (lambda: chain.pairs, lambda: chain.occupancy, lambda: me.entanglement(chain, "atv"),
                lambda: me.value_decomposition(chain), lambda: me.analyze(system, policy, method="exact")):  # fmt: skip
        with pytest.raises(TooLarge, match="joint states"):
            ask()
    with pytest.raises(InvalidInput, match="method"):
        me.analyze(system, policy, method="sample")
    free = me.analyze(system, "uniform")
    assert free.verdict == "add" and free.agentwise == "separable"  # nobody is tied
    assert free.decomposition.unexplained_interval[0] == 0.0 < free.decomposition.unexplained_interval[1]
    assert "exact up to rounding" not in free.summary()  # what is estimated is not exact
    assert free.entanglements["policy"].per_agent.max() == 0.0
    assert me.analyze(system, policy).verdict == "do-not-add" and not chain.proved_separable


def test_uniform_service_serves_all_alike() -> None:
    """Exactly the budget, each agent in 6 of 60 draws: of 60 shares of 20,000 draws one is 6 standard deviations off in
    10 million runs."""
    system, _ = patients(60, 0, 6)
    runs = runs_of(system, "uniform")
    states = np.random.default_rng(1).integers(0, 2, (20_000, 60))
    assert runs.engine.service is not None and runs.engine.remembered is None
    served = runs.engine.act(
        runs.engine.keys(20_000, np.random.default_rng(2)), 3, states, np.random.default_rng(3)
    )
    assert (served.sum(axis=1) == 6).all()
    assert np.abs(served.mean(axis=0) - 0.1).max() < 6 * math.sqrt(0.09 / 20_000)
    pair = (served[:, :-1] * served[:, 1:]).mean(axis=0)  # 6 x 5 of 60 x 59
    chance = 30 / 3540
    assert np.abs(pair - chance).max() < 6 * math.sqrt(chance / 20_000)


def test_what_is_called_separable_without_measuring_is() -> None:
    """Under many kinds of policies, against the exact distance of the same chain."""
    rng = np.random.default_rng(8)
    sizes = (2, 3, 2)
    kernels, rewards = [laws(i, 2, s, s) for i, s in enumerate(sizes)], [rng.random(s) for s in sizes]
    local = me.LocalPolicy([rng.dirichlet(np.ones(2), size=s) for s in sizes])
    index = me.IndexPolicy([rng.random(s) for s in sizes])
    costs = [rng.integers(0, 3, (s, 2)) * [0, 1] for s in sizes]
    bound, free, at_most, by_state = (
        me.WeaklyCoupledMDP(kernels, rewards, discount=0.9, **given)
        for given in (
            {"budget": 1},
            {},
            {"resources": [([[0, 1]] * 3, 2, "<=")]},
            {"resources": [(costs, 2, "<=")]},
        )
    )
    seen = me.ExogenousMDP(
        [laws(i, 2, 2, s, s) for i, s in enumerate(sizes)], [np.zeros((2, s, 2)) for s in sizes],
        signal=laws(9, 2, 2), discount=0.9, budget=1,
    )  # fmt: skip
    cases: list[tuple[Any, Any, bool]] = [
        (bound, "uniform", True), (bound, index, False), (free, "uniform", True), (free, local, True),
        (at_most, "uniform", True), (by_state, "uniform", False), (seen, "uniform", True),
        (two_agents(), "uniform", False),
    ]  # fmt: skip
    for system, policy, said in cases:
        assert bool(system.separable_under(system.bind(policy))) == said, (system, policy)
        chain = system.under(policy)
        assert not said or me.entanglement(chain, "atv", support="reachable").per_agent.max() < 1e-12
    assert AgentChain(seen, seen.bind("uniform")).proved_separable
    assert not AgentChain(seen, seen.bind("uniform")).blind().proved_separable


def test_a_chain_without_actions_has_no_policy_to_measure() -> None:
    chain = me.gallery.build("parity").chain()
    with pytest.raises(Unsupported, match="mu-atv"):
        me.entanglement(chain, "policy", method="simulate", rng=0)
    assert me.entanglement(chain, "mu-atv").per_agent.max() == pytest.approx(0, abs=1e-12)


def test_policies_with_samples_alone_and_several_actions_are_stepped() -> None:
    class Shift:
        """Serve the agents after the number of those in state 1."""

        def sample(self, states, rng):
            out = np.zeros_like(states)
            out[np.arange(len(states)), states.sum(axis=1) % states.shape[1]] = 2
            return out

        def marginals(self, states):
            out = self.sample(states, None)
            return [np.eye(3)[out[:, i]] for i in range(states.shape[1])]

    kernels = [laws(i, 3, 2, 2) for i in range(50)]
    system = me.WeaklyCoupledMDP(kernels, [[0.0, 1.0]] * 50, discount=0.8)
    a = me.analyze(system, Shift())
    low, high = a.decomposition.error_l2_interval
    assert 0 <= low < high < np.inf
    assert (a.entanglements["policy"].interval[:, 1] > 0).all()


def test_counts_of_moves_are_kept_per_agent_in_one_row() -> None:
    spaces = me.WeaklyCoupledMDP([laws(0, 2, 2, 2), laws(1, 1, 3, 3)], discount=0.5).spaces
    first, sizes = Flows.layout(spaces)
    assert first.tolist() == [0, 20] and sizes.tolist() == [4, 3]


def test_a_value_at_the_tolerance_cannot_be_told_and_more_starts_are_narrower() -> None:
    system, policy = patients(30, 4, 3)
    a = me.analyze(system, policy, tolerance=0.5)
    edge = a.decomposition.unexplained
    open_ = me.analyze(system, policy, tolerance=edge)
    assert open_.verdict == "cannot-tell"
    assert "no number of steps decides: the value is at the tolerance" in open_.sentence
    found = me.certify(open_.decomposition, system, policy, starts=40_000, steps=(100,), rng=0)
    wide = np.diff(a.decomposition.unexplained_interval)
    assert np.diff(found.unexplained[100]) < wide


def test_agents_that_hardly_ever_move_are_told_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault F2: where runs are short beside what agents remember, nothing is claimed."""
    monkeypatch.setattr("markov_entanglement._tolerance.AGENT_STEPS", 1e5)
    kernels = [np.array([[[1 - e, e], [e, 1 - e]]] * 2) for e in (1e-4, 2e-4, 3e-4)]
    system = me.WeaklyCoupledMDP(kernels, [[0.0, 1.0]] * 3, discount=0.9, budget=1)
    a = me.analyze(system, me.IndexPolicy([1, 0]), method="simulate")
    assert a.verdict == "cannot-tell" and "remembers about" in a.sentence
    assert (a.entanglements["policy"].interval == [0.0, 1.0]).all()
    assert a.decomposition.unexplained_interval == (0.0, np.inf)


def test_names_of_a_stepped_chain_are_those_of_the_exact_one() -> None:
    for name in ("parity", "circulant", "shared-randomness"):
        chain = me.gallery.build(name).chain()
        assert [chain.stepped.local_names(u) for u in range(2)] == [chain.local_names(u) for u in range(2)], (
            name
        )


def ending(kind: str) -> tuple[Any, Any]:
    """Systems of two agents, of every way to move and to act; the last three have tasks that end."""
    arm = np.array([[[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0, 0, 1]]] * 2)
    arms: dict[str, Any] = {"terminal": [(2, 2), (2, 0)], "restart": (0, 1), "discount": 0.9}
    law = np.zeros((4, 1, 4))
    law[0, 0] = 0.1, 0.4, 0.25, 0.25
    law[1, 0, 3] = law[2, 0, 0] = 1.0
    listed = [[0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]
    made = {
        "index": lambda: patients(6, 0, 2),
        "ties": lambda: (patients(6, 0, 2)[0], me.IndexPolicy([1, 1])),
        "uniform": lambda: (me.WeaklyCoupledMDP([arm, arm], [[1, 2, 0]] * 2, discount=0.9), "uniform"),
        "joint": lambda: (two_agents(), laws(5, 6, 4)),
        "chain": lambda: (me.JointChain(laws(6, 4, 4), (2, 2), rewards=[[0, 1]] * 2, discount=0.9), None),
        "listed": lambda: (me.JointChain.from_pairs([(0, 0), (1, 0), (1, 1)], listed, rewards=[[0, 1]] * 2), None),
        "joint, ends": lambda: (
            me.MultiAgentMDP(law, [[1, 0], [0, 2]], n_states=(2, 2), n_actions=(1, 1), discount=0.9,
                             terminal=[(1, 1)], restart=[0.5, 0.5, 0, 0]), "uniform"),
        "index, ends": lambda: (
            me.WeaklyCoupledMDP([arm, arm[::-1]], [[1, 2, 0], [0, 1, 3]], budget=1, **arms), me.IndexPolicy([0, 1, 1])),
        "uniform, ends": lambda: (me.WeaklyCoupledMDP([arm, arm], [[1, 2, 0]] * 2, **arms), "uniform"),
    }  # fmt: skip
    return made[kind]()


KINDS = (
    "index",
    "ties",
    "uniform",
    "joint",
    "chain",
    "listed",
    "joint, ends",
    "index, ends",
    "uniform, ends",
)


@pytest.mark.parametrize("kind", KINDS)
def test_many_steps_at_once_are_single_steps(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of(*ending(kind))
    assert runs.engine.plan is not None
    one, pairs, ended = runs.walk(4, np.random.default_rng(0)), [], []
    pairs.append(one.pairs)
    for _ in range(60):
        ended.append(one.step())
        pairs.append(one.pairs)
    for kept in (2**24, 30):  # room for all laws of the policy, and for a few
        monkeypatch.setattr("markov_entanglement.runs.remembered._KEPT", kept)
        many = runs_of(*ending(kind)).walk(4, np.random.default_rng(0))
        parts = [many.stretch(b) for b in (1, 39, 20)]
        assert np.array_equal(np.concatenate([p.ended for p in parts], axis=1), np.stack(ended, axis=1))
        whole = np.concatenate([parts[0].pairs, *(p.pairs[:, 1:] for p in parts[1:])], axis=1)
        assert np.array_equal(whole, np.stack(pairs, axis=1))


def test_laws_of_a_policy_are_kept_in_bounded_memory() -> None:
    system = me.WeaklyCoupledMDP([laws(i, 2, 3, 3) for i in range(9)], [[0, 1, 2]] * 9, discount=0.9)
    runs = runs_of(system, "uniform")  # 512 joint actions in each of 19,683 joint states
    runs.walk(40, np.random.default_rng(0), 20)
    assert 0 < runs.engine.remembered.entries <= 2**24 // 11 < 40 * 20 * 512 * 11


@pytest.mark.parametrize("kind", ["index", "joint, ends", "simulator"])
def test_public_chunks_are_the_same_bytes_whatever_their_size(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, policy = ending(kind) if kind != "simulator" else (
        me.Simulator(lambda s, a, rng: (rng.integers(0, 3, s.shape), s + a), (3, 3), (2, 2), start=(0, 0)), "uniform"
    )  # fmt: skip

    def joined(runs: int) -> list[bytes]:
        found = list(me.chunks(system, policy, 90, rng=3, burn_in=4, runs=runs))
        mine = [[c for c in found if c.run == r] for r in range(runs)]
        pairs = [np.concatenate([x[0].pairs, *(c.pairs[1:] for c in x[1:])]) for x in mine]
        rest = [
            np.concatenate([f(c) for c in x]) for x in mine for f in (lambda c: c.rewards, lambda c: c.ended)
        ]
        assert all(len(p) == 91 for p in pairs)
        return [a.tobytes() for a in [*pairs, *rest]]

    whole = joined(2)
    for size in (1, 50, 137):
        monkeypatch.setattr("markov_entanglement.runs.agents._CHUNK", size)
        assert joined(2) == whole


def test_memory_is_flat_in_the_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr("markov_entanglement.runs.agents._CHUNK", 2**14)
    system, policy = patients(20, 0, 4)
    peaks = []
    for steps in (20_000, 20_000, 200_000):
        tracemalloc.start()
        assert sum(len(c.ended) for c in me.chunks(system, policy, steps, rng=0)) == steps
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[1] < 5e6  # and the 2^20 joint states were not listed


def test_a_path_is_the_chunks_joined() -> None:
    for kind in ("index", "joint", "chain"):
        system, policy = ending(kind)
        first = np.ones(system.n_agents, dtype=np.int64)
        path = me.simulate(system, policy, 300, rng=2, start=first)
        (chunk,) = runs_of(system, policy).chunks(300, np.random.default_rng(2), start=first[None])
        sizes = np.array(system.spaces.n_actions)
        assert np.array_equal(
            path.states * sizes, chunk.pairs - np.vstack([path.actions, chunk.pairs[-1:] % sizes])
        )
        assert np.array_equal(path.rewards, chunk.rewards) and path.steps == 300


def test_arms_of_a_bandit_come_one_by_one() -> None:
    """What counts cannot teach, `TD`, learns from the chunks."""
    kernels = laws(3, 2, 2, 3, 3)  # types, actions, states, next states
    bandit = me.RestlessBandit(kernels, [[0, 1, 2], [1, 0, 0]], n_arms=[3, 2], budget=2, discount=0.6)
    policy = me.IndexPolicy([[1, 2, 3], [3, 1, 2]])
    chain = bandit.under(policy)
    truth = me.value_decomposition(chain).local_q
    steps = me.chunks(bandit, policy, 40_000, rng=0, burn_in=50)
    found = me.TD(pool=[0, 0, 0, 1, 1]).fit(steps)
    for t, table in enumerate(truth):
        met = ~np.isnan(table) & ~np.isnan(found.local[t])
        assert met.any() and np.abs(found.local[t] - table)[met].max() < 0.1
    served = next(me.chunks(bandit, policy, 50, rng=1)).pairs % 2
    assert served.shape == (51, 5) and (served.sum(axis=1) == 2).all()
    many = me.RestlessBandit(kernels, [[0, 1, 2], [1, 0, 0]], n_arms=[10**8, 2], budget=2, discount=0.6)
    with pytest.raises(TooLarge, match=r"me\.simulate"):
        me.chunks(many, policy, 5, rng=0)
    assert me.simulate(many, policy, 5, rng=0).counts is not None  # the remedy


def joint_laws(system: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Local pairs (n, N) of all joint states and actions, laws (n, S) of the next joint state, and joint states (S, N),
    from the raw arrays."""
    spaces = system.spaces
    states = (
        np.array(list(np.ndindex(*spaces.n_states)))
        if not hasattr(spaces, "listed")
        else np.array(spaces.listed)
    )
    actions = np.array(list(np.ndindex(*spaces.n_actions)))
    pairs = np.array([s * np.array(spaces.n_actions) + a for s in states for a in actions])
    rows = []
    for j, s in enumerate(states):
        for k, a in enumerate(actions):
            if system.local_kernels is None:
                rows.append(system.kernel[k].toarray()[j])
            else:
                each = [m[a[i], s[i]] for i, m in enumerate(system.local_kernels)]
                rows.append(np.array([np.prod([e[t[i]] for i, e in enumerate(each)]) for t in states]))
    return pairs, np.array(rows), states


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_a_control_variate_is_that_of_the_raw_laws(kind: str) -> None:
    """Nothing sampled: at every joint pair, the part of E f(s') that no end stops."""
    from markov_entanglement.runs.control import control_of
    from markov_entanglement.runs.estimates import tables_of, teach
    from markov_entanglement.runs.shared import paid

    system, policy = ending(kind)
    runs = runs_of(system, policy)
    (flows,), met = teach(runs.walk(1, np.random.default_rng(0)), runs, 500)
    own = paid(runs, [flows], flows, met).local
    control = control_of(system, flows, 0.9, own, tables_of(runs, flows, 0.9, own))
    pairs, law, states = joint_laws(system)
    f = sum(h[states[:, i]] for i, h in enumerate(control.h))
    if system.ends is not None:
        f[system.ends.terminal] = 0.0
        live = np.isin(np.arange(len(states)), system.ends.terminal, invert=True)
        keep = np.repeat(live, len(pairs) // len(states))
        pairs, law = pairs[keep], law[keep]
    known = sum(a[pairs[:, i]] for i, a in enumerate(control.ahead))
    if control.extra is not None:
        known = known + control.extra(pairs)
    assert np.allclose(known, law @ f, atol=1e-12) and np.abs(law @ f).max() > 0.1


@pytest.mark.parametrize("kind", ["joint", "joint, ends", "uniform, ends", "ties"])
def test_controlled_rollouts_keep_their_mean(kind: str) -> None:
    """Against powers of the exact transition on joint pairs; values stop at ends."""
    from markov_entanglement.runs.control import control_of
    from markov_entanglement.runs.estimates import tables_of, teach
    from markov_entanglement.runs.shared import paid

    system, policy = ending(kind)
    runs, chain = runs_of(system, policy), system.under(policy)
    (flows,), met = teach(runs.walk(1, np.random.default_rng(0)), runs, 500)
    own = paid(runs, [flows], flows, met).local
    control = control_of(system, flows, 0.9, own, tables_of(runs, flows, 0.9, own))
    rng, k, many = np.random.default_rng(2), 6, 20_000
    tables = [rng.random(m) for m in system.spaces.pair_sizes]
    d = sum(t[chain.pairs[:, i]] for i, t in enumerate(tables))
    r, want = chain.reward(chain.read_rewards(None)), d.copy()
    for _ in range(k):
        want = r + 0.9 * chain.carry(want)
    x = 0  # from the first joint state several are reached
    states, actions = system.spaces.split(np.repeat(chain.pairs[[x]], many, axis=0))
    found = runs.rollouts(states, actions, (k,), 0.9, additive(tables), control, np.random.default_rng(1))
    for both in (found.g[:, :, 0], found.plain[:, :, 0]):
        assert np.abs(both.mean(axis=0) - (want - d)[x]).max() < 5 * both.std() / np.sqrt(many) + 1e-9
    assert found.g.std() < 0.9 * found.plain.std()


def test_joint_kernels_and_random_policies_gain_from_control_variates() -> None:
    system, policy = ending("joint")
    found = me.certify(
        me.value_decomposition(system.under(policy)), system, policy, steps=(40,), starts=1000, rng=0
    )
    assert found.variance_ratio[40] > 100


def test_a_shared_reward_is_certified() -> None:
    """Only the candidate and the joint reward are asked for."""
    reward = np.random.default_rng(4).normal(size=(6, 4))
    system = me.MultiAgentMDP(laws(0, 6, 4, 6), reward, n_states=(2, 3), n_actions=(2, 2), discount=0.8)
    policy = laws(5, 6, 4)
    p = np.einsum("sat,tb->satb", laws(0, 6, 4, 6), policy).reshape(24, 24)
    q = np.linalg.solve(np.eye(24) - 0.8 * p, reward.ravel())
    w, v = np.linalg.eig(p.T)
    mu = np.real(v[:, np.argmax(np.real(w))])
    mu /= mu.sum()
    pairs, _, _ = joint_laws(system)
    tables = [np.arange(4.0), -np.arange(6.0) / 3]
    for candidate, d in ((tables, tables[0][pairs[:, 0]] + tables[1][pairs[:, 1]]),
                         (lambda x: x[:, 0] * x[:, 1] / 9, pairs[:, 0] * pairs[:, 1] / 9)):  # fmt: skip
        found = me.certify(candidate, system, policy, steps=(50,), starts=2000, rng=0)
        low, high = found.l2[50]
        assert low <= np.sqrt(mu @ (q - d) ** 2) <= high < 1.15 * low
        assert found.variance_ratio[50] > 1
