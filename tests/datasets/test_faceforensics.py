"""The FaceForensics++ adapter, on fabricated trees of empty files: it reads names only."""

from pathlib import Path

import pytest

from stf_mamba.core.errors import DatasetError, UsageError
from stf_mamba.datasets import load_dataset
from stf_mamba.datasets.faceforensics import SHARED_YOUTUBE_SOURCES, FaceForensics


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.fixture
def official(tmp_path):
    youtube, fakes = "original_sequences/youtube", "manipulated_sequences"
    return touch(
        tmp_path / "ffpp",
        f"{youtube}/c23/videos/000.mp4",
        f"{youtube}/c23/videos/003.mp4",
        f"{youtube}/raw/videos/000.mp4",
        f"{fakes}/Deepfakes/c23/videos/000_003.mp4",
        f"{fakes}/Deepfakes/masks/videos/000_003.mp4",
        f"{fakes}/FaceSwap/c23/videos/000_003.mp4",
        f"{fakes}/FaceShifter/c40/videos/000_003.mp4",
        "original_sequences/actors/c23/videos/01__exit_phone_room.mp4",
        f"{fakes}/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4",
    )


def test_official_tree_gives_every_video_of_the_compression(official):
    records = FaceForensics(official).records()
    assert [(record.video_id, record.label, record.identities) for record in records] == [
        ("ffpp/DeepFakeDetection/01_02__exit_phone_room__YVGY8LOK", 1, ("ffpp:actor01", "ffpp:actor02")),
        ("ffpp/Deepfakes/000_003", 1, ("ffpp:000", "ffpp:003")),
        ("ffpp/FaceSwap/000_003", 1, ("ffpp:000", "ffpp:003")),
        ("ffpp/real/000", 0, ("ffpp:000",)),
        ("ffpp/real/003", 0, ("ffpp:003",)),
        ("ffpp/real/01__exit_phone_room", 0, ("ffpp:actor01",)),
    ]
    assert {record.compression for record in records} == {"c23"}
    assert [record.method for record in records][:2] == ["DeepFakeDetection", "Deepfakes"]
    assert records[3].path == official / "original_sequences/youtube/c23/videos/000.mp4"
    assert {record.sha256 for record in records} == {None}


def test_swaps_know_their_originals_and_masks(official):
    records = {record.video_id: record for record in FaceForensics(official).records()}
    youtube = official / "original_sequences/youtube/c23/videos/000.mp4"
    masks = official / "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4"
    actor = official / "original_sequences/actors/c23/videos/01__exit_phone_room.mp4"
    assert {name: (record.original, record.mask) for name, record in records.items()} == {
        "ffpp/DeepFakeDetection/01_02__exit_phone_room__YVGY8LOK": (actor, None),
        "ffpp/Deepfakes/000_003": (youtube, masks),
        "ffpp/FaceSwap/000_003": (youtube, None),
        "ffpp/real/000": (None, None),
        "ffpp/real/003": (None, None),
        "ffpp/real/01__exit_phone_room": (None, None),
    }


def test_flat_mirror_gives_the_ids_of_the_official_tree(tmp_path, official):
    flat = touch(
        tmp_path / "flat",
        "original/000.mp4",
        "original/003.mp4",
        "original/01__exit_phone_room.mp4",
        "Deepfakes/000_003.mp4",
        "FaceSwap/000_003.mp4",
        "DeepFakeDetection/01_02__exit_phone_room__YVGY8LOK.mp4",
        "csv/summary.csv",
    )
    ids = [record.video_id for record in FaceForensics(flat).records()]
    assert ids == [record.video_id for record in FaceForensics(official).records()]


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        (["FaceSwap"], ["ffpp/FaceSwap/000_003", "ffpp/real/000", "ffpp/real/003"]),
        (
            ["DeepFakeDetection"],
            ["ffpp/DeepFakeDetection/01_02__exit_phone_room__YVGY8LOK", "ffpp/real/01__exit_phone_room"],
        ),
        ([], ["ffpp/real/000", "ffpp/real/003"]),
    ],
)
def test_methods_come_with_the_originals_they_were_made_from(official, methods, expected):
    assert [record.video_id for record in FaceForensics(official, methods=methods).records()] == expected


def test_other_compression_lists_only_what_has_it(official):
    assert [record.video_id for record in FaceForensics(official, "raw").records()] == ["ffpp/real/000"]


def test_absent_method_is_an_error_that_names_the_present_ones(official):
    with pytest.raises(DatasetError, match=r"no videos of FaceShifter at compression c23.*Deepfakes, FaceSwap"):
        FaceForensics(official, methods=["FaceShifter"]).records()


def test_absent_compression_is_an_error_that_names_the_present_ones(official):
    with pytest.raises(DatasetError, match=r"youtube/c40/videos/NNN\.mp4.*there: c23, raw"):
        FaceForensics(official, "c40").records()


