"""Exact systems of small environments: laws and rewards by hand, ends, random steps, hidden clocks, sizes."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, TooLarge
from worlds import Base, Clock, Coins, Hall, Leaver, position


def hall(state, action):
    """Next (a, b) of the hall by its rules, and whether the task ends."""
    a, b = state
    after = min(a + 1, 2) if action[0] else 0, (1 - b if a == 2 and action[1] else b)
    return after, after == (2, 1)


@pytest.fixture(scope="module")
def whole():
    return me.tabulate(Hall(), local_state=position, discount=0.9)


def test_a_deterministic_environment_is_exact(whole) -> None:
    names = [[int(n) if n != "ended" else None for n in row] for row in whole.labels.states]
    spaces = whole.spaces
    for s in range(spaces.joint_states):
        state = tuple(names[i][k] for i, k in enumerate(spaces.states_at(np.array([s]))[0]))
        if None in state or state == (2, 1):
            continue
        for a in range(4):
            action = divmod(a, 2)
            to, ended = hall(state, action)
            row = whole.kernel[a][[s]].tocoo()
            assert row.data.tolist() == [1.0]
            found = spaces.states_at(row.coords[1][:1])[0]
            want = [names[0].index(None)] if ended else [names[i].index(x) for i, x in enumerate(to)]
            assert found[: len(want)].tolist() == want


def test_values_of_the_tabulated_hall(whole) -> None:
    """Under the uniform policy, by value iteration on the rules themselves; rewards are on next states, in the mean."""
    law = {}
    for a in range(3):
        for b in range(2):
            law[a, b] = [(0.25, *hall((a, b), (x, y))) for x in (0, 1) for y in (0, 1)]
    v = dict.fromkeys(law, 0.0)
    for _ in range(400):
        v = {
            s: sum(p * (sum(to) + 0.9 * (0.0 if end else v[to])) for p, to, end in rows)
            for s, rows in law.items()
        }
    names = whole.labels.states
    chain = whole.under("uniform")
    found = me.value_decomposition(chain)
    for pair, q in zip(chain.pairs.tolist(), found.joint_q, strict=True):
        state = tuple(int(names[i][x // 2]) for i, x in enumerate(pair))
        if state == (2, 1):  # the task ends on the way in: nothing leads there
            continue
        to, end = hall(state, tuple(x % 2 for x in pair))
        assert q == pytest.approx(sum(to) + 0.9 * (0.0 if end else v[to]), abs=1e-9)


def test_a_policy_gives_the_chain_on_what_it_reaches(whole) -> None:
    """The same E and unexplained as the whole system under the same policy."""
    chain = me.tabulate(Hall(), "uniform", local_state=position, discount=0.9)
    assert (
        isinstance(chain, me.JointChain) and len(chain.pairs) == 21
    )  # 5 live states x 4 actions, and the end
    one, other = me.entanglement(chain.under()), me.entanglement(whole.under("uniform"))
    assert one.per_agent == pytest.approx(other.per_agent, abs=1e-9)
    assert me.value_decomposition(chain.under()).unexplained == pytest.approx(
        me.value_decomposition(whole.under("uniform")).unexplained, abs=1e-9
    )
    with pytest.raises(InvalidInput, match="probabilities"):
        me.tabulate(Hall(), lambda seen, rng: dict.fromkeys(seen, 1), local_state=position)


def test_random_steps_are_drawn_and_that_is_said() -> None:
    with pytest.raises(InvalidInput, match="draws=1000"):
        me.tabulate(Coins(), local_state=position)
    found = me.tabulate(Coins(), local_state=position, draws=400, discount=0.9)
    assert "frequencies of 400 draws" in found.reading
    names = found.labels.states
    one, on = names[0].index("1"), names[1].index("1")
    state = np.array([[names[0].index("0"), on]])
    row = found.kernel[0].toarray()[found.spaces.state_index(state)[0]]
    shown = found.spaces.states_at(np.arange(len(row)))[:, 0] == one
    assert abs(row[shown].sum() - 0.8) < 4.5 * np.sqrt(0.16 / 400)


def test_what_local_states_hide_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"entered in two ways.*hidden"):
        me.tabulate(Clock(), local_state=position)
    timed = me.tabulate(Clock(), local_state=lambda env, agent: (env.at[agent], env.time % 3))
    assert timed.spaces.n_states == (4, 4)
    with pytest.raises(InvalidInput, match=r"truncated.*without a time limit"):
        me.tabulate(Leaver(), local_state=lambda env, agent: (env.at[agent], env.time))


def test_sizes_are_refused_before_they_are_made() -> None:
    class Long(Base):
        def move(self, actions):
            self.at = {a: x + actions[a] for a, x in self.at.items()}

    with pytest.raises(TooLarge, match="more than 200 steps"):
        me.tabulate(Long(), local_state=position, most=200)


def test_a_table_of_gymnasium_is_taken_as_it_is() -> None:
    taxi = gymnasium.make("Taxi-v4")
    found = me.tabulate(taxi, n_states=(5, 5, 5, 4), n_actions=(6, 1, 1, 1), discount=0.9)
    assert found.n_agents == 4
    with pytest.raises(InvalidInput, match="Leave them out"):
        me.tabulate(Hall(), local_state=position, n_states=(3, 2))


class Doors(Hall):
    """The hall, in which the light is on at first by chance."""

    def reset(self, seed=None, options=None):
        super().reset(seed)
        self.at["b"] = int(self.np_random.integers(2))
        return self.seen(), {a: {} for a in self.agents}


def test_first_states_by_chance_are_drawn_and_that_is_said(whole) -> None:
    found = me.tabulate(Doors(), local_state=position, discount=0.9)
    assert "first states come as often as in 50 resets" in found.reading
    assert "resets" not in whole.reading
    found = me.tabulate(Doors(), local_state=position, draws=400)
    assert "in 400 resets" in found.reading
