"""The warehouse of the gallery against its rules, written down once more with dictionaries."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

import markov_entanglement as me
from brute import measure

GAMMA = 0.9
#: Ring of four cells; z 0 nothing, else 1 + the cell that is announced.
STAY, NONE, EACH = 0.3, 0.4, 0.15


def signal(z: int, y: int) -> float:
    return STAY * (z == y) + (1 - STAY) * (NONE if y == 0 else EACH)


def steps(a: int, b: int) -> int:
    return min(abs(a - b), 4 - abs(a - b))


def moved(robot: tuple[int, int], taken: int | None) -> dict[int, float]:
    """Next cells of a robot (cell, target) when the cell `taken` is not free."""
    cell, target = robot
    goal = target - 1
    if target == 0 or goal == cell:
        return {cell: 1.0}
    right, left = (cell + 1) % 4, (cell + 3) % 4
    best, other = (right, left) if steps(right, goal) <= steps(left, goal) else (left, right)
    if taken == best:
        return {cell: 0.55, other: 0.45}
    return {cell: 0.1, best: 0.9}


def choices(z: int, robots: tuple[tuple[int, int], ...]) -> dict[tuple[int, int], float]:
    free = [i for i in (0, 1) if robots[i][1] == 0] if z else []
    if not free:
        return {(0, 0): 1.0}
    nearest = min(steps(robots[i][0], z - 1) for i in free)
    who = [i for i in free if steps(robots[i][0], z - 1) == nearest]
    return {(int(i == 0), int(i == 1)): 1 / len(who) for i in who}


def nexts(point, ghost: bool):
    """Joint pair (z, robots, actions) -> chances of the next ones."""
    z, robots, a = point
    out = defaultdict(float)
    after = [z if a[i] else 0 if robots[i][1] == robots[i][0] + 1 else robots[i][1] for i in (0, 1)]
    for c0, p in moved(robots[0], None if ghost else robots[1][0]).items():
        for c1, q in moved(robots[1], None if ghost else c0).items():
            state = ((c0, after[0]), (c1, after[1]))
            for y in range(5):
                for b, r in choices(y, state).items():
                    out[y, state, b] += p * q * signal(z, y) * r
    return out


def solved(ghost: bool):
    """E of both robots, unexplained and L1 error of the sum of local values, reward per step."""
    start = (0, ((0, 0), (1, 0)), (0, 0))
    points, rows = {start: 0}, []
    todo = [start]
    for x in todo:
        law = nexts(x, ghost)
        for y in law:
            if y not in points:
                points[y] = len(points)
                todo.append(y)
        rows.append({points[y]: p for y, p in law.items()})
    n = len(points)
    p = np.zeros((n, n))
    for k, row in enumerate(rows):
        p[k, list(row)] = list(row.values())
    a = np.vstack([p.T - np.eye(n), np.ones(n)])
    mu = np.linalg.solve(a.T @ a, a.T @ np.append(np.zeros(n), 1.0))
    assert np.abs(mu @ p - mu).max() < 1e-12
    inside = mu > 1e-13
    p, mu = p[np.ix_(inside, inside)], mu[inside] / mu[inside].sum()
    kept = [x for x, keep in zip(todo, inside, strict=True) if keep]
    pay = np.array([[float(r[1] == r[0] + 1) for r in robots] for _, robots, _ in kept])
    q = np.linalg.solve(np.eye(len(p)) - GAMMA * p, pay.sum(axis=1))
    total, mean = np.zeros(len(p)), []
    for i in (0, 1):
        own = [(z, robots[i], a[i]) for z, robots, a in kept]
        number = {x: k for k, x in enumerate(sorted(set(own)))}
        key = np.array([number[x] for x in own])
        law = p @ np.eye(len(number))[key]
        mean.append(measure(key, mu, law))
        weight = np.bincount(key, mu)
        local = np.stack([np.bincount(key, mu * column) / weight for column in law.T], axis=1)
        reward = np.bincount(key, mu * pay[:, i]) / weight
        total += np.linalg.solve(np.eye(len(number)) - GAMMA * local, reward)[key]
    error = q - total
    spread = [np.sqrt(mu @ (f - mu @ f) ** 2) for f in (error, q)]
    return mean, spread[0] / spread[1], mu @ abs(error), mu @ pay.sum(axis=1)


@pytest.mark.parametrize("ghost", [False, True])
def test_the_rules_once_more(ghost: bool) -> None:
    mean, unexplained, error, reward = solved(ghost)
    chain = me.gallery.build("warehouse", ghost=ghost).chain()
    assert me.entanglement(chain).per_agent == pytest.approx(mean, abs=1e-8)
    values = me.value_decomposition(chain)
    assert (values.unexplained, values.error("mu")) == pytest.approx((unexplained, error), abs=1e-8)
    assert chain.occupancy @ chain.reward(chain.read_rewards(None)) == pytest.approx(reward, abs=1e-8)
