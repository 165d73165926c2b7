"""The questions right after the verdict: what the error consists of, what it costs, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .facts import NOISE, elide, is_estimate, listed, names, number, percent

if TYPE_CHECKING:
    from .document import Document

_NUMBER = ("number", "value", "what it says")
_UNIT = "root mean square, reward units"
_FEWER = (
    "That takes every pair of counts: a bandit with fewer arms of the same types, and a budget in proportion, has it "
    "exactly."
)
MOST_ROWS = 12


@dataclass(frozen=True)
class Question:
    """A question with its answer.

    Attributes
    ----------
    key : name in the result JSON, and of the picture if there is one.
    title : the question.
    sentences : the answer.
    head, rows : its table, as shown.
    """

    key: str
    title: str
    sentences: list[str]
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def questions(result: Document) -> list[Question]:
    """Those that the result answers, in order."""
    asked = (_budget(result), _orders(result), _decision(result), _policy_or_system(result))
    return [q for q in asked if q is not None]


def missing(result: Document) -> str:
    """What an estimate cannot say and what would, or ""."""
    asked = {"error_budget": "the floor of the error", "orders": "what pairwise values buy",
             "decision": "whether a decision changes"}  # fmt: skip
    refused = {part.name for part in result.refused}
    lacking = [
        word
        for key, word in asked.items()
        if key in result.model_fields_set and getattr(result, key) is None and key not in refused
    ]
    if not lacking or not is_estimate(result):
        return ""
    return f"Not known for estimated values: {', '.join(lacking)}. {_FEWER}"


def _unknown(result: Document) -> str:
    return f"Not known for estimated values. {_FEWER}" if is_estimate(result) else "Not known."


def _budget(result: Document) -> Question | None:
    b = result.error_budget
    if b is None:
        return None
    rows = [
        ("error", number(b.error), f"of the sum of local values ({_UNIT})"),
        ("floor", number(b.floor), "what the best additive values miss, however they are learned"),
        ("bias", number(b.bias), "what this way of learning adds: each agent on its own reward"),
        ("noise", number(b.noise), "what the limited data add"),
        ("joint_additive", number(b.joint_additive), "error of local values fitted jointly on all rewards"),
        ("unexplained_floor", percent(b.unexplained_floor), "the floor as a share of the spread of Q"),
    ]
    if b.error is None or b.floor is None:
        answer = _unknown(result)
    elif b.error < NOISE:
        answer = "There is no error to avoid."
    elif b.floor < NOISE:
        answer = "All of it: some additive values are exact, and it is the way of learning that misses them."
    else:
        answer = (
            f"{percent(max(1 - b.floor / b.error, 0.0))} of it: the best additive values err by {number(b.floor)} "
            f"where this sum errs by {number(b.error)} ({_UNIT})."
        )
    title = "How much of the error could any additive values avoid?"
    return Question("error_budget", title, [answer], _NUMBER, [row for row in rows if row[1] != "-"])


def _orders(result: Document) -> Question | None:
    if result.orders is None:
        return None
    left, pairs = result.orders.unexplained, result.orders.best_pairs
    words = ("a constant", "one agent: additive values", "two agents: pairwise values", "three agents")
    of = [words[k] if k < len(words) else f"{k} agents" for k in range(len(left))]
    rows = [(word, percent(x)) for word, x in zip(of, left, strict=True)]
    whose = [
        f"two of {elide(p.names[0])}" if p.agents[0] == p.agents[1] else " with ".join(map(elide, p.names))
        for p in pairs[:MOST_ROWS]
    ]
    rows += [(f"{'additive' if k == 0 else '...'} + {who}", percent(p.unexplained))
             for k, (who, p) in enumerate(zip(whose, pairs, strict=False))]  # fmt: skip
    one, two = (*left, None, None)[1:3]
    if one is None:
        answer = _unknown(result)
    elif one < NOISE:
        answer = "Nothing: additive values can be exact."
    elif two is None:
        answer = f"The best additive values leave {percent(one)} of the spread of Q."
    else:
        answer = (
            f"The best values of pairs of agents leave {percent(two)} of the spread of Q where the best additive "
            f"values leave {percent(one)}."
        )
    if whose:
        answer += f" The first pair to join: {whose[0]}, which leaves {percent(pairs[0].unexplained)}."
    head = ("best sum of functions of", "left of the spread of Q")
    return Question("orders", "What would pairwise values buy?", [answer], head, rows)


def _decision(result: Document) -> Question | None:
    d = result.decision
    if d is None:
        return None
    wrong = None if d.right is None else max(1 - d.right, 0.0)
    rows = [
        ("loss", number(d.loss), "what a choice by the sum loses on average against one by Q (reward units)"),
        ("share", percent(d.share), "the same as a share of the spread of Q"),
        ("wrong", percent(wrong), "share of the visited states where the sum prefers a worse action"),
        ("excluded", percent(d.excluded), "share of the visited states left out"),
        (
            "rank_correlation",
            number(d.rank_correlation),
            "of the order of service by the sum and by Q; 1: alike",
        ),
    ]
    if d.loss is None:
        answer = _unknown(result)
    elif d.loss < NOISE:
        answer = "No: in every state that was looked at, the action that the sum prefers is a best one."
    else:
        cost = "" if d.share is None else f", {percent(d.share)} of the spread of Q"
        rare = "" if wrong is None else f", and is worse in {percent(wrong)} of the visited states"
        answer = f"Choosing by the sum instead of by Q costs {number(d.loss)} on average{cost}{rare}."
    return Question(
        "decision", "Does it change a decision?", [answer, *([d.note] if d.note else [])], _NUMBER,
        [row for row in rows if row[1] not in ("-", "0 %")],
    )  # fmt: skip


def _policy_or_system(result: Document) -> Question | None:
    p = result.policy_or_system
    if p is None:
        return None
    who = names(result)
    rows = [
        (elide(who[i]), number(p.kernel[i]), number(p.policy[i]), number(p.pair[i]))
        for i in listed(result, MOST_ROWS)
    ]
    head = ("agent", "system", "policy", "together: E_i")
    return Question(
        "policy_or_system", "Is it the policy or the system?", [p.sentence] if p.sentence else [], head, rows
    )
