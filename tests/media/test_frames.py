"""Exact frames at exact times, from every kind of file that people send."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stf_mamba.core.errors import VideoError
from stf_mamba.media.frames import FrameStream, frames_at
from stf_mamba.media.probing import probe
from stf_mamba.media.times import every, uniform_times
from video_files import (
    numbered_frames,
    numbers,
    read_number,
    write_transparent_gif,
    write_video,
)


def test_every_frame_comes_once_in_order_at_its_time(b_frames):
    with av.open(str(b_frames)) as container:
        kinds = [frame.pict_type for frame in container.decode(video=0)]
    assert kinds.count(av.video.frame.PictureType.B) > 10
    stream = FrameStream(b_frames)
    frames = list(stream)
    assert numbers(frames) == list(range(60))
    assert stream.times_s == [frame.time_s for frame in frames]
    assert stream.times_s == pytest.approx([number / 25 for number in range(60)], abs=1e-9)
    assert (stream.damaged_packets, stream.frames_after_damage) == (0, 0)


def test_selected_frames_are_those_of_the_exhaustive_decode(b_frames):
    everything = {frame.time_s: frame.rgb for frame in FrameStream(b_frames)}
    stream = FrameStream(b_frames, every(0.3), stop_s=1.56)
    selected = list(stream)
    assert numbers(selected) == [0, 8, 15, 23, 30, 38]  # first at or after 0, 0.3, 0.6, 0.9, 1.2, 1.5
    assert all(np.array_equal(frame.rgb, everything[frame.time_s]) for frame in selected)
    assert len(stream.times_s) == 40
    assert stream.times_s[-1] == pytest.approx(1.56)


def test_iterating_again_starts_anew(b_frames):
    stream = FrameStream(b_frames)
    assert numbers(stream) == numbers(stream)
    assert len(stream.times_s) == 60


def test_frames_can_be_kept_and_written_to(b_frames):
    frames = list(FrameStream(b_frames, stop_s=0.2))
    frames[0].rgb[:] = 7
    assert numbers(frames[1:]) == [1, 2, 3, 4, 5]
    assert all(frame.rgb.flags.c_contiguous for frame in frames)


@given(picks=st.lists(st.integers(0, 59), min_size=1, max_size=6), delay=st.floats(0, 0.0398))
def test_the_frame_on_screen_is_the_last_that_began(b_frames, picks, delay):
    picks = sorted(picks)
    assert numbers(frames_at(b_frames, [pick / 25 + delay for pick in picks])) == picks


def test_frames_at_tolerates_a_rounded_time(b_frames):
    assert numbers(frames_at(b_frames, [0.04 - 5e-5, 2.4 - 1e-3])) == [1, 59]


def test_frames_at_names_the_time_at_which_nothing_is_shown(b_frames, tmp_path):
    with pytest.raises(VideoError, match=r"2\.450 s; the last frame ends at 2\.400 s"):
        list(frames_at(b_frames, [1.0, 2.45]))
    late = write_video(tmp_path / "late.mpg", numbered_frames(9), codec="mpeg1video", options={"b": "2M"})
    with pytest.raises(VideoError, match=r"0\.100 s; the first frame begins at 0\.540 s"):
        list(frames_at(late, [0.1]))
    with pytest.raises(ValueError, match="ascend"):
        frames_at(b_frames, [1.0, 0.5])


def test_variable_frame_rate_keeps_each_time(tmp_path):
    times = [0.0, 0.04, 0.10, 0.30, 0.34, 0.50]
    path = write_video(tmp_path / "variable.mp4", numbered_frames(6), times=times)
    stream = FrameStream(path)
    assert numbers(stream) == list(range(6))
    assert stream.times_s == pytest.approx(times, abs=1e-4)
    assert numbers(frames_at(path, [0.05, 0.29, 0.32])) == [1, 2, 3]
    info = probe(path)
    assert any("varies: frames last from 40.0 to 200.0 ms" in note for note in info.notes)
    assert info.fps == 10  # five intervals in half a second


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("even.mov", "libx264", "yuv420p"),
        ("odd.mp4", "libx264", "yuv444p"),
        ("odd.mkv", "ffv1", "yuv420p"),
        ("odd.webm", "libvpx-vp9", "yuv420p"),
        ("odd8.webm", "libvpx", "yuv420p"),
        ("odd.mpg", "mpeg1video", "yuv420p"),
        ("odd.gif", "gif", "rgb8"),
        ("even.ts", "libx264", "yuv420p"),
        ("ten.mp4", "libx264", "yuv420p10le"),
    ],
)
def test_containers_codecs_and_odd_sizes(tmp_path, name, codec, pix_fmt):
    width, height = (101, 75) if name.startswith("odd") else (96, 64)
    options = {"b": "2M"} if codec == "mpeg1video" else {}
    path = write_video(tmp_path / name, numbered_frames(12, width, height), codec=codec, pix_fmt=pix_fmt,
                       options=options)  # fmt: skip
    stream = FrameStream(path)
    frames = list(stream)
    assert numbers(frames) == list(range(12))
    assert {frame.rgb.shape for frame in frames} == {(height, width, 3)}
    assert [later - earlier for earlier, later in pairwise(stream.times_s)] == pytest.approx([0.04] * 11, abs=1.1e-3)
    info = probe(path)
    assert (info.width_px, info.height_px) == (width, height)
    assert info.duration_s == pytest.approx(0.48, abs=2e-3)
    assert any("10-bit" in note for note in info.notes) == (name == "ten.mp4")


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_flag_is_applied(tmp_path, rotation):
    stored = (np.rot90(frame, -rotation // 90) for frame in numbered_frames(4, 96, 64))
    path = write_video(tmp_path / "turned.mp4", stored, rotation=rotation)
    frames = list(FrameStream(path))
    assert numbers(frames) == list(range(4))
    assert {frame.rgb.shape for frame in frames} == {(64, 96, 3)}
    info = probe(path)
    assert (info.width_px, info.height_px, info.rotation_deg) == (96, 64, rotation)
    captured, bgr = cv2.VideoCapture(str(path)).read()  # turns by itself: another reader of the same flag
    assert captured
    assert read_number(bgr) == 0


def test_mirror_flag_is_applied_and_said(tmp_path):
    path = write_video(tmp_path / "selfie.mp4", (f[:, ::-1] for f in numbered_frames(3)), mirrored=True)
    assert numbers(FrameStream(path)) == [0, 1, 2]
    assert any("mirrored" in note for note in probe(path).notes)


def test_transparent_gif_stands_on_black(tmp_path):
    path = write_transparent_gif(tmp_path / "cut.gif")
    rgb = next(iter(FrameStream(path))).rgb
    assert rgb[0, 0].tolist() == [0, 0, 0]
    assert rgb[12, 12].tolist() == [200, 10, 10]
    assert any("transparent" in note for note in probe(path).notes)


# Memory

# The peak of /proc is this program's own; that of getrusage begins with the peak of the process that started it.
MEMORY_SCRIPT = """
import sys
from stf_mamba.media.frames import FrameStream
def peak_kib():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
kept, at_100 = [], 0
for index, frame in enumerate(FrameStream(sys.argv[1])):
    if sys.argv[2] == "keep":
        kept.append(frame)
    if index == 100:
        at_100 = peak_kib()
