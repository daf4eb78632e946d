"""What a training works with: named by its caller, and made ready before the first step.

Making it ready is work that shows: clips that can be no pseudo-fakes are looked for, a cache may be filled for hours,
and a head may be standardised on many clips. The loop is then told the parts and has nothing left to prepare.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
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
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.runs import Run
from stf_mamba.evaluation.scoring import CLIPS_AT_ONCE
from stf_mamba.models.clip_detector import ClipDetector, build_detector, count_parameters
from stf_mamba.models.heads import StandardisingHead
from stf_mamba.models.weights.loading import load_encoder_weights
from stf_mamba.training.cache.cached_items import CachedItems, CachePlace, TokensAsStored, open_cache
from stf_mamba.training.cache.prefix_cache import DTYPES
from stf_mamba.training.items import ItemReader, TrainingItem, in_pieces, list_clips, list_items, loader
from stf_mamba.training.optimisation import RunningPhase, begin_phase, class_weights_of, require_margin_possible
from stf_mamba.training.requirements import require_both_classes, require_crop_size
from stf_mamba.training.run_folder import Beginning, has_state, open_folder, read_state, write_history, write_state
from stf_mamba.training.watcher import Watcher

CLIPS_TO_STANDARDISE = 64


@dataclass(frozen=True)
class TrainingOptions:
    """What a recipe leaves open of how it is trained.

    Attributes:
        encoder_weights: file of the pretrained encoder; only a fresh start reads it, of a fold's training as well.
        from_scratch: start an encoder that is meant to be pretrained from random values instead.
        device: ``cpu``, ``cuda``, ``cuda:1``, ... or ``auto``.
        cache: where the output of the encoder's frozen blocks is kept, computed once for every augmented view and
            shared between runs. In float32 on a CPU the result is the same bit by bit as without; under autocast the
            frozen blocks run in float32, more exactly than without; a shorter type costs precision, and how much is
            told. ``None`` keeps none, except of relations (``default_cache``).

    Raises:
        ValueError: a cache of a type that does not exist.
    """

    encoder_weights: str | os.PathLike[str] | None = None
    from_scratch: bool = False
    device: str = "auto"
    cache: CachePlace | None = None

    def __post_init__(self) -> None:
        if self.cache is not None and self.cache.storage not in DTYPES:
            raise ValueError(f"cache.storage is {self.cache.storage!r}, expected one of {', '.join(DTYPES)}")

    @property
    def token_storage(self) -> str:
        """Type of the frozen blocks' tokens that train; float32 without a cache."""
        return "float32" if self.cache is None else self.cache.storage


@dataclass(frozen=True)
class TrainingJob:
    """What the trainings of one call have in common: one, or one for each fold and one of all videos."""

    recipe: Recipe
    store: ClipStore
    manifest: Manifest
    options: TrainingOptions
    device: torch.device
    watcher: Watcher

    def open(self, folder: Path, split: Split) -> tuple[ClipDetector, Run]:
        """The model as it starts, and the run's folder: begun, or found begun by the same job."""
        model = build_detector(self.recipe)
        require_crop_size(model, self.store)
        require_margin_possible(model, self.recipe)
        model.encoder.train_encoder(any(phase.encoder_lr > 0 for phase in self.recipe.phases))
        weights = self.options.encoder_weights
        if weights is not None and not has_state(folder):
            load_encoder_weights(model.encoder, weights)
        beginning = Beginning(self.recipe, self.store, self.manifest, split, weights, self.options.token_storage)
        return model, open_folder(folder, beginning, self.device, count_parameters(model))


