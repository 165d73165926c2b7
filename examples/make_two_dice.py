"""Makes two_dice.tra, .lab and .srew: two dice from fair coins, as D. E. Knuth and A. C. Yao published the die ("The
complexity of nonuniform random number generation", 1976, 357-428): states 0..6 throw a coin, 7..12 show 1..6. One of
the dice throws at each step; state 13 x + y has the first die in x, the second in y. A die that throws costs 1 a step.
"""

import itertools
import sys
from pathlib import Path

DIE = {0: (1, 2), 1: (3, 4), 2: (5, 6), 3: (1, 7), 4: (8, 9), 5: (10, 11), 6: (2, 12)}

lines, choices, cost, done = [], 0, [], []
for x, y in itertools.product(range(13), repeat=2):
    throws = [("first", [13 * to + y for to in DIE[x]])] if x in DIE else []
    throws += [("second", [13 * x + to for to in DIE[y]])] if y in DIE else []
    for choice, (name, ends) in enumerate(throws):
        lines += [f"{13 * x + y} {choice} {to} 0.5 {name}" for to in ends]
    choices += len(throws)
    cost += [f"{13 * x + y} {-len(throws)}"] if throws else []
    done += [] if throws else [f"{13 * x + y}: 1"]

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "examples")
for suffix, text in (
    ("tra", [f"169 {choices} {len(lines)}", *lines]),
    ("lab", ['0="init" 1="done"', "0: 0", *done]),
    ("srew", [f"169 {len(cost)}", *cost]),
):
    (folder / f"two_dice.{suffix}").write_text("\n".join(text) + "\n")
