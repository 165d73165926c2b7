"""The documentation page of the gallery, written from its records."""

from __future__ import annotations

import inspect

from .registry import Entry, Fact, entries

_HEAD = """# The gallery

Named systems with known numbers. `me.gallery.build(ID, POLICY, **parameters)` gives the system and the policy, the
command line takes `gallery:ID`; `markov-entanglement gallery show ID` prints one record. Every number below is computed
afresh by the tests (`me.gallery.observe`) and must agree within its tolerance. What a quantity means is told in
`gallery/facts.py`. This page is written by `me.gallery.page()`.
"""


#: What stands around the table, which takes a minute to compute: `python docs/make_gallery.py`.
_TABLE = """## May local values be added up?

The gallery as a benchmark: every system with its default parameters and policy, exact where nothing else is said.
`markov-entanglement gallery --table` computes it afresh (`--json`, `--csv FILE`, `--html FILE`), in Python
`me.gallery.benchmark()`. `best sum` and `floor` are the least that any sum of functions of single agents misses, `lost`
and `loss` what choices by the sum of local values lose; shares are of the spread of Q, the last three columns in reward
units.
"""


def page(table: str = "") -> str:
    """The page `docs/gallery.md`, in Markdown; `table` of `me.gallery.benchmark`, if it is to hold one.

    >>> import markov_entanglement as me
    >>> me.gallery.page().splitlines()[0]
    '# The gallery'
    """
    found = entries()
    index = "\n".join(f"- [`{e.id}`](#{e.id}): {e.title}" for e in found)
    told = [f"\n{_TABLE}", table] if table else []
    return "\n".join([_HEAD, index, *told, *(_section(e) for e in found)])


def _section(e: Entry) -> str:
    what = " ".join((inspect.getdoc(e.builder) or "").split())
    lines = [f"\n## {e.id}\n", f"**{e.title}.** {e.summary}\n", what]
    if e.parameters:
        lines.append("\nParameters: " + ", ".join(f"`{k}={v!r}`" for k, v in e.parameters.items()) + ".")
    if e.policies:
        named = ", ".join(f"`{p}`" for p in e.policies)
        lines.append(f"\nPolicies: {named} (the first is the default).")
    lines.append(f"\nSource: {e.source}." + (f" Needs the package `{e.requires}`." if e.requires else ""))
    lines += ["\n| quantity | value | tolerance | policy, parameters | known from |", "|---|---|---|---|---|"]
    return "\n".join(lines + [_row(f) for f in e.facts])


def _row(f: Fact) -> str:
    where = ", ".join([*filter(None, [f.policy]), *(f"{k}={v}" for k, v in f.params.items())])
    margin = "exact word" if isinstance(f.value, str) else f"{f.tolerance:g}"
    return f"| `{f.quantity}` | {_value(f.value)} | {margin} | {where or 'default'} | {f.source} |"


def _value(value: float | str | tuple[float, ...]) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, tuple):
        return f"{value:.10g}"
    shown = [f"{v:.10g}" for v in value[:12]]
    return ", ".join(shown) + (f", ... ({len(value)} numbers)" if len(value) > 12 else "")
