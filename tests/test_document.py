"""The result JSON as typed models: exact round trips, old files, new questions, and files that someone has damaged."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import random
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

import markov_entanglement as me
from helpers import remembered_pictures
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput
from markov_entanglement.report import facts, glossary
from markov_entanglement.report.document import Document, read_result
from markov_entanglement.report.figures import kinds, pictures
from markov_entanglement.report.html import formula, marked, render_html
from markov_entanglement.report.sections import Section, sections
from markov_entanglement.report.text import render_text
from test_report import HOSTILE, Page, requests_of, sample

#: Results as version 0.1.0 wrote them.
OLD = {path.stem: path for path in sorted((Path(__file__).parent / "data").glob("*.json"))}


def old(name: str) -> dict[str, Any]:
    """A stored result."""
    found: dict[str, Any] = json.loads(OLD[name].read_text(encoding="utf-8"))
    return found


def with_questions(result: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The result with the questions of spec 9.2-9.5 answered: numbers of the circulant system at gamma .9."""
    names = result["system"]["names"]
    n = len(names)
    last = [0, n - 1]
    return result | {
        "error_budget": {"error": 0.2795168, "floor": 0.05356, "bias": 0.2743373, "noise": None,
                         "unexplained_floor": 0.0264986, "joint_additive": 0.0535896},
        "orders": {"unexplained": [1.0, 0.0264986, 0.0090294, 0.0028206],
                   "best_pairs": [{"agents": last, "names": [names[i] for i in last], "unexplained": 0.02}]},
        "decision": {"loss": 0.000112262, "share": 5.6e-05, "right": 0.999581, "excluded": 0.0,
                     "rank_correlation": 0.9, "note": "All feasible actions were compared."},
        "policy_or_system": {"kernel": [0.0] * n, "policy": [0.08] * n, "pair": [0.04] * n,
                             "sentence": "It is the policy."},
    } | changes  # fmt: skip


def estimate() -> dict[str, Any]:
    """A large bandit, with what it cannot know."""
    return old("large-bandit") | dict.fromkeys(("error_budget", "orders", "decision", "policy_or_system"))


def ending() -> dict[str, Any]:
    """A task that ends, exact, with everything that a joint system may have."""
    result = with_questions(sample(3, certificate={"mu": {"1": [0.0, 2.0], "4": [0.1, 0.3]}}))
    result["system"] |= {"ends": [0.0, 0.1, 0.5], "restart": "uniform"}
    result["separability"] = old("appendix-e")["separability"]
    result["entanglement"]["kernel"] = {"per_agent": [0.1, 0.2, None], "total": 0.3, "interval": None}
    result["values"]["intervals"] = {"unexplained": [0.1379, 0.1381]}
    result["solvers"]["stationary"]["error_bound"] = 1e-14
    result["breakdown"]["alike"] = [None, 0.01, 0.0]
    return result


KINDS = {
    "joint": lambda: with_questions(old("circulant")),
    "separable": lambda: old("shared-randomness"),
    "no values": lambda: old("pr-box"),
    "bandit": lambda: with_questions(old("health")),
    "cycle": lambda: old("gast-2-cycle"),
    "large bandit": estimate,
    "task that ends": ending,
}


@pytest.mark.parametrize("name", OLD)
def test_old_files_are_read_to_the_byte(name: str, tmp_path: Path) -> None:
    found = read_result(OLD[name])
    assert found.to_dict() == old(name)
    found.save_json(tmp_path / "again.json")
    assert read_result(tmp_path / "again.json") == found
    text = found.summary()
    assert (
        text.splitlines()[0].startswith(f"[{found.verdict.word}]") and max(map(len, text.splitlines())) <= 80
    )
    assert not {"error_budget", "orders", "decision", "policy_or_system", "missing"} & set(parts(found))


def test_old_names_of_bounds_are_shown_by_their_theorem(tmp_path: Path) -> None:
    found = read_result(OLD["parity"])
    assert {b.distance for k, b in found.bounds.items() if "H.3" in k} == {"tv"}
    drawn = sample(bounds={"Theorem H.3": {"distance": "tv", "norm": "sup", "bound": 2.0, "truth": 0.5}})
    says = pictures(Document.model_validate(drawn))["bounds"].says
    for text in (found.summary(), Page(render_html(found)).text, says):
        assert "H.3" not in text and "H.2 with tv" in text


def extras(part: Any, at: str = "") -> Iterator[str]:
    """Keys that no model states."""
    if isinstance(part, BaseModel):
        yield from (f"{at}.{k}" for k in part.model_extra or ())
        for k in type(part).model_fields:
            yield from extras(getattr(part, k), f"{at}.{k}")
    elif isinstance(part, dict | list):
        for k, v in part.items() if isinstance(part, dict) else enumerate(part):
            yield from extras(v, f"{at}.{k}")


@pytest.mark.parametrize("name", OLD)
def test_the_models_state_every_key(name: str) -> None:
    assert list(extras(read_result(OLD[name]))) == []


def test_keys_that_are_not_stated_would_be_seen_and_are_kept(tmp_path: Path) -> None:
    result = sample(future={"anything": [1]})
    result["values"]["later"] = None
    found = Document.model_validate(result)
    assert sorted(extras(found)) == [".future", ".values.later"]
    found.save_json(tmp_path / "r.json")
    assert read_result(tmp_path / "r.json").to_dict() == result


