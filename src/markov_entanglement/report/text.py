"""A result as plain text for a terminal: the verdict first, then the evidence, in 80 columns, or up to 100."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from . import facts, glossary, terms
from .document import Document
from .facts import elide
from .sections import Section, sections

WIDTH, WIDEST = 80, 100
#: A name goes on in so many lines at most.
_LINES = 3
_TIED = "\u00a0%"


def width() -> int:
    """Columns of the text: 80, more where the terminal has more."""
    return min(max(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH), WIDEST)


def render_text(result: Document) -> str:
    """The summary of a result, without a final newline and without colour codes."""
    refused = [f"Not computed: {parts}. {reason}" for parts, reason in facts.refusals(result)]
    made = ". ".join(f"{name.capitalize()}: {words}" for name, words in facts.made_of(result))
    blocks = [
        [
            *wrapped(f"[{result.verdict.word}] {result.verdict.sentence}"),
            *(line for sentence in glossary.meaning(result) for line in wrapped(sentence)),
            *(line for sentence in glossary.separability(result) for line in wrapped(sentence)),
        ],
        [
            *wrapped(f"{facts.title(result)}: {facts.size_words(result)}."),
            *(wrapped(f"{made}.") if made else []),
            *wrapped(f"Units: {terms.UNITS}"),
        ],
        *map(_block, sections(result)),
        [line for sentence in refused for line in wrapped(sentence)],
    ]
    return facts.clean("\n\n".join("\n".join(block) for block in blocks if block))


def _block(s: Section) -> list[str]:
    before, after = ([line for x in part for line in wrapped(f"  {x}")] for part in (s.before, s.after))
    caption = wrapped(f"  {s.caption}:") if s.caption and s.head[:1] != ("number",) else []
    lines = [*caption, *table(s.head, s.rows, s.foot, left=s.words)] if s.rows else []
    return [s.title, *before, *lines, *after]


def wrapped(text: str) -> list[str]:
    """Lines of a sentence."""
    lines = textwrap.wrap(text.replace(" %", _TIED), width(), subsequent_indent="  ", break_on_hyphens=False)
    return [line.replace(_TIED, " %") for line in lines]


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    foot: Sequence[Sequence[str]] = (),
    *,
    left: Sequence[int] = (0,),
) -> list[str]:
    """Aligned columns, those in `left` to the left, numbers to the right; a rule above the foot.

    Where a line would be too long, intervals are left out if numbers alone fill it; then the widest left columns give
    way and go on in the next lines; numbers that still do not fit stand in a table of their own below.
    """
    most, last = width(), len(head) - 1
    lines = [[" ".join(x.split()) for x in line] for line in (head, *rows, *foot)]
    if sum(w + 2 for c, w in enumerate(_widths(lines)) if c not in left) > most - 20:
        lines = [[x if c in left else x.split(" [")[0] for c, x in enumerate(line)] for line in lines]
    widths = _widths(lines)
    fixed = [c for c in range(len(head)) if c not in left]
    for k in range(1, len(fixed)):
        if sum(widths[c] + 2 for c in fixed[: k + 1]) > most - 10 * len(left):
            first, second = ([*left, *part] for part in (fixed[:k], fixed[k:]))
            parts = (
                [[line[c] for c in columns] for line in (head, *rows, *foot)] for columns in (first, second)
            )
            at, cut = range(len(left)), len(rows) + 1
            return [line for p in parts for line in table(p[0], p[1:cut], p[cut:], left=at)]
    for _ in range(sum(widths) + 2 * len(head) - most):
        widest = max(left, key=lambda c: widths[c])
        widths[widest] = max(widths[widest] - 1, 8)
    out = []
    for k, line in enumerate(lines):
        if foot and k == len(rows) + 1:
            out.append("  " + "-" * (sum(widths) + 2 * last))
        cells = [_broken(x, widths[c], c == last) if c in left else [x] for c, x in enumerate(line)]
        for j in range(max(map(len, cells))):
            out.append(_aligned([cell[j] if j < len(cell) else "" for cell in cells], widths, left))
    return out


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _broken(words: str, room: int, free: bool) -> list[str]:
    """As many lines as words in the last column need; a name in a few, its middle left out."""
    words = words if free else elide(words, _LINES * room - 8)
    return textwrap.wrap(words, room, break_on_hyphens=False) or [""]


def _aligned(line: Sequence[str], widths: Sequence[int], left: Sequence[int]) -> str:
    cells = enumerate(zip(line, widths, strict=True))
    return "".join(f"  {x:<{w}}" if c in left else f"  {x:>{w}}" for c, (x, w) in cells).rstrip()
