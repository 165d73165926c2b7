"""Tasks that end, from raw arrays by loops: nothing of the answers here comes from the package.

`Ending` answers every question from the kernel, the policy table, the set of terminal joint states and the restart
law. `draw` makes a random task with the system behind it; `claims` lists what the package says beside the truth.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

import markov_entanglement as me
from helpers import Truth, index_table, product_kernel, random_laws


class Ending(Truth):
    """Brute force for tasks that end; `p` is the chain with restart, `pc` its part that goes on."""

    def __init__(self, kernel, table, n_states, n_actions, terminal, restart):
        table = table.copy()
        table[sorted(terminal)] = 0.0  # nobody acts there
        super().__init__(kernel, table, n_states, n_actions)
        n = len(self.pairs)
        self.pc = self.p
        self.ends = np.array([sum(kernel[s, a, t] for t in terminal) for s, a in self.index])
        again = np.array([restart[s] * table[s, a] for s, a in self.index])
        self.p = np.zeros((n, n))
        for x in range(n):
            for y in range(n):
                self.p[x, y] = self.pc[x, y] + self.ends[x] * again[y]

    def next_law(self, i):
        """(n, m_i + 1), "ended" last."""
        out = np.zeros((len(self.pairs), self.sizes[i] + 1))
        for x in range(len(self.pairs)):
            out[x, -1] = self.ends[x]
            for y, pair in enumerate(self.pairs):
                out[x, pair[i]] += self.pc[x, y]
        return out

    def local_transition(self, i):
        law, m = self.next_law(i), self.sizes[i]
        out = np.full((m, m), np.nan)
        for k in range(m):
            share = [x for x, pair in enumerate(self.pairs) if pair[i] == k and self.mu[x] > 0]
            if share:
                out[k] = sum(self.mu[x] * law[x, :m] for x in share) / sum(self.mu[x] for x in share)
        return out

    def q(self, reward, discount):
        return np.linalg.solve(np.eye(len(self.pc)) - discount * self.pc, reward)

    def errors(self, f):
        """L1(mu), sup on the recurrent pairs, L2(mu)."""
        at = self.recurrent
        return {
            "mu": float(self.mu[at] @ np.abs(f[at])),
            "sup": float(np.abs(f[at]).max()),
            "l2": float(np.sqrt(self.mu[at] @ f[at] ** 2)),
        }

    def unexplained(self, q, d):
        def spread(f):
            mean = self.mu[at] @ f[at]
            return math.sqrt(self.mu[at] @ (f[at] - mean) ** 2)

        at = self.recurrent
        return spread(q - d) / spread(q)


@dataclass
class Task:
    """A random task; `system` and `policy` are the package's, the rest is raw."""

    system: Any
    policy: Any
    truth: Ending
    rewards: list[np.ndarray]
    discount: float
    kernel: np.ndarray
    table: np.ndarray
    terminal: list[int]
    restart: np.ndarray


def draw(rng: np.random.Generator) -> Task:
    """Two or three agents; chains, systems and weakly coupled ones; dense and sparse; one recurrent class."""
    while True:
        task = _draw(rng)
        if len(task.truth.classes) == 1:
            return task


