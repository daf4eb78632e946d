"""Figure 2: backbones that judge single frames — training curves, AUC on both data sets, loss divergence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stf_mamba.core.plotting import GREY
from stf_mamba.study.figure_parts import draw_bars, draw_curves, empty_panel, legend_below, new_figure
from stf_mamba.study.results import Study
from stf_mamba.study.rows import ROWS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKBONES = tuple(key for key, row in ROWS.items() if row.experiment == 2)


def plot_backbones(study: Study) -> Figure:
    """Validation AUC by epoch, AUC of both data sets, and validation loss less training loss."""
    figure = new_figure(study, 6.0)
    panels = figure.subplot_mosaic([["auc", "loss"], ["bars", "bars"]], height_ratios=[1, 1.2])
    panels["auc"].set_title("a. validation AUC by epoch (thick: mean)")
    panels["loss"].set_title("b. validation loss − training loss")
    panels["bars"].set_title("c. AUC by data set")
    if not any(key in study.finished for key in BACKBONES):
        for axes in panels.values():
            empty_panel(axes, "needs the rows " + ", ".join(BACKBONES))
        return figure
    draw_curves(panels["auc"], study, BACKBONES, "validation_auc")
    panels["auc"].axhline(0.5, color=GREY, linestyle=":")
    panels["auc"].set_ylabel("validation AUC (dotted: chance)")
    draw_curves(panels["loss"], study, BACKBONES, "validation_loss", "train_loss")
    panels["loss"].axhline(0, color=GREY, linestyle=":")
    panels["loss"].set_ylabel("difference of losses (nats)")
    legend_below(panels["auc"])
    legend_below(panels["loss"])
    draw_bars(panels["bars"], study, BACKBONES)
    legend_below(panels["bars"], 3)
    return figure
