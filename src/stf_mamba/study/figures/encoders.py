"""Figure 4: whether more parameters generalise better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stf_mamba.core.plotting import BLUE, GREY, ORANGE
from stf_mamba.evaluation.statistics.significance import rank_correlation
from stf_mamba.study.figures.panels import (
    HATCH,
    SMALL,
    curve,
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
from stf_mamba.study.labels import stands_in
from stf_mamba.study.numbers import NO_INTERVAL, signed
from stf_mamba.study.published import PUBLISHED
from stf_mamba.study.results import FinishedRow, Study
from stf_mamba.study.rows import BASELINE, ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES = (BASELINE, "frame-efficientnet-b4")
KIND_COLOURS = {"supervised CNN": BLUE, "self-supervised ViT": ORANGE}
MARKERS = "os^Dv"


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
            gattu.cross - 0.004, gattu.cross + 0.004, facecolor="white", edgecolor="black", hatch=HATCH,
            linewidth=0.5, label=label,
        )  # fmt: skip
        legend_below(panels["bars"], 3)
    else:
        empty_panel(panels["bars"], "needs the rows " + ", ".join(BACKBONES))
    return figure


def draw_scatter(axes: Axes, study: Study, keys: Sequence[str], names: bool = True) -> None:
    """Trainable parameters against AUC with intervals; Spearman's correlation in the panel.

    Args:
        names: every row has a marker of its own, named in the legend.
    """
    from matplotlib.ticker import MaxNLocator

    finished = [study.finished[key] for key in keys if key in study.finished]
    if not finished:
        empty_panel(axes, "needs finished rows, such as " + ", ".join(keys[:3]))
        return
    for number, (one, x) in enumerate(zip(finished, beside(list(map(parameters_m, finished))), strict=True)):
        estimate, colour = test_of(study, one).auc, _colour(one)
        if estimate.low is not None and estimate.high is not None:
            axes.vlines(x, estimate.low, estimate.high, color=colour, linewidth=0.8)
        marker, label = (MARKERS[number % len(MARKERS)], short_name(study, one)) if names else ("o", "_nolegend_")
        axes.plot(x, estimate.value, marker, color=colour, markersize=4, label=label)
    if not names:
        for kind, colour in KIND_COLOURS.items():
            if any(one.row.backbone == kind for one in finished):
                axes.plot([], [], "o", color=colour, markersize=4, label=kind)
    axes.axhline(0.5, color=GREY, linestyle=":", label="chance")
    axes.text(0.02, 0.98, correlation_words(study, keys), transform=axes.transAxes, va="top", fontsize=SMALL)
    axes.set_ylim(0, 1.2)  # above 1 there is room for words only
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    most = max(0.01, *map(parameters_m, finished))
    axes.set_xlim(-0.06 * most, 1.1 * most)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_xlabel("trainable parameters (M), equal ones side by side")
    axes.set_ylabel(f"AUC ({test_words(study)})")
    tidy(axes)
    legend_below(axes, 3 if names else 2)


def beside(values: Sequence[float], apart: float = 0.035) -> list[float]:
    """The values with those that nearly coincide side by side, all within a share ``apart`` of the largest one."""
    step = apart * (max(values) or 1.0)
    moved = [0.0] * len(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    while order:
        group = [at for at in order if values[at] - values[order[0]] < step]
        order = order[len(group) :]
        for place, at in enumerate(group):
            moved[at] = max(0.0, values[at] + ((place + 0.5) / len(group) - 0.5) * step)
    return moved


def short_name(study: Study, finished: FinishedRow) -> str:
    """A backbone's name without what all of them share, with a dagger for a stand-in."""
    name = finished.row.label.removesuffix(" frame-level").removeprefix("EfficientNet-")
    return name + "†" * stands_in(study, finished)


def correlation_words(study: Study, keys: Sequence[str]) -> str:
    """Spearman's correlation of trainable parameters and AUC with its interval, or why there is none."""
    finished = [study.finished[key] for key in keys if key in study.finished]
    try:
        found = rank_correlation(
            [parameters_m(one) for one in finished], [test_of(study, one).auc.value for one in finished]
        )
    except ValueError:
        return f"Spearman's ρ: needs four rows that differ, n = {len(finished)}"
    interval = NO_INTERVAL if found.low is None else f"[{signed(found.low, 2)}, {signed(found.high, 2)}]"
    return f"Spearman's ρ = {signed(found.rho, 2)} {interval}, n = {found.n} rows"


def _colour(finished: FinishedRow) -> str:
    return KIND_COLOURS[finished.row.backbone]


BACKBONES = tuple(key for key, row in ROWS.items() if row.experiment == 2)


TEMPORAL = "bigru-efficientnet-b0"


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
