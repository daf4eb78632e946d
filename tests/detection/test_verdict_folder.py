"""Names of verdicts that cannot meet, whatever an earlier call or somebody else left in the folder."""

from pathlib import Path

from stf_mamba.core.records import Outcome, Verdict
from stf_mamba.detection.verdict_folder import VerdictFolder

ONE, TWO, THREE = (letter * 64 for letter in "123")


def judged(place, sha256, path="x.mp4"):
    place.json.parent.mkdir(parents=True, exist_ok=True)
    verdict = Verdict(Outcome.NOT_ANALYSABLE, None, None, ("r",), provenance={"sha256": sha256, "path": path})
    verdict.save(place.json)
    place.page.write_text("page")


def names(root, *files):
    """Places of one call, below the root and without ending; each gets its verdict."""
    folder, found = VerdictFolder(root), []
    for name, sha256 in files:
        place = folder.place(Path(name), Path("/videos") / name, sha256)
        judged(place, sha256, str(Path("/videos") / name))
        found.append(str(place.json.relative_to(root).with_suffix("")))
        assert place.page == place.json.with_suffix(".html")
    return found


def test_files_of_one_call_have_different_names_and_get_them_again(tmp_path):
    files = [("x.mp4", ONE), ("a/x.mp4", TWO), ("x.mkv", THREE), ("x.mp4", TWO), ("x.mp4", THREE), ("x.mp4", ONE)]
    expected = ["x", "a/x", "x.mkv", "x.mp4", "x-33333333", "x-11111111"]
    assert names(tmp_path, *files) == expected
    assert names(tmp_path, *files) == expected
    assert len(list(tmp_path.rglob("*.json"))) == 6


def test_another_file_of_the_same_name_does_not_replace_a_verdict_and_the_same_file_does(tmp_path):
    assert names(tmp_path, ("x.mp4", ONE)) == ["x"]
    assert names(tmp_path, ("x.mp4", TWO)) == ["x.mp4"]
    assert names(tmp_path, ("x.mp4", THREE)) == ["x-33333333"]
    for number, sha256 in enumerate((ONE, TWO, THREE)):
        assert names(tmp_path, ("x.mp4", sha256)) == [["x"], ["x.mp4"], ["x-33333333"]][number]


def test_what_is_no_verdict_stays(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "x.mp4.html").write_text("somebody's page")
    assert names(tmp_path, ("x.mp4", ONE)) == ["x-11111111"]
    assert (tmp_path / "x.json").read_text() == "{}"


def test_a_file_that_cannot_be_read_is_known_by_its_path(tmp_path):
    assert names(tmp_path, ("x.mp4", None), ("y/x.mp4", None)) == ["x", "y/x"]
    assert names(tmp_path, ("x.mp4", None)) == ["x"]
    folder = VerdictFolder(tmp_path)
    assert folder.place(Path("x.mp4"), Path("/elsewhere/x.mp4"), None).json.name == "x.mp4.json"
    assert folder.place(Path("x.mp4"), Path("/third/x.mp4"), None).json.name == "x-2.json"
