"""Explicit transition files of model checkers, PRISM and Storm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput, short
from . import Reader

if TYPE_CHECKING:
    from ._explicit import Transitions


def read(
    path: Path, *, n_states: Any = None, n_actions: Any = None, discount: Any = None, rewards: Any = None,
    terminal: Any = None, restart: Any = None, normalize: bool = False,
) -> Any:  # fmt: skip
    """A chain, or a decision process whose actions are the names of choices (where there are none, their numbers).

    Parameters
    ----------
    path : a `.tra` file; labels are looked for in the `.lab` of the same name.
    n_states, n_actions : how its state (action) numbers split into agents, row-major; None: one agent.
    discount : gamma in [0, 1); None: everything but values.
    rewards : a file `.srew` or `.trew`; a label (1 in its states, else 0); or arrays as the constructors take them.
    terminal, restart : states in which a task ends, and the one in which the next starts: numbers or labels. None: the
        states without transitions and those labelled "deadlock" end, and the state labelled "init" is the next.
    normalize : rows that miss 1 are divided by their sums.
    """
    from .. import _check
    from ._explicit import actions_of, labels_of, matrices_of, transitions_of
    from ._given import flat_mdp
    from ._objects import flat_chain

    found, name = transitions_of(path), str(path)
    beside = path.with_suffix(".lab")
    labels = labels_of(beside, found.count) if beside.exists() else {}
    action, names = actions_of(found)
    matrices = matrices_of(found, action, len(names), _check.flag("normalize", normalize))
    ends = _ends(found, labels, terminal, restart)
    pay = _pay(found, labels, rewards, action, matrices)
    if not found.chooses:
        local = [pay] if getattr(pay, "ndim", 0) == 1 and n_states is None else pay
        return flat_chain(
            name, matrices[0], n_states, rewards=local, discount=discount, normalize=normalize, **ends
        )
    if pay is None:
        remedy = (
            "Name a file or a label: rewards='FILE.srew' (on the command line --option rewards=FILE.srew)."
        )
        raise InvalidInput("rewards", "nothing", f"{name} is a decision process and says none", remedy)
    shown = {"actions": [names]} if n_states is None and n_actions is None else None
    split = {"n_states": n_states, "n_actions": n_actions, "normalize": normalize}
    return flat_mdp(name, matrices, pay, discount=discount, labels=shown, **split, **ends)


def _ends(found: Transitions, labels: dict[str, Any], terminal: Any, restart: Any) -> dict[str, Any]:
    """Numbers of the states in which a task ends, and of the one in which the next starts."""
    import numpy as np

    if terminal is None:
        stuck = np.setdiff1d(np.arange(found.count), found.state)
        ended = np.union1d(stuck, labels.get("deadlock", stuck))
    else:
        ended = _states("terminal", terminal, found, labels)
    if not len(ended):
        return {"terminal": None, "restart": restart}
    first = labels.get("init") if restart is None else _states("restart", restart, found, labels)
    if first is not None and len(first) != 1:
        said = f"{len(first)} states" + (" labelled 'init'" if restart is None else "")
        rule = "a task starts in one"
        raise InvalidInput(f"{found.path}: restart", said, rule, "Give restart=0, or another.")
    if first is not None and first[0] in ended:
        rule = "a task ends there, and cannot start"
        raise InvalidInput(f"{found.path}: restart", f"state {first[0]}", rule, "Say another: restart=0.")
    return {"terminal": ended, "restart": None if first is None else int(first[0])}


def _states(name: str, value: Any, found: Transitions, labels: dict[str, Any]) -> Any:
    """The states of numbers and labels."""
    import numpy as np

    from .. import _check
    from ._given import several

    out: list[int] = []
    for part in several(name, value):
        if isinstance(part, str):
            out += labels[_check.choice(name, part, labels)].tolist()
        else:
            out.append(_check.integer(name, part, low=0, high=found.count - 1))
    return np.unique(out)


def _pay(found: Transitions, labels: dict[str, Any], rewards: Any, action: Any, matrices: list[Any]) -> Any:
    """Rewards (S,) of a chain, (S, A) of a decision process, as given, or None."""
    import numpy as np

    from ._explicit import state_rewards, transition_rewards

    if not isinstance(rewards, str | os.PathLike):
        return rewards
    file, pay = Path(rewards), None
    if file.suffix in (".srew", ".trew"):
        if not os.path.exists(file):  # noqa: PTH110 (Path.exists raises for a name that is too long)
            raise InvalidInput("rewards", short(str(file)), "no such file", "Check the path.")
        if file.suffix == ".trew":
            pay = transition_rewards(file, found, action, matrices)
            return pay if found.chooses else pay[:, 0]
        pay = state_rewards(file, found.count)
    elif str(rewards) in labels:
        pay = np.isin(np.arange(found.count), labels[str(rewards)]).astype(np.float64)
    else:
        rule = f"it must be a file .srew or .trew, or one of the labels of {found.path}: {', '.join(labels) or 'none'}"
        raise InvalidInput("rewards", short(rewards), rule, "Name one of them.")
    return np.repeat(pay[:, None], len(matrices), axis=1) if found.chooses else pay


READER = Reader(
    word="explicit",
    suffixes=(".tra",),
    help="explicit transitions of PRISM and Storm, with .lab, .srew and .trew",
    read=read,
    options=("n_states", "n_actions", "discount", "rewards", "terminal", "restart", "normalize"),
)
