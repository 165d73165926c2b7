"""A VDN network trained by torchrl on the climbing game: is what is wrong its tuning, or that it adds up values?

python examples/vdn_climbing.py [FOLDER]     needs `pip install torch torchrl`; a minute

With FOLDER the weights are kept there, `vdn_climbing_small.npz` and `vdn_climbing_large.npz`, as in this folder.

Two players pay by the climbing game (Claus & Boutilier 1998): 11, -30, 0 / -30, 7, 6 / 0, 0, 5. VDN learns
`Q_1(a_1) + Q_2(a_2)` from actions at random, once with small steps of gradient descent and
once with far too large ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.modules import MultiAgentMLP, QValueModule, VDNMixer
from torchrl.objectives import QMixerLoss

import markov_entanglement as me

PAY = np.array([[11.0, -30.0, 0.0], [-30.0, 7.0, 6.0], [0.0, 0.0, 5.0]])
GAMMA = 0.99


class Three:
    """Actions 0, 1, 2."""

    n = 3


class Climbing:
    """The game in the style of PettingZoo: one step, half of the payment for each."""

    def __init__(self) -> None:
        self.possible_agents, self.agents = ["row", "column"], []

    def action_space(self, agent: str) -> Three:
        return Three()

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        self.agents = list(self.possible_agents)
        return {a: np.ones(1) for a in self.agents}, {}

    def step(self, actions: dict[str, int]) -> tuple[dict[str, Any], ...]:
        self.agents = []
        each = [dict.fromkeys(self.possible_agents, x) for x in (np.ones(1), 0.0, True, False)]
        each[1] = dict.fromkeys(self.possible_agents, PAY[actions["row"], actions["column"]] / 2)
        return (*each, {})


def train(batches: int, step: float = 1e-2, seed: int = 0) -> Any:
    """A `MultiAgentMLP` of two agents after so many batches of 256 one-step episodes."""
    torch.manual_seed(seed)
    net = MultiAgentMLP(n_agent_inputs=1, n_agent_outputs=3, n_agents=2, centralized=False, share_params=False,
                        depth=1, num_cells=32, activation_class=torch.nn.ReLU)  # fmt: skip
    at = "agents"
    values = TensorDictModule(net, in_keys=[(at, "observation")], out_keys=[(at, "action_value")])
    chosen = QValueModule(
        action_value_key=(at, "action_value"),
        out_keys=[(at, "action"), (at, "action_value"), (at, "chosen_action_value")],
        action_space="categorical",
    )
    mixer = TensorDictModule(
        VDNMixer(n_agents=2, device="cpu"),
        in_keys=[(at, "chosen_action_value")],
        out_keys=["chosen_action_value"],
    )
    loss = QMixerLoss(
        TensorDictSequential(values, chosen), mixer, delay_value=False, action_space="categorical"
    )
    loss.set_keys(action_value=(at, "action_value"), local_value=(at, "chosen_action_value"),
                  global_value="chosen_action_value", action=(at, "action"))  # fmt: skip
    loss.make_value_estimator(gamma=GAMMA)
    adam = torch.optim.Adam(loss.parameters(), lr=step)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(adam, batches)
    pay, seen = torch.as_tensor(PAY, dtype=torch.float32), torch.ones(256, 2, 1)
    for _ in range(batches):
        actions = torch.randint(3, (256, 2))
        end = torch.ones(256, 1, dtype=torch.bool)
        after = {at: {"observation": seen}, "reward": pay[actions[:, 0], actions[:, 1]][:, None],
                 "done": end, "terminated": end}  # fmt: skip
        data = TensorDict({at: {"observation": seen, "action": actions}, "next": after}, [256])
        adam.zero_grad()
        loss(data)["loss"].backward()
        adam.step()
        decay.step()
    return net


def errs(network: me.Network) -> float:
    """Root mean square of the payments less the network's sums, over all nine joint actions."""
    q = np.asarray(network.values([np.ones(1)] * 2, None)[0])
    return float(np.sqrt(((PAY - np.add.outer(q[0], q[1])) ** 2).mean()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, batches, step in (("small steps", 600, 1e-2), ("large steps", 30, 10.0)):
        weights = train(batches, step).state_dict()
        if len(sys.argv) > 1:
            path = Path(sys.argv[1]) / f"vdn_climbing_{name.split()[0]}.npz"
            np.savez(path, **{key: value.numpy() for key, value in weights.items()})
        network = me.read_mlp(weights, activation="relu", name=f"VDN by torchrl, {name}")
        found = me.certify_network(
            network, Climbing(), epsilon=1.0, discount=GAMMA, horizon=1, starts=2000, rng=0
        )
        print(f"{name}: root mean square of payment - sum is {errs(network):.3f} exactly.")
        print(f"  {found.sentence}")
