"""The pages of the reference, made of `_CONTENTS`: every public name is on the page of its floor of the house."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import markov_entanglement as me

PACKAGE = me.__name__
#: Page -> its title and the floors whose names it has; a floor that is not here has a page of its own.
PAGES = {
    "analysis": ("The whole answer", ["analysis", "report"]),
    "systems": ("Systems and policies", ["model"]),
    "readers": ("Files and objects of others", ["readers"]),
    "chains": ("Chains and entanglement", ["markov", "measures", "separable"]),
    "values": ("Values, errors, bounds", ["values"]),
    "bandits": ("Restless bandits", ["bandits"]),
    "runs": ("Runs and certificates", ["runs"]),
    "learning": ("Learners", ["learning"]),
    "environments": ("Environments and networks", ["environments"]),
    "logs": ("Logs", ["data"]),
    "studies": ("Gallery and studies", ["studies", "gallery"]),
    "errors": ("Errors", ["errors"]),
}


def contents() -> dict[str, list[str]]:
    """Page -> the public names on it."""
    homes = {name: module.split(".")[0] for module, names in me._CONTENTS.items() for name in names.split()}
    homes |= {name: name for name in me._MODULES}
    page_of = {floor: page for page, (_, floors) in PAGES.items() for floor in floors}
    found: dict[str, list[str]] = {page: [] for page in PAGES}
    for name, floor in homes.items():
        found.setdefault(page_of.get(floor, floor), []).append(name)
    return found


def title(page: str) -> str:
    """What a page is called."""
    return PAGES[page][0] if page in PAGES else page.capitalize()


def pages() -> list[dict[str, str] | str]:
    """The part of the navigation."""
    return ["reference/index.md", *({title(p): f"reference/{p}.md"} for p in contents())]


def anchor(name: str) -> str:
    """Where a public name is described, from the top of the site."""
    return f"reference/{_PAGE_OF[name]}.html#{PACKAGE}.{name}"


def members(module: str) -> list[str]:
    """What a public module offers: what it names, or its classes."""
    found = getattr(me, module)
    return getattr(found, "__all__", [n for n, v in vars(found).items() if _is_own_class(v, found.__name__)])


def _is_own_class(value: object, module: str) -> bool:
    return inspect.isclass(value) and value.__module__ == module and not value.__name__.startswith("_")


_PAGE_OF = {name: page for page, names in contents().items() for name in names}


def made() -> dict[str, Callable[[], str]]:
    """The pages: where, and what makes them."""
    return {"reference/index.md": _index} | {
        f"reference/{page}.md": lambda page=page, names=names: _page(page, names)
        for page, names in contents().items()
    }


def _first(name: str) -> str:
    """The first sentence of its docstring, as a cell of a table."""
    text = (inspect.getdoc(getattr(me, name)) or "").split("\n\n")[0].replace("\n", " ")
    return text.replace("|", "\\|")


def _rows(names: list[str], place: str) -> list[str]:
    rows = [f"| [`{n}`]({place}#{PACKAGE}.{n}) | {_first(n)} |" for n in names]
    return ["| name | what it is |", "|---|---|", *rows, ""]


def _index() -> str:
    lines = ["# Reference", "", f"Every public name: `import {PACKAGE} as me`, then `me.NAME`.", ""]
    for page, names in contents().items():
        lines += [f"## [{title(page)}]({page}.md)", "", *_rows(names, f"{page}.md")]
    return "\n".join(lines)


def _page(page: str, names: list[str]) -> str:
    lines = [f"# {title(page)}", "", *_rows(names, "")]
    for name in names:
        lines += [f"::: {PACKAGE}.{name}"]
        if name in me._MODULES:
            lines += ["    options:", f"      members: [{', '.join(members(name))}]"]
        lines += [""]
    return "\n".join(lines)
