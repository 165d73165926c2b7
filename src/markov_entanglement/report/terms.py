"""Every number of a result: its place in the JSON, its one name, its unit, its meaning, definition and estimator."""

from __future__ import annotations

from dataclasses import dataclass

from .facts import number, percent

REWARD, SHARE, NONE = "reward units", "share", "none"
#: Said once, at the head of every report.
UNITS = (
    "Values, errors, bounds and losses are in units of the reward, summed with discount; rewards are per step; shares "
    "are parts of the spread of Q, of E_i, of the visits or of all arms; E_i has no unit: 0 none, 1 complete."
)


@dataclass(frozen=True)
class Term:
    """How to read one number: where it stands in the result JSON, its unit, what it tells, formula, estimator."""

    key: str  # dotted; * stands for any name
    unit: str
    says: str
    definition: str = ""
    estimator: str = "exact"
    name: str = ""  # as shown; else the key without its block

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.key.partition(".")[2] or self.key)

    def show(self, x: float | None) -> str:
        """The number in its unit."""
        return percent(x) if self.unit == SHARE else number(x)


def _of(block: str, *rows: tuple[str, ...]) -> tuple[Term, ...]:
    """Terms of a block from rows (key, unit, what it says), or with the name as shown at the end."""
    return tuple(Term(f"{block}.{key}", unit, says, name="".join(name)) for key, unit, says, *name in rows)


