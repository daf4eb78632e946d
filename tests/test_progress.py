"""What the live line of training says."""

import pytest

from stf_mamba.progress import training_progress
from stf_mamba.training_reports import StepReport

# 30 of 60 steps are done, each took a second
HALF_WAY = StepReport(
    epoch=1,
    epochs=3,
    step=10,
    steps=20,
    loss=0.5,
    step_loss=0.4,
    gradient_norm=1.0,
    encoder_lr=0.0,
    head_lr=1e-3,
    clips_per_s=4.0,
    validation_auc=None,
    log_variance_gap=None,
    left_s=30.0,
    step_s=1.0,
)


@pytest.mark.parametrize(
    ("number", "trainings", "what", "left"),
    [
        (2, 6, "training 2 of 6", "0:04:30"),  # half a minute of this one, a minute of each of four more
        (6, 6, "training 6 of 6", "0:00:30"),
        (1, 1, "training ", "0:00:30"),
    ],
)
def test_the_time_left_is_that_of_all_trainings_of_the_run(capfd, monkeypatch, number, trainings, what, left):
    monkeypatch.setenv("COLUMNS", "200")
    with training_progress() as watcher:
        watcher.on_training(number, trainings)
        watcher.on_step(HALF_WAY)
    line = capfd.readouterr().err
    assert line.startswith(what)
    assert f"left {left}" in line
    assert "epoch 2/3 step 10/20 loss 0.5000 4.0 clips/s" in line


def test_a_run_of_one_training_does_not_count_itself(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with training_progress() as watcher:
        watcher.on_step(HALF_WAY)
    line = capfd.readouterr().err
    assert "of 1" not in line
    assert "left 0:00:30" in line
