"""System files: TOML, with large arrays in an `.npz` beside it. Never pickles, never runs code.

The keys of each kind of system stand in its record (`kinds`), those of `[policy]` in the record of its word
(`words`). An array is a nested list in the TOML, or lives in the file named by `arrays` under the same name; lists of
arrays as `kernels_0`, `kernels_1`, ...; a sparse matrix as `NAME_data`, `NAME_indices`, `NAME_indptr`.

`save` names the arrays by their content (`lake-1f3a5b7c9d0e2f46.npz`) and writes them before the TOML that names
them: whatever happens in between, the old pair stays whole, and no file of another's is overwritten.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._files import read_npz, target_of, write_bytes, write_text
from ..errors import InvalidInput, UserError
from ..laws.source import Model
from .kinds import kind_of, kinds, public
from .words import WORDS, named, record

#: Systems with more array entries than this are saved with an `.npz`.
_INLINE = 2000
_PARTS = ("data", "indices", "indptr")


class Reader:
    """Keys of a TOML table, arrays from there or from its `.npz`."""

    def __init__(self, table: Mapping[str, Any], arrays: Mapping[str, Any], prefix: str = "") -> None:
        self.table, self.arrays, self.prefix = table, arrays, prefix

    def has(self, key: str) -> bool:
        """True when the key stands in the table or in the arrays."""
        name = self.prefix + key
        return key in self.table or any(
            n in self.arrays for n in (name, f"{name}_0", f"{name}_data", f"{name}_0_data")
        )

    def array(self, key: str, columns: int | None = None) -> Any:
        """A value, an array, a sparse matrix (square, unless `columns` says otherwise), or a list of these."""
        if key in self.table:
            return self.table[key]
        name = self.prefix + key
        if name in self.arrays or f"{name}_data" in self.arrays:
            return self._one(name, columns)
        out: list[Any] = []
        while f"{name}_{len(out)}" in self.arrays or f"{name}_{len(out)}_data" in self.arrays:
            out.append(self._one(f"{name}_{len(out)}", columns))
        return out

    def _one(self, name: str, columns: int | None) -> Any:
        if name in self.arrays:
            return self.arrays[name]
        parts = [self.arrays.get(f"{name}_{k}") for k in _PARTS]
        if any(p is None or (k > 0 and p.dtype.kind not in "iu") for k, p in enumerate(parts)):
            got = "an incomplete sparse matrix or indices that are no integers"
            raise InvalidInput(name, got, f"it needs _{', _'.join(_PARTS)}", "Save the file again.")
        n = len(parts[2]) - 1  # type: ignore[arg-type]
        try:
            matrix = sp.csr_array(tuple(parts), shape=(n, columns or n))  # type: ignore[arg-type]
            matrix.check_format(full_check=True)
        except (ValueError, TypeError) as e:
            got = f"a malformed sparse matrix ({e})"
            raise InvalidInput(name, got, "it must be valid CSR", "Save the file again.") from e
        return matrix


def load(path: str | Path) -> tuple[Model, Any]:
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
    file = Path(path)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as e:
        remedy = "Check the path, or make one with: markov-entanglement init"
        raise InvalidInput(str(file), "no such file", "it must be a system file", remedy) from e
    except (ValueError, OSError, RecursionError) as e:
        got = f"unreadable TOML ({' '.join(str(e).split())[:120]})"
        raise InvalidInput(str(file), got, "it must be a TOML file", "Mend that line.") from e
    try:
        return _read(table, file)
    except UserError as e:
        if str(file) in e.argument:
            raise
        raise InvalidInput(f"{file}: {e.argument}", e.got, e.rule, e.remedy) from e


def _read(table: dict[str, Any], file: Path) -> tuple[Model, Any]:
    if table.get("schema") != 1 or isinstance(table["schema"], bool):
        raise InvalidInput.kind("schema", table.get("schema"), "1", "Write: schema = 1")
    kind = kinds()[_check.choice("kind", table.get("kind"), kinds())]
    arrays = _arrays(table.get("arrays"), file)
    what = f"a file of kind {kind.word!r}"
    known = ["schema", "kind", "arrays", *kind.keys, *(() if kind.lacks(None, "uniform") else ("policy",))]
    for key in table:
        if key not in known:
            raise InvalidInput.unknown_key(key, what, known)
    for name in arrays:
        stem, keys = name.removeprefix("policy."), (*kind.keys, *(w.key for w in WORDS.values() if w.key))
        if not any(stem == k or stem.startswith(f"{k}_") for k in keys):
            raise InvalidInput.unknown_key(name, what, kind.keys, noun="array")
    policy = table.get("policy")
    if policy is not None and not isinstance(policy, dict):
        raise InvalidInput.kind("policy", policy, "a table", 'Write: [policy] kind = "uniform"')
    system = kind.read(Reader(table, arrays))
    return system, None if policy is None else _policy(policy, arrays, system)


def _arrays(name: Any, file: Path) -> dict[str, Any]:
    if name is None:
        return {}
    if not isinstance(name, str):
        raise InvalidInput.kind("arrays", name, "a file name", 'E.g. arrays = "system.npz"')
    beside = [f.parent / name for f in (file, file.resolve())]
    return read_npz("arrays", next((p for p in beside if os.path.exists(p)), beside[0]))  # noqa: PTH110


def _policy(table: dict[str, Any], arrays: Mapping[str, Any], system: Any) -> Any:
    word = _check.choice("policy.kind", table.get("kind"), WORDS)
    known = [k for k in ("kind", WORDS[word].key) if k]
    for key in table:
        if key not in known:
            raise InvalidInput.unknown_key(key, f"a policy of kind {word!r}", known, "policy.")
    return policy_from(word, Reader(table, arrays, "policy."), system, "policy.kind")


def policy_from(word: str, file: Reader, system: Any, name: str) -> Any:
    """The policy of a word with what a file says of it; `name` is the argument to blame."""
    key = record(word, system, name).key
    columns = system.spaces.joint_actions if key == "table" else None
    return named(word, system, {key: file.array(key, columns)} if key and file.has(key) else {}, name)


def save(path: str | Path, system: Model, policy: Any = None) -> None:
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
    (WeaklyCoupledMDP(5 agents, 1024 joint states), IndexPolicy([1, 2, 3, 0]))
    """
    if Path(path).suffix != ".toml":
        raise InvalidInput("path", str(path), "a system file ends in .toml", "Rename it.")
    file, kind = target_of(path), kind_of(system)
    if kind is None:
        what = f"a system of kind {', '.join(kinds())}"
        raise InvalidInput.kind("system", system, what, "Save one of these.")
    own = kind.write(system)
    labels = {k: _nested(v) for k, v in vars(system.labels).items() if v}
    head = {"schema": 1, "kind": kind.word, **{k: v for k, v in own.items() if not _is_array(v)}}
    arrays = {k: v for k, v in own.items() if _is_array(v)}
    tables: dict[str, Any] = {"policy": {}, "agents": labels}
    if policy is not None:
        word, found = _describe(system, policy)
        tables["policy"] = {"kind": word}
        arrays |= {f"policy.{k}": v for k, v in found.items()}
    parts = {k: v for name, value in arrays.items() for k, v in _flatten(name, value).items()}
    old, new = _named(file), None
    if sum(v.size for v in parts.values()) > _INLINE:
        head["arrays"] = f"{_stem(file)}-{_digest(parts)}.npz"
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **parts)
        new = file.with_name(head["arrays"])
        fresh = not new.exists()
        write_bytes(new, buffer.getvalue())
    else:
        for name, value in arrays.items():
            target = tables["policy"] if name.startswith("policy.") else head
            target[name.removeprefix("policy.")] = _nested(value)
    try:
        write_text(path, _toml(head, {k: v for k, v in tables.items() if v}))
    except BaseException:
        if new is not None and fresh:
            new.unlink()
        raise
    if old and old != head.get("arrays") and not any(old == _named(f) for f in file.parent.glob("*.toml")):
        file.with_name(old).unlink(missing_ok=True)


