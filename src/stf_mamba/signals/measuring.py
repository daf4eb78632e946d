"""Experiment 1, first half: the five signals of every prepared video, in a table that can be continued."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np

from stf_mamba.clips.records import Manifest, ManifestEntry, StoredClip, StoredVideo
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import RunError, VideoError
from stf_mamba.core.records import Float64Array, UInt8Array, VideoRecord
from stf_mamba.faces.cropping import CropPath
from stf_mamba.media.probing import VideoInfo
from stf_mamba.signals import SIGNALS
from stf_mamba.signals.ablation_frames import report_frames
from stf_mamba.signals.result import SignalResult, UndefinedSignalError
from stf_mamba.signals.table import Footage, SignalRow, SignalTable

LIBRARIES = ("numpy", "opencv-python-headless", "PyWavelets", "stf-mamba")

Protocol = Literal["consecutive", "report"]
Results = dict[str, list[SignalResult | str]]  # by signal: what its clips gave, the reason where it is undefined


def measure_signals(
    store: ClipStore,
    manifest: Manifest,
    path: str | os.PathLike[str],
    protocol: Protocol = "consecutive",
    on_video: Callable[[str], None] | None = None,
) -> SignalTable:
    """Measure every signal of every video; what the CSV at ``path`` already holds is kept and not measured again.

    Args:
        store: clips of consecutive frames.
        path: the table, written after each video.
        protocol: ``consecutive`` frames of the tracked face, or the ``report``'s frames of the whole video file.
        on_video: called with each video's id once its rows are in the table.

    Raises:
        ValueError: the store's clips are not of consecutive frames.
        RunError: ``path`` holds a table that was made otherwise.
        ClipStoreError: a clip is missing or damaged.
    """
    if protocol == "consecutive" and store.settings.sampling != "consecutive":
        raise ValueError(
            f"the clips' sampling is {store.settings.sampling!r}, expected 'consecutive': flicker and motion are "
            "between neighbouring frames; prepare clips with --sampling consecutive"
        )
    stamp = table_stamp(store, manifest, protocol)
    rows = kept_rows(Path(path), stamp, manifest)
    measured = {row.video_id for row in rows}
    for entry in manifest.entries:
        if entry.record.video_id not in measured:
            rows.extend(_rows_of_video(store, entry, protocol))
            SignalTable(tuple(rows), stamp).save(path)
            if on_video is not None:
                on_video(entry.record.video_id)
    table = SignalTable(tuple(rows), stamp)
    table.save(path)
    return table


def table_stamp(store: ClipStore, manifest: Manifest, protocol: Protocol) -> dict[str, str]:
    """How a table is made: data set, protocol, clip settings, versions."""
    return {
        "data set": manifest.name,
        "protocol": protocol,
        "clips": store.settings.key,
        "versions": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def kept_rows(path: Path, stamp: dict[str, str], manifest: Manifest) -> list[SignalRow]:
    """Rows of the videos that an earlier call finished.

    Raises:
        RunError: ``path`` holds a table that was made otherwise, or cannot be read.
    """
    if not path.exists():
        return []
    table = SignalTable.load(path)
    differing = {key: (table.stamp.get(key), value) for key, value in stamp.items() if table.stamp.get(key) != value}
    if differing:
        words = "; ".join(f"{key} {found!r}, now {wanted!r}" for key, (found, wanted) in differing.items())
        raise RunError(f"{path} was made otherwise ({words}); remove it, or give another path")
    wanted = {entry.record.video_id for entry in manifest.entries}
    return [row for row in table.rows if row.video_id in wanted]


def _rows_of_video(store: ClipStore, entry: ManifestEntry, protocol: Protocol) -> Iterator[SignalRow]:
    video = None if entry.sha256 is None else store.video(entry.sha256)
    measured = _by_report(entry) if protocol == "report" else of_stored_clips(store, entry, video)
    return signal_rows(entry.record, None if video is None else video.info, measured)


def signal_rows(record: VideoRecord, info: VideoInfo | None, measured: Results) -> Iterator[SignalRow]:
    """A row for each signal: the mean over the clips, or the reasons why there is none."""
    footage = None if info is None else Footage(info.fps, info.width_px, info.height_px, info.duration_s)
    for name, results in measured.items():
        values = [result.value for result in results if isinstance(result, SignalResult)]
        reasons = [result for result in results if isinstance(result, str)]
        units = {result.unit for result in results if isinstance(result, SignalResult)}
        yield SignalRow(
            video_id=record.video_id,
            signal=name,
            value=float(np.mean(values)) if values else None,
            unit=units.pop() if units else None,
            label=record.label,
            identities=record.identities,
            method=record.method,
            compression=record.compression,
            footage=footage,
            n_clips=len(values),
            reason=None if values else "; ".join(dict.fromkeys(reasons)),
        )


def of_stored_clips(store: ClipStore, entry: ManifestEntry, video: StoredVideo | None) -> Results:
    """For each signal its results on the clips of the most prominent face, a reason in place of those undefined."""
    if video is None or not video.clips or entry.sha256 is None:
        return {name: [entry.reason or "no clips"] for name in SIGNALS}
    sha256 = entry.sha256
    return measure_clips(
        (np.array(store.frames(sha256, clip)), clip_landmarks(store, video, clip)) for clip in prominent_clips(video)
    )


def prominent_clips(video: StoredVideo) -> tuple[StoredClip, ...]:
    """The clips of the most prominent face; none where the video has none."""
    first = min((clip.track_id for clip in video.clips), default=None)  # tracks are numbered by prominence
    return tuple(clip for clip in video.clips if clip.track_id == first)


def measure_clips(clips: Iterable[tuple[UInt8Array, Float64Array]]) -> Results:
    """For each signal its result on each clip, frames (T, H, W, 3) with landmarks (T, 5, 2); a reason if undefined."""
    measured: Results = {name: [] for name in SIGNALS}
    for frames, landmarks_px in clips:
        for name, signal in SIGNALS.items():
            measured[name].append(_or_reason(partial(signal.measure, frames, landmarks_px)))
    return measured


def clip_landmarks(store: ClipStore, video: StoredVideo, clip: StoredClip) -> Float64Array:
    """(T, 5, 2) landmarks of a stored clip's face, in the clip's pixels."""
    track = next(track for track in video.tracks if track.id == clip.track_id)
    path = CropPath(track, store.settings.faces)
    return np.stack([path.landmarks_at(time_s) for time_s in clip.times_s])


def _by_report(entry: ManifestEntry) -> Results:
    """The report's variants, on the video file itself: the store holds no crops of its kind."""
    try:
        frames = report_frames(entry.record.path)
    except VideoError as error:
        return {name: [str(error)] for name in SIGNALS}
    return {name: [_or_reason(partial(signal.report_variant, frames))] for name, signal in SIGNALS.items()}


def _or_reason(measure: Callable[[], SignalResult]) -> SignalResult | str:
    try:
        return measure()
    except UndefinedSignalError as error:
        return str(error)
