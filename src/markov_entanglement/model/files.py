"""System files: TOML, with large arrays in an `.npz` beside it. Never pickles, never runs code.

An array is a nested list in the TOML, or lives in the file named by `arrays` under the same name; lists of arrays as
`kernels_0`, `kernels_1`, ...; a sparse matrix as `NAME_data`, `NAME_indices`, `NAME_indptr`. `save` names the arrays by
their content (`lake-1f3a5b7c9d0e2f46.npz`) and writes them before the TOML that names them: whatever happens in
between, the old pair stays whole, and no file of another's is overwritten.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._files import path_of, read_npz, read_text, target_of, write_bytes, write_text
from .._types import PolicyLike
from ..errors import InvalidInput, UserError, short
from ..laws.source import Model
from .kinds import kind_of, kinds, public
from .words import WORDS, record

#: Systems with more array entries than this are saved with an `.npz`.
_INLINE = 2000
_PARTS = ("data", "indices", "indptr")


def gathered(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays by key: parts of a sparse matrix put together, numbered ones in a list."""

    def one(name: str) -> Any:
        if name in arrays:
            return arrays[name]
        try:
            data, indices, indptr = (arrays[f"{name}_{part}"] for part in _PARTS)
            if {indices.dtype.kind, indptr.dtype.kind} - {"i", "u"}:
                raise TypeError("indices are integers")
            n = len(indptr) - 1
            matrix = sp.csr_array((data, indices, indptr), shape=(n, max(n, int(indices.max(initial=0)) + 1)))
            matrix.check_format(full_check=True)
        except (KeyError, ValueError, TypeError, AttributeError) as e:
            got = f"an incomplete or malformed sparse matrix ({e})"
            rule = f"its parts _{', _'.join(_PARTS)} must be valid CSR"
            raise InvalidInput(name, got, rule, "Save the file again.") from e
        return matrix

    found = {}
    for key in sorted({re.sub(rf"(_\d+)?(_({'|'.join(_PARTS)}))?$", "", name) for name in arrays}):
        listed = (f"{key}_{k}" for k in itertools.count())
        many = [*itertools.takewhile(lambda n: n in arrays or f"{n}_data" in arrays, listed)]
        found[key] = [one(n) for n in many] if many else one(key)
    return found


def load(path: str | Path) -> tuple[Model, PolicyLike]:
    """Read a system file.

    Parameters
    ----------
    path : a TOML file; its `arrays` are looked for beside it.

    Returns
    -------
    system, policy : the policy is None when the file has none; one named by a word is computed.

    Raises
    ------
    InvalidInput : a missing or malformed file, an unknown key (the message names the nearest), bad values.
    Unsupported : a policy that does not fit the system; the message names what does.

    >>> import markov_entanglement as me, tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "parity.toml"
    >>> me.save(file, me.gallery.build("parity").system)
    >>> me.load(file)[0]
    JointChain(sizes=(2, 2, 2))
    """
    file = path_of(path)
    if not os.path.exists(file):  # noqa: PTH110 (Path.exists raises for a name that is too long)
        remedy = "Check the path, or make one with: markov-entanglement init"
        raise InvalidInput(str(file), "no such file", "it must be a system file", remedy)
    text = read_text(file)
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as e:
        got = f"unreadable TOML ({' '.join(str(e).split())[:120]})"
        raise InvalidInput(str(file), got, "it must be a TOML file", "Mend that line.") from e
    try:
        return _read(table, file)
    except UserError as e:
        where = str(file) if len(str(file)) < 300 else f"... {str(file)[-200:]}"
        e.args = (f"{where}: {e}",)
        e.argument = f"{file}: {e.argument}"
        raise


