"""Cassandra's and MADP's files: every form of a line against an independent reading, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from brute import laws
from markov_entanglement.errors import InvalidInput, UserError

#: Relay with four states, written from its description (shuffling mixes the own side, both shuffling mixes all,
#: exchanging together from l1r1 mixes all, all else stays).
RELAY = """\
agents: 2          # or their names
discount: 0.9
values: reward
states: l1r1 l1r2 l2r1 l2r2
start:
uniform
actions:
shuffle exchange sense
shuffle exchange sense
observations:
2
2
T: * :
identity
T: shuffle * : l1r1 :
0.5 0 0.5 0
T: shuffle * : l1r2 :
0 0.5 0 0.5
T: shuffle * : l2r1 :
0.5 0 0.5 0
T: shuffle * : l2r2 :
0 0.5 0 0.5
T: * shuffle : l1r1 :
0.5 0.5 0 0
T: * shuffle : l1r2 :
0.5 0.5 0 0
T: * shuffle : l2r1 :
0 0 0.5 0.5
T: * shuffle : l2r2 :
0 0 0.5 0.5
T: shuffle shuffle :
uniform
T: exchange exchange : l1r1 :
uniform
O: * :
uniform
R: exchange exchange : l1r1 : * : * : 10
"""
TIGER = """\
# Cassandra's dialect: no colon before the values
discount: 0.75
values: reward
states: left right
actions: listen open-left open-right
observations: hear-left hear-right
T: listen
identity
T: open-left
uniform
T: open-right
uniform
O: listen
0.85 0.15
0.15 0.85
O: open-left
uniform
O: open-right
uniform
R: listen : * : * : * -1
R: open-left : left : * : * -100
R: open-left : right : * : * 10
R: open-right : left : * : * 10
R: open-right : right : * : * -100
"""


def write(folder: Path, text: str, name: str = "model.dpomdp") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def arrays(system: Any) -> tuple[np.ndarray, np.ndarray]:
    """(A, S, S) and (S, A)."""
    pay = system.rewards
    table = pay.shared if pay.local is None else pay.local[0].reshape(system.spaces.joint_states, -1)
    return np.stack([k.toarray() for k in system.kernel]), table


def test_relay_has_the_numbers_of_its_description(tmp_path: Path) -> None:
    system = me.read_model(write(tmp_path, RELAY), n_states=(2, 2))
    chain = system.under("uniform")
    assert me.entanglement(chain, "mu-atv").per_agent == pytest.approx([0.0114155] * 2, abs=5e-8)
    assert me.entanglement(chain, "atv").per_agent == pytest.approx([0.25] * 2, abs=1e-12)
    assert me.entanglement(chain, "tv").value == pytest.approx(0.25, abs=1e-9)
    assert me.entanglement(chain, "mu-tv").value == pytest.approx(0.0171233, abs=5e-8)
    assert system.labels.action(1, 2) == "sense" and system.labels.agent(0) == "agent 0"
    assert arrays(system)[1][0, 4] == 10.0 and arrays(system)[1].sum() == 10.0


def test_a_file_of_one_agent(tmp_path: Path) -> None:
    system = me.read_model(write(tmp_path, TIGER, "tiger.POMDP"))
    kernel, pay = arrays(system)
    assert (kernel[0] == np.eye(2)).all() and (kernel[1:] == 0.5).all()
    assert pay.tolist() == [[-1, -100, 10], [-1, 10, -100]]
    assert system.discount == 0.75 and system.labels.state(0, 1) == "right"
    assert me.read_model(tmp_path / "tiger.POMDP", discount=0.5).discount == 0.5


class Writer:
    """Writes a random model in random forms, and keeps what each line means."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng([seed, 3])
        self.madp = seed % 2 == 0
        self.agents = 2 if self.madp else 1
        self.actions = [["a", "b", "c"][: rng.integers(1, 4)] for _ in range(self.agents)]
        self.seen = [["x", "y", "z"][: rng.integers(1, 4)] for _ in range(self.agents)]
        self.states = [f"s{k}" for k in range(4 if self.madp else int(rng.integers(2, 5)))]
        self.na, self.no = (int(np.prod([len(p) for p in parts])) for parts in (self.actions, self.seen))
        n = len(self.states)
        self.t, self.o = np.zeros((self.na, n, n)), np.zeros((self.na, n, self.no))
        self.r = np.zeros((self.na, n, n, self.no))
        self.lines: list[str] = []

    def field(self, parts: list[list[str]], star: float = 0.3) -> tuple[str, list[int]]:
        """A random choice of joint names: text, and the joint numbers that it means."""
        if self.rng.random() < star / 2:
            total = int(np.prod([len(p) for p in parts]))
            return "*", list(range(total))
        if len(parts) > 1 and self.rng.random() < 0.1:
            joint = int(self.rng.integers(np.prod([len(p) for p in parts])))
            return str(joint), [joint]
        tokens, some = [], []
        for p in parts:
            if self.rng.random() < star:
                tokens.append("*")
                some.append(list(range(len(p))))
            else:
                k = int(self.rng.integers(len(p)))
                tokens.append(p[k] if self.rng.random() < 0.6 else str(k))
                some.append([k])
        sizes = [len(p) for p in parts]
        return " ".join(tokens), [int(np.ravel_multi_index(x, sizes)) for x in itertools.product(*some)]

    def put(
        self, word: str, array: np.ndarray, fields: list[list[list[str]]], depth: int, value: Any
    ) -> None:
        """One entry on `depth` names; `value` is an array of what is left, or a word with its array."""
        text, value = value if isinstance(value, tuple) else (None, value)
        chosen = [self.field(f) for f in fields[:depth]]
        for at in itertools.product(*(c[1] for c in chosen)):
            array[at] = value
        if text is None:
            rows = np.atleast_2d(np.asarray(value).reshape(-1, array.shape[-1] if depth < array.ndim else 1))
            text = "\n".join(" ".join(repr(float(v)) for v in row) for row in rows)
        names = " : ".join(c[0] for c in chosen)
        if depth == array.ndim:
            self.lines.append(f"{word}: {names}{' :' if self.madp else ''} {text}")
        else:
            self.lines.append(f"{word}: {names}{' :' if self.madp else ''}\n{text}")

    def write(self) -> str:
        rng, n, s = self.rng, len(self.states), [self.states]
        fields = [self.actions, s, s]
        for a in range(self.na):  # every row once, then what overrides
            for k in range(n):
                self.t[a, k] = laws(rng, n)
                names = " ".join(
                    p[int(i)]
                    for p, i in zip(
                        self.actions, np.unravel_index(a, [len(p) for p in self.actions]), strict=True
                    )
                )
                row = " ".join(repr(float(v)) for v in self.t[a, k])
                self.lines.append(f"T: {names} : {k}{' :' if self.madp else ''}\n{row}")
        for _ in range(6):
            kind = int(rng.integers(5))
            if kind == 0:
                self.put("T", self.t, fields, 1, laws(rng, n, n))
            elif kind == 1:
                self.put("T", self.t, fields, 1, ("identity", np.eye(n)))
            elif kind == 2:
                self.put("T", self.t, fields, int(rng.integers(1, 3)), ("uniform", 1.0 / n))
            elif kind == 3:
                self.put("T", self.t, fields, 2, laws(rng, n))
            else:  # a deterministic row, entry by entry
                a, k, to = int(rng.integers(self.na)), int(rng.integers(n)), int(rng.integers(n))
                self.t[a, k] = np.eye(n)[to]
                names = " ".join(str(int(i)) for i in np.unravel_index(a, [len(p) for p in self.actions]))
                end = " :" if self.madp else ""
                self.lines.append(f"T: {names} : {self.states[k]} : *{end} 0")
                self.lines.append(f"T: {names} : {self.states[k]} : {self.states[to]}{end} 1.0")
        self.o[:] = 1.0 / self.no
        self.lines.append(f"O: *{' :' if self.madp else ''}\nuniform")
        for _ in range(3):
            self.put("O", self.o, [self.actions, s, self.seen], 2, laws(rng, self.no))
        deep = [self.actions, s, s, self.seen]
        for _ in range(5):
            self.put("R", self.r, deep, 4, float(np.round(rng.normal(), 3)))
        if rng.random() < 0.5:
            self.put("R", self.r, deep, 3, np.round(rng.normal(size=self.no), 3))
        if rng.random() < 0.3:
            self.put("R", self.r, deep, 2, np.round(rng.normal(size=(n, self.no)), 3))
        head = [f"agents: {self.agents}"] if self.madp else []
        head += ["discount: 0.9", "values: cost", f"states: {' '.join(self.states)}"]
        gap = "\n" if self.madp else " "
        for word, parts in (("actions", self.actions), ("observations", self.seen)):
            head.append(f"{word}:{gap}" + "\n".join(" ".join(p) for p in parts))
        return "\n".join([*head, "start: uniform", *self.lines]) + "\n"


