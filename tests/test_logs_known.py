"""Logs that carry more than steps: laws of next pairs (Eq. 9) and chances of actions (Prop. 7.2 by Eq. 10)."""

from __future__ import annotations

import json
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.optimize import linprog

import markov_entanglement as me
import oracles_space as oracle
from markov_entanglement.cli.app import main
from markov_entanglement.data.carried import best_policy
from markov_entanglement.errors import InvalidInput, Unsupported

S, A = 2, 3


class World(NamedTuple):
    """Two agents with two states, on kernels of their own, whose three actions each are drawn together."""

    kernels: Any  # (2, A, S, S)
    policy: Any  # (S, S, A, A)
    pairs: Any  # (36, 2)
    p: Any  # (36, 36)
    mu: Any  # (36,)


@cache
def world() -> World:
    rng = np.random.default_rng(5)
    kernels = rng.dirichlet(np.ones(S), (2, A, S))
    policy = rng.dirichlet(0.7 * np.ones(A * A), (S, S)).reshape(S, S, A, A)
    every = list(product(range(S), range(A), range(S), range(A)))
    pairs = np.array([(A * s + a, A * t + b) for s, a, t, b in every])
    p = np.array(
        [
            [
                kernels[0, a, s, u] * kernels[1, b, t, v] * policy[u, v, c, d]
                for u, c, v, d in product(range(S), range(A), range(S), range(A))
            ]
            for s, a, t, b in every
        ]
    )
    mu = np.linalg.matrix_power(p, 2000)[0]
    return World(kernels, policy, pairs, p, mu)


def walks(runs: int, steps: int, seed: int = 0) -> Any:
    """(runs, steps + 1) joint pairs of the world from its stationary law, drawn side by side."""
    w, rng = world(), np.random.default_rng(seed)
    rows, found = w.p.cumsum(axis=1), np.empty((runs, steps + 1), dtype=np.int64)
    found[:, 0] = rng.choice(36, runs, p=w.mu)
    for t in range(steps):
        draws = rng.random((runs, 1))
        found[:, t + 1] = np.minimum((rows[found[:, t]] < draws).sum(axis=1), 35)
    return found


def chances(x: Any) -> Any:
    """(T, 2) of the actions taken, each given the joint state."""
    s, a = np.divmod(world().pairs[x], A)
    own = [world().policy.sum(axis=3), world().policy.sum(axis=2)]
    return np.column_stack([own[i][s[:, 0], s[:, 1], a[:, i]] for i in range(2)])


def laws(x: Any) -> list[Any]:
    """Of each agent (T, 6) the law of its next pair."""
    return [oracle.next_laws(world().p, world().pairs, i)[x] for i in range(2)]


def arrays(x: Any) -> dict[str, Any]:
    s, a = np.divmod(world().pairs[x], A)
    return {"states": s, "actions": a, "n_states": S, "n_actions": A}


def test_the_best_policy_is_that_of_a_linear_program() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        steps, actions = int(rng.integers(1, 25)), int(rng.integers(1, 5))
        a, p = rng.integers(0, actions, steps), rng.choice([0.1, 0.25, 0.5, 0.9, 1.0], steps)
        q = best_policy(np.ones(steps, dtype=np.int64), a, p, (2, actions))
        assert q.sum(axis=1) == pytest.approx(1.0) and (q >= 0).all() and q[0] == pytest.approx(1 / actions)
        # variables: M, then what each step misses, at least 1 - M(a)/p and at least 0
        rows = np.column_stack([-np.eye(actions)[a] / p[:, None], -np.eye(steps)])
        found = linprog(
            np.append(np.zeros(actions), np.ones(steps)), A_ub=rows, b_ub=-np.ones(steps),
            A_eq=[np.append(np.ones(actions), np.zeros(steps))], b_eq=[1.0],
        )  # fmt: skip
        assert np.maximum(1 - q[1, a] / p, 0).sum() == pytest.approx(found.fun, abs=1e-9)


def test_the_chance_of_the_action_taken_is_enough() -> None:
    """The identity behind it: E_{a ~ pi} (1 - M(a)/pi(a))^+ = TV(pi, M)."""
    rng = np.random.default_rng(1)
    for pi, M in rng.dirichlet(np.ones(4), (20, 2)):
        assert pi @ np.maximum(1 - M / pi, 0) == pytest.approx(0.5 * np.abs(pi - M).sum())


