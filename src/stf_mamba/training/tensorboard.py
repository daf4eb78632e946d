"""Training's curves for TensorBoard, which is an extra: without it one message says how to get them.

Every point lies on the axis of the optimiser's steps, also those of whole epochs: what TensorBoard forgets when a run
continues, it forgets by step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.distributed import is_main
from stf_mamba.training.watcher import EpochReport, StepReport

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"

STEP_SCALARS = {
    "step/loss": "step_loss",
    "step/gradient_norm": "gradient_norm",
    "step/encoder_lr": "encoder_lr",
    "step/head_lr": "head_lr",
    "step/clips_per_s": "clips_per_s",
}
EPOCH_SCALARS = {
    "epoch/train_loss": "train_loss",
    "epoch/validation_loss": "validation_loss",
    "epoch/validation_auc": "validation_auc",
    "epoch/log_variance_gap": "log_variance_gap",
}


class ScalarWriter:
    """Writes scalars into ``RUN/tensorboard``; under ``torchrun`` the main process alone does.

    What is flushed before a state is saved, and purged from the step where that state continues, is neither lost nor
    doubled, whenever the run was stopped.

    Args:
        steps_done: optimiser steps taken so far; what was written of later ones is forgotten.
        on_message: told how to get the curves where TensorBoard is not installed.
    """

    def __init__(self, run_folder: Path, steps_done: int, on_message: Callable[[str], None]) -> None:
        self._writer = _summary_writer(run_folder / FOLDER, steps_done + 1) if is_main() else None
        if self._writer is None and is_main():
            on_message("TensorBoard is not installed, so no scalars are written: pip install 'stf-mamba[tensorboard]'")

    def on_step(self, report: StepReport) -> None:
        """Write the scalars of a step."""
        self._write(STEP_SCALARS, report, report.steps_done)

    def on_epoch(self, report: EpochReport, steps_done: int) -> None:
        """Write the scalars of an epoch that ended with a run's ``steps_done``-th step."""
        self._write(EPOCH_SCALARS, report, steps_done)

    def flush(self) -> None:
        """Bring everything written so far to the disk."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Flush and end the file."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, scalars: dict[str, str], report: StepReport | EpochReport, step: int) -> None:
        if self._writer is not None:
            for tag, attribute in scalars.items():
                value = getattr(report, attribute)
                if value is not None:  # nothing validated
                    self._writer.add_scalar(tag, value, step)


def _summary_writer(folder: Path, first_step: int) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    _wait_for_a_later_second(folder)
    return SummaryWriter(str(folder), purge_step=first_step)


def _wait_for_a_later_second(folder: Path) -> None:
    """Wait until a new file's name sorts after those that are there.

    TensorBoard reads a run's files in the order of their names: the second in which each was begun, then numbers that
    do not sort as they count. A run that continues within the same second could be read before its earlier part, and
    the wrong points would be purged.
    """
    begun = [int(path.name.split(".")[3]) for path in folder.glob("events.out.tfevents.*")]
    left_s = max(begun, default=0) + 1 - time.time()
    if 0 < left_s <= 1:  # more than that is a clock that was set back, which waiting does not mend
        time.sleep(left_s)
