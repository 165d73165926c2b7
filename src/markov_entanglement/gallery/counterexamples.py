"""Where assumptions fail: cycles and several attractors of the mean field, arms without an index, good indices
with bad policies."""

from __future__ import annotations

import itertools

import numpy as np

from .._check import choice
from ..model.bandit import RestlessBandit
from .priorities import JOINT, fixed, lp, priorities, separable, uniform
from .registry import Entry, Fact, register

#: Examples 1 to 3 of Gast, Gaujal & Yan, as stored in public code (rows are renormalised at 1e-8): P_0, P_1, R_1.
_GAST = {
    1: (
        [[0.5214073, 0.40392496, 0.07466774], [0.0158415, 0.21455666, 0.76960184],
         [0.53722329, 0.37651148, 0.08626522]],
        [[0.24639364, 0.23402385, 0.51958251], [0.49681581, 0.49509821, 0.00808597],
         [0.37826553, 0.15469252, 0.46704195]],
        [0.72232506, 0.18844869, 0.25752477],
    ),
    2: (
        [[0.02232142, 0.10229283, 0.87538575], [0.03426605, 0.17175704, 0.79397691],
         [0.52324756, 0.45523298, 0.02151947]],
        [[0.14874601, 0.30435809, 0.54689589], [0.56845754, 0.41117331, 0.02036915],
         [0.2526557, 0.27310439, 0.4742399]],
        [0.37401552, 0.11740814, 0.07866135],
    ),
    3: (
        [[0.47819592, 0.02090623, 0.50089785], [0.08063373, 0.15456935, 0.76479692],
         [0.66552514, 0.08481946, 0.2496554]],
        [[0.00279465, 0.37327924, 0.62392611], [0.51582335, 0.46333908, 0.02083756],
         [0.41875202, 0.17776712, 0.40348086]],
        [0.97658608, 0.53014109, 0.40394919],
    ),
}  # fmt: skip


def gast_two_cycle(
    n_arms: int = 30, example: int = 2, budget: int | None = None, discount: float = 0.9
) -> RestlessBandit:
    """Three-state arms of example 1, 2 or 3, reward only when active; 40 % of the arms are active unless `budget` says
    otherwise."""
    choice("example", str(example), tuple(map(str, _GAST)))
    p0, p1, r1 = (np.array(a) for a in _GAST[int(example)])
    kernels = np.stack([p0, p1])
    kernels /= kernels.sum(axis=2, keepdims=True)
    served = 2 * n_arms // 5 if budget is None else budget
    rewards = np.stack([np.zeros(3), r1], axis=1)
    return RestlessBandit(kernels, rewards, n_arms=n_arms, budget=served, discount=discount)


def conveyor(n_arms: int = 4, budget: int | None = None, discount: float = 0.99) -> RestlessBandit:
    """States 0..7. Right action (1 in states 0..3, 0 in 4..7): one step ahead with probability .1, from 7 back to 0 for
    a reward of 1. Wrong action: one step back with probability .5 - .01 s (1 in state 1; state 0 stays). Half of the
    arms is active unless `budget` says otherwise."""
    kernels, rewards = np.zeros((2, 8, 8)), np.zeros((8, 2))
    for s in range(8):
        right = 1 if s <= 3 else 0
        back = {0: 0.0, 1: 1.0}.get(s, 0.5 - 0.01 * s)
        kernels[right, s, (s + 1) % 8] += 0.1
        kernels[right, s, s] += 0.9
        kernels[1 - right, s, max(s - 1, 0)] += back
        kernels[1 - right, s, s] += 1 - back
    rewards[7, 0] = 0.1
    served = n_arms // 2 if budget is None else budget
    return RestlessBandit(kernels, rewards, n_arms=n_arms, budget=served, discount=discount)


def non_indexable(n_arms: int = 20, budget: int | None = None, discount: float = 0.95) -> RestlessBandit:
    """A three-state arm without a Whittle index for discounts of .9 and more; half of the arms is active unless
    `budget` says otherwise."""
    kernels = np.array([
        [[0, 0.4156, 0.3942], [0.5676, 0, 0.0133],
         [0.0191, 0.1097, 0]],
        [[0, 0.0903, 0.1301], [0.1903, 0, 0.6234],
         [0.2901, 0.3901, 0]],
    ])  # fmt: skip
    kernels[:, range(3), range(3)] = 1 - kernels.sum(axis=2)
    rewards = [[0.458, 0.9631], [0.5308, 0.7963], [0.6873, 0.1057]]
    served = n_arms // 2 if budget is None else budget
    return RestlessBandit(kernels, rewards, n_arms=n_arms, budget=served, discount=discount)


