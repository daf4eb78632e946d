"""Tests between rows, effect sizes with intervals, power, equivalence: pure functions of arrays.

Every result carries its effect, an interval and n, because a p-value alone says neither how large an effect is nor how
large it could have been. "Not significant" is not "absent": state the detectable effect, or test for equivalence.

Source, as far as a function names none: the exact null distributions are scipy's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from stf_mamba.core.records import Float64Array, JsonRecord
from stf_mamba.evaluation.statistics.intervals import CONFIDENCE, finite_sample, normal_quantile, wilson_interval
from stf_mamba.evaluation.statistics.power import signed_rank_variance

# All orders of so many values are gone through; more pairs have a distribution near enough to Student's.
MOST_PAIRS_PERMUTED = 8


@dataclass(frozen=True)
class SignedRankTest(JsonRecord):
    """Wilcoxon's signed-rank test of paired differences.

    Attributes:
        w_plus: sum of the ranks of the positive differences.
        p: two-sided.
        effect: matched-pairs rank-biserial correlation in [-1, 1]: the positive minus the negative part of the ranks.
        n: differences that are not 0; ``n_zero`` were left out.
    """

    w_plus: float
    p: float
    effect: float
    low: float
    high: float
    confidence: float
    n: int
    n_zero: int


@dataclass(frozen=True)
class MannWhitneyTest(JsonRecord):
    """Mann and Whitney's test of two independent samples.

    Attributes:
        u: pairs in which a is above b, ties counting half.
        p: two-sided.
        auc: probability that a random a is above a random b.
        effect: rank-biserial correlation in [-1, 1], ``2 auc − 1``; ``low`` and ``high`` are its interval.
    """

    u: float
    p: float
    auc: float
    effect: float
    low: float
    high: float
    confidence: float
    n_a: int
    n_b: int


@dataclass(frozen=True)
class RankCorrelation(JsonRecord):
    """Spearman's rank correlation. ``low`` and ``high`` are ``None`` where the orders agree or oppose completely."""

    rho: float
    low: float | None
    high: float | None
    confidence: float
    p: float
    n: int


def holm(p_values: npt.ArrayLike) -> Float64Array:
    """Holm's adjusted p-values (K,) of K tests, in their order: below alpha they keep the family-wise error at alpha.

    Raises:
        ValueError: no p-values, or one outside [0, 1].

    Source: Holm, Scandinavian Journal of Statistics 1979.
    """
    given = finite_sample("p_values", p_values, 1)
    if given.min() < 0 or given.max() > 1:
        raise ValueError(f"p-values lie in [0, 1], got {given.min()} to {given.max()}")
    order = np.argsort(given, kind="stable")
    stepped = given[order] * np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def signed_rank_test(differences: npt.ArrayLike, confidence: float = CONFIDENCE) -> SignedRankTest:
    """Wilcoxon's test of whether paired differences (N,) are centred on 0; zeros are left out.

    The p-value is exact up to 50 pairs without ties. The interval inverts the score test under the model that a
    difference's sign does not depend on its size, in which the effect has the variance (1 − effect²) · V, V being its
    variance under the null hypothesis: Wilson's interval with 1/V in the place of the number of trials.

    Raises:
        ValueError: fewer than two differences, one that is not finite, or all of them 0.

    Source: Wilcoxon, Biometrics Bulletin 1945; Kerby, Comprehensive Psychology 2014 (the effect); Wilson, JASA 1927.
    """
    given = finite_sample("differences", differences, 2)
    nonzero = given[given != 0]
    if len(nonzero) == 0:
        raise ValueError(f"all {len(given)} differences are 0; there is nothing to rank")
    ranks = stats.rankdata(np.abs(nonzero))
    w_plus = float(ranks[nonzero > 0].sum())
    effect = float(2 * w_plus / ranks.sum() - 1)
    p = float(stats.wilcoxon(nonzero).pvalue)
    share_low, share_high = wilson_interval((1 + effect) / 2, 1 / signed_rank_variance(len(nonzero)), confidence)
    interval = 2 * share_low - 1, 2 * share_high - 1
    return SignedRankTest(w_plus, p, effect, *interval, confidence, len(nonzero), len(given) - len(nonzero))


