"""The waist of the house: what a question may ask of whatever yields rows, and the one place that asks what it can do.

`Source` yields rows (key, weight, law) per unit. `Space` has all joint pairs, exactly; `Joint` is a space whose agents
have names; `Runs` can be stepped; `Lazy` is a system under a policy of which nothing is enumerated yet. A `Model` is
what becomes a source under a policy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, Unsupported
from .rows import Rows

if TYPE_CHECKING:
    from ..markov.space import Evaluation
    from ..model.rewards import Rewards

Kind = Literal["pair", "policy", "kernel"]
S = TypeVar("S")


@dataclass(frozen=True)
class Unit:
    """Agents that are measured together: one agent, or the arms of a type."""

    name: str  # as displayed
    size: int  # local pairs m_u
    multiplicity: int = 1  # how many agents it stands for


@dataclass(frozen=True)
class Extra:
    """A question that one kind of source has beside those of all."""

    name: str  # as it is named when it is refused
    ask: Callable[[], Any]  # answers it
    form: Callable[[Any], dict[str, Any]]  # the answer -> its block of a result


@dataclass(frozen=True, eq=False)
class Alternatives:
    """Every feasible action in every visited state, with its true value: A of them, G groups of alike agents."""

    state: Ints  # (A,) number of the state, ascending from 0
    q: Floats  # (A,) true value of the action there
    many: Floats  # (A,) how many joint actions it stands for, relative
    features: sp.csr_array  # (A, M) agents of each unit at each local pair
    weight: Floats  # (T,) state law
    served: Ints | None  # (A, G) active agents of each group, where a budget ties two actions
    present: Ints  # (T, G) agents of each group
    rest: Ints  # (T, G) local pair, among all M, of an agent of the group that rests; the next one is its active pair


class Model(ABC):
    """What becomes a source under a policy."""

    discount: float | None
    #: How the laws were read, in words; largest distance from 1 of row sums that `normalize` divided away, or None.
    reading: str
    rescaled: float | None

    @property
    @abstractmethod
    def n_agents(self) -> int:
        """Number of agents N."""

    @abstractmethod
    def under(self, policy: Any = None, *, initial: Any = None) -> Source:
        """The source that it is under `policy`."""

    def running(self, policy: Any = None) -> Source:
        """The same source, of which nothing is enumerated where it is only run."""
        return self.under(policy)


class Source(ABC):
    """Whatever yields rows."""

    estimator: str = "exact"
    member = "agent"
    #: Distances that its runs estimate.
    sampled: tuple[str, ...] = ("policy",)
    #: How the laws of its system were read, in words.
    reading = ""

    @property
    @abstractmethod
    def units(self) -> tuple[Unit, ...]:
        """(U,) what has a number of its own."""

    @property
    @abstractmethod
    def discount(self) -> float | None:
        """gamma, or None."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """What it is, for the `system` block of a result."""

    @property
    def absorbed(self) -> str:
        """Why the long run says nothing about live pairs and what to declare, or ""."""
        return ""

    #: Why joint laws of named agents are not asked of it, and of what they are.
    no_joint: tuple[str, str] = (
        "a count chain does not show joint pairs of named agents",
        "Ask it of a small me.WeaklyCoupledMDP with the same arms and budget.",
    )

    @property
    def listed(self) -> bool:
        """Whether the rows of every unit can be listed at once."""
        return True

    @property
    def law_entries(self) -> float:
        """Numbers of all laws of next pairs, where they are not listed."""
        return 0.0

    def solvers(self) -> dict[str, Any]:
        """Evidence of the equations behind the long run, by name."""
        return {}

    def checks(self) -> list[tuple[str, bool, str]]:
        """What only this kind must satisfy: (name, whether it holds, the numbers behind it)."""
        return []

    def extras(self, stream: Callable[[str], Any], discount: float | None) -> dict[str, Extra]:
        """Questions that only this kind has, by key; `stream(name)` gives the random numbers of one."""
        return {}

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        """Display names of the local states and of the actions of unit u; its local pairs are `s A_u + a`."""
        return [str(x) for x in range(self.units[u].size)], [""]

    def merge(self, groups: Any) -> Source:
        """The same when groups of agents count as one agent each, see `Chain.merge`."""
        raise Unsupported("groups", repr(self), *self.no_joint)

    @property
    def stepped(self) -> Runs | None:
        """The same, to be simulated; None where nothing can be stepped."""
        return None

    def signal_of(self, u: int) -> Ints | None:
        """(m_u,) value at each local pair of unit u of a signal that all see and nobody influences; None: no signal."""
        return None

    @property
    def proved_separable(self) -> str:
        """Why it is known to be agent-wise separable without being measured, or ""."""
        return ""

    @abstractmethod
    def rows(self, u: int, kind: Kind = "pair") -> Rows:
        """Rows of unit u: "pair" (key x_i, law of the next pair, Eq. 7), "policy" (key s_i, law pi(a_i|s),
        Prop. 7.2) or "kernel" (key x_i, law of the next local state)."""

    def laws(self, u: int, kind: Kind = "pair") -> Rows:
        """Rows for a question that needs no weights; they may be 0, so that mu need not be unique."""
        return self.rows(u, kind)

    def blocks(
        self, kind: Kind = "pair", *, weighted: bool = True
    ) -> Iterator[tuple[Sequence[int] | Ints, Rows]]:
        """Some units, and the rows of all of them (`Rows.concat`); a source of many units overrides it."""
        for u in range(len(self.units)):
            yield [u], self.rows(u, kind) if weighted else self.laws(u, kind)

    def upper_bounds(self, support: str) -> Bools | None:
        """(U,) units whose rows may be more than those that occur, so that a maximum over them is an upper bound; None:
        no unit's are."""
        return None


