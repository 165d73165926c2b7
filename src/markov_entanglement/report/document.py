"""The result JSON, stated once: an analysis builds a `Document`, `read_result` reads one back, reports show it.

The models are the format: names, types, shapes and the order of the keys. Keys that this version does not know are
kept, so that files of later minor versions stay readable; a file of another schema number is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from .._files import ending_of, path_of, write_bytes, write_text
from ..errors import InvalidInput
from . import facts, tabulate
from .facts import elide
from .result import Result
from .table import Table as Rows
from .table import distinct

SCHEMA = 1
_MOST_BYTES, _MOST_LEVELS = 2**28, 64
_REMAKE = "Make the file anew with 'markov-entanglement analyze SYSTEM --json FILE'."


def _demand(holds: bool, key: str, got: str, rule: str) -> None:
    if not holds:
        found = {"key": elide(key, 80), "got": elide(got, 80), "rule": rule}
        raise PydanticCustomError("shape", "got {got}; {rule}", found)


def _one_each(key: str, found: Sized | None, n: int, of: str = "agents") -> None:
    if found is not None:
        _demand(len(found) == n, key, f"{len(found)} entries", f"it must have one for each of the {n} {of}")


def _interval(pair: list[Number]) -> list[Number]:
    _demand(len(pair) == 2, "", f"{len(pair)} numbers", "an interval is [low, high]")
    return pair


def _steps(table: dict[str, Interval]) -> dict[str, Interval]:
    for k in table:
        number = k.isascii() and k.isdigit() and len(k) < 10 and int(k) > 0
        _demand(number, k, f"the key {_short(k)}", "it must be a number of steps k of at least 1")
    return table


Number = float | None
Numbers = list[Number]
Table = list[Numbers]
Interval = Annotated[Numbers, AfterValidator(_interval)]
Steps = Annotated[dict[str, Interval], AfterValidator(_steps)]
Pair = Annotated[list[int], Field(min_length=2, max_length=2)]
Found = Literal["separable", "entangled", "undecided"]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    """Strict types, unknown keys kept, finite numbers (null where a number is not finite)."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    @model_validator(mode="after")
    def _checked(self) -> Self:
        self._shapes()
        return self

    def _shapes(self) -> None:
        """Refuses what types alone do not."""


class Policy(_Part):
    """What was followed: its `word`, what it `says`, the `digest` of the law on the visited states.

    Of an index policy the `priority` of every local state, one row for all or one each; left out where it is long.
    """

    word: str
    says: str
    digest: str = ""
    priority: Table | None = None


class RewardsOf(_Part):
    """Rewards per step: each agent's "own" or one "shared" table, `given` to the analysis or those of the system.

    `range` holds the least and the largest, `digest` twelve digits that differ where any reward does.
    """

    kind: Literal["own", "shared"]
    range: Interval
    digest: str
    given: bool = False


class System(_Part):
    """What was analysed: `agents` of them, in units that are measured together (each agent, or the arms of a type)."""

    title: str = ""
    kind: str = ""
    agents: int = Field(ge=1)
    multiplicity: list[Count] | None = None
    names: list[str] | None = None
    joint_states: Count | None = None
    pairs: Annotated[int, Field(ge=1)] | None  # None: they were not listed
    pair_word: str | None = None
    recurrent_pairs: Count | None = None
    local_pairs: list[Count] | None = None
    budget: int | None = None
    state_names: list[list[str]] | None = None
    policy: Policy | None = None
    rewards: RewardsOf | None = None
    source: str | None = None
    discount: Number = None

    @property
    def units(self) -> int:
        """Number of agents, or of types of agents that are alike."""
        return self.agents if self.multiplicity is None else len(self.multiplicity)

    def _shapes(self) -> None:
        _whole("multiplicity", self.multiplicity, self.agents)
        _one_each("names", self.names, self.units)
        _one_each("local_pairs", self.local_pairs, self.units)
        _one_each("state_names", self.state_names, self.units)


def _whole(key: str, multiplicity: list[int] | None, agents: int) -> None:
    total = agents if multiplicity is None else sum(multiplicity)
    _demand(total == agents, key, f"a sum of {total}", f"there are {agents} agents")


class Verdict(_Part):
    """The answer."""

    word: Literal["add", "do-not-add", "cannot-tell"]
    sentence: str
    tolerance: Number


