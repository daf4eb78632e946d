"""SRM kernels by the laws that define them, and the ratio against scipy and sorted gradients."""

import numpy as np
import pytest
from planted_clips import as_frames, still
from scipy import ndimage

from face_clips import landmarks
from stf_mamba.signals.face_region import RING_PX, face_depth
from stf_mamba.signals.result import UndefinedSignalError, luma
from stf_mamba.signals.srm import DEFAULT_KERNEL, noise_residual, noise_sharpness, report_noise_sharpness, srm_kernels

Y, X = np.indices((5, 5)) - 2.0


def test_there_are_thirty_different_kernels_that_ignore_a_constant():
    kernels = srm_kernels()
    assert len(kernels) == 30
    assert len({kernel.tobytes() for kernel in kernels.values()}) == 30
    for kernel in kernels.values():
        assert kernel.shape == (5, 5)
        assert kernel.sum() == pytest.approx(0, abs=1e-6)
        assert abs(kernel[2, 2]) == 1
    assert [sum(name.startswith(kind) for name in kernels) for kind in ("first", "second", "third")] == [8, 4, 8]


def test_a_residual_of_order_k_ignores_polynomials_below_k_and_no_others():
    kernels = srm_kernels()
    for name, kernel in kernels.items():
        order = {"first": 1, "second": 2, "third": 3}.get(name.split()[0])
        if order is None:
            continue
        row, column = {"e": (0, 1), "n": (-1, 0), "w": (0, -1), "s": (1, 0)}.get(name.split()[1], (0, 0))
        if (row, column) == (0, 0):
            row = 1 if "s" in name.split()[1] else -1
            column = 1 if "e" in name.split()[1] else -1
        along = (row * Y + column * X) / (row**2 + column**2)  # steps in the kernel's direction
        across = column * Y - row * X
        for power in range(order):
            assert (kernel * along**power).sum() == pytest.approx(0, abs=1e-5)
        assert abs((kernel * along**order).sum()) > 0.5
        assert not kernel[np.abs(across) > 0.1].any()
    assert (kernels["first e"] * X).sum() == 1
    assert (kernels["first n"] * Y).sum() == -1


def test_squares_are_symmetric_and_edges_are_their_halves():
    kernels = srm_kernels()
    # Minus the outer product of two second differences, scaled by its centre's size.
    np.testing.assert_array_equal(kernels["square 3x3"][1:4, 1:4], np.outer([1, -2, 1], [1, -2, 1]) / -4)
    for size in ("3x3", "5x5"):
        square = kernels[f"square {size}"]
        for turns in range(4):
            np.testing.assert_array_equal(np.rot90(square, turns), square)
        for direction, half in (("n", Y <= 0), ("s", Y >= 0), ("w", X <= 0), ("e", X >= 0)):
            np.testing.assert_array_equal(kernels[f"edge {size} {direction}"], np.where(half, square, 0))
    # Corner to centre of the 5 x 5 square, as published.
    np.testing.assert_allclose(np.diag(kernels["square 5x5"] * 12)[:3], [-1, -6, -12], rtol=1e-6)


@pytest.mark.parametrize("kernel", [DEFAULT_KERNEL, "edge 3x3 w", "third ne"])
def test_ratio_equals_scipy_and_sorting(kernel):
    generator = np.random.default_rng(2)
    frames, points = as_frames(still(generator)[:2], generator), landmarks(2)
    weights = srm_kernels()[kernel].astype(np.float64)
    region = face_depth(points, (96, 96)) > -RING_PX
    expected, everywhere = [], []
    for grey, part in zip(luma(frames).astype(np.float64), region, strict=True):
        residual = ndimage.correlate(grey, weights, mode="mirror")
        gradient = np.hypot(*(ndimage.sobel(residual, axis, mode="mirror") for axis in (0, 1)))
        for ratios, chosen in ((expected, gradient[part]), (everywhere, gradient.ravel())):
            ratios.append(np.quantile(chosen, 0.9) / np.median(chosen))
    np.testing.assert_allclose(noise_sharpness(frames, points, kernel).curve, expected, rtol=1e-4)
    np.testing.assert_allclose(report_noise_sharpness(frames, kernel).curve, everywhere, rtol=1e-4)


def test_a_picture_without_texture_and_an_unknown_kernel_are_refused():
    frames = np.full((2, 96, 96, 3), 90, np.uint8)
    with pytest.raises(UndefinedSignalError, match="no noise residual"):
        noise_sharpness(frames, landmarks(2))
    with pytest.raises(ValueError, match="no SRM kernel 'laplace'; the names are: first e"):
        noise_residual(frames, "laplace")
