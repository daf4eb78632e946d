"""Facts about a file against what was encoded."""

import json
from fractions import Fraction

import numpy as np
import pytest

from stf_mamba.media.frames import FrameStream
from stf_mamba.media.probing import VideoInfo, probe
from video_files import (
    noisy_frames,
    numbered_frames,
    numbers,
    remuxed,
    truncate,
    write_video,
)


def test_probe_states_what_was_encoded(b_frames):
    info = probe(b_frames)
    assert (info.codec, info.pixel_format, info.width_px, info.height_px) == ("h264", "yuv420p", 96, 64)
    assert (info.fps, info.rotation_deg, info.is_hdr, info.notes) == (Fraction(25), 0, False, ())
    assert info.duration_s == pytest.approx(2.4, abs=1e-9)
    assert info.size_bytes == b_frames.stat().st_size
    assert VideoInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


def test_truncated_file_says_how_much_is_missing(tmp_path):
    path = truncate(write_video(tmp_path / "cut.mkv", noisy_frames(64), options={"g": "12"}), 0.5)
    assert any("declares 2.56 s, its pictures last" in note for note in probe(path).notes)


@pytest.mark.parametrize("name", ["late.mkv", "late.nut", "late.mp4", "late.ts"])
def test_a_clock_that_starts_late_is_no_missing_end(tmp_path, name):
    times_s = [100 + number / 25 for number in range(50)]
    info = probe(write_video(tmp_path / name, numbered_frames(50), times=times_s))
    assert (info.duration_s, info.notes) == (pytest.approx(2.0), ())
    if name == "late.mkv":
        half = truncate(write_video(tmp_path / "half.mkv", noisy_frames(50), times=times_s), 0.5)
        assert any("declares 2.00 s, its pictures last" in note for note in probe(half).notes)


def test_a_tag_that_asks_for_a_turn_is_said(tmp_path):
    stored = write_video(tmp_path / "s.mp4", numbered_frames(3))
    path = remuxed(stored, tmp_path / "tagged.mkv", tags={"rotate": "180"})
    assert numbers(FrameStream(path)) == [0, 1, 2]
    assert any("turn it by 180 degrees" in note for note in probe(path).notes)
    assert probe(remuxed(stored, tmp_path / "plain.mkv")).notes == ()
    turned = write_video(tmp_path / "t.mp4", (np.rot90(f, 2) for f in numbered_frames(3)), rotation=180)
    assert probe(remuxed(turned, tmp_path / "both.mkv", tags={"rotate": "180"})).notes == ()


def test_content_credentials_are_said(tmp_path):
    path = write_video(tmp_path / "c.mp4", numbered_frames(3))
    plain = path.read_bytes()
    c2pa, other = bytes.fromhex("d8fec3d61b0e483c92975828877ec481"), bytes(16)
    in_64_bits = (1).to_bytes(4) + b"free" + (24).to_bytes(8) + bytes(8)
    for uuid, length, notes in ((c2pa, 32, 1), (other, 32, 0), (c2pa, 0, 1)):  # 0: up to the end of the file
        path.write_bytes(plain + in_64_bits + length.to_bytes(4) + b"uuid" + uuid + b"manifest")
        assert [note[:33] for note in probe(path).notes] == ["It carries content credentials (C"] * notes
