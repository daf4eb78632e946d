"""Figure 5: every finished row ranked, parameters against AUC, and the five steps as the study decided them."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from stf_mamba.core.plotting import GREEN, GREY, ORANGE
from stf_mamba.study.figures.encoders import KIND_COLOURS, draw_scatter
from stf_mamba.study.figures.panels import (
    HATCH,
    SMALL,
    counts_in_words,
    draw_interval,
    empty_panel,
    interval_words,
    legend_below,
    new_figure,
    row_label,
    test_of,
    test_words,
    tidy,
)
from stf_mamba.study.published import PUBLISHED
from stf_mamba.study.results import NOT_RUN, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS = {
    "1": "1. Do handcrafted signals tell?",
    "2": "2. Which backbone?",
    "3": "3. Temporal model on weak features?",
    "4": "4. More capacity?",
    "5": "5. V8.0",
}
VERDICT_COLOURS = {"supported": GREEN, "refuted": ORANGE, "undecided": GREY, NOT_RUN: GREY}


class JudgedClaim(Protocol):
    """What is drawn of a claim."""

    @property
    def experiment(self) -> object: ...

    @property
    def verdict(self) -> object: ...


def plot_summary(study: Study, claims: Sequence[JudgedClaim]) -> Figure:
    """Ranked rows over the full width, under them parameters against AUC and the decisions."""
    rows = max(len(study.finished), 4) + len(PUBLISHED)
    figure = new_figure(study, 4.2 + 0.16 * rows)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.2 + 0.16 * rows, 3.0])[:, 0]
    panels = {"A": upper.subplots()} | dict(zip("BC", lower.subplots(1, 2), strict=True))
    panels["A"].set_title("A. finished rows and published numbers by AUC")
    panels["B"].set_title("B. trainable parameters and AUC")
    panels["C"].set_title("C. verdicts, by step")
    _draw_ranking(panels["A"], study)
    draw_scatter(panels["B"], study, tuple(study.finished) or ("v8",), names=False)
    _draw_steps(panels["C"], step_verdicts(claims))
    for axes in panels.values():
        tidy(axes)
    return figure


def ranking(study: Study) -> tuple[str, ...]:
    """Keys of finished rows, highest AUC first."""
    return tuple(sorted(study.finished, key=lambda key: -test_of(study, study.finished[key]).auc.value))


def step_verdicts(claims: Sequence[JudgedClaim]) -> dict[str, str]:
    """By step the number of claims of each verdict, in words; ``not run`` where no claim belongs to it."""
    found = {}
    for step in STEPS:
        counts = Counter(str(claim.verdict) for claim in claims if str(claim.experiment) == step)
        found[step] = ", ".join(f"{counts[word]} {word}" for word in VERDICT_COLOURS if counts[word]) or NOT_RUN
    return found


def _draw_ranking(axes: Axes, study: Study) -> None:
    keys = ranking(study)
    if not keys:
        empty_panel(axes, "needs one finished row at least")
        return
    labels = [row_label(study, key, 60) for key in keys]
    for y, key in enumerate(keys):
        estimate = test_of(study, study.finished[key]).auc
        axes.barh(y, estimate.value, 0.7, color=KIND_COLOURS[study.finished[key].row.backbone])
        draw_interval(axes, estimate, y)
    reported = [result for name, result in PUBLISHED.items() if name != "target"]
    for y, result in enumerate(reported, len(keys)):
        axes.barh(y, result.cross, 0.7, color="white", edgecolor=GREY, hatch=HATCH)
        labels.append(f"{result.label}, reported on Celeb-DF")
    axes.axvline(0.5, color=GREY, linestyle=":", label="chance")
    target = PUBLISHED["target"].cross
    axes.axvline(target, color="black", linestyle="--", linewidth=1, label=f"target {target:.2f} (Celeb-DF)")
    for kind, colour in KIND_COLOURS.items():
        if any(study.finished[key].row.backbone == kind for key in keys):
            axes.barh(0, 0, color=colour, label=kind)
    axes.barh(0, 0, color="white", edgecolor=GREY, hatch=HATCH, label="reported")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    part = "cross" if study.settings.cross_dataset else "in_domain"
    counted = counts_in_words(study, keys, part)
    lines = interval_words([test_of(study, study.finished[key]).auc for key in keys])
    axes.set_xlabel(f"AUC ({test_words(study)})\n{counted}; {lines}")
    legend_below(axes, 3)


def _draw_steps(axes: Axes, verdicts: dict[str, str]) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.1, len(STEPS))
    for number, (step, question) in enumerate(STEPS.items()):
        y = len(STEPS) - number - 0.5
        words = verdicts[step]
        only = next((verdict for verdict in VERDICT_COLOURS if words == verdict or words.endswith(f" {verdict}")), "")
        colour = VERDICT_COLOURS[only] if "," not in words and only else "black"
        axes.text(
            0.5, y, f"{question}\n{textwrap.fill(words, 44)}", ha="center", va="center", fontsize=SMALL,
            bbox={"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour},
        )  # fmt: skip
        if number:
            axes.annotate("", (0.5, y + 0.36), (0.5, y + 0.64), arrowprops={"arrowstyle": "->", "color": GREY})
