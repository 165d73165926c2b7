"""Policies that several bandits of the gallery share; engines load when a policy is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._check import Floats
from ..errors import Unsupported
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy, UniformPolicy
from .registry import Fact

#: Digits of an index that order arms; states closer than this share a class and are served alike.
_DIGITS = 9


def _policy(index: Floats) -> IndexPolicy:
    return IndexPolicy(np.round(index, _DIGITS))


def fixed(priority: Any) -> Callable[[RestlessBandit], IndexPolicy]:
    """A given priority."""
    return lambda _: IndexPolicy(priority)


def whittle(bandit: RestlessBandit) -> IndexPolicy:
    """The Whittle index policy at the bandit's discount.

    Raises
    ------
    Unsupported : an arm without an index; the message says why and names the way on.
    """
    from ..bandits.whittle import whittle_index

    found = whittle_index(bandit)
    if not all(found.indexable):
        raise Unsupported("policy", "'whittle'", found.sentence, "Choose the policy 'lp'.")
    return _policy(found.index)


def lp(bandit: RestlessBandit) -> IndexPolicy:
    """The LP-priority of the average-reward relaxation."""
    from ..bandits.lp_priority import lp_priority

    return _policy(lp_priority(bandit).index)


def myopic(bandit: RestlessBandit) -> IndexPolicy:
    """Largest immediate gain of activity first."""
    from ..bandits.whittle import myopic_priority

    return _policy(myopic_priority(bandit))


def uniform(_: RestlessBandit) -> UniformPolicy:
    """Every set of M arms with the same probability."""
    return UniformPolicy()


def priorities(
    index: Callable[[RestlessBandit], IndexPolicy] | None = None, *names: str
) -> Mapping[str, Any]:
    """A literature's index (if any) as the default, then the named ones, then uniform."""
    known = {"whittle": whittle, "lp": lp, "myopic": myopic}
    head = {} if index is None else {"index": index}
    return {**head, **{n: known[n] for n in names}, "uniform": uniform}


#: Source of numbers that a table of joint pairs gives, which shares no code with counts.
JOINT = "enumerated joint chain of few arms"


def separable(**params: Any) -> Fact:
    """Uniform M-of-N activation couples the actions and yet is separable."""
    return Fact("mu-atv", 0.0, 1e-12, "uniform M-of-N activation is separable", "uniform", params)
