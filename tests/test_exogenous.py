"""Agents that see a signal (App. J.1), against the joint chain on (z, s, a) built by loops over raw arrays."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import markov_entanglement as me
import oracles
from markov_entanglement.errors import Unsupported


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
    [("revenue-management", "fcfs", {"both": 0.3}), ("revenue-management", "bid-price", {"seats": 2}),
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
    for i in range(raw.n):
        key, laws = raw.key(i), raw.laws(i)[0]
        assert me.entanglement(chain).per_agent[i] == pytest.approx(
            least(key[mu > 0], mu[mu > 0], laws[mu > 0]), abs=1e-8
        )
