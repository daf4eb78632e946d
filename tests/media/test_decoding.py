"""Clocks, edit lists and damage against a plain libav loop, and one clear error for what is no video."""

from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import av
import numpy as np
import pytest

from stf_mamba.core.errors import VideoError
from stf_mamba.media.decoding import (
    DEFAULT_FPS,
    Damage,
    frame_interval_s,
    opened,
    scan_packets,
    timed_pictures,
)
from stf_mamba.media.frames import FrameStream, frames_at
from stf_mamba.media.probing import probe
from video_files import (
    audio_only,
    audio_with_cover,
    corrupt_middle,
    exhaustive_without_threads,
    noisy_frames,
    numbered_frames,
    numbers,
    read_number,
    remuxed,
    text_named_mp4,
    truncate,
    write_video,
)


def test_edit_list_hides_what_it_hides(tmp_path):
    path = write_video(tmp_path / "edited.mp4", numbered_frames(30), times=[(n - 10) / 25 for n in range(30)])
    stream = FrameStream(path)
    assert numbers(stream) == list(range(10, 30))
    assert stream.times_s[0] == pytest.approx(0.0)
    info = probe(path)
    assert info.duration_s == pytest.approx(0.8)
    assert any("hides 10 stored frames" in note for note in info.notes)


@pytest.mark.parametrize("name", ["dts_only.avi", "raw.h264"])
def test_frames_without_times_are_placed_at_the_constant_rate(tmp_path, name):
    path = write_video(tmp_path / name, numbered_frames(12), options={"bf": "3"})
    stream = FrameStream(path)
    assert numbers(stream) == list(range(12))
    assert stream.times_s == pytest.approx([number / 25 for number in range(12)])
    assert any("12 of 12 frames carry no presentation time" in note for note in probe(path).notes)


def test_frames_with_the_same_time_still_ascend(tmp_path):
    times = [0.0, 0.0004, 0.0008, 0.0012, 0.24, 0.28]  # Matroska's clock ticks in milliseconds: 0, 0, 1, 1, 240, 280
    path = write_video(tmp_path / "dense.mkv", numbered_frames(6), times=times, options={"bf": "0"})
    stream = FrameStream(path)
    assert numbers(stream) == list(range(6))
    assert stream.times_s == pytest.approx([0.0, 0.001, 0.002, 0.003, 0.24, 0.28])


def test_a_clock_that_starts_again_is_counted_on(tmp_path):
    part = write_video(tmp_path / "part.ts", numbered_frames(50)).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(part + part)
    stream = FrameStream(path, lambda _: False)
    list(stream)
    assert stream.times_s == pytest.approx([0.08 + number / 25 for number in range(100)])
    info = probe(path)
    assert info.duration_s == pytest.approx(4.0)
    assert info.fps == 25
    assert any("runs backwards (1 times)" in note for note in info.notes)


def test_short_parts_are_counted_on_too(tmp_path):
    part = write_video(tmp_path / "part.ts", numbered_frames(15), options={"bf": "2"}).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(4 * part)
    stream = FrameStream(path)
    assert numbers(stream) == 4 * list(range(15))
    assert np.diff(stream.times_s) == pytest.approx([0.04] * 59)
    info = probe(path)
    assert (info.duration_s, info.fps) == (pytest.approx(2.4), 25)
    assert any("runs backwards (3 times)" in note for note in info.notes)
    assert not any("varies" in note for note in info.notes)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    ("rate", "size", "count"),
    [(1, (64, 48), 2), (25, (192, 144), 5)],  # smaller and as long; larger and over soon
)
def test_of_two_moving_streams_the_main_one_is_taken_and_the_other_named(tmp_path, suffix, rate, size, count):
    path = tmp_path / f"two.{suffix}"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=frames_a_second) for frames_a_second in (rate, 25)]
        for stream, (width, height) in zip(streams, (size, (128, 96)), strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for stream, frames in zip(streams, (count, 50), strict=True):
            for rgb in numbered_frames(frames, stream.width, stream.height):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb)))
            container.mux(stream.encode())
    info = probe(path)
    assert (info.width_px, info.height_px, info.fps) == (128, 96, 25)
    assert numbers(FrameStream(path)) == list(range(50))
    assert any(
        f"another video stream ({size[0]} × {size[1]} pixels), which was not analysed" in note for note in info.notes
    )


