"""Folders of any shape: links, suffixes, cases, composed letters. Nothing vanishes, nothing comes twice."""

import unicodedata
import warnings

import pytest

from stf_mamba.cli.detection import _videos_in
from stf_mamba.core.errors import DatasetError, LeftOutWarning
from stf_mamba.datasets.celebdf import CelebDF
from stf_mamba.datasets.faceforensics import FaceForensics
from stf_mamba.datasets.folder import CsvList, Folder
from stf_mamba.datasets.listing import VIDEO_SUFFIXES, videos_in

READ_BY_FFMPEG = ("wmv", "m2ts", "vob", "mxf", "asf", "3g2", "f4v", "qt", "avi", "mp4")
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))


@pytest.fixture
def root(tmp_path):
    for name in ("real/a.mp4", "fake/b.mp4"):
        touch(tmp_path / name)
    return tmp_path


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_to_a_folder_above_is_not_entered(root, target):
    (root / "real" / "loop").symlink_to(target)
    assert [record.path.name for record in Folder(root).records()] == ["b.mp4", "a.mp4"]
    assert list(_videos_in([root])) == [root / "fake" / "b.mp4", root / "real" / "a.mp4"]
    assert videos_in(root / "real", nested=True) == [root / "real" / "a.mp4"]


def test_links_in_a_circle_end(root):
    for number, other in ((1, 2), (2, 1)):
        (root / "real" / f"{number}").mkdir()
        (root / "real" / f"{number}" / "on").symlink_to(root / "real" / f"{other}")
        touch(root / "real" / f"{number}" / f"{number}.mp4")
    found = videos_in(root / "real", nested=True)
    assert found == [root / "real" / name for name in ("1/1.mp4", "2/2.mp4", "a.mp4")]


def test_a_folder_elsewhere_is_entered_once_through_its_links(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    touch(elsewhere / "c.mp4")
    for name in ("one", "two"):
        (root / "real" / name).symlink_to(elsewhere)
    assert videos_in(root / "real", nested=True) == [root / "real" / name for name in ("a.mp4", "one/c.mp4")]


def test_what_ffmpeg_reads_is_listed_in_any_case(tmp_path):
    for number, suffix in enumerate(READ_BY_FFMPEG):
        touch(tmp_path / f"{number}.{suffix.upper() if number % 2 else suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(videos_in(tmp_path)) == len(READ_BY_FFMPEG)


def test_the_suffixes_of_ffmpegs_own_video_containers_are_listed():
    from av.format import ContainerFormat

    containers = ("asf", "avi", "flv", "gif", "matroska", "mov", "mp4", "mpeg", "mpegts", "mxf", "ogv", "vob", "webm")
    of_sound = {"mka", "mks", "m4a", "m4b", "mpa", "mp2", "wma", "ism", "isma", "ismv", "psd", "avif", "heic", "heif"}
    declared = {suffix for name in containers for suffix in ContainerFormat(name).extensions}
    assert {f".{suffix}" for suffix in declared - of_sound} <= VIDEO_SUFFIXES


def test_what_is_left_out_is_counted_and_named(root):
    for name in ("notes.txt", "c.mp4.part", ".DS_Store"):
        touch(root / "real" / name)
    with pytest.warns(LeftOutWarning, match=r"real: 2 of 3 files .* left out: c\.mp4\.part, notes\.txt\."):
        assert videos_in(root / "real") == [root / "real" / "a.mp4"]


def test_a_link_to_nothing_is_listed_and_not_forgotten(root):
    (root / "real" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    assert [path.name for path in videos_in(root / "real")] == ["a.mp4", "gone.mp4"]


def test_one_file_as_real_and_as_fake_is_an_error(root):
    (root / "fake" / "linked.mp4").symlink_to(root / "real" / "a.mp4")
    with pytest.raises(DatasetError, match=r"1 files are listed more than once: .*linked\.mp4 \(fake\) is .*a\.mp4"):
        Folder(root).records()
    (root / "list.csv").write_text("path,label\nreal/a.mp4,real\nfake/../real/a.mp4,fake\n")
    with pytest.raises(DatasetError, match=r"listed more than once: .*\(fake\) is .*\(real\)"):
        CsvList(root / "list.csv").records()


def test_one_file_named_twice_gets_one_verdict(root):
    video = root / "real" / "a.mp4"
    assert list(_videos_in([video, root / "real", root])) == [video, root / "fake" / "b.mp4"]


@pytest.mark.parametrize(
    ("listed", "lies"),
    [("Clips/A.MP4", "clips/a.mp4"), (f"{COMPOSED}.mp4", f"{DECOMPOSED}.mp4"), (r"clips\a.mp4", "clips/a.mp4")],
)
def test_csv_paths_match_whatever_wrote_them(tmp_path, listed, lies):
    touch(tmp_path / lies)
    (tmp_path / "list.csv").write_text(f"path,label\n{listed},1\n", encoding="utf-8")
    (record,) = CsvList(tmp_path / "list.csv").records()
    assert record.path == tmp_path / lies
    assert record.video_id == unicodedata.normalize("NFC", f"csv/fake/{lies.removesuffix('.mp4')}")


def test_names_that_differ_in_case_only_are_not_guessed(tmp_path):
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "A.mp4")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("the file system does not tell cases apart")
    (tmp_path / "list.csv").write_text("path,label\na.MP4,1\n")
    with pytest.raises(DatasetError, match=r"A\.mp4, a\.mp4 differ in case only"):
        CsvList(tmp_path / "list.csv").records()


def test_ids_are_the_same_whichever_system_wrote_the_name(root):
    touch(root / "real" / f"{DECOMPOSED}.mp4")
    assert f"folder/real/{COMPOSED}" in {record.video_id for record in Folder(root).records()}


def test_celebdf_names_in_another_case_than_the_lists(tmp_path):
    for name in ("Celeb-real/ID0_0000.MP4", "YouTube-real/00170.mp4", "Celeb-synthesis/id0_id1_0000.MP4"):
        touch(tmp_path / name)
    (tmp_path / "list_of_testing_videos.txt").write_text(
        "1 Celeb-real/id0_0000.mp4\n1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"
    )
    found = CelebDF(tmp_path).records()
    assert [(record.video_id, record.identities) for record in found] == [
        ("celebdf/Celeb-synthesis/id0_id1_0000", ("celebdf:id0", "celebdf:id1")),
        ("celebdf/real/00170", ("celebdf:youtube00170",)),
        ("celebdf/real/id0_0000", ("celebdf:id0",)),
    ]
    assert {record.split for record in CelebDF(tmp_path, "all").records()} == {"test"}


def test_faceforensics_folders_in_another_case(tmp_path):
    touch(tmp_path / "Original_Sequences/youtube/C23/Videos/000.MP4")
    touch(tmp_path / "manipulated_sequences/deepfakes/c23/videos/000_003.mp4")
    expected = ["ffpp/Deepfakes/000_003", "ffpp/real/000"]
    for methods in (None, ["DeepFakes"]):
        assert [record.video_id for record in FaceForensics(tmp_path, methods=methods).records()] == expected