def good_index_bad_policy(
    n_arms: int = 10, budget: int | None = None, discount: float = 0.99
) -> RestlessBandit:
    """States START1, ENG1, START2, ENG2, DROP with rewards 0, .99, 0, 1, 0. Served, START1 engages in ENG1, which lasts
    while it is served (.99 a step); START2 engages in ENG2, which drops after one step. Unserved starts drop (.99).
    DROP returns to either start with probability .005. Half of the arms is active unless `budget` says otherwise."""
    leak = 0.01
    kernels = np.zeros((2, 5, 5))
    for start, engaged in ((0, 1), (2, 3)):
        kernels[0, start, [engaged, 4]] = leak, 1 - leak
        kernels[1, start, engaged] = 1.0
    kernels[0, 1, 4] = 1.0
    kernels[1, 1, [1, 4]] = 1 - leak, leak
    kernels[:, 3, 4] = 1.0
    kernels[:, 4, [0, 2, 4]] = leak / 2, leak / 2, 1 - leak
    served = n_arms // 2 if budget is None else budget
    return RestlessBandit(kernels, [0, 0.99, 0, 1, 0], n_arms=n_arms, budget=served, discount=discount)


_INDEPENDENT = "computed independently"
#: example -> fixed point, spectral radius, stable 2-cycle, average-reward Whittle index.
_CYCLES = {
    1: (
        (0.322579, 0.303168, 0.374253), 1.0268, (0.40554, 0.34379, 0.25068, 0.24156, 0.26399, 0.49445),
        (0.722325, 0.308282, 0.199544),
    ),
    2: (
        (0.299434, 0.338248, 0.362318), 1.1333, (0.47988, 0.42054, 0.09957, 0.12779, 0.24747, 0.62473),
        (0.374016, 0.181994, -0.021156),
    ),
    3: (
        (0.339839, 0.216528, 0.443633), 1.1080, (0.41828, 0.21779, 0.36393, 0.26962, 0.21423, 0.51615),
        (0.976586, 0.581752, 0.318045),
    ),
}  # fmt: skip
#: example -> E of a large bandit under simulation: number of arms and value.
_LARGE = {
    1: ((1000, 0.068), (4000, 0.080)),
    2: ((1000, 0.147), (4000, 0.142)),
    3: ((1000, 0.069), (4000, 0.073)),
}

