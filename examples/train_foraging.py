"""Train a small VDN network on level-based foraging in the way of EPyMARL, and save it in its format.

python examples/train_foraging.py FOLDER     needs `pip install torch lbforaging`; a minute or two

Two players on a 5x5 board, one food. As in EPyMARL (`standardise_rewards: False`) agents share a network that reads the
observation and which agent it is, rewards are summed, values are taken to go on beyond the time limit of 25 steps, and
the target network follows now and then. The folder gets `agent.th` and `config.json`.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lbforaging.foraging.environment import ForagingEnv

GAMMA, LIMIT, HIDDEN = 0.99, 25, 48
CONFIG = {
    "name": "vdn", "agent": "rnn", "agent_output_type": "q", "use_rnn": False, "hidden_dim": HIDDEN, "mixer": "vdn",
    "obs_agent_id": True, "obs_last_action": False, "gamma": GAMMA, "standardise_rewards": False,
    "standardise_returns": False, "common_reward": True, "reward_scalarisation": "sum", "evaluation_epsilon": 0.0,
    "env_args": {"key": "lbforaging:Foraging-5x5-2p-1f-v3", "time_limit": LIMIT},
}  # fmt: skip


def foraging(limit: int = 10**9) -> ForagingEnv:
    """The board of Foraging-5x5-2p-1f-v3, without its own limit of steps."""
    return ForagingEnv(
        players=2, min_player_level=1, max_player_level=2, min_food_level=1, max_food_level=None, field_size=(5, 5),
        max_num_food=1, sight=5, max_episode_steps=limit, force_coop=False, grid_observation=False,
    )  # fmt: skip


class Agent(torch.nn.Module):
    """EPyMARL's agent without recurrence."""

    def __init__(self, inputs: int, actions: int = 6) -> None:
        super().__init__()
        self.fc1 = torch.nn.Linear(inputs, HIDDEN)
        self.rnn = torch.nn.Linear(HIDDEN, HIDDEN)
        self.fc2 = torch.nn.Linear(HIDDEN, actions)

    def forward(self, x: Any) -> Any:
        return self.fc2(self.rnn(self.fc1(x).relu()).relu())


def inputs(seen: Any) -> np.ndarray:
    """Observations with one-hot numbers of agents, (2, d)."""
    return np.concatenate([np.stack(seen), np.eye(2)], axis=1).astype(np.float32)


def train(steps: int = 50_000, seed: int = 0, batch: int = 600) -> Agent:
    """Q-learning by VDN along so many steps, with chance of exploring falling from 1 to .05."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng, env = np.random.default_rng(seed), foraging()
    seen = inputs(env.reset(seed=seed)[0])
    width, done = seen.shape[1], 0
    net = Agent(width)
    target, adam = copy.deepcopy(net), torch.optim.Adam(net.parameters(), lr=3e-4)
    before, after = np.empty((steps, 2, width), np.float32), np.empty((steps, 2, width), np.float32)
    acted, paid, ended = (
        np.empty((steps, 2), np.int64),
        np.empty(steps, np.float32),
        np.empty(steps, np.float32),
    )
    episodes, here = 0, 0
    while done < steps:
        with torch.no_grad():
            actions = net(torch.as_tensor(seen)).argmax(dim=1).numpy()
        explore = rng.random(2) < max(0.05, 1.0 - 0.95 * done / (0.8 * steps))
        actions = np.where(explore, rng.integers(6, size=2), actions)
        obs, rewards, over, _, _ = env.step(actions)
        new = inputs(obs)
        before[done], after[done], acted[done], paid[done], ended[done] = (
            seen,
            new,
            actions,
            sum(rewards),
            over,
        )
        seen, done, here = new, done + 1, here + 1
        if over or here == LIMIT:
            seen, here, episodes = inputs(env.reset(seed=seed + episodes + 1)[0]), 0, episodes + 1
            at = rng.integers(done, size=batch)
            with torch.no_grad():
                ahead = target(torch.as_tensor(after[at])).max(dim=2).values.sum(dim=1)
                goal = torch.as_tensor(paid[at]) + GAMMA * (1.0 - torch.as_tensor(ended[at])) * ahead
            q = (
                net(torch.as_tensor(before[at]))
                .gather(2, torch.as_tensor(acted[at])[..., None])
                .sum(dim=(1, 2))
            )
            adam.zero_grad()
            ((q - goal) ** 2).mean().backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
            adam.step()
            if episodes % 200 == 0:
                target.load_state_dict(net.state_dict())
    return net


if __name__ == "__main__":
    folder, begin = Path(sys.argv[1]), time.perf_counter()
    found = train(*map(int, sys.argv[2:]))
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(found.state_dict(), folder / "agent.th")
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    print(f"trained in {time.perf_counter() - begin:.0f} s: {folder / 'agent.th'}")
