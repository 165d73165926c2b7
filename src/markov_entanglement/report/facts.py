"""What text, pages and pictures have in common: words, number formats, rankings. Document in, facts out."""

from __future__ import annotations

import statistics
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .document import Breakdown, Document, Measure, Numbers

#: Numbers below this are shown as rounding noise.
NOISE = 1e-12
#: Agents are listed one by one up to this many.
FEW = 8
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

WORDS = {"add": "Add them up", "do-not-add": "Do not add them up", "cannot-tell": "Cannot tell"}
NORMS = {"mu": "mean absolute", "sup": "largest", "l2": "root mean square"}
TOGETHER = "all agents together"
ORDER = ("mu-atv", "atv", "kernel", "policy", "mu-tv", "tv", "spectral")


def clean(text: str) -> str:
    """The same text with characters that no page may contain shown as U+FFFD."""
    return text.translate({ord(c): "\ufffd" for c in set(text) if not _printable(c)})


def _printable(c: str) -> bool:
    return c in "\n\t" or not (unicodedata.category(c) in ("Cc", "Cs", "Cn") or c in _BIDI)


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


def percent(x: float | None) -> str:
    """A share in percent."""
    if x is None:
        return "-"
    if 0 < abs(x) < NOISE:
        return "< 1e-10 %"
    if abs(x) >= 9.995:
        return f"{100 * x:,.0f} %" if abs(x) < 10**6 else f"{100 * x:.2e} %"
    return f"{100 * x:.3g} %"


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
    system = result.system
    n = system.units if count is None else count
    if system.names is not None and len(system.names) == n:
        return system.names
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


def others(result: Document) -> list[tuple[str, str, float | None]]:
    """(distance, whom, number) of the measures that have one number for all agents or one per type."""
    out: list[tuple[str, str, float | None]] = []
    whole = per_agent(result)
    for k, m in measures(result).items():
        if m.value is not None or not m.per_agent:
            out.append((k, TOGETHER, m.value))
        elif k not in whole:
            who = names(result, len(m.per_agent))
            out += [(k, name, e) for name, e in zip(who, m.per_agent, strict=True)]
    return out


def worst_first(result: Document) -> list[int]:
    """Agents by their first measure, the most entangled first, those equal up to rounding in their own order."""
    for first in per_agent(result).values():
        return sorted(range(len(first)), key=lambda i: (-float(f"{first[i] or 0.0:.9g}"), i))
    return list(range(result.system.units))


def spread(column: Iterable[float | None]) -> tuple[float, float, float] | None:
    """Least, median and largest."""
    known = [x for x in column if x is not None]
    return (min(known), statistics.median(known), max(known)) if known else None


def listed(result: Document, most: int) -> list[int]:
    """The agents to show one by one: all in their own order when they are few, else the worst first."""
    n = result.system.units
    return list(range(n)) if n <= FEW else worst_first(result)[:most]


def worst_atv(result: Document) -> str:
    """The largest E_i by `atv` in brackets, or "".

    `atv` covers the recurrent pairs, agent-wise separability all of them: a chain that is entangled in transient
    pairs only gets no bracket, for a 0 beside "entangled" would read as a contradiction.
    """
    known = spread(per_agent(result).get("atv", []))
    if known is None or (result.separability.agentwise == "entangled" and known[2] < NOISE):
        return ""
    return f" (largest E_i by atv: {number(known[2])})"


def sums(result: Document) -> list[tuple[str, ...]]:
    """(which additive values, three errors as shown): local values beside jointly fitted ones."""
    values = result.values
    if values is None or (values.error_sup or 0.0) < NOISE:
        return []
    found = {
        "each agent on its own reward": values,
        "fitted jointly on all rewards": values.joint_additive,
        "corrected by the linear response of the mean field": values.corrected,
    }
    rows = [
        (word, number(v.error_mu), number(v.error_sup), number(v.error_l2)) for word, v in found.items() if v
    ]
    return rows if len(rows) > 1 else []


