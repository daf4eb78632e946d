"""A training that was killed, stopped or spread over two processes ends where an undisturbed one ends."""

import json
import signal
import time
from itertools import pairwise

import pytest
import torch
from terminal import TORCHRUN, finish, messages, partial_files, run, start, stf, wait_until

# What may differ between two runs that compute the same.
CLOCK = ("clips_per_s", "seconds", "validation_seconds")

# Two processes add the same numbers up in another order. A weight's gradient is a sum over 3 clips × 8 frames
# × 50 tokens; in float32 (unit roundoff 2^-24) two orders of n terms differ by about n × 2^-24 of their size at most.
# AdamW's step does not depend on the gradient's scale, so each of the 16 steps differs by about that part of itself.
ROUNDING = 3 * 8 * 50 * 2**-24 * 16  # 0.0011


def test_a_killed_training_resumes_bit_for_bit(home, tmp_path):
    folder = tmp_path / "run"
    with start(*home.train_command, "--out", folder) as process:
        # At the worst moment: while it writes, after the second epoch.
        wait_until(lambda: len(_history(folder)) >= 2 and bool(partial_files(folder)), process)
        process.kill()
        process.wait()
    assert 2 <= len(_history(folder)) < 4
    _assert_goes_on_to_the_same_end(home, folder)


def test_ctrl_c_within_an_epoch_resumes_bit_for_bit(home, tmp_path):
    folder = tmp_path / "run"
    epoch_s = min(entry["seconds"] for entry in _history(home.run))
    for epochs_before in (1, 2, 3):
        with start(*home.train_command, "--out", folder) as process:
            wait_until(lambda wanted=epochs_before: len(_history(folder)) >= wanted, process)
            time.sleep(0.4 * epoch_s)
            process.send_signal(signal.SIGINT)
            stopped = finish(process)
        assert stopped.exit_code == 130
        assert messages(stopped.stderr)[-2:] == [
            "stopping after this step; press Ctrl-C again to stop at once, which loses what was not saved yet",
            "stopped; what was finished is kept: run the same command again to continue",
        ]
        assert partial_files(folder) == []
        state = torch.load(folder / "state.pt", weights_only=True)
        if state["step"] > 0:
            break
    assert state["step"] > 0, "three signals all fell between two epochs"
    assert state["epoch"] == len(_history(folder))
    again = _assert_goes_on_to_the_same_end(home, folder)
    assert f"at epoch {state['epoch'] + 1}, step {state['step'] + 1}" in again.stderr


def test_two_processes_train_as_one_does(home, tmp_path):
    folder = tmp_path / "run"
    command = [*TORCHRUN, "--standalone", "--nproc-per-node", 2, "-m", "stf_mamba", *home.train_command]
    trained = run([*command, "--out", folder])
    assert trained.exit_code == 0, trained.stderr
    assert json.loads((folder / "environment.json").read_text())["processes"] == 2
    assert partial_files(folder) == []
    _assert_same_history_but_for_rounding(_history(folder), _history(home.run))
    # One process speaks for both.
    assert len(trained.stdout.splitlines()) == 1
    assert trained.stderr.count("epoch   1/4  loss") == 1


def _history(folder):
    path = folder / "history.json"
    return json.loads(path.read_text()) if path.is_file() else []


def _without_clock(history):
    return [{key: value for key, value in entry.items() if key not in CLOCK} for entry in history]


def _assert_goes_on_to_the_same_end(home, folder):
    again = stf(*home.train_command, "--out", folder)
    assert again.exit_code == 0, again.stderr
    assert f"continuing {folder} at epoch" in again.stderr
    assert _without_clock(_history(folder)) == _without_clock(_history(home.run))
    assert (folder / "weights.safetensors").read_bytes() == (home.run / "weights.safetensors").read_bytes()
    assert json.loads((folder / "environment.json").read_text())["complete"]
    assert partial_files(folder) == []
    return again


def _assert_same_history_but_for_rounding(history, reference):
    """Losses and gap of every epoch agree. The AUC is left out: a step function of the scores that make the loss."""
    assert [entry["epoch"] for entry in history] == [0, 1, 2, 3]
    steps = [after["train_loss"] - before["train_loss"] for before, after in pairwise(reference)]
    assert min(map(abs, steps)) > 5 * ROUNDING, "the epochs must differ by far more than the tolerance"
    for entry, expected in zip(history, reference, strict=True):
        for key in ("train_loss", "validation_loss", "log_variance_gap"):
            assert entry[key] == pytest.approx(expected[key], rel=ROUNDING), (entry["epoch"], key)
