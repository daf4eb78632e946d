"""Folds that hold people out and leave nobody of them in training."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from stf_mamba.core.errors import DatasetError
from stf_mamba.core.records import FAKE, REAL, VideoRecord
from stf_mamba.datasets.audit import require_disjoint
from stf_mamba.datasets.people_folds import people_folds


def record(name, label, *people):
    return VideoRecord(f"d/m/{name}", Path(name), label, people)


def swaps(pairs):
    """The original of every person filmed, and a swap for each (person, donor)."""
    originals = [record(f"real-{p}", REAL, f"p{p}") for p in sorted({p for p, _ in pairs})]
    return originals + [record(f"{p}-{d}", FAKE, f"p{p}", f"d{d}") for p, d in sorted(pairs)]


@settings(max_examples=15)
@given(st.sets(st.tuples(st.integers(0, 11), st.integers(0, 5)), max_size=6), st.integers(2, 3))
def test_parts_share_nobody_and_each_video_is_held_out_once(bridges, n_folds):
    records = swaps({(p, p % 6) for p in range(12)} | bridges)
    try:
        splits = people_folds(records, n_folds)
    except DatasetError:  # the bridges link too much
        reject()
    for split in splits:
        require_disjoint(split, records)
    held_out = [video_id for split in splits for video_id in split.validation]
    assert sorted(held_out) == sorted(r.video_id for r in records)


def test_blocks_joined_by_one_swap_are_cut_there():
    # Three donors have four people each, and person 0 is swapped with donor 1 as well. Held out with person 0, that
    # swap costs its own fold the four other swaps with donor 1, and the fold of donor 1 that one video.
    records = {r.video_id: r for r in swaps({(p, p // 4) for p in range(12)} | {(0, 1)})}
    splits = people_folds(records.values(), 3)
    filmed = [{int(records[i].identities[0][1:]) for i in split.validation} for split in splits]
    assert sorted(filmed, key=min) == [{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}]
    assert sorted(len(records) - len(split.train) - len(split.validation) for split in splits) == [0, 1, 4]


def test_nothing_is_left_out_where_nothing_is_linked():
    records = [record(f"{p}-{label}", label, f"p{p}") for p, label in product(range(12), (REAL, FAKE))]
    for split in people_folds(records, 4):
        assert len(split.validation) == 6
        assert len(split.train) == 18


def test_the_same_whatever_the_order_and_another_with_another_seed():
    records = swaps({(p, p % 5) for p in range(20)})
    one = people_folds(records, 4, seed=1)
    assert people_folds(records[::-1], 4, seed=1) == one
    assert people_folds(records, 4, seed=2) != one


def test_what_cannot_be_folded_is_refused():
    with pytest.raises(ValueError, match="folds is 1, expected 2 or more"):
        people_folds([], 1)
    with pytest.raises(DatasetError, match=r"would hold \d real and 0 fake of 4 videos"):
        people_folds(swaps({(0, 0), (1, 0)}), 2)
    with pytest.raises(DatasetError, match="1 videos have no label: d/m/x"):
        people_folds([record("x", None, "p")], 2)
