"""Requests that cannot be met: wrong layouts, leaking splits, weights, recipes and runs that do not fit."""

import json

import pytest
import torch
from safetensors.torch import save_file
from terminal import stf

from stf_mamba.core.records import Outcome, Verdict
from stf_mamba.datasets.splits import Split
from stf_mamba.models.encoders.vit import VitEncoder
from synthetic import synthetic_store


def test_a_root_of_another_layout_says_what_was_looked_for(corpus, tmp_path):
    refused = stf("prepare", "--dataset", "ffpp", "--root", corpus.celebdf_root, "--out", tmp_path / "clips")
    assert refused.exit_code == 1
    assert "original_sequences/youtube/c23/videos/NNN.mp4" in refused.error
    assert "Celeb-real/" in refused.error
    assert not (tmp_path / "clips").exists()


@pytest.fixture
def leaking_split(home, tmp_path):
    """The official split with one fake of the training pair moved to validation: both people are in both parts."""
    official = Split.load(home.run / "split.json")
    moved = next(video_id for video_id in official.train if "Deepfakes" in video_id)
    kept = tuple(video_id for video_id in official.train if video_id != moved)
    split = Split("leaking", kept, (*official.validation, moved), official.test)
    return split.save(tmp_path / "leaking.json"), moved


def test_a_leaking_split_is_not_trained_on(home, leaking_split, tmp_path):
    path, moved = leaking_split
    refused = stf("train", home.recipe, "--clips", home.clips, "--split", path, "--out", tmp_path / "run")
    assert refused.exit_code == 1
    assert "'leaking' leaks" in refused.error
    for person in moved.split("/")[-1].split("_"):
        assert f"miniature-ffpp:{person} (train, validation)" in refused.error
    assert not (tmp_path / "run").exists()


def test_the_audit_lists_what_leaks(home, leaking_split):
    path, moved = leaking_split
    audited = stf("audit", "--clips", home.clips, "--split", path)
    assert audited.exit_code == 1
    assert "2 leaks" in audited.stdout.splitlines()[0]
    target, source = moved.split("/")[-1].split("_")
    for kind, person in (("source", source), ("target", target)):
        line = next(line for line in audited.stdout.splitlines() if f"{kind} miniature-ffpp:{person} in" in line)
        assert "in train and validation" in line
        assert moved in line

    audited = stf("audit", "--clips", home.clips, "--split", home.run)
    assert audited.exit_code == 0
    assert "0 leaks" in audited.stdout


def test_weights_of_another_architecture_are_refused_and_leave_no_trace(home, tmp_path):
    weights = tmp_path / "tiny.safetensors"
    torch.manual_seed(0)
    save_file(VitEncoder("vit_tiny16", 0).network.state_dict(), weights)
    train = (*home.train_command, "--out", tmp_path / "run")
    refused = stf(*train, "--weights", weights)
    assert refused.exit_code == 1
    assert "does not fit the encoder 'vit_miniature'" in refused.error
    assert "12 blocks and width 192" in refused.error
    # Whoever corrects the command must not find the refused weights in the run's record.
    assert not (tmp_path / "run").exists()


def test_weights_are_checked_against_an_encoder(home, tmp_path):
    weights = tmp_path / "cut.safetensors"
    weights.write_bytes((home.run / "weights.safetensors").read_bytes()[:100_000])
    refused = stf("weights", weights, "--encoder", "vit_tiny16")
    assert refused.exit_code == 1
    assert f"cannot read {weights} (100000 bytes)" in refused.error
    assert "again" in refused.error


def test_an_encoder_that_wants_weights_does_not_start_from_random_ones(home, tmp_path):
    recipe = tmp_path / "tiny16.toml"
    recipe.write_text(home.recipe.read_text().replace("vit_miniature", "vit_tiny16"))
    refused = stf("train", recipe, *home.train_command[2:], "--out", tmp_path / "run")
    assert refused.exit_code == 1
    assert "'vit_tiny16'" in refused.error
    assert "--weights" in refused.error
    assert "--from-scratch" in refused.error
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_key_names_the_nearest_known_one(home, tmp_path):
    recipe = tmp_path / "misspelt.toml"
    recipe.write_text(home.recipe.read_text().replace("batch_size", "batchsize"))
    refused = stf("train", recipe, *home.train_command[2:], "--out", tmp_path / "run")
    assert refused.exit_code == 2
    assert str(recipe) in refused.error
    assert "unknown key 'data.batchsize'; did you mean 'data.batch_size'?" in refused.error
    assert not (tmp_path / "run").exists()


