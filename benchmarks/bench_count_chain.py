"""The exact count chain of the circulant bandit: time, memory and agreement with the explicit matrix.

    python benchmarks/bench_count_chain.py [--arms 20 30 50 100] [--types 8 10] [--budget 3]

Part 0 analyses that many different arms of three states, as a bandit with a type for each and as a weakly coupled
system, in the same process (ratio of processor seconds first). Part 1 compares the matrix-free operator with the
explicit sparse matrix in the same process (ratios first, medians of five). Part 2 runs the whole analysis at each
number of arms: occupancy, both entanglements, local and corrected errors at two discounts.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import markov_entanglement as me
from markov_entanglement.bandits.count_chain import CountChain, count_chain
from markov_entanglement.model.bandit import RestlessBandit
from markov_entanglement.model.policy import IndexPolicy

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])


def circulant(n: int) -> CountChain:
    bandit = RestlessBandit([P0, P0.T], [-1, 0, 0, 1], n_arms=n, budget=n // 5, discount=0.5)
    return count_chain(bandit, IndexPolicy([1, 2, 3, 0]))


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    out = call()
    return time.perf_counter() - start, out


def median(apply: Callable[[Any], Any], f: Any) -> float:
    return statistics.median(timed(lambda: apply(f))[0] for _ in range(5))


def against_the_matrix(arms: list[int]) -> None:
    print(
        "arms  states    nonzeros  build ratio  apply ratio  build matrix-free  apply matrix-free  max difference"
    )
    for n in arms:
        free, chain = timed(lambda n=n: circulant(n))
        built, matrix = timed(lambda chain=chain: chain.transition)
        f = np.random.default_rng(0).normal(size=chain.n_counts)

        def apply(f: Any, chain: CountChain = chain) -> Any:
            return chain.choice @ chain.operator.expect(f)

        gap = float(np.abs(apply(f) - matrix @ f).max())
        step, dense = median(apply, f), median(matrix.dot, f)
        print(f"{n:4d}  {chain.n_counts:6d}  {matrix.nnz:10d}  {built / free:10.1f}x  {dense / step:10.1f}x  "
              f"{1e3 * free:14.1f} ms  {1e3 * step:14.2f} ms  {gap:14.1e}")  # fmt: skip


def whole_analysis(arms: list[int]) -> None:
    print("\narms  states  seconds: build     mu  policy  mu-atv  values(.5)  values(.9)   total   peak GB")
    for n in arms:
        spent = []
        seconds, chain = timed(lambda n=n: circulant(n))
        spent.append(seconds)
        questions = (
            lambda c: c.count_occupancy,
            lambda c: c.policy_entanglement.per_agent[0],
            lambda c: c.mu_atv.per_agent[0],
            lambda c: (c.local_values(0.5).error(), c.corrected_values(0.5).error()),
            lambda c: (c.local_values(0.9).error(), c.corrected_values(0.9).error()),
        )
        answers = []
        for ask in questions:
            seconds, answer = timed(lambda ask=ask, chain=chain: ask(chain))
            spent.append(seconds)
            answers.append(answer)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        build, mu, policy, exact, low, high = spent
        print(f"{n:4d}  {chain.n_counts:6d}  {build:14.2f} {mu:6.2f} {policy:7.2f} {exact:7.2f} {low:11.2f} "
              f"{high:11.2f} {sum(spent):7.2f} {peak:9.2f}")  # fmt: skip
        print(f"      E policy {answers[1]:.7f}  E mu-atv {answers[2]:.7f}  local TD {answers[3][0]:.7f} "
              f"({answers[4][0]:.7f})  corrected {answers[3][1]:.7f} ({answers[4][1]:.7f})")  # fmt: skip


def different_arms(types: list[int], budget: int) -> None:
    print(
        "different arms  states  ratio  counts: wall  processor s  joint chain: wall  processor s  max difference"
    )
    for n in types:
        rng = np.random.default_rng(5)
        kernels, rewards = rng.dirichlet(np.ones(3), size=(n, 2, 3)), rng.normal(size=(n, 3, 2))
        policy = IndexPolicy([*rng.permutation(3 * n).reshape(n, 3).astype(float)])
        bandit = RestlessBandit(kernels, rewards, n_arms=[1] * n, budget=budget, discount=0.9)
        system = me.WeaklyCoupledMDP([*kernels], [*rewards], budget=budget, discount=0.9)
        spent, found = [], []
        for subject in (bandit, system):
            begun = time.process_time()
            wall, answer = timed(partial(me.analyze, subject, policy, method="exact"))
            spent.append((wall, time.process_time() - begun))
            found.append([e.per_agent for e in answer.entanglements.values() if hasattr(e, "per_agent")])
        gap = float(np.abs(np.array(found[0]) - np.array(found[1])).max())
        (a, b), (c, d) = spent
        print(f"{n:14d}  {3**n:6d}  {d / b:5.2f}  {a:12.1f}  {b:11.1f}  {c:17.1f}  {d:11.1f}  {gap:14.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arms", type=int, nargs="*", default=[20, 30, 50, 100])
    parser.add_argument("--types", type=int, nargs="*", default=[8, 10])
    parser.add_argument("--budget", type=int, default=3)
    given = parser.parse_args()
    different_arms([4, *given.types], given.budget)  # the first one compiles
    _ = circulant(5).mu_atv  # compile
    against_the_matrix([n for n in given.arms if n <= 30])
    whole_analysis(given.arms)


if __name__ == "__main__":
    main()
