"""The three-valued answer: what a residual and a gap allow to say."""

from __future__ import annotations

from typing import Literal

from .. import _check
from .. import _tolerance as tol
from ..errors import InvalidInput

Verdict = Literal["separable", "entangled", "undecided"]


def word(residual: float, gap: float, tolerance: float) -> Verdict:
    """ "entangled" for a gap >= 10 t, "separable" for a residual <= t/10, else "undecided"."""
    if gap >= proved_gap(tolerance):
        return "entangled"
    return "separable" if residual <= proved_residual(tolerance) else "undecided"


def between(residual: float, gap: float, tolerance: float) -> str:
    """How near an undecided chain is to the answer, with what either proof would need."""
    low, high = proved_residual(tolerance), proved_gap(tolerance)
    return (
        f"the nearest decomposition found misses a row by {residual:.2g} in L1 (a proof needs at most {low:.0e}) and "
        f"the strongest violation found is {gap:.2g} (a proof needs at least {high:.0e})"
    )


def proved_gap(tolerance: float) -> float:
    """Gap from which a violation counts as proved."""
    return tolerance * tol.VERDICT_MARGIN


def proved_residual(tolerance: float) -> float:
    """Residual up to which a certificate counts as proof."""
    return tolerance / tol.VERDICT_MARGIN


def verdict_tolerance(tolerance: float) -> float:
    """The tolerance of a verdict, checked."""
    t = _check.number("tolerance", tolerance)
    if not tol.VERDICT_TOLERANCE <= t <= 1.0 / tol.VERDICT_MARGIN:
        raise InvalidInput("tolerance", repr(tolerance), f"it must lie in [{tol.VERDICT_TOLERANCE:g}, 0.1]",
                           "The default 1e-9 fits double precision.")  # fmt: skip
    return t