def refusals(result: Document) -> list[tuple[str, str]]:
    """(names, reason) of the parts that were refused, those with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for part in result.refused:
        by_reason.setdefault(part.reason, []).append(part.name)
    return [(", ".join(parts), reason) for reason, parts in by_reason.items()]


@dataclass(frozen=True)
class BoundRow:
    """A line of the table of bounds: `bound` and `truth` in reward units, `ratio` as shown."""

    name: str
    distance: str
    norm: str
    bound: float | None
    truth: float | None

    @property
    def ratio(self) -> str:
        return ratio(self.bound, self.truth)


def bound_rows(result: Document) -> list[BoundRow]:
    """The bounds, without half-span variants that improve nothing; H.3 is how older results name a corollary of H.2."""
    rows = []
    for name, b in result.bounds.items():
        base = result.bounds.get(name.removesuffix(", half spans"))
        if name.endswith(", half spans") and base is not None and base.bound == b.bound:
            continue
        shown = name.replace("Theorem H.3", "Theorem H.2 with tv")
        rows.append(BoundRow(shown, b.distance, b.norm, b.bound, b.truth))
    return rows


@dataclass(frozen=True)
class PairShare:
    """A local pair's part of E_i: reward-free, `share` = part / E_i, `alike` = agents that it stands for."""

    agent: str
    pair: str
    part: float
    share: float
    visited: float
    alike: int

    @property
    def who(self) -> str:
        return self.agent if self.alike == 1 else f"{self.agent} (+{self.alike - 1} alike)"


def top_pairs(result: Document, limit: int) -> list[PairShare]:
    """The local pairs that contribute most; agents with equal contributions share a line."""
    found = result.breakdown
    if not found:
        return []
    grouped: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for i, row in enumerate(found.per_pair):
        for x, part in enumerate(row):
            if part is not None and part > NOISE:
                key = (pair_name(found, i, x), f"{part:.6g}", f"{found.occupancy[i][x] or 0:.6g}")
                grouped.setdefault(key, []).append((i, x))
    who, out = names(result), []
    for (pair, _, _), members in grouped.items():
        i, x = members[0]
        part, whole = found.per_pair[i][x] or 0.0, found.remaining[i][i] or 0.0
        visited = found.occupancy[i][x] or 0.0
        out.append(PairShare(who[i], pair, part, part / whole if whole else 0.0, visited, len(members)))
    return sorted(out, key=lambda p: -p.part)[:limit]


def pair_name(found: Breakdown, i: int, x: int) -> str:
    """Display name of local pair x of agent i."""
    return found.pair_names[i][x] if found.pair_names else f"pair {x}"


@dataclass(frozen=True)
class Partner:
    """The agent whose pair explains most of another's entanglement, and how many explain just as much."""

    agent: str
    partner: str
    alike: int
    before: float
    after: float
    share: float

    @property
    def whose(self) -> str:
        return self.partner if self.alike == 1 else f"{self.partner} (or {self.alike - 1} alike)"


def explained(before: float | None, after: float | None) -> float | None:
    """Share of an E_i that is gone with another pair known, in [0, 1]; None where there is nothing to explain."""
    if before is None or after is None or before <= NOISE:
        return None
    return min(max((before - after) / before, 0.0), 1.0)


def left(found: Breakdown, i: int, j: int) -> float | None:
    """What is left of E_i when j's pair is known; i = j: that of one more agent alike."""
    if i != j:
        return found.remaining[i][j]
    return found.alike[i] if found.alike else None


def partners(result: Document, limit: int) -> list[Partner]:
    """For every entangled agent its best partner, the largest fall first."""
    found = result.breakdown
    if not found:
        return []
    who, out = names(result), []
    for i in range(len(who)):
        before, after = found.remaining[i][i], {j: left(found, i, j) for j in range(len(who))}
        shares = {j: s for j in after if (s := explained(before, after[j])) is not None}
        if shares:
            best = max(shares, key=lambda j: (shares[j], -j))
            alike = sum(s >= shares[best] - 1e-6 for s in shares.values())
            name = who[best] if best != i else f"another of {who[i]}"
            out.append(Partner(who[i], name, alike, before or 0.0, after[best] or 0.0, shares[best]))
    return sorted(out, key=lambda p: p.after - p.before)[:limit]


