"""A VDN network on the two-step game: how wrong are its values, and is that its training or its form?

python examples/vdn_two_step.py     needs `pip install torch`; half a minute

The game (Rashid et al., "QMIX", ICML 2018, section 5): in state 1 the first agent picks state 2A, where both are paid 7
whatever they do, or 2B, where they are paid 0, 1, 1 or 8. Both see the state. VDN learns `sum_i Q_i(s, a_i)` by
Q-learning, with all actions equally often; then the agents act by their own networks, at random in one step of ten.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
import torch

import markov_entanglement as me

FIRST, A, B, END = range(4)
PAY = {A: [[7.0, 7.0], [7.0, 7.0]], B: [[0.0, 1.0], [1.0, 8.0]]}
GAMMA = 0.99


def game() -> me.MultiAgentMDP:
    """Both agents hold a copy of the state, so that joint states are 4 s + s; others do not occur, and end the game."""
    kernel, reward = np.zeros((16, 4, 16)), np.zeros((16, 4))
    kernel[:, :, 5 * END] = 1.0
    kernel[5 * FIRST] = 0.0
    kernel[5 * FIRST, [0, 1], 5 * A] = kernel[5 * FIRST, [2, 3], 5 * B] = 1.0
    for state, pay in PAY.items():
        reward[5 * state] = np.ravel(pay)
    labels = {"states": ["1", "2A", "2B", "end"], "actions": ["0", "1"]}
    return me.MultiAgentMDP(
        kernel, reward, n_states=(4, 4), n_actions=(2, 2), discount=GAMMA, terminal=[(END, END)],
        restart=(FIRST, FIRST), labels=labels,
    )  # fmt: skip


def play(states: Any, actions: Any, rng: Any) -> tuple[Any, Any, Any]:
    """The game as a simulator: from states and actions (R, 2) next states, one payment for both, and what ended."""
    state, second = states[:, 0], np.where(actions[:, 0] == 0, A, B)
    after = np.where(state == FIRST, second, END)
    table = np.zeros((4, 2, 2))
    table[A], table[B] = PAY[A], PAY[B]
    return np.stack([after, after], axis=1), table[state, actions[:, 0], actions[:, 1]], after == END


class VDN(torch.nn.Module):
    """A network for each agent, from the state to the values of its actions."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        nn = torch.nn
        each = (nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2)) for _ in range(2))
        self.agents = nn.ModuleList(each)

    def each(self, states: Any) -> Any:
        """(n, agents, actions) values in states (n,)."""
        seen = torch.eye(4)[torch.as_tensor(states)]
        return torch.stack([agent(seen) for agent in self.agents], dim=1)

    def __call__(self, pairs: np.ndarray) -> np.ndarray:
        """(n,) sums at local pairs (n, agents), `2 s + a`: the candidate that is certified."""
        with torch.no_grad():
            q = self.each(pairs[:, 0] // 2)
            return q.gather(2, torch.as_tensor(pairs % 2)[..., None]).sum(dim=(1, 2)).double().numpy()


def train(rounds: int = 1000, seed: int = 0) -> VDN:
    """Q-learning with a target network on 32 tasks a round, all actions equally often."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = VDN()
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    for k in range(rounds):
        if k % 50 == 0:
            target = copy.deepcopy(net)
        one, two = rng.integers(2, size=(2, 32, 2))
        second = np.where(one[:, 0] == 0, A, B)
        paid = [PAY[s][a][b] for s, (a, b) in zip(second, two, strict=True)]
        with torch.no_grad():
            ahead = GAMMA * target.each(second).max(dim=2).values.sum(dim=1)
        goal = torch.cat([ahead, torch.tensor(paid)])
        q = net.each(np.concatenate([np.full(32, FIRST), second]))
        taken = torch.as_tensor(np.concatenate([one, two]))[..., None]
        loss = ((q.gather(2, taken).sum(dim=(1, 2)) - goal) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return net


def tables(net: VDN) -> list[np.ndarray]:
    """The same values as local tables, (states, actions) of each agent."""
    with torch.no_grad():
        q = net.each(np.arange(4)).double().numpy()
    return [q[:, i] for i in range(2)]


def judge(name: str, candidate: Any, local: list[np.ndarray], system: Any, policy: Any) -> me.Result:
    """Print how wrong values are for the policy, by the simulator alone and exactly by the laws of the game.

    And what part of that no sum of local values avoids, and what deciding by it costs.
    """
    chain = system.under(policy)
    simulator = me.Simulator(play, (4, 4), (2, 2), start=(FIRST, FIRST), discount=GAMMA)
    found = me.certify(candidate, simulator, policy, steps=(1000,), starts=20_000, rng=0)
    budget = me.error_budget(chain, candidate=[q.ravel() for q in local])
    lost = me.decision_loss(chain, candidate=[q.ravel() for q in local])
    low, high = found.l2[1000]
    whose = "decomposition" if budget.floor > budget.bias else "tuning"
    print(f"{name}: errs by {low:.3f} to {high:.3f} by simulation (95 %), exactly {budget.error:.3f};")
    print(
        f"  no sum of local values errs by less than {budget.floor:.3f}, so what is wrong is mostly {whose};"
    )
    print(f"  deciding by it costs {lost.loss:.3f}.")
    return found


def act(net: VDN, chance: float = 0.1) -> me.LocalPolicy:
    """Each agent takes the best action of its own network, or any with this chance."""
    return me.LocalPolicy([np.eye(2)[q.argmax(axis=1)] * (1 - chance) + chance / 2 for q in tables(net)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    begin, system = time.perf_counter(), game()
    net = train()
    weights, seconds = sum(w.numel() for w in net.parameters()), time.perf_counter() - begin
    print(
        f"VDN of {weights} weights, trained in {seconds:.0f} s. Sums in state 2B, where 0, 1, 1 and 8 are paid:"
    )
    print(np.add.outer(*(q[B] for q in tables(net))).round(2))
    policy = act(net)
    judge("VDN by Q-learning", net, tables(net), system, policy)
    path = me.simulate(system, policy, 20_000, rng=1)
    own = me.Neural((32,), joint=True, rng=0).fit(path)
    judge("VDN on the steps of this policy", own, [np.nan_to_num(q) for q in own.local_q], system, policy)
