"""What is known of clips on disk: their settings, what each video gave, the manifest of a data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from stf_mamba.clips.changed_face import ChangedFace
from stf_mamba.core.checks import require_between, require_positive
from stf_mamba.core.records import DroppedTrack, FaceTrack, JsonRecord, VideoRecord
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.media.probing import VideoInfo

FORMAT = 1


@dataclass(frozen=True)
class ClipSettings(JsonRecord):
    """What decides the pixels of prepared clips.

    Attributes:
        detector: name of the face detector, as it names itself.
        faces: detection, tracking and crop.
        frames: frames of a clip.
        sampling: ``uniform`` spreads a clip's frames over its window; ``consecutive`` takes neighbouring frames at the
            video's own rate from the window's middle.
        window_s: a track is cut into windows of this length, one clip each, so that a clip's frames are about as far
            apart in a long video as in a short one; ``None`` makes the whole track one window.
        clips_per_track: at most so many windows of a track, evenly spread over it.
        tracks: at most so many faces of a video, the most prominent first.
    """

    detector: str = "mtcnn-1.0.0"
    faces: FaceSettings = field(default_factory=FaceSettings)
    frames: int = 32
    sampling: Literal["uniform", "consecutive"] = "uniform"
    window_s: float | None = 10.0
    clips_per_track: int = 4
    tracks: int = 8

    def __post_init__(self) -> None:
        for name in ("frames", "clips_per_track", "tracks"):
            require_between(name, getattr(self, name), 2 if name == "frames" else 1)
        if self.window_s is not None:
            require_positive("window_s", self.window_s)

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that change with any setting."""
        canonical = json.dumps({"format": FORMAT, **self.to_json()}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class StoredClip(JsonRecord):
    """One clip of a stored video: its file, its face track, and when its frames are shown."""

    file: str
    track_id: int
    times_s: tuple[float, ...]


@dataclass(frozen=True)
class StoredVideo(JsonRecord):
    """What was made of one video. ``reason`` says why there are no clips, and is ``None`` where there are some."""

    info: VideoInfo | None
    tracks: tuple[FaceTrack, ...] = ()
    dropped: tuple[DroppedTrack, ...] = ()
    clips: tuple[StoredClip, ...] = ()
    damaged_packets: int = 0
    frames_after_damage: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class ManifestEntry(JsonRecord):
    """One video of a data set.

    Attributes:
        record: what it is, and who is in it.
        sha256: of its file; ``None`` where that cannot be read.
        reason: why it has no clips; ``None`` where it has.
        changed: which of its faces was changed; ``None`` for real videos, and for those prepared before this was asked.
    """

    record: VideoRecord
    sha256: str | None
    clips: int
    reason: str | None
    changed: ChangedFace | None = None


@dataclass(frozen=True)
class Manifest(JsonRecord):
    """The videos of one prepared data set, in the adapter's order."""

    name: str
    entries: tuple[ManifestEntry, ...]

    def of(self, video_ids: Iterable[str]) -> list[ManifestEntry]:
        """The entries of these videos, in the manifest's order; ids that it does not have are passed over."""
        wanted = set(video_ids)
        return [entry for entry in self.entries if entry.record.video_id in wanted]

    @property
    def sha256_by_id(self) -> dict[str, str]:
        """Hash of each video's file, as far as it could be read."""
        return {entry.record.video_id: entry.sha256 for entry in self.entries if entry.sha256 is not None}


def main_track(entry: ManifestEntry, video: StoredVideo) -> int | None:
    """The face that stands for a video: the one that was changed, or else the most prominent one with clips."""
    if entry.changed is not None:
        return entry.changed.track_id
    return video.tracks[0].id if video.tracks else None
