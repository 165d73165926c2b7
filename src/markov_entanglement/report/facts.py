"""What text, pages and pictures have in common: words, number formats, rankings. Result dict in, facts out."""

from __future__ import annotations

import statistics
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

#: Numbers below this are shown as rounding noise.
NOISE = 1e-12
#: Agents are listed one by one up to this many.
FEW = 8
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

WORDS = {"add": "Add them up", "do-not-add": "Do not add them up", "cannot-tell": "Cannot tell"}
NORMS = {"mu": "mean absolute", "sup": "largest", "l2": "root mean square"}
TOGETHER = "all agents together"
ORDER = ("mu-atv", "atv", "policy", "mu-tv", "tv", "spectral")


def clean(value: Any) -> Any:
    """The same result with characters that no page may contain shown as U+FFFD."""
    if isinstance(value, str):
        return "".join(c if _printable(c) else "\ufffd" for c in value)
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    return value


def _printable(c: str) -> bool:
    return c in "\n\t" or not (unicodedata.category(c) in ("Cc", "Cs", "Cn") or c in _BIDI)


def elide(name: str, width: int = 28) -> str:
    """One line of at most `width` characters, the middle left out."""
    name = " ".join(name.split())
    if len(name) <= width:
        return name
    head = (width - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def number(x: float | None, digits: int = 4) -> str:
    """A number for a table cell: "-" where there is none, noise as such."""
    if x is None:
        return "-"
    if x == 0:
        return "0"
    if abs(x) < NOISE:
        return "< 1e-12"
    if 1e-4 <= abs(x) < 10**6:
        return f"{x:#.{digits}g}".removesuffix(".") if abs(x) < 10**digits else f"{x:,.0f}"
    return f"{x:.{digits - 1}e}"


def percent(x: float | None) -> str:
    """A share in percent."""
    if x is None:
        return "-"
    if 0 < abs(x) < NOISE:
        return "< 1e-10 %"
    return f"{100 * x:.3g} %"


def ratio(bound: float | None, truth: float | None) -> str:
    """Bound over truth."""
    if bound is None or truth is None:
        return "-"
    if abs(truth) < NOISE:
        return "exact" if abs(bound) < NOISE else "truth is 0"
    times = bound / truth
    return f"{times:.3g}" if times < 1000 else f"{times:,.0f}" if times < 10**7 else f"{times:.2e}"


def units(result: dict[str, Any]) -> int:
    """What has a number of its own: every agent, or every type of agents that are alike."""
    kinds = result["system"].get("multiplicity")
    return len(kinds) if kinds else int(result["system"]["agents"])


def names(result: dict[str, Any], count: int | None = None) -> list[str]:
    """Display names of the agents, or of `count` types."""
    given = result["system"].get("names")
    n = units(result) if count is None else count
    if given is not None and len(given) == n:
        return [str(g) for g in given]
    word = "agent" if n == result["system"]["agents"] else "type"
    return [f"{word} {i}" for i in range(n)]


def measures(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Measures in a fixed order."""
    found = result["entanglement"]
    return {k: found[k] for k in (*ORDER, *sorted(set(found) - set(ORDER))) if k in found}


def per_agent(result: dict[str, Any]) -> dict[str, list[float | None]]:
    """The measures that have a number for each agent."""
    n = units(result)
    return {
        k: list(m["per_agent"]) for k, m in measures(result).items() if len(m.get("per_agent") or ()) == n
    }


def others(result: dict[str, Any]) -> list[tuple[str, str, float | None]]:
    """(distance, whom, number) of the measures that have one number for all agents or one per type."""
    out: list[tuple[str, str, float | None]] = []
    whole = per_agent(result)
    for k, m in measures(result).items():
        if m.get("value") is not None or not m.get("per_agent"):
            out.append((k, TOGETHER, m.get("value")))
        elif k not in whole:
            kinds = m["per_agent"]
            out += [(k, name, e) for name, e in zip(names(result, len(kinds)), kinds, strict=True)]
    return out


def worst_first(result: dict[str, Any]) -> list[int]:
    """Agents by their first measure, the most entangled first."""
    columns = per_agent(result)
    if not columns:
        return list(range(units(result)))
    first = next(iter(columns.values()))
    return sorted(range(len(first)), key=lambda i: (-(first[i] or 0.0), i))


def spread(column: Iterable[float | None]) -> tuple[float, float, float] | None:
    """Least, median and largest."""
    known = [x for x in column if x is not None]
    return (min(known), statistics.median(known), max(known)) if known else None


def listed(result: dict[str, Any], most: int) -> list[int]:
    """The agents to show one by one: all in their own order when they are few, else the worst first."""
    n = units(result)
    return list(range(n)) if n <= FEW else worst_first(result)[:most]


def worst_atv(result: dict[str, Any]) -> str:
    """The largest E_i by `atv` in brackets, or "".

    `atv` covers the recurrent pairs, agent-wise separability all of them: a chain that is entangled in transient
    pairs only gets no bracket, for a 0 beside "entangled" would read as a contradiction.
    """
    known = spread(per_agent(result).get("atv", []))
    if known is None or (result["separability"].get("agentwise") == "entangled" and known[2] < NOISE):
        return ""
    return f" (largest E_i by atv: {number(known[2])})"


def sums(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """(which additive values, three errors as shown): local values beside jointly fitted ones."""
    values = result.get("values") or {}
    better = {
        "fitted jointly on all rewards": values.get("joint_additive"),
        "corrected by the linear response of the mean field": values.get("corrected"),
    }
    found = [(word, table) for word, table in better.items() if table]
    if not found or (values["error_sup"] or 0.0) < NOISE:
        return []
    rows = [("each agent on its own reward", values), *found]
    keys = ("error_mu", "error_sup", "error_l2")
    return [(word, *[number(table.get(k)) for k in keys]) for word, table in rows]


def refusals(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(names, reason) of the parts that were refused, those with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for part in result["refused"]:
        by_reason.setdefault(part["reason"], []).append(part["name"])
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


def bound_rows(result: dict[str, Any]) -> list[BoundRow]:
    """The bounds, without half-span variants that improve nothing."""
    table = result["bounds"]
    rows = []
    for name, b in table.items():
        base = table.get(name.removesuffix(", half spans"))
        if name.endswith(", half spans") and base is not None and base["bound"] == b["bound"]:
            continue
        rows.append(BoundRow(name, b["distance"], b["norm"], b["bound"], b["truth"]))
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


def top_pairs(result: dict[str, Any], limit: int) -> list[PairShare]:
    """The local pairs that contribute most; agents with equal contributions share a line."""
    found = result.get("breakdown")
    if not found:
        return []
    grouped: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for i, row in enumerate(found["per_pair"]):
        for x, part in enumerate(row):
            if part is not None and part > NOISE:
                key = (pair_name(found, i, x), f"{part:.6g}", f"{found['occupancy'][i][x] or 0:.6g}")
                grouped.setdefault(key, []).append((i, x))
    who, out = names(result), []
    for (pair, _, _), members in grouped.items():
        i, x = members[0]
        part, whole = found["per_pair"][i][x], found["remaining"][i][i] or 0.0
        visited = found["occupancy"][i][x] or 0.0
        out.append(PairShare(who[i], pair, part, part / whole if whole else 0.0, visited, len(members)))
    return sorted(out, key=lambda p: -p.part)[:limit]


def pair_name(found: dict[str, Any], i: int, x: int) -> str:
    """Display name of local pair x of agent i."""
    table = found.get("pair_names")
    return str(table[i][x]) if table else f"pair {x}"


@dataclass(frozen=True)
class Partner:
    """The agent whose pair explains most of another's entanglement, and how many explain just as much."""

    agent: str
    partner: str
    alike: int
    before: float
    after: float

    @property
    def share(self) -> float:
        return (self.before - self.after) / self.before

    @property
    def whose(self) -> str:
        return self.partner if self.alike == 1 else f"{self.partner} (or {self.alike - 1} alike)"


def explained(remaining: Sequence[Sequence[float | None]], i: int, j: int) -> float | None:
    """Share of E_i that j's pair explains, in [0, 1]; None where there is nothing to explain."""
    before, after = remaining[i][i], remaining[i][j]
    if i == j or before is None or after is None or before <= NOISE:
        return None
    return min(max((before - after) / before, 0.0), 1.0)


def partners(result: dict[str, Any], limit: int) -> list[Partner]:
    """For every entangled agent its best partner, the largest fall first."""
    found = result.get("breakdown")
    if not found:
        return []
    remaining, who, out = found["remaining"], names(result), []
    for i in range(len(remaining)):
        shares = {j: s for j in range(len(remaining)) if (s := explained(remaining, i, j)) is not None}
        if not shares:
            continue
        best = max(shares, key=lambda j: (shares[j], -j))
        alike = sum(s >= shares[best] - 1e-6 for s in shares.values())
        out.append(Partner(who[i], who[best], alike, remaining[i][i], remaining[i][best]))
    return sorted(out, key=lambda p: p.after - p.before)[:limit]


def best_certificates(result: dict[str, Any]) -> dict[str, tuple[int, float, float]]:
    """norm -> (k, low, high) of the narrowest interval."""
    out = {}
    for norm, table in (result.get("certificate") or {}).items():
        known = [(h - l, int(k), l, h) for k, (l, h) in table.items() if l is not None and h is not None]
        if known:
            _, k, low, high = min(known)
            out[norm] = (k, low, high)
    return out


def size_words(result: dict[str, Any]) -> str:
    """The system in a line."""
    s = result["system"]
    parts = [f"{_count(s['agents'])} agent{'s' if s['agents'] > 1 else ''}"]
    if s.get("joint_states"):
        parts.append(f"{_count(s['joint_states'])} joint states")
    recurrent = s.get("recurrent_pairs")
    some = recurrent is not None and recurrent != s["pairs"]
    word = s.get("pair_word") or "joint pairs"
    parts.append(f"{_count(s['pairs'])} {word}" + (f" ({_count(recurrent)} recurrent)" if some else ""))
    if s.get("discount") is not None:
        parts.append(f"discount {s['discount']:g}")
    return ", ".join(parts)


def _count(n: int) -> str:
    return f"{n:,}" if n < 10**9 else f"about 10^{len(str(n)) - 1}"


def estimated(result: dict[str, Any], name: str) -> str:
    """A value with its interval when it is an estimate."""
    values = result["values"]
    show = percent if name in ("relative_error", "unexplained") else number
    interval = (values.get("intervals") or {}).get(name)
    if values[name] is None and show is percent:
        return "infinite"
    return show(values[name]) + (f" [{show(interval[0])}, {show(interval[1])}]" if interval else "")


def simulated(result: dict[str, Any]) -> list[str]:
    """Measures that were simulated: interval and estimator, a sentence each."""
    out = []
    for k, m in measures(result).items():
        if m.get("interval"):
            who = names(result, len(m["per_agent"]))
            limits = [
                f"{w} {number(low)} to {number(high)}"
                for w, (low, high) in zip(who, m["interval"], strict=True)
            ]
            out.append(f"{k}, 95 % interval: {'; '.join(limits[:4])}. {m.get('estimator', 'Simulated')}.")
    return out


def mean_field(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(number, value, what it says) of the law of large numbers of a bandit."""
    found = result.get("mean_field")
    if not found:
        return []
    limit = found["entanglement_limit"]
    rows = [
        ("attractor", found["attractor"], found["reason"]),
        (
            "radius",
            number(found["radius"]),
            "spectral radius at the fixed point: below 1, small deviations die out",
        ),
        (
            "limit of E",
            ", ".join(number(e) for e in limit[:4]),
            "entanglement that is left with infinitely many arms",
        ),
    ]
    says = {
        "policy": "Prop. 7.2 by the limit constants at this number of arms",
        "mu-atv": "Eq. 7 by the limit constants at this number of arms",
        "error_mu": "||err||_mu by the limit constants",
        "unexplained": "by the limit constants, whatever the number of arms",
    }
    for k, text in says.items():
        x = (found.get("predictions") or {}).get(k)
        if x is not None:
            shown = (
                percent(x)
                if k == "unexplained"
                else ", ".join(number(e) for e in (x if isinstance(x, list) else [x]))
            )
            rows.append((f"predicted {k}", shown, text))
    if found.get("no_constants"):
        rows.append(("no constants", "-", found["no_constants"]))
    return rows
