"""Training and scoring from a prefix cache: which entry holds which clip, when it is computed, how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from stf_mamba.clips.records import ManifestEntry, StoredClip
from stf_mamba.clips.store import ClipStore
from stf_mamba.core import distributed
from stf_mamba.core.errors import UsageError
from stf_mamba.core.recipe import Recipe
from stf_mamba.evaluation.runs import CACHE
from stf_mamba.evaluation.scoring import thin, to_tensor
from stf_mamba.models.clip_detector import ClipDetector
from stf_mamba.training.cache.filling import fill, prefix_tokens
from stf_mamba.training.cache.prefix_cache import CacheEntry, PrefixCache, StorageType, cache_settings
from stf_mamba.training.items import ItemReader, TrainingItem, view_of_epoch
from stf_mamba.training.watcher import Watcher

# Kinds of entries without augmentation.
PLAIN = {"stored": "plain", "pseudo": "plain_pseudo"}


class CachePlace(NamedTuple):
    """Where a run keeps its cache, and in which type."""

    root: Path
    storage: StorageType = "float32"


OF_EVERY_BLOCK = ("relations", "stage_zones")


def default_cache(recipe: Recipe, out: Path) -> CachePlace | None:
    """Where a run keeps the frozen blocks' output when it was told nothing: beside itself for what every block
    of a frozen network says of clips in so many versions, which is few numbers and takes long to compute, otherwise
    nowhere."""
    kept = recipe.encoder.token in OF_EVERY_BLOCK and recipe.versions is not None
    return CachePlace(out / CACHE) if kept else None


def open_cache(place: CachePlace, model: ClipDetector, recipe: Recipe, store: ClipStore) -> PrefixCache:
    """The cache of a model's frozen blocks; runs whose frozen blocks, clips and draws agree share what lies there.

    Args:
        model: with the weights that its frozen blocks keep, on its device.

    Raises:
        UsageError: the recipe trains every block of its encoder.
        ClipStoreError: the folder cannot be written.
    """
    return PrefixCache.create(place.root, cache_settings(model.encoder, recipe, store.settings.key, place.storage))


def tokens_to_score(
    place: CachePlace | None, model: ClipDetector, recipe: Recipe, store: ClipStore
) -> TokensAsStored | None:
    """What gives a model's scoring the frozen blocks' output from a cache; rounded tokens score nothing.

    Raises:
        UsageError, ClipStoreError: as ``open_cache``.
    """
    if place is None or place.storage != "float32":
        return None
    return TokensAsStored(open_cache(place, model, recipe, store), model, store)


class CachedItems:
    """Tokens of the frozen blocks for every training item of a run, all of them computed before it starts.

    Args:
        cache: of the model's frozen blocks.
        model: with the weights that the run starts from, on the run's device.
        reader: makes the frames that the tokens are computed of.

    Raises:
        UsageError: the recipe draws new views in every epoch.
    """

    def __init__(self, cache: PrefixCache, model: ClipDetector, reader: ItemReader) -> None:
        recipe = reader.recipe
        if recipe.versions is None:
            raise UsageError(
                "a cache keeps a fixed number of augmented views of each clip, and this recipe draws a new one in "
                "every epoch; give data.views in the recipe, for example views = 4"
            )
        self.cache, self.model, self.reader, self.views = cache, model, reader, recipe.versions

    def fill(
        self,
        items: Iterable[TrainingItem],
        plain_items: Iterable[TrainingItem],
        validation: Iterable[ManifestEntry],
        watcher: Watcher,
        stop_asked: Callable[[], bool] = lambda: False,
    ) -> None:
        """Compute what is missing; each of several processes computes its share and waits for the others.

        Args:
            items: of an epoch; every view of them is computed.
            plain_items: items that are needed without augmentation.
            validation: videos whose clips are needed as they are stored.
            stop_asked: asked after every clip.

        Raises:
            UsageError: the disk has no room.
            ClipStoreError: a clip cannot be read, or an entry cannot be written; what was finished stays.
            KeyboardInterrupt: a stop was asked for, and the clip is finished that was being computed.
        """
        frames: dict[CacheEntry, Callable[[], Tensor]] = {}
        views = [view_of_epoch(number, self.reader.recipe) for number in range(self.views)]
        viewed = (item._replace(view=view) for item in items for view in views)
        for item in (*viewed, *(item._replace(view=None) for item in plain_items)):
            frames[self._entry(item)] = partial(self.reader.frames, item)
        for video in validation:
            if video.sha256 is not None and video.reason is None:
                for clip in self.reader.store.video(video.sha256).clips:
                    frames[as_stored(video.sha256, clip)] = partial(
                        frames_as_stored, self.reader.store, video.sha256, clip, self.reader.recipe.data.frames
                    )
        self.model.eval()
        fill(
            self.cache,
            self.model,
            list(frames),
            lambda entry: frames[entry](),
            share=distributed.share,
            on_message=watcher.on_message,
            on_progress=watcher.on_cached,
            stop_asked=stop_asked,
        )
        distributed.stop_together(stop_asked(), self.model.encoder.mean.device)

    def tokens(self, item: TrainingItem) -> Tensor:
        """Tokens (T, L, D) float32 of a training item in its view.

        Raises:
            ClipStoreError: the entry is missing or damaged.
        """
        return self.cache.read(self._entry(item)).float()

    def _entry(self, item: TrainingItem) -> CacheEntry:
        clip = item.clip
        kind = PLAIN[item.kind] if item.view is None else item.kind
        donor = self.reader.donor(item)
        partner = "" if donor is None else f"{donor.sha256}/{donor.clip.file}"
        return CacheEntry(clip.sha256, clip.clip.file, item.view or 0, kind, partner)


class TokensAsStored:
    """Gives the tokens of stored clips without augmentation, computed and kept when they are first asked for.

    Args:
        model: on its device, in eval mode.
    """

    def __init__(self, cache: PrefixCache, model: ClipDetector, store: ClipStore) -> None:
        self.cache, self.model, self.store = cache, model, store

    def __call__(self, sha256: str, clip: StoredClip) -> Tensor:
        """Tokens (T, L, D) float32.

        Raises:
            ClipStoreError: the clip or the entry is missing or damaged, or the entry cannot be written.
        """
        entry = as_stored(sha256, clip)
        if not self.cache.has(entry):
            frames = frames_as_stored(self.store, sha256, clip, self.cache.settings.frames)
            self.cache.write(entry, prefix_tokens(self.model.encoder, frames))
        return self.cache.read(entry).float()


def frames_as_stored(store: ClipStore, sha256: str, clip: StoredClip, frames: int) -> Tensor:
    """Frames (T, 3, H, W) uint8 RGB of a stored clip without augmentation, thinned to ``frames``.

    Raises:
        ClipStoreError: the clip is missing or damaged.
    """
    return to_tensor(store.frames(sha256, clip), thin(len(clip.times_s), frames))


def as_stored(sha256: str, clip: StoredClip) -> CacheEntry:
    """The entry of a stored clip without augmentation."""
    return CacheEntry(sha256, clip.file, kind=PLAIN["stored"])
