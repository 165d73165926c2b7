"""The paper's experiment: numbers of the specification, honest facts, same bytes, files whole or absent."""

from __future__ import annotations

import csv
import io
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from markov_entanglement._random import seed_of, stream
from markov_entanglement.bandits.arms import Arms, arm_path
from markov_entanglement.bandits.count_chain import count_chain
from markov_entanglement.cli.commands.reproduce import reproduce as command
from markov_entanglement.errors import InvalidInput
from markov_entanglement.report import reproduction as page
from markov_entanglement.studies import errors, figure1, figure2, figure3, figure4
from markov_entanglement.studies.local_tables import joint_pairs, sampled_td
from markov_entanglement.studies.reproduce import FIGURES, quick_figure1, reproduce
from markov_entanglement.studies.result import COLUMNS, Fact, Panel, Point, Series, Study, power
from markov_entanglement.studies.setting import POLICY, bandit, limits, start

TINY = {
    errors: errors.Settings(sizes=(60, 120), runs=2, tests=10, starts=400, sampled_runs=2),
    figure1: figure1.Settings(sizes=(60, 120), replications=4),
    figure3: figure3.Settings(n_arms=60, multiples=(0.25, 0.5, 1, 2, 3, 10), runs=3, tests=10, sampled_runs=2),
    figure4: figure4.Settings(exact=(5, 10), simulated=(30, 300), cycle_exact=(5, 10), cycle_simulated=(30,),
                              degenerate_exact=(6, 10), starts=400, replications=4),
}  # fmt: skip


def shrink(monkeypatch):
    """Every figure at sizes that take a second; quick and full alike."""
    for module, small in TINY.items():
        monkeypatch.setattr(module, "PAPER", small)
        monkeypatch.setattr(module, "QUICK", small)


