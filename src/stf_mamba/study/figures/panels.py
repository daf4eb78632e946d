"""What the study's figures share: labels, curves, bars with intervals, the footer, the frame of what was not run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stf_mamba.core.plotting import BLUE, GREY, ORANGE
from stf_mamba.evaluation.metrics import Estimate
from stf_mamba.evaluation.statistics.intervals import CONFIDENCE
from stf_mamba.study.labels import stands_in
from stf_mamba.study.published import REPORTED_ROWS
from stf_mamba.study.results import NOT_RUN, FinishedRow, Measured, Study, Training
from stf_mamba.study.rows import ROWS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 180 / 25.4  # a page's full column
SMALL = 6.0
HATCH = "////"
# Okabe and Ito's, after those of ``plots``.
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
ENCODER_NAMES = {
    "dinov2_vitb14": "DINOv2-ViT-B/14",
    "dinov2_vits14": "DINOv2-ViT-S/14",
    "vit_tiny16": "ViT-Ti/16",
    "vit_miniature": "a miniature ViT",
    "efficientnet_b0": "EfficientNet-B0",
    "efficientnet_b4": "EfficientNet-B4",
    "efficientnet_b4_sbi": "EfficientNet-B4 of SBI",
    "resnet50": "ResNet-50",
    "xception": "Xception",
    "cnn_miniature": "a miniature CNN",
}


@dataclass(frozen=True)
class Curve:
    """One figure of every training by epoch.

    Attributes:
        lines: by training, epochs counted from 1 and values.
        epochs, mean: over the epochs that every training reached.
        boundaries: epochs after which a new phase began, in any training.
    """

    lines: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]
    epochs: tuple[int, ...]
    mean: tuple[float, ...]
    boundaries: tuple[int, ...]


def curve(trainings: Sequence[Training], name: str, less: str | None = None) -> Curve:
    """A field of the histories by epoch, less another one where given."""
    lines = tuple(
        (
            tuple(int(entry["epoch"]) + 1 for entry in training.history),
            tuple(float(entry[name]) - (float(entry[less]) if less else 0.0) for entry in training.history),
        )
        for training in trainings
        if training.history
    )
    shared = min((len(epochs) for epochs, _ in lines), default=0)
    mean = tuple(float(np.mean([values[at] for _, values in lines])) for at in range(shared))
    boundaries = {
        int(after["epoch"])
        for training in trainings
        for before, after in zip(training.history, training.history[1:], strict=False)
        if before["phase"] != after["phase"]
    }
    return Curve(lines, lines[0][0][:shared] if lines else (), mean, tuple(sorted(boundaries)))


def test_of(study: Study, finished: FinishedRow) -> Measured:
    """What rows are ranked by: the second data set where the study has one, its own otherwise."""
    return (
        finished.result.cross or finished.result.in_domain
        if study.settings.cross_dataset
        else finished.result.in_domain
    )


def test_words(study: Study) -> str:
    """The name of that data set with its part in the study."""
    settings = study.settings
    return f"{settings.cross_dataset}, second data set" if settings.cross_dataset else f"{settings.dataset}, in-domain"


def row_label(study: Study, key: str, width: int = 22) -> str:
    """A row's label in lines of ``width``, with a dagger where a stand-in was run and a note where it was not run."""
    finished = study.finished.get(key)
    dagger = "†" if finished is not None and stands_in(study, finished) else ""
    lines = textwrap.fill(ROWS[key].label + dagger, width, break_on_hyphens=False)
    return lines if finished is not None else f"{lines}\n({NOT_RUN})"


def draw_curves(axes: Axes, study: Study, keys: Sequence[str], name: str, less: str | None = None) -> None:
    """Thin lines for single trainings, thick ones for their mean; rows that were not run stand in the legend."""
    from matplotlib.ticker import MaxNLocator

    for number, key in enumerate(keys):
        colour, label = COLOURS[number % len(COLOURS)], row_label(study, key, 40).replace("\n", " ")
        if key not in study.finished:
            axes.plot([], [], color=colour, linestyle=":", label=label)
            continue
        found = curve(study.finished[key].trainings, name, less)
        for epochs, values in found.lines:
            axes.plot(epochs, values, color=colour, linewidth=0.5, alpha=0.35)
        # Later lines are thinner, so that equal ones show beneath each other.
        width = max(2.2 - 0.3 * number, 1.0)
        axes.plot(found.epochs, found.mean, color=colour, linewidth=width, label=f"{label}, n = {len(found.lines)}")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)


