"""Certificates by simulation against exact chains and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
from test_agents import patients

INDEX = me.IndexPolicy(PRIORITY)


def mean_field_values(gamma: float) -> np.ndarray:
    """(8,) Eq. 2 of one circulant arm in the limit, where state 2 is served with chance 4/7 and the others never."""
    served, p, r = np.array([0.0, 0.0, 4 / 7, 0.0]), np.zeros((8, 8)), np.repeat(REWARD, 2)
    for s in range(4):
        for a, law in enumerate((PASSIVE, ACTIVE)):
            p[2 * s + a, 0::2], p[2 * s + a, 1::2] = (
                np.array(law)[s] * (1 - served),
                np.array(law)[s] * served,
            )
    return np.linalg.solve(np.eye(8) - gamma * p, r)


def circulant(n: int, gamma: float = 0.5) -> me.RestlessBandit:
    return me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=n, budget=n // 5, discount=gamma)


def test_the_limit_of_the_circulant_bandit_is_certified_in_a_narrow_bracket() -> None:
    """1.560 in L2(mu) at N = 1800 by an independent program, 4 % wide at most; variance ratio about 6.8e3."""
    found = me.certify(
        [mean_field_values(0.5)], circulant(1800), INDEX, steps=(16,), starts=20_000, decisions=0, rng=1
    )
    low, high = found.l2[16]
    assert low < 1.5598 < high and (high - low) / 1.5598 < 0.04 and not found.caution
    assert 5e3 < found.variance_ratio[16] < 9e3
    none = me.certify(
        [mean_field_values(0.5)], circulant(1800), INDEX, steps=(16,), control="none", decisions=0, rng=0
    )
    assert none.l2[16][1] - none.l2[16][0] > 10 * (high - low)


def test_brackets_of_any_candidate_contain_its_exact_error() -> None:
    system, policy = patients(6, 5, 2)
    chain = system.under(policy)
    truth, rng = me.value_decomposition(chain), np.random.default_rng(0)
    q, mu = truth.joint_q, chain.occupancy
    tables = [rng.random(4) * 5 for _ in range(6)]
    d = sum(t[chain.pairs[:, i]] for i, t in enumerate(tables))
    nonlinear = lambda x: (x % 2).sum(axis=1) ** 2 + 30.0  # noqa: E731
    for candidate, values in ((tables, d), (nonlinear, nonlinear(chain.pairs)), (truth, truth.sum_q)):
        found = me.certify(candidate, chain, steps=(4, 16, 90), starts=2000, rng=3)
        err = q - values
        for k in (4, 16, 90):
            assert found.l2[k][0] <= np.sqrt(mu @ err**2) <= found.l2[k][1], k
            assert found.mu[k][0] <= mu @ np.abs(err) <= found.mu[k][1], k
        wide = [high - low for low, high in found.l2.values()]
        assert wide[2] < wide[0]
    again = me.certify(truth, chain, steps=(4, 16, 90), starts=2000, rng=3)
    assert again.to_dict() == found.to_dict() and "95 %" in found.sentence and found.variance_ratio[90] > 1


def test_what_limits_the_width_is_said() -> None:
    system, policy = patients(6, 5, 2)
    short = me.certify([np.zeros(4)] * 6, system, policy, steps=(1,), starts=1000, rng=0)
    assert "take steps=(" in short.limits
    good = me.value_decomposition(system.under(policy))
    long = me.certify(good, system, policy, steps=(120,), starts=400, rng=0)
    assert "starts" in long.limits
    assert long.l2[120][1] - long.l2[120][0] < short.l2[1][1] - short.l2[1][0]


def small(
    seed: int, gamma: float = 0.8, unit: float = 1.0
) -> tuple[me.JointChain, np.ndarray, np.ndarray, float]:
    """A chain of a 2-state and a 3-state agent with rewards of their own: it, its values Q (6,), its law, and what the
    best additive values miss, all from raw arrays."""
    rng = np.random.default_rng(seed)
    p, r = 0.04 + 0.76 * rng.dirichlet(np.full(6, 0.5), 6), [3 * rng.normal(size=2), rng.normal(size=3)]
    r = [unit * x for x in r]
    a, b = np.divmod(np.arange(6), 3)
    q = np.linalg.solve(np.eye(6) - gamma * p, r[0][a] + r[1][b])
    mu = np.linalg.matrix_power(p, 4096)[0]
    x = np.concatenate([np.eye(2)[a], np.eye(3)[b]], axis=1) * np.sqrt(mu)[:, None]
    y = q / unit * np.sqrt(mu)
    floor = unit * float(np.linalg.norm(y - x @ np.linalg.lstsq(x, y, rcond=None)[0]))
    return me.JointChain(p, (2, 3), rewards=r, discount=gamma), q, mu, floor


@pytest.mark.parametrize("seed", [1, 5, 7])
def test_the_floor_lies_between_its_limits_whatever_the_candidate(seed: int) -> None:
    system, q, mu, floor = small(seed)
    rng = np.random.default_rng(seed)
    tables = [rng.normal(size=2), 5 * rng.normal(size=3)]
    wrong = q - (tables[0][:, None] + tables[1]).ravel()
    error = float(np.sqrt(mu @ wrong**2))
    found = me.certify(tables, system, steps=(30,), starts=20_000, decisions=0, rng=seed)
    assert found.floor[0] < floor < found.floor[1] < 3 * floor and not found.floor_note
    assert found.bias is not None and found.bias[0] < np.sqrt(error**2 - floor**2) < found.bias[1]
    assert found.noise is None and "the best additive values err by" in found.sentence
    near = me.certify(
        lambda x: q[3 * x[:, 0] + x[:, 1]] + 0.01,
        system,
        steps=(30,),
        starts=20_000,
        decisions=0,
        rng=seed + 1,
    )
    assert near.floor[0] < floor < near.floor[1] and near.bias is None
    assert near.l2[30][0] < 0.01 < near.l2[30][1] and floor > 0.01 and near.floor[0] > 0


@pytest.mark.parametrize(
    ("gamma", "floor", "error", "k"), [(0.5, 0.0113839, 0.0516163, 30), (0.9, 0.05356, 0.2795168, 100)]
)
def test_the_floor_of_the_circulant_bandit(gamma: float, floor: float, error: float, k: int) -> None:
    """Exact numbers by an independent program."""
    bandit = circulant(5, gamma)
    exact = me.value_decomposition(bandit.under(INDEX))
    found = me.certify(exact, bandit, INDEX, steps=(k,), starts=20_000, decisions=0, rng=1)
    assert found.floor[0] < floor < found.floor[1] and found.l2[k][0] < error < found.l2[k][1]
    assert found.bias is not None and found.bias[0] < np.sqrt(error**2 - floor**2) < found.bias[1]
    assert found.floor[1] < error / 2


def test_what_learning_left_is_told_apart() -> None:
    bandit = circulant(60)
    learned = me.estimate_error(bandit, INDEX, rng=0, training=3000)
    found = me.certify(learned, bandit, INDEX, steps=(30,), starts=2000, rng=0)
    assert found.noise == learned.learning_noise > 0 and found.to_dict()["noise"] == found.noise
    assert found.tables()["numbers"].columns["number"].count("noise") == 1


def test_a_floor_needs_more_starts_than_local_pairs() -> None:
    system, policy = patients(220, 5, 30)
    found = me.certify([np.zeros(4)] * 220, system, policy, steps=(8,), starts=200, rng=0)
    assert (
        found.floor[0] == 0
        and "needs more starts than" in found.floor_note
        and found.floor_note in found.sentence
    )


def test_functions_of_counts_say_what_tables_say() -> None:
    """The same rollouts: a function gets the arms at each local pair `2 s + a`, type by type."""
    bandit = me.RestlessBandit(
        [[PASSIVE, ACTIVE]] * 2, [REWARD, np.array(REWARD) / 2], n_arms=[4, 6], budget=2, discount=0.5
    )
    policy = me.IndexPolicy([[1, 2, 3, 0]] * 2)
    rng = np.random.default_rng(0)
    tables = [rng.normal(size=8), rng.normal(size=8)]

    def value(counts: np.ndarray) -> np.ndarray:
        assert (counts.reshape(-1, 2, 8).sum(axis=2) == [4, 6]).all()
        assert (counts[:, 1::2].sum(axis=1) == 2).all()
        return counts @ np.concatenate(tables)

    by_table, by_function = (
        me.certify(c, bandit, policy, steps=(4, 20), starts=400, rng=0) for c in (tables, value)
    )
    assert by_function.l2[20] == pytest.approx(by_table.l2[20], rel=1e-9) and by_function.bias is None
    assert by_function.mu[4] == pytest.approx(by_table.mu[4], rel=1e-9)
    square = me.certify(lambda n: value(n) ** 2, bandit, policy, steps=(20,), starts=2000, rng=0)
    chain = bandit.under(policy).exact
    truth = me.value_decomposition(chain).joint_q
    err = truth - (np.asarray(chain.features @ np.concatenate(tables))) ** 2
    assert square.l2[20][0] < np.sqrt(chain.occupancy @ err**2) < square.l2[20][1]


def test_every_candidate_that_was_learned_is_read() -> None:
    bandit = circulant(10)
    values = me.LSTD().fit(me.simulate(bandit, INDEX, 2000, rng=0), 0.5)
    joint = me.additive_values(bandit.under(INDEX))
    for candidate in (values, joint):
        found = me.certify(candidate, bandit, INDEX, steps=(20,), starts=1000, rng=2)
        assert found.bias is not None
    assert found.l2[20][0] < joint.error("l2") < found.l2[20][1]


def test_as_many_starts_as_are_named_are_enough() -> None:
    """To 10 %: the variance is measured, and few products leave room for rarer ones, so that it may be less."""
    system, q, mu, _ = small(1)
    ones = np.concatenate([np.eye(2)[:, None].repeat(3, axis=1), np.eye(3)[None].repeat(2, axis=0)], axis=2)
    root = np.sqrt(mu)[:, None]
    best = np.linalg.lstsq(root * ones.reshape(6, 5), root[:, 0] * q, rcond=None)[0]
    tables = [best[:2], best[2:]]
    first = me.certify(tables, system, steps=(30,), starts=1000, rng=0)
    needed = first.needed_starts
    assert needed is not None and f"{needed:,} starts" in first.limits and needed > 200
    low, high = me.certify(tables, system, steps=(30,), starts=needed, rng=1).l2[30]
    assert 0.05 < 2 * (high - low) / (high + low) < 0.12
    short = me.certify(tables, system, steps=(2,), starts=1000, rng=0)
    assert short.needed_starts is None
    (more,) = map(int, short.limits.rpartition("(")[2].split(",")[:1])
    low, high = me.certify(tables, system, steps=(more,), starts=8 * needed, rng=1).l2[more]
    assert 2 * (high - low) / (high + low) < 0.1


def slow(leave: float) -> me.RestlessBandit:
    """Arms that leave their state with about this chance."""
    kernels = [
        [[1 - leave, leave], [2 * leave, 1 - 2 * leave]],
        [[1 - 3 * leave, 3 * leave], [leave, 1 - leave]],
    ]
    return me.RestlessBandit(kernels, [0, 1], n_arms=40, budget=10, discount=0.9)


def test_slow_counts_are_told_to_take_more_starts_and_then_are_certified() -> None:
    index = me.IndexPolicy([1, 0])
    short = me.certify([np.zeros(4)], slow(1.3e-5), index, steps=(4,), starts=200, rng=0)
    assert short.floor == short.bias == (0.0, np.inf) and short.decision_loss is None
    assert (
        short.decision_note == short.caution
        and short.needed_starts is None
        and short.caution in short.sentence
    )
    starts = int(short.caution.rpartition("take starts=")[2])
    found = me.certify([np.zeros(4)], slow(1.3e-5), index, steps=(4,), starts=starts, decisions=0, rng=0)
    assert not found.caution and found.l2[4][1] < np.inf
    never = me.certify([np.zeros(4)], slow(1e-7), index, steps=(4,), starts=200, rng=0)
    assert "no number of starts would do" in never.caution


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    system, policy = patients(30, 5, 4)
    arguments = ([np.arange(4.0)] * 30, system, policy), ([np.arange(8.0)], circulant(20), INDEX)
    found = []
    for cores in (1, 4):
        monkeypatch.setattr("os.cpu_count", lambda n=cores: n)
        found.append([me.certify(*a, steps=(4, 16), starts=400, rng=0).to_dict() for a in arguments])
    assert found[0] == found[1]


def test_candidates_that_do_not_fit_are_refused() -> None:
    system, policy = patients(3, 0, 1)
    wrong = {"2 local tables": [np.zeros(4)] * 2, "shape": [np.zeros(3)] * 3, "not finite": [np.full(4, np.nan)] * 3,
             "returns": lambda x: x, "candidate": 3}  # fmt: skip
    for words, candidate in wrong.items():
        with pytest.raises(InvalidInput, match=words):
            me.certify(candidate, system, policy, steps=(2,), starts=200, rng=0)
    with pytest.raises(InvalidInput, match="discount"):
        me.certify(
            [np.zeros(4)] * 3, me.WeaklyCoupledMDP(system.kernels, [[0, 1]] * 3, budget=1), policy, rng=0
        )
    with pytest.raises(Unsupported, match="rewards"):
        me.certify(
            [np.zeros(4)] * 3, me.WeaklyCoupledMDP(system.kernels, discount=0.9, budget=1), policy, rng=0
        )
    with pytest.raises(InvalidInput, match=r"returns \(n,\) numbers"):
        me.certify(lambda x: x, circulant(10), INDEX, rng=0)
    with pytest.raises(InvalidInput, match="not finite"):
        me.certify([np.full(8, np.nan)], circulant(10), INDEX, rng=0)


# --- choices ---------------------------------------------------------------------------------------------


def two_by_hand(seed: int) -> tuple[me.MultiAgentMDP, list[np.ndarray], float, float]:
    """Two agents of two states and two actions on a joint kernel, under the uniform policy; tables by chance; what
    choosing by them costs and the share of visits where it is right, from raw arrays."""
    rng, gamma = np.random.default_rng(seed), 0.7
    kernel, tables = rng.dirichlet(np.ones(4), (4, 4)), [rng.normal(size=4), rng.normal(size=4)]
    r = [rng.normal(size=(2, 2)), 2 * rng.normal(size=(2, 2))]
    reward = np.array([[r[0][s // 2, a // 2] + r[1][s % 2, a % 2] for a in range(4)] for s in range(4)])
    d = np.array(
        [
            [tables[0][2 * (s // 2) + a // 2] + tables[1][2 * (s % 2) + a % 2] for a in range(4)]
            for s in range(4)
        ]
    )
    p = kernel.mean(axis=1)  # (state, next) under the uniform policy
    v = np.linalg.solve(np.eye(4) - gamma * p, reward.mean(axis=1))
    q = reward + gamma * kernel @ v
    nu, chosen = np.linalg.matrix_power(p, 4096)[0], d.argmax(axis=1)
    lost = q.max(axis=1) - q[np.arange(4), chosen]
    system = me.MultiAgentMDP(kernel, r, n_states=(2, 2), n_actions=(2, 2), discount=gamma)
    return system, tables, float(nu @ lost), float(nu @ (lost < 1e-9))


@pytest.mark.parametrize("seed", range(3))
def test_what_a_choice_costs_lies_between_its_limits(seed: int) -> None:
    system, tables, loss, right = two_by_hand(seed)
    found = me.certify(
        tables, system, "uniform", steps=(30,), starts=8000, decisions=400, rng=seed
    ).decision_loss
    assert found is not None and found.complete and found.actions == 4 and found.states == 400
    assert found.loss[0] < loss < found.loss[1] and found.right[0] - 0.1 < right < found.right[1] + 0.1
    assert found.loss[1] - found.loss[0] < 0.7 * loss and "right in" in found.sentence


def test_choices_in_counts_cost_what_the_exact_chain_says() -> None:
    """3.2801e-05 for local TD at N = 5 by an independent program; tables that serve the wrong arms cost more."""
    bandit = circulant(5)
    chain = bandit.under(INDEX)
    local, wrong = me.value_decomposition(chain), [np.array([0.0, 1, 0, -1, 0, -2, 0, 3])]
    found = me.certify(local, bandit, INDEX, steps=(30,), starts=4000, decisions=200, rng=0).decision_loss
    assert found is not None and found.complete and found.loss[0] <= 3.2801e-05 < found.loss[1] < 0.05
    assert found.right[1] >= 0.99
    exact = me.decision_loss(chain, candidate=wrong)
    worse = me.certify(wrong, bandit, INDEX, steps=(30,), starts=4000, decisions=200, rng=0)
    found = worse.decision_loss
    assert found is not None and exact.loss > 0.3
    assert 0.5 * exact.loss < found.loss[0] < exact.loss < found.loss[1] < 1.5 * exact.loss
    assert found.right[0] - 0.1 < exact.right < found.right[1] + 0.1
    rows = worse.tables()["numbers"].columns
    at = rows["number"].index("loss")
    assert (rows["low"][at], rows["high"][at]) == found.loss and found.sentence in worse.sentence


def test_equal_arms_are_chosen_with_equal_chances() -> None:
    """A table that tells no action from another chooses evenly: ties are averaged, as exactly."""
    bandit = circulant(5)
    flat = [np.zeros(8)]
    exact = me.decision_loss(bandit.under(INDEX), candidate=flat)
    found = me.certify(flat, bandit, INDEX, steps=(30,), starts=4000, decisions=200, rng=0).decision_loss
    assert found is not None and found.loss[0] < exact.loss < found.loss[1] < 1.5 * exact.loss


def test_where_actions_are_many_the_loss_is_at_least_so_much() -> None:
    system, policy = patients(10, 3, 4)
    rng = np.random.default_rng(3)
    tables = [np.array([0.0, 0, 0, 3]) + rng.random(4) for _ in range(10)]  # serves those that are well
    exact = me.decision_loss(system.under(policy), candidate=tables)
    got = me.certify(tables, system, policy, steps=(90,), starts=4000, decisions=20, rng=0)
    found = got.decision_loss
    assert found is not None and not found.complete and found.loss[1] == np.inf and found.right[0] == 0.0
    assert 0.1 * exact.loss < found.loss[0] < exact.loss and "at least" in found.sentence
    assert found.to_dict()["loss"][1] is None and "bound" not in got.sentence
    many, index = patients(60, 5, 8)
    wrong = [np.array([0.0, 0, 0, 3]) + rng.random(4) for _ in range(60)]
    far = me.certify(wrong, many, index, steps=(60,), starts=1000, rng=0).decision_loss
    assert far is not None and far.loss[0] > 0 and not far.complete
    arms = me.certify(
        [np.array([0.0, 1, 0, -1, 0, -2, 0, 3])], circulant(300), INDEX, steps=(16,), starts=2000, rng=0
    )
    assert (
        arms.decision_loss is not None and arms.decision_loss.loss[0] > 1 and not arms.decision_loss.complete
    )


def test_choices_without_limits_are_each_agents_own() -> None:
    """Forty agents that nothing ties: 2^40 actions, of which each agent's best is the best sum."""
    kernels = [np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.3, 0.7], [0.1, 0.9]]])] * 40
    system = me.WeaklyCoupledMDP(kernels, [[0.0, 1.0]] * 40, discount=0.6)
    best, worst = ([np.array(t)] * 40 for t in ([0.0, 1, 0, 1], [1.0, 0, 1, 0]))
    good, bad = (
        me.certify(
            t, system, me.LocalPolicy([np.full((2, 2), 0.5)] * 40), steps=(20,), starts=1000, rng=0
        ).decision_loss
        for t in (best, worst)
    )
    assert good is not None and bad is not None and good.loss[0] == 0.0 and good.right[1] == 1.0
    assert bad.loss[0] > 0 and bad.right[1] < 1.0


