"""Figure 2 of the paper: the error and the relative error (App. K.2), with bias and noise told apart."""

from __future__ import annotations

from dataclasses import asdict

from .errors import Errors, bias_series, recipe_series, sampled_series
from .result import Fact, Panel, Study, Table, power
from .setting import limits

CEILING = 0.03


def run(found: Errors) -> Study:
    """Panels, facts and the table of the sweep `found`."""
    curves = (recipe_series, bias_series, sampled_series)
    left = Panel(
        "error_mu", "Error of the sum of local values", "number of arms N", "‖Q − ΣQᵢ‖ in L1(μ)",
        tuple(c(found) for c in curves), prediction=f"limit {limits().error_mu:.4f} √N",
    )  # fmt: skip
    right = Panel(
        "relative_error", "Relative error", "number of arms N", "‖Q − ΣQᵢ‖ / ‖Q‖",
        tuple(c(found, relative=True) for c in curves), log=True,
        prediction=f"limit {limits().relative_error:.4f} / √N", levels=(("3 % (the paper's ceiling)", CEILING),),
    )  # fmt: skip
    return Study(
        "figure2",
        "Error and relative error, bias and noise apart",
        "The recipe of App. K.2 holds three things: the bias that remains with endless data, the noise of 5N training "
        "steps, and the noise of the rollouts that stand for the truth. They are measured one by one here.",
        asdict(found.settings),
        (left, right),
        _facts(left, right),
        (_table(found),),
    )


def _facts(left: Panel, right: Panel) -> tuple[Fact, ...]:
    worst = max(p.value for s in right.series for p in s.points)
    recipe, bias, sampled = (s.points for s in left.series)
    b, half = power(sampled)
    ratio = [s.value / t.value for s, t in zip(sampled, bias, strict=True)]
    unexplained = limits().unexplained
    return (
        Fact(
            "The relative error is at most 3 % at every point.",
            f"At most {100 * worst:.2f} % here, whichever way it is estimated.",
            worst <= CEILING,
            f"The relative error falls with N because the mean of Q grows. Of the spread of Q about its mean, local "
            f"values leave {100 * unexplained:.1f} % unexplained whatever N is.",
        ),
        Fact(
            "The plotted errors lie above the bias that remains with endless data (read off the plot).",
            f"The recipe with converged local values reads {recipe[-1].value:.2f} ± {recipe[-1].stderr:.2f} at "
            f"N = {recipe[-1].N}, the bias alone {bias[-1].value:.3f}, sample-by-sample TD "
            f"{sampled[-1].value:.2f} ({min(ratio):.1f} to {max(ratio):.1f} times the bias).",
            False,
            "Noise of training and of rollouts adds little (table). A likely cause is the step size of TD, which the "
            "recipe leaves open: with 1/visits, a remainder of the start value 0 has the same sign in every arm, so "
            f"that it adds up over arms and survives averaging over runs. It grows like N^{b:.2f} ± {half:.2f}, much "
            "as the bias does, and is none: fitting local values to convergence removes it.",
        ),
    )


def _table(found: Errors) -> Table:
    rows = []
    for row in found.rows:
        r, b = row.recipe, row.bias
        low, high = b.error_mu_interval
        rows.append((
            str(row.N), f"{b.error_mu:.3f} [{low:.3f}, {high:.3f}]", f"{r.training_noise:.3f}",
            f"{r.rollout_noise:.3f}", f"{r.error_mu:.3f} ± {r.stderr:.3f}",
            f"{row.sampled[0]:.2f} ± {row.sampled[1]:.2f}",
            f"{100 * b.unexplained:.2f} %",
        ))  # fmt: skip
    return Table(
        "Bias and noise of the error, reward units",
        ("N", "bias alone [95 %]", "training noise", "rollout noise", "recipe ± s.e.", "TD, step 1/visits ± s.e.",
         "unexplained"),
        tuple(rows),
        "Training noise: mean |ΣQᵢ − ΣQ̄|, Q̄ fitted to all arms and runs together. Rollout noise: expected absolute "
        "error of Q from 3N rollouts. They add in squares, not in sums.",
    )  # fmt: skip
