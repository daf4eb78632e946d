"""``stf demo``: every step of the house on a generated miniature, on any machine, without a network."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from stf_mamba.cli.progress import by_position, progress_bar, training_progress
from stf_mamba.clips.preparation import manifest_name, prepare
from stf_mamba.clips.records import ClipSettings, Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.core.records import Verdict, VideoRecord
from stf_mamba.datasets.celebdf import CelebDF
from stf_mamba.datasets.faceforensics import FaceForensics
from stf_mamba.datasets.miniature.corpus import Miniature, MiniatureSettings, make_miniature
from stf_mamba.datasets.splits import identity_disjoint_split
from stf_mamba.detection.case_report import PageCrops, write_case_report
from stf_mamba.detection.detector import load_detector
from stf_mamba.evaluation.evaluate import evaluate
from stf_mamba.evaluation.metrics import auc
from stf_mamba.evaluation.protocol import Part, entries_of_part
from stf_mamba.evaluation.runs import Run
from stf_mamba.training.train import train

WHAT_IT_SHOWS = (
    "This miniature is drawn by code. It shows that the machinery works from a video file to a verdict; "
    "its figures say nothing about real deepfakes."
)


def demo_recipe(seed: int) -> Recipe:
    """V8.0's shape on an encoder small enough to train from random values within minutes."""
    return Recipe(
        name="miniature",
        question="Does every part of the machinery work together?",
        seed=seed,
        encoder=EncoderRecipe("vit_miniature", trainable_blocks=4),
        temporal=TemporalRecipe("hydra", layers=2, width=128),
        data=DataRecipe(frames=32, batch_size=4),
        phases=(PhaseRecipe(epochs=10, warmup_epochs=1, encoder_lr=3e-4, head_lr=3e-3),),
    )


def run_demo(out: Path, seed: int = 42, settings: MiniatureSettings | None = None, recipe: Recipe | None = None) -> Run:
    """Make, prepare, train, evaluate and detect under ``out``; what an earlier run finished is reused.

    Leaves ``corpus/``, ``clips/``, ``run/`` (weights, curves, history), two ``predictions-*.csv`` and
    ``held-out.json`` / ``held-out.html``. Returns the trained run.

    Raises:
        StfError: ``out`` holds a demonstration of other settings, or the disk is full.
    """
    started_s = time.monotonic()
    typer.echo(WHAT_IT_SHOWS)
    miniature = _make_corpus(out / "corpus", settings or MiniatureSettings(n_ffpp_identities=16, seed=seed))
    store = ClipStore.create(out / "clips", ClipSettings())
    ffpp = _prepare(FaceForensics(miniature.ffpp_root, "c23").records(), store)
    celebdf = _prepare(CelebDF(miniature.celebdf_root).records(), store)
    run = _train(recipe or demo_recipe(seed), store, ffpp, out / "run")
    figures = [_evaluate(run, store, ffpp, "validation", out), _evaluate(run, store, celebdf, "all", out)]
    verdict = _detect(run, miniature.held_out, out)
    typer.echo(f"\nDone in {time.monotonic() - started_s:.0f} s:")
    for line in figures:
        typer.echo(f"  {line}")
    typer.echo(f"  verdict on {miniature.held_out.name} (a swap): {_told(run, verdict)}")
    for path in sorted(out.glob("*.*")):
        typer.echo(f"  {path}")
    typer.echo(f"  {out / 'run' / 'curves.png'}")
    typer.echo(WHAT_IT_SHOWS)
    return run


def _make_corpus(root: Path, settings: MiniatureSettings) -> Miniature:
    with progress_bar("drawing and encoding", None, "videos") as advance:
        return make_miniature(root, settings, by_position(advance))


def _prepare(records: list[VideoRecord], store: ClipStore) -> Manifest:
    name = manifest_name(records)
    with progress_bar(f"preparing {name}", len(records), "videos") as advance:
        manifest, summary = prepare(records, store, name, on_video=lambda record, video: advance(1, record.video_id))
    typer.echo(f"{name}: {summary.analysed} of {summary.videos} videos analysed, {summary.clips} clips")
    return manifest


def _train(recipe: Recipe, store: ClipStore, manifest: Manifest, out: Path) -> Run:
    records = [entry.record for entry in manifest.entries if entry.clips]
    split = identity_disjoint_split(records, validation_fraction=0.5, seed=recipe.seed)
    with training_progress() as watcher:
        return train(recipe, store, manifest, out, split=split, watcher=watcher)


def _evaluate(run: Run, store: ClipStore, manifest: Manifest, part: Part, out: Path) -> str:
    total = len(entries_of_part(run, manifest, part))
    with progress_bar(f"scoring {manifest.name}", total, "videos") as advance:
        predictions = evaluate(run, store, manifest, part, on_video=lambda video_id: advance(1, video_id))
    predictions.save(out / f"predictions-{manifest.name}.csv")
    return f"{manifest.name}, {part} part, video level: {auc(predictions)}"


def _detect(run: Run, held_out: Path, out: Path) -> Verdict:
    crops = PageCrops()
    verdict = load_detector(run.folder).detect(held_out, on_clip=crops.add)
    verdict.save(out / "held-out.json")
    write_case_report(verdict, out / "held-out.html", crops=crops)
    return verdict


def _told(run: Run, verdict: Verdict) -> str:
    """The outcome, and what the calibration makes of the score: among drawings, where it may be shown."""
    calibration, score = run.calibration(), verdict.score
    if calibration is None or score is None:
        return verdict.outcome.words
    probability, (low, high) = calibration.probability(score)
    return (
        f"{verdict.outcome.words}, as always by a model that knows drawings only; among drawings, its calibration "
        f"gives a probability of manipulation of {probability:.2f} [{low:.2f}, {high:.2f}]"
    )
