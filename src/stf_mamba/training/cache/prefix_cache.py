"""Output tokens of an encoder's frozen blocks, kept on disk so that training computes them once.

    ROOT/<settings key>/settings.json        everything that decides the tokens
    ROOT/<settings key>/precision.json       what a reduced storage type costs, where one is used
    ROOT/<settings key>/<ab>/<entry name>/   one folder per clip, kind and view
        tokens.npy                           (T, L, D), memory-mapped when read; bfloat16 as the uint16 of its bits
        entry.json                           what it is, and the checksum of tokens.npy

An entry's folder is made under a temporary name and renamed when it is complete, so what has its final name is whole, a
killed filling pass continues with what is missing, and of two processes that write the same entry the first one's
stays. Tokens are always computed in float32, whatever precision the training runs in. "Tokens (T, L, D)" are what the
encoder's ``prefix`` returns; of a convolutional encoder these are feature maps (T, C, h, w).
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from stf_mamba.core.checks import require_between
from stf_mamba.core.errors import ClipStoreError, UsageError
from stf_mamba.core.files import partial_path, remove_leftovers, write_bytes_atomically, write_errors_as, write_failure
from stf_mamba.core.recipe import AugmentRecipe, PseudoFakeRecipe, Recipe
from stf_mamba.core.records import JsonRecord, load_record
from stf_mamba.models.encoders.cnn import CnnEncoder
from stf_mamba.models.encoders.frame_encoder import FrameEncoder
from stf_mamba.models.encoders.sface import SFaceEncoder
from stf_mamba.models.encoders.vit import VitEncoder

KEPT = "tokens that were stored are kept, nothing half-written stays"

FORMAT = 1  # goes up when the layout, or the meaning of a view's seed, changes
StorageType = Literal["float32", "float16", "bfloat16"]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class CacheSettings(JsonRecord):
    """Everything that decides the tokens of a clip's view.

    How many of the later blocks the recipe uses and which token it reads in the end are not among it: nothing of that
    reaches the frozen blocks, so recipes that differ there share one cache.

    Attributes:
        encoder: a key of ``models.encoders.registry.ENCODERS``.
        first_trainable: how many blocks are frozen, so that the tokens are those before this block.
        frozen_sha256: hash of every parameter and buffer that the tokens pass.
        clips: key of the settings that the clips were prepared with.
        frames: frames of a clip that the model sees.
        seed: the recipe's seed, root of the draws of every view; 0 where training shows every clip as it is stored, so
            that trainings with different seeds share what they have in common.
        augment, pseudofakes: how views and pseudo-fakes are drawn.
        device: kind of device that computes the tokens; its rounding is in them.
        storage: type in which they are stored.
    """

    encoder: str
    first_trainable: int
    frozen_sha256: str
    clips: str
    frames: int
    seed: int
    augment: AugmentRecipe
    pseudofakes: PseudoFakeRecipe
    device: str = "cpu"
    storage: StorageType = "float32"

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that change with any setting."""
        canonical = json.dumps({"format": FORMAT, **self.to_json()}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def cache_settings(
    encoder: FrameEncoder, recipe: Recipe, clips_key: str, storage: StorageType = "float32"
) -> CacheSettings:
    """The settings of the cache that serves a recipe's training on clips prepared with the settings ``clips_key``.

    ``encoder`` holds the weights that the training starts from, on the device that will compute the tokens.

    Raises:
        UsageError: every block trains, so there is nothing frozen to store.
    """
    return CacheSettings(
        encoder=encoder.name,
        first_trainable=encoder.first_trainable,
        frozen_sha256=frozen_sha256(encoder),
        clips=clips_key,
        frames=recipe.data.frames,
        seed=0 if recipe.trains_as_stored else recipe.seed,
        augment=recipe.augment,
        pseudofakes=recipe.pseudofakes,
        device=encoder.mean.device.type,
        storage=storage,
    )


def frozen_sha256(encoder: FrameEncoder) -> str:
    """Hash of every parameter and buffer of an encoder except those of its trainable blocks and of what follows them.

    Raises:
        UsageError: no block is frozen.
    """
    if encoder.first_trainable == 0:
        raise UsageError(
            f"every block of {encoder.name} trains, so no tokens stay the same from epoch to epoch; "
            "lower encoder.trainable_blocks, or train without a cache"
        )
    digest = hashlib.sha256()
    trained = _trained_modules(encoder)
    for name, tensor in sorted((*encoder.named_parameters(), *encoder.named_buffers()), key=lambda item: item[0]):
        if not name.startswith(trained):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _trained_modules(encoder: FrameEncoder) -> tuple[str, ...]:
    """Beginnings of the names of what training may change; all else decides the tokens."""
    first = encoder.first_trainable
    if isinstance(encoder, VitEncoder):
        return (*(f"network.blocks.{number}." for number in range(first, len(encoder.network.blocks))), "network.norm.")
    if isinstance(encoder, CnnEncoder):
        return tuple(f"network.{name}." for stage in encoder.stages[first:] for name in stage)
    if isinstance(encoder, SFaceEncoder):
        stages = tuple(f"network.stages.{number}." for number in range(first, len(encoder.network.stages)))
        return (*stages, "network.map_norm.", "network.embed.", "network.norm.")
    raise ValueError(
        f"cannot tell what trains in a {type(encoder).__name__}, expected a VitEncoder, a CnnEncoder or an SFaceEncoder"
    )


@dataclass(frozen=True)
class CacheEntry(JsonRecord):
    """One view of one clip.

    Attributes:
        sha256, file: the video's hash and the clip's file, as in the clip store.
        view: number of the augmented version.
        kind: how the frames were made of the clip: ``real``, ``pseudo``, or another word in small letters.
        partner: names the second clip where one is blended in; empty otherwise.
    """

    sha256: str
    file: str
    view: int = 0
    kind: str = "real"
    partner: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 is {self.sha256!r}, expected 64 hexadecimal digits")
        require_between("view", self.view, 0)
        if not re.fullmatch(r"[a-z0-9_]+", self.kind):
            raise ValueError(f"kind is {self.kind!r}, expected small letters, digits and underscores")

    @property
    def name(self) -> str:
        """Name of the entry's folder, different for every entry."""
        rest = hashlib.sha256(f"{self.file}\x1f{self.partner}".encode()).hexdigest()[:12]
        return f"{self.sha256}-{rest}-{self.kind}-{self.view}"


@dataclass(frozen=True)
class StoredTokens(JsonRecord):
    """What lies in an entry's folder, with the checksum of its ``tokens.npy``."""

    entry: CacheEntry
    tokens_sha256: str


class PrefixCache:
    """The tokens of one set of settings under one root."""

    def __init__(self, root: str | os.PathLike[str], settings: CacheSettings) -> None:
        self.root = Path(root)
        self.settings = settings
        self.folder = self.root / settings.key
        self._verified: set[CacheEntry] = set()

    @classmethod
    def create(cls, root: str | os.PathLike[str], settings: CacheSettings) -> Self:
        """The cache for these settings, made if need be, with what an earlier crash left half-written removed.

        Raises:
            ClipStoreError: the folder cannot be written.
        """
        cache = cls(root, settings)
        with write_errors_as(ClipStoreError, cache.root, KEPT):
            cache.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(cache.folder)
            for shelf in cache.folder.iterdir():
                if shelf.is_dir():
                    remove_leftovers(shelf)
            if not (cache.folder / "settings.json").is_file():
                settings.save(cache.folder / "settings.json")
        return cache

    def entry_folder(self, entry: CacheEntry) -> Path:
        """Where an entry lies or will lie."""
        return self.folder / entry.sha256[:2] / entry.name

    def has(self, entry: CacheEntry) -> bool:
        """Whether an entry's tokens are stored."""
        return (self.entry_folder(entry) / "entry.json").is_file()

    def read(self, entry: CacheEntry) -> Tensor:
        """An entry's tokens (T, L, D) on the CPU in the type they are stored in, memory-mapped; not to be written to.

        The first reading of an entry by this object checks the file against its checksum, later ones do not.

        Raises:
            ClipStoreError: the entry is missing or damaged.
        """
        folder = self.entry_folder(entry)
        path = folder / "tokens.npy"
        again = f"remove {folder} and fill the cache again, it computes what is missing"
        try:
            if entry not in self._verified:
                _verify(folder, entry)
                self._verified.add(entry)
            # "c" maps privately: torch has no read-only tensors and warns of arrays that are.
            array = np.load(path, mmap_mode="c", allow_pickle=False)
        except FileNotFoundError:
            raise ClipStoreError(f"{folder} is missing; fill the cache again, it computes what is missing") from None
        except (OSError, ValueError, EOFError) as error:
            raise ClipStoreError(f"cannot read the tokens {path}: {error}; {again}") from error
        tokens = torch.from_numpy(array)
        return tokens.view(torch.bfloat16) if self.settings.storage == "bfloat16" else tokens

    def write(self, entry: CacheEntry, tokens: Tensor) -> None:
        """Store an entry's tokens (T, L, D), of any float type and device; what is stored already stays.

        Raises:
            ValueError: not the tokens of one clip of the settings' length, or values that the stored type cannot hold.
            ClipStoreError: the disk is full or the folder cannot be written; nothing stays behind.
        """
        content = _serialise(tokens, self.settings)
        target = self.entry_folder(entry)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if self.has(entry):
                return
            with partial_path(target) as partial:
                partial.mkdir()
                write_bytes_atomically(partial / "tokens.npy", content)
                StoredTokens(entry, hashlib.sha256(content).hexdigest()).save(partial / "entry.json")
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and self.has(entry):
                return  # another process was first
            raise write_failure(ClipStoreError, error, self.root, KEPT) from error


def _serialise(tokens: Tensor, settings: CacheSettings) -> memoryview:
    """The bytes of ``tokens.npy``."""
    if tokens.ndim < 3 or tokens.shape[0] != settings.frames:
        raise ValueError(f"tokens must be (T, L, D) of {settings.frames} frames, got {tuple(tokens.shape)}")
    stored = tokens.detach().to("cpu", DTYPES[settings.storage]).contiguous()
    if not bool(stored.isfinite().all()):
        raise ValueError(
            f"tokens of up to {float(tokens.abs().max()):g} do not fit {settings.storage}; "
            'check the weights, or store as "bfloat16" or "float32"'
        )
    array = stored.view(torch.uint16).numpy() if settings.storage == "bfloat16" else stored.numpy()
    content = io.BytesIO()  # numpy reports a full disk without its error number, a plain write with it
    np.save(content, array, allow_pickle=False)
    return content.getbuffer()


def _verify(folder: Path, entry: CacheEntry) -> None:
    again = f"remove {folder} and fill the cache again, it computes what is missing"
    stored = load_record(StoredTokens, folder / "entry.json", ClipStoreError, again)
    if stored.entry != entry:
        raise ValueError(f"it is of another entry ({stored.entry})")
    with (folder / "tokens.npy").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != stored.tokens_sha256:
        raise ValueError(f"its checksum is {found[:12]}…, expected {stored.tokens_sha256[:12]}…")
