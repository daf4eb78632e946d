"""The training loop: epochs of phases, their validation, and a state from which a stopped run continues exactly.

Every draw comes from a seed that names what it is for (recipe seed, epoch, video, clip), so nothing but the weights,
the optimiser's moments and the position needs to be saved for a resumed run to continue bit by bit on a CPU.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stf_mamba.clips.records import Manifest, ManifestEntry
from stf_mamba.clips.store import ClipStore
from stf_mamba.core import distributed
from stf_mamba.core.errors import RunError
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import FAKE, REAL
from stf_mamba.core.seeds import derive_seed
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.calibration import Calibration, cross_fitted_auc, fit_calibration
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.runs import Run
from stf_mamba.evaluation.scoring import CLIPS_AT_ONCE
from stf_mamba.models.clip_detector import ClipDetector, build_detector, count_parameters
from stf_mamba.models.heads import StandardisingHead
from stf_mamba.models.weights.loading import load_encoder_weights, load_model_weights
from stf_mamba.training.cache.cached_items import CachedItems, CachePlace, TokensAsStored, open_cache
from stf_mamba.training.interruption import stop_requests
from stf_mamba.training.items import (
    ClipBatch,
    ItemReader,
    TrainingItem,
    batches_of_epoch,
    in_pieces,
    list_clips,
    list_items,
    loader,
    view_of_epoch,
)
from stf_mamba.training.optimisation import (
    PhaseOptimiser,
    StepResult,
    autocast_dtype,
    class_weights_of,
    phase_of,
    rate_factor,
    require_margin_possible,
)
from stf_mamba.training.requirements import require_both_classes, require_crop_size
from stf_mamba.training.run_folder import (
    finish_folder,
    has_state,
    open_folder,
    read_state,
    write_history,
    write_state,
    write_weights,
)
from stf_mamba.training.tensorboard import ScalarWriter
from stf_mamba.training.validation import Validation, validate
from stf_mamba.training.watcher import EpochReport, StepReport, Watcher

CLIPS_TO_STANDARDISE = 64
STATE_EVERY_S = 600.0
STOPPING = "stopping after this step; press Ctrl-C again to stop at once, which loses what was not saved yet"


@dataclass(frozen=True)
class TrainingJob:
    """What the trainings of one call have in common: one, or one for each fold and one of all videos."""

    recipe: Recipe
    store: ClipStore
    manifest: Manifest
    encoder_weights: str | os.PathLike[str] | None
    from_scratch: bool
    device: torch.device
    watcher: Watcher
    cache: CachePlace | None

    def open(self, folder: Path, split: Split) -> tuple[ClipDetector, Run]:
        """The model as it starts, and the run's folder: begun, or found begun by the same job."""
        model = build_detector(self.recipe)
        require_crop_size(model, self.store)
        require_margin_possible(model, self.recipe)
        model.encoder.train_encoder(any(phase.encoder_lr > 0 for phase in self.recipe.phases))
        if self.encoder_weights is not None and not has_state(folder):
            load_encoder_weights(model.encoder, self.encoder_weights)
        counts = count_parameters(model)
        storage = "float32" if self.cache is None else self.cache.storage
        run = open_folder(
            folder,
            self.recipe,
            self.store,
            self.manifest,
            split,
            self.encoder_weights,
            self.device,
            counts,
            storage,
        )
        return model, run


