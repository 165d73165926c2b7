"""Policies by their words: `[policy] kind` of a file, `--policy`, and strings in Python.

One record per word. What makes a policy is named by its public name and loads on first use, so nothing is imported
upwards from here although `whittle`, `lp`, `myopic` and `optimal` are computed in higher rooms. Which word fits which
system stands in the records of the systems (`kinds`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput, Unsupported, nearest, short
from .kinds import joint_lacks, kind_of, public


@dataclass(frozen=True)
class Word:
    """A policy that has a name; `name` is public, of its class or of the function that computes it from the system.

    `key` is what the class takes and the `[policy]` table holds, `hint` what else to do where it is missing; `optional`
    says that the class has a default of it, `ranks` that the function gives priorities, from the arms of the system.
    """

    word: str
    help: str
    name: str
    key: str = ""
    ranks: bool = False
    optional: bool = False
    hint: str = ""

    @property
    def classes(self) -> str:
        """The systems that it is for."""
        if self.ranks or self.key == "horizon":
            return "me.RestlessBandit and me.WeaklyCoupledMDP(budget=...)"
        if self.key == "priority":
            return "me.RestlessBandit, me.WeaklyCoupledMDP(budget=...) and me.ExogenousMDP(budget=...)"
        if self.word == "neighbour":
            return "me.FactoredMDP"
        return "me.MultiAgentMDP, me.WeaklyCoupledMDP, me.ExogenousMDP and me.FactoredMDP"

    def make(self, system: Any, value: Any, name: str) -> Any:
        """The policy; `value` is that of its key, `name` the argument to blame."""
        found = public(self.name)
        if self.ranks:
            return _ranked(found, system, name)
        if self.optional and value is None:
            return found()
        if self.key and value is None:
            ways = f"me.{self.name}({self.key}) in Python, {self.word}:FILE.npz on the command line"
            remedy = f"Write {ways}, {self.key} = [...] under [policy] in a file.{self.hint}"
            raise InvalidInput(name, f"{self.word!r} without {self.key}", self.help, remedy)
        if self.key.startswith("table"):  # of a file whose tables are rounded, like its laws
            return found(value, normalize=system.rescaled is not None)
        return found(value) if self.key else found() if isinstance(found, type) else found(system)


WORDS = {w.word: w for w in (
    Word("uniform", "every feasible joint action alike", "UniformPolicy"),
    Word("index", "the highest priority is served first", "IndexPolicy", "priority",
         hint=" Also index:1,2,0; or 'whittle', 'lp', 'myopic', which compute priorities."),
    Word("whittle", "the highest Whittle index is served first", "whittle_index", ranks=True),
    Word("lp", "the highest LP-priority is served first", "lp_priority", ranks=True),
    Word("myopic", "the highest immediate gain is served first", "myopic_priority", ranks=True),
    Word("lp-update", "plans ahead by a linear program at every step, 5 steps unless horizon says", "LPUpdatePolicy",
         "horizon", optional=True),
    Word("optimal", "the best there is, by policy iteration on joint states", "optimal_policy"),
    Word("table", "a law over joint actions for every joint state", "TablePolicy", "table"),
    Word("local", "each agent acts on its own state", "LocalPolicy", "tables"),
    Word("neighbour", "each agent acts on the states of its neighbours", "NeighbourPolicy", "tables"),
)}  # fmt: skip


def _ranked(algorithm: Any, system: Any, name: str) -> Any:
    """An index policy by computed priorities; states that differ by rounding alone share a class."""
    import numpy as np

    from .._check import unit_of
    from .policy import Ranking
    from .ragged import own_rows

    kind = kind_of(system)
    assert kind is not None and kind.arms is not None
    arms = kind.arms(system)
    found = algorithm(arms)
    index = found.index if isinstance(found, Ranking) else found
    if np.isnan(index).any():  # the result says which arms have no index, and why
        why = found.sentence.rstrip(".")
        raise Unsupported(name, "an arm without an index", why, "Or take the word 'lp'.")
    unit = unit_of(index)
    return public("IndexPolicy")(own_rows(np.round(index / unit, 9) * unit, arms.labels))


def lacks(system: Any, word: str) -> str:
    """What the system lacks for the policy of that word; "" where it fits."""
    kind = kind_of(system)
    return (joint_lacks if kind is None else kind.lacks)(system, word)


def record(word: str, system: Any, name: str = "policy") -> Word:
    """The record of a word; refuses one that there is not (naming the nearest) or that does not fit the system."""
    fits = [w for w in WORDS if not lacks(system, w)]
    if word not in WORDS:
        raise InvalidInput.unknown(name, word, fits or WORDS)
    if word not in fits:
        remedy = f"What fits: {', '.join(fits)}." if fits else "Leave it out."
        remedy = f"It is for {WORDS[word].classes}. {remedy}"
        raise Unsupported(name, f"{word!r} for {short(system)}", f"it needs {lacks(system, word)}", remedy)
    return WORDS[word]


def as_policy(policy: Any, system: Any, name: str = "policy") -> Any:
    """What `under` takes: a word becomes its policy, anything else that may be one stays as it is.

    >>> import markov_entanglement as me
    >>> as_policy("myopic", me.gallery.build("maintenance").system)
    IndexPolicy([-0.5, -0.4688, -0.375, -0.2188, 0])
    """
    if isinstance(policy, str):
        return record(policy, system, name).make(system, None, name)
    if isinstance(policy, type):
        word = policy.__name__
        raise InvalidInput(name, f"the class {word}", "it must be an object", f"Call it: {word}(...).")
    known = tuple(public(w.name) for w in WORDS.values() if w.name.endswith("Policy"))
    fine = policy is None or callable(policy) or isinstance(policy, known)
    if fine or any(hasattr(policy, a) for a in ("__len__", "__array__", "nnz", "law", "marginals", "sample")):
        return policy
    near = [nearest(a, ("law", "marginals", "sample"), "-") for a in dir(policy) if a[0] != "_"]
    remedy = next((r for r in near if r != "-"), "E.g. me.UniformPolicy().")
    rule = f"it must be a word ({', '.join(WORDS)}), an array, a callable or an object with law(state)"
    raise InvalidInput(name, f"a {type(policy).__name__}", rule, remedy)
