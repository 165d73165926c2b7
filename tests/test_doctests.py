"""Every example in every docstring runs, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import markov_entanglement as me

MODULES = sorted(
    m.name for m in pkgutil.walk_packages(me.__path__, f"{me.__name__}.") if not m.name.endswith("__main__")
)


def run(test: doctest.DocTest) -> doctest.TestResults:
    return doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE).run(test)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        result = run(test)
        assert result.failed == 0, f"{test.name}: {result.failed} of {result.attempted} examples fail"


def has_example(value: object) -> bool:
    """An example in the docstring, of the class itself or of one of its methods."""
    return ">>>" in (inspect.getdoc(value) or "") or any(
        ">>>" in (inspect.getdoc(m) or "") for m in vars(value).values() if inspect.isclass(value)
    )


def is_answer(value: object) -> bool:
    """A class that is never built by hand: it lists attributes, no parameters; its call has the example."""
    text = inspect.getdoc(value) or ""
    return inspect.isclass(value) and "Attributes\n---" in text and "Parameters\n---" not in text


@pytest.mark.parametrize("name", me.__all__)
def test_public_names_have_an_example(name: str) -> None:
    value = getattr(me, name)
    assert (inspect.getdoc(value) or "").strip(), f"{name} has no docstring"
    if is_answer(value):
        return
    if inspect.isfunction(value) or inspect.isclass(value):
        assert has_example(value), f"the docstring of {name} has no example"


def test_what_counts_as_an_answer() -> None:
    """Negative control of `is_answer`."""
    assert is_answer(me.Analysis) and is_answer(me.Chain)
    assert not is_answer(me.MultiAgentMDP) and not is_answer(me.analyze)


def test_wrong_examples_are_caught() -> None:
    """Negative control: a failing example fails, a docstring without one is noticed."""

    def good() -> None:
        """>>> 1 + 1
        2
        """

    def bad() -> None:
        """>>> 1 + 1
        3
        """

    finder = doctest.DocTestFinder()
    assert run(finder.find(good, "good", globs={})[0]).failed == 0
    quiet = doctest.DocTestRunner(verbose=False)
    assert quiet.run(finder.find(bad, "bad", globs={})[0], out=lambda _: None).failed == 1
    assert has_example(good) and not has_example(run)
    assert len(MODULES) > 30
