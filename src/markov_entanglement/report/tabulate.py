"""The tables of a result, each from its block of the result JSON: a whole document and a single answer say the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .facts import explained as _explained
from .table import Columns, Table, distinct, table, upright
from .terms import NONE, NUMBERS, REWARD, SHARE

#: The row of a number for all agents together, and what a row with a name is of.
ALL, AGENT = "all agents", "agent, or type of agents that are alike"
_DISTANCE, _NORM = "how it was measured", "norm of the error: mu mean, l2 root mean square, sup largest"
#: Parts of an error budget, in order.
PARTS = ("floor", "bias", "noise")
#: Numbers of local values that a whole result holds.
MOST_LOCAL = 20_000

#: Where all of them are, whatever was saved.
_ALL_LOCAL = (
    "me.value_decomposition(chain).tables()['local_values'] has them; of a simulated bandit "
    "me.estimate_error(bandit, policy, rng=0).tables()['local_values']"
)

Block = Mapping[str, Any]
_NUMBERS = {
    "number": "its name",
    "value": "the number",
    "low": "lower limit, where there is one",
    "high": "upper limit, where there is one",
    "unit": "its unit",
    "says": "what it is",
}


def column(key: str) -> tuple[str, str]:
    """What a column of a number of the result JSON says, and its unit."""
    term = NUMBERS[key]
    return term.says, "" if term.unit == NONE else term.unit


def of(block: str, found: Block) -> list[tuple[Any, ...]]:
    """Rows of `numbers` of a block of the result JSON, with the limits that it has under "intervals"."""
    limits, rows = found.get("intervals") or {}, []
    for key in NUMBERS:
        place, _, name = key.rpartition(".")
        if place == block and not isinstance(value := found.get(name), str | list):
            says, unit = column(key)
            rows.append((name, value, unit, says, limits.get(name)))
    return rows


def numbers(rows: Iterable[Sequence[Any]], title: str = "Numbers") -> Table:
    """Rows (name, value, unit, what it is) or with a (low, high) at the end; those without a value are left out."""
    out = []
    for name, value, unit, says, *limits in rows:
        low, high = limits[0] if limits and limits[0] else (None, None)
        if value is not None or low is not None:
            out.append((name, value, low, high, unit, says))
    return table("numbers", title, _NUMBERS, out)


def errors(block: Block) -> list[tuple[Any, ...]]:
    """Rows of `numbers` of a block of errors, its own or those of joint additive values beside them."""
    return of("values", block) + of("values.joint_additive", block.get("joint_additive") or block)


def local_block(
    names: Sequence[str],
    labels: Sequence[tuple[Sequence[str], Sequence[str]]],
    values: Sequence[Any],
    visited: Sequence[Any],
    *,
    kind: str,
    constant: float,
    most: float = math.inf,
) -> dict[str, Any]:
    """The block `local_values` of a result: per unit its values (S, A) by state and action, null where never visited.

    Parameters
    ----------
    labels : per unit, names of its states and actions.
    values, visited : per unit (S A,) local values and shares of the steps at each local pair (NaN: not known).
    constant : what is added once to the sum over agents.
    most : numbers at most; whole units beyond are left out, which is said.
    """
    agents, used = [], 0
    for name, (states, actions), q, share in zip(distinct(names), labels, values, visited, strict=True):
        used += len(q)
        if used > most:
            break
        n = len(actions)
        wide = [[_plain(x) for x in column] for column in (q, share)]
        rows = [[c[k : k + n] for k in range(0, len(c), n)] for c in wide]
        agents.append({"agent": name, "states": list(states), "actions": list(actions), "values": rows[0],
                       "visited": rows[1]})  # fmt: skip
    left = ""
    if len(agents) < len(names):
        left = (
            f"local values of {len(names) - len(agents)} of {len(names)} agents, for there are "
            f"{sum(map(len, values)):,} in all: in Python, {_ALL_LOCAL}"
        )
    return {
        "unit": REWARD,
        "kind": kind,
        "constant": _plain(constant),
        "agents": agents,
        "left_out": left or None,
    }


def _plain(x: Any) -> float | None:
    return float(x) if math.isfinite(x) else None


def local_values(block: Block, what: str = "") -> Table:
    """Local values, or what else there is of each local pair, a row each."""
    columns: Columns = {
        "agent": AGENT,
        "state": "its local state",
        "action": "its local action",
        "value": (f"{what or column('local_values.agents.values')[0]} ({block['kind']})", block["unit"]),
        "visited": column("local_values.agents.visited"),
    }
    rows = (
        (a["agent"], state, action, q, share)
        for a in block["agents"]
        for state, qs, shares in zip(distinct(a["states"]), a["values"], a["visited"], strict=True)
        for action, q, share in zip(distinct(a["actions"]), qs, shares, strict=True)
    )
    word = what or "local value"
    title = f"{word.capitalize()}s ({block['kind']})"
    return table(f"{word.replace(' ', '_')}s", title, columns, rows, 3, block.get("left_out") or "")


def points(block: Block) -> Table:
    """Joint pairs: the true value beside the sum of local ones."""
    columns: Columns = {
        "point": "number of the joint pair in the sample",
        "sum": ("sum of local values", REWARD),
        "q": ("true value Q", REWARD),
        "weight": ("part of the long run that it stands for", SHARE),
    }
    shown, left = len(block["q"]), ""
    if shown < block["of"]:
        left = (
            f"a sample of {shown:,} of {block['of']:,} joint pairs by their weight, with the largest errors"
        )
    rows = zip(range(shown), block["sum"], block["q"], block["weight"], strict=True)
    return table("points", "Q against the sum of local values", columns, rows, 1, left)


def entanglement(measures: Mapping[str, Block], names: Sequence[str] = (), word: str = "agent") -> Table:
    """E_i, a row for each agent and distance; one for all agents where a distance has one number."""
    columns: Columns = {
        "agent": AGENT,
        "distance": _DISTANCE,
        "value": column("entanglement.*.per_agent"),
        "low": "lower limit, where it is an estimate or an upper bound",
        "high": "upper limit, where it is an estimate or an upper bound",
        "agents": "number of agents that it stands for",
    }
    rows: list[tuple[Any, ...]] = []
    for distance, m in measures.items():
        each = m.get("per_agent")
        if each is None:
            rows.append((ALL, distance, m.get("value"), m.get("lower"), None, None))
            continue
        known = distinct(names) if len(names) == len(each) else [f"{word} {i}" for i in range(len(each))]
        many = m.get("multiplicity") or [1] * len(each)
        at_most = m.get("upper_bound") or [False] * len(each)
        limits = m.get("interval") or [(0.0, e) if b else None for e, b in zip(each, at_most, strict=True)]
        for name, e, pair, n in zip(known, each, limits, many, strict=True):
            rows.append((name, distance, e, *(pair or (None, None)), n))
    return table("entanglement", "Entanglement of each agent", columns, rows, 2)


def evidence(measure: Block, names: Sequence[str]) -> Table:
    """Of each agent of a log: limits of E_i, the test, and what chance alone shows."""
    keys = ("p_value", "plug_in", "null", "information", "information_null", "more_steps", "used")
    columns: Columns = {
        "agent": AGENT,
        "low": "lower limit of E_i",
        "high": "upper limit of E_i",
        **{k: column(f"entanglement.*.{k}") for k in keys},
        "over": "what was read beside its own pair",
    }
    limits = [pair or (None, None) for pair in measure["interval"]]
    rows = zip(names, *zip(*limits, strict=True), *(measure[k] for k in keys), measure["over"], strict=True)
    return table("evidence", "What the log shows of each agent", columns, rows)


def memory(block: Block) -> Table:
    """Does anything beyond the present joint pair predict the next one?"""
    columns: Columns = {
        "beside": "what may still predict the next joint pair",
        "p_value": column("memory.p_previous"),
        "information": column("memory.information_previous"),
    }
    told = {"previous": "the previous joint pair", "clock": "the step of the episode, cuts included",
            "inside": "the step of the episode, inside episodes"}  # fmt: skip
    rows = [(w, block.get(f"p_{k}"), block.get(f"information_{k}")) for k, w in told.items()]
    return table("memory", "Is it Markov?", columns, [r for r in rows if r[1] is not None])


def bounds(lines: Mapping[str, Block]) -> Table:
    """Bounds by theorem."""
    columns: Columns = {
        "theorem": "whose bound it is",
        "norm": _NORM,
        "distance": "entanglement that it reads",
        "bound": column("bounds.*.bound"),
        "truth": column("bounds.*.truth"),
        "reward_part": column("bounds.*.reward_part"),
        "transition_part": column("bounds.*.transition_part"),
    }
    names = ("norm", "distance", "bound", "truth", "reward_part", "transition_part")
    rows = [(name, *(b.get(k) for k in names)) for name, b in lines.items()]
    return table("bounds", "Bounds beside the truth", columns, rows, 2)


def certificate(norms: Mapping[str, Mapping[Any, Sequence[Any]]]) -> Table:
    """Two-sided limits of the error by norm and number of steps."""
    columns: Columns = {
        "norm": _NORM,
        "steps": "applications of the Bellman operator, k",
        "low": ("the error is at least", REWARD),
        "high": ("the error is at most", REWARD),
    }
    rows = [(norm, int(k), *pair) for norm, steps in norms.items() for k, pair in steps.items()]
    return table("certificate", "Certificate: limits of the error from k steps", columns, rows, 2)


def budget(block: Block) -> Table:
    """Parts of the squared error."""
    columns: Columns = {
        "part": "; ".join(f"{k}: {column(f'error_budget.{k}')[0]}" for k in PARTS),
        "value": ("root mean square", REWARD),
        "share": ("part of the mean squared error", SHARE),
    }
    known = {k: abs(x) for k in PARTS if (x := block.get(k)) is not None}
    most = max(known.values(), default=0.0)
    whole = sum((x / most) ** 2 for x in known.values()) if most else 0.0
    rows = [(k, block[k], (x / most) ** 2 / whole if most else None) for k, x in known.items()]
    return table("budget", "What the squared error consists of", columns, rows)


def orders(block: Block) -> Table:
    """What is left of the spread of Q by the number of agents whose pairs are read together."""
    columns: Columns = {
        "agents": "agents whose pairs each function reads",
        "unexplained": column("orders.unexplained"),
    }
    return table("orders", "What is left of the spread of Q", columns, enumerate(block["unexplained"]))


def best_pairs(pairs: Sequence[Block]) -> Table:
    """Pairs of agents whose joint functions explain most."""
    columns: Columns = {
        "rank": "order in which they are added, the best first",
        "first": "agent",
        "second": "agent",
        "unexplained": ("left of the spread of Q with it and those before it", SHARE),
    }
    rows = [(k, *p["names"], p["unexplained"]) for k, p in enumerate(pairs, 1)]
    return table("best_pairs", "Pairs of agents that explain most", columns, rows)


def sources(block: Block, names: Sequence[str]) -> Table:
    """Entanglement of the system and of the policy beside that of both."""
    each = {"system": block["kernel"], "policy": block["policy"], "together: E_i": block["pair"]}
    source = "system: transitions alone; policy: choice of actions alone; together: E_i"
    columns: Columns = {"agent": AGENT, "source": source, "value": column("entanglement.*.per_agent")}
    title = "Entanglement of the system and of the policy"
    return _by_agent("policy_or_system", title, columns, each, names)


#: What local values may read of a signal, as a result names it and in words.
FORMS = {
    "seeing": "local values that see the signal",
    "blind": "local values that may not",
    "common": "these and a common function of the signal",
}


def signal(block: Block) -> Table:
    """Errors by what local values may see of the signal."""
    errors = ("error_mu", "error_sup", "error_l2", "unexplained")
    words = "; ".join(f"{k}: {says}" for k, says in FORMS.items())
    columns: Columns = {"values": words, **{k: column(f"values.{k}") for k in errors}}
    rows = [(form, *(block[form][k] for k in errors)) for form in FORMS]
    return table("signal", "What the signal is worth", columns, rows)


def signal_agents(block: Block, names: Sequence[str]) -> Table:
    """E_i with and without the signal, and what of each agent's reward blind values do not show."""
    keys = ("seeing_mu_atv", "blind_mu_atv", "blind_policy", "reward_misfit")
    columns: Columns = {"agent": AGENT, **{k: column(f"signal.{k}") for k in keys}}
    rows = zip(distinct(names), *(block.get(k) or [None] * len(names) for k in keys), strict=True)
    return table("signal_agents", "Agents with and without the signal", columns, rows)


