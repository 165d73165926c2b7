"""Networks of others against torch itself: EPyMARL's agents and mixer, torchrl's layers, and what they learn."""

from __future__ import annotations

import importlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput
from test_networks import CONFIG, World, climbing

pytestmark = pytest.mark.torch
HERE = Path(__file__).parent
N, WIDE, ACTIONS, HIDDEN, STATE = 3, 4, 5, 6, 12


def example(name: str, monkeypatch: Any) -> Any:
    monkeypatch.syspath_prepend(str(HERE.parent / "examples"))
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def agent_of(cell: bool) -> Any:
    """EPyMARL's agent, from its description: linear, rectified; a cell or a rectified linear layer; linear."""
    import torch

    class Agent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = torch.nn.Linear(WIDE + ACTIONS + N, HIDDEN)
            self.rnn = (torch.nn.GRUCell if cell else torch.nn.Linear)(HIDDEN, HIDDEN)
            self.fc2 = torch.nn.Linear(HIDDEN, ACTIONS)

        def forward(self, x: Any, h: Any) -> Any:
            x = self.fc1(x).relu()
            h = self.rnn(x, h) if cell else self.rnn(x).relu()
            return self.fc2(h), h

    return Agent()


@pytest.mark.parametrize("cell", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_agents_say_what_torch_says(cell: bool, own: bool, tmp_path: Path) -> None:
    """Five steps with last actions and numbers of agents, shared or own weights, with and without memory."""
    import torch

    torch.manual_seed(0)
    agents = [agent_of(cell) for _ in range(N if own else 1)]
    saved = torch.nn.ModuleDict({"agents": torch.nn.ModuleList(agents)}) if own else agents[0]
    torch.save(saved.state_dict(), tmp_path / "agent.th")
    net = me.read_pymarl(tmp_path / "agent.th", CONFIG | {"use_rnn": cell})
    assert net.recurrent == cell
    rng, hidden, last = np.random.default_rng(0), net.initial(), np.zeros((N, ACTIONS))
    h = [torch.zeros(1, HIDDEN) for _ in range(N)]
    for _ in range(5):
        seen = rng.normal(size=(N, WIDE))
        found, hidden = net.values(list(seen), hidden)
        x = torch.tensor(np.concatenate([seen, last, np.eye(N)], axis=1), dtype=torch.float32)
        for i in range(N):
            with torch.no_grad():
                q, h[i] = agents[i % len(agents)](x[i : i + 1], h[i])
            assert found[i] == pytest.approx(q[0].numpy(), abs=1e-5)
        actions = rng.integers(ACTIONS, size=N)
        hidden, last = net.acted(hidden, tuple(actions)), np.eye(ACTIONS)[actions]


@pytest.mark.parametrize("layers", [1, 2])
def test_the_mixer_says_what_torch_says(layers: int, tmp_path: Path) -> None:
    import torch

    def hyper(out: int) -> Any:
        if layers == 1:
            return torch.nn.Linear(STATE, out)
        return torch.nn.Sequential(torch.nn.Linear(STATE, 7), torch.nn.ReLU(), torch.nn.Linear(7, out))

    torch.manual_seed(1)
    wide = 8
    parts = torch.nn.ModuleDict({
        "hyper_w_1": hyper(wide * N), "hyper_w_final": hyper(wide), "hyper_b_1": torch.nn.Linear(STATE, wide),
        "V": torch.nn.Sequential(torch.nn.Linear(STATE, wide), torch.nn.ReLU(), torch.nn.Linear(wide, 1)),
    })  # fmt: skip
    torch.save(parts.state_dict(), tmp_path / "mixer.th")
    torch.save(agent_of(False).state_dict(), tmp_path / "agent.th")
    net = me.read_pymarl(tmp_path / "agent.th", CONFIG | {"mixer": "qmix"}, tmp_path / "mixer.th")
    rng = np.random.default_rng(2)
    seen, q = rng.normal(size=(N, WIDE)), rng.normal(size=N)
    s, one = (torch.tensor(x, dtype=torch.float32) for x in (seen.reshape(1, -1), q.reshape(1, 1, -1)))
    with torch.no_grad():
        first = parts["hyper_w_1"](s).abs().view(-1, N, wide)
        x = torch.nn.functional.elu(torch.bmm(one, first) + parts["hyper_b_1"](s).view(-1, 1, wide))
        whole = torch.bmm(x, parts["hyper_w_final"](s).abs().view(-1, wide, 1)) + parts["V"](s).view(-1, 1, 1)
    assert net.total is not None and net.total(q, list(seen)) == pytest.approx(float(whole), abs=1e-5)
    with pytest.raises(InvalidInput, match="state of 6 numbers; the mixer reads 12"):
        net.total(q[:2], list(seen[:, :2]))


class Signs(World):
    """Three steps. Each sees its own sign at the first and nothing later; the last pays the product of both signs where
    both act alike there, and the first 1 where both take 0."""

    def begin(self) -> Any:
        return self.rng.choice([-1.0, 1.0], size=2)

    def seen(self, agent: str) -> Any:
        return self.state[[self.possible_agents.index(agent)]] * (self.t == 0)

    def move(self, a: int, b: int) -> tuple[float, bool]:
        if self.t == 2:
            return float(self.state.prod() * (a == b)), True
        return float(self.t == 0 and a == b == 0), False


def checkpoint(folder: Path) -> tuple[Any, Any]:
    """EPyMARL's files of two agents with a GRU cell, and of QMIX's mixer; and the modules of torch."""
    import torch

    torch.manual_seed(5)
    agent = torch.nn.ModuleDict({"fc1": torch.nn.Linear(1 + 2 + 2, HIDDEN), "rnn": torch.nn.GRUCell(HIDDEN, HIDDEN),
                                 "fc2": torch.nn.Linear(HIDDEN, 2)})  # fmt: skip
    mixer = torch.nn.ModuleDict({
        **{k: torch.nn.Linear(2, n) for k, n in (("hyper_w_1", 4 * 2), ("hyper_w_final", 4), ("hyper_b_1", 4))},
        "V": torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)),
    })  # fmt: skip
    with torch.no_grad():
        agent["fc2"].weight *= 3.0  # what is remembered shows
    torch.save(agent.state_dict(), folder / "agent.th")
    torch.save(mixer.state_dict(), folder / "mixer.th")
    run = CONFIG | {
        "use_rnn": True,
        "mixer": "qmix",
        "gamma": 0.9,
        "reward_scalarisation": "sum",
        "env_args": {},
    }
    (folder / "config.json").write_text(json.dumps(run))
    return agent, mixer


