"""Numbers as text: decimals, intervals, p-values, parameter counts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stf_mamba.evaluation.metrics import Estimate
from stf_mamba.evaluation.statistics.intervals import ALPHA

NO_INTERVAL = "no interval"


NOT_GIVEN = "—"


def decimals(value: float | None, places: int = 3, missing: str = NOT_GIVEN) -> str:
    """The number with so many decimals, or what stands for a missing one."""
    return missing if value is None else typeset(f"{value:.{places}f}")


def signed(value: float | None, places: int = 3, missing: str = NOT_GIVEN) -> str:
    """As ``decimals``, with its sign."""
    return missing if value is None else typeset(f"{value:+.{places}f}")


def quantity(value: float, unit: str | None) -> str:
    """A signed number of three significant digits with its unit."""
    return typeset(f"{value:+.3g}") + (f" {unit}" if unit else "")


def with_interval(value: float, low: float | None, high: float | None, sign: str = "") -> str:
    """A value and its interval, or that there is none."""
    interval = NO_INTERVAL if low is None or high is None else f"[{low:{sign}.3f}, {high:{sign}.3f}]"
    return typeset(f"{value:{sign}.3f} {interval}")


def typeset(number: str) -> str:
    """The text of a number with a minus sign in place of a hyphen; a rounded zero has no minus."""
    zero = re.sub(r"-(0(?:\.0+)?)(?![\d.])", r"\1", number)
    return zero.replace("-", "−")


def estimated(estimate: Estimate | None, missing: str = NOT_GIVEN) -> str:
    """A figure with its interval."""
    return missing if estimate is None else with_interval(estimate.value, estimate.low, estimate.high)


def p_value(p: float | None, missing: str = "no test") -> str:
    """Two significant digits, three where two would read as ``ALPHA``; nothing below 0.0001 is told apart."""
    if p is None:
        return missing
    if p < 0.0001:
        return "< 0.0001"
    return f"{p:.3g}" if f"{p:.2g}" == f"{ALPHA:.2g}" else f"{p:.2g}"


def millions(count: int) -> str:
    """A count in millions."""
    return f"{count / 1e6:.1f}"


def spread(values: Sequence[float]) -> str:
    """From the smallest to the largest, and of how many."""
    if len(values) < 2:
        return "one seed"
    return f"{min(values):.3f} to {max(values):.3f} ({len(values)} seeds)"
