"""Exact frames at exact times, from every kind of file that people send, and one clear error for the rest."""

import hashlib
import json
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stf_mamba.core.errors import VideoError
from stf_mamba.core.files import sha256_of
from stf_mamba.media.frames import FrameStream, frames_at
from stf_mamba.media.probing import VideoInfo, probe
from stf_mamba.media.times import consecutive_times, every, uniform_times, window_spans
from video_files import (
    ColourTags,
    audio_only,
    audio_with_cover,
    corrupt_middle,
    numbered_frames,
    plain_yuv,
    read_number,
    text_named_mp4,
    truncate,
    write_transparent_gif,
    write_video,
)


@pytest.fixture(scope="module")
def b_frames(tmp_path_factory):
    """60 numbered frames at 25 fps, several groups of pictures, three B-frames in a row, with sound."""
    path = tmp_path_factory.mktemp("video") / "b.mp4"
    return write_video(path, numbered_frames(60), options={"bf": "3", "g": "24"}, audio=True)


def noisy_frames(count, seed=0):
    """Numbered frames under noise, so that each packet weighs about a kilobyte."""
    generator = np.random.default_rng(seed)
    for frame in numbered_frames(count, 128, 96):
        noise = generator.integers(-20, 21, frame.shape)
        yield (frame.astype(np.int16) + noise).astype(np.uint8)


def numbers(frames):
    return [read_number(frame.rgb) for frame in frames]


# Facts of a file


def test_hash_is_that_of_the_whole_file(tmp_path):
    path = tmp_path / "any.bin"
    path.write_bytes(bytes(range(256)) * 9000)
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_probe_states_what_was_encoded(b_frames):
    info = probe(b_frames)
    assert (info.codec, info.pixel_format, info.width_px, info.height_px) == ("h264", "yuv420p", 96, 64)
    assert (info.fps, info.rotation_deg, info.is_hdr, info.notes) == (Fraction(25), 0, False, ())
    assert info.duration_s == pytest.approx(2.4, abs=1e-9)
    assert info.size_bytes == b_frames.stat().st_size
    assert VideoInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


# Exact frames


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
    assert any("jumps back (1 times)" in note for note in info.notes)


# Containers, sizes, orientation


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


def test_a_new_picture_size_midway_is_refused(tmp_path):
    small = write_video(tmp_path / "small.h264", numbered_frames(5, 64, 64))
    large = write_video(tmp_path / "large.h264", numbered_frames(5, 128, 64))
    joined = tmp_path / "joined.h264"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    stream = FrameStream(joined)
    with pytest.raises(VideoError, match=r"changes from 64x64 to 128x64 at 0\.200 s"):
        list(stream)
    assert len(stream.times_s) == 5


def test_transparent_gif_stands_on_black(tmp_path):
    path = write_transparent_gif(tmp_path / "cut.gif")
    rgb = next(iter(FrameStream(path))).rgb
    assert rgb[0, 0].tolist() == [0, 0, 0]
    assert rgb[12, 12].tolist() == [200, 10, 10]
    assert any("transparent" in note for note in probe(path).notes)


# Colour


def rgb_by_definition(code, kr, kb, *, is_full):
    """R'G'B' of an 8-bit (Y', Cb, Cr) by the matrix equations of ITU-R BT.601 and BT.709."""
    luma, blue, red = code
    y = luma / 255 if is_full else (luma - 16) / 219
    cb, cr = ((value - 128) / (255 if is_full else 224) for value in (blue, red))
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.array([r, g, b]), 0, 1) * 255


BT601 = (0.299, 0.114)
BT709 = (0.2126, 0.0722)


