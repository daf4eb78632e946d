"""Figure 3: what a temporal model adds to frame-level features of EfficientNet-B0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stf_mamba.core.plotting import GREY, ORANGE
from stf_mamba.study.figure_parts import curve, draw_bars, draw_curves, empty_panel, legend_below, new_figure
from stf_mamba.study.results import Study
from stf_mamba.study.rows import BASELINE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPORAL = "bigru-efficientnet-b0"


def plot_temporal(study: Study) -> Figure:
    """Validation AUC of the recurrent row over its phases, and AUC beside the frame-level row's."""
    figure = new_figure(study, 4.0)
    left, right = figure.subplots(1, 2)
    left.set_title("a. validation AUC by epoch (thick: mean)")
    right.set_title("b. AUC by data set")
    if TEMPORAL in study.finished:
        draw_curves(left, study, [TEMPORAL], "validation_auc")
        for number, epoch in enumerate(curve(study.finished[TEMPORAL].trainings, "validation_auc").boundaries):
            label = "phase boundary" if number == 0 else "_nolegend_"
            left.axvline(epoch + 0.5, color="black", linestyle="--", linewidth=1, label=label)
        baseline = frame_level_reference(study)
        if baseline is not None:
            left.axhline(baseline, color=ORANGE, linewidth=1, label="B0 frame-level, best epoch's mean")
        left.axhline(0.5, color=GREY, linestyle=":", label="chance")
        left.set_ylabel("validation AUC")
        legend_below(left)
    else:
        empty_panel(left, f"needs the row {TEMPORAL}")
    if {TEMPORAL, BASELINE} & set(study.finished):
        draw_bars(right, study, (BASELINE, TEMPORAL))
        legend_below(right)
    else:
        empty_panel(right, f"needs the rows {BASELINE} and {TEMPORAL}")
    return figure


def frame_level_reference(study: Study) -> float | None:
    """The highest mean validation AUC of the frame-level row; ``None`` where it was not run."""
    if BASELINE not in study.finished:
        return None
    return max(curve(study.finished[BASELINE].trainings, "validation_auc").mean, default=None)
