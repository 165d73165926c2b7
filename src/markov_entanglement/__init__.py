"""May I add up local values, `Q ~ sum_i Q_i(s_i, a_i)`, and how wrong will the sum be?

Software for *Multi-agent Markov Entanglement* (Chen & Peng, arXiv 2506.02385). Names load on first use.
"""

__version__ = "0.1.0"

#: Module -> public names that it defines; the table of contents. Editors read `__init__.pyi`, which is made from it:
#: `python tests/test_editors.py`.
_CONTENTS = {
    "model.mdp": "MultiAgentMDP JointChain",
    "model.weakly_coupled": "WeaklyCoupledMDP",
    "model.exogenous": "ExogenousMDP",
    "model.factored": "FactoredMDP",
    "model.simulator": "Simulator",
    "model.bandit": "RestlessBandit",
    "model.instances": "random_bandit random_system",
    "model.policy": "UniformPolicy LocalPolicy NeighbourPolicy IndexPolicy TablePolicy LPUpdatePolicy",
    "markov.chain": "Chain",
    "measures.entanglement": "entanglement Entanglement",
    "measures.median": "weighted_l1_median",
    "measures.centre": "minimax_centre",
    "values.decomposition": "value_decomposition ValueDecomposition",
    "values.reward_entanglement": "reward_entanglement",
    "values.bounds": "error_bounds",
    "values.upper": "lagrangian_bound alp_bound",
    "values.control": "optimal_policy greedy_policy",
    "separable.decide": "separability",
    "separable.local_polytope": "local_polytope",
    "separable.decomposition": "decompose",
    "values.additive": "additive_values",
    "values.certificate": "certificate",
    "values.budget": "error_budget",
    "values.blind": "signal_loss SignalLoss",
    "runs.signal": "SignalLossEstimate",
    "values.orders": "interaction_orders",
    "values.decision": "decision_loss",
    "values.grouping": "merge_suggestions",
    "bandits.simulate": "simulate",
    "runs.path": "Path",
    "runs.certify": "certify",
    "bandits.count_chain": "count_chain CountChain",
    "bandits.estimate": "estimate_entanglement",
    "bandits.error_estimate": "estimate_error",
    "bandits.paper_error": "paper_error",
    "bandits.improve": "improve",
    "bandits.arms": "Arms arm_path arm_totals",
    "learning.fold": "Learner",
    "learning.learn": "learn",
    "learning.result": "LocalValues",
    "learning.td": "TD",
    "learning.joint": "JointLSTD",
    "learning.linear": "LinearTD LinearLSTD",
    "learning.neural": "Neural",
    "learning.reward": "learn_reward",
    "learning.tabular": "LSTD MonteCarlo CountModel",
    "runs.chunk": "Chunk chunks",
    "environments.values": "Network",
    "environments.pymarl": "read_pymarl",
    "environments.modules": "read_mlp torch_network",
    "environments.certified": "certify_network",
    "data.log": "Log",
    "data.read": "read_logs",
    "data.count": "tally",
    "data.markov_test": "markov_test MarkovTest",
    "data.tally": "Tally",
    "bandits.mean_field": "mean_field MeanField",
    "bandits.whittle": "whittle_index myopic_priority",
    "bandits.gittins": "gittins_index",
    "bandits.lp_priority": "lp_priority",
    "analysis.analyze": "analyze",
    "analysis.result": "Analysis",
    "analysis.diagnose": "diagnose",
    "environments.snapshot": "check_snapshot SnapshotReport",
    "environments.recorded": "record",
    "environments.local": "Rounded",
    "environments.tabulate": "tabulate",
    "environments.policy": "EnvironmentPolicy",
    "report.document": "read_result",
    "report.result": "Result",
    "report.table": "Table",
    "analysis.influence": "influence Influence",
    "analysis.sights": "View",
    "analysis.views": "views Views ViewStep",
    "analysis.compare": "compare",
    "studies.reproduce": "reproduce",
    "studies.sweep": "sweep sweep_rows",
    "report.sweep": "Sweep read_sweep",
    "studies.sample_complexity": "sample_complexity SampleComplexity",
    "analysis.check": "check_system",
    "model.files": "load save",
    "readers": "read_model",
    "readers.table": "from_table",
    "readers.rddl": "from_rddl",
    "readers._gymnasium": "from_gymnasium",
    "readers._objects": "from_mdp",
}
_HOME = {name: module for module, names in _CONTENTS.items() for name in names.split()}
_MODULES = ("gallery", "errors")

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> object:
    import importlib  # in here, for editors list what a module imports among its names

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
