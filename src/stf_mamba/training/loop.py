"""The training loop: epochs of phases, their validation, and a state from which a stopped run continues exactly.

Every draw comes from a seed that names what it is for (recipe seed, epoch, video, clip), so nothing but the weights,
the optimiser's moments and the position needs to be saved for a resumed run to continue bit by bit on a CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice

from stf_mamba.core import distributed
from stf_mamba.core.errors import ModelError, RunError
from stf_mamba.core.seeds import derive_seed
from stf_mamba.evaluation.calibration import Calibration, cross_fitted_auc, fit_calibration
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.runs import Run
from stf_mamba.models.clip_detector import ClipDetector
from stf_mamba.models.weights.loading import load_model_weights
from stf_mamba.training.interruption import stop_requests
from stf_mamba.training.items import ClipBatch, batches_of_epoch, in_pieces, loader, view_of_epoch
from stf_mamba.training.optimisation import RunningPhase, StepResult, phase_of, rate_factor
from stf_mamba.training.parts import Position, TrainingJob, TrainingParts, ready_parts, save_position
from stf_mamba.training.run_folder import finish_folder, write_weights
from stf_mamba.training.tensorboard import ScalarWriter
from stf_mamba.training.validation import Validation, validate
from stf_mamba.training.watcher import EpochReport, StepReport

STATE_EVERY_S = 600.0
STOPPING = "stopping after this step; press Ctrl-C again to stop at once, which loses what was not saved yet"


def run_training(job: TrainingJob, run: Run, model: ClipDetector, out_of_fold: Predictions | None = None) -> Run:
    """Make the parts of a run's training ready, which may take hours where a cache is filled, then train to the end.

    Args:
        model: as ``job.open`` gave it.
        out_of_fold: scores of the training videos to calibrate on, where no part of the videos validates.

    Returns:
        The complete run.

    Raises:
        StfError: as ``ready_parts``; the loss is no longer finite; or the folder cannot be written.
        KeyboardInterrupt: after the state, or what a cache holds by then, was saved.
    """
    with stop_requests(lambda: job.watcher.on_message(STOPPING)) as stop_asked:
        parts, position, phase = ready_parts(job, run, model, out_of_fold, stop_asked)
        steps_done = position.epoch * steps_of_epoch(parts) + position.step
        with closing(ScalarWriter(run.folder, steps_done, job.watcher.on_message)) as scalars:
            return TrainingLoop(parts, position, phase, scalars, stop_asked).run_to_end()


def steps_of_epoch(parts: TrainingParts) -> int:
    """How many optimiser steps an epoch has."""
    return math.ceil(len(parts.items) / parts.run.recipe.data.batch_size)


class TrainingLoop:
    """A run in progress: its parts, the phase it is in, and the position of the next step to take.

    Args:
        stop_asked: whether to stop at the next good moment.
    """

    def __init__(
        self,
        parts: TrainingParts,
        position: Position,
        phase: RunningPhase,
        scalars: ScalarWriter,
        stop_asked: Callable[[], bool],
    ) -> None:
        self.parts, self.position, self.phase = parts, position, phase
        self.scalars, self.stop_asked = scalars, stop_asked
        self.recipe, self.steps = parts.run.recipe, steps_of_epoch(parts)
        self.saved_s = time.monotonic()

    def run_to_end(self) -> Run:
        """Train the remaining epochs, then calibrate. Returns the complete run."""
        while self.position.epoch < self.recipe.epochs:
            self._train_epoch()
            self._close_epoch()
            self._stop_if_asked()
        return self._finish()

    def _train_epoch(self) -> None:
        """Take the epoch's remaining steps, each on this process's part of a global batch, in micro-batches."""
        parts, at, recipe = self.parts, self.position, self.recipe.data
        parts.model.train()
        view = view_of_epoch(at.epoch, self.recipe)
        items = [item._replace(view=view) for item in parts.items]
        order = derive_seed(self.recipe.seed, "order", at.epoch)
        batches = batches_of_epoch(len(items), recipe.batch_size, order)[at.step :]
        mine = [in_pieces(distributed.share(batch), recipe.micro_batch) for batch in batches]
        stream = iter(loader(parts.inputs, items, [piece for pieces in mine for piece in pieces], parts.device))
        for batch, pieces in zip(batches, mine, strict=True):
            started_s = time.monotonic()
            factor = self._rate_factor()
            result = self._take_step(islice(stream, len(pieces)), len(batch), factor)
            at.loss_sum += result.loss * len(batch)
            at.step += 1
            at.seconds += time.monotonic() - started_s
            report = self._report(result, factor)
            self.scalars.on_step(report)
            parts.watcher.on_step(report)
            self._stop_if_asked()
            if time.monotonic() - self.saved_s > STATE_EVERY_S:
                self._save()

    def _rate_factor(self) -> float:
        """Part of the phase's full rates that the next step takes."""
        step = (self.position.epoch - self.phase.first_epoch) * self.steps + self.position.step
        phase = self.phase.recipe
        return rate_factor(step, phase.warmup_epochs * self.steps, phase.epochs * self.steps)

    def _take_step(self, pieces: Iterable[ClipBatch], batch_size: int, factor: float) -> StepResult:
        try:
            return self.phase.optimiser.step(pieces, batch_size, factor)
        except FloatingPointError as error:
            raise self._diverged(str(error)) from error

    def _report(self, result: StepResult, factor: float) -> StepReport:
        at, phase = self.position, self.phase.recipe
        last = at.history[-1] if at.history else {}
        trained = min(at.step * self.recipe.data.batch_size, len(self.parts.items))
        epochs_left = self.recipe.epochs - at.epoch
        step_s = at.seconds / at.step
        validation_s = last.get("validation_seconds", 0.0)
        return StepReport(
            epoch=at.epoch,
            epochs=self.recipe.epochs,
            step=at.step,
            steps=self.steps,
            loss=at.loss_sum / trained,
            step_loss=result.loss,
            gradient_norm=result.gradient_norm,
            encoder_lr=phase.encoder_lr * factor,
            head_lr=phase.head_lr * factor,
            clips_per_s=trained / at.seconds,
            validation_auc=last.get("validation_auc"),
            log_variance_gap=last.get("log_variance_gap"),
            left_s=(epochs_left * self.steps - at.step) * step_s + epochs_left * validation_s,
            step_s=step_s,
        )

    def _diverged(self, what: str) -> RunError:
        at = self.position
        return RunError(
            f"training diverged at epoch {at.epoch + 1}, step {at.step + 1}: {what}; the last state before it is "
            f'kept in {self.parts.run.folder}. Train with lower rates or precision = "float32" into another folder'
        )

    def _stop_if_asked(self) -> None:
        """Save and stop where any process was asked to; all of them come here after the same step."""
        if distributed.agree(self.stop_asked(), self.parts.device):
            self._save()
            raise KeyboardInterrupt

    def _close_epoch(self) -> None:
        """Validate, keep the weights if they are the best, write history and state, move on.

        Where nothing validates, the last epoch's are kept.
        """
        parts, at = self.parts, self.position
        distributed.broadcast_module(parts.model)  # batch norms have followed each process's own clips
        self._save()  # a stop during validation costs the validation alone
        started_s = time.monotonic()
        result = self._validate() if parts.validation else None
        report = self._epoch_report(result, time.monotonic() - started_s)
        at.history.append(asdict(report))
        if result is not None:
            at.validation_scores.append([row.score for row in result.predictions.rows])
        self.scalars.on_epoch(report, (at.epoch + 1) * self.steps)
        if report.best and distributed.is_main():
            write_weights(parts.run.folder, parts.model.state_dict())
        at.epoch, at.step, at.loss_sum, at.seconds = at.epoch + 1, 0, 0.0, 0.0
        if at.epoch < self.recipe.epochs and phase_of(self.recipe, at.epoch)[0] != self.phase.number:
            self.phase = parts.phase_at(at.epoch)
        self._save()
        parts.watcher.on_epoch(report)

    def _epoch_report(self, result: Validation | None, validation_s: float) -> EpochReport:
        at, phase = self.position, self.phase
        return EpochReport(
            epoch=at.epoch,
            phase=phase.number,
            encoder_lr=phase.recipe.encoder_lr,
            head_lr=phase.recipe.head_lr,
            train_loss=at.loss_sum / len(self.parts.items),
            validation_loss=None if result is None else result.loss,
            validation_auc=None if result is None else result.auc,
            log_variance_gap=None if result is None else result.log_variance_gap,
            best=at.epoch + 1 == self.recipe.epochs if result is None else self._is_best(result),
            clips_per_s=len(self.parts.items) / at.seconds,
            seconds=at.seconds,
            validation_seconds=validation_s,
        )

    def _is_best(self, result: Validation) -> bool:
        """Whether an epoch beats all before it by AUC, and by loss among equals."""
        before = ((entry["validation_auc"], -entry["validation_loss"]) for entry in self.position.history)
        return (result.auc, -result.loss) > max(before, default=(-1.0, 0.0))

    def _validate(self) -> Validation:
        def stop_if_asked() -> None:
            if self.stop_asked():
                raise KeyboardInterrupt

        parts, frames = self.parts, self.recipe.data.frames
        try:
            return validate(
                parts.model, parts.store, parts.validation, frames, parts.device, stop_if_asked, parts.tokens_of
            )
        except ModelError as error:
            raise self._diverged(str(error)) from error

    def _finish(self) -> Run:
        """Calibrate the kept epoch and mark the run complete."""
        calibration = None
        try:
            calibration = self._calibration()
        except ValueError as error:
            self.parts.watcher.on_message(f"no calibration: {error}")
        return finish_folder(self.parts.run, calibration, self.position.history)

    def _calibration(self) -> Calibration | None:
        """On the validation videos or the out-of-fold scores; ``None`` where there are neither.

        Raises:
            ValueError: they cannot carry one.
        """
        parts = self.parts
        dataset = parts.run.environment["dataset"]
        if parts.out_of_fold is not None:  # nothing was chosen by these
            source = f"out-of-fold scores of {len(parts.out_of_fold.scored())} training videos of {dataset}"
            return fit_calibration(parts.out_of_fold, source)
        if not parts.validation:
            return None
        if distributed.is_main():
            load_model_weights(parts.model, parts.run.weights_path)
        distributed.broadcast_module(parts.model)
        predictions = self._validate().predictions
        epochs = [_with_scores(predictions, scores) for scores in self.position.validation_scores]
        source = f"{len(predictions.scored())} validation videos of {dataset}"
        return fit_calibration(predictions, source, cross_fitted_auc(epochs))

    def _save(self) -> None:
        self.scalars.flush()
        save_position(self.parts.run, self.parts.model, self.position, self.phase)
        self.saved_s = time.monotonic()


def _with_scores(predictions: Predictions, scores: Sequence[float | None]) -> Predictions:
    rows = zip(predictions.rows, scores, strict=True)
    return Predictions(tuple(replace(row, score=score) for row, score in rows), predictions.stamp)
