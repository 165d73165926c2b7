"""Networks of machines that fail the sooner the more machines before them are down (SysAdmin)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .._check import Floats, integer, number
from ..errors import InvalidInput
from ..model.factored import FactoredMDP
from ..model.policy import LocalPolicy, NeighbourPolicy
from .registry import Entry, Fact, register

_GUESTRIN = "Guestrin, Koller & Parr 2001"
_TWO = "two independent programs: brute force on the joint chain"
#: Fault and death of a machine alone and what failed and dead neighbours add; arrival and success of jobs by status.
FAULT, DEATH, ARRIVAL, SUCCESS = (0.4, 0.2, 0.5), (0.1, 0.2, 0.5), 0.6, (0.9, 0.6, 0.0)


def _share(kappa: float) -> float:
    if not 0.0 <= number("kappa", kappa) <= 1.0:
        raise InvalidInput.range("kappa", kappa, 0, 1)
    return kappa


def _machine(kappa: float) -> Floats:
    """(own pair, pair of the machine before, next state): pairs `2 up + reboot`."""
    up = np.ones((4, 4))
    for own, before in itertools.product((0, 1), repeat=2):
        up[2 * own, 2 * before : 2 * before + 2] = 0.95 * (1.0 if own else 0.05) * (1.0 if before else kappa)
    return np.stack([1.0 - up, up], axis=2)


def ring(n_machines: int = 5, kappa: float = 0.5, discount: float = 0.95) -> FactoredMDP:
    """Machines in a ring, down 0 or up 1, each rebooted (1) or not (0). One that is rebooted is up next; else with
    chance .95, times .05 if it is down, times `kappa` if the machine before it is down. Reward 1 while up."""
    n = integer("n_machines", n_machines, low=2)
    near = [(i, (i - 1) % n) for i in range(n)]
    return FactoredMDP(
        [_machine(_share(kappa))], [[0.0, 1.0]] * n, neighbours=near, discount=discount, labels=_LABELS
    )


def star(n_machines: int = 6, kappa: float = 0.5, discount: float = 0.95) -> FactoredMDP:
    """Machine 0 is the hub and reads nobody; it is the machine before each of the others, which are as in a ring."""
    n = integer("n_machines", n_machines, low=2)
    leaf = _machine(_share(kappa))
    near = [(0,), *((i, 0) for i in range(1, n))]
    kernels = [leaf[:, 2], *[leaf] * (n - 1)]
    return FactoredMDP(kernels, [[0.0, 1.0]] * n, neighbours=near, discount=discount, labels=_LABELS)


def load(n_machines: int = 2, discount: float = 0.95) -> FactoredMDP:
    """Machines in a ring with jobs; local state 3 status + load, status good, failed, dead, load idle, busy, done.
    A good machine fails with chance .4, a failed one dies with .1, and .2 (.5) more where the one before it is failed
    (dead). A job comes with .6 unless dead, is done with .9 (good) or .6 (failed), and is then handed in. A reboot
    makes it good and idle. Reward: the chance that a job gets done in the step."""
    n = integer("n_machines", n_machines, low=2)
    kernel, reward = np.zeros((18, 18, 9)), np.zeros((9, 2))
    for s, before in np.ndindex(9, 18):
        status, busy = divmod(s, 3)
        kernel[2 * s + 1, before, 0] = 1.0
        kernel[2 * s, before] = np.outer(_status(status, before // 6), _jobs(status, busy)).ravel()
        reward[s, 0] = SUCCESS[status] * (busy == 1)
    near = [(i, (i - 1) % n) for i in range(n)]
    names = {"states": [f"{s} {j}" for s in ("good", "failed", "dead") for j in ("idle", "busy", "done")]}
    return FactoredMDP([kernel], [reward] * n, neighbours=near, discount=discount, labels=names | _ACTS)


def _status(own: int, before: int) -> Floats:
    """(3,) law of the next status."""
    law = np.zeros(3)
    worse = 0.0 if own == 2 else (FAULT, DEATH)[own][0] + (0.0, *FAULT[1:])[before]
    law[own], law[min(own + 1, 2)] = 1.0 - worse, 1.0 if own == 2 else worse
    return law


def _jobs(status: int, busy: int) -> Floats:
    """(3,) law of the next load."""
    moves = (ARRIVAL, SUCCESS[status], 0.0)[busy]
    law = np.zeros(3)
    law[0 if busy == 2 or status == 2 else busy] = 1.0
    if status < 2 and busy < 2:
        law[busy], law[busy + 1] = 1.0 - moves, moves
    return law


_ACTS: dict[str, Any] = {"actions": ["leave", "reboot"]}
_LABELS = {"states": ["down", "up"]} | _ACTS


def _local(*reboots: float) -> Any:
    """Each machine reboots with these chances by its status."""

    def policy(system: FactoredMDP) -> LocalPolicy:
        each = np.repeat(reboots, system.spaces.n_states[0] // len(reboots))
        return LocalPolicy([np.stack([1.0 - each, each], axis=1)] * system.n_agents)

    return policy


def _reader(system: FactoredMDP) -> NeighbourPolicy:
    """A machine is rebooted iff it is down and the one before it is up."""
    reboots = np.zeros((2, 2))
    reboots[0, 1] = 1.0
    return NeighbourPolicy([np.stack([1.0 - reboots, reboots], axis=2)] * system.n_agents)


def _one(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """One administrator reboots the first machine that is down."""
    first = state.index(0) if 0 in state else None
    return {tuple(int(i == first) for i in range(len(state))): 1.0}


_STATES = {"repair": _local(1.0, 0.0), "noisy": _local(0.8, 0.1)}


def _facts(mu: Any, errors: tuple[float, ...], policy: str = "", **params: Any) -> tuple[Fact, ...]:
    """E and the errors (mu, sup, l2, unexplained) of one ring, to six digits."""
    each = zip(("error_mu", "error_sup", "error_l2", "unexplained"), errors, strict=False)
    return tuple(Fact(q, v, 6e-7, _TWO, policy, params) for q, v in (("mu-atv", mu), *each))


_CLOSED = "closed form: .95 (1 - kappa)/2"

register(
    Entry(
        "sysadmin-ring",
        "Machines in a ring: a small measure, a large error",
        "What a machine does next depends on itself and on the machine before it. Every machine acts on its own, so "
        "all of E comes from the transitions: .038 on average, whatever the size. Yet the sum of local values misses "
        "43 % of the spread of Q, for failures travel around the ring; at kappa = 1 machines are independent, both 0.",
        f"{_GUESTRIN}; Guestrin et al. 2003",
        ring,
        _STATES | {"reader": _reader, "one-admin": lambda _: _one},
        (
            Fact("atv", 0.2375, 1e-9, _CLOSED),
            *(Fact("atv", 0.95 * (1 - k) / 2, 1e-9, _CLOSED, params={"kappa": k}) for k in (0.6, 0.75, 0.9, 1.0)),
            *_facts(0.037987, (0.374034, 1.217430, 0.409863, 0.431473)),
            *_facts(0.037987, (0.409667, 1.918856, 0.449009, 0.431489), n_machines=6),
            *_facts(0.037987, (0.455027, 2.558475, 0.518469, 0.431488), n_machines=8),
            *_facts(0.034748, (0.483852, 1.991695, 0.541589, 0.410835), "noisy"),
            *_facts(0.043832, (0.506287, 29.424851, 0.655956, 0.476094), "reader"),
            Fact("atv", 0.476532, 6e-7, _TWO, "reader"),
            Fact("mu-atv", (0.069441, 0.054837, 0.049359, 0.056036, 0.060851), 6e-7, _TWO, "one-admin"),
            Fact("atv", (0.2375, 0.250625, 0.452126, 0.440257, 0.308372), 6e-7, _TWO, "one-admin"),
            Fact("error_mu", 1.050822, 6e-7, _TWO, "one-admin"),
            Fact("unexplained", 0.455491, 6e-7, _TWO, "one-admin"),
            *(
                Fact("mu-atv", e, 6e-7, _TWO, params={"kappa": k})
                for k, e in ((0.6, 0.026355), (0.75, 0.013741), (0.9, 0.004716), (1.0, 0.0))
            ),
            *(
                Fact("unexplained", u, 6e-7, _TWO, params={"kappa": k})
                for k, u in ((0.6, 0.343547), (0.75, 0.213240), (0.9, 0.084698), (1.0, 0.0))
            ),
        ),
    ),
    Entry(
        "sysadmin-star",
        "Machines around a hub: one machine decides for all",
        "Every machine but the hub depends on the hub. The hub is not entangled, for it reads nobody; the others are "
        "by .022 each, and the sum of local values misses 47 % of the spread of Q.",
        f"{_GUESTRIN}; Guestrin et al. 2003",
        star,
        _STATES,
        (
            Fact("atv", (0.0, *(0.2375,) * 5), 1e-9, _CLOSED),
            *_facts((0.0, *(0.021566,) * 5), (0.177818, 1.962793, 0.419868, 0.466029)),
            *_facts((0.0, *(0.019658,) * 5), (0.223313, 3.598785, 0.531047, 0.443861), "noisy"),
        ),
    ),
    Entry(
        "sysadmin-load",
        "Machines with jobs: entangled, yet nearly additive",
        "A failed machine makes the next one fail, and fewer jobs get done. E is .08, twice that of the ring without "
        "jobs, but what is paid depends on the own job first: the sum of local values misses 16 % of the spread of Q.",
        "Guestrin, Lagoudakis & Parr 2002; Bargiacchi et al. 2021",
        load,
        {"repair": _local(0.0, 0.5, 1.0), "noisy": _local(0.1, 0.8, 0.8)},
        (
            Fact("atv", 0.25, 1e-9, "closed form: half of what a dead machine before it adds to the chance to fail"),
            *_facts(0.078196, (0.048833, 0.143016, 0.061094, 0.163394)),
            *_facts(0.080939, (0.046281, 0.178227, 0.057987, 0.127528), n_machines=3),
        ),
    ),
)  # fmt: skip
