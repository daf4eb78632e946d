"""The face that was changed is found where masks or the original show it, and nothing is guessed where they do not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stf_mamba.cli.data import print_changed_faces
from stf_mamba.clips.changed_face import ChangedFace, changed_face
from stf_mamba.clips.planning import find_clips
from stf_mamba.clips.records import ClipSettings, Manifest, ManifestEntry, StoredVideo, main_track
from stf_mamba.core.records import FAKE, REAL, Face, FaceTrack, VideoRecord
from stf_mamba.faces.detectors import load_face_detector
from video_files import write_video

FRAMES, FPS = 30, 25
WIDTH, HEIGHT = 320, 240
BOXES = ((20.0, 40.0, 140.0, 200.0), (200.0, 80.0, 280.0, 180.0))  # the first is the more prominent one


def tracks(boxes=BOXES):
    landmarks = ((0.0, 0.0),) * 5
    return tuple(
        FaceTrack(number, tuple(Face(index / FPS, box, landmarks, 0.9) for index in range(0, FRAMES, 5)))
        for number, box in enumerate(boxes)
    )


def scene(changed=None, amount=0):
    """Frames of smooth colour; ``changed`` boxes are brighter by ``amount``."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(FRAMES):
        picture = 110 + 50 * np.sin(x / 23 + number / 9) * np.cos(y / 31)
        for left, top, right, bottom in changed or ():
            picture[round(top) : round(bottom), round(left) : round(right)] += amount
        yield np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture
def swap(tmp_path) -> VideoRecord:
    path = write_video(tmp_path / "swap.mp4", scene([BOXES[1]], 20))
    return VideoRecord("ffpp/Deepfakes/000_001", path, FAKE, ("ffpp:000", "ffpp:001"), "Deepfakes")


def test_the_difference_to_the_original_finds_the_smaller_face(swap, tmp_path):
    original = write_video(tmp_path / "original.mp4", scene())
    found = changed_face(replace(swap, original=original), tracks())
    assert (found.track_id, found.rule) == (1, "original")
    assert found.changes[0] < 3  # what two encodes differ by
    assert found.changes[1] == pytest.approx(20, abs=3)


def test_an_original_of_another_size_is_compared_at_the_videos(swap, tmp_path):
    larger = (np.repeat(np.repeat(frame, 2, axis=0), 2, axis=1) for frame in scene())
    original = write_video(tmp_path / "original.mp4", larger)
    found = changed_face(replace(swap, original=original), tracks())
    assert (found.track_id, found.rule) == (1, "original")


def test_a_picture_that_is_brighter_as_a_whole_tells_nothing(swap, tmp_path):
    brighter = (np.clip(frame.astype(int) + 12, 0, 255).astype(np.uint8) for frame in scene())
    original = write_video(tmp_path / "original.mp4", brighter)
    found = changed_face(replace(swap, original=original), tracks())
    assert (found.track_id, found.rule) == (1, "original")
    assert found.changes[0] < 3


def test_masks_go_before_the_original(swap, tmp_path):
    black = (np.zeros((HEIGHT, WIDTH, 3), np.uint8) for _ in range(FRAMES))
    masked = []
    for frame in black:
        left, top, right, bottom = map(round, BOXES[0])
        frame[top + 30 : bottom - 30, left + 30 : right - 30] = 255
        masked.append(frame)
    mask = write_video(tmp_path / "mask.mp4", masked)
    original = write_video(tmp_path / "original.mp4", scene())
    found = changed_face(replace(swap, mask=mask, original=original), tracks())
    assert (found.track_id, found.rule) == (0, "mask")
    share = 60 * 100 / (120 * 160)  # of the box that is white
    assert found.changes[0] == pytest.approx(255 * share, rel=0.1)


@pytest.mark.parametrize("amount", [0, 20], ids=["nothing changed", "both faces changed alike"])
def test_what_tells_no_face_apart_leaves_the_main_one(swap, tmp_path, amount):
    path = write_video(tmp_path / "both.mp4", scene(BOXES, amount))
    original = write_video(tmp_path / "original.mp4", scene())
    assert changed_face(replace(swap, path=path, original=original), tracks()) == ChangedFace(0, "main")


def test_an_original_that_is_missing_or_no_video_leaves_the_main_one(swap, tmp_path):
    assert changed_face(swap, tracks()) == ChangedFace(0, "main")
    assert changed_face(replace(swap, original=tmp_path / "gone.mp4"), tracks()) == ChangedFace(0, "main")
    (tmp_path / "text.mp4").write_text("no video")
    assert changed_face(replace(swap, original=tmp_path / "text.mp4"), tracks()) == ChangedFace(0, "main")


def test_an_original_that_ends_before_a_face_is_seen_decides_nothing(swap, tmp_path):
    original = write_video(tmp_path / "short.mp4", list(scene())[:8])
    late = tracks()[1]
    late = FaceTrack(1, tuple(face for face in late.faces if face.time_s > 0.5))
    assert changed_face(replace(swap, original=original), (tracks()[0], late)) == ChangedFace(0, "main")


def test_real_videos_and_videos_without_faces_have_none(swap):
    assert changed_face(replace(swap, label=REAL), tracks()) is None
    assert changed_face(swap, ()) is None


def test_the_command_line_says_where_rule_and_prominence_disagree(swap, capsys):
    found = ChangedFace(1, "original", (0.8, 5.9))
    entries = (
        ManifestEntry(swap, "0" * 64, 2, None, found),
        ManifestEntry(replace(swap, video_id="ffpp/Deepfakes/002_003"), "1" * 64, 1, None, ChangedFace(0, "main")),
        ManifestEntry(replace(swap, video_id="ffpp/real/000", label=REAL), "2" * 64, 1, None),
    )
    print_changed_faces(Manifest("ffpp-c23", entries))
    first, second = capsys.readouterr().out.splitlines()
    assert "changed face of 2 manipulated videos: 0 by their masks, 1 by the difference" in first
    assert "1 taken to be the most prominent" in first
    assert "ffpp/Deepfakes/000_001: face 1 was changed, by its original (0.8, 5.9 grey levels" in second


def test_the_changed_face_stands_for_its_video(swap):
    stored = StoredVideo(None, tracks())
    entry = ManifestEntry(swap, "0" * 64, 2, None, ChangedFace(1, "original", (0.8, 5.9)))
    assert main_track(entry, stored) == 1
    assert main_track(replace(entry, changed=None), stored) == 0
    assert main_track(replace(entry, changed=None), StoredVideo(None)) is None
    assert ManifestEntry.from_json(entry.to_json()) == entry


@pytest.mark.real
@pytest.mark.parametrize("name", ["000_900", "000_907"])
def test_the_swapped_face_of_two_real_clips_is_the_smaller_one(shared, name):
    root = shared / "data" / "faceswap"
    path = root / "manipulated_sequences/Deepfakes/c23/videos" / f"{name}.mp4"
    original = root / "original_sequences/youtube/c23/videos/000.mp4"
    video, _ = find_clips(path, load_face_detector(None), ClipSettings())
    record = VideoRecord(f"ffpp/Deepfakes/{name}", Path(path), FAKE, original=original)
    found = changed_face(record, video.tracks)
    sides_px = [track.faces[0].side_px for track in video.tracks]
    assert found.rule == "original"
    assert sides_px[found.track_id] < max(sides_px)
