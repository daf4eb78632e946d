"""What must hold before a training starts; each refusal says what to do instead."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from stf_mamba.clips.records import Manifest, ManifestEntry
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import DatasetError, UsageError, WeightsError
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import FAKE, REAL
from stf_mamba.datasets.audit import audit, require_disjoint
from stf_mamba.datasets.protocols import PUBLISHED_LEAKS
from stf_mamba.datasets.splits import Split, identity_disjoint_split
from stf_mamba.models.clip_detector import ClipDetector
from stf_mamba.models.encoders.registry import ENCODERS
from stf_mamba.training.run_folder import has_state, is_complete


def checked_split(split: Split | None, recipe: Recipe, manifest: Manifest, on_message: Callable[[str], None]) -> Split:
    """The split to train by, after the audit; a published one may leak as its own rules do, and then it is said.

    Raises:
        LeakError: two parts share people, sources or files.
    """
    labelled = [entry for entry in manifest.entries if entry.record.label is not None]
    if split is None:
        usable = [entry.record for entry in labelled if entry.clips]
        if recipe.data.validation == "folds":
            split = Split("every video trains", tuple(record.video_id for record in usable), ())
        else:
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
        on_message(f"the published split {split.name} leaks by its own rules: {counts}; see stf audit")
    return split


def require_frames(recipe: Recipe, store: ClipStore) -> None:
    """The stored clips have as many frames as the recipe wants.

    Raises:
        UsageError: they have fewer.
    """
    if recipe.data.frames > store.settings.frames:
        raise UsageError(
            f"the recipe wants clips of {recipe.data.frames} frames, those in {store.root} have "
            f"{store.settings.frames}; prepare clips with --frames {recipe.data.frames}"
        )


def require_crop_size(model: ClipDetector, store: ClipStore) -> None:
    """The stored crops have the size that the encoder takes.

    Raises:
        UsageError: they have another.
    """
    size_px = store.settings.faces.size_px
    try:
        model.encoder.require_crop_size(size_px, size_px)
    except ValueError as error:
        raise UsageError(str(error)) from None


def require_both_classes(validation: Sequence[ManifestEntry]) -> None:
    """The best epoch is chosen by AUC, which needs scored videos of both classes.

    Raises:
        DatasetError: one of them is missing.
    """
    counts = [sum(entry.record.label == label and entry.clips > 0 for entry in validation) for label in (REAL, FAKE)]
    if 0 in counts:
        raise DatasetError(
            f"validation has {counts[REAL]} real and {counts[FAKE]} fake videos with clips; both are needed to choose "
            "an epoch: use another split, or a larger validation fraction"
        )


def require_weights(
    recipe: Recipe, out: Path, encoder_weights: str | os.PathLike[str] | None, from_scratch: bool
) -> None:
    """An encoder that is meant to be pretrained has its weights, unless random values were asked for.

    Raises:
        WeightsError: it has none.
    """
    name = recipe.encoder.name
    spec = ENCODERS.get(name)
    if spec is None or not spec.pretrained or encoder_weights is not None or from_scratch:
        return
    if has_state(out) or is_complete(out):
        return
    raise WeightsError(
        f"the encoder {name!r} ({spec.description}) is meant to start from pretrained weights and none were given; "
        "give their file with --weights FILE, or start from random values with --from-scratch"
    )
