"""The induced chain against brute force: pairs, kernel, closures, classes, stationary law, evaluation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings

import markov_entanglement as me
from helpers import Case, Truth, build, cases, gth, random_laws
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput, NoConvergence, SeveralRecurrentClasses, TooLarge
from markov_entanglement.markov import classes, linear
from markov_entanglement.markov.kernel import SparseKernel
from markov_entanglement.markov.linear import LinearSystem
from markov_entanglement.markov.product import ProductKernel


def check_chain(case: Case, chain: Any = None) -> None:
    """Everything that brute force knows about the chain."""
    chain, truth = case.chain if chain is None else chain, case.truth
    at = truth.position(chain)
    step = chain.step.toarray()
    assert np.abs(step[np.ix_(at, at)] - truth.p).max() < 1e-14
    rng = np.random.default_rng(0)
    f = rng.normal(size=(len(at), 2))
    assert np.abs(chain.apply(f)[at] - truth.p @ f[at]).max() < 1e-13
    assert np.abs(chain.apply(f[:, 0])[at] - truth.p @ f[at, 0]).max() < 1e-13
    assert chain.recurrent[at].tolist() == truth.recurrent.tolist()
    assert np.abs(chain.occupancy[at] - truth.mu).max() < 1e-12
    for i in range(chain.n_agents):
        assert np.abs(chain.next_law(i)[at] - truth.next_law(i)).max() < 1e-13
        rows = chain.rows(i)
        assert (rows.key == chain.pairs[:, i]).all() and (rows.weight == chain.occupancy).all()
        mine, right = chain.local_transition(i), truth.local_transition(i)
        assert (np.isnan(mine) == np.isnan(right)).all()
        mass = np.array([truth.mu[[x[i] == k for x in truth.pairs]].sum() for k in range(truth.sizes[i])])
        common = mass > 1e-6
        assert np.abs(mine[common] - right[common]).max() < 1e-8


@given(cases())
@settings(max_examples=40)
def test_chain_equals_brute_force(case: Case) -> None:
    check_chain(case)


def period(chain: Any) -> int:
    return classes.period(chain.ahead, chain.classes.label)


@given(cases(kinds=("weakly-coupled",), agents=(2, 4)))
@settings(max_examples=30)
def test_kronecker_kernel_equals_the_sparse_one(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tol, "EXPLICIT_KERNEL", 0)
        chain = case.system.under(case.policy)
    explicit = case.chain
    assert isinstance(chain.kernel, ProductKernel) and isinstance(explicit.kernel, SparseKernel)
    assert chain.kernel.shape == explicit.kernel.shape and chain.kernel.matrix is None
    check_chain(case, chain)
    rng = np.random.default_rng(1)
    n, s = chain.kernel.shape
    f, u = rng.normal(size=(s, 3)), rng.random(n)
    dense = explicit.kernel.matrix.toarray()
    assert np.abs(chain.kernel.apply(f) - dense @ f).max() < 1e-13
    assert np.abs(chain.kernel.apply(f[:, 0]) - dense @ f[:, 0]).max() < 1e-13
    for kernel in (chain.kernel, explicit.kernel):
        assert np.abs(kernel.apply_left(u) - u @ dense).max() < 1e-13
        sparse_u, sparse_f = np.where(u < 0.3, u, 0.0), np.where(f[:, 0] > 0.5, f[:, 0], 0.0)
        assert ((kernel.support_left(sparse_u) > 0) == ((sparse_u > 0) @ (dense > 0) > 0)).all()
        assert ((kernel.support(sparse_f) > 0) == ((dense > 0) @ (sparse_f > 0) > 0)).all()
    assert chain.classes.label.max() == explicit.classes.label.max()
    assert period(chain) == period(explicit)
    reward = case.system.rewards.on_pairs(chain.pairs, case.system.spaces)
    ours, theirs = (c.solve(reward, case.discount) for c in (chain, explicit))
    assert np.abs(ours.q - theirs.q).max() < 1e-9 * max(1.0, np.abs(theirs.q).max())


def test_a_wrong_chain_is_caught() -> None:
    """Negative control of `check_chain`."""
    case = build("mdp", (2, 2), (2, 1), "table", False, 3)
    other = build("mdp", (2, 2), (2, 1), "table", False, 4)
    check_chain(case)
    with pytest.raises(AssertionError):
        check_chain(case, other.chain)


# --- policies -------------------------------------------------------------------------------------------


@given(cases(kinds=("mdp", "weakly-coupled"), agents=(1, 3)))
def test_bound_policies_answer_alike(case: Case) -> None:
    """`law`, `marginals` and `table` of the bound policy against the raw table."""
    bound = case.system.bind(case.policy)
    states = np.array(case.truth.states)
    assert np.abs(bound.table(states).toarray() - case.table).max() < 1e-14
    actions = case.truth.actions
    for s, state in enumerate(case.truth.states):
        law = bound.law(state)
        assert {a: law.get(a, 0.0) for a in actions} == pytest.approx(
            dict(zip(actions, case.table[s], strict=True)), abs=1e-14
        )
    for i, marginal in enumerate(bound.marginals(states)):
        right = np.zeros_like(marginal)
        for a, action in enumerate(actions):
            right[:, action[i]] += case.table[:, a]
        assert np.abs(marginal - right).max() < 1e-13


@pytest.mark.parametrize("policy", ["uniform", "table", "callable", "index"])
def test_samples_follow_the_policy(policy: str) -> None:
    case = build("weakly-coupled", (2, 2, 2), (2, 2, 2), policy, False, 5, budget=2)
    bound, draws = case.system.bind(case.policy), 4000
    state = np.tile([1, 0, 1], (draws, 1))
    first, again = (bound.sample(state, np.random.default_rng(0)) for _ in range(2))
    assert (first == again).all()
    row = case.table[case.truth.states.index((1, 0, 1))]
    index = first @ np.array([4, 2, 1])
    seen = np.bincount(index, minlength=8) / draws
    assert seen[row == 0].sum() == 0
    assert np.abs(seen - row).max() < 4 * math.sqrt(0.25 / draws)


# --- closures -------------------------------------------------------------------------------------------


def _closure(truth: Truth, starts: list[int]) -> set[tuple[int, ...]]:
    inside = {x for x, (s, _) in enumerate(truth.index) if s in starts}
    inside |= {y for x in inside for y in np.flatnonzero(truth.reach[x]).tolist()}
    return {truth.pairs[x] for x in inside}


@pytest.mark.parametrize("kind", ["chain", "mdp", "weakly-coupled"])
@pytest.mark.parametrize("seed", range(6))
def test_closure_from_a_start(kind: str, seed: int) -> None:
    case = build(kind, (3, 2, 2), (1, 2, 1), "uniform" if kind == "chain" else "table", True, seed)
    truth = case.truth
    for s, state in enumerate(truth.states):
        chain = case.system.under(case.policy, initial=state)
        assert {tuple(map(int, x)) for x in chain.pairs} == _closure(truth, [s])
        inside = [x for x, pair in enumerate(truth.pairs) if pair in set(map(tuple, chain.pairs.tolist()))]
        assert len(inside) == chain.n_pairs
        assert np.abs(chain.occupancy - _by_pair(chain, truth)).max() < 1e-12


def _by_pair(chain: Any, truth: Truth) -> np.ndarray:
    mu = dict(zip(truth.pairs, truth.mu, strict=True))
    return np.array([mu[tuple(map(int, pair))] for pair in chain.pairs])


def test_closure_is_smaller_than_the_product() -> None:
    """Negative control: a rotation visits 3 of 9 joint states, and `initial` finds just these."""
    p = np.zeros((9, 9))
    for a in range(3):
        for b in range(3):
            p[3 * a + b, 3 * ((a + 1) % 3) + (b + 1) % 3] = 1.0
    system = me.JointChain(p, (3, 3), rewards=[[0, 1, 2]] * 2, discount=0.9)
    chain = system.under(initial=(0, 1))
    assert sorted(map(tuple, chain.pairs.tolist())) == [(0, 1), (1, 2), (2, 0)]
    assert chain.occupancy.tolist() == pytest.approx([1 / 3] * 3)
    with pytest.raises(SeveralRecurrentClasses, match="3 recurrent classes"):
        system.under().occupancy  # noqa: B018


def test_initial_law() -> None:
    law = np.zeros(9)
    law[1], law[2] = 0.25, 0.75
    p = np.eye(9)[[4, 5, 3, 7, 8, 6, 1, 2, 0]]  # a -> a+1, b -> b+1 (mod 3)
    chain = me.JointChain(p, (3, 3)).under(initial=law)
    at = {tuple(x): m for x, m in zip(chain.pairs.tolist(), chain.occupancy, strict=True)}
    assert at[0, 1] == pytest.approx(0.25 / 3) and at[0, 2] == pytest.approx(0.25)
    assert chain.n_pairs == 6


# --- classes, periods, Cesaro limits --------------------------------------------------------------------


def _stack(kernels: bool) -> Any:
    """A case with several classes, as explicit or Kronecker kernel: agent 0 stays, agent 1 mixes."""
    stay, mix = np.eye(2)[None], np.array([[[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0.5, 0.5]]])
    system = me.WeaklyCoupledMDP([stay, mix], [[0, 1], [0, 1, 2]], discount=0.9)
    with pytest.MonkeyPatch.context() as patch:
        if kernels:
            patch.setattr(tol, "EXPLICIT_KERNEL", 0)
        return system.under(me.UniformPolicy()), system


@pytest.mark.parametrize("kronecker", [False, True])
def test_several_classes_are_named(kronecker: bool) -> None:
    chain, system = _stack(kronecker)
    assert (chain.kernel.matrix is None) == kronecker
    assert chain.classes.count == 2 and chain.classes.recurrent.all()
    assert chain.classes.label.tolist() in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
    with pytest.raises(SeveralRecurrentClasses, match=r"2 recurrent classes.*initial"):
        chain.stationary  # noqa: B018
    law = np.zeros(6)
    law[0], law[3] = 0.3, 0.7
    with pytest.MonkeyPatch.context() as patch:
        if kronecker:
            patch.setattr(tol, "EXPLICIT_KERNEL", 0)
        mixed = system.under(me.UniformPolicy(), initial=law)
    assert mixed.occupancy.tolist() == pytest.approx([0.075, 0.15, 0.075, 0.175, 0.35, 0.175])
    # the maximum needs no weights: atv is defined without an initial law
    assert me.entanglement(chain, "atv").per_agent.tolist() == pytest.approx([0, 0], abs=1e-9)
    with pytest.raises(SeveralRecurrentClasses):
        me.entanglement(chain, "mu-atv")


def _ruin(n: int) -> np.ndarray:
    """A fair gambler on 0..n, beside a second agent of one state."""
    p = np.zeros((n + 1, n + 1))
    p[0, 0] = p[n, n] = 1.0
    for k in range(1, n):
        p[k, k - 1] = p[k, k + 1] = 0.5
    return p


@pytest.mark.parametrize("n", [4, 50])
def test_cesaro_limit_of_the_gambler(n: int) -> None:
    """Started at k, the fair gambler ends at n with probability k/n."""
    system = me.JointChain(_ruin(n), (n + 1, 1))
    chain = system.under(initial=(3, 0))
    mu = {int(x[0]): m for x, m in zip(chain.pairs, chain.occupancy, strict=True)}
    assert mu[n] == pytest.approx(3 / n, abs=1e-12) and mu[0] == pytest.approx(1 - 3 / n, abs=1e-12)
    assert all(mu[k] == 0 for k in range(1, n))
    assert chain.recurrent.sum() == 2
    d = me.value_decomposition(chain, [np.arange(n + 1.0), [0.0]], 0.5)
    assert np.isnan(d.local_q[0][1:n]).all() and np.isfinite(d.local_q[0][[0, n]]).all()


def test_recurrent_pairs_of_an_initial_law_are_those_it_reaches() -> None:
    chain = me.JointChain(np.eye(4), (2, 2)).under(initial=[0.5, 0, 0, 0.5])
    assert chain.n_pairs == 2 and chain.recurrent.all()
    absorbed = me.JointChain(_ruin(4), (5, 1)).under(initial=[0, 0, 0, 0, 1.0])
    assert absorbed.n_pairs == 1 and absorbed.occupancy.tolist() == [1.0]


@pytest.mark.parametrize("d", [1, 2, 3, 7])
@pytest.mark.parametrize("kronecker", [False, True])
def test_periods(d: int, kronecker: bool) -> None:
    ring = np.roll(np.eye(d), 1, axis=1)[None]
    lazy = np.array([[[0.5, 0.5], [0.5, 0.5]]])
    with pytest.MonkeyPatch.context() as patch:
        if kronecker:
            patch.setattr(tol, "EXPLICIT_KERNEL", 0)
        chain = me.WeaklyCoupledMDP([ring, lazy], [[0.0] * d, [0, 1]], discount=0.5).under(me.UniformPolicy())
    assert period(chain) == d
    assert chain.occupancy.tolist() == pytest.approx([0.5 / d] * (2 * d))


def test_two_rings_side_by_side_have_the_lcm() -> None:
    rings = [np.roll(np.eye(d), 1, axis=1)[None] for d in (2, 3)]
    chain = me.WeaklyCoupledMDP(rings, [[0, 0], [0, 0, 0]], discount=0.5).under(me.UniformPolicy())
    assert chain.classes.count == 1 and period(chain) == 6


@pytest.mark.parametrize("seed", range(8))
def test_classes_of_random_graphs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = random_laws(rng, (12, 12), True, home=False)
    truth = Truth(p[:, None], np.ones((12, 1)), (3, 4), (1, 1))
    chain = me.JointChain(p, (3, 4)).under()
    assert chain.classes.count == len(truth.classes)
    assert chain.recurrent.tolist() == truth.recurrent.tolist()
    # the Cesaro limit from a point: the mean of 4000 powers
    start = np.zeros(12)
    start[seed] = 1.0
    chain = me.JointChain(p, (3, 4)).under(initial=start)
    slow, power = np.zeros(12), start
    for _ in range(4000):
        slow, power = slow + power / 4000, power @ p
    mu = np.zeros(12)
    mu[[4 * a + b for a, b in chain.pairs.tolist()]] = chain.occupancy
    assert np.abs(mu - slow).max() < 5e-3


# --- solvers --------------------------------------------------------------------------------------------


def _lattice(k: int, drift: float = 0.0) -> sp.csr_array:
    """Reflected nearest-neighbour walk on a k x k lattice, one agent per axis."""
    up = np.full(k - 1, 0.5 + drift)
    down = np.full(k - 1, 0.5 - drift)
    line = sp.diags_array([up, down], offsets=[1, -1]).tolil()
    line[0, 0], line[k - 1, k - 1] = 0.5 - drift, 0.5 + drift
    line = sp.csr_array(line)
    eye = sp.eye_array(k)
    return sp.csr_array(0.5 * (sp.kron(line, eye) + sp.kron(eye, line)))


@pytest.mark.parametrize("fill", [1e9, 0.0])
@pytest.mark.parametrize("drift", [0.0, 0.1])
def test_lattice_walk(fill: float, drift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Product of reflected walks: mu is a product of geometric laws; both LU and Krylov find it."""
    monkeypatch.setattr(tol, "LU_FILL", fill)
    k = 40
    chain = me.JointChain(_lattice(k, drift), (k, k), rewards=[np.arange(k)] * 2, discount=0.999).under()
    ratio = (0.5 + drift) / (0.5 - drift)
    line = ratio ** np.arange(k, dtype=float)
    line /= line.sum()
    assert np.abs(chain.occupancy - np.outer(line, line).ravel()).max() < 1e-9
    d = me.value_decomposition(chain)
    assert d.evaluation.method == ("sparse LU" if fill else d.evaluation.method)
    assert fill or d.evaluation.method != "sparse LU"
    # the sum of the two walks' own values is not Q (one of them moves), but it is computed exactly here:
    # the axes are independent given who moves, so Q is additive
    assert d.error("sup") < 1e-7 * np.abs(d.joint_q).max()
    assert d.evaluation.residual < 1e-9


