"""What the columns of a long table hold, by their names or as said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .. import _check
from ..errors import InvalidInput, short
from ._columns import Table, label

#: What a column holds -> its names, the first one the canonical one; letters of any case.
NAMES = {
    "agent": ("agent", "arm"),
    "state": ("state", "from", "source", "from_state", "s"),
    "action": ("action", "a"),
    "next": ("next", "next_state", "to", "target", "to_state"),
    "probability": ("probability", "prob", "p"),
    "reward": ("reward", "r"),
}
#: Columns of which joint tables have one for each agent: `state_left`, `state_right`.
_EACH = ("state", "action", "next")


def roles_of(table: Table, columns: Mapping[str, str] | None, wanted: Sequence[str]) -> dict[str, list[str]]:
    """What its columns hold -> their names in the table; nothing is left over, and `wanted` are there."""
    said = {label(head): role for role, head in (columns or {}).items()}
    for head, role in said.items():
        _check.choice("columns", role, NAMES)
        if head not in table.entries:
            raise InvalidInput.unknown("columns", head, table.entries, f"the columns of {table.name} are")
    found: dict[str, list[str]] = {}
    for head in table.entries:
        role = said.get(head) or _role(head)
        if role == "":
            known = ", ".join(names[0] for names in NAMES.values())
            remedy = f"Drop it, or say what a column holds: columns={{'state': {short(head)}}}."
            raise InvalidInput(table.name, f"a column {short(head)}", f"columns hold {known}", remedy)
        found.setdefault(role, []).append(head)
    for role, heads in found.items():
        if len(heads) > 1 and not (role in _EACH and all(agent_of(h) for h in heads)):
            rule = f"one of them holds the {role}"
            raise InvalidInput(table.name, f"columns {', '.join(heads)}", rule, "Drop the others.")
    for role in wanted:
        if role not in found:
            remedy = f"Add it, name it columns={{{role!r}: ...}}, or bring it out of the index: frame.reset_index()."
            raise InvalidInput(
                table.name, f"columns {', '.join(table.entries)}", f"one must be {role!r}", remedy
            )
    return found if len(found["state"]) == 1 else _aligned(table, found)


def agent_of(head: str) -> str:
    """The agent whose column it is in a joint table, `state_left`; "" for a column of a table of one agent."""
    named = any(head.lower() in names for names in NAMES.values())
    return "" if named else head.partition("_")[2]


def _aligned(table: Table, roles: dict[str, list[str]]) -> dict[str, list[str]]:
    """The columns of a joint table in one order of agents; "" for an agent without a column of actions."""
    agents = [agent_of(h) for h in roles["state"]]
    out = dict(roles)
    for role in ("next", "action"):
        own = {agent_of(h): h for h in roles.get(role, [])}
        lacking = [a for a in agents if a not in own and role == "next" in roles]
        odd = [f"no column next_{a}" for a in lacking] + [
            f"a column {own[a]!r}" for a in own if a not in agents
        ]
        if odd:
            rule = f"its agents are {', '.join(agents)}, by the columns state_..."
            raise InvalidInput(table.name, odd[0], rule, "Give every agent its columns.")
        if role in roles:
            out[role] = [own.get(a, "") for a in agents]
    return out


def _role(head: str) -> str:
    """What a column holds by its name; "" if its name says nothing."""
    low = head.lower()
    named = next((role for role, names in NAMES.items() if low in names), "")
    return named or next((role for role in _EACH if low.startswith(f"{role}_")), "")


def is_long(table: Table, columns: Mapping[str, str] | None) -> bool:
    """Whether it holds one transition a row."""
    return {"next", "probability"} & {*map(_role, table.entries), *(columns or {})} != set()
