"""Clips cut out of a video: each crop from the frame of its exact time, all in one pass."""

import numpy as np
import pytest

from stf_mamba.clips import cutting
from stf_mamba.clips.cutting import cut_clips
from stf_mamba.core.errors import VideoError
from stf_mamba.faces.cropping import CropPath, crop_face
from stf_mamba.faces.tracking import find_face_tracks
from stf_mamba.media.frames import FrameStream
from tracked_faces import SETTINGS, BrightSquareFinder, write_moving_square


@pytest.fixture(scope="module")
def square_video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "square.mkv"
    return path, write_moving_square(path)


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
