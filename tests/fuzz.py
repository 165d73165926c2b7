"""Hostile system files, option values and Python arguments, seeded; each is right, or refused in one message.

`python tests/fuzz.py` runs 2,000 files, 2,000 options and 5,000 arguments; `test_fuzz.py` a share of each. Whether a
file that was accepted deserved it is judged by a reader of its own (`verdict_of_file`) that shares nothing with ours.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import markov_entanglement as me
import worlds
from helpers import remembered_pictures
from markov_entanglement.cli.app import main
from markov_entanglement.errors import NoConvergence, UserError
from markov_entanglement.model.kinds import kinds

REST, SERVE = [[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]
SEEDS = {"files": 1, "options": 2, "arguments": 3}


class Once:
    """An environment of one step: two agents, two actions."""

    def __init__(self) -> None:
        self.possible_agents, self.agents = ["a", "b"], []

    def action_space(self, agent: str) -> int:
        return 2

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents = ["a", "b"]
        return dict.fromkeys(self.agents, 0), {}

    def step(self, actions: dict[str, int]) -> Any:
        self.agents, paid = [], float(actions["a"] == actions["b"])
        return (*(dict.fromkeys(("a", "b"), x) for x in (0, paid, True, False)), {})


# -- files


def bases() -> dict[str, str]:
    """Valid texts of every kind."""
    out = {
        word: kind.template("x.toml").replace("1800", "6").replace("360", "2")
        for word, kind in kinds().items()
    }
    out["ends"] = (
        'schema = 1\nkind = "chain"\ndiscount = 0.9\nsizes = [2, 2]\nterminal = [[1, 1]]\nrestart = [0, 0]\n'
        "transition = [[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 1]]\n"
        "rewards = [[0, 1], [0, 1]]\n"
    )
    return out


ODD = [
    "nan", "inf", "-inf", "-1", "0", "2", "1e308", "1e-320", "true", '""', '"x"', "[]", "[[]]", "[[1.0]]", "{}",
    "9" * 400,
    "1979-05-27", "'\\'", '"\\u0000"', "[nan]", "-0.0", "0.30000001", "[[[[[[[[1]]]]]]]]", '["a", "b"]', "3.5", "1_000",
]  # fmt: skip


def mutated(text: str, rng: np.random.Generator) -> bytes:
    """One to three mutations of a text: values, lines, characters, bytes."""
    lines = text.splitlines()
    for _ in range(int(rng.integers(1, 4))):
        k = int(rng.integers(len(lines)))
        way = int(rng.integers(9))
        numbers = [i for i, line in enumerate(lines) if any(c.isdigit() for c in line.partition("#")[0])]
        if way <= 3 and numbers:
            k = numbers[int(rng.integers(len(numbers)))]
            head, hash_, tail = lines[k].partition("#")
            spots = [
                i
                for i, c in enumerate(head)
                if c.isdigit() and (i == 0 or not (head[i - 1].isalnum() or head[i - 1] in "._"))
            ]
            if spots:
                at = spots[int(rng.integers(len(spots)))]
                end = at
                while end < len(head) and head[end] in "0123456789.e":
                    end += 1
                lines[k] = head[:at] + ODD[int(rng.integers(len(ODD)))] + head[end:] + hash_ + tail
        elif way == 4:
            del lines[k]
        elif way == 5:
            lines.insert(k, lines[int(rng.integers(len(lines)))])
        elif way == 6 and lines[k]:
            at = int(rng.integers(len(lines[k])))
            lines[k] = lines[k][:at] + "[]{}=,.\"'#x0é"[int(rng.integers(12))] + lines[k][at + 1 :]
        elif way == 7 and "=" in lines[k]:
            lines[k] = lines[k].partition("=")[0] + "= " + ODD[int(rng.integers(len(ODD)))]
        elif way == 8:
            lines = lines[: k + 1]
        lines = lines or [""]
    data = "\n".join(lines).encode() + b"\n"
    if rng.random() < 0.1:
        at = int(rng.integers(len(data)))
        data = data[:at] + bytes([int(rng.integers(256))]) + data[at + 1 :]
    return data


class Wrong(Exception):
    """What the independent reader finds wrong with a file."""


def _want(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


def _array(value: Any, what: str) -> np.ndarray:
    def plain(v: Any) -> bool:
        return all(map(plain, v)) if isinstance(v, list) else isinstance(v, int | float)

    _want(isinstance(value, list) and plain(value), f"{what} is no array of numbers")
    try:
        a = np.array(value, dtype=np.float64)
    except (ValueError, OverflowError) as e:
        raise Wrong(f"{what}: {e}") from None
    _want(bool(np.isfinite(a).all()), f"{what} is not finite")
    return a


def _laws(a: np.ndarray, what: str, normalize: bool, zero: Any = False) -> None:
    _want(a.size > 0 and a.min() > -1e-11, f"{what} has negative entries")
    off = np.abs(a.sum(axis=-1) - 1.0)
    empty = (a == 0).all(axis=-1)
    _want(bool((normalize & ~empty | (off < 2e-8) | (zero & empty)).all()), f"rows of {what} do not sum to 1")


def verdict_of_file(data: bytes) -> str:
    """ "" where a file of any kind is valid, else what is wrong with it; by the documentation alone."""
    try:
        table = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as e:
        return str(e)
    try:
        _file(table)
    except (Wrong, TypeError, ValueError, OverflowError) as e:
        return str(e)
    return ""


def _file(t: dict[str, Any]) -> None:
    _want(t.get("schema") == 1 and t["schema"] is not True, "schema")
    kind = t.get("kind")
    common = {"schema", "kind", "arrays", "discount", "rewards", "agents", "normalize"}
    own = {
        "chain": {"transition", "sizes", "terminal", "restart"},
        "mdp": {"kernel", "n_states", "n_actions", "terminal", "restart", "order", "policy"},
        "weakly-coupled": {"kernels", "budget", "terminal", "restart", "order", "policy", "resources"},
        "factored": {"kernels", "neighbours", "policy"},
        "exogenous": {"kernels", "signal", "budget", "policy", "resources"},
        "bandit": {"kernels", "n_arms", "budget", "order", "policy"},
    }
    _want(isinstance(kind, str) and kind in own, "kind")
    _want(set(t) <= common | own[kind] | {"pairs"}, "unknown key")
    gamma = t.get("discount", 0.5)
    _want(isinstance(gamma, int | float) and not isinstance(gamma, bool) and 0 <= gamma < 1, "discount")
    normal = t.get("normalize", False)
    _want(isinstance(normal, bool), "normalize")
    if kind == "chain":
        p = _array(t.get("transition"), "transition")
        sizes = t.get("sizes")
        _want(isinstance(sizes, list) and all(type(m) is int and m > 0 for m in sizes), "sizes")
        n = math.prod(sizes)
        _want(p.shape == (n, n), "shape of transition")
        live = np.ones(n, dtype=bool)
        if "terminal" in t:
            _want(isinstance(t["terminal"], list), "terminal")
            for x in t["terminal"]:
                inside = isinstance(x, list) and len(x) == len(sizes) and all(type(s) is int for s in x)
                _want(inside and all(0 <= s < m for s, m in zip(x, sizes, strict=True)), "terminal")
                live[np.ravel_multi_index(tuple(x), sizes)] = False
        _laws(p[live], "transition", normal)
    elif kind == "mdp":
        k = _array(t.get("kernel"), "kernel")
        s, a = t.get("n_states"), t.get("n_actions")
        for x in (s, a):
            _want(isinstance(x, list) and all(type(v) is int and v > 0 for v in x), "sizes")
        _want(len(s) == len(a), "lengths")
        js, ja = math.prod(s), math.prod(a)
        _want(k.shape in {(js, ja, js), (ja, js, js)}, "shape of kernel")
        _laws(k, "kernel", normal, zero=True)
    elif kind == "weakly-coupled":
        _want(isinstance(t.get("kernels"), list) and len(t["kernels"]) > 0, "kernels")
        each = [_array(k, "kernels") for k in t["kernels"]]
        for k in each:
            _want(k.ndim == 3 and len(set(k.shape)) <= 2, "shape of a kernel")
            _laws(k, "kernels", normal, zero=True)
    elif kind == "exogenous":
        signal = _array(t.get("signal"), "signal")
        _want(signal.ndim == 2 and signal.shape[0] == signal.shape[1], "shape of signal")
        _laws(signal, "signal", normal)
        _want(isinstance(t.get("kernels"), list) and len(t["kernels"]) > 0, "kernels")
        for k in (_array(k, "kernels") for k in t["kernels"]):
            _want(k.ndim in (3, 4) and k.shape[-1] == k.shape[-2], "shape of a kernel")
            _want(k.ndim == 3 or len(k) == len(signal), "signals of a kernel")
            _laws(k, "kernels", normal, zero=True)
    elif kind == "factored":
        near, kernels = t.get("neighbours"), t.get("kernels")
        _want(isinstance(near, list) and isinstance(kernels, list) and len(near) > 0, "neighbours")
        _want(len(kernels) in (1, len(near)), "number of kernels")
        each = [_array(k, "kernels") for k in kernels] * (len(near) // len(kernels))
        for i, (k, z) in enumerate(zip(each, near, strict=True)):
            _want(isinstance(z, list) and all(type(j) is int and 0 <= j < len(near) for j in z), "neighbours")
            _want(len(z) > 0 and z[0] == i and len(set(z)) == len(z), "neighbours")
            _want(k.shape[:-1] == tuple(each[j].shape[0] for j in z), "shape of a kernel")
            _laws(k, "kernels", normal)
    else:
        k = _array(t.get("kernels"), "kernels")
        _want(k.ndim in (3, 4), "shape of kernels")
        _laws(k, "kernels", normal)
    rewards = t.get("rewards", [])
    _want(isinstance(rewards, list), "rewards")
    for row in rewards:
        _array(row if isinstance(row, list) else [row], "rewards")
    budget = t.get("budget")
    by_signal = kind == "exogenous" and isinstance(budget, list) and len(budget) == len(signal)
    each = budget if by_signal else [] if budget is None else [budget]
    _want(all(type(b) is int for b in each), "budget")


def files(count: int) -> Iterator[str]:
    """Faults of so many mutated files, each as a line; what was tried is on the disk until it is judged."""
    rng, texts = np.random.default_rng(SEEDS["files"]), bases()
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "system.toml", Path(folder) / "out.json"
        for k in range(count):
            word = list(texts)[k % len(texts)]
            data = mutated(texts[word], rng)
            file.write_bytes(data)
            argv = ["analyze", str(file), "--json", str(out)] if k % 10 == 0 else ["check", str(file)]
            status, stdout, stderr = call(argv)
            said = verdict_of_file(data)
            name = f"file {k} ({word})"
            left = sorted(f.name for f in Path(folder).iterdir())
            if status not in (0, 2) or "Traceback" in stderr:
                yield f"{name}: status {status}: {stderr[-200:]}"
            elif status == 2 and k % 10 == 0 and left != ["system.toml"]:
                yield f"{name}: refused, and left {left}"
            elif status == 2 and not stderr.startswith("error: ") and not stdout:
                yield f"{name}: refused without a word"
            elif status == 0 and said:
                yield f"{name}: accepted, although {said}"
            out.unlink(missing_ok=True)


def call(argv: list[str]) -> tuple[int, str, str]:
    """Status, standard output and error of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            status = main(argv)
        except Exception as e:  # what main lets through is a fault
            return 1, out.getvalue(), f"Traceback: {type(e).__name__}: {e}"
    return status, out.getvalue(), err.getvalue()


