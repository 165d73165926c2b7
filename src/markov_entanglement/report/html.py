"""A result as one self-contained HTML page: no script, no request, readable offline and on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from . import facts, glossary, questions
from .figures import pictures

if TYPE_CHECKING:
    from .document import Document

MOST_ROWS = 12


def render_html(result: Document) -> str:
    """The report of a result.

    Parameters
    ----------
    result : the result; names are shown as text, whatever they contain.

    Returns
    -------
    str : a whole HTML document, under 2 MB.
    """
    environment = Environment(
        loader=PackageLoader("markov_entanglement.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": facts.number, "percent": facts.percent}
    page = environment.get_template("report.html.j2").render(_context(result))
    return facts.clean(page)


def _context(result: Document) -> dict[str, Any]:
    drawn, word, values = pictures(result), result.verdict.word, result.values
    return {
        "result": result,
        "system": result.system,
        "title": facts.elide(result.system.title or result.system.kind or "system", 300),
        "verdict": result.verdict,
        "headline": facts.WORDS[word],
        "mark": {"add": "✓", "do-not-add": "✕", "cannot-tell": "?"}[word],
        "size": facts.size_words(result),
        "meaning": glossary.meaning(result),
        "separability": glossary.separability(result),
        "questions": questions.questions(result),
        "missing": questions.missing(result),
        "values": glossary.value_rows(result),
        "refusals": facts.refusals(result),
        "sums": facts.sums(result),
        "mean_field": facts.mean_field(result),
        "simulated": facts.simulated(result),
        "vdn_gap": values.joint_additive.vdn_gap if values and values.joint_additive else None,
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
    }


def _agent_table(result: Document) -> dict[str, Any] | None:
    """Entanglement of each agent, the worst first when there are many; spread over all agents."""
    columns = facts.per_agent(result)
    if not columns:
        return None
    who, n, found = facts.names(result), result.system.units, result.entanglement
    shown = facts.listed(result, MOST_ROWS)
    cells = [[facts.number(c[i]) + facts.interval(found[k], i) for k, c in columns.items()] for i in shown]
    return {
        "columns": list(columns),
        "rows": list(zip([who[i] for i in shown], cells, strict=True)),
        "spread": [facts.spread(c) for c in columns.values()] if n > facts.FEW else [],
        "totals": [found[k].total for k in columns],
        "estimators": [found[k].method or ("simulated" if found[k].interval else "exact") for k in columns],
        "left_out": n - len(shown),
    }


def _bias_table(result: Document) -> dict[str, Any] | None:
    """Bias of the local transition beside E_i, for the most entangled agents."""
    columns = facts.per_agent(result)
    found = {k: bias for k, bias in result.transition_bias.items() if k in columns}
    if not found:
        return None
    who, shown = facts.names(result), facts.listed(result, facts.FEW)
    rows = [(who[i], [facts.number(x[i]) for k, b in found.items() for x in (b, columns[k])]) for i in shown]
    return {"columns": list(found), "rows": rows}
