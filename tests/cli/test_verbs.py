"""What all verbs share: notes on what a folder leaves out, the end of one that is stopped, a folder in use."""

import signal
import warnings

import pytest
import typer
from typer.testing import CliRunner

from stf_mamba.cli.app import app
from stf_mamba.cli.progress import stderr
from stf_mamba.cli.verbs import EXIT_INTERRUPTED, Verbs, left_out_files_are_said
from stf_mamba.core.errors import RunError
from stf_mamba.core.locks import sole_use
from stf_mamba.datasets.listing import videos_in


@pytest.fixture(autouse=True)
def console():
    """A console that writes where the test reads."""
    stderr.cache_clear()
    yield
    stderr.cache_clear()


def test_what_a_folder_leaves_out_is_said_once_and_without_code(tmp_path, capsys):
    for name in ("a.mp4", "notes.txt", "[b].doc"):
        (tmp_path / name).touch()
    with warnings.catch_warnings(), left_out_files_are_said():
        warnings.simplefilter("always")
        assert videos_in(tmp_path) == [tmp_path / "a.mp4"]
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("note: ")
    assert "2 of 3 files are no videos by their names and are left out: [b].doc, notes.txt." in said
    assert "warnings.warn" not in said
    assert ".py" not in said


def test_other_warnings_are_shown_as_python_shows_them(monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *place, **more: shown.append(str(message)))
    with warnings.catch_warnings(), left_out_files_are_said():
        warnings.simplefilter("always")
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert shown == ["something else"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_verb_says_so_once_and_exits_with_130(number):
    verbs = typer.Typer(cls=Verbs)
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    @verbs.callback()
    def group() -> None:
        """A group, so that the verb keeps its name."""

    @verbs.command()
    def work() -> None:
        signal.raise_signal(number)

    try:
        found = CliRunner().invoke(verbs, ["work"])
        assert signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert (found.exit_code, found.stdout) == (EXIT_INTERRUPTED, "")
    assert found.stderr.splitlines() == ["stopped; what was finished is kept: run the same command again to continue"]


@pytest.mark.parametrize("verb", ["demo", "detect", "study"])
def test_a_folder_in_use_is_refused_with_one_message(tmp_path, verb):
    out = tmp_path / "out"
    (tmp_path / "video.mp4").touch()
    arguments = {
        "demo": ["demo"],
        "detect": ["detect", tmp_path / "video.mp4", "--untrained"],
        "study": ["study", "--budget", "miniature"],
    }
    with sole_use(out, RunError, "kept"):
        found = CliRunner().invoke(app, [*map(str, arguments[verb]), "--out", str(out)])
        assert [path.name for path in out.iterdir()] == [".lock"]
    assert (found.exit_code, found.stdout) == (1, "")
    assert f"{out} is in use by process" in found.stderr.replace("\n", "")
    assert found.stderr.count("error:") == 1
