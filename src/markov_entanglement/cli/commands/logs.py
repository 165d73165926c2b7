"""`markov-entanglement logs FILE...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ...errors import InvalidInput
from .. import guard
from ..guard import guarded, outputs, say, tell, working
from ..options import Discount, Json, Seed

Files = Annotated[
    list[str],
    Argument(metavar="FILE...", help="Parquet or CSV, one row a step and agent; or a folder of a log."),
]


@guarded
def logs(
    files: Files,
    agents: Annotated[str | None, Option("--agents", help="Column that names the agent.")] = None,
    states: Annotated[str | None, Option("--states", help="Columns of the local state: cell,status.")] = None,
    actions: Annotated[str | None, Option("--actions", help="Column of the action.")] = None,
    episode: Annotated[str | None, Option("--episode", help="Column of the episode.")] = None,
    t: Annotated[str | None, Option("--t", help="Column of the step in its episode.")] = None,
    reward: Annotated[str | None, Option("--reward", help="Column of the reward of the agent.")] = None,
    terminated: Annotated[str | None, Option("--terminated", help="Column: the task ended here.")] = None,
    chance: Annotated[
        str | None, Option("--chance", help="Column of the policy's probability of the action taken.")
    ] = None,
    views: Annotated[
        bool, Option("--views", help="Compare what agents might see: all combinations of --states.")
    ] = False,
    view: Annotated[
        list[str] | None, Option("--view", help="One of the views to compare, e.g. cell,status; repeat it.")
    ] = None,
    discount: Discount = None,
    tolerance: Annotated[
        float, Option("--tolerance", help="Largest unexplained share of the spread of Q to accept.")
    ] = 0.05,
    store: Annotated[
        Path | None, Option("--store", help="Keep what was read in this folder, as shards.")
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on from what --store holds.")] = False,
    seed: Seed = 0,
    json: Json = None,
    html: Annotated[Path | None, Option("--html", help="Write the report to this file (not -).")] = None,
) -> None:
    """What logs alone can say: does anybody depend on others, how much, and do local values add up?"""
    outputs({"--json": json, "--html": html}, [Path(f) for f in files])
    if resume and store is None:
        raise InvalidInput("--resume", "no --store", "a log that was read lies in that folder", "Name it.")
    if views and view:
        raise InvalidInput(
            "--view", ", ".join(view), "--views compares all of them", "Leave one of the two out."
        )
    with working(f"reading {', '.join(files)}"):
        from ...analysis.analyze import analyze
        from ...data.read import read_logs

        try:
            log = read_logs(
                files if len(files) > 1 else files[0], agents=agents, actions=actions, episode=episode, t=t,
                states=None if states is None else states.split(","), reward=reward, terminated=terminated,
                chance=chance, discount=discount, store=store, resume=resume,
            )  # fmt: skip
        except KeyboardInterrupt:
            if store is not None and (store / "meta.json").exists():
                guard.keep(store)
            raise
    if store is not None:
        say(f"kept {store}")
    with working(f"analysing {', '.join(files)}"):
        asked = [one.split(",") for one in view] if view else views
        found = analyze(log, views=asked, tolerance=tolerance, rng=seed, title=", ".join(files), command=guard.COMMAND,
                        source=", ".join(files))  # fmt: skip
        text = found.summary()
    tell(text, ((json, found.save_json), (html, found.save_html)))
