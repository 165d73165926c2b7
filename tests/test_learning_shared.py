"""Meta Algorithm 2 by runs: systems with one reward of all agents, stepped, against sums over joint pairs."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import markov_entanglement as me
from markov_entanglement.values.shared_reward import fit_shared_reward

GAMMA = 0.9
ERRORS = ("unexplained", "error_mu", "error_l2", "relative_error")


def law_of(p: np.ndarray) -> np.ndarray:
    """Stationary law of a stochastic matrix by least squares."""
    n = len(p)
    whole = np.vstack([p.T - np.eye(n), np.ones(n)])
    return np.linalg.lstsq(whole, np.append(np.zeros(n), 1.0), rcond=None)[0]


def least(
    pairs: np.ndarray, sizes: tuple[int, ...], mu: np.ndarray, r: np.ndarray, centred: bool = False
) -> tuple[float, list[np.ndarray]]:
    """Least absolute deviations as a plain linear program: e(r) and the tables."""
    first, n = np.concatenate([[0], np.cumsum(sizes)]), len(pairs)
    fit = np.zeros((n, first[-1]))
    for i in range(len(sizes)):
        fit[np.arange(n), first[i] + pairs[:, i]] = 1
    rows = np.block([[fit, -np.eye(n)], [-fit, -np.eye(n)]])
    cost, more = np.append(np.zeros(first[-1]), mu), np.append(mu @ fit, np.zeros(n))[None]
    found = linprog(cost, rows, np.append(r, -r), more if centred else None, [mu @ r] if centred else None,
                    bounds=[(None, None)] * first[-1] + [(0, None)] * n, method="highs")  # fmt: skip
    return found.fun, np.split(found.x[: first[-1]], first[1:-1])


def truth(p: np.ndarray, sizes: tuple[int, ...], r: np.ndarray) -> dict[str, float]:
    """Errors of Meta Algorithm 2 on a chain of joint pairs, by sums over all of them."""
    pairs, mu = np.array(list(itertools.product(*map(range, sizes)))), law_of(p)
    error, tables = least(pairs, sizes, mu, r)
    q, d = np.linalg.solve(np.eye(len(p)) - GAMMA * p, r), np.zeros(len(p))
    for i, m in enumerate(sizes):
        own = np.eye(m)[pairs[:, i]]
        move = own.T @ (mu[:, None] * (p @ own))
        law = move / move.sum(axis=1, keepdims=True)
        d += own @ np.linalg.solve(np.eye(m) - GAMMA * law, tables[i])
    off, spread = q - d, q - mu @ q
    share = np.sqrt(mu @ (off - mu @ off) ** 2 / (mu @ spread**2))
    return {"unexplained": share, "error_mu": mu @ np.abs(off), "error_l2": np.sqrt(mu @ off**2),
            "relative_error": mu @ np.abs(off) / (mu @ np.abs(q)), "shared_reward_error": error}  # fmt: skip


def inside(found: dict[str, Any], exact: dict[str, float], names: tuple[str, ...]) -> bool:
    return all(found["intervals"][k][0] <= exact[k] <= found["intervals"][k][1] for k in names)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_split_of_any_size_is_as_good_as_the_program(seed: int, centred: bool) -> None:
    rng = np.random.default_rng(seed)
    sizes = tuple(int(k) for k in rng.integers(1, 5, 3))
    pairs = np.array(list(itertools.product(*map(range, sizes))))
    mu, r = rng.dirichlet(np.ones(len(pairs))), 5.0 + rng.normal(size=len(pairs))
    fit = fit_shared_reward(pairs, sizes, mu, r, split="lad-centred" if centred else "lad", large=True)
    error, _ = least(pairs, sizes, mu, r, centred)
    fitted = np.sum([t[pairs[:, i]] for i, t in enumerate(fit.local)], axis=0)
    assert fit.error == pytest.approx(error, abs=1e-7) == pytest.approx(float(mu @ np.abs(r - fitted)))
    assert fit.lower == pytest.approx(error, abs=1e-7) and (not centred or abs(mu @ (r - fitted)) < 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_three_agents_with_one_reward(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, r = rng.dirichlet(np.full(12, 0.3), size=12), rng.normal(size=12)
    chain = me.JointChain(p, (2, 3, 2), rewards=r, discount=GAMMA)
    found = me.analyze(chain, method="simulate", rng=seed).values
    exact = truth(p, (2, 3, 2), r)
    assert inside(found.errors(), exact, (*ERRORS, "shared_reward_error"))
    assert exact["error_mu"] == pytest.approx(me.value_decomposition(chain).error(), rel=1e-6)
    every = np.array(list(itertools.product(range(2), range(3), range(2))))
    _, tables = least(every, (2, 3, 2), law_of(p), r)
    for mine, theirs in zip(found.shared.local, tables, strict=True):
        assert np.ptp(mine - theirs) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "payoff", [[[11, -30, 0], [-30, 7, 6], [0, 0, 5]], [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]]]
)
def test_games_of_one_step(payoff: list[list[int]]) -> None:
    """Every pair is drawn anew, so that all that the sum misses is what no split has."""
    r, mu = np.array(payoff, dtype=float).ravel(), np.random.default_rng(1).dirichlet(np.full(9, 4.0))
    chain = me.JointChain(np.tile(mu, (9, 1)), (3, 3), rewards=r, discount=GAMMA)
    found, exact = me.analyze(chain, method="simulate"), me.value_decomposition(chain)
    known = {"error_mu": exact.error(), "error_l2": exact.error("l2"), "unexplained": exact.unexplained,
             "relative_error": exact.relative_error}  # fmt: skip
    assert exact.error() >= exact.shared.error
    assert inside(found.values.errors(), known, ERRORS) and found.verdict == "do-not-add"


def test_rewards_that_are_sums_leave_what_moves_leave() -> None:
    """A shared reward that is a sum is split without loss; the sum of values then misses what it does of local ones."""
    rng = np.random.default_rng(3)
    p, own = rng.dirichlet(np.full(6, 0.5), size=6), [rng.normal(size=2), rng.normal(size=3)]
    together = np.add.outer(*own).ravel()
    shared = me.JointChain(p, (2, 3), rewards=together, discount=GAMMA)
    found = me.analyze(shared, method="simulate").values
    exact = me.value_decomposition(me.JointChain(p, (2, 3), rewards=own, discount=GAMMA))
    known = {"error_l2": exact.error("l2"), "unexplained": exact.unexplained}
    assert found.shared.error < 1e-9 and inside(found.errors(), known, ("error_l2", "unexplained"))


def test_agents_on_a_budget_with_one_reward() -> None:
    rng = np.random.default_rng(2)
    kernels = [rng.dirichlet(np.ones(2), size=(2, 2)) for _ in range(3)]
    system = me.WeaklyCoupledMDP(kernels, rng.normal(size=(8, 8)), discount=GAMMA, budget=1)
    policy = me.IndexPolicy([[0.2, 0.9], [0.5, 0.1], [0.4, 0.3]])
    exact = me.value_decomposition(system.under(policy))
    known = {"error_l2": exact.error("l2"), "unexplained": exact.unexplained, "error_mu": exact.error(),
             "relative_error": exact.relative_error}  # fmt: skip
    found = me.analyze(system, policy, method="simulate", rng=1)
    assert inside(found.values.errors(), known, ERRORS)
    # any tables are certified against the reward that is paid, not against its parts
    tables = [rng.normal(size=4) for _ in range(3)]
    chain = system.under(policy)
    off = exact.joint_q - sum(t[chain.pairs[:, i]] for i, t in enumerate(tables))
    low, high = me.certify(tables, system, policy, steps=(64,), rng=0).l2[64]
    assert low <= np.sqrt(chain.occupancy @ off**2) <= high


def test_tasks_that_end_and_listed_pairs() -> None:
    rng = np.random.default_rng(5)
    p, r = rng.dirichlet(np.full(6, 0.5), size=6), rng.normal(size=6)
    ends = me.JointChain(p, (2, 3), rewards=r, discount=GAMMA, terminal=[(1, 2)], restart=(0, 0))
    listed = me.JointChain.from_pairs([[0, 0], [0, 1], [1, 1], [2, 0]], rng.dirichlet(np.ones(4), size=4),
                                      rewards=r[:4], discount=GAMMA)  # fmt: skip
    for chain in (ends, listed):
        exact = me.value_decomposition(chain)
        known = {"error_l2": exact.error("l2"), "unexplained": exact.unexplained}
        found = me.analyze(chain, method="simulate").values.errors()
        assert inside(found, known, ("error_l2", "unexplained"))


def test_the_result_says_how_the_reward_was_split(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    p, r = rng.dirichlet(np.ones(4), size=4), rng.normal(size=4)
    chain = me.JointChain(p, (2, 2), rewards=r, discount=GAMMA)
    found = me.analyze(chain, method="simulate")
    found.save_json(tmp_path / "a.json")
    values = json.loads((tmp_path / "a.json").read_text())["values"]
    low, high = values["intervals"]["shared_reward_error"]
    assert low <= values["shared_reward_error"] == found.values.shared.error <= high
    assert "split by least absolute deviations over 50,000 joint pairs" in values["estimator"]
    assert "shared_reward_error" in found.summary()
    assert me.read_result(tmp_path / "a.json").summary() == found.summary()
    again = me.analyze(chain, method="simulate").values
    assert again.to_dict() == found.values.to_dict()
    assert found.values.to_dict()["split_pairs"] == 50_000


def test_no_rewards_are_refused_by_name() -> None:
    chain = me.JointChain(np.full((4, 4), 0.25), (2, 2), discount=GAMMA)
    assert "no rewards" in dict(me.analyze(chain, method="simulate").refused)["values"]


def test_estimates_say_where_agents_were() -> None:
    """Shares of the steps by local pair, as the long run has them; agents one by one, and arms in counts."""
    rng = np.random.default_rng(2)
    system = me.WeaklyCoupledMDP(list(rng.dirichlet(np.ones(2), size=(3, 2, 2))), [[0.0, 1.0]] * 3, discount=GAMMA,
                                 budget=1)  # fmt: skip
    arms = me.RestlessBandit(
        rng.dirichlet(np.ones(3), size=(2, 3)), [0.0, 1.0, 2.0], n_arms=6, budget=2, discount=0.9
    )
    for subject, policy in (
        (system, me.IndexPolicy([[0.2, 0.9], [0.5, 0.1], [0.4, 0.3]])),
        (arms, "uniform"),
    ):
        found = me.analyze(subject, policy, method="simulate").to_dict()["local_values"]["agents"]
        exact = me.analyze(subject, policy, method="exact").to_dict()["local_values"]["agents"]
        for mine, theirs in zip(found, exact, strict=True):
            shares = np.array(mine["visited"], dtype=float)
            assert shares.sum() == pytest.approx(1.0) and shares == pytest.approx(
                np.array(theirs["visited"]), abs=0.02
            )


def test_the_page_of_an_estimate_has_no_empty_picture(tmp_path: Any) -> None:
    chain = me.JointChain(np.full((4, 4), 0.25), (2, 2), rewards=[0.0, 1.0, 1.0, 8.0], discount=GAMMA)
    me.analyze(chain, method="simulate").save_html(tmp_path / "a.html")
    assert "Q against the sum of local values" not in (tmp_path / "a.html").read_text()
