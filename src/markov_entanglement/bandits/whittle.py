"""Whittle indices: the subsidy for passivity that makes a state indifferent.

For a subsidy `lam` paid for each passive step, let `v` be the optimal value of one arm and

    alpha_s(lam) = r(s,1) - r(s,0) - lam + gamma (P_1(s,.) - P_0(s,.)) v

the advantage of activity. The index of `s` is the `lam` with `alpha_s(lam) = 0`; the arm is indexable if the set of
states where passivity is optimal only grows with `lam`.

From `lam = -inf` (every state active) the optimal policy is followed as `lam` grows. For a fixed policy every `alpha_s`
is affine in `lam`; the first active state to reach 0 turns passive and `lam` is its index. A passive state whose
advantage would become positive again shows that the arm is not indexable. With the matrix
`X = gamma (P_1 - P_0)(I - gamma P)^{-1}` of the current policy `P`, turning `s` passive gives

    alpha' = alpha - X e_s alpha_s / (1 + X_ss),        X' = X - X e_s X_s / (1 + X_ss)

so one new column of `X` a step suffices: O(S^3) in all (N. Gast, B. Gaujal and K. Khun, *Testing indexability and
computing Whittle and Gittins index in subcubic time*, 2023). Average criterion: the same with `I - P + 1 e_0'` for
`I - gamma P`, where `h_0` is the gain; it needs every policy on the path to have one closed class.

In the reward of a pair that `forbidden` names the digits of the others would drown. Such an arm is followed with that
reward raised to several levels. Subsidies at which the pair is not used there do not use it in the arm as given, so an
index of another state among them is exact; the verdict is that of the lowest level.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze
from .._compiled import compiled
from .._json import plain
from .._types import ArrayLike, RewardsLike
from ..errors import InvalidInput, Unsupported
from ..laws.source import Model, offers
from ..model.bandit import ONE_EACH, RestlessBandit
from ..model.kinds import kind_of
from ..model.policy import Ranking
from ..model.ragged import of_several_sizes
from ..model.spaces import Labels
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table

Verdict = Literal["indexable", "non-indexable", "undecided"]
_VERDICTS: tuple[Verdict, ...] = ("indexable", "non-indexable", "undecided")
_CHUNK_ENTRIES = 4_000_000


class Index(Ranking, Result):
    """An index by type and state, as a result."""

    labels: Labels
    #: What it is, and its unit.
    unit: ClassVar[tuple[str, str]]

    @property
    def _verdicts(self) -> tuple[str, ...]:
        """Of each type, where one may have no index."""
        return ()

    def _tables(self) -> Iterator[Table]:
        values = np.atleast_2d(self.index).tolist()
        who = [self.labels.kind(t) for t in range(len(values))]
        states = [[self.labels.state(t, s) for s in range(len(row))] for t, row in enumerate(values)]
        yield tabulate.index(values, *self.unit, who, states, self._verdicts)


@dataclass(frozen=True, eq=False, repr=False)
class WhittleIndex(Index):
    """Whittle indices of one or many arm types.

    Attributes
    ----------
    index : (T, S), or (S,) for one type; units of reward per passive step. NaN for a type without indices.
    verdict : per type `"indexable"`, `"non-indexable"` or `"undecided"` (average criterion: a policy on the
        path has several closed classes).
    violation : per type None, or `(state, subsidy)`: a non-indexable arm is passive in `state` at `subsidy`
        and active again just above it; an undecided arm meets a multichain policy at `subsidy` (-inf: the
        policy that is always active) when `state` turns passive.
    criterion : `"discounted"` or `"average"`.
    """

    index: Floats
    verdict: tuple[Verdict, ...]
    violation: tuple[tuple[int, float] | None, ...]
    criterion: str
    labels: Labels = field(default_factory=Labels)
    unit = ("Whittle index", "reward units per passive step")

    @property
    def _verdicts(self) -> tuple[str, ...]:
        return self.verdict

    def _badge(self) -> tuple[str, str]:
        worst = next((v for v in self.verdict if v != "indexable"), "indexable")
        return {"indexable": "good", "non-indexable": "bad"}.get(worst, "open"), worst

    def _brief(self) -> str:
        sure = f"{sum(self.indexable)} of {len(self.verdict)} arm types indexable"
        return f"{self.criterion}, index of shape {self.index.shape}, {sure}"

    @property
    def indexable(self) -> tuple[bool, ...]:
        """Per type: proved indexable, up to rounding."""
        return tuple(v == "indexable" for v in self.verdict)

    @property
    def sentence(self) -> str:
        """The verdict in words, with the way on for arms without indices."""
        bad = [t for t, v in enumerate(self.verdict) if v != "indexable"]
        if not bad:
            return "Every arm type is indexable." if len(self.verdict) > 1 else "The arm is indexable."
        t = bad[0]
        at, subsidy = self.violation[t] or (0, np.nan)
        name, state = self.labels.kind(t), self.labels.state(t, at)
        why = (
            f"arm type {name} is passive in state {state} at subsidy {subsidy:.6g} "
            "and active again above it; it has no Whittle index:"
        )
        if self.verdict[t] == "undecided":
            why = (
                f"at subsidy {subsidy:.6g} an optimal policy of arm type {name} has several closed classes; "
                "use criterion='discounted' with your own discount (towards 1 an index may grow without limit), or"
            )
        which = ", ".join(map(self.labels.kind, bad[:5])) + (", ..." if len(bad) > 5 else "")
        many = f"{len(bad)} of {len(self.verdict)} arm types have no index" + f" ({which})" * (len(bad) > 1)
        return f"{many}: {why} use me.lp_priority."

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values; NaN and infinities are None."""
        names = ("criterion", "index", "verdict", "indexable", "violation", "sentence")
        found = [None if v is None else {"state": v[0], "subsidy": v[1]} for v in self.violation]
        return plain({name: getattr(self, name) for name in names} | {"violation": found})


