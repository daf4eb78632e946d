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
_PATCHES = 14


def synthetic_store(root: Path, people: int = 8, flicker: float = 40.0) -> tuple[ClipStore, Manifest]:
    """A store and manifest of ``people`` real clips and as many fakes of the same people."""
    store = ClipStore.create(root, SETTINGS)
    return store, synthetic_data_set(store, people, flicker)


def synthetic_data_set(store: ClipStore, people: int, flicker: float = 40.0, name: str = "synthetic") -> Manifest:
    """The manifest of ``people`` real clips and as many fakes of the same people, of the store's length and size."""
    entries = []
    for person in range(people):
        for label in (REAL, FAKE):
            number = f"{person:03d}-{label}"
            own = number if name == "synthetic" else f"{name} {number}"
            sha256 = f"{derive_seed(own):064x}"
            clip = synthetic_clip(own, flicker if label == FAKE else 0.0, store.settings)
            video = store.write(sha256, StoredVideo(None, (track(),)), iter([clip]))
            method = "Flicker" if label == FAKE else "real"
            shown = (f"s:{person}" if name == "synthetic" else f"{name}:{person}",)
            record = VideoRecord(f"{name}/{method}/{number}", Path(f"{number}.mp4"), label, shown, method)
            entries.append(ManifestEntry(record, sha256, len(video.clips), None))
    manifest = Manifest(name, tuple(entries))
    store.save_manifest(manifest)
    return manifest


def synthetic_clip(name: str, flicker: float, settings: ClipSettings = SETTINGS) -> Clip:
    """One clip (T, S, S, 3): coarse noise as the face, its brightness redrawn per frame by ``flicker``."""
    frames, size_px = settings.frames, settings.faces.size_px
    generator = np.random.default_rng(derive_seed("synthetic", name))
    patch_px = -(-size_px // _PATCHES)
    face = generator.integers(60, 190, (_PATCHES, _PATCHES, 3)).repeat(patch_px, 0).repeat(patch_px, 1)
    face = face[:size_px, :size_px]
    shifts = generator.normal(0, flicker, (frames, 1, 1, 3)) + generator.normal(0, 2, (frames, 1, 1, 1))
    pictures = np.clip(face[None] + shifts, 0, 255).astype(np.uint8)
    return Clip(0, tuple(number / 25 for number in range(frames)), pictures)


def track(track_id: int = 0, seconds: float = 2.0) -> FaceTrack:
    """A face that does not move."""
    landmarks = ((40.0, 40.0), (60.0, 40.0), (50.0, 50.0), (42.0, 60.0), (58.0, 60.0))
    times = np.arange(0, seconds + 1e-9, 0.2).tolist()
    return FaceTrack(track_id, tuple(Face(time_s, (25.0, 20.0, 75.0, 80.0), landmarks, 0.99) for time_s in times))