# -- options

TEXTS = [
    "", " ", "-", "--", "nan", "inf", "-1", "0", "1", "2", "0.5", "1e999", "9" * 400, "1e-400", "0x10", "1,2", "1,,2",
    "a,b", "é", "\udcff", "..", "../..", "/dev/null", "/dev/full", "a" * 5000, "index:", "index:1,2", "index:nan,1",
    "index:1", "index:1,2,3,4,5", "table:x.npz", "local:", "uniform", "Uniform", "whittle", "optimal", "gallery:",
    "gallery:nope", "gallery:parity", "gallery:circulant", "os:system", "builtins:eval", "json:loads", "nomodule:x",
    "x:y:z", "chain.toml", "bandit.toml", "missing.toml", "noise.npz", "folder", "mu-atv", "tv", "MU-ATV", "None",
    "true", "$(id)", "`id`", "%s", "{}", "[]", "\n", "\t", "\x1b[31m", "1_0", "１", "+1", "1e3", "1.0",
    "99999999999999999999",
]  # fmt: skip
COMMANDS = {
    "analyze": (
        "SYSTEM",
        "--policy",
        "--distance",
        "--discount",
        "--tolerance",
        "--initial",
        "--json",
        "--html",
        "--seed",
    ),
    "check": ("SYSTEM", "--policy", "--initial"),
    "report": ("SYSTEM", "-o"),
    "init": ("SYSTEM", "--kind"),
    "compare": ("SYSTEM", "POLICY", "--seed", "--json"),
    "whittle": ("SYSTEM", "--criterion"),
    "values": ("SYSTEM", "--policy", "--discount", "--csv"),
    "simulate": ("SYSTEM", "--policy", "--steps", "--seed", "-o"),
    "gallery": ("show",),
}
KEPT = ("chain.toml", "bandit.toml", "noise.npz", "folder", "result.json")


