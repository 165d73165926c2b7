"""Reward entanglement and the three splits of a shared reward: programs on raw arrays, closed forms, Prop. J.7."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.values.shared_reward import SPLITS, fit_shared_reward

GAMMA = 0.9


# --- independent answers on raw arrays ----------------------------------------------------------------------


def one_hot(pairs: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    return np.hstack([np.eye(m)[pairs[:, i]] for i, m in enumerate(sizes)])


def primal(a: np.ndarray, mu: np.ndarray, r: np.ndarray, centred: bool) -> tuple[float, np.ndarray]:
    """`min mu |r - a t|` over t, where asked with `mu (r - a t) = 0`."""
    n, m = a.shape
    found = linprog(
        np.append(np.zeros(m), mu), np.block([[a, -np.eye(n)], [-a, -np.eye(n)]]), np.append(r, -r),
        np.append(mu @ a, np.zeros(n))[None] if centred else None, [mu @ r] if centred else None,
        bounds=[(None, None)] * m + [(0, None)] * n,
    )  # fmt: skip
    return found.fun, found.x[:m]


def dual(a: np.ndarray, mu: np.ndarray, r: np.ndarray, centred: bool) -> float:
    """`max (z + c mu) r`, orthogonal to the columns of a, |z| <= mu; c = 0 unless centred."""
    rows, limit = a.T, [(-w, w) for w in mu]
    cost = -r
    if centred:
        rows = np.column_stack([rows, a.T @ mu])
        cost, limit = np.append(cost, -mu @ r), [*limit, (None, None)]
    return -linprog(cost, None, None, rows, np.zeros(a.shape[1]), bounds=limit).fun


def least_span(
    a: np.ndarray, sizes: tuple[int, ...], mu: np.ndarray, r: np.ndarray, split: str, error: float
) -> float:
    """The least total span, over the local pairs that occur, of the splits with that error."""
    (n, m), agents = a.shape, len(sizes)
    owner = np.repeat(np.arange(agents), sizes)
    seen = np.flatnonzero((mu @ a) > 0)
    up, low = np.zeros((len(seen), agents)), np.zeros((len(seen), agents))
    up[np.arange(len(seen)), owner[seen]] = low[np.arange(len(seen)), owner[seen]] = 1.0
    own, none = np.eye(m)[seen], np.zeros((len(seen), agents))
    rows = [
        np.hstack([own, np.zeros((len(seen), n)), -up, none]),
        np.hstack([-own, np.zeros((len(seen), n)), none, low]),
    ]
    least = [np.zeros(2 * len(seen))]
    equal, level = None, None
    if split == "least-squares":
        root = np.sqrt(mu)[:, None]
        fitted = a @ np.linalg.lstsq(root * a, root[:, 0] * r, rcond=None)[0]
        equal, level = np.hstack([a, np.zeros((n, n + 2 * agents))])[mu > 0], fitted[mu > 0]
    else:
        wide = np.zeros((n, 2 * agents))
        rows += [np.hstack([a, -np.eye(n), wide]), np.hstack([-a, -np.eye(n), wide]),
                 np.concatenate([np.zeros(m), mu, np.zeros(2 * agents)])[None]]  # fmt: skip
        least += [r, -r, [error + 1e-10]]
        if split == "lad-centred":
            equal, level = np.append(mu @ a, np.zeros(n + 2 * agents))[None], [mu @ r]
    cost = np.concatenate([np.zeros(m + n), np.ones(agents), -np.ones(agents)])
    bounds = [(None, None)] * m + [(0, None)] * n + [(None, None)] * (2 * agents)
    return linprog(cost, np.vstack(rows), np.concatenate(least), equal, level, bounds=bounds).fun


def stationary(p: np.ndarray) -> np.ndarray:
    whole = np.vstack([p.T - np.eye(len(p)), np.ones(len(p))])
    return np.linalg.lstsq(whole, np.append(np.zeros(len(p)), 1.0), rcond=None)[0]


def system(seed: int) -> tuple[np.ndarray, tuple[int, ...], np.ndarray]:
    """A chain on joint pairs, its sizes and a shared reward."""
    rng = np.random.default_rng(seed)
    sizes = tuple(int(k) for k in rng.integers(2, 4, rng.integers(2, 4)))
    n = math.prod(sizes)
    r = [rng.normal(size=n), rng.integers(-3, 4, n).astype(float), 100.0 + rng.exponential(size=n)][seed % 3]
    return rng.dirichlet(np.full(n, 0.4), size=n), sizes, r


# --- e(r), its dual, the least span -------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(list(SPLITS)))
def test_against_programs(seed: int, method: str) -> None:
    p, sizes, r = system(seed)
    chain = me.JointChain(p, sizes, rewards=r).under()
    pairs = np.array(list(itertools.product(*map(range, sizes))))
    a, mu, centred = one_hot(pairs, sizes), stationary(p), method == "lad-centred"
    found, scale = me.reward_entanglement(chain, method=method), float(np.ptp(r))
    error, _ = primal(a, mu, r, centred)
    assert dual(a, mu, r, centred) == pytest.approx(error, abs=1e-8 * scale)
    root = np.sqrt(mu)[:, None]
    fitted = a @ np.linalg.lstsq(root * a, root[:, 0] * r, rcond=None)[0]
    assert found.rms == pytest.approx(math.sqrt(mu @ (r - fitted) ** 2), rel=1e-8)
    assert found.lower == pytest.approx(error, abs=1e-8 * scale) and found.lower <= found.value
    if method == "least-squares":
        error = float(mu @ np.abs(r - fitted))
        assert a @ np.concatenate(found.local) == pytest.approx(fitted, abs=1e-8 * scale)
    assert found.value == pytest.approx(error, abs=1e-8 * scale)
    miss = r - a @ np.concatenate(found.local)
    assert found.value == pytest.approx(mu @ np.abs(miss)) and found.mean == pytest.approx(
        mu @ miss, abs=1e-9 * scale
    )
    assert method == "lad" or abs(found.mean) < 1e-8 * scale
    assert found.constant == pytest.approx(mu @ np.abs(r - mu @ r))
    assert found.span == pytest.approx(least_span(a, sizes, mu, r, method, error), abs=1e-5 * scale)
    assert found.unique and found.interval is None and found.estimator == "exact"


def test_the_least_span_of_least_squares_where_pairs_are_missing() -> None:
    """Two blocks of joint pairs that share no local pair: the sum is unique, its parts may shift against each other."""
    pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 2], [2, 3], [3, 2], [3, 3]])
    r = np.array([0.0, 1.0, 1.0, 8.0, 7.0, 7.0, 7.0, 9.0])
    for large in (False, True):
        fit = fit_shared_reward(pairs, (4, 4), np.full(8, 0.125), r, split="least-squares", large=large)
        a = one_hot(pairs, (4, 4))
        fitted = a @ np.linalg.lstsq(a, r, rcond=None)[0]
        assert a @ np.concatenate(fit.local) == pytest.approx(fitted, abs=1e-12)
        spans = sum(float(np.ptp(t)) for t in fit.local)
        least = least_span(a, (4, 4), np.full(8, 0.125), r, "least-squares", 0.0)
        assert spans >= least - 1e-9 and (large or spans == pytest.approx(least, abs=1e-9))


def test_a_sum_costs_nothing_and_a_table_for_each_agent_is_one() -> None:
    entry = me.gallery.build("appendix-e")
    for method in SPLITS:
        found = me.reward_entanglement(entry.chain(), method=method)
        assert found.value < 1e-12 and found.rms < 1e-12 and found.lower == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("split", SPLITS)
def test_many_joint_pairs_in_seconds(split: str) -> None:
    """100,000 joint pairs of five agents: the split and its dual meet to ten digits of the reward."""
    rng = np.random.default_rng(1)
    pairs = np.unique(rng.integers(0, 20, (100_000, 5)), axis=0)
    mu, r = rng.dirichlet(np.ones(len(pairs))), rng.normal(size=len(pairs)) + pairs.sum(axis=1)
    fit = fit_shared_reward(pairs, (20,) * 5, mu, r, split=split)
    assert not fit.unique and fit.lower <= fit.error
    if split != "least-squares":
        assert fit.error - fit.lower < 1e-8
    miss = r - sum(t[pairs[:, i]] for i, t in enumerate(fit.local))
    assert mu @ np.abs(miss) == pytest.approx(fit.error, rel=1e-12)
    assert split == "lad" or abs(mu @ miss) < 1e-9


def test_too_many_local_pairs_are_refused_before_anything_is_made() -> None:
    pairs = np.tile(np.arange(20_000)[:, None], (1, 2))
    with pytest.raises(
        TooLarge, match=r"split of the shared reward.*40,000 local pairs.*local pairs\. Give one"
    ):
        fit_shared_reward(pairs, (20_000, 20_000), np.full(20_000, 1 / 20_000), np.zeros(20_000), large=True)


# --- games in closed form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_two_by_two_in_closed_form(p: float) -> None:
    """One interaction term d = r00 - r01 - r10 + r11: the dual alternates in sign, so e(r) = |d| min of the weights."""
    law = np.array([p, 0.4 - p / 2, 0.3 - p / 4, 0.3 - p / 4])
    r = np.array([1.0, 5.0, -2.0, 7.0])
    chain = me.JointChain(np.tile(law, (4, 1)), (2, 2)).under()
    assert me.reward_entanglement(chain, r).value == pytest.approx(abs(1 - 5 + 2 + 7) * law.min(), abs=1e-10)


@pytest.mark.parametrize("game", ["climbing", "penalty", "qtran"])
def test_errors_of_values_in_one_state_are_those_of_the_reward(game: str) -> None:
    """What is next does not depend on what is done: `err = r - sum r_i + gamma/(1-gamma) E(r - sum r_i)`."""
    chain = me.gallery.build(game).chain()
    for split in SPLITS:
        found, d = me.reward_entanglement(chain, method=split), me.value_decomposition(chain, split=split)
        r = chain.reward(chain.read_rewards(None))
        miss = r - sum(t[chain.pairs[:, i]] for i, t in enumerate(found.local))
        err = miss + GAMMA / (1 - GAMMA) * found.mean
        assert d.error() == pytest.approx(chain.occupancy @ np.abs(err), abs=1e-9)
        assert (
            d.shared is not None and d.shared.split == split and d.shared.error == pytest.approx(found.value)
        )
        assert (d.joint_q - d.sum_q) @ chain.occupancy == pytest.approx(found.mean / (1 - GAMMA), abs=1e-9)


def test_what_a_centred_split_leaves_open_in_two_steps() -> None:
    """Several centred splits of least span have e = .375; ours is symmetric and leaves what least squares leave."""
    chain = me.gallery.build("two-step").chain()
    found = me.reward_entanglement(chain, method="lad-centred")
    assert found.value == pytest.approx(0.375, abs=1e-10) and found.span == pytest.approx(7.0, abs=1e-9)
    both = [me.value_decomposition(chain, split=s).error() for s in ("lad-centred", "least-squares")]
    assert both == pytest.approx([0.931875, 0.931875], abs=1e-6)


# --- Prop. J.7 with each split -----------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(list(SPLITS)), st.sampled_from([0.3, 0.9, 0.99]))
def test_the_bound_holds_and_its_parts_add_up(seed: int, split: str, gamma: float) -> None:
    p, sizes, r = system(seed)
    chain = me.JointChain(p, sizes, rewards=r, discount=gamma).under()
    d, weak = me.value_decomposition(chain, split=split), me.entanglement(chain)
    lines = me.error_bounds(d, [weak, me.entanglement(chain, "atv")])
    a, mu = one_hot(chain.pairs, sizes), stationary(p)
    tables = [np.asarray(t) for t in d.rewards]
    e = float(mu @ np.abs(r - a @ np.concatenate(tables)))
    q = np.linalg.solve(np.eye(len(p)) - gamma * p, r)
    total = np.zeros(len(p))
    for i, m in enumerate(sizes):
        own = np.eye(m)[chain.pairs[:, i]]
        local = (own.T @ (mu[:, None] * (p @ own))) / (mu @ own)[:, None]
        total += own @ np.linalg.solve(np.eye(m) - gamma * local, tables[i])
    truth = float(mu @ np.abs(q - total))
    assert d.error() == pytest.approx(truth, rel=1e-6, abs=1e-7)
    halves = (
        4
        * gamma
        * sum(x * np.ptp(t) / 2 for x, t in zip(weak.per_agent, tables, strict=True))
        / (1 - gamma) ** 2
    )
    said = {b.name: b for b in lines}
    suffix = "" if split == "lad" else f", {split}"
    theorem = "Theorem 5.10" if len(sizes) == 2 else "Theorem 6.3"
    line = said[f"{theorem} + Prop. J.7{suffix}, half spans"]
    assert line.reward_part == pytest.approx(e / (1 - gamma)) and line.transition_part == pytest.approx(
        halves
    )
    assert line.value == pytest.approx(e / (1 - gamma) + halves)
    for b in lines:
        assert b.norm == "mu" and b.value >= truth * (1 - 1e-9) and b.reward_part is not None
        assert b.to_dict()["reward_part"] + b.to_dict()["transition_part"] == pytest.approx(b.value)


def test_of_own_rewards_no_bound_has_parts() -> None:
    chain = me.gallery.build("appendix-e").chain()
    line = me.error_bounds(me.value_decomposition(chain), [me.entanglement(chain)])[0]
    assert line.reward_part is None and line.transition_part is None and set(line.to_dict()) == {
        "distance", "norm", "bound", "truth"
    }  # fmt: skip


def test_the_split_is_named_in_json_text_and_page() -> None:
    chain = me.gallery.build("climbing").chain()
    for split, words in SPLITS.items():
        d = me.value_decomposition(chain, split=split)
        assert d.to_dict()["split"] == words and words in d.sentence and split in repr(d)
        found = me.reward_entanglement(chain, method=split)
        assert found.to_dict()["method"] == split and words in found.sentence and split in repr(found)
    result = me.analyze(chain)
    assert result.to_dict()["values"]["split"] == "least absolute deviations"
    assert "split by least absolute deviations" in " ".join(result.summary().split())
    bounds = result.to_dict()["bounds"]["Theorem 5.10 + Prop. J.7"]
    assert bounds["reward_part"] == pytest.approx(86.666667, abs=1e-6) and bounds["transition_part"] < 1e-9
    assert "split" not in me.value_decomposition(me.gallery.build("appendix-e").chain()).to_dict()


# --- functions ------------------------------------------------------------------------------------------------------

REST, SERVE = [[0.9, 0.1], [0.3, 0.7]], [[0.4, 0.6], [0.1, 0.9]]


def best(state: tuple[int, ...], action: tuple[int, ...]) -> float:
    return float(max(s * a for s, a in zip(state, action, strict=True)))


def test_a_function_is_its_table() -> None:
    table = [
        [best(s, a) for a in itertools.product(range(2), repeat=2)]
        for s in itertools.product(range(2), repeat=2)
    ]
    one, other = (me.WeaklyCoupledMDP([[REST, SERVE]] * 2, r, discount=GAMMA) for r in (best, table))
    assert (one.rewards.shared == other.rewards.shared).all()
    chains = [s.under("uniform") for s in (one, other)]
    assert me.reward_entanglement(chains[0]).value == me.reward_entanglement(chains[1]).value > 0.1
    assert me.value_decomposition(chains[1], best).error() == me.value_decomposition(chains[0]).error()
    kernel = np.full((4, 2, 4), 0.25)
    general = me.MultiAgentMDP(
        kernel, lambda s, a: s[0] * s[1] + a[0], n_states=(2, 2), n_actions=(2, 1), discount=GAMMA
    )
    assert general.rewards.shared.tolist() == [[0, 1], [0, 1], [0, 1], [1, 2]]
    assert me.JointChain(
        kernel[:, 0], (2, 2), rewards=lambda s, a: s[0] ^ s[1]
    ).rewards.shared.ravel().tolist() == [0, 1, 1, 0]


@pytest.fixture(scope="module")
def crowd() -> Any:
    """Forty independent agents whose first two are paid together: e(r) is that of the two alone."""
    local = me.LocalPolicy([[[0.7, 0.3], [0.4, 0.6]]] * 40)

    def paid(state: Any, action: Any) -> float:
        return state[0] * state[1] + sum(action[2:])

    return me.WeaklyCoupledMDP([[REST, SERVE]] * 40, paid, discount=0.5), local


def test_by_runs_where_no_table_fits(crowd: Any) -> None:
    """e(r) = min(p, 1 - p)^2 for two independent agents that are up with chance p, and the interval holds it."""
    system, policy = crowd
    chain = system.under(policy)
    assert system.rewards.shared is None and type(chain).__name__ == "AgentChain"
    up = stationary(
        np.array(
            [[0.7 * 0.9 + 0.3 * 0.4, 0.7 * 0.1 + 0.3 * 0.6], [0.4 * 0.3 + 0.6 * 0.1, 0.4 * 0.7 + 0.6 * 0.9]]
        )
    )[1]
    truth = min(up, 1 - up) ** 2
    found = me.reward_entanglement(chain, rng=0)
    assert found.interval is not None and found.interval[0] <= truth <= found.interval[1]
    assert found.interval[1] - found.interval[0] < 0.1 * truth and not found.caution
    assert found.lower == pytest.approx(found.value, abs=1e-8) and found.value == pytest.approx(
        truth, rel=0.05
    )
    assert "met along runs" in found.estimator and "95 %" in found.sentence
    with pytest.raises(Unsupported, match="a file keeps tables"):
        me.save("unused.toml", system)


@pytest.mark.parametrize("method", ["exact", "simulate"])
def test_a_function_without_a_table_gives_the_same_analysis(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = [[REST, SERVE]] * 2
    table = me.analyze(me.WeaklyCoupledMDP(arms, best, discount=0.5), "uniform", method=method, rng=0)
    monkeypatch.setattr("markov_entanglement._tolerance.REWARD_CALLS", 0)
    system = me.WeaklyCoupledMDP(arms, best, discount=0.5)
    assert system.rewards.called is best
    found = me.analyze(system, "uniform", method=method, rng=0)
    assert found.values.errors() == table.values.errors() and found.document.system.rewards.range == [
        None,
        None,
    ]
    assert "one shared by all, by a function" in found.summary()


def test_what_cannot_be_asked_by_runs(crowd: Any) -> None:
    system, policy = crowd
    with pytest.raises(Unsupported, match=r"rewards beside those of the system.*Make a system"):
        me.reward_entanglement(system.under(policy), best)
    bandit = me.gallery.build("circulant-bandit")
    with pytest.raises(Unsupported):
        me.reward_entanglement(bandit.chain())


# --- what users get wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: me.reward_entanglement(c, method="l1"), r"method.*'l1'.*lad, lad-centred, least-squares"),
        (lambda c: me.value_decomposition(c, split="centred"), r"split.*'centred'.*Did you mean 'lad-centred'"),
        (lambda c: me.reward_entanglement(c, np.zeros(5)), r"rewards: got 5 entries.*\(4, 1\)"),
        (lambda c: me.reward_entanglement(c, np.zeros((2, 2, 1, 1))), r"rewards\.reshape\(4, 1\)"),
        (lambda c: me.reward_entanglement(c, lambda s, a: None), r"\(\(0, 0\), \(0, 0\)\): got None.*one finite"),
        (lambda c: me.reward_entanglement(c, lambda s, a: math.nan), "one finite number"),
        (lambda c: me.reward_entanglement(c, lambda s: 1.0), "TypeError.*it must answer in every joint state"),
        (lambda c: me.reward_entanglement(c), r"rewards: got None"),
    ],
)  # fmt: skip
def test_mistakes(call: Any, message: str) -> None:
    chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    with pytest.raises(InvalidInput, match=message):
        call(chain)


def test_the_remedies_are_true() -> None:
    chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    wide = np.arange(4.0).reshape(2, 2, 1, 1)
    assert me.reward_entanglement(chain, wide.reshape(4, 1)).value < 1e-12
    assert me.value_decomposition(chain, wide.ravel(), 0.9, split="lad-centred").unexplained < 1e-9


# --- switch, by loops over moves --------------------------------------------------------------------------


def corridor(policy: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joint pairs ((s0, a0), (s1, a1)) that recur, their transition matrix and rewards, from the rules alone."""
    free = {
        (c, a): t
        for c in range(7)
        for a, t in enumerate(
            [c, c - 1 if 1 <= c < 5 else c, c + 1 if c < 4 else c, {1: 5, 3: 6, 5: 1, 6: 3}.get(c, c)]
        )
    }

    def law(s: tuple[int, int]) -> dict[tuple[int, int], float]:
        if policy == "uniform":
            return {(a, b): 1 / 16 for a in range(4) for b in range(4)}
        want = [3 if s[0] > 4 else 2, 1]
        if s[1] > 4:
            want[1] = 3 if s[0] == 4 else 0
        if s[1] == 3 and s[0] < 4:
            want[1] = 3
        return {
            (a, b): (0.85 if a == want[0] else 0.05) * (0.85 if b == want[1] else 0.05)
            for a in range(4)
            for b in range(4)
        }

    def move(s: tuple[int, int], a: tuple[int, int]) -> tuple[tuple[int, int], float]:
        if s == (4, 0):
            return (0, 4), 0.0
        x, y = s
        paid = 0.0
        if x != 4:
            x = free[x, a[0]] if free[x, a[0]] != y else x
            paid += 5.0 if x == 4 else -0.1
        if y != 0:
            y = free[y, a[1]] if free[y, a[1]] != x else y
            paid += 5.0 if y == 0 else -0.1
        return (x, y), paid

    reach, todo = set(), [(0, 4)]
    while todo:
        s = todo.pop()
        if s not in reach:
            reach.add(s)
            todo += [move(s, a)[0] for a in law(s)]
    points = [(s, a) for s in sorted(reach) for a in law(s)]
    number = {x: k for k, x in enumerate(points)}
    p, r = np.zeros((len(points), len(points))), np.zeros(len(points))
    for k, (s, a) in enumerate(points):
        after, r[k] = move(s, a)
        for b, chance in law(after).items():
            p[k, number[after, b]] += chance
    pairs = np.array([[4 * s[i] + a[i] for i in (0, 1)] for s, a in points])
    return pairs, p, r


