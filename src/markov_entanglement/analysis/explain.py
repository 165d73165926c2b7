"""Proofs in words: which joint pairs by their names, which rewards, what differs, how to see it again."""

from __future__ import annotations

from typing import Any

from .._check import Ints
from ..laws.source import Source, Space
from ..report.facts import elide
from ..separable.decomposition import Decomposition
from ..separable.equation import Equation
from ..separable.witness import Witness
from ..values.certificate import Certificate

_MOST = 4
_NORM = {
    "l2": "in root mean square (L2(mu))",
    "mu": "on average over visits (L1(mu))",
    "sup": "at its largest (sup)",
}


def witness_words(space: Space, w: Witness) -> str:
    """The rewards, the two joint pairs and what differs between them, and the calls that repeat it."""
    who, own = _name(space, w.agent), _pairs(space, w.agent)
    paid = {
        sign: [at for at, r in zip(own, w.rewards[w.agent], strict=True) if r == sign] for sign in (1, -1)
    }
    pay = "; ".join(f"{'1' if sign > 0 else '-1'} in {_listed(at)}" for sign, at in paid.items() if at)
    fitted = (
        "Values fitted with every pair in view are exact at these rewards"
        if w.additive_residual < 1e-9 * w.gap
        else f"Values fitted with every pair in view still miss Q by up to {w.additive_residual:.4g}"
    )
    return (
        f"Pay {who} alone, {pay}. {_two(space, w.pairs, (w.agent,))} {who} sees the same there, "
        f"yet Q(x) - Q(y) = {w.gap:.4g} reward units at discount {w.discount:.3g}, so every function of its own pair "
        f"misses Q by at least {w.gap / 2:.4g} at x or at y. {fitted}. To see it again: w = me.separability(chain, "
        f"discount={w.discount!r}).witness; q = me.value_decomposition(chain, w.rewards, w.discount).joint_q; "
        "q[w.rows[0]] - q[w.rows[1]]."
    )


def equation_words(space: Space, e: Equation) -> str:
    """The chances that a separable transition would have equal."""
    names = {i: [*_pairs(space, i), "a task that has ended"] for i in e.agents}
    ahead = [f"{_name(space, i)} in {names[i][t]}" for i, t in zip(e.agents, e.next, strict=True)]
    return (
        f"{_two(space, e.pairs, e.agents)} The next step has {_listed(ahead)} with probability {e.values[0]:.4g} from "
        f"x and {e.values[1]:.4g} from y; in a separable transition (Def. 6.2) these are equal, as the own pairs are."
    )


def _two(space: Space, pairs: Ints, same: tuple[int, ...]) -> str:
    """The joint pairs x and y: what those in `same` see, and what differs in the others."""
    (x, y), names = pairs.tolist(), [_name(space, u) for u in range(len(space.units))]
    label = [_pairs(space, u) for u in range(len(names))]
    alike = [*same, *(j for j in range(len(names)) if x[j] == y[j] and j not in same)]
    shared = [f"{names[j]} in {label[j][x[j]]}" for j in alike]
    apart = [
        f"{names[j]} in {label[j][x[j]]} at x, in {label[j][y[j]]} at y"
        for j in range(len(names))
        if x[j] != y[j]
    ]
    return f"Two joint pairs x and y share {_listed(shared)}; they differ in {_listed(apart)}."


def _name(space: Space, u: int) -> str:
    return elide(space.units[u].name, 40)


def _pairs(space: Space, u: int) -> list[str]:
    return [f"({elide(name, 40)})" for name in space.pair_names(u)]


def _listed(words: list[str]) -> str:
    """The first few."""
    return ", ".join(words[:_MOST]) + (f" and {len(words) - _MOST:,} more" if len(words) > _MOST else "")


def decomposition_words(found: Decomposition) -> str:
    """The explicit decomposition, summarised."""
    if found.n_terms == 1:
        return (
            "Separable by Def. 6.2: an explicit product of local moves, one transition matrix for each agent."
        )
    largest = sorted(found.weights.tolist(), key=abs, reverse=True)
    weights = _listed([f"{w:.3g}" for w in largest])
    signs = "" if largest and min(largest) >= 0 else "; negative weights are allowed"
    return (
        f"Separable by Def. 6.2: an explicit sum of {found.n_terms:,} products of local moves with weights {weights} "
        f"(they sum to 1{signs}) misses no row by more than {found.residual:.1e}."
    )


def certificate_words(found: Certificate) -> str:
    """What the two-sided certificate proves, in a sentence."""
    limits = ((norm, *found.interval(norm)) for norm in _NORM)
    said = [f"between {low:.4g} and {high:.4g} {_NORM[norm]}" for norm, low, high in limits]
    return (
        f"In reward units the true error of the sum lies {', '.join(said)}. This holds whatever Q is: it is proved "
        f"from the sum itself by {max(found.mu)} steps of the known chain, without solving for Q."
    )


def proofs(source: Source, found: Any) -> dict[str, str]:
    """`explanation` of each proof of a separability finding, by its key in the result JSON."""
    out = {}
    if found.witness is not None:
        out["witness"] = witness_words(source, found.witness)  # type: ignore[arg-type]
    if found.equation is not None:
        out["equation"] = equation_words(source, found.equation)  # type: ignore[arg-type]
    if found.inequality is not None:
        i = found.inequality
        out["inequality"] = (
            f"A linear expression in the transition probabilities that is at least {i.bound:.4g} for every separable "
            f"transition is {i.value:.4g} here: short by {i.gap:.3g}."
        )
    return out