def _read(table: dict[str, Any], file: Path) -> tuple[Model, Any]:
    if table.get("schema") != 1 or isinstance(table["schema"], bool):
        raise InvalidInput.kind("schema", table.get("schema"), "1", "Write: schema = 1")
    kind = kinds()[_check.choice("kind", table.get("kind"), kinds())]
    known = ["schema", "kind", "arrays", *kind.keys, *(() if kind.lacks(None, "uniform") else ("policy",))]
    _only(table, known, f"a file of kind {kind.word!r}")
    arrays = _arrays(table.get("arrays"), file)
    names = [*kind.keys, *(f"policy.{w.key}" for w in WORDS.values() if w.key)]
    _only(arrays, names, f"the arrays of kind {kind.word!r}", noun="array")
    system: Any = kind.read({**arrays, **table})
    if "policy" not in table:
        return system, None
    policy = table["policy"]
    if not isinstance(policy, dict):
        raise InvalidInput.kind("policy", policy, "a table", 'Write: [policy] kind = "uniform"')
    _check.choice("policy.kind", policy.get("kind"), WORDS)
    word = record(policy["kind"], system, "policy.kind")
    _only(policy, [k for k in ("kind", word.key) if k], f"a policy of kind {word.word!r}", "policy.")
    value: Any = policy.get(word.key, arrays.get(f"policy.{word.key}"))
    if sp.issparse(value):
        value.resize(value.shape[0], system.spaces.joint_actions)
    return system, word.make(system, value, "policy.kind")


def _only(keys: Iterable[str], known: Sequence[str], where: str, prefix: str = "", noun: str = "key") -> None:
    """Refuse a key that is not known."""
    for key in keys:
        if key not in known:
            raise InvalidInput.unknown(prefix + key, key, known, f"{where} has", f"an unknown {noun}")


def _arrays(name: Any, file: Path) -> dict[str, Any]:
    if name is None:
        return {}
    if not isinstance(name, str):
        raise InvalidInput.kind("arrays", name, "a file name", 'E.g. arrays = "system.npz"')
    if name != os.path.basename(name) or "\0" in name:  # noqa: PTH119
        raise InvalidInput(
            "arrays", short(name), "it must lie beside the TOML file", "Move it there, name it alone."
        )
    beside = [f.parent / name for f in (file, file.resolve())]
    return gathered(read_npz("arrays", next((p for p in beside if os.path.exists(p)), beside[0])))  # noqa: PTH110


def save(path: str | Path, system: Model, policy: PolicyLike = None) -> None:
    """Write a system file; reading it back gives bit-equal arrays.

    Small systems are written as readable lists, larger ones with an `.npz` beside the TOML file. A policy
    given as a callable is written as a table, one given as a word by that word.

    Raises
    ------
    InvalidInput : the path cannot be written, or a system without a file format.
    Unsupported : the policy does not fit the system; the message names what does.

    >>> import markov_entanglement as me, tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "bandit.toml"
    >>> subject = me.gallery.build("circulant")
    >>> me.save(file, subject.system, subject.policy)
    >>> me.load(file)
    (WeaklyCoupledMDP(5 agents, 1,024 joint states), IndexPolicy([1, 2, 3, 0]))
    """
    if path_of(path).suffix != ".toml":
        raise InvalidInput("path", str(path), "a system file ends in .toml", "Rename it.")
    file, kind = target_of(path), kind_of(system)
    if kind is None:
        raise InvalidInput.kind("system", system, f"of kind {', '.join(kinds())}", "Save one of these.")
    own = kind.write(system)
    labels = own.pop("agents", vars(system.labels))  # type: ignore[attr-defined]
    arrays = {k: v for k, v in own.items() if _flatten(k, v)}
    head = {"schema": 1, "kind": kind.word, **{k: v for k, v in own.items() if k not in arrays}}
    tables: dict[str, Any] = {"policy": {}, "agents": {k: v for k, v in labels.items() if v}}
    if policy is not None:
        word, found = _describe(system, policy)
        tables["policy"] = {"kind": word} | {k: v for k, v in found.items() if not _flatten(k, v)}
        arrays |= {f"policy.{k}": v for k, v in found.items() if _flatten(k, v)}
    parts = {k: v for name, value in arrays.items() for k, v in _flatten(name, value).items()}
    old = _named(file)
    if sum(v.size for v in parts.values()) > _INLINE:
        stem = file.stem.encode()[:200].decode(errors="ignore")  # short enough for what is added to it
        head["arrays"] = f"{stem}-{_digest(parts)}.npz"
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **parts)
        write_bytes(file.with_name(head["arrays"]), buffer.getvalue())
    else:
        for name, value in arrays.items():
            target = tables["policy"] if name.startswith("policy.") else head
            target[name.removeprefix("policy.")] = value
    write_text(path, _toml(head, tables))
    if old not in ("", head.get("arrays")) and all(_named(f) != old for f in file.parent.glob("*.toml")):
        file.with_name(old).unlink(missing_ok=True)


