"""RDDL problems: kernels against the formulas worked by hand, SysAdmin's published numbers, what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, MissingDependency, TooLarge, Unsupported, UserError

pytest.importorskip("pyRDDLGym", reason="needs pip install pyRDDLGym")
EXAMPLES = Path(__file__).parents[1] / "examples"

DOMAIN = """
domain shop { requirements = { reward-deterministic };
 types { clerk : object; };
 pvariables {
  SKILL(clerk) : { non-fluent, real, default = 0.5 };
  busy(clerk) : { state-fluent, bool, default = false };
  tired(clerk) : { state-fluent, bool, default = false };
  open : { state-fluent, bool, default = true };
  help(clerk) : { action-fluent, bool, default = false };
  close : { action-fluent, bool, default = false };
 };
 cpfs {
  busy'(?c) = if (help(?c)) then KronDelta(false)
              else if (open) then Bernoulli(SKILL(?c) * (1 + exists_{?d : clerk} [tired(?d)]) / 2)
              else Bernoulli(0.25);
  tired'(?c) = busy(?c) | (tired(?c) ^ ~help(?c));
  open' = if (close) then KronDelta(false) else KronDelta(true);
 };
 reward = [sum_{?c : clerk} (busy(?c) - 0.5 * help(?c))] + 2 * open * WEIGHT;
 action-preconditions { close => open; };
}
""".replace("WEIGHT", "1")
INSTANCE = """
non-fluents nf { domain = shop; objects { clerk : {ann, bob}; }; non-fluents { SKILL(bob) = 0.75; }; }
instance day { domain = shop; non-fluents = nf; init-state { busy(ann); };
 max-nondef-actions = 1; horizon = 10; discount = 0.9; }
