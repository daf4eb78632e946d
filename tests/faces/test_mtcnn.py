"""MTCNN against a drawn face, and its suppression of boxes against the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stf_mamba.faces.mtcnn import _non_maximum_suppression
from tracked_faces import DRAWN_LANDMARKS, drawn_face, overlap


class TestMtcnnOnADrawnFace:
    @pytest.mark.parametrize("height_px", [30, 50, 80, 120, 160])
    def test_box_and_landmarks_lie_where_they_were_drawn(self, mtcnn, height_px):
        ((face,),) = mtcnn.detect([drawn_face(height_px)], [1.5])
        assert face.time_s == 1.5
        assert face.score > 0.9
        expected = (160 - 0.40 * height_px, 120 - 0.48 * height_px, 160 + 0.40 * height_px, 120 + 0.56 * height_px)
        assert overlap(face.box_px, expected) > 0.85
        landmarks = (np.array(face.landmarks_px) - [160, 120]) / height_px
        assert np.abs(landmarks - DRAWN_LANDMARKS).max() < 0.05

    def test_a_moved_face_moves_box_and_landmarks(self, mtcnn):
        first, moved = mtcnn.detect([drawn_face(80), drawn_face(80, centre=(232, 150))], [0.0, 0.1])
        assert np.array(moved[0].box_px) - first[0].box_px == pytest.approx([72, 30, 72, 30], abs=5)
        shift = np.array(moved[0].landmarks_px) - first[0].landmarks_px
        assert shift == pytest.approx(np.tile([72, 30], (5, 1)), abs=4)

    def test_all_faces_are_found_best_first(self, mtcnn):
        frame = np.concatenate([drawn_face(60), drawn_face(120), drawn_face(90)], axis=1)
        (faces,) = mtcnn.detect([frame], [0.0])
        assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
        assert sorted(round(face.centre_px[0] / 160) for face in faces) == [1, 3, 5]

    def test_a_batch_finds_what_single_frames_give_also_for_mixed_shapes(self, mtcnn):
        frames = [drawn_face(80), drawn_face(50, (100, 60), (240, 200)), np.full((240, 320, 3), 90, np.uint8)]
        together = mtcnn.detect(frames, [0.0, 0.2, 0.4])
        for faces, frame, time_s in zip(together, frames, [0.0, 0.2, 0.4], strict=True):
            (alone,) = mtcnn.detect([frame], [time_s])
            assert len(faces) == len(alone)
            for face, same in zip(faces, alone, strict=True):
                assert face.time_s == time_s
                assert face.box_px == pytest.approx(same.box_px, abs=1e-3)
        assert [len(faces) for faces in together] == [1, 1, 0]

    def test_a_small_face_in_a_large_frame_is_found_by_the_second_search(self, mtcnn, monkeypatch):
        frame = np.full((720, 1280, 3), 120, np.uint8)
        frame[400:640, 800:1120] = drawn_face(22)
        ((face,),) = mtcnn.detect([frame], [0.0])
        assert face.centre_px == pytest.approx((960, 521), abs=3)
        monkeypatch.setattr(mtcnn, "LONGER_SIDE_PER_FACE", mtcnn.LONGER_SIDE_PER_FACE[:1])
        assert mtcnn.detect([frame], [0.0]) == [[]]

    @pytest.mark.parametrize("shape", [(1, 1, 3), (11, 300, 3), (12, 12, 3), (20, 20, 3)])
    def test_tiny_frames_hold_no_face(self, mtcnn, shape):
        assert mtcnn.detect([np.zeros(shape, np.uint8)], [0.0]) == [[]]

    def test_no_frames_give_no_lists(self, mtcnn):
        assert mtcnn.detect([], []) == []

    @pytest.mark.parametrize(
        ("frames", "times_s", "message"),
        [
            ([np.zeros((20, 20, 3), np.uint8)], [], "each frame needs its time"),
            ([np.zeros((20, 20), np.uint8)], [0.0], r"\(20, 20\)"),
            ([np.zeros((20, 20, 3), np.float32)], [0.0], "float32"),
            ([np.zeros((0, 20, 3), np.uint8)], [0.0], r"\(0, 20, 3\)"),
        ],
    )
    def test_wrong_arguments_are_named(self, mtcnn, frames, times_s, message):
        with pytest.raises(ValueError, match=message):
            mtcnn.detect(frames, times_s)


class TestNonMaximumSuppression:
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 1), st.integers(0, 20), st.integers(0, 20), st.integers(1, 15), st.integers(1, 15)
            ),
            max_size=25,
        ),
        st.floats(0.1, 0.9),
    )
    def test_keeps_a_box_exactly_if_no_better_kept_one_of_its_frame_overlaps_it(self, drawn, limit):
        boxes = np.array([(f, x, y, x + w, y + h) for f, x, y, w, h in drawn], np.float32).reshape(-1, 5)
        scores = np.random.default_rng(len(drawn)).permutation(len(drawn)).astype(np.float32)
        kept = _non_maximum_suppression(boxes, scores, limit).tolist()
        assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
        for index, box in enumerate(boxes):
            better = [other for other in kept if scores[other] > scores[index] and boxes[other][0] == box[0]]
            overlaps = [overlap(box[1:].astype(float), boxes[other][1:].astype(float)) for other in better]
            if any(abs(value - limit) < 1e-6 for value in overlaps):
                continue
            assert (index in kept) == (not any(value > limit for value in overlaps))

    def test_relative_to_the_smaller_box_a_contained_one_goes(self):
        boxes = np.array([[0, 0, 0, 10, 10], [0, 2, 2, 5, 5]], np.float32)
        scores = np.array([0.9, 0.8], np.float32)
        assert _non_maximum_suppression(boxes, scores, 0.7).tolist() == [0, 1]
        assert _non_maximum_suppression(boxes, scores, 0.7, relative_to_smaller=True).tolist() == [0]
