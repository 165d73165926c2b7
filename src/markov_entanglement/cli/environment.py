"""ENV of the command line."""

from __future__ import annotations

import importlib
import inspect
import warnings
from functools import partial
from types import ModuleType
from typing import Any

from ..errors import InvalidInput
from .subject import imported, own_code

ENV_HELP = (
    "module:attr (e.g. pettingzoo.classic:rps_v2), or module:ID of an environment that Gymnasium makes."
)
#: What modules of PettingZoo offer, in the order in which it is taken.
_MAKERS = ("parallel_env", "env")


def environment_of(text: str) -> Any:
    """The environment that ENV names: an object, what makes one, a module of PettingZoo, or an ID of Gymnasium's."""
    module, _, name = text.partition(":")
    if not module or not name:
        raise InvalidInput("--env", text, "it must be module:attr", "E.g. pettingzoo.classic:rps_v2.")
    if not all(part.isidentifier() for part in name.split(".")):
        return _made_by_gymnasium(text, module, name)
    with own_code("--env", text, "make an environment"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of PettingZoo's own ways of making one
        found = imported("--env", text)
        if isinstance(found, ModuleType):
            return next(getattr(found, maker) for maker in _MAKERS if hasattr(found, maker))()
        return found() if isinstance(found, type | partial) or inspect.isroutine(found) else found


def _made_by_gymnasium(text: str, module: str, name: str) -> Any:
    """An environment by its ID, after the module that registers it was imported."""
    with own_code("--env", text, "be importable, and Gymnasium must know the ID"):
        importlib.import_module(module)
        import gymnasium

        return gymnasium.make(name, disable_env_checker=True)
