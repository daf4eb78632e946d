"""The generated corpus that a study's miniature budget runs on: drawn, encoded, prepared; made once, then found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stf_mamba.clips.preparation import manifest_name, prepare
from stf_mamba.clips.records import ClipSettings, Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.datasets.celebdf import CelebDF
from stf_mamba.datasets.faceforensics import FaceForensics
from stf_mamba.datasets.miniature.corpus import MiniatureSettings, make_miniature

SETTINGS = MiniatureSettings(n_ffpp_identities=16, n_frames=72)
FRAMES = 64  # so that the row with the longest sequence runs too


class MiniatureData(NamedTuple):
    """Clips and data sets of the miniature.

    Attributes:
        store: uniform clips of ``ffpp`` and ``celebdf``.
        consecutive: clips of neighbouring frames of ``consecutive_ffpp``, for the signals.
    """

    store: ClipStore
    ffpp: Manifest
    celebdf: Manifest
    consecutive: ClipStore
    consecutive_ffpp: Manifest


def miniature_data(
    folder: Path,
    settings: MiniatureSettings = SETTINGS,
    frames: int = FRAMES,
    on_progress: Callable[[int, int], None] | None = None,
) -> MiniatureData:
    """The corpus and its clips under ``folder``; what an earlier call made is reused.

    Raises:
        StfError: ``folder`` holds something else, or the disk is full.
    """
    miniature = make_miniature(folder / "corpus", settings, on_progress)
    ffpp, celebdf = FaceForensics(miniature.ffpp_root, "c23").records(), CelebDF(miniature.celebdf_root).records()
    store = ClipStore.create(folder / "clips", ClipSettings(frames=frames))
    consecutive = ClipStore.create(folder / "clips", ClipSettings(sampling="consecutive"))
    return MiniatureData(
        store,
        prepare(ffpp, store, manifest_name(ffpp))[0],
        prepare(celebdf, store, manifest_name(celebdf))[0],
        consecutive,
        prepare(ffpp, consecutive, manifest_name(ffpp))[0],
    )