@pytest.mark.parametrize("policy", ["give-way", "uniform"])
def test_switch_by_loops(policy: str) -> None:
    pairs, p, r = corridor(policy)
    chain, mu = me.gallery.build("switch", policy).chain(), stationary(p)
    assert chain.recurrent.sum() == len(p)
    a = one_hot(pairs, (28, 28))
    for method in ("lad", "lad-centred"):
        error = primal(a, mu, r, method == "lad-centred")[0]
        assert me.reward_entanglement(chain, method=method).value == pytest.approx(error, abs=1e-8)
    root = np.sqrt(mu)[:, None]
    t = np.linalg.lstsq(root * a, root[:, 0] * r, rcond=None)[0]
    q, total = np.linalg.solve(np.eye(len(p)) - GAMMA * p, r), np.zeros(len(p))
    for i in (0, 1):
        own = a[:, 28 * i : 28 * i + 28]
        seen = np.flatnonzero(mu @ own > 1e-12)
        own = own[:, seen]
        local = (own.T @ (mu[:, None] * (p @ own))) / (mu @ own)[:, None]
        total += own @ np.linalg.solve(np.eye(len(seen)) - GAMMA * local, t[28 * i + seen])
        law, missed = p @ a[:, 28 * i : 28 * i + 28], 0.0
        for x in seen:
            at = np.flatnonzero(pairs[:, i] == x)
            missed += sum(0.5 * mu[at] @ np.abs(law[at] - q_).sum(axis=1) for q_ in [median(law[at], mu[at])])
        assert me.entanglement(chain).per_agent[i] == pytest.approx(missed, abs=1e-7)
    d = me.value_decomposition(chain, split="least-squares")
    assert d.error() == pytest.approx(mu @ np.abs(q - total), abs=1e-8)