register(
    Entry(
        "gast-2-cycle",
        "A mean field that cycles: entanglement does not vanish",
        "The only fixed point is unstable and a cycle of period 2 attracts: arms of one state are served with "
        "probabilities that alternate for ever, so E of the default example stays near .14, its limit being .136. "
        "Theorem 7.6 needs an attracting fixed point and promises nothing here.",
        "Gast, Gaujal & Yan 2020/23, examples 1 to 3; Hong et al. 2023, Fig. 1 (example 2)",
        gast_two_cycle,
        priorities(fixed([2, 1, 0]), "whittle", "lp", "myopic"),
        (
            *(
                Fact("policy", value, 6e-7, "exact count chain, independent programs", params={"n_arms": n})
                for n, value in zip((5, 10, 20, 30), (0.179333, 0.153008, 0.144112, 0.146451), strict=True)
            ),
            Fact("entanglement_limit", 0.136345, 6e-7, "mean field on its cycle, computed independently"),
            *(
                Fact("policy", value, 0.003, "independent simulator", params={"n_arms": n, "example": k})
                for k, found in _LARGE.items()
                for n, value in found
            ),
            *(
                Fact(quantity, value, tolerance, _INDEPENDENT, params={"example": k})
                for k, (point, radius, cycle, index) in _CYCLES.items()
                for quantity, value, tolerance in (
                    ("attractor", "violated", 0.0), ("fixed_point", point, 6e-7), ("radius", radius, 6e-5),
                    ("cycle", cycle, 6e-6), ("whittle-average", index, 2e-6),
                )
            ),
            separable(n_arms=5),
        ),
    ),
    Entry(
        "conveyor",
        "Conveyor of eight states: several attractors, and E vanishes all the same",
        "The priority order reaches its full reward, .0125 an arm and step, from some starts; yet finite systems "
        "drift to an attractor without any reward. There E falls like 1/sqrt(N): entanglement is about adding up "
        "values, not about how good the policy is.",
        "Hong et al. 2023, Fig. 2",
        conveyor,
        priorities(fixed([4, 7, 6, 5, 0, 1, 2, 3]), "lp"),
        (
            Fact("lp-value", 0.0125, 1e-9, "uniform over the states, all arms take the right action"),
            Fact(
                "lp-priority", (0.0125, 0.1375, 0.0725, 0.07125, -0.07, -0.06875, -0.0675, -0.06625), 1e-9,
                "advantages at price 0: the order 1, 2, 3, 0, 7, 6, 5, 4",
            ),
            Fact("attractor", "violated", 0.0, "several fixed points"),
            Fact("fixed_point", (0, 0, 0, 0.319, 0.569, 0.111, 0, 0), 6e-4, "where finite systems drift to"),
            Fact("mean_field_reward", 0.0, 1e-9, "state 7 is never reached there"),
            *(
                Fact("policy", value, 2e-4, "independent simulator", params={"n_arms": n})
                for n, value in ((400, 0.0130), (1000, 0.0081))
            ),
            Fact("mu-atv", 0.05083132, 6e-9, JOINT, params={"n_arms": 2}),
            separable(n_arms=2),
        ),
    ),
    Entry(
        "non-indexable",
        "An arm without a Whittle index",
        "Passivity is optimal in a set of states that does not grow with the subsidy, so there is no index; all six "
        "priority orders are on offer, and each has an attracting fixed point and entanglement of order 1/sqrt(N): "
        "Theorem 7.6 needs an order, not an index.",
        "Hong et al. 2024, public instance (rb-focus-set)",
        non_indexable,
        {
            "lp": lp,
            **{
                f"order-{''.join(map(str, o))}": fixed([float(-o.index(s)) for s in range(3)])
                for o in itertools.permutations(range(3))
            },
            "uniform": uniform,
        },
        (
            *(
                Fact("indexable", "non-indexable", 0.0, _INDEPENDENT, params={"discount": g})
                for g in (0.9, 0.95, 0.99)
            ),
            Fact("indexable", "indexable", 0.0, _INDEPENDENT, params={"discount": 0.5}),
            Fact("policy", 0.1668216, 6e-8, JOINT, "order-012", {"n_arms": 4}),
            Fact("mu-atv", 0.05520383, 6e-9, JOINT, "lp", {"n_arms": 4}),
            Fact("error_mu", 0.152410843, 6e-10, JOINT, "lp", {"n_arms": 4}),
            separable(n_arms=6),
        ),
    ),
    Entry(
        "good-index-bad-policy",
        "Indexability is not enough",
        "Every arm has its index, and the index policy is poor: it lets lasting engagements (.99 a step) drop in "
        "order to earn 1 once. From half of the arms in each start the Whittle policy is worth 193, LP-priority 363. "
        "Low entanglement makes a policy easy to evaluate, not good.",
        "Ghosh, Nagaraj, Jain & Tambe 2022",
        good_index_bad_policy,
        priorities(None, "whittle", "lp", "myopic"),
        (
            Fact("whittle", (0.970157, 0.970157, 0.980005, 0, 0), 6e-7, _INDEPENDENT),
            Fact("indexable", "indexable", 0.0, "Ghosh et al. 2022"),
            Fact("mu-atv", 0.08216181, 6e-9, JOINT, params={"n_arms": 4}),
            Fact("error_mu", 3.692760261, 6e-9, JOINT, params={"n_arms": 4}),
            Fact("reward", 0.2481877405, 1e-9, JOINT, params={"n_arms": 4}),
            Fact("reward", 0.2756339224, 1e-9, JOINT, "lp", {"n_arms": 4}),
            separable(n_arms=4),
        ),
    ),
)  # fmt: skip
