"""One training loop: phases of (epochs, what trains, rates), the best epoch by validation AUC, exact resume.

Every draw comes from a seed that names what it is for (recipe seed, epoch, video, clip), so nothing but the weights,
the optimiser's moments and the position needs to be saved for a resumed run to continue bit by bit on a CPU.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stf_mamba import distributed
from stf_mamba.calibration import cross_fitted_auc, fit_calibration
from stf_mamba.clipstore import ClipStore, Manifest, ManifestEntry
from stf_mamba.datasets.protocols import PUBLISHED_LEAKS
from stf_mamba.datasets.splits import Split, audit, identity_disjoint_split, require_disjoint
from stf_mamba.errors import DatasetError, RunError, UsageError, WeightsError
from stf_mamba.evaluation import predict
from stf_mamba.metrics import area_under_roc, arrays
from stf_mamba.models.detector import ClipDetector, build_detector, count_parameters
from stf_mamba.models.encoders import ENCODERS
from stf_mamba.models.heads import ClipOutput, VarianceHead
from stf_mamba.models.weights import load_encoder_weights, load_model_weights
from stf_mamba.predictions import Predictions
from stf_mamba.recipe import PhaseRecipe, Recipe
from stf_mamba.records import FAKE, REAL
from stf_mamba.runs import Run, choose_device
from stf_mamba.scoring import CLIPS_AT_ONCE
from stf_mamba.seeds import derive_seed
from stf_mamba.training_data import ClipBatch, TrainingClip, batches_of_epoch, list_clips, loader
from stf_mamba.training_folder import (
    finish_folder,
    has_state,
    open_folder,
    read_state,
    write_history,
    write_state,
    write_weights,
)

CLIPS_TO_STANDARDISE = 64
STATE_EVERY_S = 600.0


@dataclass(frozen=True)
class StepReport:
    """Where training is: the epoch (from 0) and step within it that were just finished, and the epoch's mean loss."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    clips_per_s: float


@dataclass(frozen=True)
class EpochReport:
    """One line of the history.

    Attributes:
        phase: number of the phase, from 0.
        log_variance_gap: mean log-variance of the fake minus that of the real validation videos' worst tracks.
        best: whether this epoch's weights are the best so far.
    """

    epoch: int
    phase: int
    encoder_lr: float
    head_lr: float
    train_loss: float
    validation_loss: float
    validation_auc: float
    log_variance_gap: float
    best: bool
    clips_per_s: float
    seconds: float


@dataclass(frozen=True)
class Watcher:
    """Whom training tells about its progress; silent by default."""

    on_message: Callable[[str], None] = lambda message: None
    on_step: Callable[[StepReport], None] = lambda report: None
    on_epoch: Callable[[EpochReport], None] = lambda report: None


