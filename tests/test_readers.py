"""Files and objects of others: right systems against brute force on the raw tables, refusals that name the place."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import runpy
import shlex
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.io import loadmat, savemat

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput, MissingDependency, UserError
from markov_entanglement.readers import endings, readers
from markov_entanglement.readers._mat5 import variables

ROOT = Path(__file__).parents[1]


def refused(match: str, call: Any, *args: Any, **options: Any) -> None:
    with pytest.raises(InvalidInput, match=match):
        call(*args, **options)


def dense(system: Any) -> np.ndarray:
    """(actions, states, states) of a system with one kernel per joint action."""
    return np.stack([k.toarray() for k in system.kernel])


# --- Gymnasium ---------------------------------------------------------------------------------------------


def raw(env: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel of what goes on, of what ends (A, S, S), and expected rewards (S, A) of a table, by loops."""
    table = env.unwrapped.P
    n, many = len(table), len(table[0])
    on, end, pay = np.zeros((many, n, n)), np.zeros((many, n, n)), np.zeros((n, many))
    for s in range(n):
        for a in range(many):
            for p, t, r, done in table[s][a]:
                (end if done else on)[a, s, t] += p
                pay[s, a] += p * r
    return on, end, pay


def make(name: str) -> Any:
    return pytest.importorskip("gymnasium").make(name)


@pytest.mark.parametrize(
    ("name", "sizes", "actions"),
    [
        ("FrozenLake-v1", None, None),
        ("CliffWalking-v1", (4, 12), (4, 1)),
        ("Taxi-v4", (5, 5, 5, 4), (6, 1, 1, 1)),
    ],
)
def test_a_table_of_gymnasium(name: str, sizes: Any, actions: Any) -> None:
    """Kernel, ends, restart, and the values of uniform play by a dense solve on states."""
    env = make(name)
    on, end, pay = raw(env)
    gamma = 0.9
    system = me.from_gymnasium(env, n_states=sizes, n_actions=actions, discount=gamma)
    assert system.spaces.n_states == (sizes or (len(pay),)) and system.n_agents == len(sizes or (0,))
    terminal = np.flatnonzero(end.sum(axis=(0, 1)))
    live = np.delete(np.arange(len(pay)), terminal)
    np.testing.assert_array_equal(system.ends.terminal, terminal)
    np.testing.assert_allclose(system.ends.restart, env.unwrapped.initial_state_distrib, atol=1e-12)
    np.testing.assert_allclose(dense(system)[:, live], (on + end)[:, live], atol=1e-12)
    reward = [pay.ravel()] if sizes is None else pay.ravel()
    held = system.rewards.local[0] if sizes is None else system.rewards.shared.ravel()
    np.testing.assert_allclose(held, np.ravel(reward), atol=1e-12)
    reached = on.copy()
    reached[:, :, terminal] = 0.0  # into a terminal state, however it is entered
    v = np.linalg.solve(
        np.eye(len(live)) - gamma * reached.mean(axis=0)[np.ix_(live, live)], pay.mean(axis=1)[live]
    )
    q = pay[live] + gamma * np.einsum("ast,t->sa", reached[:, live][:, :, live], v)
    chain = system.under("uniform")
    found = me.value_decomposition(chain).joint_q
    state, action = (
        chain.states[chain.pair_state],
        chain.pairs - chain.states[chain.pair_state] * np.asarray(system.spaces.n_actions),
    )
    at = np.searchsorted(live, system.spaces.state_index(state))
    np.testing.assert_allclose(found, q[at, system.spaces.action_index(action)], rtol=1e-8, atol=1e-10)


def test_parts_of_the_taxi_are_its_own_encoding() -> None:
    env = make("Taxi-v4").unwrapped
    system = me.from_gymnasium(env, n_states=(5, 5, 5, 4), n_actions=(6, 1, 1, 1), discount=0.9)
    for state in itertools.product(range(5), range(5), range(5), range(4)):
        assert system.spaces.state_index(np.asarray([state]))[0] == env.encode(*state)


def test_walkers_on_their_own_lakes() -> None:
    """A step that ends leads to the start, for each walker by itself; the lake of the gallery has mu-atv .041723."""
    lake = make("FrozenLake-v1")
    on, end, pay = raw(lake)
    on[:, :, 0] += end.sum(axis=2)
    pair = me.from_gymnasium([lake, lake], discount=0.95)
    assert isinstance(pair, me.WeaklyCoupledMDP)
    np.testing.assert_allclose(pair.kernels[1], on, atol=1e-12)
    np.testing.assert_allclose(pair.rewards.local[1].reshape(16, 4), pay, atol=1e-12)
    names = runpy.run_path(str(ROOT / "examples" / "lake.py"))
    system, policy = names["pair"]()
    found = me.entanglement(system.under(policy), "mu-atv")
    np.testing.assert_allclose(found.per_agent, [0.041723] * 2, atol=5e-7)
    three = me.from_gymnasium(lake, n_agents=3, discount=0.95)
    np.testing.assert_array_equal(three.kernels[2], pair.kernels[0])


#: A state entered by a step that ends and by one that does not; entries for one state add up.
_BOTH = {
    0: {0: [(0.25, 1, 1.0, True), (0.25, 1, 1.0, True), (0.5, 0, 0.0, False)], 1: [(1.0, 1, 2.0, False)]},
    1: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 1, 0.0, False)]},
}


def test_a_state_that_is_entered_both_ways() -> None:
    refused(r"env.P: got state 1, .*ends='restart'", me.from_gymnasium, _BOTH, discount=0.9, start=0)
    system = me.from_gymnasium(_BOTH, discount=0.9, start=0, ends="restart")
    assert dense(system).tolist() == [[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]]
    assert system.rewards.local[0].tolist() == [0.5, 2.0, 0.0, 0.0]
    halves = me.from_gymnasium(_BOTH, discount=0.9, start=[0.5, 0.5], ends="restart")
    assert dense(halves)[0].tolist() == [[0.75, 0.25], [1.0, 0.0]]


def test_refusals_of_tables_of_gymnasium() -> None:
    lake = make("FrozenLake-v1")
    refused(
        r"n_states: got \(3, 5\), 15 joint states", me.from_gymnasium, lake, discount=0.9, n_states=(3, 5)
    )
    refused(r"E.g. n_actions=\(4, 1\)", me.from_gymnasium, lake, discount=0.9, n_states=(4, 4))
    me.from_gymnasium(lake, discount=0.9, n_states=(4, 4), n_actions=(4, 1))
    refused("start: got nothing", me.from_gymnasium, {0: {0: [(1.0, 1, 0.0, True)]}, 1: {}}, discount=0.9)
    me.from_gymnasium({0: {0: [(1.0, 1, 0.0, True)]}, 1: {}}, discount=0.9, start=0)
    refused(r"env.P\[0\]\[0\]: got \(1.0, 0\)", me.from_gymnasium, {0: {0: [(1.0, 0)]}}, discount=0.9)
    refused("env: .*me.from_table", me.from_gymnasium, object(), discount=0.9)
    refused("env.P: got no state 0", me.from_gymnasium, {1: {0: [(1.0, 1, 0.0, False)]}}, discount=0.9)
    refused("n_states: .*Leave n_states out", me.from_gymnasium, [lake], discount=0.9, n_states=(4, 4))
    refused("idle: .*n_agents", me.from_gymnasium, lake, discount=0.9, idle=True)
    goes_on = {0: {0: [(1.0, 0, 0.0, False)]}}
    refused("start: .*Leave start out", me.from_gymnasium, goes_on, discount=0.9, start=0)
    me.from_gymnasium(goes_on, discount=0.9)
    refused("n_agents: got 3", me.from_gymnasium, [lake], discount=0.9, n_agents=3)


# --- tables ------------------------------------------------------------------------------------------------


