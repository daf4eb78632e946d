"""Intervals of proportions, prediction bounds and equivalence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy.typing as npt
from scipy import stats

from stf_mamba.core.checks import require_between
from stf_mamba.core.numbers import require_finite
from stf_mamba.core.records import Float64Array, JsonRecord

CONFIDENCE = 0.95


ALPHA = 0.05


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


def equivalence_test(
    difference: float,
    standard_error: float,
    margin: float,
    degrees_of_freedom: float = math.inf,
    alpha: float = ALPHA,
) -> Equivalence:
    """Two one-sided t-tests of an estimated difference; with infinite degrees of freedom they are z-tests.

    Raises:
        ValueError: a number that is not finite (degrees of freedom excepted), a standard error or margin that is not
            positive, or an alpha outside (0, 0.5).

    Source: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 1987.
    """
    require_finite("difference, standard error and margin", [difference, standard_error, margin])
    if not (standard_error > 0 and margin > 0 and degrees_of_freedom > 0):
        raise ValueError(
            f"standard error {standard_error}, margin {margin} and degrees of freedom {degrees_of_freedom} must be "
            "positive"
        )
    require_between("alpha", alpha, 0, 0.5)
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


def wilson_interval(share: float, trials: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a proportion seen in so many independent trials, whose number may be an effective one.

    Raises:
        ValueError: a share outside [0, 1], or no trials.

    Source: Wilson, JASA 1927.
    """
    require_between("share", share, 0, 1)
    if not 0 < trials < math.inf:
        raise ValueError(f"trials is {trials}, expected a positive, finite number")
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
    require_between("confidence", confidence, 0, 1)
    n = len(given)
    reach = float(stats.t.ppf(confidence, n - 1)) * float(given.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return float(given.mean()) + reach


def normal_quantile(confidence: float) -> float:
    """Half width of the central normal interval, in standard deviations."""
    require_between("confidence", confidence, 0, 1)
    return float(stats.norm.ppf(0.5 + confidence / 2))


def finite_sample(name: str, values: npt.ArrayLike, at_least: int) -> Float64Array:
    given = require_finite(name, values)
    if given.ndim != 1 or len(given) < at_least:
        raise ValueError(f"{name} has the shape {given.shape}, expected one dimension and {at_least} or more values")
    return given
