"""The verbs that make, show and divide training data: ``stf prepare``, ``pseudofakes``, ``split``, ``audit``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from stf_mamba.cli.arguments import (
    file_to_write,
    folder_to_write,
    part_of_one,
    positive_share,
    require_dataset,
    trained_run,
)
from stf_mamba.cli.options import (
    ClipsOption,
    DatasetNameOption,
    FaceModelOption,
    JsonOption,
    SettingsOption,
    load_split,
    open_clips,
    wrong_values_are_wrong_usage,
)
from stf_mamba.cli.progress import progress_bar, stderr
from stf_mamba.cli.verbs import EXIT_NOT_ANALYSABLE, plain
from stf_mamba.core.errors import DatasetError, UsageError
from stf_mamba.core.recipe import DataRecipe, Recipe

if TYPE_CHECKING:
    from stf_mamba.clips.preparation import Summary
    from stf_mamba.clips.records import ClipSettings, Manifest, StoredVideo
    from stf_mamba.clips.store import ClipStore
    from stf_mamba.core.records import VideoRecord
    from stf_mamba.datasets.protocols import Variant
    from stf_mamba.training.items import TrainingClip

DatasetKind: TypeAlias = Literal["ffpp", "celebdf", "folder", "csv"]
Compression: TypeAlias = Literal["raw", "c23", "c40"]
CelebDFPart: TypeAlias = Literal["test", "all"]
Sampling: TypeAlias = Literal["uniform", "consecutive"]
SplitKind: TypeAlias = Literal["identity", "official", "report", "report-corrected"]


def prepare(
    dataset: Annotated[
        DatasetKind, typer.Option("--dataset", help="Its layout; folder holds real/ and fake/, csv lists files.")
    ],
    root: Annotated[Path, typer.Option("--root", help="The data set's top folder; for csv the file.", exists=True)],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder for the clips; may hold several data sets.", callback=folder_to_write),
    ],
    compression: Annotated[Compression, typer.Option("--compression", help="FaceForensics++ only.")] = "c23",
    part: Annotated[
        CelebDFPart | None, typer.Option("--part", help="Celeb-DF only: its official test list (without it) or all.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the prepared data set; by its layout without it.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", help="A run whose clip settings are to be used.", callback=trained_run)
    ] = None,
    frames: Annotated[int, typer.Option("--frames", help="Frames of a clip.", min=2)] = 32,
    sampling: Annotated[Sampling, typer.Option("--sampling", help="How frames are chosen.")] = "uniform",
    window_s: Annotated[
        float, typer.Option("--window-s", help="Seconds a clip spans; 0 for the whole track.", min=0)
    ] = 10.0,
    clips_per_track: Annotated[
        int, typer.Option("--clips-per-track", help="At most so many clips of a face.", min=1)
    ] = 4,
    size_px: Annotated[int, typer.Option("--size", help="Side of the crops in pixels.", min=1)] = 224,
    align: Annotated[bool, typer.Option("--align", help="Turn faces upright by their landmarks.")] = False,
    face_model: FaceModelOption = None,
    jobs: Annotated[int | None, typer.Option("--jobs", help="Processes; one per core without it.", min=1)] = None,
    as_json: JsonOption = False,
) -> None:
    """Cut every video's face clips once. Run it again to continue after a stop."""
    from stf_mamba.datasets import load_dataset
    from stf_mamba.datasets.drawn import require_name_of

    if root.is_dir() == (dataset == "csv"):
        expected, seen = ("a CSV file", "a folder") if dataset == "csv" else ("the data set's top folder", "a file")
        raise UsageError(f"--root {root} is {seen}; --dataset {dataset} expects {expected}")
    records = load_dataset(dataset, root, compression, part=part)
    if name is not None:
        require_name_of(records, name)
    from stf_mamba.clips.preparation import manifest_name
    from stf_mamba.clips.preparation import prepare as prepare_records
    from stf_mamba.clips.store import ClipStore

    asked: dict[str, Any] = {
        "frames": frames,
        "sampling": sampling,
        "window_s": window_s or None,
        "clips_per_track": clips_per_track,
    }
    settings = _clip_settings(like, asked, {"size_px": size_px, "align": align}, face_model)
    store = ClipStore(out, settings)
    if name is not None and dataset in ("folder", "csv"):
        records = [replace(record, video_id=f"{name}/{record.video_id.partition('/')[2]}") for record in records]
    name = name or manifest_name(records) + ("-all" if part == "all" else "")
    with progress_bar("preparing", len(records), "videos") as advance:

        def on_video(record: VideoRecord, video: StoredVideo | None) -> None:
            advance(1, record.video_id)

        manifest, summary = prepare_records(records, store, name, face_model, jobs, on_video)
    if as_json:
        typer.echo(json.dumps({"name": manifest.name, "settings": settings.key, **summary.to_json()}, indent=2))
    else:
        _print_summary(manifest, summary)
    if summary.analysed < summary.videos:
        raise typer.Exit(EXIT_NOT_ANALYSABLE)


