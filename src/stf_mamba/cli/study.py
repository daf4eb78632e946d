"""``stf study``: every experiment of the ablation report as rows that run, resume and are listed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from stf_mamba.cli.arguments import (
    folder_to_write,
    made_by,
    named_values,
    prepared_clips,
    require_dataset,
    weights_source,
    whole_numbers,
)
from stf_mamba.cli.options import (
    DatasetNameOption,
    DeviceOption,
    FromScratchOption,
    GroupingOption,
    SettingsOption,
    SplitOption,
    load_split,
    open_clips,
    wrong_values_are_wrong_usage,
)
from stf_mamba.cli.progress import by_position, progress_bar, stderr, training_progress
from stf_mamba.cli.verbs import hold_to_the_end
from stf_mamba.core.errors import UsageError
from stf_mamba.study.rows import COMPRESSION_KEY, ROWS, SIGNALS_KEY, chosen_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stf_mamba.study.budgets import Budget
    from stf_mamba.study.listing import ListedKey
    from stf_mamba.study.running import StudyPlan


BudgetName: TypeAlias = Literal["miniature", "small", "full"]
Protocol: TypeAlias = Literal["right", "report"]
FORMATS = ("html", "docx", "latex")
TIMING = "timing the networks on single frames"


def study(
    context: typer.Context,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="The study's folder; finished rows there are not run again.", callback=folder_to_write
        ),
    ] = Path("study"),
    clips: Annotated[
        Path | None,
        typer.Option(
            "--clips", help="The folder that stf prepare filled; the miniature draws its own.", callback=prepared_clips
        ),
    ] = None,
    budget: Annotated[BudgetName, typer.Option("--budget", help="How much of every row is run.")] = "small",
    only: Annotated[str | None, typer.Option("--only", help="Rows, such as v8,v8-mixer-*; all without it.")] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds of the trainings, such as 42,43,44.")] = "42",
    list_rows: Annotated[
        bool, typer.Option("--list", help="Show rows, questions, state and cost; train nothing.")
    ] = False,
    protocol: Annotated[
        Protocol, typer.Option("--protocol", help="As it should be, or the report's way, known faults included.")
    ] = "right",
    folds: Annotated[
        int | None, typer.Option("--folds", help="Grouped cross-validation; one split without it.", min=2)
    ] = None,
    grouping: GroupingOption = "components",
    split: SplitOption = None,
    cross: Annotated[str | None, typer.Option("--cross", help="A second prepared data set, never trained on.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights", help="Pretrained weights: ENCODER=FILE, =package:NAME or =hf:OWNER/NAME@COMMIT; repeatable."
        ),
    ] = None,
    stand_in: Annotated[
        list[str] | None,
        typer.Option("--stand-in", help="MEANT=OTHER: run another encoder where rows mean this one; repeatable."),
    ] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Fine-tune no encoder, so that all is cached.")] = False,
    from_scratch: FromScratchOption = False,
    dataset: DatasetNameOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Run the study's rows, or what is missing of them. Run it again to continue after a stop; then stf report."""
    keys = chosen_keys(only)
    drawn, stand_ins = whole_numbers("--seeds", seeds), named_values("--stand-in", stand_in)
    sources = {name: weights_source(Path(source)) for name, source in named_values("--weights", weights).items()}
    if clips is None and budget != "miniature" and not list_rows:
        raise UsageError(f"--budget {budget} needs prepared clips: give --clips, or --budget miniature")
    if folds is not None and protocol == "report":
        raise UsageError("--folds do not go with --protocol report, which has one split; leave one of them out")
    if folds is not None and cross is not None:
        raise UsageError("with --folds the second data set is never scored; leave out --cross")
    if clips is not None:
        require_dataset(clips, dataset)
        require_dataset(clips, cross, "--cross")
    from stf_mamba.models.encoders.registry import ENCODERS
    from stf_mamba.models.weights.sources import local_weights
    from stf_mamba.study.budgets import BUDGETS
    from stf_mamba.study.running import StudyPlan, prepare_folder, run_study

    for option, names in (("--weights", [*sources]), ("--stand-in", [*stand_ins, *stand_ins.values()])):
        unknown = [name for name in names if name not in ENCODERS]
        if unknown:
            raise UsageError(f"{option}: {unknown[0]!r} is no encoder; name one of {', '.join(ENCODERS)}")
    size = BUDGETS[budget]
    size = replace(size, trainable_blocks=0) if frozen else size
    if list_rows and clips is None and not (out / "study.json").is_file():
        _list_without_clips(size, stand_ins, len(drawn), keys, device)
        return
    if clips is None and budget != "miniature":
        raise UsageError(f"--budget {budget} needs prepared clips: give --clips, or --budget miniature")
    encoder_weights = {name: local_weights(source) for name, source in sources.items() if source is not None}
    if not list_rows:
        hold_to_the_end(context, out, "rows that were finished are kept")
    if clips is None:
        plan = _miniature(out, size)
        plan = plan if folds is None else replace(plan, cross=None)
    else:
        store, manifest = open_clips(clips, dataset, settings)
        plan = StudyPlan(
            out,
            size,
            store,
            manifest,
            cross=None if cross is None else store.manifest(cross),
            split=None if split is None else load_split(split, [entry.record for entry in manifest.entries]),
        )
    with wrong_values_are_wrong_usage():
        plan = replace(
            plan,
            seeds=drawn,
            folds=folds,
            grouping=grouping,
            weights=encoder_weights,
            stand_ins=stand_ins,
            from_scratch=from_scratch,
            protocol=protocol,
            device=device,
        )
    rows = [key for key in keys if key in ROWS]
    measured = [key for key in keys if key not in ROWS]
    consecutive = clips or out / "clips"
    if list_rows:
        _list(plan, keys, consecutive)
        return
    prepare_folder(plan)
    if measured:
        _measure_signals(plan, measured, consecutive)
    done = 0

    def on_row(key: str, state: str) -> None:
        nonlocal done
        done += 1
        stderr().print(f"[{done} of {len(rows)}] {key}: {state}", markup=False)

    with training_progress(epoch_lines=False) as watcher:
        result = run_study(plan, rows, watcher, on_row)
    for key, row in result.finished.items():
        second = "" if row.result.cross is None else f"; {row.result.cross.dataset} {row.result.cross.auc}"
        typer.echo(f"{key}: {row.result.in_domain.dataset} {row.result.in_domain.auc}{second}")
    for key, reason in result.not_run.items():
        typer.echo(f"{key}: not run: {reason}")
    typer.echo(f"figures, tables and claims: stf report {out}")


