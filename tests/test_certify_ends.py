"""Certificates by simulation where tasks end, and of one reward of all agents: against solves of raw arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import markov_entanglement as me

GAMMA = 0.9


def corridor(length: int, *, shared: bool) -> tuple[Any, Any, float]:
    """Agent 0 walks to its end in `length` steps, agent 1 tosses a coin: system, values on pairs, exact error."""
    rng = np.random.default_rng(length)
    kernel = np.zeros((2 * (length + 1), 1, 2 * (length + 1)))
    for x in range(2 * length):
        kernel[x, 0, [2 * (x // 2) + 2, 2 * (x // 2) + 3]] = 0.5
    local = rng.normal(size=length + 1), rng.normal(size=2)
    reward = rng.normal(size=(length + 1, 2)) if shared else np.add.outer(*local)
    restart = np.zeros(len(kernel))
    restart[:2] = 0.5
    system = me.MultiAgentMDP(
        kernel, reward.ravel() if shared else list(local), n_states=(length + 1, 2), n_actions=(1, 1), discount=GAMMA,
        terminal=[(length, 0), (length, 1)], restart=restart,
    )  # fmt: skip
    live = slice(0, 2 * length)
    q = np.linalg.solve(np.eye(2 * length) - GAMMA * kernel[live, 0, live], reward.ravel()[live])
    d = rng.normal(size=reward.shape)
    mu = 1 / (2 * length)  # each position, and each side of the coin, as often as any other
    return system, lambda x: d[x[:, 0], x[:, 1]], float(np.sqrt((mu * (q - d.ravel()[live]) ** 2).sum()))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("length", [1, 2, 5, 10])
def test_tasks_that_all_last_equally_long(length: int, shared: bool) -> None:
    """Runs that begin together stay in step for ever; starts still meet every phase."""
    system, candidate, exact = corridor(length, shared=shared)
    found = me.certify(candidate, system, "uniform", steps=(64, 1000), rng=0)
    low, high = found.l2[1000]
    slack = 0.5 * (high - low)  # about four standard errors in all
    assert low - slack <= exact <= high + slack and slack < 0.08 * exact
    assert found.l2[64][0] - slack <= exact <= found.l2[64][1] + slack and not found.caution


def test_one_reward_of_all_agents_that_goes_on() -> None:
    """A candidate of any form, against the exact certificate's solve."""
    rng = np.random.default_rng(3)
    p, r, d = rng.dirichlet(np.ones(6), 6), rng.normal(size=6), rng.normal(size=(2, 3))
    system = me.JointChain(p, (2, 3), rewards=r, discount=0.5)
    mu = np.linalg.matrix_power(p, 300)[0]
    exact = np.sqrt(mu @ (np.linalg.solve(np.eye(6) - 0.5 * p, r) - d.ravel()) ** 2)
    low, high = me.certify(lambda x: d[x[:, 0], x[:, 1]], system, steps=(12,), rng=0).l2[12]
    assert low <= exact <= high and high - low < 0.1 * exact
