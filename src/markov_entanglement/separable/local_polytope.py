"""`P_SEP+`: is there a decomposition with non-negative weights? (Appendix C)

`P_SEP` is the no-signalling polytope and `P_SEP+`, the convex hull of the products of deterministic local maps, is
the local (Bell) polytope: the chains that agents produce who only share a random number. A Popescu-Rohrlich box
is in the first and not in the second, an instance of what Appendix C asserts.

Elastic linear program over products f of deterministic maps, on the chain's rows,

    t* = min sum_{x, x'} |P(x, x') - sum_f w_f 1{x' = f(x)}|,   w >= 0,  sum_f w_f = 1,

by column generation; small systems start with all products. Its dual is a Bell inequality: coefficients c in
[-1, 1] with `sum_x c(x, f(x)) <= bound` for every f, which P violates.

Guarantee: "mixture" only when the residual recomputed from the weights is <= t/10; "no-mixture" only when the
bound, recomputed by enumeration, is exceeded by >= 10 t. Otherwise "undecided", with both numbers or the size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._lp import Program
from .._types import Subject
from ..laws.source import Joint, exact
from ..model.spaces import ravel
from .completion import Inequality
from .decomposition import Decomposition, certified
from .definition import Finding, between, decide_definition, proved_gap, proved_residual, verdict_tolerance
from .equation import Equation, local_equation, worst_equation
from .pricing import all_products, count_maps, enumerable, price
from .support import Support
from .witness import LocalLaws, local_laws


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LocalPolytope(Finding):
    """Whether P is a mixture of products of local transitions, with the proof.

    Attributes
    ----------
    verdict : "mixture", "no-mixture" or "undecided".
    residual : largest L1 distance between a row of P and the best mixture found; NaN when none was sought.
    gap : by how much the best inequality found is violated; 0 without one.
    certificate : weights >= 0 when the verdict is "mixture"; the factors are deterministic where the program fits.
    inequality : the violated Bell inequality when the verdict is "no-mixture" and no single equation is violated.
    equation : the violated no-signalling equation when there is one: then P is not even separable.
    products : number of products of deterministic maps, on the local pairs that occur.
    tolerance : t.
    note : what stopped the search, when undecided; else empty.
    """

    products: int
    tolerance: float

    @property
    def sentence(self) -> str:
        """The finding in a sentence."""
        if self.certificate is not None:
            return (
                f"The chain is a random mixture of {self.certificate.n_terms} products of local moves: "
                "agents that share no more than a random number drawn in advance behave like this."
            )
        if self.inequality is not None:
            return (
                f"No random mixture of products of local moves gives this chain: a Bell inequality is violated by "
                f"{self.gap:.3g}; if a decomposition exists it needs negative weights."
            )
        if self.equation is not None:
            return (
                f"No random mixture of products of local moves gives this chain, with weights of any sign: an agent's "
                f"next pair betrays what it does not see, by {self.gap:.3g} in one probability."
            )
        return f"It is open whether the chain is a mixture of products of local moves: {self.note}."

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the arrays of the certificate."""
        own = {k: getattr(self, k) for k in ("sentence", "products", "tolerance")}
        return super().to_dict() | own

    def _brief(self) -> str:
        return f"{self.verdict!r}, residual {self.residual:.2g}, gap {self.gap:.2g}"


def local_polytope(chain: Subject, *, tolerance: float = 1e-9) -> LocalPolytope:
    """Decide, with proof, whether a chain is a mixture of products of local transitions (all weights >= 0).

    Parameters
    ----------
    chain : from `system.under(policy)`; a `JointChain` is taken as it is. All of its pairs count.
    tolerance : t; "mixture" needs a residual <= t/10, "no-mixture" a gap >= 10 t.

    Raises
    ------
    InvalidInput : a tolerance outside [1e-12, 0.1].
    Unsupported : `chain` is neither a chain nor a system that has one without a policy.

    >>> import numpy as np, markov_entanglement as me
    >>> box = np.array([[.5, 0, 0, .5]] * 3 + [[0, .5, .5, 0]])
    >>> answer = local_polytope(me.JointChain(box, (2, 2)))
    >>> answer.verdict, round(answer.gap, 9)
    ('no-mixture', 2.0)
    """
    t = verdict_tolerance(tolerance)
    support = Support.of(exact(chain, Joint, question="the local polytope"))  # type: ignore[arg-type]
    laws = [local_laws(support.chain.laws(i)) for i in range(len(support.sizes))]
    worst = int(np.argmax([law.gap for law in laws]))
    equation: Equation | None = local_equation(support, worst, laws[worst].rows)
    rows, products = len(support.local), count_maps(support.sizes)
    fits = rows * math.prod(support.chain.sizes) <= tol.SEPARABLE_ENTRIES
    small = fits and rows * support.total <= tol.POLYTOPE_ROWS
    if equation is not None and equation.gap < proved_gap(t):
        equation = worst_equation(support) if small else None
    if equation is not None and equation.gap >= proved_gap(t):
        found = Finding("no-mixture", gap=equation.gap, equation=equation)
    else:
        found = _generate(support, products, t) if small else _without_program(support, laws, t)
    return LocalPolytope(**vars(found), products=products, tolerance=t)