print(index + 1, (peak_kib() - at_100) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc, as on Linux")
def test_memory_does_not_grow_with_length(tmp_path):
    flat = np.full((240, 320, 3), 90, np.uint8)
    path = write_video(tmp_path / "long.mp4", (flat for _ in range(900)), options={"preset": "ultrafast"})

    def growth_mib(mode):
        command = [sys.executable, "-c", MEMORY_SCRIPT, str(path), mode]
        count, growth = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert count == "900"
        return float(growth)

    assert growth_mib("drop") < 30
    assert growth_mib("keep") > 90  # the measurement sees frames that are kept: 800 of 0.22 MiB


@pytest.mark.real
def test_all_real_clips_probe_and_decode(shared):
    paths = sorted((shared / "data" / "talking-heads").glob("*.m*"))
    assert len(paths) == 25
    for path in paths:
        info = probe(path)
        stream = FrameStream(path, every(2.0))
        frames = list(stream)
        assert {frame.rgb.shape for frame in frames} == {(info.height_px, info.width_px, 3)}, path.name
        assert stream.damaged_packets == 0, path.name
        assert len(stream.times_s) == pytest.approx(float(info.fps) * info.duration_s, abs=1.1), path.name


@pytest.mark.real
def test_real_times_agree_with_another_implementation(shared):
    paths = sorted((shared / "data" / "talking-heads").glob("*.mp4"))
    assert len(paths) == 11
    for path in paths:
        stream = FrameStream(path, lambda _: False)
        assert list(stream) == []
        assert stream.times_s == pytest.approx(opencv_times_s(path), abs=1e-3), path.name


@pytest.mark.real
def test_real_frames_on_screen_are_those_of_the_exhaustive_decode(shared):
    path = shared / "data" / "talking-heads" / "lp_d0.mp4"
    everything = list(FrameStream(path))
    chosen = uniform_times([frame.time_s for frame in everything], 9)
    expected = {frame.time_s: frame.rgb for frame in everything}
    for frame in frames_at(path, chosen):
        assert np.array_equal(frame.rgb, expected[frame.time_s])


def opencv_times_s(path: Path) -> list[float]:
    capture = cv2.VideoCapture(str(path))
    times = []
    while capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    return times
