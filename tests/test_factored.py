"""Factored systems (App. J.2) against brute force on raw arrays, closed forms, and runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.runs.factored import FactoredChain

#: The machine of the literature: chance to be up next, by own state and that of the machine before.
UP = {(0, 0): 0.02375, (0, 1): 0.0475, (1, 0): 0.475, (1, 1): 0.95}
REPAIR, NOISY = [[0.0, 1.0], [1.0, 0.0]], [[0.2, 0.8], [0.9, 0.1]]
READER = np.array([[[1, 0], [0, 1]], [[1, 0], [1, 0]]], dtype=float)


def machine(kappa: float = 0.5) -> np.ndarray:
    """(own pair, pair before, next state)."""
    up = np.ones((4, 4))
    for own, before in itertools.product((0, 1), repeat=2):
        up[2 * own, 2 * before : 2 * before + 2] = UP[own, 1] * (1.0 if before else kappa)
    return np.stack([1 - up, up], axis=2)


def ring(n: int, kernels: Any = None, **more: Any) -> Any:
    near = [(i, (i - 1) % n) for i in range(n)]
    given = {"neighbours": near, "discount": 0.95} | more
    return me.FactoredMDP([machine()] if kernels is None else kernels, [[0, 1]] * n, **given)


def lazily(system: Any, policy: Any) -> Any:
    """What `under` returns where the joint chain would not fit."""
    return FactoredChain(system, system.bind(policy))


def random_system(seed: int, near: list[tuple[int, ...]], states: list[int], actions: list[int]) -> Any:
    """Kernels, some of whose entries are 0, and rewards."""
    rng = np.random.default_rng(seed)
    m = [s * a for s, a in zip(states, actions, strict=True)]
    kernels = []
    for i, z in enumerate(near):
        k = rng.dirichlet(np.full(states[i], 0.7), size=tuple(m[j] for j in z))
        k *= rng.random(k.shape) < 0.8
        k[..., 0] += k.sum(axis=-1) == 0
        kernels.append(k / k.sum(axis=-1, keepdims=True))
    rewards = [rng.normal(size=(s, a)) for s, a in zip(states, actions, strict=True)]
    return me.FactoredMDP(kernels, rewards, neighbours=near, discount=0.9)


def brute(
    system: Any, law: Callable[[tuple[int, ...]], dict[tuple[int, ...], float]]
) -> tuple[Any, Any, Any]:
    """Joint pairs, transition and stationary law by loops over the raw kernels."""
    states = list(itertools.product(*(range(k.shape[-1]) for k in system.kernels)))
    widths = [k.shape[0] // k.shape[-1] for k in system.kernels]
    laws = {s: law(s) for s in states}
    pairs = [(s, a) for s in states for a in sorted(laws[s]) if laws[s][a] > 0]
    number = {x: k for k, x in enumerate(pairs)}
    p = np.zeros((len(pairs), len(pairs)))
    for k, (s, a) in enumerate(pairs):
        x = [s[i] * widths[i] + a[i] for i in range(len(s))]
        for t in states:
            chance = math.prod(
                system.kernels[i][(*(x[j] for j in z), t[i])] for i, z in enumerate(system.neighbours)
            )
            for b, q in laws[t].items():
                if q > 0:
                    p[k, number[t, b]] += chance * q
    a = np.vstack([p.T - np.eye(len(p)), np.ones(len(p))])
    mu = np.linalg.lstsq(a, np.append(np.zeros(len(p)), 1.0), rcond=None)[0]
    local = np.array([[s[i] * widths[i] + a[i] for i in range(len(s))] for s, a in pairs])
    return local, p, mu


def product_law(system: Any, tables: Any, reads: Any) -> Callable[[tuple[int, ...]], Any]:
    """The joint law of independent draws from tables that read states."""

    def law(s: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        own = [np.asarray(t)[tuple(s[j] for j in z)] for t, z in zip(tables, reads, strict=True)]
        joint = itertools.product(*(range(len(q)) for q in own))
        return {a: math.prod(float(q[k]) for q, k in zip(own, a, strict=True)) for a in joint}

    return law


CHAIN = [(0,), (1, 0), (2, 1)]
CYCLE = [(0, 2), (1, 0), (2, 1)]
STAR = [(0,), (1, 0), (2, 0), (3, 0)]
DENSE = [(0, 1, 2), (1, 2), (2, 0)]
CASES = [
    ("chain", CHAIN, [2, 3, 2], [2, 1, 2]),
    ("cycle", CYCLE, [2, 2, 2], [2, 2, 2]),
    ("star", STAR, [2, 2, 3, 2], [2, 1, 2, 1]),
    ("dense", DENSE, [3, 2, 2], [1, 2, 2]),
]


def tables_for(seed: int, near: Any, states: list[int], actions: list[int], own: bool) -> list[np.ndarray]:
    rng, out = np.random.default_rng(seed + 99), []
    for i, z in enumerate(near):
        t = rng.dirichlet(np.ones(actions[i]), size=tuple(states[j] for j in ((i,) if own else z)))
        if actions[i] > 1 and i == 0:
            t.reshape(-1, actions[i])[0] = np.eye(actions[i])[0]  # an action that is never taken there
        out.append(t)
    return out


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(("name", "near", "states", "actions"), CASES, ids=[c[0] for c in CASES])
def test_the_joint_chain_is_that_of_the_raw_arrays(
    name: str, near: Any, states: list[int], actions: list[int], own: bool
) -> None:
    system, tables = random_system(3, near, states, actions), tables_for(3, near, states, actions, own)
    policy = me.LocalPolicy(tables) if own else me.NeighbourPolicy(tables)
    reads = [(i,) for i in range(len(near))] if own else near
    local, p, mu = brute(system, product_law(system, tables, reads))
    chain = system.under(policy)
    assert chain.pairs.tolist() == local.tolist()
    assert np.abs(chain.apply(np.eye(len(p))) - p).max() < 1e-12
    assert np.abs(chain.occupancy - mu).max() < 1e-9
    r = sum(np.ravel(system.rewards.local[i])[local[:, i]] for i in range(len(near)))
    q = np.linalg.solve(np.eye(len(p)) - 0.9 * p, r)
    assert np.abs(me.value_decomposition(chain).joint_q - q).max() < 1e-9


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(("name", "near", "states", "actions"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.parametrize("seed", [1, 2, 4])
def test_neighbour_sets_and_the_joint_chain_agree(
    seed: int, name: str, near: Any, states: list[int], actions: list[int], own: bool
) -> None:
    """Over the reachable pairs always; over the recurrent ones where it says that it is exact, and never below."""
    system, tables = random_system(seed, near, states, actions), tables_for(seed, near, states, actions, own)
    policy = me.LocalPolicy(tables) if own else me.NeighbourPolicy(tables)
    few, joint = lazily(system, policy), system.under(policy)
    for support in ("reachable", "recurrent"):
        found = me.entanglement(few, "atv", support=support)
        truth = me.entanglement(joint, "atv", support=support).per_agent
        exact = np.ones(len(near), bool) if found.upper_bound is None else ~found.upper_bound
        assert np.abs(found.per_agent - truth)[exact].max(initial=0.0) < 1e-10
        assert (found.per_agent >= truth - 1e-10).all()
        assert support == "recurrent" or exact.all()
        assert np.abs([f.value - e for f, e in zip(found.fits, found.per_agent, strict=True)]).max() == 0.0


def test_rings_are_exact_by_neighbour_sets() -> None:
    for policy, value in (
        (me.LocalPolicy([REPAIR] * 6), 0.2375),
        (me.LocalPolicy([NOISY] * 6), 0.2375),
        (me.NeighbourPolicy([READER] * 6), 0.476532),
        ("uniform", 0.2375),
    ):
        found = me.entanglement(lazily(ring(6), policy), "atv")
        assert found.upper_bound is None and found.method == "exact"
        assert found.per_agent == pytest.approx(np.full(6, value), abs=6e-7)
        joint = me.entanglement(ring(6).under(policy), "atv")
        assert np.abs(found.per_agent - joint.per_agent).max() < 1e-10


def copies() -> Any:
    """Agents 1 and 3 copy the coin 0; agent 2 is up with chance .5 where they agree and .9 where not: never."""
    copy, third = np.zeros((2, 2, 2)), np.zeros((2, 2, 2, 2))
    copy[:, 0, 0] = copy[:, 1, 1] = 1.0
    for a, b in itertools.product((0, 1), repeat=2):
        third[:, a, b] = (0.5, 0.5) if a == b else (0.1, 0.9)
    return me.FactoredMDP(
        [np.full((2, 2), 0.5), copy, third, copy], neighbours=[(0,), (1, 0), (2, 1, 3), (3, 0)]
    )


def test_combinations_that_never_recur_make_an_upper_bound_and_it_says_so() -> None:
    joint, few = (me.entanglement(c, "atv") for c in (copies().under("uniform"), lazily(copies(), "uniform")))
    assert joint.per_agent.round(9).tolist() == [0, 0.5, 0, 0.5] and joint.upper_bound is None
    assert few.per_agent.round(9).tolist() == [0, 0.5, 0.2, 0.5]
    assert few.upper_bound.tolist() == [False, True, True, True]
    assert "3 of 4 E_i are upper bounds" in few.sentence
    told = few.to_dict()
    assert told["upper_bound"] == [False, True, True, True] and "may never recur" in told["caution"]
    rows = few.tables()["entanglement"]
    assert rows.columns["low"] == (None, 0.0, 0.0, 0.0) and rows.columns["high"][2] == pytest.approx(0.2)
    assert me.entanglement(lazily(copies(), "uniform"), "atv", support="reachable").upper_bound is None


def test_numbers_of_the_literature() -> None:
    """Rings of five and eight, reader and a single administrator (two independent programs)."""

    def admin(s: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        first = s.index(0) if 0 in s else None
        return {tuple(int(i == first) for i in range(len(s))): 1.0}

    def check(n: int, policy: Any, mu: Any, errors: tuple[float, ...]) -> None:
        chain = ring(n).under(policy)
        found, d = me.entanglement(chain).per_agent, me.value_decomposition(chain)
        assert found == pytest.approx(np.broadcast_to(mu, n), abs=6e-7)
        assert [d.error(k) for k in ("mu", "sup", "l2")] == pytest.approx(errors[:3], abs=6e-7)
        assert d.unexplained == pytest.approx(errors[3], abs=6e-7)

    check(5, me.LocalPolicy([REPAIR] * 5), 0.037987, (0.374034, 1.217430, 0.409863, 0.431473))
    check(7, me.LocalPolicy([REPAIR] * 7), 0.037987, (0.436226, 1.857046, 0.484983, 0.431488))
    check(5, me.NeighbourPolicy([READER] * 5), 0.043832, (0.506287, 29.424851, 0.655956, 0.476094))
    chain = ring(5).under(admin)
    assert me.entanglement(chain).per_agent == pytest.approx(
        (0.069441, 0.054837, 0.049359, 0.056036, 0.060851), abs=6e-7
    )
    assert me.entanglement(chain, "atv").per_agent == pytest.approx(
        (0.2375, 0.250625, 0.452126, 0.440257, 0.308372), abs=6e-7
    )
    assert me.value_decomposition(chain).unexplained == pytest.approx(0.455491, abs=6e-7)


def test_switched_off_coupling_measures_zero() -> None:
    """kappa = 1, and policies and kernels that read neighbours in vain."""
    independent = ring(4, [machine(1.0)])
    for policy in (me.LocalPolicy([NOISY] * 4), me.NeighbourPolicy([np.full((2, 2, 2), 0.5)] * 4)):
        assert me.entanglement(independent.under(policy)).per_agent.max() < 1e-12
        assert me.entanglement(lazily(independent, policy), "atv").per_agent.max() < 1e-9
        assert me.value_decomposition(independent.under(policy)).error("sup") < 1e-9


def test_a_large_ring_agent_by_agent() -> None:
    """Ten thousand machines with a kappa of their own: `.95 (1 - kappa)/2` each; 10^5 in `benchmarks/`."""
    n = 10_000
    kappa = np.random.default_rng(0).random(n)
    kernels = np.stack([machine(k) for k in kappa])
    system = ring(n, kernels)
    chain = system.under(me.LocalPolicy([REPAIR] * n))
    found = me.entanglement(chain, "atv")
    assert np.abs(found.per_agent - 0.95 * (1 - kappa) / 2).max() < 1e-12 and found.upper_bound is None
    assert np.array_equal(me.entanglement(chain, "atv", method="exact").per_agent, found.per_agent)
    assert system.kernels[7].base is not None and len({id(t) for t in system.bind("uniform").tables}) == 1


def test_mu_atv_by_runs_holds_the_endless_ring() -> None:
    n = 200
    for policy, truth in (
        (me.LocalPolicy([REPAIR] * n), 0.037987),
        (me.NeighbourPolicy([READER] * n), 0.043834),
    ):
        found = me.entanglement(ring(n).under(policy), rng=1)
        low, high = found.interval.T
        assert ((low <= truth) & (truth <= high)).mean() > 0.9 and not found.caution
        assert (found.per_agent <= found.cross_fitted + 1e-12).all() and (high - low).max() < 0.02
        again = me.entanglement(ring(n).under(policy), rng=1)
        assert np.array_equal(found.interval, again.interval)


def test_small_chains_are_simulated_alike() -> None:
    """On a graph with several shapes of agents, a rare combination included."""
    system = random_system(5, STAR, [2, 2, 3, 2], [2, 1, 2, 1])
    chain = system.under("uniform")
    truth = me.entanglement(chain).per_agent
    found = me.entanglement(chain, method="simulate", rng=2)
    assert ((found.interval[:, 0] <= truth) & (truth <= found.interval[:, 1])).all()
    assert found.local[0].shape == (16,) and found.local[2].shape == (36,)
    first = found.local[1].reshape(2, 2)
    assert np.abs(first.sum(axis=1) - 1).max() < 1e-9


def test_an_analysis_of_a_large_ring() -> None:
    answer = me.analyze(ring(16), me.LocalPolicy([REPAIR] * 16), rng=0)
    assert answer.verdict == "do-not-add"
    assert set(answer.entanglements) == {"mu-atv", "atv"}
    low, high = answer.to_dict()["values"]["intervals"]["unexplained"]
    assert low < 0.4315 < high < 0.6


def test_control_variates_know_what_neighbours_do() -> None:
    """They cut the noise of rollouts."""
    chain = ring(30).under(me.LocalPolicy([NOISY] * 30))
    tables = [np.array([16.0, 17.0, 18.0, 18.5])] * 30
    found = me.certify(tables, chain, steps=(4,), starts=400, rng=0)
    assert found.variance_ratio[4] > 2.0


def test_coupled_policies_are_run_but_not_enumerated() -> None:
    def one(s: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        return {tuple(int(i == s.index(0)) if 0 in s else 0 for i in range(len(s))): 1.0}

    chain = ring(24).under(one)
    for distance in ("atv", "mu-atv"):
        with pytest.raises((Unsupported, TooLarge)) as caught:
            me.entanglement(chain, distance)
        assert "LocalPolicy" in str(caught.value)
    path = me.simulate(ring(24), one, 50, rng=0)
    assert path.actions.sum(axis=1).max() == 1


def test_bad_neighbours_and_kernels_are_named() -> None:
    k, two = machine(), [(0, 1), (1, 0)]

    def refused(text: str, kernels: Any, near: Any, remedy: str = "") -> None:
        with pytest.raises(InvalidInput) as caught:
            me.FactoredMDP(kernels, neighbours=near)
        assert text in str(caught.value) and remedy in str(caught.value)

    refused("the own agent comes first", [k, k], [(0, 1), (0, 1)], "Write (1, 0)")
    assert me.FactoredMDP([k, k], neighbours=two).n_agents == 2
    refused("neighbours[0]", [k, k], [(0,), (1, 0)], "names too few")
    refused("neighbours[0]", [k[:, 0], k], two, "names too many")
    assert me.FactoredMDP([k[:, 0], k], neighbours=[(0,), (1, 0)]).neighbours == ((0,), (1, 0))
    refused("agents are 0..1", [k, k], [(0, 2), (1, 0)])
    refused("named once", [k, k], [(0, 0), (1, 0)])
    refused("2 kernels", [k, k], [(0, 1), (1, 2), (2, 0)], "a list of one for all")
    assert me.FactoredMDP([k], neighbours=[(0, 1), (1, 2), (2, 0)]).n_agents == 3
    refused("local pairs", [np.full((4, 6, 2), 0.5), k], two, "Order its axes")
    refused("kernels[1]", [k, 2 * k], two, "Divide each row by its sum")
    assert me.FactoredMDP([k, 2 * k], neighbours=two, normalize=True).rescaled == pytest.approx(1.0)
    refused("5 local pairs and 2 next states", [np.full((5, 2), 0.5)], [(0,)])
    refused("neighbours", [k, k], [])
    refused("itself first", [k, k], [(0, 1), 1])
    refused("integer", [k, k], [(0, 1.5), (1, 0)])


def test_policies_that_read_neighbours_need_them() -> None:
    policy = me.NeighbourPolicy([READER] * 2)
    with pytest.raises(Unsupported, match="FactoredMDP"):
        me.WeaklyCoupledMDP([np.full((2, 2, 2), 0.5)] * 2).under(policy)
    with pytest.raises(InvalidInput, match=r"\(S_i, S_j, ..., A_i\)"):
        ring(3).under(me.NeighbourPolicy([NOISY] * 3))
    with pytest.raises(InvalidInput, match=r"tables\[1\]"):
        me.NeighbourPolicy([READER, 2 * READER])


@pytest.mark.parametrize(
    "policy", [None, "uniform", me.LocalPolicy([NOISY] * 3), me.NeighbourPolicy([READER] * 3)]
)
def test_files_keep_every_bit(tmp_path: Path, policy: Any) -> None:
    different = random_system(7, CHAIN, [2, 3, 2], [2, 1, 2])
    for system in (ring(3), ring(3, np.stack([machine(k) for k in (0.3, 0.5, 0.6)])), different):
        if policy is not None and system is different:
            continue
        file = tmp_path / "system.toml"
        me.save(file, system, policy)
        again, read = me.load(file)
        assert again.neighbours == system.neighbours and type(read) is type(
            policy if policy != "uniform" else me.UniformPolicy()
        )
        assert all(np.array_equal(a, b) for a, b in zip(again.kernels, system.kernels, strict=True))
        assert all(
            np.array_equal(a, b) for a, b in zip(again.rewards.local, system.rewards.local, strict=True)
        )


def test_gallery_rings_of_any_size() -> None:
    subject = me.gallery.build("sysadmin-ring", n_machines=60, kappa=0.8)
    found = me.entanglement(subject.chain(), "atv").per_agent
    assert found == pytest.approx(np.full(60, 0.095), abs=1e-12)
    with pytest.raises(InvalidInput, match="kappa"):
        me.gallery.build("sysadmin-ring", kappa=1.5)
    large = me.entanglement(me.gallery.build("sysadmin-load", n_machines=30).chain(), "atv")
    assert large.upper_bound is None and large.per_agent == pytest.approx(np.full(30, 0.25), abs=1e-9)


def test_texts_mark_upper_bounds(tmp_path: Path) -> None:
    answer = me.analyze(lazily(copies(), "uniform"), rng=0)
    answer.save_json(tmp_path / "r.json")
    for text in (answer.summary(), me.read_result(tmp_path / "r.json").summary()):
        words = " ".join(text.split())
        assert "0.2000 at most" in words and "exact or at most" in words
        assert (
            "3 of 4 E_i are upper bounds, for some combinations of neighbours' pairs may never recur" in words
        )
