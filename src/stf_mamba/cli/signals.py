"""The verb that measures the forensic signals of single videos: ``stf signals``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stf_mamba.cli.arguments import folder_to_write
from stf_mamba.cli.options import FaceModelOption, JsonOption
from stf_mamba.cli.progress import by_position, progress_bar, stderr
from stf_mamba.cli.verbs import EXIT_NOT_ANALYSABLE, plain
from stf_mamba.core.errors import StfError, VideoError
from stf_mamba.core.files import names_for, sha256_of
from stf_mamba.core.unexpected import LOG_NAME, unexpected_reason

if TYPE_CHECKING:
    from stf_mamba.faces.detectors import FaceDetector

SOURCE = "Source"  # the field of a page that holds its video's hash
NOTE = "These are measurements, not verdicts: none of them says whether a video was manipulated."


def signals(
    files: Annotated[list[Path], typer.Argument(help="Videos.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder for the pages (PNG).", callback=folder_to_write)] = Path(
        "signals"
    ),
    as_json: JsonOption = False,
    face_model: FaceModelOption = None,
) -> None:
    """Measure five forensic signals. On 32 consecutive frames of each video's most prominent face."""
    from stf_mamba.faces.detectors import load_face_detector

    detector = load_face_detector(face_model)
    out.mkdir(parents=True, exist_ok=True)
    measured: list[dict[str, Any]] = []
    pages: set[Path] = set()
    for path in files:
        try:
            sha256 = sha256_of(path)
            pages.add(page := _page(out, path, sha256, pages))
            found = _measure(path, detector, page, sha256)
        except VideoError as error:
            found = {"file": str(path), "reason": str(error)}
        except StfError:  # not of this file
            raise
        except Exception as error:
            reason = f"{path}: not analysable: {unexpected_reason(error, path, out / LOG_NAME)}"
            found = {"file": str(path), "reason": reason}
        measured.append(found)
        if "reason" in found:
            stderr().print(f"[red]error:[/red] {plain(found['reason'])}")
        elif not as_json:
            _print(found)
    if as_json:
        typer.echo(json.dumps({"note": NOTE, "videos": measured}, indent=2, ensure_ascii=False))
    elif any("signals" in found for found in measured):
        typer.echo(NOTE)
    if any("reason" in found for found in measured):
        raise typer.Exit(EXIT_NOT_ANALYSABLE)


def _page(out: Path, path: Path, sha256: str, taken: set[Path]) -> Path:
    """Where a file's page goes: under no name that another file's page has."""
    pages = (out / f"{name}-signals.png" for name in names_for(path.name, sha256))
    return next(page for page in pages if page not in taken and (not page.exists() or _source_of(page) == sha256))


def _source_of(page: Path) -> str | None:
    """The hash of the video that a page was made of, as it says itself."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(page) as picture:
            return picture.info.get(SOURCE)
    except (OSError, UnidentifiedImageError):
        return None


def _measure(path: Path, detector: FaceDetector, page: Path, sha256: str) -> dict[str, Any]:
    """The values of one video and its page, as the JSON has them."""
    import numpy as np

    from stf_mamba.clips.cutting import cut_clips
    from stf_mamba.clips.planning import find_clips
    from stf_mamba.clips.records import ClipSettings
    from stf_mamba.core.files import partial_path
    from stf_mamba.faces.cropping import CropPath
    from stf_mamba.signals import SIGNALS
    from stf_mamba.signals.measuring import measure_clips
    from stf_mamba.signals.picture import plot_signals
    from stf_mamba.signals.result import SignalResult

    settings = ClipSettings(detector.name, sampling="consecutive", window_s=None, clips_per_track=1, tracks=1)
    with progress_bar(path.name, None, "s searched for faces") as advance:
        video, requests = find_clips(path, detector, settings, by_position(advance), sha256)
    if not requests:
        raise VideoError(f"{path}: {video.reason}")
    track, times_s = requests[0]
    (clip,) = cut_clips(path, requests[:1], settings.faces)
    crop_path = CropPath(track, settings.faces)
    landmarks_px = np.stack([crop_path.landmarks_at(time_s) for time_s in times_s])
    results = {name: found[0] for name, found in measure_clips([(clip.frames, landmarks_px)]).items()}
    defined = {name: result for name, result in results.items() if isinstance(result, SignalResult)}
    if defined:
        with partial_path(page) as partial:
            plot_signals(defined, clip.frames).savefig(partial, format="png", dpi=110, metadata={SOURCE: sha256})
    return {
        "file": str(path),
        "start_s": times_s[0],
        "end_s": times_s[-1],
        "frames": len(times_s),
        "page": str(page) if defined else None,
        "signals": [
            {"signal": name, "title": SIGNALS[name].title}
            | (
                {"value": result.value, "unit": result.unit}
                if isinstance(result, SignalResult)
                else {"value": None, "reason": result}
            )
            for name, result in results.items()
        ],
    }


def _print(found: dict[str, Any]) -> None:
    typer.echo(f"{found['file']}: {found['frames']} frames from {found['start_s']:.2f} to {found['end_s']:.2f} s")
    for signal in found["signals"]:
        value = signal["value"]
        words = f"undefined: {signal['reason']}" if value is None else f"{value:.4g} {signal['unit']}"
        typer.echo(f"  {signal['title']:<28} {words}")
    if found["page"] is not None:
        typer.echo(f"  {found['page']}")