def test_why_choices_cannot_be_judged_is_said() -> None:
    system, *_ = small(1)
    one = me.certify([np.zeros(2), np.zeros(3)], system, steps=(4,), starts=200, rng=0)
    assert one.decision_loss is None and "one joint action" in one.decision_note
    many, index = patients(60, 5, 8)
    value = lambda x: x.sum(axis=1).astype(float)  # noqa: E731
    none = me.certify(value, many, index, steps=(4,), starts=200, rng=0)
    assert none.decision_loss is None and "sums of local values" in none.decision_note
    arms = me.certify(lambda n: n[:, 0] * 1.0, circulant(300), INDEX, steps=(4,), starts=200, rng=0)
    assert arms.decision_loss is None and "sums of local values" in arms.decision_note
    quiet = me.certify(value, many, index, steps=(4,), starts=200, decisions=0, rng=0)
    assert quiet.decision_loss is None and not quiet.decision_note
    few, index = patients(6, 5, 2)
    exact = me.value_decomposition(few.under(index))
    holes = sum(bool(np.isnan(t).any()) for t in exact.local_q)
    found = me.certify(exact, few, index, steps=(90,), starts=4000, decisions=200, rng=0).decision_loss
    assert holes and found is not None and 0 < found.excluded < 0.2
    lost = [np.where(np.arange(4) % 2 == 1, np.nan, t) for t in exact.local_q]
    with pytest.raises(InvalidInput, match="not finite"):
        me.certify(lost, few, index, steps=(4,), starts=200, rng=0)