def options(count: int) -> Iterator[str]:
    """Faults of so many commands with a hostile value."""
    rng, here = np.random.default_rng(SEEDS["options"]), Path.cwd()
    texts = bases()
    with tempfile.TemporaryDirectory() as folder, remembered_pictures():
        desk = Path(folder)
        os.chdir(desk)
        try:
            (desk / "folder").mkdir()
            (desk / "noise.npz").write_bytes(bytes(range(256)))
            (desk / "chain.toml").write_text(texts["chain"])
            (desk / "bandit.toml").write_text(texts["bandit"])
            me.analyze(me.load(desk / "chain.toml")[0]).save_json(desk / "result.json")
            before = {n: (desk / n).read_bytes() for n in KEPT if n != "folder"}
            for k in range(count):
                command = list(COMMANDS)[k % len(COMMANDS)]
                option = COMMANDS[command][int(rng.integers(len(COMMANDS[command])))]
                text = TEXTS[int(rng.integers(len(TEXTS)))]
                argv = _argv(command, option, text)
                status, stdout, stderr = call(argv)
                said = f"option {k} ({' '.join(argv)[:120]!r})"
                if status not in (0, 2) or "Traceback" in stderr or "internal fault" in stderr:
                    yield f"{said}: status {status}: {stderr[-300:]}"
                elif status == 2 and not (stderr.startswith(("error: ", "Usage: ")) or stdout):
                    yield f"{said}: refused with {stderr[:200]!r}"
                elif status == 0 and _surely_wrong(command, option, text):
                    yield f"{said}: accepted"
                for name, data in before.items():
                    if not (desk / name).is_file() or (desk / name).read_bytes() != data:
                        yield f"{said}: {name} changed"
                        (desk / name).write_bytes(data)
                for f in desk.iterdir():
                    if f.name not in KEPT and f.is_file():
                        if status == 2 or f.suffix == ".tmp":
                            yield f"{said}: left {f.name[:60]}"
                        f.unlink()
        finally:
            os.chdir(here)


