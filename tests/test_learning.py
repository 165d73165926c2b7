"""Learners: limits as numbers, equal bytes for any chunks, one's own learner, refusals with true remedies."""

from __future__ import annotations

import doctest
import json
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.learning.source import of_path
from markov_entanglement.runs.agents import AgentRuns
from markov_entanglement.runs.path import one_episode

TABULAR = (
    me.CountModel(),
    me.LSTD(),
    me.LSTD(0.5),
    me.LSTD(1),
    me.MonteCarlo(),
    me.TD(),
    me.TD(0.9),
    me.TD(0, "n^-0.7"),
)


def slow_partner() -> np.ndarray:
    """b keeps its value with .99; agent 0 is up next with .9 when b = 1, with .1 when b = 0."""
    p = np.zeros((2, 2, 2, 2))
    for b in range(2):
        for up in range(2):
            for then in range(2):
                p[:, b, up, then] = (0.9 if up == b else 0.1) * (0.99 if then == b else 0.01)
    return p.reshape(4, 4)


SLOW = me.JointChain(slow_partner(), (2, 2), rewards=[[0, 1], [0, 0]], discount=0.9)


def walk(p: np.ndarray, steps: int, runs: int, seed: int) -> np.ndarray:
    """(steps + 1, runs) states of a chain, all runs side by side."""
    rng = np.random.default_rng(seed)
    tails, x = np.cumsum(p, axis=1), rng.integers(len(p), size=runs)
    out = np.empty((steps + 1, runs), np.int64)
    for t in range(steps + 1):
        out[t] = x
        x = np.minimum((rng.random(runs)[:, None] >= tails[x]).sum(axis=1), len(p) - 1)
    return out


def chunks(
    pairs: np.ndarray, rewards: np.ndarray, size: int, ended: np.ndarray | None = None, run: int = 0
) -> Iterator[Any]:
    """A run cut into chunks."""
    ended = np.zeros(len(rewards), bool) if ended is None else ended
    for k in range(0, len(rewards), size):
        at = slice(k, k + size)
        yield me.Chunk(pairs[k : k + size + 1], rewards[at], ended[at], run)


