"""What the command line shows while it looks at many videos: which one, its step, the time left of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar

from stf_mamba.cli.bars import UNKNOWN, Lines, shortened
from stf_mamba.cli.progress import LINE_EVERY_S, stderr


class FilesProgress:
    """What is done of many videos: which file it is, its step, and the time left of all, by their sizes in bytes."""

    # What part of a file's time its steps end at: faces take about three quarters.
    _ENDS: ClassVar = {"searching faces": 0.75, "cutting clips": 0.95, "scoring clips": 0.95, "writing the page": 1.0}

    def __init__(self, sizes: Sequence[int], every_s: float = LINE_EVERY_S) -> None:
        self._lines = Lines(stderr(), every_s)
        self._sizes = [max(size, 1) for size in sizes]
        self._number = self._worked = 0
        self._worked_s = 0.0

    @contextmanager
    def file(self, name: str) -> Iterator[Callable[[str, float, float], None]]:
        """A line about the next file; yields ``on_step(step, done, total)``, seconds of video or clips.

        A file that takes no step (its verdict was there) is none that the time left is judged by.
        """
        from rich.progress import Progress, TextColumn, TimeElapsedColumn

        size, self._number = self._sizes[self._number], self._number + 1
        where = f"file {self._number} of {len(self._sizes)}  " if len(self._sizes) > 1 else ""
        columns = (
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}"),
        )
        started_s, part = time.monotonic(), 0.0
        with Progress(*columns, console=stderr(), refresh_per_second=4, transient=stderr().is_interactive) as progress:
            task = progress.add_task(_fitting(where, name, "reading"), total=None, left=UNKNOWN)

            def on_step(step: str, done: float, total: float) -> None:
                nonlocal part
                part = self._part_of_file(step, done / total if total else 0.0)
                how_far = f" {done:.0f}/{total:.0f}{' s' if step == 'searching faces' else ''}" if total else ""
                seconds = time.monotonic() - started_s
                left = self._left(size, part, seconds)
                progress.update(task, description=_fitting(where, name, step + how_far), left=left)
                elapsed = timedelta(seconds=round(seconds))
                self._lines.tick(f"{where}{name}  {step}{how_far} {elapsed} left {left}")

            yield on_step
        if part:
            self._worked += size
            self._worked_s += time.monotonic() - started_s

    def _part_of_file(self, step: str, part_of_step: float) -> float:
        end = self._ENDS[step]
        start = max((other for other in self._ENDS.values() if other < end), default=0.0)
        return start + (end - start) * part_of_step

    def _left(self, size: int, part: float, seconds: float) -> str:
        worked = self._worked + part * size
        ahead = sum(self._sizes[self._number - 1 :]) - part * size
        return str(timedelta(seconds=round((self._worked_s + seconds) * ahead / worked))) if worked else UNKNOWN


def _fitting(where: str, name: str, step: str) -> str:
    """File and step in one line that leaves room for the times; what does not fit is taken from the name's middle."""
    room = max(stderr().width - len(f"{where}  {step} 0:00:00 left 0:00:00"), 9)
    return f"{where}{shortened(name, room)}  {step}"
