"""`markov-entanglement gallery` and `gallery show ID`."""

from __future__ import annotations

import json as json_
from typing import Annotated, Any

import typer

from ..guard import guarded

app = typer.Typer(help="Named systems with known numbers.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
@guarded
def gallery(
    context: typer.Context, json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
) -> None:
    """List the gallery."""
    if context.invoked_subcommand is not None:
        return
    from ...gallery import entries

    if json:
        typer.echo(json_.dumps([_record(e) for e in entries()], indent=1, ensure_ascii=False))
        return
    width = max(len(e.id) for e in entries())
    for e in entries():
        typer.echo(f"{e.id:<{width}}  {e.title}")


@app.command("show")
@guarded
def show(
    id: Annotated[str, typer.Argument(metavar="ID")],
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show one system: what it is, its policies, its known numbers."""
    from ...gallery import entry

    record = _record(entry(id))
    if json:
        typer.echo(json_.dumps(record, indent=1, ensure_ascii=False))
        return
    typer.echo(f"{record['id']}: {record['title']}\n\n{record['summary']}\nSource: {record['source']}")
    if record["policies"]:
        typer.echo(f"Policies: {', '.join(record['policies'])} (the first is the default)")
    for f in record["facts"]:
        where = ", ".join([*filter(None, [f["policy"]]), *(f"{k}={v}" for k, v in f["params"].items())])
        typer.echo(
            f"  {_named(f['quantity'])} = {_shown(f['value'])}{f' ({where})' if where else ''}  [{f['source']}]"
        )
    typer.echo(f"\nTry: markov-entanglement analyze gallery:{record['id']}")


def _named(quantity: str) -> str:
    """A distance as what it is: "policy" alone would be a policy."""
    from ...measures.entanglement import DISTANCES

    return f"E_i by {quantity}" if quantity in DISTANCES else quantity


def _shown(value: Any) -> str:
    """A number or numbers without the digits that binary fractions add."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_shown, value))})"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _record(e: Any) -> dict[str, Any]:
    words = {k: getattr(e, k) for k in ("id", "title", "summary", "source", "requires")}
    facts = [vars(f) | {"params": dict(f.params)} for f in e.facts]
    return words | {"policies": list(e.policies), "facts": facts}
