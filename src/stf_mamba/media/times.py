"""Presentation times of frames: which to take, which are the same moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

TIME_TOLERANCE_S = 1e-4
"""Two times closer than this are the same moment: containers with a millisecond clock round."""


def every(interval_s: float) -> Callable[[float], bool]:
    """A selector for ``FrameStream``: the first frame at or after each multiple of ``interval_s``; 0 takes all.

    It remembers where it is: use each once.
    """
    if not interval_s >= 0:
        raise ValueError(f"interval_s must be 0 (every frame) or positive, got {interval_s}")
    latest = -math.inf

    def select(time_s: float) -> bool:
        nonlocal latest
        if interval_s == 0:
            return True
        grid_point = math.floor((time_s + TIME_TOLERANCE_S) / interval_s)
        is_first = grid_point > latest
        latest = max(latest, grid_point)
        return is_first

    return select


def uniform_times(
    times_s: Sequence[float], count: int, start_s: float | None = None, end_s: float | None = None
) -> tuple[float, ...]:
    """``count`` different frames, evenly spread over the frames in [start, end], the first and last among them.

    Args:
        times_s: ascending presentation times, such as ``FrameStream.times_s``.
        count: how many; 1 gives the middle frame.
        start_s, end_s: the span, its ends included; the whole video where left out.

    Raises:
        ValueError: the span holds fewer frames than ``count``.
    """
    candidates = _frames_between(times_s, count, start_s, end_s)
    if count == 1:
        return (candidates[(len(candidates) - 1) // 2],)
    step = Fraction(len(candidates) - 1, count - 1)  # at least 1, so that no two round to the same frame
    return tuple(candidates[math.floor(index * step + Fraction(1, 2))] for index in range(count))


def consecutive_times(
    times_s: Sequence[float], count: int, start_s: float | None = None, end_s: float | None = None, at: float = 0.5
) -> tuple[float, ...]:
    """``count`` neighbouring frames within [start, end]; ``at`` is 0 for the earliest run, 1 for the latest.

    Raises:
        ValueError: the span holds fewer frames than ``count``, or ``at`` is outside [0, 1].
    """
    if not 0 <= at <= 1:
        raise ValueError(f"at must be between 0 and 1, got {at}")
    candidates = _frames_between(times_s, count, start_s, end_s)
    first = round(at * (len(candidates) - count))
    return candidates[first : first + count]


def window_spans(start_s: float, end_s: float, window_s: float) -> list[tuple[float, float]]:
    """Windows (start, end) of ``window_s`` that cover the span without a gap.

    What remains at the end is a window of its own, or joins its predecessor where it is shorter than half a window.
    """
    if not window_s > 0 or end_s < start_s:
        raise ValueError(f"expected start_s <= end_s and window_s > 0, got {start_s}, {end_s}, {window_s}")
    whole, rest = divmod(end_s - start_s, window_s)
    count = max(1, int(whole) + (rest >= window_s / 2))
    edges = [start_s + index * window_s for index in range(count)] + [end_s]
    return list(pairwise(edges))


def _frames_between(
    times_s: Sequence[float], count: int, start_s: float | None, end_s: float | None
) -> tuple[float, ...]:
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    start = -math.inf if start_s is None else start_s - TIME_TOLERANCE_S
    end = math.inf if end_s is None else end_s + TIME_TOLERANCE_S
    candidates = tuple(time_s for time_s in times_s if start <= time_s <= end)
    if len(candidates) < count:
        raise ValueError(
            f"{count} different frames are wanted, the span holds {len(candidates)}; ask for fewer or widen the span"
        )
    return candidates