class Space(Source):
    """All joint pairs of a chain, exactly; n of them, and M = sum_u m_u local pairs."""

    @property
    @abstractmethod
    def occupancy(self) -> Floats:
        """(n,) stationary law mu."""

    @property
    @abstractmethod
    def recurrent(self) -> Bools:
        """(n,) True on recurrent pairs."""

    @property
    @abstractmethod
    def features(self) -> sp.csr_array:
        """(n, M) agents of each unit at each local pair; `D = features @ tables`."""

    @property
    @abstractmethod
    def actions(self) -> tuple[int, ...]:
        """(U,) local actions A_u of each unit; a local pair is `s A_u + a`."""

    @property
    def decoupled(self) -> bool:
        """True when agents move on kernels of their own (Def. 7.1), so that Prop. 7.2 bounds E_i."""
        return False

    @property
    def budget(self) -> int | None:
        """The number that the actions of all agents sum to, or None."""
        return None

    @property
    @abstractmethod
    def ends(self) -> Floats | None:
        """(n,) chance that the task ends at each pair; None where nothing ends."""

    @abstractmethod
    def apply(self, f: Floats) -> Floats:
        """`P f`, (n,) or (n, k)."""

    @abstractmethod
    def carry(self, f: Floats) -> Floats:
        """The part of `P f` that no end stops."""

    def subsets(self, k: int) -> Iterable[tuple[int, ...]]:
        """The groups of k agents by their units; of alike agents several may come from one."""
        raise self._lacks("functions of several agents")

    def interaction(self, units: tuple[int, ...], at: Ints) -> sp.csr_array:
        """(len(at), F) functions of the pairs of one agent of each of `units` together, at the pairs `at`."""
        raise self._lacks("functions of several agents")

    def partner_rows(self, u: int, other: int) -> Rows | None:
        """Rows of unit u whose model may also read the pair of one more agent, of unit `other`; None: there is none."""
        raise self._lacks("partners")

    def alternatives(self, rewards: Rewards, gamma: float, entries: float) -> Alternatives:
        """Every feasible action in every visited state, by one step of the kernel; refused above `entries` numbers."""
        raise self._lacks("decisions")

    def _lacks(self, question: str) -> Unsupported:
        rule = "it is asked of pairs of states and actions"
        return Unsupported(question, repr(self), rule, "Ask the chain itself.")

    def key_weight(self, u: int) -> Floats:
        """(m_u,) mass of each local pair of an agent of unit u."""
        return self.rows(u).key_weight

    def mean_law(self, u: int) -> Floats:
        """(m_u, m) mean law of the next pair at each local pair of unit u, with the chance of an end last where tasks
        end; NaN rows: never visited."""
        return self.rows(u).mean_law

    def sum_of(self, tables: Sequence[Floats]) -> Floats:
        """(n,) sum over agents of tables (m_u,), one for each unit."""
        return np.asarray(self.features @ np.concatenate(tables))

    def second_moments(self) -> Floats:
        """(M, M) mean products of the features under mu."""
        f = self.features
        return np.asarray((f.multiply(self.occupancy[:, None]).tocsr().T @ f).toarray())

    def moments_with(self, f: Floats) -> Floats:
        """(M,) mean products of the features with a function (n,) under mu."""
        return np.asarray(self.features.T @ (self.occupancy * f))

    def pair_names(self, u: int) -> list[str]:
        """(m_u,) display names of the local pairs of unit u."""
        states, actions = self.local_names(u)
        return [f"{s}, {a}" if len(actions) > 1 else s for s in states for a in actions]

    def point(self, x: int) -> tuple[int, ...]:
        """A pair as a user sees it: the number of agents at each local pair."""
        return tuple(int(k) for k in self.features[[x]].toarray()[0])

    def carried_features(self, local: Ints) -> Floats:
        """(n, k) continuing part of `P` applied to the features of `local`, k of the M local pairs, ascending."""
        return self.carry(self.features[:, local].toarray())

    def contrasts(self, u: int) -> tuple[Floats, Floats, Floats] | None:
        """Half the inner products (m_u, m_u) in L2(mu) of contrasts `g(x_i) - g(x_j)` of two agents of unit u: among
        each other, with their images under P, and of the images; None where no two agents are alike."""
        return None

    @abstractmethod
    def read_rewards(self, rewards: Any) -> Rewards:
        """What the user gave, or None: the system's own; one (m_u,) table per unit, or shared."""

    @abstractmethod
    def reward(self, rewards: Rewards) -> Floats:
        """(n,) reward of all agents in one step."""

    @abstractmethod
    def solve(self, r: Floats, gamma: float, goal: float = tol.SOLVE) -> Evaluation:
        """Values of a reward on pairs; factored once for each gamma; iterations stop at a relative residual `goal`."""

    @abstractmethod
    def local_transition(self, u: int) -> Floats:
        """Marginalised local transition P_i (Eq. 2), (m_u, m_u), the part that goes on; NaN rows: never visited."""

    def local_kernel(self, u: int) -> Floats | None:
        """(m_u, S_u) law of the next local state of an agent of unit u, where it moves on its own; else None."""
        return None

    @property
    @abstractmethod
    def start(self) -> Floats:
        """(S,) law of the first state where policies are compared."""

    @abstractmethod
    def average(self, q: Floats) -> Floats:
        """(S,) mean over the pairs of each state."""

    @abstractmethod
    def of_states(self) -> Space:
        """The chain of the joint states, for V."""


