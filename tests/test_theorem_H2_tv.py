"""Theorem H.2 with tv, Theorem 6.3 with mu-tv: corollaries with one joint number in place of every E_i,

    ||Q - sum_i Q_i||_inf <= 4 gamma tv    sum_i r_i^max / (1 - gamma)^2,
    ||Q - sum_i Q_i||_mu  <= 4 gamma mu-tv sum_i r_i^max / (1 - gamma)^2,

because `E_i <= tv` for `atv` (`E_i <= mu-tv` for `mu-atv`) whatever the number of agents. For two agents the first is
Theorem 5.3, as Theorem 5.5 has it. First half: with the local transitions M_i of the nearest separable P',
`max_k TV(P_i(.|k), M_i(.|k)) <= tv` and `sum_k mu_i(k) TV(P_i(.|k), M_i(.|k)) <= mu-tv`.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_values as oracle
from markov_entanglement.cli.app import main
from markov_entanglement.measures.entanglement import entanglement
from markov_entanglement.measures.joint import joint_distance
from markov_entanglement.model.mdp import JointChain
from markov_entanglement.values.bounds import error_bounds, theorem_bound
from markov_entanglement.values.decomposition import value_decomposition
from theorem_bounds import joint_first_half


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(2, 2), (3, 2), (2, 2, 2), (3, 2, 2), (2, 2, 2, 2)]),
    st.sampled_from([1.0, 0.3]),
    st.sampled_from([0.3, 0.9]),
)
def test_holds(seed, sizes, density, gamma):
    rng = np.random.default_rng(seed)
    p, tables = oracle.random_joint(rng, sizes, density), oracle.random_tables(rng, sizes)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    local = oracle.reward_on(pairs, oracle.local_q(p, pairs, mu, tables, gamma))
    truth = oracle.norms(oracle.q_values(p, oracle.reward_on(pairs, tables), gamma) - local, mu)
    chain, r_max = JointChain(p, sizes).under(), [np.abs(r).max() for r in tables]
    n = len(sizes)
    tv, mu_tv = joint_distance(chain, weighted=False).lower, joint_distance(chain, weighted=True).lower
    assert truth["sup"] <= theorem_bound([tv] * n, r_max, gamma) * (1 + 1e-9) + 1e-9
    assert truth["mu"] <= theorem_bound([mu_tv] * n, r_max, gamma) * (1 + 1e-9) + 1e-9
    assert entanglement(chain, "atv").per_agent.max() <= tv + 1e-8
    assert entanglement(chain, "mu-atv").per_agent.max() <= mu_tv + 1e-8


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(2, 2), (2, 2, 2), (3, 2, 2)]),
    st.sampled_from([1.0, 0.3]),
    st.booleans(),
)
def test_first_half(seed, sizes, density, weighted):
    p = oracle.random_joint(np.random.default_rng(seed), sizes, density)
    joint_first_half(p, sizes, joint_distance(JointChain(p, sizes).under(), weighted=weighted))


@pytest.mark.parametrize(
    ("sizes", "names"),
    [
        ((2, 2), {"Theorem 5.3", "Theorem 5.10 with mu-tv"}),
        ((2, 2, 2), {"Theorem H.2 with tv", "Theorem 6.3 with mu-tv"}),
    ],
)
def test_names(sizes, names):
    p = oracle.random_joint(np.random.default_rng(0), sizes)
    chain = JointChain(p, sizes).under()
    d = value_decomposition(chain, oracle.random_tables(np.random.default_rng(1), sizes), 0.5)
    table = error_bounds(d, [entanglement(chain, name) for name in ("tv", "mu-tv")])
    assert names <= {b.name for b in table if b.distance in ("tv", "mu-tv")}
    assert all(b.value >= b.truth for b in table)


def test_results_with_the_old_name_are_read(tmp_path):
    """Results written before say "Theorem H.3"; a report is made from them as well."""
    chain = me.gallery.build("parity").chain()
    file, page = tmp_path / "old.json", tmp_path / "old.html"
    me.analyze(chain, rewards=[[0, 1]] * 3, discount=0.9, distances=["tv", "mu-atv"]).save_json(file)
    text = file.read_text()
    assert '"Theorem H.2 with tv"' in text and "H.3" not in text
    file.write_text(text.replace("Theorem H.2 with tv", "Theorem H.3"))
    assert main(["report", str(file), "-o", str(page)]) == 0
    assert "<td" in page.read_text()


def test_extreme_parity_chain():
    """Entangled (`tv = mu-tv = 1/2`) with all E_i = 0: the joint numbers bound an error that is 0."""
    p = np.zeros((8, 8))
    for x in oracle.product((2, 2, 2)):
        for a, b in oracle.product((2, 2)):
            p[4 * x[0] + 2 * x[1] + x[2], 4 * a + 2 * (a ^ x[2]) + b] += 0.25
    tables = oracle.random_tables(np.random.default_rng(0), (2, 2, 2))
    pairs, mu = oracle.product((2, 2, 2)), oracle.stationary(p)
    local = oracle.reward_on(pairs, oracle.local_q(p, pairs, mu, tables, 0.9))
    truth = oracle.norms(oracle.q_values(p, oracle.reward_on(pairs, tables), 0.9) - local, mu)
    chain = JointChain(p, (2, 2, 2)).under()
    assert truth["sup"] < 1e-9
    for weighted in (False, True):
        assert joint_distance(chain, weighted=weighted).lower == pytest.approx(0.5, abs=1e-9)
    assert entanglement(chain, "atv").total < 1e-8