def fresh(kind: str) -> Any:
    """A result of this version."""
    if kind == "joint":
        return me.analyze(me.gallery.build("parity").chain())
    if kind == "without values":
        return me.analyze(me.JointChain([[0.5, 0.5], [0.25, 0.75]], (2,)).under())
    if kind == "task that ends":
        chain = me.JointChain([[0.5, 0.3, 0.1, 0.1]] * 4, (2, 2), terminal=[(1, 1)], restart=(0, 0)).under()
        return me.analyze(chain, rewards=[[1.0, -1.0], [0.0, 0.5]], discount=0.9)
    return me.analyze(me.gallery.build("circulant-bandit", n_arms=5).chain())


@pytest.mark.parametrize("kind", ["joint", "without values", "task that ends", "bandit"])
def test_results_are_read_back_as_they_were(kind: str, tmp_path: Path) -> None:
    result = fresh(kind)
    result.save_json(tmp_path / "r.json")
    found = me.read_result(tmp_path / "r.json")
    assert found.to_dict() == result.to_dict()
    assert list(found.to_dict()) == list(result.to_dict()) and list(extras(found)) == []
    assert found.summary() == result.summary()
    assert found._repr_html_() == result._repr_html_()
    assert repr(found).startswith(f"Document({result.verdict}: ") and "\n" not in repr(found) == str(found)
    found.save_html(tmp_path / "r.html")
    assert result.sentence in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(sample(command="\ud800 é")), encoding="utf-8")
    found = read_result(path)
    found.save_json(path)
    assert read_result(path) == found and found.command == "\ud800 é"
    assert "\\ud800 é" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_texts_of_windows_editors_are_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(sample()), encoding=encoding)
    assert read_result(path).to_dict() == sample()


