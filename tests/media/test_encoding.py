"""H.264 files: what is written comes back, the same pictures give the same bytes, nothing half-written stays."""

from fractions import Fraction

import av
import numpy as np
import pytest

from stf_mamba.media.colour import RgbConverter
from stf_mamba.media.decoding import Damage, timed_pictures
from stf_mamba.media.encoding import TICK, h264_video, write_h264
from stf_mamba.media.frames import FrameStream
from stf_mamba.media.probing import probe
from video_files import ColourTags, numbered_frames, read_number, write_video


def test_arrays_come_back_in_order_at_the_rate(tmp_path):
    write_h264(tmp_path / "a.mp4", np.stack(list(numbered_frames(10))), 8, 18)
    stream = FrameStream(tmp_path / "a.mp4")
    assert [read_number(frame.rgb) for frame in stream] == list(range(10))
    assert stream.times_s == pytest.approx([number / 8 for number in range(10)])
    info = probe(tmp_path / "a.mp4")
    assert (info.codec, info.fps, info.width_px, info.height_px) == ("h264", Fraction(8), 96, 64)


def test_the_same_frames_give_the_same_bytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 240, 320, 3), np.uint8)
    for name in "ab":
        write_h264(tmp_path / name, noise, 25, 23)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pictures_keep_their_times_and_colour_tags(tmp_path):
    times_s = [0.0, 0.04, 0.10, 0.30, 0.34, 0.50]
    tags = ColourTags(1, 1, 1, 1)
    source = write_video(tmp_path / "v.mp4", numbered_frames(6), times=times_s, tags=tags, pix_fmt="yuv420p10le")
    with h264_video(tmp_path / "copy.mp4", 12, 23) as append:
        for shown in timed_pictures(source, Damage()):
            shown.picture.pts, shown.picture.time_base = round(shown.time_s / TICK), TICK
            append(shown.picture)
    copies = list(timed_pictures(tmp_path / "copy.mp4", Damage()))
    assert [copy.time_s for copy in copies] == pytest.approx(times_s, abs=1e-4)
    assert [read_number(RgbConverter()(copy.picture)) for copy in copies] == list(range(6))
    first = copies[0].picture
    assert (first.color_primaries, first.color_trc, first.colorspace, first.color_range) == (1, 1, 1, 1)
    assert first.format.name == "yuv420p"


def test_a_block_that_fails_leaves_nothing_and_keeps_what_was_there(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"an earlier one")

    def failing():
        with h264_video(tmp_path / "a.mp4", 25, 23) as append:
            append(next(numbered_frames(1)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"an earlier one"


def test_odd_sides_are_an_error_of_the_encoder(tmp_path):
    with pytest.raises(av.FFmpegError):
        write_h264(tmp_path / "a.mp4", np.zeros((2, 33, 32, 3), np.uint8), 25, 23)
    assert list(tmp_path.iterdir()) == []