class Proof(_Part):
    """A witness, a violated equation or a violated inequality; `gap` says by how much.

    A witness is a reward at which two joint `pairs` that an agent cannot tell apart differ in value; `explanation`
    spells it out by names.
    """

    rewards: Table | None = None
    agent: Count | None = None
    agents: list[Count] | None = None
    pairs: list[list[Count]] | None = None
    next: list[Count] | None = None
    values: Numbers | None = None
    bound: Number = None
    value: Number = None
    gap: Number
    discount: Number = None
    additive_residual: Number = None
    explanation: str | None = None


class Separability(_Part):
    """May one add up for every reward (`agentwise`, `gap`); Definition 6.2 (`verdict`, `definition_gap`).

    `mixture` says whether non-negative weights do (App. C), in a `sentence` and with a verdict of its own.
    """

    agentwise: Found | None = None
    verdict: Found | Literal["mixture", "no-mixture"] | None = None
    sentence: str | None = None
    agentwise_residual: Number = None
    residual: Number = None
    gap: Number = None
    terms: Count | None = None
    witness: Proof | None = None
    equation: Proof | None = None
    inequality: Proof | None = None
    support: list[Count] | None = None
    products: Count | None = None
    tolerance: Number = None
    note: str | None = None
    definition_gap: Number = None
    explanation: str | None = None
    mixture: Separability | None = None


class Measure(_Part):
    """Entanglement by one distance: a number per unit, or one (`value`) for all agents."""

    per_agent: Numbers | None = None
    multiplicity: list[Count] | None = None
    total: Number = None
    value: Number = None
    lower: Number = None
    support: str | None = None
    interval: list[Interval | None] | None = None
    stderr: Numbers | None = None
    cross_fitted: Numbers | None = None
    cross_stderr: Numbers | None = None
    optimal_local: Table | None = None
    batch_correlation: Number = None
    steps: Count | None = None
    burn_in: Count | None = None
    replications: Count | None = None
    method: str | None = None
    caution: str | None = None
    estimator: str | None = None
    upper_bound: list[bool] | None = None
    plug_in: Numbers | None = None
    null: Numbers | None = None
    p_value: Numbers | None = None
    information: Numbers | None = None
    information_null: Numbers | None = None
    more_steps: Numbers | None = None
    used: Numbers | None = None
    over: list[str] | None = None

    def _shapes(self) -> None:
        some = bool(self.per_agent) or "value" in self.model_fields_set
        _demand(some, "per_agent", "nothing", "per_agent (a list of numbers) or value (a number) is required")
        for key in ("multiplicity", "interval", "stderr", "cross_fitted", "cross_stderr", "optimal_local",
                    "upper_bound", "plug_in", "null", "p_value", "information", "information_null", "more_steps",
                    "used", "over"):  # fmt: skip
            _one_each(key, getattr(self, key), len(self.per_agent or ()), "numbers of per_agent")


class Errors(_Part):
    """Errors of additive values, in reward units but for the two shares.

    `intervals` by name: rounding allowance of exact values, confidence limits of estimates.
    """

    error_mu: Number
    error_sup: Number
    error_l2: Number
    relative_error: Number
    unexplained: Number
    intervals: dict[str, Interval] | None = None
    kind: str | None = None
    estimator: str | None = None
    caution: str | None = None
    more_starts: Number = None
    more_steps: Number = None
    local_td_error_mu: Number = None
    local_td_error_sup: Number = None
    local_td_error_l2: Number = None
    vdn_gap: Number = None


class Values(Errors):
    """Errors of the sum of local values, beside those of better sums."""

    shared_reward_error: Number = None
    split: str | None = None
    reward_misfit: Number = None
    joint_additive: Errors | None = None
    corrected: Errors | None = None


class LocalTable(_Part):
    """Local values (states, actions) of an agent, null where it never is, and its share of steps at each local pair."""

    agent: str
    states: list[str]
    actions: list[str]
    values: Table
    visited: Table

    def _shapes(self) -> None:
        model: list[Any] = [self.actions] * len(self.states)
        for key in ("values", "visited"):
            _same_shape(key, getattr(self, key), "states and actions", model)


class Points(_Part):
    """A sample of `of` joint pairs: Q, the sum of local values, and the share of the long run that each stands for."""

    q: Numbers
    sum: Numbers
    weight: Numbers
    of: Count

    def _shapes(self) -> None:
        for key in ("sum", "weight"):
            _one_each(key, getattr(self, key), len(self.q), "points")


class LocalValues(_Part):
    """Local values in reward `unit`s, whose sum over agents lacks the `constant`; `left_out` says what is not here."""

    unit: str
    kind: str
    constant: Number
    agents: list[LocalTable]
    left_out: str | None = None
    points: Points | None = None


