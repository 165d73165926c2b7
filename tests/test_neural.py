"""Networks: limits as numbers, equal bytes, refusals that help, and the example's VDN certified; needs torch.

What stands below the last line needs none, and runs everywhere.
"""

from __future__ import annotations

import builtins
import doctest
import importlib
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, MissingDependency
from markov_entanglement.learning.networks import one_thread, torch_of
from test_learning import chunks, random_run

ROOT = Path(__file__).parents[1]
needs_torch = pytest.mark.torch


def made() -> tuple[Any, Any, np.ndarray]:
    """A random chain of 2 x 3 local pairs with rewards of each agent, a run of it, and its joint pairs."""
    rng = np.random.default_rng(11)
    chain = me.JointChain(
        rng.dirichlet(np.ones(6), 6), (2, 3), rewards=[rng.normal(size=2), rng.normal(size=3)], discount=0.9
    )
    path = me.simulate(chain, None, 5000, rng=1)
    return chain, path, path.states[:-1]


def said(values: Any) -> float:
    """The largest mean TD error that an estimator tells."""
    return float(values.estimator.rsplit(" ", 1)[1])


# --- limits ----------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
def test_networks_of_single_agents_are_as_near_to_tables_as_their_td_errors_say(hidden: Any) -> None:
    """`max |f - q| <= max |T f - f| / (1 - gamma)` for Eq. 2 of the same steps; one-hot networks reach it."""
    _, path, _ = made()
    found, q = me.Neural(hidden, rng=0).fit(path), me.LSTD().fit(path)
    far = max(float(np.abs(a - b).max()) for a, b in zip(found.local_q, q.local_q, strict=True))
    assert far <= 1.06 * said(found) / 0.1 < 1e-4  # two digits are told
    stopped = me.Neural(hidden, iterations=60, rng=0).fit(path)
    far = max(float(np.abs(a - b).max()) for a, b in zip(stopped.local_q, q.local_q, strict=True))
    assert 1e-4 < far <= 1.06 * said(stopped) / 0.1


@needs_torch
def test_mean_td_errors_by_loops() -> None:
    pairs, rewards, ended = random_run(1, steps=500)
    for joint in (False, True):
        found = me.Neural((4,), joint=joint, iterations=5, rng=0).fit(
            chunks(pairs, rewards, 99, ended), 0.8, sizes=[4] * 3
        )
        sums, visits = np.zeros((3, 4)), np.zeros((3, 4))
        q = np.stack(found.local_q)
        for t in range(500):
            here = pairs[t] >= 0
            if joint and not (ended[t] or (pairs[t + 1] >= 0).any()):
                continue

            now, then = (sum(q[i, x[i]] for i in range(3) if x[i] >= 0) for x in pairs[t : t + 2])
            error = rewards[t].sum() + (0 if ended[t] else 0.8 * then) - now
            for i in np.flatnonzero(here):
                if not joint:
                    if pairs[t + 1, i] < 0 and not ended[t]:
                        continue
                    ahead = 0 if ended[t] else 0.8 * q[i, pairs[t + 1, i]]
                    error = rewards[t, i] + ahead - q[i, pairs[t, i]]
                sums[i, pairs[t, i]] += error
                visits[i, pairs[t, i]] += 1
        assert said(found) == pytest.approx(np.abs(sums / visits).max(), rel=0.06)
        assert found.visits[1].tolist() == visits[1].astype(int).tolist()


@needs_torch
@pytest.mark.parametrize("hidden", [(), (16,)])
def test_joint_networks_reach_joint_values(hidden: Any) -> None:
    """VDN on the sum: as JointLSTD on the same steps, and near `additive_values` as these are long."""
    chain, path, pairs = made()
    found, least = me.Neural(hidden, joint=True, rng=0).fit(path), me.JointLSTD().fit(path)
    assert np.sqrt(((found(pairs) - least(pairs)) ** 2).mean()) < 1e-4
    exact = me.additive_values(chain.under())
    mu, spread = exact.chain.occupancy, float(np.std(exact.sum_q))
    assert np.sqrt(mu @ (found(exact.chain.pairs) - exact.sum_q) ** 2) < 0.3 * spread
    assert "about joint additive values (me.additive_values), without guarantee" in found.estimator


@needs_torch
def test_linear_networks_on_features_are_linear_least_squares() -> None:
    """With a constant among the features; pairs that were never left have values by theirs."""
    pairs, rewards, _ = random_run(3)
    pairs[pairs == 3] = 2
    features = [np.column_stack([np.ones(4), np.arange(4.0)])] * 3
    run = lambda: chunks(pairs, rewards, 500)  # noqa: E731
    found = me.Neural((), features=features, iterations=1000, rng=0).fit(run(), 0.8, sizes=[4] * 3)
    linear = me.LinearLSTD(features).fit(run(), 0.8, sizes=[4] * 3)
    for i in range(3):
        assert found.q(i) == pytest.approx(linear.q(i), abs=1e-6) and np.isfinite(found.q(i)).all()
    one_hot = me.Neural((), rng=0).fit(run(), 0.8, sizes=[4] * 3)
    assert np.isnan(one_hot.q(0)).tolist() == [False, False, False, True]


