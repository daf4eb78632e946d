"""Prepared clips on disk: written once, resumable, read fast.

    ROOT/<settings key>/settings.json            what the clips were made with
    ROOT/<settings key>/videos/<ab>/<sha256>/    one folder a video, named by the file's hash
        video.json                               probe, tracks, dropped faces, clips, or the reason there are none
        000.npy ...                              one clip each, (T, 224, 224, 3) uint8 RGB, memory-mapped when read
    ROOT/<settings key>/manifests/<name>.json    which videos a data set consists of, with labels

A video's folder is made under a temporary name and renamed when it is complete, so what has its final name is whole,
and a killed ``prepare`` continues with what is missing. Both the file's hash and every setting are in the path, so a
changed setting never reads stale clips. Pixels are stored as they are: JPEG, even at quality 95, destroys the noise
residual that forensic signals live on.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from stf_mamba.clips.records import ClipSettings, Manifest, StoredClip, StoredVideo
from stf_mamba.core.errors import ClipChoiceError, ClipStoreError
from stf_mamba.core.files import partial_path, remove_leftovers, write_bytes_atomically, write_errors_as, write_failure
from stf_mamba.core.records import Clip, UInt8Array, load_record

KEPT = "videos that were finished are kept, nothing half-written stays"


class ClipStore:
    """The clips made with one set of settings under one root."""

    def __init__(self, root: str | os.PathLike[str], settings: ClipSettings) -> None:
        self.root = Path(root)
        self.settings = settings
        self.folder = self.root / settings.key

    @classmethod
    def create(cls, root: str | os.PathLike[str], settings: ClipSettings) -> Self:
        """The store for these settings, made if need be, with what an earlier crash left half-written removed.

        Raises:
            ClipStoreError: the folder cannot be written.
        """
        store = cls(root, settings)
        with write_errors_as(ClipStoreError, store.root, KEPT):
            (store.folder / "videos").mkdir(parents=True, exist_ok=True)
            (store.folder / "manifests").mkdir(exist_ok=True)
            store.remove_leftovers()
            if not store.exists:
                settings.save(store.folder / "settings.json")
        return store

    @classmethod
    def open(cls, root: str | os.PathLike[str], key: str | None = None) -> Self:
        """The store under ``root``; with several settings there, ``key`` (or its beginning) says which.

        Raises:
            ClipChoiceError: nothing prepared there, no such key, or several settings and no key.
            ClipStoreError: the settings are damaged or of another version.
        """
        found = sorted(path.parent for path in Path(root).glob("*/settings.json"))
        if not found:
            raise ClipChoiceError(f"no prepared clips under {root}; make some with: stf prepare --out {root} ...")
        chosen = [folder for folder in found if folder.name.startswith(key or "")]
        if len(chosen) != 1:
            names = ", ".join(folder.name for folder in found)
            raise ClipChoiceError(
                f"{root} holds clips of {len(found)} settings ({names}) and {len(chosen)} match {key!r}; "
                "choose one with --settings KEY (each KEY/settings.json says what it is)"
            )
        path = chosen[0] / "settings.json"
        settings = load_record(ClipSettings, path, ClipStoreError, f"remove {path.parent} and prepare again")
        if settings.key != path.parent.name:
            raise ClipStoreError(
                f"{path.parent} was written by another version of the clip format (its settings now have the key "
                f"{settings.key}); prepare again"
            )
        return cls(root, settings)

    @property
    def exists(self) -> bool:
        """Whether anything was prepared with these settings."""
        return (self.folder / "settings.json").is_file()

    def video_folder(self, sha256: str) -> Path:
        """Where the clips of the video with this hash lie or will lie."""
        return self.folder / "videos" / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether this video has been prepared, with clips or with the reason why it has none."""
        return (self.video_folder(sha256) / "video.json").is_file()

    def video(self, sha256: str) -> StoredVideo:
        """What was made of a video.

        Raises:
            ClipStoreError: it was never prepared, or its record is damaged.
        """
        path = self.video_folder(sha256) / "video.json"
        again = f"remove {path.parent} and run stf prepare again, it makes what is missing"
        return load_record(StoredVideo, path, ClipStoreError, again)

    def frames(self, sha256: str, clip: StoredClip) -> UInt8Array:
        """A clip's frames (T, H, W, 3) uint8 RGB, memory-mapped and read-only.

        Raises:
            ClipStoreError: the file is missing or damaged.
        """
        path = self.video_folder(sha256) / clip.file
        size = self.settings.faces.size_px
        expected = (len(clip.times_s), size, size, 3)
        try:
            frames: UInt8Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ClipStoreError(
                f"cannot read the clip {path}: {error}; remove {path.parent} and prepare again"
            ) from error
        if frames.shape != expected or frames.dtype != np.uint8:
            raise ClipStoreError(
                f"{path} holds {frames.dtype} {frames.shape}, expected uint8 {expected}; "
                f"remove {path.parent} and prepare again"
            )
        return frames

    def write(self, sha256: str, video: StoredVideo, clips: Iterator[Clip]) -> StoredVideo:
        """Store a video's clips as they come, then its record; all of it appears at once. Returns the record.

        What another process has finished meanwhile is kept and returned instead.

        Raises:
            ClipStoreError: the disk is full or the folder cannot be written; nothing stays behind.
        """
        target = self.video_folder(sha256)
        try:
            target.parent.mkdir(exist_ok=True)
            if self.has(sha256):
                return self.video(sha256)
            if target.exists():  # without a record: an unfinished folder of an older version
                shutil.rmtree(target)
            with partial_path(target) as partial:
                partial.mkdir()
                stored = tuple(_write_clip(partial, number, clip) for number, clip in enumerate(clips))
                video = replace(video, clips=stored)
                video.save(partial / "video.json")
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and self.has(sha256):
                return self.video(sha256)  # the same file under another name was finished by another process
            raise write_failure(ClipStoreError, error, self.root, KEPT) from error
        return video

    def save_manifest(self, manifest: Manifest) -> Path:
        """Write a data set's manifest. Returns its path."""
        with write_errors_as(ClipStoreError, self.root, KEPT):
            return manifest.save(self.folder / "manifests" / f"{manifest.name}.json")

    def manifests(self) -> list[str]:
        """Names of the data sets prepared here."""
        return sorted(path.stem for path in (self.folder / "manifests").glob("*.json"))

    def manifest(self, name: str | None = None) -> Manifest:
        """A data set's manifest; without a name, the only one.

        Raises:
            ClipChoiceError: no such name, or several and no name given.
            ClipStoreError: no data set has been prepared completely, or its manifest is damaged.
        """
        names = self.manifests()
        if not names:
            raise ClipStoreError(f"no data set has been prepared completely in {self.root}; run stf prepare to its end")
        if name is None and len(names) > 1:
            raise ClipChoiceError(f"{self.root} holds the data sets {', '.join(names)}; choose one with --dataset NAME")
        chosen = names[0] if name is None else name
        path = self.folder / "manifests" / f"{chosen}.json"
        if chosen not in names:
            raise ClipChoiceError(f"no data set {chosen!r} in {self.root}, it holds: {', '.join(names)}")
        return load_record(Manifest, path, ClipStoreError, "run stf prepare again")

    def remove_leftovers(self) -> None:
        """Delete folders that processes which no longer run left half-written."""
        for shelf in (self.folder / "videos").iterdir():
            remove_leftovers(shelf)


def _write_clip(folder: Path, number: int, clip: Clip) -> StoredClip:
    name = f"{number:03d}.npy"
    content = io.BytesIO()  # numpy reports a full disk without its error number, a plain write with it
    np.save(content, clip.frames, allow_pickle=False)
    write_bytes_atomically(folder / name, content.getbuffer())
    return StoredClip(name, clip.track_id, clip.times_s)
