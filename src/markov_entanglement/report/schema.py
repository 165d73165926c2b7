"""The border where a result JSON comes in: `report RESULT.json` reads files from anywhere.

The format is that of `Analysis.to_dict()`. Keys that this version does not know are kept and ignored, so that
files of later minor versions stay readable; a file of another schema number is refused.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import InvalidInput

SCHEMA = 1
_REMAKE = "Make the file anew with 'markov-entanglement analyze SYSTEM --json FILE'."

Number = float | None
Agentwise = Literal["separable", "entangled", "undecided"]


class _Part(BaseModel):
    """Strict types, unknown keys kept, finite numbers (null where a number is not finite)."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class System(_Part):
    """What was analysed."""

    agents: int = Field(ge=1)
    pairs: int = Field(ge=1)
    title: str = ""
    kind: str = ""
    names: list[str] | None = None
    multiplicity: list[int] | None = None
    joint_states: int | None = None
    recurrent_pairs: int | None = None
    local_pairs: list[int] | None = None
    discount: Number = None

    @property
    def units(self) -> int:
        """Number of agents, or of types of agents that are alike."""
        return self.agents if self.multiplicity is None else len(self.multiplicity)

    @model_validator(mode="after")
    def _one_name_each(self) -> Self:
        if self.multiplicity is not None and sum(self.multiplicity) != self.agents:
            raise ValueError(f"multiplicity sums to {sum(self.multiplicity)} for {self.agents} agents")
        if self.names is not None and len(self.names) != self.units:
            raise ValueError(f"names has {len(self.names)} entries for {self.units} agents")
        return self


class Verdict(_Part):
    """The answer."""

    word: Literal["add", "do-not-add", "cannot-tell"]
    sentence: str
    tolerance: Number


class Separability(_Part):
    """May one add up for every reward (`agentwise`); Definition 6.2 (`verdict`)."""

    agentwise: Agentwise | None = None
    verdict: str | None = None
    gap: Number = None
    explanation: str | None = None


class Measure(_Part):
    """Entanglement by one distance: a number per agent, or one for all."""

    per_agent: list[Number] | None = None
    total: Number = None
    value: Number = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.per_agent and "value" not in self.model_fields_set:
            raise ValueError("per_agent (a list of numbers) or value (a number) is required")
        return self


class JointAdditive(_Part):
    """Errors of additive values that are fitted jointly and read all rewards."""

    error_mu: Number = None
    error_sup: Number = None
    error_l2: Number = None
    vdn_gap: Number = None


class Values(_Part):
    """Errors of the sum of local values."""

    error_mu: Number
    error_sup: Number
    error_l2: Number
    relative_error: Number
    unexplained: Number
    joint_additive: JointAdditive | None = None


class BoundLine(_Part):
    """One line of the table of bounds."""

    distance: str
    norm: str
    bound: Number
    truth: Number


class Breakdown(_Part):
    """Where it breaks."""

    per_pair: list[list[Number]]
    occupancy: list[list[Number]]
    remaining: list[list[Number]]
    pair_names: list[list[str]] | None = None

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        shape = [len(row) for row in self.per_pair]
        for key in ("occupancy", "pair_names"):
            table = getattr(self, key)
            if table is not None and [len(row) for row in table] != shape:
                raise ValueError(f"{key} and per_pair must have the same shape")
        if {len(row) for row in self.remaining} != {len(self.remaining)}:
            raise ValueError("remaining must be a square table, agents by agents")
        return self


class Solver(_Part):
    """How a system of equations was solved."""

    method: str
    residual: Number


class Refused(_Part):
    """A part that was not computed."""

    name: str
    reason: str


class Result(_Part):
    """A whole result."""

    schema_: int = Field(alias="schema")
    versions: dict[str, str] = {}
    command: str | None = None
    seed: int | None = None
    system: System
    verdict: Verdict
    separability: Separability
    entanglement: dict[str, Measure]
    values: Values | None
    no_values: str | None = None
    bounds: dict[str, BoundLine]
    certificate: dict[str, dict[str, list[Number]]] = {}
    transition_bias: dict[str, list[Number]] = {}
    breakdown: Breakdown | None = None
    solvers: dict[str, Solver] = {}
    refused: list[Refused]

    @field_validator("certificate")
    @classmethod
    def _intervals(cls, table: dict[str, dict[str, list[Number]]]) -> dict[str, dict[str, list[Number]]]:
        for norm, intervals in table.items():
            for k, interval in intervals.items():
                if not (k.isascii() and k.isdigit()) or len(interval) != 2:
                    raise ValueError(f"{norm} must map a number of steps k to [low, high], not {k!r}")
        return table

    @model_validator(mode="after")
    def _agents_agree(self) -> Self:
        if self.breakdown is not None:
            for key in ("per_pair", "remaining"):
                if len(getattr(self.breakdown, key)) != self.system.units:
                    raise ValueError(
                        f"breakdown.{key} must have one row for each of the {self.system.units} agents"
                    )
        return self


def read_result(path: str | Path) -> dict[str, Any]:
    """A validated result, with missing optional keys filled in.

    Parameters
    ----------
    path : a JSON file as written by `Analysis.save_json`.

    Returns
    -------
    dict : the form of `Analysis.to_dict()`.

    Raises
    ------
    InvalidInput : no such file, not JSON, another schema, missing keys, wrong types; names file and key.
    """
    data = _load(Path(path))
    if not isinstance(data, dict):
        raise InvalidInput(str(path), _short(data), "a result is a JSON object", _REMAKE)
    _check_schema(path, data)
    try:
        return Result.model_validate(data).model_dump(by_alias=True)
    except ValidationError as e:
        raise _named(path, e) from None


def _load(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(
            str(path), "bytes that are not UTF-8", "a result is a JSON text", _REMAKE
        ) from None
    except OSError as e:
        raise InvalidInput(str(path), f"no readable file ({e.strerror})", "it must be a result JSON",
                           "Check the path.") from None  # fmt: skip
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except json.JSONDecodeError as e:
        raise InvalidInput(str(path), f"{e.msg} at line {e.lineno}, column {e.colno}", "it must be valid JSON",
                           _REMAKE) from None  # fmt: skip
    except (ValueError, RecursionError) as e:
        raise InvalidInput(str(path), _short(str(e)), "it must be valid JSON", _REMAKE) from None


def _check_schema(path: str | Path, data: dict[str, Any]) -> None:
    where = f"{path}, key schema"
    if "schema" not in data:
        raise InvalidInput(where, "nothing", "a result names its schema", _REMAKE)
    found = data["schema"]
    if type(found) is not int or found != SCHEMA:
        newer = isinstance(found, int | float) and math.isfinite(found) and found > SCHEMA
        remedy = "Update markov-entanglement, or make the file anew with this version." if newer else _REMAKE
        raise InvalidInput(where, _short(found), f"this version reads schema {SCHEMA}", remedy)


def _named(path: str | Path, error: ValidationError) -> InvalidInput:
    """The first finding, named by file and key, and how many more there are."""
    first, *rest = error.errors(include_url=False)
    key = ".".join(map(str, first["loc"])) or "the whole result"
    got = "nothing" if first["type"] == "missing" else _short(first["input"])
    rule = "the key is required" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
    more = f" (and {len(rest)} more findings)" if rest else ""
    return InvalidInput(f"{path}, key {key}", got, rule[:1].lower() + rule[1:] + more, _REMAKE)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with the keys {', '.join(map(str, list(value)[:6])) or '(none)'}"[:80]
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
