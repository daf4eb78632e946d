"""Where landmarks lie in the crop, against the crop's own pixels and cases worked by hand."""

import numpy as np
import pytest

from stf_mamba.core.records import Face, FaceTrack
from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX, CropPath, crop_face
from stf_mamba.faces.settings import FaceSettings


def face_at(time_s, x, y, side=100.0, noise=0.0, seed=0):
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    shaken = np.random.default_rng(seed).normal(0, noise, (5, 2)) if noise else np.zeros((5, 2))
    points = (x, y) + (ALIGNED_LANDMARKS_PX - 56) * side / 112 + shaken
    return Face(time_s, box, tuple(map(tuple, points.tolist())), 0.99)


def track_of(faces):
    return FaceTrack(0, tuple(faces))


def test_a_still_face_lies_where_scale_and_margin_put_it():
    path = CropPath(track_of([face_at(t / 5, 200, 150) for t in range(11)]), FaceSettings(size_px=224, margin=1.3))
    # The box's 100 px become 224 / 1.3 crop pixels about the crop's centre, which lies between pixels 111 and 112.
    expected = 111.5 + (ALIGNED_LANDMARKS_PX - 56) / 112 * 224 / 1.3
    np.testing.assert_allclose(path.landmarks_at(1.0), expected, atol=1e-9)


@pytest.mark.parametrize("align", [False, True])
def test_a_dot_drawn_on_a_landmark_is_seen_there_in_the_crop(align):
    path = CropPath(track_of([face_at(t / 5, 200 + 6 * t, 150) for t in range(11)]), FaceSettings(align=align))
    frame = np.zeros((300, 400, 3), np.uint8)
    # At 1 s the centre is (230, 150) and the nose's pixel, counted from the corner, is its whole part.
    nose_x, nose_y = (230, 150) + (ALIGNED_LANDMARKS_PX[2] - 56) * 100 / 112
    frame[int(nose_y), int(nose_x)] = 255
    crop = crop_face(frame, path, 1.0).astype(float)[..., 0]
    y, x = np.indices(crop.shape)
    seen = np.array([(x * crop).sum(), (y * crop).sum()]) / crop.sum()
    # Half a frame pixel of the nose's place within its pixel, at 224 / 130 crop pixels each.
    np.testing.assert_allclose(path.landmarks_at(1.0)[2], seen, atol=0.5 * 224 / 130 + 0.1)


def test_trembling_landmarks_are_smoothed_and_a_misplaced_one_has_no_effect():
    shaken = [face_at(t / 5, 200, 150, noise=2.0, seed=t + 1) for t in range(41)]
    path = CropPath(track_of(shaken), FaceSettings())
    times_s = np.arange(1, 7, 1 / 25)
    steps = np.diff([path.landmarks_at(t) for t in times_s], axis=0)
    # Raw detections differ by 2·√2 frame pixels from one to the next, 4.9 crop pixels, five frames apart.
    assert steps.std() < 0.25
    wild = list(track_of([face_at(t / 5, 200, 150) for t in range(11)]).faces)
    calm = CropPath(track_of(wild), FaceSettings()).landmarks_at(1.0)
    points = tuple((x + 60, y) for x, y in wild[5].landmarks_px)
    wild[5] = Face(wild[5].time_s, wild[5].box_px, points, 0.99)
    np.testing.assert_allclose(CropPath(track_of(wild), FaceSettings()).landmarks_at(1.0), calm, atol=1e-9)
