"""Theorem 5.10: two agents, entanglement by `mu-atv`, error in the L1(mu) norm.

For the values `Q = (I - gamma P)^-1 r` and the local values `Q_i = (I - gamma P_i)^-1 r_i` of Eq. 2,

    ||Q - sum_i Q_i||_mu <= 4 gamma sum_i E_i r_i^max / (1 - gamma)^2,   r_i^max = max |r_i|,

where `E_i = min_M sum_x mu(x) TV(p_i(.|x), M(.|x_i))` (Eq. 7) and `||f||_mu = sum_x mu(x) |f(x)|`. First half:
the local transition is no farther from the minimiser M_i*, `sum_k mu_i(k) TV(P_i(.|k), M_i*(.|k)) <= E_i`.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import markov_entanglement as me
from helpers import Case, cases
from theorem_bounds import bias, bound, extreme, followers, holds

DISTANCE, NORM, AGENTS = "mu-atv", "mu", (2, 2)


@given(cases(agents=AGENTS))
@settings(max_examples=60)
def test_bound_holds(case: Case) -> None:
    holds(case, DISTANCE, NORM, "Theorem 5.10")


@pytest.mark.parametrize("n", [2])
@pytest.mark.parametrize("gamma", [0.001, 0.1, 0.5])
@pytest.mark.parametrize("rare", [0.001, 0.1, 0.5])
def test_tight_example(n: int, gamma: float, rare: float) -> None:
    """bound / error = 1 / ((1 - rare) (1 - gamma)^2): the constant 4 cannot be improved."""
    found, limit = extreme(n, rare, gamma, DISTANCE, NORM)
    assert limit / found == pytest.approx(1 / ((1 - rare) * (1 - gamma) ** 2), rel=1e-6)


def test_a_smaller_constant_fails() -> None:
    """Negative control: with 3.9 for 4 the same example breaks the claim."""
    found, limit = extreme(2, 0.001, 0.001, DISTANCE, NORM)
    assert 3.9 / 4 * limit < found <= limit


def test_other_distances_do_not_carry_the_bound() -> None:
    """Negative control: `mu-atv` of the leader alone says nothing about the followers."""
    chain, gamma = followers(2, 0.1), 0.5
    e = me.entanglement(chain, "mu-atv").per_agent * ([1.0] + [0.0] * (2 - 1))
    rewards = [[0.0, 0.0]] + [[-1.0, 1.0]] * (2 - 1)
    found = me.value_decomposition(chain, rewards, gamma).error("mu")
    assert bound(e, [1.0] * 2, gamma) < found


def test_the_first_half_is_tight() -> None:
    """Followers: `M* = (1, 0)` and `P_1 = (1 - rare, rare)`, so the bias is `rare`, which is E."""
    chain, rare = followers(2, 0.1), 0.1
    fit = me.entanglement(chain, "mu-atv").fits[1]
    local, visits = np.array([[1 - rare, rare]] * 2), np.array([1 - rare, rare])
    assert np.allclose(chain.local_transition(1), local)
    assert bias(local, fit.law, visits) == pytest.approx(fit.value) == pytest.approx(rare)
    assert bias(local, fit.law[:, ::-1], visits) > fit.value  # another model is farther away than E