def test_limits_hold_the_truth() -> None:
    """100 logs; 95 % fail in 5 of 100 on average, more than 13 in one of 2,000."""
    w = world()
    pair, _, policy = oracle.policy_or_system(w.p, w.pairs, w.mu, [A, A])
    held, wide = np.zeros((2, 2)), np.zeros((2, 2))
    for x in walks(100, 2000):
        log = me.read_logs(**arrays(x[:-1]), chance=chances(x[:-1]), laws=laws(x[:-1]))
        for k, (distance, truth) in enumerate((("mu-atv", pair), ("policy", policy))):
            low, high = me.entanglement(log, distance).interval.T
            held[k] += (low <= truth) & (truth <= high)
            wide[k] += (high - low) / 100
    assert (held >= 87).all()
    assert (wide < [[0.01], [0.05]]).all() and (pair > 0.01).all() and (policy > 0.05).all()


def test_nothing_is_found_where_there_is_nothing() -> None:
    coins = np.random.default_rng(0).integers(0, 2, (400, 2))
    log = me.read_logs(
        states=np.zeros_like(coins),
        actions=coins,
        chance=np.full((400, 2), 0.5),
        laws=[np.full((400, 2), 0.5)] * 2,
    )
    assert log.mode == "laws known" and me.entanglement(log).interval[:, 0] == pytest.approx(0.0)
    assert me.entanglement(log).per_agent == pytest.approx(0.0)
    assert me.entanglement(log, "policy").per_agent == pytest.approx(0.0, abs=1e-12)


def test_in_sample_is_the_minimum_on_raw_arrays() -> None:
    x = walks(1, 500, seed=3)[0]
    log = me.read_logs(**arrays(x), laws=laws(x), chance=chances(x))
    for i, law in enumerate(laws(x)):
        key = world().pairs[x, i]
        best = oracle.row_measure(key, np.full(len(x), 1 / len(x)), law)
        assert me.entanglement(log).per_agent[i] == pytest.approx(best, abs=2e-4)  # batches differ by a step


def test_modes_and_what_they_claim(tmp_path: Path) -> None:
    x = walks(1, 1500, seed=4)[0]
    plain = me.analyze(me.read_logs(**arrays(x)))
    some = me.analyze(me.read_logs(**arrays(x), chance=chances(x)))
    full = me.analyze(me.read_logs(**arrays(x), chance=chances(x), laws=laws(x)))
    assert [f.mode for f in (plain, some, full)] == ["logs only", "policy known", "laws known"]
    assert (
        some.sentence.startswith("Policy known, 1,501 steps.") and "asserted and not tested" in some.sentence
    )
    assert full.sentence.startswith("Laws known, 1,501 steps.")
    assert set(plain.entanglements) == {"mu-atv"} and set(some.entanglements) == {"mu-atv", "policy"}
    said = some.to_dict()["logs"]
    assert "Prop. 7.2" in said["can"] and "asserted" in said["cannot"]
    assert "Eq. 9" in full.to_dict()["logs"]["can"] and "Prop. 7.2" not in plain.to_dict()["logs"]["can"]
    # what was logged is all that the limits without laws have
    logged = plain.entanglements["mu-atv"]
    assert some.entanglements["mu-atv"].lower == pytest.approx(logged.lower)
    full.save_json(tmp_path / "a.json")
    full.save_html(tmp_path / "a.html")
    assert me.read_result(tmp_path / "a.json").summary() == full.summary()
    assert "Laws known, 1,501 steps" in (tmp_path / "a.html").read_text()
    assert full.to_dict()["entanglement"]["mu-atv"]["method"] == "from logs"


def test_kernels_that_are_not_their_own_are_found() -> None:
    """Agent 1 goes where agent 0 was and has no choice: its policy couples nothing, and it is entangled."""
    coins = np.random.default_rng(0).integers(0, 2, 3001)
    states = np.column_stack([coins[1:], coins[:-1]])
    found = me.analyze(me.read_logs(states=states, chance=np.ones((3000, 2)), n_states=2))
    assert "Agents do not move on kernels of their own: E_i of agent 1 is at least" in found.sentence


