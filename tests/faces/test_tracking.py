"""Tracks of faces against cases worked by hand, and all their links against the best of every order."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stf_mamba.core.errors import VideoError
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.faces.tracking import find_face_tracks, follow_faces
from tracked_faces import FPS, SETTINGS, BrightSquareFinder, face_at, overlap, times, write_moving_square


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
        linked = sum(overlap(*(face.box_px for face in track.faces)) for track in tracks if len(track.faces) == 2)
        best = max(
            sum(overlap(a.box_px, b.box_px) for a, b in zip(before, order, strict=True))
            for order in permutations(after)
        )
        assert linked == pytest.approx(best, abs=1e-6)

    def test_a_short_gap_is_bridged_and_a_long_one_is_not(self):
        seen = [t for t in times(6) if not 2 < t < 2.6]
        tracks, _ = follow_faces([(t, [face_at(t)] if t in seen else []) for t in times(6)], SETTINGS)
        assert len(tracks) == 1
        seen = [t for t in times(6) if not 2 < t < 3]
        tracks, _ = follow_faces([(t, [face_at(t)] if t in seen else []) for t in times(6)], SETTINGS)
        assert [(track.start_s, track.end_s) for track in tracks] == [(3.0, 6.0), (0.0, 2.0)]

    def test_frames_too_far_apart_are_the_reason_of_a_face_that_stays(self):
        tracks, dropped = follow_faces([(float(t), [face_at(float(t))]) for t in range(15)], SETTINGS)
        assert tracks == ()
        said = f"the video's frames are 1.0 s apart there, a face is followed over at most {SETTINGS.max_gap_s:g} s"
        assert [face.reason for face in dropped] == [said] * 15
        # So is one gap after a face that has just come.
        late = [(t, [face_at(t)] if t > 1.4 else []) for t in times(2)] + [(5.0, [])]
        assert [face.reason for face in follow_faces(late, SETTINGS)[1]] == [
            f"the video's frames are 3.0 s apart there, a face is followed over at most {SETTINGS.max_gap_s:g} s"
        ]

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
