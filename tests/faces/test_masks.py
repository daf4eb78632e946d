"""Masks in the aligned frame, against distances worked out point by point and laws that every draw keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX
from stf_mamba.faces.masks import (
    _HALF_OUTLINES_PX,
    PATCH_CORNER_PX,
    PATCH_SIDE_PX,
    REGIONS,
    SWIM_FIELDS,
    WHOLE_FACES,
    draw_mask_shape,
    face_sides,
    head_turn,
    region_depth,
    smooth_field,
)

NO_LIMITS = np.array([-1e6, 1e6])


def distance_to_segment(point, start, end):
    along = np.clip(np.dot(point - start, end - start) / np.dot(end - start, end - start), 0, 1)
    return np.linalg.norm(point - start - along * (end - start))


@pytest.mark.parametrize("name", sorted(_HALF_OUTLINES_PX))
def test_depth_is_the_distance_to_the_outline(name):
    half = np.array(_HALF_OUTLINES_PX[name], float)
    outline = np.array([(56 + x, y) for x, y in half] + [(56 - x, y) for x, y in half[::-1]])
    depth_px = region_depth((name,))
    generator = np.random.default_rng(3)
    for column, row in generator.integers(4, PATCH_SIDE_PX - 4, (200, 2)):
        point = PATCH_CORNER_PX + 0.5 + np.array([column, row])
        edges = zip(outline, np.roll(outline, -1, axis=0), strict=True)
        nearest = min(distance_to_segment(point, a, b) for a, b in edges if not np.array_equal(a, b))
        # Whole pixels and the smoothing of corners cost about a pixel.
        assert abs(abs(depth_px[row, column]) - nearest) < 1.6
    assert depth_px[int(half[:, 1].mean() - PATCH_CORNER_PX[1]), int(56 - PATCH_CORNER_PX[0])] > 0


@pytest.mark.parametrize("region", [*REGIONS, *WHOLE_FACES])
def test_landmarks_of_a_whole_face_lie_inside_and_chances_add_up(region):
    columns, rows = (ALIGNED_LANDMARKS_PX - PATCH_CORNER_PX).astype(int).T
    if region in WHOLE_FACES:
        assert (region_depth(region)[rows, columns] > 3).all()
    for table in (REGIONS, WHOLE_FACES):
        assert sum(table.values()) == pytest.approx(1)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.lists(st.floats(-4, 4), min_size=SWIM_FIELDS, max_size=SWIM_FIELDS))
def test_every_mask_is_soft_bounded_and_away_from_the_border(seed, swim):
    shape = draw_mask_shape(np.random.default_rng(seed))
    for weights in (shape.weights(NO_LIMITS), shape.weights(NO_LIMITS, np.array(swim))):
        assert weights.dtype == np.float32
        assert weights.min() == 0
        assert 0 < weights.max() <= 1
        assert not weights[[0, -1]].any()
        assert not weights[:, [0, -1]].any()
    assert shape.weights(NO_LIMITS).max() == 1


def test_limits_cut_the_mask_at_the_sides():
    shape = draw_mask_shape(np.random.default_rng(1), {("with forehead",): 1.0})
    weights = shape.weights(np.array([50.0, 70.0]))
    x_px = np.arange(PATCH_SIDE_PX) + PATCH_CORNER_PX[0] + 0.5
    beyond = (x_px < 50 - shape.softness_px / 2) | (x_px > 70 + shape.softness_px / 2)
    assert not weights[:, beyond].any()
    assert weights.any()


def test_a_field_has_unit_variance_and_the_correlation_of_its_kernel():
    reach_px = 5.0
    fields = np.stack([smooth_field(np.random.default_rng(seed), reach_px) for seed in range(60)])
    assert fields.var() == pytest.approx(1, abs=0.06)
    for distance in (3, 8):
        measured = (fields * np.roll(fields, distance, axis=2)).mean() / fields.var()
        assert measured == pytest.approx(np.exp(-(distance**2) / (4 * reach_px**2)), abs=0.03)


def test_head_turn_and_sides_worked_by_hand():
    frontal = ALIGNED_LANDMARKS_PX
    turned = frontal + np.where(np.arange(5)[:, None] == 2, (8.8, 0.0), (0.0, 0.0))  # half the eyes' half distance
    aligned_px = np.stack([frontal, turned])
    turn = head_turn(aligned_px)
    np.testing.assert_allclose(turn, [0.0, 0.5], atol=0.01)
    sides_px = face_sides(aligned_px, turn[:, None])
    # Seen from the front 21 px beyond the outer of eye and mouth corner; turned to the right half of it there.
    np.testing.assert_allclose(sides_px[0], [38.29 - 21, 73.53 + 21], atol=0.1)
    np.testing.assert_allclose(sides_px[1], [38.29 - 21, 73.53 + 10.5], atol=0.2)
    with_turned_donor = face_sides(aligned_px[:1], np.array([[0.0, -2.0]]))
    np.testing.assert_allclose(with_turned_donor, [[38.29 - 4, 73.53 + 21]], atol=0.1)
