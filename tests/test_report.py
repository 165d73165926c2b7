"""Reports: every shape of result renders, names are text, the border refuses what it cannot read."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput
from markov_entanglement.report import facts, glossary
from markov_entanglement.report.document import Document, read_result
from markov_entanglement.report.figures import overview, pictures
from markov_entanglement.report.html import render_html
from markov_entanglement.report.text import render_text, table

HOSTILE = (
    "<script>alert(1)</script>",
    "<b>x</b>",
    "a & $\\frac{$ \"q\" 'r' \\ { }",
    "#1f2328 font: 9px x; <g id",
)


def sample(n: int = 2, names: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    """A hand-written result with n agents; `changes` replace top-level keys."""
    e = [0.05 * (i + 1) / n for i in range(n)]
    result: dict[str, Any] = {
        "schema": 1,
        "versions": {"markov-entanglement": "0.1.0", "numpy": "2.0"},
        "command": "markov-entanglement analyze example.toml",
        "seed": 0,
        "system": {
            "title": "A sample", "kind": "JointChain", "agents": n,
            "names": names or [f"unit {i}" for i in range(n)], "joint_states": 2**n, "pairs": 2**n,
            "recurrent_pairs": 2**n - 1, "local_pairs": [2] * n, "discount": 0.9,
        },
        "verdict": {"word": "do-not-add", "sentence": "No: the sum misses 13.8 %.", "tolerance": 0.05},
        "separability": {"agentwise": "entangled", "verdict": None, "gap": 0.1},
        "entanglement": {
            "mu-atv": {"per_agent": e, "total": sum(e)},
            "atv": {"per_agent": [2 * x for x in e], "total": 2 * sum(e)},
        },
        "values": {"error_mu": 0.2, "error_sup": 0.7, "error_l2": 0.3, "relative_error": 0.03, "unexplained": 0.138},
        "no_values": None,
        "bounds": {
            "Theorem 6.3": {"distance": "mu-atv", "norm": "mu", "bound": 71.5, "truth": 0.2},
            "Theorem 6.3, half spans": {"distance": "mu-atv", "norm": "mu", "bound": 35.7, "truth": 0.2},
            "Theorem H.2": {"distance": "atv", "norm": "sup", "bound": 381.0, "truth": 0.0},
        },
        "certificate": {},
        "transition_bias": {"mu-atv": [x / 2 for x in e]},
        "breakdown": {
            "per_pair": [[0.75 * x, 0.25 * x] for x in e],
            "occupancy": [[0.5, 0.5]] * n,
            "remaining": [[x if i == j else 0.5 * x for j in range(n)] for i, x in enumerate(e)],
            "pair_names": [["up", "down"]] * n,
        },
        "solvers": {"stationary": {"method": "sparse LU", "residual": 1e-16}},
        "refused": [],
    }  # fmt: skip
    return result | changes


def document(*args: Any, **changes: Any) -> Document:
    """A sample, read."""
    return Document.model_validate(sample(*args, **changes))


SHAPES: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": sample,
    "one agent": lambda: sample(1),
    "twelve agents": lambda: sample(12),
    "many agents": lambda: sample(300),
    "no values": lambda: sample(values=None, bounds={}, no_values="rewards missing",
                                verdict={"word": "cannot-tell", "sentence": "Cannot tell.", "tolerance": 0.05}),
    "all refused": lambda: sample(values=None, bounds={}, breakdown=None, entanglement={}, transition_bias={},
                                  separability={"agentwise": "undecided", "verdict": None, "gap": None},
                                  refused=[{"name": "values", "reason": "1e9 pairs; the limit is 1e8"}]),
    "nulls": lambda: sample(
        seed=None, command=None, solvers={"values": {"method": "none", "residual": None}},
        entanglement={"mu-atv": {"per_agent": [None, 0.1], "total": None}, "tv": {"value": None}},
        values=dict.fromkeys(("error_mu", "error_sup", "error_l2", "relative_error", "unexplained")),
        bounds={"Theorem 6.3": {"distance": "mu-atv", "norm": "mu", "bound": None, "truth": None}},
        breakdown={"per_pair": [[None, 0.1], [0.0, None]], "occupancy": [[None, 1.0], [0.5, 0.5]],
                   "remaining": [[None, 0.1], [0.1, None]]},
    ),
    "zeros": lambda: sample(
        entanglement={"mu-atv": {"per_agent": [0.0, 1e-17], "total": 0.0}},
        values={"error_mu": 0.0, "error_sup": 1e-16, "error_l2": 0.0, "relative_error": 0.0, "unexplained": 0.0},
        bounds={"Theorem 5.10": {"distance": "mu-atv", "norm": "mu", "bound": 0.0, "truth": 0.0}},
        breakdown={"per_pair": [[0.0, 0.0]] * 2, "occupancy": [[0.5, 0.5]] * 2, "remaining": [[0.0, 0.0]] * 2},
        verdict={"word": "add", "sentence": "Yes.", "tolerance": 0.0},
    ),
    "later keys": lambda: sample(
        separability={"agentwise": "entangled", "verdict": "undecided", "gap": 0.1, "explanation": "Too large."},
        entanglement={
            "mu-atv": {"per_agent": [0.1, 0.2], "total": 0.3, "method": "simulate",
                       "interval": [[0.0, 0.2], [0.1, 0.3]]},
            "spectral": {"per_agent": [0.3], "multiplicity": [2], "total": 0.6, "worst": 0.3},
            "tv": {"value": 0.5}, "new": {"value": 0.1},
        },
        values=sample()["values"] | {"joint_additive": sample()["values"] | {"vdn_gap": 0.0}},
        certificate={"mu": {"1": [0.0, 9.0], "16": [0.19, 0.21]}, "sup": {"4": [None, 3.0]}, "l2": {}},
        future={"anything": [1]},
    ),
    "hostile names": lambda: sample(4, list(HOSTILE)),
    "long and foreign names": lambda: sample(3, ["a" * 500, "泵 " * 40, "مضخة \u202e \ud800 \x00 \n 🚰"]),
}  # fmt: skip


class Page(HTMLParser):
    """Tags, addresses and text of a page as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        wanted = ("src", "href", "xlink:href", "action", "data", "srcset", "poster")
        self.addresses += [value or "" for name, value in attrs if name in wanted]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def requests_of(page: str) -> list[str]:
    """Everything in a page that could make a browser ask for something outside of it."""
    inner = re.findall(r"url\(\s*['\"]?([^)'\"]*)", page) + re.findall(r"@import[^;]*", page)
    return [a for a in Page(page).addresses + inner if not a.startswith(("#", "data:"))]