@needs_torch
def test_shared_networks_ends_and_constant_rewards() -> None:
    pairs, rewards, ended = random_run(2)
    run = lambda: chunks(pairs, rewards, 500, ended)  # noqa: E731
    found = me.Neural((8,), pool=["a", "b", "a"], rng=0).fit(run(), 0.9, sizes=[4] * 3)
    least = me.LSTD(pool=["a", "b", "a"]).fit(run(), 0.9, sizes=[4] * 3)
    assert found.q(0) is found.q(2) and found.learner.startswith("2 networks")
    for a, b in zip(found.local, least.local, strict=True):
        assert a == pytest.approx(b, abs=1e-4)
    still = me.Neural((8,), rng=0).fit(chunks(pairs, np.full_like(rewards, 3.0), 500), 0.9, sizes=[4] * 3)
    assert " 0 iterations" in still.estimator
    assert np.concatenate(still.local_q) == pytest.approx(30.0, abs=1e-9)  # 3 / (1 - .9)


@needs_torch
def test_counts_of_arms_teach_networks() -> None:
    entry = me.gallery.build("circulant-bandit", n_arms=30)
    path = me.simulate(entry.system, entry.policy, 3000, rng=0)
    seen = me.LSTD().fit(path).visits[0] > 0
    each, least = me.Neural((8,), rng=0).fit(path), me.LSTD().fit(path)
    assert each.q(0)[seen] == pytest.approx(least.q(0)[seen], abs=1e-4) and each.many is not None
    both, joint = me.Neural((8,), joint=True, rng=0).fit(path), me.JointLSTD().fit(path)
    x = np.stack([path.counts[:-1] - path.served, path.served], axis=-1).reshape(len(path.served), 1, -1)
    assert both(x).std() == pytest.approx(joint(x).std(), rel=0.02)
    assert np.sqrt(((both(x) - joint(x)) ** 2).mean()) < 0.05 * joint(x).std()


# --- bytes -----------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("joint", [False, True])
def test_equal_bytes_for_any_chunks_threads_and_runs(joint: bool) -> None:
    import torch

    pairs, rewards, ended = random_run()

    def bytes_of(size: int, seed: Any = 5) -> list[bytes]:
        learner = me.Neural((8,), joint=joint, iterations=40, rng=seed)
        found = learner.fit(chunks(pairs, rewards, size, ended), 0.9, sizes=[(2, 2)] * 3)
        return [q.tobytes() for q in found.local_q]

    first = bytes_of(1)
    assert first == bytes_of(7) == bytes_of(3000) != bytes_of(3000, 6)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before % 2 + 1)
        assert bytes_of(1000) == first and torch.get_num_threads() == before % 2 + 1
    finally:
        torch.set_num_threads(before)
    with torch.no_grad():
        assert bytes_of(1000) == first
    assert bytes_of(50, np.random.default_rng(5)) == first
    learner = me.Neural((8,), joint=joint, iterations=40, rng=5)
    fits = [learner.fit(chunks(pairs, rewards, 60), 0.9, sizes=[4] * 3).q(0).tobytes() for _ in range(2)]
    assert fits[0] == fits[1]  # a learner may be used twice
    runs = [c for run in (1, 0) for c in chunks(*random_run(run)[:2], 500, None, run)]
    merged = learner.fit(runs, 0.9, sizes=[4] * 3)
    mixed = [c for both in zip(runs[:6], runs[6:], strict=True) for c in both]
    again = learner.fit(mixed, 0.9, sizes=[4] * 3)
    assert merged.q(0).tobytes() == again.q(0).tobytes() and merged.steps > 5000


# --- refusals --------------------------------------------------------------------------------------------


@needs_torch
def test_divergence_is_named_with_its_iteration_and_the_remedies_work() -> None:
    pairs, rewards, _ = random_run()
    for joint, other in ((False, me.LSTD()), (True, me.JointLSTD())):
        with pytest.raises(
            InvalidInput, match=r"left all bounds at iteration \d+ with step 1e\+06"
        ) as refused:
            me.Neural((8, 8), joint=joint, step=1e6, rng=0).fit(
                chunks(pairs, rewards, 100), 0.9, sizes=[4] * 3
            )
        assert "Take the default, 0.03" in refused.value.remedy and repr(other)[:4] in refused.value.remedy
        me.Neural((8, 8), joint=joint, iterations=20, rng=0).fit(
            chunks(pairs, rewards, 100), 0.9, sizes=[4] * 3
        )
        other.fit(chunks(pairs, rewards, 100), 0.9, sizes=[4] * 3)


