"""Policy improvement by local values: serve by `z_i(s) = Q_i(s,1) - Q_i(s,0)`, learn under that, and again.

What DiDi does in practice and DecompPI (Baek et al.) from the null policy: every agent evaluates the policy in force
alone (Eq. 2), and whoever gains most by service comes first; where service changes neither reward nor next state the
gain is 0, whatever company it keeps. An action that the policy never takes in a state has no
local value; it is valued one step ahead, by the agent's own kernel and what the policy does there on average.

From a policy under which agents do not see each other (nobody served, or each by its own state) local values are exact.
For two-state agents that are served with chance b where it helps, `1/z = 1/w + b` with the Whittle index w, so one
round ranks as Whittle does whatever b. Later rounds need not keep that, and may go round for ever: the message says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, freeze, unit_of
from .._json import plain
from .._progress import Progress, reporting, stage
from .._random import generator, seed_of, streams
from .._types import RNG, PolicyLike, Subject
from ..errors import InvalidInput, TooLarge
from ..laws.source import Runs, Space, as_source, choose, offers
from ..measures.entanglement import Measure, entanglement
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy, LocalPolicy
from ..report import tabulate, terms
from ..report.result import Brief, Result
from ..report.table import Columns, Table, distinct, table
from ..values.decision import DecisionLoss, decision_of, look_ahead
from ..values.decomposition import decompose, resolve_discount
from .whittle import bandit_of

#: Digits to which indices are compared: what differs by rounding alone shares a class.
_DIGITS = 9


@dataclass(frozen=True, eq=False, repr=False)
class Round(Brief):
    """One policy, what its local values are worth, and the index that they give.

    Attributes
    ----------
    policy : the policy in force.
    index : (T, S) gain of service by local values, reward units; higher is served first in the next round.
    entanglement : Prop. 7.2 (exact: `mu-atv`) of every agent or arm type; None where agents do not see each other.
    certificate : (low, high) of `||Q - sum Q_i||` in L2(mu), reward units; 0 where agents do not see each other.
    unexplained : (low, high), the same as a share of the spread of Q.
    decision_loss : what choosing by these values costs; None where it is not known.
    estimator : how they were found.
    note : which values were looked up one step ahead.
    """

    policy: Any
    index: Floats
    entanglement: Measure | None
    certificate: tuple[float, float]
    unexplained: tuple[float, float]
    decision_loss: DecisionLoss | None
    estimator: str
    note: str = ""

    def _brief(self) -> str:
        low, high = self.certificate
        return f"{self.policy}: error in [{low:.4g}, {high:.4g}]"


@dataclass(frozen=True, eq=False, repr=False)
class Improvement(Result):
    """Rounds of policy improvement by local values.

    Attributes
    ----------
    rounds : one a policy, the given one first.
    message : where the ranking settled, or the cycle that it goes round, or that it did neither.
    bandit : whose types and states are named.
    """

    rounds: tuple[Round, ...]
    message: str
    bandit: RestlessBandit

    def __len__(self) -> int:
        return len(self.rounds)

    def __getitem__(self, k: int) -> Round:
        return self.rounds[k]

    def __iter__(self) -> Iterator[Round]:
        return iter(self.rounds)

    @property
    def policy(self) -> IndexPolicy:
        """The policy that the last round asks for."""
        return _served_by(self.rounds[-1].index)

    @property
    def sentence(self) -> str:
        """What became of the ranking."""
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        return {"message": self.message, "rounds": [
            {"policy": repr(r.policy), "index": plain(r.index), "certificate": plain(list(r.certificate)),
             "unexplained": plain(list(r.unexplained)), "estimator": r.estimator, "note": r.note,
             "entanglement": None if r.entanglement is None else r.entanglement.to_dict(),
             "decision_loss": None if r.decision_loss is None else r.decision_loss.to_dict()}
            for r in self.rounds
        ]}  # fmt: skip

    def _tables(self) -> Iterator[Table]:
        unit, types = terms.REWARD, range(self.bandit.n_types)
        columns: Columns = {
            "round": "number of the round", "type": "type of arms", "state": "local state",
            "index": ("gain of service by local values; higher is served first in the next round", unit),
        }  # fmt: skip
        who = distinct([u.name for u in self.bandit.units])
        states = [distinct(self.bandit.local_names(t)[0]) for t in types]
        yield table("gains", "Gain of service by local values", columns, (
            (k, who[t], s, float(x)) for k, r in enumerate(self.rounds) for t in types
            for s, x in zip(states[t], r.index[t], strict=True)
        ), 3)  # fmt: skip
        said: Columns = {
            "round": "number of the round", "policy": "in force",
            "error_low": ("root mean square error of the sum, at least", unit), "error_high": ("at most", unit),
            "unexplained_low": tabulate.column("values.unexplained"),
            "unexplained_high": tabulate.column("values.unexplained"), "estimator": "how it was found",
        }  # fmt: skip
        yield table("rounds", "Rounds of improvement", said, (
            (k, repr(r.policy), *r.certificate, *r.unexplained, r.estimator) for k, r in enumerate(self.rounds)
        ))  # fmt: skip


@reporting("improving")
def improve(
    system: Subject,
    policy: PolicyLike = "passive",
    *,
    rounds: int = 5,
    method: str = "auto",
    rng: RNG = 0,
    progress: Progress | bool | None = None,
) -> Improvement:
    """Improve a policy by local values: index `Q_i(s,1) - Q_i(s,0)`, round after round.

    Parameters
    ----------
    system : a `RestlessBandit`, or a `WeaklyCoupledMDP` of two actions with a budget.
    policy : the first one: "passive" (nobody is ever served), a `LocalPolicy` (each agent by its own state, whatever
        the budget), or any policy or word that the system takes.
    rounds : policies at most, 1..10,000; fewer where the ranking settles or repeats.
    method : "exact", "simulate", or "auto": exact where all joint pairs can be listed in seconds.
    rng : seed of what is simulated.
    progress : see `analyze`.

    Raises
    ------
    InvalidInput : malformed arguments, or a system without rewards or discount.
    Unsupported : agents that do not move on kernels of their own, or have more than two actions.

    >>> import numpy as np, markov_entanglement as me
    >>> bandit = me.gallery.build("health").system
    >>> found = me.improve(bandit, rounds=1)
    >>> bool(np.allclose(found[0].index, me.whittle_index(bandit).index, atol=1e-8))
    True
    """
    bandit = bandit_of("system", system)
    if bandit.discount is None:
        raise InvalidInput(
            "discount", "None", "local values are sums with discount", "Give the system a discount."
        )
    most = _check.integer("rounds", rounds, low=1, high=10_000)
    _check.choice("method", method, ("auto", "exact", "simulate"))
    seed, now = seed_of(generator(rng)), policy
    found: list[Round] = []
    seen: dict[bytes, int] = {}
    message = f"After {most} rounds the ranking has neither settled nor repeated."
    for k in range(most):
        with stage(f"round {k}", k / most, (k + 1) / most):
            found.append(_round(system, bandit, now, method, streams(seed, f"round {k}")[0]))
        now = _served_by(found[-1].index)
        order = b"".join(r.tobytes() for r in now.ranks(bandit.n_types))
        if order in seen:
            first, period = seen[order], k - seen[order]
            message = (
                f"The ranking settled in round {first}: served by it, local values give the same again."
                if period == 1
                else f"The ranking goes round for ever with period {period}: round {k} ranks as round {first} did."
            )
            break
        seen[order] = k
    return Improvement(tuple(found), message, bandit)


def _served_by(index: Floats) -> IndexPolicy:
    unit = unit_of(index)
    return IndexPolicy(list(np.round(index / unit, _DIGITS) * unit))


def _round(system: Any, bandit: RestlessBandit, policy: Any, method: str, rng: np.random.Generator) -> Round:
    if isinstance(policy, str) and policy == "passive":
        rest = np.zeros((bandit.n_states, 2))
        rest[:, 0] = 1.0
        policy = LocalPolicy([rest] * bandit.n_types)
    if isinstance(policy, LocalPolicy):
        return _alone(bandit, policy)
    source = choose(
        as_source(system, policy), Space, method, question="improvement by local values", sampled=True
    )
    if offers(source, Runs):
        runs: Any = source
        errors = runs.errors(rng)
        return Round(policy, _gains(errors.local_q, bandit), runs.entanglement("policy", rng), errors.error_l2_interval,
                     errors.unexplained_interval, None, errors.estimator)  # fmt: skip
    space: Any = source
    values = decompose(space, space.read_rewards(None), resolve_discount(space, None))
    tables, note = look_ahead(values)
    error = values.error("l2")
    try:
        loss = decision_of(values, unasked=True)
    except TooLarge:
        loss = None
    measure, share = entanglement(space, "mu-atv"), values.unexplained_interval
    return Round(policy, _gains(tables, bandit), measure, (error, error), share, loss, "exact", note)


def _gains(tables: Any, bandit: RestlessBandit) -> Floats:
    """(T, S) what service gains: 0 where it changes nothing; where an agent never comes, as little as anywhere."""
    q = np.stack([np.reshape(t, (bandit.n_states, 2)) for t in tables])
    gain, r, kernels = q[:, :, 1] - q[:, :, 0], bandit.rewards, bandit.kernels
    idle = (r[:, :, 0] == r[:, :, 1]) & (kernels[:, 0] == kernels[:, 1]).all(axis=2)
    return freeze(np.where(idle, 0.0, np.where(np.isnan(gain), np.nanmin(gain), gain)))


def _alone(bandit: RestlessBandit, policy: LocalPolicy) -> Round:
    """A policy under which no agent sees another: local values are exact."""
    shape = (bandit.n_states, 2)
    if len(policy.tables) != bandit.n_types or any(t.shape != shape for t in policy.tables):
        raise InvalidInput("policy", f"{len(policy.tables)} local tables", f"one {shape} table for each of "
                           f"{bandit.n_types} types", "Match them.")  # fmt: skip
    chance = np.stack(policy.tables)
    r, gamma = bandit.rewards, bandit.gamma
    closed = np.einsum("tsa,tasu->tsu", chance, bandit.kernels)
    v = np.linalg.solve(np.eye(bandit.n_states) - gamma * closed, (chance * r).sum(axis=2)[..., None])[..., 0]
    q = r + gamma * np.einsum("tasu,tu->tsa", bandit.kernels, v)
    return Round(policy, freeze(q[:, :, 1] - q[:, :, 0]), None, (0.0, 0.0), (0.0, 0.0), None,
                 "exact, each agent alone")  # fmt: skip
