"""Four arms, one served a step: may their local values be added up, and what does each policy earn?

python examples/quickstart.py
"""

import numpy as np

import markov_entanglement as me

# P_i(t | s, a): rest (action 0) or serve (action 1) an arm with three states
stay, move = np.eye(3), np.full((3, 3), 1 / 3)
kernel = np.stack([0.9 * stay + 0.1 * move, move])
system = me.WeaklyCoupledMDP([kernel] * 4, [[0, 1, 3]] * 4, discount=0.9, budget=1)
policy = me.IndexPolicy([2, 1, 0])  # serve the arm in the lowest state

# the whole answer, verdict first
result = me.analyze(system, policy, tolerance=0.05)
print(result.verdict, result.sentence)
result.save_html("report.html")
result.save_json("result.json")
print(me.read_result("result.json").verdict.word)

# one question at a time
chain = system.under(policy)
measure = me.entanglement(chain, "mu-atv")
print("entanglement of each arm", measure.numbers, "in all", measure.total)
values = me.value_decomposition(chain)
print("error of the sum", values.error("mu"), "share of the spread", values.unexplained)
print("local values of arm 0", values.local_q[0])
proof = me.separability(chain)
print("every reward adds up:", proof.agentwise)
bracket = me.certificate(chain, None, None, values.local_q)
print("error between", bracket.interval("mu"))
loss = me.decision_loss(chain)
print("cost of deciding by the sum", loss.loss)

# policies side by side
ranking = me.compare({"index": policy, "uniform": me.UniformPolicy(), "best": "optimal"}, system)
for line in ranking.lines:
    print(f"{line.name:8} {line.value:8.3f} +- {line.uncertainty:.1g}")

# the same arms, a thousand of them
bandit = me.RestlessBandit(kernel, [0, 1, 3], n_arms=1000, budget=250, discount=0.9)
index = me.whittle_index(bandit)
print("Whittle indices", index.index, index.sentence)
limit = me.mean_field(bandit, me.IndexPolicy(index.index))
print("long run", limit.fixed_point)
path = me.simulate(bandit, me.IndexPolicy(index.index), 100, rng=0)
if path.counts is not None:
    print("arms in each state after 100 steps", path.counts[-1])

# named systems with known numbers
subject = me.gallery.build("shared-randomness")
print(me.check_system(subject.system, subject.policy).ok)
try:
    me.analyze(subject.system, "optimol")
except me.errors.UserError as mistake:
    print(mistake)
