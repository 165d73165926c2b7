"""Both verdicts on planted systems; every certificate recomputed by independent code; malformed input refused."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.separable.decide import separability

SEEDS = st.integers(0, 2**32 - 1)


def answer_of(system: oracle.Planted, **options):
    chain = me.JointChain(system.p, system.sizes)
    if len(system.rows) == len(system.p):
        return separability(chain, **options)
    initial = np.zeros(len(system.p))
    initial[system.rows] = 1.0 / len(system.rows)
    return separability(chain.under(initial=initial), **options)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n_agents", [2, 3])
@pytest.mark.parametrize("kind", oracle.KINDS)
def test_planted_answers(kind: str, n_agents: int, sparse: bool) -> None:
    rng = np.random.default_rng(n_agents)
    for _ in range(8):
        system = oracle.planted(rng, kind, n_agents, sparse)
        answer = answer_of(system)
        assert (answer.agentwise, answer.verdict) == (system.agentwise, system.verdict)
        oracle.check_answer(answer, system)


@given(SEEDS, st.sampled_from([(2, 2), (2, 3), (2, 2, 2)]))
def test_restricted_supports_against_a_linear_program(seed: int, sizes: tuple[int, ...]) -> None:
    """Rows of a chain that sees part of the product: truth by linprog over the completed transitions."""
    system = oracle.cut(np.random.default_rng(seed), sizes)
    answer = answer_of(system)
    assert (answer.agentwise, answer.verdict) == (system.agentwise, system.verdict)
    oracle.check_answer(answer, system)


def frustrated() -> oracle.Planted:
    """Three rows ask a missing fourth one for x_0' = x_1' = x_2' != x_0': no equation fails, no completion exists."""
    sizes = (3, 3, 3)
    p = np.full((27, 27), np.nan)
    for x in itertools.product(range(3), repeat=3):
        law = np.zeros(sizes)
        for t in itertools.product((1, 2), repeat=3):
            ok = {(0, 0, 1): t[0] == t[1], (1, 0, 0): t[1] == t[2], (0, 1, 0): t[0] != t[2]}.get(x, True)
            law[t] = float(ok)
        p[np.ravel_multi_index(x, sizes)] = law.ravel() / law.sum()
    rows = [np.ravel_multi_index(x, sizes) for x in ((0, 0, 1), (1, 0, 0), (0, 1, 0))]
    rows += [np.ravel_multi_index(x, sizes) for x in itertools.product((1, 2), repeat=3)]
    return oracle.Planted("frustrated", p, sizes, np.sort(rows), "separable", "entangled")


def test_every_entry_of_the_completion_must_be_nonnegative() -> None:
    system = frustrated()
    answer = answer_of(system)
    assert (answer.agentwise, answer.verdict) == ("separable", "entangled")
    assert answer.equation is None and answer.inequality is not None
    law = system.p[system.rows]
    gap = oracle.check_inequality(answer.inequality, law, system.rows, system.sizes)
    assert gap == pytest.approx(answer.gap, abs=1e-7)
    assert gap > 0.1
    assert oracle.restricted_distance(law, system.sizes, system.rows) > 1e-3


@pytest.mark.parametrize(("states", "agents"), [(2, 3), (3, 3), (2, 4)])
def test_one_agent_served_at_random(states: int, agents: int) -> None:
    """Example 3.3 with more agents: the pairs are no product, the policy's decomposition proves separability."""
    rng = np.random.default_rng(states)
    kernels = [rng.dirichlet(np.ones(states), size=(2, states)) for _ in range(agents)]
    system = me.WeaklyCoupledMDP(kernels, [np.zeros(states)] * agents, discount=0.9, budget=1)
    chain = system.under(me.UniformPolicy())
    answer = separability(chain)
    assert (answer.agentwise, answer.verdict) == ("separable", "separable")
    at = np.ravel_multi_index(chain.pairs.T, chain.sizes)
    law = np.zeros((chain.n_pairs, int(np.prod(chain.sizes))))
    law[:, at] = chain.step.toarray()
    oracle.check_decomposition(answer.certificate.weights, answer.certificate.factors, law, at, chain.sizes)
    assert answer.certificate.n_terms == agents


