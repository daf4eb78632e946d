"""Figure 4: whether more parameters generalise better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stf_mamba.plots import BLUE, GREY, ORANGE
from stf_mamba.statistics import rank_correlation
from stf_mamba.study.figure_backbones import BACKBONES
from stf_mamba.study.figure_parts import (
    SMALL,
    draw_bars,
    draw_curves,
    empty_panel,
    legend_below,
    new_figure,
    parameters_m,
    test_of,
    test_words,
    tidy,
)
from stf_mamba.study.published import PUBLISHED
from stf_mamba.study.results import Study
from stf_mamba.study.rows import BASELINE, ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES = (BASELINE, "frame-efficientnet-b4")


def plot_capacity(study: Study) -> Figure:
    """Training curves of B0 and B4, parameters against AUC, and bars of all backbones."""
    figure = new_figure(study, 6.0)
    panels = figure.subplot_mosaic([["curves", "scatter"], ["bars", "bars"]], height_ratios=[1, 1.2])
    panels["curves"].set_title("a. validation AUC by epoch (thick: mean)")
    panels["scatter"].set_title("b. trainable parameters and AUC")
    panels["bars"].set_title("c. AUC by data set")
    if any(key in study.finished for key in SIZES):
        draw_curves(panels["curves"], study, SIZES, "validation_auc")
        panels["curves"].axhline(0.5, color=GREY, linestyle=":", label="chance")
        panels["curves"].set_ylabel("validation AUC")
        legend_below(panels["curves"])
    else:
        empty_panel(panels["curves"], "needs the rows " + ", ".join(SIZES))
    draw_scatter(panels["scatter"], study, BACKBONES)
    if any(key in study.finished for key in BACKBONES):
        draw_bars(panels["bars"], study, BACKBONES)
        gattu = PUBLISHED["gattu"]
        label = f"{gattu.label}: {gattu.cross} reported, Celeb-DF"
        panels["bars"].axvspan(
            gattu.cross - 0.004, gattu.cross + 0.004, facecolor="white", edgecolor="black", hatch=HATCH_LINE,
            linewidth=0.5, label=label,
        )  # fmt: skip
        panels["bars"].legend(fontsize=SMALL, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        empty_panel(panels["bars"], "needs the rows " + ", ".join(BACKBONES))
    return figure


HATCH_LINE = "//////"


def draw_scatter(axes: Axes, study: Study, keys: Sequence[str], names: bool = True) -> None:
    """Trainable parameters against AUC with intervals; Spearman's correlation in the panel."""
    finished = [study.finished[key] for key in keys if key in study.finished]
    if not finished:
        empty_panel(axes, "needs finished rows, such as " + ", ".join(keys[:3]))
        return
    for one in finished:
        estimate, x = test_of(study, one).auc, parameters_m(one)
        colour = BLUE if one.row.backbone == "supervised CNN" else ORANGE
        if estimate.low is not None and estimate.high is not None:
            axes.vlines(x, estimate.low, estimate.high, color=colour, linewidth=0.8)
        axes.plot(x, estimate.value, "o", color=colour, markersize=4)
        if names:
            name = ROWS[one.row.key].label.removesuffix(" frame-level")
            axes.annotate(name, (x, estimate.value), xytext=(3, 3), textcoords="offset points", fontsize=5)
    for colour, label in ((BLUE, "supervised CNN"), (ORANGE, "self-supervised ViT")):
        axes.plot([], [], "o", color=colour, markersize=4, label=label)
    axes.axhline(0.5, color=GREY, linestyle=":", label="chance")
    axes.text(0.02, 0.98, correlation_words(study, keys), transform=axes.transAxes, va="top", fontsize=SMALL)
    axes.set_ylim(0, 1.1)
    axes.margins(x=0.2)
    axes.set_xlabel("trainable parameters (M)")
    axes.set_ylabel(f"AUC ({test_words(study)})")
    axes.legend(fontsize=SMALL, frameon=False, loc="lower left", ncols=2)
    tidy(axes)


def correlation_words(study: Study, keys: Sequence[str]) -> str:
    """Spearman's correlation of trainable parameters and AUC with its interval, or why there is none."""
    finished = [study.finished[key] for key in keys if key in study.finished]
    try:
        found = rank_correlation(
            [parameters_m(one) for one in finished], [test_of(study, one).auc.value for one in finished]
        )
    except ValueError:
        return f"Spearman's ρ: needs four rows that differ, n = {len(finished)}"
    interval = "no interval" if found.low is None else f"[{found.low:+.2f}, {found.high:+.2f}]"
    return f"Spearman's ρ = {found.rho:+.2f} {interval}, n = {found.n}"
