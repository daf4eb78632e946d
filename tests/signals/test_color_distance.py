"""Colour distance, against scipy's Wasserstein distance and colours a known way apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_clips import as_frames, still
from scipy.stats import wasserstein_distance

from face_clips import landmarks
from stf_mamba.signals.ablation_frames import fixed_rectangle
from stf_mamba.signals.color import color_distance, report_color_distance, transport
from stf_mamba.signals.face_region import FACE, HEAD, RING_PX, face_depth

levels = st.lists(st.integers(0, 255), min_size=1, max_size=60).map(lambda values: np.array(values, np.uint8))


@given(levels, levels)
def test_transport_equals_scipy_and_its_moves_add_up(source, target):
    distance, move_of_level = transport(source, target)
    assert distance == pytest.approx(wasserstein_distance(source, target), abs=1e-9)
    assert move_of_level[source].mean() == pytest.approx(distance, abs=1e-9)


def test_transport_worked_by_hand():
    # Half of the mass stays at 10, the other half goes from 20 to 50.
    distance, move_of_level = transport(np.array([10, 20], np.uint8), np.array([50, 10, 10, 50], np.uint8))
    assert distance == pytest.approx(15)
    assert move_of_level[[10, 20]].tolist() == pytest.approx([0, 30])
    with pytest.raises(ValueError, match=r"\(0,\)"):
        transport(np.array([], np.uint8), np.array([1], np.uint8))


def test_a_clips_distance_equals_scipys_over_its_regions():
    generator = np.random.default_rng(9)
    frames, points = as_frames(still(generator)[:2], generator), landmarks(2)
    face = face_depth(points, (96, 96), FACE) > RING_PX
    background = face_depth(points, (96, 96), HEAD) < -RING_PX
    expected = [
        np.mean([wasserstein_distance(frame[inside, c], frame[outside, c]) for c in range(3)])
        for frame, inside, outside in zip(frames, face, background, strict=True)
    ]
    result = color_distance(frames, points)
    np.testing.assert_allclose(result.curve, expected, rtol=1e-9)
    np.testing.assert_allclose(np.nanmean(result.map, axis=(1, 2)), expected, rtol=1e-5)


def test_the_reports_way_finds_no_distance_between_disjoint_histograms():
    frames = np.full((2, 96, 96, 3), 40, np.uint8)
    frames[:, fixed_rectangle((96, 96))] = 200
    assert report_color_distance(frames).value == 0
    inside = face_depth(landmarks(2), (96, 96), HEAD)[0] > -RING_PX
    frames = np.full((2, 96, 96, 3), 40, np.uint8)
    frames[:, inside] = 200
    assert color_distance(frames, landmarks(2)).value == pytest.approx(160)


def test_the_reports_way_is_scipys_distance_of_the_heights():
    generator = np.random.default_rng(5)
    frames = as_frames(still(generator)[:1], generator)
    rectangle = fixed_rectangle((96, 96))
    expected = np.mean(
        [
            wasserstein_distance(
                *(np.bincount(frames[0, part, c], minlength=256) / part.sum() for part in (rectangle, ~rectangle))
            )
            for c in range(3)
        ]
    )
    assert report_color_distance(frames).value == pytest.approx(expected, rel=1e-9)
