"""What all verbs share: what a folder leaves out is said as a note, and other warnings stay as they are."""

import warnings

import pytest

from stf_mamba.cli.progress import stderr
from stf_mamba.cli.verbs import left_out_files_are_said
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
