"""Systems as people bring them: single precision, rounded tables, names, axes, lists, next states, no discount."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import xarray as xr

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput, TooLarge

REST, SERVE = [[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]
QUARTER = np.full((4, 4), 0.25)


def laws(rng: np.random.Generator, *shape: int) -> np.ndarray:
    p = rng.random(shape) + 0.05
    return p / p.sum(axis=-1, keepdims=True)


# -- single precision (D01, R8)


def softmax() -> np.ndarray:
    logits = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 0, 1], [0, 2, 0, 2]], dtype=np.float32)
    e = np.exp(logits)
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("form", ["array", "callable", "table"])
def test_single_precision(form: str) -> None:
    """mu-atv as of the same policy in double precision, to what single precision leaves."""
    arm = np.array([REST, SERVE], dtype=np.float32)
    system = me.WeaklyCoupledMDP([arm, arm], [[0, 1], [0, 1]], discount=0.9)
    table = softmax()
    actions = list(itertools.product((0, 1), repeat=2))
    policy: Any = {
        "array": table,
        "table": me.TablePolicy(table),
        "callable": lambda s: dict(zip(actions, table[2 * s[0] + s[1]], strict=True)),
    }[form]
    assert table.dtype == np.float32
    found = me.entanglement(system.under(policy, initial=np.full(4, 0.25, dtype=np.float32))).per_agent
    assert np.allclose(found, [0.0479127, 0.0516224], atol=1e-6)


@pytest.mark.parametrize("n", [2, 9, 60, 3000])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_laws_that_were_divided_in_low_precision_are_laws(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    p = rng.random((20, n)).astype(dtype) + dtype(0.1)
    p = p / p.sum(axis=1, keepdims=True)
    local = me.LocalPolicy([p.astype(dtype)])
    assert np.allclose(local.tables[0].sum(axis=1), 1.0, atol=1e-14)


def test_small_negative_entries_of_single_precision_are_rounding() -> None:
    row = np.array([[1.0, -3e-8], [0.5, 0.5]], dtype=np.float32)
    assert me.JointChain(row, (2,)).transition.toarray().min() == 0.0
    with pytest.raises(InvalidInput, match="probabilities are >= 0"):
        me.JointChain(row.astype(np.float64), (2,))


@pytest.mark.parametrize(
    "rows",
    [
        np.array([[0.9, 0.1001], [0.5, 0.5]]),
        np.array([[0.9, 0.099], [0.5, 0.5]], dtype=np.float32),
        np.full((3000, 3000), 0.999 / 3000, dtype=np.float32),
    ],
)
def test_rows_that_are_no_laws_stay_refused(rows: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="each row must sum to 1"):
        me.JointChain(rows, (len(rows),))


# -- rounded tables (D02), empty rows (D24)

ROUNDED = [[0.3333, 0.3333, 0.3333], [0.5, 0.5, 0.0], [0.1667, 0.8333, 0.0]]
LAW = [0.3913078, 0.4782563, 0.1304359]


def test_rounded_tables_are_rescaled_on_request() -> None:
    with pytest.raises(InvalidInput, match="normalize=True"):
        me.JointChain(ROUNDED, (3,))
    chain = me.JointChain(ROUNDED, (3,), normalize=True)
    assert np.allclose(chain.under().occupancy, LAW, atol=5e-8)
    assert chain.rescaled == pytest.approx(1e-4) and me.JointChain(QUARTER, (4,)).rescaled is None
    assert "missed 1 by at most 0.0001" in me.check_system(chain).summary()


def test_percent_and_every_kind_of_system() -> None:
    percent = np.array([[99.0, 1.01], [20.0, 80.02]])
    arm = np.array([percent, percent])
    for system in (
        me.JointChain(percent, (2,), normalize=True),
        me.MultiAgentMDP(arm, n_states=(2,), n_actions=(2,), order="ASS", normalize=True),
        me.WeaklyCoupledMDP([arm], normalize=True),
        me.RestlessBandit(arm, [0, 1], n_arms=2, budget=1, normalize=True),
    ):
        assert system.rescaled == pytest.approx(99.02)
    assert np.allclose(me.LocalPolicy([percent], normalize=True).tables[0].sum(axis=1), 1)


def test_normalize_in_a_file_covers_its_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rounded.toml"
    text = f'schema = 1\nkind = "chain"\nsizes = [3]\ntransition = {ROUNDED}\n'
    file.write_text(text)
    assert main(["check", str(file)]) == 2 and "normalize=True" in capsys.readouterr().err
    file.write_text(text + "normalize = true\n")
    assert np.allclose(me.load(file)[0].under().occupancy, LAW, atol=5e-8)
    assert main(["check", str(file)]) == 0 and "missed 1 by at most 0.0001" in capsys.readouterr().out
    mdp = 'schema = 1\nkind = "mdp"\nn_states = [1]\nn_actions = [3]\nkernel = [[[1.0], [1.0], [1.0]]]\n'
    file.write_text(mdp + 'normalize = true\n[policy]\nkind = "table"\ntable = [[0.333, 0.333, 0.333]]\n')
    assert np.allclose(me.load(file)[1].table.toarray(), 1 / 3)
    file.write_text(text + "normalize = 3\n")
    with pytest.raises(InvalidInput, match="True or False"):
        me.load(file)


def test_what_normalize_does_not_hide() -> None:
    for rows in ([[0.0, 0.0], [0.5, 0.5]], [[-0.1, 1.1], [0.5, 0.5]], [[np.inf, 1.0], [0.5, 0.5]]):
        with pytest.raises(InvalidInput):
            me.JointChain(rows, (2,), normalize=True)
    with pytest.raises(InvalidInput, match="Fill the empty row"):
        me.JointChain([[0.0, 0.0], [0.5, 0.5]], (2,))
    assert me.JointChain([[1.0, 0.0], [0.5, 0.5]], (2,)).under().occupancy.tolist() == [1.0, 0.0]


# -- names (D09, D25)

NAMES = ["fruit", "dairy", "drinks"]
WALK = pd.DataFrame([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2]], index=NAMES, columns=NAMES)
WALK_LAW = [0.2898551, 0.4637681, 0.2463768]


def test_frames_are_aligned_by_their_names() -> None:
    for columns in itertools.permutations(NAMES):
        chain = me.JointChain(WALK[list(columns)], (3,))
        assert np.allclose(chain.under().occupancy, WALK_LAW, atol=5e-8)
        assert chain.labels.states == (("fruit", "dairy", "drinks"),)
    wanted = {"states": ["drinks", "fruit", "dairy"]}
    chain = me.JointChain(WALK, (3,), labels=wanted, rewards=[pd.Series([1.0, 2.0, 3.0], index=NAMES)])
    assert np.allclose(chain.under().occupancy, np.take(WALK_LAW, [2, 0, 1]), atol=5e-8)
    assert chain.rewards is not None and chain.rewards.local is not None
    assert chain.rewards.local[0].tolist() == [3.0, 1.0, 2.0]


def test_frames_of_two_actions_in_two_orders() -> None:
    mixed = [WALK, WALK.loc[NAMES[::-1]][NAMES[1:] + NAMES[:1]]]
    plain = np.stack([WALK.to_numpy()] * 2)
    table = pd.DataFrame({"go": [1.0, 2.0, 3.0], "stay": [0.0, 0.0, 1.0]}, index=NAMES)
    labels = {"actions": ["stay", "go"]}
    for system, want in (
        (me.WeaklyCoupledMDP([mixed], [table], labels=labels), me.WeaklyCoupledMDP([plain])),
        (
            me.MultiAgentMDP(mixed, [table], n_states=(3,), n_actions=(2,), labels=labels),
            me.MultiAgentMDP(list(plain), n_states=(3,), n_actions=(2,)),
        ),
    ):
        found, right = (s.under("uniform").local_transition(0) for s in (system, want))
        assert np.array_equal(found, right)
        assert system.rewards.local[0].reshape(3, 2).tolist() == [[0.0, 1.0], [0.0, 2.0], [1.0, 3.0]]
        assert system.labels.states[0] == ("fruit", "dairy", "drinks")
    bandit = me.RestlessBandit(
        mixed, pd.Series([3.0, 1.0, 2.0], index=["drinks", "fruit", "dairy"]), n_arms=3, budget=1
    )
    assert np.array_equal(bandit.kernels[0], plain) and bandit.rewards[0, :, 0].tolist() == [1.0, 2.0, 3.0]


def test_labelled_arrays_and_orders_of_numbers() -> None:
    array = xr.DataArray(WALK.to_numpy(), dims=("now", "next"), coords={"now": NAMES, "next": NAMES})
    chain = me.JointChain(array[:, [2, 0, 1]], (3,))
    assert np.allclose(chain.under().occupancy, WALK_LAW, atol=5e-8)
    numbered = pd.DataFrame(WALK.to_numpy())  # names that only count are none
    assert me.JointChain(numbered, (3,)).labels.states == ()
    turned = me.JointChain(numbered.loc[[2, 0, 1]], (3,))
    assert np.allclose(turned.under().occupancy, WALK_LAW, atol=5e-8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: me.JointChain(WALK.rename(columns={"fruit": "frut"}), (3,)),
            ["no 'fruit'", "'frut'", "to_numpy"],
        ),
        (lambda: me.JointChain(WALK.to_numpy(), (3,), rewards=[WALK["fruit"]]), ["axis 0", "to_numpy"]),
        (lambda: me.LocalPolicy([WALK]), ["axis 0", "'fruit'"]),
        (lambda: me.IndexPolicy(WALK["fruit"]), ["axis 0"]),
        (lambda: me.JointChain(WALK, (3,), labels={"states": ["a", "b", "c"]}), ["no 'a'", "'fruit'"]),
        (
            lambda: me.JointChain(
                pd.DataFrame(QUARTER[:2, :2] * 2, index=["a", "a"], columns=["a", "a"]), (2,)
            ),
            ["twice"],
        ),
    ],
)
def test_names_that_nobody_can_align_are_refused_by_name(make: Any, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        make()
    assert all(w in str(refused.value) for w in words), refused.value


def test_the_remedies_of_names() -> None:
    assert me.LocalPolicy([WALK.to_numpy()]).tables[0].shape == (3, 3)
    wide = WALK.rename(columns={"fruit": "frut"}).rename(columns={"frut": "fruit"})
    assert me.JointChain(wide.reindex(columns=NAMES), (3,)).n_agents == 1


def test_states_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = me.JointChain(np.eye(4)[[1, 2, 3, 0]], (2, 2), labels={"states": ["lo", "hi"]})
    assert chain.under(initial=("lo", "hi")).initial.tolist() == chain.under(initial=(0, 1)).initial.tolist()
    ends = me.JointChain(
        QUARTER, (2, 2), labels={"states": ["lo", "hi"]}, terminal=[("hi", "hi")], restart=("lo", "lo")
    )
    assert ends.ends is not None and ends.ends.terminal.tolist() == [3]
    me.save(tmp_path / "c.toml", chain)
    assert main(["analyze", str(tmp_path / "c.toml"), "--initial", "lo,hi"]) == 0
    capsys.readouterr()
    assert main(["analyze", str(tmp_path / "c.toml"), "--initial", "lo,high"]) == 2
    assert "Did you mean 'hi'?" in capsys.readouterr().err
    with pytest.raises(InvalidInput, match="no names"):
        me.JointChain(QUARTER, (2, 2)).under(initial=("lo", "hi"))


# -- order of axes (D10), lists and sparse matrices (D22, D23)

TURNED = np.array([[[0.9, 0.1], [0.3, 0.7]], [[0.4, 0.6], [0.1, 0.9]]])  # [s, a, t]


def test_order_of_axes_that_sizes_cannot_tell() -> None:
    given = {"n_arms": 6, "budget": 2, "discount": 0.9}
    turned = me.RestlessBandit(TURNED, [0, 1], order="SAS", **given)
    assert np.allclose(me.whittle_index(turned).index, [0.9818182, 0.3292683], atol=5e-8)
    usual = me.RestlessBandit(TURNED, [0, 1], **given)
    assert np.allclose(me.whittle_index(usual).index, [0.9782609, 0.2465753], atol=5e-8)
    unclear = me.check_system(usual, me.IndexPolicy([1, 0])).summary().splitlines()[0]
    assert "(actions, states, next states)" in unclear and "order='SAS' as well" in unclear
    clear = me.check_system(turned, me.IndexPolicy([1, 0])).summary().splitlines()[0]
    assert "(states, actions, next states)" in clear and "as well" not in clear
    typed = me.RestlessBandit([TURNED, TURNED], [0, 1], order="SAS", **given | {"n_arms": [3, 3]})
    assert np.array_equal(typed.kernels[1], turned.kernels[0])


@pytest.mark.parametrize("order", [None, "SAS"])
def test_masked_entries_of_several_types_are_never_used(order: str | None) -> None:
    hidden = np.zeros((2, 2, 2, 2), dtype=bool)
    hidden[1, 0, 0] = True
    types = np.ma.masked_array(np.stack([TURNED, TURNED]), mask=hidden)
    with pytest.raises(InvalidInput, match="masked"):
        me.RestlessBandit(types, [0, 1], n_arms=[2, 2], budget=1, order=order)


def test_every_class_reads_both_orders() -> None:
    rng = np.random.default_rng(3)
    k = laws(rng, 2, 3, 3)
    sas = np.swapaxes(k, 0, 1)
    weak = [me.WeaklyCoupledMDP([k]), me.WeaklyCoupledMDP([sas], order="SAS"), me.WeaklyCoupledMDP([list(k)])]
    assert all(np.array_equal(w.kernels[0], k) for w in weak)
    sizes = {"n_states": (3,), "n_actions": (2,)}
    joint = [
        me.MultiAgentMDP(sas, **sizes), me.MultiAgentMDP(k, order="ASS", **sizes), me.MultiAgentMDP(list(k), **sizes),
        me.MultiAgentMDP([sp.csr_array(k[0]), k[1]], **sizes), me.MultiAgentMDP(list(sas), **sizes),
        me.MultiAgentMDP(sas.tolist(), **sizes),
    ]  # fmt: skip
    for m in joint:
        assert np.array_equal(np.stack([a.toarray() for a in m.kernel]), k)
    sparse = [sp.csr_array(a) for a in k]
    assert np.array_equal(me.WeaklyCoupledMDP([sparse, sparse]).kernels[1], k)
    bandit = me.RestlessBandit([sparse, sparse], [0, 1, 2], n_arms=[1, 2], budget=1)
    assert np.array_equal(bandit.kernels[1], k)


@pytest.mark.parametrize("make", [
    lambda k, **o: me.WeaklyCoupledMDP([k], **o),
    lambda k, **o: me.RestlessBandit(k, [0, 1, 2], n_arms=2, budget=1, **o),
])  # fmt: skip
def test_sizes_that_fit_the_other_order_alone_are_told(make: Any) -> None:
    """And the remedy that is named reads them."""
    turned = np.swapaxes(laws(np.random.default_rng(0), 2, 3, 3), 0, 1)
    with pytest.raises(InvalidInput, match="say order='SAS'"):
        make(turned)
    make(turned, order="SAS")


def test_a_joint_kernel_with_actions_first_is_told() -> None:
    k = laws(np.random.default_rng(0), 2, 4, 4)
    sizes = {"n_states": (2, 2), "n_actions": (2, 1)}
    with pytest.raises(InvalidInput, match="say order='ASS'"):
        me.MultiAgentMDP(k, **sizes)
    me.MultiAgentMDP(k, order="ASS", **sizes)


def test_a_list_of_dense_matrices_is_one_per_joint_action() -> None:
    assert me.MultiAgentMDP([QUARTER, QUARTER], n_states=(2, 2), n_actions=(2, 1)).n_agents == 2
    k = laws(np.random.default_rng(0), 4, 4, 4)
    sizes = {"n_states": (2, 2), "n_actions": (2, 2)}
    with pytest.raises(InvalidInput, match="order='ASS' for one matrix an action"):
        me.MultiAgentMDP(list(k), **sizes)
    by_action, by_state = (me.MultiAgentMDP(list(k), order=o, **sizes) for o in ("ASS", "SAS"))
    assert np.array_equal(by_action.kernel[1].toarray(), k[1])
    assert np.array_equal(by_state.kernel[1].toarray(), k[:, 1])
    for wrong in ([QUARTER, QUARTER[:3]], [QUARTER] * 3, [QUARTER, sp.csr_array(QUARTER[:, :3])]):
        with pytest.raises(InvalidInput):
            me.MultiAgentMDP(wrong, n_states=(2, 2), n_actions=(2, 1))
    with pytest.raises(InvalidInput, match="Leave `order` out"):
        me.MultiAgentMDP([sp.csr_array(QUARTER)] * 2, n_states=(2, 2), n_actions=(2, 1), order="SAS")
    with pytest.raises(InvalidInput, match="Did you mean 'SAS'"):
        me.WeaklyCoupledMDP([[REST, SERVE]], order="sas")


def test_sparse_local_kernels_are_measured_before_they_are_dense() -> None:
    large = sp.csr_array(
        (np.ones(20_000), (np.arange(20_000), np.zeros(20_000, dtype=int))), shape=(20_000,) * 2
    )
    with pytest.raises(TooLarge, match="GiB dense"):
        me.WeaklyCoupledMDP([[large, large]])


# -- rewards on the next state (D14)


def test_rewards_on_the_next_state_become_their_mean() -> None:
    rng = np.random.default_rng(5)
    k, r = laws(rng, 2, 3, 3), rng.normal(size=(2, 3, 3))
    want = np.einsum("ast,ast->sa", k, r)
    sizes = {"n_states": (3,), "n_actions": (2,), "discount": 0.9}
    sas = np.swapaxes(k, 0, 1), np.swapaxes(r, 0, 1)
    for mdp in (
        me.MultiAgentMDP(k, r, order="ASS", **sizes),
        me.MultiAgentMDP(list(k), list(r), **sizes),
        me.MultiAgentMDP([*map(sp.csr_array, k)], [*map(sp.csr_array, r)], **sizes),
        me.MultiAgentMDP(*sas, **sizes),
        me.MultiAgentMDP(sas[0].tolist(), sas[1].tolist(), **sizes),
    ):
        assert np.allclose(mdp.rewards.shared, want, atol=1e-15)
    weak = me.WeaklyCoupledMDP([k, k], [r, want], discount=0.9)
    assert np.allclose(weak.rewards.local, [want.ravel()] * 2, atol=1e-15)
    given = {"budget": 1, "discount": 0.9}
    one = me.RestlessBandit(k, r, n_arms=3, **given)
    two = me.RestlessBandit([k, k[::-1]], [r, r], n_arms=[1, 2], **given)
    assert np.allclose(one.rewards[0], want, atol=1e-15)
    assert np.allclose(two.rewards[1], np.einsum("ast,ast->sa", k[::-1], r), atol=1e-15)
    chain = weak.under("uniform")
    found = me.value_decomposition(chain, [r, r])
    assert np.allclose(found.joint_q, me.value_decomposition(chain).joint_q, atol=1e-12)


def test_a_reward_on_ones_own_next_state_in_a_joint_kernel_is_refused_with_what_would_do() -> None:
    k = np.full((4, 2, 4), 0.25)
    sizes = {"n_states": (2, 2), "n_actions": (2, 1), "discount": 0.9}
    with pytest.raises(InvalidInput, match="one array"):
        me.MultiAgentMDP(k, [np.ones((2, 2, 2)), np.ones(2)], **sizes)
    assert me.MultiAgentMDP(k, np.ones((4, 2, 4)), **sizes).rewards.shared.shape == (4, 2)


def test_sparse_rewards_on_next_states_stay_sparse() -> None:
    n = 3000
    ring = sp.csr_array((np.ones(n), (np.arange(n), (np.arange(n) + 1) % n)), shape=(n, n))
    tracemalloc.start()
    system = me.MultiAgentMDP([ring], [ring * 2.5], n_states=(n,), n_actions=(1,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n * 8 / 10 and (np.asarray(system.rewards.shared) == 2.5).all()
    ring.data[7] = np.nan
    with pytest.raises(InvalidInput, match=r"rewards.*finite"):
        me.MultiAgentMDP([sp.eye_array(n)], [ring], n_states=(n,), n_actions=(1,))


# -- no discount (D13), no rewards

FIRST = [
    [[0.25, 0.25, 0.5], [0.75, 0, 0.25], [0.5, 0.5, 0]],
    [[0, 0.25, 0.75], [0.25, 0, 0.75], [0.25, 0.25, 0.5]],
]
PAID = [[0.55, 0.75], [1.0, 0.8], [1.2, 1.0]]


def test_without_a_discount_everything_but_values() -> None:
    sizes = {"n_states": (3,), "n_actions": (2,), "order": "ASS"}
    mdp = me.MultiAgentMDP(FIRST, [PAID], **sizes)
    result = me.analyze(mdp, "uniform")
    assert result.verdict == "add" and result.values is None and "discount missing" in result.why_no_values
    with pytest.raises(InvalidInput, match="near enough to 1") as refused:
        me.optimal_policy(mdp)
    assert refused.value.argument == "discount"
    best = me.optimal_policy(me.MultiAgentMDP(FIRST, [PAID], discount=0.999, **sizes))
    assert best.table.toarray().argmax(axis=1).tolist() == [1, 0, 0]
    chain = mdp.under(best)
    earned = chain.occupancy @ chain.reward(chain.read_rewards(None))
    assert earned == pytest.approx(0.9756757, abs=5e-8)
    assert me.value_decomposition(chain, discount=0.5).error("sup") == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("n_arms", [4, 10**7])
def test_a_bandit_without_a_discount(n_arms: int) -> None:
    bandit = me.RestlessBandit([REST, SERVE], [0, 1], n_arms=n_arms, budget=n_arms // 4)
    result = me.analyze(bandit, me.IndexPolicy([1, 0]))
    assert result.values is None and "discount missing" in result.sentence
    assert result.entanglements["policy"].total > 0
    constants = me.mean_field(bandit, me.IndexPolicy([1, 0])).limit_constants
    given = me.RestlessBandit([REST, SERVE], [0, 1], n_arms=n_arms, budget=n_arms // 4, discount=0.9)
    with_values = me.mean_field(given, me.IndexPolicy([1, 0])).limit_constants
    assert np.array_equal(constants.entanglement, with_values.entanglement) and np.isnan(constants.error_mu)
    with pytest.raises(InvalidInput, match="discount"):
        me.whittle_index(bandit)
    assert me.whittle_index(bandit, criterion="average").index.shape == (2,)


def test_files_without_discount_or_rewards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.toml"
    me.save(file, me.WeaklyCoupledMDP([[REST, SERVE]] * 3, budget=1), me.IndexPolicy([1, 0]))
    assert "discount" not in file.read_text() and "rewards" not in file.read_text()
    assert main(["analyze", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("[cannot-tell]") and "rewards and discount missing" in out
    assert main(["analyze", str(file), "--discount", "0.9"]) == 0
    assert "rewards missing" in capsys.readouterr().out


def test_first_line_of_every_system_names_its_axes() -> None:
    for system in (me.MultiAgentMDP, me.WeaklyCoupledMDP, me.JointChain, me.RestlessBandit):
        first = (system.__doc__ or "").splitlines()[0]
        assert "(" in first and any(w in first for w in ("states", "from, to"))


def test_a_count_of_many_digits_is_a_few_characters() -> None:
    arm = np.full((2, 10, 10), 0.1)
    system = me.WeaklyCoupledMDP([arm] * 400, [list(range(10))] * 400, discount=0.9, budget=3)
    assert "about 10^400" in repr(system)
    with pytest.raises(TooLarge, match=r"about 10\^400"):
        me.separability(system.under("uniform"))


# -- local actions that a state does not offer (D15)


def test_a_zero_row_of_a_local_kernel_is_an_action_that_is_not_available() -> None:
    arm = [[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.0, 0.0]]]
    system = me.WeaklyCoupledMDP([arm, arm], [[0, 1]] * 2, discount=0.9)
    chain = system.under("uniform")
    assert np.allclose(me.entanglement(chain).per_agent, 0.0, atol=1e-12)
    assert chain.policy.law((0, 1)) == {(0, 0): 0.5, (1, 0): 0.5}
    joint = me.MultiAgentMDP(
        [sp.csr_array(np.kron(arm[a], arm[b])) for a in (0, 1) for b in (0, 1)],
        [[0, 1]] * 2, n_states=(2, 2), n_actions=(2, 2), discount=0.9,
    )  # fmt: skip
    found, right = (me.value_decomposition(s.under("uniform")) for s in (system, joint))
    assert np.allclose(found.joint_q, right.joint_q, atol=1e-12)
    best, sure = (me.optimal_policy(s).table.toarray() for s in (system, joint))
    assert np.array_equal(best, sure)
    with pytest.raises(InvalidInput, match="not available there"):
        system.under(lambda s: {(1, 1): 1.0})
    with pytest.raises(InvalidInput, match="empty rows for every action"):
        me.WeaklyCoupledMDP([[[[0, 0], [1, 0]], [[0, 0], [0, 1]]]], discount=0.9).under("uniform")


def test_a_budget_beside_actions_that_are_not_available(tmp_path: Path) -> None:
    arm = [[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.0, 0.0]]]
    system = me.WeaklyCoupledMDP([arm] * 3, [[0, 1]] * 3, discount=0.9, resources=[([0, 1], 1, "<=")])
    chain = system.under(me.IndexPolicy([1, 0]))
    assert chain.policy.law((1, 1, 1)) == {(0, 0, 0): 1.0}
    assert chain.policy.law((0, 1, 0)) == {(0, 0, 1): 0.5, (1, 0, 0): 0.5}
    me.save(tmp_path / "s.toml", system)
    again = me.load(tmp_path / "s.toml")[0]
    assert "kernels" in (tmp_path / "s.toml").read_text() and len(again.resources) == 1
    assert np.array_equal(again.under(me.IndexPolicy([1, 0])).occupancy, chain.occupancy)
    must = me.WeaklyCoupledMDP([arm] * 3, [[0, 1]] * 3, discount=0.9, budget=1)
    with pytest.raises(InvalidInput, match=r"no feasible joint action in state \(1, 1, 1\)"):
        must.under("uniform")


# -- frames, wherever numbers are meant

AB = ["a", "b"]
MOVES = np.array([REST, SERVE])


def by_name(a: Any) -> pd.DataFrame:
    return pd.DataFrame(a, index=AB, columns=AB)


def test_rewards_on_next_states_are_aligned_with_the_states_of_the_kernel() -> None:
    kernels = [by_name(k) for k in MOVES]
    paid = by_name([[0.0, 1.0], [2.0, 5.0]])
    turned = paid.loc[AB[::-1], AB[::-1]]
    want = np.einsum("ast,st->sa", MOVES, paid.to_numpy())
    one = {"n_states": (2,), "n_actions": (2,)}
    for r in (paid, turned):
        assert np.allclose(me.WeaklyCoupledMDP([kernels], [[r, r]]).rewards.local[0].reshape(2, 2), want)
        assert np.allclose(me.MultiAgentMDP(kernels, [r, r], **one).rewards.shared, want)
        assert np.allclose(me.RestlessBandit(kernels, [r, r], n_arms=2, budget=1).rewards[0], want)
    strange = paid.rename(columns={"a": "x"}, index={"a": "x"})
    with pytest.raises(InvalidInput, match="no 'a'"):
        me.WeaklyCoupledMDP([kernels], [[strange, strange]])
    with pytest.raises(InvalidInput, match="nothing here says"):
        me.WeaklyCoupledMDP([MOVES], [[paid, paid]])


def test_types_of_arms_with_the_same_names_have_one_order() -> None:
    turned = [by_name(k).loc[AB[::-1], AB[::-1]] for k in MOVES]
    kernels = [[by_name(k) for k in MOVES], turned]
    given = {"n_arms": [2, 2], "budget": 1}
    bandit = me.RestlessBandit(kernels, pd.Series([2.0, 1.0], index=AB[::-1]), **given)
    assert np.array_equal(bandit.kernels[1], bandit.kernels[0])
    assert bandit.labels.states == (("a", "b"),) * 2 and bandit.rewards[..., 0].tolist() == [[1.0, 2.0]] * 2
    table = pd.DataFrame([[3.0, 4.0], [1.0, 2.0]], index=["new", "old"], columns=AB)
    typed = me.RestlessBandit(kernels, table, labels={"names": ["old", "new"]}, **given)
    assert typed.rewards[..., 0].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    other = [k.rename(index={"a": "c"}, columns={"a": "c"}) for k in kernels[0]]
    with pytest.raises(InvalidInput, match="different names"):
        me.RestlessBandit([kernels[0], other], pd.Series([1.0, 2.0], index=AB), **given)
    me.RestlessBandit([kernels[0], other], np.ones((2, 2, 1)), budget=1, n_arms=[1, 1])  # the remedy


def test_frames_of_plain_numbers_mean_what_arrays_mean() -> None:
    costs = np.array([[0, 1], [0, 3]])
    found, want = (
        me.WeaklyCoupledMDP([MOVES, MOVES], resources=[(c, 3, "<=")]).resources[0].costs
        for c in (pd.DataFrame(costs), costs)
    )
    assert all(map(np.array_equal, found, want))
    ranks = np.array([[1, 2], [4, 3]])
    assert not me.IndexPolicy(pd.DataFrame(ranks)).shared and not me.IndexPolicy(ranks).shared
    for wrong in ([1.0, 2.0], [1.0, -np.inf]):
        with pytest.raises(InvalidInput, match="nothing here says"):
            me.IndexPolicy(pd.Series(wrong, index=AB))
    with pytest.raises(InvalidInput):
        me.WeaklyCoupledMDP([MOVES] * 2, pd.Series([1.0, 2.0, 3.0, 4.0], index=list("abcd")))


@pytest.mark.parametrize("make", [
    lambda: me.LocalPolicy([[[5, 5], [1, 0]]], normalize="no"),
    lambda: me.TablePolicy([[5, 5], [1, 0]], normalize="False"),
    lambda: me.JointChain(ROUNDED, (3,), normalize=1),
])  # fmt: skip
def test_normalize_is_true_or_false(make: Any) -> None:
    with pytest.raises(InvalidInput, match="True or False"):
        make()


def test_labels_in_any_mapping_of_lists() -> None:
    from types import MappingProxyType

    frame = me.WeaklyCoupledMDP(
        [[by_name(k) for k in MOVES]], labels=MappingProxyType({"states": ["b", "a"]})
    )
    assert frame.labels.states == (("b", "a"),) and np.array_equal(frame.kernels[0], MOVES[:, ::-1, ::-1])
    for key in ("names", "states", "actions"):
        with pytest.raises(InvalidInput, match="list"):
            me.WeaklyCoupledMDP([MOVES], labels={key: np.array(AB)})
    with pytest.raises(InvalidInput, match="surrogate"):
        me.WeaklyCoupledMDP([MOVES], labels={"names": ["a\udc80"]})


@pytest.mark.parametrize(("make", "words"), [
    (lambda: me.ExogenousMDP([[REST, SERVE]] * 2, signal=np.eye(2), budget=sp.eye_array(2)), "one number for each"),
    (lambda: me.ExogenousMDP(np.array(2.0), signal=np.eye(2)), "Pass a list"),
    (lambda: me.ExogenousMDP(sp.eye_array(2), signal=np.eye(2)), "Pass a list"),
    (lambda: me.WeaklyCoupledMDP(np.array(2.0)), "Pass a list"),
    (lambda: me.WeaklyCoupledMDP("ab"), "Pass a list"),
    (lambda: me.diagnose(None, "uniform", snapshots=np.array([1j, 0])), "snapshots=True"),
    (lambda: me.random_system(2, 2, entangled="no"), "entangled=True"),
])  # fmt: skip
def test_what_has_no_length_and_what_is_no_truth_value_is_refused_in_words(make: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        make()


def test_a_budget_for_each_value_of_the_signal_is_read_from_whatever_has_a_length() -> None:
    made = [
        me.ExogenousMDP([[REST, SERVE]] * 2, signal=np.full((2, 2), 0.5), budget=b)
        for b in ([0, 2], np.array([0, 2]), pd.Series([0, 2]), range(0, 4, 2))
    ]
    assert {m.budgets for m in made} == {(0, 2)}