def test_a_square_frame_is_read_by_its_names() -> None:
    """Columns in another order than rows; the law of a chain of three aisles."""
    pandas = pytest.importorskip("pandas")
    rows = ["fruit", "dairy", "drinks"]
    table = pandas.DataFrame([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2]], index=rows, columns=rows)
    for columns in itertools.permutations(rows):
        chain = me.from_table(table[list(columns)])
        assert chain.labels.states == (tuple(rows),)
        np.testing.assert_allclose(chain.under().stationary.law, [0.289855, 0.463768, 0.246377], atol=5e-7)
    refused("no row 'drinks'", me.from_table, table.loc[["fruit", "dairy"]])
    refused("no column 'drinks'", me.from_table, table[["fruit", "dairy"]])
    held = me.from_table(table, states=["drinks", "dairy", "fruit"])
    np.testing.assert_allclose(held.under().stationary.law, [0.246377, 0.463768, 0.289855], atol=5e-7)
    split = me.from_table(pandas.DataFrame(np.full((4, 4), 0.25)), n_states=(2, 2))
    assert split.spaces.n_states == (2, 2)
    refused("states: got 'meat'", me.from_table, table, states=["drinks", "dairy", "fruit", "meat"])


_ROUNDED = [[0.3333, 0.3333, 0.3333], [0.5, 0.5, 0], [0.1667, 0.8333, 0]]


def test_rounded_tables_are_divided_only_if_asked() -> None:
    table = {"": ["a", "b", "c"], **{n: [row[k] for row in _ROUNDED] for k, n in enumerate("abc")}}
    refused(r"row 'a': got a sum of 0.9999; .*normalize=True", me.from_table, table)
    with pytest.warns(UserWarning, match="frame: rows were divided by their sums, .* by at most 0.0001"):
        chain = me.from_table(table, normalize=True)
    np.testing.assert_allclose(chain.under().stationary.law, [0.3913078, 0.4782563, 0.1304359], atol=5e-8)


def test_counts_are_divided_and_the_system_says_so() -> None:
    square = {"": ["a", "b"], "a": [30, 1], "b": [90, 0]}
    rows = {
        "state": ["a", "a", "b"],
        "next": ["a", "b", "a"],
        "probability": [30, 90, 1],
        "reward": [4, 8, 1],
    }
    for table, made in ((square, {}), (rows, {}), ({**rows, "action": [0] * 3}, {"n_agents": 2})):
        with pytest.warns(UserWarning) as notes:
            system = me.from_table(table, normalize=True, **made)
        assert [str(n.message) for n in notes] == [
            "frame: rows were divided by their sums, which missed 1 by at most 119"
        ]
        assert (
            system.rescaled == 119
            and "missed 1 by at most 119"
            in me.check_system(system.under("uniform" if made else None)).summary()
        )
        kernel = system.kernels[0][0] if made else dense(system)[0]
        np.testing.assert_allclose(kernel, [[0.25, 0.75], [1, 0]])
    assert system.rewards.local[0].ravel().tolist() == [7, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert me.from_table({"": ["a", "b"], "a": [0.5, 1], "b": [0.5, 0]}, normalize=True).rescaled == 0.0


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_single_precision_is_that_of_the_constructors(kind: str, tmp_path: Path) -> None:
    """What rounding to single precision makes of a law is one, in every frame; the same in double is refused."""
    pandas, single = pytest.importorskip("pandas"), kind == "float32"
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(40), size=40).astype("float32")
    off = np.abs(p.astype(float).sum(axis=1) - 1.0)
    assert off.max() > 1e-8
    p = p.astype(kind)
    names = [f"s{k}" for k in range(40)]
    s, t = (x.ravel() for x in np.indices(p.shape))
    long = {"state": s, "next": t, "probability": p.ravel()}

    class Typed(Arrow):
        """A frame whose columns say their type as arrow ("float") or polars ("Float32") does."""

        def __init__(self, said: str) -> None:
            super().__init__({h: list(v.tolist()) for h, v in long.items()})
            vars(self._data["probability"])["type" if said in ("float", "double") else "dtype"] = said

    pq = str(tmp_path / "t.parquet")
    duckdb = pytest.importorskip("duckdb")
    frame = pandas.DataFrame(long)
    duckdb.connect().register("frame", frame).execute(f"COPY frame TO '{pq}' (FORMAT parquet)")
    savemat(tmp_path / "m.mat", {"P": p})
    given: list[Any] = [
        (me.from_table, v)
        for v in (
            pandas.DataFrame(p, index=names, columns=names),
            frame,
            Typed("float" if single else "double"),
            Typed(kind.title()),
            long,
            pq,
        )
    ]
    given += [(me.read_model, tmp_path / "m.mat"), (me.from_mdp, SimpleNamespace(P=p, state_values=None))]
    given += [(me.from_mdp, SimpleNamespace(P=[p, sp.csr_array(p)], R=np.zeros(40)))]
    given += [
        (
            me.from_gymnasium,
            {k: {0: [(q, j, 0.0, False) for j, q in enumerate(row)]} for k, row in enumerate(p)},
        )
    ]
    for read, value in given:
        if not single:
            refused("got a sum of", read, value)
        else:
            np.testing.assert_allclose(dense(read(value))[0].sum(axis=1), 1.0, atol=1e-12)


def test_rounding_below_0_is_that_of_the_constructors(tmp_path: Path) -> None:
    """-1e-17 is a 0 that something computed, -1e-3 is a mistake, wherever it stands."""
    for low in (-1e-17, -1e-3):
        cells = f"0 0 {1 - low!r}\n0 1 {low!r}\n1 0 1\n"
        (tmp_path / "m.tra").write_text("2 3\n" + cells)
        (tmp_path / "l.csv").write_text("state,next,probability\n" + cells.replace(" ", ","))
        (tmp_path / "w.csv").write_text(f"from,0,1\n0,{1 - low!r},{low!r}\n1,1,0\n")
        text = f"states: 2\nactions: 1\nT: 0\n{1 - low!r} {low!r}\n1 0\n"
        (tmp_path / "m.mdp").write_text(text)
        for name, where in (
            ("m.tra", "m.tra, line 3"),
            ("l.csv", "l.csv, line 3, column 'probability'"),
            ("w.csv", "w.csv, row '0', column '1'"),
            ("m.mdp", "action 0, state 0"),
        ):
            if low < -1e-4:
                refused(f"{where}: got -0.001; probabilities are >= 0", me.read_model, tmp_path / name)
            else:
                assert dense(me.read_model(tmp_path / name))[0].tolist() == [[1, 0], [1, 0]]


def test_every_reader_of_matrices_divides_if_asked(tmp_path: Path) -> None:
    """Also the expectation of a reward on next states is that of the divided rows; the remedy is true everywhere."""
    p = np.array([[[1.0, 3.0], [2.0, 2.0]], [[0.0, 5.0], [1.0, 0.0]]])
    r = np.array([[[4.0, 8.0], [2.0, 0.0]], [[9.0, 1.0], [3.0, 7.0]]])
    want = np.einsum("ast,ast->sa", p / p.sum(axis=2, keepdims=True), r)
    table = {s: {a: [(p[a, s, t], t, r[a, s, t], False) for t in (0, 1)] for a in (0, 1)} for s in (0, 1)}
    savemat(tmp_path / "m.mat", {"P": p, "R": r})
    savemat(tmp_path / "c.mat", {"P": p[0]})
    q = SimpleNamespace(Q=p.swapaxes(0, 1), R=want, beta=None)
    chain = SimpleNamespace(P=p[0], state_values=np.array([[0, 0], [0, 1]]))
    sparse = SimpleNamespace(P=list(map(sp.csr_array, p)), R=list(map(sp.csr_array, r)))
    for call, value, more in (
        (me.from_gymnasium, table, {}),
        (me.from_gymnasium, table, {"n_agents": 2}),
        (me.from_mdp, SimpleNamespace(P=p, R=r), {}),
        (me.from_mdp, sparse, {}),
        (me.from_mdp, q, {}),
        (me.from_mdp, chain, {}),
        (me.from_mdp, chain, {"n_states": (2, 1)}),
        (me.read_model, tmp_path / "m.mat", {"order": "ASS"}),
        (me.read_model, tmp_path / "c.mat", {}),
    ):
        refused("got a sum of .*normalize=True", call, value, **more)
        with pytest.warns(
            UserWarning, match="rows were divided by their sums, which missed 1 by at most [34]$"
        ):
            system = call(value, normalize=True, **more)
        kernel = system.kernels[0] if "n_agents" in more else dense(system)
        np.testing.assert_allclose(kernel, (p / p.sum(axis=2, keepdims=True))[: len(kernel)])
        if system.rewards is not None:
            np.testing.assert_allclose(system.rewards.local[0], want.ravel())


