"""How a verb ends that is stopped, or that finds its folder in use."""

import signal

import pytest
import typer
from typer.testing import CliRunner

from stf_mamba.cli.app import app
from stf_mamba.cli.verbs import EXIT_INTERRUPTED, Verbs
from stf_mamba.core.errors import RunError
from stf_mamba.core.locks import sole_use


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


@pytest.mark.parametrize("verb", ["detect", "study"])
def test_a_folder_in_use_is_refused_with_one_message(tmp_path, verb):
    out = tmp_path / "out"
    (tmp_path / "video.mp4").touch()
    arguments = {
        "detect": ["detect", tmp_path / "video.mp4", "--untrained"],
        "study": ["study", "--budget", "miniature"],
    }
    with sole_use(out, RunError, "kept"):
        found = CliRunner().invoke(app, [*map(str, arguments[verb]), "--out", str(out)])
        assert [path.name for path in out.iterdir()] == [".lock"]
    assert (found.exit_code, found.stdout) == (1, "")
    assert f"{out} is in use by process" in found.stderr.replace("\n", "")
    assert found.stderr.count("error:") == 1
