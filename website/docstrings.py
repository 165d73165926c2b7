"""Docstrings as Markdown: sections of numpy's kind with items `name : what it is` as lists, examples as sessions."""

from __future__ import annotations

import re
from typing import Any

import execute
import griffe
import links

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.M)
_ITEM = re.compile(r"^(?=\S)(?P<names>[^\n:]+?) :(?:[ \n]|$)")
_SHOWN = links.public_sources()


def markdown(text: str) -> str:
    """A docstring as Markdown."""
    head, *rest = _SECTION.split(text)
    out = _sessions(head).rstrip()
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        items, after = _items(body)
        shown = f"\n\n**{title}**\n\n"
        shown += "\n".join(items) if items else _sessions(body)
        out += shown.rstrip() + (f"\n\n{_sessions(after).rstrip()}" if after else "")
    return out.strip() + "\n"


def _items(body: str) -> tuple[list[str], str]:
    """The items of a section as a list, and what follows it; no items: it is text."""
    items: list[str] = []
    lines = body.rstrip("\n").splitlines()
    for at, line in enumerate(lines):
        found = _ITEM.match(line)
        if found is not None:
            names = ", ".join(f"`{n.strip()}`" for n in found["names"].split(","))
            items.append(f"- {names}: {line[found.end() :].strip()}")
        elif items and line.startswith("    "):
            items[-1] += f" {line.strip()}"
        elif items and not line.strip():
            continue
        else:
            return items, "\n".join(lines[at:]) if items else ""
    return items, ""


def _sessions(text: str) -> str:
    """Examples in fences."""
    out: list[str] = []
    inside = False
    for line in text.splitlines():
        if not inside and line.lstrip().startswith(">>>"):
            out += ["", "```pycon"]
            inside = True
        elif inside and not line.strip():
            out.append("```")
            inside = False
        out.append(execute.DIRECTIVE.sub("", line))
    return "\n".join([*out, "```"] if inside else out)


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is shown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
            path = f"src/{obj.relative_package_filepath.as_posix()}"
            if (obj.is_class or obj.is_function) and path in _SHOWN:
                place = f"../{links.source_page(path)}#L{obj.lineno}"
                obj.docstring.value += f"\n[source]({place}){{ .source }}\n"