class ErrorBudget(_Part):
    """error^2 = floor^2 + bias^2 (+ noise^2), all L2(mu) in reward units; `unexplained_floor` a share."""

    error: Number
    floor: Number
    bias: Number
    noise: Number = None
    unexplained_floor: Number = None
    joint_additive: Number = None


class PairOfAgents(_Part):
    """Share of the spread of Q left when the joint function of these two agents' pairs may be used as well."""

    agents: Pair
    names: Annotated[list[str], Field(min_length=2, max_length=2)]
    unexplained: Number


class Orders(_Part):
    """Share of the spread of Q left by the best sum of functions of at most k = 0, 1, 2, ... agents' pairs."""

    unexplained: Numbers = Field(min_length=1, max_length=99)
    best_pairs: list[PairOfAgents] = []


class Decision(_Part):
    """What acting on the sum costs: `loss` in reward units, others shares; `rank_correlation` with a budget only."""

    loss: Number
    share: Number = None
    right: Number = None
    excluded: Number = None
    rank_correlation: Number = None
    note: str | None = None


class PolicyOrSystem(_Part):
    """E_i (`pair`) <= `kernel` + `policy`, one number per unit each."""

    kernel: Numbers
    policy: Numbers
    pair: Numbers
    sentence: str = ""


class FormErrors(_Part):
    """Errors of the sum of one form of local values."""

    error_mu: Number
    error_sup: Number
    error_l2: Number
    unexplained: Number
    intervals: dict[str, Interval] | None = None


class Signal(_Part):
    """Local values that see the signal, may not (`blind`), and may not but have a `common` function g of it; E_i by
    mu-atv, or by policy without it, and the reward misfit are one number per unit each. Estimates have limits."""

    seeing: FormErrors
    blind: FormErrors
    common: FormErrors
    seeing_mu_atv: Numbers
    blind_mu_atv: Numbers
    reward_misfit: Numbers
    g: Numbers
    lost: Number = None
    blind_policy: Numbers | None = None
    blind_policy_interval: list[Interval] | None = None
    reward_misfit_interval: list[Interval] | None = None
    g_interval: list[Interval] | None = None
    lost_interval: Interval | None = None
    estimator: str | None = None
    caution: str | None = None
    sentence: str = ""

    def _shapes(self) -> None:
        for key in ("blind_policy", "reward_misfit", "g"):
            limits = f"{key}_interval"
            _one_each(limits, getattr(self, limits), len(getattr(self, key) or ()), f"numbers of {key}")


class Memory(_Part):
    """Whether joint pairs of a log are Markov: p values of the previous joint pair and of the step of the episode."""

    p_previous: Number
    p_clock: Number = None
    p_inside: Number = None
    information_previous: Number = None
    information_clock: Number = None
    information_inside: Number = None
    steps: Count | None = None
    pairs: Count | None = None
    outcome: str | None = None
    rejected: bool
    sentence: str = ""


class ViewLine(_Part):
    """What is found where agents see some `parts` of their local states; `pairs` and `entanglement` one each agent."""

    name: str
    parts: list[str]
    pairs: list[Count]
    entanglement: Measure
    memory: Memory | None = None
    largest: Number = None
    largest_interval: Interval | None = None
    unexplained: Number = None
    unexplained_interval: Interval | None = None
    unexplained_floor: Number = None
    unexplained_floor_interval: Interval | None = None
    reward_misfit: Number = None
    reward_misfit_interval: Interval | None = None
    caution: str | None = None


class ViewGain(_Part):
    """A larger view instead of another: part of the variance of Q that it explains more, and whether it was taken."""

    shows: str
    instead: str
    gain: Number = None
    interval: Interval | None = None
    taken: bool


class Views(_Part):
    """What agents might see: views of the same data, and the one that is suggested, with the steps to it."""

    parts: list[str]
    agents: list[str]
    views: list[ViewLine]
    steps: list[ViewGain] = []
    suggestion: str | None = None
    stopped: str = ""
    estimator: str = ""
    sentence: str = ""

    def _shapes(self) -> None:
        for k, v in enumerate(self.views):
            _one_each(f"views.{k}.pairs", v.pairs, len(self.agents))
            _one_each(f"views.{k}.entanglement.per_agent", v.entanglement.per_agent, len(self.agents))


class Logs(_Part):
    """A log: steps, those in which all agents are there, different joint pairs, what it can and cannot tell."""

    steps: Count
    complete: Count | None = None
    pairs: Count | None = None
    can: str = ""
    cannot: str = ""


