"""The figures of a training and of a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from stf_mamba.core.plotting import BLUE, GREEN, GREY, ORANGE
from stf_mamba.evaluation.fold_results import CrossValidation, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_cross_validation(results: Sequence[CrossValidation], ax: Axes | None = None) -> Figure:
    """AUC of every fold and seed (points), their mean with its interval, and the chance line; one column a result."""
    from matplotlib.figure import Figure

    if ax is None:
        figure = Figure(figsize=(1.8 + 1.4 * len(results), 3.6), layout="constrained")
        ax = figure.subplots()
    for column, result in enumerate(results):
        summary = result.summary
        folds = summary.by_fold
        spread = np.linspace(-0.25, 0.25, len(folds)) if len(folds) > 1 else np.zeros(1)
        ax.plot(column + spread, [fold.auc for fold in folds], ".", color=BLUE, label="one fold of one seed")
        mean = summary.mean_fold_auc
        ax.plot(column, mean.value, "D", color=ORANGE, label="mean")
        if mean.low is not None and mean.high is not None:
            ax.vlines(column, mean.low, mean.high, color=ORANGE, label=f"{mean.confidence:.0%} interval over people")
    ax.axhline(0.5, color=GREY, linestyle=":", label="chance")
    ax.set_xticks(range(len(results)), [_column_label(result.summary) for result in results])
    ax.set_xlim(-0.6, len(results) - 0.4)
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel("video-level AUC on held-out people")
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique.keys(), fontsize=8, frameon=False, loc="lower left")
    ax.spines[["top", "right"]].set_visible(False)
    drawn = ax.get_figure(root=True)
    assert isinstance(drawn, Figure)
    return drawn


def _column_label(summary: Summary) -> str:
    mean = summary.mean_fold_auc
    return (
        f"{summary.recipe}\n{mean.n_real} real, {mean.n_fake} fake\n{mean.clusters} groups of people\n"
        f"{summary.folds} folds × {len(summary.seeds)} seeds"
    )


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