@pytest.mark.parametrize("code", [(63, 102, 200), (150, 90, 110), (120, 170, 140), (200, 128, 128)])
@pytest.mark.parametrize(
    ("matrix", "colour_range", "size", "weights"),
    [
        (1, 1, 64, BT709),
        (6, 1, 64, BT601),
        (5, 1, 64, BT601),
        (1, 2, 64, BT709),
        (6, 2, 64, BT601),
        (2, 1, 64, BT601),  # not stated: by size
        (2, 1, 720, BT709),
    ],
)
def test_matrix_and_range_are_honoured(tmp_path, code, matrix, colour_range, size, weights):
    picture = plain_yuv(*code, width=64, height=size)
    tags = ColourTags(matrix=matrix, range=colour_range)
    path = write_video(tmp_path / "c.mkv", [picture], codec="ffv1", crf=None, tags=tags)
    rgb = next(iter(FrameStream(path))).rgb
    expected = rgb_by_definition(code, *weights, is_full=colour_range == 2)
    assert np.abs(rgb[size // 2, 32] - expected).max() <= 1.0


@pytest.mark.parametrize("matrix", [8, 10, 11, 12, 13, 14])
def test_a_matrix_that_cannot_be_converted_is_said(tmp_path, matrix):
    path = write_video(tmp_path / "m.mp4", numbered_frames(3), tags=ColourTags(matrix=matrix))
    assert probe(path).codec == "h264"
    with pytest.raises(VideoError, match=r"m\.mp4: the pictures' colours .* cannot be converted to RGB"):
        list(FrameStream(path))
    with pytest.raises(VideoError, match="re-encode it as BT"):
        list(frames_at(path, [0.0]))


def test_ten_bit_pictures_lose_no_more_than_rounding(tmp_path):
    path = write_video(tmp_path / "t.mkv", [plain_yuv(401, 512, 512, pix_fmt="yuv420p10le")], codec="ffv1",
                       crf=None, pix_fmt="yuv420p10le")  # fmt: skip
    assert np.unique(next(iter(FrameStream(path))).rgb).tolist() == [98]  # (401 - 64) / 876 * 255 = 98.1


@pytest.mark.parametrize(
    ("transfer", "luma", "expected"),
    [
        # Worked by hand. 203 cd/m² (PQ signal 0.5806, HLG 0.75): Y' = 0.203^(1/2.4) = 0.5146, Y'p = 0.7695, on the
        # knee Yc = 0.8283, (5.697^0.8283 - 1) / 4.697 = 0.6868, times 255 = 175.
        (16, 573, 175),
        (18, 721, 175),
        # 1000 cd/m² (PQ signal 0.7518) is SDR white, and so is all above.
        (16, 723, 255),
        (16, 940, 255),
        (18, 940, 255),
        # 10 cd/m² (PQ signal 0.3026): Y' = 0.1468, Y'p = 0.3982, Yc = 0.4289, (5.697^0.4289 - 1) / 4.697 = 0.2361.
        (16, 329, 60),
        (16, 64, 0),
        (18, 64, 0),
    ],
)
def test_high_dynamic_range_greys_are_tone_mapped(tmp_path, transfer, luma, expected):
    picture = plain_yuv(luma, 512, 512, pix_fmt="yuv420p10le")
    tags = ColourTags(primaries=9, transfer=transfer, matrix=9)
    path = write_video(tmp_path / "h.mkv", [picture], codec="ffv1", crf=None, pix_fmt="yuv420p10le", tags=tags)
    rgb = next(iter(FrameStream(path))).rgb
    assert np.abs(rgb.astype(int) - expected).max() <= 1


def test_high_dynamic_range_is_said_and_colours_keep_their_hue(tmp_path):
    # BT.2020 red 58 %, green and blue 20 % in PQ: Y' 0.2998, Cb −0.0531, Cr 0.1900.
    picture = plain_yuv(64 + 263, 512 - 48, 512 + 170, pix_fmt="yuv420p10le")
    tags = ColourTags(primaries=9, transfer=16, matrix=9)
    path = write_video(tmp_path / "hdr.mp4", [picture] * 3, codec="libx265", pix_fmt="yuv420p10le", tags=tags)
    info = probe(path)
    assert info.is_hdr
    assert any("tone-mapped" in note for note in info.notes)
    red, green, blue = next(iter(FrameStream(path))).rgb[32, 32].astype(int)
    assert red > 150
    assert red - max(green, blue) > 100


# Damage


def exhaustive_without_threads(path):
    """Times and errors of a plain libav loop with one thread: nothing is lost when it drains."""
    times, errors = [], 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                times += [frame.time for frame in packet.decode()]
            except av.FFmpegError:
                errors += 1
    return times, errors


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


def test_truncated_file_says_how_much_is_missing(tmp_path):
    path = truncate(write_video(tmp_path / "cut.mkv", noisy_frames(64), options={"g": "12"}), 0.5)
    assert any("declares 2.56 s, its pictures last" in note for note in probe(path).notes)


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


# What is not a video


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


# Choosing times


def test_every_takes_the_first_frame_at_or_after_each_grid_point():
    select = every(0.1)
    assert [t for t in (0.03, 0.07, 0.1, 0.14, 0.35, 0.39, 0.4) if select(t)] == [0.03, 0.1, 0.35, 0.4]
    select = every(0.04)
    assert all(select(number * 0.04) for number in range(200))  # 0.28 / 0.04 is 7.000000000000001, 0.12 / 0.04 is 3
    assert all(map(every(0), (0.0, 0.0001, 0.0002)))
    with pytest.raises(ValueError, match="interval_s"):
        every(-1)


ascending = st.lists(st.floats(-10, 1e4), min_size=1, max_size=60, unique=True).map(sorted)


@given(times=ascending, fraction=st.floats(0, 1))
def test_uniform_times_are_distinct_even_and_reach_both_ends(times, fraction):
    count = 1 + int(fraction * (len(times) - 1))
    chosen = uniform_times(times, count)
    ranks = [times.index(t) for t in chosen]
    assert len(set(chosen)) == count
    if count > 1:
        assert (ranks[0], ranks[-1]) == (0, len(times) - 1)
        gaps = [later - earlier for earlier, later in pairwise(ranks)]
        assert max(gaps) - min(gaps) <= 1


def test_uniform_times_worked_by_hand():
    times = [n / 10 for n in range(11)]
    assert uniform_times(times, 3) == (0.0, 0.5, 1.0)
    assert uniform_times(times, 4, start_s=0.2, end_s=0.8) == (0.2, 0.4, 0.6, 0.8)
    assert uniform_times(times, 1, start_s=0.2, end_s=0.4) == (0.3,)
    with pytest.raises(ValueError, match="span holds 3"):
        uniform_times(times, 4, start_s=0.2, end_s=0.4)
    with pytest.raises(ValueError, match="at least 1"):
        uniform_times(times, 0)


def test_consecutive_times_are_neighbours_placed_in_the_span():
    times = [n / 10 for n in range(11)]
    assert consecutive_times(times, 3, at=0) == (0.0, 0.1, 0.2)
    assert consecutive_times(times, 3, at=1) == (0.8, 0.9, 1.0)
    assert consecutive_times(times, 3) == (0.4, 0.5, 0.6)
    assert consecutive_times(times, 3, start_s=0.5, end_s=0.7) == (0.5, 0.6, 0.7)
    with pytest.raises(ValueError, match="span holds 2"):
        consecutive_times(times, 3, start_s=0.5, end_s=0.6)
    with pytest.raises(ValueError, match="between 0 and 1"):
        consecutive_times(times, 3, at=1.5)


def test_window_spans_worked_by_hand():
    assert window_spans(0, 10, 4) == [(0, 4), (4, 8), (8, 10)]  # half a window stands alone
    assert window_spans(0, 9.9, 4) == [(0, 4), (4, 9.9)]
    assert window_spans(1, 2, 4) == [(1, 2)]
    assert window_spans(3, 3, 4) == [(3, 3)]
    with pytest.raises(ValueError, match="window_s > 0"):
        window_spans(0, 1, 0)


@given(start=st.floats(-100, 100), length=st.floats(0, 500), window=st.floats(0.5, 50))
def test_window_spans_cover_without_gap_or_sliver(start, length, window):
    spans = window_spans(start, start + length, window)
    assert (spans[0][0], spans[-1][1]) == (start, start + length)
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    if len(spans) > 1:
        assert all(window * 0.4999 < end - begin < window * 1.5001 for begin, end in spans)


# Real clips


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
