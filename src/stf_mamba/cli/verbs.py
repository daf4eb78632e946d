"""How verbs are run: errors become one message and an exit code, Ctrl-C and SIGTERM become 130."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from stf_mamba.cli.progress import stderr
from stf_mamba.core.errors import LeftOutWarning, RunError, StfError
from stf_mamba.core.locks import sole_use

EXIT_NOT_ANALYSABLE = 3
EXIT_FAIL_ON = 10
EXIT_INTERRUPTED = 130


class Verbs(TyperGroup):
    """The verbs of ``stf``; what goes wrong in one of them, or in its arguments, reaches the person in words."""

    def invoke(self, ctx: Any) -> Any:
        """Read the verb's arguments and run it."""
        with terminated_like_ctrl_c(), reported_errors(), left_out_files_are_said():
            return super().invoke(ctx)


@contextmanager
def terminated_like_ctrl_c() -> Iterator[None]:
    """SIGTERM, by which schedulers and ``timeout`` stop a program, ends it as Ctrl-C does."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turns errors of the world into one message and their exit code, and Ctrl-C into 130."""
    try:
        yield
    except StfError as error:
        stderr().print(f"[red]error:[/red] {plain(str(error))}")
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        stderr().print(f"[red]error:[/red] {plain(str(error))}; check the path, its permissions and the free space")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # one more finds nothing left to stop, only a message to spoil
        stderr().print("stopped; what was finished is kept: run the same command again to continue")
        raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def left_out_files_are_said() -> Iterator[None]:
    """Prints what was not taken for a video as a note, without the place in the code that warned of it."""
    by_python = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, LeftOutWarning):
            stderr().print(f"[yellow]note:[/yellow] {plain(str(message))}")
        else:
            by_python(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = by_python


def hold_to_the_end(verb: typer.Context, folder: Path, kept: str) -> None:
    """Let nobody else work in a folder until a verb ends (``sole_use``).

    Raises:
        RunError: another process works there, or the folder cannot be written.
    """
    verb.with_resource(sole_use(folder, RunError, kept))


def plain(text: str) -> str:
    """Text that rich prints as it is, brackets included."""
    return text.replace("[", r"\[")
