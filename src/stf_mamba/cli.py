"""The command line: ``stf VERB``. Each verb calls the library and says what came of it.

Heavy imports happen inside the verbs, so that ``stf --help`` answers at once.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stf_mamba import __version__
from stf_mamba.cli_options import (
    ClipsOption,
    DatasetNameOption,
    DeviceOption,
    FaceModelOption,
    JsonOption,
    PartName,
    Sampling,
    SettingsOption,
    SplitKind,
    plain,
    reports_errors,
)
from stf_mamba.errors import UsageError
from stf_mamba.progress import progress_bar, stderr, training_progress
from stf_mamba.records import Outcome

if TYPE_CHECKING:
    from stf_mamba.clipstore import ClipSettings, ClipStore, Manifest, StoredVideo
    from stf_mamba.datasets.protocols import Variant
    from stf_mamba.datasets.splits import Split
    from stf_mamba.detection import Detector
    from stf_mamba.evaluation import Part
    from stf_mamba.preparation import Summary
    from stf_mamba.records import Verdict, VideoRecord

EXIT_NOT_ANALYSABLE = 3
EXIT_FAIL_ON = 10

app = typer.Typer(
    name="stf",
    help="STF-Mamba: a deepfake video detector that shows its evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    app()


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Deepfake video detection: prepare, train, evaluate, detect."""
    if version:
        typer.echo(f"stf-mamba {__version__}")
        raise typer.Exit


@app.command()
@reports_errors
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that the demonstration makes.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option("--seed", help="Root of every draw.")] = 42,
) -> None:
    """Show the whole machinery on a generated miniature: corpus, clips, training, evaluation, a verdict."""
    from stf_mamba.demo import run_demo

    run_demo(out, seed)


@app.command()
@reports_errors
def detect(
    paths: Annotated[list[Path], typer.Argument(help="Videos, or folders of videos.", exists=True)],
    model: Annotated[Path | None, typer.Option("--model", help="A run folder made by stf train.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the verdicts (JSON and HTML).")] = Path("verdicts"),
    as_json: JsonOption = False,
    fail_on: Annotated[Outcome | None, typer.Option("--fail-on", help="Exit with 10 if any video has it.")] = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="Run a model that was never trained.")] = False,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="With --untrained: the model's recipe.")] = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="With --untrained: encoder weights.")] = None,
    face_model: FaceModelOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Give a verdict on each video: JSON, and a page with the consistency timeline and the crops."""
    from stf_mamba.case_report import write_case_report

    videos = _videos_in(paths)
    detector = _detector(model, untrained, recipe, weights, face_model, device)
    out.mkdir(parents=True, exist_ok=True)
    verdicts = []
    for path, stem in zip(videos, _stems(videos), strict=True):
        verdict = _detect_one(detector, path)
        verdict.save(out / f"{stem}.json")
        write_case_report(verdict, out / f"{stem}.html")
        verdicts.append(verdict)
        if not as_json:
            _print_verdict(path, verdict, out / f"{stem}.html")
    if as_json:
        typer.echo(json.dumps([verdict.to_json() for verdict in verdicts], indent=2, ensure_ascii=False))
    outcomes = {verdict.outcome for verdict in verdicts}
    if fail_on is not None and fail_on in outcomes:
        raise typer.Exit(EXIT_FAIL_ON)
    if Outcome.NOT_ANALYSABLE in outcomes:
        raise typer.Exit(EXIT_NOT_ANALYSABLE)


@app.command()
@reports_errors
def prepare(
    dataset: Annotated[str, typer.Option("--dataset", help="ffpp, celebdf, folder or csv.")],
    root: Annotated[Path, typer.Option("--root", help="The data set's top folder; for csv the file.", exists=True)],
    out: Annotated[Path, typer.Option("--out", help="Folder for the clips; may hold several data sets.")],
    compression: Annotated[str, typer.Option("--compression", help="FaceForensics++ only: raw, c23 or c40.")] = "c23",
    part: Annotated[str | None, typer.Option("--part", help="Celeb-DF only: test (its official list) or all.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the prepared data set.")] = None,
    like: Annotated[Path | None, typer.Option("--like", help="A run whose clip settings are to be used.")] = None,
    frames: Annotated[int, typer.Option("--frames", help="Frames of a clip.")] = 32,
    sampling: Annotated[Sampling, typer.Option("--sampling", help="How frames are chosen.")] = Sampling.UNIFORM,
    window_s: Annotated[float, typer.Option("--window-s", help="Seconds a clip spans; 0 for the whole track.")] = 10.0,
    clips_per_track: Annotated[int, typer.Option("--clips-per-track", help="At most so many clips of a face.")] = 4,
    align: Annotated[bool, typer.Option("--align", help="Turn faces upright by their landmarks.")] = False,
    face_model: FaceModelOption = None,
    jobs: Annotated[int | None, typer.Option("--jobs", help="Processes; one per core without it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Cut every video's face clips once. Run it again to continue after a stop."""
    from stf_mamba.clipstore import ClipStore
    from stf_mamba.datasets import load_dataset
    from stf_mamba.preparation import manifest_name
    from stf_mamba.preparation import prepare as prepare_records

    records = load_dataset(dataset, root, compression, part=_celebdf_part(part))
    asked: dict[str, Any] = {
        "frames": frames,
        "sampling": sampling.value,
        "window_s": window_s or None,
        "clips_per_track": clips_per_track,
    }
    settings = _clip_settings(like, asked, align, face_model)
    store = ClipStore.create(out, settings)
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


