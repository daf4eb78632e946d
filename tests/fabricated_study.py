"""A study's folder with drawn scores, for tests of what reads it: nothing in it was measured."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from stf_mamba.core.records import FAKE, REAL, Outcome
from stf_mamba.evaluation.fold_results import FoldPredictions
from stf_mamba.evaluation.fold_statistics import summarise
from stf_mamba.evaluation.metrics import auc
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.signals import SIGNALS
from stf_mamba.signals.table import Footage, SignalRow, SignalTable
from stf_mamba.study.results import Measured, RowResult, Study, StudySettings
from stf_mamba.study.rows import ROWS

METHODS = ("Deepfakes", "FaceSwap")
PEOPLE = 16


def fabricated_study(
    root: Path,
    design: str = "split",
    separation: dict[str, float] | None = None,
    seeds: tuple[int, ...] = (42, 43),
    with_signals: bool = True,
    protocol: str = "right",
) -> Study:
    """A study with the rows of ``separation`` (by default a few of every experiment), loaded.

    Args:
        separation: by row key, the distance in standard deviations between the drawn scores of fakes and reals.
    """
    separation = separation or {
        "frame-efficientnet-b0": 0.4,
        "frame-efficientnet-b4": 0.0,
        "frame-resnet50": 0.5,
        "frame-xception": 0.2,
        "frame-dinov2": 1.0,
        "bigru-efficientnet-b0": 0.5,
        "v8": 1.2,
        "v8-frames-8": 0.8,
        "v8-mixer-gru": 1.0,
        "v8-head-content": 1.5,
        "gattu": 0.9,
    }
    settings = StudySettings(
        budget="small",
        protocol=protocol,
        design=design,
        dataset="ffpp-c23",
        cross_dataset="celebdf" if design == "split" else None,
        generated=True,
        seeds=seeds,
        folds=2 if design == "folds" else None,
        grouping="components",
        videos=3 * PEOPLE,
        videos_sha256="0" * 64,
        clip_settings="fabricated",
        stand_ins={"dinov2_vitb14": "vit_miniature"},
        encoder_weights_sha256={},
        environment={"machine": "fabricated", "versions": "python 3"},
        started="2026-11-23T00:00:00+00:00",
    )
    root.mkdir(parents=True, exist_ok=True)
    settings.save(root / "study.json")
    for key, distance in separation.items():
        _write_row(root / "rows" / key, key, distance, settings)
    _write(root / "rows" / "sbi" / "not-run.json", {"reason": "no weights of efficientnet_b4_sbi"})
    if with_signals:
        write_signals(root / "signals")
    return Study.load(root)


def drawn_predictions(dataset: str, distance: float, generator: np.random.Generator) -> Predictions:
    """Scores of one real and two fakes a person; people in pairs, as in FaceForensics++."""
    rows = []
    for person in range(PEOPLE):
        other = person ^ 1
        cast = [(f"original/{person:03d}", REAL, (f"{person:03d}",), "original")]
        cast += [
            (f"{method}/{person:03d}_{other:03d}", FAKE, (f"{person:03d}", f"{other:03d}"), method)
            for method in METHODS
        ]
        for video_id, label, people, method in cast:
            score = float(generator.normal(distance * label, 1))
            rows.append(
                Prediction(
                    video_id=f"{dataset}/{video_id}",
                    path=f"{video_id}.mp4",
                    label=label,
                    identities=tuple(f"{dataset}-{name}" for name in people),
                    method=method,
                    compression="c23",
                    score=score,
                    outcome=Outcome.INCONCLUSIVE,
                    n_clips=1,
                )
            )
    stamp = {"dataset": dataset, "weights_sha256": "0" * 64, "epoch": "3", "split_sha256": "0" * 64}
    return Predictions(tuple(rows), stamp)


def drawn_history(generator: np.random.Generator, epochs: int = 6, phases: int = 1) -> list[dict[str, object]]:
    """A falling training loss and a validation loss that turns."""
    history = []
    for epoch in range(epochs):
        phase = epoch * phases // epochs
        history.append(
            {
                "epoch": epoch,
                "phase": phase,
                "encoder_lr": 1e-5 * phase,
                "head_lr": 1e-3,
                "train_loss": 0.7 * 0.8**epoch,
                "validation_loss": 0.69 + 0.01 * (epoch - 2) ** 2 + float(generator.normal(0, 0.01)),
                "validation_auc": float(np.clip(0.55 + 0.02 * epoch + generator.normal(0, 0.03), 0, 1)),
                "log_variance_gap": float(generator.normal(0.1, 0.05)),
                "best": epoch in (0, epochs - 1),
                "clips_per_s": 10.0,
                "seconds": 1.0,
                "validation_seconds": 0.5,
            }
        )
    return history


def _write_row(place: Path, key: str, distance: float, settings: StudySettings) -> None:
    generator = np.random.default_rng(sum(map(ord, key)))
    row = ROWS[key]
    place.mkdir(parents=True)
    in_domain, histories = [], []
    folds: list[FoldPredictions] = []
    phases = len(row.recipe.phases)
    for seed in settings.seeds:
        scores = drawn_predictions("ffpp-c23", distance, generator)
        if settings.folds is None:
            in_domain.append(scores)
            histories.append({"seed": seed, "fold": None, "history": drawn_history(generator, phases=phases)})
            continue
        for number in range(1, settings.folds + 1):
            held_out = tuple(
                found for at, found in enumerate(scores.rows) if at // (2 * 3) % settings.folds == number - 1
            )
            others = Predictions(tuple(found for found in scores.rows if found not in held_out), scores.stamp)
            folds.append(FoldPredictions(seed, number, 3, others, Predictions(held_out, scores.stamp)))
            histories.append({"seed": seed, "fold": number, "history": drawn_history(generator, phases=phases)})
    cross = []
    if settings.folds is None:
        cross = [drawn_predictions("celebdf", distance / 2, generator) for _ in settings.seeds]
        measured = _measured("ffpp-c23", in_domain, row.is_frame_level)
    else:
        result = summarise(row.label, "ffpp-c23", "last", folds, resamples=100)
        result.save(place)
        in_domain = list(result.scores)
        seeds = tuple(found.mean_fold_auc.value for found in result.summary.by_seed)
        measured = Measured("ffpp-c23", result.summary.mean_fold_auc, seeds, None, 1.0)
    for kind, predictions in (("in-domain", in_domain), ("cross", cross)):
        for seed, one in zip(settings.seeds, predictions, strict=False):
            one.save(place / f"{kind}-seed-{seed}.csv")
    _write(place / "histories.json", histories)
    trainable = 1_000_000 * (1 + sum(map(ord, key)) % 25)
    RowResult(
        key=key,
        recipe=row.recipe,
        stands_in_for=None,
        initial_weights="random values",
        parameters=2 * trainable,
        trainable_parameters=trainable,
        seeds=settings.seeds,
        in_domain=measured,
        cross=_measured("celebdf", cross, row.is_frame_level) if cross else None,
        trainings=len(histories),
        seconds=12.5,
    ).save(place / "row.json")


def _measured(dataset: str, predictions: list[Predictions], frames: bool) -> Measured:
    estimate = auc(predictions[0], resamples=100)
    return Measured(
        dataset, estimate, tuple(auc(one, 100).value for one in predictions), estimate if frames else None, 1.0
    )


def drawn_signals(shift: float, generator: np.random.Generator, protocol: str = "consecutive") -> SignalTable:
    """Every signal of one real and two fakes a person; fakes are ``shift`` standard deviations higher."""
    rows = []
    for video in drawn_predictions("ffpp-c23", 0.0, generator).rows:
        for name in SIGNALS:
            value = float(generator.normal(5 + shift * video.label, 1))
            rows.append(
                SignalRow(
                    video_id=video.video_id,
                    signal=name,
                    value=value,
                    unit="grey levels",
                    label=video.label,
                    identities=video.identities,
                    method=video.method,
                    compression="c23",
                    footage=Footage(Fraction(25), 320, 240, 2.0 + int(video.identities[0][-3:]) / 10),
                    n_clips=1,
                    reason=None,
                )
            )
    return SignalTable(tuple(rows), {"data set": "ffpp-c23", "protocol": protocol})


def write_signals(place: Path) -> None:
    """Drawn signals of both protocols and of three levels of compression, where a study keeps them."""
    (place / "compression").mkdir(parents=True)
    generator = np.random.default_rng(7)
    drawn_signals(0.8, generator).save(place / "consecutive.csv")
    drawn_signals(0.2, generator, "report").save(place / "report.csv")
    levels = {"source": 1.0, "crf 23": 0.5, "crf 40": 0.0}
    rates = {"source": 0.5, "crf 23": 0.125, "crf 40": 0.0625}
    videos = {level: {"a": rate / 2, "b": rate, "c": 9 * rate} for level, rate in rates.items()}
    _write(place / "compression" / "bits-per-pixel.json", videos)
    names = {level: f"{level.replace(' ', '-')}.csv" for level in levels}
    for level, shift in levels.items():
        drawn_signals(shift, generator).save(place / "compression" / names[level])
    _write(place / "compression" / "levels.json", names)


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
