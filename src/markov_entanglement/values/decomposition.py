"""Value decomposition: `Q ~ sum_i Q_i`, with Q_i the values of the marginalised local chain (Eq. 2).

`Q = (I - gamma P)^{-1} r` is the truth; `Q_i = (I - gamma P_i)^{-1} r_i` is what tabular TD on agent i's own
data converges to (Meta Algorithm 1). A shared reward is first split, by default by least absolute deviations under
mu (Meta Algorithm 2). `E_mu(Q - sum_i Q_i)` is the mean of `r - sum_i r_i` over 1 - gamma: 0 for local rewards and for
a split that leaves no mean ("lad-centred", "least-squares"), but not for "lad" in general. In tasks
that end `P` and `P_i` are the continuing parts (values stop at the end).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, freeze, unit_of
from .._types import RewardsLike, Subject
from ..errors import NO_DISCOUNT, InvalidInput, Unsupported
from ..laws.source import Space, exact
from ..markov.space import Evaluation
from ..model.rewards import Rewards
from .approximation import Approximation
from .shared_reward import SPLITS, SharedFit, fit_shared_reward

if TYPE_CHECKING:
    from .v_decomposition import VDecomposition


def local_values(local_transition: Floats, reward: Floats, discount: float) -> Floats:
    """`Q_i = (I - gamma P_i)^{-1} r_i` on visited local pairs, NaN elsewhere (m_i,)."""
    visited = np.flatnonzero(~np.isnan(local_transition[:, 0]))
    q = np.full(len(reward), np.nan)
    p = local_transition[np.ix_(visited, visited)]
    q[visited] = np.linalg.solve(np.eye(len(visited)) - discount * p, reward[visited])
    return q


def traced_values(space: Space, u: int, reward: Floats, discount: float, trace: float) -> Floats:
    """Where temporal differences with a trace converge on the steps of unit u: `A^{-1} b` on visited local pairs.

    `A = B'D (I - gamma lam P)^{-1} (I - gamma P) B` and `b = B'D (I - gamma lam P)^{-1} r_u`, B the indicators of x_u
    and D = diag(mu); lam = 1 is `E_mu[return | x_u]`. NaN elsewhere (m_u,).
    """
    sizes = [v.size for v in space.units]
    first = sum(sizes[:u])
    own = space.features[:, first : first + sizes[u]].toarray()
    mass = space.occupancy @ own
    visited = np.flatnonzero(mass > 0.0)
    left = (own * space.occupancy[:, None])[:, visited].T
    fast, decay = own[:, visited], discount * trace
    ahead = fast - discount * space.carry(fast)
    solved = np.column_stack([space.solve(f, decay).q for f in [*ahead.T, own @ reward]])
    both = left @ solved
    q = np.full(len(reward), np.nan)
    q[visited] = np.linalg.solve(both[:, :-1], both[:, -1])
    return q


@dataclass(frozen=True, eq=False, repr=False)
class ValueDecomposition(Approximation):
    """The true joint values beside the sum of local ones.

    Attributes
    ----------
    rewards : per unit (m_u,) local reward (fitted ones when the reward is shared).
    plain : the same without the constants of `shifts`; centred : the reward of the problem without them.
    evaluation : solver and residual behind the true values.
    shared : how a shared reward was split (`.split`, one of `SPLITS`), or None.
    trace : lam; 0 for Eq. 2.
    misfit : `sum_i ||r_i - rewards_i||_mu`, where local rewards are means of what is paid (`Chain.blind`); else 0.
    """

    rewards: tuple[Floats, ...]
    plain: tuple[Floats, ...]
    centred: Rewards
    evaluation: Evaluation
    shared: SharedFit | None
    trace: float = 0.0
    misfit: float = 0.0

    def errors(self) -> dict[str, Any]:
        """Every error by name; of a shared reward how it was split, and how far the split is from it."""
        found = super().errors() | ({"reward_misfit": self.misfit} if self.misfit else {})
        if self.shared is None:
            return found
        return found | {"shared_reward_error": self.shared.error, "split": SPLITS[self.shared.split]}

    @property
    def sentence(self) -> str:
        """How far the sum is from the truth."""
        how = "" if self.shared is None else f" The shared reward was split by {SPLITS[self.shared.split]}."
        return super().sentence + how

    def _brief(self) -> str:
        return super()._brief() + ("" if self.shared is None else f", split={self.shared.split!r}")


@overload
def value_decomposition(
    chain: Subject,
    rewards: RewardsLike = ...,
    discount: float | None = ...,
    *,
    kind: Literal["Q"] = ...,
    trace: float = ...,
    split: str = ...,
) -> ValueDecomposition: ...


@overload
def value_decomposition(
    chain: Subject,
    rewards: RewardsLike = ...,
    discount: float | None = ...,
    *,
    kind: Literal["V"],
    trace: float = ...,
    split: str = ...,
) -> VDecomposition: ...


def value_decomposition(
    chain: Subject,
    rewards: RewardsLike = None,
    discount: float | None = None,
    *,
    kind: str = "Q",
    trace: float = 0.0,
    split: str = "lad",
) -> ValueDecomposition | VDecomposition:
    """Local values, their sum, and how wrong it is.

    Parameters
    ----------
    chain : from `system.under(policy)`; a bandit is answered in counts.
    rewards : per-agent tables, or one joint array or callable (for a bandit as its own); None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    kind : "Q" (values of joint pairs), or "V" (values of joint states, App. B; rewards of states only).
    trace : lam in 0..1: the local values that TD(lam) and LSTD(lam) converge to, 1 for Monte Carlo. 0 is Eq. 2; for
        others the own steps of an agent, which are no Markov chain, give other values.
    split : how a shared reward is split, see `reward_entanglement`: "lad", as Prop. J.7 says, may leave a mean, which
        values multiply by 1/(1 - gamma); "lad-centred" and "least-squares" leave none.

    Raises
    ------
    InvalidInput : no rewards or discount anywhere, or malformed ones.
    Unsupported : kind "V" with a reward that depends on an action; a trace > 0 of arms that are only counted.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : the space would not fit; for a bandit `me.estimate_error` is the way on.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("shared-randomness")
    >>> me.value_decomposition(entry.chain()).error("sup") < 1e-12
    True
    """
    lam, split = _check.trace(trace), _check.choice("split", split, SPLITS)
    if _check.choice("kind", kind, ("Q", "V")) == "V":
        from .v_decomposition import v_decomposition

        return v_decomposition(chain, rewards, discount, lam, split)
    return decomposed(chain, rewards, discount, "values", lam, split)


def decomposed(
    chain: Any, rewards: Any, discount: float | None, question: str, trace: float = 0.0, split: str = "lad"
) -> ValueDecomposition:
    """The decomposition that a question starts from."""
    space = exact(chain, Space, question=question)
    return decompose(space, space.read_rewards(rewards), resolve_discount(space, discount), trace, split)


def _local_td(space: Space, rewards: list[Floats], gamma: float, trace: float) -> tuple[str, list[Floats]]:
    """What temporal differences with that trace converge to, in words and as tables."""
    if trace == 0.0:
        pairs = enumerate(rewards)
        return "local TD", [local_values(space.local_transition(u), r, gamma) for u, r in pairs]
    counted = [u.name for u in space.units if u.multiplicity > 1]
    if counted:
        raise Unsupported("trace", f"{trace:g} of arms that are counted", "counts do not follow single arms",
                          "Ask it of a small me.WeaklyCoupledMDP with the same arms, or leave trace out.")  # fmt: skip
    word = "local Monte Carlo" if trace == 1.0 else f"local TD({trace:g})"
    return word, [traced_values(space, u, r, gamma, trace) for u, r in enumerate(rewards)]


def decompose(
    space: Space, rewards: Rewards, gamma: float, trace: float = 0.0, split: str = "lad"
) -> ValueDecomposition:
    """See `value_decomposition`."""
    given = space.reward(rewards) if rewards.local is None or rewards.misfit is not None else None
    shared = None
    if rewards.local is None:
        shared = fit_shared_reward(space.pairs, space.sizes, space.occupancy, given, split=split)  # type: ignore[attr-defined, arg-type]
    if rewards.misfit is not None and trace > 0.0:
        rule = "with a trace they read the rewards as they come, which the local pairs do not show"
        raise Unsupported(
            "trace", f"{trace:g} without the signal", rule, "Leave trace out, or ask the chain itself."
        )
    local = rewards.local if shared is None else shared.local
    assert local is not None
    many = np.array([u.multiplicity for u in space.units], dtype=np.float64)
    weights = [space.key_weight(u) for u in range(len(many))]
    seen = [w > 0 for w in weights]
    laws = [w[s] / w.sum() for w, s in zip(weights, seen, strict=True)]
    paid = [r[s] for r, s in zip(local, seen, strict=True)]
    # one constant a unit out, so that Q has the size of its differences; exact where it matters (Sterbenz)
    constants = np.zeros(len(many))
    if space.ends is None:
        constants[:] = [_constant(r, law, gamma) for r, law in zip(paid, laws, strict=True)]
    plain = tuple(r - c for r, c in zip(local, constants, strict=True))
    scale = unit_of(np.concatenate([r - c for r, c in zip(paid, constants, strict=True)]))
    total = (space.sum_of(plain) if given is None else given - many @ constants) / scale
    evaluation = evaluate(space, total, gamma)
    values = evaluation.q
    kind, tables = _local_td(space, [r / scale for r in plain], gamma, trace)
    if space.ends is None:
        # the mean is known without solving, and is what a discount near 1 makes worst
        means = np.zeros(len(many))
        for u, (law, s) in enumerate(zip(laws, seen, strict=True)):
            means[u] = law @ plain[u][s] / scale / (1.0 - gamma)
            tables[u] -= law @ tables[u][s] - means[u]
        mu = space.occupancy
        values = values - (mu @ values - (many @ means if given is None else mu @ total / (1.0 - gamma)))
    inside = float(np.abs(total[space.recurrent]).max(initial=0.0))
    size = float(many @ [np.abs(r).max(initial=0.0) / scale for r in paid])
    lost = evaluation.residual * inside + tol.EPSILON * (4.0 * size + 4.0 * inside)
    shifts = tuple(float(c) / (1.0 - gamma) for c in constants)
    shift = float(many @ shifts)
    q, bound = values * scale + shift, evaluation.error_bound * scale
    evaluation = replace(evaluation, q=freeze(q), v=freeze(space.average(q)), error_bound=bound)
    centred = rewards.less(plain, many * constants)
    found = tuple(freeze(t * scale) for t in tables), freeze(values * scale)
    base = (space, gamma, kind, *found, shifts, shift, 0.0, scale * lost / (1.0 - gamma))
    return ValueDecomposition(*base, local, plain, centred, evaluation, shared, trace, rewards.misfit or 0.0)


def _constant(r: Floats, law: Floats, gamma: float) -> float:
    """The mean reward of a unit where it is far larger than the differences, or a discount near 1 makes it so; or 0."""
    mean, differences = float(law @ r), float(np.ptp(r)) if len(r) else 0.0
    return mean if abs(mean) > (1.0 - gamma) * tol.FAR_FROM_ZERO * differences else 0.0


def evaluate(space: Space, r: Floats, gamma: float) -> Evaluation:
    """Values of a reward (n,); a larger one on transient pairs is solved apart, where it cannot blur recurrent ones."""
    rare = ~space.recurrent
    if not np.abs(r[rare]).max(initial=0.0) > np.abs(r[~rare]).max(initial=0.0):
        return space.solve(r, gamma)
    first = space.solve(np.where(rare, 0.0, r), gamma)
    rest = space.solve(np.where(rare, r, 0.0), gamma)
    return replace(first, q=first.q + np.where(rare, rest.q, 0.0))


def resolve_discount(space: Space, discount: float | None) -> float:
    """The given discount, or the system's."""
    if discount is not None:
        return _check.discount(discount)
    if space.discount is None:
        raise InvalidInput.kind("discount", None, *NO_DISCOUNT)
    return space.discount