def test_shards_keep_what_comes_with_the_steps(tmp_path: Path) -> None:
    x = walks(1, 300, seed=5)[0]
    given = arrays(x) | {"chance": chances(x), "laws": laws(x)}
    log = me.read_logs(**given)
    log.save(tmp_path / "a")
    me.read_logs(**given, store=tmp_path / "b")
    for folder in ("a", "b"):
        again = me.read_logs(tmp_path / folder)
        assert again.known == ("laws", "policy") and again.mode == "laws known"
        for distance in ("mu-atv", "policy"):
            found = me.entanglement(again, distance).interval
            assert found == pytest.approx(me.entanglement(log, distance).interval)
    chunk = next(iter(me.read_logs(tmp_path / "a")))
    assert chunk.laws.shape == (len(chunk.ended), 14)
    assert chunk.laws[:300, :6] == pytest.approx(laws(x)[0][:300]) and (chunk.laws[:, [6, 13]] == 0).all()


def test_folders_of_the_first_schema_are_read(tmp_path: Path) -> None:
    x = walks(1, 200, seed=6)[0]
    me.read_logs(**arrays(x), chance=chances(x)).save(tmp_path / "a")
    me.read_logs(**arrays(x)).save(tmp_path / "b")
    for folder, mode in (("a", "policy known"), ("b", "logs only")):
        file = tmp_path / folder / "meta.json"
        meta = json.loads(file.read_text())
        del meta["known"]
        file.write_text(json.dumps(meta | {"schema": 1}))
        assert me.read_logs(tmp_path / folder).mode == mode
    file.write_text(json.dumps(meta | {"schema": 3}))
    with pytest.raises(InvalidInput, match="schema 1 to 2"):
        me.read_logs(tmp_path / "b")
    file.write_text(json.dumps(meta | {"schema": 2, "known": 7}))
    with pytest.raises(InvalidInput, match=r"meta\.json"):
        me.read_logs(tmp_path / "b")


def test_absent_agents_have_no_law() -> None:
    x = walks(1, 400, seed=7)[0]
    given, law = arrays(x), laws(x)
    given["states"][100:200, 1] = -1
    law[1][100:200] = np.nan
    log = me.read_logs(**given, laws=law, episode=np.arange(401) // 100)
    found = me.entanglement(log)
    assert np.isfinite(found.interval).all()
    few = arrays(x)
    few["states"][np.arange(401) % 20 != 0, 1] = -1
    assert np.isnan(me.entanglement(me.read_logs(**few, laws=laws(x))).interval[1]).all()


def test_a_task_that_ends_has_a_chance_of_it() -> None:
    """A task ends with chance .1 at each step; agent 0 is of a coin that stays in a task, agent 1 alone."""
    rng = np.random.default_rng(0)
    ended, coins = rng.random(1000) < 0.1, rng.integers(0, 2, (1000, 2))
    given = {
        "states": coins,
        "terminated": ended,
        "episode": np.append(0, np.cumsum(ended)[:-1]),
        "n_states": 2,
    }
    law = np.tile([0.45, 0.45, 0.1], (1000, 1))
    assert me.entanglement(me.read_logs(**given, laws=[law, law])).per_agent == pytest.approx(0.0)
    with pytest.raises(InvalidInput, match="no chance that the task ends"):
        me.read_logs(**given, laws=[law[:, :2] / 0.9] * 2)


def test_laws_that_cannot_be_meant() -> None:
    x = walks(1, 50, seed=8)[0]
    given, law = arrays(x), laws(x)
    wrong = [law[0].copy(), law[1]]
    wrong[0][7] *= 0.5
    with pytest.raises(InvalidInput, match=r"laws\[0\], row 7: got a sum of 0.5;"):
        me.read_logs(**given, laws=wrong)
    wrong[0][7] *= 2.0  # the remedy is followed
    assert me.read_logs(**given, laws=wrong).mode == "laws known"
    after = world().pairs[x[8], 0]
    wrong[0][7] = np.eye(6)[(after + 1) % 6]
    with pytest.raises(
        InvalidInput, match=rf"laws\[0\], row 7: got no chance of the pair that followed, {after};"
    ):
        me.read_logs(**given, laws=wrong)
    with pytest.raises(InvalidInput, match="in the order of agents"):
        me.read_logs(**given, laws=dict(enumerate(law)))
    with pytest.raises(InvalidInput, match="laws: got 1 arrays"):
        me.read_logs(**given, laws=law[:1])
    with pytest.raises(InvalidInput, match=r"laws\[1\]: got shape 51x5"):
        me.read_logs(**given, laws=[law[0], law[1][:, :5]])
    frame = {"t": [0, 1], "agent": [0, 0], "state": [0, 1]}
    with pytest.raises(Unsupported, match=r"arrays or a me\.Path"):
        me.read_logs(frame, laws=law)
    with pytest.raises(Unsupported, match="classifier"):
        me.entanglement(me.read_logs(**given, laws=law), classifier=object())
    with pytest.raises(Unsupported, match="chance="):
        me.entanglement(me.read_logs(**given, laws=law), "policy")
    assert me.entanglement(me.read_logs(**given, chance=chances(x)), "policy").distance == "policy"


def test_laws_beside_a_path() -> None:
    """The pair of appendix-e: E = 0 and .4."""
    chain = me.gallery.build("appendix-e").chain()
    path = me.simulate(chain.system, chain.policy, 2000, rng=0)
    pairs = path.states[:2000] * chain.system.spaces.n_actions + path.actions
    place = {tuple(p): k for k, p in enumerate(chain.pairs.tolist())}
    x = np.array([place[tuple(p)] for p in pairs.tolist()])
    log = me.read_logs(path, laws=[chain.rows(i).law[x] for i in range(2)])
    assert log.mode == "laws known" and me.entanglement(log).per_agent == pytest.approx([0.0, 0.4], abs=0.05)


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.5, np.inf])
def test_chances_that_nothing_has(bad: float, tmp_path: Path) -> None:
    given = np.full((20, 2), 0.5)
    given[3, 1] = bad
    states = np.zeros((20, 2), dtype=int)
    with pytest.raises(InvalidInput, match="chance"):
        me.read_logs(states=states, chance=given)
    rows = {"t": np.repeat(np.arange(20), 2), "agent": np.tile([0, 1], 20), "state": states.ravel()}
    with pytest.raises(InvalidInput, match="chance"):
        me.read_logs(rows | {"chance": given.ravel()})
    table = ["t,agent,state,chance", *(f"{t},{i},0,{given[t, i]}" for t in range(20) for i in range(2))]
    (tmp_path / "a.csv").write_text("\n".join(table))
    with pytest.raises(InvalidInput, match=r"a\.csv.*chance"):
        me.read_logs(tmp_path / "a.csv")
    # the remedy is followed: the column is left out
    (tmp_path / "b.csv").write_text("\n".join(row.rpartition(",")[0] for row in table))
    assert me.read_logs(tmp_path / "b.csv").mode == "logs only"


