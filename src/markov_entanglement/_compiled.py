"""Compiled kernels; where their cache has no place, or is damaged or full, they are compiled anew."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, overload

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


@overload
def compiled(function: F) -> F: ...
@overload
def compiled(**options: Any) -> Callable[[F], F]: ...
def compiled(function: Any = None, **options: Any) -> Any:
    """Decorator: a function compiled on its first call, without the interpreter's lock, kept for later processes."""
    if function is None:
        return lambda f: compiled(f, **options)
    try:
        made: Any = njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # an installation that cannot be written to, and no home
        return njit(nogil=True, **options)(function)
    cache = made._cache
    cache.load_overload, cache.save_overload = _reading(cache), _writing(cache.save_overload)
    return made


def _reading(cache: Any) -> Callable[..., Any]:
    load = cache.load_overload

    def attempt(*args: Any) -> Any:
        try:
            return load(*args)
        except Exception:  # whatever a damaged file makes of its reader
            with suppress(Exception):
                cache.flush()
            return None

    return attempt


def _writing(save: Callable[..., Any]) -> Callable[..., Any]:
    def attempt(*args: Any) -> None:
        with suppress(Exception):  # a full disk, a lost folder
            save(*args)

    return attempt
