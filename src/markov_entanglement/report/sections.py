"""What a report says, in order: every section as sentences and one table, shown alike by text and page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from . import facts, glossary
from .document import Document, Errors, FormErrors, MeanField, Measure, Signal
from .facts import NOISE, brackets, elide, number, percent, with_others
from .glossary import row
from .table import distinct
from .tabulate import FORMS
from .terms import NUMBERS

MOST_ROWS, MOST_VIEWS = 8, 15
_NUMBER = ("number", "value", "what it says")
#: Columns that hold names of the result JSON.
KEYS = ("number", "distance", "norm")
_FEWER = (
    "me.certify(result.decomposition, result.chain, rng=0) gives limits of the floor and of what choices cost. "
    "Exactly, that takes every joint pair, or every pair of counts: ask a system with fewer agents of the same kinds, "
    "and a budget in proportion."
)
Row = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A question with its answer: a table as shown, and sentences above and below it.

    `key` is that of its picture, if there is one, and its place on the page; `caption` says what the table holds; the
    first column names the line, `words` are the columns that hold words, the others hold numbers.
    """

    key: str
    title: str
    before: Sequence[str] = ()
    caption: str = ""
    head: Row = ()
    rows: Sequence[Row] = ()
    foot: Sequence[Row] = ()
    after: Sequence[str] = ()
    words: tuple[int, ...] = (0,)

    @property
    def wide(self) -> bool:
        """Whether the table goes on to the side in a narrow window, where words wrap and numbers do not."""
        columns = zip(self.head, *self.rows, *self.foot, strict=True)
        wraps = [c in self.words and name not in KEYS for c, name in enumerate(self.head)]
        return (
            sum(2 + min(max(map(len, x)), 10 if w else 99) for w, x in zip(wraps, columns, strict=True)) > 42
        )


def sections(result: Document) -> list[Section]:
    """Those that the result answers, in order."""
    parts = (
        _logs, _budget, _orders, _decision, _policy_or_system, _signal, _views, _missing, _values, _sums, _local_values,
        _mean_field, _fixed_point, _entanglement, _proof, _bounds, _certificate, _pairs, _partners, _bias,
    )  # fmt: skip
    return [section for part in parts if (section := part(result)) is not None]


def _logs(result: Document) -> Section | None:
    """What a log can and cannot tell, and what it shows of each agent."""
    if (log := result.logs) is None:
        return None
    rows = _rows(result, "evidence")
    memory = [result.memory.sentence] if result.memory and result.memory.sentence else []
    size = f"{log.steps:,} steps" + (f" at {log.pairs:,} different joint pairs" if log.pairs else "")
    if log.complete is not None and log.complete < log.steps:
        size += f"; all agents are there in {log.complete:,} of them"
    keys = ("p_value", "plug_in", "null", "more_steps")
    shown = [
        (_name(r["agent"]), *(number(r[k]) for k in ("low", "high", *keys[:-1])),
         "-" if r["more_steps"] is None else f"{r['more_steps']:,.0f}")
        for r in sorted(rows, key=lambda r: r["p_value"] or 0.0)[:MOST_ROWS]
    ]  # fmt: skip
    head = ("agent", "at least", "at most", *(NUMBERS[f"entanglement.*.{k}"].name for k in keys))
    after = ["p: the test of dependence on the others; plug-in: E_i of the empirical laws, biased high, beside null, "
             "what it shows where there is none; more steps: what would let the test reject."]  # fmt: skip
    return Section("logs", "What can these data tell?", [f"{size}.", *filter(None, (log.can, log.cannot)), *memory],
                   "E_i (mu-atv) of each agent, each limit with 95 %", head, shown,
                   after=[*after, *_more(len(shown), len(rows))] if shown else ())  # fmt: skip


def _missing(result: Document) -> Section | None:
    """What an estimate cannot say and what would."""
    asked = {"error_budget": "the floor of the error", "orders": "what pairwise values buy",
             "decision": "whether a decision changes"}  # fmt: skip
    given, refused = result.model_fields_set, {part.name for part in result.refused}
    lacking = [word for k, word in asked.items() if k in given - refused and getattr(result, k) is None]
    if not lacking or not facts.is_estimate(result) or result.logs is not None:
        return None
    said = f"{', '.join(lacking).capitalize()}. {_FEWER}"
    return Section("missing", "What this estimate cannot say", [said])


