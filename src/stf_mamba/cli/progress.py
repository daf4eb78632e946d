"""Progress on stderr, results on stdout: what the command line shows while it works."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

    from stf_mamba.training.watcher import EpochReport, StepReport, Watcher


LINE_EVERY_S = 30.0  # where no terminal shows a bar


class Advance(Protocol):
    """Moves a progress bar on by an amount, with a note of what was just done, and a total that is known by now."""

    def __call__(self, amount: float, note: str = "", total: float | None = None) -> None: ...


@cache
def stderr() -> Console:
    """The console that progress and messages go to."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(what: str, total: float | None, unit: str = "", every_s: float = LINE_EVERY_S) -> Iterator[Advance]:
    """A bar with counts and remaining time, or a line every ``every_s`` where there is no terminal.

    Yields ``advance(amount, note)``, which never passes the total. Under ``torchrun`` the main process alone talks.
    """
    from stf_mamba.cli.bars import CountedBar, Lines
    from stf_mamba.core.distributed import is_main

    if not is_main():
        yield lambda amount, note="", total=None: None
        return
    with CountedBar(stderr(), unit) as bar:
        task = bar.add_task(what, total=total, note="")
        lines = Lines(stderr(), every_s)

        def advance(amount: float, note: str = "", total: float | None = None) -> None:
            bar.update(task, note=note, total=total)
            (state,) = bar.tasks
            bar.update(task, completed=min(state.completed + amount, state.total or math.inf))
            if state.completed != state.total:  # the end is told in any case
                lines.tick(bar.line())

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
def training_progress(epoch_lines: bool = True, every_s: float = LINE_EVERY_S) -> Iterator[Watcher]:
    """A watcher that draws where training is and how it does and, with ``epoch_lines``, prints a line for each epoch.
    Where there is no terminal, a line every ``every_s`` takes the drawing's place.

    Both fit a terminal of 80 columns. Where a run is made of several trainings, it says which one it is in, and the
    time left is that of all of them, taken to be as long as the running one; while a cache is filled, it is that of the
    filling. Under ``torchrun`` the main process alone talks.
    """
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    from stf_mamba.cli.bars import UNKNOWN, Lines
    from stf_mamba.core.distributed import is_main
    from stf_mamba.training.watcher import Watcher

    if not is_main():
        yield Watcher()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        TextColumn("{task.fields[where]}"),
        TimeElapsedColumn(),
        TextColumn("left {task.fields[left]}"),
    )
    progress = Progress(*columns, console=stderr())
    task = progress.add_task("training", total=None, where="starting", left=UNKNOWN)
    epochs = trainings_after = 0
    first_cached_s, how = 0.0, ""

    def drawn() -> Group:
        return Group(progress, Text(how, no_wrap=True, overflow="ellipsis")) if how else Group(progress)

    def line() -> str:
        (state,) = progress.tasks
        elapsed = timedelta(seconds=round(state.elapsed or 0))
        return f"{state.description}: {state.fields['where']} {elapsed} left {state.fields['left']}{how}"

    lines = Lines(stderr(), every_s)

    def on_training(number: int, trainings: int) -> None:
        nonlocal trainings_after, how
        trainings_after, how = trainings - number, ""
        what = "training" if trainings == 1 else f"training {number} of {trainings}"
        progress.update(task, description=what, completed=0, where="starting", left=UNKNOWN)

    def on_step(report: StepReport) -> None:
        nonlocal epochs, how
        epochs, how = report.epochs, describe_step(report)
        total = epochs * report.steps
        where = f"epoch {report.epoch + 1}/{epochs} step {report.step}/{report.steps}"
        left = str(timedelta(seconds=round(report.left_s + trainings_after * report.training_s)))
        progress.update(task, total=total, completed=report.steps_done, where=where, left=left)
        lines.tick(line())

    def on_epoch(report: EpochReport) -> None:
        if epoch_lines:
            stderr().print(describe_epoch(report, epochs))

    def on_cached(done: int, missing: int) -> None:
        nonlocal how, first_cached_s
        how, now_s = "", time.monotonic()
        if done == 1:
            first_cached_s = now_s
        left = UNKNOWN
        if done > 1:
            left = str(timedelta(seconds=round((missing - done) * (now_s - first_cached_s) / (done - 1))))
        progress.update(task, total=missing, completed=done, where=f"{done} of {missing} clips cached", left=left)
        lines.tick(line())

    try:
        with Live(get_renderable=drawn, console=stderr(), refresh_per_second=4):
            yield Watcher(stderr().print, on_step, on_epoch, on_cached, on_training)
    finally:
        if not stderr().is_interactive:
            stderr().print()  # Live leaves the last line open where it only writes the end


def describe_step(report: StepReport) -> str:
    """How training does: its loss, the last validated epoch, its pace."""
    line = f"  loss {report.loss:.4f}"
    if report.validation_auc is not None:
        line += f"  validation AUC {report.validation_auc:.4f}"
    if report.log_variance_gap is not None:
        line += f"  log-variance gap {report.log_variance_gap:+.3f}"
    return f"{line}  {report.clips_per_s:.1f} clips/s"


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
