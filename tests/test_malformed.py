"""Bad input, through Python and through the command line: one message that names what is wrong and what to do."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import (
    InvalidInput,
    SeveralRecurrentClasses,
    TooLarge,
    Unsupported,
    UserError,
    nearest,
)

FLAT = np.full((4, 4), 0.25)
ARM = np.full((2, 2, 2), 0.5)
R2 = [[0.0, 1.0], [0.0, 1.0]]


def edited(a: np.ndarray, at: tuple[int, ...], value: Any) -> np.ndarray:
    out = np.array(a, dtype=np.result_type(a, type(value)))
    out[at] = value
    return out


def chain(p: Any = FLAT, sizes: Any = (2, 2), **more: Any) -> Any:
    return me.JointChain(p, sizes, **more)


def mdp(kernel: Any = None, rewards: Any = R2, **more: Any) -> Any:
    given = {"n_states": (2, 2), "n_actions": (2, 1), "discount": 0.9} | more
    return me.MultiAgentMDP(np.full((4, 2, 4), 0.25) if kernel is None else kernel, rewards, **given)


def arms(kernels: Any = None, rewards: Any = R2, **more: Any) -> Any:
    given = {"discount": 0.9, "budget": 1} | more
    return me.WeaklyCoupledMDP([ARM, ARM] if kernels is None else kernels, rewards, **given)


def bandit(kernels: Any = None, rewards: Any = (0, 1), **more: Any) -> Any:
    given = {"n_arms": 4, "budget": 1, "discount": 0.9} | more
    return me.RestlessBandit(ARM if kernels is None else kernels, rewards, **given)


class Misspelt:
    """A policy but for one letter."""

    def laws(self, state: Any) -> dict[Any, float]:
        return {}


def two_classes() -> Any:
    return chain(np.eye(4))


def table(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=float)


HALF = [0.5, 0.5]
SPARSE_BAD = sp.csr_array(edited(FLAT, (0, 1), 0.5))
HUGE = 3**30

#: id -> (call, words of the message: the argument, the value got).
API: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    # rows, entries
    "row-sum": (lambda: chain(edited(FLAT, (1, 0), 0.5)), ("transition", "1.25", "row (1,)", "sum to 1")),
    "row-sum-sparse": (lambda: chain(SPARSE_BAD), ("transition", "1.25", "row (0,)")),
    "row-zero": (lambda: chain(edited(FLAT, (2, slice(None)), 0.0)), ("transition", "0", "row")),
    "columns-for-rows": (lambda: chain(table([1, 1], [0, 0]), (2,)), ("transition", "orientation")),
    "nan": (lambda: chain(edited(FLAT, (3, 1), np.nan)), ("transition", "nan", "(3, 1)")),
    "nan-sparse": (lambda: chain(sp.csr_array(edited(FLAT, (3, 1), np.nan))), ("transition", "nan")),
    "inf": (lambda: chain(edited(FLAT, (0, 0), np.inf)), ("transition", "inf", "(0, 0)")),
    "huge-entries": (lambda: chain(np.full((4, 4), 1e308)), ("transition", "sum to 1")),
    "negative": (lambda: chain(table([1.5, -0.5], [0.5, 0.5]), (2,)), ("transition", "-0.5", "(0, 1)")),
    "negative-sparse": (lambda: chain(sp.csr_array(table([1.5, -0.5], HALF)), (2,)), ("transition", "-0.5")),
    "complex": (lambda: chain(FLAT + 0j), ("transition", "complex")),
    "complex-sparse": (lambda: chain(sp.csr_array(FLAT + 0j)), ("transition", "complex")),
    "strings": (lambda: chain([["a", "b"], ["c", "d"]], (2,)), ("transition", "real numbers")),
    "objects": (lambda: chain([[None, 1], [0, 1]], (2,)), ("transition", "real numbers")),
    "nothing": (lambda: chain(None), ("transition",)),
    "huge-integers": (lambda: chain([[10**30, 0], [0, 1]], (2,)), ("transition",)),
    # shapes and sizes
    "not-square": (lambda: chain(np.full((4, 3), 1 / 3)), ("transition", "4x3", "4x4")),
    "sizes-mismatch": (lambda: chain(FLAT, (2, 3)), ("transition", "4x4", "6x6")),
    "ragged": (lambda: chain([[1.0], [0.5, 0.5]], (2,)), ("transition", "ragged")),
    "flat-list": (lambda: chain([0.5, 0.5], (2,)), ("transition", "shape 2")),
    "sizes-zero": (lambda: chain(FLAT, (4, 0)), ("sizes[1]", "0", "at least 1")),
    "sizes-float": (lambda: chain(FLAT, (2.0, 2.0)), ("sizes[0]", "2.0", "integer")),
    "sizes-bool": (lambda: chain(np.eye(1), (True,)), ("sizes[0]", "True", "integer")),
    "sizes-number": (lambda: chain(FLAT, 4), ("sizes", "4")),
    "sizes-empty": (lambda: chain(FLAT, ()), ("sizes", "()")),
    "sizes-text": (lambda: chain(FLAT, "22"), ("sizes", "22")),
    "kernel-shape": (lambda: mdp(np.full((4, 4, 4), 0.25)), ("kernel", "4x4x4", "4x2x4")),
    "kernel-ragged": (lambda: mdp([[[1.0]], [[1.0], [0.5]]]), ("kernel", "ragged")),
    "kernel-row": (lambda: mdp(np.full((4, 2, 4), 0.2)), ("kernel", "0.8", "sum to 1")),
    "kernel-one-sparse": (lambda: mdp(sp.csr_array(FLAT)), ("kernel", "2 joint actions")),
    "kernel-sparse-shape": (lambda: mdp([sp.csr_array(np.eye(3))] * 2), ("kernel[0]", "3x3", "4x4")),
    "agents-mismatch": (lambda: mdp(n_actions=(2,)), ("n_actions", "1 sizes for 2 agents")),
    "no-action-left": (
        lambda: mdp(edited(np.full((4, 2, 4), 0.25), (2,), 0.0)).under(me.UniformPolicy()), ("kernel", "(1, 0)")
    ),
    "kernels-number": (lambda: arms(3), ("kernels", "3")),
    "kernels-empty": (lambda: arms([]), ("kernels", "[]")),
    "kernels-shape": (lambda: arms([ARM, np.full((2, 2, 3), 1 / 3)]), ("kernels[1]", "2x2x3")),
    "kernels-row": (lambda: arms([ARM, 2 * ARM]), ("kernels[1]", "sum of 2")),
    # rewards
    "rewards-count": (lambda: mdp(rewards=[[0, 1]]), ("rewards", "1 entries", "(2)")),
    "rewards-shape": (lambda: mdp(rewards=[[0, 1, 2], [0, 1]]), ("rewards[0]", "(3,)", "(2, 2)")),
    "rewards-nan": (lambda: mdp(rewards=[[0, np.nan], [0, 1]]), ("rewards[0]", "nan", "(1,)")),
    "rewards-text": (lambda: mdp(rewards=[["x", "y"], [0, 1]]), ("rewards[0]", "real numbers")),
    "rewards-number": (lambda: mdp(rewards=1.0), ("rewards", "1.0")),
    "rewards-none": (lambda: me.value_decomposition(chain().under(), None, 0.9), ("rewards", "None")),
    "rewards-joint-inf": (lambda: chain(rewards=[0, 1, np.inf, 2]), ("rewards", "inf")),
    # discounts and other numbers
    "discount-one": (lambda: mdp(discount=1), ("discount", "1", "[0, 1)")),
    "discount-negative": (lambda: mdp(discount=-0.1), ("discount", "-0.1", "[0, 1)")),
    "discount-nan": (lambda: mdp(discount=float("nan")), ("discount", "nan", "finite")),
    "discount-text": (lambda: mdp(discount="0.9"), ("discount", "'0.9'", "number")),
    "discount-bool": (lambda: mdp(discount=False), ("discount", "False", "number")),
    "discount-array": (lambda: mdp(discount=np.array([0.9])), ("discount", "0.9", "number")),
    "discount-missing": (
        lambda: me.value_decomposition(chain(rewards=R2).under()), ("discount", "None", "[0, 1)")
    ),
    "budget-negative": (lambda: arms(budget=-1), ("budget", "-1", "0..2")),
    "budget-too-many": (lambda: arms(budget=3), ("budget", "3", "0..2")),
    "budget-bool": (lambda: arms(budget=True), ("budget", "True", "integer")),
    "budget-float": (lambda: arms(budget=1.0), ("budget", "1.0", "integer")),
    "tolerance-text": (lambda: me.analyze(chain(), tolerance="5 %"), ("tolerance", "'5 %'")),
    "tolerance-nan": (lambda: me.analyze(chain(), tolerance=float("nan")), ("tolerance", "nan")),
    "tolerance-negative": (lambda: me.analyze(chain(), tolerance=-0.1), ("tolerance", "-0.1", "0..1")),
    # policies
    "policy-none": (lambda: mdp().under(), ("policy", "None", "UniformPolicy")),
    "policy-shape": (lambda: mdp().under(np.full((4, 3), 1 / 3)), ("policy", "4x3", "4x2")),
    "policy-misses-a-state": (
        lambda: mdp().under(table(HALF, HALF, [0, 0], HALF)), ("policy", "sum of 0", "row")
    ),
    "policy-negative": (lambda: mdp().under(table([1.5, -0.5], HALF, HALF, HALF)), ("policy", "-0.5", "(0, 1)")),
    "policy-text": (lambda: mdp().under("unifrom"), ("policy", "'unifrom'", "Did you mean 'uniform'?")),
    "policy-nothing": (lambda: mdp().under(lambda s: None), ("policy", "None", "(0, 0)")),
    "policy-empty-law": (lambda: mdp().under(lambda s: {}), ("policy", "{}", "(0, 0)")),
    "policy-half-a-law": (lambda: mdp().under(lambda s: {(0, 0): 0.5}), ("policy", "0.5", "(0, 0)")),
    "policy-negative-law": (
        lambda: mdp().under(lambda s: {(0, 0): 1.5, (1, 0): -0.5}), ("policy", "-0.5", "(0, 0)")
    ),
    "policy-unknown-action": (lambda: mdp().under(lambda s: {(2, 0): 1.0}), ("policy", "(2, 0)", "(2, 1)")),
    "policy-flat-action": (lambda: mdp().under(lambda s: {0: 1.0}), ("policy", "action 0", "tuples")),
    "policy-text-action": (lambda: mdp().under(lambda s: {("left", 0): 1.0}), ("policy", "left")),
    "policy-half-action": (lambda: mdp().under(lambda s: {(0.5, 0): 1.0}), ("policy", "0.5")),
    "policy-text-probability": (lambda: mdp().under(lambda s: {(0, 0): "1"}), ("policy", "'1'")),
    "policy-unavailable": (
        lambda: mdp(edited(np.full((4, 2, 4), 0.25), (1, 1), 0.0)).under(np.full((4, 2), 0.5)),
        ("policy", "action (1, 0)", "state (0, 1)", "kernel row is empty"),
    ),
    "policy-off-budget": (
        lambda: arms().under(lambda s: {(1, 1): 1.0}), ("policy", "action (1, 1)", "budget is 1")
    ),
    "policy-local-shape": (lambda: mdp().under(me.LocalPolicy([[[1.0]], [[1.0]]])), ("policy", "(1, 1)", "(2, 2)")),
    "policy-local-number": (lambda: me.LocalPolicy(3), ("tables", "3")),
    "policy-local-row": (lambda: me.LocalPolicy([[[0.5, 0.6]]]), ("tables[0]", "1.1", "sum to 1")),
    "index-number": (lambda: me.IndexPolicy(3), ("priority", "3")),
    "index-nan": (lambda: me.IndexPolicy([0, np.nan]), ("priority", "NaN")),
    "index-one-number": (lambda: me.IndexPolicy(np.array(3)), ("priority", "3", "sequence")),
    "index-text": (lambda: me.IndexPolicy("12"), ("priority",)),
    "index-length": (lambda: arms().under(me.IndexPolicy([0, 1, 2])), ("priority", "3 entries", "2 local states")),
    "index-agents": (lambda: arms().under(me.IndexPolicy([[0, 1]])), ("priority", "1 arrays", "2")),
    "index-without-budget": (lambda: arms(budget=None).under(me.IndexPolicy([0, 1])), ("policy", "budget")),
    "index-three-actions": (
        lambda: arms([np.full((3, 2, 2), 0.5)] * 2).under(me.IndexPolicy([0, 1])),
        ("priority", "2 entries for agent 0", "3 actions", "shape (2, 2)"),
    ),
    "policy-capitals": (lambda: mdp().under("UniformPolicy"), ("policy", "Did you mean 'uniform'?")),
    "policy-far": (lambda: mdp().under("banana"), ("policy", "uniform, optimal, table, local", "Use one of these")),
    "policy-class": (lambda: mdp().under(me.UniformPolicy), ("the class UniformPolicy", "UniformPolicy(...)")),
    "policy-misspelt-method": (lambda: mdp().under(Misspelt()), ("a Misspelt", "law(state)", "Did you mean 'law'?")),
    "policy-object": (lambda: mdp().under(object()), ("a object", "law(state)", "me.UniformPolicy()")),
    "policy-bare-index": (
        lambda: arms().under("index"), ("'index' without priority", "me.IndexPolicy(priority)", "'whittle'")
    ),
    "policy-bare-table": (lambda: mdp().under("table"), ("'table' without table", "FILE.npz")),
    "policy-whittle-mdp": (lambda: mdp().under("whittle"), ("'whittle'", "budget", "uniform, optimal, table, local")),
    "policy-lp-no-budget": (lambda: arms(budget=None).under("lp"), ("needs a budget", "What fits: uniform, optimal")),
    "policy-lp-three-actions": (
        lambda: arms([np.full((3, 2, 2), 0.5)] * 2).under("lp"), ("two actions", "What fits: uniform, index, optimal")
    ),
    "policy-lp-shared": (lambda: arms(rewards=np.arange(4.0)).under("lp"), ("rewards of every agent's own",)),
    "policy-optimal-bandit": (
        lambda: bandit().under("optimal"), ("joint states", "What fits: uniform, index, whittle, lp, myopic, lp-update")
    ),
    "policy-no-index": (
        lambda: me.gallery.build("non-indexable").system.under("whittle"),
        ("an arm without an index", "no Whittle index", "'lp'"),
    ),
    "index-of-no-index": (
        lambda: me.IndexPolicy(me.whittle_index(me.gallery.build("non-indexable").system)),
        ("priority", "NaN", "use me.lp_priority"),
    ),
    # bandits
    "bandit-missing-number": (lambda: bandit([[HALF, [0.2]], [HALF, HALF]]), ("kernels[0][1]", "ragged", "shape 2")),
    "bandit-ragged-types": (
        lambda: bandit([ARM, np.full((2, 3, 2), 1 / 3)], n_arms=[2, 2]), ("kernels[1]", "2x3x2")
    ),
    "bandit-ragged-rewards": (
        lambda: bandit([ARM, np.full((2, 3, 3), 1 / 3)], [[0, 1], [0, 1]], n_arms=[2, 2]),
        ("rewards[1]", "shape 2", "(3,)"),
    ),
    "bandit-ragged-reward-for-all": (
        lambda: bandit([ARM, np.full((2, 3, 3), 1 / 3)], [0, 1, 2], n_arms=[2, 2]),
        ("rewards", "3 tables", "2 arm types", "of its own number of states"),
    ),
    "gittins-ragged-types": (
        lambda: me.gittins_index([np.eye(2), np.eye(3)], [[0, 1], [0, 1, 2]], discount=0.9),
        ("arm[1]", "me.RestlessBandit of them"),
    ),
    "whittle-missing-number": (
        lambda: me.whittle_index([[HALF, [0.2]], [HALF, HALF]], [0, 1], discount=0.9), ("kernels[0][1]", "ragged")
    ),
    "priority-ragged": (lambda: me.IndexPolicy([[0, 1], [[0], [1, 2]]]), ("priority[1]", "ragged")),
    "bandit-square": (lambda: bandit(np.full((2, 2, 3), 1 / 3)), ("kernels", "shape 2x2x3", "(2, S, S)")),
    "bandit-rewards": (lambda: bandit(rewards=[0, 1, 2]), ("rewards", "shape 3", "(2,), (2, 2)")),
    "bandit-ambiguous": (
        lambda: bandit([ARM, ARM], [[0, 1], [0, 1]], n_arms=[2, 2]), ("rewards", "(S, A)", "(T, S)", "(2, 2, 1)")
    ),
    "bandit-counts": (lambda: bandit(n_arms=[2, 2]), ("n_arms", "2 counts for 1 arm types")),
    "bandit-nobody": (lambda: bandit(n_arms=[0]), ("n_arms", "0", "1..2^62")),
    "bandit-counts-text": (lambda: bandit(n_arms="six"), ("n_arms", "'six'", "integer")),
    "bandit-labels": (lambda: bandit(labels={"states": ["a"]}), ("agents.states[0]", "1 names", "2")),
    # starts
    "initial-length": (lambda: mdp().under(me.UniformPolicy(), initial=(0, 0, 0)), ("initial", "(3,)")),
    "initial-range": (lambda: mdp().under(me.UniformPolicy(), initial=(0, 2)), ("initial[1]", "2", "0..1")),
    "initial-law": (lambda: mdp().under(me.UniformPolicy(), initial=[0.5, 0.6, 0, 0]), ("initial", "1.1")),
    "initial-text": (lambda: mdp().under(me.UniformPolicy(), initial="00"), ("initial",)),
    "initial-ragged": (lambda: mdp().under(me.UniformPolicy(), initial=[[0], [0, 1]]), ("initial",)),
    "initial-bool": (lambda: mdp().under(me.UniformPolicy(), initial=(True, False)), ("initial[0]", "True")),
    # labels
    "labels-key": (lambda: chain(labels={"name": ["a", "b"]}), ("agents.name", "unknown", "'names'")),
    "estimate-of-arrays": (
        lambda: me.estimate_entanglement((np.ones((2, 2)), np.ones(2)), None, rng=0), ("a tuple", "restless bandit")
    ),
    "error-of-arrays": (lambda: me.estimate_error((3, 4), None, rng=0), ("a tuple", "restless bandit")),
    "myopic-of-arrays": (lambda: me.myopic_priority((3, 4)), ("a tuple", "me.WeaklyCoupledMDP")),
    "priorities-ragged": (lambda: me.IndexPolicy([[1, 2], 3]), ("priority[1]", "ragged", "one such list per agent")),
    "labels-count": (lambda: chain(labels={"names": ["a"]}), ("agents.names", "1 names", "2")),
    "labels-type": (lambda: chain(labels={"names": [1, 2]}), ("agents.names", "[1, 2]", "strings")),
    "labels-state-count": (lambda: chain(labels={"states": ["a"]}), ("agents.states[0]", "1 names", "2")),
    "labels-number": (lambda: chain(labels=3), ("labels", "3", "mapping")),
    # questions
    "several-classes": (lambda: two_classes().under().occupancy, ("4 recurrent classes", "initial")),
    "several-classes-analyze": (lambda: me.analyze(two_classes()), ("4 recurrent classes", "initial")),
    "distance": (lambda: me.entanglement(chain().under(), "mu_atv"), ("distance", "'mu_atv'", "'mu-atv'")),
    "method": (lambda: me.entanglement(chain().under(), method="exakt"), ("method", "'exakt'", "'exact'")),
    "support": (lambda: me.entanglement(chain().under(), support="all"), ("support", "'all'", "reachable")),
    "tv-ends": (
        lambda: me.entanglement(me.JointChain(np.full((4, 4), 0.25), (2, 2), terminal=[(1, 1)], restart=(0, 0)), "tv"),
        ("distance", "tasks that end", "mu-atv"),
    ),
    "norm": (
        lambda: me.value_decomposition(chain().under(), R2, 0.9).error("L1"), ("norm", "'L1'", "mu, sup, l2")
    ),
    "kind": (lambda: me.value_decomposition(chain().under(), R2, 0.9, kind="v"), ("kind", "'v'")),
    "analyze-distances": (lambda: me.analyze(chain(), distances=["tvx"]), ("distances", "'tvx'")),
    "analyze-nonsense": (lambda: me.analyze(42), ("system", "int")),
    "analyze-chain-and-policy": (lambda: me.analyze(chain().under(), me.UniformPolicy()), ("policy",)),
    "compare-nothing": (lambda: me.compare({}, mdp()), ("policies", "{}")),
    "compare-list": (lambda: me.compare([me.UniformPolicy()], mdp()), ("policies",)),
    "bounds-of-another": (
        lambda: me.error_bounds(
            me.value_decomposition(chain().under(), R2, 0.9), [me.entanglement(chain(FLAT, (4,)).under())]
        ),
        ("entanglements", "1 agents", "2"),
    ),
    "optimal-without-rewards": (lambda: me.optimal_policy(chain()), ("rewards", "discount")),
    "greedy-shape": (lambda: me.greedy_policy([1.0, 2.0]), ("q", "(2,)")),
    "greedy-empty": (lambda: me.greedy_policy([]), ("q",)),
    "greedy-nothing-available": (
        lambda: me.greedy_policy(np.full((2, 2), -np.inf)), ("q", "joint state 0")
    ),
    "median-shapes": (lambda: me.weighted_l1_median(FLAT, [1, 2]), ("weights", "shape 2", "4")),
    "median-negative": (lambda: me.weighted_l1_median(FLAT, [1, -1, 1, 1]), ("weights", "-1")),
    "median-rows": (lambda: me.weighted_l1_median([[0.5, 0.6]]), ("laws", "1.1")),
    "centre-rows": (lambda: me.minimax_centre([[0.5, 0.6]]), ("laws", "1.1")),
    # too large
    "product": (
        lambda: me.WeaklyCoupledMDP([np.full((2, 3, 3), 1 / 3)] * 30, [[0, 1, 2]] * 30, discount=0.9,
                                    budget=1).under(me.IndexPolicy([0, 1, 2])).pairs,
        ("joint states", f"{HUGE:.4g}", "me.simulate"),
    ),
    "product-mdp": (
        lambda: mdp([sp.csr_array(FLAT)] * 2, n_states=(2,) * 40, n_actions=(2,) + (1,) * 39, rewards=[0]),
        ("kernel", "joint states"),
    ),
    "local-policy-actions": (
        lambda: me.WeaklyCoupledMDP([np.ones((8, 1, 1))] * 12, [[0.0]] * 12, discount=0.9).under(
            me.LocalPolicy([np.full((1, 8), 1 / 8)] * 12)
        ),
        ("policy table", "joint actions"),
    ),
    "uniform-policy-actions": (
        lambda: me.WeaklyCoupledMDP([np.ones((8, 1, 1))] * 12, [[0.0]] * 12, discount=0.9).under(
            me.UniformPolicy()
        ),
        ("joint actions",),
    ),
    # files
    "save-nowhere": (lambda: me.save("/nowhere/at/all.toml", chain()), ("path", "/nowhere", "folder")),
    "load-nothing": (lambda: me.load("/nowhere/at/all.toml"), ("/nowhere/at/all.toml", "no such file", "init")),
    "load-folder": (lambda: me.load("/"), ("directory",)),
}  # fmt: skip


def refuses(call: Callable[[], Any], words: tuple[str, ...]) -> UserError:
    """Fails unless the call raises a `UserError` with these words and a remedy."""
    try:
        call()
    except UserError as e:
        message = str(e)
        assert e.argument and e.got and e.rule and e.remedy, f"an incomplete message: {message}"
        missing = [w for w in words if w not in message]
        assert not missing, f"{message!r} lacks {missing}"
        assert "\n" not in message and "object at 0x" not in message
        return e
    raise AssertionError("accepted")


@pytest.mark.parametrize("name", API)
def test_python(name: str) -> None:
    call, words = API[name]
    refuses(call, words)


HIDDEN = np.ma.masked_array([HALF, [0.25, 0.75]], mask=[[1, 0], [0, 0]])
NUMBERS = np.ma.masked_array([0.0, 1.0], mask=[0, 1])

#: Where an array may enter, given (a 2 x 2 matrix of laws, two numbers).
ENTRIES: dict[str, Callable[[Any, Any], Any]] = {
    "chain": lambda p, _: me.JointChain(p, (2,)),
    "chain-lists": lambda p, _: me.JointChain([p[0], p[1]], (2,)),
    "chain-rewards": lambda _, r: me.JointChain(np.eye(2), (2,), rewards=[r], discount=0.9),
    "chain-shared": lambda _, r: me.JointChain(np.eye(2), (2,), rewards=r, discount=0.9),
    "mdp": lambda p, _: me.MultiAgentMDP(
        [[p[0]], [p[1]]], [[0, 1]], n_states=(2,), n_actions=(1,), discount=0.9
    ),
    "mdp-rewards": lambda _, r: me.MultiAgentMDP(
        np.full((2, 1, 2), 0.5), [r], n_states=(2,), n_actions=(1,), discount=0.9
    ),
    "arms": lambda p, _: arms([[p, p], [p, p]]),
    "arms-rewards": lambda _, r: arms(rewards=[r, [0, 1]]),
    "bandit": lambda p, _: bandit([p, p]),
    "bandit-rewards": lambda _, r: bandit(rewards=r),
    "whittle": lambda p, r: me.whittle_index([p, p], r, discount=0.9),
    "index": lambda _, r: me.IndexPolicy(r),
    "index-each": lambda _, r: me.IndexPolicy([[0, 1], r]),
    "local": lambda p, _: me.LocalPolicy([p]),
    "table": lambda p, _: me.TablePolicy(p),
    "policy": lambda p, _: me.MultiAgentMDP(
        np.full((2, 2, 2), 0.5), [[0, 1]], n_states=(2,), n_actions=(2,), discount=0.9
    ).under(p),
    "initial": lambda p, _: me.JointChain(np.full((2, 2), 0.5), (2,)).under(initial=p[0]),
    "median": lambda p, _: me.weighted_l1_median(p),
    "median-weights": lambda p, r: me.weighted_l1_median(np.full((2, 2), 0.5), r),
    "centre": lambda p, _: me.minimax_centre(p),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_masked_entries_are_never_used(name: str) -> None:
    """A hidden number is no number; arrays with nothing hidden are as good as plain ones."""
    refuses(lambda: ENTRIES[name](HIDDEN, NUMBERS), ("masked", "filled"))
    ENTRIES[name](np.ma.masked_array(HIDDEN.data), np.ma.masked_array([0.0, 1.0]))


def test_two_readings_of_the_rewards_and_what_to_write_for_each() -> None:
    """Two types with two states: `(2, 2)` could be by action or by type; the shapes of the message say which."""
    arm = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.1, 0.9]]])
    r = np.array([[0.0, 1.0], [2.0, 5.0]])

    def made(rewards: Any) -> np.ndarray:
        return np.asarray(bandit([arm, arm], rewards, n_arms=[2, 2]).rewards)

    for t, s, a in np.ndindex(2, 2, 2):
        assert made(r[None])[t, s, a] == r[s, a]
        assert made(r[:, :, None])[t, s, a] == r[t, s]
    assert made([3.0, 4.0])[1, 1, 0] == 4.0
    three = bandit(
        [arm] * 3, np.arange(6.0).reshape(3, 2), n_arms=[1, 1, 1]
    )  # no doubt: three types, two states
    assert three.rewards[2, 1].tolist() == [5.0, 5.0]


def test_types_of_different_size_as_the_message_says() -> None:
    """Padding by repeating the last row gives the numbers of the weakly coupled system of the same arms."""
    rng = np.random.default_rng(5)
    small, large = rng.dirichlet(np.ones(2), size=(2, 2)), rng.dirichlet(np.ones(3), size=(2, 3))
    padded = np.zeros((2, 3, 3))
    padded[:, :, :2] = small[:, [0, 1, 1]]
    r, big = np.array([0.0, 1.0]), np.array([0.3, 0.7, 2.0])
    counted = me.RestlessBandit([padded, large], [r[[0, 1, 1]], big], n_arms=[2, 1], budget=1, discount=0.9)
    agents = me.WeaklyCoupledMDP([small, small, large], [r, r, big], discount=0.9, budget=1)
    found = me.entanglement(counted.under(me.IndexPolicy([[1, 0, 0], [4, 3, 2]]))).per_agent
    truth = me.entanglement(agents.under(me.IndexPolicy([[1, 0], [1, 0], [4, 3, 2]]))).per_agent
    np.testing.assert_allclose(found, truth[[0, 2]], atol=1e-12)


def test_the_checker_can_fail() -> None:
    """Negative control of `refuses`: accepted input, another word, another error."""
    with pytest.raises(AssertionError, match="accepted"):
        refuses(chain, ())
    with pytest.raises(AssertionError, match="lacks"):
        refuses(lambda: mdp(discount=1), ("budget",))
    with pytest.raises(ZeroDivisionError):
        refuses(lambda: 1 / 0, ())


def test_kinds_of_errors() -> None:
    assert isinstance(refuses(two_classes().under().__class__.occupancy.func.__get__(two_classes().under()), ()),
                      SeveralRecurrentClasses)  # fmt: skip
    assert isinstance(refuses(API["product"][0], ()), TooLarge)
    assert isinstance(refuses(API["tv-ends"][0], ()), Unsupported)
    assert isinstance(refuses(API["nan"][0], ()), InvalidInput)
    assert issubclass(UserError, ValueError)


OPTIONS_OF_NEAREST = ("mu-atv", "atv", "policy", "tv", "mu-tv", "spectral")


@pytest.mark.parametrize(
    ("word", "remedy"),
    [("mu_atv", "Did you mean 'mu-atv'?"), ("TV", "Did you mean 'tv'?"), ("polcy", "Did you mean 'policy'?"),
     *((far, f"Use one of: {', '.join(OPTIONS_OF_NEAREST)}.") for far in ("banana", "", None, 3))],
)  # fmt: skip
def test_only_what_is_near_is_suggested(word: Any, remedy: str) -> None:
    """Nothing near: all there is, since there is no page to send anybody to."""
    assert nearest(word, OPTIONS_OF_NEAREST) == remedy
    assert nearest(word, (), "Leave it out.") == "Leave it out."


def test_capitals_of_an_option_are_kept() -> None:
    assert nearest("l1", ("L1", "sup")) == "Did you mean 'L1'?"


# --- files and options, through the command line --------------------------------------------------------

CHAIN = """schema = 1
kind = "chain"
discount = 0.9
sizes = [2]
transition = [[0.5, 0.5], [0.5, 0.5]]
rewards = [[0.0, 1.0]]
"""
MDP = """schema = 1
kind = "mdp"
discount = 0.9
n_states = [2]
n_actions = [2]
kernel = [[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.0, 0.0]]]
rewards = [[0.0, 1.0]]
[policy]
kind = "table"
table = [[0.5, 0.5], [1.0, 0.0]]
"""
ARMS = """schema = 1
kind = "weakly-coupled"
discount = 0.9
budget = 1
kernels = [[[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]], [[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]]]
rewards = [[0.0, 1.0], [0.0, 1.0]]
[policy]
kind = "index"
priority = [1, 0]
"""

#: id -> (a good file, what to replace, by what, words of the message).
EDITS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "row-sum": (CHAIN, "[[0.5, 0.5], [0.5", "[[0.5, 0.6], [0.5", ("transition", "1.1", "sum to 1")),
    "nan": (CHAIN, "[[0.5, 0.5]", "[[nan, 0.5]", ("transition", "nan")),
    "inf": (CHAIN, "[[0.5, 0.5]", "[[inf, 0.5]", ("transition", "inf")),
    "negative": (CHAIN, "[[0.5, 0.5]", "[[-0.5, 1.5]", ("transition", "-0.5")),
    "text-in-array": (CHAIN, "[[0.5, 0.5]", '[["x", "y"]', ("transition", "real numbers")),
    "date-in-array": (CHAIN, "[[0.5, 0.5]", "[[1979-05-27, 0.5]", ("transition", "real numbers")),
    "ragged": (CHAIN, "[[0.5, 0.5]", "[[1.0]", ("transition", "ragged")),
    "sizes": (CHAIN, "sizes = [2]", "sizes = [3]", ("transition", "2x2", "3x3")),
    "sizes-bool": (CHAIN, "sizes = [2]", "sizes = [true]", ("sizes[0]", "True")),
    "sizes-missing": (CHAIN, "sizes = [2]\n", "", ("sizes", "required")),
    "transition-missing": (CHAIN, "transition =", "rewards_ =", ("rewards_", "unknown", "'rewards'")),
    "unknown-key": (CHAIN, "sizes", "size", ("size", "unknown key", "'sizes'")),
    "unknown-discount": (CHAIN, "discount", "discont", ("discont", "unknown key", "'discount'")),
    "discount-one": (CHAIN, "0.9", "1.0", ("discount", "1.0", "[0, 1)")),
    "discount-bool": (CHAIN, "0.9", "true", ("discount", "True", "number")),
    "discount-text": (CHAIN, "0.9", '"0.9"', ("discount", "'0.9'")),
    "schema-missing": (CHAIN, "schema = 1\n", "", ("schema", "None", "schema = 1")),
    "schema-two": (CHAIN, "schema = 1", "schema = 2", ("schema", "2", "schema = 1")),
    "schema-bool": (CHAIN, "schema = 1", "schema = true", ("schema", "True")),
    "kind": (CHAIN, '"chain"', '"chian"', ("kind", "'chian'", "'chain'")),
    "kind-missing": (CHAIN, 'kind = "chain"\n', "", ("kind", "None")),
    "bad-toml": (CHAIN, "sizes = [2]", "sizes = [2", ("TOML",)),
    "duplicate-key": (CHAIN, "sizes = [2]", "sizes = [2]\nsizes = [2]", ("TOML",)),
    "rewards-count": (CHAIN, "[[0.0, 1.0]]", "[[0.0, 1.0], [0.0, 1.0]]", ("rewards", "2 entries")),
    "rewards-huge": (CHAIN, "[[0.0, 1.0]]", "[[0.0, 1e999]]", ("rewards", "inf")),
    "agents-key": (CHAIN + "[agents]\nnmes = ['a']", "", "", ("agents.nmes", "'names'")),
    "agents-count": (CHAIN + "[agents]\nnames = ['a', 'b']", "", "", ("agents.names", "2 names")),
    "agents-number": (CHAIN + "[agents]\nnames = 3", "", "", ("agents.names", "3")),
    "arrays-missing-file": (CHAIN, "sizes", 'arrays = "gone.npz"\nsizes', ("arrays", "no file gone.npz")),
    "arrays-number": (CHAIN, "sizes", "arrays = 3\nsizes", ("arrays", "3", "file name")),
    "arrays-text-file": (CHAIN, "sizes", 'arrays = "system.toml"\nsizes', ("arrays", "system.toml")),
    "kernel-shape": (MDP, "n_states = [2]", "n_states = [3]", ("kernel", "2x2x2", "3x2x3")),
    "kernel-missing": (MDP, "kernel =", "#", ("kernel", "required")),
    "n-actions-missing": (MDP, "n_actions = [2]\n", "", ("n_actions", "required")),
    "policy-on-the-impossible": (MDP, "[1.0, 0.0]]", "[0.5, 0.5]]", ("policy", "action (1,)", "state (1,)")),
    "policy-misses-a-state": (MDP, "[1.0, 0.0]]", "[0.0, 0.0]]", ("table", "sum of 0", "empty row")),
    "policy-shape": (MDP, "[[0.5, 0.5], [1.0, 0.0]]\n", "[[0.5, 0.5]]\n", ("policy", "1x2", "2x2")),
    "policy-kind": (MDP, '"table"', '"tabel"', ("policy.kind", "'tabel'", "'table'")),
    "policy-key": (MDP, "table = [[", "tables = [[", ("policy.tables", "unknown", "'table'")),
    "policy-number": (MDP.split("[policy]")[0] + "policy = 3", "", "", ("policy", "3")),
    "policy-empty": (MDP, 'kind = "table"\ntable = [[0.5, 0.5], [1.0, 0.0]]', "", ("policy.kind", "None")),
    "budget-negative": (ARMS, "budget = 1", "budget = -1", ("budget", "-1", "0..2")),
    "budget-bool": (ARMS, "budget = 1", "budget = true", ("budget", "True")),
    "budget-fraction": (ARMS, "budget = 1", "budget = 0.5", ("budget", "0.5", "integer")),
    "kernels-number": (re.sub(r"kernels = .*", "kernels = 3", ARMS), "", "", ("kernels", "3")),
    "priority-number": (ARMS, "priority = [1, 0]", "priority = 3", ("priority", "3")),
    "priority-text": (ARMS, "priority = [1, 0]", 'priority = "high"', ("priority",)),
    "priority-length": (ARMS, "priority = [1, 0]", "priority = [1, 0, 2]", ("priority", "3 entries")),
    "priority-missing": (ARMS, "priority = [1, 0]", "", ("policy.kind", "without priority", "priority = [...] under")),
    "tables-number": (ARMS, 'kind = "index"\npriority = [1, 0]', 'kind = "local"\ntables = 3', ("tables", "3")),
    "no-policy": (ARMS.split("[policy]")[0], "", "", ("policy", "None")),
    "empty-file": ("", "", "", ("schema",)),
    "several-classes": (CHAIN, "[[0.5, 0.5], [0.5, 0.5]]", "[[1, 0], [0, 1]]", ("2 recurrent classes",)),
}  # fmt: skip

#: id -> (arguments, words of the message); SYSTEM is a good chain file, and the folder holds `junk.npz`.
OPTIONS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "missing-file": (["analyze", "gone.toml"], ("gone.toml", "no such file", "init")),
    "folder": (["analyze", "."], ("directory",)),
    "discount": (["analyze", "SYSTEM", "--discount", "1"], ("discount", "1.0", "[0, 1)")),
    "discount-nan": (["analyze", "SYSTEM", "--discount", "nan"], ("discount", "nan")),
    "tolerance-nan": (["analyze", "SYSTEM", "--tolerance", "nan"], ("tolerance", "nan")),
    "tolerance-negative": (["analyze", "SYSTEM", "--tolerance", "-1"], ("tolerance", "-1")),
    "distance": (["analyze", "SYSTEM", "--distance", "mu_atv"], ("distance", "'mu_atv'", "'mu-atv'")),
    "policy-word": (["analyze", "SYSTEM", "--policy", "unifrom"], ("--policy", "'unifrom'", "uniform")),
    "policy-index-text": (["analyze", "SYSTEM", "--policy", "index:a,b"], ("--policy", "a,b", "numbers")),
    "policy-beside-a-chain": (
        ["analyze", "SYSTEM", "--policy", "index:1,2"],
        ("--policy", "chain", "Leave it out"),
    ),
    "policy-no-key": (
        ["analyze", "SYSTEM", "--policy", "local:two.npz"],
        ("--policy", "chain", "Leave it out"),
    ),
    "policy-npz-missing": (["analyze", "SYSTEM", "--policy", "gone.npz"], ("--policy", "gone.npz")),
    "policy-npz-junk": (["analyze", "SYSTEM", "--policy", "junk.npz"], ("--policy", "junk.npz")),
    "policy-npz-pickle": (["analyze", "SYSTEM", "--policy", "pickle.npz"], ("--policy", "pickle.npz")),
    "policy-npz-two": (["analyze", "SYSTEM", "--policy", "two.npz"], ("--policy", "2 arrays", "one array")),
    "policy-module": (["analyze", "SYSTEM", "--policy", "no_such_module:f"], ("--policy", "no_such_module")),
    "policy-attribute": (["analyze", "SYSTEM", "--policy", "json:nope"], ("--policy", "'nope'")),
    "policy-no-module": (["analyze", "SYSTEM", "--policy", ":f"], ("--policy", ":f")),
    "policy-relative": (["analyze", "SYSTEM", "--policy", ".x:f"], ("--policy", ".x:f")),
    "initial-text": (["analyze", "SYSTEM", "--initial", "a"], ("initial", "'a'", "numbers")),
    "initial-length": (["analyze", "SYSTEM", "--initial", "0,1,1"], ("initial", "(3,)")),
    "initial-range": (["check", "SYSTEM", "--initial", "2"], ("initial[0]", "2", "0..1")),
    "gallery-id": (["analyze", "gallery:circulent"], ("circulent", "'circulant'")),
    "gallery-empty": (["check", "gallery:"], ("gallery id", "''")),
    "gallery-policy": (["analyze", "gallery:circulant", "--policy", "indx"], ("--policy", "'indx'")),
    "gallery-show": (["gallery", "show", "partiy"], ("'partiy'", "'parity'")),
    "module": (["analyze", "no_such_module:system"], ("SYSTEM", "no_such_module", "importable")),
    "module-attribute": (["analyze", "json:nope"], ("SYSTEM", "'nope'")),
    "module-not-a-system": (["analyze", "json:decoder"], ("system", "got module", "a system or a chain")),
    "module-empty": (["analyze", ":system"], ("SYSTEM", ":system")),
    "module-broken": (["analyze", "broken_module:system"], ("SYSTEM", "broken_module")),
    "json-folder": (["analyze", "SYSTEM", "--json", "no/where.json"], ("no/where.json", "folder")),
    "html-folder": (["analyze", "SYSTEM", "--html", "no/where.html"], ("no/where.html", "folder")),
    "json-stdout": (["analyze", "SYSTEM", "--json", "-"], ("--json", "'-'", "standard output", "file")),
    "html-stdout": (["analyze", "SYSTEM", "--html", "-"], ("--html", "'-'", "standard output")),
    "report-stdout": (["report", "good.json", "-o", "-"], ("--output", "'-'")),
    "analyze-a-result": (
        ["analyze", "good.json"],
        ("SYSTEM", "good.json", "markov-entanglement report good.json"),
    ),
    "check-a-result": (["check", "good.json"], ("markov-entanglement report good.json",)),
    "init-new-folders": (
        ["init", "sub/new/x.toml"],
        ("FILE", "folder sub/new does not exist", "mkdir -p sub/new"),
    ),
    "gallery-far": (["gallery", "show", "qqqq"], ("'qqqq'", "ids are", "Use one of these.")),
    "json-is-a-folder": (["analyze", "SYSTEM", "--json", "sub"], ("sub", "cannot be written")),
    "init-kind": (["init", "new.toml", "--kind", "mpd"], ("--kind", "'mpd'", "'mdp'")),
    "init-exists": (["init", "SYSTEM"], ("FILE", "exist")),
    "init-nowhere": (["init", "no/where.toml"], ("no/where.toml", "folder")),
    "demo-file": (["demo", "--out", "SYSTEM"], ("--out", "folder")),
    "report-missing": (["report", "gone.json", "-o", "out.html"], ("gone.json",)),
    "report-not-json": (["report", "SYSTEM", "-o", "out.html"], ("JSON",)),
    "report-other-json": (["report", "other.json", "-o", "out.html"], ("other.json",)),
    "report-list": (["report", "list.json", "-o", "out.html"], ("list.json",)),
    "report-nowhere": (["report", "good.json", "-o", "no/out.html"], ("no/out.html", "folder")),
}

#: What the command-line parser refuses by itself.
USAGE = {
    "no-such-command": ["analyse", "x.toml"],
    "no-such-option": ["analyze", "x.toml", "--gama", "0.9"],
    "missing-argument": ["analyze"],
    "missing-output": ["report", "x.json"],
    "discount-text": ["analyze", "x.toml", "--discount", "high"],
    "too-many": ["check", "a.toml", "b.toml"],
}


@pytest.fixture(scope="module")
def good_json(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("good") / "good.json"
    me.analyze(chain(rewards=R2, discount=0.9)).save_json(file)
    return file.read_text()


@pytest.fixture
def desk(folder: Path, good_json: str) -> Path:
    """A folder with a good system and assorted junk."""
    (folder / "system.toml").write_text(CHAIN)
    (folder / "sub").mkdir()
    (folder / "junk.npz").write_bytes(b"PK\x03\x04 not an archive")
    np.savez(folder / "pickle.npz", np.array([{"a": 1}], dtype=object))
    np.savez(folder / "two.npz", np.eye(2), np.eye(2))
    (folder / "broken_module.py").write_text("def f(:\n")
    (folder / "other.json").write_text('{"schema": 7}')
    (folder / "list.json").write_text("[1, 2]")
    (folder / "good.json").write_text(good_json)
    return folder


def told(argv: list[str], folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """Fails unless the command ends with status 2, one message, and the folder as it was."""

    def listing() -> dict[str, bytes | None]:
        return {
            str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
            for p in folder.rglob("*")
            if "__pycache__" not in p.parts
        }

    before = listing()
    capsys.readouterr()
    status = main(argv)
    out = capsys.readouterr()
    assert status == 2, f"status {status}: {out.err or out.out}"
    lines = out.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), out.err
    assert "Traceback" not in out.err + out.out
    assert "wrote" not in out.out
    assert not re.search(r"\w\.\. ", out.err), f"two full stops: {out.err}"
    missing = [w for w in words if w not in out.err]
    assert not missing, f"{out.err!r} lacks {missing}"
    assert listing() == before, "something was written"


@pytest.mark.parametrize("command", ["analyze", "check"])
@pytest.mark.parametrize("name", EDITS)
def test_files(name: str, command: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, old, new, words = EDITS[name]
    assert old in text
    (desk / "system.toml").write_text(text.replace(old, new, 1) if old else text)
    if command == "check" and name == "several-classes":
        assert main(["check", "system.toml"]) == 2  # the checker lists what holds and what does not
        assert "NO  recurrent classes: 2" in capsys.readouterr().out
        return
    outputs = ["--json", "out.json", "--html", "out.html"] if command == "analyze" else []
    told([command, "system.toml", *outputs], desk, capsys, words)


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv, words = OPTIONS[name]
    told([a.replace("SYSTEM", "system.toml") for a in argv], desk, capsys, words)


@pytest.mark.parametrize("name", USAGE)
def test_usage(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(USAGE[name]) == 2
    out = capsys.readouterr()
    assert out.err.count("Error: ") == 1 and "Traceback" not in out.err and not out.out


@pytest.mark.parametrize("text", [CHAIN, MDP, ARMS])
def test_the_unedited_files_are_fine(text: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Negative control of `told`: without the edit the same command succeeds and `told` fails."""
    (desk / "system.toml").write_text(text)
    with pytest.raises(AssertionError, match="status 0"):
        told(["check", "system.toml"], desk, capsys, ())
    with pytest.raises(AssertionError, match="lacks"):
        told(["check", "gone.toml"], desk, capsys, ("another word",))


