"""Networks of local pairs, side by side, and their descent; the only module that imports torch, when it is asked to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, MissingDependency, short
from .equations import Equations


def torch_of(device: Any) -> Any:
    """The package torch; refused where it is missing, or has no such device for 64-bit numbers."""
    try:
        import torch
    except ImportError:
        rule, remedy = "networks are trained by it", "Run: pip install torch"
        raise MissingDependency("Neural", "no package torch", rule, remedy) from None
    try:
        torch.zeros(1, dtype=torch.float64, device=device).item()
    except (RuntimeError, AssertionError, TypeError, ValueError, NotImplementedError) as e:
        rule = f"it must be a device of this machine that holds 64-bit numbers ({str(e)[:60]})"
        raise InvalidInput("device", short(device), rule, "Leave it out: 'cpu'.") from None
    return torch


@contextmanager
def one_thread(torch: Any) -> Iterator[None]:
    """Sums in one order: on a CPU, equal bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(before)


class Networks:
    """Networks of tables with as many pairs and features: rectified layers and a linear one that begins at 0.

    at : (n, m) where the values of each stand in a row; features : (n, m, d), or (1, m, d) for all alike.
    """

    def __init__(self, at: Ints, features: Floats, hidden: Sequence[int], rng: Any, device: Any) -> None:
        torch, widths = torch_of(device), (features.shape[2], *hidden, 1)
        self.at = torch.as_tensor(at, device=device)
        self.features = torch.as_tensor(features, device=device)
        self.layers, tables = [], len(at)
        for k, (into, out) in enumerate(pairwise(widths)):
            reach = 0.0 if k == len(hidden) else max(into, 1) ** -0.5
            made = (rng.uniform(-reach, reach, shape) for shape in ((tables, into, out), (tables, 1, out)))
            self.layers.append([torch.tensor(w, device=device, requires_grad=True) for w in made])

    @property
    def weights(self) -> list[Any]:
        """All of them."""
        return [w for layer in self.layers for w in layer]

    def __call__(self) -> Any:
        """(n, m) values."""
        x = self.features
        for k, (weight, bias) in enumerate(self.layers):
            x = (x.relu() if k else x) @ weight + bias
        return x[..., 0]


class Descent(NamedTuple):
    """How to go down: at most so many iterations of Adam, whose step falls from `step` to 0 along a cosine, until no
    mean TD error is above `enough`; values beyond `far` never come back, and `diverged` words that."""

    iterations: int
    step: float
    enough: float
    far: float
    diverged: Callable[[int], InvalidInput]


def descend(equations: Equations, nets: list[Networks], how: Descent, device: Any) -> tuple[Floats, int]:
    """(M,) values after training along the semi-gradient `(df/dw)' (b - A f)`, and its iterations."""
    torch = torch_of(device)
    with one_thread(torch):
        return _descend(torch, equations, nets, how, device)


def _descend(
    torch: Any, equations: Equations, nets: list[Networks], how: Descent, device: Any
) -> tuple[Floats, int]:
    seen: Bools = equations.visits > 0
    mask = torch.as_tensor(seen.astype(np.float64), device=device)
    parts = [(*b, equations.share(b.at)) for b in equations.blocks]
    blocks = [[torch.as_tensor(a, device=device) for a in part] for part in parts]
    adam = torch.optim.Adam([w for net in nets for w in net.weights], lr=how.step, eps=1e-12)
    k = 0
    while True:
        f = torch.zeros(len(seen), dtype=torch.float64, device=device)
        for net in nets:
            f = f.index_put((net.at,), net())
        now, worst, loss = f.detach() * mask, 0.0, torch.zeros((), dtype=f.dtype, device=device)
        for at, matrix, right, share in blocks:
            rest = right - (matrix @ now[at][..., None])[..., 0]
            loss = loss - (rest * f[at]).sum()
            worst = max(worst, float((rest / share).abs().max()))
        if not float(f.detach().abs().max()) <= how.far:
            raise how.diverged(k)
        if k == how.iterations or worst <= how.enough:
            return f.detach().cpu().numpy(), k
        for group in adam.param_groups:
            group["lr"] = how.step * 0.5 * (1.0 + math.cos(math.pi * k / how.iterations))
        adam.zero_grad()
        loss.backward()
        adam.step()
        k += 1