"""


def files(folder: Path, domain: str = DOMAIN, instance: str = INSTANCE) -> tuple[Path, Path]:
    (folder / "shop.rddl").write_text(domain)
    (folder / "day.rddl").write_text(instance)
    return folder / "shop.rddl", folder / "day.rddl"


def by_hand() -> tuple[np.ndarray, np.ndarray]:
    """(states, joint actions, states) and rewards; states (ann, bob, others): busy first, then tired; open."""
    sets = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    kernel, pay = np.zeros((32, 8, 32)), np.zeros((32, 8))
    for s, bits in enumerate(itertools.product((0, 1), repeat=5)):
        busy, tired, is_open = bits[0:4:2], bits[1:4:2], bits[4]
        for a in sets:
            if a[2] and not is_open:
                continue
            p = []
            for c, skill in enumerate((0.5, 0.75)):
                chance = skill * (1 + any(tired)) / 2 if is_open else 0.25
                p += [0.0 if a[c] else chance, float(busy[c] or (tired[c] and not a[c]))]
            p.append(0.0 if a[2] else 1.0)
            joint = a[0] * 4 + a[1] * 2 + a[2]
            pay[s, joint] = sum(busy) - 0.5 * (a[0] + a[1]) + 2 * is_open
            for t, after in enumerate(itertools.product((0, 1), repeat=5)):
                kernel[s, joint, t] = np.prod([q if v else 1 - q for q, v in zip(p, after, strict=True)])
    return kernel, pay


def test_a_small_problem_is_as_worked_by_hand(tmp_path: Path) -> None:
    system = me.from_rddl(*files(tmp_path))
    kernel, pay = by_hand()
    assert system.spaces.n_states == (4, 4, 2) and system.spaces.n_actions == (2, 2, 2)
    for a in range(8):
        np.testing.assert_allclose(system.kernel[a].toarray(), kernel[:, a], atol=1e-15)
    pairs = system.under("uniform").pairs
    states, actions = system.spaces.split(pairs)
    want = pay[system.spaces.state_index(states), system.spaces.action_index(actions)]
    np.testing.assert_allclose(system.rewards.on_pairs(pairs, system.spaces), want, atol=1e-12)
    assert system.rewards.local is not None and system.discount == 0.9
    labels = system.labels
    assert labels.names == ("ann", "bob", "others") and labels.states[0] == (
        "none",
        "tired",
        "busy",
        "busy+tired",
    )
    assert labels.actions == (("noop", "help"), ("noop", "help"), ("noop", "close"))
    read = me.read_model(tmp_path / "day.rddl", domain=str(tmp_path / "shop.rddl"), discount=0.5)
    assert read.discount == 0.5 and all(
        (a != b).nnz == 0 for a, b in zip(read.kernel, system.kernel, strict=True)
    )


def law(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """Help whoever is tired, each as often; close now and then."""
    found = {tuple(int(k == i) for k in range(3)): 1.0 for i in (0, 1) if state[i] % 2}
    found |= {(0, 0, 1): 0.5} if state[2] else {}
    found |= {(0, 0, 0): 1.0}
    return {a: p / sum(found.values()) for a, p in found.items()}


def test_the_chain_of_a_policy_is_that_of_the_system(tmp_path: Path) -> None:
    whole = me.from_rddl(*files(tmp_path)).under(law, initial=(2, 0, 1))
    chain = me.from_rddl(*files(tmp_path), policy=law).under()
    place = {tuple(map(int, x)): k for k, x in enumerate(whole.pairs)}
    order = [place[tuple(map(int, x))] for x in chain.pairs]
    assert sorted(order) == list(range(whole.n_pairs))
    np.testing.assert_allclose(chain.occupancy, whole.occupancy[order], atol=1e-12)
    np.testing.assert_allclose(
        me.value_decomposition(chain).joint_q, me.value_decomposition(whole).joint_q[order], atol=1e-11
    )
    for d in ("mu-atv", "atv"):
        np.testing.assert_allclose(
            me.entanglement(chain, d).per_agent, me.entanglement(whole, d).per_agent, atol=1e-9
        )
    assert chain.system.labels.state(0, 1) == "none, help"


#: The same reward by way of a fluent between.
BETWEEN = (
    DOMAIN.replace("  close : {", "  cost(clerk) : { interm-fluent, real, level = 1 };\n  close : {")
    .replace("  open' =", "  cost(?c) = if (help(?c)) then 0.5 else 0;\n  open' =")
    .replace("0.5 * help(?c)", "cost(?c)")
)


@pytest.mark.parametrize("domain", (DOMAIN, BETWEEN))
def test_a_task_that_ends_starts_in_the_first_state(domain: str, tmp_path: Path) -> None:
    text = domain.replace("action-preconditions", "termination { ~open; };\n action-preconditions")
    system = me.from_rddl(*files(tmp_path, text))
    ended = system.spaces.states_at(system.ends.terminal)
    assert len(ended) == 16 and (ended[:, 2] == 0).all()
    assert system.ends.start[0].tolist() == [2 * 8 + 1]
    assert system.rewards.local is not None
    chain = me.from_rddl(*files(tmp_path, text), policy=law).under()
    whole = system.under(law)
    assert chain.ends is not None and chain.system.rewards.local is not None
    assert chain.occupancy @ chain.ends == pytest.approx(whole.occupancy @ whole.ends, rel=1e-9)
    found, want = me.value_decomposition(chain), me.value_decomposition(whole)
    assert want.error("mu") > 1e-3 and found.error("mu") == pytest.approx(want.error("mu"), rel=1e-8)
    assert found.unexplained == pytest.approx(want.unexplained, rel=1e-8)


def test_a_shared_reward_is_kept_whole(tmp_path: Path) -> None:
    text = DOMAIN.replace("busy(?c) - 0.5", "busy(?c) * open - 0.5")
    system = me.from_rddl(*files(tmp_path, text))
    assert system.rewards.local is None
    assert system.rewards.shared[0b10100, 0] == 1.0 - 1.0 and system.rewards.shared[0b10101, 0] == 4.0


# --- SysAdmin, IPPC 2011, instance 1 ---------------------------------------------------------------------------

RING = {1: [4, 9], 2: [8], 3: [4, 9], 4: [5], 5: [7], 6: [4, 8], 7: [9], 8: [6, 10], 9: [6], 10: [2]}
NONE = (0,) * 10


def only(i: int) -> tuple[int, ...]:
    return tuple(int(k == i) for k in range(10))


def failed(state: tuple[int, ...]) -> list[int]:
    return [i for i, up in enumerate(state) if not up]


POLICIES: dict[str, Any] = {
    "no reboot": lambda s: {NONE: 1.0},
    "lowest failed": lambda s: {only(min(failed(s))): 1.0} if failed(s) else {NONE: 1.0},
    "uniform failed": lambda s: {only(i): 1 / len(failed(s)) for i in failed(s)} or {NONE: 1.0},
}


def machines(policy: Any) -> np.ndarray:
    """(1024, 1024) chain of the machines from the domain's formulas."""
    heard: list[list[int]] = [[] for _ in range(10)]
    for x, seen in RING.items():
        for y in seen:
            heard[y - 1].append(x - 1)
    out = np.zeros((1024, 1024))
    for s, up in enumerate(itertools.product((0, 1), repeat=10)):
        alone = [
            0.45 + 0.5 * (1 + sum(up[y] for y in heard[i])) / (1 + len(heard[i])) if up[i] else 0.05
            for i in range(10)
        ]
        for action, chance in policy(up).items():
            row = np.ones(1)
            for i in range(10):
                p = 1.0 if action[i] else alone[i]
                row = np.kron(row, [1 - p, p])
            out[s] += chance * row
    return out