@pytest.mark.parametrize("name", ["turned.mp4", "turned.mkv"])
def test_an_orientation_in_the_bitstream_holds_until_another_one(tmp_path, name):
    stored = write_video(tmp_path / "s.mp4", (np.rot90(f, 2) for f in numbered_frames(9)), options={"g": "4"})
    path = remuxed(stored, tmp_path / name, "h264_metadata=display_orientation=insert:rotate=180")
    assert numbers(FrameStream(path)) == list(range(9))
    assert numbers(frames_at(path, [0.0, 0.24])) == [0, 6]
    assert probe(path).rotation_deg == 180


@pytest.mark.parametrize("suffix", ["h264", "ts"])
def test_a_new_picture_size_midway_is_refused(tmp_path, suffix):
    small = write_video(tmp_path / f"small.{suffix}", numbered_frames(5, 64, 64))
    large = write_video(tmp_path / f"large.{suffix}", numbered_frames(5, 128, 64))
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    stream = FrameStream(joined)
    with pytest.raises(VideoError, match=r"changes from 64x64 to 128x64 at 0\.2[08]0 s"):
        list(stream)
    assert len(stream.times_s) == 5


@pytest.mark.parametrize("fraction", [0.95, 0.5, 0.2])
def test_truncated_file_gives_all_that_is_whole(tmp_path, fraction):
    path = write_video(tmp_path / "cut.mp4", noisy_frames(64), options={"bf": "2"})
    truncate(path, fraction)
    expected_times, errors = exhaustive_without_threads(path)
    assert errors == 1
    stream = FrameStream(path)
    frames = list(stream)
    assert [frame.time_s for frame in frames] == pytest.approx(expected_times)
    assert numbers(frames) == [round(frame.time_s * 25) for frame in frames]
    assert stream.damaged_packets == 1
    assert len(frames) >= 64 * fraction * 0.7
    assert any("Incomplete packets: 1" in note for note in probe(path).notes)


def test_damage_in_the_last_packets_loses_only_them(tmp_path):
    path = write_video(tmp_path / "tail.mp4", noisy_frames(40), options={"bf": "2"})
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    spoiled = packets[-2]  # frame threads still hold pictures when they come to it, and would drop them
    content[spoiled.pos : spoiled.pos + spoiled.size] = b"\xff" * spoiled.size
    path.write_bytes(content)
    expected_times, errors = exhaustive_without_threads(path)
    stream = FrameStream(path)
    assert [frame.time_s for frame in stream] == pytest.approx(expected_times)
    assert len(expected_times) == 39
    assert stream.damaged_packets == errors == 1
    assert stream.frames_after_damage >= 1


def test_corrupt_middle_is_counted_and_the_rest_comes(tmp_path):
    path = write_video(tmp_path / "middle.mp4", noisy_frames(64), options={"g": "12", "bf": "2"})
    corrupt_middle(path)
    stream = FrameStream(path)
    frames = list(stream)
    assert 45 <= len(frames) < 64
    assert 1 <= stream.damaged_packets <= 64 - len(frames) + 2
    assert 1 <= stream.frames_after_damage < 36
    assert read_number(frames[0].rgb) == 0
    assert read_number(frames[-1].rgb) == 63


