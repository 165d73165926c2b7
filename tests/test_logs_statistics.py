"""Statistics of logs: counts, the null by dealing, limits from both sides, against raw arrays and known truths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.data.contingency import Contingency
from markov_entanglement.data.entangled import of_steps, of_tally
from markov_entanglement.data.limits import _balanced, _jensen, hard, lower, upper
from markov_entanglement.data.null import _deal, _margins, information_of, null
from markov_entanglement.errors import InvalidInput, TooLarge


def steps(seed: int, many: int = 4000, tie: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contexts 0..11 with keys context // 4, outcomes 0..2 that depend on the context with chance `tie`."""
    rng = np.random.default_rng(seed)
    context = rng.integers(0, 12, many)
    alone = rng.integers(0, 3, many)
    return context, np.where(rng.random(many) < tie, context % 3, alone), context // 4


def table(seed: int = 0, **options: Any) -> Contingency:
    context, outcome, key = steps(seed, **options)
    block = np.arange(len(context)) * 40 // len(context)
    return Contingency.of(block, context, outcome, key, n_keys=3, n_outcomes=3)


def truth(tie: float) -> float:
    """Laws (1 - tie)/3 + tie at (c mod 3); each key has four contexts of which two share an outcome, so the best M has
    that outcome's law in the middle: two of four contexts miss it by `tie`."""
    return tie * 0.5


def test_counts_add_up_in_any_order() -> None:
    context, outcome, key = steps(1)
    block = np.arange(4000) * 40 // 4000
    first, second = (
        Contingency.of(block[s], context[s], outcome[s], key[s], n_keys=3, n_outcomes=3)
        for s in (slice(0, 1500), slice(1500, 4000))
    )
    whole = Contingency.of(block, context, outcome, key, n_keys=3, n_outcomes=3)
    for merged in (first.merge(second), second.merge(first)):
        for name in ("code", "key", "context", "block", "outcome", "count"):
            assert (getattr(merged, name) == getattr(whole, name)).all()
    assert whole.steps == 4000


def test_dealt_tables_keep_margins_and_have_the_mean_of_the_hypergeometric() -> None:
    m = _margins(table())
    rng, total = np.random.default_rng(0), np.zeros(len(m.seen))
    for _ in range(400):
        counts = np.empty(len(m.seen), dtype=np.int64)
        _deal(rng, m.rows, m.columns, m.cells, m.size, m.urn, counts)
        assert (counts.reshape(12, 3).sum(axis=1) == m.size).all()
        assert (counts.reshape(3, 4, 3).sum(axis=1).ravel() == m.urn).all()
        total += counts
    urn, size = m.urn.reshape(3, 3), m.size.reshape(3, 4)
    expected = size[:, :, None] * urn[:, None] / urn.sum(axis=1)[:, None, None]
    # each count has a standard deviation below sqrt(size)/2, about 9; its mean over 400 tables below .5
    assert np.abs(total.reshape(3, 4, 3) / 400 - expected).max() < 2.5


def test_plug_in_and_information_against_raw_arrays() -> None:
    context, outcome, _ = steps(0)
    laws = np.array(
        [np.bincount(outcome[context == c], minlength=3) / (context == c).sum() for c in range(12)]
    )
    weight = np.bincount(context) / 4000
    value = sum(me.weighted_l1_median(laws[k : k + 4], weight[k : k + 4])[1] for k in (0, 4, 8))
    mean = np.repeat(
        [weight[k : k + 4] @ laws[k : k + 4] / weight[k : k + 4].sum() for k in (0, 4, 8)], 4, axis=0
    )
    told = weight @ (laws * np.log(laws / mean)).sum(axis=1)
    found = null(table(), rng=0, tables=99)
    assert found.plug_in == pytest.approx(float(value), abs=1e-12)
    assert found.information == pytest.approx(told, abs=1e-12)
    assert information_of(table(), left_out=-1) == pytest.approx(told, abs=1e-12)
    assert found.p_value == 0.01 and found.level < found.plug_in


