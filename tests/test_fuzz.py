"""A share of the hostile files, options and arguments of `fuzz.py`."""

from __future__ import annotations

import pytest

import fuzz


def test_files() -> None:
    assert list(fuzz.files(300)) == []


def test_options() -> None:
    assert list(fuzz.options(300)) == []


def test_arguments() -> None:
    assert list(fuzz.arguments(800)) == []


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("files", 2000), ("options", 2000), ("arguments", 5000)])
def test_all(kind: str, count: int) -> None:
    assert list(getattr(fuzz, kind)(count)) == []