@cache
def rendered(shape: str) -> str:
    """The page of a shape, made once."""
    return render_html(Document.model_validate(SHAPES[shape]()))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_renders_as_text_and_page(shape: str) -> None:
    result = SHAPES[shape]()
    text, page = render_text(Document.model_validate(result)), rendered(shape)
    lines = text.splitlines()
    assert result["verdict"]["word"] in lines[0] and result["verdict"]["sentence"] in lines[0]
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text
    text.encode(), page.encode()
    assert len(page) < 2_000_000
    assert requests_of(page) == []
    assert "script" not in Page(page).tags and "nan" not in Page(page).text.lower().split()
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert result["verdict"]["sentence"] in Page(page).text
    for part in result["refused"]:
        assert part["reason"] in Page(page).text and part["reason"] in text


def test_request_scan_sees_requests() -> None:
    page = "<img src='http://a/x.png'><style>@import 'b'; p {background: url(https://c/)}</style><a href='d'>"
    assert len(requests_of(page)) == 4


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stored_result_renders_the_same(shape: str, tmp_path: Path) -> None:
    result = SHAPES[shape]()
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result), encoding="utf-8")
    again = read_result(path)
    assert again.to_dict() == result
    assert render_text(again) == render_text(Document.model_validate(result))
    assert render_html(again) == rendered(shape)


def test_names_are_text_in_tables_and_pictures() -> None:
    page = render_html(document(4, list(HOSTILE)))
    seen = Page(page)
    assert not {"script", "b"} & set(seen.tags)
    for name in HOSTILE:
        assert seen.text.count(name) >= 2, name
    drawn = pictures(document(4, list(HOSTILE)))["entanglement"].svg
    assert "<script" not in drawn and "&lt;script&gt;" in drawn
    assert HOSTILE[3] in Page(drawn).text


