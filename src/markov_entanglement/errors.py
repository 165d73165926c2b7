"""Named errors, and the one place that words the common ones: what was got, the rule, the remedy.

`UserError` is the root of everything that a user can mend; anything else that escapes is a fault of this library.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

#: What is asked of whoever meets a fault of this library; the project's address belongs here once it has one.
REPORT_IT = (
    "Please report it to whoever gave you this software, with your command; --debug shows the traceback."
)


def _fit(text: str) -> str:
    """A part of a message at a length that can be read; whatever a user gave may be in it."""
    return text if len(text) <= 400 else f"{text[:300]} ... {text[-80:]}"


class _Sent:
    """An error that comes out of another process as it went in."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (type(self), self.args, self.__dict__)  # type: ignore[attr-defined]


def _received(kind: type[BaseException], args: tuple[Any, ...], about: dict[str, Any]) -> BaseException:
    found = kind.__new__(kind, *args)
    found.__dict__.update(about)
    return found


class UserError(_Sent, ValueError):
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
        argument, got, rule = map(_fit, (argument, got, rule))
        super().__init__(f"{argument}: got {got}; {rule}. {remedy}")


#: What values lack without a discount, and the remedy.
NO_DISCOUNT = ("a discount in [0, 1), which values need", "E.g. discount=0.9; entanglement needs none.")


class InvalidInput(UserError):
    """An argument has the wrong type, shape or value."""

    @classmethod
    def kind(cls, name: str, value: Any, want: str, remedy: str) -> InvalidInput:
        """`value` is not what is wanted."""
        return cls(name, short(value), f"it must be {want}", remedy)

    @classmethod
    def shape(cls, name: str, got: Sequence[int], want: Sequence[Any]) -> InvalidInput:
        """`want` holds sizes, letters (equal letters, equal sizes) and None (any size)."""
        return cls(name, f"shape {by(got)}", f"the shape must be {by(want)}", "Check its sizes.")

    @classmethod
    def range(cls, name: str, value: Any, low: Any, high: Any) -> InvalidInput:
        """`value` lies outside `low..high`; None is no limit."""
        ends = f"at most {high}" if low is None else f"in {low}..{high}"
        return cls.kind(name, value, f"at least {low}" if high is None else ends, "Change the value.")

    @classmethod
    def unknown(
        cls, name: str, word: Any, options: Iterable[str], rule: str = "it must be one of", got: str = ""
    ) -> InvalidInput:
        """`word` is none of the options: all are named, and the nearest once more."""
        known = list(options)
        near = nearest(word, known, "Use one of these.")
        return cls(name, got or short(word), f"{rule} {', '.join(known)}", near)


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


class NoConvergence(_Sent, RuntimeError):
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
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of more than 4,300 digits
        text = " at 0x"
    return f"a {type(value).__name__}" if " at 0x" in text else text[:60]


def gib(size: float) -> str:
    """A number of bytes in words."""
    return f"{size / 1024**3:.3g} GiB"


def by(shape: Sequence[Any]) -> str:
    """A shape in words: "2x3", "(A, S, S)" with letters, "a single number"."""
    sizes = ["any" if n is None else str(n) for n in shape]
    letters = any(isinstance(n, str) for n in shape)
    return f"({', '.join(sizes)})" if letters else "x".join(sizes) or "a single number"