def views(block: Block) -> Table:
    """What is found of each view, a row each."""
    shares = {"unexplained": "values.unexplained", "unexplained_floor": "error_budget.unexplained_floor",
              "reward_misfit": "values.reward_misfit"}  # fmt: skip
    keys = [*shares, "largest"]
    columns: Columns = {"view": "what agents see", "parts": "the parts that it shows",
                        "pairs": "local pairs of all agents"}  # fmt: skip
    for key in keys:
        says, unit = column(shares.get(key, "views.views.largest"))
        limits = {f"{key}_{end}": (f"its {word} limit, where it is estimated", unit)
                  for end, word in (("low", "lower"), ("high", "upper"))}  # fmt: skip
        columns = {**columns, key: (says, unit), **limits}
    columns = {**columns, "p_previous": column("memory.p_previous"), "p_inside": "the same of the step of the episode",
               "note": "why something is empty"}  # fmt: skip
    rows = []
    for v in block["views"]:
        memory = v.get("memory") or {}
        cells = (x for key in keys for x in (v[key], *(v[f"{key}_interval"] or (None, None))))
        rows.append((v["name"], " + ".join(v["parts"]), sum(v["pairs"]), *cells, memory.get("p_previous"),
                     memory.get("p_inside"), v["caution"]))  # fmt: skip
    return table("views", "What agents see, and what is then missed", columns, rows)


