"""System files: TOML, with large arrays in an `.npz` beside it. Never pickles, never runs code.

Keys by kind (all take `schema = 1`, `kind`, `discount`, `arrays`, `[agents]`; all but a chain `[policy]`):

| kind | keys |
|---|---|
| `chain` | `sizes`, `transition`, `rewards` |
| `mdp` | `n_states`, `n_actions`, `kernel`, `rewards` |
| `weakly-coupled` | `kernels`, `rewards`, `budget` |
| `bandit` | `kernels`, `rewards`, `n_arms`, `budget` |

An array is a nested list in the TOML, or lives in the file named by `arrays` under the same name; lists of
arrays as `kernels_0`, `kernels_1`, ...; a sparse matrix as `NAME_data`, `NAME_indices`, `NAME_indptr`.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._files import read_npz, write_bytes, write_text
from ..errors import InvalidInput, UserError
from .bandit import RestlessBandit
from .mdp import JointChain, MultiAgentMDP
from .policy import IndexPolicy, LocalPolicy, TablePolicy, UniformPolicy
from .rewards import Rewards
from .spaces import joint_size
from .system import System
from .weakly_coupled import WeaklyCoupledMDP

_COMMON = ("schema", "kind", "discount", "arrays", "agents")
_KEYS = {
    "chain": ("sizes", "transition", "rewards"),
    "mdp": ("n_states", "n_actions", "kernel", "rewards", "policy"),
    "weakly-coupled": ("kernels", "rewards", "budget", "policy"),
    "bandit": ("kernels", "rewards", "n_arms", "budget", "policy"),
}
_POLICY_KEYS = {"table": ("table",), "uniform": (), "index": ("priority",), "local": ("tables",)}
#: Systems with more array entries than this are saved with an `.npz`.
_INLINE = 2000


class _Source:
    """Keys of a TOML file, arrays from there or from its `.npz`; remembers which were used."""

    def __init__(self, table: Mapping[str, Any], arrays: Mapping[str, Any], prefix: str = "") -> None:
        self.table, self.arrays, self.prefix = table, arrays, prefix

    def has(self, key: str) -> bool:
        name = self.prefix + key
        return key in self.table or any(
            n in self.arrays for n in (name, f"{name}_0", f"{name}_data", f"{name}_0_data")
        )

    def array(self, key: str, columns: int | None = None) -> Any:
        """An array, a sparse matrix (given its number of columns), or a list of these."""
        if key in self.table:
            return self.table[key]
        name = self.prefix + key
        if f"{name}_0" in self.arrays or f"{name}_0_data" in self.arrays:
            out: list[Any] = []
            while f"{name}_{len(out)}" in self.arrays or f"{name}_{len(out)}_data" in self.arrays:
                out.append(self._one(f"{name}_{len(out)}", columns))
            return out
        if name in self.arrays or f"{name}_data" in self.arrays:
            return self._one(name, columns)
        raise InvalidInput(name, "nothing", "this key is required", "Add it to the file or to its arrays.")

    def _one(self, name: str, columns: int | None) -> Any:
        if name in self.arrays:
            return self.arrays[name]
        parts = [self.arrays.get(f"{name}_{k}") for k in ("data", "indices", "indptr")]
        whole = all(p is not None and p.dtype.kind in "iu" for p in parts[1:]) and parts[0] is not None
        if not whole or columns is None:
            raise InvalidInput(
                name,
                "an incomplete sparse matrix or indices that are no integers",
                "it needs _data, _indices and _indptr",
                "Save the file again.",
            )
        try:
            matrix = sp.csr_array(tuple(parts), shape=(len(parts[2]) - 1, columns))  # type: ignore[arg-type]
            matrix.check_format(full_check=True)
        except (ValueError, TypeError) as e:
            raise InvalidInput(
                name, f"a malformed sparse matrix ({e})", "it must be valid CSR", "Save the file again."
            ) from e
        return matrix


def load(path: str | Path) -> tuple[System | RestlessBandit, Any]:
    """Read a system file.

    Parameters
    ----------
    path : a TOML file; its `arrays` are looked for beside it.

    Returns
    -------
    system, policy : the policy is None when the file has none.

    Raises
    ------
    InvalidInput : a missing or malformed file, an unknown key (the message names the nearest), bad values.

    >>> import markov_entanglement as me, tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "parity.toml"
    >>> me.save(file, me.gallery.build("parity").system)
    >>> me.load(file)[0]
    JointChain(sizes=(2, 2, 2))
    """
    file = Path(path)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as e:
        raise InvalidInput(
            str(file),
            "no such file",
            "it must be a system file",
            "Check the path, or make one with: markov-entanglement init",
        ) from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as e:
        raise InvalidInput(
            str(file), f"unreadable TOML ({e})", "it must be a TOML file", "Mend that line."
        ) from e
    try:
        return _read(table, file)
    except UserError as e:
        if str(file) in e.argument:
            raise
        raise InvalidInput(f"{file}: {e.argument}", e.got, e.rule, e.remedy) from e


def _read(table: dict[str, Any], file: Path) -> tuple[System | RestlessBandit, Any]:
    if table.get("schema") != 1 or isinstance(table["schema"], bool):
        raise InvalidInput("schema", repr(table.get("schema")), "it must be 1", "Write: schema = 1")
    kind = _check.choice("kind", table.get("kind"), tuple(_KEYS))
    known = _COMMON + _KEYS[kind]
    for key in table:
        if key not in known:
            raise InvalidInput(
                key,
                "an unknown key",
                f"a file of kind {kind!r} has {', '.join(known)}",
                _check.nearest(key, known),
            )
    arrays = _arrays(table.get("arrays"), file)
    policy = table.get("policy")
    if policy is not None and not isinstance(policy, dict):
        raise InvalidInput("policy", repr(policy), "it must be a table", 'Write: [policy] kind = "uniform"')
    source = _Source(table, arrays)
    for name in arrays:
        stem = name.removeprefix("policy.")
        if not any(stem == k or stem.startswith(f"{k}_") for k in (*known, "table", "tables", "priority")):
            raise InvalidInput(
                name,
                "an unknown array",
                f"a file of kind {kind!r} has {', '.join(_KEYS[kind])}",
                _check.nearest(name, _KEYS[kind]),
            )
    system = _SYSTEMS[kind](source, table)
    return system, None if policy is None else _policy(policy, arrays, system)


def _arrays(name: Any, file: Path) -> dict[str, Any]:
    if name is None:
        return {}
    if not isinstance(name, str):
        raise InvalidInput("arrays", repr(name), "it must be a file name", 'E.g. arrays = "system.npz"')
    path = file.parent / name
    if not path.is_file():
        raise InvalidInput("arrays", f"no file {path}", "it must lie beside the TOML file", "Check the name.")
    return read_npz("arrays", path)


def _required(table: Mapping[str, Any], key: str) -> Any:
    if key not in table:
        raise InvalidInput(key, "nothing", "this key is required", "Add it.")
    return table[key]


def _rewards(source: _Source) -> Any:
    return source.array("rewards") if source.has("rewards") else None


def _chain(source: _Source, table: Mapping[str, Any]) -> System:
    sizes = _check.sizes("sizes", _required(table, "sizes"))
    return JointChain(
        source.array("transition", joint_size(sizes)),
        sizes,
        rewards=_rewards(source),
        discount=table.get("discount"),
        labels=table.get("agents"),
    )


def _mdp(source: _Source, table: Mapping[str, Any]) -> System:
    n_states = _check.sizes("n_states", _required(table, "n_states"))
    return MultiAgentMDP(
        source.array("kernel", joint_size(n_states)),
        source.array("rewards"),
        n_states=n_states,
        n_actions=_required(table, "n_actions"),
        discount=_required(table, "discount"),
        labels=table.get("agents"),
    )


def _weakly_coupled(source: _Source, table: Mapping[str, Any]) -> System:
    return WeaklyCoupledMDP(
        source.array("kernels"),
        source.array("rewards"),
        discount=_required(table, "discount"),
        budget=table.get("budget"),
        labels=table.get("agents"),
    )


def _bandit(source: _Source, table: Mapping[str, Any]) -> RestlessBandit:
    if "agents" in table:
        raise InvalidInput("agents", "names", "arms of a bandit are alike and have none", "Leave it out.")
    return RestlessBandit(
        source.array("kernels"),
        source.array("rewards"),
        n_arms=_required(table, "n_arms"),
        budget=_required(table, "budget"),
        discount=_required(table, "discount"),
    )


_SYSTEMS: dict[str, Callable[[_Source, Mapping[str, Any]], System | RestlessBandit]] = {
    "chain": _chain,
    "mdp": _mdp,
    "weakly-coupled": _weakly_coupled,
    "bandit": _bandit,
}


def _policy(table: dict[str, Any], arrays: Mapping[str, Any], system: System | RestlessBandit) -> Any:
    kind = _check.choice("policy.kind", table.get("kind"), tuple(_POLICY_KEYS))
    keys = ("kind", *_POLICY_KEYS[kind])
    for key in table:
        if key not in keys:
            raise InvalidInput(
                f"policy.{key}",
                "an unknown key",
                f"a policy of kind {kind!r} has {', '.join(keys)}",
                _check.nearest(key, keys),
            )
    source = _Source(table, arrays, "policy.")
    if kind == "uniform":
        return UniformPolicy()
    if kind == "index":
        return IndexPolicy(source.array("priority"))
    if isinstance(system, RestlessBandit):
        raise InvalidInput(
            "policy.kind", repr(kind), "a bandit takes 'index' or 'uniform'", "Use one of them."
        )
    if kind == "local":
        return LocalPolicy(source.array("tables"))
    shape = (system.spaces.joint_states, system.spaces.joint_actions)
    value = source.array("table", shape[1])
    return TablePolicy(_check.sparse_probabilities("policy.table", value, shape))


def save(path: str | Path, system: System | RestlessBandit, policy: Any = None) -> None:
    """Write a system file; reading it back gives bit-equal arrays.

    Small systems are written as readable lists, larger ones with an `.npz` beside the TOML file. A policy
    given as a callable is written as a table.

    Raises
    ------
    InvalidInput : the path cannot be written, or the policy does not fit the system.

    >>> import markov_entanglement as me, tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "bandit.toml"
    >>> subject = me.gallery.build("circulant")
    >>> me.save(file, subject.system, subject.policy)
    >>> me.load(file)
    (WeaklyCoupledMDP(5 agents, 1024 joint states), IndexPolicy([1, 2, 3, 0]))
    """
    file = Path(path)
    if policy is not None and not getattr(system, "acts", True):
        raise InvalidInput(
            "policy",
            f"a {type(policy).__name__} beside a chain",
            "a chain has its policy inside",
            "Leave it out.",
        )
    if file.suffix != ".toml":
        raise InvalidInput("path", str(file), "a system file ends in .toml", "Rename it.")
    head, arrays = _describe(system)
    tables: dict[str, Any] = {}
    if policy is not None:
        tables["policy"], found = _describe_policy(system, policy)
        arrays |= {f"policy.{k}": v for k, v in found.items()}
    parts = {k: v for name, value in arrays.items() for k, v in _flatten(name, value).items()}
    if sum(v.size for v in parts.values()) > _INLINE:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **parts)
        npz = file.with_suffix(".npz")
        head["arrays"] = npz.name
    else:
        for name, value in arrays.items():
            target = tables["policy"] if name.startswith("policy.") else head
            target[name.removeprefix("policy.")] = _nested(value)
    if isinstance(system, System):
        labels = {k: getattr(system.labels, k) for k in ("names", "states", "actions")}
        tables["agents"] = {k: _nested(v) for k, v in labels.items() if v}
    if file.is_dir():
        raise InvalidInput("path", str(file), "it is a folder", "Name a file.")
    if "arrays" in head:
        write_bytes(npz, buffer.getvalue())
    write_text(file, _toml(head, {k: v for k, v in tables.items() if v}))


def _describe(system: System | RestlessBandit) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plain keys and arrays of a system."""
    head: dict[str, Any] = {"schema": 1, "kind": ""}
    if system.discount is not None:
        head["discount"] = system.discount
    arrays: dict[str, Any]
    if isinstance(system, RestlessBandit):
        one = system.n_types == 1
        arms = system.n_arms.tolist()
        head |= {"kind": "bandit", "n_arms": arms[0] if one else arms, "budget": system.budget}
        arrays = {"kernels": system.kernels, "rewards": system.rewards}
        return head, {k: v[0] if one else v for k, v in arrays.items()}
    if isinstance(system, JointChain):
        head |= {"kind": "chain", "sizes": list(system.spaces.n_states)}
        arrays = {"transition": system.transition}
    elif isinstance(system, MultiAgentMDP):
        head |= {
            "kind": "mdp",
            "n_states": list(system.spaces.n_states),
            "n_actions": list(system.spaces.n_actions),
        }
        arrays = {"kernel": list(system.kernel)}
    elif isinstance(system, WeaklyCoupledMDP):
        head["kind"] = "weakly-coupled"
        if system.budget is not None:
            head["budget"] = system.budget
        arrays = {"kernels": list(system.kernels)}
    else:
        raise InvalidInput(
            "system",
            type(system).__name__,
            "it has no file format",
            "Save a chain, an MDP, a weakly coupled system or a bandit.",
        )
    if system.rewards is not None:
        arrays["rewards"] = _reward_arrays(system.rewards, system)
    return head, arrays


