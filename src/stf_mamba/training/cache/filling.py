"""The pass that fills a prefix cache: tells the size, refuses what does not fit, then computes what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stf_mamba.core.errors import UsageError
from stf_mamba.core.records import JsonRecord
from stf_mamba.models.clip_detector import ClipDetector
from stf_mamba.models.encoders.frame_encoder import FrameEncoder
from stf_mamba.training.cache.precision import precision_report
from stf_mamba.training.cache.prefix_cache import DTYPES, CacheEntry, PrefixCache, StorageType, frozen_sha256

RESERVED_BYTES = 2**30  # left free on the disk for the run's own files
CLIPS_FOR_PRECISION = 8


@dataclass(frozen=True)
class SizeEstimate(JsonRecord):
    """What a filling pass is going to write.

    Attributes:
        entries: all entries asked for.
        missing: those that are not stored yet.
        entry_bytes: size of one entry.
        free_bytes: what is free on the disk.
    """

    entries: int
    missing: int
    entry_bytes: int
    free_bytes: int

    @property
    def bytes_to_write(self) -> int:
        """Size of what is missing."""
        return self.missing * self.entry_bytes

    @property
    def words(self) -> str:
        """The estimate as a person should read it."""
        return (
            f"{self.entries} entries of {_size(self.entry_bytes)} are {_size(self.entries * self.entry_bytes)}; "
            f"{self.entries - self.missing} are stored, {_size(self.bytes_to_write)} to write, "
            f"{_size(self.free_bytes)} free"
        )


def estimate_bytes(clips: int, views: int, frames: int, tokens: int, width: int, storage: StorageType) -> int:
    """Bytes of the tokens of ``views`` views of each clip: ``frames`` × ``tokens`` × ``width`` values per view."""
    return clips * views * frames * tokens * width * DTYPES[storage].itemsize


def fill(
    cache: PrefixCache,
    model: ClipDetector,
    entries: Sequence[CacheEntry],
    load: Callable[[CacheEntry], Tensor],
    frames_at_once: int = 8,
    share: Callable[[list[CacheEntry]], list[CacheEntry]] = lambda entries: entries,
    on_message: Callable[[str], None] = lambda message: None,
    on_progress: Callable[[int, int], None] = lambda done, missing: None,
    stop_asked: Callable[[], bool] = lambda: False,
) -> SizeEstimate:
    """Compute and store what is missing of ``entries``. Returns the size estimate, which it tells before it writes.

    With a reduced storage type it also tells what that costs, measured on a few of the clips (``precision_report``).

    Args:
        model: the detector whose encoder's tokens are stored, on its device.
        load: frames (T, 3, H, W) uint8 RGB of an entry, augmented as its view says.
        frames_at_once: frames that pass the encoder together.
        share: this process's part of what is missing; the estimate is of all processes together.
        on_message: gets the estimate and the precision report.
        on_progress: gets the number of entries just done and the number that was missing.
        stop_asked: asked after every entry; what is missing then stays so.

    Raises:
        ValueError: the encoder is not the one of the cache's settings, or frames of another length.
        UsageError: more than the disk has free.
        ClipStoreError: a clip cannot be read or an entry cannot be written; what was finished stays.
    """
    if frozen_sha256(model.encoder) != cache.settings.frozen_sha256:
        raise ValueError(f"the encoder's frozen weights are not those of the cache {cache.folder}")
    missing = [entry for entry in entries if not cache.has(entry)]
    estimate = _estimate(cache, model.encoder, entries, missing, load)
    on_message(estimate.words)
    _require_room(estimate, cache)
    _tell_precision(cache, model, entries, load, frames_at_once, on_message)
    mine = share(missing)
    for done, entry in enumerate(mine, start=1):
        cache.write(entry, prefix_tokens(model.encoder, load(entry), frames_at_once))
        on_progress(done, len(mine))
        if stop_asked():
            break
    return estimate


def prefix_tokens(encoder: FrameEncoder, frames: Tensor, frames_at_once: int = 8) -> Tensor:
    """Tokens (T, L, D), float32 on the encoder's device, of frames (T, 3, H, W); outside any autocast."""
    device = encoder.mean.device
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        return torch.cat([encoder.prefix(part.to(device)) for part in torch.split(frames, frames_at_once)])


def _estimate(
    cache: PrefixCache,
    encoder: FrameEncoder,
    entries: Sequence[CacheEntry],
    missing: Sequence[CacheEntry],
    load: Callable[[CacheEntry], Tensor],
) -> SizeEstimate:
    if missing:
        values = cache.settings.frames * prefix_tokens(encoder, load(missing[0])[:1]).numel()
    else:
        values = cache.read(entries[0]).numel() if entries else 0
    entry_bytes = values * DTYPES[cache.settings.storage].itemsize
    return SizeEstimate(len(entries), len(missing), entry_bytes, shutil.disk_usage(cache.folder).free)


def _require_room(estimate: SizeEstimate, cache: PrefixCache) -> None:
    needed = estimate.bytes_to_write
    smaller = 'lower data.views, store as "float16" (half the size), or train without a cache'
    if needed and needed + RESERVED_BYTES > estimate.free_bytes:
        raise UsageError(
            f"the cache {cache.folder} needs {_size(needed)} more and {_size(RESERVED_BYTES)} to spare, "
            f"{_size(estimate.free_bytes)} are free; choose a folder on another disk, {smaller}"
        )


def _tell_precision(
    cache: PrefixCache,
    model: ClipDetector,
    entries: Sequence[CacheEntry],
    load: Callable[[CacheEntry], Tensor],
    frames_at_once: int,
    on_message: Callable[[str], None],
) -> None:
    """Tell what the storage type costs this model, measured on entries spread over the whole list."""
    if cache.settings.storage == "float32" or not entries:
        return
    chosen = entries[:: max(1, len(entries) // CLIPS_FOR_PRECISION)][:CLIPS_FOR_PRECISION]
    clips = (prefix_tokens(model.encoder, load(entry), frames_at_once) for entry in chosen)
    report = precision_report(model, clips, DTYPES[cache.settings.storage])
    report.save(cache.folder / "precision.json")  # of the model that used the cache last
    on_message(report.words)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