@pytest.mark.parametrize("seed", range(40))
def test_every_form_means_what_it_says(seed: int, tmp_path: Path) -> None:
    writer = Writer(seed)
    given = {"n_states": (2, 2)} if writer.madp else {}
    kernel, pay = arrays(me.read_model(write(tmp_path, writer.write()), **given))
    np.testing.assert_allclose(kernel, writer.t, atol=1e-12)
    want = -np.einsum("ast,ato,asto->sa", writer.t, writer.o, writer.r)  # values: cost
    np.testing.assert_allclose(pay, want, atol=1e-12)


HEAD = "discount: 0.9\nvalues: reward\nstates: a b\nactions: go stay\n"
STAY = "T: *\nidentity\n"


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("T: go : a : b 1\nT: go : a : a 0", [0, 1]),  # Cassandra
        ("T: go : a : b : 1\nT: go : a : a : 0", [0, 1]),  # MADP
        ("T: go : a\n.25 .75", [0.25, 0.75]),
        ("T: go : a .25 .75", [0.25, 0.75]),
        ("T: go : a :\n.25 .75", [0.25, 0.75]),
        ("T: go : a :\n0 1", [0, 1]),  # a row, for it stands below
        ("T: go : a : 0 0\nT: go : a : 1 1", [0, 1]),  # an entry, for it stands beside
        ("T: go\nuniform", [0.5, 0.5]),
        ("T: go :\n.5 .5\n0 1", [0.5, 0.5]),
        ("T: 0 : 0 : 0 5e-1 # half\nT: 0 : 0 : 1 +.5", [0.5, 0.5]),
        ("T: * : a\nuniform", [0.5, 0.5]),
        ("start: b\nT: go : a\nreset", [0, 1]),
        ("start: 1\nT: go : a\nreset", [0, 1]),
        ("start: .25 .75\nT: go : a\nreset", [0.25, 0.75]),
        ("start exclude: a\nT: go\nreset", [0, 1]),
        ("start include: a b\nT: go\nreset", [0.5, 0.5]),
        ("start:\nuniform\nT: go : a :\nreset", [0.5, 0.5]),
    ],
)
def test_small_print(line: str, row: list[float], tmp_path: Path) -> None:
    kernel, _ = arrays(me.read_model(write(tmp_path, HEAD + STAY + line, "m.mdp")))
    np.testing.assert_allclose(kernel[0, 0], row)
    assert (kernel[1, 1] == [0, 1]).all() or line.startswith("T: *")


