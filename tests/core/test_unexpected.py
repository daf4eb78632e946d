"""An error that nobody foresaw in one file ends neither a preparation, nor a detection, nor a measurement of many."""

import json
import signal
from pathlib import Path, PosixPath

import pytest
import typer
from typer.testing import CliRunner

from stf_mamba.cli.detection import detect
from stf_mamba.cli.signals import signals as signals_verb
from stf_mamba.clips import planning, preparation
from stf_mamba.clips.preparation import prepare
from stf_mamba.clips.records import ClipSettings
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import ClipStoreError, WeightsError
from stf_mamba.core.records import Outcome, VideoRecord
from video_files import numbered_frames, write_video

RECIPE = """
[encoder]
name = "vit_miniature"
trainable_blocks = 1
[temporal]
layers = 1
width = 32
[data]
frames = 8
"""


class Unforeseen:
    """What ``FailsInWorkers`` is in a worker: a path that nobody can follow."""

    def __fspath__(self):
        raise ZeroDivisionError("planted")


class FailsInWorkers(PosixPath):
    """A path that turns into ``Unforeseen`` on its way to another process."""

    def __reduce__(self):
        return Unforeseen, ()


@pytest.fixture
def videos(tmp_path):
    """Two videos without a face."""
    return [write_video(tmp_path / f"{name}.mp4", numbered_frames(10, first=n)) for n, name in enumerate("ab")]


@pytest.fixture
def planted(monkeypatch):
    """Makes the search for faces fail in ``a.mp4`` with the given error; not in other processes."""
    search = planning.find_face_tracks

    def plant(error):
        def failing(path, *arguments):
            if Path(path).name == "a.mp4":
                raise error
            return search(path, *arguments)

        monkeypatch.setattr(planning, "find_face_tracks", failing)

    return plant


def prepared(paths, folder, jobs):
    records = [VideoRecord(f"csv/real/{path.stem}", path, 0) for path in paths]
    store = ClipStore.create(folder, ClipSettings(frames=8))
    return store, *prepare(records, store, "csv", jobs=jobs)


def test_preparing_goes_on_and_tries_again(videos, planted, tmp_path, monkeypatch):
    planted(NameError("name 'av' is not defined"))
    _, manifest, summary = prepared(videos, tmp_path / "clips", 1)
    log = tmp_path / "clips" / "errors.log"
    unforeseen, other = manifest.entries
    assert unforeseen.reason == f"unexpected error (NameError: name 'av' is not defined); see {log}"
    assert "no face found" in other.reason
    assert summary.reasons[unforeseen.reason] == 1
    assert "Traceback (most recent call last)" in log.read_text()
    assert f"{videos[0]}\n" in log.read_text()
    monkeypatch.undo()
    _, manifest, summary = prepared(videos, tmp_path / "clips", 1)
    assert ["no face found" in entry.reason for entry in manifest.entries] == [True, True]
    assert summary.reused == 1


def test_workers_go_on(videos, tmp_path):
    _, manifest, _ = prepared([FailsInWorkers(videos[0]), videos[1]], tmp_path / "clips", 2)
    assert manifest.entries[0].reason.startswith("unexpected error (ZeroDivisionError: planted); see")
    assert "no face found" in manifest.entries[1].reason
    assert "planted" in (tmp_path / "clips" / "errors.log").read_text()


def test_an_error_of_the_store_ends_a_preparation(videos, planted, tmp_path):
    planted(ClipStoreError("the disk is full"))
    with pytest.raises(ClipStoreError, match="the disk is full"):
        prepared(videos, tmp_path / "clips", 1)
    planted(ValueError("unforeseen"))
    (tmp_path / "clips" / "errors.log").mkdir()  # a log that cannot be written
    with pytest.raises(ClipStoreError, match="cannot write below"):
        prepared(videos, tmp_path / "clips", 1)


def test_a_disk_that_fails_while_a_video_is_read_is_not_the_stores(tmp_path):
    def clips():
        raise OSError(5, "Input/output error")
        yield

    with pytest.raises(preparation.VideoError, match="cannot be read to its end"):
        list(preparation._read(tmp_path / "a.mp4", clips()))


@pytest.mark.parametrize("verb", ["detect", "signals"])
def test_verbs_go_on(verb, videos, planted, tmp_path):
    planted(KeyError("tkhd"))
    out = tmp_path / "out"
    result = run(verb, videos, out)
    assert result.exit_code == 3, result.output
    said = f"unexpected error (KeyError: 'tkhd'); see {out / 'errors.log'}"
    assert said in result.output
    assert "no face found" in result.output
    assert "KeyError" in (out / "errors.log").read_text()
    if verb == "detect":
        verdict = json.loads((out / "a.json").read_text())
        assert (verdict["outcome"], verdict["probability"]) == (Outcome.NOT_ANALYSABLE, None)
        assert verdict["reasons"] == [f"Not analysable: {said}"]
        assert said.partition(";")[0].replace("'", "&#39;") in (out / "a.html").read_text()
        assert json.loads((out / "b.json").read_text())["outcome"] == Outcome.NOT_ANALYSABLE


@pytest.mark.parametrize("verb", ["detect", "signals"])
@pytest.mark.parametrize(("error", "exit_code"), [(WeightsError("of the model"), 1), (KeyboardInterrupt(), 130)])
def test_what_is_no_matter_of_one_file_ends_a_verb(verb, error, exit_code, videos, planted, tmp_path):
    planted(error)
    result = run(verb, videos, tmp_path / "out")
    assert result.exit_code == exit_code
    assert "no face found" not in result.output


def run(verb, videos, out):
    app = typer.Typer()
    app.command()({"detect": detect, "signals": signals_verb}[verb])
    recipe = out.parent / "recipe.toml"
    recipe.write_text(RECIPE)
    more = ["--untrained", "--recipe", str(recipe)] if verb == "detect" else []
    handler = signal.getsignal(signal.SIGINT)  # which a verb that was interrupted takes away
    try:
        return CliRunner().invoke(app, [*map(str, videos), "--out", str(out), *more], env={"COLUMNS": "2000"})
    finally:
        signal.signal(signal.SIGINT, handler)
