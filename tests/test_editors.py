"""What editors see: the stub beside the lazy package, completion by jedi, types by pyright; and what `help` says.

`python tests/test_editors.py` writes the stub anew from the package's table of contents.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import jedi
import pytest

import markov_entanglement as me
from markov_entanglement import _types
from markov_entanglement.model.words import WORDS, lacks

PACKAGE = Path(me.__file__).parent
STUB = PACKAGE / "__init__.pyi"
EXAMPLE = PACKAGE.parents[1] / "examples" / "quickstart.py"
#: The folders, which nobody needs to see.
ROOMS = sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py") if p.parent.name not in me._MODULES)


def stub() -> str:
    """Every public name with its home; the folders are hidden, for jedi would list them among the names."""
    names = sorted(
        ((module, not name.isupper(), name) for name, module in me._HOME.items()),
        key=lambda x: (*x[:2], x[2][0].islower(), x[2].lower()),
    )
    return "\n".join([
        "# Written from `_CONTENTS` by: python tests/test_editors.py",
        *(f"from . import {module} as {module}" for module in sorted(me._MODULES)),
        *(f"from .{module} import {name} as {name}" for module, _, name in names),
        "",
        "__version__: str",
        "__all__: list[str]",
        "",
        "# no part of the interface",
        *(f"del {room}  # type: ignore[name-defined]" for room in ROOMS),
        "",
    ])  # fmt: skip


def completed(code: str) -> list[str]:
    """What jedi offers at the end of the code."""
    project = jedi.Project(str(EXAMPLE.parent), sys_path=[str(PACKAGE.parent), *sys.path])
    return [c.name for c in jedi.Script(code, project=project).complete()]


def test_the_stub_is_the_table_of_contents() -> None:
    assert STUB.read_text() == stub(), "run: python tests/test_editors.py"
    assert (PACKAGE / "py.typed").exists()


def test_jedi_completes_public_names_first() -> None:
    names = completed("import markov_entanglement as me\nme.")
    public = [name for name in names if not name.startswith("_")]
    assert sorted(public) == sorted(me.__all__) and names[: len(public)] == public
    assert not set(ROOMS) & set(names)
    assert completed("import markov_entanglement as me\nme.anal") == ["analyze", "Analysis"]
    assert "summary" in completed("import markov_entanglement as me\nme.analyze(1).")
    assert "distances=" in completed("import markov_entanglement as me\nme.analyze(1, dist")


def test_an_interpreter_completes_public_names_alone() -> None:
    """As IPython asks, whatever has been imported by then."""
    me.analyze, me.gallery  # noqa: B018
    names = [c.name for c in jedi.Interpreter("me.", [{"me": me}]).complete()]
    assert sorted(names) == sorted([*me.__all__, "__version__"])


def test_the_example_runs(folder: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-W", "error", EXAMPLE], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("do-not-add No: ") and "Did you mean 'optimal'?" in done.stdout
    assert (folder / "report.html").exists() and len(EXAMPLE.read_text().splitlines()) <= 60


def test_help_lists_the_policies() -> None:
    """Every word of a policy, and the classes that an object may have."""
    for text in (me.analyze.__doc__, me.JointChain.under.__doc__):
        assert not [word for word in WORDS if f'"{word}"' not in text]
    assert all(f"`{w.name}(" in me.analyze.__doc__ for w in WORDS.values() if w.name.endswith("Policy"))


def test_everything_public_says_what_it_is() -> None:
    """Functions, classes and their public members have words, their own or those of what they override."""
    silent = [n for n in me.__all__ if callable(getattr(me, n)) and not getattr(me, n).__doc__]
    for name, kind in ((n, k) for n in me.__all__ if isinstance(k := getattr(me, n), type)):
        for member, found in vars(kind).items():
            described = inspect.isroutine(found) or isinstance(found, property | cached_property)
            own = (vars(base).get(member) for base in kind.__mro__)
            if (
                described
                and member[0] != "_"
                and not any(getattr(x, "__doc__", None) for x in own if x is not None)
            ):
                silent.append(f"{name}.{member}")
    assert silent == []


@pytest.mark.parametrize("word", WORDS)
def test_refusals_name_the_classes_that_would_do(word: str) -> None:
    """A policy by its word for a system that it does not fit: the classes named do take it."""
    bandit, chain = me.gallery.build("restart").system, me.gallery.build("shared-randomness").system
    for system in (bandit, chain):
        if not lacks(system, word):
            continue
        with pytest.raises(me.errors.Unsupported, match="It is for ") as refused:
            me.analyze(system, word)
        named = re.findall(r"me\.(\w+)", refused.value.remedy)
        arms = me.gallery.build("circulant", n_arms=3, budget=1).system
        made = {"RestlessBandit": bandit, "WeaklyCoupledMDP": arms, "MultiAgentMDP": joint(),
                "FactoredMDP": me.gallery.build("sysadmin-ring").system,
                "ExogenousMDP": me.gallery.build("ev-charging").system}  # fmt: skip
        assert named and all(not lacks(made[name], word) for name in named)


def joint() -> me.MultiAgentMDP:
    """Two agents with two states and two actions each, one kernel for all."""
    kernel = [[[0.25] * 4] * 4] * 4
    return me.MultiAgentMDP(kernel, [[0, 1]] * 2, n_states=(2, 2), n_actions=(2, 2), discount=0.5)


# --- pyright: python -m pytest -m pyright, with the lint extra ---------------------------------------------


def pyright(folder: Path, code: str) -> list[dict[str, Any]]:
    """What pyright has to say of a user's file, strictly."""
    (folder / "users.py").write_text(code)
    settings = {"include": ["users.py"], "extraPaths": [str(PACKAGE.parent)], "typeCheckingMode": "standard"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return json.loads(done.stdout)["generalDiagnostics"]


@pytest.mark.pyright
def test_pyright_has_no_complaint_of_the_example(folder: Path) -> None:
    found = pyright(folder, EXAMPLE.read_text() + "\nwrong: int = me.analyze(system).verdict\n")
    assert [m["rule"] for m in found] == ["reportAssignmentType"], found  # the negative control alone


@pytest.mark.pyright
def test_pyright_knows_every_public_name(folder: Path) -> None:
    gallery = [f"gallery.{name}" for name in me.gallery.__all__]
    names = [*me.__all__, *gallery, "__version__"]
    code = "import markov_entanglement as me\n" + "".join(f"reveal_type(me.{name})\n" for name in names)
    found = pyright(folder, code)
    types = dict(re.match(r'Type of "me\.(\S+)" is "(.*)"', m["message"], re.S).groups() for m in found)
    assert list(types) == names
    assert not [name for name, type in types.items() if type in ("Any", "Unknown", "object")]
    assert "-> Analysis" in types["analyze"]


#: What people pass, and what comes back.
CALLS = """
import numpy as np
import scipy.sparse as sp
import markov_entanglement as me

rows = np.full((2, 2), 0.5)
system = me.WeaklyCoupledMDP([[rows, rows]] * 2, [[0, 1]] * 2, discount=0.9, budget=1)
def law(state: tuple[int, int]) -> dict[tuple[int, int], float]:
    return {(0, 1): 1.0}
class Own:
    def law(self, state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        return {(0, 1): 1.0}
for policy in (law, Own(), "myopic", me.UniformPolicy(), np.full((4, 4), 0.25), sp.eye_array(4), None):
    me.analyze(system, policy, rng=np.random.default_rng(0))
me.analyze(system, lambda state: {(0, 1): 1.0}, rewards=[[0, 1], np.ones(2)], discount=0.5, distances=["atv"])
chain = system.under(np.ones((4, 1)), initial=(0, 1))
me.entanglement(chain, rng=np.int64(3)).per_agent.mean()
me.entanglement(chain, "tv").value
joint = me.JointChain(sp.eye_array(4), (2, 2), rewards=[[0, 1], [1, 0]], labels={"names": ["a", "b"]})
values = me.value_decomposition(joint, [0, 1, 1, 0], 0.9)
me.certificate(joint, None, None, values.local_q).interval("mu")
me.certificate(joint, None, None, lambda pairs: 0.0)
me.greedy_policy(values)
me.compare({"a": "uniform", "b": me.IndexPolicy([1, 0])}, system, progress=lambda share, what: None)
bandit = me.RestlessBandit([rows, rows], [0, 1], n_arms=[3, 4], budget=2, discount=0.9)
me.simulate(bandit, me.IndexPolicy(me.lp_priority(bandit)), 10, rng=0, start=[[3, 0], [0, 4]])
me.separability(bandit.under("whittle")).verdict
saved, its_policy = me.load("system.toml")
me.check_system(saved, its_policy)
"""


@pytest.mark.pyright
def test_pyright_accepts_what_people_pass(folder: Path) -> None:
    assert pyright(folder, CALLS) == []
    wrong = ("me.analyze(system, rng=None)", "me.entanglement(3)", "me.compare(['uniform'], system)")
    found = pyright(folder, CALLS + "\n".join(wrong))
    assert len(found) == len(wrong) and {m["rule"] for m in found} == {"reportArgumentType"}, found


#: Parameters of these still are Any.
OPEN = {
    "JointChain",
    "WeaklyCoupledMDP",
    "Result",
    "Learner",
    "Table",
    "Entanglement",
    "MeanField",
    "Analysis",
    "CountChain",
    "Sweep",
}
OPEN |= {"read_model", "from_table", "from_gymnasium", "from_mdp"}


@pytest.mark.parametrize("name", sorted(set(me._HOME) - OPEN))
def test_parameters_have_types(name: str) -> None:
    signature = inspect.signature(getattr(me, name))
    found = {p.name: p.annotation for p in signature.parameters.values()} | {"-": signature.return_annotation}
    assert not [k for k, v in found.items() if re.search(r"\bAny\b", str(v)) or v is inspect.Parameter.empty]


def test_words_have_a_type() -> None:
    assert get_args(_types.Word) == tuple(WORDS)


if __name__ == "__main__":
    STUB.write_text(stub())
