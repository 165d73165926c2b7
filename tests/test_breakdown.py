"""Where it breaks: contributions add up, and the partner that is to blame is found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings

import markov_entanglement as me
from helpers import Case, cases, median_lp, random_laws
from markov_entanglement import _tolerance as tol
from markov_entanglement.analysis.breakdown import Breakdown, breakdown
from markov_entanglement.errors import TooLarge


def find(chain: me.Chain) -> Breakdown:
    return breakdown(chain, me.entanglement(chain))


@given(cases(agents=(1, 4)))
@settings(max_examples=25)
def test_contributions_add_up(case: Case) -> None:
    found = find(case.chain)
    e = me.entanglement(case.chain).per_agent
    for i, (parts, mu) in enumerate(zip(found.per_pair, found.occupancy, strict=True)):
        assert parts.sum() == pytest.approx(e[i], abs=1e-12) and parts.min() >= 0
        assert mu.sum() == pytest.approx(1.0) and (parts <= mu + 1e-12).all()
        assert (parts[mu == 0] == 0).all()
    assert np.diag(found.remaining) == pytest.approx(e)
    assert found.explained.min() >= -1e-12  # reading more never hurts
    assert (found.explained <= e[:, None] + 1e-12).all()


@given(cases(agents=(2, 3), pairs=24))
@settings(max_examples=10)
def test_what_remains_equals_linear_programs(case: Case) -> None:
    found, truth = find(case.chain), case.truth
    law = truth.next_law(0)
    total = 0.0
    for key in {(x[0], x[1]) for x in truth.pairs}:
        share = [k for k, x in enumerate(truth.pairs) if (x[0], x[1]) == key and truth.mu[k] > 0]
        total += median_lp(law[share], truth.mu[share]) if share else 0.0
    assert found.remaining[0, 1] == pytest.approx(total, abs=2e-7)


def _copy_of(partner: int) -> me.Chain:
    """Three binary agents; agent 0 repeats what `partner` did, the others move by themselves."""
    rng = np.random.default_rng(0)
    move = random_laws(rng, (2, 2), False)
    p = np.zeros((8, 8))
    for x in range(8):
        local = [x >> 2 & 1, x >> 1 & 1, x & 1]
        for y in range(8):
            to = [y >> 2 & 1, y >> 1 & 1, y & 1]
            p[x, y] = float(to[0] == local[partner]) * move[local[1], to[1]] * move[local[2], to[2]]
    return me.JointChain(p, (2, 2, 2)).under()


@pytest.mark.parametrize("partner", [1, 2])
def test_the_partner_is_found(partner: int) -> None:
    found = find(_copy_of(partner))
    e = found.remaining[0, 0]
    assert e > 0.05
    assert found.explained[0, partner] == pytest.approx(e, abs=1e-12)  # it explains everything
    other = 3 - partner
    assert found.explained[0, other] < 0.5 * e  # negative control: the bystander does not
    assert np.abs(found.remaining[1:]).max() < 1e-12


def test_two_partners_together() -> None:
    """x_0' = x_1 xor x_2: neither partner alone explains anything."""
    p = np.zeros((8, 8))
    for x in range(8):
        for y in range(8):
            p[x, y] = 0.25 * ((y >> 2 & 1) == (x >> 1 & 1) ^ (x & 1))
    found = find(me.JointChain(p, (2, 2, 2)).under())
    assert found.remaining[0] == pytest.approx([0.5, 0.5, 0.5]) and np.abs(found.explained).max() < 1e-12


def test_too_much_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = me.gallery.build("circulant").chain()
    monkeypatch.setattr(tol, "BREAKDOWN_WORK", 10)
    with pytest.raises(TooLarge, match="partners"):
        find(chain)
    result = me.analyze(chain, distances=["mu-atv"])
    assert result.breakdown is None
    assert dict(result.refused)["where it breaks"].startswith("partners")


def test_dict_form() -> None:
    found = find(me.gallery.build("appendix-e").chain())
    out = found.to_dict()
    assert json.loads(json.dumps(out)) == out and set(out) == {
        "per_pair", "occupancy", "remaining", "pair_names", "alike",
    }  # fmt: skip
