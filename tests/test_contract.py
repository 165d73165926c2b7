"""Every source answers every question as brute force does (`contract.py` has the tables)."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from contract import QUESTIONS, REFUSED, SOURCES, crossed, refused


@pytest.mark.parametrize(("source", "question"), crossed())
def test_answers(source: str, question: str) -> None:
    error = refused(f"{source}/{question}")
    if error is None:
        QUESTIONS[question](SOURCES[source]())
    else:
        with pytest.raises(error):
            QUESTIONS[question](SOURCES[source]())


def test_no_table_names_what_is_not_there() -> None:
    names = [f"{s}/{q}" for s in SOURCES for q in QUESTIONS]
    for pattern in REFUSED:
        assert any(fnmatch(n, pattern) for n in names), pattern
