"""Makes recycling.dpomdp, broadcast.dpomdp and meeting.dpomdp in the folder that is named: three well-known teams of
two, from their published definitions, in MADP's format. Both agents move on their own and share one reward.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np

HEAD = """\
# {text}
# Written by make_teams.py from the definition; nobody sees anything but its own state.
agents: 2
discount: 0.9
values: reward
states: {states}
start: {start}
actions:
{actions}
{actions}
observations:
1
1
O: * :
uniform"""


def write(file, text, laws, names, actions, start, pay):
    """A file of two agents: laws[i] (actions, states, states), one reward pay(local states, actions)."""
    states, moves = list(product(names, repeat=2)), list(product(actions, repeat=2))
    head = {"states": " ".join(map("-".join, states)), "start": "-".join(start), "actions": " ".join(actions)}
    lines = [HEAD.format(text=text, **head)]
    for move in moves:
        first, second = (law[actions.index(a)] for law, a in zip(laws, move, strict=True))
        lines.append(f"T: {' '.join(move)} :")
        lines += [" ".join(f"{p:.6g}" for p in row) for row in np.kron(first, second)]
    for move, state in product(moves, states):
        if reward := round(pay(state, move), 6):
            lines.append(f"R: {' '.join(move)} : {'-'.join(state)} : * : * : {reward:g}")
    Path(file).write_text("\n".join(lines) + "\n")


# Two robots recharge, look for small cans (worth 2 each) or carry a big one together (5). With a low battery a robot
# gets stuck with chance .2 or .3: it is fetched and charged, which costs 10, and the team gets nothing else.
STUCK = {"recharge": 0.0, "small": 0.2, "big": 0.3}
BATTERY = np.array([[[1, 0], [1, 0]], [[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], [0.3, 0.7]]])


def cans(levels, actions):
    """Expected over who gets stuck."""
    gain = 5.0 if actions == ("big", "big") else 2.0 * actions.count("small")
    risk = [STUCK[a] if level == "low" else 0.0 for level, a in zip(levels, actions, strict=True)]
    return (1 - risk[0]) * (1 - risk[1]) * gain - 10 * sum(risk)


# Two nodes share a channel; one that sends or has no message gets a new one with chance .9 or .1. A message is worth 1
# where the other node does not send.
def buffer(chance):
    """Empty or full, after waiting and after sending."""
    new = [1 - chance, chance]
    return np.array([[new, [0, 1]], [new, new]])


def heard(buffers, actions):
    """One sends, and has something to send."""
    return float(actions.count("send") == 1 and buffers[actions.index("send")] == "full")


# Two robots try to stand on the same of four squares: a step succeeds with chance .6, else it is one of the other three
# or none, .1 each; walls hold them back.
WAYS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1), "stay": (0, 0)}
SQUARES = list(product((0, 1), repeat=2))


def steps():
    """Laws on the squares, row by row."""
    law = np.zeros((5, 4, 4))
    for (a, aim), (s, square) in product(enumerate(WAYS), enumerate(SQUARES)):
        for way, step in WAYS.items():
            chance = float(way == "stay") if aim == "stay" else 0.6 if way == aim else 0.1
            to = tuple(np.clip(np.add(square, step), 0, 1).tolist())
            law[a, s, SQUARES.index(to)] += chance
    return law


folder = Path(sys.argv[1])
write(
    folder / "recycling.dpomdp",
    "Recycling robots (Amato, Bernstein, Zilberstein, UAI 2007), after Sutton and Barto's robot.",
    (BATTERY, BATTERY),
    ["high", "low"],
    list(STUCK),
    ("high", "high"),
    cans,
)
write(
    folder / "broadcast.dpomdp",
    "A broadcast channel (Ooi, Wornell 1996; Hansen, Bernstein, Zilberstein, AAAI 2004). What collides is lost.",
    (buffer(0.9), buffer(0.1)),
    ["empty", "full"],
    ["wait", "send"],
    ("full", "full"),
    heard,
)
write(
    folder / "meeting.dpomdp",
    "Meeting on a grid of 2x2 (Bernstein, Hansen, Zilberstein, IJCAI 2005).",
    (steps(), steps()),
    ["nw", "ne", "sw", "se"],
    list(WAYS),
    ("ne", "sw"),
    lambda squares, _: float(squares[0] == squares[1]),
)
