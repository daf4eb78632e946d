"""What the live line of training says."""

from types import SimpleNamespace

import pytest

from stf_mamba.cli.progress import training_progress
from stf_mamba.training.watcher import StepReport

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
    validation_auc=0.8125,
    log_variance_gap=0.25,
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
def test_80_columns_show_it_all_and_the_time_left_of_all_trainings(capfd, monkeypatch, number, trainings, what, left):
    monkeypatch.setenv("COLUMNS", "80")
    with training_progress() as watcher:
        watcher.on_training(number, trainings)
        watcher.on_step(HALF_WAY)
    where, how = capfd.readouterr().err.splitlines()
    assert where.startswith(what)
    assert "epoch 2/3 step 10/20" in where
    assert where.rstrip().endswith(f"left {left}")
    assert how.rstrip() == "  loss 0.5000  validation AUC 0.8125  log-variance gap +0.250  4.0 clips/s"


def test_the_next_training_starts_with_nothing_of_the_one_before(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with training_progress() as watcher:
        watcher.on_training(1, 6)
        watcher.on_step(HALF_WAY)
        watcher.on_training(2, 6)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("training 2 of 6")
    assert "starting" in line
    assert line.rstrip().endswith("left -:--:--")


def test_filling_a_cache_tells_how_long_it_still_takes(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    clock = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr("stf_mamba.cli.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with training_progress() as watcher:
        watcher.on_training(1, 6)
        for done in (1, 2, 3):
            watcher.on_cached(done, 33)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("training 1 of 6")
    assert "3 of 33 clips cached" in line
    assert line.rstrip().endswith("left 0:01:00")  # thirty clips of two seconds


def test_a_run_of_one_training_does_not_count_itself(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with training_progress() as watcher:
        watcher.on_step(HALF_WAY)
    line = capfd.readouterr().err
    assert "of 1" not in line
    assert "left 0:00:30" in line