class BoundLine(_Part):
    """One line of the table of bounds; of a shared reward its two parts, of the reward and of the transitions."""

    distance: str
    norm: str
    bound: Number
    truth: Number
    reward_part: Number = None
    transition_part: Number = None


class Breakdown(_Part):
    """Where it breaks: E_i by local pair, and what is left of E_i when agent j's pair is known (`remaining`, U x U).

    `alike` is what is left when the pair of one more agent of the same unit is known.
    """

    per_pair: Table
    occupancy: Table
    remaining: Table
    alike: Numbers | None = None
    pair_names: list[list[str]] | None = None

    def _shapes(self) -> None:
        for key in ("occupancy", "pair_names"):
            _same_shape(key, getattr(self, key), "per_pair", self.per_pair)
        rows = {len(row) for row in self.remaining}
        _demand(rows == {len(self.remaining)}, "remaining", "no square table", "it must be agents by agents")


def _same_shape(key: str, table: list[Any] | None, other: str, model: list[Any]) -> None:
    if table is not None:
        same = [len(row) for row in table] == [len(row) for row in model]
        _demand(same, key, "a table of another shape", f"{key} and {other} must have the same shape")


class Predictions(_Part):
    """What the limit constants say at this number of arms."""

    policy: Numbers | None = None
    mu_atv: Numbers | None = Field(None, alias="mu-atv")
    error_mu: Number = None
    error_l2: Number = None
    unexplained: Number = None


class MeanField(_Part):
    """Law of large numbers of a bandit: tables (types, states) of fractions and of chances of service."""

    fixed_point: Table = Field(min_length=1)
    activation: Table
    degenerate: bool | None = None
    radius: Number = None
    attractor: str
    reason: str
    cycle: list[Table] | None = None
    entanglement_limit: Numbers
    no_constants: str | None = None
    predictions: Predictions | None = None
    valid_from: Number = None
    caution: str | None = None

    def _shapes(self) -> None:
        rows = {len(row) for row in self.fixed_point}
        _demand(len(rows) == 1, "fixed_point", "rows of different lengths", "it must be types by states")
        for key, table in (("activation", self.activation), *(("cycle", t) for t in self.cycle or ())):
            _same_shape(key, table, "fixed_point", self.fixed_point)


class Solver(_Part):
    """How a system of equations was solved; `error_bound` limits the error itself where one is known."""

    method: str
    residual: Number
    error_bound: Number = None


class Refused(_Part):
    """A part that was not computed."""

    name: str
    reason: str


_ONE_EACH = (
    "policy_or_system.kernel", "policy_or_system.policy", "policy_or_system.pair", "breakdown.per_pair",
    "breakdown.remaining", "breakdown.alike", "mean_field.fixed_point", "mean_field.entanglement_limit",
    "mean_field.predictions.policy", "mean_field.predictions.mu_atv", "signal.seeing_mu_atv", "signal.blind_mu_atv",
    "signal.reward_misfit", "signal.blind_policy",
)  # fmt: skip


def _reach(part: Any, path: str) -> Any:
    """What lies at a dotted path, or None where a part of it is null."""
    for key in path.split("."):
        part = None if part is None else getattr(part, key)
    return part