def test_rewards_of_a_file_without_observations(tmp_path: Path) -> None:
    text = HEAD + STAY + "T: go\n.5 .5\n.2 .8\nR: go : a : b 4\nR: * : b : * : 1\nR: stay : a\n7 9"
    _, pay = arrays(me.read_model(write(tmp_path, text, "m.mdp")))
    np.testing.assert_allclose(pay, [[2, 7], [1, 1]])


def test_an_end_is_named_and_starts_where_the_file_says(tmp_path: Path) -> None:
    text = HEAD + "start: a\nT: *\n.5 .5\n0 0\nR: * : a : * 1"
    with pytest.raises(InvalidInput, match=r"action go, state b: got no line 'T:'.*T: go : b : b 1"):
        me.read_model(write(tmp_path, text, "m.mdp"))
    for end in ("b", 1, ["b"]):
        chain = me.read_model(tmp_path / "m.mdp", terminal=end).under("uniform")
        assert chain.states.tolist() == [[0]] and chain.ends.tolist() == [0.5, 0.5]
    with pytest.raises(InvalidInput, match="terminal: got state 'c'"):
        me.read_model(tmp_path / "m.mdp", terminal="c")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no line 'actions:'"),
        ("hello", "m.mdp, line 1: got 'hello'"),
        ("discont: 0.9", "Did you mean 'discount'?"),
        (HEAD + "discount: 0.8", "line 5: got a second 'discount'"),
        (HEAD + "observations: x x", "line 5: got observation 'x' twice"),
        (HEAD.replace("reward", "money"), "line 2: got money"),
        (HEAD.replace("a b", "0"), "line 3: got '0'"),
        (HEAD.replace("a b", ""), "line 3: got nothing"),
        (HEAD.replace("0.9", "1.5") + STAY, "m.mdp: discount: got 1.5"),
        (HEAD.replace("0.9", "nan") + STAY, "line 1: got 'nan'; here stands a number"),
        (HEAD + "T: go", "line 5: got 'go' (1 words)"),
        (HEAD + "T: go :", "line 5: got nothing at its end"),
        (HEAD + "T: go : a : b", "line 5: got 'b' (1 words)"),
        (
            HEAD + "T: go : a\n.5 .5 .5",
            "line 5: got 'a .5 .5 .5' (4 words); 'T:' ends in numbers, 4 after the action, 2 after",
        ),
        (HEAD + "T: fly : a : b 1", "line 5: got action 'fly'; there are 2 actions: go, stay"),
        (HEAD + "T: go : c : b 1", "line 5: got state 'c'"),
        (HEAD + "T: go : a : c 1", "line 5: got state 'c'"),
        (HEAD + "T: go : a : 2 1", "line 5: got state '2'"),
        (HEAD + "T: go : a : b : c : 1", "line 5: got 4 names; 'T:' has at most 3"),
        (HEAD + STAY + "T: go : a : b 1", "action go, state a: got a sum of 2"),
        (HEAD + STAY + "T: go : a\n1.5 -.5", "action go, state a: got -0.5"),
        (HEAD + STAY + "T: go : a : b one", "got 'one'; here stands a number"),
        (HEAD + STAY + "R: go : a : b inf", "got 'inf'; here stands a number"),
        (HEAD + "T: go\nreset", "got 'reset' without 'start:'"),
        (HEAD + "start: .5 .6 .7\nT: go\nreset", "line 5: got state '.5'"),
        (HEAD.replace("a b", "123456789") + STAY, "GiB"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, says: str, tmp_path: Path) -> None:
    file = write(tmp_path, text, "m.mdp")
    with pytest.raises(UserError) as error:
        me.read_model(file)
    assert says in str(error.value) and "m.mdp" in str(error.value), str(error.value)


