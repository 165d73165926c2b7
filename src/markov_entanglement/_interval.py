"""Confidence intervals: of independent samples, of functions of block means, and of events never met."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import stdtrit

from ._check import Floats, unit_of


def t_interval(samples: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, standard error and half width of the 95 % t-interval of independent samples (R, ...)."""
    r = len(samples)
    stderr = samples.std(axis=0, ddof=1) / math.sqrt(r)
    return samples.mean(axis=0), stderr, stdtrit(r - 1, 0.975) * stderr


def jackknife(moments: Floats, f: Callable[[Floats], float]) -> tuple[float, float]:
    """A function of block means (B, ...) and the half width of its 95 % interval, by leaving blocks out.

    `f` must not clip: a clip shrinks the width that it is to measure.
    """
    blocks = len(moments)
    without = np.array([f(m) for m in (moments.sum(axis=0) - moments) / (blocks - 1)])
    if np.isposinf(without).all():
        return math.inf, 0.0
    if not np.isfinite(without).all():
        return math.inf, math.nan
    _, stderr, half = t_interval(without)
    scale = (blocks - 1) if stderr > 0 else 1.0
    return float(f(moments.mean(axis=0))), float(half * scale)


def batch_means(f: Floats, count: int) -> Floats:
    """(count, ...) means of equal batches; the remainder joins the last ones."""
    edges = np.linspace(0, len(f), count + 1).astype(np.int64)
    width = np.diff(edges).reshape(-1, *[1] * (f.ndim - 1))
    return np.asarray(np.add.reduceat(f, edges[:-1], axis=0) / width)


def alone(means: Floats, share: float) -> Floats:
    """Batch means (B, ...) of one run, spread as far as those of independent runs; share: steps per independent one
    over the steps of a batch. Batches that follow each other vary less by themselves."""
    centre = means.mean(axis=0)
    return np.asarray(centre + (means - centre) / math.sqrt(max(1.0 - 0.5 * share, 0.25)))


def successive(means: Floats) -> float:
    """Correlation of successive batch means; 0 if they do not vary."""
    d = means - means.mean()
    spread = float(d @ d)
    return float(d[1:] @ d[:-1]) / spread if spread > 0 else 0.0


def inefficiency(means: Floats, variances: Floats, length: float) -> float:
    """Steps per independent one in the slowest column, from K stretches of `length` steps: means, variances (K, C).

    It cannot exceed `length` by much: a value near it says that the stretches are too short to tell.
    """
    between = means.var(axis=0)
    whole = between + variances.mean(axis=0)
    return float((length * between[whole > 0] / whole[whole > 0]).max(initial=1.0))


def unmet(terms: Floats) -> float:
    """What events rarer than those met may add to the mean of n terms; 0 where at least 100 carry the sum.

    All events of chance above 3/n are met with 95 %, so one three times the largest term adds up to 10 of it over n.
    """
    size = np.abs(terms)
    few = size.sum() ** 2 < 100.0 * (size**2).sum()
    return 10.0 * float(size.max()) / size.size if few else 0.0


def hidden(removed: Floats) -> float:
    """What events never met may move the mean of n rollouts by, from the noise (n,) that a control variate took out.

    All events of chance above 3/n are met with 95 %; where the control variate is wrong, one may be as large as three
    standard deviations of what it takes out elsewhere. Without it that noise is in the interval itself.
    """
    unit = unit_of(removed)  # squares stay finite
    return 9.0 * unit * float((removed / unit).std()) / removed.size
