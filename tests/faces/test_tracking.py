"""Tracking, the crop's path and the cutting of clips, against cases worked by hand and independent references."""

import math
from fractions import Fraction
from itertools import permutations

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stf_mamba.clips import cutting
from stf_mamba.clips.cutting import cut_clips
from stf_mamba.core.errors import VideoError
from stf_mamba.core.records import Face, FaceTrack
from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX, CropPath, crop_face
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.faces.tracking import find_face_tracks, follow_faces
from stf_mamba.media.frames import FrameStream

SETTINGS = FaceSettings()
FPS = 25


def face_at(time_s, x=200.0, y=150.0, side=100.0, score=0.99):
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    landmarks = tuple((x + (u - 56) * side / 112, y + (v - 56) * side / 112) for u, v in ALIGNED_LANDMARKS_PX)
    return Face(time_s=time_s, box_px=box, landmarks_px=landmarks, score=score)


def times(duration_s, interval_s=0.2):
    return [round(index * interval_s, 6) for index in range(round(duration_s / interval_s) + 1)]


def track_of(faces):
    return FaceTrack(id=0, faces=tuple(faces))


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("detection_interval_s", 0),
            ("margin", -1.0),
            ("size_px", 0),
            ("min_side_px", math.nan),
            ("min_duration_s", -0.1),
            ("min_hit_ratio", 1.5),
            ("min_score", -0.1),
            ("max_side_ratio", 1.0),
            ("smoothing_s", math.inf),
            ("max_gap_s", 0.1),
        ],
    )
    def test_values_out_of_range_are_named(self, name, value):
        with pytest.raises(ValueError, match=name):
            FaceSettings(**{name: value})

    def test_survives_json(self):
        settings = FaceSettings(align=True, margin=1.5)
        assert FaceSettings.from_json(settings.to_json()) == settings


