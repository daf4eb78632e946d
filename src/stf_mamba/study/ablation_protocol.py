"""The ablation report's own way of training, known faults included, so that their effect can be measured."""

from __future__ import annotations

from dataclasses import replace

from stf_mamba.core.recipe import Recipe
from stf_mamba.study.rows import StudyRow

REPORT_FRAMES = 4  # of a video, in Experiments 2 and 3


def report_recipe(recipe: Recipe, row: StudyRow | None) -> Recipe:
    """The recipe as the report trained it; what the report does not say stays.

    Flip, geometry and colour are drawn for each frame, and labels are not smoothed. Rows of Experiments 2 and 3 see 4
    frames of a video; the bidirectional GRU of Experiment 3 is read at its last step only.

    Args:
        recipe: the recipe, perhaps already cut to a budget.
        row: the study's row that it belongs to; ``None`` for a recipe of no row.
    """
    changed = replace(
        recipe,
        augment=replace(recipe.augment, draws="frame"),
        optimiser=replace(recipe.optimiser, label_smoothing=0.0),
    )
    if row is None or row.experiment not in (2, 3):
        return changed
    changed = replace(changed, data=replace(changed.data, frames=REPORT_FRAMES))
    if row.experiment == 3 and recipe.temporal.mixer == "gru":
        changed = replace(changed, head=replace(changed.head, kind="last_step"))
    return changed
