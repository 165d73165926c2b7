"""A result as one self-contained HTML page: no script, no request, readable offline and on paper."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from . import facts, glossary
from .figures import pictures

MOST_ROWS = 12


def render_html(result: dict[str, Any]) -> str:
    """The report of a result.

    Parameters
    ----------
    result : the form of `Analysis.to_dict()`; names are shown as text, whatever they contain.

    Returns
    -------
    str : a whole HTML document, under 2 MB.
    """
    result = facts.clean(result)
    environment = Environment(
        loader=PackageLoader("markov_entanglement.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": facts.number, "percent": facts.percent, "elide": facts.elide}
    page = environment.get_template("report.html.j2").render(_context(result))
    return str(page)


def _context(result: dict[str, Any]) -> dict[str, Any]:
    drawn = pictures(result)
    return {
        "result": result,
        "system": result["system"],
        "verdict": result["verdict"],
        "headline": facts.WORDS[result["verdict"]["word"]],
        "mark": {"add": "✓", "do-not-add": "✕", "cannot-tell": "?"}[result["verdict"]["word"]],
        "size": facts.size_words(result),
        "meaning": glossary.meaning(result),
        "separability": glossary.separability(result),
        "values": glossary.value_rows(result),
        "refusals": facts.refusals(result),
        "sums": facts.sums(result),
        "mean_field": facts.mean_field(result),
        "simulated": facts.simulated(result),
        "vdn_gap": ((result.get("values") or {}).get("joint_additive") or {}).get("vdn_gap"),
        "agents": _agent_table(result),
        "others": facts.others(result)[:MOST_ROWS],
        "bounds": facts.bound_rows(result),
        "certificates": facts.best_certificates(result),
        "pairs": facts.top_pairs(result, MOST_ROWS),
        "partners": facts.partners(result, MOST_ROWS),
        "bias": _bias_table(result),
        "terms": glossary.terms(result),
        "notation": glossary.notation(),
        "pictures": drawn,
        "svg": {k: Markup(p.svg) for k, p in drawn.items()},  # made by `figures`, which escapes every name
        "versions": result.get("versions") or {},
        "solvers": result.get("solvers") or {},
    }


def _agent_table(result: dict[str, Any]) -> dict[str, Any] | None:
    """Entanglement of each agent, the worst first when there are many; spread over all agents."""
    columns = facts.per_agent(result)
    if not columns:
        return None
    who, n = facts.names(result), facts.units(result)
    shown = facts.listed(result, MOST_ROWS)
    estimators = {
        k: m.get("method") or ("simulated" if m.get("interval") else "exact")
        for k, m in facts.measures(result).items()
    }
    return {
        "columns": list(columns),
        "rows": [(who[i], [_cell(result, k, i, c[i]) for k, c in columns.items()]) for i in shown],
        "spread": [facts.spread(c) for c in columns.values()] if n > facts.FEW else [],
        "totals": [result["entanglement"][k].get("total") for k in columns],
        "estimators": [estimators[k] for k in columns],
        "left_out": n - len(shown),
    }


def _cell(result: dict[str, Any], distance: str, i: int, e: float | None) -> str:
    """The number, and its interval where the measure carries one."""
    interval = result["entanglement"][distance].get("interval")
    text = facts.number(e)
    if (
        isinstance(interval, list)
        and len(interval) > i
        and isinstance(interval[i], list)
        and len(interval[i]) == 2
    ):
        low, high = (facts.number(x) if isinstance(x, int | float) else "-" for x in interval[i])
        return f"{text} [{low}, {high}]"
    return text


def _bias_table(result: dict[str, Any]) -> dict[str, Any] | None:
    """Bias of the local transition beside E_i, for the most entangled agents."""
    who, columns = facts.names(result), facts.per_agent(result)
    found = {
        k: bias
        for k, bias in (result.get("transition_bias") or {}).items()
        if k in columns and len(bias) == len(who)
    }
    if not found:
        return None
    shown = facts.listed(result, facts.FEW)
    rows = [(who[i], [facts.number(x[i]) for k, b in found.items() for x in (b, columns[k])]) for i in shown]
    return {"columns": list(found), "rows": rows, "left_out": len(who) - len(shown)}