def pseudofakes(
    clips: ClipsOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures and videos.", callback=folder_to_write)],
    count: Annotated[int, typer.Option("--count", help="Of so many real videos.", min=1)] = 8,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="Recipe whose pseudo-fakes are shown; the defaults without it.")
    ] = None,
    dataset: DatasetNameOption = None,
    settings: SettingsOption = None,
) -> None:
    """Show pseudo-fakes beside their real clips. Picture sheets and short videos of each kind: look before training."""
    asked = None if recipe is None else Recipe.load(recipe)
    require_dataset(clips, dataset)
    from stf_mamba.augmentation.pseudofakes import Donor
    from stf_mamba.augmentation.samples import write_samples
    from stf_mamba.core.seeds import derive_seed
    from stf_mamba.training.items import ItemReader

    store, manifest = open_clips(clips, dataset, settings)
    loaded = _recipe_for(asked, store)
    reals = _one_real_clip_a_video(store, manifest, loaded)
    reader = ItemReader(store, loaded, reals)
    left_out = []
    with progress_bar("blending", min(count, len(reals)), "clips") as advance:
        for clip, donor_clip in _with_donors(reals, count):
            folder = out / clip.video_id.replace("/", "-")
            donor = Donor(reader.stored(donor_clip), reader.landmarks_px(donor_clip))
            seed = derive_seed("pseudo-fake samples", clip.video_id)
            try:
                write_samples(reader.stored(clip), reader.landmarks_px(clip), donor, folder, loaded.pseudofakes, seed)
            except ValueError as error:  # landmarks of this clip, or of its donor, that no face can follow
                left_out.append(clip.video_id)
                stderr().print(f"left out: {plain(clip.video_id)}: {plain(str(error))}")
            else:
                typer.echo(f"{folder}: {clip.video_id}, crossed with {donor_clip.video_id}")
            advance(1, clip.video_id)
    if left_out:
        raise typer.Exit(EXIT_NOT_ANALYSABLE)