def changed(result: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one place changed; `path` is dotted."""
    result, keys = copy.deepcopy(result), path.split(".")
    at: Any = result
    for k in keys[:-1]:
        at = at[int(k)] if isinstance(at, list) else at[k]
    at[int(keys[-1]) if isinstance(at, list) else keys[-1]] = value
    return result


SHAPES = {
    "entanglement.atv.per_agent": ([0.1], "got 1 entries; it must have one for each of the 3 agents"),
    "entanglement.atv.interval": ([[0.0, 1.0]], "got 1 entries; it must have one for each of the 3 numbers"),
    "entanglement.atv.interval.0": ([0.0], "got 1 numbers; an interval is [low, high]"),
    "entanglement.atv.multiplicity": ([1, 1, 2], "got a sum of 4; there are 3 agents"),
    "transition_bias.mu-atv": ([], "got 0 entries"),
    "breakdown.alike": ([0.1], "got 1 entries"),
    "breakdown.occupancy": ([[0.5, 0.5]] * 2, "occupancy and per_pair must have the same shape"),
    "policy_or_system.kernel": ([0.1, 0.1], "got 2 entries"),
    "policy_or_system.pair": (0.1, "got 0.1; input should be a valid list"),
    "values.intervals": (3, "got 3"),
    "values.intervals.unexplained": ([1, 2, 3], "got 3 numbers"),
    "orders.unexplained": ([], "at least 1 item"),
    "orders.best_pairs.0.agents": ([0, 3], "no such agents"),
    "orders.best_pairs.0.names": (["a"], "at least 2 items"),
    "error_budget.floor": ("x", "valid number"),
    "decision.loss": ([1.0], "valid number"),
    "certificate.mu.0": ([0.0, 1.0], "it must be a number of steps k"),
    "mean_field.fixed_point": ([[0.1, 0.2], [0.3]], "it must be types by states"),
    "mean_field.cycle": ([[[0.1]]], "same shape"),
    "mean_field.entanglement_limit": ([0.1, 0.2], "got 2 entries"),
    "mean_field.predictions.mu-atv": ([0.1], "got 1 entries"),
    "system.local_pairs": ([2], "got 1 entries"),
    "system.agents": (10**30, "got 3 entries"),
}  # fmt: skip


@pytest.mark.parametrize("key", SHAPES)
def test_shapes_are_checked_and_named_by_their_key(key: str, tmp_path: Path) -> None:
    value, rule = SHAPES[key]
    result = ending()
    three = [[0.2, 0.1]] * 3
    result["entanglement"]["atv"] |= {"interval": [None, [0.0, None], [0.0, 0.1]], "multiplicity": [1, 1, 1]}
    result["mean_field"] = {
        "fixed_point": three, "activation": three, "cycle": [three, three], "attractor": "violated", "reason": "r",
        "entanglement_limit": [0.0, None, 0.1], "predictions": {"mu-atv": [0.1] * 3},
    }  # fmt: skip
    if key == "entanglement.atv.per_agent":
        del result["entanglement"]["atv"]["interval"], result["entanglement"]["atv"]["multiplicity"]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    read_result(path)
    path.write_text(json.dumps(changed(result, key, value)), encoding="utf-8")
    with pytest.raises(InvalidInput) as e:
        read_result(path)
    named = {"system.agents": "system.names"}.get(key, key)
    assert f"{path}, key {named}" in str(e.value) and rule in str(e.value), str(e.value)


def parts(result: Document) -> dict[str, Section]:
    """Sections by key."""
    return {s.key: s for s in sections(result)}


def answer(result: Document, key: str) -> tuple[str, dict[str, str]]:
    """Sentences, and the first two columns of the table."""
    found = parts(result)[key]
    return " ".join([*found.before, *found.after]), {row[0]: row[1] for row in found.rows}


def test_questions_are_answered_right_after_the_verdict() -> None:
    result = Document.model_validate(with_questions(sample(3)))
    said, rows = answer(result, "error_budget")
    assert said.startswith("80.8 % of it")  # 1 - .05356 / .2795168
    assert rows == {"error": "0.2795", "floor": "0.05356", "bias": "0.2743", "joint_additive": "0.05359",
                    "unexplained_floor": "2.65 %"}  # fmt: skip
    said, rows = answer(result, "orders")
    assert (
        "leave 0.903 %" in said and "leave 2.65 %" in said and rows["additive + unit 0 with unit 2"] == "2 %"
    )
    assert list(rows.values()) == ["100 %", "2.65 %", "0.903 %", "0.282 %", "2 %"]
    said, rows = answer(result, "decision")
    assert "costs 0.0001123 on average, 0.0056 % of the spread" in said and "0.0419 % of the visited" in said
    assert "excluded" not in rows and rows["rank_correlation"] == "0.9000"
    said, rows = answer(result, "policy_or_system")
    assert said == "It is the policy." and len(rows) == 3
    text, page = render_text(result), Page(render_html(result)).text
    bare = Page(re.sub("</?su[bp]>", "", render_html(result))).text
    for shown in (text, page):
        at = [shown.index(s.title) for s in sections(result)]
        assert at == sorted(at) and shown.index(result.verdict.sentence) < at[0]
    assert list(parts(result))[:5] == ["error_budget", "orders", "decision", "policy_or_system", "values"]
    for shown_as in ("‖Q − Π_D Q‖² + ‖Π_D Q − D‖²", "‖Q − Π_k Q‖ / ‖Q − mean‖", "max_a Q(s, a) − Q(s, a_D)",
                    "mu-atv ≤ kernel + policy"):  # fmt: skip
        assert shown_as.replace("_", "") in bare


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("error_budget.error", 0.0, "no error to avoid"),
        ("error_budget.floor", 0.0, "All of it"),
        ("error_budget.floor", None, "Not known."),
        ("orders.unexplained", [1.0, 0.0], "Nothing: additive values can be exact"),
        ("orders.unexplained", [1.0, 0.3], "leave 30 % of the spread"),
        ("orders.unexplained", [None], "Not known."),
        ("decision.loss", 1e-17, "No: in every state"),
        ("decision.loss", None, "Not known."),
        ("decision.right", None, "costs 0.0001123"),
    ],
)
def test_answers_at_the_edges(key: str, value: Any, said: str) -> None:
    result = Document.model_validate(changed(with_questions(sample()), key, value))
    assert said in answer(result, key.split(".")[0])[0]
    render_text(result)


def test_the_bar_of_the_budget_shows_the_squares() -> None:
    drawn = Page(pictures(Document.model_validate(with_questions(sample())))["error_budget"].svg).text
    floor, bias = 0.05356**2, 0.2743373**2
    assert f"floor {100 * floor / (floor + bias):.3g} %" in drawn
    assert f"bias {100 * bias / (floor + bias):.3g} %" in drawn


def test_what_an_estimate_cannot_say_and_what_would() -> None:
    result = Document.model_validate(estimate())
    (said,) = parts(result)["missing"].before
    assert "a system with fewer agents" in said and said in " ".join(render_text(result).split())
    assert said in Page(render_html(result)).text
    refused = [{"name": k, "reason": "too large"} for k in ("error_budget", "orders", "decision")]
    assert "missing" not in parts(Document.model_validate(estimate() | {"refused": refused}))
    assert "missing" not in parts(Document.model_validate(sample(orders=None))), "exact: the refusals say why"


def test_rounding_allowances_are_no_estimates() -> None:
    """Limits that cannot be told from the number are not shown; wider ones are; neither makes an estimate of it."""
    for low, shown in ((0.138 - 1e-12, "13.8 %"), (0.1, "13.8 % [10 %, 13.8 %]")):
        result = Document.model_validate(changed(sample(), "values.intervals", {"unexplained": [low, 0.138]}))
        assert facts.estimated(result, "unexplained") == shown
        assert "estimated" not in render_html(result)


def test_one_more_agent_alike_may_explain_most() -> None:
    result = old("health")
    result["breakdown"] = {
        "per_pair": [[0.1]] * 3, "occupancy": [[1.0]] * 3, "remaining": [[0.1, 0.09, 0.1]] + [[0.1] * 3] * 2,
        "alike": [0.025, 0.1, None],
    }  # fmt: skip
    first = parts(Document.model_validate(result))["partners"].rows[0]
    assert first == ("type 0: 8 arms", "another of type 0: 8 arms", "75 %", "0.1000", "0.02500")


def test_equal_agents_stay_in_their_own_order_and_in_their_table() -> None:
    e = [0.1 + 1e-15 * (i % 3) for i in range(12)]
    e[7] = 0.2
    limits = [[x - 0.01, x + 0.01] for x in e]
    result = Document.model_validate(
        sample(
            12,
            entanglement={"policy": {"per_agent": e, "total": 1.3, "interval": limits}},
            transition_bias={},
        )
    )
    assert facts.worst_first(result) == [7, *[i for i in range(12) if i != 7]]
    (line,) = parts(result)["entanglement"].after[1:]
    assert line.startswith("policy: 95 % intervals in brackets.")
    rows = dict(parts(result)["entanglement"].rows)
    assert rows["unit 7"] == "0.2000 [0.1900, 0.2100]" and list(rows) == [f"unit {i}" for i in (7, *range(7))]


def test_a_table_that_is_too_wide_leaves_its_intervals_out() -> None:
    measure = {"per_agent": [0.1, 0.2], "total": 0.3, "interval": [[0.05, 0.15], [0.1, 0.3]]}
    for count, shown in ((2, True), (5, False)):
        found = dict.fromkeys(("mu-atv", "atv", "kernel", "policy", "spectral")[:count], measure)
        text = render_text(Document.model_validate(sample(entanglement=found)))
        assert max(map(len, text.splitlines())) <= 80 and ("[0.05000, 0.1500]" in text) is shown


def test_limits_stand_beside_what_was_found_and_cautions_below() -> None:
    words = {row[0]: row for row in parts(Document.model_validate(old("health")))["mean_field"].rows}
    share, says = words["predictions.unexplained"][1:]
    assert share == "12.5 %" and says == "unexplained, where many arms tend to; here it is 8.49 %"
    result = changed(
        changed(old("large-bandit"), "values.caution", "too short"), "mean_field.caution", "an edge"
    )
    result = changed(
        changed(result, "entanglement.policy.caution", "slow"), "values.intervals.error_mu", [0.0, None]
    )
    text = render_text(Document.model_validate(result))
    for word in ("Caution: too short.", "Caution: an edge.", "Caution: slow.", "0.5070 [0, ∞]"):
        assert word in text


def test_digits_of_counts_and_shares() -> None:
    system = sample()["system"] | {"joint_states": 3**1001, "pairs": 10**478}
    result = Document.model_validate(sample(system=system))
    assert "about 10^477 joint states, about 10^478 joint pairs" in facts.size_words(result)
    assert facts.percent(1.294) == "129 %" and facts.percent(12.9) == "1,290 %"
    assert facts.percent(math.inf) == "all" and facts.percent(math.nan) == facts.percent(None) == "-"
    over = Page(render_html(Document.model_validate(changed(sample(), "values.unexplained", 1.29)))).text
    assert "Over 100 %: a constant would be nearer to Q than this sum is." in over


def test_only_all_is_shown_as_all_and_only_nothing_as_nothing() -> None:
    """To either side of 1 and of 0, at every size of the gap that is more than rounding."""
    for k in range(1, 12):
        for share in (1 - 10.0**-k, 1 + 10.0**-k, 10.0**-k, 1 - 4.19 * 10.0**-k):
            shown = facts.percent(share)
            assert shown not in ("100 %", "0 %") and len(shown) <= 10
            if shown.startswith(">"):
                assert abs(1 - share) < 1e-5 and share > float(shown[2:].removesuffix(" %")) / 100
                continue
            digits = float(shown.removesuffix(" %")) / 100
            assert digits == pytest.approx(share, rel=6e-3), shown
            assert 1 - digits == pytest.approx(1 - share, rel=6e-2), shown
    assert [facts.percent(x) for x in (1.0, 0.0, 1 - 1e-15)] == ["100 %", "0 %", "100 %"], (
        "rounding is no gap"
    )
    circulant = me.analyze(me.gallery.build("circulant-bandit", n_arms=5).chain())
    text = " ".join(circulant.summary().split())
    assert "worse in 0.0419 % of the visited states" in text and "right 99.958 %" in text
    assert "99.958 % of the visited states" in circulant.decision.sentence


def test_a_verdict_says_shares_as_every_other_line_does() -> None:
    """Else the text repeats the share in other digits, for it looks for it in the sentence."""
    from markov_entanglement.analysis import result as analysis

    assert vars(analysis)["percent"] is facts.percent
    over = changed(sample(), "values.unexplained", 12.34)
    over["verdict"]["sentence"] = (
        f"No: the sum of local values misses {facts.percent(12.34)} of the spread of Q."
    )
    assert "\nThat is 247 times your tolerance of 5 %" in render_text(Document.model_validate(over))


def test_reading_loads_little() -> None:
    code = (
        "import sys, markov_entanglement as me; assert 'pydantic' not in sys.modules; "
        f"me.read_result({str(OLD['circulant'])!r}).to_dict(); "
        "print(*[m for m in ('numpy', 'scipy', 'matplotlib', 'jinja2', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_page_that_cannot_be_written_costs_neither_verdict_nor_json(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Document, path: Path) -> None:
        raise InvalidInput(
            "path", str(path), "it cannot be written (No space left on device)", "Choose another."
        )

    monkeypatch.setattr(Document, "save_html", full)
    assert main(["analyze", "gallery:follower", "--json", "r.json", "--html", "r.html"]) == 2
    out, err = capsys.readouterr()
    assert out.startswith(f"[{read_result('r.json').verdict.word}] ") and out.endswith("\nwrote r.json\n")
    assert err.count("\n") == 1 and "No space left" in err


# Files that someone has damaged.

_DEEP: Any = []
for _ in range(60):
    _DEEP = [_DEEP]
_GARBAGE = (
    None, True, 0, -1, 7, 10**12, 10**400, 1.5, -0.25, 1e300, -1e300, 1.7e308, 5e-324, float("nan"), float("inf"), "",
    "x", "W" * 28, "x" * 20_000, "\x00\x1b[2J\n\r\t\u2028", "\ud800", "泵" * 40, *HOSTILE, [], {}, [[]], [None], [1, 2],
    [[1.0, 2.0]], ["a", "b"], [0.5] * 400, {"a": 1}, {"": {}}, {"1": [0.0, 1e300], "2": [None, None]}, [{}], _DEEP,
)  # fmt: skip


def garbage(rng: random.Random, kind: type = object) -> Any:
    """Something that does not belong there."""
    return copy.deepcopy(rng.choice([g for g in _GARBAGE if isinstance(g, kind)]))


def places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a JSON tree but its root."""
    for k, v in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*at, k)
        if isinstance(v, dict | list):
            yield from places(v, (*at, k))


