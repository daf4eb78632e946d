"""Which clips train, in which order and version, and as what tensors.

A training item is a stored clip or the pseudo-fake of one, in one view. Everything drawn for it comes from seeds that
name it, so an item is the same in every process and however often it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stf_mamba.augmentation.augment import augment_clip
from stf_mamba.augmentation.pseudofakes import Donor, make_pseudofake, require_usable
from stf_mamba.clips.records import Manifest, StoredClip, main_track
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import DatasetError
from stf_mamba.core.recipe import DataRecipe, Recipe
from stf_mamba.core.records import FAKE, REAL, Float64Array, UInt8Array
from stf_mamba.core.seeds import derive_seed
from stf_mamba.evaluation.scoring import thin, to_tensor
from stf_mamba.faces.cropping import CropPath

LOADER_PROCESSES_ON_CUDA = 4

Kind = Literal["stored", "pseudo"]
Part = TypeVar("Part")

# What the seed of an item's augmentation begins with: a clip and its pseudo-fake are augmented by different draws.
AUGMENTATION = {"stored": "augment", "pseudo": "augment pseudo-fake"}


@dataclass(frozen=True)
class TrainingClip:
    """A stored clip with the label and the people of its video."""

    video_id: str
    sha256: str
    label: int
    identities: tuple[str, ...]
    clip: StoredClip


class TrainingItem(NamedTuple):
    """What one position of a batch holds.

    Attributes:
        kind: ``stored`` for the clip as it is, ``pseudo`` for a pseudo-fake made of it.
        view: number of the augmented version, ``None`` for no augmentation.
    """

    clip: TrainingClip
    kind: Kind
    view: int | None = None

    @property
    def label(self) -> int:
        """The clip's own label, or fake for a pseudo-fake."""
        return FAKE if self.kind == "pseudo" else self.clip.label


class ClipBatch(NamedTuple):
    """What enters the model and labels (B,) int64.

    ``inputs`` are frames (B, T, 3, H, W) uint8 RGB or, from a cache, tokens (B, T, L, D).
    """

    inputs: Tensor
    labels: Tensor


def list_clips(
    store: ClipStore, manifest: Manifest, video_ids: Iterable[str], recipe: DataRecipe
) -> list[TrainingClip]:
    """The clips of labelled videos in the manifest's order; with ``tracks = "main"`` of each video's main track:
    the face that was changed, or else the most prominent one.

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
        tracks = {main_track(entry, video)} if recipe.tracks == "main" else {track.id for track in video.tracks}
        clips += [
            TrainingClip(record.video_id, entry.sha256, record.label, record.identities, clip)
            for clip in video.clips
            if clip.track_id in tracks
        ]
    return clips


def list_items(
    clips: Sequence[TrainingClip], recipe: Recipe, blendable: Sequence[TrainingClip] | None = None
) -> list[TrainingItem]:
    """The items of an epoch, without a view: the stored clips that ``data.fakes`` asks for, then the pseudo-fakes.

    Args:
        blendable: the real clips that pseudo-fakes are made of; ``None`` for all real ones.

    Raises:
        DatasetError: pseudo-fakes are wanted and there is no clip to make them of, or they are to blend in other
            people's faces, and somebody has nobody else beside them.
    """
    fakes = recipe.data.fakes
    reals = [clip for clip in clips if clip.label == REAL]
    items = [TrainingItem(clip, "stored") for clip in (reals if fakes == "pseudo" else clips)]
    if fakes == "real":
        return items
    sources = reals if blendable is None else [clip for clip in blendable if clip.label == REAL]
    if not sources:
        raise DatasetError("no real training clip can be made a pseudo-fake of; check the clips with stf pseudofakes")
    if recipe.pseudofakes.crossed > 0:
        _require_donors(sources)
    return items + [TrainingItem(clip, "pseudo") for clip in sources]


def view_of_epoch(epoch: int, recipe: Recipe) -> int | None:
    """Which augmented version of each clip an epoch shows: one of ``data.views`` in turn, or its own; ``None`` where
    the recipe draws nothing."""
    if recipe.trains_as_stored:
        return None
    return epoch if recipe.data.views is None else epoch % recipe.data.views


def batches_of_epoch(count: int, batch_size: int, seed: int) -> list[list[int]]:
    """Indices 0 … count − 1 in a drawn order, cut into batches; each index once, the last batch may be smaller."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return in_pieces(order, batch_size)


def in_pieces(items: Sequence[Part], size: int | None) -> list[list[Part]]:
    """A list cut into pieces of ``size``, the last one perhaps smaller; ``None`` for one piece. None of an empty list.

    >>> in_pieces([1, 2, 3, 4, 5], 2)
    [[1, 2], [3, 4], [5]]
    """
    return [
        list(items[start : start + (size or len(items))]) for start in range(0, len(items), size or len(items) or 1)
    ]


