"""Scores of single frames, and the AUC's mean over seeds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fabricated_study import drawn_predictions
from stf_mamba.core.errors import ModelError
from stf_mamba.core.recipe import EncoderRecipe, HeadRecipe, Recipe, TemporalRecipe
from stf_mamba.evaluation.frame_scoring import predict_frames
from stf_mamba.evaluation.metrics import auc, mean_auc
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.scoring import score_stored_video
from stf_mamba.models.clip_detector import build_detector
from synthetic import FRAMES, synthetic_store

CPU = torch.device("cpu")
RECIPE = Recipe(
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("none", 0, 32),
    head=HeadRecipe(kind="frame_mean"),
)


def test_a_model_that_gives_no_number_gives_no_frame_a_score(tmp_path):
    store, manifest = synthetic_store(tmp_path, people=1)
    broken = build_detector(RECIPE).eval()
    for parameter in broken.head.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    with pytest.raises(ModelError, match=r"the model gives no number: the frames' logits holds .* not finite"):
        predict_frames(broken, store, manifest.entries, FRAMES, CPU, {})


def test_the_mean_of_a_clips_frame_logits_is_the_clips_logit(tmp_path):
    store, manifest = synthetic_store(tmp_path, people=2)
    model = build_detector(RECIPE).eval()
    predictions = predict_frames(model, store, manifest.entries, FRAMES, CPU, {"dataset": "synthetic"})
    assert len(predictions.rows) == FRAMES * len(manifest.entries)
    for number, entry in enumerate(manifest.entries):
        rows = predictions.rows[number * FRAMES : (number + 1) * FRAMES]
        (track,) = score_stored_video(model, store, entry.sha256, FRAMES, CPU)
        assert np.mean([row.score for row in rows]) == pytest.approx(track.logit, abs=1e-5)
        assert [row.video_id for row in rows][:2] == [
            f"{entry.record.video_id}#track-0@{t}" for t in ("0.000", "0.040")
        ]
        assert {(row.label, row.identities) for row in rows} == {(entry.record.label, entry.record.identities)}


@pytest.mark.parametrize(
    "other",
    [replace(RECIPE, head=HeadRecipe(kind="variance")), replace(RECIPE, temporal=TemporalRecipe("none", 1, 32))],
)
def test_models_that_do_not_judge_frames_singly_are_refused(tmp_path, other):
    store, manifest = synthetic_store(tmp_path, people=1)
    with pytest.raises(ValueError, match="does not judge frames singly"):
        predict_frames(build_detector(other), store, manifest.entries, FRAMES, CPU, {})


def test_the_mean_over_one_seed_is_the_auc_and_over_two_their_mean():
    first, second = (drawn_predictions("d", 1.0, np.random.default_rng(seed)) for seed in (1, 2))
    assert mean_auc([first], 200) == auc(first, 200)
    both = mean_auc([first, second], 200)
    assert both.value == pytest.approx((auc(first, 2).value + auc(second, 2).value) / 2)
    reordered = Predictions(second.rows[::-1], second.stamp)
    assert mean_auc([first, reordered], 200) == both
    with pytest.raises(ValueError, match="not the same ones"):
        mean_auc([first, Predictions(second.rows[1:], second.stamp)], 10)