@compiled
def _follow(columns, value, scale, index, verdict, where, tie, flat, multichain):  # type: ignore[no-untyped-def]
    """Follow the optimal policy of each arm as the subsidy grows.

    columns : (B, S, S), `columns[b, s]` = `X e_s` for the all-active policy; value : (B, S) `alpha` at
    subsidy 0; scale : (B,) unit of reward; index, verdict, where : outputs (B, S), (B,), (B,).
    A violation counts only once all states of equal index have turned passive.
    """
    arms, n = value.shape
    done, order, active = np.empty((n, n)), np.empty(n, dtype=np.int64), np.empty(n, dtype=np.bool_)
    factor, slope, y = np.empty(n), np.empty(n), np.empty(n)
    for b in range(arms):
        alpha = value[b]
        slope[:] = -1.0
        active[:] = True
        lam = 0.0
        for k in range(n):
            steep = 0.0
            for x in range(n):
                steep = max(steep, abs(slope[x]))
            best, s = np.inf, -1
            for x in range(n):
                if active[x] and slope[x] < -flat * steep and -alpha[x] / slope[x] < best:
                    best, s = -alpha[x] / slope[x], x
            if s < 0:
                verdict[b], where[b] = 2, 0
                index[b, 0] = lam
                break
            near = tie * max(scale[b], abs(lam))
            if k > 0 and best <= near:
                best = 0.0
            out = -1
            for x in range(n):
                if slope[x] > flat * steep:
                    zero = -alpha[x] / slope[x]
                    if not active[x] and zero < best - near:
                        best, out = zero, x
                    elif active[x] and best > 0.0 and alpha[x] <= near:
                        best, out = 0.0, x
            lam += best
            if out >= 0:
                verdict[b], where[b] = 1, out
                index[b, 0] = lam
                break
            for x in range(n):
                alpha[x] += best * slope[x]
            index[b, s] = lam
            alpha[s] = 0.0
            active[s] = False
            for x in range(n):
                y[x] = columns[b, s, x]
            for j in range(k):
                c = y[order[j]] * factor[j]
                if c != 0.0:
                    for x in range(n):
                        y[x] -= c * done[j, x]
            pivot = 1.0 + y[s]
            if pivot < multichain:
                verdict[b], where[b] = 2, s
                index[b, 0] = lam
                break
            for x in range(n):
                done[k, x] = y[x]
            order[k] = s
            factor[k] = 1.0 / pivot
            step = slope[s] / pivot
            for x in range(n):
                slope[x] -= step * y[x]


