"""What text, pages and pictures have in common: words, number formats, rankings. Document in, facts out."""

from __future__ import annotations

import math
import statistics
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .table import distinct

if TYPE_CHECKING:
    from .document import Document, Measure, Numbers

#: A row of a table.
Row: TypeAlias = Mapping[str, Any]
#: Numbers below this are shown as rounding noise.
NOISE = 1e-12
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

WORDS = {"add": "Add them up", "do-not-add": "Do not add them up", "cannot-tell": "Cannot tell"}
TONES = {"add": "good", "do-not-add": "bad", "cannot-tell": "open"}
ORDER = ("mu-atv", "atv", "kernel", "policy", "mu-tv", "tv", "spectral")


def clean(text: str) -> str:
    """The same text with characters that no page may contain shown as U+FFFD."""
    found = {c for c in set(text) - {*"\n\t"} if unicodedata.category(c) in ("Cc", "Cs", "Cn") or c in _BIDI}
    return text.translate({ord(c): "\ufffd" for c in found})


def elide(name: str, width: int = 28) -> str:
    """One printable line of at most `width` characters, the middle left out."""
    name = clean(" ".join(name.split()))
    if len(name) <= width:
        return name
    head = (width - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def number(x: float | None) -> str:
    """Four digits for a table cell: "-" where there is none, noise as such."""
    if x is None:
        return "-"
    if x == 0:
        return "0"
    if abs(x) < NOISE:
        return "< 1e-12"
    if 1e-4 <= abs(x) < 10**6:
        return f"{x:#.4g}" if abs(x) < 999.95 else f"{x:,.0f}"
    return f"{x:.3e}"


def brief(x: float) -> str:
    """Six digits for a repr, noise as such."""
    return number(x) if abs(x) < NOISE else f"{x:.6g}"


def percent(x: float | None) -> str:
    """A share in percent, "all" where it is infinite; what is not all (by more than noise) is not shown as 100 %.

    >>> [percent(x) for x in (0.125, 0.999581, 1.0, 12.34, 3e-13)]
    ['12.5 %', '99.958 %', '100 %', '1,234 %', '< 1e-10 %']
    """
    if x is None or math.isnan(x):
        return "-"
    if math.isinf(x):
        return "all"
    if 0 < abs(x) < NOISE:
        return "< 1e-10 %"
    if abs(x) >= 9.995:
        return f"{100 * x:,.0f} %" if abs(x) < 10**6 else f"{100 * x:.2e} %"
    shown, gap = f"{100 * x:.3g}", abs(100 * x - 100)
    if shown == "100" and gap >= 100 * NOISE:
        if gap < 1e-3:
            return "> 99.999 %" if x < 1 else "> 100 %"
        shown = f"{100 * x:.{1 - math.floor(math.log10(gap))}f}".rstrip("0")
    return f"{shown} %"


def ratio(bound: float | None, truth: float | None) -> str:
    """Bound over truth."""
    if bound is None or truth is None:
        return "-"
    if abs(truth) < NOISE:
        return "exact" if abs(bound) < NOISE else "truth is 0"
    times = bound / truth
    return f"{times:.3g}" if times < 1000 else f"{times:,.0f}" if times < 10**7 else f"{times:.2e}"


def names(result: Document, count: int | None = None) -> list[str]:
    """Display names of the agents, or of `count` types."""
    return [elide(name, 40) for name in full_names(result, count)]


def full_names(result: Document, count: int | None = None) -> list[str]:
    """The same with every letter, by which rows of tables are known."""
    system = result.system
    n = system.units if count is None else count
    if system.names is not None and len(system.names) == n:
        return list(system.names)
    word = "agent" if n == system.agents else "type"
    return [f"{word} {i}" for i in range(n)]


def measures(result: Document) -> dict[str, Measure]:
    """Measures in a fixed order."""
    found = result.entanglement
    return {k: found[k] for k in (*ORDER, *sorted(set(found) - set(ORDER))) if k in found}


def per_agent(result: Document) -> dict[str, Numbers]:
    """The measures that have a number for each agent."""
    n = result.system.units
    return {k: m.per_agent for k, m in measures(result).items() if m.per_agent and len(m.per_agent) == n}


def even(x: float) -> float:
    """For sorting: numbers that are equal up to rounding stay in the order that they have."""
    return float(f"{x:.9g}")


def worst_first(result: Document) -> list[int]:
    """Agents by their first measure, the most entangled first, those equal up to rounding in their own order."""
    for first in per_agent(result).values():
        return sorted(range(len(first)), key=lambda i: -even(first[i] or 0.0))
    return list(range(result.system.units))


def spread(column: Iterable[float | None]) -> tuple[float, float, float] | None:
    """Least, median and largest."""
    known = [x for x in column if x is not None]
    return (min(known), statistics.median(known), max(known)) if known else None


def listed(result: Document, most: int) -> list[int]:
    """The agents to show one by one: all in their own order when they are few, else the worst first."""
    n = result.system.units
    return list(range(n)) if n <= most else worst_first(result)[:most]


def refusals(result: Document) -> list[tuple[str, str]]:
    """(names, reason) of the parts that were refused, those with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for part in result.refused:
        by_reason.setdefault(part.reason, []).append(part.name)
    return [(", ".join(parts), reason) for reason, parts in by_reason.items()]


def bound_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows of the table of bounds, without half-span variants that improve nothing; H.3 is how older results name a
    corollary of H.2."""
    bound = {r["theorem"]: r["bound"] for r in rows}
    kept = [
        r for r in rows if _variant(r["theorem"]) is None or bound.get(_variant(r["theorem"])) != r["bound"]
    ]
    return [{**r, "theorem": r["theorem"].replace("Theorem H.3", "Theorem H.2 with tv")} for r in kept]


def _variant(theorem: str) -> str | None:
    """The theorem of which this is the half-span variant."""
    base = theorem.removesuffix(", half spans")
    return None if base == theorem else base


def together(rows: Iterable[Row], *alike: str) -> list[tuple[Row, int]]:
    """The first of the rows that are equal in these columns, numbers in six digits, and how many they are."""
    grouped: dict[tuple[str, ...], list[Row]] = {}
    for r in rows:
        key = tuple(x if isinstance(x, str) else f"{x or 0:.6g}" for x in (r[k] for k in alike))
        grouped.setdefault(key, []).append(r)
    return [(members[0], len(members)) for members in grouped.values()]


def with_others(name: str, alike: int) -> str:
    """An agent that stands for others, too."""
    return f"{name} (+{alike - 1} alike)" if alike > 1 else name


class PairShare(NamedTuple):
    """A local pair's part of E_i: reward-free, `share` = part / E_i, `alike` = agents that it stands for."""

    agent: str
    pair: str
    part: float
    share: float | None
    visited: float | None
    alike: int


def top_pairs(rows: Iterable[Row]) -> list[PairShare]:
    """Rows of the table of pairs that contribute, the largest first; agents with equal contributions share a line."""
    known = (r for r in rows if (r["part"] or 0.0) > NOISE)
    found = [PairShare(**r, alike=n) for r, n in together(known, "pair", "part", "visited")]
    return sorted(found, key=lambda p: -even(p.part))


class Partner(NamedTuple):
    """The agent whose pair explains most of another's entanglement, and how many explain just as much."""

    agent: str
    whose: str
    alike: int
    before: float
    after: float
    share: float

    def who(self, shown: Callable[[str], str]) -> str:
        """The partner as shown, with the number of others."""
        return f"{shown(self.whose)} (or {self.alike - 1} alike)" if self.alike > 1 else shown(self.whose)


def explained(before: float | None, after: float | None) -> float | None:
    """Share of an E_i that is gone with another pair known, in [0, 1]; None where there is nothing to explain."""
    if before is None or after is None or before <= NOISE:
        return None
    return min(max((before - after) / before, 0.0), 1.0)


def partners(rows: Iterable[Row], whole: Mapping[str, float | None]) -> list[Partner]:
    """For every entangled agent its best partner, the largest fall first: rows of the table of partners, and each
    agent's E_i."""
    each: dict[str, list[Row]] = {}
    for r in rows:
        if r["explained"] is not None:
            each.setdefault(r["agent"], []).append(r)
    out = []
    for who, some in each.items():
        best = max(some, key=lambda r: r["explained"])
        alike = sum(r["explained"] >= best["explained"] - 1e-6 for r in some)
        out.append(
            Partner(who, best["partner"], alike, whole[who] or 0.0, best["left"] or 0.0, best["explained"])
        )
    return sorted(out, key=lambda p: even(p.after - p.before))


def size_words(result: Document) -> str:
    """The system in a line."""
    s = result.system
    parts = [f"{_count(s.agents)} agent{'s' if s.agents > 1 else ''}"]
    if s.joint_states:
        parts.append(f"{_count(s.joint_states)} joint states")
    some = s.recurrent_pairs
    recurrent = "" if some is None or some == s.pairs else f" ({_count(some)} recurrent)"
    if s.pairs is not None:
        parts.append(f"{_count(s.pairs)} {s.pair_word or 'joint pairs'}{recurrent}")
    if s.discount is not None:
        parts.append(f"discount {s.discount:g}")
    return ", ".join(parts)


def _count(n: int) -> str:
    return f"{n:,}" if n < 10**9 else f"about 10^{len(str(n)) - 1}"


_KINDS = {
    "WeaklyCoupledMDP": "Weakly coupled agents",
    "MultiAgentMDP": "Agents on a joint kernel",
    "JointChain": "A joint chain",
    "RestlessBandit": "A restless bandit",
}
_POLICIES = {
    "index": "an index policy", "uniform": "the uniform policy", "table": "a policy table",
    "local": "policies of their own",
}  # fmt: skip


def title(result: Document, most: int = 300) -> str:
    """What was analysed: the user's title, or words for the call that Python shows."""
    s = result.system
    if s.title and not s.title.startswith(f"{s.kind}("):
        return elide(s.title, most)
    what = _KINDS.get(s.kind) or elide(s.kind, most) or "A system"
    if s.policy is None or s.policy.word == "inside":
        return what
    return elide(f"{what} under {_POLICIES.get(s.policy.word) or f'the policy {s.policy.says}'}", most)


def made_of(result: Document) -> list[tuple[str, str]]:
    """(name, words) of the policy, the budget, the rewards and the source, where the result says them."""
    s, out = result.system, []
    if s.policy is not None:
        out.append(("policy", elide(s.policy.says, 100)))
    if s.budget is not None:
        out.append(("budget", f"{s.budget:,} per step"))
    if s.rewards is not None:
        low, high = s.rewards.range
        reach = ", by a function" if low is None or high is None else f", {low:.6g} to {high:.6g} per step"
        kind = "each agent its own" if s.rewards.kind == "own" else "one shared by all"
        given = ", given to the analysis" if s.rewards.given else ""
        out.append(("rewards", f"{kind}{reach}{given}"))
    if s.source:
        out.append(("source", elide(s.source, 100)))
    return out


class Settled(NamedTuple):
    """A local state of an arm of type `t` where many arms settle; `rank` 1 is served first, None: not known."""

    t: int
    state: str
    rank: int | None
    fixed_point: float | None
    activation: float | None


def settled(result: Document) -> list[Settled]:
    """The states of the mean field, those that are served first on top where priorities are known."""
    if not (found := result.mean_field):
        return []
    rank = _ranks(result)
    of = result.system.state_names or [list(map(str, range(len(row)))) for row in found.fixed_point]
    out = [
        Settled(t, state, rank[t][s] if rank else None, found.fixed_point[t][s], found.activation[t][s])
        for t, states in enumerate(map(distinct, of))
        for s, state in enumerate(states)
    ]
    return sorted(out, key=lambda x: x.rank or 0)


def _ranks(result: Document) -> list[list[int]] | None:
    """Place of every state in the order of service; equal priorities share one."""
    s, found = result.system, result.mean_field
    rows = s.policy.priority if s.policy else None
    if not rows or not found or any(x is None for row in rows for x in row):
        return None
    table = rows * s.units if len(rows) == 1 else rows
    if [len(row) for row in table] != [len(row) for row in found.fixed_point]:
        return None
    place = {
        x: k
        for k, x in enumerate(sorted({x for row in table for x in row if x is not None}, reverse=True), 1)
    }
    return [[place[x] for x in row if x is not None] for row in table]


def is_estimate(result: Document) -> bool:
    """Whether the values were estimated: intervals of exact values are rounding allowances."""
    return bool(result.values and result.values.intervals and result.values.error_sup is None)


def estimated(result: Document, name: str) -> str:
    """A value, and its interval where that can be told from the value."""
    values = result.values
    show = percent if name in ("relative_error", "unexplained") else number
    x = getattr(values, name)
    if x is None and show is percent:
        return "infinite"
    limits = values.intervals if values and values.intervals else {}
    return show(x) + brackets(limits.get(name), show, show(x))


def brackets(pair: Numbers | None, show: Callable[[float | None], str], shown: str = "") -> str:
    """Limits in brackets, or "" where there are none or they cannot be told from the number as shown."""
    if pair is None or pair == [None, None] or [show(x) for x in pair] == [shown, shown]:
        return ""
    return f" [{show(pair[0])}, {'∞' if pair[1] is None else show(pair[1])}]"
