"""Training and evaluation in one call each, from a data set's folder: clips are prepared on the way."""

from __future__ import annotations

import os
from pathlib import Path

from stf_mamba.clips.preparation import manifest_name, prepare
from stf_mamba.clips.records import ClipSettings, Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.recipe import Recipe
from stf_mamba.datasets.faceforensics import FaceForensics
from stf_mamba.datasets.listing import Dataset
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.evaluate import evaluate as evaluate_clips
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.protocol import Part, natural_part
from stf_mamba.evaluation.runs import Run
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.models.weights.sources import local_weights
from stf_mamba.training.parts import TrainingOptions
from stf_mamba.training.train import train as train_on_clips

PathLike = str | os.PathLike[str]


def train(
    recipe: Recipe,
    data: Dataset | PathLike,
    out: PathLike,
    weights: PathLike | None = None,
    clips: PathLike | None = None,
    split: Split | None = None,
    device: str = "auto",
    from_scratch: bool = False,
    jobs: int = 1,
    size_px: int = 224,
) -> Run:
    """Prepare a data set (where that was not done before) and train a recipe on it.

    Args:
        data: an adapter such as ``datasets.CelebDF(root)``; a path is read as FaceForensics++ at c23.
        out: the run's folder; an unfinished run there is continued.
        weights: pretrained weights of the encoder: a file, ``package:NAME`` or ``hf:OWNER/NAME@COMMIT``.
        clips: folder of the prepared clips; ``OUT-clips`` beside the run without it.
        jobs: processes that prepare; with more than one, a script must stand under ``if __name__ == "__main__":``.
        size_px: side of the face crops; SBI's network takes 380 only.

    Raises:
        StfError: as ``clips.preparation.prepare`` and ``training.train.train``.

    Example:
        >>> import stf_mamba as stf
        >>> recipe = stf.Recipe.load("recipes/v8.toml")  # doctest: +SKIP
        >>> run = stf.train(recipe, "/data/ffpp", "runs/v8", weights="dinov2_vitb14.safetensors")  # doctest: +SKIP
    """
    pretrained = None if weights is None else local_weights(weights)
    settings = ClipSettings(frames=recipe.data.frames, faces=FaceSettings(size_px=size_px))
    adapter = FaceForensics(Path(data)) if isinstance(data, str | os.PathLike) else data
    folder = Path(clips) if clips is not None else _clips_beside(Path(out))
    store, manifest = _prepare(adapter, settings, folder, None, jobs)
    options = TrainingOptions(pretrained, from_scratch, device)
    return train_on_clips(recipe, store, manifest, out, options, split)


def evaluate(
    run: Run | PathLike,
    data: Dataset,
    part: Part | None = None,
    clips: PathLike | None = None,
    device: str = "auto",
    face_model: PathLike | None = None,
    jobs: int = 1,
) -> Predictions:
    """Prepare a data set as the run's training data were, and score it.

    Args:
        run: a run or its folder.
        data: an adapter such as ``datasets.CelebDF(root)``.
        part: of the run's own split; ``None`` takes its test or else validation part of its own data set, and
            everything of another.
        clips: folder of the prepared clips; ``RUN-clips`` beside the run without it.
        face_model: a YuNet file, where the run's clips were made with it.
        jobs: processes that prepare, as for ``train``.

    Raises:
        StfError: as ``clips.preparation.prepare`` and ``evaluation.evaluate.evaluate``.

    Example:
        >>> import stf_mamba as stf
        >>> predictions = stf.evaluate("runs/v8", stf.datasets.CelebDF("/data/celebdf"))  # doctest: +SKIP
        >>> print(stf.metrics.auc(predictions))  # doctest: +SKIP
    """
    run = run if isinstance(run, Run) else Run.load(run)
    folder = Path(clips) if clips is not None else _clips_beside(run.folder)
    store, manifest = _prepare(data, run.clip_settings, folder, face_model, jobs)
    return evaluate_clips(run, store, manifest, part or natural_part(run, manifest), device)


def _prepare(
    adapter: Dataset, settings: ClipSettings, folder: Path, face_model: PathLike | None, jobs: int
) -> tuple[ClipStore, Manifest]:
    store = ClipStore(folder, settings)
    records = adapter.records()
    detector_file = None if face_model is None else Path(face_model)
    manifest, _ = prepare(records, store, manifest_name(records), detector_file, jobs)
    return store, manifest


def _clips_beside(run_folder: Path) -> Path:
    return run_folder.with_name(f"{run_folder.name}-clips")