def by_torch(agent: Any, mixer: Any) -> dict[tuple[Any, ...], float]:
    """(signs, joint actions done, joint action now) -> D, by torch alone."""
    import torch

    found, joint = {}, list(itertools.product((0, 1), repeat=2))
    for signs in itertools.product((-1.0, 1.0), repeat=2):
        for done in (d for t in range(3) for d in itertools.product(joint, repeat=t)):
            h, last = torch.zeros(2, HIDDEN), torch.zeros(2, 2)
            for t in range(len(done) + 1):
                seen = torch.tensor(signs).reshape(2, 1) * (t == 0)
                x = agent["fc1"](torch.cat([seen, last, torch.eye(2)], dim=1)).relu()
                h = agent["rnn"](x, h)
                last = torch.eye(2)[list(done[t])] if t < len(done) else last
            q, s = agent["fc2"](h), seen.reshape(1, 2)
            for now in joint:
                chosen = q[[0, 1], list(now)].reshape(1, 1, 2)
                x = torch.nn.functional.elu(
                    chosen @ mixer["hyper_w_1"](s).abs().view(1, 2, 4) + mixer["hyper_b_1"](s).view(1, 1, 4)
                )
                whole = x @ mixer["hyper_w_final"](s).abs().view(1, 4, 1) + mixer["V"](s).view(1, 1, 1)
                found[signs, done, now] = whole.item()
    return found