def test_a_policy_decides_where_the_joint_matrix_cannot() -> None:
    """16,807 joint states, 84,035 joint pairs: one of five agents served at random; checked on sampled rows."""
    rng = np.random.default_rng(0)
    kernels = [rng.dirichlet(np.ones(7), size=(2, 7)) for _ in range(5)]
    system = me.WeaklyCoupledMDP(kernels, [np.zeros(7)] * 5, discount=0.9, budget=1)
    chain = system.under(me.UniformPolicy())
    answer = separability(chain)
    assert (answer.agentwise, answer.verdict) == ("separable", "separable")
    c = answer.certificate
    assert answer.residual <= 1e-12 and abs(c.weights.sum() - 1) <= 1e-12
    assert all(np.abs(f.sum(axis=2) - 1).max() <= 1e-12 and f.min() >= 0 for f in c.factors)
    for _ in range(200):  # P(x, x') = prod_i P_i(s_i'|s_i,a_i) / 5 when exactly one agent is served in x'
        x, y = chain.pairs[rng.integers(chain.n_pairs, size=2)]
        truth = np.prod([kernels[i][x[i] % 2, x[i] // 2, y[i] // 2] for i in range(5)]) / 5
        found = sum(
            w * np.prod([c.factors[i][j, x[i], y[i]] for i in range(5)]) for j, w in enumerate(c.weights)
        )
        assert abs(found - truth) <= 1e-14
        twice = y - y % 2 + 1  # everyone served: impossible
        assert (
            sum(
                w * np.prod([c.factors[i][j, x[i], twice[i]] for i in range(5)])
                for j, w in enumerate(c.weights)
            )
            <= 1e-14
        )


def test_size_stops_a_completion_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tol, "COMPLETION_ENTRIES", 700)
    answer = answer_of(frustrated())
    assert (answer.agentwise, answer.verdict) == ("separable", "undecided")
    assert "729 entries" in answer.note and "700" in answer.note
    assert answer.certificate is answer.equation is answer.inequality is None


def test_two_agents_without_room_for_the_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two agents: the agent-wise answer is the answer; the certificate is refused with its size."""
    p = oracle.separable(np.random.default_rng(0), (4, 4), sparse=False)
    monkeypatch.setattr(tol, "SEPARABLE_ENTRIES", 200)
    answer = separability(me.JointChain(p, (4, 4)))
    assert (answer.agentwise, answer.verdict, answer.certificate) == ("separable", "separable", None)
    assert "256 entries" in answer.note


@pytest.mark.parametrize("sizes", [(3, 3), (2, 2, 2)])
def test_between_the_tolerances_it_is_undecided_with_both_numbers(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    p = oracle.nudge(rng, oracle.separable(rng, sizes, sparse=False), sizes, 1e-9)
    answer = separability(me.JointChain(p, sizes))
    assert (answer.agentwise, answer.verdict) == ("undecided", "undecided")
    assert 1e-10 < answer.agentwise_residual <= answer.agentwise_gap < 1e-8
    assert answer.agentwise_gap == pytest.approx(2e-9, rel=1e-5)
    assert answer.residual > 1e-10 and answer.note
    wider, finer = (separability(me.JointChain(p, sizes), tolerance=t) for t in (1e-7, 1e-11))
    assert (wider.agentwise, wider.verdict) == ("separable", "separable")
    assert (finer.agentwise, finer.verdict) == ("entangled", "entangled")


@pytest.mark.parametrize("discount", [0.05, 0.5, 0.99])
def test_the_witness_works_at_every_discount(discount: float) -> None:
    rng = np.random.default_rng(5)
    for kind in ("entangled 1e-3", "entangled 1e-6", "random"):
        system = oracle.planted(rng, kind, 2, sparse=False)
        witness = answer_of(system, discount=discount).witness
        gap = oracle.check_witness(witness, system.p, system.rows, system.sizes)
        answer = answer_of(system)
        assert gap >= 0.5 * discount / (1.0 + discount) ** 2 * answer.agentwise_gap


def test_one_agent_is_separable() -> None:
    answer = separability(me.JointChain([[0.9, 0.1], [0.4, 0.6]], (2,)))
    assert (answer.agentwise, answer.verdict, answer.certificate.n_terms) == ("separable", "separable", 1)


def test_agents_with_a_single_pair_do_no_harm() -> None:
    p = np.kron([[0.9, 0.1], [0.4, 0.6]], np.eye(1))
    assert separability(me.JointChain(p, (2, 1))).verdict == "separable"
    assert separability(me.JointChain(p, (1, 2, 1))).certificate.n_terms == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_verdicts_do_not_depend_on_the_order_of_agents(order: tuple[int, ...]) -> None:
    rng = np.random.default_rng(9)
    for kind in ("separable", "pair 1e-3", "entangled 1e-3"):
        system = oracle.planted(rng, kind, 3, sparse=True)
        sizes = tuple(system.sizes[i] for i in order)
        cube = system.p.reshape(*system.sizes, *system.sizes)
        p = cube.transpose([*order, *(3 + i for i in order)]).reshape(system.p.shape)
        answer = separability(me.JointChain(p, sizes))
        assert (answer.agentwise, answer.verdict) == (system.agentwise, system.verdict)


def test_policies_that_leave_local_pairs_out() -> None:
    """Local pairs that never occur get copied rows; laws without rows are NaN, never numbers."""
    kernels = [np.random.default_rng(i).dirichlet(np.ones(2), size=(2, 2)) for i in range(2)]
    system = me.WeaklyCoupledMDP(kernels, [[0, 1], [0, 1]], discount=0.9)
    chain = system.under(me.LocalPolicy([[[1.0, 0.0], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]]))
    answer = separability(chain)
    assert answer.verdict == "separable" and answer.support == (8, 16)
    assert np.isnan(answer.local_laws[0][[1, 3]]).all()
    law = np.zeros((8, 16))
    at = np.ravel_multi_index(chain.pairs.T, (4, 4))
    law[:, at] = chain.step.toarray()
    oracle.check_decomposition(answer.certificate.weights, answer.certificate.factors, law, at, (4, 4))


def test_answers_are_plain_json() -> None:
    for kind in ("separable", "random", "pair 1e-3"):
        answer = answer_of(oracle.planted(np.random.default_rng(1), kind, 3, sparse=False))
        text = json.dumps(answer.to_dict(), allow_nan=False)
        assert json.loads(text)["verdict"] == answer.verdict
        assert answer.verdict in repr(answer)
        if answer.certificate is not None:
            json.dumps(answer.certificate.to_dict(), allow_nan=False)


def test_same_chain_same_bytes() -> None:
    system = oracle.planted(np.random.default_rng(4), "separable", 3, sparse=False)
    first, second = answer_of(system), answer_of(system)
    assert first.certificate.weights.tobytes() == second.certificate.weights.tobytes()
    assert not first.certificate.weights.flags.writeable


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"discount": 0.0}, "discount"),
        ({"discount": 1.0}, "discount"),
        ({"discount": "0.9"}, "discount"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": 1e-13}, "tolerance"),
        ({"tolerance": 0.5}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
    ],
)
def test_malformed_options(options: dict, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        separability(me.gallery.build("parity").chain(), **options)


def test_malformed_subjects() -> None:
    with pytest.raises(Unsupported):
        separability(np.eye(4))


# ---- negative controls: the checkers can fail -----------------------------------------------------------------


def test_the_checkers_reject_forgeries() -> None:
    rng = np.random.default_rng(11)
    good = oracle.planted(rng, "separable", 2, sparse=False)
    c = answer_of(good).certificate
    bad = c.weights.copy()
    bad[:2] += (1e-8, -1e-8)
    with pytest.raises(AssertionError, match="misses"):
        oracle.check_decomposition(bad, c.factors, good.p, good.rows, good.sizes)
    with pytest.raises(AssertionError):
        oracle.check_decomposition(c.weights, [2 * f for f in c.factors], good.p, good.rows, good.sizes)
    entangled = oracle.planted(rng, "random", 2, sparse=False)
    answer = answer_of(entangled)
    with pytest.raises(AssertionError):
        oracle.check_witness(answer.witness, good.p, good.rows, good.sizes)
    with pytest.raises(AssertionError):
        oracle.check_equation(
            answer.equation, np.roll(entangled.p, 1, axis=0), entangled.rows, entangled.sizes
        )
    system = frustrated()
    inequality = answer_of(system).inequality
    forged = type(inequality)(inequality.coefficients, inequality.bound + 1.0, inequality.value, 9.0)
    with pytest.raises(AssertionError):
        oracle.check_inequality(forged, system.p[system.rows], system.rows, system.sizes)
    with pytest.raises(AssertionError):
        mislabelled = oracle.Planted("x", good.p, good.sizes, good.rows, "entangled", "entangled")
        oracle.check_answer(answer_of(good), mislabelled)


def signed_policy(rng, n_states: tuple[int, ...], n_actions: tuple[int, ...]) -> np.ndarray:
    """(S, A) a box between two agents mixed with local choices; of each agent and state, some action is never used."""
    used = [
        [np.sort(rng.choice(a, size=max(2, a - 1), replace=False)) for _ in range(s)]
        for s, a in zip(n_states, n_actions, strict=True)
    ]
    i, j = (int(k) for k in rng.choice(len(n_states), size=2, replace=False))
    bits, share = [rng.integers(2, size=s) for s in n_states], rng.choice([1.0, 0.6])
    table = np.zeros((int(np.prod(n_states)), int(np.prod(n_actions))))
    local = [[rng.dirichlet(np.ones(len(u))) for u in row] for row in used]
    for s, state in enumerate(itertools.product(*map(range, n_states))):
        for picks in itertools.product(*(range(len(used[k][x])) for k, x in enumerate(state))):
            a = np.ravel_multi_index(
                [used[k][x][p] for k, (x, p) in enumerate(zip(state, picks, strict=True))], n_actions
            )
            each = [local[k][x][p] for k, (x, p) in enumerate(zip(state, picks, strict=True))]
            pair = 0.0
            if picks[i] < 2 and picks[j] < 2 and picks[i] ^ picks[j] == bits[i][state[i]] & bits[j][state[j]]:
                pair = 0.5
            others = np.prod([e for k, e in enumerate(each) if k not in (i, j)])
            table[s, a] = others * (share * pair + (1 - share) * each[i] * each[j])
    return table


@given(
    st.integers(0, 2**32 - 1), st.sampled_from([((2, 2), (3, 2)), ((2, 3), (3, 3)), ((2, 2, 2), (3, 2, 2))])
)
def test_certificates_of_policies_that_leave_actions_out(seed: int, spaces) -> None:
    """Their terms may use an action that the policy never does: the factors are transition matrices all the same."""
    n_states, n_actions = spaces
    rng = np.random.default_rng(seed)
    kernels = [rng.dirichlet(np.ones(s), size=(a, s)) for s, a in zip(n_states, n_actions, strict=True)]
    rewards = [np.zeros(s) for s in n_states]
    table = signed_policy(rng, n_states, n_actions)
    chain = me.WeaklyCoupledMDP(kernels, rewards, discount=0.9).under(table)
    answer = separability(chain)
    assert (answer.agentwise, answer.verdict) == ("separable", "separable")
    sizes = tuple(s * a for s, a in zip(n_states, n_actions, strict=True))
    rows, law = weakly_coupled_rows(kernels, table, n_states, n_actions)
    assert sorted(np.ravel_multi_index(chain.pairs.T, sizes)) == sorted(rows)
    oracle.check_decomposition(answer.certificate.weights, answer.certificate.factors, law, rows, sizes)


def weakly_coupled_rows(kernels, table, n_states, n_actions) -> tuple[np.ndarray, np.ndarray]:
    """Joint indices of the pairs that the policy allows, and their rows on the full product, by loops."""
    states, actions = (list(itertools.product(*map(range, k))) for k in (n_states, n_actions))
    sizes = [s * a for s, a in zip(n_states, n_actions, strict=True)]
    pairs = [(s, a) for s in range(len(states)) for a in range(len(actions)) if table[s, a] > 0]
    place = [
        np.ravel_multi_index(
            [u * k + v for u, v, k in zip(states[s], actions[a], n_actions, strict=True)], sizes
        )
        for s, a in pairs
    ]
    law = np.zeros((len(pairs), int(np.prod(sizes))))
    for x, (s, a) in enumerate(pairs):
        for y, (t, b) in enumerate(pairs):
            step = [k[v, u, w] for k, u, v, w in zip(kernels, states[s], actions[a], states[t], strict=True)]
            law[x, place[y]] = np.prod(step) * table[t, b]
    return np.array(place), law


def test_an_unused_action_in_a_box_policy() -> None:
    """Two agents answer as a Popescu-Rohrlich box with actions 0, 1 and never use action 2 (weights < 0 are needed)."""
    n = (2, 2), (3, 3)
    table = np.zeros((4, 9))
    for s, (u, v) in enumerate(itertools.product(range(2), repeat=2)):
        for a in range(2):
            table[s, 3 * a + (a ^ (u & v))] = 0.5
    kernels = [np.full((3, 2, 2), 0.5) for _ in range(2)]
    chain = me.WeaklyCoupledMDP(kernels, [[0, 1], [0, 1]], discount=0.9).under(table)
    c = separability(chain).certificate
    rows, law = weakly_coupled_rows(kernels, table, *n)
    assert c.weights.min() < 0
    oracle.check_decomposition(c.weights, c.factors, law, rows, (6, 6))


@given(SEEDS, st.sampled_from(["cut", "restricted", "random", "pair 1e-3"]), st.integers(2, 3), st.booleans())
def test_atv_over_all_pairs_is_zero_iff_agentwise_separable(
    seed: int, kind: str, n: int, sparse: bool
) -> None:
    system = oracle.planted(np.random.default_rng(seed), kind, n, sparse)
    initial = np.zeros(len(system.p))
    initial[system.rows] = 1.0 / len(system.rows)
    chain = me.JointChain(system.p, system.sizes).under(initial=initial)
    wide = me.entanglement(chain, "atv", support="reachable").per_agent.max()
    spread = oracle.largest_difference(system.p[system.rows], system.sizes, system.rows)
    assert spread / 4 - 1e-8 <= wide <= spread / 2 + 1e-8  # half of the widest TV, and no more than it
    assert (
        (wide < 1e-8) == (system.agentwise == "separable") == (separability(chain).agentwise == "separable")
    )
    assert me.entanglement(chain, "atv").per_agent.max() <= wide + 1e-8


def test_atv_over_the_recurrent_pairs_overlooks_transient_ones() -> None:
    """Agents that meet at (0, 0) and stay; before, agent 0 waits while agent 1 is away."""
    p = np.zeros((4, 4))
    p[0, 0] = p[1, 0] = p[2, 0] = p[3, 2] = 1.0
    chain = me.JointChain(p, (2, 2)).under()
    assert me.entanglement(chain, "atv").total < 1e-9 and me.entanglement(chain).total < 1e-9
    assert me.entanglement(chain, "atv", support="reachable").per_agent.tolist() == pytest.approx([0.5, 0])
    assert separability(chain).agentwise == "entangled"
