"""The plain folder and the CSV list, on empty files."""

import pytest

from stf_mamba.core.errors import DatasetError
from stf_mamba.datasets import load_dataset
from stf_mamba.datasets.folder import CsvList, Folder


@pytest.fixture
def touch(tmp_path):
    def create(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return create


def test_folder_reads_nested_videos_in_any_case(touch):
    root = touch("Real/a.mp4", "Real/day 1/a.MKV", "FAKE/x/b.webm", "FAKE/x/notes.txt", "FAKE/.trash/c.mp4", "d.mp4")
    assert [(record.video_id, record.label, record.method, record.identities) for record in Folder(root).records()] == [
        ("folder/fake/x/b", 1, "fake", ()),
        ("folder/real/a", 0, "real", ()),
        ("folder/real/day 1/a", 0, "real", ()),
    ]


def test_folder_without_one_of_the_two(touch):
    with pytest.raises(DatasetError, match=r"Looked for: real/; fake/. Found there: real/"):
        Folder(touch("real/a.mp4")).records()


def test_folder_without_videos(touch):
    with pytest.raises(DatasetError, match="no video in it"):
        Folder(touch("real/a.mp4", "fake/b.txt")).records()


def test_folder_with_two_suffixes_of_one_name(touch):
    with pytest.raises(DatasetError, match="2 videos share a video id"):
        Folder(touch("real/a.mp4", "real/a.mov", "fake/b.mp4")).records()


def test_folders_that_differ_in_case_only(touch):
    root = touch("Fake/a.mp4", "FAKE/b.mp4", "real/c.mp4")
    if len(list(root.iterdir())) < 3:
        pytest.skip("the file system does not tell cases apart")
    with pytest.raises(DatasetError, match="FAKE, Fake differ in case only"):
        Folder(root).records()


def write_csv(root, text):
    path = root / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_reads_labels_people_and_methods(touch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "z.mp4"
    elsewhere.touch()
    root = touch("clips/a.mp4", "clips/b.mp4", "c, d.mp4")
    path = write_csv(
        root,
        "\ufeffPath, Label, identity, method\n"
        "clips/a.mp4,0,anna,\n"
        "./clips/b.mp4,FAKE, anna ; bert ,SimSwap\n"
        '"c, d.mp4",1,,\n'
        f"{elsewhere},Real,,real\n",
    )
    records = load_dataset("csv", path)
    assert {record.video_id: (record.label, record.method, record.identities) for record in records} == {
        "csv/SimSwap/clips/b": (1, "SimSwap", ("csv:anna", "csv:bert")),
        "csv/fake/c, d": (1, "fake", ()),
        "csv/real/" + elsewhere.with_suffix("").as_posix().lstrip("/"): (0, "real", ()),
        "csv/real/clips/a": (0, "real", ("csv:anna",)),
    }
    assert [record.video_id for record in records] == sorted(record.video_id for record in records)
    assert all(record.path.is_file() for record in records)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_csv_that_a_spreadsheet_saved(touch, encoding):
    root = touch("ä.mp4", "b.mp4")
    (root / "list.csv").write_bytes("path,label\r\nä.mp4,0\r\nb.mp4,1\r\n".encode(encoding))
    assert [record.video_id for record in CsvList(root / "list.csv").records()] == ["csv/fake/b", "csv/real/ä"]


def test_csv_with_two_columns_only(touch):
    root = touch("a.mp4", "b.mp4")
    records = CsvList(write_csv(root, "path,label\na.mp4,0\n\nb.mp4,1\n")).records()
    assert [record.video_id for record in records] == ["csv/fake/b", "csv/real/a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4,0\n", "the header is"),
        ("path,label,colour\na.mp4,0,red\n", "the header is"),
        ("path,label\n", "lists no video"),
        ("path,label\na.mp4,2\n", r"line 2: path 'a.mp4', label '2'"),
        ("path,label\n,1\n", "line 2: path ''"),
        ("path,label\na.mp4\n", "line 2: the number of cells"),
        ("path,label\na.mp4,0,anna\n", "line 2: the number of cells"),
        ("path,label,method\na.mp4,0,FaceSwap\n", "contradict"),
        ("path,label,method\na.mp4,1,real\n", "contradict"),
        ("path,label\na.mp4,0\nnope.mp4,1\n", r"1 of 2 listed videos do not exist: .*nope\.mp4"),
        ("path,label\na.mp4,0\n./a.mp4,0\n", "share a video id"),
    ],
)
def test_csv_errors_name_the_line(touch, text, message):
    with pytest.raises(DatasetError, match=message):
        CsvList(write_csv(touch("a.mp4"), text)).records()


def test_csv_that_is_missing_or_no_text(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv is missing"):
        CsvList(tmp_path / "none.csv").records()
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DatasetError, match=r"binary\.csv, line 1: byte 2 is no UTF-16"):
        CsvList(tmp_path / "binary.csv").records()
