"""Which block and token of a frozen ViT tells swaps from originals on unseen people? A linear probe of each.

    python benchmarks/layer_probe.py --clips CLIPS --name ffpp-c23 --weights FILE --json probe.json

For every block: the class token, the mean of the patches, their means over the middle of the crop and the ring around
it, and the patches' spread over the picture, averaged over a clip; then what changes over a clip's frames: the standard
deviation of the class token and of the patches. Each feature goes through a standardised logistic regression in grouped
cross-validation (no person shared between training and test). Printed is the AUC of the pooled held-out scores; the
JSON file has bootstrap intervals over groups of linked people too. A table of so many figures has large ones by chance:
read it as a whole.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stf_mamba.clips.records import Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.records import Outcome
from stf_mamba.datasets.people_folds import people_folds
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation import metrics
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.evaluation.scoring import thin, to_tensor
from stf_mamba.models.encoders.relations import zone_weights
from stf_mamba.models.encoders.vit import VIT_ENCODERS, VitEncoder
from stf_mamba.models.weights.loading import load_encoder_weights

REGULARISATION = 0.01  # C of the logistic regression, fixed beforehand


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder made by stf prepare")
    parser.add_argument("--name", help="the prepared data set, if there are several")
    parser.add_argument("--weights", type=Path, required=True, help="weights of the encoder")
    parser.add_argument("--encoder", default="vit_tiny16", choices=sorted(VIT_ENCODERS))
    parser.add_argument("--frames", type=int, default=8, help="frames of a clip")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    store = ClipStore.open(arguments.clips)
    manifest = store.manifest(arguments.name)
    # With every block trainable, ``prefix`` ends before the first one.
    encoder = VitEncoder(arguments.encoder, VIT_ENCODERS[arguments.encoder].blocks)
    load_encoder_weights(encoder, arguments.weights)
    features = features_of(encoder.eval(), store, manifest, arguments.frames)
    labels = np.array([entry.record.label for entry in manifest.entries])
    folds = people_folds([entry.record for entry in manifest.entries], arguments.folds)
    rows = []
    for block in range(len(encoder.network.blocks)):
        row: dict[str, Any] = {"block": block + 1}
        for name in features[0][block]:
            scores = held_out_scores(np.stack([clip[block][name] for clip in features]), labels, manifest, folds)
            auc = metrics.auc(predictions_of(scores, manifest))
            row[name] = {"auc": auc.value, "low": auc.low, "high": auc.high}
        rows.append(row)
        print(f"block {block + 1:2}  " + "  ".join(f"{k} {v['auc']:.2f}" for k, v in row.items() if k != "block"))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


@torch.inference_mode()
def features_of(
    encoder: VitEncoder, store: ClipStore, manifest: Manifest, frames: int
) -> list[list[dict[str, np.ndarray]]]:
    """Features of every video's main face: per block, vectors by name."""
    zones = zone_weights(*encoder.network.patch_embed.grid_size)
    found = []
    for entry in manifest.entries:
        if entry.sha256 is None or not entry.clips:
            raise SystemExit(f"{entry.record.video_id} has no clips; leave it out of the data set")
        clip = store.video(entry.sha256).clips[0]
        chosen = thin(len(clip.times_s), frames)
        tokens = encoder.prefix(to_tensor(store.frames(entry.sha256, clip), chosen))
        blocks = []
        for block in encoder.network.blocks:
            tokens = block(tokens)
            cls, patches = tokens[:, 0], tokens[:, encoder.network.num_prefix_tokens :]
            middle, ring = (zones @ patches).mean(0)
            named = {
                "cls": cls.mean(0),
                "patches": patches.mean((0, 1)),
                "middle": middle,
                "ring": ring,
                "spread": patches.std(1).mean(0),
                "cls over time": cls.std(0).log(),
                "patches over time": patches.std(0).mean(0).log(),
            }
            blocks.append({name: value.numpy().copy() for name, value in named.items()})
        found.append(blocks)
    return found


def held_out_scores(
    features: np.ndarray,
    labels: np.ndarray,
    manifest: Manifest,
    folds: list[Split],
    regularisation: float = REGULARISATION,
) -> np.ndarray:
    """Decision values (V,) of every video by the probe that has not seen its people."""
    ids = np.array([entry.record.video_id for entry in manifest.entries])
    scores = np.full(len(ids), np.nan)
    for fold in folds:
        train, test = np.isin(ids, fold.train), np.isin(ids, fold.validation)
        probe = make_pipeline(
            StandardScaler(), LogisticRegression(C=regularisation, max_iter=2000, class_weight="balanced")
        )
        scores[test] = probe.fit(features[train], labels[train]).decision_function(features[test])
    assert np.isfinite(scores).all()
    return scores


def predictions_of(scores: np.ndarray, manifest: Manifest) -> Predictions:
    """The scores as predictions, for the library's metrics."""
    rows = []
    for score, entry in zip(scores, manifest.entries, strict=True):
        r = entry.record
        rows.append(
            Prediction(
                r.video_id,
                str(r.path),
                r.label,
                r.identities,
                r.method,
                r.compression,
                float(score),
                Outcome.INCONCLUSIVE,
                1,
            )
        )
    return Predictions(tuple(rows), {})


if __name__ == "__main__":
    main()
