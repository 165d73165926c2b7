"""Importing the package and asking for help loads nothing heavy."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest
from typer.main import get_command

import markov_entanglement as me
from markov_entanglement.cli.app import app

HEAVY = ("numpy", "scipy", "numba", "matplotlib", "pandas", "highspy", "jinja2", "gymnasium")


def loaded(code: str) -> set[str]:
    """Heavy modules in `sys.modules` after running the code in a fresh interpreter."""
    script = f"import sys\n{code}\nprint('loaded:', *[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].removeprefix("loaded:").split())


HELP = "from markov_entanglement.cli.app import main\nassert main({argv}) == 0"


@pytest.mark.parametrize(
    "code",
    [
        "import markov_entanglement",
        "import markov_entanglement as me; dir(me); me.__version__",
        "import markov_entanglement as me; me.errors.UserError",
        HELP.format(argv=["--help"]),
        HELP.format(argv=["--version"]),
        HELP.format(argv=["gallery", "show", "-h"]),
        *(HELP.format(argv=[command, "-h"]) for command in get_command(app).commands),
    ],
)
def test_nothing_heavy(code: str) -> None:
    assert loaded(code) == set()


def test_heavy_modules_are_noticed() -> None:
    """Negative control of `loaded`."""
    assert loaded("import numpy") == {"numpy"}
    assert {"numpy", "scipy"} <= loaded("import markov_entanglement as me; me.JointChain")
    assert "matplotlib" not in loaded("import markov_entanglement as me; me.analyze")


def test_every_public_name_resolves() -> None:
    assert len(set(me.__all__)) == len(me.__all__)
    for name in me.__all__:
        assert getattr(me, name) is not None
        assert name in dir(me)
    star: dict[str, object] = {}
    exec("from markov_entanglement import *", star)
    assert set(me.__all__) <= set(star)


def test_names_of_the_interface() -> None:
    """The names that users rely on."""
    wanted = [
        "MultiAgentMDP",
        "WeaklyCoupledMDP",
        "JointChain",
        "UniformPolicy",
        "LocalPolicy",
        "IndexPolicy",
        "optimal_policy",
        "greedy_policy",
        "entanglement",
        "weighted_l1_median",
        "minimax_centre",
        "value_decomposition",
        "error_bounds",
        "analyze",
        "compare",
        "check_system",
        "load",
        "save",
        "gallery",
    ]
    assert set(wanted) <= set(me.__all__)


def test_unknown_names_are_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="entanglment"):
        me.entanglment  # noqa: B018


def test_no_public_name_is_shadowed_by_a_folder() -> None:
    """Importing a subpackage binds its name on the package: a function of that name would turn into a module."""
    folders = {m.name for m in pkgutil.iter_modules(me.__path__)}
    assert not set(me._HOME) & folders