def _argv(command: str, option: str, text: str) -> list[str]:
    subject = {"report": "result.json", "init": "fresh.toml", "whittle": "bandit.toml", "gallery": "show"}
    given = {"report": ["-o", "r.html"], "compare": ["uniform", "index:1,2,3,0"], "init": ["--kind", "chain"],
             "simulate": ["--steps", "5", "-o", "p.npz"]}  # fmt: skip
    first, rest = (
        subject.get(command, "bandit.toml" if command in ("compare", "simulate") else "chain.toml"),
        list(given.get(command, [])),
    )
    if option == "show":
        return ["gallery", "show", text]
    if option == "SYSTEM":
        return [command, text, *rest]
    if option == "POLICY":
        return [command, first, "uniform", text]
    if option in rest:
        rest[rest.index(option) + 1] = text
        return [command, first, *rest]
    return [command, first, *rest, option, text]


def _surely_wrong(command: str, option: str, text: str) -> bool:
    """By the help texts alone: what can be no value of that option."""
    try:
        x = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        x = math.nan
    if option == "--discount":
        return not 0 <= x < 1
    if option == "--tolerance":
        return not 0 <= x <= 1
    if option in ("--seed", "--steps"):
        return not (text.isdecimal() or (x >= 0 and math.isfinite(x) and x == int(x)))
    if option == "--distance":
        return text not in ("mu-atv", "tv")
    return option in ("--kind", "--criterion")


