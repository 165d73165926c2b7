"""A result as plain text for a terminal: the verdict first, then the evidence, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import facts, questions
from .facts import elide, number, percent

if TYPE_CHECKING:
    from .document import Document, Numbers

WIDTH = 100


def render_text(result: Document) -> str:
    """The summary of a result.

    Parameters
    ----------
    result : the result.

    Returns
    -------
    str : without a final newline and without colour codes.
    """
    blocks = [
        _verdict(result),
        _system(result),
        *_questions(result),
        _entanglement(result),
        _values(result),
        _mean_field(result),
        _sums(result),
        _certificates(result),
        _bounds(result),
        _partners(result),
        _pairs(result),
        _refused(result),
    ]
    return facts.clean("\n\n".join("\n".join(block) for block in blocks if block))


def _verdict(result: Document) -> list[str]:
    lines = _wrap(f"[{result.verdict.word}] {result.verdict.sentence}", "  ")
    return [*lines, *_separability(result)]


def _separability(result: Document) -> list[str]:
    s = result.separability
    parts = []
    if s.agentwise:
        parts.append(f"Agent-wise {s.agentwise}{facts.worst_atv(result)}.")
    if s.verdict:
        parts.append(f"By Definition 6.2: {s.verdict}.")
    if s.explanation:
        parts.append(s.explanation)
    return _wrap(" ".join(parts), "  ") if parts else []


def _system(result: Document) -> list[str]:
    s = result.system
    return _wrap(f"{s.title or s.kind or 'System'}: {facts.size_words(result)}.", "  ")


def _questions(result: Document) -> list[list[str]]:
    blocks = [
        [
            q.title,
            *(line for sentence in q.sentences for line in _wrap(f"  {sentence}", "  ")),
            *_table(q.head, q.rows, left=(2,) if q.head[-1] == "what it says" else ()),
        ]
        for q in questions.questions(result)
    ]
    lacking = questions.missing(result)
    return [*blocks, _wrap(lacking, "  ")] if lacking else blocks


def _entanglement(result: Document) -> list[str]:
    columns = facts.per_agent(result)
    extra = facts.others(result)
    if not columns and not extra:
        return []
    out = ["Entanglement E_i: how far an agent's next step depends on more than its own pair (0 none, 1 all)"]
    if columns:
        out += _table(["agent", *columns], _agent_rows(result, columns))
    if extra:
        out += _table(["distance", "whom", "value"], [[k, elide(w), number(e)] for k, w, e in extra[:12]])
    for line in facts.simulated(result):
        out += _wrap(f"  {line}", "  ")
    return out


def _agent_rows(result: Document, columns: dict[str, Numbers]) -> list[list[str]]:
    who, n = facts.names(result), result.system.units
    if n <= facts.FEW:
        return [[elide(who[i]), *(number(c[i]) for c in columns.values())] for i in range(n)]
    ranges = [facts.spread(c) for c in columns.values()]
    rows = [
        [f"{word} of {n}", *("-" if r is None else number(r[k]) for r in ranges)]
        for k, word in enumerate(("least", "median", "largest"))
    ]
    worst = facts.worst_first(result)[:4]
    return rows + [[elide(who[i]), *(number(c[i]) for c in columns.values())] for i in worst]


def _values(result: Document) -> list[str]:
    v = result.values
    if v is None:
        return _wrap(f"No values: {result.no_values}.", "  ") if result.no_values else []
    named = {
        "||err||_mu": ("error_mu", "mean absolute error over visited joint pairs"),
        "||err||_inf": ("error_sup", "largest error on a recurrent joint pair"),
        "||err||_2,mu": ("error_l2", "root mean square error"),
        "relative_error": ("relative_error", "||err||_mu / ||Q||_mu, the paper's"),
        "unexplained": ("unexplained", "share of the spread of Q that the sum misses: decides"),
        "e(r)": ("shared_reward_error", "shared reward that no local rewards can give"),
    }
    rows = [[label, facts.estimated(result, key), says] for label, (key, says) in named.items()]
    return [
        "Error of adding up, err = Q - sum_i Q_i, in reward units",
        *_table(["number", "value", "what it says"], [row for row in rows if row[1] != "-"], left=(2,)),
        *(_wrap(f"  Estimator: {v.estimator}.", "  ") if v.estimator else []),
    ]


def _mean_field(result: Document) -> list[str]:
    rows = [[name, value, says] for name, value, says in facts.mean_field(result)]
    if not rows:
        return []
    words = [line for row in rows for line in _wrap(f"  {row[0]}: {row[1]}; {row[2]}", "    ")]
    return ["Law of large numbers", *words]


def _sums(result: Document) -> list[str]:
    rows = facts.sums(result)
    head = ["local values", "||err||_mu", "||err||_inf", "||err||_2,mu"]
    return ["Is there a better sum?", *_table(head, rows)] if rows else []


def _certificates(result: Document) -> list[str]:
    best = facts.best_certificates(result)
    rows = [[norm, str(k), number(low), number(high)] for norm, (k, low, high) in best.items()]
    return ["Two-sided certificate, narrowest k", *_table(["norm", "k", "low", "high"], rows)] if rows else []


def _bounds(result: Document) -> list[str]:
    rows = [
        [b.name.replace("Theorem", "Thm"), b.distance, b.norm, number(b.bound), number(b.truth), b.ratio]
        for b in facts.bound_rows(result)
    ]
    if not rows:
        return []
    head = ["theorem", "distance", "norm", "bound", "truth", "bound/truth"]
    return [
        "Bounds beside the truth (a large E is no proof of a large error)",
        *_table(head, rows, left=(0, 1, 2)),
    ]


def _partners(result: Document) -> list[str]:
    rows = [
        [elide(p.agent, 24), elide(p.whose, 40), percent(p.share), number(p.before), number(p.after)]
        for p in facts.partners(result, 5)
    ]
    if not rows:
        return []
    head = ["agent", "explained by the pair of", "share", "E_i", "E_i with it"]
    return ["Who explains whom (mu-atv)", *_table(head, rows, left=(0, 1))]


def _pairs(result: Document) -> list[str]:
    every = facts.top_pairs(result, 10**9)
    rows = [
        [elide(p.who, 32), elide(p.pair, 32), number(p.part), percent(p.share), percent(p.visited)]
        for p in every[:5]
    ]
    if not rows:
        return []
    head = ["agent", "local pair", "part of E_i", "share", "visited"]
    of = "" if len(every) <= 5 else f", the 5 largest of {len(every):,}"
    title = f"Where it breaks: local pairs that carry most of E_i (mu-atv){of}"
    return [title, *_table(head, rows, left=(0, 1))]


def _refused(result: Document) -> list[str]:
    out = []
    for parts, reason in facts.refusals(result):
        out += _wrap(f"Not computed: {parts}. {reason}", "  ")
    return out


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], left: tuple[int, ...] = (0,)) -> list[str]:
    """Aligned columns, those in `left` (and the first) to the left, numbers to the right.

    Where a line would be too long, the widest left column alone gives way: names are elided, words in the last
    column go on in the next line.
    """
    lines, last = [[" ".join(x.split()) for x in line] for line in (head, *rows)], len(head) - 1
    widths = [max(len(line[c]) for line in lines) for c in range(len(head))]
    widest = max((0, *left), key=lambda c: widths[c])
    excess = sum(widths) + 2 * len(head) - WIDTH
    if excess > 0:
        room = widths[widest] = max(widths[widest] - excess, 8)
        if widest == last > 0:
            lines = [more for line in lines for more in _continued(line, room)]
        else:
            lines = [[*line[:widest], elide(line[widest], room), *line[widest + 1 :]] for line in lines]
    return [_aligned(line, widths, (0, *left)) for line in lines]


def _continued(line: list[str], room: int) -> list[list[str]]:
    """The line, its last cell broken into as many lines of at most `room` characters as it needs."""
    first, *rest = textwrap.wrap(line[-1], room) or [""]
    return [[*line[:-1], first], *([*[""] * (len(line) - 1), more] for more in rest)]


def _aligned(line: Sequence[str], widths: Sequence[int], left: tuple[int, ...]) -> str:
    cells = zip(line, widths, strict=True)
    return "".join(
        "  " + (x.ljust(w) if c in left else x.rjust(w)) for c, (x, w) in enumerate(cells)
    ).rstrip()
