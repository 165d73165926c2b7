"""RDDL problems of Boolean fluents -> exact kernels, through the parser and the evaluator of pyRDDLGym.

Given state and action each next fluent is true with a probability of its own: where its definition draws, the chance of
the draw is recorded instead. Rows of the kernel are the products of these.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .._check import Floats, Ints
from ..errors import InvalidInput, MissingDependency, TooLarge, Unsupported
from ..model.spaces import Spaces
from ._given import several

#: Draws whose outcome is certain.
_CERTAIN = ("KronDelta", "DiracDelta")
#: Joint actions beyond which a policy is needed; those that are not allowed count.
JOINT_ACTIONS = 4096


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the greetings and warnings of others."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    out = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        warnings.simplefilter("ignore")
        yield


def evaluator(domain: str, instance: str) -> Any:
    """pyRDDLGym's evaluator of two files, or of a problem of rddlrepository and the number of its instance."""
    files = [Path(domain), Path(instance)]
    here = all(os.path.isfile(f) for f in files)  # noqa: PTH113 (Path.is_file raises for a name that is too long)
    try:
        with _silent():
            from pyRDDLGym.core.compiler.model import RDDLLiftedModel
            from pyRDDLGym.core.parser.parser import RDDLParser
            from pyRDDLGym.core.parser.reader import RDDLReader
            from pyRDDLGym.core.simulator import RDDLSimulator

            if not here:
                from rddlrepository.core.manager import RDDLRepoManager
    except ImportError as e:
        remedy = "pip install pyRDDLGym rddlrepository"
        raise MissingDependency(
            "RDDL", f"no package {e.name}", "RDDL is parsed by pyRDDLGym", remedy
        ) from None

    class Chances(RDDLSimulator):  # type: ignore[misc]
        """Gives the chance of a draw for the draw."""

        def _sample_bernoulli(self, expr: Any, subs: Any) -> Any:
            return self._sample(expr.args[0], subs)

    try:
        with _silent():
            if not here:
                problem = RDDLRepoManager().get_problem(domain)
                files = [Path(problem.get_domain()), Path(problem.get_instance(instance))]
            parser = RDDLParser(lexer=None, verbose=False)
            parser.build(write_tables=False, debug=False)
            model = RDDLLiftedModel(parser.parse(RDDLReader(*map(str, files)).rddltxt))
            return Chances(model)
    except Exception as e:  # whatever the parser stumbles over
        got = f"what pyRDDLGym cannot read ({' '.join(str(e).split())[:160]})"
        rule = "domain and instance must be files, or a problem of rddlrepository and its instance"
        raise InvalidInput(f"{domain}, {instance}", got, rule, "Mend the file, or check the name.") from e


