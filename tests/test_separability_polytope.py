"""P_SEP+ beyond two binary agents: planted mixtures, boxes among more pairs and agents, column generation, sizes."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput
from markov_entanglement.separable.local_polytope import local_polytope

SHAPES = [(2, 2), (2, 3), (3, 3), (2, 2, 2), (2, 3, 2)]


def mixture(rng, sizes: tuple[int, ...], count: int, soft: bool) -> np.ndarray:
    parts = [
        oracle.kron_all(
            [rng.dirichlet(np.ones(m), size=m) if soft else oracle.random_map(rng, m) for m in sizes]
        )
        for _ in range(count)
    ]
    return sum(w * p for w, p in zip(rng.dirichlet(np.ones(count)), parts, strict=True))


def true_box(rng, sizes: tuple[int, ...]) -> np.ndarray:
    """A box whose two agents each have both questions: CHSH 4 between them."""
    while True:
        p = oracle.box(rng, sizes)
        if np.linalg.norm(p) and local_box(p, sizes) > 3.9:
            return p


def local_box(p: np.ndarray, sizes: tuple[int, ...]) -> float:
    """Largest CHSH value over pairs of agents, questions and answers (last answer against the others)."""
    best, cube = 0.0, p.reshape(*sizes, *sizes)
    n = len(sizes)
    for i, j in itertools.combinations(range(n), 2):
        others = tuple(n + k for k in range(n) if k not in (i, j))
        pair = cube.sum(axis=others)  # x..., x'_i, x'_j
        at = [0] * n
        for a, b in itertools.product(range(sizes[i]), range(sizes[j])):
            left, right = (np.where(np.arange(sizes[k]) == c, 1, -1) for k, c in ((i, a), (j, b)))
            sign = np.multiply.outer(left, right)
            for q in itertools.permutations(range(sizes[i]), 2):
                for r in itertools.permutations(range(sizes[j]), 2):
                    e = []
                    for u, v in itertools.product(q, r):
                        at[i], at[j] = u, v
                        e.append(float((pair[tuple(at)] * sign).sum()))
                    best = max(best, abs(sum(e) - 2 * e[3]))
    return best


def check(answer, p: np.ndarray, sizes: tuple[int, ...], rows: np.ndarray) -> None:
    if answer.verdict == "mixture":
        c = answer.certificate
        oracle.check_decomposition(c.weights, c.factors, p[rows], rows, sizes, mixture=True)
        assert all(set(np.unique(f)) <= {0.0, 1.0} for f in c.factors)
    else:
        assert answer.verdict == "no-mixture" and answer.equation is None
        assert oracle.check_bell(answer.inequality, p[rows], rows, sizes) > 1e-9


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SHAPES), st.booleans())
def test_planted_mixtures(seed: int, sizes: tuple[int, ...], soft: bool) -> None:
    p = mixture(np.random.default_rng(seed), sizes, 5, soft)
    answer = local_polytope(me.JointChain(p, sizes))
    assert answer.verdict == "mixture"
    check(answer, p, sizes, np.arange(len(p)))


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SHAPES), st.floats(0.05, 1.0))
def test_planted_boxes(seed: int, sizes: tuple[int, ...], share: float) -> None:
    """Boxes diluted by uniform noise: a CHSH value above 2 in two agents forbids a mixture."""
    rng = np.random.default_rng(seed)
    p = share * true_box(rng, sizes) + (1.0 - share) / np.prod(sizes)
    value = local_box(p, sizes)
    answer = local_polytope(me.JointChain(p, sizes))
    if value > 2.0 + 1e-6:
        assert answer.verdict == "no-mixture"
    check(answer, p, sizes, np.arange(len(p)))


@pytest.mark.parametrize("sizes", [(3, 3), (2, 2, 2)])
def test_column_generation_agrees_with_all_columns(sizes: tuple[int, ...], monkeypatch) -> None:
    rng = np.random.default_rng(0)
    systems = [mixture(rng, sizes, 4, True), true_box(rng, sizes), oracle.separable(rng, sizes, False)]
    direct = [local_polytope(me.JointChain(p, sizes)) for p in systems]
    monkeypatch.setattr(tol, "POLYTOPE_ALL", 0)
    generated = [local_polytope(me.JointChain(p, sizes)) for p in systems]
    for a, b, p in zip(direct, generated, systems, strict=True):
        assert a.verdict == b.verdict
        assert a.gap == pytest.approx(b.gap, abs=1e-7)
        check(b, p, sizes, np.arange(len(p)))


def test_column_generation_at_four_pairs_each() -> None:
    rng = np.random.default_rng(1)
    p = mixture(rng, (4, 4), 6, False)
    answer = local_polytope(me.JointChain(p, (4, 4)))
    assert answer.verdict == "mixture" and answer.products == 4**8
    check(answer, p, (4, 4), np.arange(16))


def test_entangled_chains_are_no_mixtures() -> None:
    """Outside P_SEP a violated no-signalling equation is the inequality."""
    rng = np.random.default_rng(2)
    for kind in ("random", "entangled 1e-6", "pair 1e-3"):
        system = oracle.planted(rng, kind, 3, sparse=False)
        small = oracle.planted(rng, kind, 2, sparse=False)
        for s in (system, small):
            answer = local_polytope(me.JointChain(s.p, s.sizes))
            assert answer.verdict == "no-mixture" and answer.inequality is None
            gap = oracle.check_equation(answer.equation, s.p, s.rows, s.sizes)
            assert gap == pytest.approx(answer.gap, abs=1e-12) and "betrays" in answer.sentence


def test_restricted_support() -> None:
    """On the pairs of a shared coin, products of deterministic maps need to agree on the chain's rows only."""
    chain = me.gallery.build("shared-randomness").chain()
    answer = local_polytope(chain)
    assert answer.verdict == "mixture"
    at = np.ravel_multi_index(chain.pairs.T, chain.sizes)
    law = np.zeros((chain.n_pairs, int(np.prod(chain.sizes))))
    law[:, at] = chain.step.toarray()
    c = answer.certificate
    oracle.check_decomposition(c.weights, c.factors, law, at, chain.sizes, mixture=True)


