"""No certificate misses the exact error: joint chains, counts, tasks that end (`bench_brackets.py` has more)."""

from __future__ import annotations

import numpy as np
import pytest

import brackets


@pytest.mark.parametrize("kind", brackets.KINDS)
def test_no_bracket_misses(kind: str) -> None:
    found = [brackets.hold(kind, seed) for seed in range(14)]
    assert sum(t.brackets for t in found) == 14 * 5 * 12
    assert not [m for t in found for m in t.misses]


def test_a_bracket_that_misses_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: an exact error that is off by one part in a million is outside at k = 64."""
    exact = brackets.exact_values
    monkeypatch.setattr(brackets, "exact_values", lambda w: exact(w) * (1 + 1e-6))
    assert any("zero" in m for seed in range(4) for m in brackets.hold("joint", seed).misses)


def test_values_are_exact_to_the_last_digit() -> None:
    """The swap, r = (1, 0), gamma .999: Q = (1, gamma) / (1 - gamma^2)."""
    s = brackets.given(np.eye(2)[::-1], (2,), [np.array([1.0, 0.0])], 0.999)
    g = np.longdouble(0.999)
    want = np.array([1, g], dtype=np.longdouble) / (1 - g * g)
    assert (brackets.exact_values(s.world) == want.astype(np.float64)).all()