def _miniature(out: Path, budget: Budget) -> StudyPlan:
    from stf_mamba.study.miniature import miniature_data
    from stf_mamba.study.running import StudyPlan

    with progress_bar("drawing and preparing", None, "videos") as advance:
        data = miniature_data(out, on_progress=by_position(advance))
    return StudyPlan(out, budget, data.store, data.ffpp, cross=data.celebdf, generated=True)


def _measure_signals(plan: StudyPlan, keys: list[str], clips: Path) -> None:
    """Experiment 1, where consecutive clips of the same data set are at hand; otherwise a message how to make them."""
    from stf_mamba.study.signals import (
        CONSECUTIVE_CLIPS,
        consecutive_store,
        least_compressed,
        run_compression,
        run_signals,
    )

    name = plan.manifest.name
    store = consecutive_store(clips, name)
    if store is None:
        stderr().print(f"signals: not run: no consecutive clips of {name}; make them with {CONSECUTIVE_CLIPS} ...")
        return
    if SIGNALS_KEY in keys:
        manifest = store.manifest(name)
        with progress_bar("signals", 2 * len(manifest.entries), "videos") as advance:
            run_signals(store, manifest, plan.out, lambda video_id: advance(1, video_id))
    if COMPRESSION_KEY in keys:
        source = least_compressed(store, name)
        with progress_bar("compression", len(source.entries), "videos") as advance:
            run_compression(store, source, plan.out, on_video=lambda video_id: advance(1, video_id))


def _list(plan: StudyPlan, keys: Sequence[str], clips: Path) -> None:
    from stf_mamba.study.listing import list_keys
    from stf_mamba.study.signals import consecutive_store

    with progress_bar(TIMING, len(keys), "rows") as advance:
        listed = list_keys(plan, keys, consecutive_store(clips, plan.manifest.name), lambda key: advance(1, key))
    _print_list(listed)


def _list_without_clips(
    budget: Budget, stand_ins: dict[str, str], seeds: int, keys: Sequence[str], device: str
) -> None:
    from stf_mamba.study.listing import list_without_clips

    with progress_bar(TIMING, len(keys), "rows") as advance:
        listed = list_without_clips(budget, stand_ins, seeds, keys, device, lambda key: advance(1, key))
    _print_list(listed)
    corpus = "the miniature's corpus" if budget.name == "miniature" else "the report's sample of 1,700 videos"
    typer.echo(f"No clips were given: costs are for {corpus}, trained once a seed.")


def _print_list(listed: Sequence[ListedKey]) -> None:
    from stf_mamba.study.running import FINISHED

    for one in listed:
        typer.echo(f"{one.key:<26} experiment {one.experiment}  {_state(one)}")
        typer.echo(f"{'':<26} {one.question}")
    finished = [one for one in listed if one.state == FINISHED]
    to_run = [one for one in listed if one.can_run]
    left_s = sum(one.seconds or 0.0 for one in to_run)
    typer.echo(
        f"{len(finished)} finished, {len(to_run)} to run in about {_duration(left_s)}, "
        f"{len(listed) - len(finished) - len(to_run)} cannot be run"
    )
    typer.echo("Estimates: networks only, timed here on single frames; reading, augmentation and signals come on top.")


def _state(listed: ListedKey) -> str:
    from stf_mamba.study.running import FINISHED

    if listed.seconds is None:
        return listed.state
    took = f"took {_duration(listed.seconds)}" if listed.state == FINISHED else f"about {_duration(listed.seconds)}"
    return f"{listed.state}, {took}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="STUDY", help="Folders that stf study wrote; several stand side by side.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The report's folder; report in the first study's folder without it.",
            callback=folder_to_write,
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Any of html, docx and latex, separated by commas.")
    ] = "html,docx,latex",
) -> None:
    """Report studies from their files alone. Tables, figures and what may be concluded."""
    names = tuple(dict.fromkeys(name.strip() for name in formats.split(",") if name.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise UsageError(f"--format is {formats!r}, expected any of {', '.join(FORMATS)}, with commas between them")
    for folder in runs:
        made_by("study.json", "study", folder)
    from stf_mamba.study.report.write import write_report
    from stf_mamba.study.results import Study

    studies = [Study.load(folder) for folder in runs]
    for name, path in write_report(studies, out or runs[0] / "report", names).items():
        typer.echo(f"{name}: {path}")
