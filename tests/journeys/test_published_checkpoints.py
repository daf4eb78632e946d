"""Encoders and detectors that others published, through the command line."""

import json

import pytest
import torch
from safetensors.torch import save_file
from terminal import stf

from models.published.test_sbi import drawn_checkpoint, published_features
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.recipe import EncoderRecipe
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.models.encoders.registry import build_encoder
from stf_mamba.models.weights.loading import save_state_dict


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file in the layout of SBI's published checkpoint, with drawn values, and its tensors."""
    state = drawn_checkpoint()
    path = tmp_path_factory.mktemp("sbi") / "sbi.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path, state


def test_a_published_sbi_checkpoint_scores_clips_of_its_size(corpus, checkpoint, tmp_path):
    path, state = checkpoint
    clips, out = tmp_path / "clips", tmp_path / "predictions.csv"
    prepare = ("prepare", "--dataset", "celebdf", "--root", corpus.celebdf_root, "--out", clips)
    prepared = stf(*prepare, "--size", 380, "--frames", 2, "--window-s", 0, "--jobs", 1)
    assert prepared.exit_code == 0, prepared.stderr
    evaluated = stf("evaluate", "--sbi-checkpoint", path, "--clips", clips, "--out", out, "--json")
    assert evaluated.exit_code == 0, evaluated.stderr
    assert json.loads(evaluated.stdout)["coverage"] == 1.0

    predictions = Predictions.load(out)
    assert predictions.stamp["crop_px"] == "380"
    store = ClipStore.open(clips)
    hashes = {entry.record.video_id: entry.sha256 for entry in store.manifest().entries}
    assert len(predictions.rows) == 3
    for row in predictions.rows:
        (clip,) = store.video(hashes[row.video_id]).clips
        frames = torch.from_numpy(store.frames(hashes[row.video_id], clip).copy()).permute(0, 3, 1, 2) / 255
        features = published_features(state, frames)
        outputs = features @ state["net._fc.weight"].T + state["net._fc.bias"]  # (T, 2): real, fake
        published = outputs.softmax(dim=1)[:, 1].mean()
        assert torch.sigmoid(torch.tensor(row.score)) == pytest.approx(
            float(published), abs=1e-3
        )  # rounding, by threads


def test_clips_of_another_size_are_refused_with_the_next_step(home, checkpoint, tmp_path):
    out = tmp_path / "predictions.csv"
    refused = stf("evaluate", "--sbi-checkpoint", checkpoint[0], "--clips", home.clips, "--out", out)
    assert refused.exit_code == 2
    assert "224 px" in refused.error
    assert "stf prepare --size 380" in refused.error
    assert not out.exists()


@pytest.mark.parametrize("options", [(), ("--out", "x.csv", "--part", "test")])
def test_a_checkpoint_has_neither_a_folder_nor_a_split(home, checkpoint, options):
    refused = stf("evaluate", "--sbi-checkpoint", checkpoint[0], "--clips", home.clips, *options)
    assert refused.exit_code == 2
    assert "--sbi-checkpoint scores all videos into --out FILE" in refused.error


def test_nothing_to_evaluate_is_said(home):
    refused = stf("evaluate", "--clips", home.clips)
    assert refused.exit_code == 2
    assert "--sbi-checkpoint FILE" in refused.error


def test_weights_of_a_convolutional_encoder_are_checked(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "miniature.safetensors"
    save_state_dict(build_encoder(EncoderRecipe("cnn_miniature", trainable_blocks=0)).network.state_dict(), path)
    assert stf("weights", path, "--encoder", "cnn_miniature").stdout.startswith(f"{path} fits cnn_miniature")
    refused = stf("weights", path, "--encoder", "efficientnet_b0")
    assert refused.exit_code == 1
    assert "'efficientnet_b0'" in refused.error
