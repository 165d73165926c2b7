"""Named errors. Every message says what was got, the rule, and the remedy.

`UserError` is the root of everything that a user can mend; the command line turns it into one
message and exit status 2. Anything else that escapes is a fault of this library.
"""

from __future__ import annotations


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
