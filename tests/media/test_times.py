"""Which times are taken: laws, and cases worked by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stf_mamba.media.times import consecutive_times, every, uniform_times, window_spans


def test_every_takes_the_first_frame_at_or_after_each_grid_point():
    select = every(0.1)
    assert [t for t in (0.03, 0.07, 0.1, 0.14, 0.35, 0.39, 0.4) if select(t)] == [0.03, 0.1, 0.35, 0.4]
    select = every(0.04)
    assert all(select(number * 0.04) for number in range(200))  # 0.28 / 0.04 is 7.000000000000001, 0.12 / 0.04 is 3
    assert all(map(every(0), (0.0, 0.0001, 0.0002)))
    with pytest.raises(ValueError, match="interval_s"):
        every(-1)


ascending = st.lists(st.floats(-10, 1e4), min_size=1, max_size=60, unique=True).map(sorted)


@given(times=ascending, fraction=st.floats(0, 1))
def test_uniform_times_are_distinct_even_and_reach_both_ends(times, fraction):
    count = 1 + int(fraction * (len(times) - 1))
    chosen = uniform_times(times, count)
    ranks = [times.index(t) for t in chosen]
    assert len(set(chosen)) == count
    if count > 1:
        assert (ranks[0], ranks[-1]) == (0, len(times) - 1)
        gaps = [later - earlier for earlier, later in pairwise(ranks)]
        assert max(gaps) - min(gaps) <= 1


def test_uniform_times_worked_by_hand():
    times = [n / 10 for n in range(11)]
    assert uniform_times(times, 3) == (0.0, 0.5, 1.0)
    assert uniform_times(times, 4, start_s=0.2, end_s=0.8) == (0.2, 0.4, 0.6, 0.8)
    assert uniform_times(times, 1, start_s=0.2, end_s=0.4) == (0.3,)
    with pytest.raises(ValueError, match="span holds 3"):
        uniform_times(times, 4, start_s=0.2, end_s=0.4)
    with pytest.raises(ValueError, match="at least 1"):
        uniform_times(times, 0)


def test_consecutive_times_are_neighbours_placed_in_the_span():
    times = [n / 10 for n in range(11)]
    assert consecutive_times(times, 3, at=0) == (0.0, 0.1, 0.2)
    assert consecutive_times(times, 3, at=1) == (0.8, 0.9, 1.0)
    assert consecutive_times(times, 3) == (0.4, 0.5, 0.6)
    assert consecutive_times(times, 3, start_s=0.5, end_s=0.7) == (0.5, 0.6, 0.7)
    with pytest.raises(ValueError, match="span holds 2"):
        consecutive_times(times, 3, start_s=0.5, end_s=0.6)
    with pytest.raises(ValueError, match="between 0 and 1"):
        consecutive_times(times, 3, at=1.5)


def test_window_spans_worked_by_hand():
    assert window_spans(0, 10, 4) == [(0, 4), (4, 8), (8, 10)]  # half a window stands alone
    assert window_spans(0, 9.9, 4) == [(0, 4), (4, 9.9)]
    assert window_spans(1, 2, 4) == [(1, 2)]
    assert window_spans(3, 3, 4) == [(3, 3)]
    with pytest.raises(ValueError, match="window_s > 0"):
        window_spans(0, 1, 0)


@given(start=st.floats(-100, 100), length=st.floats(0, 500), window=st.floats(0.5, 50))
def test_window_spans_cover_without_gap_or_sliver(start, length, window):
    spans = window_spans(start, start + length, window)
    assert (spans[0][0], spans[-1][1]) == (start, start + length)
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    if len(spans) > 1:
        assert all(window * 0.4999 < end - begin < window * 1.5001 for begin, end in spans)
