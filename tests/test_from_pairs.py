"""`JointChain.from_pairs`: the same answers as inside the full product, and nothing of that product."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import markov_entanglement as me
from brute import laws
from markov_entanglement.errors import InvalidInput


def random_chain(seed: int) -> tuple[Any, Any, tuple[int, ...]]:
    """A listed chain, the same in the product, and a start."""
    rng = np.random.default_rng([seed, 7])
    sizes = tuple(int(k) for k in rng.integers(2, 4, size=rng.integers(2, 4)))
    total = math.prod(sizes)
    at = rng.permutation(total)[: int(rng.integers(3, min(total, 9)))]
    p = laws(rng, len(at), len(at), zeros=0.3)
    wide = laws(rng, total, total)  # rows that nobody reads
    wide[at] = 0.0
    wide[np.ix_(at, at)] = p
    pairs = np.stack(np.unravel_index(at, sizes), axis=1)
    local = [rng.normal(size=k) for k in sizes]
    shared = rng.normal(size=total)
    more: dict[str, Any] = {"discount": 0.8, "labels": {"names": [f"a{i}" for i in range(len(sizes))]}}
    end = seed % 3 == 0
    if end:  # the last listed pair ends, the next task starts in the first
        more |= {"terminal": [tuple(map(int, pairs[-1]))], "restart": tuple(map(int, pairs[0]))}
    mine, whole = (shared[at], shared) if seed % 2 else (local, local)
    listed = me.JointChain.from_pairs(pairs, sp.csr_array(p), sizes=sizes, rewards=mine, **more)
    full = me.JointChain(wide, sizes, rewards=whole, **more)
    start = np.zeros(total)
    start[at[:-1] if end else at] = 1 / (len(at) - end)
    return listed.under(initial=start[at]), full.under(initial=start), sizes


def near(got: Any, want: Any, where: str) -> None:
    """Equal but for rounding, whatever is inside."""
    if isinstance(want, dict):
        assert set(got) == set(want), where
        for k in want:
            near(got[k], want[k], f"{where}.{k}")
    elif isinstance(want, list | tuple):
        assert len(got) == len(want), where
        for k, pair in enumerate(zip(got, want, strict=True)):
            near(*pair, f"{where}[{k}]")
    elif isinstance(want, float) and isinstance(got, float):
        assert math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-9), (where, got, want)
    else:
        assert got == want, where


@pytest.mark.parametrize("seed", range(12))
def test_values_and_laws_are_those_of_the_product(seed: int) -> None:
    listed, full, sizes = random_chain(seed)
    place = {tuple(map(int, x)): k for k, x in enumerate(full.pairs)}
    order = [place[tuple(map(int, x))] for x in listed.pairs]
    assert sorted(order) == list(range(full.n_pairs))
    for got, want in (
        (listed.occupancy, full.occupancy[order]),
        (me.value_decomposition(listed).joint_q, me.value_decomposition(full).joint_q[order]),
        (me.value_decomposition(listed).sum_q, me.value_decomposition(full).sum_q[order]),
        *((listed.next_law(i), full.next_law(i)[order]) for i in range(len(sizes))),
        *((me.entanglement(c, d).per_agent for c in (listed, full)) for d in ("mu-atv", "atv", "kernel")),
    ):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_an_analysis_is_that_of_the_product(seed: int) -> None:
    listed, full, _ = random_chain(seed)
    got, want = (me.analyze(c, rng=0).to_dict() for c in (listed, full))
    assert set(got) == set(want)
    for found in (got, want):  # points stand in the order of the pairs
        points = found["local_values"]["points"]
        points |= {k: sorted(points[k]) for k in ("q", "sum", "weight")}
    for key in set(want) - {
        "system",
        "verdict",
        "separability",
        "solvers",
    }:  # names, and proofs that are not unique
        near(got[key], want[key], key)
    assert got["verdict"]["word"] == want["verdict"]["word"]
    assert got["separability"]["verdict"] == want["separability"]["verdict"]
    assert me.check_system(listed).ok == me.check_system(full).ok


@pytest.mark.parametrize("seed", range(4))
def test_a_file_gives_the_same_chain(seed: int, tmp_path: Any) -> None:
    chain, _, _ = random_chain(seed)
    me.save(tmp_path / "listed.toml", chain.system)
    again, policy = me.load(tmp_path / "listed.toml")
    assert policy is None and "pairs = [" in (tmp_path / "listed.toml").read_text()
    assert (again.pairs == chain.system.pairs).all()
    assert (again.transition != chain.system.transition).nnz == 0
    assert repr(again) == repr(chain.system)
    me.save(tmp_path / "again.toml", again)
    assert (tmp_path / "again.toml").read_text() == (tmp_path / "listed.toml").read_text()


def ring(agents: int, length: int) -> tuple[np.ndarray, sp.csr_array]:
    """Token number k is with agent k mod N; it goes on with chance .9."""
    pairs = np.zeros((length, agents), dtype=int)
    pairs[np.arange(length), np.arange(length) % agents] = 1
    step = 0.1 * sp.eye_array(length) + 0.9 * sp.csr_array(np.roll(np.eye(length), 1, axis=1))
    return pairs, sp.csr_array(step)


@pytest.mark.parametrize("agents", (20, 80))
def test_products_beyond_any_index(agents: int, tmp_path: Any) -> None:
    """A token that goes round among agents of 4 local pairs: 4^80 joint pairs, of which 80 are there."""
    pairs, step = ring(agents, agents)
    rewards = [np.array([0.0, 1.0, 5.0, 5.0])] + [np.zeros(4)] * (agents - 1)
    system = me.JointChain.from_pairs(pairs, step, sizes=[4] * agents, rewards=rewards, discount=0.9)
    chain = system.under()
    np.testing.assert_allclose(chain.occupancy, 1 / agents, rtol=1e-9)
    # agent 0 earns 1 while it has the token: q(k) = [k = 0] + gamma (.1 q(k) + .9 q(k + 1))
    q = np.linalg.solve(np.eye(agents) - 0.9 * step.toarray(), np.eye(agents)[0])
    np.testing.assert_allclose(me.value_decomposition(chain).joint_q, q, atol=1e-12)
    # agent 0 without the token gets it with chance .9 from one pair of N - 1, never from the others: the median is 0
    assert me.entanglement(chain, "mu-atv").per_agent[0] == pytest.approx(0.9 / agents, abs=1e-12)
    assert me.check_system(system).ok and me.separability(system).agentwise == "entangled"
    assert me.local_polytope(system).verdict == "no-mixture"
    path = me.simulate(system, None, 50, rng=0)
    assert (path.states.sum(axis=1) == 1).all()
    me.save(tmp_path / "ring.toml", system)
    assert (me.load(tmp_path / "ring.toml")[0].pairs == pairs).all()


def test_an_analysis_beyond_any_index() -> None:
    pairs, step = ring(40, 40)
    system = me.JointChain.from_pairs(pairs, step, sizes=[4] * 40, rewards=[[0, 1, 0, 0]] * 40, discount=0.9)
    found = me.analyze(system, rng=0).to_dict()
    assert {r["name"] for r in found["refused"]} <= {"tv", "mu-tv", "interaction orders"}


def test_starts_ends_and_masks_are_of_the_list() -> None:
    pairs, p = [(2, 0), (0, 1), (1, 1)], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    given = {"rewards": [1.0, 2.0, 4.0], "discount": 0.5}
    by_mask = me.JointChain.from_pairs(
        pairs, p, terminal=[False, False, True], restart=[0.25, 0.75, 0], **given
    )
    by_pair = me.JointChain.from_pairs(pairs, p, terminal=[(1, 1)], restart=(2, 0), **given)
    assert (by_mask.under().states == [(2, 0), (0, 1)]).all()
    np.testing.assert_allclose(by_mask.under().occupancy, [0.2, 0.8])
    np.testing.assert_allclose(by_pair.under().occupancy, [0.5, 0.5])
    np.testing.assert_allclose(me.value_decomposition(by_pair).joint_q, [2.0, 2.0])
    plain = me.JointChain.from_pairs(pairs, p, **given)
    assert plain.under(initial=(0, 1)).initial.tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(plain.under(initial=[0, 0.5, 0.5]).initial, [0, 0.5, 0.5])


PAIRS, P = [(0, 0), (1, 1)], [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("pairs", "transition", "more", "says"),
    [
        ([(0, 0), (0, 0)], P, {}, "(0, 0) twice"),
        ([(0, 0), (1, -1)], P, {}, "pairs[1][1]: got -1"),
        (PAIRS, P, {"sizes": (2, 1)}, "pairs[1][1]: got 1"),
        (PAIRS, P, {"sizes": (2, 2, 2)}, "rows of 2; there are 3 sizes"),
        ([(0.0, 0.0), (1.0, 1.0)], P, {}, "float64 entries"),
        ([], P, {}, "entries of shape 0"),
        ([0, 1], P, {}, "entries of shape 2"),
        ([(0, 0), (1,)], P, {}, "pairs[1]: got shape 1"),
        ("ab", P, {}, "pairs: got"),
        (None, P, {}, "pairs: got"),
        (PAIRS, np.eye(4), {}, "2 pairs ask for 2x2"),
        (PAIRS, [[0.5, 0.4], [0.5, 0.5]], {}, "each row must sum to 1"),
        (PAIRS, P, {"rewards": [1.0, 2.0, 3.0]}, "rewards: got 3 entries"),
        (PAIRS, P, {"terminal": [(0, 1)]}, "terminal: got (0, 1); it is none of the 2 in `pairs`"),
        (PAIRS, P, {"terminal": [(1, 1)], "restart": (1, 0)}, "restart: got (1, 0); it is none"),
        (PAIRS, P, {"terminal": [True]}, "E.g. terminal=[(1, 1)]"),
    ],
)
def test_what_is_refused(pairs: Any, transition: Any, more: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as error, warnings.catch_warnings():
        me.JointChain.from_pairs(pairs, transition, **more)
    assert says in str(error.value)


def test_a_start_that_is_not_listed() -> None:
    chain = me.JointChain.from_pairs(PAIRS, P)
    with pytest.raises(InvalidInput, match=r"initial: got \(0, 1\); it is none of the 2"):
        chain.under(initial=(0, 1))
    with pytest.raises(InvalidInput, match=r"got \(0, 1\); it is none of the 2"):
        me.simulate(chain, None, 3, start=(0, 1), rng=0)


def test_remedies_are_true() -> None:
    """Follow each: number from 0, drop the double row with its row and column, list the pairs of the rows."""
    with pytest.raises(InvalidInput, match="from_pairs"):
        me.JointChain(P, (2, 2))
    assert me.JointChain.from_pairs(PAIRS, P).n_agents == 2
    assert me.JointChain.from_pairs(PAIRS, P, terminal=[(1, 1)], restart=(0, 0)).under().n_pairs == 1