def _rows(result: Document, name: str) -> list[dict[str, Any]]:
    """Rows of a table of the result, none where it is not there."""
    return next((t.rows for t in result._tables() if t.name == name), [])


def _name(name: str) -> str:
    """A name as cells show it."""
    return elide(name, 40)


def _unknown(result: Document) -> str:
    return f"Not known for estimated values. {_FEWER}" if facts.is_estimate(result) else "Not known."


def _known(*rows: Row) -> list[Row]:
    return [row for row in rows if row[1] not in ("-", "")]


def _budget(result: Document) -> Section | None:
    if (b := result.error_budget) is None:
        return None
    names = ("error", "floor", "bias", "noise", "joint_additive", "unexplained_floor")
    rows = _known(*(row(f"error_budget.{name}", getattr(b, name)) for name in names))
    if b.error is None or b.floor is None:
        answer = _unknown(result)
    elif b.error < NOISE:
        answer = "There is no error to avoid."
    elif b.floor < NOISE:
        answer = "All of it: some additive values are exact, and it is the way of learning that misses them."
    else:
        answer = (
            f"{percent(max(1 - b.floor / b.error, 0.0))} of it: the best additive values err by {number(b.floor)} "
            f"where this sum errs by {number(b.error)}, in root mean square."
        )
    title, caption = (
        "How much of the error could any additive values avoid?",
        "Root mean square errors and their parts",
    )
    return Section("error_budget", title, [answer], caption, _NUMBER, rows, words=(0, 2))


def _orders(result: Document) -> Section | None:
    if result.orders is None:
        return None
    left = result.orders.unexplained[: result.system.agents + 1]
    pairs = result.orders.best_pairs[:MOST_ROWS]
    words = ("a constant", "one agent: additive values", "two agents: pairwise values", "three agents")
    rows = [(words[k] if k < 4 else f"{k} agents", percent(x)) for k, x in enumerate(left)]
    for k, p in enumerate(pairs):
        first, second = map(elide, p.names)
        who = f"two of {first}" if p.agents[0] == p.agents[1] else f"{first} with {second}"
        rows.append((f"{'...' if k else 'additive'} + {who}", percent(p.unexplained)))
    one, two = (*left, None, None)[1:3]
    if one is None:
        answer = _unknown(result)
    elif one < NOISE:
        answer = "Nothing: additive values can be exact."
    elif two is None:
        answer = f"The best additive values leave {percent(one)} of the spread of Q."
    else:
        answer = (
            f"The best values of pairs of agents leave {percent(two)} of the spread of Q where the best additive "
            f"values leave {percent(one)}."
        )
    head = ("best sum of functions of", "unexplained")
    caption = "Share of the spread of Q that the best sum leaves"
    return Section("orders", "What would pairwise values buy?", [answer], caption, head, rows)


def _decision(result: Document) -> Section | None:
    if (d := result.decision) is None:
        return None
    wrong = None if d.right is None else 1 - d.right if d.right < 1 - NOISE else 0.0
    shown = {"loss": d.loss, "share": d.share, "right": d.right, "excluded": d.excluded or None,
             "rank_correlation": d.rank_correlation}  # fmt: skip
    rows = _known(*(row(f"decision.{name}", x) for name, x in shown.items()))
    if d.loss is None:
        answer = _unknown(result)
    elif d.loss < NOISE:
        answer = "No: in every state that was looked at, the action that the sum prefers is a best one."
    else:
        cost = "" if d.share is None else f", {percent(d.share)} of the spread of Q"
        rare = "" if wrong is None else f", and is worse in {percent(wrong)} of the visited states"
        answer = f"Choosing by the sum instead of by Q costs {number(d.loss)} on average{cost}{rare}."
    title, note = "Does it change a decision?", [d.note] if d.note else []
    caption = "Choices by the sum against choices by Q"
    return Section("decision", title, [answer], caption, _NUMBER, rows, after=note, words=(0, 2))


def _policy_or_system(result: Document) -> Section | None:
    if (p := result.policy_or_system) is None:
        return None
    who, shown = facts.names(result), facts.listed(result, MOST_ROWS)
    rows = [(who[i], number(p.kernel[i]), number(p.policy[i]), number(p.pair[i])) for i in shown]
    head = ("agent", "kernel", "policy", "mu-atv")
    said = [p.sentence] if p.sentence else []
    caption = "E_i by distance: kernel is the system's part, policy the policy's, mu-atv both together"
    return Section("policy_or_system", "Is it the policy or the system?", said, caption, head, rows,
                   after=_more(len(shown), len(who)))  # fmt: skip


