"""How wrong an additive approximation is: norms of `err = Q - D`, and the shares that they are of Q."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, freeze

NORMS = ("mu", "sup", "l2")


def norm_on(f: Floats, mu: Floats, recurrent: Bools, norm: str) -> float:
    """`||f||` of a function on pairs: "mu" L1(mu), "l2" L2(mu), "sup" over the recurrent pairs."""
    _check.choice("norm", norm, NORMS)
    if norm == "sup":
        return float(np.abs(f[recurrent]).max(initial=0.0))
    at = mu > 0
    if norm == "mu":
        return float(mu[at] @ np.abs(f[at]))
    return float(np.sqrt(mu[at] @ f[at] ** 2))


def add_up(local_q: Sequence[Floats], pairs: _check.Ints) -> Floats:
    """(n,) `D(x) = sum_i Q_i(x_i)` of local tables (m_i,) on local pairs (n, N)."""
    return freeze(np.asarray(np.sum([q[pairs[:, i]] for i, q in enumerate(local_q)], axis=0)))


class Approximation:
    """Errors of additive values `sum_q` against the truth `joint_q` on the pairs of `chain`."""

    chain: Any
    joint_q: Floats

    @cached_property
    def sum_q(self) -> Floats:
        """(n,) `D(x)`; NaN on transient pairs with an unvisited local pair."""
        raise NotImplementedError

    @cached_property
    def residual(self) -> Floats:
        """(n,) `err = Q - D`."""
        return freeze(self.joint_q - self.sum_q)

    def error(self, norm: str = "mu") -> float:
        """`||Q - D||`: "mu" (L1 of mu), "sup" (over the recurrent pairs) or "l2" (L2 of mu); reward units."""
        return self._norm(self.residual, norm)

    @property
    def relative_error(self) -> float:
        """`||err||_mu / ||Q||_mu` (the paper's); a constant added to the rewards changes it at will."""
        return self._ratio(self.error("mu"), self._norm(self.joint_q, "mu"))

    @property
    def unexplained(self) -> float:
        """`||err - mean||_{2,mu} / ||Q - mean||_{2,mu}`: the share of the spread of Q that the sum misses."""
        return self._ratio(self._spread(self.residual), self._spread(self.joint_q))

    def errors(self) -> dict[str, float | None]:
        """Every error by name; None where it is not finite."""
        out = {f"error_{k}": self.error(k) for k in NORMS}
        out |= {"relative_error": self.relative_error, "unexplained": self.unexplained}
        return {k: v if np.isfinite(v) else None for k, v in out.items()}

    def _norm(self, f: Floats, norm: str) -> float:
        return norm_on(f, self.chain.occupancy, self.chain.recurrent, norm)

    def _spread(self, f: Floats) -> float:
        mu = self.chain.occupancy
        at = mu > 0
        return float(np.sqrt(mu[at] @ (f[at] - float(mu[at] @ f[at])) ** 2))

    def _ratio(self, part: float, whole: float) -> float:
        noise = tol.SOLVE * float(np.abs(self.joint_q).max(initial=0.0))
        if part <= noise:
            return 0.0
        return part / whole if whole > noise else float("inf")
