"""A result as one self-contained HTML page: no script, no request, readable offline and on paper."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from . import facts, glossary, terms
from .canvas import page
from .document import Document
from .figures import pictures
from .sections import KEYS, sections

_LOW = re.compile(r"((?<!\w)(?:[A-Za-zα-ωΠΣ]|TV|max|min)|‖)_(∞|2,μ|i\^max|[A-Za-zα-ω])(?![A-Za-z0-9_])")
_HIGH = re.compile(r"(?<!\w)(N|T|10|γ)\^(-?\d+(?:\.\d+)?|k|\([^()]*\))(?!\w)")


def marked(text: str) -> Markup:
    """A sentence of ours with real subscripts and powers, and with its "%" on the line of the number."""
    shown = str(escape(text)).replace("E_i", "E<sub>i</sub>").replace(" %", "\u00a0%")
    return Markup(_HIGH.sub(r"\1<sup>\2</sup>", shown))


def formula(text: str) -> Markup:
    """The same of a definition, in which every letter may have an index."""
    low = _LOW.sub(r"\1<sub>\2</sub>", str(escape(text))).replace("i^max</sub>", "i</sub><sup>max</sup>")
    return Markup(_HIGH.sub(r"\1<sup>\2</sup>", low))


def render_html(result: Document) -> str:
    """The report of a result, a whole HTML document; names are shown as text, whatever they contain."""
    word = result.verdict.word
    filled = page(
        "report.html.j2",
        {"marked": marked, "formula": formula},
        result=result,
        title=facts.title(result),
        verdict=result.verdict,
        headline=facts.WORDS[word],
        mark={"add": "✓", "do-not-add": "✕", "cannot-tell": "?"}[word],
        size=facts.size_words(result),
        made=facts.made_of(result),
        units=terms.UNITS,
        meaning=glossary.meaning(result),
        separability=glossary.separability(result),
        sections=sections(result),
        keys=KEYS,
        refusals=facts.refusals(result),
        terms=glossary.terms(result),
        notation=terms.NOTATION,
        pictures={k: p for k, p in pictures(result).items() if p.svg or p.note},
    )
    return facts.clean(filled)