class Joint(Space):
    """A space whose agents have names: separability by Def. 6.2, joint distances, witnesses, partners."""

    pairs: Ints


class Lesson(NamedTuple):
    """What a learner learns from: so many steps of one run after a burn-in, from a place of it on, or those before
    `stop` says True."""

    steps: int
    burn_in: int
    discount: float | None
    rng: Any
    stop: Callable[[], bool]
    place: Any


class Runs(Source):
    """What can be started and stepped, and so estimated."""

    #: Whether steps are so dear that no question asks for very many.
    costly = False
    #: Distances that are asked of it where nobody names one.
    usual: tuple[str, ...] = ("policy",)

    @property
    def made_of(self) -> dict[str, Any]:
        """Its "system" and "policy", by which a run that is kept is known again."""
        return {"system": self, "policy": None}

    @abstractmethod
    def entanglement(self, distance: str, rng: Any) -> Any:
        """An estimate with intervals."""

    @abstractmethod
    def errors(self, rng: Any, tolerance: float | None = None) -> Any:
        """Errors of local values with intervals, long enough to tell `unexplained` from a tolerance if that can be."""

    @abstractmethod
    def chunks(self, steps: int, rng: Any, *, burn_in: int = 0, runs: int = 1) -> Iterator[Any]:
        """So many steps of each of R independent runs, some at a time, after `burn_in` of them."""

    @abstractmethod
    def learned(self, learner: Any, lesson: Lesson) -> Any:
        """What a learner makes of the steps of a lesson."""

    @abstractmethod
    def certified(self, candidate: Any, ks: list[int], starts: int, control: str, rng: Any) -> Any:
        """For each number of steps the error of a candidate with intervals; what its floor is found from."""

    def split(self, method: str, rng: Any) -> Any:
        """How far the one reward of all agents is from a sum of local ones, from the joint pairs that runs meet."""
        rule, helps = (
            "each of its arms has a reward of its own",
            "Their sum is a sum of local rewards: e(r) = 0.",
        )
        raise Unsupported("reward entanglement", repr(self), rule, helps)

    def signal_loss(self, rng: Any) -> Any:
        """What is lost where local values may not see the signal, with intervals."""
        raise no_signal("what a signal is worth", self)

    def grouping(self, tolerance: float, starts: int, rng: Any) -> Any:
        """Which agents should count as one."""
        return self.merge(())  # refused

    @abstractmethod
    def worth(self, rng: Any) -> tuple[float, float, str]:
        """Reward per step, half the width of its interval, and the estimator."""


