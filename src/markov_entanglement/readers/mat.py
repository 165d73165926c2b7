"""MATLAB files: `P` and `R` as MDPtoolbox keeps them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from .._files import read_bytes
from ..errors import InvalidInput, by
from . import Reader


def read(
    path: Path, *, n_states: Any = None, n_actions: Any = None, discount: Any = None, order: str | None = None,
    terminal: Any = None, restart: Any = None, normalize: bool = False,
) -> Any:  # fmt: skip
    """A system from the variables of a `.mat` file: `P`, axes (from-states, to-states, actions) unless their sizes or
    `order` say otherwise, and `R`.

    Parameters
    ----------
    path : a file with `P`, three axes (order "SSA" as MDPtoolbox, "ASS" or "SAS") or a cell of (sparse) matrices, one
        per action; `R`, (S, A), (S,), or like `P` for rewards that depend on the next state; perhaps `discount`.
        Without `R`, and with one matrix: a chain.
    n_states, n_actions : how the numbers of states and actions split into agents, row-major; None: one agent.
    discount : gamma in [0, 1); None: that of the file, or everything but values.
    order : the axes of `P`, needed where there are as many states as actions.
    terminal, restart, normalize : as in `me.from_mdp`.
    """
    from ._given import discount_of, flat_mdp
    from ._objects import flat_chain, no_actions, rewards_of

    found, name = _variables(path), str(path)
    more = {"terminal": terminal, "restart": restart, "normalize": normalize}
    for key in ("P", "R", "discount"):
        if key in found and found[key] is None:
            rule = "it must be an array, a sparse matrix or a cell of them"
            raise InvalidInput(f"{name}: {key}", "text or a structure", rule, "Save numbers under that name.")
    if "P" not in found:
        got = f"variables {', '.join(sorted(found)) or 'none'}"
        raise InvalidInput(name, got, "one must be P, the transition matrices", "Save it under that name.")
    matrices = _matrices(f"{name}: P", found["P"], order)
    said = _number(name, found["discount"]) if discount is None and "discount" in found else None
    gamma = discount_of(name, discount, said)
    if "R" not in found:
        if len(matrices) > 1:
            rule = "R is needed beside P of several actions"
            raise InvalidInput(name, "no variable R", rule, "Save R, (S, A), as well.")
        no_actions(n_actions)
        return flat_chain(name, matrices[0], n_states, discount=gamma, **more)
    pay: Any = found["R"]
    if not isinstance(pay, list) and pay.ndim == 3:
        pay = _matrices(f"{name}: R", pay, order)
    rewards = rewards_of(f"{name}: R", pay, matrices)
    return flat_mdp(name, matrices, rewards, n_states=n_states, n_actions=n_actions, discount=gamma, **more)


def _variables(path: Path) -> dict[str, Any]:
    from ._mat5 import variables

    data = read_bytes(path)
    if data[124:126] in (b"\0\2", b"\2\0") or data[:4] == b"\x89HDF":
        rule = "it must be a MAT file of version 5 to 7"
        raise InvalidInput(str(path), "a file of version 7.3", rule, "Save it with -v7.")
    try:
        return variables(data)
    except (ValueError, struct.error) as e:
        got = f"an unreadable file ({' '.join(str(e).split())[:120]})"
        remedy = "Save it again, with -v7."
        raise InvalidInput(str(path), got, "it must be a MAT file of version 5 to 7", remedy) from None


def _number(name: str, value: Any) -> float:
    if not hasattr(value, "item") or value.size != 1:
        raise InvalidInput.kind(f"{name}: discount", value, "one number", "Give discount=0.9.")
    return float(value.item())


def _matrices(name: str, value: Any, order: str | None) -> list[Any]:
    """One (S, S) matrix per action."""
    import numpy as np

    from ._objects import _square

    if isinstance(value, list):
        return [_square(f"{name}{{{a + 1}}}", p) for a, p in enumerate(value)]
    if value.ndim == 2:
        return [_square(name, value)]
    axes = _axes(name, value.shape, order)
    return [_square(f"{name}, action {a}", p) for a, p in enumerate(np.moveaxis(value, axes.index("A"), 0))]


def _axes(name: str, shape: tuple[int, ...], order: str | None) -> str:
    """The order of three axes."""
    from .. import _check

    orders = ("SSA", "ASS", "SAS")
    if order is not None:
        order = _check.choice("order", order, orders)
    fits = [
        o
        for o in orders
        if len(shape) == 3 and len({n for n, letter in zip(shape, o, strict=True) if letter == "S"}) == 1
    ]
    if not fits or (order is not None and order not in fits):
        rule = f"its axes must be {order or ' or '.join(orders)}: S states, A actions"
        raise InvalidInput(name, f"shape {by(shape)}", rule, "Check its sizes.")
    if order is None and len(fits) > 1:
        remedy = "Say it: order='SSA' as MDPtoolbox keeps it (--option order=SSA), 'ASS' or 'SAS'."
        raise InvalidInput(
            name, f"shape {by(shape)}", "its sizes do not tell which axis the actions are", remedy
        )
    return order or fits[0]


READER = Reader(
    word="mat",
    suffixes=(".mat",),
    help="MATLAB files with P and R, as MDPtoolbox keeps them",
    read=read,
    options=("n_states", "n_actions", "discount", "order", "terminal", "restart", "normalize"),
)
