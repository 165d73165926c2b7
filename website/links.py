"""Links of what pages say in code: public names, modules, files, systems of the gallery."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

import pygments
import reference
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

import markov_entanglement as me

ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("", "docs", f"src/{me.__name__}")
_CODE = re.compile(r"<(a|pre)\b.*?</\1>|<code>([^<]+)</code>", re.S)
_NAME = re.compile(rf"(?:(?:me|{me.__name__})\.)?([A-Za-z_]\w*)(?=$|[(.,]| )")
_GALLERY = frozenset(e.id for e in me.gallery.entries())
_PARTS = {module: sorted(reference.members(module), key=len, reverse=True) for module in me._MODULES}
_ERRORS = frozenset(reference.members("errors"))
#: Pages on which a name in code is a public name even without `me.`.
_OF_NAMES = ("theory.md",)


def source_of(text: str) -> str | None:
    """The Python file that a word in code names, from the root: a path, or a module."""
    if re.fullmatch(r"(?:[\w.-]+/)+[\w.-]+\.py", text):
        places = [posixpath.join(folder, text) for folder in _FOLDERS]
    elif re.fullmatch(rf"{me.__name__}(?:\.\w+)+", text):
        inside = f"src/{text.replace('.', '/')}"
        places = [f"{inside}.py", f"{inside}/__init__.py"]
    else:
        return None
    return next((place for place in places if (ROOT / place).is_file()), None)


def named_sources(texts: Iterable[str]) -> list[str]:
    """The Python files that pages name, and those of public names."""
    words = {word for text in texts for word in re.findall(r"`([\w./-]+)`", text)}
    return sorted(public_sources() | {path for word in words if (path := source_of(word)) is not None})


def public_sources() -> set[str]:
    """The files that define public names."""
    return {path for module in me._CONTENTS if (path := source_of(f"{me.__name__}.{module}"))}


def source_page(path: str) -> str:
    """The page that shows a file, from the top of the site."""
    return f"source/{path.removesuffix('.py')}.html"


def source(path: str) -> str:
    """A file as a page of its own with numbered lines."""
    code = (ROOT / path).read_text(encoding="utf-8")
    lines = pygments.highlight(code, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).splitlines()
    shown = "\n".join(f'<a id="L{n}" href="#L{n}">{n}</a>{line}' for n, line in enumerate(lines, 1))
    top = "../" * source_page(path).count("/")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>{path}</title><link rel="stylesheet" href="{top}assets/source.css">'
        f'<header><a href="{top}index.html">markov-entanglement</a> {path}</header><pre>{shown}</pre></html>\n'
    )


def target(text: str, page: str) -> str | None:
    """Where a word in code leads, from the top of the site."""
    if (path := source_of(text)) is not None:
        return source_page(path)
    if text in _GALLERY and page != "gallery.md":
        return f"gallery.html#{text}"
    m = _NAME.match(text.removeprefix("me.errors."))
    if m is not None and m[1] in _ERRORS:
        return f"{reference.anchor('errors')}.{m[1]}"
    if m is None or m[1] not in me.__all__:
        return None
    meant = text.startswith(("me.", f"{me.__name__}.")) or m[1][0].isupper() or page in _OF_NAMES
    meant |= "_" in m[1] and page.startswith("reference/")
    inside = text.partition(f"{m[1]}.")[2]
    part = next((n for n in _PARTS.get(m[1], ()) if re.match(rf"{n}\b", inside)), None)
    return (reference.anchor(m[1]) + (f".{part}" if part else "")) if meant else None


def linked(content: str, page: str) -> str:
    """A page with links where its words in code lead somewhere."""
    here = posixpath.dirname(page)

    def link(m: re.Match[str]) -> str:
        if m[2] is None:
            return m[0]
        text = m[2].replace("\\|", "|")  # a bar in a table
        where = target(html.unescape(text), page)
        if where is None or where.split("#")[0] == f"{page.removesuffix('.md')}.html":
            return f"<code>{text}</code>"
        lines = re.sub(r"(?<=[/_.])(?=\w)", "<wbr>", text)
        return f'<a class="name" href="{posixpath.relpath(where, here or ".")}"><code>{lines}</code></a>'

    return _CODE.sub(link, content)
