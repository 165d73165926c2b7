"""What a result says of its own making and of its proofs: the system block, witnesses and certificates in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.cli.app import main
from markov_entanglement.errors import TooLarge
from markov_entanglement.model.described import called, digest

STAY, MOVE = np.eye(3), np.full((3, 3), 1 / 3)
KERNEL = [0.9 * STAY + 0.1 * MOVE, MOVE]


def system(rewards: Any = (0, 1, 3)) -> Any:
    """Two agents, one of which is served."""
    return me.WeaklyCoupledMDP([KERNEL] * 2, [list(rewards)] * 2, discount=0.9, budget=1)


def first(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """Serves agent 0."""
    return {(1, 0): 1.0}


def second(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """Serves agent 1."""
    return {(0, 1): 1.0}


class Own:
    """A policy of one's own."""

    def law(self, state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        return {(1, 0): 0.5, (0, 1): 0.5}


SERVE_ONE = np.tile([0.0, 0.25, 0.75, 0.0], (9, 1))
POLICIES: dict[str, tuple[Any, str, str]] = {
    "index": (me.IndexPolicy([2, 1, 0]), "index", "IndexPolicy([2, 1, 0])"),
    "other index": (me.IndexPolicy([0, 1, 2]), "index", "IndexPolicy([0, 1, 2])"),
    "uniform": ("uniform", "uniform", "UniformPolicy()"),
    "table": (SERVE_ONE, "table", "a table of shape 9x4"),
    "sparse table": (sp.csr_array(SERVE_ONE[:, [0, 2, 1, 3]]), "table", "a table of shape 9x4"),
    "table policy": (me.TablePolicy(np.tile([0.0, 0.4, 0.6, 0.0], (9, 1))), "table", "TablePolicy(9 joint states"),
    "callable": (first, "callable", "test_in_words:first"),
    "other callable": (second, "callable", "test_in_words:second"),
    "object": (Own(), "object", "test_in_words:Own"),
}  # fmt: skip


def block(policy: Any, **changes: Any) -> dict[str, Any]:
    """The system block of an analysis, which looks for no mixture of local kernels: that takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tol, "POLYTOPE_ROWS", 0)
        found = me.analyze(system(), policy, distances=["mu-atv"], **changes).to_dict()["system"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", POLICIES)
def test_a_result_says_which_policy(name: str) -> None:
    policy, word, says = POLICIES[name]
    found = block(policy)["policy"]
    assert (
        found["word"] == word
        and found["says"].startswith(says)
        and re.fullmatch("[0-9a-f]{12}", found["digest"])
    )
    assert (found.get("priority") is not None) == (word == "index")


@pytest.mark.parametrize(
    "id, name", [("ride-hailing", "nearest"), ("sysadmin-ring", "one-admin"), ("switch", "")]
)
def test_functions_of_the_gallery_have_their_names_there(id: str, name: str) -> None:
    subject = me.gallery.build(id, name)
    told = subject.chain().summary()["policy"]
    assert told["word"] == "callable" and told["says"] == f"{name or 'give-way'} of gallery:{id}"
    assert told == me.gallery.build(id, name).chain().summary()["policy"]
    assert f", {told['says']}" in called(subject.system, subject.policy)


def test_no_two_analyses_that_differ_have_the_same_block() -> None:
    found = [block(policy) for policy, _, _ in POLICIES.values()]
    found += [block("uniform", rewards=[[1, 2, 3]] * 2), block("uniform", discount=0.8)]
    found += [block("uniform", rewards=np.arange(9.0)), block("uniform", source="a.toml")]
    blocks = [str(b) for b in found]
    assert len(set(blocks)) == len(blocks) == len(POLICIES) + 4
    assert str(block("uniform")) == str(block(me.UniformPolicy())), "the same analysis, the same block"


def test_lambdas_of_one_name_differ_by_their_law() -> None:
    a, b = (block(lambda s, k=k: {((1, 0), (0, 1))[k]: 1.0})["policy"] for k in (0, 1))
    assert a["says"] == b["says"] and a["digest"] != b["digest"]
    assert block(first)["policy"]["digest"] == a["digest"], "the same law"


def test_budget_rewards_and_source() -> None:
    found = block("uniform")
    assert found["budget"] == 1 and found["source"] == "Python"
    assert found["rewards"] == {
        "kind": "own",
        "range": [0.0, 3.0],
        "digest": found["rewards"]["digest"],
        "given": False,
    }
    given = block("uniform", rewards=np.arange(9.0))["rewards"]
    assert (given["kind"], given["range"], given["given"]) == ("shared", [0.0, 8.0], True)
    same = block("uniform", rewards=[[0, 1, 3]] * 2)["rewards"]
    assert same == found["rewards"] | {"given": True}
    bare = me.analyze(me.JointChain([[0.5, 0.5], [0.25, 0.75]], (2,))).to_dict()["system"]
    assert bare["policy"]["word"] == "inside" and bare["rewards"] is None and bare["budget"] is None


@pytest.mark.parametrize("n", [5, 2000])
def test_a_bandit_says_the_same_small_and_large(n: int) -> None:
    bandit = me.RestlessBandit(KERNEL, [0, 1, 3], n_arms=n, budget=n // 5, discount=0.5)
    found = bandit.under(me.IndexPolicy([2, 1, 0])).summary()
    assert found["policy"]["priority"] == [[2.0, 1.0, 0.0]] and found["rewards"]["range"] == [0.0, 3.0]
    other = bandit.under("uniform").summary()
    assert other["policy"]["digest"] != found["policy"]["digest"] and other["budget"] == n // 5


def test_priorities_that_are_long_are_left_to_their_digest() -> None:
    ones = [KERNEL] * 5000
    bandit = me.RestlessBandit(ones, [[0, 1, 3]] * 5000, n_arms=[1] * 5000, budget=10, discount=0.5)
    found = bandit.under(me.IndexPolicy([2, 1, 0])).summary()["policy"]
    assert found["priority"] == [[2.0, 1.0, 0.0]]
    each = me.IndexPolicy([[2, 1, 0]] * 5000)
    assert "priority" not in bandit.under(each).summary()["policy"] and len(repr(each)) < 80


def test_digests() -> None:
    assert digest([0.0, 1.0]) == digest(np.array([-0.0, 1.0])) == digest(np.array([0, 1], dtype=np.float32))
    assert (
        len({digest([0.0, 1.0]), digest([[0.0, 1.0]]), digest([0.0, 1.5]), digest([0, 1]), digest([])}) == 5
    )


def test_the_command_from_python_is_a_call() -> None:
    assert me.analyze(system(), me.IndexPolicy([2, 1, 0])).command == (
        "me.analyze(WeaklyCoupledMDP(2 agents, 9 joint states), IndexPolicy([2, 1, 0]))"
    )
    asked = me.analyze(
        system(), first, rewards=[[1, 2, 3]] * 2, discount=0.8, distances=["atv"], tolerance=0.1, rng=7
    )
    assert asked.command == (
        "me.analyze(WeaklyCoupledMDP(2 agents, 9 joint states), test_in_words:first, rewards=..., discount=0.8, "
        "distances=['atv'], tolerance=0.1, rng=7)"
    )
    assert (
        me.analyze(system().under("uniform")).command
        == "me.analyze(Chain(2 agents, 9 joint states, 18 joint pairs))"
    )


def test_the_command_line_names_its_source(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    assert main(["analyze", "gallery:follower", "--json", str(target)]) == 0
    found = me.read_result(target)
    assert found.system.source == "gallery:follower" and found.command.startswith(
        "markov-entanglement analyze"
    )


def witnessed(gallery: str) -> tuple[Any, Any, str]:
    """A chain, its result and the words of its witness."""
    chain = me.gallery.build(gallery).chain()
    result = me.analyze(chain)
    return chain, result, result.to_dict()["separability"]["witness"]["explanation"]


@pytest.mark.parametrize("gallery", ["circulant", "follower", "appendix-e"])
def test_a_witness_in_words_can_be_repeated(gallery: str) -> None:
    """The calls in the words are run; names, pairs and numbers are those of the witness."""
    chain, result, words = witnessed(gallery)
    code = words.partition("To see it again: ")[2].rstrip(".")
    *statements, last = code.split("; ")
    known: dict[str, Any] = {"me": me, "chain": chain}
    exec("\n".join(statements), known)
    gap = eval(last, known)
    w = result.separability.witness
    assert gap == pytest.approx(w.gap, rel=1e-9) and f"Q(x) - Q(y) = {w.gap:.4g} reward units" in words
    who = chain.units[w.agent].name
    assert words.startswith(f"Pay {who} alone, 1 in (") and f"at least {w.gap / 2:.4g}" in words
    assert f"share {who} in ({chain.pair_names(w.agent)[w.pairs[0, w.agent]]})" in words
    for j in range(chain.n_agents):
        at = [chain.pair_names(j)[k] for k in w.pairs[:, j]]
        assert (f"{chain.units[j].name} in ({at[0]}) at x, in ({at[1]}) at y" in words) is (at[0] != at[1])


def test_an_equation_in_words() -> None:
    """Agents 0 and 1 of the parity chain: the next pair is even with certainty, or never."""
    found = me.analyze(me.gallery.build("parity").chain()).to_dict()["separability"]["equation"]
    assert "with probability 0.5 from x and 0 from y" in found["explanation"]
    assert "they differ in agent 2 in (0) at x, in (1) at y" in found["explanation"]


def test_a_decomposition_in_words() -> None:
    said = me.analyze(me.gallery.build("shared-randomness").chain()).to_dict()["separability"]["explanation"]
    assert "an explicit sum of 2 products of local moves with weights 0.5, 0.5 (they sum to 1)" in said
    alone = me.analyze(me.JointChain([[0.5, 0.5], [0.25, 0.75]], (2,))).to_dict()["separability"][
        "explanation"
    ]
    assert "an explicit product of local moves" in alone and "1 products" not in alone


def test_a_certificate_in_a_sentence_brackets_the_error() -> None:
    result = me.analyze(me.gallery.build("circulant").chain())
    said = result.to_dict()["certificate_explanation"]
    found = re.findall(r"between ([\d.e-]+) and ([\d.e-]+) [^,.]*\((L2\(mu\)|L1\(mu\)|sup)\)", said)
    truth = {"L2(mu)": "l2", "L1(mu)": "mu", "sup": "sup"}
    assert [norm for *_, norm in found] == list(truth) and "without solving for Q" in said
    for low, high, norm in found:
        assert float(low) * 0.999 <= result.values.error(truth[norm]) <= float(high) * 1.001


def test_sizes_are_said_as_the_number_that_is_limited() -> None:
    """A product beside a limit of entries is multiplied out; counts have groups of three digits everywhere."""
    big = me.JointChain(np.full((1296, 1296), 1 / 1296), (6, 6, 6, 6)).under()
    assert repr(big) == "Chain(4 agents, 1,296 joint states, 1,296 joint pairs)"
    with pytest.raises(TooLarge) as e:
        me.entanglement(big, "tv")
    assert e.value.limit == f"{tol.JOINT_ENTRIES:,} entries"
    said = "1,679,616 entries (1,296 rows x 1,296 next joint pairs); the limit is "
    assert f"{said}{tol.JOINT_ENTRIES:,} entries" in str(e.value)
    bandit = me.RestlessBandit(KERNEL, [0, 1, 3], n_arms=2000, budget=400, discount=0.5)
    assert repr(bandit.under("uniform")) == "BanditChain(2,000 arms, 2,003,001 count states)"
    many = me.WeaklyCoupledMDP([KERNEL] * 1200, [[0, 1, 3]] * 1200, discount=0.9, budget=1)
    assert repr(many) == "WeaklyCoupledMDP(1,200 agents, about 10^573 joint states)"


def test_rounding_noise_is_called_so_in_a_line() -> None:
    chain = me.gallery.build("shared-randomness").chain()
    for found in (
        me.entanglement(chain),
        me.entanglement(chain, "tv"),
        me.value_decomposition(chain),
        me.additive_values(chain),
    ):
        assert not re.search(r"e-(1[3-9]|2\d)", repr(found).partition(", gap")[0]), repr(found)
