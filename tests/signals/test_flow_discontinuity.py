"""Flow along the outline, against motion of known size."""

import numpy as np
import pytest
from planted_clips import moving

from stf_mamba.signals.ablation_frames import fixed_rectangle
from stf_mamba.signals.flow import dense_flow, flow_discontinuity, report_flow_discontinuity


def moved(face_steps_px, background_steps_px):
    pictures, points = moving(np.random.default_rng(3), face_steps_px, background_steps_px)
    return np.rint(pictures).astype(np.uint8), points


def test_flow_finds_a_translation():
    frames, _ = moved([(0, 0), (2, -1), (0, 0)], [(0, 0), (2, -1), (0, 0)])
    flow = dense_flow(frames)[:, 10:-10, 10:-10]
    np.testing.assert_allclose(np.median(flow, axis=(1, 2)), [(2, -1), (-2, 1)], atol=0.1)
    np.testing.assert_array_equal(dense_flow(frames[1:])[0], dense_flow(frames)[1])  # no memory of the pair before


def test_a_resting_clip_has_none_and_a_moving_face_up_to_its_motion():
    still, points = moved([(0, 0)] * 3, [(0, 0)] * 3)
    assert flow_discontinuity(still, points).value == pytest.approx(0, abs=1e-3)
    frames, points = moved([(-2, 0), (0, 0), (2, 0)], [(0, 0)] * 3)
    value = flow_discontinuity(frames, points).value
    # Beyond its outline the background stays 2 px behind the face; about half of the ring lies there.
    assert 0.3 < value < 2
    turned_round, points = moved([(0, 0)] * 3, [(-2, 0), (0, 0), (2, 0)])
    assert flow_discontinuity(turned_round, points).value == pytest.approx(value, rel=0.35)


def test_speeds_alone_change_sign_with_what_the_camera_follows():
    """As the report's way is assumed to be: one discontinuity, filmed at rest and filmed following the face."""
    moving_face, _ = moved([(-2, 0), (0, 0), (2, 0)], [(0, 0)] * 3)
    moving_background, _ = moved([(0, 0)] * 3, [(-2, 0), (0, 0), (2, 0)])
    assert report_flow_discontinuity(moving_face).value < -0.3
    assert report_flow_discontinuity(moving_background).value > 0.3


def test_rectangle_worked_by_hand():
    rectangle = fixed_rectangle((80, 120))
    assert rectangle.sum() == 40 * 60
    assert rectangle[20:60, 30:90].all()
    assert fixed_rectangle((80, 120), inset=0.1)[24:56, 36:84].sum() == fixed_rectangle((80, 120), inset=0.1).sum()
