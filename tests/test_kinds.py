"""Records: every kind of system and every word of a policy, in files, on the command line and in Python."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import Unsupported, UserError
from markov_entanglement.gallery.named import policy_of
from markov_entanglement.model import kinds as package
from markov_entanglement.model.kinds import kind_of, kinds
from markov_entanglement.model.words import WORDS, lacks

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(11)
#: Two arms, three states, two actions.
ARMS = RNG.dirichlet(np.ones(3), size=(2, 2, 3))
PAY = np.round(RNG.normal(size=(2, 3, 2)), 3)
GAMMA = 0.8


def agents(**more: Any) -> Any:
    return me.WeaklyCoupledMDP(list(ARMS), list(PAY), discount=GAMMA, **({"budget": 1} | more))


def joint() -> Any:
    kernel = RNG.dirichlet(np.ones(4), size=(4, 4))
    return me.MultiAgentMDP(kernel, [[0, 1], [2, 0]], n_states=(2, 2), n_actions=(2, 2), discount=GAMMA)


#: kind of system -> (a small system, the words that fit it).
SYSTEMS: dict[str, tuple[Any, str]] = {
    "chain": (me.JointChain(np.full((4, 4), 0.25), (2, 2), rewards=[[0, 1]] * 2, discount=GAMMA), ""),
    "mdp": (joint(), "uniform table local optimal"),
    "weakly-coupled": (agents(), "uniform index whittle lp myopic lp-update optimal table local"),
    "weakly-coupled on resources": (
        me.WeaklyCoupledMDP(
            [[[[0.7, 0.3], [0.4, 0.6]], [[0.2, 0.8], [0.1, 0.9]]]] * 2, [[0, 1]] * 2, discount=GAMMA,
            resources=[([0, 1], 1, "<=")],
        ), "uniform index optimal table local",
    ),
    "factored": (
        me.FactoredMDP(
            RNG.dirichlet(np.ones(2), size=(2, 4, 4)), [[0, 1]] * 2, neighbours=[(0, 1), (1, 0)], discount=GAMMA
        ), "uniform table local neighbour optimal",
    ),
    "weakly-coupled without budget": (agents(budget=None), "uniform table local optimal"),
    "exogenous": (
        me.ExogenousMDP(list(ARMS), list(PAY), signal=[[0.7, 0.3], [0.4, 0.6]], discount=GAMMA, budget=[1, 0]),
        "uniform index optimal table local",
    ),
    "exogenous that kernels read": (
        me.ExogenousMDP([ARMS, ARMS], [np.stack([PAY[0]] * 2)] * 2, signal=[[0.7, 0.3], [0.4, 0.6]], discount=GAMMA),
        "uniform optimal table local",
    ),
    "bandit": (
        me.RestlessBandit(ARMS[0], PAY[0], n_arms=6, budget=2, discount=GAMMA),
        "uniform index whittle lp myopic lp-update",
    ),
    "bandit of types": (
        me.RestlessBandit(ARMS, PAY, n_arms=[3, 2], budget=2, discount=GAMMA),
        "uniform index whittle lp myopic lp-update",
    ),
}  # fmt: skip


def bare(system: Any) -> list[str]:
    """Words that fit the system and need no key."""
    return [w for w, r in WORDS.items() if not r.key and not lacks(system, w)]


def priorities(policy: Any) -> list[list[float]]:
    """Per agent (or the one that is shared)."""
    return [p.tolist() for p in policy.priority]


# --- records of systems ----------------------------------------------------------------------------------


def test_every_class_has_a_record_and_every_key_is_a_parameter() -> None:
    """Keys by hand, once: a renamed parameter would rename the key of every file."""
    shared, actions = {"discount", "agents", "normalize"}, {"order"}
    wanted = {
        "chain": {"transition", "sizes", "rewards", "terminal", "restart", "pairs"} | shared,
        "mdp": {"kernel", "rewards", "n_states", "n_actions", "terminal", "restart"} | shared | actions,
        "weakly-coupled": {"kernels", "rewards", "budget", "resources", "terminal", "restart"}
        | shared
        | actions,
        "factored": {"kernels", "rewards", "neighbours"} | shared,
        "bandit": {"kernels", "rewards", "n_arms", "budget"} | shared | actions,
        "exogenous": {"kernels", "rewards", "signal", "budget", "resources"} | shared,
    }
    assert {word: set(kind.keys) for word, kind in kinds().items()} == wanted
    assert {kind.name for kind in kinds().values()} == {
        "JointChain", "MultiAgentMDP", "WeaklyCoupledMDP", "FactoredMDP", "RestlessBandit", "ExogenousMDP",
    }  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_record_of_a_system(name: str) -> None:
    system, fits = SYSTEMS[name]
    kind = kind_of(system)
    assert kind is not None and name.startswith(kind.word)
    assert {w for w in WORDS if not lacks(system, w)} == set(fits.split())
    again = kind.read(kind.write(system))
    assert repr(again) == repr(system) and type(again) is type(system)


@pytest.mark.parametrize("word", kinds())
def test_templates_say_what_the_kind_is(word: str) -> None:
    text = kinds()[word].template("mine.toml")
    head = text.splitlines()[:3]
    assert head[0].endswith("markov-entanglement analyze mine.toml") and head[1] == "schema = 1"
    assert head[2] == f'kind = "{word}"  # {kinds()[word].help}'
    assert set(tomllib.loads(text)) <= {"schema", "kind", "policy", *kinds()[word].keys}


def test_the_template_of_a_bandit_names_states_actions_and_words() -> None:
    text = kinds()["bandit"].template("x.toml")
    assert tomllib.loads(text)["agents"].keys() == {"states", "actions"} and '"whittle"' in text


NEW = '''
"""A kind of system in one file."""
from markov_entanglement import JointChain
from markov_entanglement.model import kinds


class Coins(JointChain):
    """Independent coins."""

    def __init__(self, bias, *, labels=None):
        import numpy as np
        flip = np.array([1 - bias, bias])
        super().__init__(np.tile(np.kron(flip, flip), (4, 1)), (2, 2), rewards=[[0, 1]] * 2, discount=0.5,
                         labels=labels)
        object.__setattr__(self, "bias", bias)


KIND = kinds.Kind("coins", "Coins", "two independent coins", "bias = 0.25  # of heads\\n",
                  lacks=lambda _, word: "actions", made_of=lambda s: {"bias": s.bias})
'''


def test_a_new_kind_is_one_file(tmp_path: Path) -> None:
    """`init`, `analyze`, `load` and `save` know it, without another line anywhere."""
    (tmp_path / "coins.py").write_text(NEW)
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import markov_entanglement as me\n"
        "from markov_entanglement.model import kinds\n"
        f"kinds.__path__.append({str(tmp_path)!r})\n"
        "me._HOME['Coins'] = 'model.kinds.coins'\n"
        "from markov_entanglement.cli.app import main\n"
        "assert main(['init', 'c.toml', '--kind', 'coins']) == 0\n"
        "assert main(['analyze', 'c.toml', '--json', 'r.json']) == 0\n"
        "system, policy = me.load('c.toml')\n"
        "assert type(system).__name__ == 'Coins' and system.bias == 0.25 and policy is None\n"
        "me.save('d.toml', system)\n"
        "assert 'kind = \"coins\"' in open('d.toml').read() and me.load('d.toml')[0].bias == 0.25\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads((tmp_path / "r.json").read_text())["verdict"]["word"] == "add"


def test_records_load_nothing_heavy() -> None:
    script = (
        "import sys, markov_entanglement.model.words\nfrom markov_entanglement.model.kinds import kinds\n"
        "[k.template('x') for k in kinds().values()]\n"
        "print(*(m for m in ('numpy', 'scipy', 'numba') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [] and package.__file__


def test_help_and_docs_iterate_over_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ", ".join(kinds()) in text
    assert main(["analyze", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(word in text for word in WORDS)
    page = (ROOT / "docs" / "files.md").read_text()
    for kind in kinds().values():
        keys = ", ".join(f"`{k}`" if required else f"`{k}`?" for k, required in kind.keys.items())
        assert f"| `{kind.word}` | `{kind.name}` | {kind.help} | {keys} |" in page
    for word, r in WORDS.items():
        fits = ", ".join(
            k
            for k in ("mdp", "weakly-coupled", "factored", "bandit", "exogenous")
            if word in SYSTEMS[k][1].split()
        )
        assert f"| `{word}` | {r.help} | {f'`{r.key}`' if r.key else ''} | {fits} |" in page


# --- words of policies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYSTEMS)
def test_words_that_do_not_fit_name_those_that_do(name: str) -> None:
    """And what they name can be followed: each is a policy, or says what else it needs."""
    system, fits = SYSTEMS[name]
    for word in set(WORDS) - set(fits.split()):
        with pytest.raises(Unsupported) as caught:
            system.under(word)
        message = str(caught.value)
        assert fits or message.endswith("a chain has its policy inside. Leave it out.")
        if fits:
            assert f"'{word}'" in message and "it needs" in message
            named = message.split("What fits: ")[1].rstrip(".").split(", ")
            assert set(named) == set(fits.split())
    for word in fits.split():
        if WORDS[word].key and not WORDS[word].optional:
            with pytest.raises(UserError, match=f"'{word}' without {WORDS[word].key}.*me.{WORDS[word].name}"):
                system.under(word)
        else:
            assert me.check_system(system, word).ok


def test_priorities_are_those_of_the_raw_arms() -> None:
    """Agents as arm types of their own; the myopic priority by hand."""
    bandit = me.RestlessBandit(ARMS, PAY, n_arms=[1, 1], budget=1, discount=GAMMA)
    system = agents()
    for word, index in (
        ("myopic", PAY[:, :, 1] - PAY[:, :, 0]),
        ("whittle", me.whittle_index(ARMS, PAY, discount=GAMMA).index),
        ("lp", me.lp_priority(bandit).index),
    ):
        wanted = np.argsort(np.argsort(-index.ravel()))
        for subject in (system, bandit):
            found = np.array(priorities(WORDS[word].make(subject, None, "policy")))
            np.testing.assert_allclose(found, index, atol=2e-9 * np.abs(index).max())
            assert np.array_equal(np.argsort(np.argsort(-found.ravel())), wanted)
    one = me.entanglement(system.under("whittle")).per_agent
    np.testing.assert_allclose(one, me.entanglement(bandit.under("whittle")).per_agent, atol=1e-12)


ASKED = {
    "simulate": lambda system, policy: me.simulate(system, policy, 40, rng=3),
    "mean_field": lambda system, policy: me.mean_field(system, policy, rng=3),
    "estimate_error": lambda system, policy: me.estimate_error(
        system, policy, rng=3, starts=40, training=400
    ),
    "estimate_entanglement": lambda system, policy: me.estimate_entanglement(system, policy, rng=3, steps=80),
    "count_chain": lambda system, policy: me.count_chain(system, policy).policy_entanglement,
}


@pytest.mark.parametrize("question", ASKED)
def test_bandits_are_asked_by_the_word_of_their_policy(question: str) -> None:
    """The same numbers as of the policy object; a word that does not fit is refused as by `under`."""
    ask = ASKED[question]
    for name in ("bandit", "bandit of types", "weakly-coupled"):
        system = SYSTEMS[name][0]
        if name == "weakly-coupled" and question != "simulate":
            with pytest.raises(Unsupported, match="WeaklyCoupledMDP"):
                ask(system, "whittle")
            continue
        for word in ("whittle", "lp", "myopic"):
            policy = WORDS[word].make(system, None, "policy")
            assert json.dumps(ask(system, word).to_dict()) == json.dumps(ask(system, policy).to_dict()), (
                name,
                word,
            )
        with pytest.raises(UserError) as caught:
            system.under("wittle")
        with pytest.raises(type(caught.value), match=re.escape(str(caught.value))):
            ask(system, "wittle")
        with pytest.raises(UserError, match="'index' without priority"):
            ask(system, "index")
    with pytest.raises(
        Unsupported, match=r"'optimal' for .* fits: uniform, index, whittle, lp, myopic, lp-update"
    ):
        ask(SYSTEMS["bandit"][0], "optimal")


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_rounding_makes_no_order_and_scale_does_not_matter(scale: float) -> None:
    """.3 - .1 and .2 differ by rounding alone; in any unit of reward they are one class."""
    pay = scale * np.array([[0.1, 0.3], [0.0, 0.2], [0.0, 0.2 + 1e-6]])
    assert scale != 1.0 or pay[0, 1] - pay[0, 0] != pay[1, 1] - pay[1, 0]
    bandit = me.RestlessBandit(ARMS[0], pay, n_arms=5, budget=2, discount=GAMMA)
    assert bandit.under("myopic").policy.ranks(1)[0].tolist() == [1, 1, 0]


def test_optimal_is_the_best_of_all_policies() -> None:
    """Brute force over the 2^9 deterministic policies of two agents, one served, on the raw arrays."""
    states = list(itertools.product(range(3), repeat=2))
    best = np.full(9, -np.inf)
    values = {}
    for choice in itertools.product(range(2), repeat=9):  # whom to serve in each joint state
        p, r = np.zeros((9, 9)), np.zeros(9)
        for k, (s, t) in enumerate(states):
            a, b = int(choice[k] == 0), int(choice[k] == 1)
            p[k] = np.kron(ARMS[0, a, s], ARMS[1, b, t])
            r[k] = PAY[0, s, a] + PAY[1, t, b]
        values[choice] = np.linalg.solve(np.eye(9) - GAMMA * p, r)
        best = np.maximum(best, values[choice])
    table = agents().under("optimal").policy.table(np.array(states)).toarray()
    found = tuple(0 if row[2] == 1 else 1 for row in table)  # joint action 2 = (1, 0): the first is served
    np.testing.assert_allclose(values[found], best, atol=1e-10)


def test_uniform_by_hand() -> None:
    law = agents().bind("uniform").law((0, 1))
    assert law == {(0, 1): 0.5, (1, 0): 0.5}


@pytest.mark.parametrize("name", [n for n, (_, fits) in SYSTEMS.items() if fits])
def test_a_word_is_the_same_in_python_in_a_file_and_on_the_command_line(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = SYSTEMS[name][0]
    sys.modules.pop("my_words", None)
    (folder / "my_words.py").write_text("system = None\n")
    monkeypatch.syspath_prepend(str(folder))
    import my_words  # type: ignore[import-not-found]

    my_words.system = system
    me.save("bare.toml", system)
    for word in bare(system):
        wanted = answer(system.under(word))
        me.save("word.toml", system, word)
        assert tomllib.loads(Path("word.toml").read_text())["policy"] == {"kind": word}
        loaded, policy = me.load("word.toml")
        assert answer(loaded.under(policy)) == wanted
        assert by_command("bare.toml", "--policy", word) == wanted
        if word in ("lp", "optimal"):
            assert by_command("word.toml") == by_command("my_words:system", "--policy", word) == wanted
    sys.modules.pop("my_words", None)


def answer(chain: Any) -> tuple[list[float], float]:
    """What tells two policies apart."""
    found = me.entanglement(chain).per_agent
    return found.tolist(), me.value_decomposition(chain).error("mu")


def by_command(*argv: str) -> tuple[list[float], float]:
    """The same from the command line."""
    assert main(["analyze", *argv, "--distance", "mu-atv", "--json", "r.json"]) == 0
    found = json.loads(Path("r.json").read_text())
    return found["entanglement"]["mu-atv"]["per_agent"], found["values"]["error_mu"]


def test_policies_with_keys_on_the_command_line(folder: Path) -> None:
    """index:1,2,0 and WORD:FILE.npz, for one's own systems."""
    system = agents()
    me.save("s.toml", system)
    np.savez("p.npz", priority_0=[1.0, 2.0, 0.0], priority_1=[0.5, 3.0, 0.0])
    np.savez("q.npz", priority=[1.0, 2.0, 0.0])
    np.savez("t.npz", table=np.tile([0.0, 0.25, 0.75, 0.0], (9, 1)))
    me.save("free.toml", agents(budget=None))
    np.savez("l.npz", tables_0=np.full((3, 2), 0.5), tables_1=np.tile([0.25, 0.75], (3, 1)))
    cases = [
        ("s.toml", "index:1,2,0", me.IndexPolicy([1, 2, 0])),
        ("s.toml", "index:q.npz", me.IndexPolicy([1, 2, 0])),
        ("s.toml", "index:p.npz", me.IndexPolicy([[1, 2, 0], [0.5, 3, 0]])),
        ("s.toml", "table:t.npz", np.tile([0.0, 0.25, 0.75, 0.0], (9, 1))),
        ("s.toml", "t.npz", np.tile([0.0, 0.25, 0.75, 0.0], (9, 1))),
        ("free.toml", "local:l.npz", me.LocalPolicy([np.full((3, 2), 0.5), np.tile([0.25, 0.75], (3, 1))])),
    ]
    states = np.array(list(itertools.product(range(3), repeat=2)))
    for file, text, policy in cases:
        loaded = me.load(file)[0]
        tables = [loaded.bind(p).table(states).toarray() for p in (policy_of(text, loaded), policy)]
        np.testing.assert_array_equal(*tables)
    assert by_command("s.toml", "--policy", "index:p.npz") == answer(system.under(cases[2][2]))


