"""``stf study``: every experiment of the ablation report as rows that run, resume and are listed."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stf_mamba.cli_options import (
    DatasetNameOption,
    DeviceOption,
    FromScratchOption,
    GroupingName,
    SettingsOption,
    load_split,
    open_clips,
    reports_errors,
    wrong_values_are_wrong_usage,
)
from stf_mamba.errors import UsageError
from stf_mamba.progress import stderr, training_progress

if TYPE_CHECKING:
    from stf_mamba.clipstore import ClipStore, Manifest
    from stf_mamba.study.running import StudyPlan


class BudgetName(StrEnum):
    """How much of every row is run, as an option."""

    MINIATURE = "miniature"
    SMALL = "small"
    FULL = "full"


@reports_errors
def study(
    out: Annotated[Path, typer.Option("--out", help="The study's folder; finished rows there are not run again.")],
    clips: Annotated[
        Path | None, typer.Option("--clips", help="The folder that stf prepare filled; the miniature draws its own.")
    ] = None,
    budget: Annotated[BudgetName, typer.Option("--budget", help="How much of every row.")] = BudgetName.SMALL,
    only: Annotated[str | None, typer.Option("--only", help="Rows, such as v8,v8-mixer-*; all without it.")] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Of the trainings, such as 42,43,44.")] = "42",
    list_rows: Annotated[bool, typer.Option("--list", help="Show rows, questions and state; run nothing.")] = False,
    folds: Annotated[
        int | None, typer.Option("--folds", help="Grouped cross-validation; one split without it.", min=2)
    ] = None,
    grouping: Annotated[
        GroupingName, typer.Option("--grouping", help="Hold out people, or whole components of linked people.")
    ] = GroupingName.COMPONENTS,
    split: Annotated[
        Path | None, typer.Option("--split", help="A split file, or a folder with FF++'s train/val/test.json.")
    ] = None,
    cross: Annotated[str | None, typer.Option("--cross", help="A second prepared data set, never trained on.")] = None,
    weights: Annotated[
        list[str] | None, typer.Option("--weights", help="ENCODER=FILE; repeat it for several encoders.")
    ] = None,
    stand_in: Annotated[
        list[str] | None, typer.Option("--stand-in", help="MEANT=RUN: an encoder in the place of one; repeatable.")
    ] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Fine-tune no encoder, so that all is cached.")] = False,
    from_scratch: FromScratchOption = False,
    dataset: DatasetNameOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Run the study's rows, or what is missing of them. Run it again to continue after a stop; then stf report."""
    from stf_mamba.study.budgets import BUDGETS
    from stf_mamba.study.rows import ROWS, chosen_keys
    from stf_mamba.study.running import StudyPlan, prepare_folder, run_study

    keys = chosen_keys(only)
    if clips is None and budget is not BudgetName.MINIATURE:
        raise UsageError(f"--budget {budget.value} needs prepared clips: give --clips, or --budget miniature")
    if clips is None:
        plan = _miniature(out)
    else:
        store, manifest = open_clips(clips, dataset, settings)
        plan = StudyPlan(
            out,
            BUDGETS[budget.value],
            store,
            manifest,
            cross=None if cross is None else store.manifest(cross),
            split=None if split is None else load_split(split, [entry.record for entry in manifest.entries]),
        )
    chosen = replace(plan.budget, trainable_blocks=0) if frozen else plan.budget
    plan = replace(
        plan,
        budget=chosen,
        seeds=_numbers(seeds),
        folds=folds,
        grouping=grouping.value,
        weights={name: Path(file) for name, file in _pairs("--weights", weights).items()},
        stand_ins=_pairs("--stand-in", stand_in),
        from_scratch=from_scratch,
        device=device,
    )
    rows = [key for key in keys if key in ROWS]
    measured = [key for key in keys if key not in ROWS]
    if list_rows:
        _list(plan, rows)
        return
    prepare_folder(plan)
    if measured:
        _measure_signals(clips or out / "clips", plan, measured)
    with wrong_values_are_wrong_usage(), training_progress(1) as watcher:
        result = run_study(plan, rows, watcher, lambda key, state: stderr().print(f"{key}: {state}"))
    for key, row in result.finished.items():
        second = "" if row.result.cross is None else f"; {row.result.cross.dataset} {row.result.cross.auc}"
        typer.echo(f"{key}: {row.result.in_domain.dataset} {row.result.in_domain.auc}{second}")
    for key, reason in result.not_run.items():
        typer.echo(f"{key}: not run: {reason}")
    typer.echo(f"figures, tables and claims: stf report {out}")


def _miniature(out: Path) -> StudyPlan:
    from stf_mamba.progress import progress_bar
    from stf_mamba.study.budgets import BUDGETS
    from stf_mamba.study.miniature_data import miniature_data
    from stf_mamba.study.running import StudyPlan

    with progress_bar("drawing and preparing", None, "videos") as advance:
        seen = 0

        def on_progress(done: int, total: int) -> None:
            nonlocal seen
            advance(done - seen, total=total)
            seen = done

        data = miniature_data(out, on_progress=on_progress)
    return StudyPlan(out, BUDGETS["miniature"], data.store, data.ffpp, cross=data.celebdf, generated=True)


def _measure_signals(clips: Path, plan: StudyPlan, keys: list[str]) -> None:
    """Experiment 1, where consecutive clips of the same data set are at hand; otherwise a message how to make them."""
    from stf_mamba.progress import progress_bar
    from stf_mamba.study.rows import COMPRESSION_KEY, SIGNALS_KEY
    from stf_mamba.study.signal_runs import run_compression, run_signals

    name = plan.manifest.name
    store = consecutive_store(clips, name)
    if store is None:
        stderr().print(f"signals: not run: no consecutive clips of {name}; stf prepare --sampling consecutive ...")
        return
    manifest = store.manifest(name)
    if SIGNALS_KEY in keys:
        with progress_bar("signals", 2 * len(manifest.entries), "videos") as advance:
            run_signals(store, manifest, plan.out, lambda video_id: advance(1, video_id))
    if COMPRESSION_KEY in keys:
        source, videos = least_compressed(clips, store, manifest)
        with progress_bar("compression", None, "videos") as advance:
            run_compression(source, videos, plan.out, (23, 40), lambda video_id: advance(1, video_id))


def consecutive_store(clips: Path, name: str) -> ClipStore | None:
    """The store of consecutive clips under ``clips`` that lists this data set, if there is one."""
    from stf_mamba.clipstore import ClipStore

    for place in sorted(clips.glob("*/settings.json")):
        store = ClipStore.open(clips, place.parent.name)
        if store.settings.sampling == "consecutive" and name in store.manifests():
            return store
    return None


def least_compressed(clips: Path, store: ClipStore, manifest: Manifest) -> tuple[ClipStore, Manifest]:
    """The same data set's raw version, where it was prepared beside this one; otherwise this one."""
    stem, dash, _ = manifest.name.rpartition("-")
    raw = f"{stem}{dash}raw"
    if raw in store.manifests():
        return store, store.manifest(raw)
    return store, manifest


def _list(plan: StudyPlan, keys: list[str]) -> None:
    from stf_mamba.study.rows import ROWS
    from stf_mamba.study.running import row_state

    for key in keys:
        row = ROWS[key]
        typer.echo(f"{key:<26} experiment {row.experiment}  {row_state(plan, row)}")
        typer.echo(f"{'':<26} {row.question}")


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{option} is {text!r}, expected NAME=VALUE")
        pairs[name] = value
    return pairs


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--seeds is {text!r}, expected whole numbers with commas, such as 42,43") from None