class TestFollowFaces:
    def test_a_face_that_stays_is_one_track(self):
        detections = [(t, [face_at(t)]) for t in times(2)]
        tracks, dropped = follow_faces(detections, SETTINGS)
        assert [track.faces for track in tracks] == [tuple(faces[0] for _, faces in detections)]
        assert dropped == ()

    def test_two_faces_that_pass_each_other_keep_their_tracks(self):
        # They move against each other on lines 80 px apart: boxes overlap, but each overlaps its own past more.
        left_to_right = [face_at(t, x=100 + 100 * t, y=100) for t in times(4)]
        right_to_left = [face_at(t, x=500 - 100 * t, y=180) for t in times(4)]
        detections = [
            (a.time_s, [a, b] if index % 2 else [b, a])
            for index, (a, b) in enumerate(zip(left_to_right, right_to_left, strict=True))
        ]
        tracks, _ = follow_faces(detections, SETTINGS)
        assert {track.faces for track in tracks} == {tuple(left_to_right), tuple(right_to_left)}

    @given(
        st.lists(st.floats(100, 300), min_size=3, max_size=3, unique=True),
        st.lists(st.floats(100, 300), min_size=3, max_size=3, unique=True),
    )
    def test_links_have_the_largest_total_overlap(self, before_x, after_x):
        before = [face_at(0.0, x=x) for x in before_x]
        after = [face_at(0.2, x=x) for x in after_x]
        settings = FaceSettings(min_duration_s=0.1, min_overlap=0.0, max_unsteadiness=10)
        tracks, _ = follow_faces([(0.0, before), (0.2, after)], settings)
        linked = sum(overlap(*track.faces) for track in tracks if len(track.faces) == 2)
        best = max(sum(overlap(a, b) for a, b in zip(before, order, strict=True)) for order in permutations(after))
        assert linked == pytest.approx(best, abs=1e-6)

    def test_a_short_gap_is_bridged_and_a_long_one_is_not(self):
        seen = [t for t in times(6) if not 2 < t < 2.6]
        tracks, _ = follow_faces([(t, [face_at(t)] if t in seen else []) for t in times(6)], SETTINGS)
        assert len(tracks) == 1
        seen = [t for t in times(6) if not 2 < t < 3]
        tracks, _ = follow_faces([(t, [face_at(t)] if t in seen else []) for t in times(6)], SETTINGS)
        assert [(track.start_s, track.end_s) for track in tracks] == [(3.0, 6.0), (0.0, 2.0)]

    def test_a_jump_starts_a_new_track(self):
        detections = [(t, [face_at(t, x=200 if t < 2 else 270)]) for t in times(4)]
        tracks, _ = follow_faces(detections, SETTINGS)
        assert sorted((track.start_s, track.end_s) for track in tracks) == [(0.0, 1.8), (2.0, 4.0)]

    def test_a_face_that_grows_is_cut_where_the_side_exceeds_the_ratio(self):
        detections = [(t, [face_at(t, side=100 * 1.6 ** (t / 2))]) for t in times(6)]  # 1.6 times larger every 2 s
        tracks, dropped = follow_faces(detections, SETTINGS)
        assert sum(len(track.faces) for track in tracks) == len(detections)
        assert len(tracks) == 3
        assert dropped == ()
        for track in tracks:
            sides = [face.side_px for face in track.faces]
            # The median filter that decides on the cut reaches two detections (1.6^0.2) beyond it.
            assert max(sides) <= 1.6 * 1.6**0.2 * min(sides) * (1 + 1e-9)

    def test_one_box_of_a_wrong_size_cuts_nothing(self):
        detections = [(t, [face_at(t, side=170 if t == 1.0 else 100)]) for t in times(2)]
        tracks, _ = follow_faces(detections, SETTINGS)
        assert [len(track.faces) for track in tracks] == [11]

    @pytest.mark.parametrize(
        ("detections", "reason"),
        [
            ([(t, [face_at(t)] if t <= 0.4 else []) for t in times(2)], "seen for 0.4 s, at least 1 s is needed"),
            ([(t, [face_at(t, side=30)]) for t in times(2)], "the face is 30 px large, at least 40 px is needed"),
            (
                [(t, [face_at(t)] if index % 3 == 0 else []) for index, t in enumerate(times(2.4))],
                "found in 5 of the 13 frames looked at, at least 50% is needed",
            ),
            (
                [(t, [face_at(t, score=0.75)]) for t in times(2)],
                "the detector is unsure that it is a face: score 0.75, at least 0.8 is needed",
            ),
            (
                # Groups of three at two places 50 px apart, ABABABA: with long smoothing the path is the mean, 50·9/21
                # = 21.4 px from A, where most boxes lie.
                [(t, [face_at(t, x=200 + 50 * (index // 3 % 2))]) for index, t in enumerate(times(4))],
                "its position is uncertain: the box lies 21% of its size off its path, at most 15% is allowed",
            ),
        ],
    )
    def test_a_dropped_face_has_a_reason(self, detections, reason):
        settings = FaceSettings(smoothing_s=1000.0) if "uncertain" in reason else SETTINGS
        tracks, dropped = follow_faces(detections, settings)
        assert tracks == ()
        assert [track.reason for track in dropped] == [reason]

    def test_tracks_are_ordered_by_duration_times_area(self):
        # 4 s × 60² = 14400, 2 s × 100² = 20000, 3 s × 50² = 7500
        shown = [(0, 4, 60, 100), (1, 3, 100, 400), (0, 3, 50, 700)]
        detections = [
            (t, [face_at(t, x=x, side=side) for start, end, side, x in shown if start <= t <= end]) for t in times(4)
        ]
        tracks, _ = follow_faces(detections, SETTINGS)
        assert [(track.id, track.faces[0].side_px) for track in tracks] == [(0, 100), (1, 60), (2, 50)]

    def test_no_frames_and_no_faces_give_nothing(self):
        assert follow_faces([], SETTINGS) == ((), ())
        assert follow_faces([(0.0, []), (0.2, [])], SETTINGS) == ((), ())

    def test_times_must_ascend(self):
        with pytest.raises(ValueError, match="order of time"):
            follow_faces([(0.2, []), (0.0, [])], SETTINGS)


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


class BrightSquareFinder:
    """Finds the one bright square in a dark frame: a detector simple enough to be right."""

    name = "bright-square"

    def detect(self, frames, times_s):
        return [self._faces(frame, time_s) for frame, time_s in zip(frames, times_s, strict=True)]

    @staticmethod
    def _faces(frame, time_s):
        rows, columns = np.nonzero(frame[..., 0] > 128)
        if rows.size == 0:
            return []
        box = tuple(float(edge) for edge in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        return [Face(time_s=time_s, box_px=box, landmarks_px=((0.0, 0.0),) * 5, score=1.0)]


def write_moving_square(path, seconds=3, speed_px_s=20):
    """A lossless video of a 60 px square that moves to the right over noise of its own per frame; its frames."""
    rng = np.random.default_rng(5)
    frames = []
    for index in range(seconds * FPS):
        frame = rng.integers(0, 60, (128, 256, 3), dtype=np.uint8)
        left = 20 + round(index / FPS * speed_px_s)
        frame[30:90, left : left + 60] = rng.integers(200, 256, (60, 60, 3), dtype=np.uint8)
        frames.append(frame)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 256, 128, "bgr0"
        stream.codec_context.time_base = Fraction(1, FPS)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return frames


@pytest.fixture(scope="module")
def square_video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "square.mkv"
    return path, write_moving_square(path)


class TestFindFaceTracks:
    def test_finds_the_moving_square_and_all_times(self, square_video):
        path, frames = square_video
        seconds = []
        search = find_face_tracks(path, BrightSquareFinder(), SETTINGS, seconds.append)
        assert search.times_s == pytest.approx([index / FPS for index in range(len(frames))], abs=1e-3)
        assert search.damaged_packets == 0
        assert search.dropped == ()
        assert [face.time_s for face in search.tracks[0].faces] == pytest.approx(times(2.8), abs=1e-3)
        for face in search.tracks[0].faces:
            left = 20 + round(face.time_s * 20)
            assert face.box_px == (left, 30, left + 60, 90)
        assert seconds == sorted(seconds)
        assert seconds[-1] == pytest.approx(2.8, abs=1e-3)

    def test_a_text_file_is_a_video_error(self, tmp_path):
        (tmp_path / "a.mp4").write_text("not a video")
        with pytest.raises(VideoError):
            find_face_tracks(tmp_path / "a.mp4", BrightSquareFinder(), SETTINGS)


class TestCutClips:
    @pytest.fixture
    def search(self, square_video):
        return find_face_tracks(square_video[0], BrightSquareFinder(), SETTINGS)

    def test_each_crop_comes_from_the_frame_of_its_exact_time(self, square_video, search):
        path, frames = square_video
        track = search.tracks[0]
        picked = [3, 10, 11, 40]
        (clip,) = cut_clips(path, [(track, [search.times_s[index] for index in picked])], SETTINGS)
        crop_path = CropPath(track, SETTINGS)
        assert clip.track_id == track.id
        assert clip.times_s == tuple(search.times_s[index] for index in picked)
        assert clip.frames.shape == (4, 224, 224, 3)
        for crop, index in zip(clip.frames, picked, strict=True):
            np.testing.assert_array_equal(crop, crop_face(frames[index], crop_path, search.times_s[index]))

    def test_one_pass_serves_all_clips_and_each_comes_as_soon_as_it_is_complete(
        self, square_video, search, monkeypatch
    ):
        path, _ = square_video
        streams = []

        def counted(*arguments, **options):
            streams.append(FrameStream(*arguments, **options))
            return streams[-1]

        monkeypatch.setattr(cutting, "FrameStream", counted)
        track = search.tracks[0]
        requests = [(track, search.times_s[50:60]), (track, search.times_s[:10]), (track, search.times_s[5:15])]
        seen = [(clip.times_s, len(streams[0].times_s)) for clip in cut_clips(path, requests, SETTINGS)]
        assert len(streams) == 1
        assert seen == [(search.times_s[:10], 10), (search.times_s[5:15], 15), (search.times_s[50:60], 60)]

    def test_a_time_given_twice_fills_both_places(self, square_video, search):
        path, _ = square_video
        first, second = search.times_s[4:6]
        (clip,) = cut_clips(path, [(search.tracks[0], [first, first, second])], SETTINGS)
        np.testing.assert_array_equal(clip.frames[0], clip.frames[1])
        assert (clip.frames[1] != clip.frames[2]).any()

    def test_a_time_without_a_frame_is_an_error_that_names_it(self, square_video, search):
        path, _ = square_video
        with pytest.raises(VideoError, match=r"at 0\.123456 s"):
            list(cut_clips(path, [(search.tracks[0], [search.times_s[0], 0.123456])], SETTINGS))

    def test_a_request_without_times_is_refused_and_no_request_is_no_clip(self, square_video, search):
        path, _ = square_video
        with pytest.raises(ValueError, match="at least one time"):
            list(cut_clips(path, [(search.tracks[0], [])], SETTINGS))
        assert list(cut_clips(path, [], SETTINGS)) == []


def overlap(first, second):
    """Intersection over union, written for one pair."""
    a, b = first.box_px, second.box_px
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)
