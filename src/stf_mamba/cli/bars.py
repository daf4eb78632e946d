"""A progress bar that fits its terminal, and a line now and then where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta

from rich.console import Console, RenderableType
from rich.progress import Progress, Task
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

UNKNOWN = "-:--:--"  # a time left, before anything was measured
PACE_S = 120.0  # the time left is judged by the pace of the last two minutes
NARROWEST_BAR, WIDEST_BAR = 10, 40


class CountedBar(Progress):
    """What is done, a bar, the counts, the times and a note; names give way where the terminal is narrow."""

    def __init__(self, console: Console, unit: str) -> None:
        super().__init__(console=console, refresh_per_second=4, speed_estimate_period=PACE_S)
        self.unit = unit

    def get_renderables(self) -> Iterable[RenderableType]:
        """One row a task, as wide as the console at most."""
        for task in self.tasks:
            yield _row(task, self.unit, self.console.width)

    def line(self) -> str:
        """The state in words, for a log."""
        (task,) = self.tasks
        note = task.fields["note"]
        return f"{task.description}: {_figures(task, self.unit)}{note and '  '}{note}"


class Lines:
    """Prints where something is, at most every so many seconds, and only where no terminal shows a bar."""

    def __init__(self, console: Console, every_s: float) -> None:
        self.console, self.every_s = console, every_s
        self.last_s = time.monotonic()

    def tick(self, text: str) -> None:
        """To be called whenever something has moved, with where it is now."""
        now_s = time.monotonic()
        if not self.console.is_terminal and now_s - self.last_s >= self.every_s:
            self.last_s = now_s
            self.console.print(text, markup=False)


def shortened(text: str, width: int) -> str:
    """``text`` in at most ``width`` (2 or more) characters, its middle left out.

    >>> shortened("a-very-long-name.mp4", 11)
    'a-ver…e.mp4'
    """
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def _row(task: Task, unit: str, width: int) -> RenderableType:
    figures, note = _figures(task, unit), task.fields["note"]
    room = max(width - len(figures) - NARROWEST_BAR - 3, 2)  # for both names; 3 spaces part the four columns
    what = shortened(task.description, max(2, room - min(len(note), room // 2)))
    note = shortened(note, max(2, room - len(what)))
    bar = max(NARROWEST_BAR, min(WIDEST_BAR, NARROWEST_BAR + room - len(what) - len(note)))
    row = Table.grid(padding=(0, 1, 0, 0))
    for _ in range(4):
        row.add_column(no_wrap=True)
    row.add_row(
        Text(what),
        ProgressBar(total=task.total, completed=task.completed, width=bar, pulse=not task.started),
        Text(figures),
        Text(note),
    )
    return row


def _figures(task: Task, unit: str) -> str:
    total = "" if task.total is None else f"/{task.total:.0f}"
    elapsed = task.finished_time if task.finished else task.elapsed
    return f"{int(task.completed)}{total} {unit} {_clock(elapsed)} left {_clock(_left_s(task))}"


def _left_s(task: Task) -> float | None:
    """Seconds by the recent pace or, where too little happened recently, by that since the beginning."""
    if task.time_remaining is not None or task.total is None or not task.completed or task.elapsed is None:
        return task.time_remaining
    return task.elapsed * (task.total - task.completed) / task.completed


def _clock(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else str(timedelta(seconds=round(seconds)))