def view_agents(block: Block) -> Table:
    """E_i of each agent in each view."""
    columns: Columns = {
        "view": "what agents see", "agent": AGENT, "pairs": "its local pairs",
        "value": column("entanglement.*.per_agent"),
        "low": "lower limit, where it is estimated", "high": "upper limit, where it is estimated",
        "p_value": column("entanglement.*.p_value"),
    }  # fmt: skip
    rows = []
    for v in block["views"]:
        e, names = v["entanglement"], block["agents"]
        limits, p = e.get("interval") or [(None, None)] * len(names), e.get("p_value") or [None] * len(names)
        each = zip(names, v["pairs"], e["per_agent"], limits, p, strict=True)
        rows += [(v["name"], who, pairs, x, *pair, chance) for who, pairs, x, pair, chance in each]
    return table("view_agents", "Agents in each view", columns, rows, 2)


def view_steps(block: Block) -> Table:
    """How the suggestion was found."""
    columns: Columns = {
        "step": "number of the step", "shows": "the larger view", "instead": "the view before",
        "gain": column("views.steps.gain"), "low": ("its lower limit, where it is estimated", SHARE),
        "high": ("its upper limit, where it is estimated", SHARE),
        "taken": "whether it is above 0 for sure",
    }  # fmt: skip
    rows = [
        (
            k,
            s["shows"],
            s["instead"],
            s["gain"],
            *(s["interval"] or (None, None)),
            "yes" if s["taken"] else "no",
        )
        for k, s in enumerate(block["steps"], 1)
    ]
    return table("view_steps", "One view after another", columns, rows)