@app.command()
@reports_errors
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML), such as one of those in recipes/.")],
    clips: ClipsOption,
    out: Annotated[Path, typer.Option("--out", help="The run's folder; an unfinished run there is continued.")],
    weights: Annotated[Path | None, typer.Option("--weights", help="Pretrained weights of the encoder.")] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start from random values instead.")] = False,
    split: Annotated[
        Path | None, typer.Option("--split", help="A split file, or a folder with FF++'s train/val/test.json.")
    ] = None,
    dataset: DatasetNameOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Train a recipe on prepared clips. Run it again to continue after a stop."""
    from stf_mamba.distributed import is_main
    from stf_mamba.recipe import Recipe
    from stf_mamba.training import train as train_recipe

    loaded = Recipe.load(recipe)
    store, manifest = _open_clips(clips, dataset, settings)
    chosen = None if split is None else _load_split(split, [entry.record for entry in manifest.entries])
    with training_progress(loaded.epochs) as watcher:
        run = train_recipe(loaded, store, manifest, out, weights, from_scratch, chosen, device, watcher)
    best = max(run.history(), key=lambda entry: (entry["validation_auc"], -entry["validation_loss"]))
    if is_main():
        typer.echo(
            f"{run.folder}: best epoch {best['epoch'] + 1} of {loaded.epochs}, validation AUC "
            f"{best['validation_auc']:.4f} on {len(run.split.validation)} videos; "
            f"{run.environment['trainable_parameters']:,} of {run.environment['parameters']:,} parameters trained"
        )


@app.command()
@reports_errors
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder made by stf train.")],
    clips: ClipsOption,
    part: Annotated[
        PartName,
        typer.Option("--part", help="Part of the run's split; auto: its test or else validation part, all of others."),
    ] = PartName.AUTO,
    out: Annotated[Path | None, typer.Option("--out", help="The CSV; in the run's folder without it.")] = None,
    dataset: DatasetNameOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score prepared videos with a run: predictions.csv with its protocol, and AUC with an interval."""
    from stf_mamba.evaluation import clips_for, entries_of_part, natural_part
    from stf_mamba.evaluation import evaluate as evaluate_run
    from stf_mamba.metrics import auc, average_precision, equal_error_rate
    from stf_mamba.runs import Run

    loaded = Run.load(run)
    store = clips_for(loaded, clips)
    manifest = store.manifest(dataset)
    chosen: Part = natural_part(loaded, manifest) if part is PartName.AUTO else part.value  # type: ignore[assignment]
    target = out or loaded.folder / f"predictions-{manifest.name}-{chosen}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    total = len(entries_of_part(loaded, manifest, chosen))
    with progress_bar("scoring", total, "videos") as advance:
        predictions = evaluate_run(loaded, store, manifest, chosen, device, lambda video_id: advance(1, video_id))
    path = predictions.save(target)
    try:
        figures = [figure(predictions) for figure in (auc, average_precision, equal_error_rate)]
    except ValueError as error:
        figures = []
        stderr().print(f"no figures: {plain(str(error))}")
    if as_json:
        result = {"predictions": str(path), "part": chosen, "coverage": predictions.coverage}
        typer.echo(json.dumps({**result, "figures": [figure.to_json() for figure in figures]}, indent=2))
        return
    typer.echo(f"{manifest.name}, {chosen} part, video level; coverage {predictions.coverage:.3f}")
    for figure in figures:
        typer.echo(f"  {figure}")
    typer.echo(f"  {path}")


