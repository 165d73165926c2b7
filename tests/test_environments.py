"""Environments of others behind one face: styles, masks, absence, ends, errors with their place; recorded runs."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import lbforaging  # noqa: F401  registers its environments
import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.cli.environment import environment_of
from markov_entanglement.environments.face import face_of
from markov_entanglement.environments.local import LocalStates
from markov_entanglement.environments.policy import policy_of
from markov_entanglement.environments.record import Plan, discard_runs, record_runs
from markov_entanglement.errors import InvalidInput, Unsupported
from worlds import Base, Clock, Coins, Discrete, Hall, LakePair, Leaver, cell, right_of_way, rps


def foraging():
    return gymnasium.make("Foraging-5x5-2p-1f-v3", disable_env_checker=True)


def recorded(env, policy="uniform", local_state=None, steps=40, seed=0, **keep):
    face = face_of(env)
    return record_runs(
        face, policy_of(policy, face), LocalStates(face, local_state), Plan(steps, 0, 1, 2, 3), "deepcopy", seed, **keep
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "agents", "actions"),
    [
        (rps, ("player_0", "player_1"), (3, 3)),
        (lambda: rps().aec_env, ("player_0", "player_1"), (3, 3)),
        (foraging, ("agent 0", "agent 1"), (6, 6)),
        (lambda: gymnasium.make("FrozenLake-v1"), ("agent 0",), (4,)),
        (LakePair, ("walker 0", "walker 1"), (2, 2)),
    ],
)
def test_styles_have_one_face(make, agents, actions) -> None:
    face = face_of(make())
    assert (face.agents, face.n_actions) == (agents, actions)
    step = face.reset(3)
    assert step.present.all() and not step.over and step.time == 0
    step = face.step([0] * len(agents))
    assert step.time == 1 and len(step.observations) == len(agents) and np.isfinite(step.rewards).all()


def test_one_action_of_several_agents() -> None:
    """Of Taxi's state the first agent acts, the others do not; one reward is shared."""
    face = face_of(gymnasium.make("Taxi-v4"), ["taxi", "passenger"])
    assert face.n_actions == (6, 1)
    face.reset(0)
    assert face.step([0, 0]).rewards.shape == (1,)


def test_who_leaves_is_away_and_ends_are_told_apart() -> None:
    face = face_of(Leaver())
    face.reset(0)
    steps = [
        face.step([1, 1]),
        face.step([0, 0]),
        face.step([1, None]),
        face.step([1, None]),
        face.step([1, None]),
    ]
    assert [s.present.tolist() for s in steps] == [[True] * 2, *[[True, False]] * 3, [False] * 2]
    assert steps[1].terminated.tolist() == [False, True] and not steps[1].over
    assert steps[1].observations[1] == 0 and steps[2].observations[1] is None
    assert steps[4].over and not steps[4].ended and steps[4].truncated.tolist() == [True, False]
    found = recorded(Leaver())
    assert found.states[1] == ("0", "1", "away") or found.states[1] == ("0", "away", "1")
    assert found.runs[0].cut.sum() == 8 and not found.runs[0].ended.any()


def test_masks_are_obeyed_and_known() -> None:
    class Masked(Base):
        def seen(self):
            return {a: {"observation": self.at[a], "action_mask": np.array([0, 1])} for a in self.agents}

    found = recorded(Masked())
    assert all((run.pairs % 2 == 1).all() for run in found.runs)
    face = face_of(Masked())
    face.reset(0)
    with pytest.raises(
        InvalidInput, match=r"action 0 of b \(step 0 of the episode of seed 0\); legal there are 1"
    ):
        face.step([1, 0])


class Nan(Base):
    def paid(self):
        return {a: float("nan") if self.time == 3 else 0.0 for a in self.agents}


class Seedless(Base):
    def reset(self, seed=None, options=None):
        out = super().reset(None)
        self.np_random = np.random.default_rng()
        return out

    def move(self, actions):
        self.at = {a: int(self.np_random.integers(1000)) for a in self.agents}


