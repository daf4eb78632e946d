"""What a training will take: hours, memory and disk, computed from steps measured on this machine.

Clips are drawn, not read: time and memory of a network do not depend on what is in the pictures. What is measured is
said in ``StepCost``; reading from the disk and talk between processes are not in it.
"""

from __future__ import annotations

import math
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stf_mamba.augmentation.augment import augment_clip
from stf_mamba.augmentation.pseudofakes import make_pseudofake
from stf_mamba.core.checks import require_between
from stf_mamba.core.environment import choose_device
from stf_mamba.core.recipe import PhaseRecipe, Recipe
from stf_mamba.core.records import JsonRecord, UInt8Array
from stf_mamba.core.seeds import derive_seed
from stf_mamba.evaluation.scoring import CLIPS_AT_ONCE
from stf_mamba.faces.cropping import ALIGNED_LANDMARKS_PX, ALIGNED_SIDE_PX
from stf_mamba.models.clip_detector import ClipDetector, build_detector
from stf_mamba.training.items import LOADER_PROCESSES_ON_CUDA, ClipBatch
from stf_mamba.training.optimisation import PhaseOptimiser, autocast_dtype

CLIPS_MEASURED_ON_CPU = 2  # a CPU has no more to gain from a larger batch, and a ViT-B clip takes it many seconds
AUGMENTATIONS = 8  # a draw may or may not encode the clip as a video, so one says little


@dataclass(frozen=True)
class StepCost(JsonRecord):
    """Seconds per clip of a training step and its parts, and memory: medians of measured steps.

    Attributes:
        clips: how many passed the model at once.
        step_s: forward, backward and update.
        prefix_s: the frozen blocks' part of it.
        filling_s: the frozen blocks in float32, as a cache of their output wants them.
        scoring_s: a forward pass in float32, as validation makes it.
        making_s: augmentation, and a pseudo-fake for every second clip where the recipe trains on them, on one core.
        memory_bytes: largest memory during a step: on CUDA what torch has allocated there, else the whole process;
            ``None`` where the system does not tell.
        token_bytes: the frozen blocks' output of one clip in float32; ``None`` where no block is frozen.
    """

    clips: int
    step_s: float
    prefix_s: float
    filling_s: float
    scoring_s: float
    making_s: float
    memory_bytes: int | None
    token_bytes: int | None


@dataclass(frozen=True)
class CacheEstimate(JsonRecord):
    """The same training with the frozen blocks' output of the training clips kept on disk, in float32.

    Attributes:
        views: versions of each clip in the cache.
        disk_bytes: its size.
        filling_hours: to compute it once.
        training_hours: all epochs from it. Validation, which reads cached tokens too, is counted as without a cache.
    """

    views: int
    disk_bytes: int
    filling_hours: float
    training_hours: float


@dataclass(frozen=True)
class CostEstimate(JsonRecord):
    """What a run will take.

    Attributes:
        device: name of the machine's device that was measured.
        precision: of autocast, ``float32`` without.
        processes: that share each batch; their talk is taken to cost nothing.
        micro_batch: clips that pass the model at once in each process.
        steps: one measurement per phase of the recipe.
        trainings: 1, or one without each fold and one of every clip where every video trains.
        training_hours: of all epochs of all trainings.
        validation_hours: of a validation after each epoch and one at the end, or of scoring each clip out of fold.
        memory_bytes: of one process; measured where as many clips were measured as pass at once, else continued
            linearly from two smaller measurements.
        clips_bytes: disk that the prepared clips take.
        cache: ``None`` where every epoch draws new views, or no block is frozen.
    """

    recipe: str
    device: str
    precision: str
    processes: int
    n_clips: int
    n_validation: int
    epochs: int
    micro_batch: int
    steps: tuple[StepCost, ...]
    trainings: int
    training_hours: float
    validation_hours: float
    memory_bytes: int | None
    clips_bytes: int
    cache: CacheEstimate | None