def test_a_cut_checkpoint_detects_nothing(home, run_copy, tmp_path):
    weights = run_copy / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    refused = stf("detect", home.corpus.held_out, "--model", run_copy, "--out", tmp_path / "verdicts")
    assert refused.exit_code == 1
    assert f"cannot read {weights} (1000000 bytes)" in refused.error
    assert not (tmp_path / "verdicts").exists()


def test_an_empty_checkpoint_is_not_evaluated(home, run_copy, tmp_path):
    weights = run_copy / "weights.safetensors"
    weights.write_bytes(b"")
    refused = stf("evaluate", run_copy, "--clips", home.clips, "--out", tmp_path / "predictions.csv")
    assert refused.exit_code == 1
    assert f"cannot read {weights} (0 bytes)" in refused.error
    assert not (tmp_path / "predictions.csv").exists()


def test_an_unreadable_state_is_named_and_kept(home, run_copy):
    environment = run_copy / "environment.json"
    environment.write_text(json.dumps({**json.loads(environment.read_text()), "complete": False}))
    state = run_copy / "state.pt"
    state.write_bytes(state.read_bytes()[:-5000])
    before = _contents(run_copy)
    refused = stf(*home.train_command, "--out", run_copy)
    assert refused.exit_code == 1
    assert f"cannot read {state}" in refused.error
    assert f"remove {run_copy} and train again" in refused.error
    assert _contents(run_copy) == before


def test_another_recipe_does_not_continue_a_run(home, run_copy, tmp_path):
    recipe = tmp_path / "other.toml"
    recipe.write_text(home.recipe.read_text().replace("epochs = 4", "epochs = 5"))
    refused = stf("train", recipe, *home.train_command[2:], "--out", run_copy)
    assert refused.exit_code == 1
    assert "another recipe" in refused.error
    assert "--out" in refused.error


def test_detection_without_a_model_is_refused_with_the_next_step(corpus, tmp_path):
    refused = stf("detect", corpus.held_out, "--out", tmp_path / "verdicts")
    assert refused.exit_code == 2
    for step in ("stf prepare", "stf train", "--model", "--untrained"):
        assert step in refused.error
    assert not (tmp_path / "verdicts").exists()


def test_an_untrained_model_says_so_and_decides_nothing(home, tmp_path):
    detect = ("detect", home.corpus.held_out, "--out", tmp_path / "verdicts", "--untrained", "--recipe", home.recipe)
    detected = stf(*detect, "--fail-on", "inconclusive")
    assert detected.exit_code == 10, detected.stderr
    verdict = Verdict.from_json(json.loads((tmp_path / "verdicts" / "manipulated.json").read_text()))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert (verdict.probability, verdict.interval) == (None, None)
    assert verdict.score is not None
    assert "untrained" in verdict.reasons[0]
    assert "untrained" in detected.stdout
    assert "untrained" in (tmp_path / "verdicts" / "manipulated.html").read_text(encoding="utf-8")


def test_clips_of_other_settings_are_not_evaluated(home, tmp_path):
    synthetic_store(tmp_path / "clips", people=1)  # clips of 4 frames
    refused = stf("evaluate", home.run, "--clips", tmp_path / "clips", "--out", tmp_path / "predictions.csv")
    assert refused.exit_code == 2
    assert f"stf prepare --like {home.run}" in refused.error
    assert not (tmp_path / "predictions.csv").exists()


def test_the_training_data_are_not_evaluated_as_a_whole(home, tmp_path):
    refused = stf("evaluate", home.run, "--clips", home.clips, "--part", "all", "--out", tmp_path / "all.csv")
    assert refused.exit_code == 1
    assert "8 of 12 videos" in refused.error  # four of them tested, eight trained or selected on
    assert "--part test" in refused.error
    assert not (tmp_path / "all.csv").exists()


@pytest.mark.parametrize("verb", ["detect", "train", "prepare"])
def test_an_output_that_is_a_file_is_refused_and_kept(home, tmp_path, verb):
    out = tmp_path / "mine.txt"
    out.write_text("mine")
    commands = {
        "detect": ("detect", home.corpus.held_out, "--model", home.run),
        "train": home.train_command,
        "prepare": home.prepare_command,
    }
    refused = stf(*commands[verb], "--out", out)
    assert refused.exit_code == 2
    assert str(out) in refused.error
    assert out.read_text() == "mine"


def _contents(folder):
    """Every file of a folder, by its path within it."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