def whittle_index(
    bandit_or_kernels: Model | ArrayLike,
    rewards: RewardsLike = None,
    *,
    discount: float | None = None,
    criterion: Literal["discounted", "average"] = "discounted",
) -> WhittleIndex:
    """Whittle indices of every state of every arm type, with the verdict on indexability.

    The index of state `s` is the subsidy for passivity at which both actions are optimal in `s` (the priority of
    Section 7.2.1 of arXiv 2506.02385). It depends on one arm alone, not on the number of arms or the budget.

    Parameters
    ----------
    bandit_or_kernels : a `RestlessBandit`; a `WeaklyCoupledMDP`, each agent an arm; or kernels (2, S, S) or
        (T, 2, S, S), `kernels[..., a, s, t] = P(t | s, a)`.
    rewards : with kernels only: (S,), (S, 2), or with a leading T.
    discount : gamma, for kernels under the discounted criterion only.
    criterion : `"discounted"`, or `"average"` (arms with one closed class under each policy met).

    Raises
    ------
    InvalidInput : malformed kernels, rewards or discount; both a bandit and rewards.

    Returns
    -------
    WhittleIndex; a non-indexable or multichain arm is a result that says so, not an error.

    >>> import markov_entanglement as me
    >>> p0 = [[.5, 0, 0, .5], [.5, .5, 0, 0], [0, .5, .5, 0], [0, 0, .5, .5]]
    >>> p1 = [list(row) for row in zip(*p0)]
    >>> w = me.whittle_index([p0, p1], [-1, 0, 0, 1], discount=0.5)
    >>> w.index.round(6).tolist(), w.indexable
    ([-0.25, 0.25, 0.4, -0.4], (True,))
    """
    criterion = _check.choice("criterion", criterion, ("discounted", "average"))  # type: ignore[assignment]
    kernels, r, gamma, single, labels = _arms(bandit_or_kernels, rewards, discount, criterion)
    types, _, n, _ = kernels.shape
    chunk = max(1, _CHUNK_ENTRIES // (n * n))
    parts = [slice(lo, lo + chunk) for lo in range(0, types, chunk)]
    found = [_indices(kernels[part], r[part], gamma) for part in parts]
    index, verdict, where = (np.concatenate(a) for a in zip(*found, strict=True))
    never = forbidden(r)
    for t in set(np.nonzero(never)[0].tolist()):
        raw = index[t], verdict[t], where[t]
        index[t], verdict[t], where[t] = _without(kernels[t], r[t], never[t], gamma, raw)
    violation: list[tuple[int, float] | None] = [None] * types
    for t in np.flatnonzero(verdict).tolist():
        violation[t] = int(where[t]), float(index[t, 0])
    index[verdict != 0] = np.nan
    verdicts = tuple(_VERDICTS[v] for v in verdict.tolist())
    return WhittleIndex(freeze(index[0] if single else index), verdicts, tuple(violation), criterion, labels)


@compiled
def _levels(rewards):  # type: ignore[no-untyped-def]
    """(T, 3) largest and least reward of an arm, and the least that some state cannot do without: its better action."""
    out = np.empty((len(rewards), 3))
    for t in range(len(rewards)):
        top, bottom, kept = -np.inf, np.inf, np.inf
        for s in range(rewards.shape[1]):
            better = max(rewards[t, s, 0], rewards[t, s, 1])
            top, kept = max(top, better), min(kept, better)
            bottom = min(bottom, rewards[t, s, 0], rewards[t, s, 1])
        out[t, 0], out[t, 1], out[t, 2] = top, bottom, kept
    return out


def forbidden(rewards: Floats) -> Bools:
    """(T, S, 2) pairs whose reward says "not allowed" in numbers.

    It lies below all other rewards of the arm by more than `tol.FORBIDDEN` times the spread of these (where several
    levels do, those below the widest gap); each state keeps an action.

    >>> forbidden(np.array([[[0.0, 1.0], [0.5, -1e9]]]))[0].tolist()
    [[False, False], [False, True]]
    """
    top, bottom, kept = _levels(rewards).T
    if (top - bottom <= tol.FORBIDDEN * (top - kept)).all():
        return np.zeros(rewards.shape, dtype=bool)
    ranked = np.sort(rewards.reshape(len(rewards), -1), axis=1)
    gap, ranked = np.diff(ranked, axis=1), ranked[:, 1:]
    spread = ranked[:, -1:] - ranked
    ratio = np.where((spread > 0.0) & (ranked <= kept[:, None]), gap, 0.0) / np.where(
        spread > 0.0, spread, 1.0
    )
    at = np.arange(len(ranked)), ratio.argmax(axis=1)
    low = np.where(ratio[at] > tol.FORBIDDEN, ranked[at], -np.inf)
    return np.asarray(rewards < low[:, None, None])


def _indices(kernels: Floats, r: Floats, gamma: float) -> tuple[Floats, Ints, Ints]:
    """Index (B, S), NaN where not reached; verdict and state of the violation (B,), its subsidy at `index[:, 0]`."""
    top, bottom, _ = _levels(r).T
    middle = 0.5 * top + 0.5 * bottom
    middle[np.abs(middle) <= top - bottom] = 0.0
    if middle.any():  # a constant has no effect but rounding
        r = r - middle[:, None, None]
    index, (verdict, where) = np.full(r.shape[:2], np.nan), np.zeros((2, len(r)), dtype=np.int64)
    columns, value, ok = _start(kernels, r, gamma)
    largest = np.maximum(np.abs(top - middle), np.abs(bottom - middle))
    scale = np.maximum(np.abs(value).max(axis=1), largest)
    _follow(columns, value, scale, index, verdict, where, tol.INDEX_TIE, tol.INDEX_SLOPE, tol.MULTICHAIN)
    verdict[~ok] = 2
    index[~ok] = -np.inf
    return index, verdict, where


def _without(kernel: Floats, r: Floats, never: Bools, gamma: float, raw: tuple[Any, ...]) -> tuple[Any, ...]:
    """`raw`, what `_indices` says of one arm, mended to the digits of the rewards of the pairs that are not `never`."""
    rest, exact = ~never.any(axis=1), np.full(len(r), np.nan)
    for far in 8.0 ** np.arange(8):  # exact from the least, the verdict from the largest
        mild = np.maximum(r, r[~never].min() - np.ptp(r[~never]) * far)
        index, verdict, where = (a[0] for a in _indices(kernel[None], mild[None], gamma))
        place = index.copy()
        if verdict:  # entry 0 is the subsidy of the violation
            place[0] = -np.inf if never[0, 1] else np.nan
        low, high = place[never[:, 1]].max(initial=-np.inf), place[never[:, 0]].min(initial=np.inf)
        if verdict and low < index[0] and np.isnan(place[never[:, 0]]).all():
            return index, verdict, where
        new = rest & (low < place) & (place < high) & np.isnan(exact) & (verdict == 0)
        exact = np.where(new, place, exact)
    if verdict:
        return raw
    nominal = index + np.where(never, r - mild, 0.0) @ [-1.0, 1.0] if raw[1] else raw[0]
    return np.where(np.isnan(exact), nominal, exact), 0, 0


def _arms(
    source: Any, rewards: Any, discount: float | None, criterion: str
) -> tuple[Floats, Floats, float, bool, Labels]:
    """Kernels (T, 2, S, S), rewards (T, S, 2), gamma (1 for the average criterion), one type or many, names."""
    if offers(source, Model):
        if rewards is not None or discount is not None:
            raise InvalidInput("rewards", "rewards or a discount beside a bandit", "the bandit has its own",
                               "Pass the bandit alone.")  # fmt: skip
        bandit = bandit_of("bandit", source)
    else:
        if rewards is None:
            raise InvalidInput("rewards", "None", "kernels need rewards", "Pass rewards (S,) or (S, 2).")
        if criterion == "discounted" and discount is None:
            raise InvalidInput("discount", "None", "the discounted criterion needs gamma in [0, 1)",
                               "Pass discount=..., or criterion='average'.")  # fmt: skip
        many = of_several_sizes(source) or len(_check.shape_of("kernels", source, ONE_EACH)) == 4
        bandit = RestlessBandit(
            source, rewards, n_arms=[1] * len(source) if many else 1, budget=0,
            discount=discount if criterion == "discounted" and discount is not None else 0.0,
        )  # fmt: skip
    gamma = bandit.gamma if criterion == "discounted" else 1.0
    return bandit.kernels, bandit.rewards, gamma, bandit.n_types == 1, bandit.labels


def bandit_of(name: str, system: Any) -> RestlessBandit:
    """A bandit as it is; the agents of a weakly coupled system as arm types of one arm each."""
    kind = kind_of(system)
    if kind is None or kind.arms is None:
        raise Unsupported(name, f"a {type(system).__name__}", "indices are for arms that move on kernels of their own",
                          "Build a me.RestlessBandit or a me.WeaklyCoupledMDP.")  # fmt: skip
    bandit: RestlessBandit = kind.arms(system)
    return bandit


def _start(kernels: Floats, r: Floats, gamma: float) -> tuple[Floats, Floats, Any]:
    """`X e_s` (B, S, S), `alpha` at subsidy 0 (B, S) of the all-active policy, and where they exist (B,)."""
    n = kernels.shape[-1]
    p0, p1 = kernels[:, 0], kernels[:, 1]
    m = np.eye(n) - gamma * p1
    if gamma == 1.0:
        m[:, :, 0] += 1.0
    rhs = np.swapaxes(gamma * (p1 - p0), 1, 2)
    mt = np.swapaxes(m, 1, 2)
    try:
        columns = np.linalg.solve(mt, rhs)
    except np.linalg.LinAlgError:
        columns = np.full(rhs.shape, np.inf)
        for b in range(len(mt)):
            with suppress(np.linalg.LinAlgError):
                columns[b] = np.linalg.solve(mt[b], rhs[b])
    ok = np.abs(columns).max(axis=(1, 2)) < 1.0 / tol.MULTICHAIN
    columns[~ok] = 0.0
    value = r[:, :, 1] - r[:, :, 0] + np.einsum("bst,bs->bt", columns, r[:, :, 1])
    return np.ascontiguousarray(columns), value, ok


def myopic_priority(bandit: RestlessBandit | WeaklyCoupledMDP) -> Floats:
    """The myopic priority `r(s,1) - r(s,0)`: (T, S), or (S,) for one type; reward per step.

    >>> import markov_entanglement as me
    >>> arm = [[.9, .1], [.2, .8]]
    >>> b = me.RestlessBandit([arm, arm], [[0, 1], [0, 3]], n_arms=10, budget=2, discount=.9)
    >>> me.myopic_priority(b).tolist()
    [1.0, 3.0]
    """
    arms = bandit_of("bandit", bandit)
    gain = arms.rewards[:, :, 1] - arms.rewards[:, :, 0]
    return freeze(np.array(gain[0] if arms.n_types == 1 else gain))
