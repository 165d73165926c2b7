"""Floor of the error by samples: what the best additive values miss, between two limits, without solving for Q.

`||Q - D||^2 = floor^2 + bias^2` for additive D, `floor = ||Q - Pi_D Q||` in L2(mu). With two independent estimates
`y_1, y_2` of `f = T^k D` at each of n stationary starts, X the agents at each local pair there:

- *upper limit*: any additive `D'` errs by at least the floor, and `E[(y_1 - D')(y_2 - D')]` is its squared error. `D'`
  is fitted on some of the runs and judged on the others, in turn; which fit (the candidate itself, a mixture of given
  tables, so many steps of conjugate gradients on X) is decided on runs that it was not made from, nor is judged on;
- *lower limit*: with H the projection on the columns of X, `E[<(I-H) y_1, (I-H) y_2>] / n` is the mean of the least
  that any additive function misses at these starts, which is at most what the best one misses in the long run.

`Q - f = (gamma P)^k (Q - D)`, so both limits move out by at most `gamma^k ||Q - D - mean||`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, unit_of
from .._interval import t_interval, unmet
from ..markov.chain import one_hot

_FOLDS = 5
#: Steps of conjugate gradients of a fit, and of a projection, at most; numbers that they may read.
_STEPS, _PROJECT, _WORK = 40, 2000, 2e9
#: Numbers of agents at the starts that are kept.
_KEPT = 2**25
#: Cosine between a column and what a projection leaves.
_CONVERGED, _TINY = 1e-9, 1e-300


class Sample(NamedTuple):
    """Two estimates at every start, and the additive functions there."""

    g: Floats  # (B, m, 2) of `T^k D - D`, from B independent runs
    value: Floats  # (B, m) D
    x: sp.csr_array  # (B m, M) agents of each unit at each local pair
    bases: Floats  # (B m, b) additive values that were learned elsewhere
    units: int  # blocks of columns of x that each sum to a constant
    additive: bool  # whether D is


def sampled(
    g: Floats,
    value: Floats,
    pairs: Ints,
    sizes: Sequence[int],
    tables: Sequence[Sequence[Floats]],
    additive: bool,
) -> Sample:
    """The sample of starts at local pairs (B m, N), as many of each run as fit; each of `tables`, (m_i,)
    of every agent, was learned elsewhere."""
    blocks, each = value.shape
    kept = min(each, max(1, _KEPT // (blocks * len(sizes))))
    chosen = pairs.reshape(blocks, each, -1)[:, :kept].reshape(blocks * kept, -1)
    x = one_hot(chosen, sizes)
    bases = np.stack([x @ np.concatenate(t) for t in tables], axis=1)
    bases = bases[:, np.isfinite(bases).all(axis=0)]
    return Sample(g[:, :kept], value[:, :kept], x, bases, len(sizes), additive)


class Floor(NamedTuple):
    """Limits of the floor, with 95 % confidence."""

    low: float
    high: float
    note: str  # why the lower limit is 0 whatever the runs say, or ""


class Columns:
    """X, every column centred on its mean and scaled; columns that never vary are left out."""

    def __init__(self, x: sp.csr_array) -> None:
        self.x, count = x, x.shape[0]
        self.mean = np.asarray(x.sum(axis=0)).reshape(-1, 1) / count
        square = np.asarray(x.power(2).sum(axis=0)).reshape(-1, 1)
        size = np.sqrt(np.maximum(square - count * self.mean**2, 0.0))
        self.scale = np.where(size > 1e-7 * np.sqrt(square), 1.0 / np.where(size > 0, size, 1.0), 0.0)

    def path(self, y: Floats, steps: int) -> Iterator[tuple[Floats, float]]:
        """Conjugate gradients for the least squares fits of the columns of y (rows, c): coefficients of x (M, c) after
        each step, and the cosine of what is left with the columns."""
        r = y - y.mean(axis=0)
        s = self._back(r)
        p, a, size = s, np.zeros_like(s), (s * s).sum(axis=0)
        nothing = 1e-24 * (r * r).sum(axis=0) + _TINY
        for _ in range(steps):
            moved = self.at(p * self.scale, self.x)
            step = size / np.maximum((moved * moved).sum(axis=0), _TINY)
            a, r = a + step * p, r - step * moved
            s = self._back(r)
            size, before = (s * s).sum(axis=0), np.maximum(size, _TINY)
            p = s + size / before * p
            rest = (r * r).sum(axis=0)
            left = math.sqrt(float(np.where(rest > nothing, size / np.maximum(rest, _TINY), 0.0).max()))
            yield a * self.scale, left
            if left < _CONVERGED:  # what follows is rounding
                return

    def _back(self, r: Floats) -> Floats:
        return np.asarray((self.x.T @ r - self.mean * r.sum(axis=0)) * self.scale)

    def at(self, a: Floats, x: sp.csr_array) -> Floats:
        """The additive functions of coefficients `a` (M, c), mean 0 over the rows of X, at rows `x`."""
        return np.asarray(x @ a - (self.mean * a).sum(axis=0))


def _fits(sample: Sample, y: Floats, train: Bools, asked: Bools, steps: int) -> Iterator[Floats]:
    """Additive functions fitted to y (n,) at the starts `train`, at those asked: the candidate, then by conjugate
    gradients from the best mixture of it and the bases on."""
    d = sample.value.ravel()
    given = [np.ones((len(y), 1)), sample.bases, *([d[:, None]] if sample.additive else [])]
    if sample.additive:
        yield d[asked] + (y - d)[train].mean()
    known = np.concatenate(given, axis=1)
    mixed = known @ np.linalg.lstsq(known[train], y[train], rcond=None)[0]
    yield mixed[asked]
    columns, there = Columns(sample.x[train]), sample.x[asked]
    for a, _ in columns.path((y - mixed)[train, None], steps):
        yield mixed[asked] + columns.at(a, there)[:, 0]


def _judged(sample: Sample, y: Floats, steps: int) -> Floats:
    """(B, m) products of what two estimates miss of additive functions that were fitted on other runs."""
    blocks, each = sample.value.shape
    fold = np.repeat(np.arange(blocks) * _FOLDS // blocks, each)
    middle, out = y.mean(axis=1), np.empty(len(y))
    for k in range(_FOLDS):
        test, choose = fold == k, fold == (k + 1) % _FOLDS
        fits = _fits(sample, middle, ~test & ~choose, choose, steps)
        missed = [float(np.prod(y[choose] - f[:, None], axis=1).mean()) for f in fits]
        best = int(np.argmin(missed))
        for n, f in enumerate(_fits(sample, middle, ~test, test, steps)):
            if n <= best:
                out[test] = np.prod(y[test] - f[:, None], axis=1)
            else:
                break
    return out.reshape(blocks, each)


def _left(sample: Sample, y: Floats, steps: int) -> Floats | None:
    """(B, m) products of what the least squares fits of either estimate leave; None where they do not converge."""
    columns = Columns(sample.x)
    found, left = np.zeros((sample.x.shape[1], 2)), 0.0
    for found, left in columns.path(y, steps):  # noqa: B007
        pass
    if left >= _CONVERGED:
        return None
    rest = y - y.mean(axis=0) - columns.at(found, sample.x)
    return np.asarray(rest.prod(axis=1).reshape(sample.value.shape))


def _plain(sample: Sample) -> tuple[Sample, float]:
    """The sample in a unit in which its numbers are near 1, so that their squares are finite; the unit."""
    unit = unit_of(np.append(np.abs(sample.g).max(), np.abs(sample.value).max()))
    return sample._replace(g=sample.g / unit, value=sample.value / unit, bases=sample.bases / unit), unit


def floor_of(sample: Sample, far: float) -> Floor:
    """Limits of the floor; far = gamma^k."""
    plain, unit = _plain(sample)
    found = _floor(plain, far)
    return Floor(unit * found.low, unit * found.high, found.note)


def _floor(sample: Sample, far: float) -> Floor:
    y = (sample.g + sample.value[:, :, None]).reshape(-1, 2)
    rounding = tol.SOLVE * float(np.abs(y).max())
    y = y - y.mean()
    beyond = far / (1.0 - far) * _upper(centred(sample.g)) + rounding
    numbers = float(sample.x.nnz)
    high = _upper(_judged(sample, y, int(np.clip(_WORK / (8 * _FOLDS * numbers), 2, _STEPS)))) + beyond
    met = int(np.count_nonzero(Columns(sample.x).mean)) - sample.units + 1
    if met >= len(y):
        return Floor(
            0.0, high, f"a lower limit of the floor needs more starts than the {met:,} local pairs met"
        )
    products = _left(sample, y, int(min(_WORK / numbers, _PROJECT)))
    if products is None:
        return Floor(0.0, high, f"a lower limit of the floor takes too long for {met:,} local pairs")
    mean, _, half = t_interval(products.mean(axis=1))
    square = float(mean - half / (1.0 - met / len(y)))
    low = math.sqrt(max(square, 0.0)) - beyond
    return Floor(max(min(low, high), 0.0), max(low, high), "")


def given_state(pair: Floats, mixed: Floats, g: Floats, far: float) -> Floor:
    """Limits of what the best sums of functions `f_i(state, a_i)` miss, whatever they read, where agents choose by
    themselves in each state.

    pair : (B, m, 2) two estimates of f at a start; mixed : (B, m, N + 1) one of f in the same state with other actions,
    drawn anew: of all agents but i at i, of all at N. What no agent does alone is the variance in the state without
    the parts of each: `E[y_1 y_2] - sum_i E[y mixed_i] + (N - 1) E[y mixed_N]`. g : as in `Sample`.
    """
    unit = unit_of(np.array([np.abs(x).max() for x in (pair, mixed, g)]))
    pair, mixed, g = pair / unit, mixed / unit, g / unit
    alone = mixed[..., :-1].sum(axis=2) - (mixed.shape[2] - 2) * mixed[..., -1]
    products = pair.prod(axis=2) - pair.mean(axis=2) * alone
    rounding = tol.SOLVE * float(max(np.abs(pair).max(), np.abs(mixed).max()))
    beyond = far / (1.0 - far) * _upper(centred(g)) + rounding
    mean, _, half = t_interval(products.mean(axis=1))
    low, high = math.sqrt(max(float(mean - half), 0.0)) - beyond, _upper(products) + beyond
    return Floor(unit * max(min(low, high), 0.0), unit * max(low, high), "")


def centred(g: Floats) -> Floats:
    """(B, m) products of two estimates about the mean over the other runs."""
    means = g.mean(axis=(1, 2))
    others = (means.sum() - means) / (len(g) - 1)
    return np.asarray(np.prod(g - others[:, None, None], axis=2))


def _upper(products: Floats) -> float:
    """Upper limit of the root of their mean."""
    mean, _, half = t_interval(products.mean(axis=1))
    return math.sqrt(max(float(mean), 0.0) + float(half) + unmet(products))


def excess_of(sample: Sample, far: float) -> tuple[float, float]:
    """Limits of `||Pi_D Q - D||`, what an additive D of these columns adds, from the fit of `T^k D - D` at the starts;
    error and floor need not be told apart for it. far = gamma^k; infinite where columns are too many to tell."""
    sample, unit = _plain(sample)
    g = sample.g.reshape(-1, 2)
    columns, numbers = Columns(sample.x), float(sample.x.nnz)
    met = int(np.count_nonzero(columns.mean)) - sample.units + 1
    found, left = np.zeros((sample.x.shape[1], 2)), math.inf
    if met < len(g):
        for found, left in columns.path(g, int(min(_WORK / numbers, _PROJECT))):  # noqa: B007
            pass
    if left >= _CONVERGED:
        return 0.0, math.inf
    fitted = g.mean(axis=0) + columns.at(found, sample.x)
    products = fitted.prod(axis=1).reshape(sample.value.shape)
    # what is not additive is fitted too, by as much as there are columns
    spare = met / (len(g) - met) * max(float(((g - fitted).prod(axis=1)).mean()), 0.0)
    mean, _, half = t_interval(products.mean(axis=1))
    rounding = tol.SOLVE * float(np.abs(sample.g).max() + np.abs(sample.value).max())
    beyond = far / (1.0 - far) * _upper(sample.g.prod(axis=2)) + rounding
    high = _upper(products) + beyond
    low = min(max(math.sqrt(max(float(mean - half) - spare, 0.0)) - beyond, 0.0), high)
    return unit * low, unit * high


def bias_of(error: tuple[float, float], floor: Floor, noise: float | None) -> tuple[float, float]:
    """Limits of `sqrt(error^2 - floor^2 - noise^2)`; the noise is known within a factor of two."""
    known = [x for x in (*error, floor.high) if math.isfinite(x)]
    unit = unit_of(np.array(known))
    low = (error[0] / unit) ** 2 - (floor.high / unit) ** 2 - (2.0 * (noise or 0.0) / unit) ** 2
    high = (error[1] / unit) ** 2 - (floor.low / unit) ** 2
    return unit * math.sqrt(max(low, 0.0)), unit * math.sqrt(max(high, 0.0))
