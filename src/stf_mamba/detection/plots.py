"""Plots of a verdict: each face's curve over time, and what each comparison within the picture adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stf_mamba.core.plotting import BLUE, GREEN, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stf_mamba.core.records import TrackScore


def plot_timeline(track: TrackScore) -> Figure:
    """A face track over time: each scored frame's cosine similarity to its clip's mean, and above it the frame's
    own logit, where the model judges frames. Clips differ by colour; the extreme frame of each has a ring."""
    from matplotlib.figure import Figure

    judges_frames = all(clip.frame_logits for clip in track.clips)
    figure = Figure(figsize=(9, 4.4 if judges_frames else 2.4), layout="constrained")
    panels = figure.subplots(2 if judges_frames else 1, sharex=True, squeeze=False)[:, 0]
    for number, clip in enumerate(sorted(track.clips, key=lambda clip: clip.start_s)):
        colour = (BLUE, GREEN)[number % 2]
        _draw_frames(panels[-1], clip.times_s, clip.consistency, min(clip.consistency), colour)
        if judges_frames:
            _draw_frames(panels[0], clip.times_s, clip.frame_logits, max(clip.frame_logits), colour)
    if judges_frames:
        panels[0].set_ylabel("logit of\nthe frame")
    panels[-1].set_xlabel("time in the video (s)")
    panels[-1].set_ylabel("similarity to\nclip mean (cosine)")
    panels[-1].ticklabel_format(axis="y", useOffset=False)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_frames(axes: Axes, times_s: Sequence[float], values: Sequence[float], extreme: float, colour: str) -> None:
    axes.plot(times_s, values, color=colour, marker=".", linewidth=1)
    time_s = times_s[values.index(extreme)]
    axes.plot(time_s, extreme, color=ORANGE, marker="o", fillstyle="none", markersize=9)


def plot_relations(relations: Mapping[str, float], constant: float) -> Figure:
    """What comparisons within the picture add to the logit of the average training clip, and the sum, as bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.6 + 0.36 * (len(relations) + 2)), layout="constrained")
    axes = figure.subplots()
    rows = [*relations.items(), ("average training clip", constant), ("logit", sum(relations.values()) + constant)]
    values = [value for _, value in rows]
    bars = axes.barh([name for name, _ in rows], values, color=[*[GREY] * (len(rows) - 1), "black"], height=0.6)
    axes.bar_label(bars, labels=[f"{value:+.2f}" for value in values], padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.axvline(0, color=GREY, linewidth=1)
    axes.margins(x=0.15)
    axes.set_xlabel("logit (higher is more suspicious)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure
