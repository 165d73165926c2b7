"""Control variates of rollouts: functions of what comes next whose mean is known, as laws of one step are known.

- *Kernels of the agents' own*: `f = sum_i h_i(s_i)`, `E f(s') = sum_i P_i h_i`. `h_i` are the values of agent i alone
  under its measured action shares, each unit of a budget charged its price: the mean gain of the agents that are served
  some of the time. A price makes agents independent as the budget does on average, so f follows the values of all
  agents together.
- *A joint kernel, or kernels that read neighbours*: the rows of the kernel applied to f, once for each joint state and
  action, or for each agent and combination of its neighbours' pairs. `h_i` is the mean of the
  learned local values over the actions.
- *Tasks that end*: the part of `P f` that no end stops; of own kernels, less what the terminal joint states take.
- *The policy*, where its laws are kept, also of a simulator, which has no others: the learned local values at the
  actions that were taken, less their mean over the actions.

Whatever the functions are, the rollouts stay unbiased.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .._check import Floats, Ints
from .._compiled import compiled
from ..model.nets import Net, mean
from ..model.system import System
from .engine import Control, flat
from .flows import Flows, shares

#: Terminal joint states of agents on kernels of their own, each a product over agents at every step.
_TERMINAL = 256


def control_of(
    system: System, flows: Flows, gamma: float, rewards: Sequence[Floats], tables: Sequence[Floats]
) -> Control:
    """The control variate that goes with local values `tables` (m_i,) learned from flows and rewards (m_i,)."""
    kernels = system.own_laws
    none = [np.zeros(s) for s in system.spaces.n_states]
    nothing = Control(none, [np.zeros(m) for m in system.spaces.pair_sizes])
    if kernels is not None and system.ends is None:
        h = _priced(system, kernels, flows, gamma, rewards)
        return Control(h, _ahead(kernels, h), acts=tables)
    nothing = nothing._replace(acts=tables)
    if (kernels is None and system.moves_itself and system.net is None) or (
        kernels is not None and len(_terminal(system)) > _TERMINAL
    ):
        return nothing
    h = none
    for group, visits in flows.visits():
        for i, share in zip(group.who, shares(visits), strict=True):
            h[i] = (share * tables[i].reshape(share.shape)).sum(axis=1)
    if kernels is None:
        ahead = _joint(system, h) if system.net is None else _near(system.net, h)
        return nothing._replace(h=h, extra=ahead)
    return Control(h, _ahead(kernels, h), _stopped(system, kernels, h), tables)


def _ahead(kernels: Sequence[Floats], h: Sequence[Floats]) -> list[Floats]:
    """(m_i,) `P_i h_i`."""
    return [np.einsum("ast,t->sa", k, f).ravel() for k, f in zip(kernels, h, strict=True)]


def _terminal(system: System) -> Ints:
    """(K, N) terminal joint states."""
    assert system.ends is not None
    return system.spaces.states_at(system.ends.terminal)


def _sum(h: Sequence[Floats], states: Ints) -> Floats:
    """(n,) f at joint states (n, N)."""
    return np.asarray(sum(f[states[:, i]] for i, f in enumerate(h)), dtype=np.float64)


def _joint(system: System, h: Sequence[Floats]) -> Callable[[Ints], Floats]:
    """The joint kernel applied to f, at joint pairs."""
    spaces, kernel = system.spaces, system.kernel  # type: ignore[attr-defined]
    many = spaces.joint_states
    f = _sum(h, spaces.states_at(np.arange(many)))
    if system.ends is not None:
        f[system.ends.terminal] = 0.0
    table = np.stack([k @ f for k in kernel])

    def extra(pairs: Ints) -> Floats:
        states, actions = spaces.split(pairs)
        return np.asarray(table[spaces.action_index(actions), spaces.state_index(states)])

    return extra


def _near(net: Net, h: Sequence[Floats]) -> Callable[[Ints], Floats]:
    """The kernels that read neighbours applied to f, at joint pairs."""
    first, f = flat(h)

    def extra(pairs: Ints) -> Floats:
        out = np.empty(len(pairs))
        mean(pairs, net, first, f, out)
        return out

    return extra


@compiled
def _taken(pairs, first, law, sizes, terminal, f, out):  # type: ignore[no-untyped-def]
    """out (n,): less the chance of each terminal state (K, N) times f there, at local pairs (n, N)."""
    for x in range(len(pairs)):
        out[x] = 0.0
        for k in range(len(terminal)):
            chance = f[k]
            for i in range(len(first)):
                chance *= law[first[i] + pairs[x, i] * sizes[i] + terminal[k, i]]
                if chance == 0.0:
                    break
            out[x] -= chance


def _stopped(system: System, kernels: Sequence[Floats], h: Sequence[Floats]) -> Callable[[Ints], Floats]:
    """What ends take from `sum_i P_i h_i`."""
    terminal, (first, law) = _terminal(system), flat([k.transpose(1, 0, 2) for k in kernels])
    f, sizes = _sum(h, terminal), np.array(system.spaces.n_states, dtype=np.int64)

    def extra(pairs: Ints) -> Floats:
        out = np.empty(len(pairs))
        _taken(pairs, first, law, sizes, terminal, f, out)
        return out

    return extra


def _priced(
    system: System, kernels: Sequence[Floats], flows: Flows, gamma: float, rewards: Sequence[Floats]
) -> list[Floats]:
    """(S_i,) values of each agent alone, each unit of a budget charged its price."""
    plain, priced, weight = ([np.zeros(0)] * system.n_agents for _ in range(3))
    for group, visits in flows.visits():
        who, s, a = group
        chance, law = shares(visits), np.stack([kernels[i] for i in who])
        r = np.stack([np.asarray(rewards[i]).reshape(s, a) for i in who])
        closed = np.einsum("nsa,nast->nst", chance, law)
        units = np.broadcast_to(np.arange(a, dtype=np.float64), r.shape)
        both = np.stack([(chance * r).sum(axis=2), (chance * units).sum(axis=2)], axis=2)
        h = np.linalg.solve(np.eye(s) - gamma * closed, both)
        varies = visits * chance * (1.0 - chance)
        for n, i in enumerate(who):
            plain[i], priced[i], weight[i] = h[n, :, 0], h[n, :, 1], varies[n]
    price = _price(kernels, rewards, (plain, priced, weight), gamma) if system.budget is not None else 0.0
    return [p - price * u for p, u in zip(plain, priced, strict=True)]


def _price(
    kernels: Sequence[Floats], rewards: Sequence[Floats], alone: tuple[list[Floats], ...], gamma: float
) -> float:
    """The mean gain of one more unit where service is neither sure nor out of reach, at that price.

    `alone`: per agent values (S_i,) without a price, units used (S_i,), and how much each action varies (S_i, A_i).
    """
    gain, cost = 0.0, 0.0
    for k, r, f, u, w in zip(kernels, rewards, *alone, strict=True):
        for a in range(1, len(k)):
            step = w[:, a]
            r2 = np.asarray(r).reshape(len(w), -1)
            gain += step @ (r2[:, a] - r2[:, a - 1] + gamma * (k[a] - k[a - 1]) @ f)
            cost += step @ (1.0 + gamma * (k[a] - k[a - 1]) @ u)
    return gain / cost if cost > 0 else 0.0
