"""One page for a person: the five values of a clip, where in the picture they come from, and their course over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stf_mamba.core.plotting import BLUE, GREY, ORANGE
from stf_mamba.signals import SIGNALS
from stf_mamba.signals.result import SignalResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stf_mamba.core.records import UInt8Array

COLUMNS = 4  # frames shown
HIGHEST_PERCENTILE = 99  # of a map's values, at which its colours end
PALEST = 500  # grey level drawn white under the maps: dim, to say where and not what


def plot_signals(results: Mapping[str, SignalResult], frames: UInt8Array) -> Figure:
    """The page: a row of frames, then a row a signal with its maps in those frames and its course over the clip.

    Args:
        results: what ``measure`` gave, by a name of ``SIGNALS``; a signal that is undefined is left out.
        frames: (T, H, W, 3) uint8 RGB, the clip that was measured.

    Raises:
        ValueError: no results, a name that is no signal, or maps of another clip.
    """
    from matplotlib.figure import Figure

    unknown = sorted(set(results) - set(SIGNALS))
    if unknown or not results:
        raise ValueError(f"results of {unknown or 'no signal'}, expected some of {', '.join(SIGNALS)}")
    for name, result in results.items():
        if result.map.shape[1:] != frames.shape[1:3] or len(result.map) not in (len(frames) - 1, len(frames)):
            raise ValueError(
                f"the map of {name} has the shape {result.map.shape}, expected that of frames {frames.shape}"
            )
    names = [name for name in SIGNALS if name in results]
    figure = Figure(figsize=(12.5, 1.95 * (len(names) + 1)), layout="constrained")
    rows = figure.subplots(len(names) + 1, COLUMNS + 1, width_ratios=[1] * COLUMNS + [1.9], squeeze=False)
    shown = np.linspace(0, len(frames) - 2, COLUMNS).round().astype(int).tolist()
    for axes, index in zip(rows[0], shown, strict=False):
        axes.imshow(frames[index])
        axes.set_title(f"frame {index}", fontsize=9)
        _bare(axes)
    rows[0, -1].axis("off")
    for row, name in zip(rows[1:], names, strict=True):
        _draw_maps(row[:-1], name, results[name], frames, shown)
        _draw_course(row[-1], results[name])
    rows[-1, -1].set_xlabel("frame, or the first of a pair of frames", fontsize=8)
    return figure


def _draw_maps(row: Sequence[Axes], name: str, result: SignalResult, frames: UInt8Array, shown: Sequence[int]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    signed = bool(np.nanmin(result.map) < 0)
    highest = float(np.nanpercentile(np.abs(result.map), HIGHEST_PERCENTILE)) or 1.0
    levels = Normalize(-highest if signed else 0, highest)
    colours = ScalarMappable(levels, "RdBu_r" if signed else "viridis")
    for axes, index in zip(row, shown, strict=True):
        axes.imshow(frames[index].mean(axis=-1), cmap="gray", vmin=0, vmax=PALEST)
        axes.imshow(result.map[index], cmap=colours.cmap, norm=levels, interpolation="nearest")
        _bare(axes)
    row[0].set_ylabel(
        f"{SIGNALS[name].letter}  {SIGNALS[name].title}".replace(" ", "\n").replace("\n\n", "\n"), fontsize=9
    )
    bar = row[0].figure.colorbar(colours, ax=list(row), fraction=0.03, pad=0.01)
    bar.set_label(result.map_unit, fontsize=7)
    bar.ax.tick_params(labelsize=7)


def _draw_course(axes: Axes, result: SignalResult) -> None:
    axes.plot(np.arange(len(result.curve)), result.curve, color=BLUE, marker=".", linewidth=1)
    axes.axhline(result.value, color=ORANGE, linestyle="--", linewidth=1)
    axes.set_title(
        f"value {result.value:.3g} {result.unit} (mean of n = {int(np.isfinite(result.curve).sum())})", fontsize=9
    )
    axes.set_ylabel(result.unit, fontsize=8, color=GREY)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
