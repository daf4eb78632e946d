"""Chroma noise between neighbours, against numpy's correlation coefficients and cases with a known correlation."""

import numpy as np
import pytest
from planted_clips import FRAMES, as_frames, still
from scipy import ndimage

from face_clips import landmarks
from stf_mamba.signals.chromatic import chromatic_autocorrelation, report_chromatic_autocorrelation
from stf_mamba.signals.face_region import face_depth
from stf_mamba.signals.result import UndefinedSignalError


def test_curve_equals_corrcoef_of_scipys_residual():
    generator = np.random.default_rng(1)
    frames, points = as_frames(still(generator, 8.0)[:4], generator), landmarks(4)
    red, green, blue = np.moveaxis(frames.astype(np.float64), -1, 0)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = (blue - grey) / 1.772, (red - grey) / 1.402  # the definition of Cb and Cr
    inside = face_depth(points, (96, 96))[0] > 0
    noise = [plane - ndimage.gaussian_filter(plane, (0, 2, 2), mode="mirror") for plane in planes]
    expected = [
        np.mean([np.corrcoef(one[pair][inside], one[pair + 1][inside])[0, 1] for one in noise]) for pair in range(3)
    ]
    result = chromatic_autocorrelation(frames, points)
    np.testing.assert_allclose(result.curve, expected, atol=2e-4)
    np.testing.assert_allclose(np.nanmean(result.map, axis=(1, 2)), result.curve, atol=1e-5)


def test_a_frame_shown_again_correlates_wholly_and_an_inverted_one_inversely():
    generator = np.random.default_rng(3)
    noise = generator.integers(-9, 10, (96, 96, 3))
    frames = np.stack([100 + noise, 100 + noise, 100 - noise]).astype(np.uint8)
    np.testing.assert_allclose(chromatic_autocorrelation(frames, landmarks(3)).curve, [1, -1], atol=1e-5)


def test_the_reports_way_looks_at_grey_and_misses_a_pattern_in_chroma():
    generator = np.random.default_rng(6)
    cr = generator.normal(0, 6, (1, 96, 96, 1)) * np.array([1.402, -0.714136, 0])  # leaves the luma as it is
    grey_noise = generator.normal(0, 4, (FRAMES, 96, 96, 1))
    frames = np.clip(np.rint(120 + cr + grey_noise), 0, 255).astype(np.uint8)
    # The pattern is all that Cr holds, and Cb holds rounding errors only.
    assert chromatic_autocorrelation(frames, landmarks(FRAMES)).value == pytest.approx(0.5, abs=0.03)
    assert abs(report_chromatic_autocorrelation(frames).value) < 0.05


def test_a_frame_without_colour_leaves_its_pairs_out():
    generator = np.random.default_rng(8)
    frames = as_frames(still(generator, 0.0)[:5], generator)
    frames[2] = 77
    curve = chromatic_autocorrelation(frames, landmarks(5)).curve
    np.testing.assert_array_equal(np.isnan(curve), [False, True, True, False])
    grey = np.repeat(frames[..., :1], 3, axis=-1)
    with pytest.raises(UndefinedSignalError, match="no noise"):
        chromatic_autocorrelation(grey, landmarks(5))
