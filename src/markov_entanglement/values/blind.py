"""What is lost when local values may not see the signal: side by side with those that do, and with a common `g(z)`.

Blind values are those that agents learn on their own pairs `x_i = (s_i, a_i)`; what the signal changes is then missing
in their rewards (`E_mu[r_i | x_i]` for r_i) and in their steps. A function g of the signal alone, added once for all
agents, is the least repair: `g(z) = E_mu[Q - D | z]`, the best one in L2(mu).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .._check import Floats, freeze, sums_by
from .._json import plain
from .._random import generator
from .._types import RNG, RewardsLike, Subject
from ..errors import Unsupported
from ..laws.source import Runs, Space, as_source, choose, no_signal, offers
from ..measures.entanglement import Entanglement, local_entanglement
from ..report import tabulate
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table
from .decomposition import ValueDecomposition, decompose, resolve_discount

if TYPE_CHECKING:
    from ..runs.signal import SignalLossEstimate

_ASKED = "what a signal is worth"


@dataclass(frozen=True, eq=False, repr=False)
class SignalLoss(Result):
    """Local values that see the signal, that may not, and that may not but have a common function of it.

    Attributes
    ----------
    seeing, blind : the decompositions of the chain and of `chain.blind()`.
    g : (Z,) common function of the signal that repairs the blind sum best, `E_mu[Q - D | z]`, reward units.
    seeing_entanglement, blind_entanglement : mu-atv of both.
    misfit : (N,) `||r_i - E[r_i|x_i]||_mu`, what is paid and blind rewards do not show.
    """

    seeing: ValueDecomposition
    blind: ValueDecomposition
    g: Floats
    seeing_entanglement: Entanglement
    blind_entanglement: Entanglement
    misfit: Floats

    @cached_property
    def common(self) -> Floats:
        """(n,) error of the blind sum with g added."""
        signal = _signal(self.seeing.chain)
        return freeze(self.blind.residual - self.g[signal])

    def _errors(self, form: str) -> dict[str, float]:
        if form != "common":
            found = getattr(self, form)
            return {f"error_{k}": found.error(k) for k in ("mu", "sup", "l2")} | {
                "unexplained": found.unexplained
            }
        off, mu = self.common, self.blind.chain.occupancy
        at = mu > 0
        spread = float(np.sqrt(mu[at] @ (off[at] - mu[at] @ off[at]) ** 2))
        out = {f"error_{k}": self.blind.norm(off, k) for k in ("mu", "sup", "l2")}
        whole = self.blind.spread
        return out | {"unexplained": spread / whole if whole > self.blind.rounding else 0.0}

    @cached_property
    def errors(self) -> dict[str, dict[str, float]]:
        """Form of the local values -> each error by name."""
        return {form: self._errors(form) for form in tabulate.FORMS}

    @property
    def sentence(self) -> str:
        """The three shares of the spread of Q."""
        seen, blind, common = (percent(self.errors[form]["unexplained"]) for form in tabulate.FORMS)
        return (
            f"Local values that may not see the signal miss {blind} of the spread of Q, with a common function of the "
            f"signal {common}; those that see it miss {seen}."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        each = {"seeing_mu_atv": self.seeing_entanglement, "blind_mu_atv": self.blind_entanglement}
        measured: dict[str, Any] = {k: e.per_agent for k, e in each.items()}
        missed = {form: self.errors[form]["unexplained"] ** 2 for form in ("blind", "seeing")}
        own = {"reward_misfit": self.misfit, "g": self.g, "lost": missed["blind"] - missed["seeing"],
               "sentence": self.sentence}  # fmt: skip
        return plain({**self.errors, **measured, **own})

    def _brief(self) -> str:
        return ", ".join(f"{form} {percent(self.errors[form]['unexplained'])}" for form in tabulate.FORMS)

    def _tables(self) -> Iterator[Table]:
        block = self.to_dict()
        yield tabulate.signal(block)
        yield tabulate.signal_agents(block, [u.name for u in self.seeing.chain.units])


def _signal(chain: Any) -> Any:
    """(n,) the signal at each joint pair."""
    seen = chain.signal_of(0)
    if seen is None:
        raise no_signal(_ASKED, chain)
    return seen[chain.pairs[:, 0]]


def signal_loss(
    chain: Subject,
    rewards: RewardsLike = None,
    discount: float | None = None,
    *,
    method: str = "auto",
    rng: RNG = 0,
) -> SignalLoss | SignalLossEstimate:
    """What is lost when the local values of an `ExogenousMDP` may not see the signal.

    Parameters
    ----------
    chain : from `system.under(policy)`.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    method : "exact"; "simulate", by runs with intervals; "auto": exact where all joint pairs can be listed in seconds.
    rng : seed of the runs, where there are any.

    Returns
    -------
    SignalLoss : exact; or SignalLossEstimate, along the same runs for all three, with intervals and their estimator.

    Raises
    ------
    InvalidInput : malformed arguments.
    Unsupported : the agents see no signal, or one reward is shared; rewards or a discount beside those of the system
        along runs.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.

    >>> import markov_entanglement as me
    >>> price, arm = [[0.5, 0.5], [0.5, 0.5]], [[[0.9, 0.1], [0.1, 0.9]]]
    >>> system = me.ExogenousMDP([arm] * 2, [[[[1.0], [0.0]], [[0.0], [1.0]]]] * 2, signal=price, discount=0.9)
    >>> lost = me.signal_loss(system.under(me.UniformPolicy()))
    >>> round(lost.errors["seeing"]["unexplained"], 9), lost.errors["blind"]["unexplained"] > 0.5
    (0.0, True)
    """
    _check.choice("method", method, ("auto", "exact", "simulate"))
    generator(rng)  # refused before anything is computed
    found: Any = choose(as_source(chain), Space, method, question=_ASKED, sampled=True)
    if offers(found, Runs):
        if rewards is not None or discount not in (None, found.discount):
            rule, remedy = "runs are paid the reward of the system", "Make a system with these."
            raise Unsupported("rewards, discount", "others than those of the system", rule, remedy)
        estimate: SignalLossEstimate = found.signal_loss(rng)
        return estimate
    return signal_loss_of(
        decompose(found, found.read_rewards(rewards), resolve_discount(found, discount)), rewards
    )


def signal_loss_of(
    seeing: ValueDecomposition, rewards: Any = None, weak: Entanglement | None = None
) -> SignalLoss:
    """See `signal_loss`; `weak`: the mu-atv of the chain, where it is known."""
    chain: Any = seeing.chain
    signal = _signal(chain)
    unseen: Space = chain.blind()
    read = unseen.read_rewards(rewards)
    if read.local is None:
        rule = "a shared reward is split anew without the signal"
        raise Unsupported(_ASKED, "a shared reward", rule, "Ask chain.blind() itself.")
    blind = decompose(unseen, read, seeing.discount)
    mu = chain.occupancy
    off = np.where(mu > 0, blind.residual, 0.0)
    mass = sums_by(signal, mu, int(signal.max()) + 1)
    g = sums_by(signal, mu * off, len(mass)) / np.where(mass > 0, mass, 1.0)
    found = local_entanglement(chain) if weak is None else weak
    return SignalLoss(seeing, blind, freeze(g), found, local_entanglement(unseen), read.each)  # type: ignore[attr-defined]
