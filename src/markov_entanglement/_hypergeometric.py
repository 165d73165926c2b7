"""Exact hypergeometric draws at any size, for compiled kernels.

`H ~ Hypergeometric(good, bad, sample)`: how many of `sample` items drawn without replacement are good.
Small samples are drawn one by one; large ones by Stadlober's ratio of uniforms (HRUA, 1990), the method of
numpy, which stops at 10^9 items because it subtracts logarithms of factorials. Here the probability is
taken relative to the mode, where those logarithms cancel before they are rounded,

    log f(k)/f(m) = -sum over the four cells of [log (a + d)! - log a!],   d = +-(k - m),

with `log (a+d)!/a! - d log(a+1)` by Stirling's series in `log1p(d/(a+1))`: its error stays below 1e-9 up to 2^52 items.
"""

from __future__ import annotations

import math

from ._compiled import compiled

# Ratio of uniforms: half width of the hat is D1 * (standard deviation + shift) + D2 (Stadlober 1990).
_D1 = 2.0 * math.sqrt(2.0 / math.e)
_D2 = 3.0 - 2.0 * math.sqrt(3.0 / math.e)
_ONE_BY_ONE = 12
_STIRLING = 10.0


@compiled
def _rise(x, d):  # type: ignore[no-untyped-def]
    """`log Gamma(x + d) - log Gamma(x) - d log x`, x >= 1, x + d >= 1."""
    y = x + d
    if x < _STIRLING or y < _STIRLING:
        return math.lgamma(y) - math.lgamma(x) - d * math.log(x)
    x2, y2 = x * x, y * y
    tail = (1.0 - (1.0 - 2.0 / (7.0 * y2)) / (30.0 * y2)) / (12.0 * y)
    tail -= (1.0 - (1.0 - 2.0 / (7.0 * x2)) / (30.0 * x2)) / (12.0 * x)
    return (y - 0.5) * math.log1p(d / x) - d + tail


@compiled
def _ratio_of_uniforms(rng, few, many, sample):  # type: ignore[no-untyped-def]
    """Hypergeometric(few, many, sample) with few <= many and 2 sample <= few + many."""
    total = float(few + many)
    p = few / total
    mean = sample * p + 0.5
    sd = math.sqrt((total - sample) * sample * p * (1.0 - p) / (total - 1.0) + 0.5)
    width = _D1 * sd + _D2
    mode = math.floor((sample + 1.0) * (few + 1.0) / (total + 2.0))
    # The cells of the 2 x 2 table at the mode, each plus 1; `tilt` is the sum of their d log(a+1) per d.
    a, b, c, e = mode + 1.0, few - mode + 1.0, sample - mode + 1.0, many - sample + mode + 1.0
    tilt = math.log((a / b) * (e / c))
    top = min(min(float(sample), float(few)) + 1.0, math.floor(mean + 16.0 * sd))
    while True:
        u = 1.0 - rng.random()
        w = mean + width * (rng.random() - 0.5) / u
        if w < 0.0 or w >= top:
            continue
        k = math.floor(w)
        d = k - mode
        log_f = -(d * tilt + _rise(a, d) + _rise(b, -d) + _rise(c, -d) + _rise(e, d))
        if u * (4.0 - u) - 3.0 <= log_f:
            return int(k)
        if u * (u - log_f) < 1.0 and 2.0 * math.log(u) <= log_f:
            return int(k)


@compiled
def hypergeometric(rng, good, bad, sample):  # type: ignore[no-untyped-def]
    """Number of good items among `sample` drawn without replacement from `good + bad`; int64, exact."""
    total = good + bad
    if sample == 0 or good == 0:
        return 0
    if bad == 0 or sample == total:
        return sample if bad == 0 else good
    few, many = min(good, bad), max(good, bad)
    draw = min(sample, total - sample)
    # Draws and marks play the same part: swap so that the loop is over the smaller number.
    if min(few, draw) <= _ONE_BY_ONE:
        runs, marked = (draw, few) if draw <= few else (few, draw)
        left, got = total, 0
        for _ in range(runs):
            if rng.random() * left < marked - got:
                got += 1
            left -= 1
    else:
        got = _ratio_of_uniforms(rng, few, many, draw)
    if good > bad:
        got = draw - got
    return got if draw == sample else good - got
