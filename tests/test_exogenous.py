"""Agents that see a signal (App. J.1), against the joint chain on (z, s, a) built by loops over raw arrays."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import markov_entanglement as me
import oracles
from markov_entanglement.errors import InvalidInput, Unsupported


class Raw:
    """Signal (Z, Z), kernels[i] (Z, A, S, S), rewards[i] (Z, S, A) and a law (state, z) -> {action: p}, by loops."""

    def __init__(self, signal, kernels, rewards, law, gamma):
        self.signal, self.kernels, self.rewards, self.gamma = signal, kernels, rewards, gamma
        self.z, self.n = len(signal), len(kernels)
        self.s, self.a = [k.shape[2] for k in kernels], [k.shape[1] for k in kernels]
        self.points = [
            (z, s, a, p)
            for z in range(self.z)
            for s in itertools.product(*map(range, self.s))
            for a, p in sorted(law(s, z).items())
        ]
        size = len(self.points)
        self.P = np.zeros((size, size))
        for x, (z, s, a, _) in enumerate(self.points):
            for y, (z2, s2, _, p) in enumerate(self.points):
                move = math.prod(k[z, a[i], s[i], s2[i]] for i, k in enumerate(kernels))
                self.P[x, y] = signal[z, z2] * move * p
        stay = np.vstack([self.P.T - np.eye(size), np.ones(size)])
        self.mu = np.linalg.lstsq(stay, np.append(np.zeros(size), 1.0), rcond=None)[0]
        self.r = sum(self.paid(i) for i in range(self.n))
        self.q = np.linalg.solve(np.eye(size) - gamma * self.P, self.r)

    def paid(self, i):
        return np.array([self.rewards[i][z, s[i], a[i]] for z, s, a, _ in self.points])

    def key(self, i, blind=False):
        """(n,) number of (z, s_i, a_i), or of (s_i, a_i)."""
        wide = [((0 if blind else z) * self.s[i] + s[i]) * self.a[i] + a[i] for z, s, a, _ in self.points]
        return np.array(wide)

    def laws(self, i, blind=False):
        """(n, m) laws of the next key."""
        key, m = self.key(i, blind), self.s[i] * self.a[i] * (1 if blind else self.z)
        return self.P @ np.eye(m)[key], m

    def policy_rows(self, i, blind=False):
        """Keys (z, s_i), weights and laws of the action, at every (z, s)."""
        seen = {}
        for x, (z, s, a, p) in enumerate(self.points):
            law, mass = seen.setdefault((z, s), [np.zeros(self.a[i]), 0.0])
            law[a[i]] += p
            seen[z, s][1] = mass + self.mu[x]
        keys = np.array([(0 if blind else z) * self.s[i] + s[i] for z, s in seen])
        return keys, np.array([m for _, m in seen.values()]), np.array([law for law, _ in seen.values()])

    def local(self, i, blind=False):
        """(m,) local values by the mean law and the mean reward of every key."""
        key, (laws, m) = self.key(i, blind), self.laws(i, blind)
        mass = np.bincount(key, self.mu, m)
        mass = np.where(mass > 1e-13, mass, np.inf)  # what is never visited is worth nothing here
        p = np.stack([np.bincount(key, self.mu * laws[:, t], m) for t in range(m)], axis=1) / mass[:, None]
        r = np.bincount(key, self.mu * self.paid(i), m) / mass
        return np.linalg.solve(np.eye(m) - self.gamma * p, r), r

    def error(self, blind=False):
        return self.q - sum(self.local(i, blind)[0][self.key(i, blind)] for i in range(self.n))

    def norms(self, f):
        return {"mu": self.mu @ np.abs(f), "sup": np.abs(f).max(), "l2": math.sqrt(self.mu @ f**2)}

    def unexplained(self, f):
        def sd(g):
            return math.sqrt(self.mu @ (g - self.mu @ g) ** 2)

        return sd(f) / sd(self.q)


def least(keys, weights, laws):
    """min over local laws of the weighted TV, a linear program for every key."""
    return sum(
        oracles.median_by_linprog(laws[at], weights[at])
        for k in np.unique(keys)
        if len(at := np.flatnonzero(keys == k))
    )


def farthest(keys, laws):
    """max over keys of the minimax centre, from below and above."""
    return max(oracles.centre_lower(laws[keys == k]) for k in np.unique(keys))


def system_of(raw, **kw):
    return me.ExogenousMDP(raw.kernels, raw.rewards, signal=raw.signal, discount=raw.gamma, **kw)


def arrays(rng, sizes=((2, 2), (3, 2)), signals=2, reads=True):
    """Random signal, kernels and rewards; `reads`: the signal changes how agents move."""
    kernels = [
        rng.dirichlet(np.ones(s), (signals, a, s)) if reads else np.stack([rng.dirichlet(np.ones(s), (a, s))] * signals)
        for s, a in sizes
    ]  # fmt: skip
    rewards = [rng.normal(size=(signals, s, a)) for s, a in sizes]
    return rng.dirichlet(np.ones(signals), size=signals), kernels, rewards


def coupling(rng, sizes, signals):
    """A random law over joint actions for every (state, z)."""
    actions = list(itertools.product(*(range(a) for _, a in sizes)))
    states = itertools.product(itertools.product(*(range(s) for s, _ in sizes)), range(signals))
    table = {
        x: dict(zip(actions, rng.dirichlet(np.ones(len(actions))).tolist(), strict=True)) for x in states
    }
    return lambda state, z: table[state, z]


SIZES = ((2, 2), (3, 2))
CASES = [(seed, sizes, signals, reads)
         for seed, (sizes, signals) in enumerate([(SIZES, 2), (SIZES, 3), (((2, 2),) * 3, 2), (((2, 3), (2, 1)), 3)])
         for reads in (True, False)]  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda c: f"{len(c[1])} agents {c[2]} signals{' reads' if c[3] else ''}")
def pair(request):
    seed, sizes, signals, reads = request.param
    rng = np.random.default_rng([seed, reads])
    raw = Raw(*arrays(rng, sizes, signals, reads), coupling(rng, sizes, signals), 0.8)
    law = {(s, z): {} for z, s, _, _ in raw.points}
    for z, s, a, p in raw.points:
        law[s, z][a] = p
    return raw, system_of(raw).under(lambda s, z: law[s, z])


def test_the_chain_is_that_of_the_loops(pair):
    raw, chain = pair
    assert chain.n_pairs == len(raw.points)
    assert np.allclose(chain.occupancy, raw.mu, atol=1e-12)
    for i in range(raw.n):
        assert (chain.pairs[:, i] == raw.key(i)).all()
        assert np.allclose(chain.next_law(i), raw.laws(i)[0], atol=1e-12)


def test_measures_are_those_of_linear_programs(pair):
    raw, chain = pair
    found = {d: me.entanglement(chain, d).per_agent for d in ("mu-atv", "atv", "policy", "kernel")}
    for i in range(raw.n):
        key, laws = raw.key(i), raw.laws(i)[0]
        assert found["mu-atv"][i] == pytest.approx(least(key, raw.mu, laws), abs=1e-9)
        assert found["atv"][i] == pytest.approx(farthest(key, laws), abs=1e-7)
        assert found["policy"][i] == pytest.approx(least(*raw.policy_rows(i)), abs=1e-9)
        assert found["policy"][i] >= found["mu-atv"][i] - 1e-12  # Prop. J.4
        assert found["kernel"][i] < 1e-12


def test_values_and_errors(pair):
    raw, chain = pair
    found, error = me.value_decomposition(chain), raw.error()
    assert np.allclose(found.joint_q, raw.q, atol=1e-10)
    for i in range(raw.n):
        assert np.allclose(found.local_q[i], raw.local(i)[0], atol=1e-10)
    for norm, value in raw.norms(error).items():
        assert found.error(norm) == pytest.approx(value, abs=1e-10)
    assert found.unexplained == pytest.approx(raw.unexplained(error), abs=1e-10)


def test_theorem_j3_and_its_spans_within_a_signal(pair):
    raw, chain = pair
    names = {"mu-atv": "Theorem J.3 in L1(mu)", "atv": "Theorem J.3", "policy": "Theorem J.3 with Prop. J.4"}
    measures = {d: me.entanglement(chain, d) for d in (*names, "spectral")}
    bounds = {b.name: b for b in me.error_bounds(me.value_decomposition(chain), measures)}
    scale = 4 * raw.gamma / (1 - raw.gamma) ** 2
    for distance, name in names.items():
        e = measures[distance].per_agent
        largest = sum(e[i] * np.abs(raw.rewards[i]).max() for i in range(raw.n))
        within = sum(e[i] * max(np.ptp(r) for r in raw.rewards[i]) / 2 for i in range(raw.n))
        assert bounds[name].value == pytest.approx(scale * largest)
        assert bounds[f"{name}, half spans"].value == pytest.approx(scale * within)
    assert all(b.value >= b.truth - 1e-12 for b in bounds.values())
    spans = 0.0
    for i in range(raw.n):
        key, (laws, m) = raw.key(i), raw.laws(i)
        mean = np.stack([np.bincount(key, raw.mu * laws[:, t], m) for t in range(m)], axis=1)
        mean /= np.bincount(key, raw.mu, m)[:, None]
        q = raw.local(i)[0].reshape(raw.z, -1)
        spans += raw.mu @ oracles.tv(laws, mean[key]) * max(np.ptp(row) for row in q)
    assert bounds["value spans (mu)"].value == pytest.approx(raw.gamma / (1 - raw.gamma) * spans)


def test_a_reward_of_the_signal_alone_costs_nothing():
    rng = np.random.default_rng(5)
    signal, kernels, _ = arrays(rng, SIZES, 3)
    only = [np.broadcast_to(np.array([3.0, -2.0, 7.0])[:, None, None], (3, s, a)) for s, a in SIZES]
    raw = Raw(signal, kernels, only, coupling(rng, SIZES, 3), 0.9)
    chain = system_of(raw).under(coupling(rng, SIZES, 3))
    found = me.value_decomposition(chain)
    bounds = {
        b.name: b.value
        for b in me.error_bounds(found, [me.entanglement(chain, "spectral"), me.entanglement(chain)])
    }
    assert found.error("sup") < 1e-10
    assert bounds["Theorem J.3 in L1(mu)"] > 100
    assert bounds["Theorem J.3 in L1(mu), half spans"] == 0
    assert max(bounds["value spans (mu)"], bounds["value spans (sup)"], bounds["spectral"]) < 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_prop_j1_policies_that_are_local_given_the_signal_are_separable(seed):
    rng = np.random.default_rng(seed)
    sizes, signals = ((2, 2), (3, 2), (2, 3)), 2 + seed % 2
    signal, kernels, rewards = arrays(rng, sizes, signals)
    tables = [rng.dirichlet(np.ones(a), size=(signals, s)) for s, a in sizes]
    system = me.ExogenousMDP(kernels, rewards, signal=signal, discount=0.9)
    chain = system.under(me.LocalPolicy(tables))
    assert me.entanglement(chain, "atv", support="reachable").worst < 1e-12
    assert me.value_decomposition(chain).error("sup") < 1e-10

    def law(state, z):
        found = {(): 1.0}
        for t, s in zip(tables, state, strict=True):
            found = {(*a, b): p * q for a, p in found.items() for b, q in enumerate(t[z, s].tolist())}
        return found

    assert np.allclose(system.under(law).occupancy, chain.occupancy)
    assert me.separability(chain).agentwise == "separable"


# --- local values that may not see the signal ----------------------------------------------------------------------


def test_blind_chains_are_those_of_the_loops(pair):
    raw, chain = pair
    blind = chain.blind()
    alike = all((k == k[:1]).all() for k in raw.kernels)
    found = {d: me.entanglement(blind, d).per_agent for d in ("mu-atv", "atv", "kernel")}
    for i in range(raw.n):
        key, laws = raw.key(i, True), raw.laws(i, True)[0]
        assert found["mu-atv"][i] == pytest.approx(least(key, raw.mu, laws), abs=1e-9)
        assert found["atv"][i] == pytest.approx(farthest(key, laws), abs=1e-7)
        assert np.allclose(blind.local_transition(i), chain_mean(raw, i), atol=1e-12)
    assert (found["kernel"].max() < 1e-12) == alike
    values, error = me.value_decomposition(blind), raw.error(True)
    assert np.allclose(values.joint_q, raw.q, atol=1e-10)
    for norm, value in raw.norms(error).items():
        assert values.error(norm) == pytest.approx(value, abs=1e-10)
    assert values.unexplained == pytest.approx(raw.unexplained(error), abs=1e-10)
    misfit = sum(raw.mu @ np.abs(raw.paid(i) - raw.local(i, True)[1][raw.key(i, True)]) for i in range(raw.n))
    assert values.misfit == pytest.approx(misfit, abs=1e-12)
    assert values.errors()["reward_misfit"] == values.misfit


def chain_mean(raw, i):
    key, (laws, m) = raw.key(i, True), raw.laws(i, True)
    mean = np.stack([np.bincount(key, raw.mu * laws[:, t], m) for t in range(m)], axis=1)
    return mean / np.bincount(key, raw.mu, m)[:, None]


def test_prop_j4_without_the_signal_only_where_no_kernel_reads_it(pair):
    raw, chain = pair
    blind = chain.blind()
    if blind.decoupled:
        policy, e = (me.entanglement(blind, d).per_agent for d in ("policy", "mu-atv"))
        assert all(
            policy[i] == pytest.approx(least(*raw.policy_rows(i, True)), abs=1e-9) for i in range(raw.n)
        )
        assert (policy >= e - 1e-12).all()
    else:
        with pytest.raises(Unsupported, match="bounds nothing without it"):
            me.entanglement(blind, "policy")


def test_blind_bounds_hold_with_the_reward_misfit(pair):
    raw, chain = pair
    blind = chain.blind()
    values = me.value_decomposition(blind)
    bounds = me.error_bounds(values, [me.entanglement(blind, d) for d in ("mu-atv", "atv", "spectral")])
    assert {b.norm for b in bounds} == {"mu"} and any(b.name.endswith("+ reward misfit") for b in bounds)
    assert all(b.value >= b.truth - 1e-12 for b in bounds)
    theorem = me.entanglement(blind).per_agent @ [np.abs(raw.local(i, True)[1]).max() for i in range(raw.n)]
    expected = 4 * raw.gamma / (1 - raw.gamma) ** 2 * theorem + values.misfit / (1 - raw.gamma)
    assert bounds[0].value == pytest.approx(expected)


def test_rewards_that_see_no_signal_leave_no_misfit_and_certificates_hold():
    rng = np.random.default_rng(3)
    signal, kernels, rewards = arrays(rng, SIZES, 2)
    system = me.ExogenousMDP(kernels, [r[0] for r in rewards], signal=signal, discount=0.9)
    blind = system.under(coupling(rng, SIZES, 2)).blind()
    values = me.value_decomposition(blind)
    assert values.misfit < 1e-14
    low, high = me.certificate(blind, None, None, values.sum_q).interval("mu")
    assert low <= values.error() + 1e-12 and values.error() <= high + 1e-12


def test_side_by_side_with_a_common_function_of_the_signal(pair):
    raw, chain = pair
    lost = me.signal_loss(chain)
    z = np.array([p[0] for p in raw.points])
    off = raw.error(True)
    g = np.bincount(z, raw.mu * off) / np.bincount(z, raw.mu)
    forms = {"seeing": raw.error(), "blind": off, "common": off - g[z]}
    assert np.allclose(lost.g, g, atol=1e-10)
    for form, error in forms.items():
        expected = {f"error_{k}": v for k, v in raw.norms(error).items()} | {
            "unexplained": raw.unexplained(error)
        }
        for name, value in expected.items():
            assert lost.errors[form][name] == pytest.approx(value, abs=1e-10)
    block = me.analyze(chain).to_dict()["signal"]
    assert block["blind"] == lost.to_dict()["blind"]
    assert block["sentence"] == lost.sentence
    assert block["reward_misfit"] == pytest.approx(lost.misfit)


def test_what_blind_chains_refuse():
    rng = np.random.default_rng(4)
    signal, kernels, rewards = arrays(rng, SIZES, 2)
    chain = me.ExogenousMDP(kernels, rewards, signal=signal, discount=0.9).under("uniform")
    blind = chain.blind()
    with pytest.raises(Unsupported, match="without the signal joint pairs"):
        me.entanglement(blind, "tv")
    with pytest.raises(Unsupported, match="values of states"):
        me.value_decomposition(blind, kind="V")
    with pytest.raises(Unsupported, match="with a trace"):
        me.value_decomposition(blind, trace=0.5)
    with pytest.raises(Unsupported, match="see no signal"):
        me.gallery.build("circulant").chain().blind()
    with pytest.raises(Unsupported, match="see no signal"):
        me.signal_loss(me.gallery.build("circulant").chain())


# --- numbers of the literature's systems -----------------------------------------------------------------------------

EV = {  # policy, mu-atv, atv, then errors mu, sup, l2, unexplained; the same blind, with a common g(z): mu, unexplained
    "random": ((0, 0, 0, 0, 0, 0, 0), (0.090909, 0.009091, 0.016667, 0.224513, 0.438743, 0.249792, 0.430239),
               (0.115850, 0.240275), 0.497984, 15543),
    "whittle": ((0.158794, 0.127753, 0.5, 0.050521, 0.857927, 0.081816, 0.137562),
                (0.229084, 0.127327, 0.5, 0.274105, 1.037704, 0.305895, 0.514323), (0.097662, 0.225223),
                0.743336, 7953),
    "laxity": ((0.163156, 0.130188, 0.5, 0.046399, 0.848101, 0.075943, 0.127088),
               (0.230659, 0.129972, 0.5, 0.274465, 1.016175, 0.304679, 0.509869), (0.094696, 0.217791),
               0.745258, 7038),
}  # fmt: skip


@pytest.mark.parametrize("policy", EV)
def test_ev_charging(policy):
    """Two independent programs on dictionaries gave these."""
    chain = me.gallery.build("ev-charging", policy).chain()
    seeing, unseen, common, reward, recurrent = EV[policy]
    assert chain.system.spaces.joint_states == 10125 and chain.recurrent.sum() == recurrent
    assert chain.occupancy @ chain.reward(chain.system.rewards) == pytest.approx(reward, abs=6e-7)
    assert len(np.unique(chain.pair_state[chain.recurrent])) == 5181
    lost = me.signal_loss(chain)
    errors = ("error_mu", "error_sup", "error_l2", "unexplained")
    for form, c, known in (("seeing", chain, seeing), ("blind", chain.blind(), unseen)):
        found = [me.entanglement(c, d).per_agent for d in ("policy", "mu-atv", "atv")]
        assert np.allclose(found, np.array(known[:3])[:, None], atol=6e-7)
        assert np.allclose([lost.errors[form][k] for k in errors], known[3:], atol=6e-7)
    assert np.allclose([lost.errors["common"][k] for k in ("error_mu", "unexplained")], common, atol=6e-7)


RIDES = {  # policy, mu-atv, atv, errors mu, l2, unexplained; blind: mu-atv, error mu, unexplained
    "random": (
        (0.061075, 0.050711, 0.274222),
        (0.189935, 0.241793, 0.192912),
        (0.247222, 0.711614, 0.643609),
    ),
    "nearest": (
        (0.131925, 0.085086, 0.336667),
        (0.171977, 0.216425, 0.172742),
        (0.255057, 0.674535, 0.613531),
    ),
    "value": ((0.114930, 0.072998, 0.29), (0.169778, 0.215670, 0.163756), (0.233346, 0.622057, 0.559327)),
}


@pytest.mark.parametrize("policy", RIDES)
def test_ride_hailing(policy):
    chain = me.gallery.build("ride-hailing", policy).chain()
    measures, errors, (blind, blind_mu, blind_unexplained) = RIDES[policy]
    found = [me.entanglement(chain, d).per_agent for d in ("policy", "mu-atv", "atv")]
    assert np.allclose(found, np.array(measures)[:, None], atol=6e-7)
    lost = me.signal_loss(chain)
    assert np.allclose(
        [lost.errors["seeing"][k] for k in ("error_mu", "error_l2", "unexplained")], errors, atol=6e-7
    )
    assert np.allclose(lost.blind_entanglement.per_agent, blind, atol=6e-7)
    assert lost.errors["blind"]["error_mu"] == pytest.approx(blind_mu, abs=6e-7)
    assert lost.errors["blind"]["unexplained"] == pytest.approx(blind_unexplained, abs=6e-7)
    with pytest.raises(Unsupported):
        me.entanglement(chain.blind(), "policy")  # .182636 for "random", below E


@pytest.mark.parametrize(
    ("name", "policy", "params"),
    [("revenue-management", "fcfs", {}), ("revenue-management", "fcfs", {"both": 0.3}),
     ("revenue-management", "bid-price", {"seats": 2}),
     pytest.param("inventory", "lowest-stock", {}, marks=pytest.mark.slow),
     ("inventory", "lowest-stock", {"products": 2}), ("inventory", "uniform", {"products": 2, "units": 2})],
)  # fmt: skip
def test_gallery_systems_against_loops(name, policy, params):
    subject = me.gallery.build(name, policy, **params)
    system, chain = subject.system, subject.chain()
    z, sizes = system.spaces.n_signals, system.spaces.plain
    kernels = [np.broadcast_to(k, (z, *k.shape[-3:])) for k in system.kernels]
    rewards = [
        r.reshape(z, s, a)
        for r, s, a in zip(system.rewards.local, sizes.n_states, sizes.n_actions, strict=True)
    ]

    def law(state, signal):
        wide = tuple(signal * k + s for s, k in zip(state, sizes.n_states, strict=True))
        return chain.policy.law(wide)

    raw = Raw(system.signal, kernels, rewards, law, system.discount)
    found = me.value_decomposition(chain)
    mu = np.where(raw.mu > 1e-14, raw.mu, 0.0)
    assert np.allclose(chain.occupancy, mu, atol=1e-10)
    assert np.allclose(found.joint_q, raw.q, atol=1e-8)
    assert found.unexplained == pytest.approx(raw.unexplained(raw.error()), abs=1e-8)
    for i in range(raw.n):
        key, laws = raw.key(i), raw.laws(i)[0]
        assert me.entanglement(chain).per_agent[i] == pytest.approx(
            least(key[mu > 0], mu[mu > 0], laws[mu > 0]), abs=1e-8
        )


# --- what is given ------------------------------------------------------------

SIGNAL = np.array([[0.7, 0.3], [0.4, 0.6]])
ARM = np.array([[[0.9, 0.1], [0.3, 0.7]], [[0.2, 0.8], [0.1, 0.9]]])
PAY = np.array([[[0.0, -0.2], [1.0, 0.8]], [[0.0, -0.6], [1.0, 0.4]]])


def stations(n=3, **kw):
    given = {"signal": SIGNAL, "discount": 0.9} | kw
    return me.ExogenousMDP([ARM] * n, [PAY] * n, **given)


def test_a_signal_that_reads_the_agents_is_an_agent():
    reads = np.tile(SIGNAL, (2, 1, 1))
    with pytest.raises(
        InvalidInput, match=r"signal: got shape 2x2x2; a signal moves on its own.*me.MultiAgentMDP"
    ):
        stations(signal=reads)
    # the remedy: one more agent with one action
    kernel = np.zeros((4, 2, 4))
    for s, z, a, t, y in itertools.product(range(2), repeat=5):
        kernel[2 * s + z, a, 2 * t + y] = ARM[a, s, t] * reads[s, z, y]
    joint = me.MultiAgentMDP(kernel, n_states=(2, 2), n_actions=(2, 1))
    assert me.entanglement(joint.under("uniform")).per_agent.shape == (2,)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"signal": [[0.5, 0.6], [0.5, 0.5]]}, "signal"),
        ({"signal": [[0.5, 0.5]]}, "signal: got shape 1x2"),
        ({"budget": [1, 2, 1]}, "the signal has 2 values"),
        ({"budget": [1, 9]}, r"budget\[1\]"),
        ({"budget": [[1, 2], [3]]}, "budget"),
        ({"labels": {"signals": ["cheap"]}}, "agents.signals"),
        ({"resources": [([0, 1], [1.0, 2.0, 3.0], "<=")]}, r"resources\[0\].limit"),
    ],
)
def test_what_is_wrong_is_named(wrong, said):
    with pytest.raises(InvalidInput, match=said):
        stations(**wrong)


def test_wrong_kernels_and_rewards_are_named():
    with pytest.raises(InvalidInput, match=r"kernels\[0\]: got 3 kernels; the signal has 2 values"):
        me.ExogenousMDP([np.stack([ARM] * 3)], signal=SIGNAL)
    with pytest.raises(
        InvalidInput, match=r"rewards\[1\]: got shape 3.*\(2, 2, 2\) with one for each signal"
    ):
        me.ExogenousMDP([ARM] * 2, [PAY, [1.0, 2.0, 3.0]], signal=SIGNAL)
    with pytest.raises(InvalidInput, match="one table per agent"):
        me.ExogenousMDP([ARM] * 2, np.zeros((3, 3)), signal=SIGNAL)


def test_a_policy_off_its_budget_is_refused_at_a_named_state():
    with pytest.raises(
        InvalidInput, match=r"action \(1, 1, 0\) in state \(0, 0, 0\) with signal 1; the budget there is 1"
    ):
        stations(budget=[2, 1]).under(lambda state, z: {(1, 1, 0): 1.0})
    fixed = stations(budget=[2, 1]).under(lambda state, z: {(1, 1, 0): 1.0} if z == 0 else {(1, 0, 0): 1.0})
    assert fixed.n_pairs == 16
    with pytest.raises(InvalidInput, match=r"at state \(0, 0, 0\) with signal 0; actions are tuples"):
        stations().under(lambda state, z: {(1, 1): 1.0})
    with pytest.raises(InvalidInput, match="KeyError"):
        stations().under(lambda state, z: {}[z])


def test_agents_that_see_different_signals_do_not_exist():
    with pytest.raises(InvalidInput, match="agents that see signals 0, 1, 0; all see the same one"):
        stations().under("uniform", initial=(0, 3, 1))
    with pytest.raises(InvalidInput, match="initial signal"):
        stations().under("uniform", initial=((0, 1, 1), 2))


def test_starts_by_numbers_names_and_laws():
    named = stations(labels={"states": ["empty", "full"], "signals": ["cheap", "dear"]})
    for start in (((0, 1, 1), 1), (("empty", "full", "full"), "dear"), (2, 3, 3)):
        chain = named.under("uniform", initial=start)
        assert chain.states[chain.initial > 0].tolist() == [[2, 3, 3]]
    law = np.zeros((2, 8))
    law[1, 3] = 1.0
    chain = named.under("uniform", initial=law)
    assert chain.states[chain.initial > 0].tolist() == [[2, 3, 3]]
    assert named.local_names(0)[0] == ["empty | cheap", "full | cheap", "empty | dear", "full | dear"]


def test_policies_in_every_form_are_the_same():
    system = stations(budget=[2, 1])
    priority = np.array([[2.0, 1.0], [1.0, 3.0]])
    index = system.under(me.IndexPolicy([priority]))
    each = system.under(me.IndexPolicy([priority.ravel()] * 3))

    def law(state, z):
        served, order = [2, 1][z], [priority[z, s] for s in state]
        found = {}
        for p in itertools.permutations(range(3)):
            ranked = sorted(p, key=lambda i: -order[i])[:served]
            action = tuple(int(i in ranked) for i in range(3))
            found[action] = found.get(action, 0.0) + 1 / 6
        return found

    table = np.zeros((2, 8, 8))
    for z, (k, s) in itertools.product(range(2), enumerate(itertools.product(range(2), repeat=3))):
        for a, p in law(s, z).items():
            table[z, k, int("".join(map(str, a)), 2)] = p
    for chain in (
        each,
        system.under(law),
        system.under(table),
        system.under(me.TablePolicy(table.reshape(16, 8))),
    ):
        assert np.allclose(chain.choice.toarray(), index.choice.toarray())
        assert (chain.pairs == index.pairs).all()
    uniform = system.under("uniform")
    assert {tuple(a) for a in system.spaces.split(uniform.pairs[uniform.states[uniform.pair_state, 0] < 2])[1]} == {
        (1, 1, 0), (1, 0, 1), (0, 1, 1)}  # fmt: skip
    assert (index.policy.marginals(index.states)[0][:, 1] <= 1).all()
    rng = np.random.default_rng(0)
    drawn = np.stack([index.policy.sample(index.states, rng)[:, 0] for _ in range(4000)])
    assert np.allclose(drawn.mean(axis=0), index.policy.marginals(index.states)[0][:, 1], atol=0.04)


def test_limits_that_the_signal_changes():
    cost = [[0.0, 1.0], [0.0, 2.0]]
    given = stations(resources=[([cost] * 3, [2.0, 3.0], "<=")])
    for z, most in ((0, 2.0), (1, 3.0)):
        states = given.spaces.states_at(np.arange(8) + 8 * z)
        mask = given.feasible(states).toarray() > 0
        for row, wide in zip(mask, states, strict=True):
            plain = wide % 2
            for k, action in enumerate(itertools.product(range(2), repeat=3)):
                assert row[k] == (sum(cost[s][a] for s, a in zip(plain, action, strict=True)) <= most)
    assert me.entanglement(given.under("uniform")).worst > 0


def test_bit_equal_files(tmp_path):
    rng = np.random.default_rng(8)
    signal, kernels, rewards = arrays(rng, ((5, 2), (4, 2)), 3)
    system = me.ExogenousMDP(kernels, rewards, signal=signal, discount=0.9, budget=[0, 1, 2],
                             labels={"names": ["a", "b"], "signals": ["x", "y", "z"]})  # fmt: skip
    me.save(tmp_path / "one.toml", system, me.IndexPolicy([rng.normal(size=(3, 5)), rng.normal(size=(3, 4))]))
    again, policy = me.load(tmp_path / "one.toml")
    for a, b in (
        (system.kernels, again.kernels),
        (system.rewards.local, again.rewards.local),
        ([signal], [again.signal]),
    ):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert (again.budgets, again.labels, again.signal_names) == ((0, 1, 2), system.labels, ("x", "y", "z"))
    assert again.under(policy).n_pairs > 0
    limited = stations(resources=[([0, 1], [1.0, 2.0], "<=")])
    me.save(tmp_path / "two.toml", limited)
    two, _ = me.load(tmp_path / "two.toml")
    every = limited.spaces.states_at(np.arange(16))
    assert (two.feasible(every) != limited.feasible(every)).nnz == 0


# --- by runs ------------------------------------------------------------


def test_runs_move_by_the_same_laws():
    rng = np.random.default_rng(2)
    signal, kernels, rewards = arrays(rng, SIZES, 2)
    system = me.ExogenousMDP(kernels, rewards, signal=signal, discount=0.8)
    chain = system.under(coupling(rng, SIZES, 2))
    start = np.tile([[2, 4]], (20000, 1))
    moved, paid, ended = system.advance(start, np.tile([[1, 0]], (20000, 1)), rng)
    states, z = system.split(moved)
    assert paid is None and not ended.any()
    assert np.allclose(np.bincount(z) / 20000, signal[1], atol=0.02)
    for i, (s, a) in enumerate(((0, 1), (1, 0))):
        assert np.allclose(np.bincount(states[:, i]) / 20000, kernels[i][1, a, s], atol=0.02)
    found = me.analyze(chain, method="simulate", rng=0)
    truth = me.value_decomposition(chain).unexplained
    assert found.interval[0] <= truth <= found.interval[1]
    policy = me.entanglement(chain, "policy", method="simulate", rng=0)
    exact = me.entanglement(chain, "policy").per_agent
    assert (policy.interval[:, 0] <= exact).all() and (exact <= policy.interval[:, 1]).all()
    with pytest.raises(Unsupported, match="move on kernels of their own"):
        me.entanglement(chain, "mu-atv", method="simulate", rng=0)


def test_a_path_shows_states_and_the_signal():
    system = stations(budget=[2, 1])
    path = me.simulate(system, me.IndexPolicy([1, 0]), 4000, rng=0, start=((0, 1, 1), 1))
    states, z = system.split(path.states)
    assert states[0].tolist() == [0, 1, 1] and z[0] == 1
    assert (path.actions.sum(axis=1) == np.array([2, 1])[z[:-1]]).all()
    assert abs((z == 0).mean() - 4 / 7) < 0.04


def test_more_agents_than_can_be_listed():
    system = me.ExogenousMDP([ARM] * 40, [PAY] * 40, signal=SIGNAL, budget=[25, 10], discount=0.9)
    chain = system.under(me.IndexPolicy([1, 0]))
    assert repr(chain).startswith("AgentChain(40 agents")
    found = me.entanglement(chain, "policy", rng=0)
    assert found.per_agent.min() > 0 and found.interval.shape == (40, 2)
    assert chain.blind().summary()["local_pairs"] == [4] * 40
