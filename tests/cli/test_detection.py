"""``stf detect`` on many files: it goes on where it was stopped, counts, sums up, and loses no verdict."""

import re
import shutil
from fractions import Fraction
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from fixed_faces import LEFT, detector
from stf_mamba.cli.detection import detect
from stf_mamba.cli.files_progress import FilesProgress
from stf_mamba.cli.progress import stderr
from stf_mamba.core.records import Verdict
from stf_mamba.detection import detector as module
from video_files import numbered_frames, write_video


@pytest.fixture(autouse=True)
def console():
    """A console that is as wide as the test says."""
    stderr.cache_clear()
    yield
    stderr.cache_clear()


@pytest.fixture
def videos(tmp_path):
    """A folder with ``x.mp4`` and, in two sub-folders, others of this name."""
    folder = tmp_path / "videos"
    for number, name in enumerate(("x.mp4", "a/x.mp4", "b/x.mp4")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / name, numbered_frames(36, 200, 120, first=number), fps=Fraction(25))
    return folder


@pytest.fixture
def searched(monkeypatch):
    """Paths of the videos that were looked at; the command line gets a detector of a face on the left."""
    analyst, paths = detector(LEFT), []
    look = analyst.detect

    def counted(path, *arguments):
        paths.append(path)
        return look(path, *arguments)

    analyst.detect = counted
    monkeypatch.setattr(module, "load_detector", lambda *_: analyst)
    return paths


@pytest.fixture
def run(tmp_path):
    """Runs the verb."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").touch()
    app = typer.Typer()
    app.command()(detect)

    def run(*arguments):
        command = [*map(str, arguments), "--model", str(tmp_path / "run")]
        return CliRunner().invoke(app, command, env={"COLUMNS": "2000"})

    return run


def written(out):
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


def test_a_folder_keeps_its_sub_folders_and_goes_on_where_it_was_stopped(videos, searched, run, tmp_path):
    out = tmp_path / "out"
    first = run(videos, "--out", out)
    assert first.exit_code == 0, first.output
    assert written(out) == {f"{name}.{kind}" for name in ("x", "a/x", "b/x") for kind in ("json", "html")}
    assert "3 videos: 3 signs of manipulation found; 0 found finished; 0:00:" in first.output
    assert len(searched) == 3

    (out / "a" / "x.html").unlink()  # as a kill between verdict and page leaves it
    before = (out / "x.json").read_bytes()
    again = run(videos, "--out", out)
    assert searched[3:] == [videos / "a" / "x.mp4"]
    assert "2 found finished" in again.output
    assert again.output.count("found finished; --again makes it anew") == 2
    assert (out / "x.json").read_bytes() == before

    assert "0 found finished" in run(videos, "--out", out, "--again").output
    assert len(searched) == 7
    assert len(written(out)) == 6


def test_a_second_file_of_the_same_name_does_not_overwrite_the_first_verdict(videos, searched, run, tmp_path):
    out = tmp_path / "out"
    for name in ("a/x.mp4", "b/x.mp4"):
        assert run(videos / name, "--out", out).exit_code == 0
    assert Verdict.load(out / "x.json").provenance["path"] == str(videos / "a/x.mp4")
    assert Verdict.load(out / "x.mp4.json").provenance["path"] == str(videos / "b/x.mp4")
    shutil.copy(videos / "b/x.mp4", videos / "a/x.mp4")  # another content under a known name
    assert run(videos / "a/x.mp4", "--out", out).exit_code == 0
    assert Verdict.load(out / "x.json").provenance["path"] == str(videos / "a/x.mp4")
    assert len(searched) == 2  # it is the file of the second verdict


def test_a_link_to_nothing_ends_nothing(videos, searched, run, tmp_path):
    (videos / "w.mp4").symlink_to(tmp_path / "absent.mp4")
    result = run(videos, "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "4 videos: 3 signs of manipulation found, 1 not analysable" in result.output
    run(videos, "--out", tmp_path / "out")
    assert len(written(tmp_path / "out")) == 8


@pytest.mark.parametrize("name", ["x.mp4", "a-very-long-name-" * 9 + "end.mp4"])
def test_80_columns_show_the_file_its_step_and_the_times(name, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    clock = iter([0.0, 30.0, 40.0, 40.0, 50.0, 50.0])
    monkeypatch.setattr("stf_mamba.cli.files_progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    progress = FilesProgress([100, 300])
    with progress.file(name) as on_step:
        on_step("searching faces", 3600, 3600)  # three quarters of a quarter, in 30 of 160 s
    with progress.file(name) as on_step:
        on_step("cutting clips", 10, 20)
    lines = [line.rstrip() for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert all(len(line) <= 80 for line in lines)
    assert re.search(r"^file 1 of 2  (x|a-v.*….*nd)\.mp4  searching faces 3600/3600 s .*left 0:02:10$", lines[0]), lines
    # 40 s for the first; 85 % of the second in 10 s, so that 355 of 400 took 50 s
    assert re.search(r"^file 2 of 2  .*\.mp4  cutting clips 10/20 .*left 0:00:06$", lines[1]), lines