def test_slow_mixing_clusters() -> None:
    """Two clusters with rates 1e-7 and 3e-7 between them: mu weighs them 3 to 1."""
    inner = np.full((4, 4), 0.25)
    p = np.zeros((8, 8))
    p[:4, :4], p[4:, 4:] = inner, inner
    p[:4] *= 1 - 1e-7
    p[4:] *= 1 - 3e-7
    p[:4, 4:], p[4:, :4] = 1e-7 / 4, 3e-7 / 4
    chain = me.JointChain(p, (2, 2, 2)).under()
    assert chain.occupancy[:4].sum() == pytest.approx(0.75, abs=1e-8)


@pytest.mark.parametrize("kronecker", [False, True])
def test_slow_kronecker_chain(kronecker: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rare switches, gamma .999: stationary law and values without an explicit matrix."""
    if kronecker:
        monkeypatch.setattr(tol, "EXPLICIT_KERNEL", 0)
    rng = np.random.default_rng(0)
    kernels = []
    for _ in range(3):
        k = random_laws(rng, (2, 3, 3), False)
        kernels.append(0.001 * k + 0.999 * np.eye(3))
    system = me.WeaklyCoupledMDP(kernels, [[0, 1, 2]] * 3, discount=0.999, budget=1)
    chain = system.under(me.IndexPolicy([0, 1, 2]))
    truth = gth(chain.step.toarray())
    assert np.abs(chain.occupancy - truth).max() < 1e-9
    q = np.linalg.solve(
        np.eye(chain.n_pairs) - 0.999 * chain.step.toarray(),
        system.rewards.on_pairs(chain.pairs, system.spaces),
    )
    d = me.value_decomposition(chain)
    assert np.abs(d.joint_q - q).max() < 1e-7 * np.abs(q).max()


def test_rare_states_keep_their_mass() -> None:
    """A walk with strong drift: masses down to 9^-24; none is lost, no recurrent value is NaN."""
    k = 25
    p = np.zeros((k, k))
    for s in range(k):
        p[s, min(s + 1, k - 1)] += 0.1
        p[s, max(s - 1, 0)] += 0.9
    chain = me.JointChain(p, (k, 1), rewards=[np.arange(k), [0]], discount=0.9).under()
    assert chain.recurrent.all()
    assert (chain.occupancy > 0).all(), "a recurrent pair has positive occupancy"
    d = me.value_decomposition(chain)
    assert np.isfinite(d.error("sup")) and d.error("sup") < 1e-8 * np.abs(d.joint_q).max()


@pytest.mark.parametrize("k", [60, 200])
def test_rare_states_of_an_implicit_chain(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same walk as a Kronecker kernel: a mass below the solver's resolution makes no number NaN."""
    monkeypatch.setattr(tol, "EXPLICIT_KERNEL", 0)
    walk = np.zeros((1, k, k))
    for s in range(k):
        walk[0, s, min(s + 1, k - 1)] += 0.1
        walk[0, s, max(s - 1, 0)] += 0.9
    coin = np.full((1, 2, 2), 0.5)
    system = me.WeaklyCoupledMDP([walk, coin], [np.arange(k), [0, 1]], discount=0.9)
    chain = system.under(me.UniformPolicy())
    d = me.value_decomposition(chain)
    for norm in ("mu", "sup", "l2"):
        assert d.error(norm) < 1e-8 * np.abs(d.joint_q).max()
    assert all(np.isfinite(b.value) for b in me.error_bounds(d, [me.entanglement(chain)]))


def _lost(
    apply: Any, b: np.ndarray, goal: float, limit: int, first: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A method that gets nowhere."""
    return np.zeros_like(b), b


def _dense(n: int, seed: int, factor: float, sparse: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return factor * random_laws(rng, (n, n), sparse), rng.normal(size=(n, 2))


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.999])
@pytest.mark.parametrize("path", ["dense LU", "sparse LU", "GMRES", "fixed point"])
def test_each_solver_path(path: str, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = _dense(60, 1, factor, path != "dense LU")
    if path == "fixed point":
        monkeypatch.setattr(linear, "gmres", _lost)
    system = LinearSystem(60, lambda v: a @ v, sp.csr_array(a) if "LU" in path else None, factor)
    exact = np.linalg.solve(np.eye(60) - a, b)
    for rhs, right in ((b, exact), (b[:, 0], exact[:, 0])):
        found = system.solve(rhs)
        assert found.method == path
        assert np.abs(found.x - right).max() < 1e-8 * np.abs(right).max()
        left = np.abs(rhs - found.x + a @ found.x).max(axis=0) / np.abs(rhs).max(axis=0)
        assert (
            0.5 * np.max(left) - 1e-15 <= found.residual <= 2 * np.max(left) + 1e-15 and found.residual < 1e-9
        )


def test_zero_right_hand_side() -> None:
    a, _ = _dense(20, 2, 0.9)
    for matrix in (sp.csr_array(a), None):
        assert (LinearSystem(20, lambda v: a @ v, matrix, 0.9).solve(np.zeros(20)).x == 0).all()


def test_a_solver_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: no path reaches the goal; the error carries the best answer and its residual."""
    factor = 1 - 1e-9
    a, b = _dense(30, 3, factor)
    monkeypatch.setattr(linear, "gmres", _lost)
    with pytest.raises(NoConvergence, match="residual") as caught:
        LinearSystem(30, lambda v: a @ v, None, factor).solve(b[:, 0])
    assert caught.value.residual > 1e-3 and np.shape(caught.value.best) == (30,)


@given(cases(agents=(1, 3)))
@settings(max_examples=20)
def test_evaluation_equals_a_dense_solve(case: Case) -> None:
    at = case.truth.position(case.chain)
    r = case.truth.reward(case.rewards)
    ours = np.empty_like(r)
    ours[at] = r
    both = case.chain.solve(np.stack([ours, ours**2], axis=1), case.discount)
    for column, reward in enumerate((r, r**2)):
        q = case.truth.q(reward, case.discount)
        assert np.abs(both.q[at, column] - q).max() < 1e-10 * max(1.0, np.abs(q).max())
    assert np.abs(both.v - case.chain.choice @ both.q).max() < 1e-10 * max(1.0, np.abs(both.q).max())


def test_methods_and_residuals_are_reported() -> None:
    chain = build("mdp", (3, 3), (2, 1), "table", False, 9).chain
    s = chain.stationary
    nu = s.law
    step = sp.csr_array(chain.choice @ chain.kernel.matrix)
    assert s.residual == pytest.approx(float(np.abs(nu @ step - nu).sum()), abs=1e-16)
    assert s.method == "elimination" and s.residual < s.error_bound < 1e-10


# --- frozen, refused ------------------------------------------------------------------------------------


def _arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value]
    if sp.issparse(value):
        return [value.data, value.indices, value.indptr]
    if isinstance(value, tuple | list):
        return [a for v in value for a in _arrays(v)]
    return []


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", ["chain", "mdp", "weakly-coupled"])
def test_systems_are_copies_and_frozen(kind: str, sparse: bool) -> None:
    case = build(kind, (2, 2), (2, 1), "uniform", sparse, 1)
    fields = [case.system.kernels] if kind == "weakly-coupled" else [case.system.kernel]
    fields += [case.system.rewards.local]
    for a in _arrays(tuple(fields)):
        assert not a.flags.writeable, "arrays of a system are read-only"
    for a in (case.chain.pairs, case.chain.occupancy, case.chain.rows(0).law, case.chain.recurrent):
        assert not a.flags.writeable
    with pytest.raises(AttributeError):
        case.system.discount = 0.5


def test_editing_the_users_array_changes_nothing() -> None:
    p = np.full((4, 4), 0.25)
    for given_ in (p, sp.csr_array(p)):
        system = me.JointChain(given_, (2, 2))
        if sp.issparse(given_):
            given_.data[:] = 7.0
        else:
            given_[:] = 7.0
        assert (system.transition.toarray() == 0.25).all()
        p = np.full((4, 4), 0.25)


def test_refused_before_allocation(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = np.full((2, 3, 3), 1 / 3)
    big = me.WeaklyCoupledMDP([arm] * 30, [[0, 1, 2]] * 30, discount=0.9, budget=3)
    for chain in (
        big.under(me.IndexPolicy([0, 1, 2])),
        big.under(me.IndexPolicy([0, 1, 2]), initial=(0,) * 30),
    ):
        with pytest.raises(TooLarge, match=r"2.059e\+14 joint states.*me.RestlessBandit.*me.simulate"):
            me.value_decomposition(chain)
    chain = build("mdp", (3, 3), (2, 1), "table", False, 9).chain
    monkeypatch.setattr(tol, "BYTES", 100)
    with pytest.raises(TooLarge, match="laws of agent 0"):
        chain.next_law(0)


def test_budget_subsets_are_counted_before_they_are_listed() -> None:
    """30 arms of one state, 15 of them served: 155 million joint actions are refused by their exact number."""
    one = np.ones((2, 1, 1))
    system = me.WeaklyCoupledMDP([one] * 30, [[0.0]] * 30, discount=0.9, budget=15)
    with pytest.raises(TooLarge, match=r"155,117,520 of 1\.074e"):
        system.under(me.UniformPolicy())


def test_a_state_without_actions_is_refused() -> None:
    """Rows of zeros mark unavailable actions; a state that has none left has no next law at all."""
    kernel = np.full((4, 2, 4), 0.25)
    kernel[2] = 0.0
    with pytest.raises(InvalidInput, match=r"kernel|polic"):
        me.MultiAgentMDP(kernel, [[0, 1], [0, 1]], n_states=(2, 2), n_actions=(2, 1), discount=0.9).under(
            me.UniformPolicy()
        )
