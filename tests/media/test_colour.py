"""HDR to SDR against a second, scalar implementation that is written from the standards alone."""

import math

import numpy as np
import pytest

from stf_mamba.media.colour import sdr_from_hdr

PQ, HLG = 16, 18
BT2020_XY = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
BT709_XY = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
D65_XY = (0.3127, 0.3290)


def xyz_from_rgb(primaries):
    """The matrix to CIE XYZ that the chromaticities of primaries and white define (SMPTE RP 177)."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    x, y = D65_XY
    return columns * np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))


def pq_nits(signal):
    root = signal ** (1 / 78.84375)
    return 10000 * (max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)


def hlg_nits(rgb):
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = [s * s / 3 if s <= 0.5 else (math.exp((s - c) / a) + b) / 12 for s in rgb]
    luminance = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2]
    return [1000 * luminance**0.2 * s for s in scene]


def sdr_by_definition(rgb, transfer):
    nits = [pq_nits(s) for s in rgb] if transfer == PQ else hlg_nits(rgb)
    r, g, b = (min(n / 1000, 1) ** (1 / 2.4) for n in nits)
    luma = 0.2627 * r + 0.6780 * g + 0.0593 * b
    rho_hdr, rho_sdr = (1 + 32 * (peak / 10000) ** (1 / 2.4) for peak in (1000, 100))
    perceived = math.log(1 + (rho_hdr - 1) * luma) / math.log(rho_hdr)
    if perceived <= 0.7399:
        compressed = 1.0770 * perceived
    elif perceived < 0.9909:
        compressed = -1.1510 * perceived**2 + 2.7811 * perceived - 0.6302
    else:
        compressed = 0.5 * perceived + 0.5
    y_sdr = (rho_sdr**compressed - 1) / (rho_sdr - 1)
    cb = y_sdr / (1.1 * luma) * (b - luma) / 1.8814
    cr = y_sdr / (1.1 * luma) * (r - luma) / 1.4746
    y = y_sdr - max(0.1 * cr, 0)
    mapped = (y + 1.4746 * cr, y - 0.16455 * cb - 0.57135 * cr, y + 1.8814 * cb)
    linear = np.clip(mapped, 0, 1) ** 2.4
    to_709 = np.linalg.inv(xyz_from_rgb(BT709_XY)) @ xyz_from_rgb(BT2020_XY)
    return 255 * np.clip(to_709 @ linear, 0, 1) ** (1 / 2.4)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_colours_agree_with_the_standards(transfer):
    codes = np.random.default_rng(7).integers(6000, 50000, (40, 3)).astype(np.uint16)
    expected = [sdr_by_definition((code / 65535).tolist(), transfer) for code in codes]
    converted = sdr_from_hdr(codes[None], transfer)[0].astype(float)
    assert np.ptp(converted) > 200
    assert np.abs(converted - expected).max() <= 1.0


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_greys_stay_grey_and_in_order(transfer):
    ramp = np.repeat(np.arange(0, 65536, 257, dtype=np.uint16)[None, :, None], 3, axis=2)
    converted = sdr_from_hdr(ramp, transfer)[0].astype(int)
    assert np.ptp(converted, axis=1).max() <= 1
    assert np.diff(converted[:, 1]).min() >= 0
    assert (converted[0, 1], converted[-1, 1]) == (0, 255)
