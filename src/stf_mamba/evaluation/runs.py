"""A training run's folder: everything it takes to repeat the run, resume it, and use what it learned.

recipe.toml           the resolved recipe
clips.json            settings of the clips it was trained on; detection prepares its clips the same way
split.json            which video was in which part
environment.json      versions, device, hashes, parameter counts, the data set's name
history.json          one entry an epoch
state.pt              what resuming needs
weights.safetensors   the best epoch by validation AUC; the last one where no part of the videos validates
calibration.json      score → probability, fitted on the validation videos or the out-of-fold scores; written at the end
curves.png            loss and validation AUC
out-of-fold.csv       where every video trains: what models say of it that saw nobody in it (``training.out_of_fold``)
folds/                these models
cache/                relations of its clips (``training.cache.cached_items.default_cache``)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from stf_mamba.clips.records import ClipSettings
from stf_mamba.core.errors import NoRunError, RunError
from stf_mamba.core.files import read_json, sha256_of
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import load_record
from stf_mamba.datasets.drawn import is_drawn
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.calibration import Calibration
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.models.clip_detector import ClipDetector, build_detector
from stf_mamba.models.weights.loading import load_model_weights

RECIPE = "recipe.toml"
CLIPS = "clips.json"
SPLIT = "split.json"
ENVIRONMENT = "environment.json"
HISTORY = "history.json"
STATE = "state.pt"
WEIGHTS = "weights.safetensors"
CALIBRATION = "calibration.json"
CURVES = "curves.png"
OUT_OF_FOLD = "out-of-fold.csv"
FOLDS = "folds"
CACHE = "cache"

BEGUN = (RECIPE, CLIPS, SPLIT, ENVIRONMENT)  # what a run writes before it trains


@dataclass(frozen=True)
class Run:
    """A run that has been started: its recipe, clip settings, split and environment, read back from its folder."""

    folder: Path
    recipe: Recipe
    clip_settings: ClipSettings
    split: Split
    environment: dict[str, Any]

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """The run of a folder.

        Raises:
            NoRunError: no such folder, or something is missing from it.
            RunError: damaged.

        Example:
            >>> import stf_mamba as stf
            >>> run = stf.Run.load("runs/v8")  # doctest: +SKIP
            >>> run.recipe.name, run.is_complete  # doctest: +SKIP
            ('v8', True)
        """
        path = Path(folder)
        missing = [name for name in BEGUN if not (path / name).is_file()]
        if missing:
            raise NoRunError(f"{path} is no training run: {', '.join(missing)} missing; make one with: stf train")
        next_step = "it was damaged or written by another version: train into another folder"
        settings = load_record(ClipSettings, path / CLIPS, RunError, next_step)
        environment = read_json(path / ENVIRONMENT, RunError, next_step)
        recipe = Recipe.load(path / RECIPE)
        return cls(path, recipe, settings, Split.load(path / SPLIT), environment)

    @property
    def weights_path(self) -> Path:
        """Where the kept epoch's weights lie."""
        return self.folder / WEIGHTS

    def out_of_fold(self) -> Predictions | None:
        """The out-of-fold scores of the training videos, or ``None`` for a run with a validation part.

        Raises:
            RunError: the file is missing or damaged.
        """
        if self.recipe.data.validation == "part":
            return None
        path = self.folder / OUT_OF_FOLD
        if not path.is_file():
            raise RunError(f"{path} is missing, on which this run is calibrated; train into another folder")
        return Predictions.load(path)

    @property
    def is_complete(self) -> bool:
        """Whether training came to its end."""
        return bool(self.environment.get("complete"))

    @property
    def is_drawn(self) -> bool:
        """Whether videos that it was trained or calibrated on were drawn by a program: it judges no others."""
        return any(is_drawn(video_id) for video_id in (*self.split.train, *self.split.validation))

    def model(self, device: torch.device) -> ClipDetector:
        """The trained model, ready to score.

        Raises:
            RunError: no epoch has been completed yet.
            WeightsError: the weights are damaged or of another model.
        """
        self._require_weights()
        model = build_detector(self.recipe)
        load_model_weights(model, self.weights_path)
        return model.to(device).eval()

    def weights_sha256(self) -> str:
        """Hash of the weights file, for protocol stamps.

        Raises:
            RunError: no epoch has been completed yet.
        """
        self._require_weights()
        return sha256_of(self.weights_path, RunError)

    def _require_weights(self) -> None:
        if self.weights_path.is_file():
            return
        if self.is_complete:
            raise RunError(
                f"{self.weights_path} is missing, and the training in {self.folder} was finished; train again"
            )
        recipe, split = self.folder / RECIPE, self.folder / SPLIT
        raise RunError(
            f"the training in {self.folder} is not finished: no epoch is complete, so there are no weights yet; "
            f"continue it with: stf train {recipe} --split {split} --out {self.folder} --clips CLIPS"
        )

    def history(self) -> list[dict[str, Any]]:
        """One entry an epoch, oldest first; empty before the first epoch is complete.

        Raises:
            RunError: the file is damaged.
        """
        path = self.folder / HISTORY
        if not path.is_file():
            return []
        entries: list[dict[str, Any]] = read_json(path, RunError, "remove it: the curves are drawn without it")
        return entries

    def calibration(self) -> Calibration | None:
        """The score-to-probability map, or ``None`` where validation could not carry one.

        Raises:
            RunError: the file is damaged.
        """
        path = self.folder / CALIBRATION
        if not path.is_file():
            return None
        return load_record(Calibration, path, RunError, "train again, or remove it to go without")