class TrainingLoop:
    """A run in progress: the model, its optimiser, and the position (epoch, step) of the next step to take.

    Args:
        out_of_fold: scores of the training videos to calibrate on, where no part of the videos validates.
    """

    def __init__(self, job: TrainingJob, run: Run, model: ClipDetector, out_of_fold: Predictions | None = None) -> None:
        store, manifest, watcher, cache = job.store, job.manifest, job.watcher, job.cache
        self.run, self.store, self.device, self.watcher = run, store, job.device, watcher
        self.recipe, self.out_of_fold = run.recipe, out_of_fold
        clips = list_clips(store, manifest, run.split.train, self.recipe.data)
        self.reader = ItemReader(store, self.recipe, clips)
        if self.recipe.data.fakes != "real":
            for video_id, reason in self.reader.drop_unblendable().items():
                watcher.on_message(f"{video_id} makes no pseudo-fake: {reason}")
        self.items = list_items(clips, self.recipe, self.reader.reals)
        self.validation: list[ManifestEntry] = []  # none where every video trains
        scored = manifest.of(run.split.test) if out_of_fold is None else []  # by a fold's training
        if self.recipe.data.validation == "part":
            self.validation = scored = manifest.of(run.split.validation)
            require_both_classes(self.validation)
        self.class_weights = class_weights_of([item.label for item in self.items], self.recipe.data.balance)
        self.steps = math.ceil(len(self.items) / self.recipe.data.batch_size)
        self.epoch, self.step, self.loss_sum, self.seconds = 0, 0, 0.0, 0.0
        self.history: list[dict[str, Any]] = []
        self.validation_scores: list[list[float | None]] = []  # of every epoch, in the order of self.validation
        self.stop_asked: Callable[[], bool] = lambda: False
        self.model = model.to(self.device)
        self.cached: CachedItems | None = None
        self.tokens_of: TokensAsStored | None = None
        self.from_tokens = cache is not None
        self._start_phase()
        state = read_state(run.folder)
        distributed.wait_for_all()  # before the main process writes the first state
        if state is not None:
            self._load(state)
        if cache is not None:  # the frozen blocks have the weights now that they keep
            tokens = open_cache(cache, self.model, self.recipe, store)
            self.cached = CachedItems(tokens, self.model, self.reader)
            plain = self._to_standardise() if state is None else []
            exact = cache.storage == "float32"  # rounded tokens may train, but they score nothing
            self.cached.fill(self.items, plain, scored if exact else [], watcher)
            self.tokens_of = TokensAsStored(tokens, self.model, store) if exact else None
        if state is None:
            self._start_fresh()
        self.saved_s = time.monotonic()
        self.scalars = ScalarWriter(run.folder, self.epoch * self.steps + self.step, watcher.on_message)

    def run_to_end(self) -> Run:
        """Train the remaining epochs, then calibrate. Returns the complete run."""
        try:
            with stop_requests(lambda: self.watcher.on_message(STOPPING)) as self.stop_asked:
                while self.epoch < self.recipe.epochs:
                    self._train_epoch()
                    self._close_epoch()
                    self._stop_if_asked()
                return self._finish()
        finally:
            self.scalars.close()

    def _start_fresh(self) -> None:
        head = self.model.head
        if isinstance(head, StandardisingHead):
            head.standardise(self._measured(head))
        distributed.broadcast_module(self.model)
        self._write_state()

    def _to_standardise(self) -> list[TrainingItem]:
        """The items on which the head is standardised before anything trains."""
        return _evenly(self.items, CLIPS_TO_STANDARDISE) if isinstance(self.model.head, StandardisingHead) else []

    def _measured(self, head: StandardisingHead) -> Tensor:
        """What the head's ``standardise`` wants."""
        self.model.eval()
        items, mixed = self._to_standardise(), self.model.mixed
        batches = loader(self._inputs, items, in_pieces(range(len(items)), CLIPS_AT_ONCE), self.device)
        embeddings = self.model.embeddings_of_tokens if self.from_tokens else self.model.embeddings
        with torch.no_grad():
            return torch.cat([head.measured(mixed(embeddings(batch.inputs.to(self.device)))) for batch in batches])

    @property
    def _inputs(self) -> Callable[[TrainingItem], Tensor]:
        """What makes an item's frames or, with a cache, its tokens."""
        return self.reader.frames if self.cached is None else self.cached.tokens

    def _start_phase(self) -> None:
        """Set what trains and a fresh optimiser for the phase that the current epoch belongs to."""
        self.phase_number, self.phase, self.phase_start = phase_of(self.recipe, self.epoch)
        precision = autocast_dtype(self.device, self.recipe.optimiser.precision)
        self.optimiser = PhaseOptimiser(
            self.model, self.recipe, self.phase, self.class_weights, self.device, precision, self.from_tokens
        )

    def _train_epoch(self) -> None:
        """Take the epoch's remaining steps, each on this process's part of a global batch, in micro-batches."""
        self.model.train()
        recipe = self.recipe.data
        view = view_of_epoch(self.epoch, self.recipe)
        items = [item._replace(view=view) for item in self.items]
        order = derive_seed(self.recipe.seed, "order", self.epoch)
        batches = batches_of_epoch(len(items), recipe.batch_size, order)[self.step :]
        mine = [in_pieces(distributed.share(batch), recipe.micro_batch) for batch in batches]
        stream = iter(loader(self._inputs, items, [piece for pieces in mine for piece in pieces], self.device))
        for batch, pieces in zip(batches, mine, strict=True):
            started_s = time.monotonic()
            result = self._take_step(islice(stream, len(pieces)), len(batch))
            self.loss_sum += result.loss * len(batch)
            self.step += 1
            self.seconds += time.monotonic() - started_s
            report = self._report(result)
            self.scalars.on_step(report)
            self.watcher.on_step(report)
            self._stop_if_asked()
            if time.monotonic() - self.saved_s > STATE_EVERY_S:
                self._save()

    def _take_step(self, pieces: Iterable[ClipBatch], batch_size: int) -> StepResult:
        step = (self.epoch - self.phase_start) * self.steps + self.step
        factor = rate_factor(step, self.phase.warmup_epochs * self.steps, self.phase.epochs * self.steps)
        self.factor = factor
        try:
            return self.optimiser.step(pieces, batch_size, factor)
        except FloatingPointError as error:
            raise self._diverged(str(error)) from error

    def _report(self, result: StepResult) -> StepReport:
        last = self.history[-1] if self.history else {}
        trained = min(self.step * self.recipe.data.batch_size, len(self.items))
        steps_left = (self.recipe.epochs - self.epoch) * self.steps - self.step
        step_s = self.seconds / self.step
        validation_s = last.get("validation_seconds", 0.0)
        return StepReport(
            epoch=self.epoch,
            epochs=self.recipe.epochs,
            step=self.step,
            steps=self.steps,
            loss=self.loss_sum / trained,
            step_loss=result.loss,
            gradient_norm=result.gradient_norm,
            encoder_lr=self.phase.encoder_lr * self.factor,
            head_lr=self.phase.head_lr * self.factor,
            clips_per_s=trained / self.seconds,
            validation_auc=last.get("validation_auc"),
            log_variance_gap=last.get("log_variance_gap"),
            left_s=steps_left * step_s + (self.recipe.epochs - self.epoch) * validation_s,
            step_s=step_s,
        )

    def _diverged(self, what: str) -> RunError:
        return RunError(
            f"training diverged at epoch {self.epoch + 1}, step {self.step + 1}: {what}; the last state before it is "
            f'kept in {self.run.folder}. Train with lower rates or precision = "float32" into another folder'
        )

    def _stop_if_asked(self) -> None:
        """Save and stop where any process was asked to; all of them come here after the same step."""
        if distributed.agree(self.stop_asked(), self.device):
            self._save()
            raise KeyboardInterrupt

    def _close_epoch(self) -> None:
        """Validate, keep the weights if they are the best, write history and state, move on.

        Where nothing validates, the last epoch's are kept.
        """
        distributed.broadcast_module(self.model)  # batch norms have followed each process's own clips
        self._save()  # a stop during validation costs the validation alone
        started_s = time.monotonic()
        result = self._validate() if self.validation else None
        report = EpochReport(
            epoch=self.epoch,
            phase=self.phase_number,
            encoder_lr=self.phase.encoder_lr,
            head_lr=self.phase.head_lr,
            train_loss=self.loss_sum / len(self.items),
            validation_loss=None if result is None else result.loss,
            validation_auc=None if result is None else result.auc,
            log_variance_gap=None if result is None else result.log_variance_gap,
            best=self.epoch + 1 == self.recipe.epochs if result is None else self._is_best(result),
            clips_per_s=len(self.items) / self.seconds,
            seconds=self.seconds,
            validation_seconds=time.monotonic() - started_s,
        )
        self.history.append(asdict(report))
        if result is not None:
            self.validation_scores.append([row.score for row in result.predictions.rows])
        self.scalars.on_epoch(report, (self.epoch + 1) * self.steps)
        if report.best and distributed.is_main():
            write_weights(self.run.folder, self.model.state_dict())
        self.epoch, self.step, self.loss_sum, self.seconds = self.epoch + 1, 0, 0.0, 0.0
        if self.epoch < self.recipe.epochs and phase_of(self.recipe, self.epoch)[0] != self.phase_number:
            self._start_phase()
        self._save()
        self.watcher.on_epoch(report)

    def _is_best(self, result: Validation) -> bool:
        """Whether an epoch beats all before it by AUC, and by loss among equals."""
        before = ((entry["validation_auc"], -entry["validation_loss"]) for entry in self.history)
        return (result.auc, -result.loss) > max(before, default=(-1.0, 0.0))

    def _validate(self) -> Validation:
        def stop_if_asked() -> None:
            if self.stop_asked():
                raise KeyboardInterrupt

        frames = self.recipe.data.frames
        try:
            model, store, videos = self.model, self.store, self.validation
            return validate(model, store, videos, frames, self.device, stop_if_asked, self.tokens_of)
        except ValueError as error:  # the mixers refuse values that are not finite
            raise self._diverged(str(error)) from error

    def _finish(self) -> Run:
        """Calibrate the kept epoch and mark the run complete."""
        calibration = None
        try:
            calibration = self._calibration()
        except ValueError as error:
            self.watcher.on_message(f"no calibration: {error}")
        return finish_folder(self.run, calibration, self.history)

    def _calibration(self) -> Calibration | None:
        """On the validation videos or the out-of-fold scores; ``None`` where there are neither.

        Raises:
            ValueError: they cannot carry one.
        """
        dataset = self.run.environment["dataset"]
        if self.out_of_fold is not None:  # nothing was chosen by these
            source = f"out-of-fold scores of {len(self.out_of_fold.scored())} training videos of {dataset}"
            return fit_calibration(self.out_of_fold, source)
        if not self.validation:
            return None
        if distributed.is_main():
            load_model_weights(self.model, self.run.weights_path)
        distributed.broadcast_module(self.model)
        predictions = self._validate().predictions
        epochs = [_with_scores(predictions, scores) for scores in self.validation_scores]
        source = f"{len(predictions.scored())} validation videos of {dataset}"
        return fit_calibration(predictions, source, cross_fitted_auc(epochs))

    def _save(self) -> None:
        self.scalars.flush()
        self._write_state()

    def _write_state(self) -> None:
        if distributed.is_main():
            write_history(self.run.folder, self.history)
            write_state(
                self.run.folder,
                {
                    "epoch": self.epoch,
                    "step": self.step,
                    "loss_sum": self.loss_sum,
                    "seconds": self.seconds,
                    "history": self.history,
                    "validation_scores": self.validation_scores,
                    "model": self.model.state_dict(),
                    **self.optimiser.state_dict(),
                },
            )
        self.saved_s = time.monotonic()

    def _load(self, state: dict[str, Any]) -> None:
        try:
            self.epoch, self.step, self.loss_sum = state["epoch"], state["step"], state["loss_sum"]
            self.seconds, self.history = state["seconds"], state["history"]
            self.validation_scores = state["validation_scores"]
            self.model.load_state_dict(state["model"], strict=True)
            if self.epoch < self.recipe.epochs:
                self._start_phase()
                self.optimiser.load_state_dict(state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise RunError(
                f"the state in {self.run.folder} does not fit its recipe ({error}); remove the folder and train again"
            ) from error
        where = f"epoch {self.epoch + 1}, step {self.step + 1}"
        self.watcher.on_message(f"continuing {self.run.folder} at {where}")


def _with_scores(predictions: Predictions, scores: Sequence[float | None]) -> Predictions:
    rows = zip(predictions.rows, scores, strict=True)
    return Predictions(tuple(replace(row, score=score) for row, score in rows), predictions.stamp)


def _evenly(items: Sequence[TrainingItem], count: int) -> list[TrainingItem]:
    """At most ``count`` items, spread over the list, both classes alike."""
    chosen: list[TrainingItem] = []
    for label in (REAL, FAKE):
        of_class = [item for item in items if item.label == label]
        share = min(len(of_class), count // 2)
        chosen += [of_class[number * len(of_class) // share] for number in range(share)]
    return chosen
