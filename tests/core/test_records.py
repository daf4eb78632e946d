"""Records keep everything on the way to JSON and back, and refuse what they do not know."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from stf_mamba.core.records import ClipScore, DroppedTrack, Face, Outcome, TrackScore, Verdict, VideoRecord

FACE = Face(0.5, (1.0, 2.0, 31.0, 52.0), ((1.0, 2.0),) * 5, 0.99)


def test_video_record_survives_json():
    record = VideoRecord(
        "ffpp/Deepfakes/000_003", Path("a/b.mp4"), 1, ("0", "3"), "Deepfakes", fps=Fraction(30000, 1001)
    )
    assert VideoRecord.from_json(record.to_json()) == record
    assert record.to_json()["fps"] == "30000/1001"
    assert record.dataset == "ffpp"


def test_label_must_be_known():
    with pytest.raises(ValueError, match="label must be 0"):
        VideoRecord("a/b/c", Path("x.mp4"), label=2)


def test_unknown_field_is_refused():
    with pytest.raises(ValidationError):
        VideoRecord.from_json({"video_id": "a/b/c", "path": "x.mp4", "lable": 1})


def test_verdict_survives_saving_and_scores_by_its_worst_track(tmp_path):
    clip = ClipScore(0.0, 1.0, 2.5, -8.0, (0.99, 0.97), (0.0, 1.0), (2.0, 3.0), {"edge": 1.5, "eyes": 0.75})
    assert clip.constant == 0.25
    tracks = (TrackScore(1, 2.5, 0.9, (clip,), (FACE,)), TrackScore(0, -1.0, 0.2, (clip,)))
    dropped = (DroppedTrack(0.0, 0.4, 20.0, "too short"),)
    verdict = Verdict(Outcome.MANIPULATED, 0.9, (0.7, 0.95), ("because",), tracks, dropped, {"sha256": "ab"})
    path = verdict.save(tmp_path / "verdict.json")
    import json

    assert Verdict.from_json(json.loads(path.read_text())) == verdict
    assert verdict.score == 2.5
    assert Verdict(Outcome.NOT_ANALYSABLE, None, None, ()).score is None


def test_face_geometry():
    assert FACE.centre_px == (16.0, 27.0)
    assert FACE.side_px == 50.0


def test_no_outcome_claims_authenticity():
    assert Outcome.NOT_FLAGGED.words == "no manipulation found"
    assert all("authentic" not in outcome.words for outcome in Outcome)


def test_import_is_light():
    code = "import sys, stf_mamba, stf_mamba.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "cv2", "av", "scipy", "timm", "matplotlib"}.intersection(loaded)