def _signal(result: Document) -> Section | None:
    """Local values with and without the signal, side by side."""
    if (found := result.signal) is None:
        return None
    forms = {words: getattr(found, key) for key, words in FORMS.items()}
    rows = [(words, *_limited(e)) for words, e in forms.items()]
    misfit = sum(x or 0.0 for x in found.reward_misfit)
    blind, seeing = (number(_most(e)) for e in (found.blind_mu_atv, found.seeing_mu_atv))
    after = [f"Without the signal the most entangled agent has E_i {blind} (mu-atv), with it {seeing}; what rewards "
             f"miss without it is {number(misfit)} per step, which E_i does not tell."]  # fmt: skip
    if found.estimator is not None:
        above = _most([pair[1] for pair in found.blind_policy_interval or ()])
        after = [] if above is None else [f"Without the signal E_i is at most {number(above)} (policy)."]
        after += [f"What rewards miss without it is {number(misfit)} per step, which E_i does not tell.",
                  f"Estimated {found.estimator}.", *_caution(found)]  # fmt: skip
    head = ("local values", "error_mu", "error_sup", "error_l2", "unexplained")
    return Section("signal", "What is the signal worth?", [found.sentence] if found.sentence else [],
                   "Errors by what local values may see", head, rows, after=after)  # fmt: skip


def _views(result: Document) -> Section | None:
    """What agents might see: what each view leaves, and how the suggestion was found."""
    if (found := result.views) is None:
        return None
    shown, rows = found.views[:MOST_VIEWS], []
    sure = all(v.unexplained_interval is None for v in shown)
    for v in shown:
        limits = [
            word
            for pair, show in ((v.unexplained_interval, percent), (v.largest_interval, number))
            for word in map(show, pair or (None, None))
        ]
        told = [
            percent(v.unexplained),
            percent(v.unexplained_floor),
            number(v.reward_misfit),
            number(v.largest),
        ]
        p = number(v.memory.p_previous if v.memory else None)
        rows.append((v.name, *told) if sure else (v.name, told[0], *limits[:2], *told[1:], *limits[2:], p))
    head: Row = ("agents see", "unexplained", "floor", "reward_misfit", "E_i")
    if not sure:
        head = (*head[:2], "at least", "at most", *head[2:], "at least", "at most", "p")
    after = [
        "floor: what the best sum of functions of what is seen leaves; E_i: the largest of an agent, given all that is "
        "known, by which views are not ranked; p: whether the previous joint pair still predicts the next one."
    ]
    for s in found.steps:
        gain = f"{percent(s.gain)}{brackets(s.interval, percent, percent(s.gain))} more of the variance of Q"
        word = "taken" if s.taken else "not sure, not taken"
        after.append(f"{s.shows} instead of {s.instead} explains {gain}: {word}.")
    after += [f"Estimated {found.estimator}."] if found.estimator not in ("", "exact") else []
    return Section("views", "What should an agent see?", [found.sentence] if found.sentence else [],
                   "Views, and what is missed", head, rows,
                   after=[*after, *_more(len(rows), len(found.views))])  # fmt: skip


def _limited(e: FormErrors) -> list[str]:
    """Errors of one form of local values, with their limits."""
    shows = {"error_mu": number, "error_sup": number, "error_l2": number, "unexplained": percent}
    limits = e.intervals or {}
    return [(text := show(getattr(e, k))) + brackets(limits.get(k), show, text) for k, show in shows.items()]


def _most(column: Sequence[float | None]) -> float | None:
    return max((x for x in column if x is not None), default=None)


def _more(shown: int, total: int) -> list[str]:
    return [f"{total - shown:,} more are in the result JSON."] if total > shown else []


def _values(result: Document) -> Section | None:
    if result.values is None:
        return None
    how = [f"Estimator: {how}."] if (how := result.values.estimator) not in (None, "exact") else []
    how += _caution(result.values)
    if (split := result.values.split) and split not in (result.values.estimator or ""):
        how.append(f"The shared reward was split by {elide(split)}.")
    if not (rows := glossary.value_rows(result)):
        return Section("values", "How wrong is the sum?", [f"Cannot tell: {result.values.caution}."])
    return Section("values", "How wrong is the sum?", (), "Errors of the sum of local values", _NUMBER, rows, after=how,
                   words=(0, 2))  # fmt: skip