class Document(Result, _Part):
    """A whole result: the form of the result JSON, with text, page and pictures made from it alone.

    Fields that were not given are not written: what is read back is what was saved.
    """

    _panels: ClassVar[tuple[str, ...]] = ("values", "entanglement", "partners")
    _what: ClassVar[str] = "Analysis"
    _calls: ClassVar[tuple[str, ...]] = ("summary()", "save_html(path)", "save_json(path)")

    schema_: Literal[1] = Field(alias="schema")
    versions: dict[str, str] = {}
    command: str | None = None
    seed: int | None = None
    system: System
    verdict: Verdict
    mode: str | None = None
    memory: Memory | None = None
    logs: Logs | None = None
    separability: Separability
    entanglement: dict[str, Measure]
    values: Values | None
    no_values: str | None = None
    local_values: LocalValues | None = None
    error_budget: ErrorBudget | None = None
    orders: Orders | None = None
    decision: Decision | None = None
    policy_or_system: PolicyOrSystem | None = None
    signal: Signal | None = None
    views: Views | None = None
    bounds: dict[str, BoundLine]
    certificate: dict[str, Steps] = {}
    certificate_explanation: str | None = None
    transition_bias: dict[str, Numbers] = {}
    breakdown: Breakdown | None = None
    mean_field: MeanField | None = None
    solvers: dict[str, Solver] = {}
    refused: list[Refused]

    def _shapes(self) -> None:
        units, found = self.system.units, {path: _reach(self, path) for path in _ONE_EACH}
        for name, measure in self.entanglement.items():
            _whole(f"entanglement.{name}.multiplicity", measure.multiplicity, self.system.agents)
            if measure.multiplicity is None:
                found[f"entanglement.{name}.per_agent"] = measure.per_agent
        found |= {f"transition_bias.{name}": bias for name, bias in self.transition_bias.items()}
        for path, column in found.items():
            _one_each(path.replace("mu_", "mu-"), column, units)
        if self.mean_field:
            _same_shape(
                "system.state_names", self.system.state_names, "fixed_point", self.mean_field.fixed_point
            )
        for k, pair in enumerate(self.orders.best_pairs if self.orders else ()):
            inside = all(0 <= i < units for i in pair.agents)
            _demand(inside, f"orders.best_pairs.{k}.agents", _short(pair.agents), "no such agents")

    def to_dict(self) -> dict[str, Any]:
        """The result JSON as plain lists and numbers."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    def summary(self) -> str:
        """The result as text for a terminal."""
        from .text import render_text

        return render_text(self)

    @property
    def sentence(self) -> str:
        """The verdict in a sentence."""
        return self.verdict.sentence

    def _brief(self) -> str:
        return f"{self.verdict.word}: {self.sentence}"

    def _badge(self) -> tuple[str, str]:
        word = self.verdict.word
        return facts.TONES[word], facts.WORDS[word]

    def _tables(self) -> Iterator[Rows]:
        r = self.to_dict()
        found = r.get("breakdown")
        each = found or any(r.get(k) for k in ("policy_or_system", "signal", "mean_field", "transition_bias"))
        names = distinct(facts.full_names(self)) if each or facts.per_agent(self) else []
        word = "agent" if self.system.multiplicity is None else "type"
        yield tabulate.entanglement(r["entanglement"], names, word)
        for measure in r["entanglement"].values():
            if measure.get("p_value"):
                yield tabulate.evidence(measure, names)
        if memory := r.get("memory"):
            yield tabulate.memory(memory)
        if values := r.get("values"):
            yield tabulate.numbers(tabulate.errors(values))
        if local := r.get("local_values"):
            yield tabulate.local_values(local)
            if local.get("points"):
                yield tabulate.points(local["points"])
        if r["bounds"]:
            yield tabulate.bounds(r["bounds"])
        if r.get("certificate"):
            yield tabulate.certificate(r["certificate"])
        if r.get("error_budget"):
            yield tabulate.budget(r["error_budget"])
        if orders := r.get("orders"):
            yield tabulate.orders(orders | {"unexplained": orders["unexplained"][: self.system.agents + 1]})
            if orders.get("best_pairs"):
                yield tabulate.best_pairs(orders["best_pairs"])
        if found:
            yield tabulate.pairs(found, names)
            yield tabulate.partners(found, names)
        if r.get("policy_or_system"):
            yield tabulate.sources(r["policy_or_system"], names)
        if seen := r.get("signal"):
            yield tabulate.signal(seen)
            yield tabulate.signal_agents(seen, names)
            if seen.get("estimator"):
                yield tabulate.signal_limits(seen, names)
        if asked := r.get("views"):
            yield tabulate.views(asked)
            yield tabulate.view_agents(asked)
            if asked.get("steps"):
                yield tabulate.view_steps(asked)
        if field := r.get("mean_field"):
            settled = facts.settled(self)
            yield tabulate.mean_field(
                (names[s.t], s.state, s.fixed_point, s.activation, s.rank) for s in settled
            )
            yield self._prediction(field, names)
        if r.get("transition_bias"):
            yield tabulate.transition_bias(r["transition_bias"], names)

    def _prediction(self, field: dict[str, Any], names: list[str]) -> Rows:
        """What the limit constants say beside what was found at this number of arms."""
        said, rows = field.get("predictions") or {}, []
        for distance in ("mu-atv", "policy"):
            found = self.entanglement.get(distance)
            each = zip(names, said.get(distance) or (), (found and found.per_agent) or (), strict=False)
            limits = (found and found.interval) or [None] * len(names)
            for (who, p, e), pair in zip(each, limits, strict=False):
                rows.append((f"E_i by {distance}", who, p, e, *(pair or (None, None))))
        for key in ("error_mu", "error_l2", "unexplained"):
            low, high = ((self.values and self.values.intervals) or {}).get(key) or (None, None)
            rows.append(
                (key, tabulate.ALL, said.get(key), self.values and getattr(self.values, key), low, high)
            )
        return tabulate.prediction(rows)

    def save_json(self, path: str | Path) -> None:
        """Write the result JSON atomically."""
        ending_of(path, "a result", ".json")
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        write_bytes(path, text.encode(errors="backslashreplace"))  # half a surrogate pair, as JSON writes it

    def save_html(self, path: str | Path) -> None:
        """Write the self-contained HTML report atomically."""
        from .html import render_html

        ending_of(path, "a page", ".html", ".htm")
        write_text(path, render_html(self))

    __repr__ = Result.__repr__
    __str__ = __repr__


def read_result(path: str | Path) -> Document:
    """A saved result of an analysis; `read_sweep` reads sweeps.

    Parameters
    ----------
    path : a JSON file as written by `save_json` or `analyze --json`.

    Raises
    ------
    InvalidInput : no such file, not JSON, another schema, a sweep, missing keys, wrong types or shapes; names file and
        key.

    >>> import tempfile, markov_entanglement as me
    >>> chain = me.gallery.build("follower").chain()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     me.analyze(chain).save_json(f"{folder}/result.json")
    ...     me.read_result(f"{folder}/result.json").verdict.word
    'add'
    """
    data = read_object(path)
    if data.get("kind") == "sweep":
        raise InvalidInput(
            str(path), "a sweep", "it must be the result of an analysis", "Read it by me.read_sweep."
        )
    return validated(Document, path, data)


def read_object(path: str | Path) -> dict[str, Any]:
    """The JSON object that a file of this schema holds; see `read_result`."""
    data = _load(path_of(path))
    if not isinstance(data, dict):
        raise InvalidInput(str(path), _short(data), "a result is a JSON object", _REMAKE)
    schema = data.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        got = _short(schema) if "schema" in data else "nothing"
        newer = isinstance(schema, int | float) and SCHEMA < schema < math.inf
        remedy = "Update markov-entanglement, or make the file anew with this version." if newer else _REMAKE
        raise InvalidInput(f"{path}, key schema", got, f"this version reads schema {SCHEMA}", remedy)
    return data


_M = TypeVar("_M", bound=BaseModel)


def validated(model: type[_M], path: str | Path, data: dict[str, Any]) -> _M:
    """What a file states; see `read_result`."""
    try:
        return model.model_validate(data)
    except ValidationError as e:
        raise _named(path, e) from None


def _load(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES)
        found = json.loads(data, parse_constant=lambda _: None)  # UTF-8, 16 or 32, with or without a BOM
    except OSError as e:
        got = f"no readable file ({e.strerror})"
        raise InvalidInput(str(path), got, "it must be a result JSON", "Check the path.") from None
    except json.JSONDecodeError as e:
        got = f"{e.msg} at line {e.lineno}, column {e.colno}"
        raise InvalidInput(str(path), got, "it must be valid JSON", _REMAKE) from None
    except (ValueError, RecursionError) as e:
        raise InvalidInput(str(path), _short(str(e)), "it must be valid JSON", _REMAKE) from None
    level = [found]
    for _ in range(_MOST_LEVELS):
        within = (c.values() if isinstance(c, dict) else c for c in level if isinstance(c, dict | list))
        level = [v for values in within for v in values]
    if level:
        rule = f"a result nests at most {_MOST_LEVELS} levels"
        raise InvalidInput(str(path), "lists in lists without end", rule, _REMAKE)
    return found


def _named(path: str | Path, error: ValidationError) -> InvalidInput:
    """The first finding, named by file and key, and how many more there are."""
    first, *rest = error.errors(include_url=False)
    shape = first.get("ctx", {}) if first["type"] == "shape" else {}
    key = ".".join([*map(str, first["loc"]), *filter(None, [shape.get("key")])])
    got = "nothing" if first["type"] == "missing" else shape.get("got") or _short(first["input"])
    rule = "the key is required" if first["type"] == "missing" else shape.get("rule") or first["msg"]
    more = f" (and {len(rest)} more findings)" if rest else ""
    return InvalidInput(f"{path}, key {elide(key, 80)}", got, rule[:1].lower() + rule[1:] + more, _REMAKE)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return elide(f"an object with the keys {', '.join(list(value)[:6]) or '(none)'}", 80)
    return elide(repr(value), 60)
