"""The explicit and the compact decomposition: numbers of terms, residuals, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.separable.decomposition import decompose

SHAPES = st.sampled_from([(2, 2), (3, 2), (4, 4), (5, 3), (2, 2, 2), (2, 4, 3), (2, 2, 2, 2)])


@given(st.integers(0, 2**32 - 1), SHAPES, st.booleans(), st.sampled_from(["compact", "explicit"]))
def test_decompositions_rebuild_p(seed: int, sizes: tuple[int, ...], sparse: bool, form: str) -> None:
    p = oracle.separable(np.random.default_rng(seed), sizes, sparse)
    found = decompose(p, sizes, form=form)
    everything = np.arange(math.prod(sizes))
    error = oracle.check_decomposition(found.weights, found.factors, p, everything, sizes)
    assert found.residual == pytest.approx(error, abs=1e-13)
    assert np.abs(found.transition() - p).max() <= 1e-10
    assert found.n_terms <= math.prod(m * (m - 1) + 1 for m in sizes) or form == "compact"


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_compact_one_has_rank_plus_one_terms(rank: int) -> None:
    rng = np.random.default_rng(rank)
    parts = [oracle.kron_all([rng.dirichlet(np.ones(4), size=4) for _ in range(2)]) for _ in range(rank)]
    p = sum(parts) / rank
    assert decompose(p, (4, 4)).n_terms in (rank, rank + 1)


def test_nearly_parallel_slices_are_resolved() -> None:
    """Two slices that differ by 1e-9 only: the decomposition still rebuilds P to rounding."""
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(3), size=3), rng.dirichlet(np.ones(3), size=3)
    c = rng.dirichlet(np.ones(3), size=(2, 3))
    near = (1 - 1e-9) * a + 1e-9 * b
    p = 0.5 * np.kron(a, c[0]) + 0.5 * np.kron(near, c[1])
    assert decompose(p, (3, 3)).residual < 1e-12


@given(st.integers(0, 2**32 - 1), SHAPES, st.booleans())
def test_the_route_of_long_slices(seed: int, sizes: tuple[int, ...], sparse: bool) -> None:
    """LU on mixed slices, here forced on short ones, finds as few terms as pivoted QR."""
    p = oracle.separable(np.random.default_rng(seed), sizes, sparse)
    qr = decompose(p, sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tol, "LONG_SLICES", 0)
        lu = decompose(p, sizes)
    assert lu.n_terms <= qr.n_terms + len(sizes) ** 2
    oracle.check_decomposition(lu.weights, lu.factors, p, np.arange(len(p)), sizes)


@pytest.mark.parametrize("terms", [3, 2000])
def test_two_agents_of_32_local_pairs(terms: int) -> None:
    rng = np.random.default_rng(terms)
    a, b = (rng.dirichlet(np.ones(32), size=(terms, 32)).reshape(terms, -1) for _ in range(2))
    joint = (a.T @ b / terms).reshape(32, 32, 32, 32).transpose(0, 2, 1, 3).reshape(1024, 1024)
    found = decompose(joint, (32, 32))
    assert found.n_terms in ((3, 4) if terms == 3 else (993, 994))
    total = np.einsum("j,jab,jcd->acbd", found.weights, *found.factors, optimize=True).reshape(1024, 1024)
    assert np.abs(total - joint).sum(axis=1).max() <= 1e-11


def test_entangled_matrices_are_refused() -> None:
    p = oracle.nudge(np.random.default_rng(0), np.full((4, 4), 0.25), (2, 2), 1e-3)
    for form in ("compact", "explicit"):
        with pytest.raises(Unsupported, match="separability"):
            decompose(p, (2, 2), form=form)


@pytest.mark.parametrize("form", ["compact", "explicit"])
def test_a_slice_without_mass_is_no_division_by_zero(form: str) -> None:
    """Entangled: what agent 1 does next depends on x_0. The refusal says so, and its advice leads to the proof."""
    p = np.array([[0, 0, 0.25, 0.75], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
    with pytest.raises(Unsupported, match=r"entangled matrix, .* Ask me\.separability"):
        decompose(p, (2, 2), form=form)
    answer = me.separability(me.JointChain(p, (2, 2)))
    assert answer.verdict == "entangled"
    assert oracle.check_equation(answer.equation, p, np.arange(4), (2, 2)) > 0.1


def sparse_chain(rng, sizes: tuple[int, ...]) -> np.ndarray:
    """Deterministic, sparse with few values, or a separable one with a rare entangled or separable jump."""
    n, kind = math.prod(sizes), rng.integers(5)
    if kind == 0:
        return oracle.random_map(rng, n)
    if kind == 1:
        p = np.where(rng.random((n, n)) < rng.uniform(0.5, 3) / n, rng.choice([0.25, 0.5, 1.0], (n, n)), 0.0)
        p[np.arange(n), rng.integers(n, size=n)] += 0.25
        return p / p.sum(axis=1, keepdims=True)
    rare = 10.0 ** rng.uniform(-16, -1)
    base = oracle.kron_all([oracle.random_map(rng, m) for m in sizes])
    if kind == 4:
        return (1 - rare) * oracle.separable(rng, sizes, True) + rare * base
    other = (
        oracle.random_map(rng, n)
        if kind == 2
        else oracle.kron_all([oracle.random_map(rng, m) for m in sizes])
    )
    return (1 - rare) * base + rare * other


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 10))])
@pytest.mark.parametrize(("sizes", "count"), [((2, 2), 300), ((2, 3), 100), ((2, 2, 2), 70), ((3, 3), 30)])
def test_sparse_chains_are_rebuilt_or_refused(sizes: tuple[int, ...], count: int, seed: int) -> None:
    """5,000 chains with empty slices: separable ones are rebuilt, entangled ones refused, and nothing is NaN."""
    rng, everything = np.random.default_rng(seed), np.arange(math.prod(sizes))
    inside = np.linalg.qr(oracle.span_matrix(sizes).T)[0]
    rebuilt = 0
    for _ in range(count):
        p = sparse_chain(rng, sizes)
        off = float(np.abs(p.ravel() - inside @ (inside.T @ p.ravel())).max())
        try:
            found = decompose(p, sizes)
        except Unsupported:
            assert off > 1e-13
            continue
        if rebuilt % 10 == 0:
            oracle.check_decomposition(found.weights, found.factors, p, everything, sizes)
        terms = zip(found.weights, *found.factors, strict=True)
        total = sum(w * oracle.kron_all(parts) for w, *parts in terms)
        assert np.abs(total - p).max() <= 1e-10 and off <= 1e-10
        rebuilt += 1
    assert count / 4 < rebuilt < count


def test_malformed_input() -> None:
    with pytest.raises(InvalidInput, match="sizes"):
        decompose(np.eye(4), (2, 0))
    with pytest.raises(InvalidInput, match="transition"):
        decompose(np.eye(4), (2, 3))
    with pytest.raises(InvalidInput, match="sum"):
        decompose(2 * np.eye(4), (2, 2))
    with pytest.raises(InvalidInput, match="compact"):
        decompose(np.eye(4), (2, 2), form="short")


def test_sizes_are_refused_before_allocation(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLarge, match="joint transition"):
        decompose(np.eye(2), (200, 200))
    monkeypatch.setattr(tol, "BYTES", 1000)
    with pytest.raises(TooLarge, match="compact"):
        decompose(np.full((9, 9), 1 / 9), (3, 3), form="explicit")
