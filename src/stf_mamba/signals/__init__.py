"""Five forensic signals of Experiment 1: a clip in, one number and its map out.

Each is a pure function of consecutive frames and the face's landmarks. Beside each stands the report's own way of
computing it, faults included, which takes the frames of ``ablation_frames.report_frames``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stf_mamba.signals.chromatic import chromatic_autocorrelation, report_chromatic_autocorrelation
from stf_mamba.signals.color import color_distance, report_color_distance
from stf_mamba.signals.flow import flow_discontinuity, report_flow_discontinuity
from stf_mamba.signals.result import SignalResult, UndefinedSignalError
from stf_mamba.signals.srm import noise_sharpness, report_noise_sharpness
from stf_mamba.signals.wavelet import report_wavelet_flicker, wavelet_flicker

if TYPE_CHECKING:
    from stf_mamba.core.records import Float64Array, UInt8Array


@dataclass(frozen=True)
class Signal:
    """A signal as the report lists it.

    Attributes:
        letter: its place in the report's Experiment 1.
        title: its name in tables and figures.
        measure: from frames (T, H, W, 3) uint8 RGB, consecutive, and landmarks (T, 5, 2) in their pixels.
        report_variant: from frames alone, spread over a video, as the report measured it.
    """

    letter: str
    title: str
    measure: Callable[[UInt8Array, Float64Array], SignalResult]
    report_variant: Callable[[UInt8Array], SignalResult]


SIGNALS: dict[str, Signal] = {
    "wavelet": Signal("A", "HLL wavelet flicker", wavelet_flicker, report_wavelet_flicker),
    "srm": Signal("B", "SRM noise sharpness", noise_sharpness, report_noise_sharpness),
    "chromatic": Signal("C", "chromatic autocorrelation", chromatic_autocorrelation, report_chromatic_autocorrelation),
    "color": Signal("D", "colour Wasserstein", color_distance, report_color_distance),
    "flow": Signal("E", "optical-flow discontinuity", flow_discontinuity, report_flow_discontinuity),
}

__all__ = ["SIGNALS", "Signal", "SignalResult", "UndefinedSignalError"]
