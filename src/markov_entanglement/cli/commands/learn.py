"""`markov-entanglement learn SYSTEM`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from typer import Option

from ...errors import InvalidInput
from ..completion import any_of
from ..guard import guarded, outputs, saved, say, working
from ..options import BurnIn, Csv, Discount, Initial, Json, Policy, Seed, System
from ..subject import NActions, NStates, Options, chain_of, inputs, options_of
from ..tables import save_files, text_table

#: Word -> the class of the library, and which of the command's options it takes.
LEARNERS = {
    "lstd": ("LSTD", "trace"), "td": ("TD", "trace"), "monte-carlo": ("MonteCarlo", ""), "counts": ("CountModel", ""),
    "joint-lstd": ("JointLSTD", ""), "neural": ("Neural", "rng"),
}  # fmt: skip

Learner = Annotated[
    str, Option("--learner", help=f"{', '.join(LEARNERS)}.", autocompletion=any_of(*LEARNERS))
]
Trace = Annotated[float, Option("--trace", help="lambda in [0, 1] of td and lstd.")]


@guarded
def learn(
    system: System,
    policy: Policy = None,
    learner: Learner = "lstd",
    trace: Trace = 0.0,
    steps: Annotated[str, Option("--steps", help="Number of steps: 100000 or 1e5.")] = "1e5",
    burn_in: BurnIn = 1000,
    discount: Discount = None,
    initial: Initial = None,
    n_states: NStates = None,
    n_actions: NActions = None,
    option: Options = None,
    seed: Seed = 0,
    resume: Annotated[
        bool, Option("--resume", help="Go on with the run that --json FILE stopped in.")
    ] = False,
    json: Json = None,
    csv: Csv = None,
) -> None:
    """Run a system and learn local values from its steps; Ctrl-C keeps what was learned so far, --resume goes on."""
    if resume and json is None:
        rule = "a run that was stopped lies beside the file of --json"
        raise InvalidInput("--resume", "no --json", rule, "Name that file.")
    keep = None if json is None else json.with_suffix(".resume.npz")
    outputs({"--json": json, "--json, its run": keep, "--csv": csv}, inputs(system, policy, options=option))
    many = steps_of(steps)
    with working(f"learning {system}"), interruptible() as stop:
        from ...learning.learn import learn as run

        made = learner_of(learner, trace, seed)
        chain = chain_of(system, policy, initial, options_of(n_states, n_actions, option), discount)
        found = run(
            made, chain, steps=many, burn_in=burn_in, discount=discount, rng=seed, stop=stop, keep=keep, resume=resume
        )  # fmt: skip
    table = found.tables()["local_values"]
    say(f"{found.sentence} Estimator: {found.estimator}.\n{text_table(table)}")
    save_files(found, table, json, csv)
    if keep is not None and found.steps < many:
        saved(keep)
    if stop():
        raise KeyboardInterrupt


def steps_of(text: str, least: int = 1) -> int:
    """A number of steps, also as 1e6."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (least <= value < 2**62 and value == int(value)):
        rule = f"it must be a whole number of steps, at least {least}"
        raise InvalidInput("--steps", repr(text), rule, "E.g. 1e5.")
    return int(text) if text.isdigit() else int(value)


def learner_of(word: str, trace: float, seed: int) -> Any:
    """The learner of that name."""
    if word not in LEARNERS:
        raise InvalidInput.unknown("--learner", word, LEARNERS)
    name, takes = LEARNERS[word]
    if trace and takes != "trace":
        rule = f"{word} has no trace"
        raise InvalidInput("--trace", f"{trace:g}", rule, "Leave it out, or take --learner lstd.")
    from ...model.kinds import public

    options = {"trace": trace, "rng": seed}
    return public(name)(**{takes: options[takes]} if takes else {})


@contextmanager
def interruptible() -> Iterator[Any]:
    """A question that the first Ctrl-C answers with yes; the second one stops as usual."""
    asked: list[bool] = []

    def note(*_: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
