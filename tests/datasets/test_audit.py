"""The leak audit, on splits that leak in known ways."""

import pytest

from stf_mamba.core.errors import DatasetError, LeakError
from stf_mamba.core.records import VideoRecord
from stf_mamba.datasets.audit import Leak, audit, require_disjoint
from stf_mamba.datasets.splits import Split


def swap(target, source, **fields):
    people = (f"ffpp:{target}", f"ffpp:{source}")
    return VideoRecord(f"ffpp/Deepfakes/{target}_{source}", "x.mp4", 1, people, "Deepfakes", **fields)


def real(sequence, **fields):
    return VideoRecord(f"ffpp/real/{sequence}", "x.mp4", 0, (f"ffpp:{sequence}",), "real", **fields)


def test_person_filmed_in_two_parts():
    split = Split("s", ("ffpp/real/000",), (), ("ffpp/Deepfakes/000_003",))
    assert audit(split, [real("000"), swap("000", "003")]) == [
        Leak("target", "ffpp:000", ("train", "test"), ("ffpp/Deepfakes/000_003", "ffpp/real/000"))
    ]


def test_source_that_is_filmed_or_put_in_elsewhere():
    records = [real("000"), swap("001", "000"), swap("002", "900"), swap("003", "900")]
    split = Split(
        "s", ("ffpp/real/000", "ffpp/Deepfakes/002_900"), ("ffpp/Deepfakes/001_000", "ffpp/Deepfakes/003_900")
    )
    leaks = audit(split, records)
    assert [(leak.kind, leak.value) for leak in leaks] == [("source", "ffpp:000"), ("source", "ffpp:900")]
    assert {leak.parts for leak in leaks} == {("train", "validation")}


def test_two_sequences_of_one_youtube_video():
    records = [real("755"), real("756"), real("685"), real("687")]
    split = Split("s", ("ffpp/real/756", "ffpp/real/685", "ffpp/real/687"), (), ("ffpp/real/755",))
    assert audit(split, records) == [
        Leak("youtube_source", "ffpp:755+ffpp:756", ("train", "test"), ("ffpp/real/755", "ffpp/real/756"))
    ]


def test_equal_files_under_two_ids():
    records = [real("000", sha256="aa"), real("001", sha256="aa"), real("002", sha256="bb")]
    split = Split("s", ("ffpp/real/000",), ("ffpp/real/001", "ffpp/real/002"))
    assert [(leak.kind, leak.value) for leak in audit(split, records)] == [("file", "aa")]
    given_hashes = {"ffpp/real/000": "bb", "ffpp/real/001": "cc"}
    assert [leak.video_ids for leak in audit(split, records, given_hashes)] == [("ffpp/real/000", "ffpp/real/002")]


def test_id_listed_twice():
    records = [real("000"), real("001")]
    within = Split("s", ("ffpp/real/000", "ffpp/real/000"), ("ffpp/real/001",))
    assert audit(within, records) == [Leak("duplicate", "ffpp/real/000", ("train",), ("ffpp/real/000",))]
    across = Split("s", ("ffpp/real/000",), ("ffpp/real/000", "ffpp/real/001"))
    assert {leak.kind for leak in audit(across, records)} == {"duplicate", "target"}


def test_clean_split_and_unused_videos():
    records = [real("000"), real("001"), swap("000", "001")]
    split = Split("s", ("ffpp/real/000",), ("ffpp/real/001",))
    assert audit(split, records) == []
    require_disjoint(split, records)


def test_unknown_ids_are_an_error():
    with pytest.raises(DatasetError, match="names 1 videos that the data set does not have: ffpp/real/009"):
        audit(Split("s", ("ffpp/real/000", "ffpp/real/009"), ()), [real("000")])


def test_require_disjoint_counts_names_and_tolerates_what_it_is_told_to():
    records = [real("000"), swap("001", "000"), swap("000", "002"), swap("003", "900"), swap("004", "900")]
    split = Split(
        "mine",
        ("ffpp/real/000", "ffpp/Deepfakes/003_900"),
        ("ffpp/Deepfakes/000_002", "ffpp/Deepfakes/004_900"),
    )
    with pytest.raises(LeakError, match=r"'mine' leaks: 1 source, 1 target; .*source ffpp:900 \(train, validation\)"):
        require_disjoint(split, records)
    with pytest.raises(LeakError, match="leaks: 1 target;"):
        require_disjoint(split, records, tolerated=["source"])
    require_disjoint(split, records, tolerated=["source", "target"])