def estimate_run(
    recipe: Recipe,
    n_clips: int,
    n_validation: int,
    device: str = "auto",
    processes: int = 1,
    size_px: int = 224,
    repeats: int = 3,
) -> CostEstimate:
    """Measure steps of each phase and compute what training takes.

    Args:
        n_clips: training clips of an epoch, pseudo-fakes included.
        n_validation: validation clips; where every video trains, the data set's own clips, each scored once.
        processes: how many devices like this one share the work.
        size_px: side of the prepared crops.
        repeats: measured steps of each kind, after one that warms up.

    Raises:
        RecipeError: the recipe names something that does not exist or does not fit together.
        RunError: no such device here.
        ValueError: a number that is not positive, or crops that the encoder does not take.
    """
    for name, count in (("n_clips", n_clips), ("n_validation", n_validation), ("processes", processes)):
        require_between(name, count, 1)
    chosen = choose_device(device)
    data = recipe.data
    micro_batch = min(math.ceil(data.batch_size / processes), data.micro_batch or data.batch_size)
    measured = micro_batch if chosen.type == "cuda" else min(micro_batch, CLIPS_MEASURED_ON_CPU)
    costs = tuple(measure_step(recipe, phase, chosen, measured, size_px, repeats) for phase in recipe.phases)
    memory = _memory_bytes(recipe, costs, chosen, micro_batch, size_px)
    clips_each = math.ceil(n_clips / processes)
    by_folds = data.validation == "folds"
    # k trainings on (k - 1) / k of the clips and one on all of them are as long as k on all.
    whole_trainings = data.folds if by_folds else 1
    training_s = whole_trainings * sum(
        phase.epochs * clips_each * _loaded_s(cost.step_s, cost.making_s, chosen)
        for phase, cost in zip(recipe.phases, costs, strict=True)
    )
    validations = 1 if by_folds else recipe.epochs + 1
    precision = autocast_dtype(chosen, recipe.optimiser.precision)
    return CostEstimate(
        recipe=recipe.name,
        device=torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else chosen.type,
        precision=str(precision or torch.float32).removeprefix("torch."),
        processes=processes,
        n_clips=n_clips,
        n_validation=n_validation,
        epochs=recipe.epochs,
        micro_batch=micro_batch,
        steps=costs,
        trainings=data.folds + 1 if by_folds else 1,
        training_hours=training_s / 3600,
        validation_hours=validations * math.ceil(n_validation / processes) * costs[0].scoring_s / 3600,
        memory_bytes=memory,
        clips_bytes=(n_validation if by_folds else n_clips + n_validation) * data.frames * size_px**2 * 3,
        cache=_cache_estimate(recipe, costs, n_clips, clips_each, whole_trainings, chosen),
    )


def measure_step(
    recipe: Recipe, phase: PhaseRecipe, device: torch.device, clips: int, size_px: int = 224, repeats: int = 3
) -> StepCost:
    """The cost of a phase's steps with so many clips at once, after a step that warms up."""
    model = build_detector(recipe).to(device).train()
    model.encoder.require_crop_size(size_px, size_px)
    precision = autocast_dtype(device, recipe.optimiser.precision)
    optimiser = PhaseOptimiser(model, recipe, phase, torch.ones(2), device, precision)
    frames = torch.stack([_drawn_clip(recipe, size_px, number) for number in range(clips)])  # (B, T, 3, H, W)
    batch = ClipBatch(frames, torch.arange(clips) % 2)
    _forget_peak(device)
    # A rate of zero costs as much as any other and keeps the weights where they are.
    step_s = median_seconds(lambda: optimiser.step([batch], clips, factor=0.0), device, repeats)
    memory_bytes = _peak_bytes(device)
    on_device = frames.to(device).flatten(0, 1)  # (B·T, 3, H, W)
    with torch.no_grad():
        token_bytes = model.encoder.prefix(on_device).float().nbytes // clips
        with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
            prefix_s = median_seconds(lambda: model.encoder.prefix(on_device), device, repeats)
        filling_s = (
            prefix_s if precision is None else median_seconds(lambda: model.encoder.prefix(on_device), device, repeats)
        )
    scoring_s = _scoring_s(model.eval(), frames[:CLIPS_AT_ONCE], device, repeats)
    return StepCost(
        clips=clips,
        step_s=step_s / clips,
        prefix_s=prefix_s / clips,
        filling_s=filling_s / clips,
        scoring_s=scoring_s / min(clips, CLIPS_AT_ONCE),
        making_s=_making_s(recipe, size_px),
        memory_bytes=memory_bytes,
        token_bytes=token_bytes if model.encoder.first_trainable > 0 else None,
    )


