"""How far long work has come: told to whoever asked, or shown after two seconds to a person who looks at stderr.

A public function is `reporting`; what runs inside splits its part of the whole with `stage` and says `advance`. Work
inside other work reports to the outer one. Threads of workers say nothing; who waits for them does.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from .errors import InvalidInput

#: (share of the work that is done, what is being done) -> nothing.
Progress = Callable[[float, str], None]
_P = ParamSpec("_P")
_R = TypeVar("_R")
#: Seconds before anything is shown, and between two looks.
_PATIENCE, _TICK = 2.0, 0.25


@dataclass(frozen=True)
class _Span:
    """A part of the whole work, from `low` to `high`."""

    tell: Progress
    what: str = ""
    low: float = 0.0
    high: float = 1.0


_HERE: ContextVar[_Span | None] = ContextVar("work", default=None)


@contextmanager
def watched(progress: Progress | bool | None = None, what: str = "") -> Iterator[None]:
    """Work whose progress somebody may watch.

    `progress` is called with a share that never falls and what is being done; None shows a bar on a terminal and a line
    of text in a notebook, and leaves it to outer work where there is any; False shows nothing.
    """
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise InvalidInput.kind("progress", progress, "a function (share, what)", "E.g. progress=print.")
    shown = None
    if not callable(progress):
        if progress is not False and _HERE.get() is not None:
            yield
            return
        shown = _display() if progress is not False else None
        progress = shown
    try:
        with _inside(None if progress is None else _Span(_rising(progress), what)):
            yield
    finally:
        if shown is not None:
            shown.close()


@contextmanager
def _inside(span: _Span | None) -> Iterator[None]:
    """From the beginning of a span to its end."""
    token = _HERE.set(span)
    try:
        advance(0.0)
        yield
        advance(1.0)
    finally:
        _HERE.reset(token)


def reporting(what: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A function that runs `watched` by whatever its keyword `progress` says."""

    def outer(work: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(work)
        def inner(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with watched(kwargs.get("progress"), what):  # type: ignore[arg-type]
                return work(*args, **kwargs)

        return inner

    return outer


@contextmanager
def stage(what: str, low: float, high: float) -> Iterator[None]:
    """The part from `low` to `high` of the work around it."""
    around = _HERE.get()
    if around is None:
        yield
        return
    size = around.high - around.low
    with _inside(_Span(around.tell, what or around.what, around.low + low * size, around.low + high * size)):
        yield


def advance(share: float) -> None:
    """That share of the innermost stage is done."""
    here = _HERE.get()
    if here is not None:
        here.tell(here.low + share * (here.high - here.low), here.what)


def _rising(progress: Progress) -> Progress:
    most = 0.0

    def tell(share: float, what: str) -> None:
        nonlocal most
        most = max(most, min(share, 1.0))
        progress(most, what)

    return tell


def _display() -> _Display | None:
    """A display where a person looks: in a notebook, or where stderr is a terminal; not for work in other threads."""
    if threading.current_thread() is not threading.main_thread():
        return None
    if type(_shell()).__name__ == "ZMQInteractiveShell":
        return _Display(_text)
    return _Display(_bar) if sys.stderr is not None and sys.stderr.isatty() else None


def _shell() -> Any:
    """The interactive shell of IPython, or None."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return None if ask is None else ask()


class _Display:
    """Redraws share and time from a thread of its own until it is closed."""

    def __init__(self, draw: Callable[[Callable[[], tuple[float, str, str]], threading.Event], None]) -> None:
        self._began, self._over = time.monotonic(), threading.Event()
        self._share, self._what, self._whole = 0.0, "", 0.0
        self._thread = threading.Thread(target=self._run, args=(draw,), daemon=True)
        self._thread.start()

    def __call__(self, share: float, what: str) -> None:
        if share > max(self._share, 0.01):  # the time that all will take, as far as this tells
            self._whole = (time.monotonic() - self._began) / share
        self._share, self._what = share, what

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> tuple[float, str, str]:
        """Share, what is being done, and time: passed, and about what is left."""
        passed = time.monotonic() - self._began
        left = self._whole - passed
        return (
            self._share,
            self._what,
            f"{_clock(passed)}{f', about {_clock(left)} left' if left > 0 else ''}",
        )

    def _run(self, draw: Callable[..., None]) -> None:
        if not self._over.wait(_PATIENCE):
            with suppress(Exception):  # no work fails because it cannot be shown
                draw(self.look, self._over)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _bar(look: Callable[[], tuple[float, str, str]], over: threading.Event) -> None:
    """On a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
    )
    with Bar(
        *columns, TextColumn("{task.fields[time]}"), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("", total=1.0, time="")
        while True:
            share, what, clock = look()
            bar.update(task, completed=share, description=what, time=clock)
            if over.wait(_TICK):
                return


def _text(look: Callable[[], tuple[float, str, str]], over: threading.Event) -> None:
    """In a notebook: one line that is written again and again."""
    width = 0
    while True:
        share, what, clock = look()
        line = f"{share:4.0%}|{'#' * round(20 * share):<20}| {clock} {what}"
        width = max(width, len(line))
        sys.stderr.write(f"\r{line:<{width}}")
        sys.stderr.flush()
        if over.wait(_TICK):
            break
    sys.stderr.write(f"\r{'':<{width}}\r")
    sys.stderr.flush()