def signal_limits(block: Block, names: Sequence[str]) -> Table:
    """Limits of what was estimated of a signal."""
    columns: Columns = {
        "of": "form of the local values, agent, or number of the value of the signal",
        "number": "its name",
        "value": "the number",
        "low": "lower limit",
        "high": "upper limit",
    }
    rows = [
        (form, k, block[form][k], *pair) for form in FORMS for k, pair in block[form]["intervals"].items()
    ]
    rows.append((ALL, "lost", block["lost"], *block["lost_interval"]))
    signals = [f"signal {z}" for z in range(len(block["g"]))]
    for key, of in (("blind_policy", distinct(names)), ("reward_misfit", distinct(names)), ("g", signals)):
        each = zip(of, block.get(key) or (), block.get(f"{key}_interval") or (), strict=False)
        rows += [(who, key, x, *pair) for who, x, pair in each]
    return table("signal_limits", "Limits of what the signal is worth", columns, rows, 2)


def _by_agent(
    name: str, title: str, columns: Columns, each: Mapping[str, Sequence[Any]], names: Sequence[str]
) -> Table:
    """Rows (agent, word, number) of columns with a number for each agent."""
    rows = [
        (who, word, x) for word, cells in each.items() for who, x in zip(distinct(names), cells, strict=True)
    ]
    return table(name, title, columns, rows, 2)