def test_text_without_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("markov_entanglement.data.read._has_duckdb", lambda: False)
    (tmp_path / "a.csv").write_text("t,agent,state,chance\n0,0,0,0.5\n1,0,1,2\n")
    with pytest.raises(InvalidInput, match=r"a\.csv, line 3.*chance"):
        me.read_logs(tmp_path / "a.csv")


def test_too_short_a_log_says_how_many_more_steps() -> None:
    """Agents that keep their state with .98: 20 batches of 40 steps are within their memory, of 400 are not."""
    rng = np.random.default_rng(0)
    states = np.cumsum(rng.random((8000, 2)) < 0.02, axis=0) % 2
    law = [np.where(states[:, [i]] == [0, 1], 0.98, 0.02) for i in range(2)]
    short = me.entanglement(me.read_logs(states=states[:800], laws=[a[:800] for a in law], n_states=2))
    assert "more steps would tell" in short.caution and (short.interval == [0, 1]).all()
    assert not me.entanglement(me.read_logs(states=states, laws=law, n_states=2)).caution
    for many, told in ((800, False), (8000, True)):
        log = me.read_logs(states=states[:many], chance=np.ones((many, 2)), n_states=2)
        said = me.analyze(log, distances=["policy"]).sentence
        assert ("no E_i is above" in said) == told and ("cannot be told: agent" in said) != told


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = walks(1, 500, seed=9)[0]
    s, a, p = arrays(x)["states"], arrays(x)["actions"], chances(x)
    rows = (f"{t},{i},{s[t, i]},{a[t, i]},{p[t, i]:.17g}" for t in range(501) for i in range(2))
    Path("log.csv").write_text("\n".join(["t,agent,state,action,propensity", *rows]))
    assert main(["logs", "log.csv", "--chance", "propensity", "--json", "a.json", "--store", "kept"]) == 0
    first = capsys.readouterr().out
    assert "Policy known, 501 steps" in first and me.read_result("a.json").mode == "policy known"
    assert main(["logs", "log.csv", "--chance", "propensity", "--store", "kept", "--resume"]) == 0
    assert "Policy known, 501 steps" in capsys.readouterr().out
    assert main(["logs", "log.csv"]) == 0 and "Logs only" in capsys.readouterr().out
    assert main(["logs", "log.csv", "--chance", "t"]) == 2 and "above 0" in capsys.readouterr().err
