"""Picture sheets and short videos of pseudo-fakes, for a person to look at before training on them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stf_mamba.augmentation.pseudofakes import Donor, PseudoFake, make_pseudofake
from stf_mamba.core.files import write_bytes_atomically
from stf_mamba.core.recipe import PseudoFakeRecipe
from stf_mamba.media.encoding import write_h264

if TYPE_CHECKING:
    from stf_mamba.core.records import Float64Array, UInt8Array

COMPONENTS = ("drift", "jitter", "flicker", "swim")
DIFFERENCE_GAIN = 4
SHEET_COLUMNS = 8
VIDEO_CRF = 18


def write_samples(
    frames: UInt8Array,
    landmarks_px: Float64Array,
    donor: Donor,
    folder: str | os.PathLike[str],
    recipe: PseudoFakeRecipe | None = None,
    seed: int = 0,
    fps: int = 8,
) -> list[Path]:
    """Write a picture sheet (PNG) and a video (MP4, H.264) of every kind of pseudo-fake of one clip; their paths.

    Kinds: ``self-blended`` and ``cross-blended`` with all components, then self-blended with ``drift``, ``jitter``,
    ``flicker`` and ``swim`` alone. All kinds share one draw of the identity-like change, but that another
    person's face is blended whole and in full weight.

    Args:
        frames: (T, H, W, 3) uint8 RGB of a real clip, H and W even.
        landmarks_px: (T, 5, 2) landmarks in its pixels.
        donor: another person's clip of as many frames.
        folder: made if it is missing.
        recipe: amplitudes; ``None`` for the defaults.
        fps: of the videos. Clips are often sampled sparsely, so that their own pace shows too fast at a usual rate.

    Raises:
        ValueError: as ``make_pseudofake``, and for an odd width or height.
        OSError: the folder cannot be written.
    """
    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ValueError(f"frames have the shape {frames.shape}, expected an even height and width, as H.264 needs")
    recipe = recipe or PseudoFakeRecipe()
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    still = replace(recipe, **dict.fromkeys(COMPONENTS, 0.0))
    kinds = {"self-blended": (recipe, None), "cross-blended": (recipe, donor)}
    kinds |= {name: (replace(still, **{name: getattr(recipe, name)}), None) for name in COMPONENTS}
    written = []
    for kind, (amplitudes, partner) in kinds.items():
        pseudofake = make_pseudofake(frames, landmarks_px, amplitudes, np.random.default_rng(seed), partner)
        written += [target / f"{kind}.png", target / f"{kind}.mp4"]
        _write_png(written[-2], sample_sheet(frames, pseudofake))
        write_h264(written[-1], np.concatenate([frames, pseudofake.frames], axis=2), fps, VIDEO_CRF)
    return written


def sample_sheet(frames: UInt8Array, pseudofake: PseudoFake, columns: int = SHEET_COLUMNS) -> UInt8Array:
    """A picture (4 H, columns · W, 3) uint8 RGB of frames spread over the clip.

    Rows: the real clip, the mask, the pseudo-fake, and four times their difference about mid-grey.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, columns).round().astype(int))
    real, fake = frames[chosen], pseudofake.frames[chosen]
    mask = np.rint(255 * pseudofake.mask[chosen, ..., None]).astype(np.uint8).repeat(3, axis=-1)
    difference = np.clip(128 + DIFFERENCE_GAIN * (fake.astype(np.int16) - real), 0, 255).astype(np.uint8)
    rows: Sequence[UInt8Array] = [np.concatenate(list(row), axis=1) for row in (real, mask, fake, difference)]
    return np.concatenate(rows)


def _write_png(path: Path, rgb: UInt8Array) -> None:
    encoded, content = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert encoded, "an 8-bit RGB picture can always be a PNG"
    write_bytes_atomically(path, content.tobytes())