def test_undecided_beyond_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without enumeration a mixture is still proved, a box is not refuted: the number of products is named."""
    rng = np.random.default_rng(3)
    box = true_box(rng, (3, 3))
    soft = mixture(rng, (3, 3), 3, False)
    monkeypatch.setattr(tol, "PRICED_MAPS", 1)
    monkeypatch.setattr(tol, "POLYTOPE_ALL", 0)
    answer = local_polytope(me.JointChain(box, (3, 3)))
    assert answer.verdict == "undecided" and "729 products" in answer.note and "729" in answer.sentence
    assert answer.certificate is None and answer.inequality is None
    assert local_polytope(me.JointChain(soft, (3, 3))).verdict == "mixture"


@pytest.mark.parametrize("beyond", [1e-10, 3e-10, 1e-9])
def test_an_open_answer_says_how_near(beyond: float) -> None:
    """(1/2 + d) of a box and the rest uniform: 4 d beyond the facet CHSH = 2, between what the two proofs need."""
    box = np.array([[0.5, 0, 0, 0.5]] * 3 + [[0, 0.5, 0.5, 0]])
    answer = local_polytope(me.JointChain((0.5 + beyond) * box + (0.5 - beyond) / 4, (2, 2)))
    assert answer.verdict == "undecided"
    assert answer.gap == pytest.approx(4 * beyond, rel=0.8) and answer.residual <= 8 * beyond
    for text in (f"{answer.residual:.2g} in L1", f"{answer.gap:.2g}", "at most 1e-10", "at least 1e-08"):
        assert text in answer.note and text in answer.sentence
    wider = local_polytope(me.JointChain((0.5 + beyond) * box + (0.5 - beyond) / 4, (2, 2)), tolerance=1e-7)
    assert wider.verdict == "mixture"
    tighter = local_polytope(me.JointChain((0.5 + 1e-7) * box + (0.5 - 1e-7) / 4, (2, 2)))
    assert tighter.verdict == "no-mixture" and tighter.gap == pytest.approx(4e-7, rel=1e-3)


def test_beyond_the_program() -> None:
    """36 x 36: a product is still recognised, an entangled chain refuted, a box left open with the size."""
    rng = np.random.default_rng(4)
    product = oracle.kron_all([rng.dirichlet(np.ones(6), size=6) for _ in range(2)])
    answer = local_polytope(me.JointChain(product, (6, 6)))
    assert answer.verdict == "mixture"
    c = answer.certificate
    oracle.check_decomposition(c.weights, c.factors, product, np.arange(36), (6, 6), mixture=True)
    answer = local_polytope(me.JointChain(oracle.nudge(rng, product, (6, 6), 1e-3), (6, 6)))
    assert answer.verdict == "no-mixture"
    answer = local_polytope(me.JointChain(true_box(rng, (6, 6)), (6, 6)))
    assert answer.verdict == "undecided" and "36 rows x 36" in answer.note


def test_inequalities_of_the_completion_carry_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restricted support without a separable completion: refuted also when its own program does not fit."""
    from test_separability import frustrated

    system = frustrated()
    initial = np.zeros(27)
    initial[system.rows] = 1.0 / len(system.rows)
    chain = me.JointChain(system.p, system.sizes).under(initial=initial)
    direct = local_polytope(chain)
    monkeypatch.setattr(tol, "POLYTOPE_ROWS", 10)
    carried = local_polytope(chain)
    for answer in (direct, carried):
        assert answer.verdict == "no-mixture"
        assert oracle.check_bell(answer.inequality, system.p[system.rows], system.rows, system.sizes) > 0.1


def test_large_entangled_chains_are_refuted() -> None:
    """No joint matrix fits, but one agent's laws do."""
    rng = np.random.default_rng(0)
    kernels = [rng.dirichlet(np.ones(7), size=(2, 7)) for _ in range(4)]
    system = me.WeaklyCoupledMDP(kernels, [np.zeros(7)] * 4, discount=0.9, budget=1)
    answer = local_polytope(system.under(me.IndexPolicy(np.arange(7))))
    assert answer.verdict == "no-mixture" and answer.equation.gap > 0.01
    answer = local_polytope(system.under(me.UniformPolicy()))
    assert answer.verdict == "mixture" and answer.certificate.weights.min() >= 0.0


def test_plain_json_and_malformed_options() -> None:
    answer = local_polytope(me.gallery.build("appendix-e").chain())
    assert answer.verdict == "no-mixture"
    assert json.loads(json.dumps(answer.to_dict(), allow_nan=False))["verdict"] == "no-mixture"
    with pytest.raises(InvalidInput, match="tolerance"):
        local_polytope(me.gallery.build("parity").chain(), tolerance=1.0)
