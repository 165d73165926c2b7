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
