"""Which videos of a data set are scored, and the stamp that says how a number was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from stf_mamba.clips.records import ClipSettings, Manifest, ManifestEntry
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.environment import versions
from stf_mamba.core.errors import LeakError, UsageError
from stf_mamba.datasets.protocols import PUBLISHED_LEAKS
from stf_mamba.evaluation.runs import OUT_OF_FOLD, Run
from stf_mamba.evaluation.scoring import AGGREGATION

Part = Literal["train", "validation", "test", "all"]


# What chose the epoch whose weights a run keeps, by ``data.validation``.
NOTHING_SELECTED = "nothing, the last epoch"


SELECTED_ON = {"part": "validation part of the training data", "folds": NOTHING_SELECTED}


def clips_for(run: Run, root: Path) -> ClipStore:
    """The clips under ``root`` that were made with the run's settings.

    Raises:
        UsageError: there are none.
    """
    store = ClipStore(root, run.clip_settings)
    if not store.exists:
        raise UsageError(
            f"{root} holds no clips made with the settings of the run {run.folder}; "
            f"prepare this data set with them: stf prepare --like {run.folder} --out {root} ..."
        )
    return store


def natural_part(run: Run, manifest: Manifest) -> Part:
    """The part to evaluate when none was named: the run's own test or else validation part, all of other data."""
    ids = {entry.record.video_id for entry in manifest.entries}
    for part in ("test", "validation"):
        if ids.intersection(run.split.parts[part]):
            return "test" if part == "test" else "validation"
    return "all"


def entries_of_part(run: Run, manifest: Manifest, part: Part) -> list[ManifestEntry]:
    """The videos that an evaluation of this part scores.

    Raises:
        UsageError: there are none.
        LeakError: ``all`` holds videos or people that the run was trained or selected on.
    """
    if part == "all":
        require_unseen(run, manifest.name, manifest.entries)
        return list(manifest.entries)
    entries = manifest.of(run.split.parts[part])
    if manifest.name != run.environment.get("dataset"):  # the audit before training saw its own data set only
        require_unseen(run, manifest.name, entries)
    if not entries:
        raise UsageError(
            f"no video of {manifest.name} is in the {part} part of the run's split; "
            "use --part all for a data set that the run was not trained on"
        )
    return entries


def protocol_stamp(run: Run, store: ClipStore, manifest: Manifest, part: Part, videos: int) -> dict[str, str]:
    """What makes two published numbers comparable or not, as text."""
    settings = store.settings
    return {
        "dataset": manifest.name,
        "part": part,
        "videos": str(videos),
        "level": "video",
        "aggregation": AGGREGATION,
        "score": "logit, higher is more suspicious",
        "frames": f"{run.recipe.data.frames} of {settings.frames}, {settings.sampling}",
        **clip_stamp(settings),
        "trained_on": str(run.environment.get("dataset")),
        "selected_on": SELECTED_ON[run.recipe.data.validation],
        "training_complete": str(run.is_complete),
        "split": run.split.name,
        "split_leaks_by_its_rules": ", ".join(PUBLISHED_LEAKS.get(run.split.name, ())) or "none",
        "split_sha256": run.split.sha256,
        "weights_sha256": run.weights_sha256(),
        "recipe": run.recipe.name,
        "seed": str(run.recipe.seed),
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }


def clip_stamp(settings: ClipSettings) -> dict[str, str]:
    """The part of a stamp that says how clips were cut, as text."""
    return {
        "window_s": str(settings.window_s),
        "clips_per_track": str(settings.clips_per_track),
        "crop_margin": str(settings.faces.margin),
        "aligned": str(settings.faces.align),
        "crop_px": str(settings.faces.size_px),
        "face_detector": settings.detector,
        "clip_settings": settings.key,
    }


def require_same_clips(run: Run, store: ClipStore) -> None:
    if store.settings != run.clip_settings:
        raise UsageError(
            f"the clips in {store.root} were made with settings {store.settings.key}, the run {run.folder} was trained "
            f"on settings {run.clip_settings.key}; prepare this data set with the run's settings: "
            f"stf prepare --like {run.folder} ..."
        )


def require_unseen(run: Run, name: str, entries: Sequence[ManifestEntry]) -> None:
    """A figure on videos or people that were trained or selected on says nothing about others."""
    known_videos = {*run.split.train, *run.split.validation}
    known_people = set(run.environment.get("identities", ()))
    seen = [
        entry.record.video_id
        for entry in entries
        if entry.record.video_id in known_videos or known_people.intersection(entry.record.identities)
    ]
    if seen:
        instead = "evaluate with --part validation or --part test"
        own = name == run.environment.get("dataset")
        if own and run.recipe.data.validation == "folds" and not (run.split.validation or run.split.test):
            instead = f"every video trained; {run.folder / OUT_OF_FOLD} has what models say that saw nobody in it"
        raise LeakError(
            f"{len(seen)} of {len(entries)} videos of {name} (such as {seen[0]}) show people that "
            f"the run was trained or selected on; {instead}"
        )