def test_percent_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    """A table of ratings in percent whose rows miss 100 by rounding; the end has no row."""
    file = tmp_path / "ratings.csv"
    file.write_text("from;A;B;D\nA;92,07;7,09;0,86\nB;0,02;95,00;4,99\n")
    refused("no row 'D'.*--option terminal=D", me.read_model, file)
    refused("row 'A': got a sum of 100.02", me.read_model, file, terminal="D", restart="A")
    with pytest.warns(
        UserWarning, match="ratings.csv: rows were divided by their sums, which missed 1 by at most 99"
    ):
        chain = me.read_model(file, terminal="D", restart="A", normalize=True)
    want = np.array([[92.07, 7.09], [0.02, 95.0]]) / np.array([[100.02], [100.01]])
    np.testing.assert_allclose(dense(chain)[0][:2, :2], want, rtol=1e-12)
    file.write_text("from;A;B\nA;12,5 %;87.5 %\nB;50%;50%\n")
    assert dense(me.read_model(file))[0].tolist() == [[0.125, 0.875], [0.5, 0.5]]


def long_rows(kernels: list[np.ndarray], pay: list[np.ndarray], names: list[str]) -> list[tuple[Any, ...]]:
    """Rows of a long table of kernels (A, S, S) and rewards (A, S, S) on next states."""
    return [
        (names[i], f"s{s}", f"a{a}", f"s{t}", k[a, s, t], r[a, s, t])
        for i, (k, r) in enumerate(zip(kernels, pay, strict=True))
        for a, s, t in np.ndindex(*k.shape)
    ]


