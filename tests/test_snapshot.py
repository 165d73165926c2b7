"""Which snapshot is faithful: own state, deep copy around hooks, replay; none; new seeds."""

from __future__ import annotations

import gymnasium
import lbforaging  # noqa: F401  registers its environments
import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.environments.face import face_of
from markov_entanglement.environments.snapshot import METHODS, Snapshots, generators, reseed, same
from worlds import Base, Coins, Hall, LakePair, Leaver, rps


class Own(Coins):
    """Gives and takes its state."""

    def get_state(self):
        return dict(self.at), self.time, self.np_random.bit_generator.state

    def set_state(self, state):
        self.at, self.time, self.np_random.bit_generator.state = dict(state[0]), *state[1:]


class HalfOwn(Coins):
    """Its state lacks the light."""

    def get_state(self):
        return self.at["a"], self.np_random.bit_generator.state

    def set_state(self, state):
        self.at["a"], self.np_random.bit_generator.state = state


class Rebuilt(Coins):
    """A hook builds it afresh, as PettingZoo's EzPickle does: a plain deep copy is another state."""

    def __init__(self):
        super().__init__()
        self._ezpickle_args = ()

    def __getstate__(self):
        return {"_ezpickle_args": ()}

    def __setstate__(self, state):
        self.__dict__.update(type(self)().__dict__)
        self.reset(0)


class Shared(Coins):
    """A copy shares the light with the original."""

    class Light:
        at = 0

        def __deepcopy__(self, memo):
            return self

    def __init__(self):
        super().__init__()
        self.light = self.Light()

    def reset(self, seed=None, options=None):
        self.light.at = 0
        return super().reset(seed)

    def move(self, actions):
        super().move(actions)
        self.light.at += actions["b"]
        self.at["b"] = self.light.at % 2


class Uncopied(Coins):
    """Cannot be copied, as what holds pointers of another language."""

    def __deepcopy__(self, memo):
        raise ValueError("pointers")


class Hopeless(Uncopied):
    """Nor does it obey its seed."""

    def reset(self, seed=None, options=None):
        return super().reset(None)


@pytest.mark.parametrize(
    ("make", "method", "failed", "random"),
    [
        (Own, "own state", (), True),
        (HalfOwn, "deepcopy", ("own state",), True),
        (Coins, "deepcopy", (), True),
        (Rebuilt, "deepcopy", (), True),
        (Shared, "replay", ("deepcopy",), True),
        (Uncopied, "replay", ("deepcopy",), True),
        (Hall, "deepcopy", (), False),
        (Leaver, "deepcopy", (), False),
        (LakePair, "deepcopy", (), True),
        (rps, "deepcopy", (), False),
        (lambda: gymnasium.make("Blackjack-v1"), "deepcopy", (), True),
        (lambda: gymnasium.make("Foraging-5x5-2p-1f-v3", disable_env_checker=True), "deepcopy", (), False),
    ],
)
def test_the_first_faithful_method_is_found(make, method, failed, random) -> None:
    found = me.check_snapshot(make())
    assert (found.method, found.faithful, found.random) == (method, True, random)
    assert tuple(m for m, why in found.attempts.items() if why) == failed
    assert found.seconds > 0 and method in found.sentence


def test_none_is_faithful() -> None:
    found = me.check_snapshot(Hopeless())
    assert found.method is None and not found.faithful
    assert "pointers" in found.reason and "No snapshot is faithful" in found.sentence
    assert list(found.tables()["snapshots"].columns["faithful"]) == [False, False]
    with pytest.raises(me.errors.Unsupported, match="No snapshot is faithful"):
        me.tabulate(Hopeless())


@pytest.mark.parametrize(("make", "method"), [(Own, "own state"), (Coins, "deepcopy"), (Uncopied, "replay")])
def test_new_seeds_draw_a_law_and_no_seed_repeats(make, method) -> None:
    """Next shows of a from one state with the light on: 1 with chance .8; without a seed always the same."""
    face = face_of(make())
    face.reset(5)
    face.step([0, 1])
    snapshots = Snapshots(face, method)
    token = snapshots.take()

    def shown(seed):
        snapshots.restore(token, seed)
        return face.step([0, 0]).observations[0]

    drawn = np.array([shown(seed) for seed in range(400)])
    assert abs(drawn.mean() - 0.8) < 4.5 * np.sqrt(0.16 / 400)
    assert drawn.tolist()[:20] == [shown(seed) for seed in range(20)]
    assert len({shown(None) for _ in range(5)}) == 1
    assert snapshots.length(token) == (1 if method == "replay" else 0)
    assert method in METHODS


def test_generators_are_seeded_in_place_wherever_they_hang() -> None:
    import random

    class Part:
        def __init__(self, rng):
            self.rng = rng

    env = LakePair()
    env.parts = [Part(env.np_random), {"old": Part(np.random.RandomState(0)), "python": random.Random(0)}]
    found = generators(env)
    assert len(found) == 3
    reseed(found, 7)
    first = env.parts[0].rng.random(), env.parts[1]["old"].rng.rand(), env.parts[1]["python"].random()
    reseed(found, 7)
    assert first == (env.np_random.random(), env.parts[1]["old"].rng.rand(), env.parts[1]["python"].random())


def test_steps_are_compared_in_all_that_they_say() -> None:
    face, other = face_of(Base()), face_of(Base())
    one, two = face.reset(0), other.reset(0)
    assert same(one, two)
    assert not same(face.step([0, 1]), other.step([1, 1]))