def _digest(parts: Mapping[str, Any]) -> str:
    """16 digits of the content: the same arrays, the same name."""
    found = hashlib.sha256()
    for name, value in sorted(parts.items()):
        found.update(f"{name} {value.dtype.str} {value.shape};".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    return found.hexdigest()[:16]


def _named(file: Path) -> str:
    """The arrays that a system file names, if `save` named them; "" otherwise."""
    try:
        text = file.read_text(encoding="utf-8-sig") if file.is_file() else ""  # a pipe would be waited for
        name = tomllib.loads(text).get("arrays")
    except (OSError, ValueError, RecursionError):
        return ""
    return str(name) if re.fullmatch(r"[^/\\]+-[0-9a-f]{16}\.npz", str(name)) else ""


def _describe(system: Any, policy: Any) -> tuple[str, dict[str, Any]]:
    """The word of a policy, and its key."""
    if isinstance(policy, str):
        word = record(policy, system)
        return policy, {} if word.optional or not word.key else word.make(system, None, "policy")
    for word in WORDS.values():
        if type(policy) is public(word.name) and word.word != "table":
            record(word.word, system)
            if word.word == "index" and policy.shared and policy.priority[0].ndim == 1:
                return "index", {"priority": policy.priority[0]}
            return word.word, {word.key: stacked(getattr(policy, word.key))} if word.key else {}
    record("table", system)
    states = system.spaces.states_at(np.arange(system.spaces.joint_states))
    return "table", {"table": system.under(policy).policy.table(states)}


def stacked(tables: Any) -> Any:
    """Tables of one shape as one array, for an archive of very many is slow; others as they are."""
    listed = isinstance(tables, list | tuple) and all(isinstance(t, np.ndarray) for t in tables)
    return np.stack(tables) if listed and len({t.shape for t in tables}) == 1 else tables


def _flatten(name: str, value: Any) -> dict[str, Any]:
    """The arrays of a value by their names in an archive."""
    if isinstance(value, list | tuple):
        return {k: v for i, part in enumerate(value) for k, v in _flatten(f"{name}_{i}", part).items()}
    if sp.issparse(value):
        return {f"{name}_{k}": getattr(value, k) for k in _PARTS}
    return {name: value} if isinstance(value, np.ndarray) else {}


def _nested(value: Any) -> Any:
    """Nested lists; sparse matrices as dense rows, kernels per action as (state, action, next)."""
    if isinstance(value, list | tuple) and value and sp.issparse(value[0]):
        return np.stack([v.toarray() for v in value], axis=1).tolist()
    if isinstance(value, list | tuple):
        return [_nested(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _nested(v) for k, v in value.items()}
    if sp.issparse(value):
        return value.toarray().tolist()
    return value.tolist() if isinstance(value, np.ndarray) else value


def _toml(head: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"{k} = {_literal(_nested(v))}" for k, v in head.items()]
    for name, table in tables.items():
        rows = [f"{k} = {_literal(_nested(v))}" for k, v in table.items()]
        lines += ["", f"[{name}]", *rows] if rows else []
    return "\n".join(lines) + "\n"


def _literal(value: Any, indent: int = 0) -> str:
    """A TOML literal, which is one of JSON but for DEL; floats by their shortest exact text."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{k} = {_literal(v, indent)}' for k, v in value.items())}}}"
    if isinstance(value, list) and value and isinstance(value[0], list | Mapping):
        pad = " " * (indent + 2)
        inner = ",\n".join(pad + _literal(v, indent + 2) for v in value)
        return f"[\n{inner},\n{' ' * indent}]"
    if isinstance(value, list):
        return f"[{', '.join(_literal(v) for v in value)}]"
    if value == -math.inf:
        return "-inf"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
