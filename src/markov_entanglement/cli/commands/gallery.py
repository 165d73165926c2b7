"""`markov-entanglement gallery` and `gallery show ID`."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import InvalidInput
from ..completion import gallery_ids
from ..guard import guarded, outputs, saved, say, working
from ..options import Seed
from ..tables import save_files


@guarded
def gallery(
    context: typer.Context,
    table: Annotated[
        bool,
        typer.Option(
            "--table", help="Which systems add up: verdict, E, error, floor, loss. A minute or two."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="With --table: write it as one page to this file.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="With --table: write it to this file.")] = None,
    seed: Seed = 0,
) -> None:
    """List the gallery; with --table, may local values be added up in each system?"""
    if context.invoked_subcommand is not None:
        return
    outputs({"--html": html, "--csv": csv}, ())
    for option, path in (("--html", html), ("--csv", csv)):
        if path is not None and not table:
            raise InvalidInput(
                option, str(path), "it writes the table", f"Add --table: gallery --table {option} FILE."
            )
    from ...gallery import entries

    if table:
        _table(json, html, csv, seed)
        return
    if json:
        typer.echo(json_.dumps([_record(e) for e in entries()], indent=1, ensure_ascii=False))
        return
    width = max(len(e.id) for e in entries())
    for e in entries():
        typer.echo(f"{e.id:<{width}}  {e.title}")


def _table(json: bool, html: Path | None, csv: Path | None, seed: int) -> None:
    with working("the gallery"):
        from ...gallery.measured import benchmark
        from ...report.gallery import HEAD, NARROW, WORDS, cells, notes
        from ...report.text import table, wrapped

        found = benchmark(rng=seed)
    if json:
        say(json_.dumps(found.to_dict(), indent=1, ensure_ascii=False))
    else:
        rows = [cells(row)[:NARROW] for row in found.rows]
        told = [line for system, why in notes(found) for line in wrapped(f"{system}: {why}")]
        more = wrapped("In reward units, with limits and notes: --json, --csv FILE, --html FILE.")
        head = list(HEAD)[:NARROW]
        say("\n".join([*table(head, rows, left=range(WORDS)), "", *wrapped(found.sentence), *more, *told]))
    if html is not None:
        found.save_html(html)
        saved(html)
    if csv is not None:
        save_files(found, found.tables()["gallery"], None, csv)


@guarded
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="See gallery.", autocompletion=gallery_ids)],
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
    if record["parameters"]:
        known = ", ".join(f"{k}={json_.dumps(v)}" for k, v in record["parameters"].items())
        typer.echo(f"Parameters: {known} (change one: --option {next(iter(record['parameters']))}=VALUE)")
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
    return words | {"policies": list(e.policies), "parameters": e.parameters, "facts": facts}
