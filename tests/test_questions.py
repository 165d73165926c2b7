"""The page of questions: each has its answer in a few lines, with a call or a link; the recipes have code that runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import markov_entanglement as me

DOCS = Path(__file__).parents[1] / "docs"
ANSWERS = re.split(r"^### ", (DOCS / "questions.md").read_text(encoding="utf-8"), flags=re.M)[1:]
RECIPES = sorted((DOCS / "how-to").glob("*.md"))
#: What people ask most, each by words of its question.
ASKED = (
    "trained network", "copy an environment", "observation or the state", "TD error", "fit transitions", "memory",
    "contribution", "sum or mean", "intervals", "have no support", "climbing", "ride simulator", "not a probability",
    "return_mean", "reach each agent", "QMIX or VDN", "VDN beats QMIX", "two by two", "propensities", "attractor",
    "mutual information", "own logged data", "concatenated", "RNN",
)  # fmt: skip


def code_of(text: str) -> list[str]:
    """The blocks of Python of a page."""
    return re.findall(r"^```python\n(.*?)^```$", text, re.S | re.M)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda a: a.splitlines()[0][:40])
def test_every_question_is_answered(answer):
    question, rest = answer.split("\n", 1)
    rest = re.split(r"^## ", rest, flags=re.M)[0]
    words = re.sub(r"```.*?```", "", rest, flags=re.S).split()
    assert len(words) >= 20, f"{question} has no answer"
    assert code_of(rest) or re.search(r"\]\([\w/-]+\.md", rest), f"{question} leads nowhere"


def test_what_is_asked_most_is_there():
    questions = [a.split("\n", 1)[0].lower() for a in ANSWERS]
    assert len(questions) >= 22
    missing = [words for words in ASKED if not any(words.lower() in q for q in questions)]
    assert missing == []


@pytest.mark.parametrize(
    "page", [*RECIPES, DOCS / "questions.md", DOCS / "which-number.md"], ids=lambda p: p.stem
)
def test_code_names_what_there_is(page):
    """Public names only, and code that can be read; the site runs it."""
    text = page.read_text(encoding="utf-8")
    blocks = code_of(text)
    assert blocks
    for block in blocks:
        ast.parse(block)
    for name in set(re.findall(r"\bme\.(\w+)", text)):
        assert hasattr(me, name), name


def test_there_is_a_recipe_for_each_job():
    found = {p.stem for p in RECIPES}
    assert found >= {
        "ends", "team-reward", "cannot-tell", "compare", "who", "report", "ci", "paper-table", "size",
    }  # fmt: skip


def test_numbers_disagree_where_the_page_says_so(tmp_path, monkeypatch, capsys):
    """What `which-number.md` says in words about what its code prints."""
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    lines: list[list[str]] = []
    for block in code_of((DOCS / "which-number.md").read_text(encoding="utf-8")):
        exec(compile(block, "which-number.md", "exec"), space)
        lines.append(capsys.readouterr().out.splitlines())
    shifted, norms, distances, follower, _, steps, dice, _ = [
        [[float(x) for x in re.findall(r"(?<![\w-])\d+\.?\d*(?![\w-])", line)] for line in out]
        for out in lines
    ]
    (_, error, relative, unexplained), *_, last = shifted
    assert last[1] == error and last[3] == unexplained and last[2] < relative / 100
    mean, root, largest = norms[0]
    assert mean < root < largest
    ring, *others = sorted(distances)  # by mu-atv
    assert ring[0] < min(o[0] for o in others) and ring[-1] > max(o[-1] for o in others)
    assert max(follower[0][:-1]) >= 0.1 and follower[0][-1] < 0.001
    assert steps[0][1] < 0.01 and steps[0][2] == 1.0 and steps[-1][1:] == [1.0, 1.0]
    low, _, plug_in, null, p = dice[0]
    assert low == 0 and plug_in > 0.09 and abs(plug_in - null) < 0.02 and p > 0.05
    assert float(re.search(r"^([\d.]+)%", lines[-1][0])[1]) > 10 and re.search(
        r"right in 99\.9", lines[-1][1]
    )
