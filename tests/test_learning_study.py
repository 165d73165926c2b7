"""How much data is enough, for any system: limits, slopes, entanglement by brute force, pictures and the command."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
from markov_entanglement.runs.agents import AgentRuns
from markov_entanglement.studies.prefixes import Agents, InCounts, prefixes
from markov_entanglement.studies.sample_complexity import filled


def three(discount: float = 0.9) -> tuple[me.WeaklyCoupledMDP, me.IndexPolicy]:
    kernels = np.random.default_rng(4).dirichlet(np.ones(2), size=(3, 2, 2))
    system = me.WeaklyCoupledMDP(list(kernels), [[0.0, 1.0]] * 3, discount=discount, budget=1)
    return system, me.IndexPolicy([[0.3, 0.6], [0.5, 0.1], [0.4, 0.35]])


def bandit(n: int) -> me.RestlessBandit:
    return me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=n, budget=n // 4, discount=0.5)


def test_the_error_of_least_squares_halves_with_four_times_the_steps() -> None:
    system, policy = three()
    found = me.sample_complexity(system, policy, steps=(1000, 4000, 16_000), runs=40, burn_in=50, rng=1)
    assert found.slope is not None and found.entanglement_slope is not None and found.error is not None
    for mean, low, high in (found.slope, found.entanglement_slope):
        assert low <= -0.5 <= high and high - low < 0.3 and -0.62 < mean < -0.38
    exact = me.value_decomposition(system.under(policy))
    assert found.bias == pytest.approx(exact.error("l2"), rel=1e-9) and found.truth == "exact limits"
    # no run can be nearer to Q, or farther from it, than its distance from the limit allows
    assert (np.abs(found.error - found.bias) <= found.learning + 1e-12).all()
    assert 0.01 < found.bias < found.error.mean(axis=0)[-1] < found.error.mean(axis=0)[0]


@pytest.mark.parametrize("learner", [me.LSTD(0.5), me.TD(0.3), me.MonteCarlo(), me.CountModel()], ids=repr)
def test_limits_are_those_of_the_closed_form(learner: Any) -> None:
    chain = three()[0].under(three()[1])
    trace = 1.0 if isinstance(learner, me.MonteCarlo) else getattr(learner, "trace", 0.0)
    exact = me.value_decomposition(chain, trace=trace)
    assert learner.limit_on(chain, 0.9) == pytest.approx(exact.sum_q, nan_ok=True)
    assert me.JointLSTD().limit_on(chain, 0.9) == pytest.approx(me.additive_values(chain).sum_q, nan_ok=True)
    assert me.LinearLSTD([np.eye(4)] * 3).limit_on(chain, 0.9) is None


def test_a_learner_of_unknown_limit_is_held_against_a_long_run() -> None:
    class Mine(me.LSTD):
        def limit_on(self, space: Any, discount: float) -> None:
            return None

    system, policy = three()
    run = {"steps": (300, 1200), "runs": 20, "burn_in": 50}
    exact = me.sample_complexity(system, policy, **run, rng=0)
    mine = me.sample_complexity(system, policy, **run, learner=Mine(), rng=0)
    assert mine.error is None and mine.bias is None
    assert mine.truth == "limits along another run of 12,000 steps, at 2,000 of its joint pairs"
    # the noise of the long run is a root of ten below that of the longest one
    assert mine.learning.mean(axis=0) == pytest.approx(exact.learning.mean(axis=0), rel=0.2)
    assert mine.entanglement.mean(axis=0) == pytest.approx(exact.entanglement.mean(axis=0), rel=0.25)


def test_a_shared_reward_takes_joint_values_or_is_refused() -> None:
    game = me.JointChain(np.full((4, 4), 0.25), (2, 2), rewards=[0.0, 1.0, 1.0, 8.0], discount=0.9)
    with pytest.raises(Unsupported, match="JointLSTD"):
        me.sample_complexity(game, steps=(100, 400), rng=0)
    found = me.sample_complexity(game, steps=(400, 1600), learner=me.JointLSTD(), rng=0)
    assert (
        found.entanglement is None and found.bias == pytest.approx(1.5) and found.entanglement_slope is None
    )
    assert list(found.tables()) == ["values_by_steps", "numbers"]


def test_entanglement_of_agents_by_brute_force() -> None:
    """The best of all laws that occur, state by state, over a few steps."""
    system, policy = three()
    runs = AgentRuns(system, system.bind(policy))
    data = Agents(runs, 2, 60, 5, np.random.default_rng(0))
    for r, steps in itertools.product(range(2), (7, 60)):
        states = data.at[r, :steps] // 2
        laws = [np.array([system.bind(policy).marginals(s[None])[i][0] for s in states]) for i in range(3)]
        for i, law in enumerate(laws):
            missed = 0.0
            for s in range(2):
                here = law[states[:, i] == s]
                missed += min((np.abs(here - q).sum() for q in here), default=0.0)
            assert data.entanglement(r, steps)[i] == pytest.approx(0.5 * missed / steps, abs=1e-12)


def test_entanglement_and_values_of_counts() -> None:
    """The same numbers as the arms of the counts, laid out one by one."""
    chain = bandit(8).under(me.IndexPolicy(PRIORITY))
    data = prefixes(chain.runs, 1, 50, 3, np.random.default_rng(0))
    assert isinstance(data, InCounts)
    path = data.paths[0]
    for steps in (9, 50):
        missed, arms = 0.0, 8 * steps
        for s in range(4):
            n, z = path.counts[:steps, 0, s], path.served[:steps, 0, s]
            here = np.repeat(z / np.maximum(n, 1), n)  # the chance of every arm there at every step
            missed += min((np.abs(here - q).sum() for q in here), default=0.0)
        assert data.entanglement(0, steps)[0] == pytest.approx(missed / arms, abs=1e-12)
        part = me.LSTD().fit(data._first(0, steps), 0.5)
        assert part.steps == steps and part.visits[0].sum() == arms
    whole = me.LSTD().fit(path, 0.5)
    assert data.learned(0, 50, me.LSTD(), 0.5).local[0].tobytes() == whole.local[0].tobytes()


def test_counts_are_studied_at_any_size() -> None:
    found = me.sample_complexity(bandit(8), me.IndexPolicy(PRIORITY), steps=(200, 800), runs=4, rng=0)
    exact = me.value_decomposition(bandit(8).under(me.IndexPolicy(PRIORITY)))
    assert found.truth == "exact limits" and found.bias == pytest.approx(exact.error("l2"))
    large = me.sample_complexity(bandit(1800), me.IndexPolicy(PRIORITY), steps=(200, 800), runs=4, rng=0)
    assert large.error is None and large.truth.startswith("limits along another run of 8,000 steps")
    assert large.learning.mean(axis=0)[1] < large.learning.mean(axis=0)[0]


def test_a_pair_that_was_never_left_counts_as_the_mean_of_its_agent() -> None:
    values = me.LocalValues((np.array([1.0, np.nan, 4.0]), np.array([np.nan])), (np.array([1, 0, 2]), np.array([0])),
                            0.5, 3, "mine")  # fmt: skip
    assert [t.tolist() for t in filled(values).local] == [[1.0, 3.0, 4.0], [0.0]]


def test_the_same_seed_the_same_bytes_and_round_numbers_of_steps() -> None:
    system, policy = three()
    a, b = (me.sample_complexity(system, policy, runs=2, burn_in=0, rng=7) for _ in range(2))
    assert json.dumps(a.to_dict()) == json.dumps(b.to_dict()) and a.steps == (1000, 3000, 10_000, 30_000)


def test_pictures_show_both_and_say_it_in_words() -> None:
    system, policy = three()
    found = me.sample_complexity(system, policy, steps=(100, 400, 1600), runs=3, rng=0)
    figure = found.plot()
    assert [a.get_title() for a in figure.axes] == [
        "Error of the values against the steps of data", "Error of the entanglement against the steps of data",
    ]  # fmt: skip
    axes = found.plot("values_by_steps").axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log" and axes.get_xlabel() == "steps of data T"
    drawn = [line.get_ydata() for line in axes.get_lines()]
    assert any(np.allclose(y, found.learning.mean(axis=0)) for y in drawn if len(y) == 3)
    assert any(np.allclose(y, found.bias) for y in drawn)
    assert "after 100 steps" in axes.get_label()


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"steps": (100,)}, InvalidInput, "two ascending"),
        ({"steps": (100, 100)}, InvalidInput, "two ascending"),
        ({"steps": 100}, InvalidInput, "numbers of steps"),
        ({"runs": 1}, InvalidInput, "runs"),
        ({"learner": "lstd"}, Unsupported, "me.LSTD"),
        ({"steps": (10, 10**9)}, TooLarge, "fewer steps"),
        ({"learner": me.LinearLSTD([np.eye(3)] * 3)}, InvalidInput, "features"),
    ],
)
def test_what_is_refused(how: dict[str, Any], error: type, said: str) -> None:
    system, policy = three()
    with pytest.raises(error, match=said):
        me.sample_complexity(system, policy, **({"steps": (50, 200), "rng": 0} | how))


def test_the_command_writes_numbers_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["study", "gallery:circulant", "--steps", "2e2,8e2", "--runs", "3", "--learner", "td"]
    files = ["--json", "s.json", "--csv", "s.csv", "--picture", "s.png"]
    assert main([*call, *files]) == 0
    out = capsys.readouterr().out
    assert "falls as T^" in out and "exact limits" in out and "wrote s.png" in out
    entry = me.gallery.build("circulant")
    same = me.sample_complexity(entry.system, entry.policy, steps=(200, 800), runs=3, learner=me.TD(), rng=0)
    assert json.loads(Path("s.json").read_text()) == json.loads(json.dumps(same.to_dict()))
    assert Path("s.png").read_bytes().startswith(b"\x89PNG") and Path("s.csv").read_text().startswith(
        "quantity,"
    )
    assert main([*call, "--picture", "s.svg"]) == 0 and "<svg" in Path("s.svg").read_text()
    for wrong, said in (
        (["--steps", "8e2"], "two ascending"),
        (["--steps", "a,b"], "whole number"),
        (["--picture", "s.txt"], ".svg"),
    ):
        assert main(["study", "gallery:circulant", *wrong]) == 2
        assert said in capsys.readouterr().err
