"""Random systems whose certificates are held against the exact error, for `test_brackets.py` and the benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import markov_entanglement as me
import oracles_space as o
from brute import NORMS, World, laws, mask
from contract import Source, arms, given, tables

KINDS = ("joint", "counts", "ends")
KS = (1, 3, 16, 64)


def draw(kind: str, rng: np.random.Generator) -> Source:
    """A small random system: dense or sparse, with transient pairs, any discount, rewards of any scale and offset."""
    gamma = float(rng.choice([0.0, 0.5, 0.9, 0.99, 0.999]))
    scale, offset = rng.choice([1e-6, 1.0, 1e6]), rng.choice([0.0, 0.0, 1e3])
    zeros = float(rng.choice([0.0, 0.5]))
    if kind == "counts":
        types, states = int(rng.integers(1, 3)), int(rng.integers(2, 4))
        n_arms = tuple(int(n) for n in rng.integers(1, 3 if types > 1 else 5, size=types))
        rewards = scale * (rng.normal(size=(types, states, 2)) + offset)
        order = rng.integers(0, 3, size=(types, states)).astype(float) if rng.random() < 0.8 else None
        budget = int(rng.integers(0, sum(n_arms) + 1))
        return arms(laws(rng, types, 2, states, states, zeros=zeros), rewards, n_arms, budget, gamma, order)
    sizes = ((2, 2), (3, 2), (2, 2, 2), (3, 3))[rng.integers(4)]
    n, one = int(np.prod(sizes)), (1,) * len(sizes)
    rewards = [scale * (r + offset) for r in tables(rng, sizes, one)]
    p = laws(rng, n, n, zeros=zeros)
    if kind == "joint":
        return given(p, sizes, rewards, gamma)
    over = mask(sizes, lambda s: s[0] == sizes[0] - 1)
    restart = laws(rng, n) * ~over
    return given(p, sizes, rewards, gamma, terminal=over, restart=restart / restart.sum())


@dataclass(frozen=True)
class Tally:
    """How many brackets were looked at, and those that miss the exact error."""

    brackets: int
    misses: tuple[str, ...]


def candidates(s: Source, q: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Values on the library's pairs: local TD, the truth, the truth but for one rounding, noise, and 0."""
    for name, d in (
        ("local TD", np.nan_to_num(s.world.sum_q())),
        ("exact", q),
        ("rounded", q * (1 + 2**-50)),
    ):
        out = np.zeros(len(s.chain.pairs))
        out[s.position] = d
        yield name, out
    size = float(np.abs(q).max())
    yield "noise", size * rng.normal(size=len(s.chain.pairs))
    yield "zero", np.zeros(len(s.chain.pairs))


def hold(kind: str, seed: int) -> Tally:
    """Every bracket of one random system beside the exact error: three norms, four k, five candidates."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    s = draw(kind, rng)
    w, many, misses = s.world, 0, []
    q = exact_values(w)
    for name, d in candidates(s, q, rng):
        c = me.certificate(s.chain, None, None, d, ks=KS)
        err = q - s.lift(d)
        # the truth itself is known to one rounding of Q
        noise = 2**-51 * float(np.abs(q).max() + np.abs(d).max())
        for norm in NORMS:
            truth = o.norm(err, w.mu, norm)
            for k in KS:
                low, high = getattr(c, norm)[k]
                many += 1
                if not (low <= truth + noise and truth - noise <= high):
                    misses.append(f"{kind} {seed} {name} {norm} {k}: {truth} not in [{low}, {high}]")
    return Tally(many, tuple(misses))


def exact_values(w: World) -> np.ndarray:
    """(n,) Q to its last digit: two steps of refinement with residuals in long doubles."""
    a = np.eye(w.n_pairs) - w.discount * w.pc
    x = np.linalg.solve(a, w.reward).astype(np.longdouble)
    long = np.eye(w.n_pairs) - np.longdouble(w.discount) * w.pc.astype(np.longdouble)
    for _ in range(2):
        x = x + np.linalg.solve(a, (w.reward - long @ x).astype(np.float64))
    return x.astype(np.float64)