#: The symbols that the definitions share.
NOTATION = (
    "x = (s, a) is a joint pair, x_i agent i's local pair; p_i(·|x) the law of agent i's next pair; μ is the "
    "occupancy: the share of time that the chain spends on the joint pair x; TV(p, q) = ½ Σ |p − q|; γ the discount; "
    "P_i the local transition that agent i sees on average; Q_i its local values."
)
_MEDIAN = "exact: one weighted L1 median per local pair, no sampling"
_SQUARES = "exact: a least squares fit over the visited pairs"
DISTANCES = (
    Term("entanglement.mu-atv", NONE,
         "On average over visits, how far the next step of agent i depends on more than its own local pair.",
         "E_i = min over local models M of Σ_x μ(x) · TV(p_i(·|x), M(·|x_i))   (Eq. 7)", _MEDIAN),
    Term("entanglement.atv", NONE,
         "The same in the worst joint pair instead of the average one; 0 means agent-wise separable.",
         "E_i = min over local models M of max_x TV(p_i(·|x), M(·|x_i))   (Eq. 5), x over the recurrent pairs",
         "exact: one minimax centre per local pair, by linear programming with a certified gap of 1e-9"),
    Term("entanglement.kernel", NONE,
         "How far agent i's next state depends on more than its own pair; with policy an upper limit of mu-atv.",
         "min over local models of Σ_x μ(x) · TV(p(s_i′|x), M(·|x_i));   mu-atv ≤ kernel + policy", _MEDIAN),
    Term("entanglement.policy", NONE,
         "How far agent i's action depends on more than its own state; in weakly coupled systems it limits mu-atv.",
         "min over local policies of ½ Σ_s μ(s) Σ_a |π(a_i|s) − π′(a_i|s_i)|   (Prop. 7.2)",
         "exact: one weighted L1 median per local state, no sampling"),
    Term("entanglement.tv", NONE, "Distance of the whole joint chain from the separable ones, in the worst joint pair.",
         "min over separable P′ of max_x TV(P(·|x), P′(·|x))", "exact: a linear program"),
    Term("entanglement.mu-tv", NONE,
         "Distance of the whole joint chain from the separable ones, on average over visits.",
         "min over separable P′ of Σ_x μ(x) · TV(P(·|x), P′(·|x))", "exact: a linear program"),
    Term("entanglement.spectral", NONE,
         "How much of a function of agent i's next pair its own pair fails to predict, in mean square.",
         "σ_i = norm of (I − Π_i)P on functions of x_i in L2(μ)", "exact: an eigenvalue of second moments"),
)  # fmt: skip
_Q = "exact: Q = (I − γP)⁻¹r and Q_i = (I − γP_i)⁻¹r_i solved, residual below"
VALUES = (
    Term("values.error_mu", REWARD, "By how much the sum of local values is off, on average over visits.",
         "‖err‖_μ = Σ_x μ(x) |err(x)|,  err = Q − Σ_i Q_i", _Q),
    Term("values.error_sup", REWARD, "The largest error on any recurrent joint pair.", "‖err‖_∞ = max_x |err(x)|", _Q),
    Term("values.error_l2", REWARD, "Root mean square error: large errors count more.",
         "‖err‖_2,μ = √(Σ_x μ(x) err(x)²)", _Q),
    Term("values.relative_error", SHARE,
         "The paper's relative error. Adding a constant to the rewards changes it at will.", "‖err‖_μ / ‖Q‖_μ", _Q),
    Term("values.unexplained", SHARE, "Share of the spread of Q that the sum misses; a constant in the rewards does "
         "not change it. The verdict rests on it.", "‖err − mean‖_2,μ / ‖Q − mean‖_2,μ", _Q),
    Term("values.more_starts", NONE, "Starts in all that would tell unexplained from the tolerance; null: decided, or "
         "none would."),
    Term("values.more_steps", NONE, "Steps beyond those taken that this means."),
    Term("values.shared_reward_error", REWARD, "Part of the shared reward that its split into local rewards misses; by "
         "least absolute deviations, what no sum of local rewards can give.",
         "‖r − Σ_i r_i‖_μ; e(r) = its minimum over local rewards", _Q),
    Term("values.reward_misfit", REWARD, "Part of the rewards that their means, given what local values may see, miss.",
         "Σ_i ‖r_i − E_μ[r_i | x_i]‖_μ", _Q),
)  # fmt: skip
_SIGNAL = (
    Term("signal", SHARE, "What is lost when local values may not see the signal that moves on its own.",
         "errors of Σ_i Q_i(x_i, z), of D = Σ_i Q_i(x_i), and of D(x) + g(z), g(z) = E_μ[Q − D | z]", _Q),
    *_of("signal",
         ("seeing_mu_atv", NONE, "E_i by mu-atv where local models see the signal"),
         ("blind_mu_atv", NONE, "E_i by mu-atv where local models may not see it"),
         ("blind_policy", NONE, "E_i by policy where local models may not see it, an upper limit of blind_mu_atv"),
         ("reward_misfit", REWARD, "part of the agent's reward that its mean without the signal misses"),
         ("lost", SHARE, "part of the variance of Q that blind values miss beyond those that see the signal"),
         ("g", REWARD, "common function of the signal that repairs the blind sum best")),
)  # fmt: skip
_BUDGET = (
    Term("error_budget", REWARD,
         "The floor is the error of the best additive values, the bias what the way of learning adds.",
         "‖Q − D‖² = ‖Q − Π_D Q‖² + ‖Π_D Q − D‖² in L2(μ): error² = floor² + bias²; Π_D as for orders[1]", _SQUARES),
    *_of("error_budget",
         ("error", REWARD, "of the sum of local values, as error_l2"),
         ("floor", REWARD, "what the best additive values miss, however they are learned"),
         ("bias", REWARD, "what this way of learning adds: each agent on its own reward"),
         ("noise", REWARD, "what the limited data add"),
         ("joint_additive", REWARD, "error of local values fitted jointly on all rewards"),
         ("unexplained_floor", SHARE, "the floor as a share of the spread of Q")),
)  # fmt: skip
_ORDERS = (
    Term("orders", SHARE,
         "What the best sum of functions of at most k agents' pairs leaves: k = 1 additive, k = 2 pairwise values.",
         "‖Q − Π_k Q‖ / ‖Q − mean‖ in L2(μ), Π_k the projection on these sums",
         f"{_SQUARES}; the pairs of agents are chosen greedily"),
    *_of("orders", ("unexplained", SHARE, "share of the spread of Q that the best such sum leaves")),
)  # fmt: skip
_DECISION = (
    Term("decision", REWARD, "The reward that is lost when a choice is made by the sum of local values and not by Q.",
         "E_ν[max_a Q(s, a) − Q(s, a_D)], a_D a maximiser of Σ_i Q_i(s_i, a_i) over the feasible actions, "
         "ties averaged; ν the law of the state under μ",
         "exact: Q of every feasible action by one step of the system"),
    *_of("decision",
         ("loss", REWARD, "what a choice by the sum loses on average against one by Q"),
         ("share", SHARE, "the same as a share of the spread of Q"),
         ("right", SHARE, "share of the visits in whose state the sum prefers a best action"),
         ("excluded", SHARE, "share of the visits that were left out"),
         ("rank_correlation", NONE, "of the order of service by the sum and by Q; 1: alike")),
)  # fmt: skip
_MEAN_FIELD = (
    *_of("mean_field",
         ("attractor", NONE, "whether the arms settle"),
         ("radius", NONE, "spectral radius at the fixed point: below 1, deviations die out"),
         ("entanglement_limit", NONE, "what is left of E_i with infinitely many arms"),
         ("no_constants", NONE, "why there are no predictions"),
         ("valid_from", "arms", "number of arms from which the predictions hold; below they say little"),
         ("fixed_point", SHARE, "fraction of all arms in that state where many arms settle"),
         ("activation", SHARE, "chance that an arm in that state is served there")),
    *_of("mean_field.predictions",
         ("policy", NONE, "E_i by policy (Prop. 7.2) at this number of arms"),
         ("mu-atv", NONE, "E_i by mu-atv (Eq. 7) at this number of arms"),
         ("error_mu", REWARD, "error_mu at this number of arms"),
         ("error_l2", REWARD, "error_l2 at this number of arms"),
         ("unexplained", SHARE, "unexplained, where many arms tend to")),
)  # fmt: skip
_BOUND = Term(
    "bounds.*.bound", REWARD,
    "What a theorem promises before the truth is known. A large bound, or a large E, is no proof of a large error.",
    "4γ Σ_i E_i r_i^max / (1−γ)²; with “half spans”, r_i^max is half the span of r_i; “value spans”: "
    "γ/(1−γ) Σ_i TV_i · span(Q_i)",
    "exact, from the measures above", "bound",
)  # fmt: skip
_CERTIFICATE = Term(
    "certificate", REWARD, "Limits that hold on both sides and close as k grows, for any sum D.",
    "b_k/(1+γ^k) ≤ ‖err‖ ≤ b_k/(1−γ^k),  b_k = size of the k-step Bellman error of D",
    "exact: k steps of the known chain",
)  # fmt: skip
_PARTNER = Term(
    "breakdown.explained", SHARE, "How much of E_i is gone once agent i's model may also read agent j's pair.",
    "(E_i − E_i(+j)) / E_i by mu-atv, keys (x_i, x_j)", "exact: measured anew with the larger key",
)  # fmt: skip
_VDN = Term(
    "values.joint_additive.vdn_gap", NONE,
    "Whether local values that may read all rewards add up exactly: 0 says yes, for every reward of the agents.",
    "norm of (I − Π_D) P Π_D in L2(μ), Π_D the projection on additive functions", "exact: an eigenvalue", "vdn_gap",
)  # fmt: skip
_BIAS = Term(
    "transition_bias", NONE,
    "How far the local transition that learning sees is from the best local model; at most E_i.",
    "TV(P_i, M_i*), averaged over μ_i (mu-atv) or its maximum (atv)",
)  # fmt: skip
_REST = (
    Term("verdict.tolerance", SHARE, "largest unexplained share that the user accepts"),
    *_of("entanglement.*",
         ("per_agent", NONE, "entanglement E_i: 0 none, 1 complete", "E_i"),
         ("total", NONE, "sum of E_i over all agents", "total")),
    *_of("entanglement.*",
         ("p_value", NONE, "chance of as much dependence on the others if there were none", "p"),
         ("plug_in", NONE, "E_i of the empirical laws: biased high, no estimate", "plug-in"),
         ("null", NONE, "what the plug-in shows if E_i = 0", "null"),
         ("information", "nats", "what others tell of the next pair beyond the own one: biased high", "information"),
         ("information_null", "nats", "what it shows by chance", "by chance"),
         ("more_steps", "steps", "about how many more would let the test reject; none: it does, or nothing is seen",
          "more steps"),
         ("used", "steps", "transitions of the agent", "used")),
    *_of("influence",
         ("influence", NONE, "how far the next pair depends on that of this one other agent: at most E_i"),
         ("information", "nats", "what the pair of the other tells of the next pair beyond the own one"),
         ("counterfactual", NONE, "mean distance between laws of the next pair, the other at two of its pairs"),
         ("remaining", NONE, "E_i left when the model may also read the pair of the other")),
    Term("views", SHARE, "What agents miss of the spread of Q where they see some parts of their local states.",
         "unexplained, its floor and E_i (mu-atv) with local pairs x_i of the view, against the same Q",
         "two halves of a log, each judging the other; gains by the half that did not choose"),
    *_of("views",
         ("views.largest", NONE, "largest E_i of an agent whose key is what it sees; of a log biased low"),
         ("steps.gain", SHARE, "part of the variance of Q that is explained more, by data that did not choose it")),
    *_of("memory",
         ("p_previous", NONE, "chance of as much dependence on it if there were none", "p"),
         ("information_previous", "nats", "what it tells of the next joint pair, above chance", "information")),
    *_of("bounds.*",
         ("truth", REWARD, "the error that is bounded", "truth"),
         ("reward_part", REWARD, "part of the bound that the split of a shared reward has: what it misses/(1−γ)",
          "reward part"),
         ("transition_part", REWARD, "the rest of it, which the transitions have", "transition part")),
    *_of("breakdown",
         ("per_pair", NONE, "part of E_i (mu-atv) that a local pair carries"),
         ("occupancy", SHARE, "share of the time that the agent spends on the local pair"),
         ("remaining", NONE, "E_i left when the model may also read another agent's pair")),
    *_of("local_values.agents",
         ("values", REWARD, "the agent's part of the sum of local values where it is at that local pair",
          "local value"),
         ("visited", SHARE, "share of the agent's steps there in the long run; 0: never", "visited")),
)  # fmt: skip
#: Every number by its place in the result JSON: its one name, its unit, its meaning.
NUMBERS = {
    t.key: t
    for t in (*DISTANCES, *VALUES, _VDN, *_SIGNAL, *_BUDGET, *_ORDERS, *_DECISION, *_MEAN_FIELD, _BOUND, _CERTIFICATE,
              _PARTNER, _BIAS, *_REST)
}  # fmt: skip