def median(laws: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The law nearest to weighted laws in L1, by a linear program."""
    k, n = laws.shape
    shown = np.flatnonzero(laws.sum(axis=0) > 0)
    laws = laws[:, shown]
    w, m = weight / weight.sum(), len(shown)
    fit = np.tile(np.eye(m), (k, 1))
    rows = np.block([[fit, -np.eye(k * m)], [-fit, -np.eye(k * m)]])
    cost = np.append(np.zeros(m), np.repeat(w, m))
    total = np.append(np.ones(m), np.zeros(k * m))[None]
    out = np.zeros(n)
    out[shown] = linprog(cost, rows, np.append(laws.ravel(), -laws.ravel()), total, [1.0]).x[:m]
    return out


# --- four arms with one reward, by loops ---------------------------------------------------------------------

CHANCES = [
    (0.10, 0.55, 0.45, 0.80),
    (0.20, 0.60, 0.50, 0.75),
    (0.05, 0.35, 0.30, 0.70),
    (0.15, 0.70, 0.60, 0.90),
]
ALONE = [0.9, 0.7, 0.5, 0.3]
SETS = ["0123", "2345", "456", "067"]


def paid(reward: str, who: list[int]) -> float:
    if reward == "linear":
        return sum(ALONE[i] for i in who)
    if reward == "probability":
        missed = 1.0
        for i in who:
            missed *= 1 - ALONE[i]
        return 1 - missed
    if reward == "max":
        return max([0.0, *(ALONE[i] for i in who)])
    return len({item for i in who for item in SETS[i]}) / 10


def whittle_by_bisection(i: int) -> list[float]:
    """Price at which pulling and resting are worth the same, by value iteration at each price."""
    up = np.array([[CHANCES[i][0], CHANCES[i][1]], [CHANCES[i][2], CHANCES[i][3]]])

    def gain(price: float) -> np.ndarray:
        v = np.zeros(2)
        for _ in range(400):
            q = np.array([[0.0, -price], [0.0, ALONE[i] - price]]) + GAMMA * (up * v[1] + (1 - up) * v[0])
            v = q.max(axis=1)
        return np.asarray(q[:, 1] - q[:, 0])

    out = []
    for s in (0, 1):
        low, high = -2.0, 2.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if gain(middle)[s] > 0 else (low, middle)
        out.append(low)
    return out


@pytest.mark.parametrize("policy", ["whittle", "uniform"])
def test_global_reward_by_loops(policy: str) -> None:
    index = [whittle_by_bisection(i) for i in range(4)]
    pulls = [a for a in itertools.product((0, 1), repeat=4) if sum(a) == 2]

    def law(s: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        if policy == "uniform":
            return dict.fromkeys(pulls, 1 / 6)
        first = sorted(range(4), key=lambda i: -index[i][s[i]])[:2]
        return {tuple(int(i in first) for i in range(4)): 1.0}

    states = list(itertools.product((0, 1), repeat=4))
    points = [(s, a) for s in states for a in law(s)]
    p = np.zeros((len(points), len(points)))
    for k, (s, a) in enumerate(points):
        for m, (t, b) in enumerate(points):
            up = [CHANCES[i][2 * s[i] + a[i]] for i in range(4)]
            p[k, m] = law(t)[b] * math.prod(u if x else 1 - u for u, x in zip(up, t, strict=True))
    mu, pairs = stationary(p), np.array([[2 * s[i] + a[i] for i in range(4)] for s, a in points])
    a_ = one_hot(pairs, (4,) * 4)
    measured = me.entanglement(me.gallery.build("global-reward", policy).chain()).per_agent
    for i in range(4):
        law_of, missed = p @ a_[:, 4 * i : 4 * i + 4], 0.0
        for x in np.unique(pairs[:, i]):
            at = np.flatnonzero(pairs[:, i] == x)
            missed += 0.5 * mu[at] @ np.abs(law_of[at] - median(law_of[at], mu[at])).sum(axis=1)
        assert measured[i] == pytest.approx(missed, abs=1e-8)
    for reward in ("linear", "probability", "max", "cover"):
        chain = me.gallery.build("global-reward", policy, reward=reward).chain()
        r = np.array([paid(reward, [i for i in range(4) if s[i] * a[i]]) for s, a in points])
        assert me.reward_entanglement(chain).value == pytest.approx(primal(a_, mu, r, False)[0], abs=1e-9)
        root = np.sqrt(mu)[:, None]
        t = np.linalg.lstsq(root * a_, root[:, 0] * r, rcond=None)[0]
        q, total = np.linalg.solve(np.eye(len(p)) - GAMMA * p, r), np.zeros(len(p))
        for i in range(4):
            own = a_[:, 4 * i : 4 * i + 4]
            seen = np.flatnonzero(mu @ own > 1e-12)
            own = own[:, seen]
            local = (own.T @ (mu[:, None] * (p @ own))) / (mu @ own)[:, None]
            total += own @ np.linalg.solve(np.eye(len(seen)) - GAMMA * local, t[4 * i + seen])
        d = me.value_decomposition(chain, split="least-squares")
        assert d.error() == pytest.approx(mu @ np.abs(q - total), abs=1e-8)


# --- predator and prey, by the distances alone ---------------------------------------------------------------

MOVES = (-1, 0, 1)


def hunt(policy: str) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Points (d0, d1, move 0, move 1) of distances to the prey, their transition matrix, and for each predator the laws
    of (move of the prey, its next move): what its next pair and the next signal are, given its own."""

    def far(d: int) -> int:
        return min(d % 5, -d % 5)

    def wanted(d: int, other: int) -> int:
        enough = 0 if policy == "coordinated" and far(other) <= 1 else 1
        return 0 if far(d) <= enough else (-1 if d % 5 in (1, 2) else 1)

    def law(d: int, other: int) -> np.ndarray:
        return np.array([0.8 if m == wanted(d, other) else 0.1 for m in MOVES])

    points = list(itertools.product(range(5), range(5), range(3), range(3)))
    number = {x: k for k, x in enumerate(points)}
    p, laws = np.zeros((225, 225)), [np.zeros((225, 9)) for _ in range(2)]
    for k, (x, y, i, j) in enumerate(points):
        for step, chance in zip(MOVES, (0.2, 0.6, 0.2), strict=True):
            u, v = (x + MOVES[i] - step) % 5, (y + MOVES[j] - step) % 5
            first, second = law(u, v), law(v, u)
            for a, b in itertools.product(range(3), repeat=2):
                p[k, number[u, v, a, b]] += chance * first[a] * second[b]
            at = 3 * (step + 1)
            laws[0][k, at : at + 3] += chance * first
            laws[1][k, at : at + 3] += chance * second
    return np.array(points), p, laws


@pytest.mark.parametrize("policy", ["independent", "coordinated"])
def test_predators_by_distances(policy: str) -> None:
    points, p, laws = hunt(policy)
    mu, keys = stationary(p), [3 * points[:, i] + points[:, 2 + i] for i in (0, 1)]
    near = [np.isin(points[:, i], (0, 1, 4)).astype(float) for i in (0, 1)]
    a = np.hstack([np.eye(15)[k] for k in keys])
    for penalty in (0.0, 0.5):
        chain = me.gallery.build("predator-prey", policy, penalty=penalty).chain()
        r = near[0] * near[1] - penalty * (near[0] + near[1] - 2 * near[0] * near[1])
        assert me.reward_entanglement(chain).value == pytest.approx(primal(a, mu, r, False)[0], abs=1e-9)
        root = np.sqrt(mu)[:, None]
        t = np.linalg.lstsq(root * a, root[:, 0] * r, rcond=None)[0]
        q, total = np.linalg.solve(np.eye(225) - GAMMA * p, r), np.zeros(225)
        for i in (0, 1):
            own = a[:, 15 * i : 15 * i + 15]
            local = (own.T @ (mu[:, None] * (p @ own))) / (mu @ own)[:, None]
            total += own @ np.linalg.solve(np.eye(15) - GAMMA * local, t[15 * i : 15 * i + 15])
        d = me.value_decomposition(chain, split="least-squares")
        assert d.error() == pytest.approx(mu @ np.abs(q - total), abs=1e-8)
    for i in (0, 1):
        missed = 0.0
        for x in range(15):
            at = np.flatnonzero(keys[i] == x)
            missed += 0.5 * mu[at] @ np.abs(laws[i][at] - median(laws[i][at], mu[at])).sum(axis=1)
        assert me.entanglement(chain).per_agent[i] == pytest.approx(missed, abs=1e-8)
