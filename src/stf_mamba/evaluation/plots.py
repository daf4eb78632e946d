"""The figure of a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stf_mamba.core.plotting import BLUE, GREY, ORANGE
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
