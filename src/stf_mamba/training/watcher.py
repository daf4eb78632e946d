"""What training tells about itself, step by step and epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepReport:
    """Where training is after a step.

    Attributes:
        epoch, epochs: the running epoch, from 0, of how many.
        step, steps: steps of this epoch that are finished, of how many.
        loss: mean of the epoch's clips so far.
        step_loss: mean of this step's clips.
        gradient_norm: of the whole gradient, before it was clipped.
        encoder_lr, head_lr: the rates that this step was taken with.
        clips_per_s: of the epoch so far, over all processes together.
        validation_auc, log_variance_gap: of the last finished epoch, ``None`` before there is one.
        left_s: time to the end of this training at the pace of this epoch's steps and of the last validation.
        step_s: mean duration of this epoch's steps.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    step_loss: float
    gradient_norm: float
    encoder_lr: float
    head_lr: float
    clips_per_s: float
    validation_auc: float | None
    log_variance_gap: float | None
    left_s: float
    step_s: float

    @property
    def steps_done(self) -> int:
        """Steps since the beginning of the training."""
        return self.epoch * self.steps + self.step

    @property
    def training_s(self) -> float:
        """What the steps of a whole training take at this epoch's pace."""
        return self.epochs * self.steps * self.step_s


@dataclass(frozen=True)
class EpochReport:
    """One line of the history.

    Attributes:
        phase: number of the phase, from 0.
        encoder_lr, head_lr: the phase's full rates.
        validation_loss, validation_auc: ``None`` where every video trains.
        log_variance_gap: mean log-variance of the fake minus that of the real validation videos' worst tracks, or
            ``None``.
        best: whether this epoch's weights are kept: the best so far, or the last where nothing validates.
        seconds: time of the training steps; validation takes ``validation_seconds`` more.
    """

    epoch: int
    phase: int
    encoder_lr: float
    head_lr: float
    train_loss: float
    validation_loss: float | None
    validation_auc: float | None
    log_variance_gap: float | None
    best: bool
    clips_per_s: float
    seconds: float
    validation_seconds: float


@dataclass(frozen=True)
class Watcher:
    """Whom training tells about its progress; silent by default.

    ``on_message`` is also called from another thread, when a wish to stop arrives in the middle of a step.
    ``on_training`` gets which of a run's trainings begins, from 1, and how many there are.
    ``on_cached`` gets how many clips of a cache have been computed, and how many were missing.
    """

    on_message: Callable[[str], None] = lambda message: None
    on_step: Callable[[StepReport], None] = lambda report: None
    on_epoch: Callable[[EpochReport], None] = lambda report: None
    on_cached: Callable[[int, int], None] = lambda done, missing: None
    on_training: Callable[[int, int], None] = lambda number, trainings: None