class ItemReader:
    """Makes the frames of training items.

    Args:
        reals: the real clips of the training part, of which the donors of crossed pseudo-fakes are drawn.
    """

    def __init__(self, store: ClipStore, recipe: Recipe, reals: Sequence[TrainingClip]) -> None:
        self.store, self.recipe = store, recipe
        self.reals = [clip for clip in reals if clip.label == REAL]

    def frames(self, item: TrainingItem) -> Tensor:
        """Frames (T, 3, H, W) uint8 RGB of an item, augmented for its view.

        Raises:
            ClipStoreError: a clip is missing or damaged.
        """
        frames = pseudo_clip(self, item) if item.kind == "pseudo" else self.stored(item.clip)
        tensor = to_tensor(frames, range(len(frames)))
        if item.view is None:
            return tensor
        clip = item.clip
        seed = derive_seed(self.recipe.seed, AUGMENTATION[item.kind], item.view, clip.sha256, clip.clip.file)
        return augment_clip(tensor, self.recipe.augment, torch.Generator().manual_seed(seed))

    def drop_unblendable(self) -> dict[str, str]:
        """Take real clips whose landmarks do not fit out of ``reals``. Returns why, by their video's id.

        Raises:
            ClipStoreError: a clip is missing or damaged.
        """
        reasons = {}
        usable = []
        for clip in self.reals:
            try:
                require_usable(self.stored(clip), self.landmarks_px(clip), f"{clip.video_id}, {clip.clip.file}")
                usable.append(clip)
            except ValueError as error:
                reasons[clip.video_id] = str(error)
        self.reals = usable
        return reasons

    def stored(self, clip: TrainingClip) -> UInt8Array:
        """A clip's frames (T, H, W, 3) uint8 RGB as they are stored, thinned to the recipe's number."""
        return self.store.frames(clip.sha256, clip.clip)[self.chosen(clip.clip)]

    def landmarks_px(self, clip: TrainingClip) -> Float64Array:
        """Five landmarks (T, 5, 2) in each of the frames that ``stored`` returns, in pixels of the crop."""
        track = next(track for track in self.store.video(clip.sha256).tracks if track.id == clip.clip.track_id)
        path = CropPath(track, self.store.settings.faces)
        return np.stack([path.landmarks_at(clip.clip.times_s[index]) for index in self.chosen(clip.clip)])

    def chosen(self, clip: StoredClip) -> list[int]:
        """Which of a stored clip's frames the model sees."""
        return thin(len(clip.times_s), self.recipe.data.frames)

    def donor(self, item: TrainingItem) -> TrainingClip | None:
        """The clip whose face an item's pseudo-fake blends in, or ``None`` where it blends the clip with itself."""
        if item.kind == "stored":
            return None
        seed = derive_seed(self.recipe.seed, "donor", item.view, item.clip.sha256, item.clip.clip.file)
        generator = np.random.default_rng(seed)
        if generator.random() >= self.recipe.pseudofakes.crossed:
            return None
        others = [other for other in self.reals if _is_another_person(other, item.clip)]
        return others[int(generator.integers(len(others)))]


def pseudo_clip(reader: ItemReader, item: TrainingItem) -> UInt8Array:
    """Frames (T, H, W, 3) uint8 RGB of the pseudo-fake of an item's real clip, before augmentation.

    Raises:
        ClipStoreError: a clip is missing or damaged.
    """
    clip, recipe = item.clip, reader.recipe
    seed = derive_seed(recipe.seed, "pseudo-fake", item.view, clip.sha256, clip.clip.file)
    generator = np.random.default_rng(seed)
    chosen = reader.donor(item)
    donor = None if chosen is None else Donor(reader.stored(chosen), reader.landmarks_px(chosen))
    made = make_pseudofake(reader.stored(clip), reader.landmarks_px(clip), recipe.pseudofakes, generator, donor)
    return made.frames


def loader(
    make: Callable[[TrainingItem], Tensor],
    items: Sequence[TrainingItem],
    batches: list[list[int]],
    device: torch.device,
) -> Iterable[ClipBatch]:
    """Batches of items, by their indices; ``make`` gives an item's frames or tokens."""
    return DataLoader(
        _ItemDataset(make, items),
        batch_sampler=batches,
        num_workers=LOADER_PROCESSES_ON_CUDA if device.type == "cuda" else 0,
        pin_memory=device.type == "cuda",
        collate_fn=_collate,
    )


class _ItemDataset(Dataset[tuple[Tensor, int]]):
    def __init__(self, make: Callable[[TrainingItem], Tensor], items: Sequence[TrainingItem]) -> None:
        self.make, self.items = make, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        item = self.items[index]
        return self.make(item), item.label


def _collate(items: list[tuple[Tensor, int]]) -> ClipBatch:
    return ClipBatch(torch.stack([inputs for inputs, _ in items]), torch.tensor([label for _, label in items]))


def _is_another_person(other: TrainingClip, clip: TrainingClip) -> bool:
    """Whether nobody is in both clips; where people are unnamed, a video is taken for a person."""
    return other.video_id != clip.video_id and not set(other.identities).intersection(clip.identities)


def _require_donors(reals: Sequence[TrainingClip]) -> None:
    alone = [clip for clip in reals if not any(_is_another_person(other, clip) for other in reals)]
    if alone:
        raise DatasetError(
            f"{alone[0].video_id} has no real training clip of another person beside it, and pseudofakes.crossed is "
            "above 0; train on more people, or set it to 0"
        )
