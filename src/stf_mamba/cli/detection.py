"""The verb that gives verdicts: ``stf detect``."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stf_mamba.cli.arguments import folder_to_write, trained_run, weights_source
from stf_mamba.cli.options import DeviceOption, FaceModelOption, JsonOption
from stf_mamba.cli.verbs import EXIT_FAIL_ON, EXIT_NOT_ANALYSABLE, hold_to_the_end
from stf_mamba.core.errors import DatasetError, StfError, UsageError, VideoError
from stf_mamba.core.files import sha256_of
from stf_mamba.core.recipe import Recipe
from stf_mamba.core.records import Outcome
from stf_mamba.core.unexpected import LOG_NAME, unexpected_reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from stf_mamba.core.records import Verdict
    from stf_mamba.detection.case_report import PageCrops
    from stf_mamba.detection.detector import Detector
    from stf_mamba.detection.verdict_folder import VerdictFolder, VerdictPlace


def detect(
    context: typer.Context,
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
    again: Annotated[bool, typer.Option("--again", help="Make verdicts that are finished in --out anew.")] = False,
) -> None:
    """Give a verdict on each video. As JSON, and as a page that shows what it rests on.

    Run it again to continue after a stop. Exits with 3 if a video cannot be analysed.
    """
    from stf_mamba.cli.files_progress import FilesProgress
    from stf_mamba.detection.verdict_folder import VerdictFolder

    videos = _videos_in(paths)
    hold_to_the_end(context, out, "verdicts that were written are kept")
    detector = _detector(model, untrained, recipe, weights, face_model, device)
    folder, started_s = VerdictFolder(out), time.monotonic()
    progress = FilesProgress([path.stat().st_size if path.is_file() else 0 for path in videos])
    found: list[_Found] = []
    for path, name in videos.items():
        with progress.file(path.name) as on_step:
            found.append(_detect_one(detector, path, folder, name, again, on_step))
        if not as_json:
            _print_verdict(path, found[-1])
    if as_json:
        verdicts = [one.verdict.to_json() for one in found]
        typer.echo(json.dumps(verdicts, indent=2, ensure_ascii=False))
    elif len(found) > 1:
        typer.echo(_summary(found, time.monotonic() - started_s))
    outcomes = {one.verdict.outcome for one in found}
    if fail_on is not None and fail_on in outcomes:
        raise typer.Exit(EXIT_FAIL_ON)
    if Outcome.NOT_ANALYSABLE in outcomes:
        raise typer.Exit(EXIT_NOT_ANALYSABLE)


@dataclass(frozen=True)
class _Found:
    """A verdict, where it lies, and whether an earlier call had left it there."""

    verdict: Verdict
    place: VerdictPlace
    was_there: bool = False


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


def _detect_one(
    detector: Detector,
    path: Path,
    folder: VerdictFolder,
    name: Path,
    again: bool,
    on_step: Callable[[str, float, float], None],
) -> _Found:
    """The verdict on one video, written, or found finished; no error of this file ends the others."""
    from stf_mamba.detection.case_report import PageCrops

    sha256, reason = _hash_or_reason(path)
    place = folder.place(name, path, sha256)
    kept = place.verdict
    if kept is not None and not again and place.page.is_file() and detector.would_give(kept):
        return _Found(kept, place, was_there=True)
    crops = PageCrops()
    try:
        if reason is None:
            verdict = detector.detect(path, on_step, sha256, crops.add)
            on_step("writing the page", 0, 0)
            _write(verdict, place, crops)
            return _Found(verdict, place)
    except VideoError as error:  # it went away while it was looked at
        reason = str(error)
    except StfError:  # of the model, not of this file
        raise
    except Exception as error:
        reason = f"Not analysable: {unexpected_reason(error, path, folder.root / LOG_NAME)}"
    verdict = detector.not_analysable(path, reason, sha256)
    _write(verdict, place, PageCrops())
    return _Found(verdict, place)


def _hash_or_reason(path: Path) -> tuple[str | None, str | None]:
    try:
        return sha256_of(path), None
    except VideoError as error:
        return None, str(error)


def _write(verdict: Verdict, place: VerdictPlace, crops: PageCrops) -> None:
    from stf_mamba.detection.case_report import write_case_report

    place.json.parent.mkdir(parents=True, exist_ok=True)
    verdict.save(place.json)
    write_case_report(verdict, place.page, crops=crops)


def _print_verdict(path: Path, found: _Found) -> None:
    verdict = found.verdict
    number = "" if verdict.probability is None else f", probability of manipulation {verdict.probability:.2f}"
    before = " (found finished; --again makes it anew)" if found.was_there else ""
    typer.echo(f"{path}: {verdict.outcome.words}{number}{before}")
    for reason in verdict.reasons:
        typer.echo(f"  - {reason}")
    typer.echo(f"  {found.place.page}")


def _summary(found: list[_Found], seconds: float) -> str:
    counts = {outcome: sum(one.verdict.outcome is outcome for one in found) for outcome in Outcome}
    parts = ", ".join(f"{count} {outcome.words}" for outcome, count in counts.items() if count)
    before = sum(one.was_there for one in found)
    return f"{len(found)} videos: {parts}; {before} found finished; {timedelta(seconds=round(seconds))}"


def _videos_in(paths: list[Path]) -> dict[Path, Path]:
    """The videos of the paths, folders with what lies below them, each with its name below the folder that was given;
    a file that is named twice once."""
    from stf_mamba.datasets.listing import videos_in

    names: dict[Path, Path] = {}
    seen: set[Path] = set()
    for path in paths:
        try:
            found = videos_in(path, nested=True) if path.is_dir() else [path]
        except DatasetError as error:
            raise UsageError(str(error)) from error
        for video in found:
            if video.resolve() not in seen:
                seen.add(video.resolve())
                names[video] = video.relative_to(path) if path.is_dir() else Path(video.name)
    return names