@app.command()
@reports_errors
def audit(
    clips: ClipsOption,
    split: Annotated[Path, typer.Option("--split", help="A run folder, a split file, or a folder of FF++'s JSONs.")],
    dataset: DatasetNameOption = None,
    settings: SettingsOption = None,
) -> None:
    """Look for people, sources and files that two parts of a split share. Exits with 1 if there are any."""
    from stf_mamba.clipstore import ClipStore
    from stf_mamba.datasets.splits import audit as audit_split

    store = ClipStore.open(clips, settings)
    names = store.manifests() if dataset is None else [dataset]
    manifests = [store.manifest(name) for name in names]
    records = {entry.record.video_id: entry.record for manifest in manifests for entry in manifest.entries}
    file = split / "split.json" if (split / "split.json").is_file() else split
    loaded = _load_split(file, list(records.values()))
    leaks = audit_split(loaded, records.values())
    sizes = ", ".join(f"{part} {len(ids)}" for part, ids in loaded.parts.items())
    typer.echo(f"{loaded.name} ({sizes}): {len(leaks)} leaks")
    for leak in leaks:
        typer.echo(f"  {leak.kind} {leak.value} in {' and '.join(leak.parts)}: {', '.join(leak.video_ids)}")
    if leaks:
        raise typer.Exit(1)


@app.command()
@reports_errors
def split(
    kind: Annotated[SplitKind, typer.Argument(help="Which rule.")],
    clips: ClipsOption,
    out: Annotated[Path, typer.Option("--out", help="The split file, for stf train --split.")],
    dataset: DatasetNameOption = None,
    test_dataset: Annotated[
        str | None, typer.Option("--test-dataset", help="report: the prepared Celeb-DF (part all), by its name.")
    ] = None,
    lists: Annotated[
        Path | None, typer.Option("--lists", help="official: the folder of FF++'s train/val/test.json.")
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option("--validation-fraction", help="identity: part of videos.")
    ] = 0.2,
    scale: Annotated[float, typer.Option("--scale", help="report: fraction of its numbers to draw.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Root of every draw.")] = 42,
    settings: SettingsOption = None,
) -> None:
    """Write a split of prepared data by a named rule: identity, official (FF++), report, report-corrected."""
    from stf_mamba.datasets.protocols import official_ffpp_split, report_protocol
    from stf_mamba.datasets.splits import identity_disjoint_split

    store, manifest = _open_clips(clips, dataset, settings)
    records = [entry.record for entry in manifest.entries]
    try:
        if kind is SplitKind.IDENTITY:
            usable = [entry.record for entry in manifest.entries if entry.clips]
            chosen = identity_disjoint_split(usable, validation_fraction, seed=seed)
        elif kind is SplitKind.OFFICIAL:
            if lists is None:
                raise UsageError("the official split needs --lists FOLDER with train.json, val.json and test.json")
            chosen = official_ffpp_split(records, lists)
        else:
            if test_dataset is None:
                raise UsageError("the report's sampling tests on Celeb-DF; name its prepared clips with --test-dataset")
            tests = [entry.record for entry in store.manifest(test_dataset).entries]
            variant: Variant = "report" if kind is SplitKind.REPORT else "correct"
            chosen = report_protocol(records, tests, seed, variant, scale)
    except ValueError as error:
        raise UsageError(str(error)) from None
    chosen.save(out)
    sizes = ", ".join(f"{part} {len(ids)}" for part, ids in chosen.parts.items())
    typer.echo(f"{out}: {chosen.name} ({sizes}), sha256 {chosen.sha256}")


@app.command()
@reports_errors
def weights(
    file: Annotated[Path | None, typer.Argument(help="A weights file to check.")] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", help="The encoder that it should fit.")] = None,
) -> None:
    """List the encoders, or check that a weights file fits one, strictly."""
    from stf_mamba.models.encoders import ENCODERS

    if file is None:
        for known, spec in ENCODERS.items():
            typer.echo(f"{known:<14} {spec.description}")
        return
    if encoder not in ENCODERS:
        raise UsageError(f"--encoder is {encoder!r}; name one of {', '.join(ENCODERS)}")
    from stf_mamba.models.encoders import VitEncoder
    from stf_mamba.models.weights import load_encoder_weights
    from stf_mamba.video import sha256_of

    load_encoder_weights(VitEncoder(encoder, 0), file)
    typer.echo(f"{file} fits {encoder}; sha256 {sha256_of(file)}")