class Silent(Base):
    def step(self, actions):
        out = super().step(actions)
        if self.time == 4:
            self.agents = ["a"]
        return out


class Stranger(Base):
    def seen(self):
        return super().seen() | ({"c": 0} if self.time == 2 else {})


class Blind(Base):
    def seen(self):
        return {a: np.array([np.nan if self.time == 2 else 0.0]) for a in self.agents}


class Broken(Base):
    def move(self, actions):
        if self.time == 2:
            raise KeyError("no such thing")


class Long(Base):
    def move(self, actions):
        raise RuntimeError("first line\n\tsecond line\r\n")


class Text(Base):
    def paid(self):
        return dict.fromkeys(self.agents, np.array(["1"], dtype=object) if self.time == 3 else 1)


class Huge(Base):
    def paid(self):
        return dict.fromkeys(self.agents, 10**400)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (Nan, "a reward of a that is nan (step 3 of the episode of seed"),
        (Seedless, "another step 1 after the same seed"),
        (Silent, "b gone, neither terminated nor truncated (step 4 of the episode"),
        (Stranger, "an agent 'c' (step 2 of the episode"),
        (Blind, "an observation of a that is NaN (step 2 of the episode"),
        (Broken, "KeyError: 'no such thing' (step, step 2 of the episode"),
        (Long, "RuntimeError: first line second line (step, step 1 of the episode"),
        (Text, "a reward of a that is array(['1'], dtype=object) (step 3 of the episode"),
        (Huge, "a reward of a that is 1000000"),
    ],
)
def test_what_breaks_the_rules_is_told_with_its_place(env, words) -> None:
    with pytest.raises(InvalidInput, match=re.escape(words)) as told:
        me.record(env(), "uniform", steps=100, rng=0)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (lambda seen, rng: dict.fromkeys(seen, 2), "actions of a are whole numbers 0..1"),
        (lambda seen, rng: {"a": 0}, "no action of 'b'"),
        (lambda seen, rng: {a: [0.5, 0.6] for a in seen}, "numbers >= 0 that sum to 1"),
        (lambda seen, rng: 1 / 0, "ZeroDivisionError"),
        ("greedy", "it must be 'uniform' or a function"),
    ],
)
def test_policies_that_break_the_rules(policy, words) -> None:
    with pytest.raises(InvalidInput, match=re.escape(words)):
        me.record(Base(), policy, steps=100, rng=0)


def test_local_states_that_cannot_be() -> None:
    class Fine(Base):
        def seen(self):
            return {a: np.array([0.25 * self.at[a], 1.0]) for a in self.agents}

    with pytest.raises(InvalidInput, match=r"with decimals.*me.Rounded\(0.5\)"):
        me.record(Fine(), lambda seen, rng: dict.fromkeys(seen, 1), steps=100, rng=0)
    log = me.record(Fine(), "uniform", local_state=me.Rounded(0.25), steps=100, rng=0)
    assert log.labels.states[0] == ("(0.0, 1.0)", "(0.25, 1.0)")
    with pytest.raises(InvalidInput, match="must answer for every agent"):
        me.record(Base(), "uniform", local_state=lambda env, agent: env.nothing, steps=100, rng=0)


def test_what_is_no_environment() -> None:
    with pytest.raises(InvalidInput, match="PettingZoo or Gymnasium"):
        me.check_snapshot(3)
    with pytest.raises(InvalidInput, match="it names its agents itself"):
        me.check_snapshot(LakePair(), agents=["x", "y"])

    class Nobody(LakePair):
        possible_agents = ()

    with pytest.raises(InvalidInput, match=r"possible_agents must name its agents\. Reset it before"):
        me.check_snapshot(Nobody())

    class Wide(Base):
        def action_space(self, agent):
            return gymnasium.spaces.Box(0.0, 1.0)

    with pytest.raises(Unsupported, match="Discrete space"):
        me.check_snapshot(Wide())


