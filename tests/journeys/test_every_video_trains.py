"""A recipe that lets every video train, at the terminal: told fold by fold, repeated, evaluated on strangers."""

import pytest
from terminal import messages, stf

from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.runs import Run

RECIPE = """
name = "every-video"
encoder = { name = "vit_miniature", trainable_blocks = 0, token = "relations" }
temporal = { mixer = "none", layers = 0 }
head = { kind = "standardised_content" }
data = { frames = 8, batch_size = 4, views = 1, validation = "folds", validation_fraction = 0.34 }

[[phases]]
epochs = 2
warmup_epochs = 0
encoder_lr = 0.0
head_lr = 1e-3
"""


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("every-video")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    command = ("train", folder / "recipe.toml", "--clips", home.clips, "--out", folder / "run")
    finished = stf(*command)
    assert finished.exit_code == 0, finished.stderr
    return command, folder / "run", finished


def test_it_says_what_it_trains_and_what_it_is_worth(trained):
    _, folder, finished = trained
    told = messages(finished.stderr)
    for fold in (1, 2, 3):
        assert f"fold {fold} of 3: training without its 4 videos" in told
    assert "every video is scored out of fold; training on all 12" in told
    assert any(line.startswith("no calibration") for line in told)  # three groups of people are too few
    scores = Run.load(folder).out_of_fold()
    assert len(scores.rows) == 12
    assert "trained on 12 videos; out-of-fold AUC" in finished.stdout


def test_repeating_the_command_does_nothing_and_says_the_same(trained):
    command, folder, finished = trained
    again = stf(*command)
    assert again.exit_code == 0, again.stderr
    assert f"{folder} is complete already" in again.stderr
    assert again.stdout == finished.stdout


def test_its_own_videos_are_refused_and_strangers_scored(home, trained, tmp_path):
    _, folder, _ = trained
    refused = stf("evaluate", folder, "--clips", home.clips)
    assert refused.exit_code == 1
    assert "every video trained" in refused.error
    assert "out-of-fold.csv" in refused.error
    prepare = ("prepare", "--dataset", "celebdf", "--root", home.corpus.celebdf_root, "--like", folder)
    prepared = stf(*prepare, "--jobs", 1, "--out", tmp_path / "clips")
    assert prepared.exit_code == 0, prepared.stderr
    evaluated = stf("evaluate", folder, "--clips", tmp_path / "clips", "--out", tmp_path / "predictions.csv")
    assert evaluated.exit_code == 0, evaluated.stderr
    predictions = Predictions.load(tmp_path / "predictions.csv")
    assert predictions.stamp["selected_on"] == "nothing, the last epoch"
    assert predictions.coverage == 1
