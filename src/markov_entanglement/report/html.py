"""A result as one self-contained HTML page: no script, no request, readable offline and on paper."""

from __future__ import annotations

from markupsafe import Markup, escape

from . import facts, glossary
from .canvas import page
from .document import Document
from .figures import pictures
from .sections import sections


def render_html(result: Document) -> str:
    """The report of a result, a whole HTML document; names are shown as text, whatever they contain."""
    word = result.verdict.word
    filled = page(
        "report.html.j2",
        {"subscripts": lambda text: escape(text).replace("E_i", Markup("E<sub>i</sub>"))},
        result=result,
        title=facts.elide(result.system.title or result.system.kind or "system", 300),
        verdict=result.verdict,
        headline=facts.WORDS[word],
        mark={"add": "✓", "do-not-add": "✕", "cannot-tell": "?"}[word],
        size=facts.size_words(result),
        meaning=glossary.meaning(result),
        separability=glossary.separability(result),
        sections=sections(result),
        refusals=facts.refusals(result),
        terms=glossary.terms(result),
        notation=glossary.NOTATION,
        pictures=pictures(result),
    )
    return facts.clean(filled)