def best_certificates(result: Document) -> dict[str, tuple[int, float, float]]:
    """norm -> (k, low, high) of the narrowest interval."""
    out = {}
    for norm, table in result.certificate.items():
        known = [(h - l, int(k), l, h) for k, (l, h) in table.items() if l is not None and h is not None]
        if known:
            _, k, low, high = min(known)
            out[norm] = (k, low, high)
    return out


def size_words(result: Document) -> str:
    """The system in a line."""
    s = result.system
    parts = [f"{_count(s.agents)} agent{'s' if s.agents > 1 else ''}"]
    if s.joint_states:
        parts.append(f"{_count(s.joint_states)} joint states")
    some = s.recurrent_pairs
    recurrent = "" if some is None or some == s.pairs else f" ({_count(some)} recurrent)"
    parts.append(f"{_count(s.pairs)} {s.pair_word or 'joint pairs'}{recurrent}")
    if s.discount is not None:
        parts.append(f"discount {s.discount:g}")
    return ", ".join(parts)


def _count(n: int) -> str:
    return f"{n:,}" if n < 10**9 else f"about 10^{len(str(n)) - 1}"


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
    low, high = map(show, limits.get(name, [x, x]))
    return show(x) if low == high else f"{show(x)} [{low}, {high}]"


def interval(measure: Measure, i: int) -> str:
    """Limits of a simulated E_i in brackets, or ""."""
    found = measure.interval and measure.interval[i]
    return f" [{number(found[0])}, {number(found[1])}]" if found else ""


def simulated(result: Document) -> list[str]:
    """Measures that were simulated: intervals of the agents that are listed first, and estimator, a sentence each."""
    out = []
    for k, m in measures(result).items():
        if m.interval and m.per_agent:
            n = len(m.per_agent)
            who, first = names(result, n), (listed(result, 4) if n == result.system.units else range(n))[:4]
            limits = [f"{elide(who[i])}{interval(m, i)}" for i in first]
            more = f" and {n - len(limits):,} more" if n > len(limits) else ""
            out.append(f"{k}, 95 % interval: {'; '.join(limits)}{more}. {m.estimator or 'Simulated'}.")
    return out


def mean_field(result: Document) -> list[tuple[str, str, str]]:
    """(number, value, what it says) of the law of large numbers of a bandit."""
    found = result.mean_field
    if not found:
        return []
    radius = "spectral radius at the fixed point: below 1, small deviations die out"
    rows = [
        ("attractor", found.attractor, found.reason),
        ("radius", number(found.radius), radius),
        ("limit of E", _some(found.entanglement_limit), "what is left with infinitely many arms"),
    ]
    if said := found.predictions:
        at = "by the limit constants at this number of arms"
        rows += [
            ("predicted policy", said.policy and _some(said.policy), f"Prop. 7.2 {at}"),
            ("predicted mu-atv", said.mu_atv and _some(said.mu_atv), f"Eq. 7 {at}"),
            ("predicted error_mu", number(said.error_mu), f"||err||_mu {at}"),
            ("predicted unexplained", percent(said.unexplained), _limit_words(result, said.unexplained)),
        ]
    if found.no_constants:
        rows.append(("limit constants", "none", found.no_constants))
    return [(name, value, says) for name, value, says in rows if value and (value != "-" or name == "radius")]


def _some(column: Numbers) -> str:
    return ", ".join(map(number, column[:4])) + (", …" if len(column) > 4 else "")


def _limit_words(result: Document, limit: float | None) -> str:
    """What the limit of `unexplained` is worth at this number of arms, set against what was found."""
    found = result.values and result.values.unexplained
    if not limit or not found or 0.8 <= found / limit <= 1.25:
        return "by the limit constants: where many arms tend to"
    return f"where many arms tend to; these are too few for it, they miss {percent(found)}"
