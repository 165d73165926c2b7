"""A result as one self-contained HTML page: no script, no request, readable offline and on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from . import facts, glossary
from .figures import pictures
from .sections import sections

if TYPE_CHECKING:
    from .document import Document


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
    environment.filters["subscripts"] = lambda text: escape(text).replace("E_i", Markup("E<sub>i</sub>"))
    page = environment.get_template("report.html.j2").render(_context(result))
    return facts.clean(page)


def _context(result: Document) -> dict[str, Any]:
    word = result.verdict.word
    return {
        "result": result,
        "title": facts.elide(result.system.title or result.system.kind or "system", 300),
        "verdict": result.verdict,
        "headline": facts.WORDS[word],
        "mark": {"add": "✓", "do-not-add": "✕", "cannot-tell": "?"}[word],
        "size": facts.size_words(result),
        "meaning": glossary.meaning(result),
        "separability": glossary.separability(result),
        "sections": sections(result),
        "refusals": facts.refusals(result),
        "terms": glossary.terms(result),
        "notation": glossary.notation(),
        # made by `figures`, which escapes every name
        "pictures": {k: (p, Markup(p.svg)) for k, p in pictures(result).items()},
    }
