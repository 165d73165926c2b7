"""The words of a report: what each number says, and what the numbers say together."""

from __future__ import annotations

from dataclasses import replace

from . import facts
from .document import Document
from .facts import number, percent
from .terms import NONE, NUMBERS, VALUES, Term


def row(key: str, x: float | None) -> tuple[str, str, str]:
    """(name, number as shown, what it says)."""
    term = NUMBERS[key]
    return term.name, term.show(x), term.says


def terms(result: Document) -> list[Term]:
    """The numbers of this result, each with definition and estimator."""
    asked = ("error_budget", "orders", "decision", "signal", "views")
    out = [NUMBERS[key] for key in asked if getattr(result, key) is not None]
    if result.policy_or_system is not None and "kernel" not in result.entanglement:
        out.append(NUMBERS["entanglement.kernel"])
    unknown = "not known to this version"
    for k, m in facts.measures(result).items():
        further = Term(k, NONE, "A further measure.", unknown, unknown, name=k)
        term, method = NUMBERS.get(f"entanglement.{k}", further), m.estimator or m.method
        out.append(term if method in (None, "exact") else replace(term, estimator=str(method)))
    values = result.values
    how = values and values.estimator
    out += [replace(t, estimator=how or t.estimator) for t in VALUES if _shown(result, t.name)]
    beside = {
        "values.joint_additive.vdn_gap": values and values.joint_additive,
        "bounds.*.bound": result.bounds,
        "certificate": result.certificate,
        "breakdown.explained": result.breakdown,
        "transition_bias": result.transition_bias,
    }
    return out + [NUMBERS[key] for key, there in beside.items() if there]


def _shown(result: Document, name: str) -> bool:
    """Whether a value has something to show; a share without a number is infinite where errors are known."""
    if (values := result.values) is None:
        return False
    share = name in ("relative_error", "unexplained") and values.error_mu is not None
    return share or getattr(values, name) is not None


def value_rows(result: Document) -> list[tuple[str, str, str]]:
    """(name, number as shown, what it says)."""
    return [(t.name, facts.estimated(result, t.name), t.says) for t in VALUES if _shown(result, t.name)]


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
        if why in result.verdict.sentence:
            return []
        rest = ", so no error can be set against your tolerance"
        return [f"{why[:1].upper()}{why[1:]}{'' if 'no values' in why else rest}."]
    missed, word = values.unexplained, result.verdict.word
    most = (values.intervals or {}).get("unexplained", (missed, missed))[1]
    if values.caution and (missed is None or word == "cannot-tell"):
        return [] if values.caution in result.verdict.sentence else [f"Cannot tell: {values.caution}."]
    out: list[str] = []
    if missed is None:
        varies = "Q hardly varies over the visited pairs, but the sum of local values does"
        out = [f"{varies}: there is no share to state."]
    elif missed < facts.NOISE and (most is None or most < facts.NOISE):
        out = ["Nothing of the spread of Q is missed: the sum of local values is exact up to rounding."]
    elif word != "cannot-tell" and missed >= facts.NOISE:  # what is open says nothing beside the sentence
        out = [_against(missed, most, result.verdict.tolerance, result.verdict.sentence)]
        said = "a constant would be nearer" in result.verdict.sentence
        out += (
            ["Over 100 %: a constant would be nearer to Q than this sum is."]
            if missed > 1 and not said
            else []
        )
    if (values.error_sup or 0.0) >= facts.NOISE:
        out.append(
            f"Where the chain goes, a value read off the sum is wrong by {number(values.error_mu)} on average "
            f"and by {number(values.error_sup)} at most, in units of the reward."
        )
    elif facts.is_estimate(result):
        out.append("The values were estimated; how, stands under the errors of the sum.")
    return out


def _against(missed: float, most: float | None, limit: float | None, sentence: str) -> str:
    """The share that is missed, `most` by its interval, set against the tolerance; "That" refers to the verdict
    sentence."""
    said = percent(missed) in sentence
    that = "That" if said else f"The sum misses {percent(missed)} of the spread of Q: that"
    if not limit:
        return f"{that} is more than your tolerance of 0 %."
    times = missed / limit
    if times > 1:
        turn = f"only a tolerance of {percent(most)} or more would turn the verdict."
        return f"{that} is {times:.3g} times your tolerance of {percent(limit)}; {turn}"
    return f"{that} is {percent(times)} of your tolerance of {percent(limit)}."
