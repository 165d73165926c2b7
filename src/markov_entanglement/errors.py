"""Named errors, and the one place that words the common ones.

Every message says what was got, the rule, and the remedy. `UserError` is the root of everything that a user can
mend; the command line turns it into one message and exit status 2. Anything else that escapes is a fault of this
library.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any


class UserError(ValueError):
    """A mistake that the user can mend.

    Parameters
    ----------
    argument : name of the argument, file or key at fault.
    got : what was found there, short.
    rule : what must hold.
    remedy : what to do next.
    """

    def __init__(self, argument: str, got: str, rule: str, remedy: str) -> None:
        self.argument, self.got, self.rule, self.remedy = argument, got, rule, remedy
        super().__init__(f"{argument}: got {got}; {rule}. {remedy}")


class InvalidInput(UserError):
    """An argument has the wrong type, shape or value."""

    @classmethod
    def kind(cls, name: str, value: Any, want: str, remedy: str) -> InvalidInput:
        """`value` is not of the kind that is wanted."""
        return cls(name, short(value), f"it must be {want}", remedy)

    @classmethod
    def shape(
        cls, name: str, got: Sequence[int], want: Sequence[Any], remedy: str = "Check its sizes."
    ) -> InvalidInput:
        """`want` holds sizes, letters (equal letters, equal sizes) and None (any size)."""
        return cls(name, f"shape {by(got)}", f"the shape must be {by(want)}", remedy)

    @classmethod
    def range(
        cls, name: str, value: Any, low: Any, high: Any, remedy: str = "Change the value."
    ) -> InvalidInput:
        """`value` lies outside `low..high`; None is no limit."""
        if high is None:
            return cls(name, short(value), f"it must be at least {low}", remedy)
        rule = f"it must be at most {high}" if low is None else f"it must lie in {low}..{high}"
        return cls(name, short(value), rule, remedy)

    @classmethod
    def unknown(
        cls, name: str, word: Any, options: Iterable[str], rule: str = "it must be one of"
    ) -> InvalidInput:
        """`word` is none of the options: they are all named, and the nearest once more."""
        known = list(options)
        return cls(name, short(word), f"{rule} {', '.join(known)}", nearest(word, known, "Use one of these."))

    @classmethod
    def unknown_key(
        cls, key: str, what: str, known: Iterable[str], prefix: str = "", noun: str = "key"
    ) -> InvalidInput:
        """A key (or array) that `what` does not have."""
        error = cls.unknown(key, key, known, f"{what} has")
        return cls(prefix + key, f"an unknown {noun}", error.rule, error.remedy)

    @classmethod
    def missing(cls, key: str, remedy: str = "Add it.") -> InvalidInput:
        """A required key that is not there."""
        return cls(key, "nothing", "this key is required", remedy)


class Unsupported(UserError):
    """The question makes no sense for this system, or an object lacks what an engine needs."""


class SeveralRecurrentClasses(UserError):
    """The chain has more than one recurrent class and no initial law selects a mixture of them."""


class MissingDependency(UserError):
    """An optional package is not installed."""


class TooLarge(UserError):
    """Refused before allocation.

    Parameters
    ----------
    what : the object that would be too large.
    size : its size, in words (entries, pairs, gigabytes).
    limit : the limit that it exceeds, in words.
    remedy : what to do instead.
    """

    def __init__(self, what: str, size: str, limit: str, remedy: str) -> None:
        self.what, self.size, self.limit = what, size, limit
        super().__init__(what, size, f"the limit is {limit}", remedy)


class NoConvergence(RuntimeError):
    """A solver stopped short; carries its best partial answer and residual."""

    def __init__(self, message: str, best: object, residual: float) -> None:
        self.best, self.residual = best, residual
        super().__init__(f"{message} (residual {residual:.3g})")


def nearest(word: Any, options: Iterable[str], otherwise: str | None = None) -> str:
    """A remedy: the option nearest to `word`, whatever the case of its letters; else `otherwise`, or all options."""
    known = {option.lower(): option for option in options}
    close = difflib.get_close_matches(str(word).lower(), known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {known[close[0]]!r}?"
    return otherwise or f"Use one of: {', '.join(known.values()) or 'none'}."


def short(value: Any) -> str:
    """`value` in at most 60 characters, without addresses in memory."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more than 4,300 digits
        return about(abs(value))
    return f"a {type(value).__name__}" if " at 0x" in text else " ".join(text.split())[:60]


def by(shape: Sequence[Any]) -> str:
    """A shape in words: "2x3", "(A, S, S)" with letters, "a single number"."""
    if any(isinstance(n, str) for n in shape):
        return f"({', '.join('any' if n is None else str(n) for n in shape)})"
    return "x".join("any" if n is None else str(n) for n in shape) or "a single number"


def about(size: int) -> str:
    """A count in a few characters, however long the integer is.

    >>> about(81), about(3**1000)
    ('81', 'about 10^477')
    """
    return (
        f"{size}" if size < 10**9 else f"{size:.4g}" if size < 10**15 else f"about 10^{math.log10(size):.0f}"
    )
