"""Means along the tree of joint pairs against the whole matrix, made of raw laws entry by entry."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from markov_entanglement.errors import TooLarge
from markov_entanglement.markov import tree
from markov_entanglement.markov.arrays import OnDevice
from markov_entanglement.markov.batched import Batched
from markov_entanglement.markov.tree import Tree, positive


class Here(OnDevice):
    """A device that is this machine, with small products."""

    task = 64

    def __init__(self) -> None:
        super().__init__(np, None)

    def of(self, a: Any) -> Any:
        return np.array(a)

    def empty(self, size: int) -> Any:
        return np.full(size, np.nan)

    def back(self, a: Any) -> Any:
        return a


class Case:
    """Random laws of some parts, sparse ones among them, and some of the joint pairs in any order."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        parts = int(rng.integers(1, 5))
        self.sizes = rng.integers(1, 7, parts).tolist()
        self.laws: list[Any] = [
            rng.dirichlet(np.ones(s), size=int(rng.integers(1, 3)) * s) for s in self.sizes
        ]
        if seed % 3 == 0:
            self.laws = [law * (rng.random(law.shape) < 0.3) for law in self.laws]
        every = np.array(list(itertools.product(*(range(len(law)) for law in self.laws))))
        kept = rng.permutation(len(every))[: rng.integers(1, len(every) + 1)]
        self.pairs = every[kept].astype(np.int32)
        self.f, self.u = rng.normal(size=int(np.prod(self.sizes))), rng.normal(size=len(kept))

    def own(self, k: int) -> Any:
        return self.pairs[:, k]

    def matrix(self, laws: Any = None) -> Any:
        """(n, S) the product of the laws of each part."""
        whole = np.ones((len(self.pairs), 1))
        for k, law in enumerate(self.laws if laws is None else laws):
            rows = np.asarray(law)[self.pairs[:, k]]
            whole = np.einsum("ni,nj->nij", whole, rows).reshape(len(whole), -1)
        return whole


#: Parts together or apart; threads or not; which level is kept; columns at once.
WAYS = [(1, 1, 1, 1), (12, 1, 8, 64), (100, 1, 1 << 18, 1), (100, 1 << 16, 1 << 18, 1 << 14)]


@pytest.fixture(params=WAYS, ids=str)
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(("_LAST", "_SHARED", "_ROW", "_COLUMNS"), request.param, strict=True):
        monkeypatch.setattr(tree, name, value)


@pytest.mark.usefixtures("way")
def test_means_and_laws() -> None:
    for seed in range(40):
        case = Case(seed)
        k, t = case.matrix(), Tree(case.laws, case.own)
        for along in (t, Batched(t, Here())):
            assert np.abs(along.forward(case.f) - k @ case.f).max() < 1e-14
            assert np.abs(along.backward(case.u) - case.u @ k).max() < 1e-13
        frozen = case.f.copy()
        frozen.flags.writeable = False
        assert (t.forward(frozen) == t.forward(case.f)).all()


@pytest.mark.usefixtures("way")
def test_a_part_left_as_it_is() -> None:
    """All parts but the last are replaced: functions of its next state, for each beginning of the others."""
    for seed in range(40):
        case = Case(seed)
        if len(case.sizes) == 1:
            continue
        t, k = Tree(case.laws[:-1], case.own, opened=case.sizes[-1]), case.matrix(case.laws[:-1])
        expected = k @ case.f.reshape(-1, case.sizes[-1])
        for along in (t, Batched(t, Here())):
            assert np.abs(along.forward(case.f)[t.leaf] - expected).max() < 1e-14
        assert len(np.unique(t.leaf)) == len(np.unique(case.pairs[:, :-1], axis=0)) == len(t.forward(case.f))


@pytest.mark.usefixtures("way")
def test_where_it_may_go() -> None:
    """Ones for positive entries: a product of tiny chances vanishes, that of ones does not."""
    for seed in range(20):
        case = Case(seed)
        tiny = [law * 1e-200 for law in case.laws]
        k = case.matrix([law > 0 for law in case.laws])
        t = Tree(tiny, case.own).with_laws([positive(law) for law in tiny])
        f, u = case.f > 0.5, case.u > 0.5
        assert ((t.forward(f) > 0) == (k @ f > 0)).all() and ((t.backward(u) > 0) == (u @ k > 0)).all()


def test_sparse_laws_are_taken_as_they_are() -> None:
    """Laws of few entries, given as tables or as entries, are kept as entries."""
    rng = np.random.default_rng(0)
    laws = [np.eye(40)[rng.integers(0, 40, 40)] * rng.random((40, 1)) for _ in range(2)]
    pairs = np.stack(np.unravel_index(rng.permutation(1600)[:700], (40, 40))).astype(np.int32)
    k = np.einsum("ni,nj->nij", laws[0][pairs[0]], laws[1][pairs[1]]).reshape(700, -1)
    f, u = rng.normal(size=1600), rng.normal(size=700)
    for given in (laws, [sp.csr_array(law) for law in laws]):
        t = Tree(given, lambda i: pairs[i])
        assert [sp.issparse(law) for law in t.laws] == [True, True]
        assert np.abs(t.forward(f) - k @ f).max() < 1e-15 and np.abs(t.backward(u) - u @ k).max() < 1e-14


def test_work_is_shared_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, whatever their number, leave every bit."""
    rng = np.random.default_rng(1)
    sizes, actions = (40, 40, 40), 2
    laws = [rng.dirichlet(np.ones(s), size=actions * s) for s in sizes]
    state = np.stack(np.unravel_index(np.arange(40**3), sizes))
    taken = rng.integers(0, 3, 40**3)
    own = [(state[k] + 40 * (taken == k)).astype(np.int32) for k in range(3)]
    f = rng.normal(size=40**3)
    monkeypatch.setattr(tree, "_SHARED", 1)
    found = []
    for workers in (1, 2, 5):
        monkeypatch.setattr("markov_entanglement._work.workers_of", lambda asked, n=workers: n)
        t = Tree(laws, lambda k: own[k])
        found.append((t.forward(f).tobytes(), t.backward(f).tobytes()))
    assert len(set(found)) == 1
    rows = np.einsum("ni,nj,nk->nijk", *(law[o[:50]] for law, o in zip(laws, own, strict=True)))
    assert np.abs(t.forward(f)[:50] - rows.reshape(50, -1) @ f).max() < 1e-14


def test_what_does_not_fit_is_refused_first() -> None:
    case = Case(1)
    told: list[int] = []
    t = Tree(case.laws, case.own, guard=told.append)
    assert told[-1] == t.peak and len(told) == len(t.levels) + 1

    def refuse(limit: int) -> Callable[[int], None]:
        def guard(size: int) -> None:
            if size > limit:
                raise TooLarge("tree", f"{size} bytes", f"{limit} bytes", "")

        return guard

    Tree(case.laws, case.own, guard=refuse(max(told)))
    with pytest.raises(TooLarge):
        Tree(case.laws, case.own, guard=refuse(max(told) - 1))