def test_remedies_are_true(tmp_path: Path) -> None:
    file = write(tmp_path, RELAY.replace("discount: 0.9", "discount: 1.0"))
    assert me.read_model(file, n_states=(2, 2)).discount is None
    with pytest.raises(InvalidInput, match=r"E.g. n_states=\(2, 2\) \(on the command line --n-states 2,2\)"):
        me.read_model(file, discount=0.95)
    assert me.read_model(file, n_states=(2, 2), discount=0.95).n_agents == 2
    with pytest.raises(InvalidInput, match=r"says them: \(3, 3\). Leave it out"):
        me.read_model(file, n_states=(2, 2), n_actions=(3, 3), discount=0.95)
    six = RELAY.replace("states: l1r1 l1r2 l2r1 l2r2", "states: 6").split("T: shuffle *")[0]
    with pytest.raises(InvalidInput, match=r"E.g. n_states=\(3, 2\)"):
        me.read_model(write(tmp_path, six))
    assert me.read_model(write(tmp_path, six), n_states=(3, 2)).spaces.n_states == (3, 2)
    rounded = HEAD + STAY + "T: go : a\n.333 .666"
    with pytest.raises(InvalidInput, match="normalize=True"):
        me.read_model(write(tmp_path, rounded, "r.mdp"))
    with pytest.warns(
        UserWarning, match="r.mdp: rows were divided by their sums, which missed 1 by at most 0.001"
    ):
        kernel, _ = arrays(me.read_model(tmp_path / "r.mdp", normalize=True))
    np.testing.assert_allclose(kernel[0, 0], [1 / 3, 2 / 3], atol=1e-3)


def test_rounded_lines_of_observations(tmp_path: Path) -> None:
    """They are divided as rows of the kernel are, and the expectations of rewards on both with them."""
    text = HEAD + "observations: x y\n" + STAY + "T: go : a\n.2 .6\nO: *\nuniform\nO: go : b\n.3 .3\n"
    file = write(tmp_path, text + "R: go : a : a : x 6\nR: go : a : b : y 4\n", "o.pomdp")
    with pytest.raises(
        InvalidInput, match=r"lines 'O:', action go, state b: got a sum of 0.6; .*normalize=True"
    ):
        me.read_model(file)
    with pytest.warns(UserWarning) as notes:
        system = me.read_model(file, normalize=True)
    said = [str(note.message) for note in notes]
    assert len(said) == 2 and "lines 'O:': rows were divided" in said[0] and "at most 0.4" in said[0]
    assert "o.pomdp: rows were divided" in said[1] and "at most 0.2" in said[1]
    _, pay = arrays(system)
    assert pay[0, 0] == pytest.approx(0.25 * 0.5 * 6 + 0.75 * 0.5 * 4)