@pytest.mark.parametrize(
    ("name", "unexplained"), [("no reboot", 0.196), ("lowest failed", 0.636), ("uniform failed", 0.703)]
)
def test_sysadmin_has_its_numbers(name: str, unexplained: float) -> None:
    """10 machines of 2 states, 11 joint actions; machine by machine, paid 1 while it runs."""
    policy = POLICIES[name]
    given = {"discount": 0.95, "policy": policy}
    chain = me.from_rddl(EXAMPLES / "sysadmin.rddl", EXAMPLES / "sysadmin1.rddl", **given).under()
    states = chain.pairs // 2
    number = states @ 2 ** np.arange(9, -1, -1)
    assert len(set(number.tolist())) == 1024
    assert chain.n_pairs == (5121 if name == "uniform failed" else 1024)
    places = np.arange(chain.n_pairs), number
    of_state = sp.csr_array((np.ones(chain.n_pairs), places), shape=(chain.n_pairs, 1024))
    actions = map(tuple, (chain.pairs % 2).tolist())
    weight = [policy(s)[a] for s, a in zip(map(tuple, states.tolist()), actions, strict=True)]
    p = ((of_state * np.array(weight)[:, None]).T @ (chain.step @ of_state)).toarray()
    np.testing.assert_allclose(p, machines(policy), atol=1e-12)
    alone = me.JointChain(p, (2,) * 10, rewards=[[0, 1]] * 10, discount=0.95).under()
    assert me.value_decomposition(alone).unexplained == pytest.approx(unexplained, abs=5e-4)
    e = me.entanglement(alone, "mu-atv").per_agent
    assert (
        e.min() < 0.02
        and e.max() < 0.0975
        and (name != "lowest failed" or e.max() == pytest.approx(0.097, abs=5e-4))
    )
    if chain.n_pairs == 1024:  # with the reboots among the pairs local values know more
        assert me.value_decomposition(chain).unexplained <= unexplained + 5e-4


def test_problems_by_name() -> None:
    pytest.importorskip("rddlrepository")
    sys1 = me.from_rddl("SysAdmin_MDP_ippc2011", "1", discount=0.95, policy=POLICIES["no reboot"])
    own = me.from_rddl(
        EXAMPLES / "sysadmin.rddl", EXAMPLES / "sysadmin1.rddl", discount=0.95, policy=POLICIES["no reboot"]
    )
    assert (sys1.transition != own.transition).nnz == 0