def test_a_checkpoint_with_memory_and_a_mixer_is_certified(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    """agent.th, mixer.th and config.json of torch: from one step and from all, the limits hold what enumeration says;
    hidden states go on with the snapshots, for one step of a rollout compares D before and after it."""
    monkeypatch.chdir(tmp_path)
    said, joint, gamma = by_torch(*checkpoint(tmp_path)), list(itertools.product((0, 1), repeat=2)), 0.9
    errors, one = [], []
    for (signs, done, now), d in said.items():
        t = len(done)
        paid = float(now == (0, 0)) if t == 0 else np.prod(signs) * (now[0] == now[1]) if t == 2 else 0.0
        q = paid + (0.0 if t == 2 else gamma ** (2 - t) * 0.5 * np.prod(signs))  # play is at random
        after = (
            0.0 if t == 2 else gamma * np.mean([said[signs, (*done, now), next_one] for next_one in joint])
        )
        weight = 4.0 ** -(t + 1)
        errors.append((weight, (q - d) ** 2))
        one.append((weight, (paid + after - d) ** 2))
    l2, first = (float(np.sqrt(sum(w * e for w, e in x) / sum(w for w, _ in x))) for x in (errors, one))
    net = me.read_pymarl("agent.th", "config.json", "mixer.th")
    found = me.certify_network(
        net, Signs(), epsilon=1.0, horizon=3, steps=(1, 3), starts=1000, decisions=0, rng=0
    )
    low, high = found.error
    assert low <= l2 <= high < 1.5 * low
    low, high = found.certificate.l2[1]
    assert low * (1 + gamma) <= first <= high * (1 - gamma)
    assert found.verdict in ("mixer", "cannot tell", "right") and "QMIX" in found.network
    assert "what the mixer makes of its agents' values, which is no sum" in found.sentence
    line = ["diagnose", "--env", "test_networks_torch:Signs", "--checkpoint", "agent.th", "--config", "config.json",
            "--mixer", "mixer.th", "--epsilon", "1", "--horizon", "3", "--starts", "200"]  # fmt: skip
    assert main(line) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "the mixer" in out.split(":")[0] and "which is no sum" in out
    assert main(line[:7] + line[9:]) == 2
    assert "QMIX has one" in capsys.readouterr().err


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("central", [False, True])
def test_layers_of_torchrl_say_what_torchrl_says(shared: bool, central: bool, tmp_path: Path) -> None:
    import torch
    from torchrl.modules import MultiAgentMLP

    torch.manual_seed(2)
    mlp = MultiAgentMLP(n_agent_inputs=WIDE, n_agent_outputs=ACTIONS, n_agents=N, centralized=central,
                        share_params=shared, depth=2, num_cells=9, activation_class=torch.nn.Tanh)  # fmt: skip
    torch.save(mlp.state_dict(), tmp_path / "net.pt")
    seen = np.random.default_rng(3).normal(size=(N, WIDE))
    with torch.no_grad():
        want = mlp(torch.tensor(seen, dtype=torch.float32)).numpy()
    for net in (me.read_mlp(tmp_path / "net.pt", activation="tanh"), me.torch_network(mlp)):
        assert np.asarray(net.values(list(seen), None)[0]) == pytest.approx(want, abs=1e-5)


def test_a_network_of_torchrl_on_climbing_is_tuned_and_one_trained_in_leaps_is_not(monkeypatch: Any) -> None:
    """VDN by torchrl: within .05 of the additive floor, and said so; with far too large steps it is its tuning."""
    example_ = example("vdn_climbing", monkeypatch)
    net = me.read_mlp(example_.train(600).state_dict(), activation="relu")
    exact = example_.errs(net)
    assert 13.232 < exact < 13.232 + 0.05
    found = climbing(net, starts=1000)
    assert found.sentence.startswith("Decomposition, not tuning: it errs by ")
    assert found.error[0] < exact < found.error[1]
    bad = me.read_mlp(example_.train(30, step=10.0).state_dict(), activation="relu")
    wrong = climbing(bad)
    assert wrong.sentence.startswith("Tuning, not decomposition: it errs by ")
    assert wrong.error[0] < example_.errs(bad) < wrong.error[1]


@pytest.mark.slow
def test_a_checkpoint_of_foraging_walks_in_circles(monkeypatch: Any) -> None:
    """`examples/train_foraging.py` after 50,000 steps: the TD error of a greedy step is small, the values are not
    right. The exact return of greedy play from some states, by stepping the board itself, against the certificate."""
    example_ = example("train_foraging", monkeypatch)
    folder = HERE / "data" / "foraging"
    assert json.loads((folder / "config.json").read_text()) == example_.CONFIG
    net = me.read_pymarl(folder / "agent.th", folder / "config.json")
    env = example_.foraging()
    found = me.certify_network(net, env, steps=(1, 200), starts=100, decisions=0, rng=0)
    assert found.verdict == "tuning" and found.sees == "everything"
    low, high = found.certificate.l2[1]
    assert low < 0.02 < 0.5 < found.error[0] and high > 1.5 * found.error[0]
    assert "this is the game without it" in found.sentence
    errors = []
    for seed in range(10):  # by hand, from first steps of tasks
        seen, t, paid = env.reset(seed=1000 + seed)[0], 0, 0.0
        said = np.asarray(net.values(seen, net.initial())[0]).max(axis=1).sum()
        over = False
        while not over and t < 200:
            seen, rewards, over, _, _ = env.step(
                np.asarray(net.values(seen, net.initial())[0]).argmax(axis=1)
            )
            paid, t = paid + 0.99**t * sum(rewards), t + 1
        errors.append(said - paid)
    assert np.mean(errors) > 0.3
