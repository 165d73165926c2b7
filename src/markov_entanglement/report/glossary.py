"""The words of a report: what each number says, its definition and its estimator."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import facts
from .document import Document
from .facts import number, percent


@dataclass(frozen=True)
class Term:
    """How to read one number: its name in the result JSON, what it tells, its formula, how it was computed."""

    name: str
    says: str
    definition: str
    estimator: str = "exact"


#: The symbols that the definitions share.
NOTATION = (
    "x = (s, a) is a joint pair, x_i agent i's local pair; p_i(·|x) the law of agent i's next pair; μ is the "
    "occupancy: the share of time that the chain spends on the joint pair x; TV(p, q) = ½ Σ |p − q|; γ the discount; "
    "P_i the local transition that agent i sees on average; Q_i its local values."
)
_MEASURES = {
    "mu-atv": Term(
        "mu-atv",
        "On average over visits, how far the next step of agent i depends on more than its own local pair.",
        "E_i = min over local models M of Σ_x μ(x) · TV(p_i(·|x), M(·|x_i))   (Eq. 7)",
        "exact: one weighted L1 median per local pair, no sampling",
    ),
    "atv": Term(
        "atv",
        "The same in the worst joint pair instead of the average one; 0 means agent-wise separable.",
        "E_i = min over local models M of max_x TV(p_i(·|x), M(·|x_i))   (Eq. 5), x over the recurrent pairs",
        "exact: one minimax centre per local pair, by linear programming with a certified gap of 1e-9",
    ),
    "kernel": Term(
        "kernel",
        "How far agent i's next state depends on more than its own pair; with policy an upper limit of mu-atv.",
        "min over local models of Σ_x μ(x) · TV(p(s_i′|x), M(·|x_i));   mu-atv ≤ kernel + policy",
        "exact: one weighted L1 median per local pair, no sampling",
    ),
    "policy": Term(
        "policy",
        "How far agent i's action depends on more than its own state; in weakly coupled systems it limits mu-atv.",
        "min over local policies of ½ Σ_s μ(s) Σ_a |π(a_i|s) − π′(a_i|s_i)|   (Prop. 7.2)",
        "exact: one weighted L1 median per local state, no sampling",
    ),
    "tv": Term(
        "tv",
        "Distance of the whole joint chain from the separable ones, in the worst joint pair.",
        "min over separable P′ of max_x TV(P(·|x), P′(·|x))",
        "exact: a linear program",
    ),
    "mu-tv": Term(
        "mu-tv",
        "Distance of the whole joint chain from the separable ones, on average over visits.",
        "min over separable P′ of Σ_x μ(x) · TV(P(·|x), P′(·|x))",
        "exact: a linear program",
    ),
    "spectral": Term(
        "spectral",
        "How much of a function of agent i's next pair its own pair fails to predict, in mean square.",
        "σ_i = norm of (I − Π_i)P on functions of x_i in L2(μ)",
        "exact: an eigenvalue of second moments",
    ),
}
_VALUES = (
    Term("error_mu", "By how much the sum of local values is off, on average over visits.",
         "‖err‖_μ = Σ_x μ(x) |err(x)|,  err = Q − Σ_i Q_i"),
    Term("error_sup", "The largest error on any recurrent joint pair.", "‖err‖_∞ = max_x |err(x)|"),
    Term("error_l2", "Root mean square error: large errors count more.", "‖err‖_2,μ = √(Σ_x μ(x) err(x)²)"),
    Term("relative_error", "The paper's relative error. Adding a constant to the rewards changes it at will.",
         "‖err‖_μ / ‖Q‖_μ"),
    Term("unexplained", "Share of the spread of Q that the sum misses; a constant in the rewards does not change it. "
         "The verdict rests on it.", "‖err − mean‖_2,μ / ‖Q − mean‖_2,μ"),
    Term("shared_reward_error", "Part of the shared reward that no sum of local rewards can give.",
         "e(r) = min over local rewards of ‖r − Σ_i r_i‖_μ"),
)  # fmt: skip
_EXACT_VALUES = "exact: Q = (I − γP)⁻¹r and Q_i = (I − γP_i)⁻¹r_i solved, residual below"
_BOUND = Term(
    "bound",
    "What a theorem promises before the truth is known. A large bound, or a large E, is no proof of a large error.",
    "4γ Σ_i E_i r_i^max / (1−γ)²; with “half spans”, r_i^max is half the span of r_i; “value spans”: "
    "γ/(1−γ) Σ_i TV_i · span(Q_i)",
    "exact, from the measures above",
)
_CERTIFICATE = Term(
    "certificate",
    "Limits that hold on both sides and close as k grows, for any sum D.",
    "b_k/(1+γ^k) ≤ ‖err‖ ≤ b_k/(1−γ^k),  b_k = size of the k-step Bellman error of D",
    "exact: k steps of the known chain",
)
_PARTNER = Term(
    "explained",
    "How much of E_i is gone once agent i's model may also read agent j's pair.",
    "(E_i − E_i(+j)) / E_i by mu-atv, keys (x_i, x_j)",
    "exact: measured anew with the larger key",
)
_VDN = Term(
    "vdn_gap",
    "Whether local values that may read all rewards add up exactly: 0 says yes, for every reward of the agents.",
    "norm of (I − Π_D) P Π_D in L2(μ), Π_D the projection on additive functions",
    "exact: an eigenvalue",
)
_BIAS = Term(
    "transition bias",
    "How far the local transition that learning sees is from the best local model; at most E_i.",
    "TV(P_i, M_i*), averaged over μ_i (mu-atv) or its maximum (atv)",
)


_QUESTIONS = {
    "error_budget": Term(
        "error_budget",
        "The floor is the error of the best additive values, the bias what the way of learning adds.",
        "‖Q − D‖² = ‖Q − Π_D Q‖² + ‖Π_D Q − D‖² in L2(μ): error² = floor² + bias²; Π_D as for orders[1]",
        "exact: a least squares fit over the visited pairs",
    ),
    "orders": Term(
        "orders",
        "What the best sum of functions of at most k agents' pairs leaves: k = 1 additive, k = 2 pairwise values.",
        "‖Q − Π_k Q‖ / ‖Q − mean‖ in L2(μ), Π_k the projection on these sums",
        "exact: a least squares fit over the visited pairs; the pairs of agents are chosen greedily",
    ),
    "decision": Term(
        "decision",
        "The reward that is lost when a choice is made by the sum of local values and not by Q itself.",
        "E_ν[max_a Q(s, a) − Q(s, a_D)], a_D a maximiser of Σ_i Q_i(s_i, a_i) over the feasible actions, "
        "ties averaged; ν the law of the state under μ",
        "exact: Q of every feasible action by one step of the system",
    ),
}


def terms(result: Document) -> list[Term]:
    """The numbers of this result, each with definition and estimator."""
    out = [term for key, term in _QUESTIONS.items() if getattr(result, key) is not None]
    if result.policy_or_system is not None and "kernel" not in result.entanglement:
        out.append(_MEASURES["kernel"])
    for k, m in facts.measures(result).items():
        further = Term(k, "A further measure.", "not known to this version", "not known to this version")
        term, method = _MEASURES.get(k, further), m.estimator or m.method
        out.append(term if method in (None, "exact") else replace(term, estimator=str(method)))
    values = result.values
    how = (values and values.estimator) or _EXACT_VALUES
    out += [replace(t, estimator=how) for t in _VALUES if _shown(result, t.name)]
    out += [_VDN] if values and values.joint_additive else []
    out += [_BOUND] if result.bounds else []
    out += [_CERTIFICATE] if result.certificate else []
    out += [_PARTNER] if result.breakdown else []
    out += [_BIAS] if result.transition_bias else []
    return out


def _shown(result: Document, name: str) -> bool:
    """Whether a value has something to show; a share without a number is shown as infinite."""
    share = name in ("relative_error", "unexplained")
    return result.values is not None and (share or getattr(result.values, name) is not None)


def value_rows(result: Document) -> list[tuple[str, str, str]]:
    """(name, number as shown, what it says)."""
    return [(t.name, facts.estimated(result, t.name), t.says) for t in _VALUES if _shown(result, t.name)]


def separability(result: Document) -> list[str]:
    """What is known about separability, in sentences."""
    s, out = result.separability, []
    agentwise = {
        "separable": "Agent-wise separable: adding up is exact for every reward of the agents",
        "entangled": "Agent-wise entangled: for some rewards adding up is wrong",
        "undecided": "Agent-wise separability is undecided",
    }
    if s.agentwise:
        # A chain that is entangled in transient pairs only has an E_i of 0, which would read as a contradiction.
        worst = (facts.spread(facts.per_agent(result).get("atv", [])) or (None,))[-1]
        shown = worst is not None and (s.agentwise != "entangled" or worst >= facts.NOISE)
        out.append(f"{agentwise[s.agentwise]}{f' (largest E_i by atv: {number(worst)})' if shown else ''}.")
    if s.verdict:
        out.append(f"By Definition 6.2 (the whole joint chain): {s.verdict}.")
    if s.explanation:
        out.append(s.explanation)
    return out


def meaning(result: Document) -> list[str]:
    """What the verdict means for this reader's tolerance."""
    values = result.values
    if values is None:
        why = result.no_values or "the values were not computed"
        rest = ", so no error can be set against your tolerance"
        return [f"{why[:1].upper()}{why[1:]}{'' if 'no values' in why else rest}."]
    missed = values.unexplained
    if missed is None:
        varies = "Q hardly varies over the visited pairs, but the sum of local values does"
        out = [f"{varies}: there is no share to state."]
    elif missed < facts.NOISE:
        out = ["Nothing of the spread of Q is missed: the sum of local values is exact up to rounding."]
    else:
        out = [_against(missed, result.verdict.tolerance, result.verdict.sentence)]
        out += ["Over 100 %: a constant would be nearer to Q than this sum is."] if missed > 1 else []
    if (values.error_sup or 0.0) >= facts.NOISE:
        out.append(
            f"Where the chain goes, a value read off the sum is wrong by {number(values.error_mu)} on average "
            f"and by {number(values.error_sup)} at most, in the units of the reward."
        )
    elif facts.is_estimate(result):
        out.append(f"The values were estimated{f': {values.estimator}' if values.estimator else ''}.")
    return out


def _against(missed: float, limit: float | None, sentence: str) -> str:
    """The share that is missed, set against the tolerance; "That" refers to the verdict sentence."""
    said = percent(missed) in sentence
    that = "That" if said else f"The sum misses {percent(missed)} of the spread of Q: that"
    if not limit:
        return f"{that} is more than your tolerance of 0 %."
    times = missed / limit
    if times > 1:
        turn = f"only a tolerance of {percent(missed)} or more would turn the verdict."
        return f"{that} is {times:.3g} times your tolerance of {percent(limit)}; {turn}"
    return f"{that} is {percent(times)} of your tolerance of {percent(limit)}."
