"""Does compression kill the signals? The same frames and face boxes, measured again after re-encoding the video."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from stf_mamba.clips.records import Manifest, ManifestEntry, StoredVideo
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import RunError, VideoError
from stf_mamba.core.files import read_json, remove_leftovers, write_json
from stf_mamba.core.records import JsonRecord
from stf_mamba.evaluation.statistics.intervals import ALPHA, CONFIDENCE
from stf_mamba.evaluation.statistics.significance import holm, signed_rank_test
from stf_mamba.signals import SIGNALS
from stf_mamba.signals.comparison import differences_by_real
from stf_mamba.signals.measuring import (
    Results,
    clip_landmarks,
    kept_rows,
    measure_clips,
    of_stored_clips,
    prominent_clips,
    signal_rows,
    table_stamp,
)
from stf_mamba.signals.table import SignalRow, SignalTable

if TYPE_CHECKING:
    from fractions import Fraction

    from stf_mamba.core.records import UInt8Array

CRFS = (23, 40)
SOURCE_LEVEL = "source"
RATES_FILE = "bits-per-pixel.json"

Rates = dict[str, dict[str, float]]


@dataclass(frozen=True)
class CompressionFinding(JsonRecord):
    """Whether the real-fake difference of a signal changes from the first level to the last, over pairs.

    Attributes:
        change: rank-biserial effect of the paired differences at the first level minus those at the last; ``low`` and
            ``high`` are its interval.
        median_change: of the same numbers, in the signal's unit.
        first_difference: median of fake minus real at the first level, in the signal's unit.
        p, p_holm: two-sided signed-rank test, before and after Holm's correction over all findings.
        n_pairs: reals that have their fakes, measured at both levels.
        verdict: ``shrinks`` where ``p_holm`` is below alpha and the change has the sign of the first difference.
    """

    signal: str
    method: str
    change: float
    low: float
    high: float
    confidence: float
    median_change: float
    first_difference: float
    p: float
    p_holm: float
    n_pairs: int
    verdict: Literal["shrinks", "grows", "no change shown"]


def compression_series(
    store: ClipStore,
    manifest: Manifest,
    folder: str | os.PathLike[str],
    crfs: Sequence[int] = CRFS,
    on_video: Callable[[str], None] | None = None,
    keep: bool = False,
) -> dict[str, SignalTable]:
    """The signals by level: ``source`` (the clips as prepared), then ``crf N`` of the re-encoded video files.

    Each file is encoded from its start to the last frame that a clip needs, by x264 with preset "medium" and one
    thread, with clock, size, and colour description of the source. x264's macroblock tree is off, because its bytes
    differ from run to run. The re-encoded frames are cropped along the *source's* face track at the source's times, so
    that only compression differs. A video that cannot be encoded is a row with its reason.

    Writes one CSV a level, ``bits-per-pixel.json`` (by level and video), and ``levels.json`` once all are measured;
    called again, it continues after the last finished video.

    Args:
        store: clips of consecutive frames.
        crfs: constant rate factors, ascending.
        on_video: called with each video's id once it is measured.
        keep: leave the re-encoded files in ``folder/videos``.

    Raises:
        ValueError: the clips are not of consecutive frames, or the CRFs do not ascend within 0 to 51.
        RunError: ``folder`` holds tables that were made otherwise.
        ClipStoreError: a clip is missing or damaged.
    """
    if store.settings.sampling != "consecutive":
        raise ValueError(f"the clips' sampling is {store.settings.sampling!r}, expected 'consecutive'")
    if not crfs or list(crfs) != sorted(set(crfs)) or not 0 <= crfs[0] <= crfs[-1] <= 51:
        raise ValueError(f"crfs are {tuple(crfs)}, expected ascending numbers from 0 to 51")
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    remove_leftovers(root)
    files = {SOURCE_LEVEL: "source.csv"} | {f"crf {crf}": f"crf-{crf}.csv" for crf in crfs}
    stamps = {level: table_stamp(store, manifest, "consecutive") | {"level": level} for level in files}
    rows = {level: kept_rows(root / name, stamps[level], manifest) for level, name in files.items()}
    done = set.intersection(*({row.video_id for row in of_level} for of_level in rows.values()))
    rows = {level: [row for row in of_level if row.video_id in done] for level, of_level in rows.items()}
    rates = {level: {video: rate for video, rate in of.items() if video in done} for level, of in _rates(root).items()}

    def save() -> None:
        write_json(root / RATES_FILE, rates)
        for level, name in files.items():
            SignalTable(tuple(rows[level]), stamps[level]).save(root / name)

    for entry in (entry for entry in manifest.entries if entry.record.video_id not in done):
        for level, (found, rate) in _measure_video(store, entry, root / "videos", crfs, keep).items():
            rows[level].extend(found)
            if rate is not None:
                rates.setdefault(level, {})[entry.record.video_id] = rate
        save()
        if on_video is not None:
            on_video(entry.record.video_id)
    save()
    write_json(root / "levels.json", files)
    return {level: SignalTable(tuple(rows[level]), stamps[level]) for level in files}


def compression_findings(levels: dict[str, SignalTable], alpha: float = ALPHA) -> tuple[CompressionFinding, ...]:
    """Whether each signal's real-fake difference changes from the first level to the last. Empty without pairs.

    Raises:
        ValueError: fewer than two levels.
    """
    if len(levels) < 2:
        raise ValueError(f"levels are {list(levels)}, expected at least two")
    tables = list(levels.values())
    first, last = differences_by_real(tables[0]), differences_by_real(tables[-1])
    tested = []
    for place, before in first.items():
        common = [real for real in before if real in last.get(place, {})]
        differences = np.array([before[real] for real in common])
        changes = differences - np.array([last[place][real] for real in common])
        if len(common) >= 2 and np.any(changes != 0):
            tested.append((place, differences, changes, signed_rank_test(changes, CONFIDENCE)))
    adjusted = holm([test.p for *_, test in tested]).tolist() if tested else []
    findings = []
    for ((signal, method), differences, changes, test), p_holm in zip(tested, adjusted, strict=True):
        first_difference = float(np.median(differences))
        verdict: Literal["shrinks", "grows", "no change shown"] = "no change shown"
        if p_holm < alpha and first_difference != 0:
            verdict = "shrinks" if test.effect * first_difference > 0 else "grows"
        findings.append(
            CompressionFinding(
                signal, method, test.effect, test.low, test.high, CONFIDENCE, float(np.median(changes)),
                first_difference, test.p, p_holm, len(changes), verdict,
            )
        )  # fmt: skip
    return tuple(findings)


def bits_per_pixel(folder: str | os.PathLike[str]) -> dict[str, float]:
    """Median over the videos, by level, of file size in bits per pixel and frame. Empty where not run.

    The source counts as it is, sound included; a copy has pictures only.

    Raises:
        RunError: the file is damaged.
    """
    return {level: float(np.median(list(rates.values()))) for level, rates in _rates(Path(folder)).items() if rates}


def _rates(root: Path) -> Rates:
    path = root / RATES_FILE
    if not path.is_file():
        return {}
    rates: Rates = read_json(path, RunError, f"remove {root} and measure again")
    return rates


def _measure_video(
    store: ClipStore, entry: ManifestEntry, folder: Path, crfs: Sequence[int], keep: bool
) -> dict[str, tuple[list[SignalRow], float | None]]:
    """Rows and bits per pixel of one video, by level."""
    video = None if entry.sha256 is None else store.video(entry.sha256)
    info = None if video is None else video.info
    found = {SOURCE_LEVEL: (list(signal_rows(entry.record, info, of_stored_clips(store, entry, video))), None)}
    measured: dict[str, tuple[list[SignalRow], float | None]] = dict(found)
    if info is not None:  # the whole file, sound and container included
        pixels = info.width_px * info.height_px * info.duration_s * float(info.fps)
        measured[SOURCE_LEVEL] = (found[SOURCE_LEVEL][0], 8 * info.size_bytes / pixels)
    for crf in crfs:
        rate: float | None = None
        if video is None or not video.clips or entry.sha256 is None:
            results: Results = {name: [entry.reason or "no clips"] for name in SIGNALS}
        else:
            path = folder / f"crf-{crf}" / f"{entry.sha256}.mp4"
            try:
                results, rate = _recoded(store, video, entry.record.path, path, crf)
            except VideoError as error:
                results = {name: [str(error)] for name in SIGNALS}
            finally:
                if not keep:
                    path.unlink(missing_ok=True)
        measured[f"crf {crf}"] = (list(signal_rows(entry.record, info, results)), rate)
    return measured


def _recoded(store: ClipStore, video: StoredVideo, source: Path, path: Path, crf: int) -> tuple[Results, float]:
    """What the signals are in the clips after encoding, and the bits per pixel."""
    assert video.info is not None
    clips = prominent_clips(video)
    times_s = _encode(source, path, crf, video.info.fps, max(clip.times_s[-1] for clip in clips))
    crops = dict(_crops(store, video, path, times_s))
    missing = [time_s for clip in clips for time_s in clip.times_s if time_s not in crops]
    if missing:
        raise VideoError(f"{source} has no frame at {missing[0]:.6f} s, where its clip has one; prepare it again")
    results = measure_clips(
        (np.stack([crops[time_s] for time_s in clip.times_s]), clip_landmarks(store, video, clip)) for clip in clips
    )
    return results, 8 * path.stat().st_size / (len(times_s) * video.info.width_px * video.info.height_px)


def _encode(source: Path, path: Path, crf: int, fps: Fraction, last_s: float) -> list[float]:
    """Encode the source up to ``last_s``. Returns the times of the frames, in seconds of the source's clock."""
    import av

    from stf_mamba.media.colour import is_hdr
    from stf_mamba.media.decoding import Damage, timed_pictures
    from stf_mamba.media.encoding import TICK, h264_video
    from stf_mamba.media.times import TIME_TOLERANCE_S

    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    times_s: list[float] = []
    try:
        with h264_video(path, fps, crf) as append:
            for shown in timed_pictures(source, Damage()):
                if shown.time_s > last_s + TIME_TOLERANCE_S:
                    break
                picture = shown.picture
                if not times_s and (is_hdr(picture) or shown.matrix != (1, 0, 0, 1)):
                    raise VideoError(f"{source}: turned or high dynamic range; only upright SDR is re-encoded")
                picture.pts, picture.time_base = round((shown.time_s - (times_s or [shown.time_s])[0]) / TICK), TICK
                append(picture)
                times_s.append(shown.time_s)
    except av.FFmpegError as error:
        raise VideoError(f"{source}: cannot be encoded as H.264 ({error}); expected even sides in 8 bits") from error
    return times_s


def _crops(
    store: ClipStore, video: StoredVideo, path: Path, times_s: Sequence[float]
) -> Iterator[tuple[float, UInt8Array]]:
    """The source's time and the crop of each frame that the clips of the most prominent face need.

    Frames are matched by their number, since the copy's clock begins at 0.
    """
    from stf_mamba.faces.cropping import CropPath, crop_face
    from stf_mamba.media.colour import RgbConverter
    from stf_mamba.media.decoding import Damage, timed_pictures

    clips = prominent_clips(video)
    wanted_s = {time_s for clip in clips for time_s in clip.times_s}
    track = next(track for track in video.tracks if track.id == clips[0].track_id)
    crop_path, convert = CropPath(track, store.settings.faces), RgbConverter()
    for time_s, shown in zip_longest(times_s, timed_pictures(path, Damage())):
        if time_s is None or shown is None:
            raise VideoError(f"{path}: the copy has other than the {len(times_s)} frames that were encoded")
        if time_s in wanted_s:
            yield time_s, crop_face(convert(shown.picture), crop_path, time_s)