def test_contexts_met_once_are_pooled() -> None:
    context = np.arange(600)
    outcome = np.random.default_rng(0).integers(0, 3, 600)
    t = Contingency.of(context * 40 // 600, context, outcome, context % 2, n_keys=2, n_outcomes=3)
    found = null(t, rng=0, tables=19)
    often = [np.bincount(outcome[context % 2 == k], minlength=3) for k in (0, 1)]
    assert found.plug_in == pytest.approx(
        1 - sum(n.max() for n in often) / 600
    )  # laws are points: q at the commonest
    assert found.spread < 1e-12 and found.p_value == 1.0


def test_same_seed_same_numbers() -> None:
    assert vars(null(table(), rng=7)) == vars(null(table(), rng=7))


def test_false_alarms_are_as_rare_as_stated() -> None:
    """200 tables without dependence: p <= .05 in 10 of them, standard deviation 3.1."""
    p = np.array([null(table(s, many=400, tie=0.0), rng=s, tables=99).p_value for s in range(200)])
    assert (p <= 0.05).sum() <= 20
    assert 0.35 < p.mean() < 0.65  # uniform: standard deviation of the mean .02


def test_lower_limit_is_the_formula_on_raw_arrays() -> None:
    context, outcome, key = steps(3)
    t = table(3)
    n = t.grid.counts.sum(axis=0)
    f = hard(t.grid, n)
    y = np.empty(len(n))
    whole = _balanced(*t.grid.shape, n, f, y) / 4000
    dense = f.reshape(12, 3)
    expected, each = 0.0, np.zeros(4000)
    for k in range(3):
        here = key == k
        F = dense[context[here]].mean(axis=0)
        adv = (dense[context[here], outcome[here]] - F[outcome[here]]).mean()
        expected += here.mean() * adv / (1 + F.max() - F.min())
        # a feasible point of the dual: mean 0 over contexts for every outcome, values in an interval of length 1
        point = (dense[context[here]] - F) / (1 + F.max() - F.min())
        assert np.abs(point.mean(axis=0)).max() < 1e-12 and point.max() - point.min() <= 1 + 1e-12
    each[:] = y[t.grid.cell][0]
    assert whole == pytest.approx(expected, abs=1e-12)
    assert (n @ y) / 4000 == pytest.approx(expected, abs=1e-12)


def test_upper_limit_is_the_formula_on_raw_arrays() -> None:
    t = table(4)
    n = t.grid.counts.sum(axis=0)
    M, y = np.tile([0.5, 0.3, 0.2], 3), np.empty(len(n))
    whole = _jensen(*t.grid.shape, n, np.ones(3, dtype=bool), M, y)
    dense = n.reshape(12, 3)
    expected = 0.5 * np.abs(dense - dense.sum(axis=1, keepdims=True) * [0.5, 0.3, 0.2]).sum()
    assert whole == pytest.approx(expected) and n @ y == pytest.approx(expected)


@pytest.mark.parametrize("tie", [0.0, 0.2, 0.6])
def test_limits_hold_the_truth(tie: float) -> None:
    """40 tables: each limit fails in 2 on average, standard deviation 1.4."""
    found = [(lower(t).value, upper(t).value) for t in (table(100 + s, tie=tie) for s in range(40))]
    low, high = np.array(found).T
    assert (low > truth(tie)).sum() <= 7 and (high < truth(tie)).sum() <= 7
    assert tie == 0.0 or low.mean() > 0.8 * truth(tie)


def lake(seed: int, many: int) -> me.Log:
    entry = me.gallery.build("frozen-lake")
    return me.read_logs(me.simulate(entry.system, entry.policy, many, rng=seed))


def test_frozen_lake_from_logs_alone() -> None:
    """E = .018721 of either walker; lower limits above .015 at 10^5 steps, upper ones below .045."""
    found = me.entanglement(lake(0, 100_000), rng=0)
    assert found.rejected == (True, True) and (found.p_value <= 0.005).all()
    assert (found.lower > 0.015).all() and (found.lower <= 0.018721).all()
    assert (found.upper < 0.045).all() and (found.upper >= 0.018721).all()
    assert (found.plug_in > found.null).all()
    assert "95 % each" in found.sentence and len(found.to_dict()["p_value"]) == 2


def test_cannot_tell_names_how_many_more_steps() -> None:
    names = []
    for seed in range(6):
        found = me.entanglement(lake(seed, 300), rng=0)
        assert all(lo == 0 or yes for lo, yes in zip(found.lower, found.rejected, strict=True))
        names += [m for m in found.more_steps if np.isfinite(m)]
    assert names and all(20 < m < 30_000 for m in names)
    # what the remedy says is followed: with 3,000 steps more the test rejects
    assert any(me.entanglement(lake(0, 3300), rng=0).rejected)


def test_counts_and_steps_say_the_same() -> None:
    entry = me.gallery.build("appendix-e")
    log = me.read_logs(me.simulate(entry.system, entry.policy, 3000, rng=1))
    one = of_steps(log.side_by_side, log.units, rng=0)
    two = of_tally(me.tally(log), log.units, rng=0)
    assert two.plug_in == pytest.approx(one.plug_in, abs=1e-12)
    assert two.p_value == pytest.approx(one.p_value)
    assert two.lower == pytest.approx(one.lower, abs=0.02) and two.upper == pytest.approx(one.upper, abs=0.02)


def tasks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two agents with two states; the second ends the task half of the times that it is in 1; then both begin at 0."""
    rng = np.random.default_rng(seed)
    states, ended = np.zeros((2000, 2), dtype=int), np.zeros(2000, dtype=bool)
    for t in range(1999):
        ended[t] = states[t, 1] == 1 and rng.random() < 0.5
        states[t + 1] = 0 if ended[t] else rng.integers(2, size=2)
    return states, ended


def kept_log(kind: str) -> me.Log:
    """A log, made anew."""
    states, ended = tasks(0)
    if kind == "ends":
        return me.read_logs(states=states, terminated=ended, episode=np.append(0, np.cumsum(ended)[:-1]))
    if kind == "ends in a row":
        return me.read_logs(states=states, terminated=ended)
    if kind == "away":  # a third of the time nobody but one is there
        return me.read_logs(states=np.where(np.random.default_rng(1).random(states.shape) < 0.3, -1, states))
    if kind == "turns":  # never all three at once
        three, t = np.full((2000, 3), -1), np.arange(2000)
        three[t, t // 50 % 3], three[t, (t // 50 + 1) % 3] = states.T
        return me.read_logs(states=three)
    return crowd(300)  # joint pairs hardly recur


@pytest.mark.parametrize("kind", ["ends", "ends in a row", "away", "turns", "crowd"])
def test_a_log_too_large_for_memory_says_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = me.entanglement(kept_log(kind), rng=0)
    monkeypatch.setattr(tol, "LOG_NUMBERS", 10)  # numbers of a log in memory
    log = kept_log(kind)
    with pytest.raises(TooLarge, match="in memory"):
        _ = log.side_by_side
    two = me.entanglement(log, rng=0)
    for name in ("plug_in", "information", "used"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), abs=1e-12)
    assert two.over == one.over and two.rejected == one.rejected
    # contexts are dealt to in another order: 199 tables each, standard deviations of p at most .05
    assert two.null == pytest.approx(one.null, rel=0.1) and two.p_value == pytest.approx(one.p_value, abs=0.2)
    # stretches of time have equal numbers of rows, not of steps
    assert two.lower == pytest.approx(one.lower, abs=0.04) and two.upper == pytest.approx(one.upper, abs=0.04)
    with pytest.raises(TooLarge):  # a classifier needs the steps themselves
        me.entanglement(log, rng=0, classifier=Frequencies())


def test_counts_of_agents_of_whom_nothing_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    states = np.random.default_rng(0).integers(0, 4, (500, 3))
    states[1:, 2] = -1
    monkeypatch.setattr(tol, "LOG_JOINT", 3)
    for seen, used in ((states, 499), (states[:, :1], 0)):  # an agent alone has no partner
        log = me.read_logs(states=seen)
        found = of_tally(me.tally(log), log.units, rng=0)
        assert found.used[0] == used and set(found.over) == {"partners"}
        assert found.interval[-1].tolist() == [0.0, 1.0] and found.p_value[-1] == 1.0 and not found.used[-1]
        assert "Cannot tell" in found.sentence


def test_the_end_of_a_task_is_an_outcome_of_counts() -> None:
    """E_1 on raw arrays: TV to the median over the partner of the law over 0, 1 and the end."""
    states, ended = tasks(1)
    log = me.read_logs(states=states, terminated=ended)
    table = me.tally(log).question("joint", 0)
    found = np.zeros((2, 2, 3), dtype=int)
    following = np.where(ended[:-1], 2, states[1:, 0])
    np.add.at(found, (states[:-1, 0], states[:-1, 1], following), 1)
    pairs = me.tally(log).pairs[table["code"]]
    counted = np.zeros_like(found)
    np.add.at(counted, (pairs[:, 0], pairs[:, 1], table["outcome"]), table["count"])
    assert (counted == found).all() and found[:, 1, 2].min() > 100


def crowd(many: int = 4000) -> me.Log:
    """Seven agents with two states; agent 0 follows agent 1 with chance .6, all else are coins."""
    rng = np.random.default_rng(0)
    states = rng.integers(0, 2, (many, 7))
    follow = rng.random(many - 1) < 0.6
    states[1:, 0] = np.where(follow, states[:-1, 1], states[1:, 0])
    return me.read_logs(states=states, n_states=2)


def test_partners_tell_where_joint_pairs_are_many() -> None:
    """E_0 = .3: with .6 the next state is that of agent 1."""
    found = me.entanglement(crowd(600), rng=0)  # 128 joint pairs, 5 visits each
    assert found.rejected[0] and sum(found.rejected[1:]) <= 1
    few = me.entanglement(crowd(300), rng=0)
    assert few.over[0] == "partners" and few.rejected[0]
    assert 0.1 < me.entanglement(crowd(), rng=0).lower[0] <= 0.3 <= me.entanglement(crowd(), rng=0).upper[0]


class Frequencies:
    """A classifier: how often each outcome follows the pair of agent 1."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        self.classes_ = np.unique(y)
        self.law = np.array([[(y[X[:, 1] == s] == c).mean() for c in self.classes_] for s in (0, 1)])

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.law[np.where(X[:, 1] == 1, 1, 0)]


def test_a_classifier_of_the_user_is_a_witness() -> None:
    found = me.entanglement(crowd(), rng=0, classifier=Frequencies())
    assert 0.25 < found.lower[0] <= 0.3
    with pytest.raises(me.errors.InvalidInput, match="fit"):
        me.entanglement(crowd(300), rng=0, classifier=object())
    with pytest.raises(me.errors.Unsupported, match="logs"):
        me.entanglement(me.gallery.build("appendix-e").chain(), classifier=Frequencies())


class Strict(Frequencies):
    """It refuses one class, as those of scikit-learn do."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        if len(np.unique(y)) < 2:
            raise ValueError("only one class")
        super().fit(X, y)


class NoClasses(Frequencies):
    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        super().fit(X, y)
        del self.classes_


class NoNumbers(Frequencies):
    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.full((len(X), len(self.classes_)), np.nan)


def test_a_classifier_is_not_asked_where_nothing_can_be_learned_and_blamed_for_its_own() -> None:
    states = np.random.default_rng(0).integers(0, 2, (400, 3))
    states[:, 0] = 1  # it never moves
    found = me.entanglement(me.read_logs(states=states, n_states=2), rng=0, classifier=Strict())
    assert found.lower[0] == 0.0 and found.upper[0] == 0.0
    short = me.entanglement(me.read_logs(states=states[:3], n_states=2), rng=0, classifier=Strict())
    assert (short.lower == 0.0).all()
    for wrong, words in ((NoClasses, "AttributeError.*classes_"), (NoNumbers, "not finite")):
        with pytest.raises(InvalidInput, match=words):
            me.entanglement(crowd(), rng=0, classifier=wrong())


def test_other_distances_of_logs_are_refused() -> None:
    with pytest.raises(me.errors.Unsupported, match="mu-atv"):
        me.entanglement(crowd(300), "atv")
