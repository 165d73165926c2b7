"""What the user says beside a file or an object: one wording for every reader."""

from __future__ import annotations

import math
import re
import shlex
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._check import Floats, Ints
from ..errors import InvalidInput
from ..model.mdp import MultiAgentMDP
from . import reader_of

#: Copies of one agent that are made at most; more are counted, not listed.
MOST = 10_000


def several(name: str, value: Any, what: str = "state") -> list[Any]:
    """One state, or whatever `what` says, or several of them."""
    if isinstance(value, str | int | np.integer):
        return [value]
    if not isinstance(value, Sequence | np.ndarray) or len(_check.shape_of(name, value)) != 1:
        raise InvalidInput.kind(name, value, f"a {what} or a list of {what}s", "Give its name or number.")
    return list(value)


def flag(name: str, text: str) -> str:
    """How the command line says it, where `name` is a file."""
    return f" (on the command line {text})" if reader_of(name) else ""


def state_flag(name: str, option: str, state: str) -> str:
    """How the command line names a state, where it would read that as this name."""
    plain = re.fullmatch(r"[^\W\d][\w -]*|\d+", state) and state.lower() not in ("true", "false")
    return flag(name, f"--option {shlex.quote(f'{option}={state}')}") if plain else ""


def discount_of(name: str, given: Any, said: Any = None) -> float | None:
    """What the user says, else what the file or object `name` says; None where neither does, or the latter says 1."""
    if given is not None:
        return _check.discount(given)
    found = None if said is None else _check.number(f"{name}: discount", said)
    return None if found in (None, 1.0) else _check.discount(found, f"{name}: discount")


def split(name: str, what: str, count: int, sizes: Any, agents: Any = None) -> tuple[int, ...]:
    """How `count` joint states or actions (`what`) split into agents, row-major; None: as one agent.

    `agents` are sizes of the other of the two: both must have one entry per agent.
    """
    key, n_agents = f"n_{what}", 1 if agents is None else len(_check.sizes("sizes", agents))
    if sizes is None:
        if n_agents > 1 and count > 1:
            example = (count, *(1,) * (n_agents - 1))
            rule = f"the {count} {what} of {name} must be split among {n_agents} agents"
            typed = flag(name, f"--n-{what} {','.join(map(str, example))}")
            raise InvalidInput(key, "nothing", rule, f"E.g. {key}={example}{typed}.")
        return (count, *(1,) * (n_agents - 1))
    found = _check.sizes(key, sizes)
    if math.prod(found) != count:
        got = f"{found}, {math.prod(found)} joint {what}"
        raise InvalidInput(key, got, f"{name} has {count} {what}", f"Give sizes whose product is {count}.")
    return found


def flat_mdp(
    name: str, kernel: list[Any], rewards: Any, *, n_states: Any, n_actions: Any, terminal: Any = None,
    restart: Any = None, **more: Any,
) -> MultiAgentMDP:  # fmt: skip
    """The system of one matrix (S, S) per action and rewards, (S, A) or as it takes them; numbers split into agents.

    `terminal` are state numbers, and `restart` is one; or both as the constructor takes them.
    """
    count = kernel[0].shape[0]
    states = split(name, "states", count, n_states, n_actions)
    ends = ends_of_numbers(terminal, restart, count)
    actions = split(name, "actions", len(kernel), n_actions, n_states)
    pay: Any = [rewards] if len(states) == 1 and isinstance(rewards, np.ndarray) else rewards
    matrices = [sp.csr_array(k) for k in kernel]
    made = MultiAgentMDP(matrices, pay, n_states=states, n_actions=actions, **ends, **more)
    told(name, made.rescaled)
    return made


def ends_of_numbers(terminal: Any, restart: Any, count: int) -> dict[str, Any]:
    """`terminal` and `restart` for the constructors, of state numbers; what is none is theirs to read or to refuse."""
    flat = terminal
    if len(_check.shape_of("terminal", terminal)) < 2 and np.asarray(terminal).dtype.kind in "iu":
        numbers = [_check.integer("terminal", k, low=0, high=count - 1) for k in np.ravel(terminal).tolist()]
        flat = np.isin(np.arange(count), numbers)
    law = law_of("restart", restart, count) if isinstance(restart, int | np.integer) else restart
    return {"terminal": flat, "restart": law}


def law_of(name: str, value: Any, count: int) -> Floats:
    """(count,) law of a state number, counted from 0, or a law as it is."""
    if not isinstance(value, int | np.integer):
        return _check.probabilities(name, value, shape=(count,))
    law = np.zeros(count)
    law[_check.integer(name, int(value), low=0, high=count - 1)] = 1.0
    return law


def laws(
    name: str, p: Floats, row: Ints, count: int, normalize: bool, place: Callable[[int], str],
    entry: Callable[[int], str],
) -> None:  # fmt: skip
    """Refuse probabilities `p` of the file or table `name` that are no laws, as the constructors would.

    They stand in the rows `row`, integers below `count`; `place(k)` names row k, and `entry(k)` entry k. The precision
    of `p` is that of the numbers as they came.
    """
    _check.not_negative(p, entry)
    rows = rescaling(name, normalize, place)
    rows.divisors(
        name, _check.sums_by(row, p, count), np.bincount(row, minlength=count), _check.unit_in(p.dtype)
    )


def rescaling(name: str, normalize: bool, place: Callable[[int], str]) -> _check.LawRows:
    """How the rows of the file or table `name` are read."""
    rows = _check.rescaling(normalize)
    rows.remedy, rows.place = rows.remedy + flag(name, "--option normalize=true"), place
    return rows


def told(name: str, shift: float | None) -> None:
    """Warn that rows of `name` were divided by their sums."""
    if shift:
        what = f"rows were divided by their sums, which missed 1 by at most {shift:.3g}"
        warnings.warn(f"{name}: {what}", UserWarning, stacklevel=3)


def precise(name: str, value: Any) -> Floats:
    """Finite real entries in the precision in which they came: laws in single precision may miss 1 by more."""
    found, kind = _check.real(name, value), np.asarray(value).dtype
    return found.astype(kind) if kind.kind == "f" else found


def mean(total: Floats, mass: Floats) -> Floats:
    """Sums of probabilities times rewards over the sums of these probabilities; 0 where there are none."""
    return np.divide(total, mass, out=np.zeros_like(total), where=mass > 0.0)