def test_pictures_do_not_depend_on_the_users_settings_and_leave_them_alone() -> None:
    before = {k: p.svg for k, p in pictures(document(5)).items()}
    with mpl.rc_context({"font.size": 30.0, "axes.facecolor": "red", "svg.fonttype": "path"}):
        settings = dict(mpl.rcParams)
        assert {k: p.svg for k, p in pictures(document(5)).items()} == before
        overview(document(5))
        assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize("key", ["entanglement", "pairs", "partners", "bounds", "certificate"])
def test_pictures_exist_where_there_is_something_to_draw(key: str) -> None:
    full = document(3, certificate={"mu": {"1": [0.0, 2.0], "4": [0.1, 0.3]}})
    assert pictures(full)[key].svg.startswith("<svg ")
    empty = Document.model_validate(SHAPES["all refused"]())
    assert pictures(empty)[key].svg == "" and pictures(empty)[key].note


def test_pictures_say_what_they_leave_out() -> None:
    drawn = pictures(document(300))
    assert "of 300" in drawn["entanglement"].note and "of 300" in drawn["partners"].note
    assert "of 600" in drawn["pairs"].note


@pytest.mark.parametrize("shape", SHAPES)
def test_overview_is_a_figure(shape: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        overview(Document.model_validate(SHAPES[shape]())).savefig(tmp_path / "overview.png", dpi=40)
    assert (tmp_path / "overview.png").stat().st_size > 1000


@pytest.mark.parametrize("entry", [e.id for e in me.gallery.entries() if not e.requires])
def test_gallery_reports(entry: str, tmp_path: Path) -> None:
    subject = me.gallery.build(entry)
    found = me.analyze(subject.system, subject.policy, title=entry)
    found.save_json(tmp_path / "r.json")
    found.save_html(tmp_path / "r.html")
    stored, page = read_result(tmp_path / "r.json"), (tmp_path / "r.html").read_text(encoding="utf-8")
    assert stored.to_dict() == found.to_dict()
    assert render_html(stored) == page
    assert found.summary() == render_text(stored)
    assert found.sentence in Page(page).text
    words = Page(re.sub(r"<(svg|style).*?</\1>", "", page, flags=re.DOTALL)).text
    assert not re.search(r"\.0*[1-9]\d{6,}", words), "no number with all its digits"
    assert found.summary().startswith(f"[{found.verdict}]")


def test_agents_that_are_alike_share_a_line() -> None:
    subject = me.gallery.build("circulant")
    found = Document.model_validate(me.analyze(subject.system, subject.policy).to_dict())
    top = facts.top_pairs(found.tables()["pairs"].rows)
    assert [p.alike for p in top] == [5] * len(top)
    assert sum(p.share for p in top) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("more", "word"),
    [({}, "exact"), ({"interval": [[0.0, 0.2], [0.1, 0.3]]}, "simulated"), ({"interval": None}, "exact"),
     ({"interval": [[0.0, 0.2], [0.1, 0.3]], "method": "rollouts"}, "rollouts")],
)  # fmt: skip
def test_an_estimate_is_not_labelled_exact(more: dict[str, Any], word: str) -> None:
    measure = {"per_agent": [0.1, 0.2], "total": 0.3} | more
    page = render_html(document(entanglement={"policy": measure}))
    line = f'<th scope="row"><bdi>estimator</bdi></th><td class="n">{word}</td>'
    assert line in "".join(page.splitlines())


@pytest.mark.parametrize(
    ("agentwise", "atv", "shown"),
    [
        ("entangled", 0.0, False),
        ("entangled", 1e-16, False),
        ("entangled", 0.2, True),
        ("separable", 0.0, True),
    ],
)
def test_no_bracket_that_contradicts_its_sentence(agentwise: str, atv: float, shown: bool) -> None:
    """`atv` is 0 on the recurrent pairs of a chain that is entangled in transient ones."""
    result = document(
        separability={"agentwise": agentwise, "verdict": None, "gap": None},
        entanglement={"atv": {"per_agent": [0.0, atv], "total": atv}},
    )
    for text in (" ".join(render_text(result).split()), Page(render_html(result)).text):
        assert f"Agent-wise {agentwise}" in text and bool(re.search("largest E[_ ]i by atv", text)) is shown


