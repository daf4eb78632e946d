"""The generated miniature: layouts, pairing, determinism, resumption, and heads that the real detector finds."""

import dataclasses
import itertools
import json
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from stf_mamba.core.errors import DatasetError
from stf_mamba.core.records import FAKE, REAL
from stf_mamba.datasets.celebdf import CelebDF
from stf_mamba.datasets.faceforensics import FaceForensics
from stf_mamba.datasets.miniature import corpus as miniature
from stf_mamba.datasets.miniature import footage
from stf_mamba.datasets.miniature.corpus import CELEBDF_ERRORS, SWAP_ERRORS, MiniatureSettings, make_miniature
from stf_mamba.datasets.miniature.footage import Swap, Take
from stf_mamba.faces.detectors import load_face_detector

SIZE_PX = (320, 240)
FEW_FRAMES = dataclasses.replace(MiniatureSettings.tiny(), n_frames=3, width_px=160, height_px=120)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_miniature(tmp_path_factory.mktemp("miniature") / "tiny", MiniatureSettings.tiny())


@pytest.fixture(scope="module")
def take():
    return Take("someone", "a take", n_frames=12, fps=25, size_px=SIZE_PX, seed=3)


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_ffpp_part_has_the_official_tree_and_names(tiny):
    records = FaceForensics(tiny.ffpp_root, compression="c23").records()
    assert Counter(record.method for record in records) == {"real": 6, "Deepfakes": 6}
    people = {record.identities[0] for record in records if record.label == REAL}
    swaps = {record.identities for record in records if record.label == FAKE}
    assert {target for target, _ in swaps} == people
    assert all((source, target) in swaps and source != target for target, source in swaps)


def test_ffpp_split_lists_name_each_pair_once_and_share_nobody(tiny):
    parts = {
        part: json.loads((tiny.ffpp_root / "splits" / f"{part}.json").read_text()) for part in ("train", "val", "test")
    }
    assert all(parts.values())
    listed = [person for pairs in parts.values() for pair in pairs for person in pair]
    assert sorted(listed) == [f"{number:03}" for number in range(6)]
    folder = tiny.ffpp_root / "manipulated_sequences" / "Deepfakes" / "c23" / "videos"
    for target, source in itertools.chain.from_iterable(parts.values()):
        assert (folder / f"{target}_{source}.mp4").is_file()
        assert (folder / f"{source}_{target}.mp4").is_file()


def test_celebdf_part_has_the_layout_names_and_a_list_in_which_1_is_real(tiny):
    everything = CelebDF(tiny.celebdf_root, "all").records()
    assert Counter((record.path.parent.name, record.label) for record in everything) == {
        ("Celeb-real", REAL): 2,
        ("YouTube-real", REAL): 1,
        ("Celeb-synthesis", FAKE): 2,
    }
    lines = (tiny.celebdf_root / "List_of_testing_videos.txt").read_text().splitlines()
    assert sorted(lines) == [
        "0 Celeb-synthesis/id1_id0_0000.mp4",
        "1 Celeb-real/id1_0000.mp4",
        "1 YouTube-real/00000.mp4",
    ]
    tested = CelebDF(tiny.celebdf_root, "test").records()
    assert {(record.path.name, record.label) for record in tested} == {
        ("id1_id0_0000.mp4", FAKE),
        ("id1_0000.mp4", REAL),
        ("00000.mp4", REAL),
    }


def test_nobody_is_given_their_own_face():
    settings = MiniatureSettings(n_celebdf_identities=3, n_celebdf_takes=5)
    root = Path("anywhere")
    shoots = list(miniature._plan_celebdf(root, settings))
    assert all(swap.source != shoot.person for shoot in shoots for swap in shoot.swaps)
    assert len({video for shoot in shoots for video in shoot.videos}) == 3 * 5 * 2 + settings.n_youtube_real


def test_real_and_manipulated_files_share_codec_size_length_and_encoder(tiny):
    root = tiny.ffpp_root.parent
    facts = set()
    for path in root.rglob("*.mp4"):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            facts.add(
                (stream.codec.name, stream.width, stream.height, stream.average_rate, stream.frames, stream.pix_fmt)
            )
        assert b"crf=23.0" in path.read_bytes()  # x264 writes its options into the stream
    assert facts == {("h264", 320, 240, 25, 40, "yuv420p")}


def test_detector_finds_the_face_in_real_and_manipulated_frames(tiny):
    detector = load_face_detector()
    reals = sorted(tiny.ffpp_root.glob("original_sequences/**/*.mp4"))
    reals += sorted(tiny.celebdf_root.glob("*-real/*.mp4"))
    fakes = sorted(tiny.ffpp_root.glob("manipulated_sequences/**/*.mp4"))
    fakes += [*sorted(tiny.celebdf_root.glob("Celeb-synthesis/*.mp4")), tiny.held_out]
    for paths in (reals, fakes):
        frames = [frame for path in paths for frame in decoded(path)[::10]]
        found = detector.detect(frames, [0.0] * len(frames))
        assert np.mean([len(faces) == 1 for faces in found]) >= 0.9
        sides_px = [faces[0].side_px for faces in found if faces]
        assert 90 <= np.median(sides_px) <= 150


def test_swap_leaves_everything_outside_the_inner_face_as_it_was(take):
    swap = Swap(take, "someone else", "FaceSwap", SWAP_ERRORS["FaceSwap"], seed=3)
    for index, pose in enumerate(take.poses):
        real, fake = take.frames(index, [swap])
        rows, columns = np.mgrid[: SIZE_PX[1], : SIZE_PX[0]]
        distance = np.hypot(columns - pose.centre_px[0], rows - pose.centre_px[1]) / pose.unit_px
        changed = (real != fake).any(-1)
        assert not changed[distance > 1.6].any()
        assert changed[distance < 0.6].mean() > 0.9


