"""How long runs must be: the number of starts by hand, the number followed, and runs that take them unasked."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.analysis.compare import Comparison, Line
from markov_entanglement.bandits.chain import BanditRuns
from markov_entanglement.bandits.error_estimate import estimate_error
from markov_entanglement.runs import length
from markov_entanglement.runs.agents import AgentRuns
from markov_entanglement.runs.length import Parts, enough, growth, narrow
from markov_entanglement.values.approximation import verdict

ORDER = me.IndexPolicy([1, 2, 3, 0])


def parts(square, half, **change):
    return Parts(square, half, 0.0, 0.0, 1, 0.0)._replace(**change)


@pytest.mark.parametrize(
    ("square", "half", "tolerance"), [(0.04, 0.03, 0.25), (0.09, 0.01, 0.28), (0.0, 0.02, 0.1)]
)
def test_the_number_by_hand(square, half, tolerance):
    """Limits are square -+ half / sqrt(m); twice that half fits between square and tolerance^2."""
    by_hand = (2 * half / (tolerance**2 - square)) ** 2
    assert by_hand <= parts(square, half).needed(tolerance, 1e12) <= 1.02 * by_hand
    starts, k = enough(parts(square, half), tolerance, 1000)
    assert k == 1 and 1000 * by_hand <= starts <= 1020 * by_hand + 1


def test_it_decides_in_39_of_40_runs():
    """Squares of a normal estimate of m times as many starts: its interval is on the right side in 97.5 %."""
    square, half, tolerance = 0.04, 0.01, 0.22
    times = parts(square, half).needed(tolerance, 1e12)
    rng, sigma = np.random.default_rng(0), half / 1.96 / math.sqrt(times)
    found = square + sigma * rng.standard_normal(4000)
    decided = np.mean([parts(x, half).limits(times)[1] <= tolerance for x in found])
    assert abs(decided - 0.975) < 4 * math.sqrt(0.975 * 0.025 / 4000)


def test_what_does_not_shrink():
    """A value at the tolerance, a bracket that holds it; noise of a table shrinks as well, rare events do so faster."""
    assert enough(parts(0.04, 0.01), 0.2, 1000)[0] == math.inf
    wide = parts(0.04, 0.0001, gamma=0.9, k=10)  # 0.9^10 = .35: the bracket is .096 to .415
    assert wide.needed(0.25, 1e12) == math.inf and enough(wide, 0.25, 1000)[1] == narrow(0.9) == 66
    by_hand = (0.1 / 0.05) ** 2  # 0.2 + 0.1 / sqrt(m) = 0.25
    assert by_hand <= parts(0.04, 0.0, reach=0.1).needed(0.25, 1e9) < 1.02 * by_hand
    rare = parts(0.04, 0.0, rare=0.1)
    by_hand = 0.1 / (0.25**2 - 0.04)  # shrinks like 1 / m
    assert by_hand <= rare.needed(0.25, 1e9) < 1.02 * by_hand


def test_growth_keeps_to_its_limits():
    p = parts(0.04, 0.03)
    assert growth(p, 0.9, 1000, 1.0) == 1  # decided
    assert growth(p, 0.25, 1000, 1.0) == p.needed(0.25, 1e9) > 4
    assert growth(p, 0.25, 1000, tol.GROWTH_STEPS / 4000) == 4  # so many may be taken, and it is not far
    assert growth(p, 0.2001, 1000, 1.0) == growth(p, 0.2, 1000, 1.0) == 1  # out of reach


def four_arms():
    """Four different arms of two states, budget 1, discount .5."""
    rng = np.random.default_rng(1)
    arms = [rng.dirichlet([1, 1], size=(2, 2)) for _ in range(4)]
    return me.WeaklyCoupledMDP(arms, [[[0, 0.5], [1, 1.5]]] * 4, discount=0.5, budget=1), me.IndexPolicy(
        [[0, k + 1] for k in range(4)]
    )


def test_the_number_is_followed_agent_by_agent(monkeypatch):
    """The call that the sentence names, as it stands there, decides, and as the exact chain does."""
    monkeypatch.setattr(length, "_GROWTH", 1)
    system, policy = four_arms()
    exact = me.value_decomposition(system.under(policy)).unexplained
    for tolerance in (0.96 * exact, 1.05 * exact):
        result = me.analyze(system, policy, method="simulate", tolerance=tolerance)
        assert result.verdict == "cannot-tell" and "more steps would decide: me.certify(" in result.sentence
        values = result.to_dict()["values"]
        assert values["more_steps"] > 0 and f"starts={values['more_starts']:.0f}" in result.sentence
        call = re.search(r"me\.certify\(.*\)", result.sentence).group()
        (limits,) = eval(
            call, {"me": me, "result": result, "system": system, "policy": policy}
        ).unexplained.values()
        assert verdict(limits, tolerance) == ("add" if exact < tolerance else "do-not-add")


def test_the_number_is_followed_in_counts(monkeypatch):
    monkeypatch.setattr(length, "_GROWTH", 1)
    bandit = me.gallery.build("circulant-bandit", n_arms=30).system
    exact = me.value_decomposition(bandit.under(ORDER).exact).unexplained
    for tolerance in (0.94 * exact, 1.12 * exact):
        e = estimate_error(bandit, ORDER, rng=0, starts=200, training=20_000, tolerance=tolerance)
        assert verdict(e.unexplained_interval, tolerance) == "cannot-tell" and e.more_steps > 0
        call = re.search(r"me\.estimate_error\(.*\)", e.remedy).group()
        longer = eval(call, {"me": me, "bandit": bandit, "policy": ORDER})
        assert e.more[0] <= longer.starts < e.more[0] + longer.blocks
        assert verdict(longer.unexplained_interval, tolerance) == (
            "add" if exact < tolerance else "do-not-add"
        )


def test_a_value_at_the_tolerance_is_said():
    system, policy = four_arms()
    at = AgentRuns(system, system.bind(policy)).errors(0).unexplained
    assert at > 0
    again = AgentRuns(system, system.bind(policy)).errors(0, at)
    assert "no number of steps decides: the value is at the tolerance" in again.remedy
    assert again.more == (math.inf, again.steps) and again.errors()["more_starts"] == math.inf
    assert again.to_dict()["tolerance"] == at and again.starts == 4000


def test_runs_grow_until_they_decide():
    """In counts: longer runs, the same for any number of workers; none where the verdict is there at once."""
    bandit = me.gallery.build("circulant-bandit", n_arms=30).system
    exact = me.value_decomposition(bandit.under(ORDER).exact).unexplained
    asked = {"rng": 0, "starts": 200, "training": 20_000}
    near = estimate_error(bandit, ORDER, tolerance=1.2 * exact, workers=1, **asked)
    assert near.starts > 200 and near.learned > 20_000
    assert near.more is None and near.unexplained_interval[1] <= 1.2 * exact
    assert (
        near.to_dict() == estimate_error(bandit, ORDER, tolerance=1.2 * exact, workers=2, **asked).to_dict()
    )
    far, plain = (estimate_error(bandit, ORDER, tolerance=x, **asked) for x in (0.5, None))
    assert far.starts == plain.starts == 200 and far.more is plain.more is None
    assert plain.unexplained_interval == far.unexplained_interval


def test_agents_grow_until_they_decide():
    system, policy = four_arms()
    exact = me.value_decomposition(system.under(policy)).unexplained
    runs = AgentRuns(system, system.bind(policy))
    for tolerance in (0.95 * exact, 1.06 * exact):
        e = runs.errors(1, tolerance)
        assert e.starts > 4000 and e.more is None
        assert verdict(e.unexplained_interval, tolerance) == ("add" if exact < tolerance else "do-not-add")


def test_rewards_of_runs_too_short_are_not_told(monkeypatch):
    """Arms that leave a state with .0001: the half width is infinite, and the comparison says why."""
    k = [[[0.9999, 0.0001], [0.0001, 0.9999]]] * 2
    bandit = me.RestlessBandit(k, [[0, 0.2], [1, 0.9]], n_arms=40, budget=10, discount=0.9)
    _, half, how = BanditRuns(bandit, me.IndexPolicy([0, 1])).worth(0)
    assert half == math.inf and "the counts remember about 9,999 steps" in how
    system = me.WeaklyCoupledMDP([k] * 4, [[[0, 0.2], [1, 0.9]]] * 4, discount=0.9, budget=1)
    policy = me.IndexPolicy([[0, 1]] * 4)
    monkeypatch.setattr(tol, "AGENT_STEPS", 1e5)
    _, half, how = AgentRuns(system, system.bind(policy)).worth(0)
    assert half == math.inf and "some agent remembers about 9,999 steps" in how
    line = Line("slow", 1.0, math.inf, 0.1, 0.1, 0.1, 0.1, how, True)
    both = Comparison((line, replace(line, name="fast", value=0.5, uncertainty=0.1, digest="another")))
    assert both.sentence == f"Cannot tell slow and fast apart: {how}."
    assert both.to_dict()["policies"][0]["uncertainty"] is None


def test_batches_that_follow_each_other():
    """Coverage by batch means of 3 memories each: 95 % by the corrected batches; 60 seeds, at least 51 hold (.01)."""
    k = [[[0.95, 0.05], [0.06, 0.94]]] * 2
    bandit, policy = me.RestlessBandit(k, [0, 1], n_arms=10, budget=3), me.IndexPolicy([0, 1])
    exact = me.entanglement(bandit.under(policy).exact, "policy").per_agent[0]
    found = [me.estimate_entanglement(bandit, policy, rng=s, replications=1, steps=2200) for s in range(60)]
    assert all(x.reliable for x in found)
    assert sum(x.interval[0, 0] <= exact <= x.interval[0, 1] for x in found) >= 51
