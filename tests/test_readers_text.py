"""Readers of text files: damaged copies of the examples, and the examples' own numbers."""

from __future__ import annotations

import contextlib
import random
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import UserError
from markov_entanglement.readers import reader_of

DICE = {"n_states": (13, 13), "n_actions": (2, 1), "discount": 0.9, "rewards": "done"}
EXAMPLES = Path(__file__).parents[1] / "examples"
#: Bits of text that are put into a file.
JUNK = (
    *"0123456789.,;:\t|-e/%_ax \n\"'#*{}()\0", "nan", "inf", "1e999", "-1", "::", "T:", "R:", "O:", "states:",
    "start:", "uniform", "identity", "reset",
    "9" * 400, "1/0", "\u00e9", "\ufeff", "* *", "mdp", "999999999", "#END", "if (", "Bernoulli(2)",
)  # fmt: skip


def damaged(text: str, rng: random.Random) -> str:
    """A copy with one to three faults: characters, words or lines gone, put in, doubled or exchanged."""
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(("bit", "word", "line", "cut"))
        if kind == "bit":
            i = rng.randrange(len(text) + 1)
            text = text[:i] + rng.choice(JUNK) + text[i + rng.choice((0, 1, 5)) :]
        elif kind == "cut":
            text = text[: rng.randrange(len(text) + 1)] if rng.random() < 0.3 else text
        else:
            parts = text.splitlines() if kind == "line" else text.split(" ")
            i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
            change = rng.choice(("drop", "double", "swap", "junk"))
            if change == "drop":
                del parts[i]
            elif change == "double":
                parts.insert(i, parts[i])
            elif change == "swap":
                parts[i], parts[j] = parts[j], parts[i]
            else:
                parts[i] = rng.choice(JUNK)
            text = ("\n" if kind == "line" else " ").join(parts)
    return text