def mann_whitney_test(a: npt.ArrayLike, b: npt.ArrayLike, confidence: float = CONFIDENCE) -> MannWhitneyTest:
    """Mann and Whitney's test of whether values a (N,) tend to lie above values b (M,).

    The p-value is exact for small samples without ties. The interval is Newcombe's method 5: it inverts the score test
    with Hanley and McNeil's variance, and keeps its width where the samples are separated.

    Raises:
        ValueError: fewer than two values in a sample, or one that is not finite.

    Source: Mann and Whitney 1947; Newcombe, Statistics in Medicine 2006, 25:559; Hanley and McNeil, Radiology 1982.
    """
    above, below = finite_sample("a", a, 2), finite_sample("b", b, 2)
    found = stats.mannwhitneyu(above, below, alternative="two-sided")
    area = float(found.statistic) / (len(above) * len(below))
    low, high = _newcombe_interval(area, len(above), len(below), confidence)
    effect, interval = 2 * area - 1, (2 * low - 1, 2 * high - 1)
    return MannWhitneyTest(
        float(found.statistic), float(found.pvalue), area, effect, *interval, confidence, len(above), len(below)
    )


def rank_correlation(x: npt.ArrayLike, y: npt.ArrayLike, confidence: float = CONFIDENCE) -> RankCorrelation:
    """Spearman's correlation of x (N,) and y (N,) with Bonett and Wright's interval.

    The p-value goes through all orders up to 8 pairs and is Student's approximation beyond.

    Raises:
        ValueError: lengths differ, fewer than four pairs, a value that is not finite, or one side constant.

    Source: Spearman 1904; Bonett and Wright, Psychometrika 2000, 65:23.
    """
    first, second = finite_sample("x", x, 4), finite_sample("y", y, 4)
    if len(first) != len(second):
        raise ValueError(f"x has {len(first)} values and y {len(second)}; pairs are expected")
    for name, values in (("x", first), ("y", second)):
        if values.min() == values.max():
            raise ValueError(f"{name} is {values[0]} throughout; there is no order to correlate")
    found = stats.spearmanr(first, second)
    rho, n = float(found.statistic), len(first)
    p = _permuted_p(first, second) if n <= MOST_PAIRS_PERMUTED else float(found.pvalue)
    if 1 - abs(rho) < 1e-12:
        return RankCorrelation(rho, None, None, confidence, p, n)
    reach = normal_quantile(confidence) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return RankCorrelation(
        rho, math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach), confidence, p, n
    )


def _newcombe_interval(area: float, n_a: int, n_b: int, confidence: float) -> tuple[float, float]:
    z2 = normal_quantile(confidence) ** 2
    others = (n_a + n_b) / 2 - 1

    def excess(truth: float) -> float:
        spread = 1 + others * ((1 - truth) / (2 - truth) + truth / (1 + truth))
        return (area - truth) ** 2 - z2 * truth * (1 - truth) * spread / (n_a * n_b)

    # At an extreme the excess is 0 on both ends of the bracket, and the bound is that extreme.
    low = float(optimize.brentq(excess, 0, area)) if 0 < area < 1 else area
    high = float(optimize.brentq(excess, area, 1)) if 0 < area < 1 else area
    if area == 1:
        low = float(optimize.brentq(excess, 0, 1 - 1e-12))
    if area == 0:
        high = float(optimize.brentq(excess, 1e-12, 1))
    return low, high


def _permuted_p(x: Float64Array, y: Float64Array) -> float:
    """Two-sided: the part of all orders of y whose rank covariance is at least as far from 0."""
    ranks_x = stats.rankdata(x) - (len(x) + 1) / 2
    ranks_y = stats.rankdata(y) - (len(y) + 1) / 2

    def distance(orders: Float64Array, axis: int) -> Float64Array:
        """Of each order (..., N), exactly: ranks are halves of whole numbers."""
        return np.abs(orders @ ranks_x)

    found = stats.permutation_test(
        (ranks_y,),
        distance,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=math.factorial(len(ranks_y)),  # all orders
        alternative="greater",
    )
    return float(found.pvalue)
