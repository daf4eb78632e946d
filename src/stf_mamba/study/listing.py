"""What a study would run: each key with its question, its state, and what it takes or took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import StfError
from stf_mamba.core.recipe import Recipe
from stf_mamba.datasets.protocols import REPORT_TEST, REPORT_TRAIN, REPORT_VALIDATION
from stf_mamba.signals.table import SignalTable
from stf_mamba.study.budgets import Budget, planned_recipe
from stf_mamba.study.miniature import SETTINGS as MINIATURE
from stf_mamba.study.results import load_row
from stf_mamba.study.row_costs import Passes, row_seconds
from stf_mamba.study.rows import COMPRESSION_KEY, ROWS, SIGNALS_KEY
from stf_mamba.study.running import (
    FINISHED,
    READY,
    TEST_PART,
    UNFINISHED,
    VALIDATION_PART,
    StudyPlan,
    is_cached,
    row_state,
)
from stf_mamba.study.signals import CONSECUTIVE_CLIPS, least_compressed

NO_CLIPS = "no clips yet"
SIGNAL_QUESTIONS = {
    SIGNALS_KEY: "Does any of five handcrafted forensic signals tell swaps from their originals?",
    COMPRESSION_KEY: "What does compression do to the five signals?",
}


@dataclass(frozen=True)
class ListedKey:
    """One line of ``stf study --list``.

    Attributes:
        state: ``finished``, ``unfinished``, ``ready``, or why it cannot be run.
        seconds: that it took where it is finished, an estimate where it is not; ``None`` where there is none.
    """

    key: str
    experiment: int
    question: str
    state: str
    seconds: float | None

    @property
    def can_run(self) -> bool:
        """Whether there is something left to do that can be done."""
        return self.state in (READY, UNFINISHED, NO_CLIPS)


def list_keys(
    plan: StudyPlan,
    keys: Sequence[str],
    consecutive: ClipStore | None,
    on_key: Callable[[str], None] | None = None,
) -> tuple[ListedKey, ...]:
    """Every key with its state and cost; runs nothing but single frames through the networks to time them.

    Args:
        consecutive: clips for the signals, where there are any.
        on_key: called with each key once it is looked at.

    Raises:
        RunError: a finished row cannot be read, or was run otherwise.
    """
    listed = []
    for key in keys:
        listed.append(_listed_row(plan, key) if key in ROWS else _listed_signals(plan, key, consecutive))
        if on_key is not None:
            on_key(key)
    return tuple(listed)


def list_without_clips(
    budget: Budget,
    stand_ins: Mapping[str, str],
    seeds: int,
    keys: Sequence[str],
    device: str = "auto",
    on_key: Callable[[str], None] | None = None,
) -> tuple[ListedKey, ...]:
    """Every key with its cost on the number of videos that the budget is meant for; states say that clips are missing.

    That is the miniature's corpus, else the report's sample: 1200 videos to train, 100 to validate, 400 to test.

    Raises:
        UsageError: as ``planned_recipe``.
    """
    passes = Passes(2 * REPORT_TRAIN, 2 * REPORT_VALIDATION, 2 * REPORT_TEST, seeds, seeds)
    if budget.name == "miniature":
        videos = MINIATURE.n_ffpp_identities * (1 + len(MINIATURE.methods))
        crossed = 2 * MINIATURE.n_celebdf_identities * MINIATURE.n_celebdf_takes + MINIATURE.n_youtube_real
        passes = _passes_of_split(videos, TEST_PART, crossed, seeds)
    listed = []
    for key in keys:
        if key in ROWS:
            row = ROWS[key]
            recipe = planned_recipe(row, budget, stand_ins)
            seconds = row_seconds(recipe, passes, is_cached(recipe), device)
            listed.append(ListedKey(key, row.experiment, row.question, NO_CLIPS, seconds))
        else:
            listed.append(ListedKey(key, 1, SIGNAL_QUESTIONS[key], NO_CLIPS, None))
        if on_key is not None:
            on_key(key)
    return tuple(listed)


def expected_passes(plan: StudyPlan, recipe: Recipe) -> Passes:
    """How many videos a row's trainings will meet, by the parts that are aimed at; people decide the exact ones."""
    videos = sum(1 for entry in plan.manifest.entries if entry.clips and entry.record.label is not None)
    seeds = len(plan.seeds)
    if plan.folds is not None:
        held_out = videos / plan.folds
        validation = recipe.data.validation_fraction * (videos - held_out)
        return Passes(videos - held_out - validation, validation, held_out, seeds * plan.folds, seeds)
    crossed = 0 if plan.cross is None else sum(1 for entry in plan.cross.entries if entry.clips)
    if plan.split is not None:
        split = plan.split
        return Passes(len(split.train), len(split.validation), len(split.test) + crossed, seeds, seeds)
    return _passes_of_split(videos, 0.0 if plan.protocol == "report" else TEST_PART, crossed, seeds)


def _passes_of_split(videos: int, test_part: float, crossed: int, seeds: int) -> Passes:
    train = videos * (1 - VALIDATION_PART - test_part)
    return Passes(train, VALIDATION_PART * videos, test_part * videos + crossed, seeds, seeds)


def _listed_row(plan: StudyPlan, key: str) -> ListedKey:
    row = ROWS[key]
    state = row_state(plan, row)
    seconds = None
    if state == FINISHED:
        seconds = load_row(plan.out / "rows" / key, row).result.seconds
    elif state in (READY, UNFINISHED):
        recipe = plan.recipe_of(row)
        seconds = row_seconds(recipe, expected_passes(plan, recipe), is_cached(recipe), plan.device)
    return ListedKey(key, row.experiment, row.question, state, seconds)


def _listed_signals(plan: StudyPlan, key: str, consecutive: ClipStore | None) -> ListedKey:
    folder = plan.out / "signals"
    places = [folder / "consecutive.csv", folder / "report.csv"]
    if key == COMPRESSION_KEY:
        places = sorted((folder / "compression").glob("*.csv"))
    measured = [_videos_of(place) for place in places]
    videos = len(plan.manifest.entries)
    if key == COMPRESSION_KEY and consecutive is not None:
        videos = len(least_compressed(consecutive, plan.manifest.name).entries)
    if consecutive is None:
        state = f"no consecutive clips of {plan.manifest.name}; {CONSECUTIVE_CLIPS}"
    elif measured and min(measured) >= videos:
        state = FINISHED
    else:
        state = UNFINISHED if any(measured) else READY
    return ListedKey(key, 1, SIGNAL_QUESTIONS[key], state, None)


def _videos_of(path: Path) -> int:
    """Videos that a table of signals holds; a table that cannot be read counts as none, since it is made again."""
    if not path.is_file():
        return 0
    try:
        return len({row.video_id for row in SignalTable.load(path).rows})
    except StfError:
        return 0
