"""Large chains on a device: the same numbers as NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.markov import tree
from markov_entanglement.markov.large import LargeChain

pytestmark = pytest.mark.torch


def chains(sizes: Any, budget: int, ties: bool, device: str, monkeypatch: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    kernels = [rng.dirichlet(np.ones(s), size=(2, s)) for s in sizes]
    rewards = [rng.random((s, 2)) for s in sizes]
    priority = [rng.integers(0, 3, s).astype(float) if ties else rng.random(s) for s in sizes]
    system = me.WeaklyCoupledMDP(kernels, rewards, discount=0.9, budget=budget)
    monkeypatch.setattr(tol, "EXPLICIT_KERNEL", 0)
    policy = me.IndexPolicy(priority)
    return system.under(policy), system.under(policy, device=device)


def agree(here: Any, there: Any) -> None:
    assert np.abs(here.occupancy - there.occupancy).max() < 1e-12
    f = np.random.default_rng(1).normal(size=(here.n_pairs, 2))
    assert np.abs(here.apply(f) - there.apply(f)).max() < 1e-12
    ours, theirs = me.value_decomposition(here), me.value_decomposition(there)
    assert np.abs(ours.joint_q - theirs.joint_q).max() < 1e-10 * np.abs(ours.joint_q).max()
    assert theirs.evaluation.method == "fixed point" and theirs.evaluation.residual < 1e-11
    for a, b in zip(ours.local_q, theirs.local_q, strict=True):
        assert np.nanmax(np.abs(a - b)) < 1e-10 * np.nanmax(np.abs(a))
    for d in ("mu-atv", "policy"):
        assert np.abs(me.entanglement(here, d).per_agent - me.entanglement(there, d).per_agent).max() < 1e-10
    mine, other = (
        me.certificate(c, None, None, v.sum_q).interval() for c, v in ((here, ours), (there, theirs))
    )
    assert mine == pytest.approx(other, abs=1e-10)


@pytest.mark.parametrize(("sizes", "budget", "ties"), [((5, 6, 7), 1, False), ((4, 5, 3, 4), 2, True)])
@pytest.mark.parametrize("small", [True, False])
def test_torch_on_the_cpu(sizes: Any, budget: int, ties: bool, small: bool, monkeypatch: Any) -> None:
    here, there = chains(sizes, budget, ties, "cpu", monkeypatch)
    if small:  # every axis on its own, laws key by key
        monkeypatch.setattr(tree, "_LAST", 3)
        monkeypatch.setattr(LargeChain, "fits", lambda self, i: False)
    agree(here, there)


def test_what_a_device_does_not_take(monkeypatch: Any) -> None:
    chain, _ = chains((3, 3), 1, False, "cpu", monkeypatch)
    system, policy = chain.system, chain.policy
    with pytest.raises(InvalidInput, match="device of this machine"):
        system.under(policy, device="nowhere")
    with pytest.raises(InvalidInput, match="a name"):
        system.under(policy, device=3)  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="Leave it out"):
        system.under(policy, initial=(0, 0), device="cpu")


@pytest.mark.gpu
def test_on_a_gpu(monkeypatch: Any) -> None:
    agree(*chains((20, 21, 22), 1, False, "cuda", monkeypatch))