def _sums(result: Document) -> Section | None:
    values = result.values
    if values is None or (values.error_sup or 0.0) < NOISE or not (values.joint_additive or values.corrected):
        return None
    found = {
        "each agent on its own reward": values,
        "fitted jointly on all rewards": values.joint_additive,
        "corrected by the linear response of the mean field": values.corrected,
    }
    norms = attrgetter("error_mu", "error_sup", "error_l2")
    rows = [(word, *map(number, norms(v))) for word, v in found.items() if v]
    say = ["Local values that may read all rewards can be closer, at the price of joint learning."]
    if values.joint_additive and (gap := values.joint_additive.vdn_gap) is not None:
        say.append(f"The VDN gap is {number(gap)}: at 0 such a sum is exact for every reward of the agents.")
    head = ("local values", "error_mu", "error_sup", "error_l2")
    return Section("sums", "Is there a better sum?", [" ".join(say)], "Errors of three sums", head, rows)


def _local_values(result: Document) -> Section | None:
    """The largest and the smallest local values, and how to get all of them."""
    rows = _rows(result, "local_values")
    known = sorted((r for r in rows if r["value"] is not None), key=lambda r: -facts.even(r["value"]))
    if (block := result.local_values) is None or not known:
        return None
    every, half = facts.together(known, "state", "action", "value", "visited"), MOST_ROWS // 2
    shown = every if len(every) <= MOST_ROWS else [*every[:half], *every[-half:]]
    words = ("state", "action") if any(r["action"] for r in known) else ("state",)
    cells = [
        (with_others(_name(r["agent"]), n), *(_name(r[k]) for k in words), number(r["value"]), percent(r["visited"]))
        for r, n in shown
    ]  # fmt: skip
    say = "All" if shown is every else f"The {half} largest and the {half} smallest"
    say = f"{say} of {len(known):,} local values, in {elide(block.unit)}; agents that are alike share a line."
    if never := len(rows) - len(known):
        say += f" {never:,} more would be of local pairs that are never visited."
    after = ["All of them: in Python result.tables()['local_values'] or "
             "result.save_csv('local_values.csv', 'local_values')"]  # fmt: skip
    if result.logs is None and not facts.is_estimate(result):
        after[0] += ", on the command line markov-entanglement values SYSTEM --csv FILE"
    after[0] += "."
    after += [f"Left out there: {block.left_out}."] if block.left_out else []
    heads = [NUMBERS[f"local_values.agents.{k}"].name for k in ("values", "visited")]
    return Section("local_values", "What is each local pair worth?", [say], f"Local values ({elide(block.kind)})",
                   ("agent", *words, *heads), cells, after=after, words=tuple(range(1 + len(words))))  # fmt: skip


def _mean_field(result: Document) -> Section | None:
    if (found := result.mean_field) is None:
        return None
    rows = [
        ("attractor", elide(found.attractor), found.reason),
        row("mean_field.radius", found.radius),
        (
            "entanglement_limit",
            _some(found.entanglement_limit),
            row("mean_field.entanglement_limit", None)[2],
        ),
    ]
    if said := found.predictions:
        for name, column in (("policy", said.policy), ("mu-atv", said.mu_atv)):
            label, _, says = row(f"mean_field.predictions.{name}", None)
            rows.append((label, _some(column), says))
        rows += [row(f"mean_field.predictions.{k}", getattr(said, k)) for k in ("error_mu", "error_l2")]
        label, share, says = row("mean_field.predictions.unexplained", said.unexplained)
        if result.values:
            says += f"; here it is {facts.estimated(result, 'unexplained')}"
        if found.valid_from is not None and result.system.agents < found.valid_from:
            says += f", and {result.system.agents:,} arms are too few for predictions (see valid_from)"
        rows.append((label, share, says))
    if found.no_constants:
        rows.append(("no_constants", "none", found.no_constants))
    if found.valid_from is not None:
        rows.append(("valid_from", f"{found.valid_from:,.0f}", row("mean_field.valid_from", None)[2]))
    return Section("mean_field", "What infinitely many arms would do", (), "The mean field and what it predicts",
                   _NUMBER, _known(*rows), after=_caution(found), words=(0, 2))  # fmt: skip


