"""Facts about a file against what was encoded."""

import json
from fractions import Fraction

import pytest

from stf_mamba.media.probing import VideoInfo, probe
from video_files import (
    noisy_frames,
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
