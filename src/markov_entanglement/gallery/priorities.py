"""Policies that several bandits of the gallery share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy
from ..model.words import as_policy
from .registry import Fact


def fixed(priority: Any) -> Callable[[RestlessBandit], IndexPolicy]:
    """A given priority."""
    return lambda _: IndexPolicy(priority)


def by_word(word: str) -> Callable[[RestlessBandit], Any]:
    """The policy of that word."""
    return lambda bandit: as_policy(word, bandit)


lp, uniform = by_word("lp"), by_word("uniform")


def priorities(
    index: Callable[[RestlessBandit], IndexPolicy] | None = None, *names: str
) -> Mapping[str, Any]:
    """A literature's index (if any) as the default, then the named ones, then uniform."""
    head = {} if index is None else {"index": index}
    return {**head, **{n: by_word(n) for n in names}, "uniform": uniform}


#: Source of numbers that a table of joint pairs gives, which shares no code with counts.
JOINT = "enumerated joint chain of few arms"


def separable(**params: Any) -> Fact:
    """Uniform M-of-N activation couples the actions and yet is separable."""
    return Fact("mu-atv", 0.0, 1e-12, "uniform M-of-N activation is separable", "uniform", params)