def test_corrupt_middle_of_webm_shows_as_a_gap(tmp_path):
    path = corrupt_middle(write_video(tmp_path / "m.webm", noisy_frames(40), codec="libvpx", options={"g": "8"}))
    frames = list(FrameStream(path))
    assert len(frames) < 40
    assert any("varies" in note or "declares" in note for note in probe(path).notes)


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda folder: folder / "missing.mp4", "does not exist"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: (folder / "empty.mp4", (folder / "empty.mp4").write_bytes(b""))[0], "is empty"),
        (lambda folder: text_named_mp4(folder / "text.mp4"), "not readable as a video"),
        (lambda folder: text_named_mp4(folder / "notes.txt"), "holds text"),
        (lambda folder: audio_only(folder / "sound.mp4"), "holds audio; expected a video stream"),
        (lambda folder: audio_with_cover(folder / "song.flac"), "cover art"),
        (
            lambda folder: truncate(write_video(folder / "no_index.mp4", numbered_frames(9), index_first=False), 0.5),
            "not readable as a video",
        ),
        (
            lambda folder: corrupt_middle(write_video(folder / "noise.h264", numbered_frames(9)), 0.999),
            "none of its pictures can be decoded|not readable|no stream",
        ),
    ],
)
def test_what_is_no_video_is_refused_with_the_next_step(tmp_path, make, seen):
    path = make(tmp_path)
    for read in (probe, lambda p: list(FrameStream(p)), lambda p: list(frames_at(p, [0.0]))):
        with pytest.raises(VideoError, match=seen) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert str(caught.value).rstrip().endswith(".")
        assert caught.value.exit_code == 3


def test_a_stream_of_which_nothing_decodes_is_refused(tmp_path):
    path = write_video(tmp_path / "hollow.mp4", noisy_frames(6))
    content = path.read_bytes()
    media = content.index(b"mdat") + 4
    path.write_bytes(content[:media] + bytes(len(content) - media))
    for read in (probe, lambda p: list(FrameStream(p))):
        with pytest.raises(VideoError, match="none of its pictures can be decoded"):
            read(path)


# The parts by themselves


def test_a_scan_tells_of_every_frame_and_decodes_the_first(b_frames):
    with opened(b_frames) as (container, stream):
        scan = scan_packets(container, stream)
        assert frame_interval_s(stream) == Fraction(1, 25)
    assert scan.times_s == pytest.approx([number / 25 for number in range(60)], abs=1e-9)
    assert scan.end_s == pytest.approx(2.4)
    assert (scan.n_frames, scan.n_untimed, scan.n_hidden, scan.n_incomplete, scan.n_clock_resets) == (60, 0, 0, 0, 0)
    assert read_number(scan.first_picture.to_ndarray(format="rgb24")) == 0


def test_a_container_is_closed_behind_whoever_opened_it(b_frames):
    with opened(b_frames) as (container, stream):
        assert stream.type == "video"
    with pytest.raises((AssertionError, ValueError), match=r"not open|closed|ptr"):
        next(container.demux(stream))


def test_pictures_come_at_the_times_of_the_scan_each_until_the_next(b_frames):
    damage = Damage(packets=7, frames_after=7, is_waiting_for_key=True)  # of an earlier file
    shown = list(timed_pictures(b_frames, damage))
    with opened(b_frames) as (container, stream):
        assert [one.time_s for one in shown] == scan_packets(container, stream).times_s
    assert [one.end_s for one in shown[:-1]] == pytest.approx([one.time_s for one in shown[1:]])
    assert all(earlier.time_s < later.time_s for earlier, later in pairwise(shown))
    assert [read_number(one.picture.to_ndarray(format="rgb24")) for one in shown] == list(range(60))
    assert damage == Damage()


def test_a_stream_without_a_rate_has_the_default_one():
    unknown = SimpleNamespace(average_rate=None, guessed_rate=None)
    assert frame_interval_s(unknown) == 1 / DEFAULT_FPS
    assert frame_interval_s(SimpleNamespace(average_rate=None, guessed_rate=Fraction(30))) == Fraction(1, 30)


def test_frames_after_damage_count_until_the_next_key_frame():
    damage = Damage()
    for key_frame in (True, False):
        damage.count_picture(SimpleNamespace(key_frame=key_frame))
    assert damage == Damage()
    damage.count_packet()
    for key_frame in (False, False, True, False):
        damage.count_picture(SimpleNamespace(key_frame=key_frame))
    assert damage == Damage(packets=1, frames_after=2)
    damage.reset()
    assert damage == Damage()
