"""May I add up local values, `Q ~ sum_i Q_i(s_i, a_i)`, and how wrong will the sum be?

Software for *Multi-agent Markov Entanglement* (Chen & Peng, arXiv 2506.02385). Names load on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

#: Public name -> module that defines it; the table of contents.
_HOME = {
    "MultiAgentMDP": "model.mdp",
    "JointChain": "model.mdp",
    "WeaklyCoupledMDP": "model.weakly_coupled",
    "RestlessBandit": "model.bandit",
    "UniformPolicy": "model.policy",
    "LocalPolicy": "model.policy",
    "IndexPolicy": "model.policy",
    "TablePolicy": "model.policy",
    "Chain": "markov.chain",
    "entanglement": "measures.entanglement",
    "Entanglement": "measures.entanglement",
    "weighted_l1_median": "measures.median",
    "minimax_centre": "measures.centre",
    "value_decomposition": "values.decomposition",
    "ValueDecomposition": "values.decomposition",
    "error_bounds": "values.bounds",
    "optimal_policy": "values.control",
    "greedy_policy": "values.control",
    "separability": "separable.decide",
    "local_polytope": "separable.local_polytope",
    "decompose": "separable.decomposition",
    "additive_values": "values.additive",
    "certificate": "values.certificate",
    "error_budget": "values.budget",
    "interaction_orders": "values.orders",
    "decision_loss": "values.decision",
    "simulate": "bandits.simulate",
    "Path": "runs.path",
    "count_chain": "bandits.count_chain",
    "CountChain": "bandits.count_chain",
    "estimate_entanglement": "bandits.estimate",
    "estimate_error": "bandits.error_estimate",
    "paper_error": "bandits.paper_error",
    "Arms": "bandits.arms",
    "arm_path": "bandits.arms",
    "arm_totals": "bandits.arms",
    "mean_field": "bandits.mean_field",
    "MeanField": "bandits.mean_field",
    "whittle_index": "bandits.whittle",
    "myopic_priority": "bandits.whittle",
    "lp_priority": "bandits.lp_priority",
    "analyze": "analysis.analyze",
    "Analysis": "analysis.result",
    "read_result": "report.document",
    "compare": "analysis.compare",
    "reproduce": "studies.reproduce",
    "check_system": "analysis.check",
    "load": "model.files",
    "save": "model.files",
}
_MODULES = ("gallery", "errors")

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    near = ""
    if not name.startswith("_"):
        from .errors import nearest

        near = f". {nearest(name, __all__, 'See dir(markov_entanglement).')}"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{near}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
