"""Mean field of an index policy: fixed points, cycles, and whether one point attracts every start.

Theorem 7.6 of arXiv 2506.02385 (entanglement `O(1/sqrt(N))`) assumes that the mean-field map has a fixed point
`m*` that attracts every start (UGAP) and is non-degenerate. Iterating the map cannot prove the first; here
the answer is one of

- `"proved"`: a norm that every long enough product of the affine pieces shrinks;
- `"supported"`: no proof, the fixed point is unique and stable, and every start tried converges to it;
- `"violated"`: another fixed point, an unstable one, or a cycle, all shown, stable or not;
- `"undecided"`: some start has neither converged nor closed a cycle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from .._check import Floats, freeze
from .._json import plain
from .._progress import Progress, reporting
from .._random import generator
from .._types import RNG, PolicyLike
from ..errors import Unsupported
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy
from ..report import tabulate, terms
from ..report.result import Result
from ..report.table import Table, distinct, table
from .attractor import Contraction, Cycle, contraction, cycles, fixed_points, iterate, spectrum, starts_of
from .estimate import medians
from .fluid import Fluid, fluid
from .limits import LimitConstants, limit_constants

Word = Literal["proved", "supported", "violated", "undecided"]


@dataclass(frozen=True, eq=False, repr=False)
class MeanField(Result):
    """The law of large numbers of a restless bandit under an index policy.

    Attributes
    ----------
    bandit, policy : the question.
    fixed_point : (T, S) `m*`, fractions of all arms; the one that most starts reach when there are several.
    activation : (T, S) `pi*(1|s)`, probability of service at `m*`.
    marginal : `(type, state)` pairs of the class where the budget runs out at `m*`.
    degenerate : the budget runs out exactly between two classes.
    spectrum : eigenvalues of the affine piece at `m*` on vectors that sum to 0 within each type; beyond 400 local
        states over all types the largest ones.
    reward : mean-field reward per arm and step at `m*`.
    attractor : `"proved"`, `"supported"`, `"violated"` or `"undecided"`.
    reason : why, in words.
    fixed_points, cycles : every one found, stable or not.
    complete : no fixed point and no cycle up to `periods_searched` can have been missed.
    periods_searched : cycles up to this period were solved for; longer ones only met by iterating.
    certificate : the contraction when proved, else None.
    starts, converged : number of starts iterated, and of those that reached `m*`.
    on_cycle : number of starts that end on a cycle.
    """

    bandit: RestlessBandit
    policy: IndexPolicy
    fixed_point: Floats
    activation: Floats
    marginal: tuple[tuple[int, int], ...]
    degenerate: bool
    spectrum: np.ndarray[Any, np.dtype[np.complex128]]
    reward: float
    attractor: Word
    reason: str
    fixed_points: tuple[Cycle, ...]
    cycles: tuple[Cycle, ...]
    complete: bool
    periods_searched: int
    certificate: Contraction | None
    starts: int
    converged: int
    on_cycle: int

    @property
    def sentence(self) -> str:
        """Whether one point attracts every start, and what follows."""
        words = {
            "proved": "Proved",
            "supported": "Supported, not proved",
            "violated": "Violated",
            "undecided": "Undecided",
        }
        then = "entanglement falls like 1 over the root of N" if self.refused is None else self.refused
        return f"{words[self.attractor]}: {self.reason}; {then}."

    def _badge(self) -> tuple[str, str]:
        tone = {"proved": "good", "violated": "bad"}.get(self.attractor, "open")
        return tone, f"Attractor {self.attractor}"

    def _brief(self) -> str:
        found = f"{len(self.fixed_points)} fixed points, {len(self.cycles)} cycles"
        return f"{self.attractor}; {found}, radius {self.radius:.4g}, reward {self.reward:.6g} an arm"

    def _tables(self) -> Iterator[Table]:
        bandit, block = self.bandit, self.section()
        types = range(bandit.n_types)
        names = distinct([u.name for u in bandit.units])
        ranks = bandit.ranks(self.policy)
        yield tabulate.mean_field(
            (names[t], s, float(self.fixed_point[t, x]), float(self.activation[t, x]), int(ranks[t][x]) + 1)
            for t in types for x, s in enumerate(distinct(bandit.local_names(t)[0]))
        )  # fmt: skip
        said = block.get("predictions") or {}
        rows = [("reward", self.reward, terms.REWARD, "per arm and step at the fixed point"),
                *tabulate.of("mean_field", block), *tabulate.of("mean_field.predictions", said)]  # fmt: skip
        yield tabulate.numbers(rows)
        limits = [
            (name, k, e)
            for k in ("mu-atv", "policy")
            for name, e in zip(names, said.get(k, ()), strict=False)
        ]
        columns = {
            "type": "type of arms",
            "distance": "how it is measured",
            "value": "E predicted at this number of arms",
        }
        if limits:
            yield table("predicted", "Entanglement predicted by the limit constants", columns, limits, 2)

    @cached_property
    def _fluid(self) -> Fluid:
        return fluid(self.bandit, self.policy)

    @property
    def radius(self) -> float:
        """Spectral radius of the piece at `m*` on zero-sum vectors."""
        return float(np.abs(self.spectrum).max(initial=0.0))

    @property
    def cycle(self) -> Floats | None:
        """(period, T, S) of the cycle found, a stable one if any; None without cycles."""
        return self.cycles[0].points if self.cycles else None

    @property
    def refused(self) -> str | None:
        """Why there are no limit constants; None if there are."""
        if self.attractor not in ("proved", "supported"):
            found = f"no attracting fixed point ({self.attractor}: {self.reason})"
            return f"{found}, so E need not fall like 1/sqrt(N)"
        found = "the fixed point is degenerate: the budget runs out exactly between two classes"
        return f"{found}, so fluctuations are not Gaussian" if self.degenerate else None

    @cached_property
    def limit_constants(self) -> LimitConstants:
        """Constants of entanglement and errors as N grows with M/N fixed.

        Raises
        ------
        Unsupported : `m*` is degenerate, or not attracting as far as known; the message says why.
        """
        return limit_constants(self._fluid, self.fixed_point.ravel(), self.bandit, self.refused)

    @cached_property
    def caution(self) -> str:
        """Why limit constants need not predict this bandit, and from how many arms on they do; "" when they should."""
        n = self.bandit.n_agents
        if self.refused is not None or (least := self.limit_constants.valid_from) <= n:
            return ""
        away = self.limit_constants.edge * math.sqrt(n)
        return (
            f"{n:,} arms fluctuate across the edge of the affine piece, {away:.2g} standard deviations from the fixed "
            f"point; limits predict once there are at least about {least:.3g} arms"
        )

    @cached_property
    def entanglement_limit(self) -> Floats:
        """(T,) limit of the Prop. 7.2 value as N grows; NaN where it is not known.

        0 when the fixed point attracts. When every start ends on one stable cycle, a large system visits its
        points in turn, and `E_t -> sum_s min_q mean_k m_k(t,s)/mass_t |pi_k(1|s) - q|` over its points k.
        """
        out = np.full(self.bandit.n_types, np.nan)
        live = self._fluid.mass > 0
        if self.attractor in ("proved", "supported"):
            out[live] = 0.0
        elif self._one_cycle_rules:
            flat = self.cycles[0].points.reshape(self.cycles[0].period, -1)
            service = self._fluid.activation(flat)
            away = (flat * np.abs(service - medians(service, flat))).mean(axis=0)
            out[live] = away.reshape(self._fluid.shape).sum(axis=1)[live] / self._fluid.mass[live]
        return freeze(out)

    @property
    def _one_cycle_rules(self) -> bool:
        """Every start settles on the one stable cycle; no fixed point attracts."""
        others = (*self.fixed_points, *self.cycles[1:])
        first = bool(self.cycles) and self.cycles[0].stable is True
        return first and self.on_cycle == self.starts and all(c.stable is False for c in others)

    def step(self, state: Any) -> Floats:
        """`phi(m)` of a state (T, S) or of several (..., T, S)."""
        m = np.asarray(state, dtype=np.float64)
        return self._fluid.step(m.reshape(*m.shape[:-2], -1)).reshape(m.shape)

    def section(self) -> dict[str, Any]:
        """The law of large numbers beside the finite bandit, as a result shows it."""
        whole = self.to_dict()
        out = {k: whole[k] for k in ("fixed_point", "activation", "degenerate", "radius", "attractor", "reason",
                                     "entanglement_limit")}  # fmt: skip
        out |= {"cycle": None if self.cycle is None else self.cycle.tolist(), "no_constants": self.refused}
        if self.refused is None:
            c, root = self.limit_constants, math.sqrt(self.bandit.n_agents)
            out |= {"valid_from": c.valid_from, "caution": self.caution or None}
            out["predictions"] = {
                "policy": (c.policy_entanglement / root).tolist(),
                "mu-atv": (c.entanglement / root).tolist(),
                "error_mu": c.error_mu * root,
                "error_l2": c.error_l2 * root,
                "unexplained": c.unexplained,
            }
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values; NaN is None."""
        names = (
            "fixed_point", "activation", "marginal", "degenerate", "spectrum", "radius", "reward", "attractor",
            "reason", "fixed_points", "cycles", "complete", "periods_searched", "contraction", "starts", "converged",
            "on_cycle", "entanglement_limit", "limit_constants", "refused",
        )  # fmt: skip
        proof = self.certificate
        made = {
            "spectrum": [[float(v.real), float(v.imag)] for v in self.spectrum],
            "fixed_points": [p.to_dict() for p in self.fixed_points],
            "cycles": [c.to_dict() for c in self.cycles],
            "contraction": None if proof is None else {"depth": proof.depth, "rate": proof.rate},
            "limit_constants": self.limit_constants.to_dict() if self.refused is None else None,
        }
        return {name: made[name] if name in made else plain(getattr(self, name)) for name in names}


