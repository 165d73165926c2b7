"""Random bandits and systems: the same bytes for the same seed, laws, and what is said of entanglement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, TooLarge, UserError


def test_the_same_seed_gives_the_same_bytes() -> None:
    a, b = (me.random_bandit(3, 10, 4, n_types=2, rng=5) for _ in range(2))
    assert a.kernels.tobytes() == b.kernels.tobytes() and a.rewards.tobytes() == b.rewards.tobytes()
    assert (
        me.random_bandit(3, 10, 4, n_types=2, rng=np.random.default_rng(5)).kernels.tobytes()
        == a.kernels.tobytes()
    )
    assert me.random_bandit(3, 10, 4, n_types=2, rng=6).kernels.tobytes() != a.kernels.tobytes()
    for kind in ("mdp", "chain"):
        one, two = (me.random_system(2, 2, kind=kind, rng=3) for _ in range(2))
        assert [k.toarray().tobytes() for k in one.kernel] == [k.toarray().tobytes() for k in two.kernel]


def test_arms_are_spread_over_the_types() -> None:
    assert me.random_bandit(2, 10, 1, n_types=3).n_arms.tolist() == [4, 3, 3]
    assert me.random_bandit(2, [7, 0], 1, n_types=2).n_arms.tolist() == [7, 0]
    assert me.random_bandit(2, 10, 1).kernels.shape == (1, 2, 2, 2)


def test_rows_are_uniform_on_the_simplex() -> None:
    """First coordinates of Dirichlet(1, 1, 1): mean 1/3, variance 1/18; rewards uniform: 1/2, 1/12."""
    bandit = me.random_bandit(3, 4000, 1, n_types=2000, rng=0)
    first = bandit.kernels[..., 0].ravel()
    assert first.mean() == pytest.approx(1 / 3, abs=5 * np.sqrt(1 / 18 / first.size))
    assert first.var() == pytest.approx(1 / 18, rel=0.05)
    pay = bandit.rewards.ravel()
    assert (
        pay.mean() == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / pay.size))
        and 0 <= pay.min() < pay.max() < 1
    )


def test_branching() -> None:
    kernels = me.random_bandit(6, 40, 1, n_types=20, branching=2, rng=0).kernels
    assert ((kernels > 0).sum(axis=-1) == 2).all()
    assert ((kernels > 0).mean(axis=(0, 1, 2)) > 0.2).all()  # every state is reached from somewhere
    for k in me.random_system(2, 3, branching=4, rng=0).kernel:
        assert (np.diff(k.indptr) == 4).all()


@pytest.mark.parametrize("seed", range(3))
def test_separable_and_entangled_kernels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    local = me.LocalPolicy([rng.dirichlet(np.ones(2), size=2) for _ in range(2)])
    apart, joint = (me.random_system(2, 2, 2, entangled=e, rng=seed).under(local) for e in (False, True))
    assert me.separability(apart).verdict == "separable" and me.separability(joint).verdict == "entangled"
    assert me.entanglement(apart).per_agent.max() < 1e-12 < 1e-3 < me.entanglement(joint).per_agent.min()
    chains = (me.random_system(2, 2, kind="chain", entangled=e, rng=seed).under() for e in (False, True))
    assert [me.separability(c).verdict for c in chains] == ["separable", "entangled"]


def test_sizes_by_agent() -> None:
    system = me.random_system(3, (2, 3, 1), (1, 2, 3), kind="weakly-coupled", budget=2, rng=0)
    assert system.spaces.n_states == (2, 3, 1) and system.spaces.n_actions == (1, 2, 3) and system.budget == 2
    assert me.random_system(2, (2, 3), (2, 1), kind="chain").spaces.n_states == (4, 3)
    assert me.analyze(system, "uniform").verdict in ("add", "do-not-add")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: me.random_bandit(0, 3, 1), ("n_states",)),
        (lambda: me.random_bandit(2, 3, 4), ("budget",)),
        (lambda: me.random_bandit(2, [3, 4], 1), ("n_arms",)),
        (lambda: me.random_bandit(2, 3, 1, branching=3), ("branching", "1..2")),
        (lambda: me.random_bandit(2, 3, 1, rng=-1), ("rng", "a seed")),
        (lambda: me.random_system(2, 2, kind="chains"), ("kind", "Did you mean 'chain'")),
        (lambda: me.random_system(2, 2, budget=1), ("budget", 'kind="weakly-coupled"')),
        (lambda: me.random_system(2, (2, 2, 2)), ("3 sizes", "2 agents")),
        (lambda: me.random_system(2.5, 2), ("n_agents",)),
    ],
)
def test_refusals(call: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as e:
        call()
    assert isinstance(e.value, InvalidInput) and not [w for w in words if w not in str(e.value)], str(e.value)


def test_too_large_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(TooLarge, match=r'kind="weakly-coupled"'):
        me.random_system(30, 3)
    with pytest.raises(TooLarge, match="kernels"):
        me.random_bandit(100_000, 3, 1)
    assert me.random_system(30, 3, kind="weakly-coupled").n_agents == 30
