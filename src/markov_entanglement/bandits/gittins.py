"""Gittins indices of rested arms: `max_tau E[sum_{t < tau} gamma^t r] / E[sum_{t < tau} gamma^t]` from each state.

Write the discount as a chance `e = 1 - gamma` of stopping at each step. The state of largest `r / e` has its own ratio
as its index. It is then eliminated: whatever leads to it goes on to where it leads, and takes its reward and its chance
of stopping along. In the chain that is left again the largest ratio is an index, the next in order (I. Sonin, *A
generalized Gittins index for a Markov chain and its recursive calculation*, 2008; the same order as that of Varaiya,
Walrand and Buyukkoc, 1985). O(S^3) in all, and chances are added and divided only: nothing is lost near gamma = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, freeze
from .._json import plain
from ..errors import InvalidInput, TooLarge, Unsupported, gib
from ..laws.source import Model, offers
from ..model.bandit import RAGGED
from ..model.policy import Ranking
from .whittle import bandit_of


@dataclass(frozen=True, eq=False, repr=False)
class GittinsIndex(Ranking):
    """Gittins indices of one or many arm types.

    Attributes
    ----------
    index : (T, S), or (S,) for one type; reward per step; the arm of highest index is played.
    discount : gamma.
    """

    index: Floats
    discount: float

    def __repr__(self) -> str:
        return f"GittinsIndex(discount {self.discount:g}, index of shape {self.index.shape})"

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        return "Every state of a rested arm has a Gittins index; playing the highest is optimal for one arm a step."

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values."""
        return plain({name: getattr(self, name) for name in ("discount", "index", "sentence")})


def gittins_index(arm: Any, rewards: Any = None, *, discount: float | None = None) -> GittinsIndex:
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
    TooLarge : the kernels of all types would not fit while they are reduced.

    >>> import markov_entanglement as me
    >>> me.gittins_index([[0.0, 1.0], [0.0, 1.0]], [0.0, 1.0], discount=0.5).index.tolist()
    [0.5, 1.0]
    """
    if offers(arm, Model):
        if rewards is not None or discount is not None:
            raise InvalidInput("rewards", "rewards or a discount beside a bandit", "the bandit has its own",
                               "Pass the bandit alone.")  # fmt: skip
        bandit = bandit_of("arm", arm)
        _require_rested(bandit.kernels[:, 0], bandit.rewards[..., 0])
        p, r, gamma, single = (
            bandit.kernels[:, 1],
            bandit.rewards[..., 1],
            bandit.discount,
            bandit.n_types == 1,
        )
    else:
        if rewards is None or discount is None:
            missing = "rewards" if rewards is None else "discount"
            remedy = "Pass rewards (S,) and discount=0.9, for example."
            raise InvalidInput(missing, "None", "a kernel needs rewards and a discount", remedy)
        single = len(_check.shape_of("arm", arm, RAGGED)) == 2
        p = _check.probabilities("arm", arm, shape=("S", "S") if single else ("T", "S", "S"))
        p = p[None] if single else p
        given, gamma = _check.real("rewards", rewards), _check.discount(discount)
        if given.shape not in {p.shape[1:2], p.shape[:2]} or (single and given.ndim == 2):
            raise InvalidInput.shape("rewards", given.shape, p.shape[1:2] if single else p.shape[:2])
        r = np.broadcast_to(given, p.shape[:2])
    if p.nbytes * 3 > tol.BYTES:
        raise TooLarge("arms", gib(p.nbytes * 3), gib(tol.BYTES), "Ask for some types at a time.")
    index = _eliminate(p, r, gamma)
    return GittinsIndex(freeze(index[0] if single else index), gamma)


def _require_rested(kernels: Floats, rewards: Floats) -> None:
    """Refuse passive kernels (T, S, S) that move, or passive rewards (T, S) that pay."""
    moves = (kernels != np.eye(kernels.shape[1])).any(axis=(1, 2))
    wrong = np.flatnonzero(moves | (rewards != 0).any(axis=1))
    if len(wrong):
        t = int(wrong[0])
        raise Unsupported("arm", f"arm type {t}, which {'moves' if moves[t] else 'is paid'} while passive",
                          "a rested arm stays where it is and is paid nothing", "Ask me.whittle_index, or pass "
                          "the active kernel and its rewards.")  # fmt: skip


def _eliminate(kernels: Floats, rewards: Floats, gamma: float) -> Floats:
    """(T, S) indices."""
    middle = 0.5 * rewards.max(axis=1, keepdims=True) + 0.5 * rewards.min(axis=1, keepdims=True)
    p, r, out = gamma * kernels, rewards - middle, np.empty(rewards.shape)
    e, left, arms = np.full(r.shape, 1.0 - gamma), np.ones(r.shape, dtype=np.bool_), np.arange(len(r))
    near = tol.INDEX_TIE * np.abs(r).max(axis=1)
    last = np.full(len(r), np.inf)
    for _ in range(r.shape[1]):
        ratio = np.where(left, (1.0 - gamma) * (r / e), -np.inf)
        z = ratio.argmax(axis=1)
        best = ratio[arms, z]
        last = np.where(best > last - near, last, best)  # equal but for rounding: one class
        out[arms, z] = last
        left[arms, z] = False
        row = np.where(left, p[arms, z], 0.0)
        share = np.where(left, p[arms, :, z], 0.0) / (row.sum(axis=1) + e[arms, z])[:, None]
        p += share[:, :, None] * row[:, None, :]
        r += share * r[arms, z][:, None]
        e += share * e[arms, z][:, None]
    return np.asarray(out + middle)
