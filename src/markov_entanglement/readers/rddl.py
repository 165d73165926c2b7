"""RDDL problems: planning problems with Boolean fluents, e.g. those of the planning competitions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from . import Reader

if TYPE_CHECKING:
    from ..model.mdp import JointChain, MultiAgentMDP


def from_rddl(
    domain: str | Path,
    instance: str | Path,
    *,
    agents: str | Sequence[str] | None = None,
    discount: float | None = None,
    policy: Callable[[tuple[int, ...]], Mapping[tuple[int, ...], float]] | None = None,
) -> MultiAgentMDP | JointChain:
    """The exact system of a small RDDL problem: an agent for each object of a type, with the fluents of that object.

    Parameters
    ----------
    domain, instance : files; or a problem of the package rddlrepository and its instance, e.g.
        "SysAdmin_MDP_ippc2011" and "1".
    agents : the type of the objects that are agents, or several types, whose combinations are; None where state fluents
        have one type. Fluents of none of them belong to one more agent, "others".
    discount : gamma in [0, 1); None: that of the instance, or everything but values where it says 1. Its horizon is
        not used.
    policy : None, or a callable, state tuple -> {action tuple: probability}; then the chain on the pairs that it
        reaches from the first state is made, and no more.

    Returns
    -------
    MultiAgentMDP; with a policy JointChain on listed pairs. A local state is the binary number of the agent's fluents,
    the first one highest; local action 0 sets nothing. `labels` name both. Where the problem says when a task ends,
    the next one starts in the instance's first state.

    Raises
    ------
    MissingDependency : without the package pyRDDLGym.
    InvalidInput : files that cannot be read, an unknown type, a policy that is none.
    Unsupported : fluents that are not Boolean, draws other than Bernoulli, or such that are not independent.
    TooLarge : too many states; names the way with a policy where it helps.

    >>> import markov_entanglement as me
    >>> me.from_rddl("SysAdmin_MDP_ippc2011", "1", discount=0.95)  # doctest: +SKIP
    MultiAgentMDP(10 agents, 1024 joint states)
    """
    from ..model.mdp import JointChain, MultiAgentMDP
    from ._given import discount_of
    from ._rddl import Problem, evaluator
    from ._rddl_kernel import chain_of, system_of

    for key, value in (("domain", domain), ("instance", instance)):
        if not isinstance(value, str | os.PathLike):
            raise InvalidInput.kind(key, value, "a file or a name", "Pass text or a pathlib.Path.")
    if policy is not None and not callable(policy):
        rule = "a callable, state tuple -> {action tuple: probability}"
        raise InvalidInput.kind("policy", policy, rule, "Make the system, and give others to `under`.")
    name = f"{domain}, {instance}"
    problem = Problem.of(name, evaluator(str(domain), str(instance)), agents)
    said = float(problem.sim.rddl.discount)
    gamma, labels, spaces = discount_of(name, discount, said), problem.labels, problem.spaces
    if policy is None:
        kernel, rewards, over = system_of(problem)
        both: dict[str, Any] = {"n_states": spaces.n_states, "n_actions": spaces.n_actions, "labels": labels}
        ends: dict[str, Any] = (
            {"terminal": over, "restart": tuple(problem.first.tolist())} if over.any() else {}
        )
        return MultiAgentMDP(kernel, rewards, discount=gamma, **both, **ends)
    pairs, step, rewards, ends = chain_of(problem, policy)
    named = zip(labels["states"], labels["actions"], strict=True)
    labels = {"names": labels["names"], "states": [[f"{s}, {a}" for s in ss for a in aa] for ss, aa in named]}
    more: dict[str, Any] = {"sizes": spaces.pair_sizes, "rewards": rewards, "labels": labels}
    return JointChain.from_pairs(pairs, step, discount=gamma, **more, **ends)


def read(path: Path, *, domain: Any = None, agents: Any = None, discount: Any = None) -> Any:
    """The system of an instance, a file, and its domain, another; see `me.from_rddl`."""
    if domain is None:
        remedy = "Name the file of the domain: domain='domain.rddl' (on the command line --option domain=domain.rddl)."
        raise InvalidInput("domain", "nothing", f"{path} is an instance of one", remedy)
    return from_rddl(domain, path, agents=agents, discount=discount)


READER = Reader(
    word="rddl",
    suffixes=(".rddl",),
    help="small RDDL problems of Boolean fluents, with exact kernels (needs pyRDDLGym)",
    read=read,
    options=("domain", "agents", "discount"),
)
