"""One protocol for every answer: tables, CSV, frames, pictures, a card and a line; a class without it is found here."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
import pkgutil
import re
import sys
import typing
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import markov_entanglement as me
from fuzz import Once
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput, MissingDependency, TooLarge
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
from markov_entanglement.report import figures, sections, tabulate
from markov_entanglement.report.document import Document
from markov_entanglement.report.facts import elide
from markov_entanglement.report.html import render_html
from markov_entanglement.report.result import Brief, Result
from markov_entanglement.report.table import Table, table
from markov_entanglement.report.terms import NONE, NUMBERS
from test_merge import chain_of_four as four
from test_report import HOSTILE, document, requests_of
from worlds import Hall, position

#: Classes that only others are made of.
BASES = {"Result", "Finding", "Index"}
#: Parts of results: one line each, no tables of their own.
PARTS = {
    "Bound", "Breakdown", "PolicyOrSystem", "Witness", "Equation", "Inequality", "VDNGap", "Cycle", "Study", "View",
}  # fmt: skip


#: Names that look alike where they are cut for display.
TWINS = [f"station at the northern end {k} of the platform, pump house" for k in ("one", "two")]


def bandit(n: int = 12) -> Any:
    return me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=n, budget=n // 4, discount=0.5)


@cache
def made() -> dict[str, Any]:
    """A result of every class, by the name of the class."""
    index = me.IndexPolicy(PRIORITY)
    subject, circulant = me.gallery.build("appendix-e"), me.gallery.build("circulant")
    chain = subject.chain()
    values = me.value_decomposition(chain)
    weak = me.entanglement(chain)
    arms = me.Arms(np.full((5, 2, 3, 3), 1 / 3), np.ones((5, 3)), np.arange(15).reshape(5, 3), budget=2)
    field = me.mean_field(bandit(), index)
    found = me.analyze(subject.system)
    game = me.JointChain(np.full((4, 4), 0.25), (2, 2), rewards=[0, 1, 1, 8])
    twins = me.JointChain(subject.system.kernel[0], (2, 2), rewards=subject.system.rewards, discount=0.9,
                          labels={"names": TWINS})  # fmt: skip
    even = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    sampled = me.certify([np.zeros(8)], bandit(), index, steps=(2, 8), starts=200, rng=0)
    blocks = np.kron([[0.9, 0.1], [0.3, 0.7]], [[0.5, 0.5], [0.2, 0.8]])
    return {
        type(r).__name__: r
        for r in (
            weak, me.entanglement(chain, "tv"), me.separability(chain), me.local_polytope(chain),
            me.decompose(blocks, (2, 2)), values, me.additive_values(chain), me.error_bounds(values, [weak]),
            me.value_decomposition(even, [[0, 1], [2, 3]], 0.9, kind="V"),
            me.count_chain(bandit(4), index).corrected_values(), me.error_budget(chain), me.interaction_orders(chain),
            me.decision_loss(me.gallery.build("circulant").chain()), field, field.limit_constants,
            me.certificate(chain, None, None, values.sum_q), me.whittle_index(bandit()), me.lp_priority(bandit()),
            me.lagrangian_bound(circulant.system), me.merge_suggestions(four()),
            me.gallery.benchmark(["parity", "appendix-e"]),
            me.gittins_index(np.eye(2), [0, 1], discount=0.5),
            me.estimate_error(bandit(), index, rng=0, starts=40, training=400, burn_in=20, gap=2),
            me.estimate_entanglement(bandit(), index, rng=0), me.simulate(bandit(), index, 30, rng=0),
            me.certify_network(lambda seen: np.eye(2), Once(), epsilon=1.0, discount=0.5, horizon=1, starts=100, rng=0),
            sampled, me.improve(bandit(), rounds=1),
            me.paper_error(bandit(), index, rng=0, runs=2, tests=8, horizon=4, n_rollouts=4, start=[3, 3, 3, 3]),
            me.arm_totals(arms, 30, rng=0), me.check_system(subject.system), found, me.analyze(twins).document,
            me.compare({"index": index, "uniform": me.UniformPolicy()}, me.gallery.build("circulant").system),
            reproduction(), me.TD().fit(me.simulate(subject.system, subject.policy, 50, rng=0), 0.5),
            me.learn_reward(me.simulate(game, None, 50, rng=0)), me.reward_entanglement(game),
            me.sample_complexity(circulant.system, circulant.policy, steps=(20, 80), runs=2, rng=0),
            *logged(), me.sweep(lambda axis: {"found": axis / 2}, {"axis": [1, 2]}, seed=0),
            me.check_snapshot(Hall(), trials=1),
            me.diagnose(Hall(), "uniform", local_state=position, steps=1000, discount=0.5).decomposition,
            sampled.decision_loss, me.signal_loss(me.gallery.build("revenue-management").chain()),
            me.signal_loss(me.gallery.build("revenue-management", seats=1).chain(), method="simulate"),
        )
    }  # fmt: skip


def a_log() -> me.Log:
    """A thousand steps of a pair of which one follows the other."""
    entry = me.gallery.build("appendix-e")
    return me.read_logs(me.simulate(entry.system, entry.policy, 1000, rng=0))


def logged() -> tuple[Any, ...]:
    """What logs say."""
    log = a_log()
    found = me.analyze(log, discount=0.5)
    seen = me.views(me.gallery.build("revenue-management").chain())
    return found.entanglements["mu-atv"], found.memory, found.decomposition, me.influence(log), seen


def reproduction() -> Any:
    """What `me.reproduce` returns, of one study by hand."""
    from markov_entanglement.studies.reproduce import Reproduction
    from markov_entanglement.studies.result import Panel, Point, Series, Study

    points = (Point.exact(10, 0.5, prediction=0.4), Point.around(20, 0.25, 0.01, 9))
    series = (Series("E, exact", "exact", points),)
    panel = Panel("E", "Entanglement", "N", "E", series)
    return Reproduction(
        (Study("figure1", "Figure 1", "", {}, (panel,), ()),), (Path("out/index.html"),), True
    )


def classes() -> set[type]:
    """Every class of the package."""
    out = set()
    for module in pkgutil.walk_packages(me.__path__, "markov_entanglement."):
        if not module.name.endswith("__main__"):
            found = vars(importlib.import_module(module.name)).values()
            out |= {c for c in found if isinstance(c, type) and c.__module__ == module.name}
    return out


ALL = sorted(c.__name__ for c in classes() if issubclass(c, Result) and c.__name__ not in BASES)


# --- who has the protocol --------------------------------------------------------------------------------


def test_every_result_class_has_an_example() -> None:
    assert set(made()) == set(ALL)


def test_whatever_has_a_dict_form_is_a_result_or_a_part() -> None:
    assert {c.__name__ for c in classes() if "to_dict" in vars(c) and not issubclass(c, Result)} == PARTS


def test_public_functions_that_answer_return_results() -> None:
    """Arrays, chains, steps of runs, paths of files and what users build from are no answers."""
    plain = (np.ndarray, tuple, str, type(None), int, float, me.Chunk, me.Log, me.Tally, me.Network)
    known = {c.__name__: c for c in classes() if c.__module__.split(".")[1] != "report"} | {"Sweep": me.Sweep}
    for name in me.__all__:
        made_by = getattr(me, name)
        if isinstance(made_by, type) or not callable(made_by):
            continue
        home = vars(importlib.import_module(made_by.__module__))
        back = typing.get_type_hints(made_by, known | home).get("return")
        kinds = [k for k in (typing.get_args(back) or (back,)) if isinstance(k, type) and k is not typing.Any]
        for kind in kinds:
            room = kind.__module__.split(".")[1] if "." in kind.__module__ else ""
            fine = issubclass(kind, (Result, *plain)) or room in ("model", "laws") or "Chain" in kind.__name__
            assert fine, f"{name} returns a {kind.__name__}, which has no tables"


# --- one line, one sentence, plain JSON ------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_repr_is_a_line(name: str) -> None:
    for text in (repr(made()[name]), str(made()[name])):
        assert text.startswith(f"{name}(") and "\n" not in text and len(text) < 200
    assert made()[name].sentence.strip().endswith((".", "…"))


def test_parts_are_a_line_too() -> None:
    found = made()["Analysis"]
    parts = [found.breakdown, found.whose, found.separability.witness, found.separability.equation,
             found.additive.vdn_gap, *found.bounds, *made()["MeanField"].fixed_points,
             *made()["InteractionOrders"].best_pairs, *made()["Comparison"].lines]  # fmt: skip
    for part in parts:
        assert "\n" not in repr(part) and len(repr(part)) < 250, repr(part)[:300]
    assert {c.__name__ for c in classes() if issubclass(c, Brief)} >= {"Witness", "Breakdown", "Inequality"}


def test_a_long_line_is_cut() -> None:
    class Long(Brief):
        def _brief(self) -> str:
            return "word\n" * 100

    assert len(repr(Long())) < 200 and repr(Long()).endswith("…)") and "\n" not in repr(Long())


@pytest.mark.parametrize("name", ALL)
def test_the_dict_form_is_json(name: str) -> None:
    if name not in ("Path", "Decomposition"):  # arrays as they are
        json.dumps(made()[name].to_dict(), allow_nan=False)
    assert made()[name].to_dict()


# --- tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_tables_say_what_their_columns_are(name: str) -> None:
    found = made()[name].tables()
    assert found and all(k == t.name for k, t in found.items())
    for t in found.values():
        assert t.title and set(t.notes) == set(t.columns) and all(t.notes.values())
        assert set(t.units) <= set(t.columns) and set(t.index) <= set(t.columns)
        cells = [x for c in t.columns.values() for x in c]
        assert {type(x) for x in cells} <= {str, int, float, bool, type(None)}
        assert all(math.isfinite(x) for x in cells if isinstance(x, float))
        keys = list(zip(*(t.columns[k] for k in t.index), strict=True))
        assert len(set(keys)) == len(keys) == len(t) == len(t.rows), "the index tells rows apart"


def test_table_names_that_are_fixed() -> None:
    names = {"local_values", "entanglement", "bounds", "certificate", "pairs"}
    assert names <= set(made()["Analysis"].tables())
    assert set(made()["Analysis"].tables()) == set(made()["Document"].tables())
    columns = ["agent", "state", "action", "value", "visited"]
    for name in ("Analysis", "ValueDecomposition", "AdditiveValues", "ErrorEstimate"):
        assert list(made()[name].tables()["local_values"].columns) == columns


#: The block of the result JSON that holds the `numbers` of a class.
BLOCKS = {
    **dict.fromkeys(("Analysis", "Document", "ValueDecomposition", "ErrorEstimate", "Certificate"), "values"),
    "AdditiveValues": "values", "VDecomposition": "values", "Approximation": "values", "ErrorBudget": "error_budget",
    "DecisionLoss": "decision", "MeanField": "mean_field",
}  # fmt: skip
#: Columns of tables that show numbers of the result JSON.
SHOWN = {
    "local_values": {"value": "local_values.agents.values", "visited": "local_values.agents.visited"},
    "entanglement": {"value": "entanglement.*.per_agent"},
    "policy_or_system": {"value": "entanglement.*.per_agent"},
    "bounds": {"bound": "bounds.*.bound", "truth": "bounds.*.truth"},
    "orders": {"unexplained": "orders.unexplained"},
    "pairs": {"part": "breakdown.per_pair", "visited": "breakdown.occupancy"},
    "partners": {"left": "breakdown.remaining", "explained": "breakdown.explained"},
    "transition_bias": {"value": "transition_bias"},
    "mean_field": {"fraction": "mean_field.fixed_point", "activation": "mean_field.activation"},
    "policies": {"entanglement": "entanglement.*.total", "error_mu": "values.error_mu",
                 "unexplained": "values.unexplained"},
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(BLOCKS) & set(ALL)))
def test_numbers_are_named_and_worded_as_the_registry_has_them(name: str) -> None:
    block, seen = BLOCKS[name], []
    for r in made()[name].tables()["numbers"].rows:
        places = (block, f"{block}.predictions", f"{block}.joint_additive")
        known = [NUMBERS[key] for b in places if (key := f"{b}.{r['number']}") in NUMBERS]
        if r["number"] == "reward":  # of the mean field in Python, not in the JSON
            continue
        (term,) = known
        assert (r["unit"] or NONE, r["says"]) == (term.unit, term.says), term.key
        seen.append(r["number"])
    assert len(seen) > 2


def test_every_error_of_additive_values_is_a_number() -> None:
    chain = me.gallery.build("appendix-e").chain()
    shared = np.arange(chain.n_pairs) % 3.0
    both = me.additive_values(chain, shared, 0.9), me.analyze(chain, rewards=shared, discount=0.9)
    for found in both:
        said = {r["number"]: r["value"] for r in found.tables()["numbers"].rows}
        assert {"vdn_gap", "shared_reward_error"} <= set(said)
        assert said["vdn_gap"] == both[0].vdn_gap.value and said["shared_reward_error"] > 0


def test_columns_say_what_the_registry_says() -> None:
    there = {k: t for r in made().values() for k, t in r.tables().items() if k in SHOWN}
    assert set(there) == set(SHOWN)
    for name, columns in SHOWN.items():
        for column, key in columns.items():
            term = NUMBERS[key]
            assert there[name].notes[column].startswith(term.says), (name, column)
            assert there[name].units.get(column, NONE) == term.unit, (name, column)


def read_back(text: str, t: Table) -> dict[str, list[Any]]:
    """Cells of a CSV by the types of the table."""
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    out: dict[str, list[Any]] = {k: [] for k in head}
    for row in rows:
        for k, cell, x in zip(head, row, [t.columns[k][len(out[k])] for k in head], strict=True):
            kind = bool if isinstance(x, bool) else type(x)
            empty = cell == "" and not isinstance(x, str)
            out[k].append(None if empty else cell == "true" if kind is bool else kind(cell))
    return out


@pytest.mark.parametrize("name", ALL)
def test_csv_round_trip(name: str, tmp_path: Path) -> None:
    result = made()[name]
    for key, t in result.tables().items():
        result.save_csv(tmp_path / f"{key}.csv", key)
        with (tmp_path / f"{key}.csv").open(encoding="utf-8", newline="") as file:
            assert read_back(file.read(), t) == {k: list(v) for k, v in t.columns.items()}
    result.save_csv(tmp_path / "main.csv")
    main = next(iter(result.tables()))
    assert (tmp_path / "main.csv").read_bytes() == (tmp_path / f"{main}.csv").read_bytes()


@pytest.mark.parametrize("name", ALL)
def test_frames_and_arrays(name: str) -> None:
    result = made()[name]
    for key, t in result.tables().items():
        frame = result.to_dataframe(key)
        assert list(frame.columns) == list(t.columns) and frame.attrs["units"] == dict(t.units)
        for k, column in t.columns.items():
            back = [None if isinstance(x, float) and math.isnan(x) else x for x in frame[k].tolist()]
            assert back == list(column), (key, k)
        grid = result.to_xarray(key)
        assert tuple(grid.sizes) == t.index
        for row in t.rows[:50]:
            at = grid.sel({k: row[k] for k in t.index})
            for k in set(t.columns) - set(t.index):
                x = at[k].item()
                assert x == row[k] or (row[k] is None and (x is None or x != x)), (key, k)
                assert grid[k].attrs["long_name"] == t.notes[k]
    assert result.to_dataframe().equals(result.to_dataframe(next(iter(result.tables()))))


def test_an_unknown_table_names_the_nearest() -> None:
    for call in ("to_dataframe", "to_xarray"):
        with pytest.raises(InvalidInput, match=r"tables of this Analysis are .*Did you mean 'bounds'"):
            getattr(made()["Analysis"], call)("bound")
    with pytest.raises(InvalidInput, match="table"):
        made()["Analysis"].save_csv("x.csv", 3)


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_dataframe"), ("xarray", "to_xarray")])
def test_what_is_not_installed_is_named(package: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependency, match=f"Run: pip install {package}$"):
        getattr(made()["Certificate"], method)()


def test_another_ending_is_refused_and_the_remedy_works(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"a table ends in \.csv") as refused:
        made()["Certificate"].save_csv(tmp_path / "c.xlsx")
    near = re.search(r"Did you mean '(.*)'", refused.value.remedy)
    assert near and not list(tmp_path.iterdir())
    made()["Certificate"].save_csv(near[1])
    assert Path(near[1]).read_text().startswith("norm,steps,low,high\n")


def test_a_grid_far_larger_than_its_table_is_refused() -> None:
    n = 4000
    t = table("t", "a diagonal", {"a": "x", "b": "y", "v": "z"}, [(i, i, 1.0) for i in range(n)], 2)
    with pytest.raises(TooLarge, match="Use to_dataframe"):
        t.to_xarray()
    assert len(t.to_dataframe()) == n


def test_names_are_whole_in_tables() -> None:
    """Names that are cut alike for display: every table knows them apart, and tables join on them."""
    assert elide(TWINS[0], 40) == elide(TWINS[1], 40)
    found = made()["Document"].tables()
    for name in ("entanglement", "local_values", "pairs", "partners", "policy_or_system", "transition_bias"):
        assert set(found[name].columns["agent"]) - {"all agents"} == set(TWINS), name
    both = found["entanglement"].to_dataframe().merge(found["local_values"].to_dataframe(), on="agent")
    assert set(both["agent"]) == set(TWINS)


def test_types_and_states_are_named_alike_by_an_analysis_and_by_the_mean_field() -> None:
    two = me.RestlessBandit([[PASSIVE, ACTIVE]] * 2, [REWARD] * 2, n_arms=[20, 20], budget=10, discount=0.5,
                            labels={"names": TWINS})  # fmt: skip
    index = me.IndexPolicy(PRIORITY)
    tables, alone = me.analyze(two, index).tables(), me.mean_field(two, index).tables()["mean_field"]
    cells = [{(r["type"], r["state"]): r["fraction"] for r in t.rows} for t in (tables["mean_field"], alone)]
    assert cells[0] == cells[1] and len(cells[0]) == 8 and {s for _, s in cells[0]} == set("0123")
    for t in tables.values():
        keys = list(zip(*(t.columns[k] for k in t.index), strict=True))
        assert len(set(keys)) == len(keys), t.name
    agents = {"all agents", *(f"{name}: 20 arms" for name in TWINS)}
    assert set(tables["prediction"].columns["agent"]) == agents


def test_states_of_one_name_are_numbered_within_their_type() -> None:
    twice = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=12, budget=3, discount=0.5,
                              labels={"states": ["a", "a", "b", "c"]})  # fmt: skip
    for found in (
        me.analyze(twice, me.IndexPolicy(PRIORITY)),
        me.mean_field(twice, me.IndexPolicy(PRIORITY)),
    ):
        assert sorted(found.tables()["mean_field"].columns["state"]) == ["a", "a (2)", "b", "c"]


# --- local values ----------------------------------------------------------------------------------------


def test_local_values_by_name() -> None:
    """Two independent agents that move at random: Q_i = r_i + gamma mean(r_i) / (1 - gamma)."""
    kernels = [[[[0.5, 0.5], [0.5, 0.5]]]] * 2  # per agent (A, S, S)
    labels = {"names": ["pump", "valve"], "states": ["idle", "busy"], "actions": ["wait"]}
    rewards = [[[0.0], [1.0]], [[2.0], [4.0]]]
    system = me.WeaklyCoupledMDP(kernels, rewards, discount=0.9, labels=labels)
    found = me.analyze(system, me.UniformPolicy())
    expected = {
        ("pump", "idle"): 4.5,
        ("pump", "busy"): 5.5,
        ("valve", "idle"): 29.0,
        ("valve", "busy"): 31.0,
    }
    for result in (found, found.document, found.values):
        rows = result.tables()["local_values"].rows
        assert {(r["agent"], r["state"]): pytest.approx(r["value"]) for r in rows} == expected
        assert {r["action"] for r in rows} == {"wait"} and {r["visited"] for r in rows} == {0.5}
        assert result.tables()["local_values"].units["value"] == "reward units"
    assert found.to_dict()["local_values"]["agents"][0]["states"] == ["idle", "busy"]


def test_limit_constants_speak_of_the_users_types_states_and_actions() -> None:
    labels = {"names": ["old", "new"], "states": list("abcd"), "actions": ["wait", "mend"]}
    two = me.RestlessBandit([[PASSIVE, ACTIVE]] * 2, [REWARD] * 2, n_arms=[20, 20], budget=10, discount=0.5,
                            labels=labels)  # fmt: skip
    field = me.mean_field(two, me.IndexPolicy(PRIORITY))
    tables = field.limit_constants.tables()
    local, numbers = tables["local_values"].columns, tables["numbers"].columns["number"]
    assert set(local["agent"]) == set(field.tables()["mean_field"].columns["type"])
    assert set(local["state"]) == set("abcd") and set(local["action"]) == {"wait", "mend"}
    assert {f"{n}entanglement of {t}" for n in ("", "policy_") for t in ("old", "new")} <= set(numbers)
    plain = me.mean_field(bandit(), me.IndexPolicy(PRIORITY)).limit_constants
    assert "entanglement of type 0" in plain.tables()["numbers"].columns["number"]
    assert "bandit" not in plain.to_dict() and json.loads(json.dumps(plain.to_dict()))


def test_pairs_never_visited_are_null() -> None:
    found = me.analyze(me.gallery.build("circulant").system, me.IndexPolicy([1, 2, 3, 0]))
    for r, q in zip(found.tables()["local_values"].rows, np.concatenate(found.values.local_q), strict=True):
        assert (r["value"] is None) == math.isnan(q) == (r["visited"] == 0.0)
        assert r["value"] is None or r["value"] == q


def test_what_is_left_out_is_named_and_the_remedy_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tabulate, "MOST_LOCAL", 3)
    found = me.analyze(me.gallery.build("appendix-e").system)
    kept, whole = found.tables()["local_values"], found.values.tables()["local_values"]
    assert len(kept) == 2 and "1 of 2 agents" in kept.left_out
    assert len(whole) == 4 and not whole.left_out
    found.save_json(tmp_path / "r.json")
    again = me.read_result(tmp_path / "r.json").tables()["local_values"]
    exact, estimated = re.findall(r"me\..*?\['local_values'\]", again.left_out)
    given = {"me": me, "bandit": bandit(), "policy": me.IndexPolicy(PRIORITY),
             "chain": me.gallery.build("appendix-e").chain()}  # fmt: skip
    assert eval(exact, given).columns == whole.columns
    assert len(eval(estimated, given)) == 8


def local_section(found: Any) -> sections.Section:
    """What text and page say of local values."""
    (out,) = (s for s in sections.sections(found) if s.key == "local_values")
    return out


def test_the_report_shows_the_largest_and_the_smallest_local_values() -> None:
    """Ten agents of one state and two actions that draw their own: q(a) = r(a) + 9 mean(r)."""
    r = [[i * i, -i] for i in range(10)]
    system = me.WeaklyCoupledMDP([[[[1.0]]] * 2] * 10, [[x] for x in r], discount=0.9,
                                 labels={"actions": ["work", "idle"]})  # fmt: skip
    found = me.analyze(system, me.LocalPolicy([[[0.5, 0.5]]] * 10)).document
    values = sorted((x + 4.5 * sum(pair) for pair in r for x in pair), reverse=True)
    shown = local_section(found)
    assert [float(row[3].replace(",", "")) for row in shown.rows] == pytest.approx(
        values[:4] + values[-4:], rel=1e-3
    )
    assert shown.rows[0] == ("agent 9", "0", "work", f"{values[0]:#.4g}", "50 %")
    assert shown.head == ("agent", "state", "action", "local value", "visited")
    assert shown.before == ["The 4 largest and the 4 smallest of 20 local values, in reward units; agents that are "
                            "alike share a line."]  # fmt: skip
    for text in (found.summary(), render_html(found)):
        assert text.count("What is each local pair worth?") >= 1 and "reward units" in text


def test_where_all_local_values_are_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = me.analyze(me.gallery.build("circulant").system, me.IndexPolicy([1, 2, 3, 0]))
    shown = local_section(found.document)
    assert shown.rows[0][0] == "arm 0 (+4 alike)" and len(shown.rows) == 8 and "All of 40" in shown.before[0]
    said = shown.after[0]
    table, saved = re.search(r"in Python (\S+) or (.*?\)),", said).groups()  # type: ignore[union-attr]
    found.save_json("r.json")
    for result in (found, me.read_result("r.json")):
        eval(saved, {"result": result})
        assert Path("local_values.csv").read_text() == eval(table, {"result": result}).csv()
    assert "markov-entanglement values SYSTEM --csv FILE" in said
    assert main(["values", "gallery:circulant", "--policy", "index:1,2,3,0", "--csv", "again.csv"]) == 0
    again = [{k: row[k] for k in ("agent", "state", "action", "value")}
             for row in csv.DictReader(io.StringIO(Path("again.csv").read_text()))]  # fmt: skip
    assert again == [{k: row[k] for k in again[0]}
                     for row in csv.DictReader(io.StringIO(Path("local_values.csv").read_text()))]  # fmt: skip
    estimated = me.analyze(bandit(2000), me.IndexPolicy(PRIORITY), distances=["policy"]).document
    assert "SYSTEM" not in local_section(estimated).after[0]


def test_the_sample_of_q_is_weighted_bounded_and_keeps_the_worst() -> None:
    values = me.value_decomposition(me.gallery.build("circulant").chain())
    block = values.to_dict()["local_values"]["points"]
    assert block["of"] > 1000 > 2 * len(block["q"]) and math.isclose(sum(block["weight"]), 1.0)
    off = max(abs(q - d) for q, d in zip(block["q"], block["sum"], strict=True))
    at = values.chain.occupancy > 0
    assert off == np.abs((values.joint_q - values.sum_q)[at]).max()
    mean = sum(w * q for w, q in zip(block["weight"], block["q"], strict=True))
    assert abs(mean - values.chain.occupancy @ values.joint_q) < 0.02 * values.spread
    assert block == values.to_dict()["local_values"]["points"]


# --- the page on results ---------------------------------------------------------------------------------


def cells(section: str) -> dict[str, str]:
    """Second column of the table of a section of docs/results.md by the name in the first."""
    page = (Path(__file__).parents[1] / "docs" / "results.md").read_text()
    part = page.partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = [
        [c.strip() for c in line.split("|")[1:-1]] for line in part.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): row[1] for row in rows}


def test_the_page_on_results_names_every_table_and_picture() -> None:
    results = [*made().values(), me.analyze(bandit(), me.IndexPolicy(PRIORITY)), me.analyze(a_log())]
    there = {k: t for r in results for k, t in r.tables().items()}
    said = {k: ", ".join(f"**{c}**" if c in t.index else c for c in t.columns) for k, t in there.items()}
    assert cells("Tables") == said
    assert set(cells("Pictures")) == {*figures.KINDS, "overview"}


# --- pictures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_every_kind_into_given_axes_and_alone(name: str, tmp_path: Path) -> None:
    result = made()[name]
    for kind in figures.kinds(result.tables()):
        own = Figure(figsize=(3.0, 2.0))
        axes = own.add_subplot()
        before = dict(mpl.rcParams)
        assert result.plot(kind, ax=axes) is axes and tuple(own.get_size_inches()) == (3.0, 2.0)
        assert (
            axes.get_title() == figures.KINDS[kind].title
            and len(axes.get_label()) > len(axes.get_title()) + 3
        )
        figure = result.plot(kind)
        assert isinstance(figure, Figure) and isinstance(figure.axes[0], Axes) and figure.get_label()
        figure.savefig(tmp_path / "x.png", dpi=50)
        image = mpl.image.imread(tmp_path / "x.png")
        assert (image[..., :3].min(axis=2) < 0.8).mean() > 0.003, f"{kind} is not blank"
        assert dict(mpl.rcParams) == before


def test_the_default_of_an_analysis_is_an_overview() -> None:
    found = made()["Analysis"]
    figure = found.plot()
    assert [a.get_title() for a in figure.axes[:3]] == [figures.KINDS[k].title for k in found._panels]
    assert found.sentence in figure.get_label()
    assert found.plot("overview").get_label() == figure.get_label()
    with pytest.raises(InvalidInput, match="Name one kind: entanglement"):
        found.plot("overview", ax=Figure().add_subplot())
    assert isinstance(found.plot(ax=Figure().add_subplot()), Axes)


def test_an_unknown_kind_names_those_that_there_are() -> None:
    with pytest.raises(
        InvalidInput, match=r"pictures of this Analysis are overview, .*Did you mean 'certificate'"
    ):
        made()["Analysis"].plot("certificat")
    with pytest.raises(InvalidInput, match="kind"):
        made()["Analysis"].plot(3)
    with pytest.raises(InvalidInput, match="matplotlib axes"):
        made()["Analysis"].plot("bounds", ax=Figure())
    with pytest.raises(InvalidInput, match="to_dataframe"):
        made()["SystemCheck"].plot()
    made()["SystemCheck"].to_dataframe()


def test_a_figure_shows_in_a_notebook_without_pyplot() -> None:
    """The display hook of a notebook asks for `_repr_png_`; pyplot does not hold it, so nothing is shown twice."""
    held = pyplot.get_fignums()
    for name in ("Analysis", "Certificate"):
        png = made()[name].plot()._repr_png_()
        assert png.startswith(b"\x89PNG") and len(png) > 5000
        assert b"Description" in png
    assert pyplot.get_fignums() == held


def test_plt_show_shows_it_where_pyplot_has_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "_WINDOWS", (pyplot.get_backend().lower(),))
    figure = made()["Certificate"].plot()
    try:
        assert figure.number in pyplot.get_fignums() and pyplot.figure(figure.number) is figure
    finally:
        pyplot.close(figure)


def says(found: Table, kind: str) -> str:
    """What the picture of a table says in words."""
    return figures.inline(figures.KINDS[kind], found, "x").says


def test_what_pictures_say_counts_the_rows_that_they_do_not_show() -> None:
    """Half of all arms are served and one weight is negative, beyond the rows that are drawn."""
    settled = tabulate.mean_field(("t", str(s), 1 / 40, 0.5, s + 1) for s in range(40))
    assert "50 % of all arms are served" in says(settled, "mean_field")
    weights = [0.01] * 250 + [-1.5]
    terms = table("terms", "", {"term": "its number", "weight": "its weight"}, enumerate(weights))
    assert "251 terms, weights from -1.500 to 0.01000" in says(terms, "weights")


@pytest.mark.parametrize("name", ["WhittleIndex", "LPPriority", "GittinsIndex"])
def test_an_index_is_drawn_in_the_unit_of_its_table(name: str) -> None:
    (axes,) = made()[name].plot("index").axes
    assert axes.get_ylabel() == f"index, {made()[name].tables()['index'].units['index']}"


def test_the_users_style_is_respected() -> None:
    with mpl.rc_context({"axes.prop_cycle": mpl.rcsetup.cycler(color=["#123456"]), "xtick.labelsize": 17.0,
                         "axes.facecolor": "#fedcba"}):  # fmt: skip
        axes = made()["WhittleIndex"].plot().axes[0]
        assert mpl.colors.to_hex(axes.get_lines()[0].get_color()) == "#123456"
        assert axes.get_xticklabels()[0].get_fontsize() == 17.0
        assert mpl.colors.to_hex(axes.get_facecolor()) == "#fedcba"
        page = figures.pictures(document(3))["bounds"].svg
    assert page == figures.pictures(document(3))["bounds"].svg, "pages keep their own"


def test_pictures_of_pages_speak_to_screen_readers() -> None:
    found = figures.pictures(made()["Document"])
    assert sum(bool(p.svg) for p in found.values()) > 6
    for p in found.values():
        if p.svg:
            ids = re.search(r'role="img" aria-labelledby="([\w-]+) ([\w-]+)"', p.svg)
            assert ids and f'<title id="{ids[1]}">' in p.svg and f'<desc id="{ids[2]}">' in p.svg
            assert "<style" not in p.svg and len(p.says) > 10


# --- cards -----------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Tags that are open, all that were seen, and the text outside of styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.ids += [v or "" for k, v in attrs if k == "id"]
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.ids += [v or "" for k, v in attrs if k == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def rules(page: str) -> list[str]:
    """Selectors of every rule, one a comma."""
    out = []
    for sheet in re.findall(r"<style[^>]*>(.*?)</style>", page, re.DOTALL):
        assert "@" not in sheet and "url(" not in sheet
        for head in re.findall(r"([^{}]+)\{[^{}]*\}", sheet):
            out += [s.strip() for s in re.sub(r"\([^)]*\)", "", head).split(",")]
    return out


@pytest.mark.parametrize("name", ALL)
def test_a_card_is_small_scoped_and_inert(name: str) -> None:
    card = made()[name]._repr_html_()
    found = Tags(card)
    assert len(card.encode()) < 15_000 and found.open == []
    assert rules(card) and all(s.startswith(".markov-card") for s in rules(card))
    assert requests_of(card) == [] and not {"script", "iframe", "link", "img"} & set(found.seen)
    assert found.seen[0] == "div" and found.seen.count("style") == 1
    said = " ".join(found.text.split())
    assert made()[name].sentence[:60] in said and ".to_dataframe(table)" in said
    assert len(set(found.ids)) == len(found.ids)
    assert (".summary()" in said) is ("summary" in dir(made()[name]))


def test_cards_of_two_results_share_no_id() -> None:
    cards = [
        Tags(made()[n]._repr_html_()).ids
        for n in ("Analysis", "ValueDecomposition", "Certificate", "WhittleIndex")
    ]
    assert all(cards) and sum(map(len, cards)) == len(set().union(*cards))


def test_a_global_rule_would_be_seen() -> None:
    assert rules("<style>p, .markov-card td { color: red }</style>") == ["p", ".markov-card td"]


def hostile() -> Document:
    certificate = {"mu": {"1": [0.0, 2.0], "4": [0.1, 0.3]}}
    local = tabulate.local_block(
        list(HOSTILE), [(list(HOSTILE), ["$x$", "<i>"])] * 4, [np.arange(8.0)] * 4, [np.full(8, 0.125)] * 4,
        kind="local TD", constant=0.0,
    )  # fmt: skip
    points = {"q": [1.0, 2.0], "sum": [1.0, 2.5], "weight": [0.5, 0.5], "of": 2}
    verdict = {"word": "do-not-add", "sentence": f"No: {HOSTILE[0]} {HOSTILE[2]}.", "tolerance": 0.05}
    return document(
        4, list(HOSTILE), certificate=certificate, local_values=local | {"points": points}, verdict=verdict
    )


def test_hostile_names_are_text_everywhere(tmp_path: Path) -> None:
    result = hostile()
    found = Tags(result._repr_html_())
    assert not {"script", "b", "i"} & set(found.seen) and HOSTILE[0] in found.text
    for kind in [None, *figures.kinds(result.tables())]:
        result.plot(kind).savefig(tmp_path / "x.png", dpi=40)  # names with dollars are no formulas
    result.save_csv(tmp_path / "x.csv", "local_values")
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        assert {row["agent"] for row in csv.DictReader(file)} == set(HOSTILE)
    assert list(result.to_dataframe("local_values")["agent"].unique()) == list(HOSTILE)


def test_a_result_read_back_gives_the_same_tables_card_and_pictures(tmp_path: Path) -> None:
    found = made()["Analysis"]
    found.save_json(tmp_path / "r.json")
    again = me.read_result(tmp_path / "r.json")
    assert {k: t.csv() for k, t in again.tables().items()} == {k: t.csv() for k, t in found.tables().items()}
    assert again._repr_html_() == found._repr_html_()
    assert again.plot("values").get_label() == found.plot("values").get_label()