@pytest.mark.parametrize("mode", list(gymnasium.vector.AutoresetMode))
@pytest.mark.parametrize("kind", [gymnasium.vector.SyncVectorEnv, gymnasium.vector.AsyncVectorEnv])
def test_of_copies_side_by_side_one_is_taken(kind, mode) -> None:
    """The same numbers as of one alone, whatever happens to copies when an episode ends; they are left as they were."""
    copies = kind([lambda: gymnasium.make("FrozenLake-v1")] * 2, autoreset_mode=mode)
    seen, _ = copies.reset(seed=0)
    found = me.record(copies, "uniform", steps=200, rng=0)
    alone = me.record(gymnasium.make("FrozenLake-v1"), "uniform", steps=200, rng=0)
    both = zip(found.chunks(), alone.chunks(), strict=True)
    assert all(np.array_equal(a.pairs, b.pairs) and np.array_equal(a.rewards, b.rewards) for a, b in both)
    assert copies.step(np.zeros(2, int))[0].shape == seen.shape
    copies.close()


def test_copies_that_cannot_be_taken_apart() -> None:
    """Each remedy is followed."""
    make = [lambda w=w: gymnasium.make("FrozenLake-v1", is_slippery=w) for w in (True, False)]
    mixed = gymnasium.vector.SyncVectorEnv(make)
    with pytest.raises(Unsupported, match=r"2 environments side by side that differ.*env\.env_fns\[0\]\(\)"):
        me.check_snapshot(mixed)
    assert me.check_snapshot(mixed.env_fns[0]()).faithful
    both = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point")
    with pytest.raises(Unsupported, match=r"copies side by side.*gymnasium\.make\('CartPole-v1'\)"):
        me.check_snapshot(both)
    assert me.check_snapshot(gymnasium.make("CartPole-v1")).faithful
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(gymnasium.make_vec("Taxi-v4", num_envs=2))
    with pytest.raises(Unsupported, match=r"gymnasium\.make\('Taxi-v4'\)"):
        me.check_snapshot(wrapped)


def test_same_seed_same_bytes_and_a_stopped_recording_goes_on(tmp_path: Path) -> None:
    whole, again = recorded(Coins()), recorded(Coins())
    calls = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) == 340  # in the ninth of twenty runs

    laid: list[Path] = []
    with pytest.raises(KeyboardInterrupt):
        recorded(Coins(), keep=tmp_path / "k", stop=stop, laid=laid.append)
    assert [p.name for p in laid] == [f"run-{r:02d}.npz" for r in range(8)]
    with pytest.raises(InvalidInput, match="resume"):
        recorded(Coins(), keep=tmp_path / "k")
    with pytest.raises(InvalidInput, match="another seed"):
        recorded(Coins(), keep=tmp_path / "k", resume=True, seed=1)
    resumed = recorded(Coins(), keep=tmp_path / "k", resume=True)
    for one, two, three in zip(whole.runs, again.runs, resumed.runs, strict=True):
        for name, value in vars(one).items():
            assert value.tobytes() == getattr(two, name).tobytes() == getattr(three, name).tobytes(), name
    assert whole.states == resumed.states
    discard_runs(tmp_path / "k")
    assert not (tmp_path / "k").exists()


