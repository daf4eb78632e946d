"""What training writes into a run's folder; ``runs`` reads it back."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stf_mamba.clips.records import Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.core import distributed
from stf_mamba.core.environment import versions
from stf_mamba.core.errors import RunError, WeightsError, holds_another
from stf_mamba.core.files import (
    read_json,
    remove_leftovers,
    sha256_of,
    write_bytes_atomically,
    write_errors_as,
    write_json,
)
from stf_mamba.core.plotting import save_figure
from stf_mamba.core.recipe import Recipe
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.calibration import Calibration
from stf_mamba.evaluation.plots import plot_history
from stf_mamba.evaluation.runs import (
    BEGUN,
    CACHE,
    CALIBRATION,
    CLIPS,
    CURVES,
    ENVIRONMENT,
    FOLDS,
    HISTORY,
    OUT_OF_FOLD,
    RECIPE,
    SPLIT,
    STATE,
    WEIGHTS,
    Run,
)
from stf_mamba.models.weights.checkpoints import UNREADABLE, read_torch, why_unreadable
from stf_mamba.models.weights.loading import save_state_dict

KEPT = "what was saved before is kept"


@dataclass(frozen=True)
class Beginning:
    """What a run begins with. One that continues must have begun with the same.

    Attributes:
        encoder_weights: file of the pretrained encoder, if one was given.
        token_storage: type of the frozen blocks' tokens that train; float32 without a cache.
    """

    recipe: Recipe
    store: ClipStore
    manifest: Manifest
    split: Split
    encoder_weights: str | os.PathLike[str] | None = None
    token_storage: str = "float32"


def open_folder(folder: Path, beginning: Beginning, device: torch.device, parameters: tuple[int, int]) -> Run:
    """The run of a folder: read back where it was started before, written where it is new.

    Args:
        parameters: how many the model has, and how many train.

    Raises:
        RunError: the folder holds something else, or a run of another recipe, split or clips.
        RecipeError: the recipe names something that does not exist.
    """
    if _is_begun(folder):
        run = Run.load(folder)
        _require_same(run, beginning)
        if distributed.is_main():
            remove_leftovers(folder)
        return run
    if distributed.is_main() and folder.exists():
        _require_free(folder)
    recipe, settings, split = beginning.recipe, beginning.store.settings, beginning.split
    run = Run(folder, recipe, settings, split, _environment(beginning, device, parameters))
    if distributed.is_main():
        with write_errors_as(RunError, folder, KEPT):
            folder.mkdir(parents=True, exist_ok=True)
            recipe.save(folder / RECIPE)
            settings.save(folder / CLIPS)
            split.save(folder / SPLIT)
            _write_environment(run)
    return run


def has_state(folder: Path) -> bool:
    """Whether a run in this folder came so far that it can be continued."""
    return (folder / STATE).exists()


def _is_begun(folder: Path) -> bool:
    """Whether this folder holds work of a run that another one must not take over: a state, scores of its folds, or a
    complete run, from which what only continuing needs may have been removed since."""
    if has_state(folder) or is_complete(folder):
        return True
    return (folder / ENVIRONMENT).is_file() and ((folder / FOLDS).is_dir() or (folder / OUT_OF_FOLD).is_file())


def is_complete(folder: Path) -> bool:
    """Whether a run came to its end in this folder."""
    try:
        environment = read_json(folder / ENVIRONMENT, RunError, "train again")
    except RunError:
        return False
    return isinstance(environment, dict) and environment.get("complete") is True


def read_state(folder: Path) -> dict[str, Any] | None:
    """The saved state, or ``None`` where nothing was saved yet.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = read_torch(path)
    except UNREADABLE as error:
        why = why_unreadable(error, f"remove {folder} and train again")
        raise RunError(f"cannot read {path}: {why}") from error
    return state


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Save what resuming needs; the old state stays until the new one is whole.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    content = io.BytesIO()  # torch.save reports a full disk as a corrupted archive, a plain write says what it is
    torch.save(state, content)
    with write_errors_as(RunError, folder, KEPT):
        write_bytes_atomically(folder / STATE, content.getbuffer())


def write_weights(folder: Path, state: dict[str, Tensor]) -> None:
    """Save the weights of the epoch that is kept; the old ones stay until the new ones are whole.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    with write_errors_as(RunError, folder, KEPT):
        save_state_dict(state, folder / WEIGHTS)


def write_history(folder: Path, history: Sequence[dict[str, Any]]) -> None:
    """Write one entry an epoch as JSON.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    with write_errors_as(RunError, folder, KEPT):
        write_json(folder / HISTORY, list(history), indent=1)


def finish_folder(run: Run, calibration: Calibration | None, history: Sequence[dict[str, Any]]) -> Run:
    """Write calibration, curves and the mark of completion. Returns the complete run.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    run = replace(run, environment={**run.environment, "complete": True})
    if distributed.is_main():
        with write_errors_as(RunError, run.folder, KEPT):
            if calibration is not None:
                calibration.save(run.folder / CALIBRATION)
            save_figure(plot_history(history, run.recipe.name), run.folder / CURVES)
            _write_environment(run)
    return run


def _require_free(folder: Path) -> None:
    """A folder without a state may hold what a run writes before its first one, and nothing of anybody else's."""
    remove_leftovers(folder)
    of_a_run = {*BEGUN, HISTORY, CACHE}
    foreign = [p.name for p in folder.iterdir() if p.name not in of_a_run and not p.name.startswith(".")]
    if foreign:
        raise RunError(f"{folder} holds {foreign[0]} and is no training run; choose another --out")


def _environment(beginning: Beginning, device: torch.device, parameters: tuple[int, int]) -> dict[str, Any]:
    manifest, split, weights = beginning.manifest, beginning.split, beginning.encoder_weights
    entries = manifest.of((*split.train, *split.validation))
    people = {person for entry in entries for person in entry.record.identities}
    return {
        "complete": False,
        "dataset": manifest.name,
        "clip_settings": beginning.store.settings.key,
        "split_sha256": split.sha256,
        "encoder_weights": None if weights is None else Path(weights).name,
        "encoder_weights_sha256": None if weights is None else sha256_of(weights, WeightsError),
        "parameters": parameters[0],
        "trainable_parameters": parameters[1],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": distributed.world_size(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "identities": sorted(people),
        "files_sha256": sorted(entry.sha256 for entry in entries if entry.sha256 is not None),
        "token_storage": beginning.token_storage,
    }


def _write_environment(run: Run) -> None:
    write_json(run.folder / ENVIRONMENT, run.environment)


def _require_same(run: Run, beginning: Beginning) -> None:
    started_from, weights = run.environment.get("encoder_weights_sha256"), beginning.encoder_weights
    given = None if weights is None else sha256_of(weights, WeightsError)
    if weights is None and (has_state(run.folder) or is_complete(run.folder)):
        given = started_from  # the weights are in the state; only a training that starts reads the file
    differences = [
        name
        for name, before, now in (
            ("recipe", run.recipe, beginning.recipe),
            ("clip settings", run.clip_settings, beginning.store.settings),
            ("data set", run.environment.get("dataset"), beginning.manifest.name),
            ("split", run.split.sha256, beginning.split.sha256),
            ("encoder weights file", started_from, given),
            ("cache storage", run.environment.get("token_storage"), beginning.token_storage),
        )
        if before != now
    ]
    if differences:
        raise holds_another(run.folder, "a run", differences)