def pairs(block: Block, names: Sequence[str]) -> Table:
    """What each local pair adds to E_i."""
    columns: Columns = {
        "agent": AGENT,
        "pair": "its local pair",
        "part": column("breakdown.per_pair"),
        "share": ("its part of E_i", SHARE),
        "visited": column("breakdown.occupancy"),
    }
    rows = []
    for i, (who, parts) in enumerate(zip(distinct(names), block["per_pair"], strict=True)):
        whole = block["remaining"][i][i]
        known = (block.get("pair_names") or {i: None})[i] or [f"pair {x}" for x in range(len(parts))]
        for name, part, mu in zip(distinct(known), parts, block["occupancy"][i], strict=True):
            share = part / whole if part is not None and whole else None
            rows.append((who, name, part, share, mu))
    return table("pairs", "Local pairs that carry the entanglement", columns, rows, 2)


def partners(block: Block, names: Sequence[str]) -> Table:
    """What is left of E_i when the pair of another agent is known."""
    columns: Columns = {
        "agent": "the entangled agent",
        "partner": "whose pair is known beside its own",
        "left": column("breakdown.remaining"),
        "explained": column("breakdown.explained"),
    }
    who, remaining = distinct(names), block["remaining"]
    every = range(len(who))
    alike = block.get("alike") or [None] * len(who)
    pairs = [(i, j) for i in every for j in every if i != j or alike[i] is not None]
    left = [remaining[i][j] if i != j else alike[i] for i, j in pairs]
    share = [_explained(remaining[i][i], x) for (i, _), x in zip(pairs, left, strict=True)]
    whose = [who[j] if i != j else f"another of {who[j]}" for i, j in pairs]
    return upright(
        "partners", "Who explains whom", columns, [[who[i] for i, _ in pairs], whose, left, share], 2
    )


def transition_bias(block: Mapping[str, Sequence[Any]], names: Sequence[str]) -> Table:
    """How far Eq. 2 is from the best local model."""
    columns: Columns = {"agent": AGENT, "distance": _DISTANCE, "value": column("transition_bias")}
    return _by_agent("transition_bias", "Bias of the local transition", columns, block, names)


def mean_field(rows: Iterable[Sequence[Any]]) -> Table:
    """Rows (type, state, fraction, activation, rank) of the fixed point."""
    columns: Columns = {
        "type": "type of arms",
        "state": "local state",
        "fraction": column("mean_field.fixed_point"),
        "activation": column("mean_field.activation"),
        "rank": "order of service; 1 is served first",
    }
    return table("mean_field", "Fixed point of the mean field", columns, rows, 2)


def prediction(rows: Iterable[Sequence[Any]]) -> Table:
    """Rows (quantity, agent, predicted, found, low, high): limit constants beside what was found."""
    columns: Columns = {
        "quantity": "what is predicted",
        "agent": "type of arms, or all agents",
        "predicted": "by the limit constants at this number of arms",
        "found": "exactly or by simulation",
        "low": "lower limit of what was found",
        "high": "upper limit of what was found",
    }
    kept = [r for r in rows if r[2] is not None and r[3] is not None]
    return table("prediction", "Prediction of the limit beside what was found", columns, kept, 2)


def index(
    values: Sequence[Sequence[Any]], title: str, unit: str, who: Sequence[str], states: Sequence[Sequence[str]],
    verdict: Sequence[str] = (),
) -> Table:  # fmt: skip
    """An index (T, S) by the names of types and states, with a `verdict` on each type where there is one."""
    said = {"verdict": "whether the type has an index"} if verdict else {}
    columns: Columns = {
        "type": "type of arms", "state": "local state", "index": ("higher is served first", unit), **said
    }  # fmt: skip
    named = zip(distinct(who), states, values, strict=True)
    rows = [
        (t, s, x, *verdict[k : k + 1])
        for k, (t, names, row) in enumerate(named)
        for s, x in zip(distinct(names), row, strict=True)
    ]
    return table("index", title, columns, rows, 2)


def steps(rewards: Any) -> Table:
    """Reward of all agents together by step, (T, N); the first `MOST_LOCAL` steps."""
    columns: Columns = {"step": "number of the step", "reward": ("of all agents together", REWARD)}
    shown = rewards[:MOST_LOCAL].sum(axis=1).tolist()
    left = ""
    if len(rewards) > len(shown):
        left = f"the first {len(shown):,} of {len(rewards):,} steps: .rewards has all of them"
    return table("steps", "Reward by step", columns, enumerate(shown), 1, left)