def _fixed_point(result: Document) -> Section | None:
    every = facts.settled(result)
    if not every:
        return None
    shown = (
        sorted(every, key=lambda x: -(x.fixed_point or 0.0))[:MOST_ROWS] if len(every) > MOST_ROWS else every
    )
    several, ranked, who = result.system.units > 1, every[0].rank is not None, facts.names(result)
    rows = [
        (
            *([who[x.t]] if several else []), _name(x.state), *([str(x.rank)] if ranked else []),
            percent(x.fixed_point), percent(x.activation),
        )
        for x in every if x in shown
    ]  # fmt: skip
    head = (
        *(["agent"] if several else []),
        "state",
        *(["priority"] if ranked else []),
        "fixed_point",
        "activation",
    )
    say = (
        "The fraction of all arms in each local state when arms are many, and the chance to be served there."
    )
    order = ["Priority 1 is served first."] if ranked else []
    return Section("fixed_point", "Where many arms settle", [" ".join([say, *order])], "Fixed point of the mean field",
                   head, rows, after=_more(len(rows), len(every)), words=(0, 1) if several else (0,))  # fmt: skip


def _caution(part: Errors | Measure | MeanField | Signal) -> list[str]:
    return [f"Caution: {part.caution}."] if part.caution else []


def _some(column: Sequence[float | None] | None) -> str:
    """All numbers where they are few, else the least and the largest."""
    ends = facts.spread(column or ())
    if not column or ends is None or len(column) <= 4:
        return ", ".join(map(number, column or ()))
    return f"{number(ends[0])} to {number(ends[2])}"


def _entanglement(result: Document) -> Section | None:
    found, columns = facts.measures(result), facts.per_agent(result)
    if not found:
        return None
    say = ["At 0, an agent's next step is drawn from its own state and action alone; the nearer to 1, the more the "
           "others decide."]  # fmt: skip
    after = [
        " ".join([f"{k}: {_numbers(result, m)}.", m.estimator or "", *_caution(m)])
        for k, m in found.items()
        if m.interval or m.caution or k not in columns
    ]
    who, shown = (facts.names(result), facts.listed(result, MOST_ROWS)) if columns else ([], [])
    rows = [(who[i], *(number(c[i]) + _limits(found[k], i) for k, c in columns.items())) for i in shown]
    foot: list[Row] = []
    if len(who) > len(shown):
        ranges = [facts.spread(c) or (None,) * 3 for c in columns.values()]
        words = enumerate(("least", "median", "largest"))
        foot = [(f"{word} of {len(who):,}", *(number(r[k]) for r in ranges)) for k, word in words]
    how = [_method(found[k]) for k in columns]
    foot += [("total", *(number(found[k].total) for k in columns)), ("estimator", *map(elide, how))]
    return Section("entanglement", "How entangled is each agent?", say, "E_i of each agent, one column a distance",
                   ("agent", *(elide(k, 16) for k in columns)), rows, foot if rows else (),
                   [*_more(len(shown), len(who)), *after])  # fmt: skip


def _proof(result: Document) -> Section | None:
    s = result.separability
    found = {"Witness": s.witness, "Equation": s.equation, "Inequality": s.inequality}
    said = [f"{name}. {p.explanation}" for name, p in found.items() if p is not None and p.explanation]
    return Section("proof", "What proves it", said) if said else None


def _limits(measure: Measure, i: int) -> str:
    if measure.upper_bound and measure.upper_bound[i]:
        return " at most"
    return facts.brackets(measure.interval[i], number) if measure.interval else ""


def _method(measure: Measure) -> str:
    """How a column was obtained, in a word."""
    if measure.method or not measure.upper_bound:
        return measure.method or ("simulated" if measure.interval else "exact")
    return "upper bounds" if all(measure.upper_bound) else "exact or at most"


def _numbers(result: Document, measure: Measure) -> str:
    """What the table cannot show: one number for all, numbers of other units, how sure the brackets are."""
    column = measure.per_agent
    if not column:
        return f"{number(measure.value)} for all agents together"
    if len(column) == result.system.units:
        return "95 % intervals in brackets" if measure.interval else "Upper bounds are marked"
    each = zip(facts.names(result, len(column)), column[:MOST_ROWS], strict=False)
    return ", ".join(f"{name} {number(e)}" for name, e in each)


