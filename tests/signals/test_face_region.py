"""The face's outline in clips, against its own definition in the aligned frame and against turned faces."""

import numpy as np

from face_clips import landmarks
from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX
from stf_mamba.faces.masks import region_depth
from stf_mamba.signals.face_region import FACE, HEAD, face_depth


def test_landmarks_of_the_aligned_frame_give_its_own_depth():
    depth = face_depth(ALIGNED_LANDMARKS_PX[None], (112, 112))[0]
    patch = region_depth(FACE)
    # A landmark at x lies on the centre of pixel x; the patch begins at -8 and its first pixel's centre at -7.5.
    between = (patch[:-1] + patch[1:]) / 2
    between = (between[:, :-1] + between[:, 1:]) / 2  # at whole aligned pixels: index i lies at i - 7 and j at j + 1
    inner = np.s_[30:110, 30:82]  # away from the limits at the sides
    np.testing.assert_allclose(depth[inner], between[29:109, 37:89], atol=0.05)


def test_the_region_is_carried_along_by_shift_scale_and_turn():
    points = landmarks(1)
    area = (face_depth(points, (96, 96)) > 0).sum()
    moved = face_depth(points + np.array([3, -2]), (96, 96))
    np.testing.assert_allclose(moved[0, :90, 3:], face_depth(points, (96, 96))[0, 2:92, :-3], atol=1e-3)
    twice = (face_depth(2 * points, (192, 192)) > 0).sum()
    assert abs(twice / area - 4) < 0.1
    turned = np.stack([95 - points[..., 1], points[..., 0]], axis=-1)  # a quarter turn clockwise about the middle
    quarter = face_depth(turned, (96, 96))[0]
    assert abs((quarter > 0).sum() / area - 1) < 0.03
    expected = np.rot90(face_depth(points, (96, 96))[0], -1)
    assert ((quarter > 0) == (expected > 0)).mean() > 0.99


def test_landmarks_lie_inside_and_the_head_holds_the_face():
    points = landmarks(2)
    face, head = (face_depth(points, (96, 96), outline) for outline in (FACE, HEAD))
    columns, rows = np.rint(points[0]).astype(int).T
    assert (face[0, rows, columns] > 5).all()
    assert (head[face > 0] > -1.5).all()
    assert face[:, 0, 0].max() < -10
