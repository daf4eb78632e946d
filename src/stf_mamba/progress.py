"""Progress on stderr, results on stdout: what the command line shows while it works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

    from stf_mamba.training_reports import EpochReport, StepReport, Watcher


class Advance(Protocol):
    """Moves a progress bar on by an amount, with a note of what was just done, and a total that is known by now."""

    def __call__(self, amount: float, note: str = "", total: float | None = None) -> None: ...


@cache
def stderr() -> Console:
    """The console that progress and messages go to."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(what: str, total: float | None, unit: str = "") -> Iterator[Advance]:
    """A bar with counts and remaining time; yields ``advance(amount, note)``."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=stderr(), refresh_per_second=4) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(amount: float, note: str = "", total: float | None = None) -> None:
            progress.update(task, advance=amount, note=note, total=total)

        yield advance


def by_position(advance: Advance) -> Callable[..., None]:
    """``advance`` for callers that tell how far they are, and perhaps of how much, not by how much they moved."""
    seen = 0.0

    def on_progress(done: float, total: float | None = None) -> None:
        nonlocal seen
        advance(max(0.0, round(done - seen, 2)), total=total)
        seen = done

    return on_progress


@contextmanager
def training_progress(epoch_lines: bool = True) -> Iterator[Watcher]:
    """A watcher that draws one line for the running epoch and, with ``epoch_lines``, prints one for each that is done.

    Where a run is made of several trainings, the line says which one it is in, and the time left is that of all of
    them, taken to be as long as the running one. Under ``torchrun`` the main process alone talks.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from stf_mamba.distributed import is_main
    from stf_mamba.training_reports import Watcher

    if not is_main():
        yield Watcher()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[line]}"),
        TimeElapsedColumn(),
        TextColumn("left {task.fields[left]}"),
    )
    with Progress(*columns, console=stderr(), refresh_per_second=4) as progress:
        task = progress.add_task("training", total=None, line="starting", left="-:--:--")

        epochs = trainings_after = 0

        def on_training(number: int, trainings: int) -> None:
            nonlocal trainings_after
            trainings_after = trainings - number
            what = "training" if trainings == 1 else f"training {number} of {trainings}"
            progress.update(task, description=what, line="starting")

        def on_step(report: StepReport) -> None:
            nonlocal epochs
            epochs = report.epochs
            total = epochs * report.steps
            left = str(timedelta(seconds=round(report.left_s + trainings_after * report.training_s)))
            progress.update(task, total=total, completed=report.steps_done, line=describe_step(report), left=left)

        def on_epoch(report: EpochReport) -> None:
            if epoch_lines:
                stderr().print(describe_epoch(report, epochs))

        def on_cached(done: int, missing: int) -> None:
            line = f"{done} of {missing} clips through the frozen blocks"
            progress.update(task, total=missing, completed=done, line=line)

        yield Watcher(stderr().print, on_step, on_epoch, on_cached, on_training)


def describe_step(report: StepReport) -> str:
    """The live line: where training is, and how the last validated epoch did."""
    line = f"epoch {report.epoch + 1}/{report.epochs} step {report.step}/{report.steps} loss {report.loss:.4f}"
    if report.validation_auc is not None:
        line += f" AUC {report.validation_auc:.4f}"
    if report.log_variance_gap is not None:
        line += f" gap {report.log_variance_gap:+.3f}"
    return f"{line} {report.clips_per_s:.1f} clips/s"


def describe_epoch(report: EpochReport, epochs: int) -> str:
    """One line about a finished epoch; ``epochs`` is 0 where their number is not known."""
    line = f"epoch {report.epoch + 1:>3}{f'/{epochs}' if epochs else ''}  loss {report.train_loss:.4f}"
    for value, text in (
        (report.validation_loss, "  validation loss {:.4f}"),
        (report.validation_auc, "  AUC {:.4f}"),
        (report.log_variance_gap, "  log-variance gap {:+.3f}"),
    ):
        line += "" if value is None else text.format(value)
    kept = report.best and report.validation_auc is not None  # without validation every epoch replaces the one before
    return f"{line}  {report.clips_per_s:.1f} clips/s{'  kept' if kept else ''}"
