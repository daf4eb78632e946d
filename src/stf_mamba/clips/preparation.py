"""From a video to its clips, and from a data set to a clip store."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from stf_mamba.clips.changed_face import ChangedFace, changed_face
from stf_mamba.clips.cutting import cut_clips
from stf_mamba.clips.planning import find_clips
from stf_mamba.clips.records import ClipSettings, Manifest, ManifestEntry, StoredVideo
from stf_mamba.clips.store import KEPT, ClipStore
from stf_mamba.clips.workers import in_workers, stops_held_back
from stf_mamba.core.errors import ClipStoreError, DatasetError, StfError, UsageError, VideoError, first_few
from stf_mamba.core.files import sha256_of, write_errors_as
from stf_mamba.core.locks import sole_use
from stf_mamba.core.records import FAKE, Clip, JsonRecord, VideoRecord
from stf_mamba.core.unexpected import LOG_NAME, unexpected_reason
from stf_mamba.datasets.drawn import require_name_of
from stf_mamba.faces.detectors import FaceDetector, load_face_detector


@dataclass(frozen=True)
class Summary(JsonRecord):
    """What a preparation came to. ``reasons`` counts why videos have no clips; ``reused`` were prepared before."""

    videos: int
    analysed: int
    reused: int
    tracks: int
    dropped: int
    clips: int
    reasons: dict[str, int]
    seconds: float


def prepare(
    records: Sequence[VideoRecord],
    store: ClipStore,
    name: str,
    face_model: Path | None = None,
    jobs: int | None = None,
    on_video: Callable[[VideoRecord, StoredVideo | None], None] = lambda record, video: None,
) -> tuple[Manifest, Summary]:
    """Prepare every video of a data set that the store does not hold yet.

    No file ends the others: an error that nobody foresaw is that file's reason, its traceback goes to ``errors.log``
    below the store's root, and the next call tries it again.

    Args:
        records: the data set, from its adapter.
        store: where the clips go; its settings decide what is made, and its folder is made once nothing speaks against
            it.
        name: of the manifest that lists the data set's videos.
        face_model: a YuNet file, or ``None`` for the built-in detector.
        jobs: processes; ``None`` for one per core.
        on_video: called as each video is done, in any order; the stored video is ``None`` for a file that could not
            even be read, or failed in a way that nobody foresaw.

    Raises:
        DatasetError: files of equal bytes are labelled real and fake; they are found when all files have been read.
        UsageError: the store is another detector's, its manifest of this name lists other files, or the name hides that
            the videos were drawn by a program.
        ClipStoreError: the disk is full, the folder cannot be written, another process prepares there, or a worker
            died. What was finished is kept; the same call continues.
        KeyboardInterrupt: after the workers were stopped and their half-written folders removed.
    """
    require_name_of(records, name)
    _require_same_detector(store, face_model)
    _require_same_files(records, store, name)
    with sole_use(store.root, ClipStoreError, KEPT):
        return _prepare_missing(records, store, name, face_model, jobs, on_video)


def _prepare_missing(
    records: Sequence[VideoRecord],
    store: ClipStore,
    name: str,
    face_model: Path | None,
    jobs: int | None,
    on_video: Callable[[VideoRecord, StoredVideo | None], None],
) -> tuple[Manifest, Summary]:
    started_s = time.monotonic()
    store = ClipStore.create(store.root, store.settings)
    jobs = max(1, min(jobs or os.cpu_count() or 1, len(records)))
    results: dict[str, _Prepared] = {}
    for record, result in _held(records, store, name, jobs):
        results[record.video_id] = result
        on_video(record, result.video)
    missing = [record for record in records if record.video_id not in results]
    for record, result in _run(missing, store, face_model, min(jobs, len(missing))):
        results[record.video_id] = result
        on_video(record, result.video)
    _require_one_label_a_file(records, results)
    before = _changed_before(store, name)
    manifest = Manifest(name, tuple(_entry(record, results[record.video_id], before) for record in records))
    store.save_manifest(manifest)
    return manifest, _summarise([results[record.video_id] for record in records], time.monotonic() - started_s)


def manifest_name(records: Sequence[VideoRecord]) -> str:
    """What a prepared data set is called unless it is named: the data set and, where it has one, the compression.

    Raises:
        ValueError: no records.
    """
    if not records:
        raise ValueError("a data set without videos has no name")
    first = records[0]
    return first.dataset if first.compression is None else f"{first.dataset}-{first.compression}"


@dataclass(frozen=True)
class _Prepared:
    sha256: str | None
    video: StoredVideo | None
    reason: str | None
    reused: bool = False


def _require_same_detector(store: ClipStore, face_model: Path | None) -> None:
    found = load_face_detector(face_model).name
    if found != store.settings.detector:
        raise UsageError(
            f"these clips are those of the face detector {store.settings.detector}, and this is {found}; "
            "give the same one (a YuNet file for a YuNet, none for the built-in MTCNN)"
        )


def _require_same_files(records: Sequence[VideoRecord], store: ClipStore, name: str) -> None:
    """Two data sets under one name would replace each other's manifest and mix up their ids."""
    if name not in store.manifests():
        return
    paths = {entry.record.video_id: entry.record.path.resolve() for entry in store.manifest(name).entries}
    for record in records:
        before = paths.get(record.video_id)
        if before is not None and before != record.path.resolve():
            raise UsageError(
                f"{store.root} already holds a data set {name!r} in which {record.video_id} is {before}, "
                f"not {record.path}; give this one a name of its own with --name"
            )


