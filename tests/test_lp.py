"""The one home of linear programs: silent on the process's output, free of units, equal to another solver's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from markov_entanglement._check import unit_of
from markov_entanglement._lp import Program, minimum

QUESTIONS = {
    "centre": "me.minimax_centre(np.random.default_rng(1).dirichlet(np.ones(4), 30))",
    "centre of few": "me.minimax_centre(np.random.default_rng(1).dirichlet(np.ones(9), 5))",
    "tv": "me.entanglement(chain, 'tv').value",
    "mu-tv": "me.entanglement(chain, 'mu-tv').value",
    "shared reward": "me.value_decomposition(chain, np.arange(4.) ** 2, 0.5)",
    "completion": "assert answer_of(frustrated()).inequality is not None",
    "local polytope": "me.local_polytope(chain)",
    "LP-priority": "me.lp_priority(bandit)",
    "mean field": "me.mean_field(bandit, me.IndexPolicy(me.lp_priority(bandit)))",
}
SETUP = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np, markov_entanglement as me
from test_separability import answer_of, frustrated
chain = me.JointChain(np.array([[.5, 0, 0, .5]] * 3 + [[.1, .4, .4, .1]]), (2, 2)).under()
arm = np.array([[.9, .1], [.2, .8]])
bandit = me.RestlessBandit([arm, arm[::-1]], [0, 1], n_arms=6, budget=2, discount=.9)
"""


def written(code: str) -> str:
    """Everything that a fresh process writes on its standard output."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_nothing_on_the_standard_output_but_ours() -> None:
    code = SETUP + "\n".join(f"{ask}\nprint({name!r})" for name, ask in QUESTIONS.items())
    assert written(code).splitlines() == list(QUESTIONS)


def test_what_a_library_writes_is_seen() -> None:
    """Negative control: a write below Python's `sys.stdout` comes through the pipe."""
    assert written("import os; os.write(1, b'banner\\n'); print('ours')").splitlines() == ["banner", "ours"]


def test_unit() -> None:
    assert unit_of(np.array([0.75, -3.0])) == 2.0 and unit_of(np.array([4.0])) == 4.0
    assert unit_of(np.zeros(3)) == 1.0 == unit_of(np.empty(0))
    for x in (5e-324, 3e-9, 1e308):
        assert 1.0 <= x / unit_of(np.array([x])) < 2.0


def program(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A bounded feasible program: `cost`, `matrix`, `low`, `high` of the rows."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(1, 5), rng.integers(2, 7)
    matrix = np.vstack([rng.normal(size=(rows, columns)), np.ones(columns)])
    inside = matrix @ rng.dirichlet(np.ones(columns))
    return (
        rng.normal(size=columns),
        matrix,
        inside - rng.integers(0, 2, rows + 1),
        np.append(inside[:-1] + 0.2, 1.0),
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-12, 1e-9, 1e-6, 1.0, 1e9, 1e200]))
def test_any_unit_of_the_costs(seed: int, unit: float) -> None:
    """The optimum of another solver on costs of order one, at every unit; multipliers prove it."""
    cost, matrix, low, high = program(seed)
    truth = linprog(cost, A_ub=np.vstack([matrix, -matrix]), b_ub=np.append(high, -low), method="highs")
    found = minimum(cost * unit, matrix, low, high)
    assert found is not None
    x, dual = found
    assert cost @ x == pytest.approx(truth.fun, abs=1e-9)
    dual = dual / unit
    assert (cost - matrix.T @ dual).min() > -1e-9
    assert np.maximum(dual, 0) @ low + np.minimum(dual, 0) @ high == pytest.approx(truth.fun, abs=1e-8)


def test_without_a_unit_small_costs_are_lost() -> None:
    """Negative control: what the scaling is for."""
    wrong = 0
    for seed in range(20):
        cost, matrix, low, high = program(seed)
        lp = Program(low, high)
        lp.add(sp.csc_array(matrix), 1e-12 * cost)
        wrong += cost @ lp.solve()[0] > cost @ minimum(1e-12 * cost, matrix, low, high)[0] + 1e-3
    assert wrong >= 3


def test_cuts_and_columns_come_and_go() -> None:
    lp = Program(np.ones(1), presolve=False)
    lp.add(sp.csc_array(np.ones((1, 2))), np.array([1.0, 2.0]))
    assert lp.solve()[0].tolist() == [1.0, 0.0]
    lp.cut(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([0.25, 0.5]))
    assert lp.solve()[0].tolist() == [0.5, 0.5]
    lp.drop(np.array([2]))
    assert lp.solve()[0].tolist() == [0.75, 0.25]
    lp.add(sp.csc_array(np.array([[1.0], [1.0]])), np.array([0.5]))
    x, dual = lp.solve("ipm")
    assert x == pytest.approx([0.0, 0.0, 1.0], abs=1e-9) and dual @ [1.0, 0.25] == pytest.approx(0.5)
    lp.cut(np.array([[1.0, 1.0, 1.0]]), np.array([2.0]))
    assert lp.solve() is None and lp.infeasible


def test_no_optimum() -> None:
    assert minimum(np.array([-1.0]), np.zeros((1, 1)), np.zeros(1)) is None  # unbounded
    assert minimum(np.array([1.0]), np.ones((1, 1)), -np.ones(1)) is None  # infeasible
    free = minimum(np.array([1.0]), np.ones((1, 1)), -np.ones(1), np.ones(1), (np.array([-np.inf]), None))
    assert free is not None and free[0].tolist() == [-1.0]