@pytest.fixture
def tiny(monkeypatch):
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All figures by one worker: the result, the folder, and the paths in the order they were announced."""
    folder, seen = tmp_path_factory.mktemp("whole") / "new" / "folder", []
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        return reproduce(out=folder, rng=7, workers=1, saved=seen.append), folder, seen


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


# --- files ---------------------------------------------------------------------------------------------


def test_everything_is_written_and_every_row_is_complete(whole):
    done, folder, seen = whole
    names = {f"{f}.{kind}" for f in FIGURES for kind in ("csv", "svg", "png")} | {"index.html"}
    assert {p.name for p in folder.iterdir()} == names
    assert tuple(seen) == done.files and done.files[-1].name == "index.html"
    assert tuple(s.key for s in done.studies) == FIGURES
    for figure in FIGURES:
        table = rows(folder / f"{figure}.csv")
        assert tuple(table[0]) == COLUMNS and COLUMNS[:5] == (
            "N",
            "value",
            "stderr",
            "estimator",
            "prediction",
        )
        for row in table:
            assert int(row["N"]) > 0 and math.isfinite(float(row["value"])) and len(row["estimator"]) > 10
            if row["low"] and row["high"]:
                assert (
                    float(row["low"]) <= float(row["value"]) * (1 + 1e-9) <= float(row["high"]) * (1 + 1e-8)
                )
    assert done.to_dict()["figures"]["figure1"]["panels"][0]["series"][1]["points"][0]["samples"] == 0
    assert "Reproduction(figure1, figure2" in repr(done)


def test_same_seed_same_bytes_whatever_the_workers_and_the_company(whole, tiny, tmp_path):
    one = contents(whole[1])
    reproduce(out=tmp_path / "three", rng=7, workers=3)
    assert contents(tmp_path / "three") == one
    reproduce("figure2", out=tmp_path / "alone", rng=7)
    alone = contents(tmp_path / "alone")
    assert all(alone[f"figure2.{kind}"] == one[f"figure2.{kind}"] for kind in ("csv", "svg", "png"))
    assert set(alone) == {"figure2.csv", "figure2.svg", "figure2.png", "index.html"}
    reproduce("figure2", out=tmp_path / "other", rng=8)
    assert contents(tmp_path / "other")["figure2.csv"] != one["figure2.csv"]  # negative control


def test_page_is_self_contained_and_escaped(whole):
    folder = whole[1]
    text = (folder / "index.html").read_text()
    assert "Content-Security-Policy" in text and "default-src 'none'" in text
    assert not re.search(r"(src|href)=\"(?!#)|url\((?!#)|<script|@import", text)
    assert len(text) < 2_000_000 and text.count("<svg") == 10
    ElementTree.fromstring((folder / "figure4.svg").read_text())
    assert (folder / "figure4.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    rude = '<script>"&'
    point = Point(10, 1.0, 0.1, 0.8, 1.2, 1.1)
    panel = Panel(
        rude, rude, rude, rude, (Series(rude, rude, (point, replace(point, N=20))),), prediction=rude
    )
    study = Study("figure1", rude, rude, {rude: (1, 2)}, (panel,), (Fact(rude, rude, False, rude),))
    text = page.render((study,), quick=False)
    assert "<script" not in text and "&lt;script&gt;" in text


def test_quick_figure1_is_one_page(tiny, tmp_path):
    seen = []
    study = quick_figure1(tmp_path / "demo", saved=seen.append)
    assert [p.name for p in seen] == ["figure1.html"] == [p.name for p in (tmp_path / "demo").iterdir()]
    assert study.key == "figure1" and "Figure 1." in seen[0].read_text()


# --- command line ----------------------------------------------------------------------------------------

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(command)


def test_command_says_what_it_found(tiny, folder):
    done = CliRunner().invoke(app, ["figure1", "--quick", "--out", "here", "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert "wrote here/figure1.csv" in done.output and "figure1 [" in done.output
    assert (folder / "here" / "index.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figure5"], "Did you mean 'figure"),
        (["figure1", "--out", "taken"], "it must be a folder"),
        (["figure1", "--seed", "-1"], "--seed"),
    ],
)
def test_users_mistakes_leave_nothing_behind(tiny, folder, arguments, words):
    (folder / "taken").write_text("a file")
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2 and words in done.output and "Traceback" not in done.output
    assert [p.name for p in folder.iterdir()] == ["taken"]


def test_an_interrupt_names_what_was_saved(tiny, folder, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(figure2, "run", stop)
    done = CliRunner().invoke(app, ["all", "--out", "here"])
    assert done.exit_code == 130 and "interrupted; saved: here/figure1.csv" in done.output
    assert {p.name for p in (folder / "here").iterdir()} == {"figure1.csv", "figure1.svg", "figure1.png"}


@pytest.mark.parametrize("bad", [{"figure": "Figure1"}, {"figure": 3}, {"workers": 0}, {"workers": 1.5}])
def test_bad_arguments(bad, tmp_path):
    with pytest.raises(InvalidInput):
        reproduce(**{"figure": "figure1", "out": tmp_path / "x"} | bad)
    assert not (tmp_path / "x").exists()


# --- numbers -----------------------------------------------------------------------------------------------


def test_figure1_hits_the_specified_numbers():
    settings = figure1.Settings(sizes=(300, 600, 900))
    study = figure1.run(settings, errors.run(TINY[errors], seed=1), seed=1)
    inside, crossed = (s.points for s in study.panels[0].series)
    for low, high, known in zip(inside, crossed, (3.76, 5.30, 6.52), strict=True):
        assert abs(low.value - known) < 0.05 + 3 * low.stderr
        assert low.value < high.value
        assert low.prediction == pytest.approx(0.217467 * math.sqrt(low.N), rel=1e-5)
    assert study.facts[0].agrees and "E₁" in study.facts[0].stated


def test_errors_tell_bias_from_noise():
    found = errors.run(errors.Settings(sizes=(300,), runs=3, tests=50, starts=4000, sampled_runs=3), seed=0)
    (row,) = found.rows
    (bias,) = errors.bias_series(found).points
    (recipe,) = errors.recipe_series(found).points
    (slow,) = errors.sampled_series(found).points
    assert bias.low < 0.0293346 * math.sqrt(300) < bias.high
    assert bias.prediction == pytest.approx(0.0293346 * math.sqrt(300), rel=1e-5)
    # The recipe's expected value lies between the bias and the bias plus its two noises.
    assert bias.value - 4 * recipe.stderr < recipe.value
    assert (
        recipe.value < bias.value + row.recipe.training_noise + row.recipe.rollout_noise + 4 * recipe.stderr
    )
    assert slow.value > 2 * bias.value  # the start value 0 that TD has not forgotten
    relative = [s(found, relative=True).points[0] for s in (errors.recipe_series, errors.sampled_series)]
    assert all(p.value < 0.03 for p in relative)
    assert relative[0].value == pytest.approx(recipe.value / np.abs(row.recipe.values).mean())
    study = figure2.run(found_twice(found))
    assert study.facts[0].agrees and study.facts[1].agrees is False
    assert len(study.tables[0].rows) == 2 and "1/visits" in study.facts[1].why


def found_twice(found):
    """The same row at another N, so that exponents exist."""
    row = found.rows[0]
    return errors.Errors(found.settings, (row, replace(row, N=2 * row.N)))


def test_a_relative_error_above_the_ceiling_is_called_so():
    found = errors.run(TINY[errors], seed=0)
    bad = replace(found.rows[0], sampled=(9.0, 0.1), sampled_size=100.0)
    study = figure2.run(errors.Errors(found.settings, (bad, *found.rows[1:])))
    assert study.facts[0].agrees is False and "9.00 %" in study.facts[0].found


def test_figure3_converges_and_says_when_it_does_not():
    settings = replace(TINY[figure3], n_arms=300, runs=4, tests=30)
    study = figure3.run(settings, seed=2)
    own, pooled, slow = (s.points for s in study.panels[1].series)
    assert [p.samples for p in own] == settings.times
    assert own[0].value > own[-1].value > 0.8 * pooled[-1].value
    assert own[-1].low < own[-1].prediction < own[-1].high
    assert slow[0].value > slow[-1].value > own[-1].value
    assert all(f.agrees in (True, None) for f in study.facts)
    crossed = [s.points[0].value for s in study.panels[0].series]
    assert crossed[0] < crossed[1]
    left = study.panels[0]
    worse = tuple(replace(p, value=2 * p.value) if p.samples == 300 else p for p in left.series[0].points)
    left = replace(left, series=(replace(left.series[0], points=worse), left.series[1]))
    assert figure3._entanglement_fact(settings, left).agrees is False


def test_trained_tables_are_the_converged_values_of_nested_data():
    settings = replace(TINY[figure3], runs=3, multiples=(0.05, 1, 50))
    own, pooled = figure3.trained(settings, seed=3, workers=None)
    limit = limits().local_q.reshape(-1)
    visited = [0, 2, 4, 5, 6]  # only state 2 is served, but for rare steps
    assert np.abs(pooled[2] - limit)[visited].max() < 0.01 < np.abs(pooled[0] - limit)[visited].max()
    spread = [np.abs(q - p)[:, visited].mean() for q, p in zip(own, pooled, strict=True)]
    assert spread[0] > spread[1] > spread[2] and not np.isnan(own[0]).any()


def test_figure4_hits_the_exact_numbers():
    settings = replace(TINY[figure4], exact=(5, 10, 15, 20), cycle_exact=(5, 10, 20, 30), simulated=(30, 300))
    study = figure4.run(settings, seed=0)
    circulant, cycle, edge, e = study.panels
    local, state, pair, *_ = ([p.value for p in s.points] for s in circulant.series)
    assert local == pytest.approx([0.0429941, 0.0725765, 0.0979374, 0.1192319], abs=5e-7)
    assert state == pytest.approx([0.066535, 0.049110, 0.035404, 0.025857], abs=5e-7)
    assert all(p < s for p, s in zip(pair, state, strict=True))
    curves = {s.label: s.points for s in e.series}
    values = [p.value for p in curves["circulant, exact"]]
    assert values == pytest.approx([0.0817592, 0.0616116, 0.0522905, 0.0467269], abs=2.5e-7)
    values = [p.value for p in curves["two-cycle, exact"]]
    assert values == pytest.approx([0.179333, 0.153008, 0.144112, 0.146451], abs=1e-6)
    assert curves["two-cycle, simulated"][0].prediction == pytest.approx(0.136345, abs=1e-6)
    assert [s.points[-1].value > s.points[0].value for s in (*cycle.series[:3], *edge.series)] == [True] * 6
    assert edge.series[1].points[-1].value > edge.series[0].points[-1].value  # the correction loses there
    assert all(f.agrees is None for f in study.facts)


def test_sampled_errors_agree_with_exact_ones_where_both_exist():
    settings = replace(TINY[figure4], exact=(5, 20), simulated=(20,), starts=8000)
    panel = figure4.run(settings, seed=4).panels[0]
    for exact, sampled in zip(panel.series[:3], panel.series[3:], strict=True):
        truth, p = exact.points[-1], sampled.points[0]
        assert p.N == truth.N and p.low <= truth.value <= p.high


def test_an_event_never_met_has_no_upper_limit():
    p = figure4._seen(300, 1e-14, (0.9e-14, 1.1e-14), math.nan)
    assert (p.value, p.low) == (0.0, 0.0) and math.isnan(p.high)
    assert figure4._seen(300, 1e-6, (0.5e-6, 2e-6), math.nan).high == 2e-6
    shown = Series(
        "corrected, simulated", "sampled", (replace(p, N=300), Point(100, 0.1, low=0.05, high=0.2))
    )
    study = Study("figure4", "t", "s", {}, (Panel("q", "t", "x", "y", (shown,), log=True),), ())
    assert "no error met" in page.render((study,), quick=False)
    assert study.csv().splitlines()[1] == "300,0,,sampled,,q,,0,"


# --- parts ---------------------------------------------------------------------------------------------------


def test_sampled_td_is_the_textbook_loop():
    N, times, burn_in = 30, [1, 40, 90], 7
    states = np.repeat(np.arange(4), start(N))
    tables = sampled_td(bandit(N), POLICY, times, burn_in=burn_in, start=states, rng=5)
    generator, arms = np.random.default_rng(5), Arms.of(bandit(N), POLICY)
    first = arm_path(arms, burn_in, rng=generator, start=states).states[-1]
    path = arm_path(arms, times[-1] + 1, rng=generator, start=first)
    pair, reward = 2 * path.states[:-1] + path.actions, [-1, -1, 0, 0, 0, 0, 1, 1]
    for T, table in zip(times, tables, strict=True):
        q, n = np.zeros((N, 8)), np.zeros((N, 8))
        for i in range(N):
            for t in range(T):
                x, y = pair[t, i], pair[t + 1, i]
                n[i, x] += 1
                q[i, x] += (reward[x] + 0.5 * q[i, y] - q[i, x]) / n[i, x]
        np.testing.assert_allclose(table, q, rtol=0, atol=1e-13)
    assert np.abs(tables[2] - tables[1]).max() > 0.01


def test_sampled_td_does_not_depend_on_blocks(monkeypatch):
    states = np.repeat(np.arange(4), start(30))
    whole = sampled_td(bandit(30), POLICY, [200], burn_in=0, start=states, rng=5)[0]
    monkeypatch.setattr("markov_entanglement.studies.local_tables._BLOCK", 30 * 64)
    blocks = sampled_td(bandit(30), POLICY, [64, 200], burn_in=0, start=states, rng=5)
    # Blocks restart the engine's stream: another sample of the same law, learned from without a seam.
    assert len(blocks) == 2 and not np.array_equal(blocks[1], whole)
    assert np.abs(blocks[1].mean(axis=0) - whole.mean(axis=0))[[0, 2, 6]].max() < 0.2


def test_joint_pairs_have_their_exact_values():
    N = 20
    tests = joint_pairs(bandit(N), POLICY, 40, burn_in=50, start=None, rng=1)
    chain = count_chain(bandit(N), POLICY)
    counts, served, q = chain.counts[:, 0], chain.served[:, 0], chain.local_values().joint_q
    where = {(*n, *z): k for k, (n, z) in enumerate(zip(counts.tolist(), served.tolist(), strict=True))}
    found = np.stack([np.bincount(x, minlength=8) for x in tests.pairs])
    truth = np.array([q[where[(*(r[::2] + r[1::2]).tolist(), *r[1::2].tolist())]] for r in found])
    # Rare departures from the affine piece make single standard errors unreliable: judge all pairs together.
    scale = math.sqrt(np.mean(tests.stderr**2))
    assert math.sqrt(np.mean((tests.values - truth) ** 2)) < 2 * scale < 0.1
    assert math.sqrt(np.mean((tests.values - truth[::-1]) ** 2)) > 20 * scale  # negative control
    shared = np.arange(8.0)
    assert tests.errors(shared) == pytest.approx(np.abs(found @ shared - tests.values))


def test_mean_error_counts_both_sources_of_noise():
    tests = joint_pairs(bandit(30), POLICY, 20, burn_in=30, start=None, rng=1)
    same = np.tile(limits().local_q.reshape(-1), (4, 30, 1))
    value, stderr = tests.mean_error(same)
    e = tests.errors(same[0])
    assert value == pytest.approx(e.mean()) and stderr == pytest.approx(e.std(ddof=1) / math.sqrt(20))
    # A shift per run of c/N in every arm moves the mean error as a whole: the jackknife is the usual error.
    shift = np.array([10.0, 11.0, 13.0, 14.0])
    value, stderr = tests.mean_error(same + (shift / 30)[:, None, None])
    e = tests.errors(same[0] + 12 / 30)
    assert value == pytest.approx(e.mean())
    assert stderr == pytest.approx(math.hypot(e.std(ddof=1) / math.sqrt(20), shift.std(ddof=1) / 2))


@given(st.floats(-2, 2), st.floats(0.01, 100), st.lists(st.floats(0.001, 0.2), min_size=3, max_size=6))
def test_power_recovers_exponents(b, a, errors_):
    points = tuple(
        Point(N, a * N**b, r * a * N**b) for N, r in zip((10, 30, 50, 100, 400, 900), errors_, strict=False)
    )
    found, half = power(points)
    assert found == pytest.approx(b, abs=1e-9) and half > 0


def test_power_has_the_right_interval():
    rng = np.random.default_rng(0)
    sizes, hits = (300, 600, 900, 1800), 0
    for _ in range(400):
        noise = rng.normal(1, 0.02, 4)
        points = tuple(Point(N, e * N**0.5, 0.02 * N**0.5) for N, e in zip(sizes, noise, strict=True))
        b, half = power(points)
        hits += abs(b - 0.5) < half
    assert 360 <= hits <= 396  # 95 % of 400, five standard deviations


def test_streams_depend_on_their_names_alone():
    draws = {key: stream(3, *key).integers(2**62) for key in ((1, 300), (1, 600), (2, 300), (2, 300, 0))}
    assert len(set(draws.values())) == 4 and draws[1, 300] == stream(3, 1, 300).integers(2**62)
    assert seed_of(0) == seed_of(0) != seed_of(1)
    assert sum(start(300)) == 300 and start(300) == [50, 100, 150, 0]
