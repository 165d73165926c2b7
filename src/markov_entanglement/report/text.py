"""A result as plain text for a terminal: the verdict first, then the evidence, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from . import facts, glossary
from .document import Document
from .facts import elide
from .sections import Section, sections

WIDTH = 100


def render_text(result: Document) -> str:
    """The summary of a result, without a final newline and without colour codes."""
    system = result.system
    refused = [f"Not computed: {parts}. {reason}" for parts, reason in facts.refusals(result)]
    blocks = [
        [
            *_wrap(f"[{result.verdict.word}] {result.verdict.sentence}"),
            *(line for sentence in glossary.separability(result) for line in _wrap(sentence)),
        ],
        _wrap(f"{system.title or system.kind or 'System'}: {facts.size_words(result)}."),
        *([] if result.values else [_wrap(" ".join(glossary.meaning(result)))]),
        *map(_block, sections(result)),
        [line for sentence in refused for line in _wrap(sentence)],
    ]
    return facts.clean("\n\n".join("\n".join(block) for block in blocks if block))


def _block(s: Section) -> list[str]:
    before, after = ([line for x in part for line in _wrap(f"  {x}")] for part in (s.before, s.after))
    table = _table(s.head, [*s.rows, *s.foot], s.words) if s.rows else []
    return [s.title, *before, *table, *after]


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Aligned columns, those in `left` to the left, numbers to the right.

    Where a line would be too long, intervals are left out if numbers alone fill it; then the widest left columns give
    way: names are elided, words in the last column go on in the next line.
    """
    lines, last = [[" ".join(x.split()) for x in line] for line in (head, *rows)], len(head) - 1
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if sum(w + 2 for c, w in enumerate(widths) if c not in left) > WIDTH - 20:
        lines = [[x if c in left else x.split(" [")[0] for c, x in enumerate(line)] for line in lines]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for _ in range(sum(widths) + 2 * len(head) - WIDTH):
        widest = max(left, key=lambda c: widths[c])
        widths[widest] = max(widths[widest] - 1, 8)
    if last in left and last:
        lines = [more for line in lines for more in _continued(line, widths[last])]
    return [_aligned(line, widths, left) for line in lines]


def _continued(line: list[str], room: int) -> list[list[str]]:
    """The line, its last cell broken into as many lines of at most `room` characters as it needs."""
    first, *rest = textwrap.wrap(line[-1], room) or [""]
    return [[*line[:-1], first], *([*[""] * (len(line) - 1), more] for more in rest)]


def _aligned(line: Sequence[str], widths: Sequence[int], left: Sequence[int]) -> str:
    cells = enumerate(zip(line, widths, strict=True))
    return "".join(f"  {elide(x, w):<{w}}" if c in left else f"  {x:>{w}}" for c, (x, w) in cells).rstrip()