def random_kernels(shapes: list[tuple[int, int]], seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    kernels = [rng.dirichlet(np.ones(s), size=(a, s)) for a, s in shapes]
    return kernels, [rng.normal(size=k.shape) for k in kernels]


_HEADS = ("agent", "state", "action", "next", "probability", "reward")


class Arrow:
    """A table whose `columns` holds its arrays, as arrow has it."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._data = {k: SimpleNamespace(to_pylist=lambda v=v: list(v)) for k, v in columns.items()}
        self.column_names, self.columns = list(columns), list(self._data.values())

    def __getitem__(self, name: str) -> Any:
        return self._data[name]


def test_agents_of_a_long_table(tmp_path: Path) -> None:
    """Agents of different sizes, whatever holds the table; rewards on next states become expectations."""
    pandas = pytest.importorskip("pandas")
    kernels, pay = random_kernels([(2, 3), (3, 2)], 1)
    rows = long_rows(kernels, pay, ["left", "right"])
    columns = {h: [row[k] for row in rows] for k, h in enumerate(_HEADS)}
    text = "\n".join(["\t".join(_HEADS), *("\t".join(map(str, row)) for row in rows)])
    (tmp_path / "t.tsv").write_text(text)
    (tmp_path / "t.csv").write_text("# with a comment\n" + text.replace("\t", ", ") + "\n\n")
    duckdb = pytest.importorskip("duckdb")
    frame = pandas.DataFrame(columns)
    parquet = str(tmp_path / "t[1].parquet")
    duckdb.connect().register("frame", frame).execute(f"COPY frame TO '{parquet}' (FORMAT parquet)")
    given = [columns, frame, Arrow(columns), tmp_path / "t.tsv", str(tmp_path / "t.csv"), parquet]
    for value in given:
        system = me.from_table(value, discount=0.9)
        assert system.labels.names == ("left", "right")
        assert system.labels.states == (("s0", "s1", "s2"), ("s0", "s1"))
        assert system.labels.actions == (("a0", "a1"), ("a0", "a1", "a2"))
        for i, (k, r) in enumerate(zip(kernels, pay, strict=True)):
            np.testing.assert_allclose(system.kernels[i], k, atol=1e-14)
            want = np.einsum("ast,ast->sa", k, r)
            np.testing.assert_allclose(system.rewards.local[i].reshape(want.shape), want, atol=1e-13)
    table = {
        "agent": ["left"] * 3 + ["right"] * 2,
        "state": ["s2", "s1", "s0", "s1", "s0"],
        "reward": [2, 1, 0, 5, 4],
    }
    bare = {k: v for k, v in columns.items() if k != "reward"}
    refused("rewards: got nothing; frame does not say them", me.from_table, bare, discount=0.9)
    refused("agent 'left' has a column of them", me.from_table, columns, rewards=table, discount=0.9)
    system = me.from_table(bare, rewards=table, discount=0.9)
    assert system.rewards.local[0].tolist() == [0, 0, 1, 1, 2, 2] and system.rewards.local[1][-1] == 5


def test_agents_share_one_order_of_names() -> None:
    """Whatever comes first in an agent's own rows: action 1 is the same for all, as budgets need it."""
    rows = [
        (g, "s", a, "s", 1.0, r)
        for g, a, r in (("x", "rest", 0), ("x", "go", 1), ("y", "go", 5), ("y", "rest", 4))
    ]
    columns = {h: [row[k] for row in rows] for k, h in enumerate(_HEADS)}
    system = me.from_table(columns, discount=0.9, budget=1)
    assert system.labels.actions == (("rest", "go"),) * 2
    assert [r.tolist() for r in system.rewards.local] == [[0, 1], [4, 5]]
    other = me.from_table(columns, discount=0.9, actions=["go", "rest"])
    assert [r.tolist() for r in other.rewards.local] == [[1, 0], [5, 4]]
    refused("actions: got 'stop'", me.from_table, columns, discount=0.9, actions=["go", "rest", "stop"])
    refused("actions: got 'rest'", me.from_table, columns, discount=0.9, actions=["go"])
    ends = {"agent": [1], "state": ["a"], "next": ["b"], "probability": [1]}
    with pytest.raises(InvalidInput, match="no row for state 'b'") as found:
        me.from_table(ends)
    assert "terminal" not in str(found.value)  # which tables with agents do not take


def test_a_table_of_rewards_says_each_once() -> None:
    """No row is overridden or left aside; what each refusal says to drop is all that was wrong."""
    kernels, pay = random_kernels([(2, 3), (3, 2)], 1)
    rows = [row[:-1] for row in long_rows(kernels, pay, ["left", "right"])]
    columns = {h: [row[k] for row in rows] for k, h in enumerate(_HEADS[:-1])}
    good = [("left", f"s{s}", s) for s in range(3)] + [("right", f"s{s}", 4 + s) for s in range(2)]

    def table(more: list[tuple[Any, ...]], *heads: str) -> dict[str, list[Any]]:
        return {
            h: [row[k] for row in [*good, *more]] for k, h in enumerate(("agent", "state", "reward", *heads))
        }

    for more, match in (
        ([("right", "s1", 9)], "rewards, row 5: got the same reward as in row 4; each reward stands once"),
        ([("rigth", "s1", 9)], "rewards, row 5, column 'agent': got 'rigth'; its agents are left, right"),
        ([("right", "s2", 9)], "rewards, row 5, column 'state': got 's2'"),
    ):
        refused(match, me.from_table, columns, rewards=table(more), discount=0.9)
    system = me.from_table(columns, rewards=table([]), discount=0.9)
    assert system.rewards.local[1].tolist() == [4, 4, 4, 5, 5, 5]
    chain = {"state": ["a", "b"], "next": ["b", "a"], "probability": [1, 1]}
    paid: dict[str, list[Any]] = {"state": ["b", "a"], "reward": [2, 1]}
    for odd in ("action", "agent", "next"):
        match = f"rewards: got a column '{odd}'; rewards beside frame have columns state, reward. Drop that"
        refused(match, me.from_table, chain, rewards={**paid, odd: ["a", "a"]})
    for frame in (chain, {"row": ["a", "b"], "a": [0.5, 1], "b": [0.5, 0]}):  # a square one, too
        assert me.from_table(frame, rewards=paid).rewards.local[0].tolist() == [1, 2]
        again = {"state": ["b", "a", "b"], "reward": [2, 1, 2]}
        refused("rewards, row 2: got the same reward as in row 0", me.from_table, frame, rewards=again)
        refused("no reward of state 'b'", me.from_table, frame, rewards={"state": ["a"], "reward": [1]})


def test_a_table_of_rewards_beside_a_joint_table() -> None:
    """Columns are those of the agents by name, in whatever order."""
    pairs = list(itertools.product((0, 1), (0, 1, 2)))
    rows = [(*s, *a, *t, 1 / 6) for s in pairs for a in pairs for t in pairs]
    heads = ("state_x", "state_y", "action_x", "action_y", "next_x", "next_y", "probability")
    table = {h: [row[k] for row in rows] for k, h in enumerate(heads)}
    cells = [(*s, *a) for s in pairs for a in pairs]
    columns = {h: [c[k] for c in cells] for k, h in enumerate(heads[:4])}
    pay = [1000 * a + 100 * b + 10 * c + d for a, b, c, d in cells]
    for order in itertools.permutations(columns):
        system = me.from_table(table, rewards={h: columns[h] for h in order} | {"reward": pay})
        np.testing.assert_array_equal(np.ravel(system.rewards.shared), pay)
    by_state = {"state_y": [s[1] for s in pairs], "state_x": [s[0] for s in pairs], "reward": range(6)}
    system = me.from_table(table, rewards={k: list(v) for k, v in by_state.items()})
    assert np.ravel(system.rewards.shared).tolist() == [k for k in range(6) for _ in pairs]
    part = {h: v for h, v in columns.items() if h != "action_x"} | {"reward": pay}
    refused("rewards: got no column action_x", me.from_table, table, rewards=part)
    part = {"state": [0], "reward": [0]}
    refused("rewards: .*columns of states are state_x, state_y", me.from_table, table, rewards=part)
    part = {"state_x": [0], "state_z": [0], "reward": [0]}
    refused("rewards: .*columns of states are state_x, state_y", me.from_table, table, rewards=part)


def test_rewards_as_arrays() -> None:
    columns = {"state": [0, 0, 1, 1], "action": [0, 1, 0, 1], "next": [0, 1, 1, 0], "probability": [1] * 4}
    pay = [[1, 2], [3, 4]]
    for given in ([pay], np.array(pay)):
        assert me.from_table(columns, rewards=given, discount=0.9).rewards.local[0].tolist() == [1, 2, 3, 4]
    two = me.from_table(columns, rewards=[pay, [[5, 6], [7, 8]]], n_agents=2, discount=0.9)
    assert [r.tolist() for r in two.rewards.local] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert me.from_table(columns, rewards=pay, n_arms=3, budget=1, discount=0.9).rewards.ravel().tolist() == [
        1,
        2,
        3,
        4,
    ]
    chain = {"state": [0, 1], "next": [1, 0], "probability": [1, 1]}
    for given in ([2, 3], [[2, 3]], np.array([2, 3])):
        assert me.from_table(chain, rewards=given, discount=0.9).rewards.local[0].tolist() == [2, 3]


def test_one_agent_copies_and_arms() -> None:
    (kernel,), (pay,) = random_kernels([(2, 3)], 2)
    rows = long_rows([kernel], [pay], [""])
    columns = {h: [row[k] for row in rows] for k, h in enumerate(_HEADS) if h != "agent"}
    want = np.einsum("ast,ast->sa", kernel, pay)
    one = me.from_table(columns, discount=0.9)
    assert isinstance(one, me.MultiAgentMDP) and one.n_agents == 1
    np.testing.assert_allclose(dense(one), kernel, atol=1e-14)
    pair = me.from_table(columns, n_agents=2, budget=1, discount=0.9)
    assert pair.budget == 1 and pair.n_agents == 2
    np.testing.assert_array_equal(pair.kernels[1], pair.kernels[0])
    arms = me.from_table(columns, n_arms=5, budget=2, discount=0.9)
    direct = me.RestlessBandit(kernel, want, n_arms=5, budget=2, discount=0.9)
    np.testing.assert_allclose(arms.kernels, direct.kernels, atol=1e-14)
    np.testing.assert_allclose(arms.rewards, direct.rewards, atol=1e-13)
    refused("budget: got nothing; n_arms needs", me.from_table, columns, n_arms=5, discount=0.9)
    refused("terminal: .*Leave terminal out", me.from_table, columns, n_arms=5, terminal="s0", discount=0.9)


def test_a_joint_table_of_two_agents() -> None:
    rng = np.random.default_rng(3)
    kernel = rng.dirichlet(np.ones(6), size=(6, 2))  # 2 x 3 states, 2 x 1 actions
    heads = ("state_a", "state_b", "action_a", "next_a", "next_b", "probability", "reward")
    rows = [
        (*divmod(s, 3), a, *divmod(t, 3), kernel[s, a, t], s + 10 * a)
        for s, a, t in np.ndindex(*kernel.shape)
    ]
    columns = {h: [row[k] for row in rows] for k, h in enumerate(heads)}
    refused("n_agents: .*its columns already", me.from_table, columns, discount=0.9, n_agents=2)
    swapped = {h: columns[h] for h in (*heads[:3], "next_b", "next_a", *heads[5:])}
    system = me.from_table(swapped, discount=0.9)
    assert system.labels.names == ("a", "b")
    without = {h: v for h, v in columns.items() if h != "next_b"}
    refused("no column next_b", me.from_table, without, discount=0.9)
    refused("a column 'action_c'", me.from_table, {**columns, "action_c": [0] * len(rows)}, discount=0.9)
    assert system.spaces.n_states == (2, 3) and system.spaces.n_actions == (2, 1)
    np.testing.assert_allclose(dense(system), kernel.transpose(1, 0, 2), atol=1e-14)
    np.testing.assert_allclose(system.rewards.shared, np.arange(6)[:, None] + [[0, 10]], atol=1e-12)
    flat = {
        "state": [row[0] * 3 + row[1] for row in rows], "action": columns["action_a"],
        "next": [row[3] * 3 + row[4] for row in rows], "probability": columns["probability"],
        "reward": columns["reward"],
    }  # fmt: skip
    order = np.random.default_rng(4).permutation(len(rows))
    shuffled = {h: [v[k] for k in order] for h, v in flat.items()}
    refused(r"E.g. n_actions=\(2, 1\)", me.from_table, shuffled, n_states=(2, 3), discount=0.9)
    split = me.from_table(shuffled, n_states=(2, 3), n_actions=(2, 1), discount=0.9)
    np.testing.assert_allclose(dense(split), dense(system), atol=1e-14)
    renamed = {**flat, "state": [f"x{s}" for s in flat["state"]], "next": [f"x{s}" for s in flat["next"]]}
    refused("numbered 0, 1, 2", me.from_table, renamed, n_states=(2, 3), n_actions=(2, 1), discount=0.9)


def test_a_joint_chain_on_the_states_that_it_reaches() -> None:
    """Only these are listed; the same as `from_pairs` with them, rewards in a column or in a table beside."""
    steps = [
        ("u", 0, "d", 0, 1.0, 3),
        ("d", 0, "d", 1, 0.5, 2),
        ("d", 0, "u", 0, 0.5, 6),
        ("d", 1, "u", 0, 1.0, 5),
    ]
    heads = ("state_x", "state_y", "next_x", "next_y", "probability", "reward")
    table = {h: [row[k] for row in steps] for k, h in enumerate(heads)}
    pairs, p = [(0, 0), (1, 0), (1, 1)], [[0, 1, 0], [0.5, 0, 0.5], [1, 0, 0]]
    want = me.JointChain.from_pairs(pairs, p, rewards=[3, 4, 5], discount=0.5)
    bare = {h: v for h, v in table.items() if h != "reward"}
    beside = {"state_x": ["d", "u", "d"], "state_y": [1, 0, 0], "reward": [5, 3, 4]}
    for found in (
        me.from_table(table, discount=0.5),
        me.from_table(bare, rewards=beside, discount=0.5),
        me.from_table(bare, rewards=[3, 4, 5], discount=0.5),
    ):
        assert found.pairs.tolist() == [list(pair) for pair in pairs] and found.labels.names == ("x", "y")
        assert dense(found)[0].tolist() == p and found.labels.states == (("u", "d"), ("0", "1"))
        assert me.value_decomposition(found).error("mu") == me.value_decomposition(want).error("mu") > 0.01
    assert me.from_table(bare).pairs is not None


def test_names_that_are_nearly_whole_numbers() -> None:
    """They are names, in the order of their appearance."""
    for odd in ("--1", "-", "\u0663", "1" * 5000, "1.5"):
        chain = me.from_table({"from": ["2", odd, "1"], "to": [odd, "1", "2"], "p": [1, 1, 1]})
        assert chain.labels.states == (("2", odd, "1"),)
    chain = me.from_table({"from": ["2", "-1", "1"], "to": ["-1", "1", "2"], "p": [1, 1, 1]})
    assert chain.labels.states == (("-1", "1", "2"),)


def test_numbers_of_arms_of_numpy() -> None:
    rows = [(g, s, a, 1 - s, 1.0, s) for g in "xy" for s in (0, 1) for a in (0, 1)]
    table = {h: [row[k] for row in rows] for k, h in enumerate(_HEADS)}
    for n in (3, np.int64(3)):
        assert me.from_table(table, n_arms=n, budget=1, discount=0.9).n_arms.tolist() == [3, 3]


def test_a_chain_from_a_long_table() -> None:
    chain = me.from_table({"from": [10, 2, 2], "to": [2, 2, 10], "p": [1, 0.25, 0.75]})
    assert chain.labels.states == (("2", "10"),) and dense(chain)[0].tolist() == [[0.25, 0.75], [1, 0]]
    paid = {"from": [10, 2, 2], "to": [2, 2, 10], "p": [1, 0.25, 0.75], "reward": [4, 0, 8]}
    assert me.from_table(paid, discount=0.5).rewards.local[0].tolist() == [6, 4]
    refused("actions: .*no column of actions", me.from_table, paid, discount=0.5, actions=["a"])
    refused("n_actions: .*no column of actions", me.from_table, paid, discount=0.5, n_actions=(2, 1))
    named = {"x": [0, 1], "y": [1, 0], "z": [1, 1]}
    roles = {"state": "x", "next": "y", "probability": "z"}
    assert dense(me.from_table(named, columns=roles))[0].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("state,next,probability\na,b,1\n", "no row for state 'b'.*--option terminal=b"),
        ("state,next,probability\na,a,.5\n\na,a,.5\n", r"line 4: got the same transition as in line 2"),
        ("state,next,probability\na,a,x\n", r"line 2, column 'probability': got 'x'"),
        ("state,next,probability\na,a,\n", r"line 2, column 'probability': got nothing"),
        ("state,next,probability\na,,1\n", r"line 2, column 'next': got nothing"),
        ("state,next,probability\na,a,-1\na,b,2\nb,b,1", r"line 2, column 'probability': got -1"),
        ("state,next,probability\na,a\n", r"line 2: got 2 cells"),
        ("state,next,probability\na,a,.9\n", r"state 'a': got a sum of 0.9; .*--option normalize=true"),
        ("state,next,probability,day\na,a,1,2\n", "a column 'day'.*columns="),
        ("state,next,state\na,a,1\n", "two columns 'state'"),
        ("state,next\na,a\n", "one must be 'probability'"),
        ("state,action,next,probability\na,x,a,1\n", "--option rewards=pay.csv"),
        ("state,next,p,prob\na,a,1,1\n", "columns p, prob; one of them"),
        ("state,next,probability\n", "got 1 lines"),
        ('state,next,probability\n"a,a,1\n', "no table"),
        ("a,b\na,.5\n", "no column|cells|no row"),
    ],
)
def test_a_malformed_table_is_refused_where_it_is_wrong(text: str, match: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    refused(match, me.read_model, file)


@pytest.mark.parametrize("end", ["b", "in bed", "7", "é-2", "true", "a,b", "1.0", "1..3"])
def test_the_typed_remedy_is_read_as_that_name(
    end: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    """Whatever a state is called: where the message says what to type, that works."""
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(f'state,next,probability\na,a,.5\na,"{end}",.5\n')
    assert main(["check", "t.csv"]) == 2
    err = capsys.readouterr().err
    assert f"terminal={end!r}" in err and ("--option" in err) == (end in ("b", "in bed", "7", "é-2"))
    if "--option" in err:
        (typed,) = re.findall(r"the command line (.*)\)\.$", err.strip())
        assert main(["check", "t.csv", *shlex.split(typed), "--option", "restart=a"]) == 0
    assert me.read_model("t.csv", terminal=end, restart="a").ends.terminal.tolist() == [1]


def test_the_remedies_of_tables_are_true(tmp_path: Path) -> None:
    rows = "state,next,probability\na,a,.5\na,b,.5\n"
    file = tmp_path / "t.csv"
    file.write_text(rows)
    assert me.read_model(file, terminal="b", restart="a").ends.terminal.tolist() == [1]
    file.write_text(rows + "b,b,1\n")
    assert me.read_model(file).spaces.n_states == (2,)
    file.write_text("state,next,probability\na,a,.5\na,b,.4999\nb,a,1\n")
    with pytest.warns(UserWarning, match="missed 1 by at most 0.0001"):
        me.read_model(file, normalize=True)
    (tmp_path / "pay.csv").write_text("state,action,reward\na,x,3\n")
    file.write_text("state,action,next,probability\na,x,a,1\n")
    system = me.read_model(file, discount=0.9, rewards=str(tmp_path / "pay.csv"))
    assert system.rewards.local[0].tolist() == [3]
    (tmp_path / "pay.csv").write_text("state,action,reward\na,y,3\n")
    refused(
        "line 2, column 'action': got 'y'",
        me.read_model,
        file,
        discount=0.9,
        rewards=str(tmp_path / "pay.csv"),
    )


def test_what_looks_like_a_number_or_a_name(tmp_path: Path) -> None:
    """Nothing is dropped or read otherwise than it stands: underscores, decimal commas beside tabs, late comments."""
    file = tmp_path / "t.tsv"
    head = "state\tnext\tprobability\treward\n"
    for row, match in (
        ("a\ta\t1\t1,234", "column 'reward': got '1,234'"),
        ("a\ta\t1\t1_000", "column 'reward': got '1_000'"),
    ):
        file.write_text(head + row)
        refused(match, me.read_model, file, discount=0.9)
    file.write_text("# a comment\n" + head + "#1\ta\t1\t0\na\t#1\t1\t1")
    assert me.read_model(file, discount=0.9).labels.states == (("#1", "a"),)
    pandas = pytest.importorskip("pandas")
    frame = {"state": ["a", "b"], "next": pandas.Series(["b", None], dtype="string"), "probability": [1, 1]}
    refused("row 1, column 'next': got nothing", me.from_table, frame)
    refused("got True", me.from_table, {"state": ["a"], "next": ["a"], "probability": [True]})
    assert me.from_table({"state": ["a"], "next": ["a"], "probability": ["100 %"]}).n_agents == 1


def test_mutated_tables_and_hostile_options(tmp_path: Path) -> None:
    """Whatever comes, a system or one message of ours."""
    rng, file = random.Random(1), tmp_path / "t.csv"
    texts = [(ROOT / "examples" / name).read_text() for name in ("respiratory.csv", "supermarket.csv")]
    bits = [*"0123456789.,;\t|-e%_ax \n\"'#\0", "nan", "inf", "1e999", "state", ",,", "9" * 400]
    values = [
        None,
        0,
        -1,
        2.5,
        True,
        "",
        b"x",
        [],
        [None],
        (2, 2),
        {},
        np.array(3),
        np.zeros(3),
        10**400,
        object(),
    ]
    values += [[[1, 2], [3]], 1j, float("nan"), range(3), {1}, slice(3), int, np.ma.masked]
    names = [*readers()["table"].options, "columns"]
    for _ in range(400):
        text, kind = rng.choice(texts), rng.choice(["text", "option"])
        for _ in range(rng.randint(1, 3) if kind == "text" else 0):
            i = rng.randrange(len(text))
            text = text[:i] + rng.choice(bits) + text[i + rng.choice([0, 1, 5]) :]
        file.write_text(text)
        options: dict[str, Any] = {"discount": 0.9, "n_agents": 2}
        if kind == "option":
            options |= {rng.choice(names): rng.choice(values) for _ in range(2)}
        with contextlib.suppress(UserError):
            me.from_table(file, **options)


def test_frames_that_are_none() -> None:
    for value in (3, None, {"state": 3}, {"state": "ab"}, {}, [1, 2], {"state": [1], "next": [1, 2]}):
        with pytest.raises(InvalidInput):
            me.from_table(value)


def test_parquet_without_duckdb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingDependency, match="pip install duckdb"):
        me.read_model(tmp_path / "t.parquet")


def test_a_broken_parquet(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    refused("must be a Parquet file", me.read_model, tmp_path / "t.parquet")


# --- MATLAB ------------------------------------------------------------------------------------------------


def test_matlab_files_whatever_their_axes(tmp_path: Path) -> None:
    (kernel,), (pay,) = random_kernels([(2, 4)], 5)  # (A, S, S)
    want = np.einsum("ast,ast->sa", kernel, pay)
    cell, paid = np.empty((1, 2), dtype=object), np.empty((1, 2), dtype=object)
    for a in range(2):
        cell[0, a], paid[0, a] = sp.csc_matrix(kernel[a]), sp.csc_matrix(pay[a])
    file = tmp_path / "m.MAT"
    forms = [
        {"P": kernel.transpose(1, 2, 0), "R": pay.transpose(1, 2, 0)},
        {"P": kernel, "R": pay},
        {"P": kernel.transpose(1, 0, 2), "R": want},
        {"P": cell, "R": paid},
        {"P": cell, "R": sp.csc_matrix(want), "discount": 0.9},
    ]
    for form in forms:
        savemat(str(file), form, appendmat=False)
        said = {} if "discount" in form else {"discount": 0.9}
        system = me.read_model(file, n_states=(2, 2), n_actions=(2, 1), **said)
        np.testing.assert_allclose(dense(system), kernel, atol=1e-14)
        np.testing.assert_allclose(system.rewards.shared, want, atol=1e-13)
        assert system.discount == 0.9
    savemat(str(file), {"P": kernel[0], "R": np.arange(4.0)}, appendmat=False)
    one = me.read_model(file, discount=0.9)
    assert one.spaces.n_states == (4,) and one.rewards.local[0].tolist() == [0, 1, 2, 3]
    savemat(str(file), {"P": kernel[0]}, appendmat=False)
    assert me.read_model(file, n_states=(2, 2)).n_agents == 2


def test_as_many_actions_as_states_need_their_order(tmp_path: Path) -> None:
    (kernel,), _ = random_kernels([(3, 3)], 6)
    file = tmp_path / "m.mat"
    orders = {"SSA": kernel.transpose(1, 2, 0), "ASS": kernel, "SAS": kernel.transpose(1, 0, 2)}
    for order, array in orders.items():
        savemat(file, {"P": array, "R": np.zeros((3, 3))})
        refused("order='SSA'.*--option order=SSA", me.read_model, file, discount=0.9)
        np.testing.assert_allclose(dense(me.read_model(file, discount=0.9, order=order)), kernel, atol=1e-14)
    refused("order: .*SSA, ASS, SAS", me.read_model, file, discount=0.9, order="AS")


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_files_against_scipy(compressed: bool, tmp_path: Path) -> None:
    """Every class of numbers, sparse matrices, cells; what is no number is said to be none."""
    rng = np.random.default_rng(9)
    kinds = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
    given: dict[str, Any] = {f"x{k}": rng.integers(0, 100, (3, 2, 2)).astype(k) for k in kinds}
    given |= {
        "yes": np.array([[True, False]]),
        "empty": np.zeros((0, 3)),
        "one": 5,
        "long_name_of_it": [1.5, 2.5],
    }
    given |= {"s": sp.random(5, 4, 0.4, rng=rng, format="csc"), "zero": sp.csc_matrix((2, 3))}
    given["cell"] = np.empty((1, 3), dtype=object)
    given["cell"][0, :] = [np.eye(2), sp.eye(3, format="csc"), np.zeros((1, 1))]
    savemat(tmp_path / "m.mat", {**given, "text": "abc", "tree": {"a": 1}}, do_compression=compressed)
    found = variables((tmp_path / "m.mat").read_bytes())
    want = {k: v for k, v in loadmat(tmp_path / "m.mat", spmatrix=False).items() if not k.startswith("__")}
    assert set(found) == set(want) and found["text"] is None and found["tree"] is None
    for name in given:
        pairs = (
            zip(found[name], want[name].ravel(), strict=True)
            if name == "cell"
            else [(found[name], want[name])]
        )
        for a, b in pairs:
            assert a.shape == b.shape and sp.issparse(a) == sp.issparse(b)
            np.testing.assert_array_equal(*(x.toarray() if sp.issparse(x) else x for x in (a, b)))


def test_damaged_matlab_files(tmp_path: Path) -> None:
    """One message for whatever is cut or changed; scipy's own parser dies on some of these."""
    rng, file = np.random.default_rng(10), tmp_path / "m.mat"
    (kernel,), _ = random_kernels([(2, 3)], 11)
    cell = np.empty((1, 2), dtype=object)
    cell[0, 0], cell[0, 1] = sp.csc_matrix(kernel[0]), kernel[1]
    for compressed in (False, True):
        savemat(file, {"P": cell, "R": np.zeros((3, 2))}, do_compression=compressed)
        whole = file.read_bytes()
        for _ in range(400):
            data = bytearray(whole)
            for k in rng.integers(len(data), size=rng.integers(1, 4)):
                data[k] = rng.integers(256)
            file.write_bytes(data[: rng.integers(len(data))] if rng.random() < 0.2 else data)
            with contextlib.suppress(UserError):
                me.read_model(file, discount=0.9)


def test_refusals_of_matlab_files(tmp_path: Path) -> None:
    file = tmp_path / "m.mat"
    for content, match in (
        ({"Q": np.eye(2)}, "variables Q; one must be P"),
        ({"P": np.full((2, 2, 3), 0.5)}, "no variable R"),
        ({"P": np.full((2, 3, 4), 0.5), "R": np.zeros((2, 4))}, "shape 2x3x4"),
        ({"P": np.eye(2), "R": np.zeros((3, 1))}, "R: .*shape"),
        ({"P": np.eye(2), "R": np.zeros((2, 1)), "discount": 2.0}, "m.mat: discount: got 2"),
        ({"P": "text", "R": np.zeros((2, 1))}, "P: got text or a structure"),
        ({"P": np.eye(2) + 0.1, "R": np.zeros(2), "discount": 0.9}, "sum"),
    ):
        savemat(file, content)
        refused(match, me.read_model, file)
    file.write_bytes(b"no such thing")
    refused("unreadable file", me.read_model, file)
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    file.write_bytes(head + b"\0" * 400)
    refused("-v7", me.read_model, file)


# --- objects of other libraries ----------------------------------------------------------------------------


def test_solvers_of_pymdptoolbox() -> None:
    """Shapes of `.P` and `.R` as its solvers hold them: tuples, one entry per action, of vectors and matrices."""
    (kernel,), (pay,) = random_kernels([(2, 4)], 7)
    want = np.einsum("ast,ast->sa", kernel, pay)
    for p in (tuple(kernel), tuple(map(sp.csr_matrix, kernel)), kernel):
        for r in (tuple(want.T), want, pay, tuple(pay), tuple(map(sp.csr_matrix, pay))):
            solver = SimpleNamespace(P=p, R=r, discount=0.8)
            system = me.from_mdp(solver, n_states=(2, 2), n_actions=(1, 2))
            np.testing.assert_allclose(dense(system), kernel, atol=1e-14)
            np.testing.assert_allclose(system.rewards.shared, want, atol=1e-13)
            assert system.discount == 0.8
    flat = me.from_mdp(SimpleNamespace(P=kernel, R=np.arange(4.0), discount=0.8), discount=0.5)
    assert flat.discount == 0.5 and flat.rewards.local[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    ends = me.from_mdp(SimpleNamespace(P=kernel, R=want, discount=0.8), terminal=[3], restart=0)
    assert ends.ends.terminal.tolist() == [3] and ends.ends.restart.tolist() == [1, 0, 0, 0]
    as_said = {"terminal": [(1, 1)], "restart": (0, 1)}  # as a verdict words it
    ends = me.from_mdp(
        SimpleNamespace(P=kernel, R=want, discount=0.8), n_states=(2, 2), n_actions=(2, 1), **as_said
    )
    assert ends.ends.terminal.tolist() == [3] and ends.ends.restart.tolist() == [0, 1, 0, 0]


def test_pymdptoolbox_itself() -> None:
    mdp, example = (pytest.importorskip(f"mdptoolbox.{name}") for name in ("mdp", "example"))
    system = me.from_mdp(mdp.PolicyIteration(*example.forest(), 0.9))
    assert dense(system).tolist() == [[[0.1, 0.9, 0], [0.1, 0, 0.9], [0.1, 0, 0.9]], [[1, 0, 0]] * 3]
    assert system.rewards.local[0].tolist() == [0, 0, 0, 1, 4, 2]


def test_objects_of_quantecon() -> None:
    """Puterman's two-state problem: in its second state the second action is not available."""
    markov = pytest.importorskip("quantecon.markov")
    r, q = [[5, 10], [-1, -np.inf]], [[(0.5, 0.5), (0, 1)], [(0, 1), (0.5, 0.5)]]
    product = markov.DiscreteDP(r, q, 0.95)
    for form in (product, product.to_sa_pair_form(sparse=True), product.to_sa_pair_form(sparse=False)):
        system = me.from_mdp(form)
        assert dense(system).tolist() == [[[0.5, 0.5], [0, 1]], [[0, 1], [0, 0]]]
        assert system.rewards.local[0].tolist() == [5, 10, -1, 0] and system.discount == 0.95
    best = me.optimal_policy(system)
    v = system.under(best)
    q_best = me.value_decomposition(v).joint_q
    assert v.pairs[:, 0].tolist() == [0, 2]
    np.testing.assert_allclose(q_best, product.solve().v, rtol=1e-6)
    chain = me.from_mdp(markov.MarkovChain([[0.5, 0.5], [0.2, 0.8]], state_values=["low", "high"]))
    assert chain.labels.states == (("low", "high"),) and dense(chain)[0].tolist() == [[0.5, 0.5], [0.2, 0.8]]
    refused("n_actions: .*no actions", me.from_mdp, markov.MarkovChain(np.eye(2)), n_actions=(1,))
    odd = SimpleNamespace(P=np.eye(2), state_values=["a"])
    refused("state_values: .*each of the 2 states", me.from_mdp, odd)
    four = me.from_mdp(markov.MarkovChain(np.full((4, 4), 0.25)), n_states=(2, 2))
    assert four.n_agents == 2
    p = np.random.default_rng(8).dirichlet(np.ones(6), size=6)
    grid = np.array(
        [(b, a) for a in (0.5, 1.5) for b in (3.0, 2.0, 1.0)]
    )  # the first column falls, and runs fastest
    pair = me.from_mdp(markov.MarkovChain(p, state_values=grid))
    assert pair.labels.states == (("1", "2", "3"), ("0.5", "1.5"))
    at = [int(np.flatnonzero((grid == (b, a)).all(axis=1))[0]) for b in (1, 2, 3) for a in (0.5, 1.5)]
    np.testing.assert_array_equal(dense(pair)[0], p[np.ix_(at, at)])
    refused(
        "state_values: .*grid",
        me.from_mdp,
        markov.MarkovChain(p[:5, :5] / p[:5, :5].sum(1)[:, None], grid[:5]),
    )


def test_objects_that_are_none() -> None:
    refused("object: .*P, R and discount", me.from_mdp, object())
    refused(r"object.P\[0\]: got shape 2", me.from_mdp, SimpleNamespace(P=np.eye(2), R=[0, 1], discount=0.9))
    refused("object: discount: got 1.5", me.from_mdp, SimpleNamespace(P=[np.eye(2)], R=[0, 1], discount=1.5))
    bad = SimpleNamespace(Q=np.zeros((2, 2)), R=np.zeros((2, 2)), beta=0.9)
    refused("object.Q: .*Q is", me.from_mdp, bad)


# --- without a discount ------------------------------------------------------------------------------------

_P, _R = np.array([[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.75, 0.25]]]), np.array([[0.0, 1.0], [1.0, 2.0]])
_ROWS = [(s, a, t, _P[a, s, t], _R[s, a]) for a in (0, 1) for s in (0, 1) for t in (0, 1)]
_LONG = dict(zip(("state", "action", "next", "probability", "reward"), zip(*_ROWS, strict=True), strict=True))
_STEPS = {s: {a: [(_P[a, s, t], t, _R[s, a], False) for t in (0, 1)] for a in (0, 1)} for s in (0, 1)}
_TEXT = "values: reward\nstates: 2\nactions: 2\nT: 0\nuniform\nT: 1 : 0\nuniform\nT: 1 : 1\n.75 .25\nR: * : 1 : * 1\n"

_CHOICES = "2 4 6\n0 0 0 1\n0 1 1 1\n1 0 0 .5\n1 0 1 .5\n1 1 0 .75\n1 1 1 .25\n"


def _file(folder: Path, name: str, content: Any) -> Path:
    file = folder / name
    savemat(file, content) if name.endswith(".mat") else file.write_text(content)
    return file


@pytest.mark.parametrize(
    "made",
    [
        lambda _: me.from_table(_LONG),
        lambda _: me.from_table(_LONG, n_agents=2, budget=1),
        lambda _: me.from_table(_LONG, n_arms=4, budget=1),
        lambda _: me.from_table({"0": [0.5, 0.75], "1": [0.5, 0.25]}, rewards=[0, 1]),
        lambda _: me.from_gymnasium(_STEPS),
        lambda _: me.from_gymnasium(_STEPS, n_agents=2),
        lambda _: me.from_mdp(SimpleNamespace(P=_P, R=_R)),
        lambda _: me.from_mdp(SimpleNamespace(P=_P, R=_R, discount=1)),
        lambda _: me.from_mdp(SimpleNamespace(Q=_P.swapaxes(0, 1), R=_R, beta=1.0)),
        lambda p: me.read_model(_file(p, "m.mat", {"P": _P, "R": _R}), order="ASS"),
        lambda p: me.read_model(_file(p, "m.mat", {"P": _P, "R": _R, "discount": 1.0}), order="ASS"),
        lambda p: me.read_model(_file(p, "m.mdp", _TEXT)),
        lambda p: me.read_model(_file(p, "m.mdp", "discount: 1.0\n" + _TEXT)),
        lambda p: me.read_model(_file(p, "m.tra", _CHOICES), rewards=_R),
    ],
)
def test_without_a_discount_everything_but_values(made: Any, tmp_path: Path) -> None:
    system = made(tmp_path)
    assert system.discount is None and system.rewards is not None
    policy = "myopic" if getattr(system, "budget", None) else "uniform"
    result = me.analyze(system, None if isinstance(system, me.JointChain) else policy)
    assert result.entanglements and result.values is None and "discount missing" in result.why_no_values


# --- files by their endings, and the command line ------------------------------------------------------------


def test_records() -> None:
    found = readers()
    assert {"table", "mat"} <= set(found)
    every = [s for r in found.values() for s in r.suffixes]
    assert len(set(every)) == len(every) and all(s == s.lower() and s.startswith(".") for s in every)
    page = (ROOT / "docs" / "readers.md").read_text()
    for suffix in (*every, ".toml"):
        assert suffix in endings()
    assert all(f"`{s}`" in page for r in ("table", "mat") for s in found[r].suffixes)


def test_read_model(tmp_path: Path) -> None:
    file = tmp_path / "parity.toml"
    me.save(file, me.gallery.build("parity").system)
    assert me.read_model(file)[1] is None
    refused("n_states: .*TOML files take no options", me.read_model, file, n_states=(2, 2))
    refused(r"ends in '.xls'; files that are read end in .*\.csv", me.read_model, "trips.xls")
    refused("a name without an ending", me.read_model, "trips")
    refused("no such file", me.read_model, tmp_path / "none.csv")
    refused("order: .*table files take", me.read_model, "trips.csv", order="SSA")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    refused("UTF-16", me.read_model, tmp_path / "bytes.csv")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("analyze grid.py", ["module:attr, e.g. grid:", ".csv"]),
        ("analyze trips.xlsx", ["module:attr", ".csv", ".parquet"]),
        ("analyze gallery:parity --n-states 2,2", ["n_states", "no parameters"]),
        ("analyze a.toml --n-actions 2,2", ["n_actions", "TOML"]),
        ("check a.toml --option order=SSA", ["order", "TOML"]),
        ("analyze a.csv --option order", ["--option", "NAME=VALUE"]),
        ("analyze a.csv --n-states two", ["--n-states", "comma-separated"]),
        ("analyze a.csv", ["no such file"]),
        (f"check a:{'a' * 300}", ["SYSTEM", "be importable"]),
        (f"check a:{'a' * 300}.csv", ["no such file"]),
    ],
)
def test_refusals_of_the_command_line(
    argv: str, words: list[str], capsys: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv.split()) == 2
    err = capsys.readouterr().err
    assert all(word in err for word in words), err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("state", ("1_2", "007", "Infinity", "nan", "-0", "\u0663", "12", "-3", "1e5x"))