def split(
    kind: Annotated[SplitKind, typer.Argument(help="Which rule.")],
    clips: ClipsOption,
    out: Annotated[Path, typer.Option("--out", help="The split file, for stf train --split.", callback=file_to_write)],
    dataset: DatasetNameOption = None,
    test_dataset: Annotated[
        str | None, typer.Option("--test-dataset", help="report: the prepared Celeb-DF (part all), by its name.")
    ] = None,
    lists: Annotated[
        Path | None,
        typer.Option(
            "--lists", help="official: the folder of FF++'s train/val/test.json.", exists=True, file_okay=False
        ),
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option("--validation-fraction", help="identity: part of the videos.", callback=part_of_one)
    ] = 0.2,
    scale: Annotated[
        float, typer.Option("--scale", help="report: fraction of its numbers to draw.", callback=positive_share)
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of every random draw.")] = 42,
    settings: SettingsOption = None,
) -> None:
    """Write a split of prepared data. The rule is identity, official (FF++'s), report or report-corrected."""
    if kind == "official" and lists is None:
        raise UsageError("the official split needs --lists FOLDER with train.json, val.json and test.json")
    if kind in ("report", "report-corrected") and test_dataset is None:
        raise UsageError("the report's sampling tests on Celeb-DF; name its prepared clips with --test-dataset")
    require_dataset(clips, dataset)
    require_dataset(clips, test_dataset, "--test-dataset")
    from stf_mamba.datasets.protocols import official_ffpp_split, report_protocol
    from stf_mamba.datasets.splits import identity_disjoint_split

    store, manifest = open_clips(clips, dataset, settings)
    records = [entry.record for entry in manifest.entries]
    if kind == "identity":
        usable = [entry.record for entry in manifest.entries if entry.clips]
        chosen = identity_disjoint_split(usable, validation_fraction, seed=seed)
    elif kind == "official":
        assert lists is not None
        chosen = official_ffpp_split(records, lists)
    else:
        tests = [entry.record for entry in store.manifest(test_dataset).entries]
        variant: Variant = "report" if kind == "report" else "correct"
        chosen = report_protocol(records, tests, seed, variant, scale)
    chosen.save(out)
    sizes = ", ".join(f"{part} {len(ids)}" for part, ids in chosen.parts.items())
    typer.echo(f"{out}: {chosen.name} ({sizes}), sha256 {chosen.sha256}")


def audit(
    clips: ClipsOption,
    split: Annotated[
        Path, typer.Option("--split", help="A run folder, a split file, or a folder of FF++'s JSONs.", exists=True)
    ],
    dataset: DatasetNameOption = None,
    settings: SettingsOption = None,
) -> None:
    """Look for what two parts of a split share. People, sources and files; exits with 1 if there are any."""
    require_dataset(clips, dataset)
    from stf_mamba.clips.store import ClipStore
    from stf_mamba.datasets.audit import audit as audit_split

    store = ClipStore.open(clips, settings)
    names = store.manifests() if dataset is None else [dataset]
    manifests = [store.manifest(name) for name in names]
    records = {entry.record.video_id: entry.record for manifest in manifests for entry in manifest.entries}
    file = split / "split.json" if (split / "split.json").is_file() else split
    loaded = load_split(file, list(records.values()))
    leaks = audit_split(loaded, records.values())
    sizes = ", ".join(f"{part} {len(ids)}" for part, ids in loaded.parts.items())
    typer.echo(f"{loaded.name} ({sizes}): {len(leaks)} leaks")
    for leak in leaks:
        typer.echo(f"  {leak.kind} {leak.value} in {' and '.join(leak.parts)}: {', '.join(leak.video_ids)}")
    for manifest in manifests:
        print_changed_faces(manifest)
    if leaks:
        raise typer.Exit(1)


def _clip_settings(
    like: Path | None, asked: dict[str, Any], asked_faces: dict[str, Any], face_model: Path | None
) -> ClipSettings:
    from stf_mamba.clips.records import ClipSettings
    from stf_mamba.evaluation.runs import Run
    from stf_mamba.faces.detectors import load_face_detector
    from stf_mamba.faces.settings import FaceSettings

    detector = load_face_detector(face_model).name
    with wrong_values_are_wrong_usage():
        settings = ClipSettings(detector, FaceSettings(**asked_faces), **asked)
    if like is None:
        return settings
    if settings != ClipSettings(detector):
        raise UsageError("--like takes every clip setting from the run; leave the others out")
    settings = Run.load(like).clip_settings
    if settings.detector != detector:
        raise UsageError(f"{like} was trained on faces found by {settings.detector}, and this is {detector}")
    return settings


def _recipe_for(asked: Recipe | None, store: ClipStore) -> Recipe:
    """The recipe that was asked for, or the default one with as many frames as the clips have."""
    from stf_mamba.training.requirements import require_frames

    recipe = asked or Recipe(data=DataRecipe(frames=store.settings.frames))
    require_frames(recipe, store)
    return recipe


def _one_real_clip_a_video(store: ClipStore, manifest: Manifest, recipe: Recipe) -> list[TrainingClip]:
    from stf_mamba.core.records import REAL
    from stf_mamba.training.items import list_clips

    ids = [entry.record.video_id for entry in manifest.entries if entry.record.label == REAL]
    clips = list_clips(store, manifest, ids, recipe.data)
    if not clips:
        raise DatasetError(
            f"{manifest.name} has no clips of real videos; pseudo-fakes are made of real ones: prepare a data set with "
            "labels"
        )
    first: dict[str, TrainingClip] = {}
    for clip in clips:
        first.setdefault(clip.video_id, clip)
    return list(first.values())


def _with_donors(reals: Sequence[TrainingClip], count: int) -> list[tuple[TrainingClip, TrainingClip]]:
    """``count`` clips spread over all, or all of them, each with the next clip of another person."""
    from stf_mamba.evaluation.scoring import thin

    pairs = []
    for index in thin(len(reals), min(count, len(reals))):
        clip = reals[index]
        others = [other for other in (*reals[index + 1 :], *reals[:index]) if _shows_others(other, clip)]
        if not others:
            raise DatasetError(
                f"{clip.video_id} has no real clip of another person beside it, whose face could be blended in; "
                "prepare real videos of more people"
            )
        pairs.append((clip, others[0]))
    return pairs


def _shows_others(other: TrainingClip, clip: TrainingClip) -> bool:
    return set(other.identities).isdisjoint(clip.identities)


def _print_summary(manifest: Manifest, summary: Summary) -> None:
    typer.echo(
        f"{manifest.name}: {summary.analysed} of {summary.videos} videos analysed ({summary.reused} prepared before), "
        f"{summary.tracks} face tracks, {summary.dropped} dropped, {summary.clips} clips, {summary.seconds:.0f} s"
    )
    for entry in manifest.entries:
        if entry.reason is not None:
            typer.echo(f"  not analysable: {entry.record.video_id}: {entry.reason}")
    print_changed_faces(manifest)


def print_changed_faces(manifest: Manifest) -> None:
    """By which rule the changed faces were found, and where another face is the more prominent one."""
    found = [(entry.record.video_id, entry.changed) for entry in manifest.entries if entry.changed is not None]
    if not found:
        return
    counts = Counter(changed.rule for _, changed in found)
    typer.echo(
        f"  the changed face of {len(found)} manipulated videos: {counts['mask']} by their masks, {counts['original']} "
        f"by the difference to their originals, {counts['main']} taken to be the most prominent one"
    )
    for video_id, changed in found:
        if changed.track_id != 0:
            changes = ", ".join(f"{change:.1f}" for change in changed.changes)
            typer.echo(
                f"  not the most prominent face: {video_id}: face {changed.track_id} was changed, by its "
                f"{changed.rule} ({changes} grey levels for faces 0, 1, ...)"
            )