def _without_program(support: Support, laws: list[LocalLaws], t: float) -> Finding:
    """Too large for the program: entanglement refutes, a decomposition that needs no negative weight proves."""
    found = decide_definition(support, laws, t)
    if found.verdict == "entangled":
        bell = found.inequality
        if bell is not None:  # what holds for every separable transition holds for every mixture
            bell = Inequality(freeze(-bell.coefficients), -bell.bound, -bell.value, bell.gap)
        return Finding("no-mixture", gap=found.gap, equation=found.equation, inequality=bell)
    if found.certificate is not None and found.certificate.weights.min() >= 0.0:
        return Finding("mixture", found.residual, certificate=replace(found.certificate, form="mixture"))
    size = f"{len(support.local)} rows x {support.total} next joint pairs"
    return Finding("undecided", note=f"{size} are too many (the limit is {tol.POLYTOPE_ROWS} entries)")


def _columns(support: Support, maps: tuple[Ints, ...]) -> sp.csc_array:
    """(n total + 1, C): the indicator of the graph of each product on the chain's rows, and a 1 for its weight."""
    n, total, count = len(support.local), support.total, len(maps[0])
    images = np.stack([f[:, support.local[:, i]] for i, f in enumerate(maps)], axis=2)
    graph = ravel(images.reshape(-1, len(maps)), support.sizes).reshape(count, n) + np.arange(n) * total
    index = np.concatenate([graph, np.full((count, 1), n * total)], axis=1)
    starts = np.arange(count + 1) * (n + 1)
    return sp.csc_array((np.ones(index.size), index.ravel(), starts), shape=(n * total + 1, count))


def _generate(support: Support, products: int, t: float) -> Finding:
    """Column generation; ends with a mixture, with an inequality, or without progress."""
    rows = support.law.size
    program = Program(np.concatenate([support.law.ravel(), [1.0]]))
    slack = sp.eye_array(rows + 1, rows)
    program.add(sp.csc_array(sp.hstack([slack, -slack])), np.ones(2 * rows))
    sizes, few = support.sizes, products <= tol.POLYTOPE_ALL
    maps = all_products(sizes) if few else price(_cube(support, support.law), sizes).maps
    program.add(_columns(support, maps), np.zeros(len(maps[0])))
    mixture, inequality, residual, gap, note = None, None, math.nan, 0.0, ""
    for _ in range(tol.POLYTOPE_ROUNDS):
        solved = program.solve("simplex")
        if solved is None:
            note = "HiGHS did not finish"
            break
        mixture = _mixture(support, maps, solved[0][2 * rows :])
        residual = mixture.residual
        c = np.clip(solved[1][:-1], -1.0, 1.0).reshape(support.law.shape)
        priced = price(_cube(support, c), sizes)
        value = float((c * support.law).sum())
        if value - priced.best > gap:
            gap = value - priced.best
            inequality = Inequality(freeze(support.widen_columns(c)), priced.best, value, gap)
        better = priced.value > -solved[1][-1] + tol.LP
        if residual <= proved_residual(t) or not better.any():
            break
        new = tuple(f[better] for f in priced.maps)
        program.add(_columns(support, new), np.zeros(int(better.sum())))
        maps = tuple(np.concatenate([f, g]) for f, g in zip(maps, new, strict=True))
    else:
        note = f"{len(maps[0])} of {products} products tried in {tol.POLYTOPE_ROUNDS} rounds"
    if mixture is not None and residual <= proved_residual(t):
        return Finding("mixture", residual, gap, support.widen(mixture))
    if inequality is not None and gap >= proved_gap(t):
        return Finding("no-mixture", residual, gap, inequality=inequality)
    if not enumerable(sizes):
        note = f"{products} products of local maps are too many to enumerate, and the search found no mixture"
    if mixture is not None:
        note = f"{between(residual, gap, t)}; {note}" if note else between(residual, gap, t)
    return Finding("undecided", residual, gap, note=note)


def _cube(support: Support, c: Floats) -> Floats:
    """Coefficients on the chain's rows as (k_0, ..., k_0, ...), zero on rows that are not of the chain."""
    out = np.zeros((support.total, support.total))
    out[support.index] = c
    return out.reshape(*support.sizes, *support.sizes)


def _mixture(support: Support, maps: tuple[Ints, ...], weights: Floats) -> Decomposition:
    """The mixture of the products with positive weight, its residual recomputed on the chain's rows."""
    used = np.flatnonzero(weights > 0)
    if len(used) == 0:
        used, weights = np.array([0]), np.ones(1)
    w = weights[used] / weights[used].sum()
    factors = [np.eye(k)[f[used]] for f, k in zip(maps, support.sizes, strict=True)]
    return certified("mixture", w, factors, support.law, support.index)