def test_wrong_layout_names_root_patterns_and_contents(tmp_path):
    touch(tmp_path, "movies/a.mp4", "notes.txt")
    with pytest.raises(DatasetError) as caught:
        FaceForensics(tmp_path).records()
    message = str(caught.value)
    for part in (str(tmp_path), "original_sequences/youtube/c23/videos/NNN.mp4", "original/NNN.mp4", "movies/"):
        assert part in message


def test_root_one_level_too_high_is_pointed_out(tmp_path, official):
    with pytest.raises(DatasetError, match=f"Give {official} as the root"):
        FaceForensics(tmp_path).records()


def test_missing_root_and_file_as_root(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        FaceForensics(tmp_path / "absent").records()
    touch(tmp_path, "file")
    with pytest.raises(DatasetError, match="is a file"):
        FaceForensics(tmp_path / "file").records()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Deepfakes/c23/videos/000-003.mp4", "TTT_SSS"),
        ("Deepfakes/c23/videos/000_003_1.mp4", "TTT_SSS"),
        ("DeepFakeDetection/c23/videos/000_003.mp4", "TT_SS__SCENE"),
    ],
)
def test_video_whose_name_does_not_parse_is_an_error(official, name, expected):
    touch(official, f"manipulated_sequences/{name}")
    with pytest.raises(DatasetError, match=rf"{Path(name).name}.*{expected}"):
        FaceForensics(official).records()


def test_original_whose_name_does_not_parse_is_an_error(official):
    touch(official, "original_sequences/youtube/c23/videos/1000.mp4")
    with pytest.raises(DatasetError, match=r"1000\.mp4.*NNN\.mp4"):
        FaceForensics(official).records()


def test_hidden_files_and_other_suffixes_are_no_videos(official):
    before = FaceForensics(official).records()
    touch(official, *(f"original_sequences/youtube/c23/videos/{name}" for name in ("._000.mp4", "x.txt", ".DS_Store")))
    assert FaceForensics(official).records() == before


def test_folder_without_videos_is_an_error(official):
    (official / "manipulated_sequences/Face2Face/c23/videos").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"Face2Face.*no video in it.*found nothing"):
        FaceForensics(official).records()


def test_two_files_with_one_id_are_an_error(official):
    touch(official, "original_sequences/youtube/c23/videos/000.avi")
    with pytest.raises(DatasetError, match=r"2 videos share a video id.*000\.avi.*000\.mp4"):
        FaceForensics(official).records()


def test_shared_sources_account_for_the_23_sequences_beyond_977_videos():
    sequences = [sequence for group in SHARED_YOUTUBE_SOURCES for sequence in group]
    assert len(sequences) == len(set(sequences))
    assert sum(len(group) - 1 for group in SHARED_YOUTUBE_SOURCES) == 1000 - 977


def test_load_dataset_takes_the_options_of_each_data_set(official):
    assert (
        load_dataset("ffpp", official, methods=["FaceSwap"]) == FaceForensics(official, "c23", ["FaceSwap"]).records()
    )
    with pytest.raises(UsageError, match="ffpp, celebdf, folder, csv"):
        load_dataset("dfdc", official)
    with pytest.raises(UsageError, match="only celebdf takes a part"):
        load_dataset("ffpp", official, part="test")
    with pytest.raises(UsageError, match="only ffpp takes methods"):
        load_dataset("folder", official, methods=["FaceSwap"])


@pytest.mark.real
def test_real_tree_in_the_official_layout(shared):
    for compression in ("c23", "raw"):
        records = FaceForensics(shared / "data/faceswap", compression).records()
        assert [record.label for record in records].count(0) == 22
        assert [record.label for record in records].count(1) == 28
        assert all(record.path.is_file() and compression in record.path.parts for record in records)


@pytest.mark.parametrize("methods", [None, ["DeepFakeDetection"]])
def test_fakes_without_their_originals_say_which_are_missing(official, methods):
    (official / "original_sequences/actors/c23/videos/01__exit_phone_room.mp4").unlink()
    (official / "original_sequences/actors/c23/videos").rmdir()
    expected = (
        r"originals of DeepFakeDetection, the actors' own videos, are missing at compression c23; "
        r"expected: original_sequences/actors/c23/videos/AA__SCENE\.mp4"
    )
    with pytest.raises(DatasetError, match=expected) as caught:
        FaceForensics(official, methods=methods).records()
    assert "Ask for one" not in str(caught.value)
    touch(official, "original_sequences/actors/raw/videos/01__exit_phone_room.mp4")
    with pytest.raises(DatasetError, match="There they are at compression raw"):
        FaceForensics(official, methods=methods).records()