def train(
    recipe: Recipe,
    store: ClipStore,
    manifest: Manifest,
    out: str | os.PathLike[str],
    encoder_weights: str | os.PathLike[str] | None = None,
    from_scratch: bool = False,
    split: Split | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Run:
    """Train what a recipe describes, or continue where an earlier call with the same arguments stopped.

    Args:
        store, manifest: prepared clips and the data set whose videos they are.
        out: the run's folder.
        encoder_weights: file of the pretrained encoder; only a fresh start reads it.
        from_scratch: start an encoder that is meant to be pretrained from random values instead.
        split: ``None`` draws an identity-disjoint split from the recipe's seed and validation fraction.
        watcher: gets progress; ``None`` for silence.

    Returns:
        The complete run.

    Raises:
        DatasetError, LeakError: too little to train on, or a split that shares people between its parts.
        WeightsError: no encoder weights where some are meant, or weights that do not fit.
        RunError: ``out`` holds another run, or the loss is no longer finite.
        KeyboardInterrupt: after the state was saved; the same call continues at the next step.
    """
    with distributed.process_group(choose_device(device)) as chosen:
        _require_weights(recipe, Path(out), encoder_weights, from_scratch)
        watcher = watcher or Watcher()
        _require_frames(recipe, store)
        split = _checked_split(split, recipe, manifest, watcher)
        model = build_detector(recipe)
        model.encoder.train_encoder(any(phase.encoder_lr > 0 for phase in recipe.phases))
        if encoder_weights is not None and not has_state(Path(out)):
            load_encoder_weights(model.encoder, encoder_weights)
        run = open_folder(Path(out), recipe, store, manifest, split, encoder_weights, chosen, count_parameters(model))
        if run.is_complete:
            watcher.on_message(f"{run.folder} is complete already; nothing to train")
            return run
        return _Training(run, model, store, manifest, chosen, watcher).run_to_end()


class _Training:
    """A run in progress: the model, its optimiser, and the position (epoch, step) of the next step to take."""

    def __init__(
        self,
        run: Run,
        model: ClipDetector,
        store: ClipStore,
        manifest: Manifest,
        device: torch.device,
        watcher: Watcher,
    ) -> None:
        self.run, self.store, self.device, self.watcher = run, store, device, watcher
        self.recipe = run.recipe
        self.clips = list_clips(store, manifest, run.split.train, self.recipe.data)
        wanted = set(run.split.validation)
        self.validation = [entry for entry in manifest.entries if entry.record.video_id in wanted]
        _require_both_classes(self.validation)
        self.class_weights = _class_weights(self.clips, self.recipe.data.balance)
        self.steps = math.ceil(len(self.clips) / self.recipe.data.batch_size)
        self.epoch, self.step, self.loss_sum = 0, 0, 0.0
        self.history: list[dict[str, Any]] = []
        self.validation_scores: list[list[float | None]] = []  # of every epoch, in the order of self.validation
        self.model = model.to(device)
        self._start_phase()
        state = read_state(run.folder)
        distributed.wait_for_all()  # before the main process writes the first state
        if state is None:
            self._start_fresh()
        else:
            self._load(state)
        self.saved_s = time.monotonic()

    def run_to_end(self) -> Run:
        """Train the remaining epochs, then calibrate. Returns the complete run."""
        with _stop_on_signal() as stopped:
            while self.epoch < self.recipe.epochs:
                self._train_epoch(stopped)
                self._close_epoch()
                if distributed.agree(stopped(), self.device):
                    raise KeyboardInterrupt
        return self._finish()

    def _start_fresh(self) -> None:
        head = self.model.head
        if isinstance(head, VarianceHead):
            head.standardise(self._log_variances(_evenly(self.clips, CLIPS_TO_STANDARDISE)))
        distributed.broadcast_module(self.model)
        self._save()

    def _log_variances(self, clips: Sequence[TrainingClip]) -> Tensor:
        self.model.eval()
        indices = [
            list(range(start, min(start + CLIPS_AT_ONCE, len(clips)))) for start in range(0, len(clips), CLIPS_AT_ONCE)
        ]
        batches = loader(self.store, clips, indices, self.recipe, None, self.device)
        with torch.no_grad():
            return torch.cat([self.model(batch.frames.to(self.device)).log_variance for batch in batches])

    def _start_phase(self) -> None:
        """Set what trains and a fresh optimiser for the phase that the current epoch belongs to."""
        self.phase_number, self.phase, self.phase_start = _phase_of(self.recipe, self.epoch)
        self.model.encoder.train_encoder(self.phase.encoder_lr > 0)
        groups = parameter_groups(self.model, self.phase, self.recipe.optimiser.weight_decay)
        self.optimiser = torch.optim.AdamW(groups)
        self.precision = _autocast_dtype(self.device, self.recipe.optimiser.precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)

    def _train_epoch(self, stopped: Callable[[], bool]) -> None:
        self.model.train()
        started_s, clips_done, rate = time.monotonic(), 0, 0.0
        order = derive_seed(self.recipe.seed, "order", self.epoch)
        batches = batches_of_epoch(len(self.clips), self.recipe.data.batch_size, order)[self.step :]
        mine = [distributed.share(batch) for batch in batches]
        stream = iter(loader(self.store, self.clips, [b for b in mine if b], self.recipe, self.epoch, self.device))
        for batch, part in zip(batches, mine, strict=True):
            loss = self._take_step(next(stream) if part else None, len(batch))
            self.loss_sum += loss * len(batch)
            self.step += 1
            clips_done += len(batch)
            rate = clips_done / (time.monotonic() - started_s)
            seen = min(self.step * self.recipe.data.batch_size, len(self.clips))
            self.watcher.on_step(
                StepReport(self.epoch, self.recipe.epochs, self.step, self.steps, self.loss_sum / seen, rate)
            )
            if distributed.agree(stopped(), self.device):
                self._save()
                raise KeyboardInterrupt
            if time.monotonic() - self.saved_s > STATE_EVERY_S:
                self._save()
        self.clips_per_s, self.epoch_seconds = rate, time.monotonic() - started_s

    def _take_step(self, batch: ClipBatch | None, batch_size: int) -> float:
        """One optimiser step on this process's part of a global batch. Returns the global batch's mean loss."""
        self._set_rates()
        self.optimiser.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self.device)
        if batch is not None:
            with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision is not None):
                output = self._forward(batch)
            loss = self._loss(output.logit, batch.labels.to(self.device)).sum() / batch_size
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        distributed.add_up_gradients(self.model.parameters())
        mean_loss = distributed.add_up(float(loss.detach()), self.device)
        if not math.isfinite(mean_loss):
            raise self._diverged(f"the loss is {mean_loss}")
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimiser.gradient_clip)
        if not self.scaler.is_enabled() and not bool(norm.isfinite()):  # a scaler skips such a step by itself
            raise self._diverged(f"the gradient's norm is {float(norm)}")
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return mean_loss

    def _forward(self, batch: ClipBatch) -> ClipOutput:
        try:
            output = self.model(batch.frames.to(self.device, non_blocking=True))
        except ValueError as error:  # the mixers refuse values that are not finite
            raise self._diverged(str(error)) from error
        assert isinstance(output, ClipOutput)
        return output

    def _diverged(self, what: str) -> RunError:
        return RunError(
            f"training diverged at epoch {self.epoch + 1}, step {self.step + 1}: {what}; the last state before it is "
            f'kept in {self.run.folder}. Train with lower rates or precision = "float32" into another folder'
        )

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Weighted cross entropy (B,) of logits and labels (B,)."""
        smoothing = self.recipe.optimiser.label_smoothing
        targets = labels.float() * (1 - smoothing) + smoothing / 2
        weights = self.class_weights.to(self.device)[labels]
        return weights * F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")

    def _set_rates(self) -> None:
        step = (self.epoch - self.phase_start) * self.steps + self.step
        factor = rate_factor(step, self.phase.warmup_epochs * self.steps, self.phase.epochs * self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * factor

    def _close_epoch(self) -> None:
        """Validate, keep the weights if they are the best, write history and state, move on."""
        predictions, loss, gap = self._validate()
        scores, labels = arrays(predictions.scored())
        auc = area_under_roc(scores, labels, torch.ones(len(scores), dtype=torch.float64).numpy())
        best = (auc, -loss) > max(
            ((e["validation_auc"], -e["validation_loss"]) for e in self.history), default=(-1.0, 0.0)
        )
        report = EpochReport(
            epoch=self.epoch,
            phase=self.phase_number,
            encoder_lr=self.phase.encoder_lr,
            head_lr=self.phase.head_lr,
            train_loss=self.loss_sum / len(self.clips),
            validation_loss=loss,
            validation_auc=auc,
            log_variance_gap=gap,
            best=best,
            clips_per_s=self.clips_per_s,
            seconds=self.epoch_seconds,
        )
        self.history.append(asdict(report))
        self.validation_scores.append([row.score for row in predictions.rows])
        if best and distributed.is_main():
            write_weights(self.run.folder, self.model.state_dict())
        self.epoch, self.step, self.loss_sum = self.epoch + 1, 0, 0.0
        if self.epoch < self.recipe.epochs and _phase_of(self.recipe, self.epoch)[0] != self.phase_number:
            self._start_phase()
        self._save()
        self.watcher.on_epoch(report)

    def _validate(self) -> tuple[Predictions, float, float]:
        """Predictions on the validation videos, their class-balanced loss, and the gap of the log-variances."""
        frames = self.recipe.data.frames
        try:
            predictions = predict(self.model, self.store, self.validation, frames, self.device, None, {})
        except ValueError as error:  # the mixers refuse values that are not finite
            raise self._diverged(str(error)) from error
        scores, labels = arrays(predictions.scored())
        logits, truth = torch.from_numpy(scores), torch.from_numpy(labels).long()
        losses = F.binary_cross_entropy_with_logits(logits, truth.double(), reduction="none")
        loss = float((losses[truth == REAL].mean() + losses[truth == FAKE].mean()) / 2)
        head = self.model.head
        gap = float(logits[truth == FAKE].mean() - logits[truth == REAL].mean())
        if isinstance(head, VarianceHead):
            gap *= float(head.scale / head.slope.detach())
        return predictions, loss, gap

    def _finish(self) -> Run:
        """Calibrate the best epoch on the validation videos and mark the run complete."""
        if distributed.is_main():
            load_model_weights(self.model, self.run.weights_path)
        distributed.broadcast_module(self.model)
        predictions, _, _ = self._validate()
        calibration = None
        try:
            source = f"{len(predictions.scored())} validation videos of {self.run.environment['dataset']}"
            epochs = [_with_scores(predictions, scores) for scores in self.validation_scores]
            calibration = fit_calibration(predictions, source, cross_fitted_auc(epochs))
        except ValueError as error:
            self.watcher.on_message(f"no calibration: {error}")
        return finish_folder(self.run, calibration, self.history)

    def _save(self) -> None:
        if distributed.is_main():
            write_history(self.run.folder, self.history)
            write_state(
                self.run.folder,
                {
                    "epoch": self.epoch,
                    "step": self.step,
                    "loss_sum": self.loss_sum,
                    "history": self.history,
                    "validation_scores": self.validation_scores,
                    "model": self.model.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "scaler": self.scaler.state_dict(),
                },
            )
        self.saved_s = time.monotonic()

    def _load(self, state: dict[str, Any]) -> None:
        try:
            self.epoch, self.step, self.loss_sum = state["epoch"], state["step"], state["loss_sum"]
            self.history, self.validation_scores = state["history"], state["validation_scores"]
            self.model.load_state_dict(state["model"], strict=True)
            if self.epoch < self.recipe.epochs:
                self._start_phase()
                self.optimiser.load_state_dict(state["optimiser"])
                self.scaler.load_state_dict(state["scaler"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise RunError(
                f"the state in {self.run.folder} does not fit its recipe ({error}); remove the folder and train again"
            ) from error
        where = f"epoch {self.epoch + 1}, step {self.step + 1}"
        self.watcher.on_message(f"continuing {self.run.folder} at {where}")


def parameter_groups(model: ClipDetector, phase: PhaseRecipe, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: encoder and the rest at their own rates, vectors (norms, biases, A, D, dt) without decay."""
    encoder = list(model.encoder.parameters())
    in_encoder = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in in_encoder]
    groups = []
    for parameters, rate in ((encoder, phase.encoder_lr), (rest, phase.head_lr)):
        for decayed in (True, False):
            chosen = [p for p in parameters if p.requires_grad and (p.ndim >= 2) == decayed]
            if chosen:
                decay = weight_decay if decayed else 0.0
                groups.append({"params": chosen, "lr": rate, "base_lr": rate, "weight_decay": decay})
    return groups