def test_swap_adds_change_from_frame_to_frame_in_the_face(take):
    swap = Swap(take, "someone else", "Celeb-synthesis", CELEBDF_ERRORS, seed=3)
    pairs = [take.frames(index, [swap]) for index in range(12)]
    row, column = round(take.poses[0].centre_px[1]), round(take.poses[0].centre_px[0])
    face = slice(row - 20, row + 45), slice(column - 30, column + 30)
    real, fake = (np.stack([pair[kind][face] for pair in pairs]).astype(float) for kind in (0, 1))
    unsteadiness = [np.abs(video[2:] - 2 * video[1:-1] + video[:-2]).mean() for video in (real, fake)]
    assert unsteadiness[1] > 1.2 * unsteadiness[0]


def test_one_name_is_one_person_and_takes_differ():
    first, second = (Take("someone", name, n_frames=2, fps=25, size_px=SIZE_PX, seed=3) for name in ("one", "two"))
    other = Take("someone", "one", n_frames=2, fps=25, size_px=SIZE_PX, seed=4)
    assert first.head.traits == second.head.traits != other.head.traits
    assert first.poses != second.poses


def test_same_settings_give_the_same_bytes_and_another_seed_gives_others(tmp_path):
    make_miniature(tmp_path / "first", FEW_FRAMES)
    footage.cast_head.cache_clear()
    make_miniature(tmp_path / "second", FEW_FRAMES)
    make_miniature(tmp_path / "other", dataclasses.replace(FEW_FRAMES, seed=43))
    first, second, other = (contents(tmp_path / name) for name in ("first", "second", "other"))
    assert first == second
    video = Path("celebdf/Celeb-real/id0_0000.mp4")
    assert first[video] != other[video]


def test_complete_miniature_is_reused_untouched(tmp_path):
    make_miniature(tmp_path / "corpus", FEW_FRAMES)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus").rglob("*.mp4")}
    calls = []
    make_miniature(tmp_path / "corpus", FEW_FRAMES, on_progress=lambda done, total: calls.append((done, total)))
    assert calls == [(18, 18)]
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus").rglob("*.mp4")}


class InterruptedTestError(Exception):
    """Stands for Ctrl-C, at a place of the test's choosing."""


def test_interrupted_miniature_leaves_whole_videos_only_and_is_continued(tmp_path, monkeypatch):
    make_miniature(tmp_path / "at once", FEW_FRAMES)
    real_frames, drawn = Take.frames, itertools.count()

    def frames_until_interrupted(self, index, swaps):
        if next(drawn) == 10:  # in the middle of the fourth take
            raise InterruptedTestError
        return real_frames(self, index, swaps)

    with monkeypatch.context() as patch:
        patch.setattr(Take, "frames", frames_until_interrupted)
        with pytest.raises(InterruptedTestError):
            make_miniature(tmp_path / "corpus", FEW_FRAMES)
    left = contents(tmp_path / "corpus")
    whole = contents(tmp_path / "at once")
    videos = {name for name in left if name.suffix == ".mp4"}
    assert len(videos) == 6
    assert all(left[name] == whole[name] for name in videos)
    assert {name.name for name in left.keys() - videos} == {"miniature-unfinished.json"}
    assert not (tmp_path / "corpus" / "miniature.json").exists()

    killed = tmp_path / "corpus" / "celebdf" / ".id0_0000.mp4.1.partial"  # what kill -9 leaves
    killed.parent.mkdir(exist_ok=True)
    killed.write_bytes(b"half a video")
    calls = []
    make_miniature(tmp_path / "corpus", FEW_FRAMES, on_progress=lambda done, total: calls.append(done))
    assert calls[0] == 6
    assert calls[-1] == 18
    assert contents(tmp_path / "corpus") == whole


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    make_miniature(tmp_path / "corpus", FEW_FRAMES)
    before = contents(tmp_path / "corpus")
    with pytest.raises(DatasetError, match=r"n_frames is 3, expected 4.*empty folder"):
        make_miniature(tmp_path / "corpus", dataclasses.replace(FEW_FRAMES, n_frames=4))
    assert contents(tmp_path / "corpus") == before


@pytest.mark.parametrize(("name", "text"), [("miniature.json", "{half"), ("miniature.json", "[]")])
def test_unreadable_settings_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match="miniature"):
        make_miniature(tmp_path, FEW_FRAMES)


def test_folder_with_something_else_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "holiday.mp4").write_bytes(b"mine")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".mine.partial").write_bytes(b"mine too")
    with pytest.raises(DatasetError, match=r"not empty .*holiday\.mp4"):
        make_miniature(tmp_path, FEW_FRAMES)
    assert contents(tmp_path) == {Path("holiday.mp4"): b"mine", Path("sub/.mine.partial"): b"mine too"}


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "corpus").write_text("a file")
    with pytest.raises(DatasetError, match="is a file"):
        make_miniature(tmp_path / "corpus", FEW_FRAMES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_ffpp_identities": 5},
        {"n_ffpp_identities": 4},
        {"methods": ()},
        {"methods": ("Deepfakes", "Deepfakes")},
        {"methods": ("Face2Face",)},
        {"n_celebdf_identities": 1},
        {"n_celebdf_takes": 0},
        {"n_youtube_real": -1},
        {"n_frames": 0},
        {"fps": 0},
        {"width_px": 321},
        {"height_px": 60},
        {"crf": 52},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MiniatureSettings(**wrong)


def test_settings_survive_json():
    settings = MiniatureSettings.tiny()
    assert MiniatureSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