class Recorded(Source):
    """Steps that were recorded, whatever else is known."""

    #: What comes with the steps: some of "laws" (of next pairs), "draws" (next steps drawn again), "policy" (chances of
    #: actions) and "rollouts" (from snapshots).
    known: tuple[str, ...] = ()
    #: Rows that are not in it, because reading was stopped.
    left: int = 0

    @property
    def mode(self) -> str:
        """ "laws known" where next pairs have laws or draws, "policy known" where actions have chances, "logs only"."""
        if {"laws", "draws"} & {*self.known}:
            return "laws known"
        return "policy known" if "policy" in self.known else "logs only"

    @property
    def usual(self) -> tuple[str, ...]:
        """Distances that are asked of it where nobody names one."""
        return ("mu-atv", "policy") if "policy" in self.known else ("mu-atv",)

    @property
    @abstractmethod
    def side_by_side(self) -> Any:
        """Its steps in memory, of which questions are asked; refused where they are too many."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what its local states are made of; none where they have one part."""
        return ()

    @property
    def drawn(self) -> Any:
        """Its steps with next steps that were drawn again, where there are some."""
        return self.side_by_side

    @abstractmethod
    def seen(self, keep: tuple[str, ...]) -> Any:
        """What is left of local pairs that show some of the parts."""

    @abstractmethod
    def showing(self, parts: Any) -> Any:
        """The same where local states show some of their parts alone."""


class Logged(Recorded):
    """Steps that were recorded: nothing can be stepped."""

    estimator = "logs only"

    @abstractmethod
    def chunks(self) -> Iterator[Any]:
        """The steps in their order, some at a time."""

    @abstractmethod
    def entanglement(self, distance: str, rng: Any, classifier: Any = None) -> Any:
        """Limits of the entanglement of every agent; where no law is known also a test of whether there is any."""

    def rows(self, u: int, kind: Kind = "pair") -> Rows:
        rule = "laws are not recorded, only what happened"
        raise Unsupported("rows", repr(self), rule, "Ask me.entanglement(log) or me.analyze(log).")