def rate_factor(step: int, warmup_steps: int, steps: int) -> float:
    """Part of the full rate at a step (from 0): linear up to 1 over the warm-up, then half a cosine down to 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


def _phase_of(recipe: Recipe, epoch: int) -> tuple[int, PhaseRecipe, int]:
    """Number, recipe and first epoch of the phase that an epoch belongs to."""
    start = 0
    for number, phase in enumerate(recipe.phases):
        if epoch < start + phase.epochs or number == len(recipe.phases) - 1:
            return number, phase, start
        start += phase.epochs
    raise AssertionError("a recipe has at least one phase")


def _with_scores(predictions: Predictions, scores: Sequence[float | None]) -> Predictions:
    rows = zip(predictions.rows, scores, strict=True)
    return Predictions(tuple(replace(row, score=score) for row, score in rows), predictions.stamp)


def _checked_split(split: Split | None, recipe: Recipe, manifest: Manifest, watcher: Watcher) -> Split:
    """The split to train by, after the audit; a published one may leak as its own rules do, and then it is said."""
    labelled = [entry for entry in manifest.entries if entry.record.label is not None]
    if split is None:
        usable = [entry.record for entry in labelled if entry.clips]
        split = identity_disjoint_split(usable, recipe.data.validation_fraction, seed=recipe.seed)
    here = {entry.record.video_id for entry in labelled}
    parts = {part: tuple(i for i in ids if part != "test" or i in here) for part, ids in split.parts.items()}
    tolerated = PUBLISHED_LEAKS.get(split.name, ())
    here_only = Split(split.name, **parts)
    records = [entry.record for entry in labelled]
    require_disjoint(here_only, records, tolerated=tolerated)
    leaks = Counter(leak.kind for leak in audit(here_only, records))
    if leaks:  # all of them tolerated
        counts = ", ".join(f"{kind} {count}" for kind, count in leaks.items())
        watcher.on_message(f"the published split {split.name} leaks by its own rules: {counts}; see stf audit")
    return split


def _class_weights(clips: Sequence[TrainingClip], balance: bool) -> Tensor:
    """Weights (2,) of real and fake clips whose mean over the clips is 1."""
    counts = [sum(clip.label == label for clip in clips) for label in (REAL, FAKE)]
    if 0 in counts:
        raise DatasetError(
            f"training clips are {counts[REAL]} real and {counts[FAKE]} fake; both classes are needed: "
            "check the data set's labels and what stf prepare could not analyse"
        )
    if not balance:
        return torch.ones(2)
    return torch.tensor([len(clips) / (2 * count) for count in counts])


def _evenly(clips: Sequence[TrainingClip], count: int) -> list[TrainingClip]:
    """At most ``count`` clips, spread over the list, both classes alike."""
    chosen: list[TrainingClip] = []
    for label in (REAL, FAKE):
        of_class = [clip for clip in clips if clip.label == label]
        share = min(len(of_class), count // 2)
        chosen += [of_class[number * len(of_class) // share] for number in range(share)]
    return chosen


def _autocast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """bfloat16 or, where the device has none, float16 on CUDA; ``None`` (float32) elsewhere and when asked for."""
    if device.type != "cuda" or precision == "float32":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _require_frames(recipe: Recipe, store: ClipStore) -> None:
    if recipe.data.frames > store.settings.frames:
        raise UsageError(
            f"the recipe wants clips of {recipe.data.frames} frames, those in {store.root} have "
            f"{store.settings.frames}; prepare clips with --frames {recipe.data.frames}"
        )


def _require_both_classes(validation: Sequence[ManifestEntry]) -> None:
    """The best epoch is chosen by AUC, which needs scored videos of both classes."""
    counts = [sum(entry.record.label == label and entry.clips > 0 for entry in validation) for label in (REAL, FAKE)]
    if 0 in counts:
        raise DatasetError(
            f"validation has {counts[REAL]} real and {counts[FAKE]} fake videos with clips; both are needed to choose "
            "an epoch: use another split, or a larger validation fraction"
        )


def _require_weights(
    recipe: Recipe, out: Path, encoder_weights: str | os.PathLike[str] | None, from_scratch: bool
) -> None:
    name = recipe.encoder.name
    spec = ENCODERS.get(name)
    if spec is None or not spec.pretrained or encoder_weights is not None or from_scratch or has_state(out):
        return
    raise WeightsError(
        f"the encoder {name!r} ({spec.description}) is meant to start from pretrained weights and none were given; "
        "give their file with --weights FILE, or start from random values with --from-scratch"
    )


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a wish to stop after the current step; a second one stops at once."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread, where signals never arrive
        before = {}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
