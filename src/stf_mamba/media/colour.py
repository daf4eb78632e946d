"""A decoded picture as upright 8-bit RGB: colour matrix and range, alpha, high dynamic range, orientation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter

if TYPE_CHECKING:
    import av

    from stf_mamba.core.records import Float32Array, UInt8Array

HDR_TRANSFERS = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
WIDE_GAMUTS = (ColorPrimaries.BT2020, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432)

# swscale's quick path repeats chroma samples and truncates (one level too dark); these flags interpolate and round.
# PyAV 17 takes them as numbers only: SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT.
_EXACT = 0x4 | 0x40000 | 0x2000
_UNSPECIFIED_MATRIX = 2
_HDR_PEAK_NITS = 1000.0
_SDR_PEAK_NITS = 100.0
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
_BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)


class RgbConverter:
    """Converts the pictures of one stream; keeps swscale's tables between calls. Not for use by two threads."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def __call__(self, picture: av.VideoFrame, matrix: tuple[int, int, int, int] | None = None) -> UInt8Array:
        """``picture`` as (H, W, 3) uint8 R'G'B', full range, BT.709 white and transfer, turned upright by ``matrix``
        (``None``: by what the picture itself says).

        The stated matrix and range are honoured. Where no matrix is stated, BT.709 is taken for pictures wider than
        1279 or taller than 576 pixels and BT.601 below, as players do. Transparent areas become black. PQ and HLG
        pictures are tone-mapped by ``sdr_from_hdr``; primaries of other pictures are left as they are.
        """
        if is_hdr(picture):
            rgb = sdr_from_hdr(self._samples(picture, "rgb48le"), picture.color_trc)
        elif has_alpha(picture):
            rgba = self._samples(picture, "rgba").astype(np.uint16)
            rgb = ((rgba[..., :3] * rgba[..., 3:] + 127) // 255).astype(np.uint8)
        else:
            rgb = self._samples(picture, "rgb24")
        return np.ascontiguousarray(_upright(rgb, matrix or display_matrix(picture)))

    def _samples(self, picture: av.VideoFrame, pixel_format: str) -> Any:
        matrix = _assumed_matrix(picture) if picture.colorspace == _UNSPECIFIED_MATRIX else None
        converted = self._scaler.reformat(
            picture, format=pixel_format, src_colorspace=matrix, interpolation=_EXACT, threads=1
        )
        return converted.to_ndarray()


def is_hdr(picture: av.VideoFrame) -> bool:
    """Whether the picture's samples are PQ or HLG."""
    return picture.color_trc in HDR_TRANSFERS


def has_alpha(picture: av.VideoFrame) -> bool:
    """Whether the picture carries transparency."""
    return any(component.is_alpha for component in picture.format.components)


def display_matrix(picture: av.VideoFrame) -> tuple[int, int, int, int]:
    """The signs (a, b, c, d) with which a picture is shown: x' = a x + c y, y' = b x + d y, y pointing down.

    Angles between the quarter turns go to the nearest one. (1, 0, 0, 1) where the file says nothing.
    """
    if not has_display_matrix(picture):
        return 1, 0, 0, 1
    side_data: Any = picture.side_data
    a, b, _, c, d, *_ = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), np.int32).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1), 0, 0, (-1 if d < 0 else 1)
    return 0, (-1 if b < 0 else 1), (-1 if c < 0 else 1), 0


def has_display_matrix(picture: av.VideoFrame) -> bool:
    """Whether the file says how this picture is shown."""
    side_data: Any = picture.side_data
    return "DISPLAYMATRIX" in side_data


def conversion_notes(picture: av.VideoFrame, matrix: tuple[int, int, int, int]) -> Iterator[str]:
    """What a reader of a verdict should know of how ``RgbConverter`` turns a picture to RGB."""
    bits = max(component.bits for component in picture.format.components)
    if bits > 8:
        yield f"Its {bits}-bit samples were converted to 8 bits."
    if is_hdr(picture):
        yield "High dynamic range: its pictures were tone-mapped to BT.709 (ITU-R BT.2446-1, method A)."
    elif picture.color_primaries in WIDE_GAMUTS:
        yield "Wide-gamut colours were taken as BT.709."
    if has_alpha(picture):
        yield "Its pictures can be transparent; transparent areas are shown black."
    if picture.interlaced_frame:
        yield "Interlaced: each picture holds two moments, which were not separated."
    a, b, c, d = matrix
    if a * d - b * c < 0:
        yield "The container asks for a mirrored picture; it was mirrored."