def _require_one_label_a_file(records: Sequence[VideoRecord], results: Mapping[str, _Prepared]) -> None:
    by_file: dict[str, list[VideoRecord]] = {}
    for record in records:
        result = results[record.video_id]
        if result.sha256 is not None and result.reason is None and record.label is not None:
            by_file.setdefault(result.sha256, []).append(record)
    contradictions = [same for same in by_file.values() if len({record.label for record in same}) > 1]
    if contradictions:
        named = first_few(
            " and ".join(f"{record.path} ({record.method})" for record in same) for same in contradictions
        )
        raise DatasetError(
            f"{len(contradictions)} files are in the data set under two labels, with equal bytes: {named}. "
            "Keep each under the label that is true."
        )


def _held(
    records: Sequence[VideoRecord], store: ClipStore, name: str, jobs: int
) -> Iterator[tuple[VideoRecord, _Prepared]]:
    """What an earlier call left, found without a face detector or processes: what its manifest lists, unchanged."""
    if name not in store.manifests():
        return
    listed = {entry.record.video_id: entry.sha256 for entry in store.manifest(name).entries}
    known = [record for record in records if listed.get(record.video_id) is not None]
    with ThreadPoolExecutor(jobs) as executor:
        for record, sha256 in zip(known, executor.map(_sha256_or_none, (r.path for r in known)), strict=True):
            if sha256 is not None and sha256 == listed[record.video_id] and store.has(sha256):
                yield record, _reused(store, sha256)


def _sha256_or_none(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except VideoError:
        return None


def _reused(store: ClipStore, sha256: str) -> _Prepared:
    video = store.video(sha256)
    return _Prepared(sha256, video, video.reason, reused=True)


def _run(
    records: Sequence[VideoRecord], store: ClipStore, face_model: Path | None, jobs: int
) -> Iterator[tuple[VideoRecord, _Prepared]]:
    if not records:
        return
    if jobs == 1:
        detector = load_face_detector(face_model)
        for record in records:
            yield record, _prepare_video(record.path, store, detector)
        return
    try:
        yield from in_workers(
            records, _prepare_in_worker, jobs, _start_worker, (store.root, store.settings, face_model)
        )
    except BrokenProcessPool:
        raise ClipStoreError(
            "a worker process died: for want of memory (then continue with --jobs 1), or because a Python script "
            'called this outside of `if __name__ == "__main__":`; videos that were finished are kept'
        ) from None
    finally:
        with stops_held_back():
            store.remove_leftovers()


def _prepare_video(path: Path, store: ClipStore, detector: FaceDetector) -> _Prepared:
    """Prepare one video unless the store holds it."""
    sha256: str | None = None
    try:
        sha256 = sha256_of(path)
        if store.has(sha256):
            return _reused(store, sha256)
        video, requests = find_clips(path, detector, store.settings, sha256=sha256)
        video = store.write(sha256, video, _read(path, cut_clips(path, requests, store.settings.faces)))
    except VideoError as error:
        if sha256 is None:
            return _Prepared(None, None, str(error))
        video = store.write(sha256, StoredVideo(None, reason=str(error)), iter(()))
    except StfError:  # of the store or of a model, not of this file
        raise
    except Exception as error:
        return _Prepared(None, None, _logged(error, path, store))
    return _Prepared(sha256, video, video.reason)


def _read(path: Path, clips: Iterator[Clip]) -> Iterator[Clip]:
    """The clips; the store takes an ``OSError`` for one of its own disk."""
    try:
        yield from clips
    except OSError as error:
        raise VideoError(f"{path}: cannot be read to its end ({error}); check the file and its disk") from error


def _logged(error: Exception, path: Path, store: ClipStore) -> str:
    with write_errors_as(ClipStoreError, store.root, KEPT):
        return unexpected_reason(error, path, store.root / LOG_NAME)


_worker: tuple[ClipStore, FaceDetector] | None = None


def _start_worker(root: Path, settings: ClipSettings, face_model: Path | None) -> None:
    import cv2
    import torch

    global _worker
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker = ClipStore(root, settings), load_face_detector(face_model)


def _prepare_in_worker(record: VideoRecord) -> _Prepared:
    assert _worker is not None
    return _prepare_video(record.path, *_worker)


def _changed_before(store: ClipStore, name: str) -> dict[str, ChangedFace]:
    """Which faces were changed, by the hash of the video, as the manifest of an earlier call has it."""
    entries = store.manifest(name).entries if name in store.manifests() else ()
    return {entry.sha256: entry.changed for entry in entries if entry.sha256 is not None and entry.changed is not None}


def _entry(record: VideoRecord, result: _Prepared, before: Mapping[str, ChangedFace]) -> ManifestEntry:
    info = result.video.info if result.video else None
    changed = None
    if record.label == FAKE and result.video is not None and result.sha256 is not None:
        changed = before.get(result.sha256) or changed_face(record, result.video.tracks)
    if info is not None:
        record = replace(record, sha256=info.sha256, fps=info.fps, duration_s=info.duration_s, codec=info.codec)
    return ManifestEntry(record, result.sha256, len(result.video.clips) if result.video else 0, result.reason, changed)


def _summarise(results: Sequence[_Prepared], seconds: float) -> Summary:
    videos = [result.video for result in results if result.video is not None]
    return Summary(
        videos=len(results),
        analysed=sum(result.reason is None for result in results),
        reused=sum(result.reused for result in results),
        tracks=sum(len(video.tracks) for video in videos),
        dropped=sum(len(video.dropped) for video in videos),
        clips=sum(len(video.clips) for video in videos),
        reasons=dict(Counter(result.reason for result in results if result.reason is not None)),
        seconds=seconds,
    )
