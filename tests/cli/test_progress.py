"""What bars and lines say while something works."""

import re
from types import SimpleNamespace

import pytest

from stf_mamba.cli.bars import shortened
from stf_mamba.cli.files_progress import FilesProgress
from stf_mamba.cli.progress import by_position, progress_bar, training_progress
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


TIMES = r"0:\d\d:\d\d left (0:\d\d:\d\d|-:--:--)"


@pytest.mark.parametrize(
    ("what", "note", "unit", "total"),
    [
        (
            "a-long-name-of-a-recording-from-a-telephone_2026-11-29_13-10-26_edited.mp4",
            "",
            "s searched for faces",
            None,
        ),
        ("preparing", "ffpp-c23/Deepfakes/a-long-name-of-a-recording-from-a-telephone_2026-11-29", "videos", 12345),
        ("preparing a-data-set-of-a-long-name-that-somebody-chose", "and/a/long/name/of/the/video", "videos", 12345),
    ],
)
def test_80_columns_hold_the_times_and_names_give_way_in_their_middle(capfd, monkeypatch, what, note, unit, total):
    monkeypatch.setenv("COLUMNS", "80")
    with progress_bar(what, total, unit) as advance:
        advance(8, note)
    (line,) = capfd.readouterr().err.splitlines()
    assert len(line.rstrip()) <= 80
    assert re.search(TIMES, line)
    assert f"8/{total} {unit}" in line if total else f"8 {unit}" in line
    assert "…" in line
    assert what in line or (line.startswith(what[:4]) and re.match(rf"[^…]*…\S*{re.escape(what[-4:])} ", line))
    assert note in line or line.rstrip().endswith(note[-2:])


def test_a_name_loses_its_middle():
    assert shortened("interview.mp4", 13) == "interview.mp4"
    assert shortened("interview.mp4", 12) == "interv…w.mp4"
    assert [len(shortened("interview.mp4", width)) for width in range(2, 14)] == list(range(2, 14))


def test_where_no_terminal_is_a_line_tells_now_and_then(capfd):
    with progress_bar("preparing", 4, "videos", every_s=0) as advance:
        advance(1, "[first]")
        told = capfd.readouterr().err
        assert re.fullmatch(rf"preparing: 1/4 videos {TIMES}  \[first\]\n", told)
        advance(2, "second")
        assert "preparing: 3/4 videos" in capfd.readouterr().err
    capfd.readouterr()
    with progress_bar("preparing", 4, "videos", every_s=1e9) as advance:
        advance(1)
        advance(2)
        assert capfd.readouterr().err == ""
    assert "3/4 videos" in capfd.readouterr().err  # where it ended is told in any case


def test_a_line_is_told_while_a_cache_fills_and_while_training_steps(capfd):
    with training_progress(every_s=0) as watcher:
        watcher.on_training(2, 6)
        watcher.on_cached(1, 33)
        assert re.fullmatch(rf"training 2 of 6: 1 of 33 clips cached {TIMES}\n", capfd.readouterr().err)
        watcher.on_step(HALF_WAY)
        told = capfd.readouterr().err
    assert re.match(r"training 2 of 6: epoch 2/3 step 10/20 0:\d\d:\d\d left 0:04:30  loss 0\.5000", told)
    capfd.readouterr()
    with training_progress(every_s=1e9) as watcher:
        watcher.on_cached(1, 33)
        assert capfd.readouterr().err == ""


def test_a_line_is_told_while_files_are_searched(capfd):
    with FilesProgress([1, 1], every_s=0).file("[interview].mp4") as on_step:
        on_step("searching faces", 4.0, 8.0)
        told = capfd.readouterr().err
    assert re.fullmatch(rf"file 1 of 2  \[interview\].mp4  searching faces 4/8 s {TIMES}\n", told)


def test_a_bar_ends_at_its_total_whatever_its_steps(capfd):
    with progress_bar("scoring", 5, "videos") as advance:  # three videos of the first of two processes
        for _ in range(3):
            advance(2)
    assert "5/5 videos" in capfd.readouterr().err


def test_a_total_that_comes_late_is_shown(capfd):
    with progress_bar("searching", None, "s") as advance:
        on_progress = by_position(advance)
        on_progress(2.0, 8.0)
        on_progress(6.0, 8.0)
    assert "6/8 s" in capfd.readouterr().err


def test_only_the_main_process_talks(capfd, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with progress_bar("scoring", 5, "videos", every_s=0) as advance:
        advance(1, "a video")
    assert capfd.readouterr().err == ""
