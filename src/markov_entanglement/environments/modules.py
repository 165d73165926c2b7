"""Networks of torch, torchrl and BenchMARL, and plain layers of anybody: weights by name, or a module to call."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .. import _check
from .._check import Floats
from ..errors import InvalidInput
from .values import Network, Observe, Said, rows
from .weights import ACTIVATIONS, Layer, Weights, WeightsLike, dense, fitting, read_weights

#: A module of torch.
Module: TypeAlias = Callable[[Any], Any]
_LAYER = re.compile(r"(?:.*\.)?(\d+)\.(weight|bias)")


def read_mlp(
    weights: WeightsLike | Sequence[WeightsLike],
    *,
    activation: str,
    observe: Observe | None = None,
    **about: Said,
) -> Network:
    """Layers in a row as a network: (N, A) values from observations. Reads state dicts of torchrl's and BenchMARL's
    `MultiAgentMLP` and of plain `torch.nn.Sequential`.

    Layers are numbered, `0.weight`, `2.weight`, ..., after any prefix. Their weights are (out, in), shared by all
    agents, or (N, out, in), an own one each. An agent reads its own observation, or those of all in a row where the
    first layer is as wide as these (`centralized=True`).

    Parameters
    ----------
    weights : a state dict, or the path of one (torch, or .npz); or a list of N, one of each agent.
    activation : "relu", "tanh" (torchrl's and BenchMARL's default), "elu", "gelu", "silu", "leaky_relu" or "sigmoid":
        no file says it.
    observe : from an observation to the row of numbers that was trained on; None: its numbers in their order.
    about : what else is known, see `Network`: `combined`, `discount`, `total`, `name`, ...

    Raises
    ------
    InvalidInput : files that cannot be read, layers that do not fit.
    MissingDependency : torch is not installed, and the file is not .npz.

    >>> import numpy as np, markov_entanglement as me
    >>> weights = {"params.0.weight": np.zeros((2, 8, 5)), "params.0.bias": np.zeros((2, 8)),
    ...            "params.2.weight": np.zeros((2, 3, 8)), "params.2.bias": np.ones((2, 3))}
    >>> network = me.read_mlp(weights, activation="tanh", name="VDN by torchrl")
    >>> network.values([np.zeros(5), np.zeros(5)], None)[0].tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    between = ACTIVATIONS[_check.choice("activation", activation, ACTIVATIONS)]
    if isinstance(weights, list | tuple):
        each = [_layers(read_weights(w, f"weights[{i}]")) for i, w in enumerate(weights)]
        if len({tuple(x.w.shape for x in layers) for layers in each}) != 1:
            got = "agents with layers of several sizes"
            raise InvalidInput(
                "weights", got, "all have the same", "Pass me.Network with a function of yours."
            )
        layers = [Layer(*map(np.stack, zip(*same, strict=True))) for same in zip(*each, strict=True)]
    else:
        layers = _layers(read_weights(weights, "weights"))

    def values(observations: Sequence[Any], hidden: Any) -> tuple[Floats, Any]:
        x = rows(observations, observe)
        if x.shape[1] != layers[0].width:
            whole = x.reshape(1, -1)
            if whole.shape[1] != layers[0].width:
                got = f"{x.shape[1]} numbers of each of {len(x)} agents"
                rule = f"the first layer reads {layers[0].width}, of an agent or of all"
                remedy = "Pass observe=, which makes of an observation what was trained on."
                raise InvalidInput("observation", got, rule, remedy)
            x = np.repeat(whole, len(x), axis=0)
        return dense(layers, between, x), hidden

    told: dict[str, Said] = {"name": "network of layers"} | about
    return Network(values, **told)


def _layers(weights: Weights) -> list[Layer]:
    """Numbered layers in their order."""
    found: dict[int, dict[str, Floats]] = {}
    for key, value in weights.items():
        match = _LAYER.fullmatch(key)
        if match:
            found.setdefault(int(match[1]), {})[match[2]] = value
    if not found or any(len(both) != 2 for both in found.values()):
        got, rule = ", ".join(list(weights)[:12]), "layers are numbered, each with weight and bias"
        raise InvalidInput(
            "weights", got, rule, "Other shapes are given as me.Network with a function of yours."
        )
    return fitting({str(k): Layer(found[k]["weight"], found[k]["bias"]) for k in sorted(found)}, "weights")


def torch_network(
    module: Module | Sequence[Module], *, observe: Observe | None = None, **about: Said
) -> Network:
    """A torch module, as it is, as a network: it is called on (N, d) observations and gives (N, A) values.

    Parameters
    ----------
    module : from a float tensor (N, d) to a tensor (N, A); or a list of N modules, one of each agent, (d,) to (A,).
    observe : from an observation to the row of numbers that was trained on; None: its numbers in their order.
    about : what else is known, see `Network`: `combined`, `discount`, `total`, `name`, ...

    Raises
    ------
    MissingDependency : torch is not installed.

    >>> import torch, markov_entanglement as me  # doctest: +SKIP
    >>> me.torch_network(torch.nn.Linear(5, 3)).values([[0.0] * 5] * 2, None)[0].shape  # doctest: +SKIP
    (2, 3)
    """
    from ..learning.networks import torch_of

    torch = torch_of("cpu")

    def values(observations: Sequence[Any], hidden: Any) -> tuple[Floats, Any]:
        x = torch.as_tensor(rows(observations, observe), dtype=torch.float32)
        with torch.no_grad():
            if callable(module):
                found = module(x)
            else:
                found = torch.stack([one(x[i]) for i, one in enumerate(module)])
        return found.detach().double().numpy(), hidden

    told: dict[str, Said] = {"name": "network of torch"} | about
    return Network(values, **told)