def test_a_recording_that_was_damaged_says_which_file(tmp_path: Path) -> None:
    keep = tmp_path / "k"
    whole = recorded(Coins(), keep=keep)
    run, head = keep / "run-03.npz", keep / "recording.json"
    data = run.read_bytes()
    np.savez(run, pairs=np.zeros(3))
    with pytest.raises(InvalidInput, match=r"run-03\.npz.*Delete it: that run is recorded again"):
        recorded(Coins(), keep=keep, resume=True)
    for cut in (b"", data[: len(data) // 2]):
        run.write_bytes(cut)
        with pytest.raises(InvalidInput, match=r"run-03\.npz.*Delete it: that run is recorded again"):
            recorded(Coins(), keep=keep, resume=True)
    run.unlink()
    again = recorded(Coins(), keep=keep, resume=True)  # the remedy
    assert all((a.pairs == b.pairs).all() for a, b in zip(whole.runs, again.runs, strict=True))
    for text in ("{", "[1]", ""):
        head.write_text(text)
        with pytest.raises(InvalidInput, match=r"recording\.json.*it must say of what a recording is"):
            recorded(Coins(), keep=keep, resume=True)
    discard_runs(keep)


def test_runs_draws_and_rollouts_have_the_law_of_the_environment() -> None:
    """Coins: the chance of 1 is .2 or .8 by the light of b, in the run, in draws from snapshots and in rollouts."""
    found = recorded(Coins(), steps=150)
    first, second, drawn, rolled = [], [], [], []
    for run in found.runs:
        shown = np.array([int(n) for n in found.states[0]])[run.pairs[:, 0] // 2]
        light = np.array([int(n) for n in found.states[1]])[run.pairs[:, 1] // 2]
        first.append(light[:-1])
        second.append(shown[1:])
        next_shown = np.array([int(n) for n in found.states[0]])[run.drawn[:, 0] // 2]
        drawn += list(zip(light[run.at], next_shown, strict=True))
        ahead = np.array([int(n) for n in found.states[0]])[run.ahead[..., 0] // 2]
        lights = np.array([int(n) for n in found.states[1]])[run.ahead[..., 1] // 2]
        rolled += list(zip(lights[..., :-1].ravel(), ahead[..., 1:].ravel(), strict=True))
    pairs = np.column_stack([np.concatenate(first), np.concatenate(second)])
    for sample in (pairs, np.array(drawn), np.array(rolled)):
        for on, p in ((0, 0.2), (1, 0.8)):
            seen = sample[sample[:, 0] == on, 1]
            assert abs(seen.mean() - p) < 4.5 * np.sqrt(p * (1 - p) / len(seen)), (on, len(seen))


def test_a_recording_is_a_log() -> None:
    log = me.record(Hall(), "uniform", steps=1000, discount=0.9, rng=0)
    assert (log.steps, log.agents, log.discount) == (1000, ("a", "b"), 0.9)
    assert sum(int(c.ended.sum()) for c in log) > 5
    clock = np.concatenate([c.clock for c in log])
    assert clock.max() > 3 and (clock >= -1).all()


def test_spaces_that_begin_elsewhere() -> None:
    class Later(Base):
        def action_space(self, agent):
            return gymnasium.spaces.Discrete(2, start=5)

        def move(self, actions):
            assert set(actions.values()) <= {5, 6}
            super().move(actions)

    assert recorded(Later()).states[0] in {("0", "5", "6"), ("0", "6", "5")}
    assert Discrete(2).n == 2 and Clock().time == 0 and cell(LakePair(), "walker 0") == 0
    assert set(
        right_of_way({"walker 0": {"walker 0": 3, "walker 1": 1}}, np.random.default_rng(0)).values()
    ) == {0, 1}


def test_a_module_inside_a_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As mpe2 has them: `mpe2:simple_spread_v3`, where nobody imports the module."""
    (tmp_path / "lakes_within").mkdir()
    (tmp_path / "lakes_within" / "__init__.py").write_text("")
    worlds = Path(__file__).with_name("worlds.py").read_text()
    (tmp_path / "lakes_within" / "lake.py").write_text(f"{worlds}\nparallel_env = LakePair\n")
    monkeypatch.chdir(tmp_path)
    assert face_of(environment_of("lakes_within:lake")).agents == ("walker 0", "walker 1")
    with pytest.raises(InvalidInput, match="no attribute 'lakes'"):
        environment_of("lakes_within:lakes")