def _bounds(result: Document) -> Section | None:
    rows = [
        (r["theorem"], r["distance"], r["norm"], number(r["bound"]), number(r["truth"]),
         facts.ratio(r["bound"], r["truth"]))
        for r in facts.bound_rows(_rows(result, "bounds"))
    ]  # fmt: skip
    say = ["Each line bounds the error in one norm; beside it stands the true error. A large entanglement is no proof "
           "of a large error: where a bound is many times the truth, only the truth counts."]  # fmt: skip
    part = next((x.reward_part for x in result.bounds.values() if x.reward_part is not None), None)
    if part is not None:
        say.append(f"The reward is shared: {number(part)} of each bound is what its split misses, summed with "
                   "discount; the rest is of the transitions.")  # fmt: skip
    head = ("theorem", "distance", "norm", "bound", "truth", "bound / truth")
    caption = "Bounds of the error beside the error itself"
    return (
        Section("bounds", "What the bounds are worth", say, caption, head, rows, words=(0, 1, 2))
        if rows
        else None
    )


def _certificate(result: Document) -> Section | None:
    rows = []
    for norm, table in result.certificate.items():
        known = [(h - l, int(k), l, h) for k, (l, h) in table.items() if l is not None and h is not None]
        for _, k, low, high in sorted(known)[:1]:
            rows.append((norm, str(k), number(low), number(high)))
    head = ("norm", "steps k", "at least", "at most")
    said = [result.certificate_explanation] if result.certificate_explanation else []
    caption = "The narrowest limits of the true error"
    return Section("certificate", "Certified from both sides", said, caption, head, rows) if rows else None


def _pairs(result: Document) -> Section | None:
    if result.breakdown is None:
        return None
    every = facts.top_pairs(_rows(result, "pairs"))
    rows = [
        (
            with_others(_name(p.agent), p.alike),
            _name(p.pair),
            number(p.part),
            percent(p.share),
            percent(p.visited),
        )
        for p in every[:MOST_ROWS]
    ]
    say = "Parts of E_i by mu-atv. In these local pairs an agent's next step depends most on the others."
    none = "Nowhere: no local pair of any agent carries entanglement on the visited pairs."
    head, more = (
        ("agent", "local pair", "per_pair", "share of E_i", "occupancy"),
        _more(len(rows), len(every)),
    )
    caption = "Part of E_i that each local pair carries"
    return Section("pairs", "Where it breaks", [say if rows else none], caption, head, rows, (), more, (0, 1))


def _partners(result: Document) -> Section | None:
    if (found := result.breakdown) is None:
        return None
    whole = {who: found.remaining[i][i] for i, who in enumerate(distinct(facts.full_names(result)))}
    every = facts.partners(_rows(result, "partners"), whole)
    rows = [
        (_name(p.agent), p.who(_name), percent(p.share), number(p.before), number(p.after))
        for p in every[:MOST_ROWS]
    ]
    say = ["For each agent, the one whose pair, once known, takes away most of its entanglement (mu-atv)."]
    head = ("agent", "by the pair of", "explained", "mu-atv", "remaining")
    more, caption = (
        _more(len(rows), len(every)),
        "E_i alone, and what remains of it with the other pair known",
    )
    return (
        Section("partners", "Who explains whom", say, caption, head, rows, (), more, (0, 1)) if rows else None
    )


def _bias(result: Document) -> Section | None:
    columns = facts.per_agent(result)
    found = {k: bias for k, bias in result.transition_bias.items() if k in columns}
    if not found or max((e or 0.0 for k in found for e in columns[k]), default=0.0) < NOISE:
        return None
    who, shown = facts.names(result), facts.listed(result, MOST_ROWS)
    rows = [(who[i], *(number(x[i]) for k, b in found.items() for x in (b, columns[k]))) for i in shown]
    say = [
        "Distance of the local transition that an agent sees on average from its best local model, with E_i."
    ]
    caption = "transition_bias beside E_i, by distance"
    head = ("agent", *(word for k in map(elide, found) for word in (f"bias ({k})", f"E_i ({k})")))
    return Section("bias", "What learning sees", say, caption, head, rows, after=_more(len(shown), len(who)))
