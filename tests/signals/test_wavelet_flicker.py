"""HLL flicker, against brightness that alternates by a known amount and block means of plain numpy."""

import numpy as np
import pytest
from planted_clips import as_frames, still

from face_clips import landmarks
from stf_mamba.signals.face_region import face_depth
from stf_mamba.signals.result import luma
from stf_mamba.signals.wavelet import report_wavelet_flicker, wavelet_flicker


def alternating(amplitude, frames=6):
    signs = (-1) ** np.arange(frames)[:, None, None, None]
    return (100 + amplitude * np.broadcast_to(signs, (frames, 96, 96, 3))).astype(np.uint8)


@pytest.mark.parametrize("frames", [2, 5, 6])
def test_alternating_brightness_has_its_amplitude(frames):
    result = wavelet_flicker(alternating(7, frames), landmarks(frames))
    np.testing.assert_allclose(result.curve, np.full(frames - 1, 7), rtol=1e-5)
    # An orthonormal coefficient gains √2 along each of three axes.
    assert report_wavelet_flicker(alternating(7, frames)).value == pytest.approx(8 * 49, rel=1e-5)


def test_each_pair_of_neighbours_is_half_the_difference_of_block_means():
    generator = np.random.default_rng(4)
    frames, points = as_frames(still(generator)[:5], generator), landmarks(5)
    blocks = luma(frames).astype(np.float64).reshape(5, 48, 2, 48, 2).mean(axis=(2, 4)).repeat(2, 1).repeat(2, 2)
    inside = face_depth(points, (96, 96))[0] > 0
    expected = [np.sqrt(np.mean((step[inside] / 2) ** 2)) for step in np.diff(blocks, axis=0)]
    np.testing.assert_allclose(wavelet_flicker(frames, points).curve, expected, rtol=1e-4)


def test_frames_far_apart_mistake_a_slow_change_for_flicker():
    """The report's fault: a drift that neighbouring frames hardly show, seen in every sixteenth frame."""
    drift = np.clip(60 + np.arange(128) * 1.0, 0, 255).astype(np.uint8)
    video = np.broadcast_to(drift[:, None, None, None], (128, 96, 96, 3))
    consecutive = wavelet_flicker(video[48:56], landmarks(8)).value
    assert consecutive == pytest.approx(0.5, rel=1e-4)
    assert report_wavelet_flicker(video[::16]).value == pytest.approx(8 * 8**2, rel=1e-4)