def random_run(
    seed: int = 0, steps: int = 3000, agents: int = 3, m: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs with absences, rewards and ends at random."""
    rng = np.random.default_rng(seed)
    pairs = rng.integers(m, size=(steps + 1, agents))
    pairs[rng.random(pairs.shape) < 0.05] = -1
    return pairs, rng.normal(size=(steps, agents)), rng.random(steps) < 0.02


def with_actions() -> Any:
    """A path with two actions that does not tell."""
    rng = np.random.default_rng(0)
    states, actions = rng.integers(2, size=(101, 1)), rng.integers(2, size=(100, 1))
    return one_episode(np.ones((100, 1)), states=states, actions=actions)


# --- limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trace", "values", "error", "unexplained"),
    [
        (0, (3.851947, 6.148053), 2.542774, 0.744733),
        (0.5, (3.480199, 6.519801), 2.251324, 0.676530),
        (0.9, (2.615284, 7.384716), 1.573230, 0.567163),
        (1, (2.108136, 7.891864), 1.175626, 0.547860),
    ],
)
def test_limits_of_the_slow_partner(
    trace: float, values: tuple[float, ...], error: float, unexplained: float
) -> None:
    d = me.value_decomposition(SLOW, trace=trace)
    assert d.local_q[0] == pytest.approx(values, abs=1e-6)
    assert (d.error(), d.unexplained) == pytest.approx((error, unexplained), abs=1e-6)
    assert abs(d.chain.occupancy @ d.residual) < 1e-12


@pytest.mark.parametrize(
    ("gamma", "errors"),
    [(0.9, (0.226323, 0.228380, 0.230183, 0.230531)), (0.5, (0.042994, 0.043036, 0.043076, 0.043086))],
)
def test_limits_of_the_circulant_bandit(gamma: float, errors: tuple[float, ...]) -> None:
    chain = me.gallery.build("circulant").chain()
    found = [me.value_decomposition(chain, discount=gamma, trace=t).error() for t in (0, 0.5, 0.9, 1)]
    assert found == pytest.approx(errors, abs=1e-6)


def closed_form(
    p: np.ndarray, mu: np.ndarray, b: np.ndarray, r: np.ndarray, gamma: float, lam: float
) -> np.ndarray:
    """numbers of A^-1 b, by dense inverses."""
    eye = np.eye(len(p))
    left = b.T @ np.diag(mu) @ np.linalg.inv(eye - gamma * lam * p)
    return np.linalg.solve(left @ (eye - gamma * p) @ b, left @ r)


@pytest.mark.parametrize("trace", [1e-9, 0.3, 0.95, 1.0])
def test_the_closed_form_of_random_chains(trace: float) -> None:
    rng = np.random.default_rng(4)
    p, r = rng.dirichlet(np.ones(6), 6), rng.normal(size=3)
    mu = np.linalg.matrix_power(p, 200)[0]
    d = me.value_decomposition(me.JointChain(p, (2, 3)), [np.zeros(2), r], 0.8, trace=trace)
    b = np.tile(np.eye(3), (2, 1))
    assert d.local_q[1] == pytest.approx(closed_form(p, mu, b, b @ r, 0.8, trace), abs=1e-9)
    v = me.value_decomposition(me.JointChain(p, (2, 3)), [np.zeros(2), r], 0.8, trace=trace, kind="V")
    assert v.decomposition.local_q[1] == pytest.approx(d.local_q[1], abs=1e-12)  # no actions: V is Q


def test_ends_stop_traces() -> None:
    """A task of two steps, then its end: the closed form is the return, whatever the trace."""
    kernel = np.zeros((4, 1, 4))
    kernel[0, 0, [1, 2]] = 0.5
    kernel[1, 0, 2] = kernel[2, 0, 3] = kernel[3, 0, 3] = 1.0
    ends = {"terminal": [[3]], "restart": [1, 0, 0, 0]}
    system = me.JointChain(kernel[:, 0], (4,), rewards=[[1.0, 2.0, 4.0, 0.0]], discount=0.5, **ends)
    truth = [1 + 0.5 * 4.0, 4.0, 4.0]
    path = me.simulate(system, None, 4000, rng=0)
    for trace in (0, 0.5, 1):
        d = me.value_decomposition(system.under(), trace=trace)
        assert d.local_q[0][:3] == pytest.approx(truth, abs=1e-12)
        assert me.LSTD(trace).fit(path).q(0)[:3] == pytest.approx(truth, abs=0.05)
    assert me.LSTD(1).fit(path).q(0)[1:3] == pytest.approx([4, 4], abs=1e-9)
    assert np.isnan(me.LSTD().fit(path).q(0)[3])


@pytest.mark.parametrize("trace", [0, 0.5, 0.9, 1])
def test_learners_tend_to_the_closed_form(trace: float) -> None:
    """20 independent runs of 20,000 steps as agents; the mean within 4 standard errors."""
    runs = 20
    x = walk(slow_partner(), 20_000, runs, 1)
    pairs, truth = x // 2, me.value_decomposition(SLOW, trace=trace).local_q[0]
    learners = [me.LSTD(trace), me.TD(trace)] + [[me.CountModel()], [], [], [me.MonteCarlo()]][
        [0, 0.5, 0.9, 1].index(trace)
    ]
    for learner in learners:
        found = learner.fit(chunks(pairs, pairs[:-1].astype(float), 7000), 0.9, sizes=[2] * runs)
        q = np.stack(found.local_q)
        error = q.std(axis=0, ddof=1) / np.sqrt(runs)
        assert (np.abs(q.mean(axis=0) - truth) < 4 * error + 0.02).all(), (
            learner,
            q.mean(axis=0),
            truth,
            error,
        )


def test_default_steps_converge_as_least_squares_do() -> None:
    """Slope -1/2 in samples at gamma .9; with 1/n it is about -.1."""
    rng = np.random.default_rng(2)
    p, r, runs = rng.dirichlet(np.ones(6), 6), rng.normal(size=3), 100
    truth = me.value_decomposition(me.JointChain(p, (2, 3)), [np.zeros(2), r], 0.9).local_q[1]
    pairs = walk(p, 100_000, runs, 3) % 3

    def slope(learner: Any) -> float:
        rms = []
        for steps in (1000, 10_000, 100_000):
            run = chunks(pairs[: steps + 1], r[pairs[:steps]], steps)
            q = np.stack(learner.fit(run, 0.9, sizes=[3] * runs).local_q)
            rms.append(np.sqrt(((q - truth) ** 2).mean()))
        return float(np.polyfit([3, 4, 5], np.log10(rms), 1)[0])

    assert slope(me.TD()) == pytest.approx(-0.5, abs=0.05)
    assert slope(me.LSTD()) == pytest.approx(-0.5, abs=0.05)
    assert slope(me.TD(0, "1/n")) > -0.3
    assert slope(me.TD(0, "n^-0.7")) < -0.5


@pytest.mark.slow
def test_lstd_within_three_standard_errors() -> None:
    """10^6 steps; standard errors from 40 independent runs of 10^5."""
    for trace in (0.0, 0.9):
        truth = me.value_decomposition(SLOW, trace=trace).local_q[0]
        x = walk(slow_partner(), 100_000, 40, 5) // 2
        many = me.LSTD(trace).fit(chunks(x, x[:-1].astype(float), 50_000), 0.9, sizes=[2] * 40)
        error = np.stack(many.local_q).std(axis=0, ddof=1) / np.sqrt(10)
        x = walk(slow_partner(), 1_000_000, 1, 6) // 2
        q = me.LSTD(trace).fit(chunks(x, x[:-1].astype(float), 50_000), 0.9, sizes=[2]).q(0)
        assert (np.abs(q - truth) < 3 * error).all()


# --- brute force -----------------------------------------------------------------------------------------


def test_every_visit_by_loops() -> None:
    pairs, rewards, ended = random_run(steps=400)
    found = me.MonteCarlo().fit(chunks(pairs, rewards, 37, ended), 0.8, sizes=[4] * 3)
    for i in range(3):
        returns: dict[int, list[float]] = {x: [] for x in range(4)}
        for t in range(400):
            total, weight = 0.0, 1.0
            if pairs[t, i] < 0 or (pairs[t + 1, i] < 0 and not ended[t]):
                continue
            for k in range(t, 400):
                if pairs[k + 1, i] < 0 and not ended[k]:
                    break
                total += weight * rewards[k, i]
                weight *= 0.8
                if ended[k]:
                    break
            returns[int(pairs[t, i])].append(total)
        assert found.q(i) == pytest.approx([np.mean(g) for g in returns.values()], abs=1e-12)


@pytest.mark.parametrize("trace", [0.0, 0.7])
def test_least_squares_by_loops(trace: float) -> None:
    pairs, rewards, ended = random_run(1, steps=500)
    found = me.LSTD(trace).fit(chunks(pairs, rewards, 500, ended), 0.8, sizes=[4] * 3)
    for i in range(3):
        a, b, z = np.zeros((4, 4)), np.zeros(4), np.zeros(4)
        for t in range(500):
            x, y = pairs[t, i], pairs[t + 1, i]
            if x < 0 or (y < 0 and not ended[t]):
                z[:] = 0
                continue
            z *= 0.8 * trace
            z[x] += 1
            step = np.eye(4)[x] - (0 if ended[t] else 0.8 * np.eye(4)[y])
            a, b = a + np.outer(z, step), b + z * rewards[t, i]
            if ended[t]:
                z[:] = 0
        assert found.q(i) == pytest.approx(np.linalg.solve(a, b), abs=1e-10)


def test_temporal_differences_by_loops() -> None:
    pairs, rewards, ended = random_run(2, steps=500)
    for step, size in (
        ("h/(h+n)", lambda n: 5 / (5 + n)),
        ("1/n", lambda n: 1 / (n + 1)),
        (0.1, lambda n: 0.1),
    ):
        found = me.TD(0, step).fit(chunks(pairs, rewards, 77, ended), 0.8, sizes=[4] * 3)
        for i in range(3):
            q, n = np.zeros(4), np.zeros(4)
            for t in range(500):
                x, y = pairs[t, i], pairs[t + 1, i]
                if x >= 0 and (y >= 0 or ended[t]):
                    q[x] += size(n[x]) * (rewards[t, i] + (0 if ended[t] else 0.8 * q[y]) - q[x])
                    n[x] += 1
            assert found.q(i) == pytest.approx(q, abs=1e-12)
            assert found.visits[i].tolist() == n.tolist()


def test_averages_of_iterates_by_loops() -> None:
    rng = np.random.default_rng(0)
    pairs, rewards = rng.integers(3, size=(301, 1)), rng.normal(size=(300, 1))
    found = me.TD(0, "n^-0.7").fit(chunks(pairs, rewards, 50), 0.5, sizes=[3]).q(0)
    q, n, total, since = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for t in range(300):
        x, y = pairs[t, 0], pairs[t + 1, 0]
        q[x] += (n[x] + 1) ** -0.7 * (rewards[t, 0] + 0.5 * q[y] - q[x])
        n[x] += 1
        total[n > 0] += q[n > 0]
        since[n > 0] += 1
    assert found == pytest.approx(total / since, abs=1e-12)


# --- chunks, runs, paths ---------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", TABULAR, ids=repr)
def test_equal_bytes_for_any_chunks(learner: Any) -> None:
    pairs, rewards, ended = random_run()
    found = [
        learner.fit(chunks(pairs, rewards, size, ended), 0.9, sizes=[(2, 2)] * 3)
        for size in (1, 7, 1000, 3000)
    ]
    for other in found[1:]:
        assert [q.tobytes() for q in other.local_q] == [q.tobytes() for q in found[0].local_q]
        assert other.to_dict() == found[0].to_dict()


@pytest.mark.parametrize("learner", [me.CountModel(), me.LSTD(0.5), me.MonteCarlo()], ids=repr)
def test_runs_in_any_mixture_are_merged_in_order(learner: Any) -> None:
    one, two = random_run(1), random_run(2)
    parts = [list(chunks(p, r, 500, e, run)) for run, (p, r, e) in enumerate((one, two))]
    mixed = [c for both in zip(*parts, strict=True) for c in both]
    a, b = (learner.fit(c, 0.9, sizes=[4] * 3) for c in (parts[0] + parts[1], mixed))
    assert [q.tobytes() for q in a.local_q] == [q.tobytes() for q in b.local_q]
    gap = [np.full((1, 3), -1), np.zeros((1, 3)), [False]]
    joined = [np.concatenate([x, g, y]) for x, g, y in zip(one, gap, two, strict=True)]
    joined[1] = np.concatenate([one[1], np.zeros((2, 3)), two[1]])
    joined[2] = np.concatenate([one[2], [False, False], two[2]])
    c = learner.fit(chunks(joined[0], joined[1], 4000, joined[2]), 0.9, sizes=[4] * 3)
    assert np.stack(a.local_q) == pytest.approx(np.stack(c.local_q), abs=1e-12)


def test_td_refuses_several_runs_at_once_and_the_remedies_work() -> None:
    seen = []

    def source() -> Iterator[Any]:
        for run in range(2):
            for c in chunks(*random_run(run)[:2], 100, None, run):
                seen.append(c)
                yield c

    with pytest.raises(Unsupported, match=r"chunks of one run, or take me\.LSTD"):
        me.TD().fit(source(), 0.9, sizes=[4] * 3)
    assert len(seen) == 31
    assert me.LSTD().fit(source(), 0.9, sizes=[4] * 3).steps > 5000
    assert me.TD().fit(chunks(*random_run()[:2], 100), 0.9, sizes=[4] * 3).steps > 2500


def test_the_clock_cuts_and_values_go_on_through_it() -> None:
    """Two stretches of a path: no move from the last pair of one to the first of the next."""
    states = np.array([[0], [1], [0], [1], [1], [0]])
    path = me.Path(np.arange(5.0)[:, None], np.array([1, 0, 0, 1, 0], bool), np.zeros(5, bool),
                   np.array([0, 0, 1, 0, 1], bool), states=states, actions=np.zeros((5, 1), int),
                   sizes=np.array([[2, 1]]), discount=0.5)  # fmt: skip
    (chunk,) = of_path(path, np.array([1]))
    assert chunk.pairs.ravel().tolist() == [0, 1, 0, -1, 1, 1] and not chunk.ended.any()
    found = me.CountModel().fit(path)
    assert [n.tolist() for n in found.visits] == [[1, 2]] and found.steps == 4
    q1 = 0.5 * (1 + 0.5 * 0) + 0.5 * 3  # r(1) = (1 + 3)/2, P(1|1) = P(0|1) = 1/2, P(1|0) = 1
    a = np.array([[1, -0.5], [-0.25, 0.75]])
    assert found.q(0) == pytest.approx(np.linalg.solve(a, [0.0, 2.0])) and q1 == 2.0


def test_a_path_that_terminates_last_counts_its_last_step() -> None:
    path = one_episode(np.array([[1.0], [5.0]]), terminated=np.array([False, True]), states=np.array([[0], [1], [0]]),
                       actions=np.zeros((2, 1), int), sizes=np.array([[2, 1]]), discount=0.5)  # fmt: skip
    assert me.CountModel().fit(path).q(0).tolist() == [3.5, 5.0]
    assert me.TD(0, "1/n").fit(path).q(0).tolist() == [1.0, 5.0]


def test_memory_is_flat_in_steps() -> None:
    def source(n: int) -> Iterator[Any]:
        rng = np.random.default_rng(0)
        last = rng.integers(4, size=(1, 3))
        for _ in range(n):
            pairs = np.concatenate([last, rng.integers(4, size=(500, 3))])
            last = pairs[-1:]
            yield me.Chunk(
                pairs, np.ones((500, 3)), np.zeros(500, bool), sizes=np.array([[4, 1]] * 3), discount=0.9
            )

    for learner in (*TABULAR, me.JointLSTD()):
        learner.fit(source(2))
        peaks = []
        for n in (10, 100):
            tracemalloc.start()
            learner.fit(source(n))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.2 * peaks[0] + 20_000, learner


def test_agents_that_are_always_absent_have_no_values() -> None:
    pairs, rewards, _ = random_run()
    pairs[:, 1] = -1
    for learner in TABULAR:
        found = learner.fit(chunks(pairs, rewards, 100), 0.9, sizes=[4] * 3)
        assert np.isnan(found.q(1)).all() and not np.isnan(found.q(0)).any()
        assert found(np.array([1, -1, 2])) == found.q(0)[1] + found.q(2)[2]


def test_pairs_met_only_last_have_no_value() -> None:
    pairs = np.array([[0], [1], [0], [1], [2]])
    for learner in TABULAR:
        found = learner.fit(chunks(pairs, np.ones((4, 1)), 4), 0.5, sizes=[3])
        assert np.isnan(found.q(0)).tolist() == [False, False, True]
    assert me.LSTD().fit(chunks(pairs, np.ones((4, 1)), 4), 0.5, sizes=[3]).q(0)[0] == pytest.approx(2.0)


# --- shared tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", [me.CountModel, me.LSTD, me.MonteCarlo, me.TD], ids=lambda c: c.__name__)
def test_agents_that_share_a_table(learner: Any) -> None:
    pairs, rewards, _ = random_run(steps=2000)
    found = learner(pool=["a", "b", "a"]).fit(
        chunks(pairs, rewards, 100), 0.9, sizes=[4] * 3, names=["a", "b"]
    )
    alone = learner().fit(chunks(pairs, rewards, 100), 0.9, sizes=[4] * 3)
    assert found.q(0) is found.q(2) and found.q(1).tobytes() == alone.q(1).tobytes()
    assert (found.visits[0] == alone.visits[0] + alone.visits[2]).all() and len(found.local) == 2
    x = np.array([[0, 1, 2], [3, 3, 3]])
    assert found(x) == pytest.approx([found.q(0)[a] + found.q(1)[b] + found.q(0)[c] for a, b, c in x])
    assert [a["agent"] for a in found.to_dict()["local_values"]["agents"]] == ["a", "b"]
    if learner is me.MonteCarlo:
        both = (alone.q(0) * alone.visits[0] + alone.q(2) * alone.visits[2]) / found.visits[0]
        assert found.q(0) == pytest.approx(both, abs=1e-12)


# --- one's own -------------------------------------------------------------------------------------------


class FirstVisit(me.Learner):  # type: ignore[misc]
    """A user's learner: the reward of the first visit."""

    def start(self, sizes: Any, discount: float) -> Any:
        return {"tables": [np.full(m, np.nan) for m in sizes], "discount": discount, "steps": 0}

    def step(self, state: Any, chunk: Any) -> Any:
        for t in range(len(chunk.ended)):
            for i, table in enumerate(state["tables"]):
                if chunk.pairs[t, i] >= 0 and np.isnan(table[chunk.pairs[t, i]]):
                    table[chunk.pairs[t, i]] = chunk.rewards[t, i]
        return state | {"steps": state["steps"] + len(chunk.ended)}

    def merge(self, a: Any, b: Any) -> Any:
        tables = [np.where(np.isnan(x), y, x) for x, y in zip(a["tables"], b["tables"], strict=True)]
        return a | {"tables": tables, "steps": a["steps"] + b["steps"]}

    def finish(self, state: Any) -> Any:
        tables = tuple(state["tables"])
        visits = tuple((~np.isnan(t)).astype(int) for t in tables)
        return me.LocalValues(tables, visits, state["discount"], state["steps"], "first visit")


def test_a_learner_of_ones_own() -> None:
    path = me.simulate(SLOW, None, 200, rng=0)
    found = FirstVisit().fit(path, names=["machine", "weather"])
    assert found.q(0).tolist() == [0.0, 1.0] and found.estimator == "first visit, 199 steps"
    assert found.to_dataframe()["agent"].tolist() == ["machine", "machine", "weather", "weather"]
    runs = [c for run in (1, 0) for c in chunks(path.states[:-1], path.rewards[:-1], 50, None, run)]
    assert FirstVisit().fit(runs, 0.9, sizes=[2, 2]).steps == 2 * 199


def test_the_page_on_learning_runs() -> None:
    page = Path(__file__).parents[1] / "docs" / "learning.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 15 and found.failed == 0


# --- refusals --------------------------------------------------------------------------------------------


def test_divergence_is_named_with_its_step_and_the_remedy_works() -> None:
    pairs = np.zeros((2001, 1), int)
    where = []
    for size in (1, 7, 1000):
        with pytest.raises(InvalidInput, match="left all bounds at step") as refused:
            me.TD(0, 25.0).fit(chunks(pairs, np.ones((2000, 1)), size), 0.9, sizes=[1])
        where.append(re.search(r"at step (\d+)", str(refused.value))[1])  # type: ignore[index]
    assert len(set(where)) == 1 and "Take the default" in refused.value.remedy
    q, t = 0.0, -1
    while abs(q) <= 1e6 / 0.1:
        q, t = q + 25.0 * (1 + 0.9 * q - q), t + 1
    assert int(where[0]) == t
    for learner in (me.TD(0, "h/(h+n)"), me.LSTD()):
        learner.fit(chunks(pairs, np.ones((2000, 1)), 100), 0.9, sizes=[1])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: me.TD(1.5), r"trace: got 1\.5"),
        (lambda: me.LSTD(-1), "trace"),
        (lambda: me.TD(0, "n^-2"), "power in .5..1"),
        (lambda: me.TD(0, -0.1), "a step is > 0"),
        (lambda: me.TD().fit(3), "a path or chunks"),
        (lambda: me.TD().fit([]), "no chunks"),
        (
            lambda: me.LSTD().fit(chunks(random_run()[0] / 2, random_run()[1], 9), 0.9, sizes=[4] * 3),
            "are integers",
        ),
        (lambda: me.LSTD().fit(me.simulate(SLOW, None, 9, rng=0), sizes=[2, 2, 2]), "sizes"),
        (lambda: me.LSTD().fit(with_actions(), 0.9, sizes=[4]), r"Give \(agents, 2\)"),
        (lambda: me.TD().fit(chunks(*random_run()[:2], 100), 0.9), "sizes"),
        (lambda: me.TD().fit(chunks(*random_run()[:2], 100), sizes=[4] * 3), "discount"),
        (lambda: me.TD().fit(chunks(*random_run()[:2], 100), 1.0, sizes=[4] * 3), "gamma must lie"),
        (lambda: me.TD().fit(chunks(*random_run()[:2], 100), 0.9, sizes=[3] * 3), "has 3 local pairs"),
        (lambda: me.TD().fit(chunks(*random_run()[:2], 100), 0.9, sizes=[4] * 2), r"chunk\.pairs"),
        (lambda: me.TD().fit(chunks(*random_run()[:2], 100), 0.9, sizes=[0.5] * 3), "whole numbers"),
        (
            lambda: me.TD(pool=[0, 0]).fit(chunks(*random_run()[:2], 100), 0.9, sizes=[4] * 3),
            "one label for each",
        ),
        (
            lambda: me.TD(pool=[0, 0, 1]).fit(chunks(*random_run()[:2], 100), 0.9, sizes=[4, 5, 4]),
            "as many local pairs",
        ),
        (lambda: me.TD().fit(chunks(*random_run()[:2], 100), 0.9, sizes=[4] * 3, names=["a"]), "1 names"),
        (
            lambda: me.LSTD().fit(list(chunks(*random_run()[:2], 100))[::2], 0.9, sizes=[4] * 3),
            "last of the chunk before",
        ),
        (lambda: me.LSTD().fit(me.simulate(SLOW, None, 1, rng=0)), "at least one transition"),
        (lambda: me.LSTD().fit(me.simulate(SLOW, None, 9, rng=0), names=3), "list of strings"),
        (lambda: me.LSTD().fit(me.simulate(SLOW, None, 9, rng=0), names="ab"), "list of strings"),
        (lambda: me.LSTD().fit(me.simulate(SLOW, None, 9, rng=0), sizes=[1e30, 2]), "whole numbers"),
        (lambda: me.LSTD().fit(me.simulate(SLOW, None, 9, rng=0), rewards=np.ones((4, 1))), "learn_reward"),
        (lambda: me.LSTD().fit([me.Chunk([[0], [1]], [["x"]], [0])], 0.9, sizes=[2]), "real numbers"),
        (lambda: me.LSTD().fit([me.Chunk([[0], [1]], [[1]], None)], 0.9, sizes=[2]), "booleans"),
        (lambda: me.LSTD().fit(me.simulate(SLOW, None, 9, rng=0)).q(2), "i: got 2"),
        (lambda: me.LSTD().fit(me.simulate(SLOW, None, 9, rng=0))([0, 5]), "local pairs are"),
        (lambda: me.LSTD().fit(me.simulate(SLOW, None, 9, rng=0))([0]), "One local pair for each agent"),
    ],
)
def test_mistakes(call: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        call()


def test_sizes_that_are_given() -> None:
    path = with_actions()
    found = me.CountModel().fit(path, 0.5, sizes=[(2, 2)])
    assert found.visits[0].tolist() == np.bincount((2 * path.states[:-1] + path.actions)[:-1, 0]).tolist()
    assert found.to_dataframe()["action"].tolist() == ["0", "1", "0", "1"]


def test_what_is_no_chunk() -> None:
    for wrong in ([1, 2], [me.simulate(SLOW, None, 9, rng=0)], [*chunks(*random_run()[:2], 1000), None]):
        with pytest.raises(Unsupported, match=r"E\.g\. me\.Chunk"):
            me.LSTD().fit(wrong, 0.9, sizes=[4] * 3)


def test_systems_that_are_stepped_hand_on_their_chunks() -> None:
    """A thousand joint states and more: runs of the system itself, merged; a candidate for its certificate."""
    system = me.gallery.build("circulant").system
    runs = AgentRuns(system, system.bind(me.IndexPolicy([1, 2, 3, 0])))
    found = me.LSTD().fit(runs.chunks(20_000, np.random.default_rng(0), burn_in=50, runs=3))
    chain = system.under(me.IndexPolicy([1, 2, 3, 0]))
    exact = me.value_decomposition(chain)
    assert found.discount == system.discount and found.steps == 60_000 and found.actions == (2,) * 5
    mu = chain.occupancy
    d = np.where(mu > 0, found(chain.pairs), 0.0)
    assert mu @ np.abs(d - np.where(mu > 0, exact.sum_q, 0.0)) < 0.03
    assert me.certificate(chain, None, None, d).to_dict()
    certified = me.certify(found, system, me.IndexPolicy([1, 2, 3, 0]), rng=0, starts=400)
    assert certified.mu[64][0] < exact.error("mu") + 0.03


def test_rewards_that_are_not_finite_or_not_there() -> None:
    pairs, rewards, _ = random_run()
    rewards[7, 1] = np.nan
    with pytest.raises(InvalidInput, match="finite"):
        me.TD().fit(chunks(pairs, rewards, 100), 0.9, sizes=[4] * 3)
    with pytest.raises(Unsupported, match="Give rewards="):
        me.TD().fit(chunks(pairs, rewards[:, :0], 100), 0.9, sizes=[4] * 3)
    table = [np.arange(4.0)] * 3
    found = me.LSTD().fit(chunks(pairs, rewards[:, :0], 100), 0.9, sizes=[4] * 3, rewards=table)
    paid = np.where(pairs[:-1] < 0, 0.0, pairs[:-1])
    same = me.LSTD().fit(chunks(pairs, paid, 100), 0.9, sizes=[4] * 3)
    assert np.stack(found.local_q) == pytest.approx(np.stack(same.local_q), abs=1e-12)


def test_tables_that_do_not_fit_and_the_remedy() -> None:
    run = [me.Chunk(np.array([[0], [1]]), np.ones((1, 1)), np.zeros(1, bool))]
    with pytest.raises(TooLarge, match=r"me\.TD\(\)"):
        me.LSTD().fit(run, 0.9, sizes=[100_000])
    with pytest.raises(TooLarge, match=r"me\.TD\(\)"):
        me.LSTD(0.5).fit(run, 0.9, sizes=[100_000])
    assert len(me.TD().fit(run, 0.9, sizes=[100_000]).q(0)) == 100_000


def test_traces_of_counted_arms_are_refused_and_the_remedy_works() -> None:
    bandit = me.gallery.build("circulant").system
    counts = me.RestlessBandit(*_arms(), n_arms=5, budget=1, discount=0.5)
    policy = me.IndexPolicy([1, 2, 3, 0])
    with pytest.raises(Unsupported, match="WeaklyCoupledMDP"):
        me.value_decomposition(me.count_chain(counts, policy), trace=0.5)
    me.value_decomposition(bandit.under(policy), trace=0.5)
    d = me.value_decomposition(bandit.under(policy), trace=0.5)
    with pytest.raises(Unsupported, match="without a trace"):
        me.error_bounds(d, [me.entanglement(d.chain)])


@pytest.mark.parametrize("learner", [me.MonteCarlo, me.TD, me.LSTD], ids=lambda c: c.__name__)
def test_arms_that_are_followed_teach_what_counts_cannot(learner: Any) -> None:
    """The remedy of the refusal, against the closed form of the same arms one by one."""
    counts = me.RestlessBandit(*_arms(), n_arms=5, budget=1, discount=0.5)
    policy = me.IndexPolicy([1, 2, 3, 0])
    trace = 1.0 if learner is me.MonteCarlo else 0.8
    own = {} if learner is me.MonteCarlo else {"trace": trace}
    with pytest.raises(Unsupported, match=r"me\.arm_path\(me\.Arms\.of\(bandit, policy\)"):
        learner(**own).fit(me.simulate(counts, policy, 100, rng=0))
    found = learner(**own, pool=[0] * 5).fit(me.arm_path(me.Arms.of(counts, policy), 40_000, rng=0), 0.5)
    chain = me.gallery.build("circulant").system.under(policy)
    exact = me.value_decomposition(chain, discount=0.5, trace=trace).local_q[0]
    often = found.visits[0] > 2000
    assert often.sum() >= 4 and found.q(3)[often] == pytest.approx(exact[often], abs=0.06)


def _arms() -> tuple[Any, Any]:
    from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, REWARD

    return [PASSIVE, ACTIVE], REWARD


# --- counts ----------------------------------------------------------------------------------------------


def test_counts_teach_as_their_arms_do() -> None:
    """CountModel on flows is Eq. 2 of the flows; LSTD(0) is the same; single arms are refused."""
    bandit = me.RestlessBandit(*_arms(), n_arms=30, budget=6, discount=0.5)
    path = me.simulate(bandit, me.IndexPolicy([1, 2, 3, 0]), 5000, rng=0)
    found = me.LSTD().fit(path)
    f, r = path.flow_total[0].astype(float), np.asarray(bandit.rewards).reshape(-1)
    seen = f.sum(axis=1) > 0
    p = f[np.ix_(seen, seen)] / f[seen].sum(axis=1, keepdims=True)
    q = np.linalg.solve(np.eye(len(p)) - 0.5 * p, r[seen])
    assert found.q(0)[seen] == pytest.approx(q, abs=1e-12) and np.isnan(found.q(0)[~seen]).all()
    assert me.CountModel().fit(path).q(0).tobytes() == found.q(0).tobytes()
    n = np.zeros((1, 8))
    n[0, seen] = 3.0
    assert found(n) == pytest.approx(3 * q.sum())
    for learner in (me.TD(), me.MonteCarlo(), me.LSTD(0.5)):
        with pytest.raises(Unsupported, match="which arm went where"):
            learner.fit(path)
    with pytest.raises(Unsupported, match="Give rewards="):
        me.LSTD().fit(replace(path, arm_rewards=None))
    again = me.LSTD().fit(replace(path, arm_rewards=None), rewards=[np.asarray(bandit.rewards)[0]])
    assert again.q(0).tobytes() == found.q(0).tobytes()
    with pytest.raises(InvalidInput, match="Leave it out"):
        me.LSTD().fit(path, sizes=[[3, 2]])
    with pytest.raises(Unsupported, match="Leave it out"):
        me.LSTD(pool=[0]).fit(path)
    assert me.LSTD().fit(path, sizes=[[4, 2]]).q(0).tobytes() == found.q(0).tobytes()
    for learner in (me.LSTD(), me.JointLSTD()):
        with pytest.raises(InvalidInput, match="at least one transition"):
            learner.fit(me.simulate(bandit, me.IndexPolicy([1, 2, 3, 0]), 1, rng=0))
    with pytest.raises(Unsupported, match="flows"):
        me.LSTD().fit(me.simulate(bandit, me.IndexPolicy([1, 2, 3, 0]), 50, rng=0, flows="none"))


def test_what_a_path_tells_survives_a_file(tmp_path: Any) -> None:
    path = me.simulate(SLOW, None, 50, rng=0)
    path.save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as held:
        assert held["sizes"].tolist() == [[2, 1], [2, 1]] and float(held["discount"]) == 0.9
    assert path.to_dict()["discount"] == 0.9
    json.dumps(me.TD().fit(path).to_dict(), allow_nan=False)