@pytest.mark.parametrize(
    ("domain", "instance", "more", "error", "says"),
    [
        ("", INSTANCE, {}, InvalidInput, "cannot read"),
        (DOMAIN.replace("domain shop {", "domain shop"), INSTANCE, {}, InvalidInput, "cannot read"),
        (DOMAIN, INSTANCE.replace("ann", "ann bob"), {}, InvalidInput, "cannot read"),
        (DOMAIN, INSTANCE, {"agents": 3}, InvalidInput, "types of objects are clerk"),
        (DOMAIN, INSTANCE, {"agents": slice(3)}, InvalidInput, "a type or a list of types"),
        (
            DOMAIN,
            INSTANCE,
            {"policy": "uniform"},
            InvalidInput,
            "policy: got 'uniform'; it must be a callable",
        ),
        (DOMAIN, INSTANCE, {"agents": "clrk"}, InvalidInput, "Did you mean 'clerk'?"),
        (
            DOMAIN,
            INSTANCE,
            {"policy": lambda s: {(1, 1, 0): 1.0}},
            InvalidInput,
            "it is none of the problem's",
        ),
        (DOMAIN, INSTANCE, {"policy": lambda s: {(0, 0, 1): 1.0}}, InvalidInput, "a precondition forbids it"),
        (DOMAIN, INSTANCE, {"policy": lambda s: {(0, 0, 0): 0.5}}, InvalidInput, "sums to 1"),
        (DOMAIN, INSTANCE, {"policy": lambda s: None}, InvalidInput, "{action tuple: probability}"),
        (DOMAIN, INSTANCE, {"policy": lambda s: {}}, InvalidInput, "sums to 1"),
        (DOMAIN.replace("busy(?c) | (", "Bernoulli(0.5) | ("), INSTANCE, {}, Unsupported, "tired'"),
        (DOMAIN.replace("busy(?c) | (", "busy'(?c) | ("), INSTANCE, {}, Unsupported, "tired'"),
        (DOMAIN.replace("busy(?c) - 0.5", "busy'(?c) - 0.5"), INSTANCE, {}, Unsupported, "reward"),
        (
            DOMAIN.replace("Bernoulli(0.25)", "Bernoulli(1.25)"),
            INSTANCE,
            {},
            InvalidInput,
            "a chance of 1.25",
        ),
        (
            DOMAIN.replace("Bernoulli(0.25)", "Bernoulli(-0.25)"),
            INSTANCE,
            {},
            InvalidInput,
            "a chance of -0.25",
        ),
    ],
)
def test_what_is_refused(
    domain: str, instance: str, more: dict[str, Any], error: type[UserError], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as found:
        me.from_rddl(*files(tmp_path, domain, instance), **more)
    assert says in str(found.value), str(found.value)


def test_a_discount_of_one_is_none(tmp_path: Path) -> None:
    found = files(tmp_path, DOMAIN, INSTANCE.replace("0.9", "1.0"))
    assert me.from_rddl(*found).discount is None and me.from_rddl(*found, policy=law).discount is None
    assert me.from_rddl(*found, discount=0.5).discount == 0.5


def test_an_instance_needs_its_domain(tmp_path: Path) -> None:
    _, instance = files(tmp_path)
    with pytest.raises(InvalidInput, match=r"--option domain=domain.rddl"):
        me.read_model(instance)
    with pytest.raises(InvalidInput, match="cannot read"):
        me.from_rddl("NoSuchProblem", "1")


def test_too_many_joint_actions_need_a_policy(tmp_path: Path) -> None:
    clerks = ", ".join(f"c{k}" for k in range(14))
    many = INSTANCE.replace("ann, bob", clerks).replace("bob", "c1").replace("ann", "c0")
    with pytest.raises(TooLarge, match="Give a policy"):
        me.from_rddl(*files(tmp_path, DOMAIN, many))


def test_without_the_package_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [n for n in sys.modules if n.split(".")[0] == "pyRDDLGym"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyRDDLGym", None)
    with pytest.raises(MissingDependency, match="pip install pyRDDLGym rddlrepository"):
        me.from_rddl(*files(tmp_path))