def _scoring_s(model: ClipDetector, frames: torch.Tensor, device: torch.device, repeats: int) -> float:
    with torch.inference_mode():
        return median_seconds(lambda: model(frames.to(device)), device, repeats)


def _making_s(recipe: Recipe, size_px: int) -> float:
    """Seconds on one core to augment a clip and, where the recipe trains on them, to make every second one a fake."""
    clip = _drawn_clip(recipe, size_px, 0)
    started_s = time.perf_counter()
    for number in range(AUGMENTATIONS):
        augment_clip(clip, recipe.augment, torch.Generator().manual_seed(number))
    seconds = (time.perf_counter() - started_s) / AUGMENTATIONS
    if recipe.data.fakes == "real":
        return seconds
    frames: UInt8Array = clip.permute(0, 2, 3, 1).contiguous().numpy()
    landmarks_px = np.tile(ALIGNED_LANDMARKS_PX * (size_px / ALIGNED_SIDE_PX), (len(frames), 1, 1))  # (T, 5, 2)
    started_s = time.perf_counter()
    make_pseudofake(frames, landmarks_px, recipe.pseudofakes, np.random.default_rng(0))
    return seconds + (time.perf_counter() - started_s) / 2


def _drawn_clip(recipe: Recipe, size_px: int, number: int) -> torch.Tensor:
    """A clip (T, 3, H, W) uint8 of soft coloured patches that move: what a codec finds neither empty nor all noise."""
    generator = torch.Generator().manual_seed(derive_seed("drawn clip", number))
    still = torch.rand((1, 3, 14, 14), generator=generator) * 255
    picture = torch.nn.functional.interpolate(still, size=(size_px, size_px), mode="bilinear")[0]
    return torch.stack([picture.roll(shift, -1) for shift in range(recipe.data.frames)]).to(torch.uint8)


def _loaded_s(step_s: float, making_s: float, device: torch.device) -> float:
    """Seconds per clip with its making: beside the steps in processes of their own on CUDA, before them on a CPU."""
    if device.type == "cuda":
        return max(step_s, making_s / LOADER_PROCESSES_ON_CUDA)
    return step_s + making_s


def _cache_estimate(
    recipe: Recipe,
    costs: tuple[StepCost, ...],
    n_clips: int,
    clips_each: int,
    whole_trainings: int,
    device: torch.device,
) -> CacheEstimate | None:
    views, first = recipe.versions, costs[0]
    if views is None or first.token_bytes is None:
        return None
    training_s = whole_trainings * sum(
        phase.epochs * clips_each * (cost.step_s - cost.prefix_s)
        for phase, cost in zip(recipe.phases, costs, strict=True)
    )
    return CacheEstimate(
        views=views,
        disk_bytes=n_clips * views * first.token_bytes,
        filling_hours=clips_each * views * _loaded_s(first.filling_s, first.making_s, device) / 3600,
        training_hours=training_s / 3600,
    )


def _memory_bytes(
    recipe: Recipe, costs: tuple[StepCost, ...], device: torch.device, micro_batch: int, size_px: int
) -> int | None:
    """Largest memory over the phases with ``micro_batch`` clips at once."""
    largest = max(range(len(costs)), key=lambda number: costs[number].memory_bytes or 0)
    cost = costs[largest]
    if cost.memory_bytes is None or cost.clips == micro_batch:
        return cost.memory_bytes
    smaller = measure_step(recipe, recipe.phases[largest], device, cost.clips - 1, size_px, repeats=1).memory_bytes
    assert smaller is not None
    return cost.memory_bytes + (micro_batch - cost.clips) * (cost.memory_bytes - smaller)


def median_seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median seconds of a piece of work, after a first time that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        started_s = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started_s)
    return statistics.median(seconds[1:])


def _forget_peak(device: torch.device) -> None:
    """Let the largest memory count from now on; Linux does so on request."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif (request := Path("/proc/self/clear_refs")).exists():
        request.write_text("5")


def _peak_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
    return None if found is None else int(found[1]) * 1024