@pytest.mark.parametrize(("interval", "lines"), [([2.073e-7, 2.181e-7], 4), (None, 3)])
def test_a_wide_column_leaves_short_labels_whole(interval: list[float] | None, lines: int) -> None:
    """The words give way and go on in the next lines."""
    names = ("error_mu", "error_l2", "relative_error", "unexplained")
    values = sample()["values"] | ({"intervals": dict.fromkeys(names, interval)} if interval else {})
    text = render_text(document(values=values))
    for label in ("error_mu", "error_sup", "error_l2", "relative_error", "unexplained"):
        assert re.search(rf"^  {re.escape(label)} ", text, re.M), text
    rows = text.splitlines()
    at = next(k for k, row in enumerate(rows) if row.startswith("  unexplained "))
    block = rows[at : rows.index("", at)]
    assert len(block) == lines and max(map(len, rows)) <= 80
    assert "a constant in the rewards does not change it. The verdict rests on it." in " ".join(
        " ".join(block).split()
    )


def test_long_names_give_way_and_go_on_in_the_next_lines() -> None:
    name = " ".join(["a pump with a name"] * 9)
    rows = table(["id", "name", "value"], [["label", name, "0.5"]], left=(0, 1))
    assert max(map(len, rows)) <= 80 and rows[1].startswith("  label  a pump") and rows[1].endswith("  0.5")
    assert "".join(row[9:].removesuffix("0.5").strip() + " " for row in rows[1:]).strip() == name
    rows = table(["name", "value"], [["m" * 500, "0.5"]])
    assert max(map(len, rows)) <= 80 and len(rows) <= 4 and "…" in "".join(rows)


def test_columns_that_do_not_fit_stand_in_a_table_below() -> None:
    head = ["agent", *(f"distance number {k}" for k in range(7))]
    rows = [[f"unit {i}", *(f"{i}.{k}" for k in range(7))] for i in range(3)]
    lines = table(head, rows, [["total", *"0123456"]])
    assert max(map(len, lines)) <= 80 and sum(line.startswith("  agent") for line in lines) == 3
    text = " ".join(" ".join(lines).split())
    assert all(text.count(word) == 1 for word in head[1:]) and all(x in text for row in rows for x in row)
    assert text.count("total") == 3 and sum(line.strip("- ") == "" for line in lines) == 3, (
        "a rule above each foot"
    )


@pytest.mark.parametrize(("columns", "most"), [(None, 80), ("40", 80), ("91", 91), ("300", 100)])
def test_text_is_as_wide_as_the_terminal_up_to_100(
    columns: str | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    result = Document.model_validate(SHAPES["long and foreign names"]())
    assert most - 12 <= max(map(len, render_text(result).splitlines())) <= most


def test_terms_explain_what_is_shown() -> None:
    """A number that is absent has no definition; an infinite share has one."""
    values = sample()["values"]
    for gone, there in (("error_sup", False), ("relative_error", True)):
        result = document(values=values | {gone: None})
        explained = [t.name for t in glossary.terms(result) if t.name in values]
        assert (gone in explained) is there
        assert explained == [name for name, _, _ in glossary.value_rows(result)]
    assert "error_sup" in [t.name for t in glossary.terms(document())]


def test_partners_of_a_known_chain() -> None:
    subject = me.gallery.build("follower")
    found = Document.model_validate(me.analyze(subject.system, subject.policy).to_dict())
    (only,) = facts.partners(found.tables()["partners"].rows, {"follower": 0.5, "leader": 0.0})
    assert (only.agent, only.whose, only.before) == ("follower", "leader", 0.5)
    assert only.share == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("x", "shown"),
    [(None, "-"), (0.0, "0"), (1e-17, "< 1e-12"), (0.00864, "0.008640"), (7.07, "7.070"), (1371.0, "1,371"),
     (355619.0, "355,619"), (2.5e7, "2.500e+07"), (3e-6, "3.000e-06"), (-0.5, "-0.5000"), (9999.96, "10,000"),
     (999.96, "1,000"), (999.94, "999.9"), (1e300, "1.000e+300")],
)  # fmt: skip
def test_numbers(x: float | None, shown: str) -> None:
    assert facts.number(x) == shown


