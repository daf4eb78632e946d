"""Power of the signed-rank and Mann-Whitney tests, and the effects that a sample can detect."""

from __future__ import annotations

import math

from scipy import stats

from stf_mamba.core.checks import require_between
from stf_mamba.evaluation.statistics.intervals import ALPHA, normal_quantile


def signed_rank_power(effect: float, n_pairs: int, alpha: float = ALPHA) -> float:
    """Probability that ``signed_rank_test`` of so many pairs gives p < alpha at a true rank-biserial effect.

    Normal approximation with the variance under the null hypothesis; 0 where no outcome at all reaches alpha.

    Raises:
        ValueError: a number out of range.

    Source: Noether, JASA 1987, section 3.
    """
    require_between("effect", effect, -1, 1)
    require_between("alpha", alpha, 0, 1)
    if not n_pairs >= 1:
        raise ValueError(f"n_pairs is {n_pairs}, expected 1 or more")
    if 2 * 0.5**n_pairs > alpha:
        return 0.0
    return _normal_power(abs(effect) / math.sqrt(signed_rank_variance(n_pairs)), alpha)


def signed_rank_detectable_effect(n_pairs: int, power: float = 0.8, alpha: float = ALPHA) -> float | None:
    """Smallest rank-biserial effect that ``signed_rank_test`` finds with this power; ``None`` if not even 1 is.

    Raises:
        ValueError: a number out of range.

    Source: as ``signed_rank_power``.
    """
    require_between("power", power, 0.5, 1)
    if signed_rank_power(1.0, n_pairs, alpha) < power:
        return None
    return _detectable_shift(power, alpha) * math.sqrt(signed_rank_variance(n_pairs))


def mann_whitney_power(auc: float, n_a: int, n_b: int, alpha: float = ALPHA) -> float:
    """Probability that ``mann_whitney_test`` gives p < alpha at a true AUC. Otherwise as ``signed_rank_power``.

    Raises:
        ValueError: a number out of range.

    Source: Noether, JASA 1987, section 2.
    """
    require_between("auc", auc, 0, 1)
    require_between("alpha", alpha, 0, 1)
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
    require_between("power", power, 0.5, 1)
    if mann_whitney_power(1.0, n_a, n_b, alpha) < power:
        return None
    return 0.5 + _detectable_shift(power, alpha) * _mann_whitney_deviation(n_a, n_b)


def signed_rank_variance(n: int) -> float:
    """Variance of the matched-pairs rank-biserial effect of n pairs under the null hypothesis, without ties."""
    return 2 * (2 * n + 1) / (3 * n * (n + 1))


def _mann_whitney_deviation(n_a: int, n_b: int) -> float:
    """Standard deviation of the AUC of two samples under the null hypothesis, without ties."""
    return math.sqrt((n_a + n_b + 1) / (12 * n_a * n_b))


def _normal_power(shift: float, alpha: float) -> float:
    limit = normal_quantile(1 - alpha)
    return float(stats.norm.sf(limit - shift) + stats.norm.cdf(-limit - shift))


def _detectable_shift(power: float, alpha: float) -> float:
    """In standard deviations. From a power of one half the far tail is below a thousandth of the alpha."""
    return normal_quantile(1 - alpha) + float(stats.norm.ppf(power))
