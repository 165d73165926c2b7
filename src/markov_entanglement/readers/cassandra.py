"""Cassandra's files of MDPs and POMDPs, and MADP's of Dec-POMDPs: transitions and rewards of their joint states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from . import Reader

if TYPE_CHECKING:
    from .._check import Floats
    from ._cassandra import Text


def read(
    path: Path, *, n_states: Any = None, n_actions: Any = None, discount: Any = None, normalize: bool = False,
    terminal: Any = None, restart: Any = None,
) -> Any:  # fmt: skip
    """A system from `T:` and `R:` lines; rewards are expectations over the next state and its observations, the last
    time that observations count.

    Parameters
    ----------
    path : a `.mdp`, `.pomdp` or `.dpomdp` file.
    n_states : how its joint states split into agents, row-major in the order of the file; needed for several agents.
    n_actions : the same of the actions of a file of one agent; files of several agents say it.
    discount : gamma in [0, 1); None: that of the file, or everything but values where it says none, or 1.
    normalize : rows that miss 1 are divided by their sums.
    terminal, restart : states in which a task ends, and the one in which the next starts (None: as `start:` says), by
        name or number.
    """
    from .. import _check
    from ._cassandra import Text, entries_of
    from ._given import discount_of, flat_mdp, mean

    text, name = Text(path, entries_of(path)), str(path)
    ends, gamma = _ends(text, terminal, restart), discount_of(name, discount, text.discount)
    kernel = text.table("T", (text.actions, text.states, text.states))
    pay = _pay(text, _check.flag("normalize", normalize))
    _laws(text, kernel, ends["terminal"], normalize)
    pay = mean((kernel * pay).sum(axis=2), kernel.sum(axis=2)).T
    sizes = tuple(part.count for part in text.actions.parts)
    if len(sizes) > 1 and n_actions is not None:
        raise InvalidInput("n_actions", "sizes", f"{name} says them: {sizes}", "Leave it out.")
    return flat_mdp(
        name, list(kernel), pay, normalize=normalize, n_states=_split(text, n_states), discount=gamma,
        n_actions=sizes if len(sizes) > 1 else n_actions, labels=_labels(text, n_states, n_actions), **ends,
    )  # fmt: skip


def _ends(text: Text, terminal: Any, restart: Any) -> dict[str, Any]:
    """Numbers of the terminal states, and where the next task starts."""
    from ._given import several

    if terminal is None:
        return {"terminal": None, "restart": restart}

    def numbers(name: str, value: Any) -> list[int]:
        return [text.states.parts[0].index(name, str(state)) for state in several(name, value)]

    first = None if restart is None else numbers("restart", restart)
    if first is not None and len(first) != 1:
        raise InvalidInput(
            "restart", f"{len(first)} states", "a task starts in one", "Give one name or number."
        )
    return {"terminal": numbers("terminal", terminal), "restart": text.start if first is None else first[0]}


def _laws(text: Text, kernel: Floats, terminal: Any, normalize: bool) -> None:
    """Refuse rows (A, S, S) that are no laws; those of terminal states are set to stay where they are."""
    import numpy as np

    from ._given import laws

    states = kernel.shape[1]
    kernel[:, terminal or [], :] = np.eye(states)[terminal or []]

    def named(row: int) -> str:
        action, state = text.actions.name(row // states), text.states.name(row % states)
        return f"{text.path}, action {action}, state {state}"

    flat = kernel.reshape(-1, states)
    empty = np.flatnonzero(~flat.any(axis=1))
    if len(empty):
        action, state = text.actions.name(int(empty[0]) // states), text.states.name(int(empty[0]) % states)
        raise InvalidInput(named(int(empty[0])), "no line 'T:'", "a state needs a law of the next one for every action",
                           f"Add e.g. T: {action} : {state} : {state} 1")  # fmt: skip
    row, column = np.nonzero(flat)
    laws(str(text.path), flat[row, column], row, len(flat), normalize, named, lambda k: named(int(row[k])))


def _pay(text: Text, normalize: bool) -> Floats:
    """Rewards, expected over the observations of the next state: (A, S, S), axes that do not matter of length 1."""
    from .. import _check
    from ._given import rescaling, told

    sign, seen = 1.0 if text.pays else -1.0, text.observations
    axes = (text.actions, text.states, text.states)
    if seen is None:
        return sign * text.table("R", axes)
    pay = sign * text.table("R", (*axes, seen))
    if pay.shape[3] == 1:
        return pay[..., 0]
    where, count = f"{text.path}, lines 'O:'", text.states.size
    rows = rescaling(
        str(text.path),
        normalize,
        lambda k: f"{where}, action {text.actions.name(k // count)}, state {text.states.name(k % count)}",
    )
    law = text.table("O", (text.actions, text.states, seen))
    law = _check.probabilities(
        f"{where} (action, state, observation)", law.reshape(-1, seen.size), rows=rows
    ).reshape(law.shape)
    told(where, rows.shift)
    return (pay * law[:, None]).sum(axis=3)


def _split(text: Text, n_states: Any) -> Any:
    """Sizes of the agents' states: nobody but the user knows them where there are several agents."""
    from ..model.spaces import about
    from ._given import flag

    many, count = text.agents.count, text.states.size
    if n_states is not None or many == 1:
        return n_states
    example = _alike(count, many)
    typed = ",".join(map(str, example))
    rule = f"the {about(count)} states of {text.path} are joint states: say how they split among its {many} agents"
    remedy = f"E.g. n_states={example}{flag(str(text.path), f'--n-states {typed}')}, row-major in the file's order."
    raise InvalidInput("n_states", "nothing", rule, remedy)


def _alike(count: int, many: int) -> tuple[int, ...]:
    """Sizes whose product is `count`, equal where that is possible."""
    root = round(count ** (1.0 / many))
    if root**many == count:
        return (root,) * many
    first = next(k for k in range(min(root, count), 0, -1) if count % k == 0)
    return (count // first, first, *(1,) * (many - 2))


def _labels(text: Text, n_states: Any, n_actions: Any) -> dict[str, Any]:
    """Names of agents, and of what belongs to one agent."""
    found: dict[str, Any] = {"names": text.agents.names}
    actions = [part.names for part in text.actions.parts]
    if n_actions is None and all(actions):
        found["actions"] = actions
    if n_states is None and text.agents.count == 1 and text.states.parts[0].names:
        found["states"] = [text.states.parts[0].names]
    return found


READER = Reader(
    word="cassandra",
    suffixes=(".mdp", ".pomdp", ".dpomdp"),
    help="Cassandra's MDPs and POMDPs, MADP's Dec-POMDPs: transitions and rewards on their joint states",
    read=read,
    options=("n_states", "n_actions", "discount", "normalize", "terminal", "restart"),
)