def test_an_error_that_only_rare_events_cancel_is_not_claimed() -> None:
    """Arms served second are reached in one of 10^4 steps: until that happens rollouts after control variates agree on
    an error of 4e-4, while the true one is 8e-6."""
    first, other = [[[0.11, 0.89]] * 2] * 2, [[[0.5, 0.5], [0.3, 0.7]], [[0.4, 0.6], [0.2, 0.8]]]
    pay = [[[0, 1], [1, 2]], [[0, 1], [1, 3]]]
    bandit = me.RestlessBandit([first, other], pay, n_arms=[15, 10], budget=8, discount=0.9)
    policy = me.IndexPolicy([[0, 3], [1, 2]])
    values = me.value_decomposition(bandit.under(policy).exact)
    for seed in (5, 10, 25, 35):
        found = me.certify(
            values, bandit, policy, steps=(8, 32), starts=1000, decisions=0, rng=3 * 10**6 + seed
        )
        for low, high in found.l2.values():
            assert low <= values.error("l2") <= high, seed


@pytest.mark.parametrize("power", [-600, 600])
def test_the_unit_of_the_reward_changes_no_digit_of_a_certificate(power: int) -> None:
    """Squares of rewards of 1e180 are infinite, those of 1e-180 are 0."""
    unit, (system, _, _, floor) = 2.0**power, small(5)
    scaled = small(5, unit=unit)[0]
    rng = np.random.default_rng(0)
    tables = [rng.normal(size=2), 5 * rng.normal(size=3)]
    options = {"steps": (30,), "starts": 2000, "decisions": 0, "rng": 0}
    one = me.certify(tables, system, **options)
    two = me.certify([unit * t for t in tables], scaled, **options)
    assert 0 < one.floor[0] < floor < one.floor[1]
    for name in ("floor", "bias"):
        assert getattr(two, name) == pytest.approx([unit * x for x in getattr(one, name)], rel=1e-6)
    assert two.needed_starts == one.needed_starts is not None
    assert two.l2[30] == pytest.approx([unit * x for x in one.l2[30]], rel=1e-9)


def test_rewards_of_actions_that_are_not_offered_widen_nothing() -> None:
    """State 1 offers action 0 alone; what the other would pay is never paid."""
    step = np.array([[[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.0, 0.0]]])
    limits = []
    for never in (0.0, -1e9):
        paid = np.array([[0.0, 1.0], [0.5, never]])
        system = me.WeaklyCoupledMDP([step.transpose(0, 1, 2)] * 2, [paid] * 2, discount=0.5)
        tables = [np.array([0.0, 1.0, 0.5, 0.0])] * 2
        found = me.certify(tables, system, "uniform", steps=(20,), starts=400, decisions=40, rng=0)
        assert found.decision_loss is not None
        limits.append(found.decision_loss.loss)
    assert limits[0] == pytest.approx(limits[1], rel=1e-9) and limits[1][1] < 1.0