@dataclass
class Position:
    """How far a training has come: what its state holds beside the weights and the optimiser's moments.

    Attributes:
        epoch, step: of the next step to take, from 0.
        loss_sum: of the epoch's clips so far.
        seconds: that the epoch's steps took so far.
        history: one entry of each finished epoch.
        validation_scores: of each finished epoch, in the order of the validation videos.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    validation_scores: list[list[float | None]] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingParts:
    """What a training's loop works with, all of it ready.

    Attributes:
        model: on its device, as it starts or as the run's state left it.
        items: of an epoch, without a view.
        inputs: makes an item's frames or, with a cache, its tokens.
        from_tokens: whether it makes tokens.
        class_weights: (2,) of real and fake clips in the loss.
        validation: the videos that choose the epoch; none where every video trains.
        tokens_of: gives the frozen blocks' tokens of clips that are scored, where they are cached.
        out_of_fold: scores of the training videos to calibrate on, where no part of the videos validates.
    """

    run: Run
    store: ClipStore
    model: ClipDetector
    device: torch.device
    watcher: Watcher
    items: Sequence[TrainingItem]
    inputs: Callable[[TrainingItem], Tensor]
    from_tokens: bool
    class_weights: Tensor
    validation: Sequence[ManifestEntry]
    tokens_of: TokensAsStored | None
    out_of_fold: Predictions | None

    def phase_at(self, epoch: int) -> RunningPhase:
        """The phase that an epoch belongs to, with a fresh optimiser; the model trains as the phase says."""
        recipe = self.run.recipe
        return begin_phase(self.model, recipe, epoch, self.class_weights, self.device, self.from_tokens)


def ready_parts(
    job: TrainingJob, run: Run, model: ClipDetector, out_of_fold: Predictions | None, stop_asked: Callable[[], bool]
) -> tuple[TrainingParts, Position, RunningPhase]:
    """The parts of a run's training, where it goes on, and the phase it is in; a fresh start is saved.

    Raises:
        DatasetError: too little to train or to validate on.
        RunError: the run's state is damaged or does not fit its recipe.
        UsageError: a cache that the recipe's endless views cannot fill, or that the disk has no room for.
        ClipStoreError: a clip or an entry of the cache cannot be read or written.
        KeyboardInterrupt: a stop was asked for while the cache was filled; what was finished is kept there.
    """
    reader, items = _items(job, run)
    validation = _validation(job, run)
    weights = class_weights_of([item.label for item in items], run.recipe.data.balance)
    model.to(job.device)
    state = read_state(run.folder)
    distributed.wait_for_all()  # before the main process writes the first state
    from_tokens = job.options.cache is not None
    position, phase = _start(job, run, model, state, weights, from_tokens)
    # The frozen blocks have the weights now that they keep.
    to_standardise = _to_standardise(model, items) if state is None else []
    held_out = job.manifest.of(run.split.test) if out_of_fold is None else []  # what a fold's training is to score
    scored = validation or held_out
    inputs, tokens_of = _inputs(job, model, reader, (items, to_standardise, scored), stop_asked)
    parts = TrainingParts(
        run=run,
        store=job.store,
        model=model,
        device=job.device,
        watcher=job.watcher,
        items=items,
        inputs=inputs,
        from_tokens=from_tokens,
        class_weights=weights,
        validation=validation,
        tokens_of=tokens_of,
        out_of_fold=out_of_fold,
    )
    if state is None:
        _standardise(parts, to_standardise, stop_asked)
        distributed.broadcast_module(model)
        save_position(run, model, position, phase)
    return parts, position, phase


def save_position(run: Run, model: ClipDetector, position: Position, phase: RunningPhase) -> None:
    """Write what continuing from here needs, by the main process alone.

    Raises:
        RunError: the disk is full or the folder cannot be written; the state before is kept.
    """
    if distributed.is_main():
        write_history(run.folder, position.history)
        write_state(run.folder, {**vars(position), "model": model.state_dict(), **phase.optimiser.state_dict()})


def _items(job: TrainingJob, run: Run) -> tuple[ItemReader, list[TrainingItem]]:
    """What reads the training items, and those of an epoch, without a view."""
    recipe = run.recipe
    clips = list_clips(job.store, job.manifest, run.split.train, recipe.data)
    reader = ItemReader(job.store, recipe, clips)
    if recipe.data.fakes != "real":
        for video_id, reason in reader.drop_unblendable().items():
            job.watcher.on_message(f"{video_id} makes no pseudo-fake: {reason}")
    return reader, list_items(clips, recipe, reader.reals)


def _validation(job: TrainingJob, run: Run) -> list[ManifestEntry]:
    if run.recipe.data.validation != "part":
        return []
    validation = job.manifest.of(run.split.validation)
    require_both_classes(validation)
    return validation


def _start(
    job: TrainingJob,
    run: Run,
    model: ClipDetector,
    state: dict[str, Any] | None,
    class_weights: Tensor,
    from_tokens: bool,
) -> tuple[Position, RunningPhase]:
    """Where the training begins or, with a state, goes on; the model gets the state's weights."""
    if state is None:
        return Position(), begin_phase(model, run.recipe, 0, class_weights, job.device, from_tokens)
    try:
        position = Position(**{one.name: state[one.name] for one in fields(Position)})
        model.load_state_dict(state["model"], strict=True)
        phase = begin_phase(model, run.recipe, position.epoch, class_weights, job.device, from_tokens)
        if position.epoch < run.recipe.epochs:
            phase.optimiser.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise RunError(
            f"the state in {run.folder} does not fit its recipe ({error}); remove the folder and train again"
        ) from error
    job.watcher.on_message(f"continuing {run.folder} at epoch {position.epoch + 1}, step {position.step + 1}")
    return position, phase


