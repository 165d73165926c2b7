"""Value decomposition: `Q ~ sum_i Q_i`, with Q_i the values of the marginalised local chain (Eq. 2).

`Q = (I - gamma P)^{-1} r` is the truth; `Q_i = (I - gamma P_i)^{-1} r_i` is what tabular TD on agent i's own
data converges to (Meta Algorithm 1). A shared reward is first split by least absolute deviations under
mu (Meta Algorithm 2). `E_mu(Q - sum_i Q_i) = 0` for local rewards; the split of a shared one may leave a mean. In tasks
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
from ..errors import NO_DISCOUNT, InvalidInput
from ..laws.source import Space, exact
from ..markov.space import Evaluation
from ..model.rewards import Rewards
from .approximation import Approximation
from .shared_reward import SharedFit, fit_shared_reward

if TYPE_CHECKING:
    from .v_decomposition import VDecomposition


def local_values(local_transition: Floats, reward: Floats, discount: float) -> Floats:
    """`Q_i = (I - gamma P_i)^{-1} r_i` on visited local pairs, NaN elsewhere (m_i,)."""
    visited = np.flatnonzero(~np.isnan(local_transition[:, 0]))
    q = np.full(len(reward), np.nan)
    p = local_transition[np.ix_(visited, visited)]
    q[visited] = np.linalg.solve(np.eye(len(visited)) - discount * p, reward[visited])
    return q


@dataclass(frozen=True, eq=False, repr=False)
class ValueDecomposition(Approximation):
    """The true joint values beside the sum of local ones.

    Attributes
    ----------
    rewards : per unit (m_u,) local reward (fitted ones when the reward is shared).
    plain : the same without the constants of `shifts`; centred : the reward of the problem without them.
    evaluation : solver and residual behind the true values.
    shared : how a shared reward was split, or None.
    """

    rewards: tuple[Floats, ...]
    plain: tuple[Floats, ...]
    centred: Rewards
    evaluation: Evaluation
    shared: SharedFit | None

    def errors(self) -> dict[str, Any]:
        """Every error by name, and e(r) of a shared reward."""
        shared = {} if self.shared is None else {"shared_reward_error": self.shared.error}
        return super().errors() | shared


@overload
def value_decomposition(
    chain: Subject, rewards: RewardsLike = ..., discount: float | None = ..., *, kind: Literal["Q"] = ...
) -> ValueDecomposition: ...


@overload
def value_decomposition(
    chain: Subject, rewards: RewardsLike = ..., discount: float | None = ..., *, kind: Literal["V"]
) -> VDecomposition: ...


def value_decomposition(
    chain: Subject, rewards: RewardsLike = None, discount: float | None = None, *, kind: str = "Q"
) -> ValueDecomposition | VDecomposition:
    """Local values, their sum, and how wrong it is.

    Parameters
    ----------
    chain : from `system.under(policy)`; a bandit is answered in counts.
    rewards : per-agent tables or one joint array (for a bandit as its own); None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    kind : "Q" (values of joint pairs), or "V" (values of joint states, App. B; rewards of states only).

    Raises
    ------
    InvalidInput : no rewards or discount anywhere, or malformed ones.
    Unsupported : kind "V" with a reward that depends on an action.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : the space would not fit; for a bandit `me.estimate_error` is the way on.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("shared-randomness")
    >>> me.value_decomposition(entry.chain()).error("sup") < 1e-12
    True
    """
    if _check.choice("kind", kind, ("Q", "V")) == "V":
        from .v_decomposition import v_decomposition

        return v_decomposition(chain, rewards, discount)
    return decomposed(chain, rewards, discount, "values")


def decomposed(chain: Any, rewards: Any, discount: float | None, question: str) -> ValueDecomposition:
    """The decomposition that a question starts from."""
    space = exact(chain, Space, question=question)
    return decompose(space, space.read_rewards(rewards), resolve_discount(space, discount))


def decompose(space: Space, rewards: Rewards, gamma: float) -> ValueDecomposition:
    """See `value_decomposition`."""
    given = space.reward(rewards) if rewards.local is None else None
    shared = None if given is None else fit_shared_reward(space.pairs, space.sizes, space.occupancy, given)  # type: ignore[attr-defined]
    local = rewards.local if shared is None else shared.local
    assert local is not None
    many = np.array([u.multiplicity for u in space.units], dtype=np.float64)
    weights = [space.rows(u).key_weight for u in range(len(many))]
    seen = [w > 0 for w in weights]
    laws = [w[s] / w.sum() for w, s in zip(weights, seen, strict=True)]
    paid = [r[s] for r, s in zip(local, seen, strict=True)]
    # one constant a unit out, so that Q has the size of its differences; exact where it matters (Sterbenz)
    constants = np.zeros(len(many))
    if space.ends is None:
        constants[:] = [_constant(r, law, gamma) for r, law in zip(paid, laws, strict=True)]
    plain = tuple(r - c for r, c in zip(local, constants, strict=True))
    scale = unit_of(np.concatenate([r - c for r, c in zip(paid, constants, strict=True)]))
    total = (space.features @ np.concatenate(plain) if given is None else given - many @ constants) / scale
    evaluation = evaluate(space, total, gamma)
    values = evaluation.q
    tables = [local_values(space.local_transition(u), r / scale, gamma) for u, r in enumerate(plain)]
    if space.ends is None:
        # the mean is known without solving, and is what a discount near 1 makes worst
        means = np.zeros(len(many))
        for u, (law, s) in enumerate(zip(laws, seen, strict=True)):
            means[u] = law @ plain[u][s] / scale / (1.0 - gamma)
            tables[u] -= law @ tables[u][s] - means[u]
        mu = space.occupancy
        values = values - (mu @ values - (many @ means if given is None else mu @ total / (1.0 - gamma)))
    inside = float(np.abs(total[space.recurrent]).max(initial=0.0))
    size = float(many @ [np.abs(r).max(initial=0.0) for r in paid]) / scale
    lost = evaluation.residual * inside + tol.EPSILON * (4.0 * size + 4.0 * inside)
    shifts = tuple(float(c) / (1.0 - gamma) for c in constants)
    shift = float(many @ shifts)
    q, bound = values * scale + shift, evaluation.error_bound * scale
    evaluation = replace(evaluation, q=freeze(q), v=freeze(space.average(q)), error_bound=bound)
    less = None if rewards.shared is None else rewards.shared - many @ constants
    centred = Rewards(plain if less is None else None, less)
    found = tuple(freeze(t * scale) for t in tables), freeze(values * scale)
    base = (space, gamma, "local TD", *found, shifts, shift, 0.0, scale * lost / (1.0 - gamma))
    return ValueDecomposition(*base, local, plain, centred, evaluation, shared)


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
