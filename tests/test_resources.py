"""At most M, knapsacks, several constraints: what is feasible, and the policies that keep to it."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported, UserError
from markov_entanglement.model.kinds import kind_of

ARM = np.array([[[0.7, 0.3], [0.4, 0.6]], [[0.2, 0.8], [0.1, 0.9]]])
LEVELS = np.array([[[0.8, 0.2], [0.5, 0.5]], [[0.5, 0.5], [0.3, 0.7]], [[0.1, 0.9], [0.05, 0.95]]])
NEVER = -np.inf


def at_most(limit: float, n: int = 3, costs: Any = (0, 1), kernel: np.ndarray = ARM, **more: Any) -> Any:
    rewards = [np.arange(kernel.shape[1], dtype=float)] * n
    return me.WeaklyCoupledMDP([kernel] * n, rewards, discount=0.9, resources=[(costs, limit, "<=")], **more)


# --- right values from the field ---------------------------------------------------------------------------


def serve_a_bad_one(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    bad = [i for i, s in enumerate(state) if s == 0]
    return {tuple(int(j == i) for j in range(3)): 1 / len(bad) for i in bad} or {(0, 0, 0): 1.0}


@pytest.mark.parametrize("policy", [serve_a_bad_one, me.IndexPolicy([1, NEVER])], ids=["callable", "index"])
def test_at_most_one(policy: Any) -> None:
    """Serve one bad arm at random, nobody when all are good."""
    chain = at_most(1).under(policy)
    values = me.value_decomposition(chain)
    assert me.entanglement(chain).per_agent == pytest.approx([0.0165601] * 3, abs=5e-8)
    assert me.entanglement(chain, "policy").per_agent == pytest.approx([0.0830188] * 3, abs=5e-8)
    assert values.error("mu") == pytest.approx(0.0169351, abs=5e-8)
    assert values.unexplained == pytest.approx(0.0227489, abs=5e-8)


def worst_first(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    left, out = 2, [0, 0, 0]
    for s, want in ((0, 2), (1, 1)):
        for i in range(3):
            if state[i] == s:
                out[i] = min(want, left)
                left -= out[i]
    return {tuple(out): 1.0}


#: Bad before good, ties by number; a good arm never takes action 2.
STEPS = [[[20.0 - 2 * i, 20.0 - 2 * i], [10.0 - i, NEVER]] for i in range(3)]


@pytest.mark.parametrize("policy", [worst_first, me.IndexPolicy(STEPS)], ids=["callable", "index"])
def test_costs_of_three_actions(policy: Any) -> None:
    """Actions 0, 1, 2 cost as much, two units in all."""
    chain = at_most(2, costs=(0, 1, 2), kernel=LEVELS).under(policy)
    values = me.value_decomposition(chain)
    assert me.entanglement(chain).per_agent[0] == pytest.approx(0.0368369, abs=5e-8)
    assert me.entanglement(chain, "policy").per_agent[0] == pytest.approx(0.1778008, abs=5e-8)
    assert values.error("mu") == pytest.approx(0.0342758, abs=5e-8)
    assert values.unexplained == pytest.approx(0.0468894, abs=5e-8)


def test_an_action_too_many_is_refused_with_both_numbers() -> None:
    with pytest.raises(
        InvalidInput, match=r"action \(1, 1, 0\) in state \(0, 0, 0\).*uses 2 of resources\[0\].*is 1"
    ):
        at_most(1).under(lambda state: {(1, 1, 0): 1.0})
    with pytest.raises(InvalidInput, match=r"uses 2 of resources\[0\].*limit is 1"):
        me.simulate(at_most(1), lambda state: {(1, 1, 0): 1.0}, 5, rng=0)
    costs = [[0, 2.5], [0, 1.5]]
    exact = me.WeaklyCoupledMDP([ARM] * 2, [[0, 1]] * 2, discount=0.9, resources=[(costs, 4, "==")])
    with pytest.raises(InvalidInput, match=r"uses 2.5 of resources\[0\].*is 4: all of it"):
        exact.under(lambda state: {(1, 0): 1.0})


# --- feasible actions against a list of all of them ---------------------------------------------------------


def drawn(seed: int) -> tuple[Any, list[tuple[Any, float, str]]]:
    """Agents of different sizes, and constraints that may depend on states; as raw lists."""
    rng = np.random.default_rng(seed)
    states, actions = rng.integers(1, 4, size=3).tolist(), rng.integers(1, 4, size=3).tolist()
    actions[0] = max(actions[0], 2)
    rules: list[tuple[Any, float, str]] = []
    for _ in range(int(rng.integers(1, 3))):
        costs = [rng.integers(0, 4, size=(s, a)) / 10 for s, a in zip(states, actions, strict=True)]
        if rng.random() < 0.4:
            costs = [c[0] for c in costs]
        rules.append((costs, float(rng.integers(3, 9)) / 10, "<="))
    kernels = [rng.dirichlet(np.ones(s), size=(a, s)) for s, a in zip(states, actions, strict=True)]
    rewards = [rng.normal(size=(s, a)) for s, a in zip(states, actions, strict=True)]
    return (kernels, rewards, states, actions), rules


def fits(rules: Any, state: Any, action: Any) -> bool:
    """By exact arithmetic on tenths."""
    for costs, limit, sense in rules:
        rows = [np.asarray(c) for c in costs]
        each = [c[a] if c.ndim == 1 else c[s, a] for c, s, a in zip(rows, state, action, strict=True)]
        total = sum(Fraction(round(float(x) * 10), 10) for x in each)
        right = Fraction(round(limit * 10), 10)
        if not (total <= right if sense == "<=" else total == right):
            return False
    return True


def listed(raw: Any, rules: Any) -> np.ndarray:
    """(joint states, joint actions) True where feasible."""
    _, _, states, actions = raw
    every = [list(itertools.product(*map(range, sizes))) for sizes in (states, actions)]
    return np.array([[fits(rules, s, a) for a in every[1]] for s in every[0]])


@pytest.mark.parametrize("seed", range(25))
def test_feasible_actions(seed: int) -> None:
    raw, rules = drawn(seed)
    right = listed(raw, rules)
    if seed % 3 == 0:  # an equality that somebody can meet everywhere, and a budget beside it
        rules = [*rules, ([np.zeros(a) for a in raw[3]], 0.0, "==")]
    every = np.array(list(itertools.product(*map(range, raw[2]))))
    build = lambda: me.WeaklyCoupledMDP(raw[0], raw[1], discount=0.8, resources=rules)  # noqa: E731
    if not right.any(axis=1).all():
        with pytest.raises(InvalidInput, match=r"resources: got no feasible joint action in (any )?state"):
            build().feasible(every)
        return
    system = build()
    assert (system.feasible(every).toarray() > 0).tolist() == right.tolist()
    actions = np.array(list(itertools.product(*map(range, raw[3]))))
    at, to = np.divmod(np.arange(right.size), right.shape[1])
    assert (~system.forbidden(every[at], actions[to])[0]).tolist() == right.ravel().tolist()
    law = system.bind("uniform").table(every).toarray()
    assert law == pytest.approx(right / right.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("most", [0, 1, 2, 3, 5, 9])
@pytest.mark.parametrize("sizes", [(2, 2, 2, 2), (3, 2, 1, 3), (2,)])
@pytest.mark.parametrize("listed", [True, False], ids=["small", "as if large"])
def test_uniform_over_at_most(sizes: tuple[int, ...], most: int, listed: bool) -> None:
    """By listing; the marginals and samples that never list it say the same."""
    kernels = [np.full((a, 2, 2), 0.5) for a in sizes]
    costs = [[0.3 * k for k in range(a)] for a in sizes]
    system = me.WeaklyCoupledMDP(
        kernels, [[0, 1]] * len(sizes), discount=0.9, resources=[(costs, 0.3 * most, "<=")]
    )
    actions = np.array(list(itertools.product(*map(range, sizes))))
    right = (actions.sum(axis=1) <= most) / (actions.sum(axis=1) <= most).sum()
    bound, states = system.bind("uniform"), np.zeros((4000, len(sizes)), dtype=int)
    assert bound.table(states[:1]).toarray()[0] == pytest.approx(right)
    for i, m in enumerate(bound.marginals(states[:2])):
        assert m[0] == pytest.approx([right[actions[:, i] == k].sum() for k in range(sizes[i])], abs=1e-12)
    bound.listed = listed
    found = np.ravel_multi_index(tuple(bound.sample(states, np.random.default_rng(1)).T), sizes)
    share = np.bincount(found, minlength=len(right)) / 4000
    assert (np.abs(share - right) <= 5 * np.sqrt(right * (1 - right) / 4000) + 1e-12).all()
    if listed:  # one number for each joint action, by inversion
        u = np.random.default_rng(1).random(4000)
        k = np.minimum(np.searchsorted(np.cumsum(right[right > 0]), u, side="right"), (right > 0).sum() - 1)
        assert (found != np.flatnonzero(right)[k]).mean() < 1e-3


def test_uniform_over_at_most_of_thousands() -> None:
    path = me.simulate(at_most(300, 2000), "uniform", 3, rng=0)
    assert (path.actions.sum(axis=1) <= 300).all() and (path.actions.sum(axis=1) > 290).all()


def test_an_equality_of_several_actions_is_a_budget() -> None:
    given = me.WeaklyCoupledMDP([ARM] * 3, [[0, 1]] * 3, discount=0.9, resources=[([0, 0.5], 1, "==")])
    assert given.budget == 2 and given.resources == () and given.ranked
    short = me.WeaklyCoupledMDP([ARM] * 3, [[0, 1]] * 3, discount=0.9, budget=2)
    a, b = (me.entanglement(s.under("whittle")).per_agent for s in (given, short))
    assert a.tolist() == b.tolist()


def test_a_budget_and_a_cap() -> None:
    """Exactly two of four are served, and only one of the first two."""
    cap = [[0, 1], [0, 1], [0, 0], [0, 0]]
    rewards = [[0, 1]] * 4
    system = me.WeaklyCoupledMDP([ARM] * 4, rewards, discount=0.9, budget=2, resources=[(cap, 1, "<=")])
    found = np.flatnonzero(system.feasible(np.zeros((1, 4), dtype=int)).toarray()[0]).tolist()
    every = enumerate(itertools.product((0, 1), repeat=4))
    assert found == [k for k, a in every if sum(a) == 2 and a[0] + a[1] <= 1]
    with pytest.raises(
        Unsupported, match=r"'whittle'.*it needs a budget and no other resources.*What fits: .*index"
    ):
        system.under("whittle")
    with pytest.raises(InvalidInput, match="the budget is 2, so actions must sum to it"):
        system.under(lambda s: {(1, 0, 0, 0): 1.0})
    assert repr(system.resources) == "(Resource(4 agents, <= 1),)"


def test_sums_of_decimals_are_not_lost_to_rounding() -> None:
    system = at_most(0.3, costs=(0, 0.1))  # 0.1 + 0.1 + 0.1 > 0.3 in doubles
    assert system.feasible(np.zeros((1, 3), dtype=int)).nnz == 8
    assert not system.forbidden(np.zeros((1, 3), int), np.ones((1, 3), int))[0].any()


# --- states without a feasible action --------------------------------------------------------------------


def test_a_state_without_a_feasible_action_is_named() -> None:
    """Two broken machines cost more to leave than there is."""
    costs = [[[2.0, 1.0], [0.0, 1.0]]] * 2
    system = me.WeaklyCoupledMDP([ARM] * 2, [[0, 1]] * 2, discount=0.9, resources=[(costs, 1, "<=")])
    for ask in (
        lambda: system.under("uniform"),
        lambda: me.optimal_policy(system),
        lambda: me.analyze(system, "uniform"),
    ):
        with pytest.raises(
            InvalidInput, match=r"no feasible joint action in state \(0, 0\).*uses 2 of resources\[0\].*1"
        ):
            ask()
    wider = me.WeaklyCoupledMDP([ARM] * 2, [[0, 1]] * 2, discount=0.9, resources=[(costs, 2, "<=")])
    assert wider.under("uniform").n_pairs > 0  # raised as the message says


def test_limits_that_nothing_meets_are_refused_at_once() -> None:
    with pytest.raises(
        InvalidInput, match=r"any state; the cheapest one uses 3 of resources\[0\], whose limit is 2"
    ):
        at_most(2, costs=(1, 2))
    with pytest.raises(
        InvalidInput, match=r'dearest one uses 3 of resources\[0\], and all of 4 .*"<=" for "=="'
    ):
        me.WeaklyCoupledMDP(
            [ARM] * 3, [[0, 1]] * 3, discount=0.9, resources=[([[0, 0], [0, 1], [0, 2]], 4, "==")]
        )
    with pytest.raises(InvalidInput, match=r"resources\[0\].limit: got 4; it must be in 0..3"):
        me.WeaklyCoupledMDP([ARM] * 3, [[0, 1]] * 3, discount=0.9, resources=[([0, 1], 4, "==")])
    assert at_most(4).under("uniform").n_pairs == 64  # as it says
    rules = [([0, 2], 3, "=="), ([0, 1], 2, "<=")]
    odd = me.WeaklyCoupledMDP([ARM] * 3, [[0, 1]] * 3, discount=0.9, resources=rules)
    with pytest.raises(
        InvalidInput, match=r'none meets resources\[0\] and resources\[1\]. Raise .*"<=" for "=="'
    ):
        odd.under("uniform")


def test_too_many_actions_are_refused_before_they_are_listed() -> None:
    many = at_most(20, 40)
    chain = many.under("uniform", initial=(0,) * 40)
    assert (chain.runs.walk(3, np.random.default_rng(0), 2).actions.sum(axis=1) <= 20).all()
    with pytest.raises(TooLarge, match=r"me.RestlessBandit"):
        me.entanglement(chain, "atv")
    with pytest.raises(TooLarge, match=r"feasible joint actions: got 6.187e\+11 of 1.1e\+12"):
        many.feasible(np.zeros((1, 40), dtype=int))
    bumpy = [np.random.default_rng(i).random((2, 2)) for i in range(40)]
    with pytest.raises(TooLarge, match="feasible joint actions: got more than"):
        at_most(20, 40, costs=bumpy).feasible(np.zeros((1, 40), dtype=int))
    few = at_most(2, 40).feasible(np.zeros((3, 40), dtype=int))  # 2^40 joint actions, 821 of them feasible
    assert few.nnz == 3 * (1 + 40 + 780)


def test_memory_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    system = at_most(6, 12)
    monkeypatch.setattr(tol, "BYTES", 60_000)
    with pytest.raises(TooLarge, match="of 4,096"):
        system.feasible(np.zeros((1, 12), dtype=int))
    with pytest.raises(TooLarge, match="policy table"):
        system.bind(me.IndexPolicy([1, 1])).table(np.zeros((1, 12), dtype=int))


# --- index policies --------------------------------------------------------------------------------------------


def by_recursion(tables: Any, rules: Any, state: Any, actions: Any) -> dict[tuple[int, ...], Fraction]:
    """The law of the rule as it is worded, agent by agent, in fractions."""
    out: dict[tuple[int, ...], Fraction] = {}

    def go(action: tuple[int, ...], p: Fraction) -> None:
        steps = []
        for i, a in enumerate(action):
            if a + 1 < actions[i] and tables[i][state[i]][a] > NEVER:
                up = (*action[:i], a + 1, *action[i + 1 :])
                if fits(rules, state, up):
                    steps.append((tables[i][state[i]][a], up))
        if not steps:
            out[action] = out.get(action, Fraction(0)) + p
            return
        best = [up for level, up in steps if level == max(level for level, _ in steps)]
        for up in best:
            go(up, p / len(best))

    go((0,) * len(actions), Fraction(1))
    return out


def rising(seed: int, two: bool) -> tuple[Any, Any, Any, Any, Any]:
    """Agents, costs that rise with the action, priorities with ties, some never."""
    rng = np.random.default_rng([seed, two])
    n = 4
    states, actions = (
        rng.integers(1, 3, size=n).tolist(),
        [2] * n if two else rng.integers(1, 4, size=n).tolist(),
    )
    rules = []
    for _ in range(int(rng.integers(1, 3))):
        costs = [
            np.cumsum(rng.integers(0, 3, size=(s, a)), axis=1) / 10
            for s, a in zip(states, actions, strict=True)
        ]
        rules.append(([c - c[:, :1] for c in costs], float(rng.integers(1, 6)) / 10, "<="))
    tables = [rng.integers(0, 3, size=(s, a - 1)).astype(float) for s, a in zip(states, actions, strict=True)]
    for t in tables:
        t[rng.random(t.shape) < 0.15] = NEVER
    kernels = [rng.dirichlet(np.ones(s), size=(a, s)) for s, a in zip(states, actions, strict=True)]
    rewards = [rng.normal(size=(s, a)) for s, a in zip(states, actions, strict=True)]
    system = me.WeaklyCoupledMDP(kernels, rewards, discount=0.8, resources=rules)
    return system, rules, tables, states, actions


@pytest.mark.parametrize("two", [True, False], ids=["two actions", "more"])
@pytest.mark.parametrize("seed", range(12))
def test_index_policies(seed: int, two: bool) -> None:
    system, rules, tables, states, actions = rising(seed, two)
    bound = system.bind(me.IndexPolicy(tables))
    every = np.array(list(itertools.product(*map(range, states))))
    table = bound.table(every).toarray()
    joint = list(itertools.product(*map(range, actions)))
    for k, state in enumerate(every.tolist()):
        right = by_recursion(tables, rules, state, actions)
        assert table[k] == pytest.approx([float(right.get(a, 0)) for a in joint], abs=1e-14)
        assert bound.law(state) == pytest.approx({a: float(p) for a, p in right.items()})
    for i, m in enumerate(bound.marginals(every)):
        for a in range(actions[i]):
            at = [k for k, action in enumerate(joint) if action[i] == a]
            assert m[:, a] == pytest.approx(table[:, at].sum(axis=1), abs=1e-13)
    states_ = np.repeat(every[-1:], 4000, axis=0)
    drawn_ = np.ravel_multi_index(tuple(bound.sample(states_, np.random.default_rng(1)).T), actions)
    share = np.bincount(drawn_, minlength=len(joint)) / 4000
    assert (np.abs(share - table[-1]) <= 5 * np.sqrt(table[-1] * (1 - table[-1]) / 4000) + 1e-12).all()


@pytest.mark.parametrize("seed", range(6))
def test_ties_are_a_random_order_in_which_nobody_who_does_not_fit_is_waited_for(seed: int) -> None:
    """The same law told otherwise: all orders of a class, each arm served if it fits when its turn comes."""
    rng = np.random.default_rng(seed)
    costs, limit = rng.integers(1, 4, size=5), int(rng.integers(3, 7))
    system = at_most(limit, 5, costs=[[0.0, float(c)] for c in costs])
    right: dict[tuple[int, ...], float] = {}
    for order in itertools.permutations(range(5)):
        action, left = [0] * 5, limit
        for i in order:
            if costs[i] <= left:
                action[i], left = 1, left - costs[i]
        right[tuple(action)] = right.get(tuple(action), 0.0) + 1 / 120
    assert system.bind(me.IndexPolicy([1, 1])).law((0,) * 5) == pytest.approx(right)


def test_one_table_for_all_and_step_by_step() -> None:
    """[table] is shared; (S,) serves two actions, and means the same as (S, 1)."""
    system = at_most(2, costs=(0, 1, 2), kernel=LEVELS)
    shared, each = (me.IndexPolicy(p) for p in ([[[3, 1], [2, 0]]], [[[3, 1], [2, 0]]] * 3))
    every = np.array(list(itertools.product((0, 1), repeat=3)))
    a, b = (system.bind(p).table(every).toarray() for p in (shared, each))
    assert a.tolist() == b.tolist() and shared.shared and not each.shared
    # two units: the bad ones move to 1 first, then the good ones
    assert system.bind(shared).law((0, 1, 1)) == {(1, 0, 1): 0.5, (1, 1, 0): 0.5}
    assert system.bind(shared).law((0, 0, 1)) == {(1, 1, 0): 1.0}
    flat, column = (at_most(1).bind(me.IndexPolicy(p)).law((0, 0, 1)) for p in ([1, 0], [[[1], [0]]]))
    assert flat == column == {(0, 1, 0): 0.5, (1, 0, 0): 0.5}


def test_a_budget_of_more_than_two_actions() -> None:
    """Exactly three units, steps by priority."""
    system = me.WeaklyCoupledMDP([LEVELS] * 2, [[0, 1]] * 2, discount=0.9, budget=3)
    assert system.bind(me.IndexPolicy([[[2, 1], [2, 1]]])).law((0, 0)) == {(1, 2): 0.5, (2, 1): 0.5}
    never = me.IndexPolicy([[[2, NEVER], [2, 1]]])
    with pytest.raises(InvalidInput, match=r"action \(1, 1\) in state \(0, 0\); the budget is 3"):
        system.under(never)


def test_thousands_of_arms_keep_to_their_resources() -> None:
    """3,000 arms with costs of their own: what is used fits, and no arm of higher priority that would fit is left."""
    n, rng = 3000, np.random.default_rng(0)
    cost = rng.integers(1, 5, size=n)
    costs = [[0.0, float(c)] for c in cost]
    other = [[0.0, float(c)] for c in rng.integers(0, 2, size=n)]
    system = me.WeaklyCoupledMDP(
        [ARM] * n, [[0, 1]] * n, discount=0.9, resources=[(costs, 300, "<="), (other, 60, "<=")]
    )
    policy = me.IndexPolicy([1, NEVER])
    path = me.simulate(system, policy, 5, rng=0)
    second = np.array([c[1] for c in other])
    assert (path.actions @ cost <= 300).all() and (path.actions @ second <= 60).all()
    assert (path.actions[path.states[:-1] == 1] == 0).all()
    left = np.stack([300 - path.actions @ cost, 60 - path.actions @ second], axis=1)
    waiting = (path.actions == 0) & (path.states[:-1] == 0)
    assert not (waiting & (cost <= left[:, :1]) & (second <= left[:, 1:])).any()
    again = me.simulate(system, policy, 5, rng=0)
    assert again.actions.tobytes() == path.actions.tobytes()
    with pytest.raises(TooLarge, match=r"me.RestlessBandit.*me.simulate"):
        me.entanglement(system.under(policy), "atv")


def test_marginals_of_thousands_of_arms() -> None:
    n = 2000
    states = np.random.default_rng(0).integers(0, 2, size=(2, n))
    marginals = at_most(300, n).bind(me.IndexPolicy([1, 0])).marginals(states)
    served = np.array([m[:, 1] for m in marginals]).T
    bad = (states == 0).sum(axis=1)
    for t in range(2):
        assert served[t, states[t] == 0] == pytest.approx(300 / bad[t])
        assert (served[t, states[t] == 1] == 0).all()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (lambda: at_most(1).under(me.IndexPolicy([1, 2, 3])), ("3 entries for agent 0", "2 local states")),
        (lambda: at_most(1).under(me.IndexPolicy([[1, 2]] * 2)), ("2 arrays", "there must be 3")),
        (lambda: at_most(1, costs=(1, 0)).under(me.IndexPolicy([1, 2])),
         ("fall with its action", "Number the actions")),
        (lambda: at_most(2, costs=(0, 1, 2), kernel=LEVELS).under(me.IndexPolicy([1, 2])),
         ("3 actions", "shape (2, 2)")),
        (lambda: at_most(1).under("lp"), ("a budget and no other resources", "index")),
        (lambda: at_most(1).under("index:"), ("Did you mean 'index'",)),
        (lambda: me.IndexPolicy([1, np.inf]), ("entries must be finite",)),
        (lambda: me.IndexPolicy([[1, 2], 3]), ("ragged", "one such list per agent")),
        (lambda: me.WeaklyCoupledMDP([ARM] * 2, [[0, 1]] * 2, discount=0.9).under(me.IndexPolicy([1, 2])),
         ("without a budget", "Give the system a budget or resources")),
        (lambda: me.RestlessBandit(ARM, [0, 1], n_arms=9, budget=2, discount=0.9).under(me.IndexPolicy([1, NEVER])),
         ("-inf", "lowest number", "<=")),
        (lambda: me.RestlessBandit(ARM, [0, 1], n_arms=9, budget=2, discount=0.9).under(me.IndexPolicy([[[1], [0]]])),
         ("two actions", "Give (S,)")),
    ],
)  # fmt: skip
def test_wrong_priorities(policy: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as e:
        policy()
    assert not [w for w in words if w not in str(e.value)], str(e.value)


# --- what is decided on resources -------------------------------------------------------------------------------


def brute(raw: Any, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Joint kernel (s, a, t) and reward (s, a) by loops."""
    kernels, rewards, states, actions = raw
    every = [list(itertools.product(*map(range, sizes))) for sizes in (states, actions)]
    p = np.zeros((len(every[0]), len(every[1]), len(every[0])))
    r = np.zeros(p.shape[:2])
    for (s, state), (a, action) in itertools.product(enumerate(every[0]), enumerate(every[1])):
        row = np.ones(1)
        for k, u, v in zip(kernels, state, action, strict=True):
            row = np.kron(row, k[v, u])
        p[s, a] = row
        r[s, a] = sum(t[u, v] for t, u, v in zip(rewards, state, action, strict=True))
    return p, r