def _inputs(
    job: TrainingJob,
    model: ClipDetector,
    reader: ItemReader,
    wanted: tuple[Sequence[TrainingItem], Sequence[TrainingItem], Sequence[ManifestEntry]],
    stop_asked: Callable[[], bool],
) -> tuple[Callable[[TrainingItem], Tensor], TokensAsStored | None]:
    """What makes an item's input, and what gives the tokens of scored clips: from a cache that is full by then.

    Args:
        wanted: items in all their views, items without augmentation, and videos that are scored.
    """
    place = job.options.cache
    if place is None:
        return reader.frames, None
    items, plain_items, scored = wanted
    tokens = open_cache(place, model, reader.recipe, job.store)
    cached = CachedItems(tokens, model, reader)
    exact = place.storage == "float32"  # rounded tokens may train, but they score nothing
    cached.fill(items, plain_items, scored if exact else [], job.watcher, stop_asked)
    return cached.tokens, TokensAsStored(tokens, model, job.store) if exact else None


def _to_standardise(model: ClipDetector, items: Sequence[TrainingItem]) -> list[TrainingItem]:
    """The items on which the head is standardised before anything trains."""
    return _evenly(items, CLIPS_TO_STANDARDISE) if isinstance(model.head, StandardisingHead) else []


def _standardise(parts: TrainingParts, items: Sequence[TrainingItem], stop_asked: Callable[[], bool]) -> None:
    """Give the head what it measures on the items, where it is one that does.

    Raises:
        KeyboardInterrupt: a stop was asked for.
    """
    model, head = parts.model, parts.model.head
    if not isinstance(head, StandardisingHead):
        return
    model.eval()
    embeddings = model.embeddings_of_tokens if parts.from_tokens else model.embeddings
    measured = []
    with torch.no_grad():
        for batch in loader(parts.inputs, items, in_pieces(range(len(items)), CLIPS_AT_ONCE), parts.device):
            measured.append(head.measured(model.mixed(embeddings(batch.inputs.to(parts.device)))))
            if stop_asked():
                break
    distributed.stop_together(stop_asked(), parts.device)
    head.standardise(torch.cat(measured))


def _evenly(items: Sequence[TrainingItem], count: int) -> list[TrainingItem]:
    """At most ``count`` items, spread over the list, both classes alike."""
    chosen: list[TrainingItem] = []
    for label in (REAL, FAKE):
        of_class = [item for item in items if item.label == label]
        share = min(len(of_class), count // 2)
        chosen += [of_class[number * len(of_class) // share] for number in range(share)]
    return chosen