def test_names_of_states_that_look_like_numbers(
    state: str, capsys: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    """A name is that state and no other; what a refusal says works as it stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(f"state,next,probability\na,b,.5\na,{state},.5\nb,a,1\n")
    assert main(["check", "t.csv"]) == 2
    err = capsys.readouterr().err
    assert ("on the command line" in err) == (state in ("007", "Infinity", "nan", "12", "\u0663")), err
    assert main(["check", "t.csv", "--option", f"terminal={state}", "--option", "restart=a"]) == 0
    (tmp_path / "t.csv").write_text("state,next,probability\na,7,.5\na,12,.5\n7,a,1\n12,a,1\n")
    if state not in ("12", "-3"):  # no other state is taken for it
        assert main(["check", "t.csv", "--option", f"terminal={state}", "--option", "restart=a"]) == 2
        assert f"'{state}'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ("1.5", "-1.5", "1.", ".5", "1e3", "-1e-3", "1.5e2"))
def test_numbers_on_the_command_line(text: str) -> None:
    from markov_entanglement.cli.subject import options_of

    found = options_of(None, None, [f"x={text}"])["x"]
    assert isinstance(found, float) and found == float(text)


def test_a_rounded_file_on_the_command_line(capsys: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("state,next,probability\na,a,.5\na,b,.4999\nb,a,1\n")
    assert main(["check", "t.csv"]) == 2
    assert "--option normalize=true" in capsys.readouterr().err
    assert main(["check", "t.csv", "--option", "normalize=true"]) == 0
    out, err = capsys.readouterr()
    assert "2 pairs" in out or "joint pairs" in out
    assert "rows were divided by their sums, which missed 1 by at most 0.0001" in " ".join(out.split())
    assert err.startswith("note: t.csv: rows were divided by their sums") and len(err.splitlines()) == 1
    (tmp_path / "p.csv").write_text("state,reward\na,1\nb,0\n")
    argv = [
        "analyze",
        "t.csv",
        "--option",
        "normalize=true",
        "--option",
        "rewards=p.csv",
        "--discount",
        "0.9",
    ]
    assert main([*argv, "--json", "p.csv"]) == 2  # an input is never replaced
    assert main(argv) == 0


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.S)


_PAGE = (ROOT / "docs" / "readers.md").read_text()
_COMMANDS = [line for block in blocks(_PAGE, "console") for line in block.splitlines()]
#: What `tests/test_subjects.py` runs is not run twice.
_SUBJECTS = (ROOT / "docs" / "subjects.md").read_text()


def test_commands_of_the_page_stand_beside_the_files() -> None:
    text = (ROOT / "examples" / "README.md").read_text()
    assert [c for c in _COMMANDS if f"`{c}`" not in text] == []


@pytest.mark.parametrize("command", [c for c in _COMMANDS if c not in _SUBJECTS], ids=lambda c: c.split()[2])
def test_from_clone_to_verdict_in_one_command(command: str, capsys: Any, monkeypatch: Any) -> None:
    for package in ("gymnasium", "quantecon"):
        pytest.importorskip(package)
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)[1:]) == 0
    out, err = capsys.readouterr()
    assert re.match(r"\[(add|do-not-add|cannot-tell)\] ", out) and err == ""


@pytest.mark.parametrize("code", blocks(_PAGE, "python"), ids=lambda c: c.split("me.")[1][:12])
def test_python_of_the_page(code: str, monkeypatch: Any, capsys: Any) -> None:
    pytest.importorskip("pyRDDLGym" if ".rddl" in code else "gymnasium")
    monkeypatch.chdir(ROOT)
    exec(compile(code, "readers.md", "exec"), {})
    assert capsys.readouterr().out


def test_every_example_has_its_line() -> None:
    text = (ROOT / "examples" / "README.md").read_text()
    for file in (ROOT / "examples").iterdir():
        assert file.name in ("README.md", "__init__.py", "__pycache__") or f"`{file.name}`" in text


# --- the examples' numbers -----------------------------------------------------------------------------------


def test_the_supermarket() -> None:
    """Minutes in each aisle: the start's row of (I - T)^-1, by the raw table."""
    lines = (ROOT / "examples" / "supermarket.csv").read_text().splitlines()[2:]
    heads = lines[0].split(";")[1:]
    rows = {
        line.split(";")[0]: dict(zip(heads, map(float, line.split(";")[1:]), strict=True))
        for line in lines[1:]
    }
    aisles = list(rows)
    t = np.array([[rows[a].get(b, 0.0) for b in aisles] for a in aisles])
    visits = np.linalg.inv(np.eye(len(t)) - t)[aisles.index("entrance")]
    system = me.read_model(ROOT / "examples" / "supermarket.csv", terminal="checkout", restart="entrance")
    chain = system.under()
    names = [system.labels.states[0][int(s[0])] for s in chain.states]
    assert names == aisles
    np.testing.assert_allclose(chain.stationary.law, visits / visits.sum(), rtol=1e-10)


def test_the_patients() -> None:
    """Counted shares; Whittle indices by bisection on the raw two-state problem with a charge for treatment."""
    counts = np.array([[[100, 26], [27, 75]], [[49, 29], [19, 119]]])
    p = counts / counts.sum(axis=2, keepdims=True)
    system = me.read_model(ROOT / "examples" / "respiratory.csv", n_arms=111, budget=22, discount=0.9)
    np.testing.assert_allclose(np.asarray(system.kernels).reshape(2, 2, 2), p, atol=5e-7)
    assert system.labels.states == (("poor", "good"),) and system.labels.actions == (
        ("placebo", "treatment"),
    )

    def gain(charge: float, s: int) -> float:
        v = np.zeros(2)
        for _ in range(400):
            q = np.array([[0.0, 1.0] - a * charge * np.ones(2) + 0.9 * p[a] @ v for a in (0, 1)])
            v = q.max(axis=0)
        return float(q[1, s] - q[0, s])

    for s, got in enumerate(np.ravel(me.whittle_index(system).index)):
        low, high = -1.0, 2.0
        for _ in range(40):
            mid = (low + high) / 2
            low, high = (mid, high) if gain(mid, s) > 0 else (low, mid)
        assert abs(got - low) < 1e-4


def test_the_fire(tmp_path: Path, monkeypatch: Any) -> None:
    """Made by the script beside it; entries of the published model by hand."""
    monkeypatch.setattr(sys, "argv", ["make_fire.py", str(tmp_path / "fire.mat")])
    runpy.run_path(str(ROOT / "examples" / "make_fire.py"))
    made, held = (loadmat(f) for f in (tmp_path / "fire.mat", ROOT / "examples" / "fire.mat"))
    np.testing.assert_array_equal(made["P"], held["P"])
    p = held["P"].reshape(7, 13, 7, 13, 2)
    # two years after a fire a patch is .4 suitable: up .5 * .4, down .5 * .6
    np.testing.assert_allclose([p[3, 2, x, 3, 0] for x in (2, 3, 4)], [0.3, 0.5, 0.2], atol=1e-15)
    # a fire takes a class away, and its year is 0; the last class holds all later years
    np.testing.assert_allclose([p[3, 2, x, 0, 1] for x in (1, 2, 3)], [0.3, 0.5, 0.2], atol=1e-15)
    np.testing.assert_allclose([p[6, 12, x, 12, 0] for x in (5, 6)], [0.25, 0.75], atol=1e-15)
    assert p[0, 4, 0, 5, 0] == 1.0 and p[1, 0, 0, 0, 1] == 1.0 and held["R"].sum() == 78