class Lazy(Source):
    """A system under a policy, nothing enumerated yet; what its exact space has is handed on."""

    @property
    @abstractmethod
    def small(self) -> bool:
        """True when questions are answered exactly unless asked otherwise."""

    @property
    @abstractmethod
    def exact(self) -> Any:
        """The space; refused, before it is allocated, where it would not fit or cannot be formed."""

    @property
    def rows_only(self) -> Source | None:
        """What yields rows exactly though the space would not fit; None: nothing does."""
        return None

    @property
    @abstractmethod
    def runs(self) -> Runs:
        """The same, to be simulated."""

    @property
    def pairs(self) -> Ints:
        """Joint pairs of the exact space."""
        found: Ints = self.exact.pairs
        return found

    @property
    def occupancy(self) -> Floats:
        """(n,) stationary law mu of the joint pairs."""
        found: Floats = self.exact.occupancy
        return found

    @property
    def recurrent(self) -> Bools:
        """(n,) True on recurrent pairs."""
        found: Bools = self.exact.recurrent
        return found

    @property
    def states(self) -> Any:
        """Joint states of the exact space."""
        return self.exact.states

    @property
    def kernel(self) -> Any:
        """Kernel from its pairs to its joint states."""
        return self.exact.kernel

    def merge(self, groups: Any) -> Source:
        merged: Source = self.exact.merge(groups)
        return merged

    def local_transition(self, u: int = 0) -> Floats:
        """P_i of Eq. 2 for an agent of unit u, (m_u, m_u); NaN rows where never visited."""
        found: Floats = self.exact.local_transition(u)
        return found

    def rows(self, u: int = 0, kind: Kind = "pair") -> Rows:
        """The narrow waist for an agent of unit u (Eq. 7)."""
        found: Rows = self.exact.rows(u, kind)
        return found


def no_signal(question: str, source: Source) -> Unsupported:
    """The refusal of what is asked of a signal where there is none."""
    rule, helps = "its agents see no signal", "Ask it of a me.ExogenousMDP under a policy."
    return Unsupported(question, repr(source), rule, helps)


def offers(subject: Any, need: type) -> bool:
    """Whether a system, a source or a result is what a question needs."""
    return isinstance(subject, need)


def demand(name: str, value: Any, kind: type[S] | tuple[type[S], ...], rule: str, helps: str) -> S:
    """The value; `Unsupported` where it is not of that kind."""
    if isinstance(value, kind):
        return value
    raise Unsupported(name, f"a {type(value).__name__}", rule, helps)


def as_source(subject: Any, policy: Any = None, initial: Any = None, *, stepped: bool = False) -> Source:
    """A source from a source, or from a system with a policy; `Unsupported` where it is neither or both. `stepped`: it
    will be run and nothing else, so that nothing need be enumerated."""
    if isinstance(subject, Model):
        return subject.running(policy) if stepped else subject.under(policy, initial=initial)
    if not isinstance(subject, Source):
        rule, helps = "it must be a system or a chain", "E.g. me.MultiAgentMDP(...) or me.load('file.toml')."
        raise Unsupported("system", type(subject).__name__, rule, helps)
    for name, given in (("policy", policy), ("initial", initial)):
        if given is not None:
            rule, helps = f"a chain has its {name} inside", "Pass the system, or leave it out."
            raise Unsupported(name, f"{name} beside a chain", rule, helps)
    return subject


_LACKS = {
    Space: ("its joint pairs are not at hand", "Ask it of a chain from system.under(policy)."),
    Runs: ("its rows are at hand, so there is nothing to simulate", "Use method='exact'."),
}


def choose(
    source: Source, need: type[S], method: str = "auto", *, question: str, sampled: bool = False
) -> S | Runs:
    """What answers `question`: the exact form of the source, which must be a `need`, or its runs.

    `method` is "exact", "simulate", or "auto": exact, but for a lazy source that is not small where runs answer the
    question, too (`sampled`).

    Raises
    ------
    Unsupported : the source lacks what the question needs; names what would help.
    TooLarge : the exact form would not fit.
    """
    found, simulate = source, method == "simulate"
    if simulate and not sampled:
        got = f"'simulate' for {question}"
        raise InvalidInput("method", got, "simulation does not answer it", "Use 'exact'.")
    if simulate and source.stepped is not None:
        found = source.stepped
    if isinstance(source, Lazy):
        simulate = simulate or (method == "auto" and sampled and not source.small)
        alone = source.rows_only if need is Source else None
        found = source.runs if simulate else source.exact if alone is None else alone
    kind: Any = Runs if simulate else need
    if isinstance(found, kind):
        return found
    raise Unsupported(question, repr(source), *(source.no_joint if kind is Joint else _LACKS[kind]))


def exact(subject: Any, need: type[S], *, question: str) -> S:
    """What answers `question` exactly, of a source or of a system without a policy; see `choose`."""
    return choose(as_source(subject), need, "exact", question=question)  # type: ignore[return-value]