@dataclass(frozen=True)
class Bit:
    """A Boolean fluent of one object or more."""

    name: str  # of the fluent
    place: tuple[int, ...]  # in its array
    owner: tuple[str, ...]  # objects of the agent's types; () of none
    shown: str  # as an agent's own


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem whose state and action fluents are Boolean and belong to agents.

    Attributes
    ----------
    name : for messages.
    sim : the evaluator.
    types : of objects, whose combinations are the agents.
    """

    name: str
    sim: Any
    types: tuple[str, ...]

    @classmethod
    def of(cls, name: str, sim: Any, agents: Any) -> Problem:
        """Check that it is of the kind that is read, and find the agents."""
        rddl = sim.rddl
        for fluent in (*rddl.state_fluents, *rddl.action_fluents):
            if rddl.variable_ranges[fluent] != "bool":
                rule = "exact kernels are made of Boolean fluents"
                raise Unsupported(f"{name}: {fluent}", f"a fluent of type {rddl.variable_ranges[fluent]}", rule,
                                  "Take a problem of Boolean fluents.")  # fmt: skip
        drawn = {cpf for cpf, expr, _ in sim.cpfs if _draws(expr)}
        for cpf, expr, _ in sim.cpfs:
            if (
                not _plain(expr)
                or (cpf in drawn and cpf not in rddl.next_state.values())
                or _names(expr) & drawn
            ):
                rule = "a next state must be Bernoulli or certain, given state and action"
                raise Unsupported(f"{name}: {cpf}", "a draw inside a formula, or one that others read", rule,
                                  "Take a problem whose draws stand alone.")  # fmt: skip
        if _draws(rddl.reward) or _names(rddl.reward) & drawn:
            raise Unsupported(f"{name}: reward", "a reward that is drawn or reads what is", "it must follow from state "
                              "and action", "Take another problem.")  # fmt: skip
        return cls(name, sim, _types(name, rddl, agents))

    def _bits(self, fluents: Any) -> list[Bit]:
        """Ground fluents, in the order of the file."""
        rddl, found = self.sim.rddl, []
        for name in fluents:
            params = rddl.variable_params[name]
            for place in itertools.product(*(range(len(rddl.type_to_objects[p])) for p in params)):
                objects = [(p, rddl.type_to_objects[p][k]) for p, k in zip(params, place, strict=True)]
                own = [next((o for p, o in objects if p == t), "") for t in self.types]
                owner = tuple(own) if all(own) else ()
                rest = [o for p, o in objects if not owner or p not in self.types]
                found.append(Bit(name, place, owner, f"{name}({','.join(rest)})" if rest else name))
        return found

    @cached_property
    def owners(self) -> list[tuple[str, ...]]:
        """The agents that have a fluent; one more, (), for fluents of none of them."""
        objects = itertools.product(*(self.sim.rddl.type_to_objects[t] for t in self.types))
        some = {
            b.owner
            for b in (*self._bits(self.sim.rddl.state_fluents), *self._bits(self.sim.rddl.action_fluents))
        }
        return [o for o in (*objects, ()) if o in some]

    @cached_property
    def state_bits(self) -> list[list[Bit]]:
        """Per agent its state fluents; its local state is their binary number, the first one highest."""
        bits = self._bits(self.sim.rddl.state_fluents)
        return [[b for b in bits if b.owner == o] for o in self.owners]

    @cached_property
    def action_sets(self) -> list[list[frozenset[Bit]]]:
        """Per agent its local actions, as the action fluents that are set against their default; 0: none."""
        bits, most = self._bits(self.sim.rddl.action_fluents), self.sim.rddl.max_allowed_actions
        found = []
        for owner in self.owners:
            own = [b for b in bits if b.owner == owner]
            if sum(math.comb(len(own), k) for k in range(int(min(most, len(own))) + 1)) > JOINT_ACTIONS:
                raise TooLarge(f"{self.name}: local actions", f"subsets of {len(own)} fluents", f"{JOINT_ACTIONS}",
                               "Take agents with fewer fluents.")  # fmt: skip
            sizes = range(int(min(most, len(own))) + 1)
            found.append([frozenset(s) for k in sizes for s in itertools.combinations(own, k)])
        return found

    @cached_property
    def spaces(self) -> Spaces:
        """Local states and actions of the agents."""
        return Spaces(tuple(2 ** len(b) for b in self.state_bits), tuple(map(len, self.action_sets)))

    @cached_property
    def joint_actions(self) -> Ints:
        """(J, N) joint actions with as many fluents set as may be."""
        most, sets = self.sim.rddl.max_allowed_actions, self.action_sets
        found: list[tuple[tuple[int, ...], int]] = [((), 0)]
        for own in sets:
            found = [((*a, k), n + len(s)) for a, n in found for k, s in enumerate(own) if n + len(s) <= most]
            if len(found) > 8 * JOINT_ACTIONS:
                raise TooLarge(f"{self.name}: joint actions", f"more than {len(found)}", f"{8 * JOINT_ACTIONS}",
                               "Take a problem with max-nondef-actions.")  # fmt: skip
        return np.array([a for a, _ in found], dtype=np.int64)

    @cached_property
    def known_actions(self) -> set[tuple[int, ...]]:
        """The same as tuples."""
        return set(map(tuple, self.joint_actions.tolist()))

    # --- evaluation ----------------------------------------------------------------------------------------

    def put(self, state: Ints, action: Ints) -> dict[str, Any]:
        """Fluents of a local state and action of each agent, (N,) and (N,)."""
        subs = dict(self.sim.init_values)
        for name in (*self.sim.rddl.state_fluents, *self.sim.rddl.action_fluents):
            subs[name] = np.array(subs[name])
        for bits, local in zip(self.state_bits, state.tolist(), strict=True):
            for k, bit in enumerate(bits):
                subs[bit.name][bit.place] = bool(local >> (len(bits) - 1 - k) & 1)
        for sets, local in zip(self.action_sets, action.tolist(), strict=True):
            for bit in sets[local]:
                subs[bit.name][bit.place] = not subs[bit.name][bit.place]
        return subs

    def allowed(self, subs: dict[str, Any]) -> bool:
        """Whether the preconditions hold."""
        return all(bool(self._value(p, subs)) for p in self.sim.rddl.preconditions)

    def ended(self, state: Ints) -> bool:
        """Whether a task ends in this state."""
        subs = self.put(state, np.zeros_like(state))
        return any(bool(self._value(t, subs)) for t in self.sim.rddl.terminations)

    def _step(self, subs: dict[str, Any]) -> None:
        """Put in what follows from a state and an action."""
        for cpf, expr, _ in self.sim.cpfs:
            subs[cpf] = self._value(expr, subs)

    def chances(self, subs: dict[str, Any]) -> Floats:
        """(B,) chance of each state fluent, agent by agent, to be true next."""
        self._step(subs)
        after = self.sim.rddl.next_state
        shaped = {n: np.broadcast_to(np.asarray(subs[after[n]], float), np.shape(subs[n])) for n in after}
        p = np.array([shaped[b.name][b.place] for bits in self.state_bits for b in bits])
        wrong = ~((p >= 0) & (p <= 1))
        if wrong.any():
            got = f"a chance of {p[wrong.argmax()]}"
            raise InvalidInput(self.name, got, "chances lie in 0..1", "Mend the problem.")
        return p

    def pay(self, subs: dict[str, Any]) -> float:
        """The reward of a state and an action, and of what follows from them where it reads that."""
        if _names(self.sim.rddl.reward) & {cpf for cpf, _, _ in self.sim.cpfs}:
            self._step(subs)
        return float(self._value(self.sim.rddl.reward, subs))

    def _value(self, expr: Any, subs: dict[str, Any]) -> Any:
        try:
            with np.errstate(all="ignore"):
                return self.sim._sample(expr, subs)
        except Exception as e:  # a fault of the problem, seen when it runs
            got = f"what pyRDDLGym cannot evaluate ({' '.join(str(e).split())[:160]})"
            raise InvalidInput(self.name, got, "its formulas must have values", "Mend the problem.") from e

    @cached_property
    def first(self) -> Ints:
        """(N,) local states of the instance's first state."""
        values = {name: np.asarray(v) for name, v in self.sim.init_values.items()}

        def number(bits: list[Bit]) -> int:
            return int("".join(str(int(values[b.name][b.place])) for b in bits) or "0", 2)

        return np.array([number(bits) for bits in self.state_bits], dtype=np.int64)

    @cached_property
    def local_rewards(self) -> list[Floats]:
        """(m_i,) rewards of each agent, if the sum of these is the reward: read where all others do nothing."""
        zero = np.zeros(len(self.owners), dtype=np.int64)
        base = self.pay(self.put(zero, zero))
        found = []
        for i, (s, a) in enumerate(zip(self.spaces.n_states, self.spaces.n_actions, strict=True)):
            table = np.zeros((s, a))
            for at in np.ndindex(s, a):
                state, action = zero.copy(), zero.copy()
                state[i], action[i] = at
                table[at] = self.pay(self.put(state, action)) - base + base / len(zero)
            found.append(table.ravel())
        return found

    def rewards(self, pairs: Ints, pay: Floats) -> Any:
        """Local rewards, where they add up to `pay` (n,) on the pairs (n, N); else None."""
        total = sum(r[pairs[:, i]] for i, r in enumerate(self.local_rewards))
        near = np.abs(total - pay).max(initial=0.0) <= 1e-9 * max(1.0, float(np.abs(pay).max(initial=0.0)))
        return self.local_rewards if near else None

    @property
    def labels(self) -> dict[str, Any]:
        """Names of agents, of their states (the fluents that hold) and actions (those that are set)."""
        states = [
            ["+".join(b.shown for b, v in zip(bits, values, strict=True) if v) or "none"
             for values in itertools.product((0, 1), repeat=len(bits))]
            for bits in self.state_bits
        ]  # fmt: skip
        actions = [["+".join(sorted(b.shown for b in s)) or "noop" for s in own] for own in self.action_sets]
        return {"names": ["-".join(o) or "others" for o in self.owners], "states": states, "actions": actions}


