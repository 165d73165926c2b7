"""What the shell is offered for a value when the user presses the tabulator key."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import typer

from ..model.kinds import kinds
from ..model.words import WORDS
from ..readers import endings


def any_of(*words: str) -> Callable[[str], list[str]]:
    """Completes one of a few words."""

    def complete(incomplete: str) -> list[str]:
        return _starting(words, incomplete)

    return complete


def systems(incomplete: str) -> list[str]:
    """`gallery:ID`, and the files of systems where the user is looking."""
    found = [f"gallery:{id}" for id in _ids()]
    folder = Path(os.path.dirname(incomplete))  # noqa: PTH120 (of "folder/" it is the folder)
    if not incomplete.startswith("gallery:") and folder.is_dir():
        names = [str(f) for f in folder.iterdir() if f.suffix.lower() in endings() and f.is_file()]
        found = [*sorted(names), *found]
    return _starting(found, incomplete)


def policies(ctx: typer.Context, incomplete: str) -> list[str]:
    """The words, and the policies of the gallery system."""
    words = [str(ctx.params.get("system")), *ctx.args]  # the latter where an option still lacks its value
    id = next((w.removeprefix("gallery:") for w in words if w.startswith("gallery:")), "")
    own: Iterable[str] = ()
    if id in _ids():
        from ..gallery import entry

        own = entry(id).policies
    return _starting(dict.fromkeys((*own, *WORDS)), incomplete)


def gallery_ids(incomplete: str) -> list[str]:
    """Systems of the gallery."""
    return _starting(_ids(), incomplete)


def kind_words(incomplete: str) -> list[str]:
    """Kinds of system files."""
    return _starting(kinds(), incomplete)


@contextmanager
def colons() -> Iterator[None]:
    """Bash breaks words at colons: what was typed is put together before anything looks for values, and the answer is
    cut at its last colon."""
    if os.environ.get("_MARKOV_ENTANGLEMENT_COMPLETE") != "complete_bash":
        yield
        return
    words, at = os.environ["COMP_WORDS"].split("\n"), int(os.environ["COMP_CWORD"])
    k = 1
    while k < len(words):
        if words[k].startswith(":") or (words[k] and words[k - 1].endswith(":")):
            words[k - 1 : k + 1] = [words[k - 1] + words[k]]
            at -= k <= at
        else:
            k += 1
    os.environ |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(at)}
    typed = "".join(words[at : at + 1])
    done = typed[: typed.rfind(":") + 1]
    out = io.StringIO()
    try:
        with redirect_stdout(out):
            yield
    finally:
        print(*(line.removeprefix(done) for line in out.getvalue().splitlines()), sep="\n")


def _ids() -> list[str]:
    from ..gallery import entries

    return [e.id for e in entries()]


def _starting(options: Iterable[str], incomplete: str) -> list[str]:
    return [o for o in options if o.startswith(incomplete)]