def damage(tree: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """One to three places deleted, replaced, lengthened, shortened, scaled or renamed."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        every = list(places(tree))
        short = [p for p in every if len(p) <= 3]
        path = rng.choice(short if rng.random() < 0.6 else every)
        at: Any = tree
        for k in path[:-1]:
            at = at[k]
        k, value = path[-1], at[path[-1]]
        match rng.randrange(7):
            case 0:
                del at[k]
            case 1 if isinstance(value, list) and value:
                at[k] = value[:-1] if rng.random() < 0.5 else [*value, rng.choice([value[0], garbage(rng)])]
            case 2 if isinstance(value, float):
                at[k] = value * rng.choice([1e300, 1e-300, -1, 1e12])
            case 3 if isinstance(value, str):
                at[k] = garbage(rng, str)
            case 4 if isinstance(at, dict):
                at[rng.choice(["", "x" * 300, "\x1b[31m", "\ud800", k.upper(), *HOSTILE])] = at.pop(k)
            case 5 if isinstance(value, dict | list):
                at[k] = list(value.values()) if isinstance(value, dict) else dict(enumerate(value))
            case _:
                at[k] = garbage(rng)
    return tree


def encoded(text: str, rng: random.Random) -> bytes:
    """Mostly UTF-8; sometimes another encoding, a part, or nonsense."""
    data = text.encode(errors="surrogatepass")
    match rng.randrange(25):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            return b"\xef\xbb\xbf" + data
        case 2:
            return text.encode("utf-16", errors="surrogatepass")
        case 3:
            return data.replace(b"[", b"[" * rng.choice([2, 100, 5000]), 1)
        case 4:
            return bytes(rng.randrange(256) for _ in range(200))
        case 5:
            return data[:50] + b"\xff\x80" + data[50:]
    return data


def reported(data: bytes, path: Path, *, page: bool) -> int:
    """Exit status of `report` on these bytes, which must be 0 with a sound page or 2 with one message."""
    path.write_bytes(data)
    target = path.with_suffix(".html")
    target.unlink(missing_ok=True)
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        if not page:
            patch.setattr(
                Document, "save_html", lambda self, at: Path(at).write_text(self.summary(), "utf-8")
            )
        status = main(["report", str(path), "-o", str(target)])
    message = err.getvalue()
    if status == 0:
        shown = target.read_text(encoding="utf-8")
        assert message == "" and shown
        assert not page or (requests_of(shown) == [] and "script" not in Page(shown).tags)
    else:
        assert status == 2 and not target.exists() and out.getvalue() == "", (status, message)
        assert message.startswith(f"error: {path}") and message.count("\n") == 1 and "\x1b" not in message
        assert len(message) < 700 and (
            "JSON" in message or f"{path}, key " in message or "levels" in message
        ), message
    return status


def damaged(kind: str, path: Path, *, files: int, pages: int) -> list[int]:
    """Statuses of so many damaged files, of which the first `pages` that are read are drawn too."""
    rng, found, drawn = random.Random(f"damage {kind}"), [], 0
    for _ in range(files):
        data = encoded(json.dumps(damage(KINDS[kind](), rng)), rng)
        page = drawn < pages
        found.append(reported(data, path, page=page))
        drawn += page and found[-1] == 0
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_no_internal_faults(kind: str, tmp_path: Path) -> None:
    found = damaged(kind, tmp_path / "result.json", files=45, pages=1)
    assert 3 <= found.count(0) <= 42, "both kinds of file are met"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_are_no_internal_faults(kind: str, tmp_path: Path) -> None:
    with remembered_pictures():
        found = damaged(kind, tmp_path / "result.json", files=500, pages=500)
    assert 60 < found.count(0) < 440, "both kinds of file are met"


@pytest.mark.parametrize(
    ("key", "value"),
    [("mean_field", 5), ("mean_field", {}), ("mean_field.radius", "x"), ("mean_field.predictions", "x"),
     ("mean_field.entanglement_limit", "abc"), ("mean_field.entanglement_limit", [[]]), ("mean_field.attractor", None),
     ("values.corrected", 5), ("values.corrected.error_l2", [1]), ("values.corrected.error_mu", "x"),
     ("values.estimator", 7), ("entanglement.policy.interval", "xy"), ("entanglement.policy.interval", [1, 2, 3]),
     ("entanglement.policy.method", 3), ("system.pair_word", 3), ("values.shared_reward_error", "q")],
)  # fmt: skip
def test_damage_that_used_to_be_an_internal_fault(key: str, value: Any, tmp_path: Path) -> None:
    data = json.dumps(changed(old("health"), key, value)).encode()
    assert reported(data, tmp_path / "r.json", page=False) == 2


def test_huge_numbers_are_drawn_or_left_out(tmp_path: Path) -> None:
    """R21: a bound near 1e300 was "Axis limits cannot be NaN or Inf"; so for every picture."""
    huge = {
        "entanglement.atv.per_agent": [1e300, None, 1.7e308], "breakdown.per_pair": [[1e300, 1.7e308]] * 3,
        "breakdown.remaining": [[1.7e308, -1.7e308, 0.0]] * 3,
        "certificate.mu": {"1": [1e300, 1.7e308], "2": [0.0, 1e99]},
        "bounds": {"T": {"distance": "atv", "norm": "mu", "bound": 1e300, "truth": 1.0},
                   "U": {"distance": "atv", "norm": "mu", "bound": 1e99, "truth": 1e-11}},
        "error_budget.bias": 1.7e308, "orders.unexplained": [1.0, 1.7e308, 1e99], "policy_or_system.pair": [1e300] * 3,
        "decision.loss": -1.7e308, "values.unexplained": 1.7e308, "values.error_sup": 1.7e308,
    }  # fmt: skip
    together = ending()
    for key, value in huge.items():
        together = changed(together, key, value)
    assert reported(json.dumps(together).encode(), tmp_path / "r.json", page=True) == 0


@pytest.mark.parametrize("letter", ["W", "泵", "@"])
def test_wide_names_leave_room_for_the_picture(letter: str) -> None:
    """Matplotlib's warning that axes collapsed to zero is an error here."""
    name = letter * 40
    result = changed(ending(), "system.names", [name] * 3)
    result["bounds"] = {f"{name} {k}": b | {"norm": name} for k, b in result["bounds"].items()}
    result["certificate"] = {f"{name}{k}": {"1": [0.1, 2.0], "2": [0.2, 1.0]} for k in range(3)}
    result["entanglement"] = {f"{name}{k}": {"per_agent": [0.1, 0.2, 0.3], "total": 0.6} for k in range(6)}
    result["transition_bias"], result["breakdown"]["pair_names"] = {}, [[name] * 2] * 3
    local = {
        "agent": name,
        "states": [name] * 2,
        "actions": [name],
        "values": [[0.0], [1.0]],
        "visited": [[0.5]] * 2,
    }
    points = {"q": [0.0, 1.0], "sum": [0.0, 0.5], "weight": [0.5, 0.5], "of": 2}
    result["local_values"] = {
        "unit": "reward units",
        "kind": name,
        "constant": 0.0,
        "agents": [local] * 3,
        "points": points,
    }
    found = Document.model_validate(result)
    assert all(p.svg for k, p in pictures(found).items() if k not in ("mean_field", "fixed_point", "views"))
    for kind in (None, *kinds(found.tables())):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            found.plot(kind).savefig(io.BytesIO())


def test_agents_beyond_number_are_not_listed(tmp_path: Path) -> None:
    lone = {"agents": 10**30, "pairs": 4}
    result = sample(system=lone, entanglement={"tv": {"value": 0.1}}, transition_bias={}, breakdown=None)
    assert reported(json.dumps(result).encode(), tmp_path / "r.json", page=True) == 0


# One name for every number.

_SCHEMA = Document.model_json_schema(by_alias=True)


def inside(path: str, node: dict[str, Any] | None = None) -> bool:
    """Whether a dotted path (* stands for any key of a table) leads somewhere in the result JSON."""
    node = _SCHEMA if node is None else node
    if "$ref" in node:
        return inside(path, _SCHEMA["$defs"][node["$ref"].rpartition("/")[2]])
    if "anyOf" in node:
        return any(inside(path, option) for option in node["anyOf"])
    if not path:
        return True
    if "items" in node:
        return inside(path, node["items"])
    key, _, rest = path.partition(".")
    if key in node.get("properties", {}):
        return inside(rest, node["properties"][key])
    return isinstance(node.get("additionalProperties"), dict) and inside(rest, node["additionalProperties"])


def test_the_registry_names_keys_of_the_json() -> None:
    #: An attribute of `Breakdown`, and numbers of another answer, not written.
    python = {"breakdown.explained", *(k for k in glossary.NUMBERS if k.startswith("influence."))}
    assert [key for key in glossary.NUMBERS if key not in python and not inside(key)] == []
    assert hasattr(me.analyze(me.gallery.build("follower").chain()).breakdown, "explained")
    assert not inside("values.error_nu") and not inside("nowhere")


def test_the_page_of_files_holds_the_registry() -> None:
    text = (Path(__file__).parents[1] / "docs" / "files.md").read_text(encoding="utf-8")
    assert [k for k, t in glossary.NUMBERS.items() if f"| `{k}` | {t.unit} | {t.says} |" not in text] == []
    block = text[text.index("`system` says") :]
    assert all(
        f"`{key}`" in block
        for key in type(read_result(OLD["circulant"]).system).model_fields
        if key != "pair_word"
    )


#: Heads of columns that are words, not numbers of the result.
PLAIN = {"number", "value", "what it says", "agent", "state", "priority", "best sum of functions of", "local values",
         "theorem", "action", "distance", "norm", "bound / truth", "steps k", "at least", "at most", "local pair",
         "by the pair of", "share of E_i"}  # fmt: skip
FOOT = {"total", "estimator"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_that_is_shown_is_a_name_of_the_json(kind: str) -> None:
    result = Document.model_validate(KINDS[kind]())
    named = {t.name for t in glossary.NUMBERS.values()}
    for s in sections(result):
        heads = {re.sub(r"^(bias|E_i) \(([\w-]+)\)$", r"\2", c) for c in s.head}
        assert heads <= named | PLAIN, (s.key, heads - named - PLAIN)
        if s.head and s.head[0] == "number":
            assert {row[0] for row in s.rows} <= named, s.key
        assert {row[0] for row in s.foot if " of " not in row[0]} <= FOOT
        assert not s.rows or s.caption, "a table says what it holds"


def test_units_are_said_once() -> None:
    for kind in ("joint", "large bandit"):
        result = Document.model_validate(KINDS[kind]())
        for text in (" ".join(render_text(result).split()), Page(render_html(result)).text):
            assert text.count("in units of the reward, summed with discount") == 1
        rows = [cell for s in sections(result) for row in s.rows for cell in row]
        assert not [cell for cell in rows if "reward unit" in cell]
    assert {t.unit for t in glossary.NUMBERS.values()} == {
        "reward units",
        "share",
        "none",
        "arms",
        "nats",
        "steps",
    }


def test_one_word_for_the_distance_and_the_policy() -> None:
    """ "policy" alone heads a column of a table of distances only; elsewhere it is E_i by policy."""
    result = Document.model_validate(old("health"))
    for s in sections(result):
        if "policy" in s.head:
            assert "distance" in s.caption
        for row in s.rows:
            assert row[0] != "policy"
    rows = {row[0]: row for row in parts(result)["mean_field"].rows}
    assert rows["predictions.policy"][2].startswith("E_i by policy (Prop. 7.2)")


def test_predictions_say_when_arms_are_too_few() -> None:
    """An unexplained share of 12.5 % under a measured 8.5 %: the constants hold from valid_from arms on."""
    for few, valid in ((True, 259.0), (False, 20.0), (False, None)):
        rows = {r[0]: r[2] for r in parts(Document.model_validate(
            changed(old("health"), "mean_field.valid_from", valid)))["mean_field"].rows}  # fmt: skip
        said = "20 arms are too few for predictions (see valid_from)" in rows["predictions.unexplained"]
        assert said is few and ("valid_from" in rows) is (valid is not None)


def test_more_than_all_of_the_spread_is_explained() -> None:
    result = changed(sample(), "values.unexplained", 1.29)
    assert "a constant would be nearer to Q" in " ".join(render_text(Document.model_validate(result)).split())
    turn = np.random.default_rng(6).permutation(8)
    chain = me.JointChain(0.97 * np.eye(8)[turn] + 0.03 / 8, (2, 2, 2)).under()
    for rewards, over in (([[1, 1], [-1, 1], [1, 0]], True), ([[1, 1], [1, 1], [1, 0]], False)):
        found = me.analyze(chain, rewards=rewards, discount=0.95, distances=["mu-atv"])
        assert bool(found.values.unexplained > 1.0) is over
        assert ("; a constant would be nearer to Q than this sum is." in found.sentence) is over
        assert "Over 100 %" not in found.summary(), "said once"


def test_equal_parts_and_partners_stay_in_their_own_order() -> None:
    result = sample(9)
    for i, row in enumerate(result["breakdown"]["per_pair"]):
        row[:] = [0.1 + 1e-16 * ((i * 5) % 7), 0.05]
        result["breakdown"]["pair_names"][i] = [f"pair {i}", f"other {i}"]
        result["breakdown"]["remaining"][i] = [
            0.15 if i == j else 0.075 - 1e-16 * ((i * 3) % 5) for j in range(9)
        ]
    found = Document.model_validate(result)
    listed, explained = (parts(found)[key].rows for key in ("pairs", "partners"))
    assert [p.agent for p in facts.top_pairs(found.tables()["pairs"].rows)[:9]] == [
        f"unit {i}" for i in range(9)
    ]
    assert [row[0] for row in explained] == [f"unit {i}" for i in range(8)]
    assert [row[0] for row in listed] == [f"unit {i}" for i in range(8)]


def test_many_types_are_a_range_not_the_first_four() -> None:
    result = old("health")
    result["system"] |= {"agents": 20, "multiplicity": [2] * 10, "names": [f"t{i}" for i in range(10)],
                         "local_pairs": [4] * 10}  # fmt: skip
    table = [[0.1, 0.0]] * 10
    result["mean_field"] |= {"fixed_point": table, "activation": table, "cycle": None, "predictions": None,
                             "entanglement_limit": [0.01 * i for i in range(10)]}  # fmt: skip
    for key in ("policy_or_system", "breakdown"):
        result[key] = None
    result |= {"entanglement": {}, "transition_bias": {}, "orders": None}
    rows = {row[0]: row[1] for row in parts(Document.model_validate(result))["mean_field"].rows}
    assert rows["entanglement_limit"] == "0 to 0.09000"


def settled() -> dict[str, Any]:
    """A large bandit of two types with priorities and names of states."""
    result = estimate()
    result["system"] |= {"agents": 30, "multiplicity": [10, 20], "names": ["old", "new"], "local_pairs": [4, 4],
                         "state_names": [["bad", "good"], ["broken", "sound"]],
                         "policy": {"word": "index", "says": "I", "digest": "0", "priority": [[2, 0], [3, 0]]},
                         }  # fmt: skip
    table = [[0.1, 0.2333], [0.3, 0.3667]]
    result["mean_field"] |= {"fixed_point": table, "activation": [[0.5, 0.0], [1.0, 0.0]], "cycle": None,
                             "entanglement_limit": [0.0, 0.0], "predictions": None}  # fmt: skip
    result |= {"entanglement": {}, "transition_bias": {}}
    return result


def test_a_large_bandit_shows_where_it_settles_in_order_of_service() -> None:
    result = Document.model_validate(settled())
    assert [(x.t, x.state, x.rank) for x in facts.settled(result)] == [
        (1, "broken", 1), (0, "bad", 2), (0, "good", 3), (1, "sound", 3)]  # fmt: skip
    (table,) = (s for s in sections(result) if s.key == "fixed_point")
    assert table.rows[0] == ("new", "broken", "1", "30 %", "100 %")
    drawn = Page(pictures(result)["fixed_point"].svg).text
    assert "1. new: broken" in drawn and "50 % served" in drawn
    for key, value in (
        ("system.policy", None),
        ("system.policy.priority", [[1, 2, 3]]),
        ("system.state_names", None),
    ):
        bare = facts.settled(Document.model_validate(changed(settled(), key, value)))
        assert bare[0].state == ("broken" if key != "system.state_names" and bare[0].rank else "bad"
                                 if key != "system.state_names" else "0")  # fmt: skip
    with pytest.raises(ValueError, match="the same shape"):
        Document.model_validate(changed(settled(), "system.state_names", [["bad"], ["a", "b"]]))


def test_titles_are_words_and_the_block_is_shown() -> None:
    result = fresh("bandit")
    text, page = " ".join(result.summary().split()), Page(render_html(result.document)).text
    assert facts.title(result.document) == "A restless bandit under an index policy"
    assert "RestlessBandit(" not in text.partition("How much")[0]
    for shown in (text, page):
        assert "IndexPolicy([1, 2, 3, 0])" in shown and "1 per step" in shown and "-1 to 1 per step" in shown
    own = changed(sample(), "system.title", "my lake")
    assert facts.title(Document.model_validate(own)) == "my lake"


def test_tables_and_pictures_of_a_page_can_be_reached_and_read() -> None:
    """Captions, scopes, row headers, focusable boxes with a name, a contents list whose targets exist."""
    page = render_html(Document.model_validate(KINDS["joint"]()))
    tables = re.findall(r"<table>.*?</table>", page, re.S)
    assert len(tables) > 9
    for table in tables:
        assert re.search(r"<caption>\S", table)
        body = re.findall(r"<tr.*?</tr>", table.partition("</thead>")[2] or table, re.S)
        assert all(row.count('<th scope="row"') == 1 for row in body)
        assert all('scope="' in th for th in re.findall(r"<th[ >][^>]*", table))
        foot = table.partition("<tfoot>")[2]
        assert ("total" in table) is ("total" in foot) and "estimator" not in table.partition("<tfoot>")[0]
    for box in re.findall(r'<div class="scroll[^>]*>', page):
        assert 'tabindex="0"' in box and 'role="region"' in box and re.search('aria-label="[^"]+"', box)
    targets = re.findall(r'<a href="#([\w-]+)"', page.partition("<nav")[2].partition("</nav>")[0])
    assert targets[: len(sections(Document.model_validate(KINDS["joint"]())))] and len(targets) > 9
    assert all(f'id="{t}"' in page for t in targets)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "E_i by N^0.506 and 10^477, 5 %",
            "E<sub>i</sub> by N<sup>0.506</sup> and 10<sup>477</sup>, 5\u00a0%",
        ),
        ("grows like N^1.01 ± 0.02, T^(γ − 1)", "grows like N<sup>1.01</sup> ± 0.02, T<sup>(γ − 1)</sup>"),
        ("x_1^2 <b> error_mu a^b", "x_1^2 &lt;b&gt; error_mu a^b"),
    ],
)
def test_subscripts_of_sentences(text: str, shown: str) -> None:
    assert str(marked(text)) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("‖err‖_2,μ = Σ_x μ(x)", "‖err‖<sub>2,μ</sub> = Σ<sub>x</sub> μ(x)"),
        ("r_i^max < b_k/(1+γ^k)", "r<sub>i</sub><sup>max</sup> &lt; b<sub>k</sub>/(1+γ<sup>k</sup>)"),
        ("Π_D Q, TV_i, max_x, error_mu", "Π<sub>D</sub> Q, TV<sub>i</sub>, max<sub>x</sub>, error_mu"),
        ("‖err‖_∞ (I − Π_i)P s_i′", "‖err‖<sub>∞</sub> (I − Π<sub>i</sub>)P s<sub>i</sub>′"),
    ],
)
def test_subscripts_of_formulas(text: str, shown: str) -> None:
    assert str(formula(text)) == shown
