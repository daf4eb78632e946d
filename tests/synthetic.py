"""A clip store filled without any video: drawn crops that stay still (real) or flicker (fake)."""

from pathlib import Path

import numpy as np

from stf_mamba.clips.records import ClipSettings, Manifest, ManifestEntry, StoredVideo
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.records import FAKE, REAL, Clip, Face, FaceTrack, VideoRecord
from stf_mamba.core.seeds import derive_seed
from stf_mamba.faces.settings import FaceSettings

FRAMES = 4
SETTINGS = ClipSettings("none", FaceSettings(), frames=FRAMES)


def synthetic_store(root: Path, people: int = 8, flicker: float = 40.0) -> tuple[ClipStore, Manifest]:
    """A store and manifest of ``people`` real clips and as many fakes of the same people."""
    store = ClipStore.create(root, SETTINGS)
    entries = []
    for person in range(people):
        for label in (REAL, FAKE):
            name = f"{person:03d}-{label}"
            sha256 = f"{derive_seed(name):064x}"
            clip = synthetic_clip(name, flicker if label == FAKE else 0.0)
            video = store.write(sha256, StoredVideo(None, (track(),)), iter([clip]))
            method = "Flicker" if label == FAKE else "real"
            record = VideoRecord(f"synthetic/{method}/{name}", Path(f"{name}.mp4"), label, (f"s:{person}",), method)
            entries.append(ManifestEntry(record, sha256, len(video.clips), None))
    manifest = Manifest("synthetic", tuple(entries))
    store.save_manifest(manifest)
    return store, manifest


def synthetic_clip(name: str, flicker: float) -> Clip:
    """One clip (FRAMES, 224, 224, 3): coarse noise as the face, its brightness redrawn per frame by ``flicker``."""
    generator = np.random.default_rng(derive_seed("synthetic", name))
    face = generator.integers(60, 190, (14, 14, 3)).repeat(16, 0).repeat(16, 1)
    shifts = generator.normal(0, flicker, (FRAMES, 1, 1, 3)) + generator.normal(0, 2, (FRAMES, 1, 1, 1))
    frames = np.clip(face[None] + shifts, 0, 255).astype(np.uint8)
    return Clip(0, tuple(number / 25 for number in range(FRAMES)), frames)


def track(track_id: int = 0, seconds: float = 2.0) -> FaceTrack:
    """A face that does not move."""
    landmarks = ((40.0, 40.0), (60.0, 40.0), (50.0, 50.0), (42.0, 60.0), (58.0, 60.0))
    times = np.arange(0, seconds + 1e-9, 0.2).tolist()
    return FaceTrack(track_id, tuple(Face(time_s, (25.0, 20.0, 75.0, 80.0), landmarks, 0.99) for time_s in times))