def _types(name: str, rddl: Any, agents: Any) -> tuple[str, ...]:
    """The types whose objects are the agents."""
    known = [t for t, o in rddl.type_to_objects.items() if o]
    if agents is None:
        used = {p for f in rddl.state_fluents for p in rddl.variable_params[f]}
        if len(used) == 1:
            return tuple(used)
        rule = (
            f"say whose objects the agents are: {', '.join(sorted(used & set(known))) or 'no type'} of {name}"
        )
        example = sorted(used)[0] if used else "type"
        raise InvalidInput("agents", "nothing", rule, f"E.g. agents={example!r} (--option agents={example}).")
    types = tuple(several("agents", agents, "type"))
    for t in types:
        if t not in known:
            raise InvalidInput.unknown("agents", t, known, "types of objects are")
    return types


def _parts(expr: Any) -> Iterator[Any]:
    """Formulas directly inside a formula, or inside lists of such."""
    args = expr.args if hasattr(expr, "etype") else expr
    for part in args if isinstance(args, tuple | list) else ():
        if hasattr(part, "etype"):
            yield part
        else:
            yield from _parts(part)


def _draws(expr: Any) -> bool:
    """Whether something inside is drawn."""
    kind, name = expr.etype
    drawn = kind == "randomvector" or (kind == "randomvar" and name not in _CERTAIN)
    return drawn or any(map(_draws, _parts(expr)))


def _plain(expr: Any) -> bool:
    """Whether draws are Bernoulli and stand alone: below "if ... then ... else" only."""
    if expr.etype == ("control", "if"):
        test, *ways = expr.args
        return not _draws(test) and all(map(_plain, ways))
    if expr.etype == ("randomvar", "Bernoulli"):
        return not any(map(_draws, _parts(expr)))
    return not _draws(expr)


def _names(expr: Any) -> set[str]:
    """Names of the fluents inside."""
    own = {expr.args[0]} if expr.etype[0] == "pvar" else set()
    return own.union(*map(_names, _parts(expr)))
