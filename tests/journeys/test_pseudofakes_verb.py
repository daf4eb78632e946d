"""`stf pseudofakes`: something to look at for every kind, made of real clips of two people."""

import av
import cv2
import pytest
from terminal import stf

KINDS = ("self-blended", "cross-blended", "drift", "jitter", "flicker", "swim")


def test_sheets_and_videos_of_every_kind(home, tmp_path):
    made = stf("pseudofakes", "--clips", home.clips, "--out", tmp_path / "samples", "--count", 2)
    assert made.exit_code == 0, made.stderr
    folders = sorted((tmp_path / "samples").iterdir())
    assert [folder.name.rpartition("-")[0] for folder in folders] == ["miniature-ffpp-real"] * 2
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {f"{kind}.{end}" for kind in KINDS for end in ("png", "mp4")}
        sheet = cv2.imread(str(folder / "swim.png"))
        assert sheet.shape == (4 * 224, 8 * 224, 3)
        with av.open(str(folder / "cross-blended.mp4")) as video:
            frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert [frame.shape for frame in frames] == [(224, 2 * 224, 3)] * 8  # the real clip beside the blended one
        (line,) = (line for line in made.stdout.splitlines() if line.startswith(f"{folder}:"))
        own, other = line.removeprefix(f"{folder}: ").split(", crossed with ")
        assert folder.name == own.replace("/", "-")
        assert other.startswith("miniature-ffpp/real/")
        assert other != own


@pytest.fixture
def one_person(home, tmp_path):
    """Clips of a single real video."""
    path = home.corpus.ffpp_root / "original_sequences/youtube/c23/videos/000.mp4"
    (tmp_path / "one.csv").write_text(f"path,label,identity\n{path},0,somebody")
    clip_options = home.prepare_command[5:]  # after what names the data set
    prepared = stf(
        "prepare", "--dataset", "csv", "--root", tmp_path / "one.csv", "--out", tmp_path / "clips", *clip_options
    )
    assert prepared.exit_code == 0, prepared.stderr
    return tmp_path / "clips"


def test_one_person_has_nobody_to_be_crossed_with(one_person, tmp_path):
    refused = stf("pseudofakes", "--clips", one_person, "--out", tmp_path / "samples")
    assert refused.exit_code == 1
    assert "no real clip of another person" in refused.error
    assert not (tmp_path / "samples").exists()