def draw_bars(axes: Axes, study: Study, keys: Sequence[str], reported: bool = True) -> None:
    """AUC of each row on both data sets with intervals, frame-level diamonds, reported values hatched."""
    counted = {part: counts_in_words(study, keys, part) for part in ("in_domain", "cross")}
    kinds = [("in_domain", study.settings.dataset, "FF++", BLUE)]
    kinds += [("cross", study.settings.cross_dataset or "", "Celeb-DF", ORANGE)]
    thick, labels = 0.19, set()

    def once(label: str) -> str:
        first = label not in labels
        labels.add(label)
        return label if first else "_nolegend_"

    for place, key in enumerate(keys):
        finished = study.finished.get(key)
        for at, (part, dataset, published_on, colour) in enumerate(kinds):
            y = place + (at - 1.5) * thick
            measured: Measured | None = None if finished is None else getattr(finished.result, part)
            if measured is not None:
                axes.barh(y, measured.auc.value, thick, color=colour, label=once(f"{dataset}, {counted[part]}"))
                draw_interval(axes, measured.auc, y)
                if measured.frame_auc is not None:
                    axes.plot(
                        measured.frame_auc.value, y, "D", markersize=3, markerfacecolor="white",
                        markeredgecolor="black", label=once("single frames"),
                    )  # fmt: skip
            value = getattr(REPORTED_ROWS[key], part) if reported and key in REPORTED_ROWS else None
            if value is not None:
                axes.barh(
                    place + (at + 0.5) * thick, value, thick, color="white", edgecolor=colour, hatch=HATCH,
                    linewidth=0.6, label=once(f"reported, {published_on}"),
                )  # fmt: skip
    axes.axvline(0.5, color=GREY, linestyle=":", linewidth=1, label="chance")
    axes.set_yticks(range(len(keys)), [row_label(study, key) for key in keys])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    drawn = [getattr(study.finished[key].result, part) for key in keys if key in study.finished for part in counted]
    axes.set_xlabel(f"AUC ({interval_words([measured.auc for measured in drawn if measured is not None])})")
    tidy(axes)


def counts_in_words(study: Study, keys: Sequence[str], part: str) -> str:
    """How many test videos the finished rows' AUCs rest on, from the fewest to the most where rows differ."""
    measured = (getattr(study.finished[key].result, part) for key in keys if key in study.finished)
    counts = {(one.auc.n_real, one.auc.n_fake) for one in measured if one is not None}
    if not counts:
        return NOT_RUN
    reals, fakes = ({count[at] for count in counts} for at in (0, 1))
    words = (f"{min(some)} to {max(some)}" if len(some) > 1 else str(min(some)) for some in (reals, fakes))
    return "{} real and {} fake videos".format(*words)


def interval_words(estimates: Sequence[Estimate]) -> str:
    """What the lines over bars are, or why there are none."""
    if any(estimate.low is not None for estimate in estimates):
        return f"lines: {CONFIDENCE:.0%} interval over people"
    return "no intervals: too few groups of people" if estimates else "nothing measured"


def draw_interval(axes: Axes, estimate: Estimate, y: float, colour: str = "black") -> None:
    """A horizontal line over the estimate's interval, where there is one."""
    if estimate.low is not None and estimate.high is not None:
        axes.hlines(y, estimate.low, estimate.high, color=colour, linewidth=1)


def legend_below(axes: Axes, columns: int = 1) -> None:
    """The legend under the panel, where it hides nothing."""
    below_label = 5 + 1.5 * axes.get_xlabel().count("\n")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=below_label, ncols=columns, frameon=False,
        fontsize=SMALL,
    )  # fmt: skip


def tidy(axes: Axes) -> None:
    """Small type, no frame at the top and right."""
    axes.tick_params(labelsize=SMALL)
    axes.xaxis.label.set_fontsize(7)
    axes.yaxis.label.set_fontsize(7)
    axes.title.set_fontsize(7.5)
    axes.spines[["top", "right"]].set_visible(False)


def empty_panel(axes: Axes, needed: str) -> None:
    """A frame that says what was not run and what it would need."""
    tidy(axes)
    axes.set_xticks([])
    axes.set_yticks([])
    text = f"{NOT_RUN}\n{textwrap.fill(needed, 40)}"
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, color=GREY, transform=axes.transAxes)


def new_figure(study: Study, height_in: float, note: str = "") -> Figure:
    """An empty figure of the column's width with a note and the study's footer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    figure.supxlabel("\n".join(filter(None, (note, footer(study)))), fontsize=5.5, color=GREY, x=0.01, ha="left")
    return figure


def footer(study: Study) -> str:
    """Data sets, design, budget, protocol and stand-ins of a study."""
    settings = study.settings
    second = f" and {settings.cross_dataset}" if settings.cross_dataset else ", no second data set"
    folds = f", {settings.folds} folds" if settings.folds else ""
    seeds = "one seed" if len(settings.seeds) == 1 else f"{len(settings.seeds)} seeds"
    text = (
        f"Data: {settings.dataset}{second}, {settings.videos} videos. Design: {settings.design}{folds}, "
        f"{seeds}. Budget: {settings.budget}. Protocol: {settings.protocol}."
    )
    replaced: dict[str, list[str]] = {}
    for meant, run in settings.stand_ins.items():
        replaced.setdefault(run, []).append(ENCODER_NAMES.get(meant, meant))
    for run, meant_names in replaced.items():
        text += f" † {ENCODER_NAMES.get(run, run)} stands in for {', '.join(meant_names)}."
    if settings.generated:
        text += " Drawn footage: says nothing about real deepfakes."
    return textwrap.fill(text, 150)


def parameters_m(finished: FinishedRow) -> float:
    """Trainable parameters in millions, counted from the model."""
    return finished.result.trainable_parameters / 1e6
