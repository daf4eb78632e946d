"""Tests between rows, effect sizes with intervals, power, equivalence: pure functions of arrays.

Every result carries its effect, an interval and n, because a p-value alone says neither how large an effect is nor how
large it could have been. "Not significant" is not "absent": state the detectable effect, or test for equivalence.

Source, as far as a function names none: the exact null distributions are scipy's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from stf_mamba.core.records import Float64Array, JsonRecord
from stf_mamba.metrics import CONFIDENCE

ALPHA = 0.05

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
class Equivalence(JsonRecord):
    """Two one-sided tests of whether a difference lies within ±``margin``.

    Attributes:
        low, high: interval at 1 − 2 ``alpha``; the difference is equivalent to 0 where it lies inside the margin.
        p: the larger of the two one-sided p-values.
    """

    difference: float
    low: float
    high: float
    margin: float
    alpha: float
    p: float
    equivalent: bool


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
    share_low, share_high = wilson_interval((1 + effect) / 2, 1 / _signed_rank_variance(len(nonzero)), confidence)
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


def signed_rank_power(effect: float, n_pairs: int, alpha: float = ALPHA) -> float:
    """Probability that ``signed_rank_test`` of so many pairs gives p < alpha at a true rank-biserial effect.

    Normal approximation with the variance under the null hypothesis; 0 where no outcome at all reaches alpha.

    Raises:
        ValueError: a number out of range.

    Source: Noether, JASA 1987, section 3.
    """
    _require_between("effect", effect, -1, 1)
    _require_between("alpha", alpha, 0, 1)
    if n_pairs < 1:
        raise ValueError(f"n_pairs is {n_pairs}, expected 1 or more")
    if 2 * 0.5**n_pairs > alpha:
        return 0.0
    return _normal_power(abs(effect) / math.sqrt(_signed_rank_variance(n_pairs)), alpha)


def signed_rank_detectable_effect(n_pairs: int, power: float = 0.8, alpha: float = ALPHA) -> float | None:
    """Smallest rank-biserial effect that ``signed_rank_test`` finds with this power; ``None`` if not even 1 is.

    Raises:
        ValueError: a number out of range.

    Source: as ``signed_rank_power``.
    """
    _require_between("power", power, 0.5, 1)
    if signed_rank_power(1.0, n_pairs, alpha) < power:
        return None
    return _detectable_shift(power, alpha) * math.sqrt(_signed_rank_variance(n_pairs))


def mann_whitney_power(auc: float, n_a: int, n_b: int, alpha: float = ALPHA) -> float:
    """Probability that ``mann_whitney_test`` gives p < alpha at a true AUC. Otherwise as ``signed_rank_power``.

    Raises:
        ValueError: a number out of range.

    Source: Noether, JASA 1987, section 2.
    """
    _require_between("auc", auc, 0, 1)
    _require_between("alpha", alpha, 0, 1)
    if min(n_a, n_b) < 1:
        raise ValueError(f"samples of {n_a} and {n_b} values, expected 1 or more in each")
    if 2 / math.comb(n_a + n_b, n_a) > alpha:
        return 0.0
    return _normal_power(abs(auc - 0.5) / _mann_whitney_deviation(n_a, n_b), alpha)


def mann_whitney_detectable_auc(n_a: int, n_b: int, power: float = 0.8, alpha: float = ALPHA) -> float | None:
    """Smallest AUC above one half that ``mann_whitney_test`` finds with this power; ``None`` if not even 1 is.

    Raises:
        ValueError: a number out of range.

    Source: as ``mann_whitney_power``.
    """
    _require_between("power", power, 0.5, 1)
    if mann_whitney_power(1.0, n_a, n_b, alpha) < power:
        return None
    return 0.5 + _detectable_shift(power, alpha) * _mann_whitney_deviation(n_a, n_b)


def equivalence_test(
    difference: float,
    standard_error: float,
    margin: float,
    degrees_of_freedom: float = math.inf,
    alpha: float = ALPHA,
) -> Equivalence:
    """Two one-sided t-tests of an estimated difference; with infinite degrees of freedom they are z-tests.

    Raises:
        ValueError: a standard error or margin that is not positive, or an alpha outside (0, 0.5).

    Source: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 1987.
    """
    if not (standard_error > 0 and margin > 0 and degrees_of_freedom > 0):
        raise ValueError(
            f"standard error {standard_error}, margin {margin} and degrees of freedom {degrees_of_freedom} must be "
            "positive"
        )
    _require_between("alpha", alpha, 0, 0.5)
    above_low = stats.t.sf((difference + margin) / standard_error, degrees_of_freedom)
    below_high = stats.t.cdf((difference - margin) / standard_error, degrees_of_freedom)
    p = float(max(above_low, below_high))
    reach = float(stats.t.isf(alpha, degrees_of_freedom)) * standard_error
    return Equivalence(difference, difference - reach, difference + reach, margin, alpha, p, p < alpha)


def paired_equivalence_test(differences: npt.ArrayLike, margin: float, alpha: float = ALPHA) -> Equivalence:
    """``equivalence_test`` of the mean of paired differences (N,).

    Raises:
        ValueError: fewer than two differences, one that is not finite, all of them equal, or as ``equivalence_test``.
    """
    given = finite_sample("differences", differences, 2)
    error = float(given.std(ddof=1)) / math.sqrt(len(given))
    return equivalence_test(float(given.mean()), error, margin, len(given) - 1, alpha)


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


def wilson_interval(share: float, trials: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a proportion seen in so many independent trials, whose number may be an effective one.

    Raises:
        ValueError: a share outside [0, 1], or no trials.

    Source: Wilson, JASA 1927.
    """
    _require_between("share", share, 0, 1)
    if not trials > 0:
        raise ValueError(f"trials is {trials}, expected a positive number")
    z2 = normal_quantile(confidence) ** 2 / trials
    middle = (share + z2 / 2) / (1 + z2)
    reach = math.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def prediction_bound(values: npt.ArrayLike, confidence: float = CONFIDENCE) -> float:
    """What a further value of the normal distribution that gave the values (N,) stays below with this probability.

    Raises:
        ValueError: fewer than two values, one that is not finite, or a confidence outside [0, 1].

    Source: Hahn and Meeker, "Statistical Intervals", 1991, section 4.8.
    """
    given = finite_sample("values", values, 2)
    _require_between("confidence", confidence, 0, 1)
    n = len(given)
    reach = float(stats.t.ppf(confidence, n - 1)) * float(given.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return float(given.mean()) + reach


def _signed_rank_variance(n: int) -> float:
    """Variance of the matched-pairs rank-biserial effect of n pairs under the null hypothesis, without ties."""
    return 2 * (2 * n + 1) / (3 * n * (n + 1))


def _mann_whitney_deviation(n_a: int, n_b: int) -> float:
    """Standard deviation of the AUC of two samples under the null hypothesis, without ties."""
    return math.sqrt((n_a + n_b + 1) / (12 * n_a * n_b))


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


def _normal_power(shift: float, alpha: float) -> float:
    limit = normal_quantile(1 - alpha)
    return float(stats.norm.sf(limit - shift) + stats.norm.cdf(-limit - shift))


def _detectable_shift(power: float, alpha: float) -> float:
    """In standard deviations. From a power of one half the far tail is below a thousandth of the alpha."""
    return normal_quantile(1 - alpha) + float(stats.norm.ppf(power))


def normal_quantile(confidence: float) -> float:
    """Half width of the central normal interval, in standard deviations."""
    _require_between("confidence", confidence, 0, 1)
    return float(stats.norm.ppf(0.5 + confidence / 2))


def _permuted_p(x: Float64Array, y: Float64Array) -> float:
    """Two-sided: the part of all orders of y whose rank covariance is at least as far from 0."""
    ranks_x = stats.rankdata(x) - (len(x) + 1) / 2
    ranks_y = stats.rankdata(y) - (len(y) + 1) / 2
    orders = np.array(list(permutations(range(len(y)))))
    covariances = np.abs(ranks_y[orders] @ ranks_x)
    return float((covariances >= abs(ranks_y @ ranks_x) - 1e-9).mean())


def finite_sample(name: str, values: npt.ArrayLike, at_least: int) -> Float64Array:
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or len(given) < at_least:
        raise ValueError(f"{name} has the shape {given.shape}, expected one dimension and {at_least} or more values")
    if not np.isfinite(given).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(given)).sum())} values that are not finite; leave them out")
    return given


def _require_between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, expected {low} to {high}")