# --- array files ----------------------------------------------------------------------------------------


def _with_arrays(folder: Path) -> Path:
    """The arrays of a system file, renamed as a user may do."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(64), size=64)
    me.save(folder / "big.toml", me.JointChain(p, (8, 8), rewards=[np.arange(8.0)] * 2, discount=0.9))
    (arrays,) = folder.glob("big-*.npz")
    (folder / "big.toml").write_text((folder / "big.toml").read_text().replace(arrays.name, "big.npz"))
    return arrays.rename(folder / "big.npz")


def _rewritten(path: Path, **changes: Any) -> None:
    with np.load(path) as archive:
        parts = {k: archive[k] for k in archive.files}
    for key, value in changes.items():
        if value is None:
            del parts[key]
        else:
            parts[key] = value
    np.savez(path, **parts)


ARRAYS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "truncated": (lambda f: f.write_bytes(f.read_bytes()[: f.stat().st_size // 2]), ("arrays", "big.npz")),
    "empty": (lambda f: f.write_bytes(b""), ("arrays", "big.npz")),
    "deleted": (lambda f: f.unlink(), ("arrays", "big.npz")),
    "a-npy": (lambda f: f.write_bytes(_npy(np.eye(2))), ("arrays", "big.npz")),
    "pickled": (lambda f: _rewritten(f, transition_data=np.array([None, {}], dtype=object)), ("pickle",)),
    "unknown": (lambda f: _rewritten(f, extra=np.eye(2)), ("extra", "unknown array")),
    "part-missing": (lambda f: _rewritten(f, transition_indptr=None), ("transition", "incomplete")),
    "bad-pointer": (lambda f: _rewritten(f, transition_indptr=np.array([0, 5, 3])), ("transition",)),
    "bad-index": (
        lambda f: _rewritten(f, transition_indices=np.full(4096, 99)),
        ("transition", "64x100", "64x64"),
    ),
    "float-index": (lambda f: _rewritten(f, transition_indices=np.full(4096, 0.5)), ("transition",)),
    "nan": (lambda f: _rewritten(f, transition_data=np.full(4096, np.nan)), ("transition", "nan")),
    "complex": (lambda f: _rewritten(f, transition_data=np.full(4096, 1j)), ("transition", "complex")),
    "text": (lambda f: _rewritten(f, transition_data=np.full(4096, "x")), ("transition",)),
    "rewards-shape": (lambda f: _rewritten(f, rewards_0=np.zeros(5)), ("rewards[0]", "(5,)")),
    "rewards-missing": (lambda f: _rewritten(f, rewards_1=None), ("rewards", "1 entries")),
    "not-an-array": (lambda f: _zip(f, {"transition_data.npy": b"hello"}), ("transition", "big.toml")),
    "other-member": (lambda f: _zip(f, {"readme.txt": b"hello"}), ("readme",)),
}


def _npy(a: np.ndarray) -> bytes:
    import io

    out = io.BytesIO()
    np.save(out, a)
    return out.getvalue()


def _zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, words = ARRAYS[name]
    file = _with_arrays(desk)
    assert me.load(desk / "big.toml")[0].n_agents == 2
    spoil(file)
    told(["analyze", "big.toml", "--json", "out.json"], desk, capsys, words)


def test_flipped_bytes_never_escape(desk: Path) -> None:
    """Whatever byte of an archive is wrong, reading it works or is refused with a message."""
    file = _with_arrays(desk)
    good, rng = file.read_bytes(), np.random.default_rng(0)
    places = np.unique(np.concatenate([np.arange(100), len(good) - 1 - np.arange(400),
                                       rng.integers(0, len(good), 200)]))  # fmt: skip
    refused = 0
    for at in places:
        bad = bytearray(good)
        bad[at] ^= 0xFF
        file.write_bytes(bytes(bad))
        try:
            me.load(desk / "big.toml")
        except UserError:
            refused += 1
    assert refused > len(places) / 2  # negative control: most flips are noticed


@pytest.mark.parametrize("text", [CHAIN, MDP, ARMS], ids=["chain", "mdp", "weakly-coupled"])
def test_any_value_of_any_key(text: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every key with every wrong type: status 0 or 2, never an internal fault."""
    lines, statuses = text.splitlines(), []
    values = ["true", "3", "-1", "0", "[]", "{}", '""', '"x"', "[[]]", "[true]", "[[0.5]]", "1e400", "nan", '[["a"]]',
              "[{}]", "{a = 1}", "1979-05-27", "99999999999999999999999", "[1, [2]]", "[[[[[1.0]]]]]"]  # fmt: skip
    for k, line in enumerate(lines):
        if "=" not in line:
            continue
        for value in values:
            edited_ = [*lines[:k], f"{line.split('=')[0]}= {value}", *lines[k + 1 :]]
            (desk / "system.toml").write_text("\n".join(edited_))
            status = main(["check", "system.toml"])
            out = capsys.readouterr()
            assert status in (0, 2), f"{line.split('=')[0]}= {value}: {out.err}"
            assert status == 0 or "NO " in out.out or out.err.startswith("error: "), out.err
            statuses.append(status)
    assert statuses.count(2) > 0.8 * len(statuses)


