"""me.analyze of a log: mode, verdict, warnings, files; the error of the sum against exact chains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.data import halves
from markov_entanglement.data.halves import value_errors


def log_of(name: str, seed: int, steps: int) -> me.Log:
    entry = me.gallery.build(name)
    return me.read_logs(me.simulate(entry.system, entry.policy, steps, rng=seed))


def test_the_error_is_that_of_the_chain() -> None:
    """20 logs of the leader and the follower; intervals of 95 % fail in one on average."""
    exact = me.value_decomposition(me.gallery.build("appendix-e").chain())
    held = np.zeros(3)
    for seed in range(20):
        found = value_errors(log_of("appendix-e", seed, 2000).side_by_side, exact.discount)
        assert found is not None
        truths = (exact.unexplained, exact.error("l2"), exact.error("mu"))
        limits = (found.unexplained_interval, found.error_l2_interval, found.error_mu_interval)
        held += [low <= x <= high for x, (low, high) in zip(truths, limits, strict=True)]
        assert found.unexplained == pytest.approx(exact.unexplained, abs=0.05)
    assert (held >= 15).all()


def test_the_error_is_the_same_without_a_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a factor would fill, the empirical chain is solved by iterations."""
    steps, found = log_of("ev-charging", 0, 3000).side_by_side, []
    for most in (10**6, 0):
        monkeypatch.setattr(halves, "_FACTORED", most)
        found.append(halves.value_errors(steps, 0.9))
    one, other = found
    assert one is not None and other is not None and one.error_mu > 0
    assert other.error_mu == pytest.approx(one.error_mu, rel=1e-6)
    assert other.unexplained_interval == pytest.approx(one.unexplained_interval, rel=1e-6)


def test_verdicts_from_logs() -> None:
    lake = me.analyze(log_of("frozen-lake", 0, 20_000))
    assert (
        lake.verdict == "add"
        and lake.mode == "logs only"
        and lake.sentence.startswith("Logs only, 20,000 steps.")
    )
    missed = 0
    for seed in range(10):  # more than 3 of 10 miss in 1 of 1,000
        found = me.analyze(log_of("appendix-e", seed, 4000))
        assert found.verdict == "do-not-add" and found.agentwise is None
        low, high = found.decomposition.unexplained_interval
        missed += not low < 0.3618867 < high
    assert missed <= 3
    assert found.values.local_q[0].shape == (2,)


def test_files_and_text_say_the_same(tmp_path: Path) -> None:
    found = me.analyze(log_of("appendix-e", 0, 1000))
    found.save_json(tmp_path / "a.json")
    found.save_html(tmp_path / "a.html")
    again = me.read_result(tmp_path / "a.json")
    assert again.summary() == found.summary() and again.mode == "logs only"
    assert "What can these data tell?" in (tmp_path / "a.html").read_text()
    assert {"entanglement", "evidence", "memory", "numbers", "local_values"} <= set(found.tables())
    assert (
        again.to_dict()["entanglement"]["mu-atv"]["p_value"] == found.entanglements["mu-atv"].p_value.tolist()
    )


def test_memory_is_told_first_and_stops_the_verdict() -> None:
    rng, t = np.random.default_rng(0), np.tile(np.arange(8), 250)
    states = (rng.random((2000, 2)) < np.where(t >= 4, 0.9, 0.5)[:, None]).astype(int)
    log = me.read_logs(
        states=states, reward=states, episode=np.repeat(np.arange(250), 8), t=t, n_states=2, discount=0.5
    )
    found = me.analyze(log)
    assert found.sentence.split(". ")[1].startswith("Not Markov") and found.verdict == "cannot-tell"
    assert "the clock" in found.decomposition.caution
    said = found.summary()
    assert said.count("Cannot tell") == 1 and "infinite" not in said and "hardly varies" not in said
    assert "markov-entanglement values" not in said


def test_what_a_log_lacks_is_named() -> None:
    states = np.random.default_rng(0).integers(0, 2, (500, 2))
    found = me.analyze(me.read_logs(states=states, n_states=2))
    assert found.verdict == "cannot-tell" and "rewards and discount missing" in found.sentence
    with pytest.raises(me.errors.InvalidInput, match="reward"):
        me.analyze(me.read_logs(states=states, n_states=2), rewards=[[0, 1]] * 2)
    with pytest.raises(me.errors.Unsupported):
        me.analyze(me.read_logs(states=states, n_states=2), method="exact")


def test_joint_pairs_that_hardly_recur_give_no_verdict() -> None:
    rng = np.random.default_rng(0)
    log = me.read_logs(
        states=rng.integers(0, 40, (300, 2)), reward=rng.random((300, 2)), n_states=40, discount=0.9
    )
    found = me.analyze(log)
    assert found.verdict == "cannot-tell" and "log more steps, or take coarser" in found.sentence
    # the remedy is followed: coarser states recur
    coarse = me.read_logs(
        states=rng.integers(0, 2, (300, 2)), reward=rng.random((300, 2)), n_states=2, discount=0.9
    )
    assert np.isfinite(me.analyze(coarse).decomposition.unexplained_interval[0])


def test_one_reward_of_all_is_split() -> None:
    rng = np.random.default_rng(0)
    states = rng.integers(0, 2, (2000, 2))
    paid = np.array([0.0, 1.0, 1.0, 8.0])[2 * states[:, 0] + states[:, 1]]
    found = me.analyze(me.read_logs(states=states, reward=paid[:, None], n_states=2, discount=0.5))
    errors = found.decomposition.errors()
    assert errors["shared_reward_error"] == pytest.approx(1.5, abs=0.2) and found.verdict == "do-not-add"


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = np.random.default_rng(0).integers(0, 2, 400)
    rows = (f"{t},{d},{cells[t - d]},{d}" for t in range(1, 400) for d in (0, 1))
    Path("log.csv").write_text("\n".join(["t,agent,state,reward", *rows]))
    assert main(["logs", "log.csv", "--discount", "0.5", "--json", "a.json", "--store", "kept"]) == 0
    first = capsys.readouterr().out
    assert "Logs only, 399 steps" in first and me.read_result("a.json").mode == "logs only"
    assert main(["logs", "log.csv", "--discount", "0.5", "--store", "kept", "--resume"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == first.splitlines()[:2]
    assert main(["logs", "log.csv", "--resume"]) == 2 and "--store" in capsys.readouterr().err
