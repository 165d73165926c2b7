"""The house's floors, read from its sources: imports run downwards, and one place asks what an object can do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import markov_entanglement

ROOT = Path(markov_entanglement.__file__).parent
#: A room may import rooms of lower floors. `laws` and the modules beside the rooms are the ground; reports are made
#: from the ground alone, so that whoever has a result may render it.
FLOOR = {
    "ground": 0, "report": 1, "model": 1, "markov": 2, "measures": 3, "values": 4, "separable": 4, "runs": 5,
    "bandits": 6, "learning": 6, "data": 6, "environments": 6.5, "readers": 2, "analysis": 7, "gallery": 8,
    "studies": 9, "cli": 10,
}  # fmt: skip
#: Imports upwards that a function makes when it is called: file -> room.
LAZY = {
    ("model/system.py", "markov"),  # a system under a policy is a chain
    ("model/weakly_coupled.py", "markov"),
    ("model/system.py", "runs"),  # or, where that is too large, runs
    ("model/factored.py", "runs"),
    ("markov/chain.py", "runs"),  # a chain may be stepped
    ("model/bandit.py", "bandits"),
    ("model/bound_policy.py", "bandits"),  # a policy that plans by linear programs
}
#: Where an object may be asked what it is or what it can do.
BORDER = ("laws/source.py", "model/kinds", "_labelled.py")
#: Classes that may be asked for everywhere: what users hand in beside systems, and parts of a chain.
FREE = {
    "model/policy.py",
    "model/bound_policy.py",
    "model/rewards.py",
    "model/spaces.py",
    "markov/kernel.py",
    "readers/_columns.py",
}
#: The protocol of a user's own policy, and what ours hold.
POLICY = {"law", "marginals", "sample", "shared", "priority", "tables", "table"}


@cache
def modules() -> dict[str, ast.Module]:
    """Path below the package -> syntax tree."""
    return {str(f.relative_to(ROOT)): ast.parse(f.read_text()) for f in sorted(ROOT.rglob("*.py"))}


def room(path: str) -> str:
    """The room of a module (`a/b.py`) or package path."""
    head = path.split("/")[0]
    return head if "/" in path and head != "laws" else "ground"


def imports(path: str) -> Iterator[tuple[str, bool]]:
    """(target module or package, whether a function makes the import), of this package, for type checkers or not."""
    here = path.split("/")[:-1]
    todo: list[tuple[ast.AST, bool]] = [(modules()[path], False)]
    for node, lazy in todo:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        todo += [(child, lazy) for child in ast.iter_child_nodes(node)]
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == ROOT.name:
                    yield "/".join(name.name.split(".")[1:]), lazy
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = [*here[: len(here) - node.level + 1], *(node.module or "").split(".")]
            elif (node.module or "").split(".")[0] == ROOT.name:
                base = node.module.split(".")[1:]
            else:
                continue
            base = [b for b in base if b]
            if (ROOT / "/".join(base)).is_dir():  # from ..room import module, or from . import module
                for name in node.names:
                    yield "/".join([*base, name.name]), lazy
            else:
                yield "/".join(base), lazy


def upward() -> Iterator[str]:
    for path in modules():
        mine = room(path)
        if "/" not in path and not path.startswith("_") and path != "errors.py":
            continue
        if path in ("__init__.py", "__main__.py"):
            continue
        for target, lazy in imports(path):
            theirs = room(target + "/" if (ROOT / target).is_dir() else target)
            down = theirs == mine or FLOOR[theirs] < FLOOR[mine]
            if not down and not (lazy and (path, theirs) in LAZY):
                yield f"{path} imports {target}" + (" when called" if lazy else "")


@cache
def classes() -> dict[str, str]:
    """Systems, chains, sources and results: class name -> module."""
    out = {}
    for path, tree in modules().items():
        if path in FREE or (room(path) == "ground" and path != "laws/source.py"):
            continue
        out |= {n.name: path for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    return out


@cache
def attributes() -> set[str]:
    """What these classes offer by name."""
    out = set()
    for path in set(classes().values()):
        for node in ast.walk(modules()[path]):
            if isinstance(node, ast.ClassDef) and node.name in classes():
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        out.add(item.name)
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                        out.add(item.target.id)
    return {name for name in out if not name.startswith("__")} - POLICY


def asking() -> Iterator[str]:
    named, offered = classes(), attributes()
    for path, tree in modules().items():
        if path.startswith(BORDER):
            continue
        for node in ast.walk(tree):
            asks = False
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                kind, args = node.func.id, node.args
                if kind in ("isinstance", "issubclass") and len(args) == 2:
                    asks = bool({n.id for n in ast.walk(args[1]) if isinstance(n, ast.Name)} & set(named))
                if (kind == "hasattr" and len(args) == 2) or (kind == "getattr" and len(args) == 3):
                    asks = isinstance(args[1], ast.Constant) and args[1].value in offered
            if isinstance(node, ast.MatchClass):
                asks = ast.unparse(node.cls) in named
            if asks:
                yield f"{path}: {ast.unparse(node)}"


def solvers() -> Iterator[str]:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if path != "_lp.py" and any(n.split(".")[0] == "highspy" for n in names):
                yield f"{path} imports highspy"
            if isinstance(node, ast.ImportFrom) and {"linprog", "milp"} & {a.name for a in node.names}:
                yield f"{path} solves linear programs by itself"


RULES = {"imports run downwards": upward, "one place asks": asking, "one home for linear programs": solvers}


@cache
def broken(rule: str) -> tuple[str, ...]:
    return tuple(sorted(set(RULES[rule]())))


@pytest.mark.parametrize("rule", RULES)
def test_the_house_stands(rule: str) -> None:
    assert not broken(rule), "\n".join([f"{rule}, but:", *broken(rule)])


def test_every_room_has_a_floor() -> None:
    rooms = {room(path) for path in modules()}
    assert rooms == set(FLOOR)


def test_the_rules_can_be_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: each kind of fault is seen in a small house."""
    for name, text in {
        "_lp.py": "import highspy",
        "model/a.py": "class System: n_agents: int\nfrom ..cli.z import f\nimport highspy",
        "markov/b.py": "def f():\n    from ..values import c",
        "values/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli.z import f\n"
        "from ..model.a import System\nisinstance(1, (int, System))\nhasattr(1, 'n_agents')\nhasattr(1, 'law')\n"
        "getattr(1, 'n_agents', 0)\nisinstance(1, int)\nmatch 1:\n    case System(): pass",
        "cli/z.py": "from ..model import a\nfrom .. import _lp\ndef f(): pass",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    for cached in (modules, classes, attributes):
        cached.cache_clear()
    try:
        assert sorted(upward()) == ["markov/b.py imports values/c when called", "model/a.py imports cli/z"]
        assert sorted(solvers()) == ["model/a.py imports highspy"]
        assert sorted(asking()) == [
            "values/c.py: System()",
            "values/c.py: getattr(1, 'n_agents', 0)",
            "values/c.py: hasattr(1, 'n_agents')",
            "values/c.py: isinstance(1, (int, System))",
        ]
    finally:
        for cached in (modules, classes, attributes):
            cached.cache_clear()