def test_nothing_is_left_of_a_failed_save(desk: Path) -> None:
    """The target is a folder: neither the text nor its arrays are left behind."""
    (desk / "big.toml").mkdir()
    before = sorted(p.name for p in desk.iterdir())
    with pytest.raises(InvalidInput, match="path"):
        _with_arrays(desk)
    assert sorted(p.name for p in desk.iterdir()) == before


def test_a_system_file_is_not_an_npz(desk: Path) -> None:
    """`save('x.npz')` would write the text over its own arrays."""
    with pytest.raises(InvalidInput, match="toml"):
        me.save(desk / "x.npz", chain(np.eye(64)[np.arange(64) - 1] * 0.5 + 0.5 / 64, (8, 8)))


def test_internal_words_do_not_leak(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A message speaks of the user's argument, never of a Python internal."""
    for argv, _ in OPTIONS.values():
        main([a.replace("SYSTEM", "system.toml") for a in argv])
        err = capsys.readouterr().err
        for word in ("Traceback", "object at 0x", "NoneType", "csr_array", "internal fault"):
            assert word not in err, err


def test_valid_results_are_still_read(desk: Path) -> None:
    """Negative control of the report cases: the good result renders."""
    assert json.loads((desk / "good.json").read_text())["schema"] == 1
    assert main(["report", "good.json", "-o", "out.html"]) == 0
    assert (desk / "out.html").stat().st_size > 1000


HUGE = [[0.0, 1e300], [1.0, 2.0]]


@pytest.mark.parametrize(
    "make",
    [lambda r: me.WeaklyCoupledMDP([np.full((2, 2, 2), 0.5)] * 2, [r] * 2, discount=0.9, budget=1),
     lambda r: me.RestlessBandit(np.full((2, 2, 2), 0.5), r, n_arms=3, budget=1, discount=0.9),
     lambda r: me.JointChain(np.full((4, 4), 0.25), (2, 2), rewards=np.ravel(r), discount=0.9),
     lambda r: me.WeaklyCoupledMDP([np.full((2, 2, 2), 0.5)] * 2, lambda s, a: float(r[s[0]][a[1]]), discount=0.9)],
)  # fmt: skip
def test_rewards_whose_sums_are_infinite_are_refused(make: Any) -> None:
    """The remedy is followed: all divided by the same number."""
    with pytest.raises(InvalidInput, match=r"1e\+250 in size") as caught:
        make(HUGE)
    assert str(caught.value).endswith("Divide all rewards by the same number.")
    made = make(np.array(HUGE) / 1e300)
    assert np.isfinite(
        me.analyze(made, None if isinstance(made, me.JointChain) else "uniform").decomposition.error()
    )