@app.command()
@reports_errors
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has: versions, devices, codecs, the face detector. Exits with 1 if something is missing."""
    from stf_mamba.doctor import examine

    facts, problems = examine()
    if as_json:
        typer.echo(json.dumps({"facts": facts, "problems": problems}, indent=2))
    else:
        for key, value in facts.items():
            typer.echo(f"{key:<18} {value}")
        for problem in problems:
            typer.echo(f"problem: {problem}")
    if problems:
        raise typer.Exit(1)


def _open_clips(root: Path, name: str | None, settings: str | None) -> tuple[ClipStore, Manifest]:
    from stf_mamba.clipstore import ClipStore

    store = ClipStore.open(root, settings)
    return store, store.manifest(name)


def _clip_settings(like: Path | None, asked: dict[str, Any], align: bool, face_model: Path | None) -> ClipSettings:
    from stf_mamba.clipstore import ClipSettings
    from stf_mamba.face_detectors import load_face_detector
    from stf_mamba.faces import FaceSettings
    from stf_mamba.runs import Run

    detector = load_face_detector(face_model).name
    if like is not None:
        if align or ClipSettings(detector, **asked) != ClipSettings(detector):
            raise UsageError("--like takes every clip setting from the run; leave the others out")
        settings = Run.load(like).clip_settings
        if settings.detector != detector:
            raise UsageError(f"{like} was trained on faces found by {settings.detector}, and this is {detector}")
        return settings
    try:
        return ClipSettings(detector, FaceSettings(align=align), **asked)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _celebdf_part(part: str | None) -> Any:
    if part not in (None, "test", "all"):
        raise UsageError(f"--part is {part!r}, expected test or all")
    return part


def _load_split(path: Path, records: list[VideoRecord]) -> Split:
    from stf_mamba.datasets.protocols import official_ffpp_split
    from stf_mamba.datasets.splits import Split

    if path.is_dir():
        return official_ffpp_split(records, path)
    return Split.load(path)


def _detector(
    model: Path | None,
    untrained: bool,
    recipe: Path | None,
    weights: Path | None,
    face_model: Path | None,
    device: str,
) -> Detector:
    if model is not None:
        if untrained or recipe is not None or weights is not None:
            raise UsageError("--untrained, --recipe and --weights do not go with --model; leave them out")
        from stf_mamba.detection import load_detector

        return load_detector(model, device, face_model)
    if not untrained:
        raise UsageError(
            "no trained model was given, and an untrained one says nothing; train one (stf prepare, stf train) and "
            "give its folder with --model RUN. To look at curves only, add --untrained"
        )
    from stf_mamba.detection import untrained_detector
    from stf_mamba.recipe import Recipe

    return untrained_detector(Recipe() if recipe is None else Recipe.load(recipe), weights, device, face_model)


def _detect_one(detector: Detector, path: Path) -> Verdict:
    with progress_bar(path.name, None, "s of video searched for faces") as advance:
        seen_s = 0.0

        def on_progress(time_s: float) -> None:
            nonlocal seen_s
            advance(max(0.0, round(time_s - seen_s, 2)), "")
            seen_s = time_s

        return detector.detect(path, on_progress)


def _print_summary(manifest: Manifest, summary: Summary) -> None:
    typer.echo(
        f"{manifest.name}: {summary.analysed} of {summary.videos} videos analysed ({summary.reused} prepared before), "
        f"{summary.tracks} face tracks, {summary.dropped} dropped, {summary.clips} clips, {summary.seconds:.0f} s"
    )
    for entry in manifest.entries:
        if entry.reason is not None:
            typer.echo(f"  not analysable: {entry.record.video_id}: {entry.reason}")


def _print_verdict(path: Path, verdict: Verdict, page: Path) -> None:
    number = "" if verdict.probability is None else f", probability of manipulation {verdict.probability:.2f}"
    typer.echo(f"{path}: {verdict.outcome.words}{number}")
    for reason in verdict.reasons:
        typer.echo(f"  - {reason}")
    typer.echo(f"  {page}")


def _videos_in(paths: list[Path]) -> list[Path]:
    from stf_mamba.datasets.listing import VIDEO_SUFFIXES

    videos: list[Path] = []
    for path in paths:
        inside = (
            p
            for p in path.rglob("*")
            if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file() and not p.name.startswith(".")
        )
        found = sorted(inside) if path.is_dir() else [path]
        if not found:
            raise UsageError(f"no video in the folder {path}; looked for {', '.join(sorted(VIDEO_SUFFIXES))}")
        videos += found
    return videos


def _stems(videos: list[Path]) -> list[str]:
    """File names without suffix; with it, and then with a number, where that would clash."""
    names: list[str] = []
    for video in videos:
        candidates = [video.stem, video.name, *(f"{video.stem}-{number}" for number in range(2, len(videos) + 2))]
        names.append(next(name for name in candidates if name not in names))
    return names