def sdr_from_hdr(codes: Any, transfer: int) -> UInt8Array:
    """BT.2020 HDR R'G'B' ``codes`` (H, W, 3) uint16 as BT.709 SDR (H, W, 3) uint8.

    Light above 1000 cd/m² is clipped, which is the range that the conversion is defined for.

    Source: Report ITU-R BT.2446-1, method A (tone and colour); Recommendation ITU-R BT.2100-2, tables 4 and 5 (PQ and
    HLG); Recommendation ITU-R BT.2087-0 (BT.2020 to BT.709); Recommendation ITU-R BT.1886 (gamma 2.4).
    """
    if transfer == ColorTrc.SMPTE2084:
        light = _pq_light()[codes]
    else:
        scene = _hlg_scene_light()[codes]
        light = scene * (scene @ _BT2020_LUMA)[..., None] ** np.float32(0.2)  # system gamma 1.2 at 1000 cd/m²
    mapped = _tone_mapped(light ** np.float32(1 / 2.4))
    linear_709 = mapped.clip(0.0, 1.0) ** np.float32(2.4) @ _BT2020_TO_BT709.T
    gamma_709 = linear_709.clip(0.0, 1.0) ** np.float32(1 / 2.4)
    return np.asarray(np.rint(255.0 * gamma_709), np.uint8)


def _tone_mapped(rgb: Float32Array) -> Float32Array:
    """BT.2446-1 method A on gamma-2.4 R'G'B' of 1000 cd/m² peak; gamma-2.4 R'G'B' of 100 cd/m² peak, both BT.2020."""
    hdr_ratio = 1 + 32 * (_HDR_PEAK_NITS / 10000) ** (1 / 2.4)
    sdr_ratio = 1 + 32 * (_SDR_PEAK_NITS / 10000) ** (1 / 2.4)
    luma = rgb @ _BT2020_LUMA
    perceived = np.log1p((hdr_ratio - 1) * luma) / np.float32(np.log(hdr_ratio))
    knee = (-1.1510 * perceived + 2.7811) * perceived - 0.6302
    compressed = np.select([perceived <= 0.7399, perceived < 0.9909], [1.0770 * perceived, knee], 0.5 * perceived + 0.5)
    sdr_luma = (sdr_ratio**compressed - 1) / (sdr_ratio - 1)
    scale = sdr_luma / np.maximum(1.1 * luma, 1e-6)
    red = scale * (rgb[..., 0] - luma)
    blue = scale * (rgb[..., 2] - luma)
    green = -(_BT2020_LUMA[0] * red + _BT2020_LUMA[2] * blue) / _BT2020_LUMA[1]
    darker = sdr_luma - np.maximum(0.1 * red / 1.4746, 0.0)  # Cr = (R' − Y') / 1.4746
    return np.asarray(darker[..., None] + np.stack([red, green, blue], axis=-1), np.float32)


@cache
def _pq_light() -> Float32Array:
    """Light of each 16-bit PQ code as a fraction of 1000 cd/m², clipped at 1."""
    root = np.linspace(0.0, 1.0, 65536) ** (32 / 2523)
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
    nits = 10000 * (np.maximum(root - c1, 0.0) / (c2 - c3 * root)) ** (16384 / 2610)
    return (nits / _HDR_PEAK_NITS).clip(0.0, 1.0).astype(np.float32)


@cache
def _hlg_scene_light() -> Float32Array:
    """Scene light in [0, 1] of each 16-bit HLG code."""
    signal = np.linspace(0.0, 1.0, 65536)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


def _assumed_matrix(picture: av.VideoFrame) -> Colorspace:
    if is_hdr(picture):
        return Colorspace.BT2020
    high_definition = picture.width >= 1280 or picture.height > 576
    return Colorspace.ITU709 if high_definition else Colorspace.ITU601


def _upright(rgb: UInt8Array, matrix: tuple[int, int, int, int]) -> UInt8Array:
    a, b, c, d = matrix
    if a == 0:
        rgb = rgb.swapaxes(0, 1)  # (W, H, 3): rows are now x, columns y
        return rgb[:: b or 1, :: c or 1]
    return rgb[:: d or 1, :: a or 1]
