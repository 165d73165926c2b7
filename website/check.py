"""Looks through a built site: links, anchors and pictures lead somewhere, nothing is fetched, every name is there.

`python website/check.py [SITE]`
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import markov_entanglement as me

#: Attributes that a browser follows by itself.
_FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}


class _Page(HTMLParser):
    """Ids, links and what a browser fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.update(v for k in ("id", "name") if (v := given.get(k)) and (k == "id" or tag == "a"))
        if tag == "a" and (href := given.get("href")):
            self.links.add(href)
        if (where := given.get(_FETCHED.get(tag, ""))) and given.get("rel") not in (
            "canonical",
            "next",
            "prev",
        ):
            self.fetched.add(where)


class _Source:
    """A page that shows a file: its lines."""

    def __init__(self, text: str) -> None:
        self.ids = Counter(re.findall(r'<a id="(L\d+)"', text))
        self.links = self.fetched = set(re.findall(r'href="([^#"][^"]*)"', text))


def site(folder: Path) -> list[str]:
    """What is wrong, a line each; empty if all is well."""
    pages: dict[Path, Any] = {}
    for path in sorted(folder.rglob("*.html")):
        kind = _Source if path.is_relative_to(folder / "source") else _Page
        pages[path] = kind(path.read_text(encoding="utf-8"))
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(folder).as_posix()
        far = [x for x in sorted(page.fetched) if urlsplit(x).netloc]
        wrong += [f"{name} fetches {x}" for x in far]
        if name == "404.html":  # it is served from anywhere: its links are from the top
            continue
        near = sorted((page.links | page.fetched) - set(far))
        wrong += [f"{name}: {x} leads nowhere" for x in near if not _leads(path, x, pages)]
    found = Counter(i for page in pages.values() for i in page.ids.elements())
    names = [f"{me.__name__}.{name}" for name in me.__all__]
    return wrong + [f"{n} is described {found[n]} times" for n in names if found[n] != 1]


def _leads(path: Path, link: str, pages: dict[Path, Any]) -> bool:
    parts = urlsplit(link)
    if parts.scheme:
        return True
    goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not goal.exists() or goal.is_dir():
        return False
    return not parts.fragment or goal not in pages or unquote(parts.fragment) in pages[goal].ids


if __name__ == "__main__":
    found = site(Path(sys.argv[1] if len(sys.argv) > 1 else "site").resolve())
    print("\n".join(found) or "nothing is wrong")
    sys.exit(bool(found))
