"""Gittins indices of rested arms: `max_tau E[sum_{t < tau} gamma^t r] / E[sum_{t < tau} gamma^t]` from each state.

Write the discount as a chance `e = 1 - gamma` of stopping at each step. The state of largest `r / e` has its own ratio
as its index. It is then eliminated: whatever leads to it goes on to where it leads, and takes its reward and its chance
of stopping along. In the chain that is left again the largest ratio is an index, the next in order (I. Sonin, *A
generalized Gittins index for a Markov chain and its recursive calculation*, 2008; the same order as that of Varaiya,
Walrand and Buyukkoc, 1985). O(S^3) in all, and chances are added and divided only: nothing is lost near gamma = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, freeze
from .._compiled import compiled
from .._json import plain
from .._types import ArrayLike, RewardsLike
from ..errors import InvalidInput, Unsupported
from ..laws.source import Model, offers
from ..model.bandit import RestlessBandit
from ..model.spaces import Labels
from .whittle import Index, bandit_of

#: What to do with arm types of different numbers of states.
_APART = "Types of different sizes: a me.RestlessBandit of them, whose passive arms stay where they are."


@dataclass(frozen=True, eq=False, repr=False)
class GittinsIndex(Index):
    """Gittins indices of one or many arm types.

    Attributes
    ----------
    index : (T, S), or (S,) for one type; reward per step; the arm of highest index is played.
    discount : gamma.
    """

    index: Floats
    discount: float
    labels: Labels = field(default_factory=Labels)
    unit = ("Gittins index", "reward units per step")

    def _brief(self) -> str:
        return f"discount {self.discount:g}, index of shape {self.index.shape}"

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        return "Every state of a rested arm has a Gittins index; playing the highest is optimal for one arm a step."

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values."""
        return plain({name: getattr(self, name) for name in ("discount", "index", "sentence")})


def gittins_index(
    arm: Model | ArrayLike, rewards: RewardsLike = None, *, discount: float | None = None
) -> GittinsIndex:
    """Gittins indices of every state of rested arms: an arm moves and pays only while it is played.

    It is the Whittle index of the restless arm whose passive action freezes it and pays nothing.

    Parameters
    ----------
    arm : kernel (S, S), `arm[s, t] = P(t | s)` of an arm that is played, or (T, S, S) for T types; or a
        `RestlessBandit` or `WeaklyCoupledMDP` whose passive arms stay where they are and are paid nothing.
    rewards : with kernels only: (S,), or (T, S); units of reward per step of play.
    discount : with kernels only: gamma in [0, 1).

    Raises
    ------
    InvalidInput : malformed kernels, rewards or discount; rewards or a discount beside a bandit.
    Unsupported : a bandit with a passive arm that moves or is paid.

    >>> import markov_entanglement as me
    >>> me.gittins_index([[0.0, 1.0], [0.0, 1.0]], [0.0, 1.0], discount=0.5).index.tolist()
    [0.5, 1.0]
    """
    labels = Labels()
    if offers(arm, Model):
        if rewards is not None or discount is not None:
            raise InvalidInput("rewards", "rewards or a discount beside a bandit", "the bandit has its own",
                               "Pass the bandit alone.")  # fmt: skip
        bandit = bandit_of("arm", arm)
        labels = bandit.labels
        _require_rested(bandit)
        p, r, gamma, single = (
            bandit.kernels[:, 1],
            bandit.rewards[..., 1],
            bandit.gamma,
            bandit.n_types == 1,
        )
    else:
        if rewards is None or discount is None:
            missing = "rewards" if rewards is None else "discount"
            remedy = "Pass rewards (S,) and discount=0.9, for example."
            raise InvalidInput(missing, "None", "a kernel needs rewards and a discount", remedy)
        single = len(_check.shape_of("arm", arm, _APART)) == 2
        p = _check.probabilities("arm", arm, shape=("S", "S") if single else ("T", "S", "S"))
        p = p[None] if single else p
        given, gamma = _check.real("rewards", rewards), _check.discount(discount)
        if given.shape not in {p.shape[1:2], p.shape[:2]} or (single and given.ndim == 2):
            raise InvalidInput.shape("rewards", given.shape, p.shape[1:2] if single else p.shape[:2])
        r = np.broadcast_to(given, p.shape[:2])
    middle = 0.5 * r.max(axis=1, keepdims=True) + 0.5 * r.min(axis=1, keepdims=True)
    index = np.empty(r.shape)
    _eliminate(np.array(p), r - middle, gamma, tol.INDEX_TIE, index)
    index += middle
    return GittinsIndex(freeze(index[0] if single else index), gamma, labels)


def _require_rested(bandit: RestlessBandit) -> None:
    """Refuse passive arms that move or are paid."""
    for t in range(bandit.n_types):
        own = bandit.own_states(t)
        moves = bool((bandit.kernels[t, 0, :own, :own] != np.eye(own)).any())
        if moves or (bandit.rewards[t, :own, 0] != 0).any():
            raise Unsupported("arm", f"arm type {t}, which {'moves' if moves else 'is paid'} while passive",
                              "a rested arm stays where it is and is paid nothing", "Ask me.whittle_index, or pass "
                              "the active kernel and its rewards.")  # fmt: skip


@compiled
def _eliminate(kernels, rewards, gamma, tie, index):  # type: ignore[no-untyped-def]
    """Fill `index` (T, S) of kernels (T, S, S) and rewards (T, S); indices equal but for rounding become equal."""
    arms, n = rewards.shape
    for t in range(arms):
        p, pay, stop = gamma * kernels[t], rewards[t].copy(), np.full(n, 1.0 - gamma)
        left, last, near = np.arange(n), np.inf, tie * np.abs(rewards[t]).max()
        for m in range(n, 0, -1):
            best, at = -np.inf, 0
            for k in range(m):
                ratio = (1.0 - gamma) * (pay[left[k]] / stop[left[k]])
                if ratio > best:
                    best, at = ratio, k
            z = left[at]
            left[at] = left[m - 1]
            if best <= last - near:
                last = best
            index[t, z] = last
            away = stop[z]
            for k in range(m - 1):
                away += p[z, left[k]]
            for k in range(m - 1):
                x = left[k]
                share = p[x, z] / away
                if share > 0.0:
                    for j in range(m - 1):
                        p[x, left[j]] += share * p[z, left[j]]
                    pay[x] += share * pay[z]
                    stop[x] += share * stop[z]