@needs_torch
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"hidden": 32}, "widths of hidden layers"),
        ({"hidden": {1, 2}}, "widths of hidden layers"),
        ({"hidden": (0,)}, r"hidden\[0\]"),
        ({"hidden": (2.5,)}, r"hidden\[0\]"),
        ({"iterations": 0}, "iterations"),
        ({"step": 0.0}, "a step is > 0"),
        ({"step": "x"}, "step"),
        ({"joint": 2}, "True or False"),
        ({"features": 3}, "features"),
        ({"device": "nowhere"}, "Leave it out: 'cpu'"),
        ({"device": "meta"}, "Leave it out: 'cpu'"),
        ({"device": 1.5}, "Leave it out: 'cpu'"),
        ({"rng": None}, "a seed, an int >= 0"),
    ],
    ids=repr,
)
def test_mistakes(given: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        me.Neural(**{"rng": 0} | given)


@needs_torch
def test_features_that_do_not_fit() -> None:
    pairs, rewards, _ = random_run()
    with pytest.raises(InvalidInput, match=r"features\[0\]"):
        me.Neural(features=[np.eye(3)] * 3, rng=0).fit(chunks(pairs, rewards, 100), 0.9, sizes=[4] * 3)


# --- command, pages, example -----------------------------------------------------------------------------


@needs_torch
def test_the_command_learns_a_network(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from markov_entanglement.cli.app import main

    file = tmp_path / "l.json"
    assert (
        main(["learn", "gallery:appendix-e", "--learner", "neural", "--steps", "2000", "--json", str(file)])
        == 0
    )
    assert "2 networks (hidden layers 32" in capsys.readouterr().out
    subject = me.gallery.build("appendix-e")
    same = me.learn(me.Neural(rng=0), subject.system, subject.policy, steps=2000, rng=0)
    assert f'"estimator": "{same.estimator}"' in file.read_text()


@needs_torch
def test_examples_in_docstring_and_page_run() -> None:
    module = importlib.import_module("markov_entanglement.learning.neural")
    text = (module.Neural.__doc__ or "").replace("# doctest: +SKIP", "")
    page = (ROOT / "docs" / "learning.md").read_text().replace("# doctest: +SKIP", "")
    section = re.search(r"\n## Networks\n.*?(?=\n## )", page, re.S)
    assert section is not None
    for name, part in (("Neural", text), ("page", section[0].replace("```", ""))):
        known = {"np": np, "me": me, "entry": me.gallery.build("appendix-e")}
        test = doctest.DocTestParser().get_doctest(part, known, name, None, 0)
        assert len(test.examples) > 3 and doctest.DocTestRunner(verbose=False).run(test).failed == 0


@needs_torch
def test_the_vdn_of_the_example_is_certified() -> None:
    """Trained in under two minutes; Q of its policy by hand, task by task; the bracket contains the exact error."""
    example = runpy.run_path(str(ROOT / "examples" / "vdn_two_step.py"), run_name="example")
    begin = time.perf_counter()
    with one_thread(torch_of("cpu")):
        net = example["train"]()
    assert time.perf_counter() - begin < 120
    assert 200 <= sum(w.numel() for w in net.parameters()) < 1000
    local = example["tables"](net)
    best = [q.argmax(axis=1) for q in local]
    assert best[0][0] == 0  # it takes 2A, where both are paid 7, as VDN does
    law = [0.9 * np.eye(2)[b] + 0.05 for b in best]  # (states, actions)
    square = 0.0
    pay = {1: np.full((2, 2), 7.0), 2: np.array([[0.0, 1.0], [1.0, 8.0]])}
    both = {s: np.outer(law[0][s], law[1][s]) for s in range(3)}
    ahead = np.array([(both[1] * pay[1]).sum(), (both[2] * pay[2]).sum()])
    q = {0: 0.99 * np.repeat(ahead[:, None], 2, axis=1), **pay}
    share = {0: 0.5, 1: 0.5 * law[0][0, 0], 2: 0.5 * law[0][0, 1]}  # half of all steps are first ones
    for s in range(3):
        d = np.add.outer(local[0][s], local[1][s])
        square += share[s] * (both[s] * (q[s] - d) ** 2).sum()
    exact = np.sqrt(square)
    system, policy = example["game"](), example["act"](net)
    chain = system.under(policy)
    assert me.error_budget(chain, candidate=[t.ravel() for t in local]).error == pytest.approx(
        exact, rel=1e-9
    )
    found = me.certify(net, system, policy, steps=(4, 1000), starts=20_000, rng=0)
    assert found.l2[1000][0] <= exact <= found.l2[1000][1] < 1.2 * exact
    assert found.l2[4][0] <= exact <= found.l2[4][1] and not found.caution
    simulator = me.Simulator(example["play"], (4, 4), (2, 2), start=(0, 0), discount=0.99)
    found = me.certify(net, simulator, policy, steps=(1000,), starts=20_000, rng=0)
    assert found.l2[1000][0] <= exact <= found.l2[1000][1] < 1.2 * exact and not found.caution


# --- without torch ---------------------------------------------------------------------------------------


def test_without_torch_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    real = builtins.__import__

    def none(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "torch":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(MissingDependency, match=r"Run: pip install torch$"):
        me.Neural(rng=0)
    from markov_entanglement.cli.app import main

    assert main(["learn", "gallery:circulant", "--learner", "neural", "--steps", "300"]) == 2
    assert "Run: pip install torch" in capsys.readouterr().err


def test_nothing_imports_torch_before_it_is_asked_for() -> None:
    code = "import sys, markov_entanglement as me; me.Neural; me.LSTD(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
