"""The Celeb-DF adapter, on fabricated trees of empty files."""

import pytest

from stf_mamba.core.errors import DatasetError
from stf_mamba.datasets import load_dataset
from stf_mamba.datasets.celebdf import CelebDF

VIDEOS = (
    "Celeb-real/id0_0000.mp4",
    "Celeb-real/id1_0001.mp4",
    "YouTube-real/00170.mp4",
    "Celeb-synthesis/id0_id1_0000.mp4",
    "Celeb-synthesis/id1_id0_0001.mp4",
)
LISTED = "1 Celeb-real/id0_0000.mp4\n1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"


@pytest.fixture
def make_root(tmp_path):
    def make(videos=VIDEOS, listed=LISTED):
        for name in videos:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        if listed is not None:
            (tmp_path / "List_of_testing_videos.txt").write_text(listed)
        return tmp_path

    return make


def test_official_list_is_read_with_one_meaning_real(make_root):
    records = CelebDF(make_root()).records()
    assert [(record.video_id, record.label, record.identities, record.split) for record in records] == [
        ("celebdf/Celeb-synthesis/id0_id1_0000", 1, ("celebdf:id0", "celebdf:id1"), "test"),
        ("celebdf/real/00170", 0, ("celebdf:youtube00170",), "test"),
        ("celebdf/real/id0_0000", 0, ("celebdf:id0",), "test"),
    ]
    assert [record.method for record in records] == ["Celeb-synthesis", "real", "real"]
    assert {record.compression for record in records} == {None}


def test_swaps_know_their_originals(make_root):
    root = make_root((*VIDEOS, "Celeb-synthesis/id1_id0_0009.mp4"))
    originals = {record.path.name: record.original for record in CelebDF(root, part="all").records()}
    assert originals == {
        "id0_0000.mp4": None,
        "id1_0001.mp4": None,
        "00170.mp4": None,
        "id0_id1_0000.mp4": root / "Celeb-real/id0_0000.mp4",
        "id1_id0_0001.mp4": root / "Celeb-real/id1_0001.mp4",
        "id1_id0_0009.mp4": None,
    }


def test_all_lists_every_video_and_marks_the_test_part(make_root):
    records = load_dataset("celebdf", make_root(), part="all")
    assert len(records) == 5
    assert {record.video_id: record.split for record in records if record.split is None} == {
        "celebdf/Celeb-synthesis/id1_id0_0001": None,
        "celebdf/real/id1_0001": None,
    }


def test_all_needs_no_list(make_root):
    assert len(CelebDF(make_root(listed=None), part="all").records()) == 5


def test_folder_names_in_any_case_and_line_ends_of_any_kind(make_root):
    root = make_root([name.lower() for name in VIDEOS], LISTED.replace("\n", "\r\n") + "\r\n")
    assert [record.video_id for record in CelebDF(root).records()] == [
        "celebdf/Celeb-synthesis/id0_id1_0000",
        "celebdf/real/00170",
        "celebdf/real/id0_0000",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_with_a_byte_order_mark_reads_as_without_it(make_root, encoding):
    root = make_root()
    as_published = CelebDF(root).records()
    (root / "List_of_testing_videos.txt").write_bytes(LISTED.replace("\n", "\r\n").encode(encoding))
    assert CelebDF(root).records() == as_published


def test_listed_videos_that_are_missing_are_counted_and_named(make_root):
    gaps = "".join(f"0 Celeb-synthesis/id0_id1_{number:04d}.mp4\n" for number in range(1, 9))
    with pytest.raises(DatasetError, match=r"8 of 11 videos .* missing: .*id0_id1_0001\.mp4.* and 3 more"):
        CelebDF(make_root(listed=LISTED + gaps)).records()


@pytest.mark.parametrize("line", ["0 Celeb-real/id1_0001.mp4", "1 Celeb-synthesis/id1_id0_0001.mp4", "1 Other/x.mp4"])
def test_label_that_contradicts_the_folder_is_an_error(make_root, line):
    with pytest.raises(DatasetError, match=r"line 4: .*does not fit"):
        CelebDF(make_root(listed=LISTED + line)).records()


@pytest.mark.parametrize("line", ["Celeb-real/id1_0001.mp4", "1 id1_0001.mp4", "1 a b/c.mp4"])
def test_unreadable_line_is_named(make_root, line):
    with pytest.raises(DatasetError, match=r"line 4: .*LABEL FOLDER/FILE"):
        CelebDF(make_root(listed=LISTED + line)).records()


def test_missing_or_empty_list(make_root):
    with pytest.raises(DatasetError, match=r"List_of_testing_videos\.txt is missing; .*part='all'"):
        CelebDF(make_root(listed=None)).records()
    with pytest.raises(DatasetError, match="names no video"):
        CelebDF(make_root(listed="\n")).records()


def test_wrong_layout_names_what_was_looked_for(tmp_path):
    (tmp_path / "original").mkdir()
    for part in ("test", "all"):
        with pytest.raises(DatasetError, match=r"Celeb-synthesis/idA_idB_NNNN\.mp4.*Found there: original/"):
            CelebDF(tmp_path, part).records()


def test_all_needs_the_three_folders(make_root):
    with pytest.raises(DatasetError, match="layout of Celeb-DF v2"):
        CelebDF(make_root(VIDEOS[:3]), "all").records()


def test_name_that_does_not_parse_is_an_error(make_root):
    with pytest.raises(DatasetError, match=r"id0\.mp4.*Celeb-real/idA_NNNN\.mp4"):
        CelebDF(make_root([*VIDEOS, "Celeb-real/id0.mp4"]), "all").records()


def test_video_listed_twice_is_an_error(make_root):
    with pytest.raises(DatasetError, match="2 videos share a video id"):
        CelebDF(make_root(listed=LISTED + LISTED.splitlines()[0])).records()


def test_unknown_part(tmp_path):
    with pytest.raises(ValueError, match="'test' or 'all', got 'train'"):
        CelebDF(tmp_path, "train")
