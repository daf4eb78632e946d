"""Which stored clips train, in which order, and as what tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stf_mamba.augment import augment_clip
from stf_mamba.clipstore import ClipStore, Manifest, StoredClip
from stf_mamba.recipe import DataRecipe, Recipe
from stf_mamba.scoring import thin, to_tensor
from stf_mamba.seeds import derive_seed

LOADER_PROCESSES_ON_CUDA = 4


@dataclass(frozen=True)
class TrainingClip:
    """A stored clip with the label of its video."""

    video_id: str
    sha256: str
    label: int
    clip: StoredClip


class ClipBatch(NamedTuple):
    """Frames (B, T, 3, H, W) uint8 RGB and labels (B,) int64."""

    frames: Tensor
    labels: Tensor


def list_clips(
    store: ClipStore, manifest: Manifest, video_ids: Iterable[str], recipe: DataRecipe
) -> list[TrainingClip]:
    """The clips of labelled videos in the manifest's order; with ``tracks = "main"`` of each video's first track.

    Raises:
        ClipStoreError: a video's record is missing or damaged.
    """
    wanted = set(video_ids)
    clips = []
    for entry in manifest.entries:
        record = entry.record
        if record.video_id not in wanted or entry.sha256 is None or record.label is None:
            continue
        video = store.video(entry.sha256)
        chosen = video.tracks[:1] if recipe.tracks == "main" else video.tracks
        tracks = {track.id for track in chosen}
        clips += [
            TrainingClip(record.video_id, entry.sha256, record.label, clip)
            for clip in video.clips
            if clip.track_id in tracks
        ]
    return clips


def batches_of_epoch(count: int, batch_size: int, seed: int) -> list[list[int]]:
    """Indices 0 … count − 1 in a drawn order, cut into batches; each index once, the last batch may be smaller."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


def loader(
    store: ClipStore,
    clips: Sequence[TrainingClip],
    batches: list[list[int]],
    recipe: Recipe,
    epoch: int | None,
    device: torch.device,
) -> Iterable[ClipBatch]:
    """Batches of clips, augmented for an epoch or, with ``epoch = None``, as they are."""
    return DataLoader(
        _ClipDataset(store, clips, recipe, epoch),
        batch_sampler=batches,
        num_workers=LOADER_PROCESSES_ON_CUDA if device.type == "cuda" else 0,
        pin_memory=device.type == "cuda",
        collate_fn=_collate,
    )


class _ClipDataset(Dataset[tuple[Tensor, int]]):
    def __init__(self, store: ClipStore, clips: Sequence[TrainingClip], recipe: Recipe, epoch: int | None) -> None:
        self.store, self.clips, self.recipe, self.epoch = store, clips, recipe, epoch

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        chosen = self.clips[index]
        stored = self.store.frames(chosen.sha256, chosen.clip)
        frames = to_tensor(stored, thin(len(stored), self.recipe.data.frames))
        if self.epoch is not None:
            seed = derive_seed(self.recipe.seed, "augment", self.epoch, chosen.video_id, chosen.clip.file)
            frames = augment_clip(frames, self.recipe.augment, torch.Generator().manual_seed(seed))
        return frames, chosen.label


def _collate(items: list[tuple[Tensor, int]]) -> ClipBatch:
    return ClipBatch(torch.stack([frames for frames, _ in items]), torch.tensor([label for _, label in items]))
