"""What varies from frame to frame in a blended face: drift, jitter, flicker and swim, each a process of its own.

Every process is drawn whatever its amplitude, so that changing one component leaves the draws of all others as they
were; amplitude 0 multiplies it away exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.ndimage import gaussian_filter1d

from stf_mamba.core.recipe import PseudoFakeRecipe
from stf_mamba.faces.masks import SWIM_FIELDS

if TYPE_CHECKING:
    from stf_mamba.core.records import Float64Array

# Unit amplitudes (standard deviations). Places are in aligned pixels: a face is about 78 of them wide.
DRIFT_SHIFT_PX = 0.9
DRIFT_LOG_SCALE = 0.012
DRIFT_TURN_RAD = 0.012
DRIFT_GAIN = 0.02
JITTER_SHIFT_PX = 0.45
JITTER_LOG_SCALE = 0.006
JITTER_TURN_RAD = 0.006
FLICKER_GAIN = 0.015
FLICKER_COLOUR_GAIN = 0.006
SWIM_PX = 1.2

DRIFT_REACH = 1 / 8  # of the clip's length: standard deviation of the kernel that smooths white noise into drift
SWIM_REACH_FRAMES = 1.0


@dataclass(frozen=True, eq=False)
class FrameChanges:
    """How the blended face differs from its place and colour in each of T frames.

    Attributes:
        shift_px: (T, 2) displacement (x, y) in aligned pixels.
        turn_and_scale: (T,) complex: its angle turns the face about its centre, its length scales it.
        gains: (T, 3) factors of red, green and blue.
        swim_px: (T, K) coefficients of the mask's swim fields, in aligned pixels.
    """

    shift_px: Float64Array
    turn_and_scale: np.ndarray[tuple[int], np.dtype[np.complex128]]
    gains: Float64Array
    swim_px: Float64Array


def draw_frame_changes(generator: np.random.Generator, recipe: PseudoFakeRecipe, frames: int) -> FrameChanges:
    """The changes of a clip of ``frames`` frames with the recipe's amplitudes."""
    drift = recipe.drift * smooth_process(generator, frames, 7, DRIFT_REACH * frames)  # (T, 7)
    jitter = recipe.jitter * generator.standard_normal((frames, 4))
    flicker = recipe.flicker * generator.standard_normal((frames, 4))
    swim = recipe.swim * smooth_process(generator, frames, SWIM_FIELDS, SWIM_REACH_FRAMES)  # (T, K)
    log_scale = DRIFT_LOG_SCALE * drift[:, 2] + JITTER_LOG_SCALE * jitter[:, 2]
    turn_rad = DRIFT_TURN_RAD * drift[:, 3] + JITTER_TURN_RAD * jitter[:, 3]
    return FrameChanges(
        shift_px=DRIFT_SHIFT_PX * drift[:, :2] + JITTER_SHIFT_PX * jitter[:, :2],
        turn_and_scale=np.exp(log_scale + 1j * turn_rad),
        gains=np.exp(DRIFT_GAIN * drift[:, 4:] + FLICKER_GAIN * flicker[:, :1] + FLICKER_COLOUR_GAIN * flicker[:, 1:]),
        swim_px=SWIM_PX / np.sqrt(SWIM_FIELDS) * swim,
    )


def smooth_process(generator: np.random.Generator, frames: int, channels: int, reach_frames: float) -> Float64Array:
    """(T, C) stationary Gaussian processes of mean 0 and variance 1.

    White noise under a Gaussian kernel of standard deviation σ = ``reach_frames``; frames a distance d apart are
    correlated by about exp(−d² / 4σ²).
    """
    beyond = int(np.ceil(4 * reach_frames)) + 1  # the kernel is cut at 4 σ, so no frame sees the noise's ends
    white = generator.standard_normal((frames + 2 * beyond, channels))
    impulse = np.zeros(2 * beyond + 1)
    impulse[beyond] = 1
    kernel = gaussian_filter1d(impulse, reach_frames, mode="constant")
    smooth = gaussian_filter1d(white, reach_frames, axis=0)[beyond : beyond + frames]
    return cast("Float64Array", smooth / np.linalg.norm(kernel))