def _stem(file: Path) -> str:
    """The name without its ending, short enough for what is added to it."""
    return file.stem.encode()[:200].decode(errors="ignore")


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
        name = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("arrays")
    except (OSError, ValueError, RecursionError):
        return ""
    return name if re.fullmatch(r"[^/\\]+-[0-9a-f]{16}\.npz", str(name)) else ""


def _is_array(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_array(v) for v in value)
    return isinstance(value, np.ndarray) or sp.issparse(value)


def _describe(system: Any, policy: Any) -> tuple[str, dict[str, Any]]:
    """The word of a policy, and its keys."""
    if isinstance(policy, str):
        if record(policy, system).key:
            named(policy, system, {})  # which says how to give it
        return policy, {}
    for word in WORDS.values():
        kind = public(word.name)
        if isinstance(kind, type) and isinstance(policy, kind) and word.word != "table":
            return record(word.word, system).word, word.write(policy)
    record("table", system)
    states = np.stack(np.unravel_index(np.arange(system.spaces.joint_states), system.spaces.n_states), axis=1)
    return "table", {"table": system.under(policy).policy.table(states)}


def _flatten(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, list | tuple):
        return {k: v for i, part in enumerate(value) for k, v in _flatten(f"{name}_{i}", part).items()}
    if sp.issparse(value):
        return {f"{name}_{k}": getattr(value, k) for k in ("data", "indices", "indptr")}
    return {name: np.asarray(value)}


def _nested(value: Any) -> Any:
    """Nested lists; sparse matrices as dense rows, kernels per action as (state, action, next)."""
    if isinstance(value, list | tuple) and value and sp.issparse(value[0]):
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
