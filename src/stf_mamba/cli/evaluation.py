"""The verb that scores prepared videos: ``stf evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from stf_mamba.cli.arguments import file_to_write, require_dataset, trained_run
from stf_mamba.cli.options import (
    ClipsOption,
    DatasetNameOption,
    DeviceOption,
    JsonOption,
    SettingsOption,
    open_clips,
)
from stf_mamba.cli.progress import progress_bar, stderr
from stf_mamba.cli.verbs import plain
from stf_mamba.core.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from stf_mamba.clips.records import ClipSettings
    from stf_mamba.evaluation.predictions import Predictions
    from stf_mamba.evaluation.protocol import Part

PartChoice: TypeAlias = Literal["auto", "train", "validation", "test", "all"]


def evaluate(
    clips: ClipsOption,
    run: Annotated[Path | None, typer.Argument(help="A run folder made by stf train.", callback=trained_run)] = None,
    sbi_checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--sbi-checkpoint", help="Instead of a run: a published SBI checkpoint.", exists=True, dir_okay=False
        ),
    ] = None,
    part: Annotated[
        PartChoice,
        typer.Option("--part", help="Part of the run's split; auto: its test or else validation part, all of others."),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The CSV of predictions; in the run's folder without it.", callback=file_to_write),
    ] = None,
    dataset: DatasetNameOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score prepared videos with a run. Writes predictions.csv with its protocol; prints AUC with an interval."""
    require_dataset(clips, dataset)
    if sbi_checkpoint is None:
        if run is None:
            raise UsageError("nothing to evaluate; give a run folder made by stf train, or --sbi-checkpoint FILE")
        if settings is not None:
            raise UsageError("--settings goes with --sbi-checkpoint; a run reads the clips made with its own settings")
        predictions, chosen, target = _score_with_run(run, clips, part, out, dataset, device)
    else:
        if run is not None or part not in ("auto", "all") or out is None:
            raise UsageError("--sbi-checkpoint scores all videos into --out FILE; leave out the run and --part")
        predictions = _score_with_sbi(sbi_checkpoint, clips, dataset, settings, device)
        chosen, target = "all", out
    from stf_mamba.core.distributed import is_main

    if not is_main():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    _report(predictions, predictions.save(target), chosen, as_json)


def _score_with_run(
    run: Path, clips: Path, part: PartChoice, out: Path | None, dataset: str | None, device: str
) -> tuple[Predictions, Part, Path]:
    """Predictions, the part that was scored, and where they belong."""
    from stf_mamba.core.distributed import processes_started
    from stf_mamba.evaluation.evaluate import evaluate as evaluate_run
    from stf_mamba.evaluation.protocol import clips_for, entries_of_part, natural_part
    from stf_mamba.evaluation.runs import Run

    loaded = Run.load(run)
    store = clips_for(loaded, clips)
    manifest = store.manifest(dataset)
    chosen: Part = natural_part(loaded, manifest) if part == "auto" else part
    total = len(entries_of_part(loaded, manifest, chosen))
    at_once = processes_started()
    with progress_bar("scoring", total, "videos") as advance:
        predictions = evaluate_run(loaded, store, manifest, chosen, device, lambda video_id: advance(at_once, video_id))
    return predictions, chosen, out or loaded.folder / f"predictions-{manifest.name}-{chosen}.csv"


def _score_with_sbi(
    checkpoint: Path, clips: Path, dataset: str | None, settings: str | None, device: str
) -> Predictions:
    """Predictions for all videos of a data set; whether its people were trained on is not known."""
    from stf_mamba.core.distributed import process_group, processes_started
    from stf_mamba.core.environment import choose_device
    from stf_mamba.evaluation.evaluate import predict
    from stf_mamba.models.published.sbi import load_sbi_checkpoint

    asked = choose_device(device)
    store, manifest = open_clips(clips, dataset, settings)
    model = load_sbi_checkpoint(checkpoint)
    made_px, wanted_px = store.settings.faces.size_px, model.encoder.crop_px
    if made_px != wanted_px:
        raise UsageError(
            f"the clips in {clips} are {made_px} px wide, and this checkpoint wants {wanted_px}; prepare the data set "
            f"with stf prepare --size {wanted_px} and name those clips, or their --settings"
        )
    stamp = _published_stamp(checkpoint, manifest.name, len(manifest.entries), store.settings)
    at_once = processes_started()
    with (
        progress_bar("scoring", len(manifest.entries), "videos") as advance,
        process_group(asked) as chosen,
    ):
        return predict(
            model.to(chosen),
            store,
            manifest.entries,
            store.settings.frames,
            chosen,
            None,
            stamp,
            lambda video_id, tracks: advance(at_once, video_id),
        )


def _published_stamp(checkpoint: Path, dataset: str, videos: int, settings: ClipSettings) -> dict[str, str]:
    """The protocol of a checkpoint that no run of ours made, in the words of ``evaluation.protocol.protocol_stamp``."""
    from stf_mamba.core.environment import versions
    from stf_mamba.core.files import sha256_of
    from stf_mamba.evaluation.protocol import clip_stamp
    from stf_mamba.evaluation.scoring import AGGREGATION

    return {
        "dataset": dataset,
        "part": "all",
        "videos": str(videos),
        "level": "video",
        "aggregation": AGGREGATION,
        "score": "logit, higher is more suspicious",
        "frames": f"{settings.frames} of {settings.frames}, {settings.sampling}",
        **clip_stamp(settings),
        "trained_on": "as published, not checked against these videos",
        "weights_sha256": sha256_of(checkpoint, WeightsError),
        "recipe": "published SBI checkpoint",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }


def _report(predictions: Predictions, path: Path, part: str, as_json: bool) -> None:
    from stf_mamba.evaluation.metrics import auc, average_precision, equal_error_rate

    try:
        figures = [figure(predictions) for figure in (auc, average_precision, equal_error_rate)]
    except ValueError as error:
        figures = []
        stderr().print(f"no figures: {plain(str(error))}")
    if as_json:
        result = {"predictions": str(path), "part": part, "coverage": predictions.coverage}
        typer.echo(json.dumps({**result, "figures": [figure.to_json() for figure in figures]}, indent=2))
        return
    typer.echo(f"{predictions.stamp['dataset']}, {part} part, video level; coverage {predictions.coverage:.3f}")
    for figure in figures:
        typer.echo(f"  {figure}")
    typer.echo(f"  {path}")