def _reward_arrays(rewards: Rewards, system: System) -> Any:
    if rewards.local is None:
        return rewards.shared if system.acts else np.asarray(rewards.shared)[:, 0]
    sizes = zip(system.spaces.n_states, system.spaces.n_actions, strict=True)
    return [r.reshape(s, a) for r, (s, a) in zip(rewards.local, sizes, strict=True)]


def _describe_policy(system: System | RestlessBandit, policy: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(policy, UniformPolicy):
        return {"kind": "uniform"}, {}
    if isinstance(policy, IndexPolicy):
        value = policy.priority[0] if policy.shared else list(policy.priority)
        return {"kind": "index"}, {"priority": value}
    if isinstance(policy, LocalPolicy):
        return {"kind": "local"}, {"tables": list(policy.tables)}
    if isinstance(system, RestlessBandit):
        raise InvalidInput(
            "policy", type(policy).__name__, "a bandit takes index and uniform policies", "Use one."
        )
    table = system.under(policy).policy.table
    states = np.stack(np.unravel_index(np.arange(system.spaces.joint_states), system.spaces.n_states), axis=1)
    return {"kind": "table"}, {"table": table(states)}


def _flatten(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {k: v for i, part in enumerate(value) for k, v in _flatten(f"{name}_{i}", part).items()}
    if sp.issparse(value):
        return {f"{name}_{k}": getattr(value, k) for k in ("data", "indices", "indptr")}
    return {name: np.asarray(value)}


def _nested(value: Any) -> Any:
    """Nested lists; sparse matrices as dense rows, kernels per action as (state, action, next)."""
    if isinstance(value, list) and value and sp.issparse(value[0]):
        return np.stack([v.toarray() for v in value], axis=1).tolist()
    if isinstance(value, list | tuple):
        return [_nested(v) for v in value]
    if sp.issparse(value):
        return value.toarray().tolist()
    return value.tolist() if isinstance(value, np.ndarray) else value


def _toml(head: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"{k} = {_literal(v)}" for k, v in head.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{k} = {_literal(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def _literal(value: Any, indent: int = 0) -> str:
    """A TOML literal; floats by their shortest exact text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = "".join(
            f"\\{c}" if c in '\\"' else c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in value
        )
        return f'"{escaped}"'
    if isinstance(value, list):
        if value and isinstance(value[0], list):
            pad = " " * (indent + 2)
            inner = ",\n".join(pad + _literal(v, indent + 2) for v in value)
            return f"[\n{inner},\n{' ' * indent}]"
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    return repr(value)