def tried(file: Path, **options: Any) -> bool:
    """Whether it is a system; else one message of ours that names the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            system = me.read_model(file, **options)
        except UserError as e:
            assert file.stem in str(e), str(e)
            return False
    assert system.n_agents > 0
    return True


@pytest.mark.parametrize(
    ("name", "beside", "options"),
    [
        ("bridge-repair.pomdp", (), {"n_states": (5, 1), "n_actions": (4, 3), "discount": 0.9}),
        ("two_dice.tra", ("two_dice.lab",), DICE),
        ("two_dice.lab", ("two_dice.tra",), {"discount": 0.9, "rewards": "init"}),
        ("two_dice.srew", ("two_dice.tra",), {"discount": 0.9, "rewards": "two_dice.srew"}),
    ],
)  # fmt: skip
def test_damaged_copies(
    name: str,
    beside: tuple[str, ...],
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """300 copies: a system or a refusal that names the file, and some of either."""
    monkeypatch.chdir(tmp_path)
    rng, text = random.Random(name), (EXAMPLES / name).read_text()
    for other in beside:
        (tmp_path / other).write_text((EXAMPLES / other).read_text())
    read = tmp_path / (name if name.endswith(("pomdp", "tra")) else "two_dice.tra")
    found = []
    for _ in range(300):
        (tmp_path / name).write_text(damaged(text, rng))
        found.append(tried(read, **options))
    assert 5 < sum(found) < 295


def test_damaged_copies_of_two_agents(tmp_path: Path) -> None:
    from test_readers_cassandra import RELAY

    rng, file = random.Random(5), tmp_path / "relay.dpomdp"
    found = []
    for _ in range(300):
        file.write_text(damaged(RELAY, rng))
        found.append(tried(file, n_states=(2, 2)))
    assert 5 < sum(found) < 295


def test_damaged_problems(tmp_path: Path) -> None:
    pytest.importorskip("pyRDDLGym")
    from test_readers_rddl import DOMAIN, INSTANCE

    rng, found = random.Random(6), []
    for k in range(60):
        texts = [DOMAIN, INSTANCE]
        texts[k % 2] = damaged(texts[k % 2], rng)
        (tmp_path / "shop.rddl").write_text(texts[0])
        (tmp_path / "shop1.rddl").write_text(texts[1])
        found.append(tried(tmp_path / "shop1.rddl", domain=str(tmp_path / "shop.rddl"), discount=0.9))
    assert 0 < sum(found) < 60


HOSTILE = (
    None, 0, -1, 2.5, True, "", b"x", [], [None], (2, 2), {}, np.array(3), np.zeros(3), 10**400, object(), 1j,
    [[1, 2], [3]], float("nan"), range(3), {1}, slice(3), int, np.ma.masked, "init", "failed", "x.srew", [0, "init"],
    (4, 3), "0", [1.5], np.eye(2), "\0", "a" * 5000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given"),
    [("bridge-repair.pomdp", {"discount": 0.9}), ("two_dice.tra", DICE | {"rewards": "done"})],
)
def test_hostile_options(name: str, given: dict[str, Any]) -> None:
    """Whatever comes, a system or one message of ours."""
    rng, reader = random.Random(7), reader_of(name)
    assert reader is not None
    for _ in range(250):
        options = given | {k: rng.choice(HOSTILE) for k in rng.sample(list(reader.options), 2)}
        with contextlib.suppress(UserError), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            me.read_model(EXAMPLES / name, **options)


def test_hostile_chains_on_listed_pairs() -> None:
    rng, good = random.Random(8), ([(0, 0), (1, 1)], np.eye(2))
    for _ in range(500):
        pairs, step = (rng.choice([x, rng.choice(HOSTILE)]) for x in good)
        names = ("sizes", "rewards", "discount", "labels", "terminal", "restart")
        with contextlib.suppress(UserError):
            me.JointChain.from_pairs(pairs, step, **{k: rng.choice(HOSTILE) for k in rng.sample(names, 2)})


# --- the examples' numbers -------------------------------------------------------------------------------------


def test_bridge_repair_is_two_decisions() -> None:
    """Costs of repair and of inspection are added in the file, and inspection changes no state: the sum is exact."""
    given = {"n_states": (5, 1), "n_actions": (4, 3), "discount": 0.95}
    system = me.read_model(EXAMPLES / "bridge-repair.pomdp", **given)
    kernel = np.stack([k.toarray() for k in system.kernel])
    assert kernel[3 * 1 + 2, 1].tolist() == [0, 0.8, 0.1, 0.02, 0.08]  # clean-paint, whatever the inspection
    pay = system.rewards.shared.reshape(5, 4, 3)
    np.testing.assert_allclose(pay, pay[:, :, :1] + np.array([0, -4, -18]))
    assert pay[4, 3, 1] == -4004
    found = me.analyze(system, "uniform", rng=0).to_dict()
    assert found["verdict"]["word"] == "add" and found["values"]["unexplained"] < 1e-9


def test_two_dice_cost_what_knuth_and_yao_say() -> None:
    """A die takes 11/3 throws; the dice wait for one another, so together they are paid for longer."""
    given = {"n_states": (13, 13), "n_actions": (2, 1), "discount": 0.95}
    system = me.read_model(EXAMPLES / "two_dice.tra", rewards=str(EXAMPLES / "two_dice.srew"), **given)
    chain = system.under("uniform")
    assert 1 / float(chain.occupancy @ chain.ends) == pytest.approx(float(2 * Fraction(11, 3)), rel=1e-12)
    assert me.analyze(chain, rng=0).to_dict()["verdict"]["word"] == "do-not-add"


def test_the_dice_are_made_by_their_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    monkeypatch.setattr("sys.argv", ["make_two_dice.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "make_two_dice.py"))
    for suffix in ("tra", "lab", "srew"):
        name = f"two_dice.{suffix}"
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes()
