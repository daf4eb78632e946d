"""What is a detector of relations reading? The same crops without colour, without fine detail, compressed, ...

    python benchmarks/input_changes.py --clips CLIPS --name ffpp-c23 --weights FILE --json input-changes.json

Each row changes every crop in one way before the frozen network compares the parts of the picture, in training and test
alike, and fits a standardised logistic regression in grouped cross-validation (no person shared between training and
test), over several draws of the folds. A lower AUC can be lost evidence or a network off its usual pictures; one that
stays shows that what was removed is not needed. Printed are the mean fold AUC with its standard deviation over the
draws, which share the same videos (so it is no interval), the pooled AUC, and the first draw's pooled AUC with a
bootstrap interval over groups of linked people.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from layer_probe import held_out_scores, predictions_of
from stf_mamba.cli.progress import progress_bar
from stf_mamba.clips.records import Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.files import write_text_atomically
from stf_mamba.core.records import Float64Array, UInt8Array
from stf_mamba.datasets.people_folds import people_folds
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation import metrics
from stf_mamba.evaluation.scoring import thin, to_tensor
from stf_mamba.models.encoders.vit import VIT_ENCODERS, VitEncoder
from stf_mamba.models.weights.loading import load_encoder_weights

REGULARISATION = 6e-4  # C of the logistic regression: 1 / (penalty 0.01 · about 36 training videos · 4,608 numbers)
FOLDS = 4
TILES = 4
COLOUR_GAIN, SHARPENING, TILE_CONTRAST = 3.0, 2.0, 40.0


def levelled_luma(crop: UInt8Array) -> UInt8Array:
    """The crop's colour differences alone, amplified about their mean, at one brightness."""
    ycc = cv2.cvtColor(crop, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    chroma = ycc[..., 1:]
    ycc[..., 0], ycc[..., 1:] = 128, 128 + COLOUR_GAIN * (chroma - chroma.mean((0, 1)))
    return cv2.cvtColor(_to_bytes(ycc), cv2.COLOR_YCrCb2RGB)


def halved(crop: UInt8Array) -> UInt8Array:
    """At half the size and back."""
    small = cv2.resize(crop, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def sharpened(crop: UInt8Array) -> UInt8Array:
    """With detail of one to two pixels amplified."""
    exact = crop.astype(np.float32)
    return _to_bytes(exact + SHARPENING * (exact - cv2.GaussianBlur(exact, (0, 0), 1.5)))


def even_tiles(crop: UInt8Array) -> UInt8Array:
    """Every tile brought to one colour, brightness and contrast."""
    side = len(crop) // TILES
    tiles = crop.astype(np.float32).reshape(TILES, side, TILES, side, 3)
    centred = tiles - tiles.mean((1, 3), keepdims=True)
    return _to_bytes(128 + TILE_CONTRAST * centred / (centred.std((1, 3, 4), keepdims=True) + 2)).reshape(crop.shape)


def jpeg(crop: UInt8Array) -> UInt8Array:
    """After a JPEG of quality 40."""
    _, coded = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


CHANGES: dict[str, Callable[[UInt8Array], UInt8Array]] = {
    "as it is": lambda crop: crop,
    "luma alone": lambda crop: cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
    "blurred, 1 px": lambda crop: cv2.GaussianBlur(crop, (0, 0), 1.0),
    "half size and back": halved,
    "sharpened": sharpened,
    "JPEG, quality 40": jpeg,
    "tiles of one brightness and contrast": even_tiles,
    "colour alone": levelled_luma,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder made by stf prepare, crops of 224 px")
    parser.add_argument("--name", help="the prepared data set, if there are several")
    parser.add_argument("--weights", type=Path, required=True, help="weights of the encoder")
    parser.add_argument("--encoder", default="vit_tiny16", choices=sorted(VIT_ENCODERS))
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--frames", type=int, default=8, help="frames of a clip")
    parser.add_argument("--draws", type=int, default=20, help="draws of the folds")
    parser.add_argument("--only", choices=sorted(CHANGES), action="append", help="this change alone; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    store = ClipStore.open(arguments.clips)
    manifest = store.manifest(arguments.name)
    encoder = VitEncoder(arguments.encoder, 0, arguments.blocks, "relations", TILES)
    load_encoder_weights(encoder, arguments.weights)
    records = [entry.record for entry in manifest.entries]
    draws = [people_folds(records, FOLDS, draw) for draw in range(arguments.draws)]
    labels = np.array([record.label for record in records])
    rows = []
    for name in arguments.only or CHANGES:
        features = relations_of(encoder.eval(), store, manifest, arguments.frames, name)
        rows.append({"input": name, **figures(features, labels, manifest, draws)})
        row = rows[-1]
        interval = "no interval" if row["low"] is None else f"[{row['low']:.3f}, {row['high']:.3f}]"
        print(
            f"{name:36}  mean fold AUC {row['mean_fold_auc']:.3f} (draws {row['deviation']:.3f})  "
            f"pooled {row['pooled_auc']:.3f}  first draw {row['first']:.3f} {interval}",
            flush=True,
        )
        if arguments.json:
            write_text_atomically(arguments.json, json.dumps(rows, indent=1) + "\n")


@torch.inference_mode()
def relations_of(encoder: VitEncoder, store: ClipStore, manifest: Manifest, frames: int, change: str) -> Float64Array:
    """Mean relations (V, D) of every video's main face, brought to one length, from changed crops."""
    found = []
    with progress_bar(change, len(manifest.entries), "videos") as advance:
        for entry in manifest.entries:
            if entry.sha256 is None or not entry.clips:
                raise SystemExit(f"{entry.record.video_id} has no clips; leave it out of the data set")
            clip = store.video(entry.sha256).clips[0]
            crops = store.frames(entry.sha256, clip)[thin(len(clip.times_s), frames)]
            changed = np.stack([CHANGES[change](np.ascontiguousarray(crop)) for crop in crops])
            mean = encoder(to_tensor(changed, range(frames))).mean(0)
            found.append(F.layer_norm(mean, mean.shape).double().numpy().copy())
            advance(1)
    return np.stack(found)


def figures(
    features: Float64Array, labels: np.ndarray, manifest: Manifest, draws: list[list[Split]]
) -> dict[str, float | None]:
    """Mean fold and pooled AUC over draws of the folds; interval of the first draw's pooled AUC."""
    ids = np.array([entry.record.video_id for entry in manifest.entries])
    of_folds, pooled, first = [], [], None
    for folds in draws:
        scores = held_out_scores(features, labels, manifest, folds, REGULARISATION)
        held_out = [np.isin(ids, fold.validation) for fold in folds]
        of_folds.append(np.mean([roc_auc_score(labels[test], scores[test]) for test in held_out]))
        pooled.append(roc_auc_score(labels, scores))
        first = first or metrics.auc(predictions_of(scores, manifest))
    assert first is not None
    return {
        "mean_fold_auc": float(np.mean(of_folds)),
        "deviation": float(np.std(of_folds)),
        "pooled_auc": float(np.mean(pooled)),
        "first": first.value,
        "low": first.low,
        "high": first.high,
    }


def _to_bytes(exact: np.ndarray) -> UInt8Array:
    return np.clip(exact + 0.5, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
