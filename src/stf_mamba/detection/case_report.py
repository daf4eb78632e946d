"""A verdict as one self-contained HTML page: outcome, reasons, what was seen when and where, provenance."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from stf_mamba.clips.cutting import cut_clips
from stf_mamba.core.errors import VideoError
from stf_mamba.core.files import sha256_of, write_text_atomically
from stf_mamba.core.records import Clip, ClipScore, FaceTrack, Outcome, TrackScore, UInt8Array, Verdict
from stf_mamba.datasets.drawn import KNOWS_DRAWINGS_ONLY
from stf_mamba.detection.plots import plot_relations, plot_timeline
from stf_mamba.faces.settings import FaceSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    Outcome.MANIPULATED: "#D55E00",
    Outcome.NOT_FLAGGED: "#009E73",
    Outcome.INCONCLUSIVE: "#0072B2",
    Outcome.NOT_ANALYSABLE: "#5b6670",
}
OUTSTANDING_FRAMES = 4
PICTURED_TRACKS = 4
PICTURED_CLIPS = 3
CROP_PX = 112


def write_case_report(
    verdict: Verdict,
    path: str | os.PathLike[str],
    video: str | os.PathLike[str] | None = None,
    crops: PageCrops | None = None,
) -> Path:
    """Write the page of a verdict. Returns its path.

    The crops are cut again from the video, by the boxes in the verdict, after its hash has been compared; so a page can
    be made for any saved verdict as long as its video is there.

    Args:
        video: where the video lies now; ``None`` for where it lay when the verdict was made.
        crops: what was kept when the verdict was made; the video is not opened then.

    Raises:
        VideoError: the video is missing or is another file than the verdict's.

    Example:
        >>> import stf_mamba as stf
        >>> verdict = stf.load_detector("runs/v8").detect("interview.mp4")  # doctest: +SKIP
        >>> stf.write_case_report(verdict, "interview.html")  # doctest: +SKIP
        PosixPath('interview.html')
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    source = Path(video if video is not None else verdict.provenance["path"])
    if crops is None:
        crops = _cut_again(verdict, source) if verdict.tracks else PageCrops()
    tracks = list(_picture_tracks(verdict, crops))
    environment = Environment(
        loader=PackageLoader("stf_mamba.detection"), autoescape=select_autoescape(("html.j2",)), trim_blocks=True
    )
    page = environment.get_template("case_report.html.j2").render(
        verdict=verdict,
        name=source.name,
        colour=COLOURS[verdict.outcome],
        tracks=tracks,
        warning=KNOWS_DRAWINGS_ONLY if verdict.provenance.get("model", {}).get("drawn") else None,
        facts=list(_flatten(verdict.provenance)),
    )
    return write_text_atomically(path, page)


class PageCrops:
    """The crops that a page may show, as JPEG in base64: small ones of all frames of the clips that were added, and a
    large one of each clip's first frame."""

    def __init__(self) -> None:
        self._small: dict[tuple[int, float], str] = {}
        self._large: dict[tuple[int, float], str] = {}

    def add(self, clip: Clip) -> None:
        """Keep a clip's crops."""
        self._large[clip.track_id, clip.times_s[0]] = _jpeg(clip.frames[0], 2 * CROP_PX)
        for time_s, rgb in zip(clip.times_s, clip.frames, strict=True):
            self._small[clip.track_id, time_s] = _jpeg(rgb, CROP_PX)

    def small(self, track_id: int, time_s: float) -> str:
        """The crop of a frame, 112 pixels a side."""
        return self._small[track_id, time_s]

    def large(self, track_id: int, time_s: float) -> str:
        """The crop of a clip's first frame, 224 pixels a side."""
        return self._large[track_id, time_s]


@dataclass(frozen=True)
class _Crop:
    time_s: float
    value: str
    stands_out: bool
    jpeg: str


@dataclass(frozen=True)
class _PicturedClip:
    score: ClipScore
    crops: list[_Crop]


@dataclass(frozen=True)
class _Relations:
    """What the comparisons add, as SVG markup, and a crop to outline the parts on; reaches are 1 at its edge."""

    bars: Any
    jpeg: str
    middle_reach: float
    ring_reach: float


