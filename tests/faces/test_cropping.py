"""The crop's path, its pixels and where landmarks lie in it, against cases worked by hand and OpenCV."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stf_mamba.core.records import Face
from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX, CropPath, crop_face
from stf_mamba.faces.settings import FaceSettings
from tracked_faces import FPS, SETTINGS, face_at, times, track_of


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
    shaken = [face_at(t / 5, 200, 150, noise_px=2.0, seed=t + 1) for t in range(41)]
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


class TestCropPath:
    def test_jitter_of_a_still_face_hardly_moves_the_crop(self):
        rng = np.random.default_rng(7)
        jitter_px = 2.0
        faces = [face_at(t, *(np.array([200, 150]) + rng.normal(0, jitter_px, 2))) for t in times(20)]
        path = CropPath(track_of(faces), SETTINGS)
        centres = np.array([path.centre_at(t) for t in np.arange(1, 19, 1 / FPS)])
        # A line fit with Gaussian weights averages over 2·sqrt(pi)·0.2 s · 5/s = 3.5 detections: 1/sqrt(3.5) = 0.53.
        assert np.abs(centres.std(axis=0)).max() < 0.6 * jitter_px
        # Independent boxes would move by 2/sqrt(pi) = 1.13 times the jitter between neighbouring frames, on average.
        assert np.abs(np.diff(centres, axis=0)).mean() < 0.08 * jitter_px

    def test_an_evenly_moving_face_is_followed_without_lag_from_end_to_end(self):
        faces = [face_at(t, x=200 + 60 * t, y=150 - 20 * t) for t in times(4)]
        path = CropPath(track_of(faces), SETTINGS)
        for time_s in np.linspace(0, 4, 101):
            assert path.centre_at(time_s) == pytest.approx([200 + 60 * time_s, 150 - 20 * time_s], abs=1e-6)

    def test_irregular_times_and_gaps_do_not_bend_a_straight_path(self):
        seen = [0.0, 0.13, 0.21, 0.5, 1.1, 1.2, 1.7, 2.0]
        path = CropPath(track_of([face_at(t, x=200 + 60 * t) for t in seen]), SETTINGS)
        for time_s in np.linspace(0, 2, 41):
            assert path.centre_at(time_s)[0] == pytest.approx(200 + 60 * time_s, abs=1e-6)

    def test_one_misplaced_box_does_not_move_the_crop(self):
        faces = [face_at(t, x=240 if t == 2.0 else 200, side=150 if t == 2.0 else 100) for t in times(4)]
        path = CropPath(track_of(faces), SETTINGS)
        assert path.side_px == pytest.approx(130)
        assert path.centre_at(2.0) == pytest.approx([200, 150])

    def test_the_path_rests_outside_the_track(self):
        path = CropPath(track_of([face_at(t, x=200 + 60 * t) for t in times(2)]), SETTINGS)
        assert path.centre_at(-5) == pytest.approx(path.centre_at(0))
        assert path.centre_at(99) == pytest.approx(path.centre_at(2))

    def test_a_single_detection_and_distant_ones_have_a_path(self):
        assert CropPath(track_of([face_at(1.0)]), SETTINGS).centre_at(1.0) == pytest.approx([200, 150])
        distant = CropPath(track_of([face_at(0.0, x=100), face_at(100.0, x=300)]), SETTINGS)
        assert distant.centre_at(20.0)[0] == pytest.approx(100)

    def test_the_matrix_of_a_case_worked_by_hand(self):
        # Box 100 px around (200, 150), margin 1.3: the crop covers x 135...265 and y 85...215, 224 px for 130.
        matrix = CropPath(track_of([face_at(0.0)]), SETTINGS).matrix_at(0.0)
        scale = 224 / 130
        # The frame's pixel 135 has its centre half a pixel right of the crop's left edge.
        assert matrix @ [135, 85, 1] == pytest.approx([0.5 * scale - 0.5] * 2)
        assert matrix @ [264, 214, 1] == pytest.approx([224 - 0.5 * scale - 0.5] * 2)
        assert matrix[:, :2] == pytest.approx(scale * np.eye(2))

    @given(angle_deg=st.floats(-60, 60), scale=st.floats(0.3, 4), x=st.floats(-200, 900), y=st.floats(-200, 900))
    def test_alignment_brings_the_landmarks_to_their_places(self, angle_deg, scale, x, y):
        turn = scale * np.exp(1j * np.radians(angle_deg))
        moved = (ALIGNED_LANDMARKS_PX @ [1, 1j]) * turn + complex(x, y)
        landmarks = tuple((float(z.real), float(z.imag)) for z in moved)
        face = Face(time_s=0.0, box_px=(0, 0, 100, 100), landmarks_px=landmarks, score=1.0)
        path = CropPath(track_of([face]), FaceSettings(align=True))
        matrix = path.matrix_at(0.0)
        expected = ((ALIGNED_LANDMARKS_PX - 56) / 1.3 + 56) * 2  # margin 1.3, 224 px instead of 112
        got = (np.array(landmarks) - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
        assert got == pytest.approx(expected, abs=1e-6)
        assert path.side_px == pytest.approx(1.3 * 112 * scale)

    def test_alignment_keeps_one_scale_though_landmarks_jitter(self):
        rng = np.random.default_rng(3)
        faces = []
        for t in times(4):
            face = face_at(t)
            noisy = np.array(face.landmarks_px) + rng.normal(0, 2, (5, 2))
            faces.append(Face(t, face.box_px, tuple(map(tuple, noisy.tolist())), face.score))
        path = CropPath(track_of(faces), FaceSettings(align=True))
        scales = [math.sqrt(np.linalg.det(path.matrix_at(t)[:, :2])) for t in np.linspace(0, 4, 50)]
        assert scales == pytest.approx([224 / path.side_px] * 50)


class TestCropFace:
    def test_at_scale_one_on_whole_pixels_the_crop_is_the_frame(self):
        frame = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
        settings = FaceSettings(margin=1.0, size_px=100)
        crop = crop_face(frame, CropPath(track_of([face_at(0.0)]), settings), 0.0)
        np.testing.assert_array_equal(crop, frame[100:200, 150:250])

    @pytest.mark.parametrize("side", [30.0, 77.7, 172.3, 400.0])
    @pytest.mark.parametrize("align", [False, True])
    def test_a_ramp_stays_the_same_ramp(self, side, align):
        # Every filter that keeps straight lines straight must give the ramp's value at the mapped position.
        height, width = 700, 700
        rows, columns = np.mgrid[:height, :width]
        frame = np.stack([columns * 0.3, rows * 0.3, 100 + 0 * rows], axis=-1).round().astype(np.uint8)
        settings = FaceSettings(align=align)
        path = CropPath(track_of([face_at(0.0, x=350.3, y=340.8, side=side)]), settings)
        crop = crop_face(frame, path, 0.0)
        to_frame = cv2.invertAffineTransform(path.matrix_at(0.0))
        x, y = to_frame @ np.array([*np.meshgrid(np.arange(224), np.arange(224)), np.ones((224, 224))]).reshape(3, -1)
        assert np.abs(crop[..., 0].ravel() - 0.3 * x).max() < 1.2
        assert np.abs(crop[..., 1].ravel() - 0.3 * y).max() < 1.2
        assert (crop[..., 2] == 100).all()

    @pytest.mark.parametrize("side", [60.0, 260.0, 700.0])
    def test_cutting_the_surroundings_first_changes_nothing(self, side):
        frame = np.random.default_rng(1).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
        path = CropPath(track_of([face_at(0.0, x=610.4, y=450.2, side=side)]), SETTINGS)
        whole = frame
        shrink = path.side_px / path.size_px
        if shrink > 1:
            whole = cv2.GaussianBlur(frame, (0, 0), (shrink - 1) / 2, borderType=cv2.BORDER_REPLICATE)
        expected = cv2.warpAffine(
            whole, path.matrix_at(0.0), (224, 224), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        difference = np.abs(crop_face(frame, path, 0.0).astype(int) - expected)
        assert difference.max() <= 1

    def test_beyond_the_frame_its_edge_repeats(self):
        frame = np.zeros((100, 100, 3), np.uint8)
        frame[:, :50], frame[:, 50:] = 60, 180
        for x, value in ((-500, 60), (600, 180)):
            crop = crop_face(frame, CropPath(track_of([face_at(0.0, x=x, y=50)]), SETTINGS), 0.0)
            assert (crop == value).all()

    def test_fine_texture_does_not_flicker_when_a_large_face_is_shrunk(self):
        # Stripes finer than the crop can show, at all positions: the crop must stay grey.
        stripes = np.broadcast_to((np.arange(1200) % 2 * 255).astype(np.uint8)[None, :, None], (900, 1200, 3))
        crops = [
            crop_face(stripes, CropPath(track_of([face_at(0.0, x=600 + s, y=450, side=600)]), SETTINGS), 0.0)
            for s in np.linspace(0, 4, 9)
        ]
        assert np.std(np.array(crops, float), axis=0).max() < 8
        path = CropPath(track_of([face_at(0.0, x=600, y=450, side=600)]), SETTINGS)
        unfiltered = cv2.warpAffine(stripes, path.matrix_at(0.0), (224, 224), flags=cv2.INTER_CUBIC)
        assert unfiltered.std() > 50

    def test_texture_keeps_its_contrast_between_whole_pixels(self):
        # Stripes of 4 px period: halfway between pixels bilinear interpolation keeps cos(pi/4) = 71 %.
        wave = 128 + 100 * np.cos(np.arange(400) * np.pi / 2)
        frame = np.broadcast_to(wave.round().astype(np.uint8)[None, :, None], (300, 400, 3))
        settings = FaceSettings(margin=1.0, size_px=100)
        contrast = [
            crop_face(frame, CropPath(track_of([face_at(0.0, x=200 + s)]), settings), 0.0)[:, 8:-8].astype(float).std()
            for s in (0.0, 0.5)
        ]
        assert contrast[1] / contrast[0] > 0.85
