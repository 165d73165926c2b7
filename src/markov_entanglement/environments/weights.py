"""Weights of networks: layers as plain arrays, from files that torch or numpy wrote, and what they do with a row."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .. import _check
from .._check import Floats
from .._files import path_of, read_bytes, read_npz
from ..errors import InvalidInput, MissingDependency, by, short

#: Name -> array.
Weights = dict[str, Floats]
#: A state dict, or the path of one.
WeightsLike: TypeAlias = str | PathLike[str] | Mapping[str, Any]


def _elu(x: Floats) -> Floats:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


def _gelu(x: Floats) -> Floats:
    from scipy.special import erf

    return np.asarray(0.5 * x * (1.0 + erf(x / np.sqrt(2.0))))


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def relu(x: Floats) -> Floats:
    """max(x, 0)."""
    return np.maximum(x, 0.0)


#: What stands between layers.
ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "relu": relu, "tanh": np.tanh, "elu": _elu, "gelu": _gelu, "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x), "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
}  # fmt: skip


def read_weights(given: Any, name: str) -> Weights:
    """The arrays of a state dict, or of a file of one (torch, `weights_only`; or .npz).

    Raises
    ------
    InvalidInput : no such file, nothing that is read safely, or an array that holds no finite numbers.
    MissingDependency : torch is not installed.
    """
    table = given if isinstance(given, Mapping) else _loaded(path_of(given, name), name)
    if not isinstance(table, Mapping) or not table:
        rule = "a state dict: a table of arrays by name"
        raise InvalidInput(name, short(table), rule, "Save it by torch.save(net.state_dict(), path).")
    arrays = {str(k): v for k, v in table.items() if not str(k).startswith("__")}  # no marks of tensordict
    named = [(k, f"{name}[{k!r}]", v) for k, v in arrays.items()]
    return {k: _array(called, v) for k, called, v in named if _check.shape_of(called, v)}


def _array(name: str, value: Any) -> Floats:
    detach = getattr(value, "detach", None)
    found = detach().cpu().double().numpy() if callable(detach) else value
    return _check.real(name, found)


def _loaded(path: Path, name: str) -> Any:
    if path.suffix == ".npz":
        return read_npz(name, path)
    try:
        import torch
    except ImportError:
        rule, remedy = "torch reads this file", "Run: pip install torch"
        raise MissingDependency(name, "no package torch", rule, remedy) from None
    data = io.BytesIO(read_bytes(path))
    try:
        return torch.load(data, map_location="cpu", weights_only=True)
    except Exception as e:
        rule = f"it must be a file of weights alone ({' '.join(str(e).split())[:80]})"
        raise InvalidInput(name, str(path), rule, "Save it by torch.save(net.state_dict(), path).") from e


class Layer(NamedTuple):
    """x -> w x + b: w (out, in) or, of N agents, (N, out, in)."""

    w: Floats
    b: Floats

    def __call__(self, x: Floats) -> Floats:
        return np.asarray((self.w @ x[..., None])[..., 0] + self.b)

    @property
    def width(self) -> int:
        """Numbers that it reads."""
        return int(self.w.shape[-1])


def layer(weights: Weights, name: str, of: str, part: str = "") -> Layer:
    """The layer of that name; `part`: what follows `weight` and `bias` in the names of its arrays.

    Raises
    ------
    InvalidInput : it is not there, or no layer; names what is.
    """
    of_w, of_b = (f"{name}.{kind}{part}" for kind in ("weight", "bias"))
    w, b = weights.get(of_w), weights.get(of_b)
    if w is None or b is None:
        got = f"layers {', '.join(list(weights)[:12])}"
        raise InvalidInput(of, got, f"it needs {of_w} and {of_b}", "Check which file this is.")
    if w.ndim not in (2, 3) or w.shape[:-1] != b.shape:
        got, rule = (
            f"{of_w} {by(w.shape)}, {of_b} {by(b.shape)}",
            "a layer has (out, in) and (out,)",
        )
        raise InvalidInput(of, got, rule, "Check which file this is.")
    return Layer(w, b)


def fitting(layers: Mapping[str, Layer], of: str) -> list[Layer]:
    """Layers in a row by name, each of which reads what the one before it makes.

    Raises
    ------
    InvalidInput : one does not.
    """
    both = list(layers.items())
    for (before, one), (name, other) in pairwise(both):
        if one.b.shape[-1] != other.width:
            got = f"{before} that makes {one.b.shape[-1]} numbers, {name} that reads {other.width}"
            raise InvalidInput(
                of, got, "a layer reads what the one before it makes", "Check which file this is."
            )
    return [one for _, one in both]


def dense(layers: list[Layer], activation: Callable[[Floats], Floats], x: Floats) -> Floats:
    """Layers in a row, with an activation between them."""
    for k, one in enumerate(layers):
        x = one(activation(x) if k else x)
    return x


def stack_of(weights: Weights, prefix: str, of: str) -> list[Layer]:
    """Layers `prefix`, or `prefix.0`, `prefix.2`, ... in their order."""
    if f"{prefix}.weight" in weights:
        return [layer(weights, prefix, of)]
    starts = {
        k.removesuffix(".weight") for k in weights if k.startswith(f"{prefix}.") and k.endswith(".weight")
    }
    numbered = sorted(int(s) for k in starts if (s := k.removeprefix(f"{prefix}.")).isdigit())
    if not numbered:
        layer(weights, f"{prefix}.0", of)
    return fitting({n: layer(weights, n, of) for n in (f"{prefix}.{k}" for k in numbered)}, of)
