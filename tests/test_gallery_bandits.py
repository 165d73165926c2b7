"""The bandits of the gallery against code that shares nothing with counts, indices or the mean field."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.gallery.arms import recovering_index
from markov_entanglement.gallery.health import intervention_values
from markov_entanglement.gallery.queues import deadline_index

BANDITS = [e for e in me.gallery.entries() if isinstance(e.build().system, me.RestlessBandit)]
#: id -> parameters that leave at most a few hundred joint states.
FEW: dict[str, dict[str, Any]] = {
    "circulant-bandit": {"n_arms": 4, "budget": 1},
    "restart": {"n_arms": 3, "budget": 1},
    "recovering": {"longest": 4},
    "maintenance": {"n_arms": 3, "budget": 1},
    "deadline": {"n_arms": 2},
    "wireless": {"n_arms": (1, 1)},
    "health": {"n_arms": (2, 2, 1), "budget": 2},
    "armman": {"n_arms": (2, 1, 1), "budget": 2},
    "gast-2-cycle": {"n_arms": 5},
    "conveyor": {"n_arms": 2},
    "non-indexable": {"n_arms": 4},
    "good-index-bad-policy": {"n_arms": 3, "budget": 1},
    "assortment": {"n_arms": 2},
    "non-synchronisable": {"n_arms": 3, "budget": 2},
}
CASES = [(e.id, p) for e in BANDITS for p in e.policies]


def joint(bandit: me.RestlessBandit, policy: Any) -> tuple[Any, list[int]]:
    """The table of joint pairs of all arms, and the first arm of each type."""
    kind = np.repeat(np.arange(bandit.n_types), bandit.n_arms)
    kernels, rewards = ([a[t] for t in kind] for a in (bandit.kernels, bandit.rewards))
    system = me.WeaklyCoupledMDP(kernels, rewards, discount=bandit.discount, budget=bandit.budget)
    if isinstance(policy, me.IndexPolicy):
        policy = me.IndexPolicy([policy.priority[0 if policy.shared else t] for t in kind])
    return system.under(policy), [int(np.argmax(kind == t)) for t in range(bandit.n_types)]


def test_every_bandit_has_a_small_form() -> None:
    assert {e.id for e in BANDITS} == set(FEW)


@pytest.mark.parametrize(("id", "policy"), CASES, ids=["-".join(c) for c in CASES])
def test_counts_agree_with_the_joint_chain(id: str, policy: str) -> None:
    subject = me.gallery.build(id, policy, **FEW[id])
    chain, (table, first) = subject.chain(), joint(subject.system, subject.policy)
    checked = me.check_system(chain)
    assert checked.ok, checked.summary()
    for distance in ("mu-atv", "policy", "atv"):
        want = me.entanglement(table, distance).per_agent[first]
        assert me.entanglement(chain, distance).per_agent.tolist() == pytest.approx(want.tolist(), abs=2e-9)
    found, want = me.value_decomposition(chain), me.value_decomposition(table)
    scale = 1e-10 * max(1.0, float(np.abs(want.joint_q).max()))
    assert found.error("mu") == pytest.approx(want.error("mu"), abs=scale)
    assert chain.occupancy @ found.joint_q == pytest.approx(table.occupancy @ want.joint_q, abs=10 * scale)


def bisected_index(kernel: np.ndarray, reward: np.ndarray, gamma: float, state: int) -> float:
    """The subsidy at which both actions are optimal in a state: value iteration inside a bisection."""
    size = np.abs(reward).max() * 2 / (1 - gamma)
    low, high = -size, size
    v = np.zeros(len(reward))
    while high - low > 1e-7:
        subsidy = (low + high) / 2
        pay = reward + np.array([subsidy, 0.0])
        for _ in range(2000):
            q = pay + gamma * np.stack([kernel[0] @ v, kernel[1] @ v], axis=1)
            moved, v = np.ptp(q.max(axis=1) - v), q.max(axis=1)
            if moved < 1e-11:  # a constant drift changes no advantage
                break
        low, high = (low, subsidy) if q[state, 0] > q[state, 1] else (subsidy, high)
    return (low + high) / 2


@pytest.mark.parametrize("id", [e.id for e in BANDITS if "whittle" in e.policies])
def test_whittle_by_bisection(id: str) -> None:
    params = FEW[id] | {"discount": 0.8}
    bandit = me.gallery.build(id, **params).system
    assert isinstance(bandit, me.RestlessBandit)
    index = np.atleast_2d(me.whittle_index(bandit).index)
    for t in range(bandit.n_types):
        for s in range(0, bandit.n_states, 3):
            want = bisected_index(bandit.kernels[t], bandit.rewards[t], 0.8, s)
            assert index[t, s] == pytest.approx(want, abs=2e-7)


# --- definitions -----------------------------------------------------------------------------------------


def test_restart_and_maintenance_rows() -> None:
    arm = me.gallery.build("restart").system
    assert arm.kernels[0, 0, 2].tolist() == [0.1, 0, 0, 0.9, 0] and arm.kernels[0, 0, 4].tolist() == [
        0.1,
        0,
        0,
        0,
        0.9,
    ]
    assert (arm.kernels[0, 1, :, 0] == 1).all()
    assert arm.rewards[0, :, 0].tolist() == pytest.approx([0.9, 0.81, 0.729, 0.6561, 0.59049])
    machine = me.gallery.build("maintenance").system
    assert machine.kernels[0, 0, 3].tolist() == pytest.approx([0, 0, 0, 0.6, 0.4])
    assert machine.kernels[0, 1, 2].tolist() == pytest.approx([0.95, 0, 0.05, 0, 0])
    assert machine.rewards[0, 4].tolist() == [-1.0, -1.0] and machine.budget == 2


def test_deadline_rows() -> None:
    """Every state against the rules, written out again."""
    arm = me.gallery.build("deadline", horizon=3, load=2).system
    at = {(0, 0): 0} | {(t, b): 1 + (t - 1) * 3 + b for t in (1, 2, 3) for b in (0, 1, 2)}
    for (t, b), k in at.items():
        for a in (0, 1):
            work = a and b > 0
            row, pay = arm.kernels[0, a, k], arm.rewards[0, k, a]
            if t > 1:
                assert row[at[t - 1, b - 1 if work else b]] == 1
                assert pay == (0.5 if work else 0)
            else:
                assert (
                    row[0] == pytest.approx(0.3)
                    and row[at[3, 2]] == pytest.approx(0.7 / 6)
                    and row[at[2, 0]] == 0
                )
                assert pay == pytest.approx((0.5 if work else 0) - 0.2 * (b - bool(work)) ** 2)
    assert deadline_index(2, 2, 0.9) == pytest.approx((0, 0, 0.7, 1.1, 0, 0.5, 0.68))


def test_wireless_rows() -> None:
    jobs = me.gallery.build("wireless", case="2", size=5).system
    assert jobs.kernels[1, 1, 2 * 5, 2 * 4 : 2 * 4 + 2].tolist() == [0.5, 0.5]  # bad channel: one unit
    assert jobs.kernels[1, 1, 2 * 5 + 1, 2:4].tolist() == [0.5, 0.5]  # good channel: four
    assert jobs.kernels[0, 0, 0, [0, 1, 10, 11]].tolist() == pytest.approx([0.35, 0.35, 0.15, 0.15])
    assert jobs.rewards[:, 2, 0].tolist() == [-5, -1] and (jobs.rewards[:, :2] == 0).all()
    order = me.gallery.build("wireless", size=5).policy.priority
    first, second = order
    assert (
        first[3]
        > first[5]
        > second[11]
        > second[2]
        == second[10]
        > first[2]
        == first[10]
        > first[0]
        == first[1]
    )


def test_armman_and_health_rows() -> None:
    calls = me.gallery.build("armman").system
    assert calls.kernels[:, 1, 1].tolist() == [[0.8, 0.2, 0], [0.4, 0.6, 0], [0.1, 0.9, 0]]
    assert (calls.kernels[:, 0, [0, 2]] == calls.kernels[:, 1, [0, 2]]).all()
    assert calls.rewards[0, 1].tolist() == pytest.approx([0.1, 0.9])
    patients = me.gallery.build("health").system
    assert patients.kernels[1, :, 0, 1].tolist() == pytest.approx([0.05, 0.45])
    assert patients.n_agents == 20 and patients.budget == 4


@pytest.mark.parametrize("treated", [0.0, 0.2, 1.0])
def test_intervention_values_solve_bellman(treated: float) -> None:
    """`z(0) = Q(0,1) - Q(0,0)` of one patient, by a linear solve."""
    bandit = me.gallery.build("health").system
    for t, z in enumerate(intervention_values(0.95, treated)):
        law = np.array([[1 - treated, treated], [1.0, 0.0]])
        p = np.einsum("sa,asn->sn", law, bandit.kernels[t])
        v = np.linalg.solve(np.eye(2) - 0.95 * p, [0.0, 1.0])
        q = 0.95 * bandit.kernels[t] @ v
        assert (q[1] - q[0]).tolist() == pytest.approx(z.tolist(), abs=1e-12)


def test_decomp_pi_is_whittle() -> None:
    a, b = (me.gallery.build("health", p) for p in ("decomp-pi", "whittle"))
    ranks = [s.policy.ranks(3) for s in (a, b)]
    assert all((x == y).all() for x, y in zip(*ranks, strict=True))
    learnt = me.value_decomposition(a.chain())
    gain = [q[1] - q[0] for q in learnt.local_q]
    assert np.argsort(gain).tolist() == np.argsort(intervention_values(0.95)[:, 0]).tolist() == [0, 2, 1]
    assert learnt.unexplained == pytest.approx(0.0849, abs=5e-5)


def test_recovering_index_rises_with_rest() -> None:
    index = np.reshape(recovering_index(20, 0.1), (4, 20))
    assert (np.diff(index, axis=1) > 0).all()


# --- what the summaries promise --------------------------------------------------------------------------


def test_entanglement_of_the_two_cycle_stays() -> None:
    cycle, circle = (
        [
            float(me.entanglement(me.gallery.build(id, n_arms=n).chain(), "policy").per_agent[0])
            for n in (400, 1600)
        ]
        for id in ("gast-2-cycle", "circulant-bandit")
    )
    assert min(cycle) > 0.13 and abs(circle[0] / circle[1] - 2) < 0.1
    found = me.gallery.build("gast-2-cycle")
    with pytest.raises(Unsupported, match="violated"):
        me.mean_field(found.system, found.policy).limit_constants  # noqa: B018


def test_conveyor_has_several_fixed_points() -> None:
    subject = me.gallery.build("conveyor")
    found = me.mean_field(subject.system, subject.policy)
    gains = [float(p.points[0, 0] @ subject.system.rewards[0, :, 0]) for p in found.fixed_points]
    assert any(np.allclose(p.points[0, 0], 1 / 8, atol=1e-6) for p in found.fixed_points)
    assert max(gains) == pytest.approx(0.0125) and min(gains) == pytest.approx(0.0, abs=1e-9)


def test_good_index_bad_policy() -> None:
    """From half of ten arms in each start, by the joint value of the counts (5, 0, 5, 0, 0)."""
    worth = []
    for policy in ("whittle", "lp"):
        chain = me.gallery.build("good-index-bad-policy", policy).chain().exact
        (k,) = np.flatnonzero((chain.counts[:, 0] == [5, 0, 5, 0, 0]).all(axis=1))
        worth.append(chain.local_values().joint_q[k])
    assert worth == pytest.approx([192.91, 362.62], abs=0.01)


def test_six_orders_of_the_non_indexable_arm() -> None:
    e = me.gallery.entry("non-indexable")
    orders = [p for p in e.policies if p.startswith("order-")]
    assert len(orders) == 6
    for order in orders:
        subject = e.build(order)
        ranks = subject.policy.ranks(1)[0]
        assert "order-" + "".join(str(s) for s in np.argsort(ranks)) == order
        found = me.mean_field(subject.system, subject.policy)
        assert found.attractor in ("proved", "supported") and found.refused is None


def test_a_missing_index_is_told() -> None:
    with pytest.raises(Unsupported, match=r"no Whittle index.*'lp'"):
        me.gallery.build("non-indexable").system.under("whittle")


@pytest.mark.parametrize(
    ("id", "params", "message"),
    [
        ("circulant-bandit", {"budget": 31}, "budget.*got 31"),
        ("circulant-bandit", {"n_arms": 0, "budget": 0}, "n_arms.*got 0"),
        ("circulant-bandit", {"discount": 1.0}, "discount.*got 1.0"),
        ("recovering", {"stall": 1.5}, "kernels"),
        ("recovering", {"longest": 0}, "longest.*got 0"),
        ("recovering", {"arms_per_class": (1, 1)}, "arms_per_class.*4 sizes"),
        ("deadline", {"horizon": 0}, "horizon.*got 0"),
        ("wireless", {"case": "3"}, "case.*'3'"),
        ("wireless", {"size": 0}, "size.*got 0"),
        ("gast-2-cycle", {"example": 4}, "example.*'4'"),
        ("health", {"n_arms": (8, 6)}, "n_arms"),
        ("armman", {"budget": -1}, "budget.*got -1"),
    ],
)
def test_wrong_parameters(id: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        me.gallery.build(id, **params)


# --- the contract checker on bandits -----------------------------------------------------------------------


def named(found: Any) -> dict[str, Any]:
    return {c.name: c for c in found.checks}


def test_checker_sees_several_classes() -> None:
    still = me.RestlessBandit([np.eye(2)] * 2, [0, 1], n_arms=3, budget=1, discount=0.9)
    found = me.check_system(still, me.IndexPolicy([0, 1]))
    assert not found.ok and not named(found)["recurrent classes"].ok
    assert "stationary law" not in named(found) and "NO  recurrent classes" in found.summary()


def test_checker_names_the_period() -> None:
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    ring = np.roll(np.eye(3), 1, axis=1)
    for kernel, n, period in ((swap, 1, 2), (ring, 1, 3), (np.full((2, 2), 0.5), 3, 1)):
        bandit = me.RestlessBandit([kernel] * 2, np.arange(len(kernel)), n_arms=n, budget=1, discount=0.9)
        found = me.check_system(bandit, me.IndexPolicy(np.arange(len(kernel))))
        assert found.ok and named(found)["period"].detail == str(period)


def test_checker_of_a_large_bandit_follows_a_path() -> None:
    subject = me.gallery.build("circulant-bandit", n_arms=10**6)
    found = me.check_system(subject.system, subject.policy)
    assert found.ok and "simulated, not checked" in named(found)["size"].detail
    assert "200,000 of 1,000,000 arms active" in named(found)["budget"].detail


def test_checker_catches_a_wrong_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a chain that serves one arm fewer than it should."""
    subject = me.gallery.build("circulant-bandit", n_arms=6, budget=2)
    chain = subject.chain()
    object.__setattr__(chain, "bandit", me.gallery.build("circulant-bandit", n_arms=6, budget=3).system)
    chain.__dict__["exact"] = subject.chain().exact
    assert not named(me.check_system(chain))["budget"].ok


def test_checker_takes_the_chain_too() -> None:
    subject = me.gallery.build("armman")
    assert (
        me.check_system(subject.chain()).to_dict()
        == me.check_system(subject.system, subject.policy).to_dict()
    )
    assert [c.name for c in me.check_system(subject.chain()).checks if c.name.startswith("arm type")] == [
        "arm type 0", "arm type 1", "arm type 2",
    ]  # fmt: skip


# --- command line ----------------------------------------------------------------------------------------


def test_command_line(capsys: pytest.CaptureFixture[str], folder: Any) -> None:
    assert main(["gallery", "show", "gast-2-cycle", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert {"quantity": "attractor", "value": "violated"}.items() <= {
        k: v for f in record["facts"] if f["quantity"] == "attractor" for k, v in f.items()
    }.items()
    assert main(["analyze", "gallery:non-indexable", "--policy", "order-120", "--json", "r.json"]) == 0
    assert main(["analyze", "gallery:non-indexable", "--policy", "whittle"]) == 2
    assert "--policy" in capsys.readouterr().err
