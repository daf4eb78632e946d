"""HDR to SDR against a second, scalar implementation that is written from the standards alone."""

import math

import numpy as np
import pytest

from stf_mamba.core.errors import VideoError
from stf_mamba.media.colour import sdr_from_hdr
from stf_mamba.media.frames import FrameStream, frames_at
from stf_mamba.media.probing import probe
from video_files import (
    ColourTags,
    numbered_frames,
    plain_yuv,
    write_video,
)

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


def rgb_by_definition(code, kr, kb, *, is_full):
    """R'G'B' of an 8-bit (Y', Cb, Cr) by the matrix equations of ITU-R BT.601 and BT.709."""
    luma, blue, red = code
    y = luma / 255 if is_full else (luma - 16) / 219
    cb, cr = ((value - 128) / (255 if is_full else 224) for value in (blue, red))
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.array([r, g, b]), 0, 1) * 255


BT601 = (0.299, 0.114)

BT709 = (0.2126, 0.0722)


@pytest.mark.parametrize("code", [(63, 102, 200), (150, 90, 110), (120, 170, 140), (200, 128, 128)])
@pytest.mark.parametrize(
    ("matrix", "colour_range", "size", "weights"),
    [
        (1, 1, 64, BT709),
        (6, 1, 64, BT601),
        (5, 1, 64, BT601),
        (1, 2, 64, BT709),
        (6, 2, 64, BT601),
        (2, 1, 64, BT601),  # not stated: by size
        (2, 1, 720, BT709),
    ],
)
def test_matrix_and_range_are_honoured(tmp_path, code, matrix, colour_range, size, weights):
    picture = plain_yuv(*code, width=64, height=size)
    tags = ColourTags(matrix=matrix, range=colour_range)
    path = write_video(tmp_path / "c.mkv", [picture], codec="ffv1", crf=None, tags=tags)
    rgb = next(iter(FrameStream(path))).rgb
    expected = rgb_by_definition(code, *weights, is_full=colour_range == 2)
    assert np.abs(rgb[size // 2, 32] - expected).max() <= 1.0


@pytest.mark.parametrize("matrix", [8, 10, 11, 12, 13, 14])
def test_a_matrix_that_cannot_be_converted_is_said(tmp_path, matrix):
    path = write_video(tmp_path / "m.mp4", numbered_frames(3), tags=ColourTags(matrix=matrix))
    assert probe(path).codec == "h264"
    with pytest.raises(VideoError, match=r"m\.mp4: the pictures' colours .* cannot be converted to RGB"):
        list(FrameStream(path))
    with pytest.raises(VideoError, match="re-encode it as BT"):
        list(frames_at(path, [0.0]))


def test_ten_bit_pictures_lose_no_more_than_rounding(tmp_path):
    path = write_video(tmp_path / "t.mkv", [plain_yuv(401, 512, 512, pix_fmt="yuv420p10le")], codec="ffv1",
                       crf=None, pix_fmt="yuv420p10le")  # fmt: skip
    assert np.unique(next(iter(FrameStream(path))).rgb).tolist() == [98]  # (401 - 64) / 876 * 255 = 98.1


@pytest.mark.parametrize(
    ("transfer", "luma", "expected"),
    [
        # Worked by hand. 203 cd/m² (PQ signal 0.5806, HLG 0.75): Y' = 0.203^(1/2.4) = 0.5146, Y'p = 0.7695, on the
        # knee Yc = 0.8283, (5.697^0.8283 - 1) / 4.697 = 0.6868, times 255 = 175.
        (16, 573, 175),
        (18, 721, 175),
        # 1000 cd/m² (PQ signal 0.7518) is SDR white, and so is all above.
        (16, 723, 255),
        (16, 940, 255),
        (18, 940, 255),
        # 10 cd/m² (PQ signal 0.3026): Y' = 0.1468, Y'p = 0.3982, Yc = 0.4289, (5.697^0.4289 - 1) / 4.697 = 0.2361.
        (16, 329, 60),
        (16, 64, 0),
        (18, 64, 0),
    ],
)
def test_high_dynamic_range_greys_are_tone_mapped(tmp_path, transfer, luma, expected):
    picture = plain_yuv(luma, 512, 512, pix_fmt="yuv420p10le")
    tags = ColourTags(primaries=9, transfer=transfer, matrix=9)
    path = write_video(tmp_path / "h.mkv", [picture], codec="ffv1", crf=None, pix_fmt="yuv420p10le", tags=tags)
    rgb = next(iter(FrameStream(path))).rgb
    assert np.abs(rgb.astype(int) - expected).max() <= 1


def test_high_dynamic_range_is_said_and_colours_keep_their_hue(tmp_path):
    # BT.2020 red 58 %, green and blue 20 % in PQ: Y' 0.2998, Cb −0.0531, Cr 0.1900.
    picture = plain_yuv(64 + 263, 512 - 48, 512 + 170, pix_fmt="yuv420p10le")
    tags = ColourTags(primaries=9, transfer=16, matrix=9)
    path = write_video(tmp_path / "hdr.mp4", [picture] * 3, codec="libx265", pix_fmt="yuv420p10le", tags=tags)
    info = probe(path)
    assert info.is_hdr
    assert any("tone-mapped" in note for note in info.notes)
    red, green, blue = next(iter(FrameStream(path))).rgb[32, 32].astype(int)
    assert red > 150
    assert red - max(green, blue) > 100
