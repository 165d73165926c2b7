"""Tasks that end (spec 9.1): against raw arrays, closed forms, and every remedy of every refusal."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

import markov_entanglement as me
import oracles_ends as oracle
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput, Unsupported
from oracles_ends import Ending

D05_LIVE = [(0, 0), (0, 1), (1, 0), (1, 1)]
D05_ENDS = [s for s in itertools.product(range(3), repeat=2) if 2 in s]
D05_REWARDS = [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]]


def d05(end: float = 0.2) -> np.ndarray:
    """Live (x, y): with chance .2 both end, else agent 0 copies y and agent 1 is drawn anew."""
    p = np.zeros((3, 3, 3, 3))
    p[2, :, 2, 2] = p[:, 2, 2, 2] = 1.0
    for x, y in D05_LIVE:
        p[x, y, 2, 2] = end
        p[x, y, y, :2] = (1 - end) / 2
    return p.reshape(9, 9)


def d05_chain(**ends: object) -> me.JointChain:
    return me.JointChain(d05(), (3, 3), rewards=D05_REWARDS, discount=0.9, **ends)


def two_agents() -> me.JointChain:
    """Independent agents with rows .7, .3 / .4, .6; the task ends with chance .1 or .5 as agent 1 is in 0 or 1."""
    row, chance = np.array([[0.7, 0.3], [0.4, 0.6]]), (0.1, 0.5)
    p = np.zeros((2, 3, 2, 3))
    for x, y, s, t in itertools.product(range(2), repeat=4):
        p[x, y, s, t] = (1 - chance[y]) * row[x, s] * row[y, t]
        p[x, y, 0, 2] = chance[y]
    restart = np.array([[0.25, 0.25, 0.0]] * 2).ravel()
    return me.JointChain(p.reshape(6, 6), (2, 3), rewards=[[1, -1], [0, 0.5, 9]], discount=0.9,
                         terminal=[(0, 2), (1, 2)], restart=restart)  # fmt: skip


def uniform_restart() -> np.ndarray:
    rho = np.zeros((3, 3))
    rho[:2, :2] = 0.25
    return rho.ravel()


def test_d05() -> None:
    chain = d05_chain(terminal=D05_ENDS, restart=uniform_restart()).under()
    assert chain.pairs.tolist() == [list(s) for s in D05_LIVE] and chain.ends.tolist() == pytest.approx(
        [0.2] * 4
    )
    for distance in ("mu-atv", "atv"):
        assert me.entanglement(chain, distance).per_agent == pytest.approx([0.4, 0.0], abs=1e-12)
    found = me.value_decomposition(chain)
    assert found.joint_q == pytest.approx([1.72, 0.28, -0.28, -1.72], abs=1e-12)
    assert found.error() == pytest.approx(0.72, abs=1e-12)
    assert found.unexplained == pytest.approx(0.5843047, abs=5e-8)
    assert me.analyze(chain).verdict == "do-not-add"


def test_two_agents_of_the_specification() -> None:
    chain = two_agents().under()
    assert me.entanglement(chain).per_agent == pytest.approx([0.1662338, 0.0], abs=5e-8)
    assert me.entanglement(chain, "atv").per_agent == pytest.approx([0.2, 0.0], abs=1e-9)
    found = me.value_decomposition(chain)
    assert [found.error(), found.error("sup"), found.unexplained] == pytest.approx(
        [0.0899954, 0.1711546, 0.0910864], abs=5e-8
    )


@pytest.mark.parametrize("seed", range(4))
def test_no_bound_and_no_bracket_is_violated(seed: int) -> None:
    """A seeded share of `benchmarks/bench_ends.py`."""
    rng = np.random.default_rng([7, seed])
    names = set()
    for _ in range(15):
        for name, low, high, noise in oracle.claims(oracle.draw(rng)):
            assert low <= high + noise, (name, low, high)
            names.add(name)
    assert len(names) > 50


@pytest.mark.parametrize("seed", range(6))
def test_measures_against_linear_programs(seed: int) -> None:
    task = oracle.draw(np.random.default_rng([8, seed]))
    chain, truth = task.system.under(task.policy), task.truth
    at = truth.position(chain)
    assert chain.occupancy[at] == pytest.approx(truth.mu, abs=1e-10)
    assert chain.ends[at] == pytest.approx(truth.ends, abs=1e-14)
    for i in range(chain.n_agents):
        assert chain.next_law(i)[at] == pytest.approx(truth.next_law(i), abs=1e-12)
        seen = ~np.isnan(truth.local_transition(i)[:, 0])
        assert chain.local_transition(i)[seen] == pytest.approx(truth.local_transition(i)[seen], abs=1e-10)
        assert me.entanglement(chain).per_agent[i] == pytest.approx(truth.mu_atv(i), abs=1e-8)
        assert me.entanglement(chain, "atv").per_agent[i] == pytest.approx(truth.atv(i), abs=1e-7)
    f = np.random.default_rng(seed).normal(size=chain.n_pairs)
    assert chain.carry(f)[at] == pytest.approx(truth.pc @ f[at], abs=1e-12)
    assert chain.apply(f)[at] == pytest.approx(truth.p @ f[at], abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_spectral_measure_is_the_norm_of_its_operator(seed: int) -> None:
    """`(I - Pi_i) P_c` on functions of x_i, 0 once the task has ended, in L2(mu); by a singular value."""
    task = oracle.draw(np.random.default_rng([9, seed]))
    chain, truth = task.system.under(task.policy), task.truth
    sigma = me.entanglement(chain, "spectral").per_agent
    on = np.flatnonzero(truth.mu > 0)
    for i, m in enumerate(truth.sizes):
        law = truth.next_law(i)[:, :m]
        share = np.zeros(m)
        mean = np.zeros((m, m))
        for x in on:
            share[truth.pairs[x][i]] += truth.mu[x]
            mean[truth.pairs[x][i]] += truth.mu[x] * law[x]
        seen = share > 0
        mean[seen] /= share[seen, None]
        off = np.array([law[x] - mean[truth.pairs[x][i]] for x in on])[:, seen]
        matrix = np.sqrt(truth.mu[on])[:, None] * off / np.sqrt(share[seen])
        assert sigma[i] == pytest.approx(np.linalg.svd(matrix)[1][0], abs=1e-7)


def test_a_constant_reward_is_not_free_where_another_agent_ends_the_task() -> None:
    """Rewards of span 0 and values that are not additive: half the span must count the 0 after the end."""
    system, ones = two_agents(), [np.ones(2), np.ones(3)]
    found = me.value_decomposition(system.under(), ones, 0.9)
    assert found.error() > 0.05
    bounds = me.error_bounds(found, [me.entanglement(found.chain, d) for d in ("mu-atv", "atv")])
    assert {b.distance for b in bounds} >= {"mu-atv", "atv", "spectral", "mu-atv plug-in", "atv plug-in"}
    assert all(b.value >= b.truth > 0 for b in bounds)


def test_policy_and_kernel_bound_together_where_tasks_end() -> None:
    """Independent agents without actions: the policy part is 0, and E is not, for the other ends the task."""
    arms = [
        np.array([[[0.7, 0.3, 0.0], [0.4, 0.6, 0.0], [0, 0, 1]]]),
        np.array([[[0.5, 0.4, 0.1], [0.2, 0.3, 0.5], [0, 0, 1]]]),
    ]
    ends = [s for s in itertools.product(range(3), repeat=2) if 2 in s]
    system = me.WeaklyCoupledMDP(arms, [[0, 1, 0], [0, 0, 0]], discount=0.9, terminal=ends, restart=(0, 0))
    chain = system.under(me.UniformPolicy())
    e, policy = me.entanglement(chain), me.entanglement(chain, "policy")
    assert policy.total == 0 and e.per_agent[0] > 0.05
    names = {b.distance for b in me.error_bounds(me.value_decomposition(chain), [policy, e])}
    assert "policy" not in names and "mu-atv" in names


# --- what is given ----------------------------------------------------------------------------------------


def numbers(system: me.JointChain) -> list[bytes]:
    chain = system.under()
    return [me.value_decomposition(chain).joint_q.tobytes(), chain.occupancy.tobytes()]


def test_rows_of_terminal_states_are_ignored() -> None:
    at = [3 * a + b for a, b in D05_ENDS]
    right = numbers(d05_chain(terminal=D05_ENDS, restart=(0, 0)))
    for junk in (0.0, np.nan, 17.0, -1.0):
        p = d05()
        p[at] = junk
        for given in (p, sp.csr_array(p), p.tolist()):
            system = me.JointChain(
                given, (3, 3), rewards=D05_REWARDS, discount=0.9, terminal=D05_ENDS, restart=(0, 0)
            )
            assert numbers(system) == right
        sizes = {
            "n_states": (3, 3),
            "n_actions": (1, 1),
            "discount": 0.9,
            "terminal": D05_ENDS,
            "restart": (0, 0),
        }
        for kernel in (p[:, None], [sp.csr_array(p)]):
            mdp = me.MultiAgentMDP(kernel, D05_REWARDS, **sizes)
            table = np.ones((9, 1))
            table[at] = junk
            for policy in (me.UniformPolicy(), table, sp.csr_array(table)):
                found = me.value_decomposition(mdp.under(policy))
                assert [found.joint_q.tobytes(), found.chain.occupancy.tobytes()] == right
    with pytest.raises(InvalidInput, match="sum to 1"):  # live rows are laws as ever
        me.JointChain(0.5 * d05(), (3, 3), terminal=D05_ENDS, restart=(0, 0))
    with pytest.raises(InvalidInput, match="9x9"):
        me.JointChain(np.eye(4), (3, 3), terminal=D05_ENDS)


def test_ways_to_say_the_same() -> None:
    mask = np.isin(np.arange(9), [3 * a + b for a, b in D05_ENDS])
    law = np.zeros(9)
    law[1] = 1.0
    right = numbers(d05_chain(terminal=D05_ENDS, restart=(0, 1)))
    for terminal in (
        mask,
        mask.tolist(),
        np.array(D05_ENDS),
        [*D05_ENDS, (2, 2)],
        [list(s) for s in D05_ENDS],
    ):
        for restart in ((0, 1), [0, 1], np.array([0, 1]), law, law.tolist()):
            system = d05_chain(terminal=terminal, restart=restart)
            assert numbers(system) == right
            assert (
                system.ends.terminal.tolist() == [2, 5, 6, 7, 8]
                and system.ends.restart.tolist() == law.tolist()
            )
    assert d05_chain().ends is None and d05_chain(terminal=[]).ends is None
    later = d05_chain(terminal=D05_ENDS)
    assert later.ends.restart is None
    again = me.value_decomposition(later.under(initial=(0, 1)))
    assert again.joint_q.tobytes() == right[0] and again.chain.initial.tolist() == [0, 1, 0, 0]


def test_the_chain_is_closed_under_restart() -> None:
    """From (0, 0) alone agent 0 stays 0 until the restart in (1, 1)."""
    p = d05()
    p[0] = 0.0
    p[0, 0], p[0, 8] = 0.9, 0.1
    system = me.JointChain(p, (3, 3), terminal=[(2, 2)], restart=(1, 1))
    assert {tuple(x) for x in system.under(initial=(0, 0)).states.tolist()} == set(D05_LIVE)
    here = me.JointChain(p, (3, 3), terminal=[(2, 2)]).under(initial=(0, 0))
    assert here.states.tolist() == [[0, 0]] and here.ends == pytest.approx([0.1])
    every = system.under()  # unreached, but live: (2, 0) and the like start nowhere and are kept
    assert len(every.states) == 8 and every.recurrent.sum() == 4


REFUSED = {
    "no restart": (lambda: d05_chain(terminal=D05_ENDS).under(), ("restart", "no `initial`", "`initial`")),
    "no end": (lambda: d05_chain(restart=(0, 0)), ("restart", "without `terminal`")),
    "all end": (lambda: d05_chain(terminal=np.ones(9, bool), restart=(0, 0)), ("terminal", "every joint state")),
    "restart in the end": (lambda: d05_chain(terminal=D05_ENDS, restart=(2, 0)), ("restart", "(2, 0)", "live")),
    "restart law in the end": (
        lambda: d05_chain(terminal=D05_ENDS, restart=np.full(9, 1 / 9)), ("restart", "(0, 2)", "live"),
    ),
    "start in the end": (
        lambda: d05_chain(terminal=D05_ENDS, restart=(0, 0)).under(initial=(2, 2)), ("initial", "(2, 2)", "live"),
    ),
    "simulated start": (
        lambda: me.simulate(d05_chain(terminal=D05_ENDS, restart=(0, 0)), None, 3, rng=0, start=(2, 2)),
        ("start", "(2, 2)", "live"),
    ),
    "simulated without restart": (
        lambda: me.simulate(d05_chain(terminal=D05_ENDS), None, 3, rng=0), ("restart", "no `start`"),
    ),
    "one state": (lambda: d05_chain(terminal=(2, 2)), ("terminal", "list of joint states", "[(2, 2)]")),
    "short mask": (lambda: d05_chain(terminal=[True, False]), ("terminal", "mask of 9")),
    "indices": (lambda: d05_chain(terminal=[8]), ("terminal", "2 local states each")),
    "floats": (lambda: d05_chain(terminal=[(2.0, 2.0)]), ("terminal", "float64")),
    "text": (lambda: d05_chain(terminal="end"), ("terminal", "list of joint states")),
    "set": (lambda: d05_chain(terminal={(2, 2)}), ("terminal", "list of joint states")),
    "ragged": (lambda: d05_chain(terminal=[(2, 2), (1,)]), ("terminal", "ragged")),
    "out of range": (lambda: d05_chain(terminal=[(2, 2), (0, 3)]), ("terminal[1][1]", "3", "0..2")),
    "negative": (lambda: d05_chain(terminal=[(-1, 2)]), ("terminal[0][0]", "-1")),
    "restart of another shape": (
        lambda: d05_chain(terminal=D05_ENDS, restart=(0, 0, 0)), ("restart", "joint state", "law over 9"),
    ),
    "restart that is no law": (lambda: d05_chain(terminal=D05_ENDS, restart=[0.5] * 9), ("restart", "sum")),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(InvalidInput) as e:
        call()
    assert all(w in str(e.value) for w in words), str(e.value)


def test_what_the_refusals_advise_works() -> None:
    ends = d05_chain(terminal=D05_ENDS)
    assert ends.under(initial=(0, 0)).ends is not None
    assert d05_chain(terminal=D05_ENDS, restart=(0, 0)).under().ends is not None
    assert me.simulate(ends, None, 5, rng=0, start=(0, 1)).states[0].tolist() == [0, 1]
    with pytest.raises(InvalidInput) as e:
        d05_chain(terminal=(2, 2))
    assert d05_chain(
        terminal=eval(str(e.value).split("terminal=")[1].rstrip("."))
    ).ends.terminal.tolist() == [8]


# --- undeclared ends --------------------------------------------------------------------------------------


def test_an_undeclared_end_is_seen_and_the_advice_works() -> None:
    labels = {"names": ["robot", "cart"], "states": ["low", "high", "done"]}
    system = me.JointChain(d05(), (3, 3), rewards=D05_REWARDS, discount=0.9, labels=labels)
    said = system.under(initial=(0, 1)).absorbed
    assert said is not None and "(done, done)" in said and "terminal=[(2, 2)], restart=(0, 1)" in said
    declared = me.JointChain(
        d05(), (3, 3), rewards=D05_REWARDS, discount=0.9, terminal=[(2, 2)], restart=(0, 1)
    )
    chain = declared.under(initial=(0, 1))
    assert not chain.absorbed and chain.recurrent.sum() == 4
    assert me.value_decomposition(chain).unexplained > 0.3


def test_several_undeclared_ends() -> None:
    """Won in (2, 2), lost in (0, 2)."""
    p = d05()
    p[2], p[0, 2] = np.eye(9)[2], 0.1
    p[0, 8] -= 0.1
    said = me.JointChain(p, (3, 3)).under().absorbed
    assert said is not None and "(0, 2) or (2, 2)" in said and "terminal=[(0, 2), (2, 2)]" in said


def test_no_end_is_seen_where_there_is_none() -> None:
    assert two_agents().under().absorbed == ""
    assert me.gallery.build("circulant").chain().absorbed == ""
    only = np.tile(np.eye(4)[0], (4, 1))  # all live states are left at once: still one state for good
    assert me.JointChain(only, (2, 2)).under().absorbed
    assert me.JointChain(only, (2, 2)).under(initial=(0, 0)).absorbed == ""  # nothing else is live
    swap = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0.5, 0, 0, 0.5], [0, 0.5, 0.5, 0]])
    assert me.JointChain(swap, (2, 2)).under().absorbed == ""
    for rewards in ([0, 1, 2, 2], [0, 0, 0, 0]):  # the two pay, or nothing does: an ordinary long run
        assert me.JointChain(swap, (2, 2), rewards=rewards).under().absorbed == ""


def test_an_end_of_two_states_is_seen_where_nothing_is_paid_any_more() -> None:
    swap = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0.5, 0, 0, 0.5], [0, 0.5, 0.5, 0]])
    given = {"rewards": [0, 0, 2, 1], "discount": 0.9}
    system = me.JointChain(swap, (2, 2), **given)
    said = system.under(initial=(1, 1)).absorbed
    assert (
        "nothing is paid any more, in (0, 0) or (0, 1)" in said and "about the other 2 joint states" in said
    )
    assert "terminal=[(0, 0), (0, 1)], restart=(1, 1)" in said
    assert me.analyze(system).verdict == "cannot-tell" and "terminal=" in me.analyze(system).sentence
    declared = me.JointChain(swap, (2, 2), **given, terminal=[(0, 0), (0, 1)], restart=(1, 1)).under()
    assert declared.absorbed == "" and declared.recurrent.sum() == 2
    assert np.isfinite(me.value_decomposition(declared).unexplained)


# --- the other questions ----------------------------------------------------------------------------------


def test_product_kernels_agree_with_explicit_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    arms = [rng.dirichlet(np.ones(3), size=(2, 3)) for _ in range(3)]
    ends = [s for s in itertools.product(range(3), repeat=3) if s.count(2) >= 2]
    restart = np.zeros((3, 3, 3))
    restart[:2, :2, 0] = 0.25
    system = me.WeaklyCoupledMDP(
        arms, [[0, 1, 2]] * 3, discount=0.9, budget=1, terminal=ends, restart=restart.ravel()
    )
    policy = me.IndexPolicy([0, 1, 1])
    explicit = system.under(policy)
    assert explicit.kernel.matrix is not None
    monkeypatch.setattr(tol, "EXPLICIT_KERNEL", 0)
    product = system.under(policy)
    assert product.kernel.carried is None and product.kernel.matrix is None
    assert product.ends == pytest.approx(explicit.ends, abs=1e-14)
    assert product.occupancy == pytest.approx(explicit.occupancy, abs=1e-12)
    assert product.classes.label.tolist() == explicit.classes.label.tolist()
    assert me.entanglement(product).per_agent == pytest.approx(me.entanglement(explicit).per_agent, abs=1e-10)
    for kind in ("Q", "V"):
        ours, theirs = (
            me.value_decomposition(c, [[0, 1, 2]] * 3, 0.9, kind=kind) for c in (product, explicit)
        )
        assert ours.error() == pytest.approx(theirs.error(), abs=1e-9)
    assert me.check_system(system, policy).ok


def test_state_values() -> None:
    """V of tasks that end: the state chain, by hand."""
    rng = np.random.default_rng(5)
    kernel, table = rng.dirichlet(np.ones(6), size=(6, 4)), rng.dirichlet(np.ones(4), size=6)
    terminal, restart = {1, 5}, np.array([0.5, 0, 0.25, 0.25, 0, 0])
    system = me.MultiAgentMDP(kernel, [[1, 2], [0, -1, 3]], n_states=(2, 3), n_actions=(2, 2), discount=0.9,
                              terminal=[(0, 1), (1, 2)], restart=restart)  # fmt: skip
    found = me.value_decomposition(system.under(table), kind="V")
    live = [0, 2, 3, 4]
    step = np.einsum("sa,sat->st", table, kernel)
    r = np.array([[1, 2][s] + [0, -1, 3][t] for s in range(2) for t in range(3)], float)
    v = np.linalg.solve(np.eye(4) - 0.9 * step[np.ix_(live, live)], r[live])
    assert found.joint_v == pytest.approx(v, abs=1e-10)
    truth = Ending(step[:, None], np.ones((6, 1)), (2, 3), (1, 1), terminal, restart)
    local = [truth.local_q(i, np.array(t, float), 0.9) for i, t in enumerate([[1, 2], [0, -1, 3]])]
    for ours, theirs in zip(found.local_v, local, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9, nan_ok=True)


def test_joint_additive_values_are_projected_bellman() -> None:
    chain = two_agents().under()
    found = me.additive_values(chain)
    rewards = [np.array([1, -1.0]), np.array([0, 0.5, 9])]
    p = two_agents().transition.toarray()
    live = [0, 1, 3, 4]
    pc = p[np.ix_(live, live)]
    mu, pairs = chain.occupancy, [(0, 0), (0, 1), (1, 0), (1, 1)]
    r = np.array([rewards[0][a] + rewards[1][b] for a, b in pairs])
    features = np.array([[a == 0, a == 1, b == 0, b == 1] for a, b in pairs], float)
    project = features @ np.linalg.pinv(np.sqrt(mu)[:, None] * features) * np.sqrt(mu)
    d = np.linalg.solve(np.eye(4) - 0.9 * project @ pc, project @ r)
    assert found.sum_q == pytest.approx(d, abs=1e-10)
    q = np.linalg.solve(np.eye(4) - 0.9 * pc, r)
    assert found.error("l2") == pytest.approx(np.sqrt(mu @ (q - d) ** 2), abs=1e-10)


def test_separability() -> None:
    entangled = me.separability(two_agents())
    assert entangled.agentwise == entangled.verdict == "entangled" and entangled.witness.agent == 0
    assert entangled.agentwise_gap == pytest.approx(
        0.8
    )  # the rows of agent 0 are (.63, .27, .1) and (.35, .15, .5)
    x, y = entangled.witness.rows
    chain = two_agents().under()
    q = me.value_decomposition(chain, entangled.witness.rewards, 0.9).joint_q
    assert q[x] - q[y] == pytest.approx(entangled.witness.gap) and chain.pairs[x, 0] == chain.pairs[y, 0]
    # ended by a coin that nobody sees: each agent's law of (next pair or end) is its own
    row = np.array([[0.7, 0.3, 0], [0.4, 0.6, 0], [0, 0, 1]])
    for n in (2, 3):
        p = 0.8 * (np.kron(row, row) if n == 2 else np.kron(np.kron(row, row), row))
        p[:, -1] += 0.2
        ends = [s for s in itertools.product(range(3), repeat=n) if 2 in s]
        coin = me.JointChain(p / p.sum(axis=1, keepdims=True), (3,) * n, terminal=ends, restart=(0,) * n)
        answer = me.separability(coin)
        assert answer.agentwise == "separable" and answer.witness is None
        assert answer.verdict == ("separable" if n == 2 else "undecided") and "end" in answer.note
        found = me.value_decomposition(coin.under(), [np.array([1.0, k, 0]) for k in range(n)], 0.9)
        assert found.error("sup") < 1e-12


def test_joint_distances_are_refused_by_name() -> None:
    for distance in ("tv", "mu-tv"):
        with pytest.raises(Unsupported, match=f"{distance} on tasks that end.*Use 'atv' or 'mu-atv'"):
            me.entanglement(two_agents(), distance)
    found = me.analyze(two_agents(), distances=["tv", "mu-atv"])
    assert dict(found.refused).keys() == {"tv"} and found.verdict == "do-not-add"


def test_analysis_has_every_part() -> None:
    found = me.analyze(two_agents())
    assert found.verdict == "do-not-add" and found.breakdown is not None and found.additive is not None
    assert found.breakdown.remaining[0, 1] == pytest.approx(0.0, abs=1e-12)  # agent 1 explains all of it
    assert me.check_system(two_agents()).ok


def test_optimal_policy_of_a_task() -> None:
    rng = np.random.default_rng(11)
    kernel, rewards = rng.dirichlet(np.ones(6), size=(6, 4)), rng.normal(size=(6, 4))
    kernel[4] = 0.0
    system = me.MultiAgentMDP(
        kernel, rewards, n_states=(2, 3), n_actions=(2, 2), discount=0.9, terminal=[(1, 1)]
    )
    chosen = me.optimal_policy(system).table.toarray().argmax(axis=1)
    v = np.zeros(6)
    for _ in range(600):
        v = (rewards + 0.9 * kernel @ v).max(axis=1)
        v[4] = 0.0
    live = [s for s in range(6) if s != 4]
    assert chosen[live].tolist() == (rewards + 0.9 * kernel @ v).argmax(axis=1)[live].tolist()
    chain = system.under(me.optimal_policy(system), initial=(0, 0))
    assert me.value_decomposition(chain).evaluation.v == pytest.approx(v[chain.states @ [3, 1]], abs=1e-8)


# --- simulation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chain", "mdp", "weakly-coupled"])
def test_simulated_tasks(kind: str) -> None:
    p, restart, steps = d05(), np.array([0.0, 0.75, 0, 0.25, 0, 0, 0, 0, 0]), 3000
    ends = {"terminal": D05_ENDS, "restart": restart, "discount": 0.9}
    if kind == "chain":
        system, policy = me.JointChain(p, (3, 3), rewards=D05_REWARDS, **ends), None
    elif kind == "mdp":
        system = me.MultiAgentMDP(p[:, None], D05_REWARDS, n_states=(3, 3), n_actions=(1, 1), **ends)
        policy = me.UniformPolicy()
    else:
        arm = np.array([[[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0, 0, 1]]] * 2)
        system = me.WeaklyCoupledMDP([arm, arm[::-1]], D05_REWARDS, budget=1, **ends)
        policy = me.IndexPolicy([0, 1, 1])
    path = me.simulate(system, policy, steps, rng=1)
    assert (path.states < 2).all()  # terminal states are never visited
    assert path.episode_starts[0] and (path.episode_starts[1:] == path.terminated[:-1]).all()
    assert path.truncated[:-1].sum() == 0 and path.truncated[-1] != path.terminated[-1]
    chain = system.under(policy)
    share = np.bincount(path.states[:-1] @ [2, 1], minlength=4) / steps
    mu = np.bincount(chain.states[chain.pair_state] @ [2, 1], chain.occupancy, minlength=4)
    assert share == pytest.approx(mu, abs=0.08)
    rate = float(chain.occupancy @ chain.ends)
    assert path.terminated.mean() == pytest.approx(rate, abs=6 * np.sqrt(rate / steps))
    first = path.states[1:][path.terminated]
    spread = 6 * np.sqrt(0.25 / len(first))
    assert (first == [0, 1]).all(axis=1).mean() == pytest.approx(0.75, abs=spread)
    assert (first.sum(axis=1) == 1).all()
    assert me.simulate(system, policy, 50, rng=1).states.tobytes() == path.states[:51].tobytes()


def test_the_last_step_may_end_the_task() -> None:
    """Every step ends: no clock is involved."""
    p = np.zeros((4, 4))
    p[:, 3] = 1.0
    path = me.simulate(me.JointChain(p, (2, 2), terminal=[(1, 1)], restart=(0, 1)), None, 4, rng=0)
    assert path.terminated.all() and path.episode_starts.all() and not path.truncated.any()
    assert (path.states == [0, 1]).all()
    later = me.simulate(me.JointChain(p, (2, 2), terminal=[(1, 1)]), None, 3, rng=0, start=(1, 0))
    assert (later.states == [1, 0]).all()  # no restart law: the start is the next start