# -- arguments


class Thing:
    """An object that is nothing."""


def _raises(*_: Any) -> Any:
    raise ZeroDivisionError("the user's own")


NEVER: dict[str, Callable[[], Any]] = {  # right for no argument
    "object": Thing,
    "object array": lambda: np.array([object(), None], dtype=object),
    "complex": lambda: np.array([[1 + 2j, 0], [0, 1]]),
    "dates": lambda: np.array(["2001-01-01"], dtype="datetime64[D]"),
    "bytes": lambda: b"\x00\xff",
    "ragged": lambda: [[1.0, 2.0], [3.0]],
    "deeply ragged": lambda: [[[1.0], 2.0], [[3.0]]],
    "set": lambda: {1, 2},
    "infinite": lambda: np.array([[np.inf, 0.0], [0.5, 0.5]]),
    "text in arrays": lambda: [["0.5", "0.5"], ["1", "0"]],
    "masked": lambda: np.ma.masked_array(np.full((2, 2), 0.5), mask=[[1, 0], [0, 0]]),
    "huge": lambda: 10**400,
    "not a number": lambda: float("nan"),
    "range over": lambda: itertools.count(),
    "module": lambda: math,
    "exception": lambda: ValueError("x"),
}
SOMETIMES: dict[str, Callable[[], Any]] = {  # right for some
    "none": lambda: None,
    "true": lambda: True,
    "zero": lambda: 0,
    "minus": lambda: -1,
    "fraction": lambda: 0.5,
    "three": lambda: 3,
    "text": lambda: "x",
    "no text": lambda: "",
    "empty": list,
    "empty array": lambda: np.zeros(0),
    "empty mapping": dict,
    "0-d": lambda: np.array(0.5),
    "law": lambda: [0.5, 0.5],
    "single": lambda: np.full((2, 2), 0.5, dtype=np.float32),
    "sparse": lambda: sp.csr_array(np.full((2, 2), 0.5)),
    "wide": lambda: np.full((2, 3), 1 / 3),
    "cube": lambda: np.full((2, 2, 2), 0.5),
    "gaps": lambda: np.array([[np.nan, 0.5], [0.5, 0.5]]),
    "negative": lambda: np.array([[1.5, -0.5], [0.5, 0.5]]),
    "callable": lambda: _raises,
    "class": lambda: me.UniformPolicy,
    "policy": me.UniformPolicy,
    "generator": lambda: (x for x in [0.5, 0.5]),
    "tuple of text": lambda: ("a", "b"),
}


