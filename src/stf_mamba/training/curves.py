"""The curves of a training: loss, AUC, rates by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stf_mamba.core.plotting import BLUE, GREEN, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_history(history: Sequence[dict[str, Any]], name: str) -> Figure:
    """Loss, validation AUC and log-variance gap over the epochs of a run, with phase boundaries; the loss alone where
    nothing validated."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    validated = all(entry["validation_auc"] is not None for entry in history)
    figure = Figure(figsize=(10.5 if validated else 3.5, 3.2), layout="constrained")
    panels = figure.subplots(1, 3 if validated else 1, squeeze=False)[0]
    epochs = [entry["epoch"] + 1 for entry in history]
    panels[0].plot(epochs, [entry["train_loss"] for entry in history], color=BLUE, marker=".", label="training clips")
    panels[0].set_ylabel("loss (nats)")  # with a margin more than the cross entropy
    if validated:
        _draw_validation(history, *panels)
    for axes in panels:
        for before, after in pairwise(history):
            if before["phase"] != after["phase"]:
                axes.axvline(before["epoch"] + 1.5, color=GREY, linestyle="--", label="phase boundary")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(name)
    return figure


def _draw_validation(history: Sequence[dict[str, Any]], loss: Axes, auc: Axes, gap: Axes) -> None:
    epochs = [entry["epoch"] + 1 for entry in history]
    losses = [entry["validation_loss"] for entry in history]
    loss.plot(epochs, losses, color=ORANGE, marker=".", label="validation videos")
    auc.plot(epochs, [entry["validation_auc"] for entry in history], color=ORANGE, marker=".", label="validation")
    auc.axhline(0.5, color=GREY, linestyle=":", label="chance")
    best = [entry for entry in history if entry["best"]][-1:]
    auc.plot(
        [entry["epoch"] + 1 for entry in best],
        [entry["validation_auc"] for entry in best],
        color=GREEN,
        marker="o",
        fillstyle="none",
        markersize=9,
        linestyle="none",
        label="kept",
    )
    auc.set_ylim(-0.02, 1.02)
    auc.set_ylabel("video-level AUC")
    gap.plot(epochs, [entry["log_variance_gap"] for entry in history], color=BLUE, marker=".", label="fake − real")
    gap.axhline(0, color=GREY, linestyle=":")
    gap.set_ylabel("log-variance gap (nats)")
