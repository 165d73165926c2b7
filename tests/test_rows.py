"""Rows: merged, put together and taken apart; a source of many units is measured in blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.laws.rows import Rows
from markov_entanglement.laws.source import Source, Unit
from markov_entanglement.measures.local_fit import fit_mean, fit_worst
from markov_entanglement.measures.spectral import spectral_fit, spectral_fits

PER_ROW = ("key", "weight", "law", "recurrent")


def random_rows(rng, rows=12, keys=3, width=4):
    weight = rng.dirichlet(np.ones(rows))
    return Rows(rng.integers(0, keys, rows), weight, rng.dirichlet(np.ones(width), rows), keys)


def test_merged_rows_measure_the_same():
    rng = np.random.default_rng(0)
    few = random_rows(rng)
    at = rng.integers(0, 12, 5000)
    path = Rows(few.key[at], np.full(5000, 1 / 5000), few.law[at], 3)
    merged = path.merge()
    assert len(merged.key) == len(np.unique(at)) and merged.weight.sum() == pytest.approx(1.0)
    assert fit_mean(merged).value == pytest.approx(fit_mean(path).value, abs=1e-12)
    np.testing.assert_allclose(merged.mean_law, path.mean_law, atol=1e-12)
    near = replace(path, law=path.law + np.where(np.arange(5000) == 0, 1e-15, 0.0)[:, None])
    assert len(near.merge().key) == len(merged.key) + 1  # the last bit counts


def test_units_together_and_one_by_one():
    rng = np.random.default_rng(1)
    parts = [random_rows(rng) for _ in range(5)]
    together = Rows.concat(parts)
    for fit in (fit_mean, fit_worst):
        whole = fit(together)
        np.testing.assert_allclose(whole.per_unit(5), [fit(p).value for p in parts], atol=1e-9)
        np.testing.assert_allclose([f.value for f in whole.split(5)], whole.per_unit(5))


def test_spectra_together_and_one_by_one():
    """Units of several shapes: some rows without weight, some next pairs without mass, one unit without rows."""
    rng = np.random.default_rng(1)
    parts = [random_rows(rng, keys=4) for _ in range(9)]
    parts[2] = replace(parts[2], weight=np.where(np.arange(12) < 5, parts[2].weight, 0.0))
    for k in (3, 7):
        law = parts[k].law * [1, 0, 1, 1]
        parts[k] = replace(parts[k], law=law / law.sum(axis=1, keepdims=True))
    parts[5] = replace(parts[5], weight=np.zeros(12))
    for ended in (False, True):
        parts = [replace(part, ended=ended) for part in parts]
        if ended:
            parts = [replace(part, law=np.column_stack([0.9 * part.law, np.full(12, 0.1)])) for part in parts]
        together = Rows.concat(parts)
        order = rng.permutation(len(together.key))  # rows of a unit need not stand together
        for rows in (together, replace(together, **{n: getattr(together, n)[order] for n in PER_ROW})):
            for one, part in zip(spectral_fits(rows, 9), parts, strict=True):
                alone = spectral_fit(part)
                assert one.value == pytest.approx(alone.value, abs=1e-14) and one.law.shape == alone.law.shape
                np.testing.assert_allclose(np.abs(one.worst), np.abs(alone.worst), atol=1e-9)
                np.testing.assert_allclose(one.law, alone.law, atol=1e-15)


class Blocks(Source):
    """Units that yield their rows in blocks of `size`, as a ring of machines would."""

    discount = None

    def __init__(self, law, weight, key, size):
        self.law, self.weight, self.key, self.size = law, weight, key, size

    @property
    def units(self):
        return tuple(Unit("", self.law.shape[2]) for _ in self.law)

    def summary(self):
        return {}

    def rows(self, u, kind="pair"):
        return Rows(self.key, self.weight[u], self.law[u], int(self.key.max()) + 1)

    def blocks(self, kind="pair", *, weighted=True):
        for lo in range(0, len(self.law), self.size):
            span = range(lo, min(lo + self.size, len(self.law)))
            yield span, Rows.concat([self.rows(u) for u in span])


@pytest.mark.parametrize("distance", ["mu-atv", "atv", "spectral"])
def test_any_source_of_rows_is_measured(distance):
    rng = np.random.default_rng(2)
    key = np.repeat(np.arange(4), 2)
    source = Blocks(rng.dirichlet(np.ones(4), (23, 8)), rng.dirichlet(np.ones(8), 23), key, 5)
    found = me.entanglement(source, distance)
    assert (
        found.per_agent.shape == (23,)
        and len(found.fits) == 23
        and found.total == pytest.approx(found.per_agent.sum())
    )
    alone = [
        me.entanglement(Blocks(source.law[[u]], source.weight[[u]], key, 1), distance).total
        for u in range(23)
    ]
    np.testing.assert_allclose(found.per_agent, alone, atol=1e-12)
    if distance == "mu-atv":  # two rows of a key: the lighter one pays TV of the two
        a, b = source.law[:, ::2], source.law[:, 1::2]
        tv = 0.5 * np.abs(a - b).sum(axis=2)
        least = np.minimum(source.weight[:, ::2], source.weight[:, 1::2])
        np.testing.assert_allclose(found.per_agent, (least * tv).sum(axis=1), atol=1e-12)