@dataclass(frozen=True)
class _PicturedTrack:
    score: TrackScore
    timeline: Any
    judges_frames: bool
    relations: _Relations | None
    clips: list[_PicturedClip]


def _cut_again(verdict: Verdict, source: Path) -> PageCrops:
    """The crops of the clips that are pictured, from one pass over the video."""
    _require_same_file(verdict, source)
    settings = FaceSettings.from_json(verdict.provenance["clip_settings"]["faces"])
    requests = [
        (FaceTrack(track.track_id, track.faces), clip.times_s)
        for track in verdict.tracks[:PICTURED_TRACKS]
        for clip in _pictured_clips(track)
    ]
    crops = PageCrops()
    for clip in cut_clips(source, requests, settings):
        crops.add(clip)
    return crops


def _pictured_clips(track: TrackScore) -> list[ClipScore]:
    return sorted(track.clips, key=lambda clip: -clip.logit)[:PICTURED_CLIPS]


def _picture_tracks(verdict: Verdict, crops: PageCrops) -> Iterator[_PicturedTrack]:
    """The first tracks with their timelines and the crops of their highest-scoring clips."""
    for track in verdict.tracks[:PICTURED_TRACKS]:
        pictured = _pictured_clips(track)
        clips = [_PicturedClip(clip, list(_crops(clip, track.track_id, crops))) for clip in pictured]
        judges_frames = all(clip.frame_logits for clip in track.clips)
        shown = crops.large(track.track_id, pictured[0].times_s[0])
        yield _PicturedTrack(track, _markup(plot_timeline(track)), judges_frames, _relations(track, shown), clips)


def _require_same_file(verdict: Verdict, source: Path) -> None:
    expected = verdict.provenance["sha256"]
    if not source.is_file():
        raise VideoError(f"the video of the verdict is not at {source} any more; say where it lies now")
    seen = sha256_of(source)
    if seen != expected:
        raise VideoError(
            f"{source} has the sha256 {seen[:16]}…, the verdict was made of {expected[:16]}…; "
            "say where the original file lies, or run detection again"
        )


def _crops(clip: ClipScore, track_id: int, crops: PageCrops) -> Iterator[_Crop]:
    """The clip's frames; those stand out whose logits are highest or, where it is not judged by frames, that are the
    least consistent; none where all are equal."""
    order = clip.frame_logits or [-similarity for similarity in clip.consistency]
    outstanding = sorted(range(len(order)), key=lambda index: -order[index])[:OUTSTANDING_FRAMES]
    differ = max(order) > min(order)
    for index, time_s in enumerate(clip.times_s):
        value = f"{clip.frame_logits[index]:+.2f}" if clip.frame_logits else f"{clip.consistency[index]:.4f}"
        yield _Crop(time_s, value, differ and index in outstanding, crops.small(track_id, time_s))


def _relations(track: TrackScore, jpeg: str) -> _Relations | None:
    """What the comparisons within the picture add to the track's logit, shown on one crop; ``None`` where the model
    makes none.

    A track's logit is the mean over its clips, so the means of what is added add up to it.
    """
    if not all(clip.relations for clip in track.clips):
        return None
    from stf_mamba.models.encoders.relations import MIDDLE_REACH, RING_REACH

    means = {name: fmean(clip.relations[name] for clip in track.clips) for name in track.clips[0].relations}
    bars = plot_relations(means, fmean(clip.constant for clip in track.clips))
    return _Relations(_markup(bars), jpeg, MIDDLE_REACH, RING_REACH)


def _jpeg(rgb: UInt8Array, side_px: int) -> str:
    import cv2

    small = cv2.resize(rgb, (side_px, side_px), interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return base64.b64encode(encoded.tobytes()).decode()


def _markup(figure: Figure) -> Any:
    """A figure as SVG markup that a page can hold."""
    from markupsafe import Markup

    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return Markup(text.getvalue()[text.getvalue().index("<svg") :])


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts as (name, text) rows; what is unknown is left out."""
    for key, value in facts.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}: ")
        elif isinstance(value, list | tuple):
            if value:
                yield name, ", ".join(str(item) for item in value)
        elif value is not None:
            yield name, str(value)