@reporting("the mean field")
def mean_field(
    bandit: RestlessBandit, policy: PolicyLike, *, rng: RNG = 0, progress: Progress | bool | None = None
) -> MeanField:
    """Mean field of a bandit under an index policy (Section 7.2 of arXiv 2506.02385).

    Beyond 400 local states over all types (a thousand different arms, say) nothing is proved and cycles are only met by
    iterating. Only the fractions of arms per type and `alpha = M/N` matter, not N. States are fractions of all arms.

    Parameters
    ----------
    bandit : `RestlessBandit`.
    policy : `IndexPolicy`, one priority for all types or one per type; or a word: "whittle", "lp", "myopic".
    rng : seed or Generator for the random starts.
    progress : see `analyze`.

    Raises
    ------
    Unsupported : not a bandit, or not an index policy.
    InvalidInput : priorities of the wrong length.
    Unsupported : more than 400 local states over all types, and an arm that need not settle in one class.

    >>> import markov_entanglement as me
    >>> p0 = [[.5, 0, 0, .5], [.5, .5, 0, 0], [0, .5, .5, 0], [0, 0, .5, .5]]
    >>> p1 = [list(row) for row in zip(*p0)]
    >>> b = me.RestlessBandit([p0, p1], [-1, 0, 0, 1], n_arms=1800, budget=360, discount=0.5)
    >>> mf = me.mean_field(b, me.IndexPolicy([1, 2, 3, 0]))
    >>> mf.fixed_point.round(6).tolist(), mf.attractor, mf.marginal
    ([[0.15, 0.15, 0.35, 0.35]], 'proved', ((0, 2),))
    >>> round(float(mf.limit_constants.policy_entanglement[0]), 6)
    0.217467
    """
    f = fluid(bandit, policy)
    if not isinstance(f.policy, IndexPolicy):
        raise Unsupported("policy", type(f.policy).__name__, "the mean field needs an index policy",
                          "Use me.IndexPolicy(priority).")  # fmt: skip
    points, complete = fixed_points(f)
    classes = f.reachable_classes() if f.dense else []
    certificate = contraction(f, classes) if f.dense else None
    found, searched = ([], 1) if certificate or not f.dense else cycles(f, classes)
    complete = certificate is not None or (complete and all(f.sizes[c] == 1 for c in classes))
    m0 = starts_of(f, generator(rng))
    starts = len(m0)
    hits, open_ = iterate(f, m0, points, found, complete)
    best = max(range(len(points)), key=lambda k: (hits[k], -points[k].radius))
    points = [points[best], *points[:best], *points[best + 1 :]]
    found.sort(key=lambda c: (not c.stable, c.period))
    attractor, reason = _verdict(points, found, certificate, starts, open_, searched)
    m = points[0].points[0].ravel()
    c = f.marginal_at(m)[-1]
    a = f.activation(m)
    return MeanField(
        bandit=bandit,
        policy=f.policy,
        fixed_point=freeze(m.reshape(f.shape)),
        activation=freeze(a.reshape(f.shape)),
        marginal=tuple((int(x) // f.shape[1], int(x) % f.shape[1]) for x in f.members(c)),
        degenerate=points[0].boundary,
        spectrum=freeze(spectrum(f, m)),
        reward=float(m @ (f.rewards[:, 0] + a * (f.rewards[:, 1] - f.rewards[:, 0]))),
        attractor=attractor,
        reason=reason,
        fixed_points=tuple(points),
        cycles=tuple(found),
        complete=complete,
        periods_searched=searched,
        certificate=certificate,
        starts=starts,
        converged=hits[best],
        on_cycle=starts - open_ - sum(hits),
    )


def _verdict(
    points: list[Cycle], found: list[Cycle], proof: Contraction | None, starts: int, open_: int, searched: int
) -> tuple[Word, str]:
    """The word on the attractor and its reason; `points[0]` is the fixed point reported."""
    if proof is not None:
        many = "piece" if proof.depth == 1 else f"product of {proof.depth} pieces"
        shrinks = f"every {many} shrinks a quadratic norm (rate {proof.rate:.4g} a step)"
        return "proved", f"{shrinks}, so the fixed point attracts every start"
    if found:
        kind = {True: "stable", False: "unstable", None: "boundary"}[found[0].stable]
        return "violated", f"a {kind} cycle of period {found[0].period} exists"
    if len(points) > 1:
        return "violated", f"{len(points)} fixed points exist"
    if not points[0].boundary and points[0].radius >= 1:
        return "violated", f"the only fixed point is unstable (spectral radius {points[0].radius:.6g})"
    if open_:
        return "undecided", f"{open_} of {starts} starts have not settled"
    short = f"there is no cycle of period up to {searched}, " if searched > 1 else ""
    return "supported", f"the fixed point is unique, {short}and all {starts} starts converge to it"
