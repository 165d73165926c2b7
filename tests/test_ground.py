"""Random streams, intervals and JSON: what every estimate rests on."""

from __future__ import annotations

import math

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement._interval import batch_means, inefficiency, jackknife, successive, unmet
from markov_entanglement._json import plain
from markov_entanglement._random import children, generator, streams
from markov_entanglement.bandits.arms import Arms, arm_totals
from markov_entanglement.errors import InvalidInput

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
ORDER = me.IndexPolicy([1, 2, 3, 0])
BANDIT = me.RestlessBandit([P0, P0.T], [-1.0, 0, 0, 1], n_arms=10, budget=2, discount=0.5)
ARMS = Arms.of(BANDIT, ORDER)


@pytest.mark.parametrize("rng", [-1, "x", None, 1.5, True, [0], np.random.SeedSequence(0)], ids=repr)
@pytest.mark.parametrize(
    "ask",
    [
        lambda rng: me.estimate_error(BANDIT, ORDER, rng=rng),
        lambda rng: me.estimate_entanglement(BANDIT, ORDER, rng=rng),
        lambda rng: me.paper_error(BANDIT, ORDER, rng=rng),
        lambda rng: me.simulate(BANDIT, ORDER, 3, rng=rng),
        lambda rng: me.mean_field(BANDIT, ORDER, rng=rng),
        lambda rng: me.arm_path(ARMS, 3, rng=rng),
        lambda rng: arm_totals(ARMS, 3, rng=rng),
    ],
    ids=["error", "entanglement", "paper", "simulate", "mean field", "path", "totals"],
)
def test_one_convention_of_seeds(ask, rng):
    with pytest.raises(InvalidInput, match=r"^rng: .* a seed, an int >= 0, or a numpy Generator"):
        ask(rng)


def test_seeds_and_generators():
    assert generator(np.int64(3)).random() == generator(3).random() == np.random.default_rng(3).random()
    own = np.random.default_rng(3)
    assert generator(own) is own
    old = np.random.SeedSequence(int(np.random.default_rng(7).integers(0, 2**63)), spawn_key=(2,))
    assert children(7, 3)[2].random() == np.random.default_rng(old).random()


def test_streams_depend_on_their_names_alone():
    """The same name gives the same numbers whatever stands beside it; other names, and children, give others."""
    names = ["a", "b", "ab", "ba", "values", "Whittle-Index", "ä"]
    draws = dict(zip(names, (s.random() for s in streams(5, *names)), strict=True))
    assert streams(5, "ba")[0].random() == draws["ba"] != streams(6, "ba")[0].random()
    draws |= {k: c.random() for k, c in enumerate(children(5, 200))}
    assert len(set(draws.values())) == len(draws)
    used = np.random.default_rng(5)
    assert streams(used, "a")[0].random() == draws["a"] != streams(used, "a")[0].random()


def test_jackknife_of_a_ratio_covers_through_zero():
    """Ratio of means of block means; its truth is 0, so half of the samples are negative: a clip would hide them."""
    rng, miss, n = np.random.default_rng(1), 0, 400
    for _ in range(n):
        m = np.column_stack([rng.normal(0, 1, 20), rng.normal(5, 1, 20)])
        value, half = jackknife(m, lambda x: float(x[0] / x[1]))
        miss += not value - half < 0 < value + half
        assert half > 0
    assert miss <= 0.05 * n + 4 * math.sqrt(n * 0.05 * 0.95)
    assert jackknife(np.ones((5, 2)), lambda x: math.inf) == (math.inf, 0.0)
    assert math.isnan(jackknife(np.arange(10.0).reshape(5, 2), lambda x: math.nan if x[0] > 4 else 1.0)[1])


def test_inefficiency_of_an_autoregression():
    """`x' = a x + noise` needs (1 + a)/(1 - a) steps per independent one; four standard errors of 200 stretches."""
    rng, a, length = np.random.default_rng(2), 0.9, 1000
    x = np.zeros((200, length, 2))
    noise = rng.standard_normal(x.shape)
    now = noise[:, 0] / math.sqrt(1 - a * a)
    for t in range(length):
        x[:, t] = now
        now = np.array([a, 0.0]) * now + noise[:, t]
    got = inefficiency(x.mean(axis=1), x.var(axis=1), length)
    assert abs(got / 19 - 1) < 4 * math.sqrt(2 / 199)
    assert inefficiency(np.ones((3, 2)), np.zeros((3, 2)), 5) == 1.0


def test_room_for_events_never_met():
    assert unmet(np.ones(1000)) == 0.0 and unmet(np.zeros(1000)) == 0.0
    few = np.zeros(1000)
    few[:3] = 2.0
    assert unmet(few) == 10 * 2.0 / 1000 and unmet(-few) == unmet(few)
    rng, n, miss = np.random.default_rng(3), 1000, 0
    for _ in range(300):  # chance 2/n of an event worth 1: seldom met often enough for its mean
        x = (rng.random(n) < 2 / n).astype(float)
        miss += bool(x.any()) and x.mean() + unmet(x) < 2 / n
    assert miss == 0


def test_batches():
    f = np.arange(10.0)
    assert batch_means(f, 3).tolist() == [1.0, 4.0, 7.5]
    assert batch_means(np.column_stack([f, -f]), 3).tolist() == [[1, -1], [4, -4], [7.5, -7.5]]
    assert successive(np.ones(4)) == 0.0 and successive(np.array([1.0, -1, 1, -1])) == -0.75


def test_plain():
    value = {
        1: np.array([1.0, np.inf]),
        "b": (np.float64("nan"), np.int64(3), True, None, "x", {"c": np.bool_(False)}),
    }
    assert plain(value) == {"1": [1.0, None], "b": [None, 3, True, None, "x", {"c": False}]}