def test_words_in_a_comparison() -> None:
    system = SYSTEMS["bandit"][0]
    words = me.compare({w: w for w in bare(system)}, system)
    objects = me.compare({w: system.under(w).policy for w in bare(system)}, system)
    assert words.to_dict() == objects.to_dict()
    assert {line.name for line in words.lines} == {"uniform", "whittle", "lp", "myopic"}


def test_a_misspelt_name_of_the_package() -> None:
    with pytest.raises(AttributeError, match=r"UniformPolcy.*Did you mean 'UniformPolicy'"):
        me.UniformPolcy  # noqa: B018


# --- labels of bandits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("types", [1, 2])
def test_labels_of_bandits(types: int, tmp_path: Path) -> None:
    names = ["new", "old"][:types]
    labels = {"names": names, "states": ["bad", "fair", "good"], "actions": ["wait", "call"]}
    bandit = me.RestlessBandit(
        ARMS[:types], PAY[:types], n_arms=[3, 2][:types], budget=2, discount=GAMMA, labels=labels
    )
    assert bandit.labels.states == (("bad", "fair", "good"),) * types
    assert bandit.labels.agent(types - 1) == names[-1] and bandit.labels.action(0, 1) == "call"
    me.save(tmp_path / "b.toml", bandit, "lp")
    again, _ = me.load(tmp_path / "b.toml")
    assert again.labels == bandit.labels and again.n_arms.tolist() == bandit.n_arms.tolist()
    assert again.kernels.tobytes() == bandit.kernels.tobytes()


def test_flat_labels_of_a_file_are_shared_by_the_types(tmp_path: Path) -> None:
    text = kinds()["bandit"].template("b.toml")
    (tmp_path / "b.toml").write_text(text)
    assert me.load(tmp_path / "b.toml")[0].labels.states == (("bad", "fair", "fine", "good"),)
    with pytest.raises(UserError, match=r"agents.states\[0\].*2 names.*4"):
        (tmp_path / "b.toml").write_text(text.replace('"bad", "fair", ', ""))
        me.load(tmp_path / "b.toml")