def feasible_case(seed: int) -> tuple[Any, Any, Any, np.ndarray]:
    raw, rules = drawn(seed)
    free = [
        ([c * (np.arange(np.shape(c)[-1]) > 0) for c in costs], limit, sense) for costs, limit, sense in rules
    ]
    return raw, free, me.WeaklyCoupledMDP(raw[0], raw[1], discount=0.8, resources=free), listed(raw, free)


@pytest.mark.parametrize("seed", range(8))
def test_optimal_policies_are_the_best_feasible_ones(seed: int) -> None:
    raw, _, system, ok = feasible_case(seed)
    p, r = brute(raw, 0.8)
    v = np.zeros(len(p))
    for _ in range(400):
        v = np.where(ok, r + 0.8 * p @ v, -np.inf).max(axis=1)
    table = me.optimal_policy(system).table.toarray()
    assert (table[~ok] == 0).all()
    mine = np.linalg.solve(np.eye(len(p)) - 0.8 * np.einsum("sa,sat->st", table, p), (table * r).sum(axis=1))
    assert mine == pytest.approx(v, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_greedy_policies_and_their_loss(seed: int) -> None:
    raw, _, system, ok = feasible_case(seed)
    chain = system.under("uniform")
    values = me.value_decomposition(chain)
    found = me.greedy_policy(values)
    states, actions = (list(itertools.product(*map(range, sizes))) for sizes in raw[2:])
    tables = [t.reshape(s, a) for t, s, a in zip(values.local_q, raw[2], raw[3], strict=True)]
    told = np.array(
        [[sum(t[u, v] for t, u, v in zip(tables, s, a, strict=True)) for a in actions] for s in states]
    )
    told = np.where(ok & ~np.isnan(told), told, -np.inf)
    table = found.table.toarray()
    assert (told[np.arange(len(told)), table.argmax(axis=1)] == told.max(axis=1)).all() and (
        table[~ok] == 0
    ).all()
    # the loss by hand: Q of every feasible action, mean over the maximisers of the sum
    p, r = brute(raw, 0.8)
    law = ok / ok.sum(axis=1, keepdims=True)
    step = np.einsum("sa,sat->st", law, p)
    v = np.linalg.solve(np.eye(len(p)) - 0.8 * step, (law * r).sum(axis=1))
    q = np.where(ok, r + 0.8 * p @ v, -np.inf)
    nu = np.linalg.matrix_power(step, 2000)[0]
    close = told >= told.max(axis=1, keepdims=True) - 1e-8
    lost = (np.where(close, q.max(axis=1, keepdims=True) - np.where(ok, q, 0.0), 0.0)).sum(
        axis=1
    ) / close.sum(axis=1)
    assert me.decision_loss(chain).loss == pytest.approx(nu @ lost, abs=1e-9)
    assert me.decision_loss(chain).rank_correlation is None


def test_a_whole_analysis_on_resources() -> None:
    found = me.analyze(at_most(1), me.IndexPolicy([1, NEVER]))
    assert found.verdict == "add" and found.decision.loss >= 0 and me.check_system(at_most(1), "uniform").ok
    best = me.compare({"index": me.IndexPolicy([1, NEVER]), "optimal": "optimal"}, at_most(1))
    assert "optimal" in best.summary()


# --- files ----------------------------------------------------------------------------------------------------


RULES = {
    "at most": [([0, 1], 2, "<=")],
    "by agent": [([[0, 1], [0, 0.1], [0, 1 / 3]], 0.7, "<=")],
    "by state": [([[[0, 1], [0, 0.1]]] * 3, 1.5, "<="), ([0, 1], 2, "<=")],
    "with a budget": [([[0, 1], [0, 1], [0, 0]], 1, "<=")],
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("large", [False, True], ids=["text", "archive"])
def test_round_trips(name: str, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from markov_entanglement.model import files

    monkeypatch.setattr(files, "_INLINE", 0 if large else 10**9)
    budget = 1 if name == "with a budget" else None
    system = me.WeaklyCoupledMDP([ARM] * 3, [[0, 1]] * 3, discount=0.9, budget=budget, resources=RULES[name])
    policy = me.IndexPolicy([[1, NEVER], [0.1, 2], [3, 1 / 3]])
    me.save(tmp_path / "a.toml", system, policy)
    again, chosen = me.load(tmp_path / "a.toml")
    assert again.budget == budget and len(again.resources) == len(RULES[name])
    for a, b in zip(again.resources, system.resources, strict=True):
        assert (a.limit, a.sense) == (b.limit, b.sense)
        assert [c.tobytes() for c in a.costs] == [c.tobytes() for c in b.costs]
    assert [p.tolist() for p in chosen.priority] == [p.tolist() for p in policy.priority]
    me.save(tmp_path / "b.toml", again, chosen)
    texts = [re.sub(r"[ab]-[0-9a-f]{16}", "x", (tmp_path / f).read_text()) for f in ("a.toml", "b.toml")]
    assert texts[0] == texts[1]
    assert kind_of(system).read(kind_of(system).write(system)).resources[0].limit == system.resources[0].limit


@pytest.mark.parametrize("shared", [True, False])
def test_steps_in_files(shared: bool, tmp_path: Path) -> None:
    system = at_most(2, costs=(0, 1, 2), kernel=LEVELS)
    policy = me.IndexPolicy([STEPS[0]] if shared else STEPS)
    me.save(tmp_path / "a.toml", system, policy)
    again, chosen = me.load(tmp_path / "a.toml")
    every = np.array(list(itertools.product((0, 1), repeat=3)))
    assert chosen.shared == shared
    assert (again.bind(chosen).table(every) != system.bind(policy).table(every)).nnz == 0


def test_a_file_by_hand(tmp_path: Path) -> None:
    text = """schema = 1
kind = "weakly-coupled"
discount = 0.9
kernels = [[[[0.7, 0.3], [0.4, 0.6]], [[0.2, 0.8], [0.1, 0.9]]], [[[0.7, 0.3], [0.4, 0.6]], [[0.2, 0.8], [0.1, 0.9]]]]
rewards = [[0, 1], [0, 1]]
resources = [{costs = [0, 1], limit = 1, sense = "<="}]
[policy]
kind = "index"
priority = [1, -inf]
"""
    (tmp_path / "a.toml").write_text(text)
    system, policy = me.load(tmp_path / "a.toml")
    assert system.bind(policy).law((0, 1)) == {(1, 0): 1.0} and system.bind(policy).law((1, 1)) == {
        (0, 0): 1.0
    }
    (tmp_path / "a.toml").write_text(text.replace("limit", "limt"))
    with pytest.raises(InvalidInput, match=r"resources\[0\].limt.*Did you mean 'limit'"):
        me.load(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (3, ("resources", "a list of (costs, limit")),
        ("<=", ("resources", "a list of (costs, limit")),
        (([0, 1], 1, "<="), ("Put it in a list",)),
        ([[0, 1]], ("resources[0]", 'E.g. ([0, 1], 2, "<=")')),
        ([([0, 1], 1)], ("resources[0]", "costs, a limit and")),
        ([([0, 1], 1, "<")], ("resources[0].sense", "'<='")),
        ([([0, 1], -1, "<=")], ("resources[0].limit", ">= 0")),
        ([([0, 1], np.nan, "<=")], ("resources[0].limit", "finite")),
        ([([0, -1], 1, "<=")], ("resources[0].costs", ">= 0")),
        (
            [([0, 1, 2], 1, "<=")],
            ("resources[0].costs", "agent 0 has 2 local states and 2 actions", "(2,) or (2, 2)"),
        ),
        ([([[0, 1]] * 2, 1, "<=")], ("2 lists", "there are 3 agents")),
        ([([[0, 1], [0, 1], [0, [1]]], 1, "<=")], ("resources[0].costs[2]", "ragged")),
        ([{"costs": [0, 1], "limit": 1}], ("resources[0]",)),
        ([(None, 1, "<=")], ("resources[0].costs",)),
        ([(["a", "b"], 1, "<=")], ("resources[0].costs",)),
    ],
)
def test_wrong_resources(resources: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as e:
        me.WeaklyCoupledMDP([ARM] * 3, [[0, 1]] * 3, discount=0.9, resources=resources)
    assert not [w for w in words if w not in str(e.value)], str(e.value)