def broken(**changes: Any) -> str:
    return json.dumps(sample(**changes))


def without(*keys: str) -> str:
    result = sample()
    at = result
    for k in keys[:-1]:
        at = at[k]
    del at[keys[-1]]
    return json.dumps(result)


BAD = {
    "empty file": ("", "valid JSON"),
    "not JSON": ("<html>", "valid JSON"),
    "truncated": (json.dumps(sample())[:-40], "valid JSON"),
    "deep": ("[" * 100_000, "valid JSON"),
    "huge integer": ('{"schema": ' + "9" * 5000 + "}", "valid JSON"),
    "a list": ("[1, 2]", "JSON object"),
    "no schema": (without("schema"), "key schema: got nothing"),
    "schema true": (broken(schema=True), "key schema: got True"),
    "schema as text": (broken(schema="1"), "key schema: got '1'"),
    "later schema": (broken(schema=2), "Update markov-entanglement"),
    "no verdict": (without("verdict"), "key verdict: got nothing"),
    "no sentence": (without("verdict", "sentence"), "key verdict.sentence: got nothing"),
    "unknown verdict": (
        broken(verdict={"word": "maybe", "sentence": "", "tolerance": 0.05}), "key verdict.word: got 'maybe'"),
    "no system": (without("system"), "key system: got nothing"),
    "no agents": (without("system", "agents"), "key system.agents"),
    "zero agents": (broken(system={"agents": 0, "pairs": 1}), "key system.agents: got 0"),
    "name for nobody": (broken(system={"agents": 2, "pairs": 4, "names": ["a"]}), "key system.names: got 1 entries"),
    "names not text": (broken(system={"agents": 1, "pairs": 4, "names": [1]}), "key system.names.0: got 1"),
    "number as text": (
        broken(entanglement={"atv": {"per_agent": ["0.1"]}}), "key entanglement.atv.per_agent.0: got '0.1'"),
    "measure without number": (broken(entanglement={"tv": {}}), "key entanglement.tv.per_agent: got nothing"),
    "entanglement a list": (broken(entanglement=[0.1]), "key entanglement: got [0.1]"),
    "infinite": (json.dumps(sample()).replace("0.138", "1e999"), "key values.unexplained: got inf"),
    "values incomplete": (without("values", "error_mu"), "key values.error_mu: got nothing"),
    "no bounds": (without("bounds"), "key bounds"),
    "bound incomplete": (broken(bounds={"T": {"distance": "atv"}}), "key bounds.T.norm"),
    "breakdown of others": (broken(breakdown=sample(3)["breakdown"]), "key breakdown.per_pair: got 3 entries"),
    "breakdown not square": (
        broken(breakdown=sample()["breakdown"] | {"remaining": [[0.1], [0.1]]}), "square"),
    "pair names ragged": (
        broken(breakdown=sample()["breakdown"] | {"pair_names": [["a"], ["b"]]}), "same shape"),
    "certificate key": (broken(certificate={"mu": {"one": [0, 1]}}), "key certificate.mu.one"),
    "certificate interval": (broken(certificate={"mu": {"1": [0]}}), "[low, high]"),
    "refused not named": (broken(refused=["values"]), "key refused.0: got 'values'"),
    "seed as text": (broken(seed="x"), "key seed: got 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_with_key_and_remedy(case: str, tmp_path: Path) -> None:
    text, expected = BAD[case]
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput) as e:
        read_result(path)
    message = str(e.value)
    assert str(path) in message and expected in message and len(message) < 600
    assert e.value.remedy.endswith(".")


def test_missing_file_folder_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{}")
    for name in ("none.json", ".", "bytes.json"):
        with pytest.raises(InvalidInput, match=r"it must be (a result|valid) JSON"):
            read_result(tmp_path / name)


def test_numbers_that_are_not_finite_are_read_as_null(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(sample()).replace("0.138", "NaN"), encoding="utf-8")
    values = read_result(path).values
    assert values is not None and values.unexplained is None