def calls() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Public callables with arguments that are right."""
    pair = {"n_states": (2, 2), "n_actions": (2, 1), "discount": 0.9}
    chain = me.JointChain(np.full((4, 4), 0.25), (2, 2), rewards=[[0, 1], [0, 1]], discount=0.9)
    weak = me.WeaklyCoupledMDP([[REST, SERVE]] * 2, [[0, 1]] * 2, discount=0.9, budget=1)
    bandit = me.RestlessBandit([REST, SERVE], [0, 1], n_arms=4, budget=1, discount=0.9)
    at, index = chain.under(), me.IndexPolicy([1, 0])
    values = me.value_decomposition(at)
    return {
        "JointChain": (me.JointChain, {"transition": np.full((4, 4), 0.25), "sizes": (2, 2), "rewards": [[0,
                        1]] * 2, "discount": 0.9,
                                       "labels": None, "terminal": None, "restart": None, "normalize": False}),
        "MultiAgentMDP": (me.MultiAgentMDP, {"kernel": np.full((4, 2, 4), 0.25), "rewards": [[0, 1]] * 2, **pair,
                                             "labels": None, "terminal": None, "restart": None, "order": None}),
        "WeaklyCoupledMDP": (me.WeaklyCoupledMDP, {"kernels": [[REST, SERVE]] * 2, "rewards": [[0, 1]] * 2,
                        "discount": 0.9,
                                                   "budget": 1, "labels": None, "order": None, "normalize": False}),
        "ExogenousMDP": (me.ExogenousMDP, {"kernels": [[REST, SERVE]] * 2, "rewards": [[0, 1]] * 2, "signal": REST,
                        "discount": 0.9, "budget": 1, "labels": None, "normalize": False}),
        "signal_loss": (me.signal_loss, {"chain": me.ExogenousMDP([[REST, SERVE]] * 2, [[0, 1]] * 2, signal=REST,
                        discount=0.9, budget=1).under(index), "rewards": None, "discount": None,
                        "method": "exact", "rng": 0}),
        "RestlessBandit": (me.RestlessBandit, {"kernels": [REST, SERVE], "rewards": [0, 1], "n_arms": 4, "budget": 1,
                                               "discount": 0.9, "labels": None, "order": None}),
        "FactoredMDP": (me.FactoredMDP, {"kernels": np.full((2, 4, 4, 2), 0.5), "rewards": [[0, 1]] * 2,
                                         "neighbours": [(0, 1), (1, 0)], "discount": 0.9, "labels": None,
                                         "normalize": False}),
        "NeighbourPolicy": (me.NeighbourPolicy, {"tables": [[[[0.5, 0.5]]]]}),
        "LocalPolicy": (me.LocalPolicy, {"tables": [[[0.5, 0.5]]]}),
        "IndexPolicy": (me.IndexPolicy, {"priority": [1, 0]}),
        "LPUpdatePolicy": (me.LPUpdatePolicy, {"horizon": 3}),
        "TablePolicy": (me.TablePolicy, {"table": [[0.5, 0.5]]}),
        "under": (lambda **k: weak.under(k["policy"], initial=k["initial"], device=k["device"]),
                  {"policy": index, "initial": None, "device": None}),
        "entanglement": (me.entanglement, {"chain": at, "distance": "mu-atv", "method": "auto", "rng": 0}),
        "separability": (me.separability, {"chain": at, "discount": 0.9, "tolerance": 1e-9}),
        "value_decomposition": (me.value_decomposition, {"chain": at, "rewards": [[0, 1]] * 2, "discount": 0.9,
                        "kind": "Q", "split": "lad"}),
        "reward_entanglement": (me.reward_entanglement, {"chain": at, "rewards": [0.0, 1.0, 1.0, 8.0], "method": "lad",
                        "rng": 0}),
        "certificate": (me.certificate, {"chain": at, "rewards": None, "discount": None, "candidate": np.zeros(4),
                        "ks": (1, 4)}),
        "error_bounds": (me.error_bounds, {"decomposition": values, "entanglements": [me.entanglement(at)]}),
        "additive_values": (me.additive_values, {"chain": at, "rewards": None, "discount": None}),
        "error_budget": (me.error_budget, {"chain": at, "rewards": None, "discount": None, "candidate": None}),
        "interaction_orders": (me.interaction_orders, {"chain": at, "rewards": None, "discount": None, "upto": 2}),
        "decision_loss": (me.decision_loss, {"chain": weak.under("uniform"), "rewards": None, "discount": None,
                        "candidate": None}),
        "merge_suggestions": (me.merge_suggestions, {"chain": at, "rewards": None, "discount": None, "tolerance": 0.1,
                              "method": "auto", "starts": 100, "rng": 0}),
        "merge": (lambda **k: at.merge(k["groups"]), {"groups": [(0,), (1,)]}),
        "weighted_l1_median": (me.weighted_l1_median, {"laws": [REST[0], REST[1]], "weights": [0.5, 0.5]}),
        "minimax_centre": (me.minimax_centre, {"laws": REST}),
        "local_polytope": (me.local_polytope, {"chain": at}),
        "decompose": (me.decompose, {"transition": np.full((4, 4), 0.25), "sizes": (2, 2)}),
        "optimal_policy": (me.optimal_policy, {"mdp": weak}),
        "lagrangian_bound": (me.lagrangian_bound, {"mdp": weak, "initial": None}),
        "alp_bound": (me.alp_bound, {"mdp": weak, "initial": (0, 0)}),
        "greedy_policy": (me.greedy_policy, {"q": [[0.0, 1.0]]}),
        "whittle_index": (me.whittle_index, {"bandit_or_kernels": [REST, SERVE], "rewards": [0, 1], "discount": 0.9,
                                              "criterion": "discounted"}),
        "lp_priority": (me.lp_priority, {"bandit": bandit}),
        "mean_field": (me.mean_field, {"bandit": bandit, "policy": index}),
        "simulate": (me.simulate, {"system": bandit, "policy": index, "steps": 3, "rng": 0}),
        "estimate_entanglement": (me.estimate_entanglement, {"bandit": bandit, "policy": index, "steps": 50,
                        "rng": 0}),
        "analyze": (me.analyze, {"subject": chain, "policy": None, "rewards": None, "discount": None,
                        "distances": None,
                                 "tolerance": 0.05, "rng": 0}),
        "compare": (me.compare, {"policies": {"a": index}, "system": weak, "initial": None, "rng": 0}),
        "check_system": (me.check_system, {"system": chain, "policy": None}),
        "Simulator": (me.Simulator, {"step": lambda s, a, rng: s, "n_states": (2, 2), "n_actions": (2, 1),
                                     "start": (0, 0), "rewards": None, "discount": 0.9, "budget": 1, "labels": None}),
        "chunks": (me.chunks, {"system": weak, "policy": index, "steps": 3, "rng": 0, "burn_in": 2, "runs": 1}),
        "read_logs": (me.read_logs, {
            "path": {"t": [0, 0, 1, 1], "agent": [7, 9, 9, 7], "state": [0, 1, 1, 0], "action": [0, 1, 1, None]},
            "states": "state", "actions": "action", "agents": None, "episode": None, "t": "t", "reward": None,
            "terminated": None, "chance": None, "laws": None, "n_states": None, "n_actions": None, "discount": 0.9,
            "store": None, "resume": False, "memory": "1GB"}),
        "read_logs of arrays": (me.read_logs, {
            "path": None, "states": [[0, 1], [1, 0]], "actions": [[0, 0], [1, 1]], "agents": ["a", "b"],
            "episode": [0, 0], "t": [0, 1], "reward": [[1, 2], [0, 0]], "terminated": [False, True],
            "chance": np.ones((2, 2)), "laws": [np.full((2, 5), 0.2)] * 2, "n_states": 2, "n_actions": (2, 2),
            "discount": None}),
        "tally": (me.tally, {"log": me.read_logs(states=[[0, 1], [1, 0]]), "tables": ("own", "joint"), "blocks": 2,
                             "workers": 1, "client": None, "keep": None, "resume": False}),
        "certify": (me.certify, {"candidate": [np.zeros(4)] * 2, "system": weak, "policy": index, "steps": (2,),
                        "starts": 200, "control": "auto", "decisions": 20, "rng": 0}),
        "certify_network": (me.certify_network, {"network": lambda seen: np.zeros((2, 2)), "env": Once(), "rng": 0,
                        "epsilon": 1.0, "discount": 0.9, "horizon": 1, "local_state": None, "sees": None,
                        "agents": None, "steps": (1,), "starts": 100, "decisions": 10, "margin": 0.1,
                        "tolerance": 0.05}),
        "Network": (me.Network, {"values": len, "combined": "sum", "total": None, "discount": 0.9, "horizon": 3,
                        "pay": "sum"}),
        "read_pymarl": (me.read_pymarl, {"agent": "missing.th", "config": {}, "mixer": None}),
        "read_mlp": (me.read_mlp, {"weights": {"0.weight": np.ones((2, 2)), "0.bias": np.ones(2)},
                        "activation": "relu"}),
        "improve": (me.improve, {"system": bandit, "policy": "passive", "rounds": 1, "method": "auto", "rng": 0}),
        "learn": (me.learn, {"learner": me.LSTD(), "system": weak, "policy": index, "steps": 20, "burn_in": 3,
                        "discount": None, "rng": 0, "keep": None, "resume": False}),
        "sample_complexity": (me.sample_complexity, {"system": weak, "policy": index, "steps": (4, 16), "runs": 2,
                        "learner": me.LSTD(), "burn_in": 3, "discount": None, "rng": 0}),
        "TD": (me.TD, {"trace": 0.0, "step": 0.1}),
        "Neural": (me.Neural, {"hidden": (4,), "features": [np.eye(4)], "joint": False, "iterations": 5, "step": 0.1,
                        "device": "cpu", "rng": 0}),
        "fit": (me.CountModel().fit, {"source": me.simulate(weak, index, 5, rng=0), "discount": None}),
        "markov_test": (me.markov_test, {"source": at, "policy": None, "steps": 500, "rng": 0}),
        "influence": (me.influence, {"source": at, "policy": None, "rng": 0}),
        "views": (me.views, {"source": me.read_logs({"t": [0, 1, 2] * 2, "agent": [0] * 3 + [1] * 3, "a": [0, 1, 0] * 2,
                        "b": [1, 1, 0] * 2}, states=["a", "b"]), "views": ["a"], "policy": None, "discount": None,
                        "rng": 0}),
        "learn_reward": (me.learn_reward, {"path": me.simulate(weak, index, 5, rng=0)}),
        "diagnose": (me.diagnose, {"env": worlds.Hall(), "policy": "uniform", "local_state": worlds.position,
                        "steps": 1000, "discount": None, "agents": None, "burn_in": 0, "snapshots": False,
                        "distances": None, "tolerance": 0.05, "rng": 0, "keep": None, "resume": False}),
        "record": (me.record, {"env": worlds.Hall(), "policy": "uniform", "steps": 20, "local_state": worlds.position,
                        "discount": None, "agents": None, "burn_in": 0, "rng": 0}),
        "check_snapshot": (me.check_snapshot, {"env": worlds.Hall(), "agents": None, "trials": 1, "rng": 0}),
        "tabulate": (me.tabulate, {"env": worlds.Hall(), "policy": None, "local_state": worlds.position,
                        "agents": None, "discount": None, "n_states": None, "n_actions": None, "draws": None,
                        "most": 1000, "rng": 0}),
        "Rounded": (me.Rounded, {"width": 0.5}),
        "sweep": (me.sweep, {"work": "value_decomposition", "grid": {"system": ["gallery:parity"]}, "seed": 0,
                        "store": None, "runner": "serial", "workers": 1, "resume": False, "retry": False,
                        "columns": ["unexplained"]}),
        "sweep_rows": (me.sweep_rows, {"work": lambda n: n, "grid": [{"n": 1}], "seed": 0, "store": None,
                        "runner": "serial", "workers": 1, "resume": False, "retry": False, "columns": None}),
        "load": (me.load, {"path": "missing.toml"}),
        "read_result": (me.read_result, {"path": "missing.json"}),
        "read_sweep": (me.read_sweep, {"path": "missing.json"}),
        "save": (me.save, {"path": "/nowhere/x.toml", "system": chain, "policy": None}),
    }  # fmt: skip


#: Where a value that is right for no argument elsewhere may stand.
FINE = {
    ("greedy_policy", "q", "infinite"),
    ("read_logs of arrays", "episode", "object array"),  # names of episodes may be anything
    ("IndexPolicy", "priority", "ragged"),  # agents with different numbers of states
}


def arguments(count: int) -> Iterator[str]:
    """Faults of so many calls with one hostile argument."""
    rng, known = np.random.default_rng(SEEDS["arguments"]), calls()
    for k in range(count):
        name = list(known)[k % len(known)]
        call_, given = known[name]
        argument = list(given)[int(rng.integers(len(given)))]
        hostile = NEVER if rng.random() < 0.5 else SOMETIMES
        kind = list(hostile)[int(rng.integers(len(hostile)))]
        said = f"argument {k}: {name}({argument}={kind})"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = call_(**{**given, argument: hostile[kind]()})
            except (UserError, NoConvergence) as e:
                if not str(e).strip() or len(str(e)) > 3000:
                    yield f"{said}: a message of {len(str(e))} characters"
            except Exception as e:
                yield f"{said}: {type(e).__name__}: {str(e)[:150]}"
            else:
                seed = argument in ("rng", "seed") and kind == "huge"  # a seed may have any size
                if hostile is NEVER and not seed and (name, argument, kind) not in FINE:
                    yield f"{said}: accepted: {repr(found)[:80]}"


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["files", "options", "arguments"]
    for word in wanted:
        count = {"files": 2000, "options": 2000, "arguments": 5000}[word]
        found = list({"files": files, "options": options, "arguments": arguments}[word](count))
        print(f"{word}: {len(found)} of {count}", *found, sep="\n  ")