def _draw(rng: np.random.Generator) -> Task:
    kind = ("chain", "mdp", "weakly-coupled")[rng.integers(3)]
    n = int(rng.integers(2, 4))
    n_states = tuple(int(k) for k in rng.integers(2, 4 if n == 2 else 3, size=n))
    n_actions = (1,) * n if kind == "chain" else tuple(int(k) for k in rng.integers(1, 3, size=n))
    budget = None
    if kind == "weakly-coupled" and rng.random() < 0.5:
        n_actions, budget = (2,) * n, int(rng.integers(0, n + 1))
    js, ja, sparse = math.prod(n_states), math.prod(n_actions), bool(rng.random() < 0.4)
    locals_ = [random_laws(rng, (a, s, s), sparse) for s, a in zip(n_states, n_actions, strict=True)]
    kernel = (
        product_kernel(locals_) if kind == "weakly-coupled" else random_laws(rng, (js, ja, js), sparse, False)
    )
    terminal = sorted(rng.choice(js, size=int(rng.integers(1, max(js // 2, 2))), replace=False).tolist())
    live = [s for s in range(js) if s not in terminal]
    if kind != "weakly-coupled":
        low = 10.0 ** rng.uniform(-4, 0) if rng.random() < 0.7 else 0.0
        kernel = (1 - low) * kernel  # ends with at least this chance
        kernel[..., terminal[0]] += low
    restart = np.zeros(js)
    if rng.random() < 0.3:
        restart[live[rng.integers(len(live))]] = 1.0
    else:
        restart[live] = rng.dirichlet(np.ones(len(live)))
    feasible = np.array(
        [budget is None or sum(a) == budget for a in itertools.product(*map(range, n_actions))]
    )
    raw = rng.exponential(size=(js, ja)) * feasible
    table, policy = raw / raw.sum(axis=1, keepdims=True), raw / raw.sum(axis=1, keepdims=True)
    if budget is not None and rng.random() < 0.5:
        priority = [rng.integers(0, 3, size=s).astype(float) for s in n_states]
        table, policy = index_table(priority, n_states, budget), me.IndexPolicy(priority)
    elif rng.random() < 0.3:
        table, policy = np.tile(feasible / feasible.sum(), (js, 1)), me.UniformPolicy()
    scale = 10.0 ** rng.uniform(-3, 3)
    rewards = [
        scale * (rng.normal(size=s * a) + rng.normal()) for s, a in zip(n_states, n_actions, strict=True)
    ]
    gamma = float(rng.choice([0.0, 0.5, 0.9, 0.99]))
    states = [tuple(map(int, np.unravel_index(s, n_states))) for s in terminal]
    mask = np.isin(np.arange(js), terminal)
    ends = {"terminal": mask if rng.random() < 0.5 else states, "restart": restart, "discount": gamma}
    if restart.max() == 1.0 and rng.random() < 0.5:
        ends["restart"] = tuple(map(int, np.unravel_index(int(restart.argmax()), n_states)))
    given = kernel.copy()
    given[terminal] = 0.0 if rng.random() < 0.5 else rng.random((ja, js))  # whatever stands there
    if kind == "chain":
        policy, p = None, given[:, 0]
        system: Any = me.JointChain(sp.csr_array(p) if sparse else p, n_states, rewards=rewards, **ends)
    elif kind == "mdp":
        k = [sp.csr_array(given[:, a]) for a in range(ja)] if sparse else given
        system = me.MultiAgentMDP(k, rewards, n_states=n_states, n_actions=n_actions, **ends)
    else:
        system = me.WeaklyCoupledMDP(locals_, rewards, budget=budget, **ends)
    truth = Ending(kernel, table, n_states, n_actions, set(terminal), restart)
    return Task(system, policy, truth, rewards, gamma, kernel, table, terminal, restart)


def claims(task: Task) -> Iterator[tuple[str, float, float, float]]:
    """(name, low, high, noise): the package must have low <= high, one of the two being the truth."""
    truth, gamma, chain = task.truth, task.discount, task.system.under(task.policy)
    at = truth.position(chain)
    reward = truth.reward(tuple(task.rewards))
    q = truth.q(reward, gamma)
    local = [truth.local_q(i, r, gamma) for i, r in enumerate(task.rewards)]
    d = np.array([sum(t[k] for t, k in zip(local, x, strict=True)) for x in truth.pairs])
    error = truth.errors(np.where(truth.recurrent, q - d, 0.0))
    found = me.value_decomposition(chain)
    size = float(np.abs(q).max()) + sum(float(np.nanmax(np.abs(t))) for t in local)
    noise = 1e-9 * size
    yield "joint values", float(np.abs(found.joint_q[at] - q).max()), 0.0, noise
    yield (
        "local values",
        max(float(np.nanmax(np.abs(a - b))) for a, b in zip(found.local_q, local, strict=True)),
        0.0,
        noise,
    )
    for norm in ("mu", "sup", "l2"):
        yield f"error, {norm}", abs(found.error(norm) - error[norm]), 0.0, noise
    measures = {name: me.entanglement(chain, name) for name in ("mu-atv", "atv", "policy")}
    for b in me.error_bounds(found, measures):
        name = b.name.split(" ")[0] + (", half spans" if "half" in b.name else "")
        yield f"{name}, {b.distance}", error[b.norm], b.value, noise
    if chain.n_agents == 2:
        e = measures["mu-atv"].per_agent
        from markov_entanglement.measures.local_fit import fit_mean

        for i in range(2):
            parts = [fit_mean(chain.rows(i, kind)).value for kind in ("kernel", "policy")]
            yield "E <= E(kernel) + E(policy)", float(e[i]), sum(parts), 1e-9
            yield "mu-atv <= atv", float(e[i]), float(measures["atv"].per_agent[i]), 1e-8
    for name, candidate in (("local", list(local)), ("zero", np.zeros(chain.n_pairs))):
        wrong = error if name == "local" else truth.errors(q)
        bracket = me.certificate(chain, None, None, candidate).to_dict()
        for norm, table in bracket.items():
            for k, (low, high) in table.items():
                yield f"certificate of {name}, k={k}, {norm}, low", low, wrong[norm], 0.0
                yield f"certificate of {name}, k={k}, {norm}, high", wrong[norm], high, 1e-12 * size
