"""The paper's bandit (Section 7.2.1, Appendix K)."""

from __future__ import annotations

from functools import cache

from ..bandits.limits import LimitConstants
from ..bandits.mean_field import mean_field
from ..gallery.circulant import PRIORITY, circulant_bandit
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy

DISCOUNT = 0.5
POLICY = IndexPolicy(PRIORITY)


def bandit(n_arms: int, budget: int | None = None) -> RestlessBandit:
    """N circulant arms, a fifth of them served unless `budget` says otherwise; gamma = 0.5."""
    return circulant_bandit(n_arms, budget, DISCOUNT)


def start(n_arms: int) -> list[int]:
    """N/6, N/3, N/2 and 0 arms in states 0..3 (App. K); N is a multiple of 30."""
    return [n_arms // 6, n_arms // 3, n_arms // 2, 0]


@cache
def limits() -> LimitConstants:
    """Limit constants of the circulant bandit; they do not depend on N."""
    return mean_field(bandit(30), POLICY).limit_constants
