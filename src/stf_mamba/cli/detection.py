"""The verb that gives verdicts: ``stf detect``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stf_mamba.cli.arguments import folder_to_write, trained_run, weights_source
from stf_mamba.cli.options import DeviceOption, FaceModelOption, JsonOption
from stf_mamba.cli.progress import by_position, progress_bar
from stf_mamba.cli.verbs import EXIT_FAIL_ON, EXIT_NOT_ANALYSABLE
from stf_mamba.core.errors import DatasetError, StfError, UsageError, VideoError
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import Outcome
from stf_mamba.core.unexpected import LOG_NAME, unexpected_reason

if TYPE_CHECKING:
    from stf_mamba.core.records import Verdict
    from stf_mamba.detection.detector import Detector


def detect(
    paths: Annotated[list[Path], typer.Argument(help="Videos, or folders of videos.", exists=True)],
    model: Annotated[
        Path | None, typer.Option("--model", help="A run folder made by stf train.", callback=trained_run)
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the verdicts (JSON and HTML).", callback=folder_to_write)
    ] = Path("verdicts"),
    as_json: JsonOption = False,
    fail_on: Annotated[Outcome | None, typer.Option("--fail-on", help="Exit with 10 if any video has it.")] = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="Run a model that was never trained.")] = False,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="With --untrained: the model's recipe.")] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="With --untrained: encoder weights.", callback=weights_source)
    ] = None,
    face_model: FaceModelOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Give a verdict on each video. As JSON, and as a page that shows what it rests on."""
    videos = _videos_in(paths)
    detector = _detector(model, untrained, recipe, weights, face_model, device)
    out.mkdir(parents=True, exist_ok=True)
    verdicts = []
    for path, stem in zip(videos, distinct_stems(videos), strict=True):
        verdict = _detect_one(detector, path, out, stem)
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
        from stf_mamba.detection.detector import load_detector

        return load_detector(model, device, face_model)
    if not untrained:
        raise UsageError(
            "no trained model was given, and an untrained one says nothing; train one (stf prepare, stf train) and "
            "give its folder with --model RUN. To look at curves only, add --untrained"
        )
    loaded = Recipe() if recipe is None else Recipe.load(recipe)
    from stf_mamba.detection.detector import untrained_detector

    return untrained_detector(loaded, weights, device, face_model)


def _detect_one(detector: Detector, path: Path, out: Path, stem: str) -> Verdict:
    """The verdict on one video, written; no error of this file ends the others."""
    try:
        with progress_bar(path.name, None, "s of video searched for faces") as advance:
            verdict = detector.detect(path, by_position(advance))
        _write(verdict, out, stem)
        return verdict
    except VideoError as error:  # it went away, or became another file, while it was looked at
        reason = str(error)
    except StfError:  # of the model, not of this file
        raise
    except Exception as error:
        reason = f"Not analysable: {unexpected_reason(error, path, out / LOG_NAME)}"
    verdict = detector.not_analysable(path, reason)
    _write(verdict, out, stem)
    return verdict


def _write(verdict: Verdict, out: Path, stem: str) -> None:
    from stf_mamba.detection.case_report import write_case_report

    verdict.save(out / f"{stem}.json")
    write_case_report(verdict, out / f"{stem}.html")


def _print_verdict(path: Path, verdict: Verdict, page: Path) -> None:
    number = "" if verdict.probability is None else f", probability of manipulation {verdict.probability:.2f}"
    typer.echo(f"{path}: {verdict.outcome.words}{number}")
    for reason in verdict.reasons:
        typer.echo(f"  - {reason}")
    typer.echo(f"  {page}")


def _videos_in(paths: list[Path]) -> list[Path]:
    """The videos of the paths, folders with what lies below them; a file that is named twice once."""
    from stf_mamba.datasets.listing import videos_in

    videos: dict[Path, Path] = {}
    for path in paths:
        try:
            found = videos_in(path, nested=True) if path.is_dir() else [path]
        except DatasetError as error:
            raise UsageError(str(error)) from error
        for video in found:
            videos.setdefault(video.resolve(), video)
    return list(videos.values())


def distinct_stems(videos: list[Path]) -> list[str]:
    """File names without suffix; with it, and then with a number, where that would clash."""
    names: list[str] = []
    for video in videos:
        candidates = [video.stem, video.name, *(f"{video.stem}-{number}" for number in range(2, len(videos) + 2))]
        names.append(next(name for name in candidates if name not in names))
    return names
