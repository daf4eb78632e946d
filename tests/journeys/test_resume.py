"""A training that was killed or stopped ends where an undisturbed one ends."""

import json
import signal
import time

import torch
from terminal import finish, messages, partial_files, start, stf, wait_until

# What may differ between two runs that compute the same.
CLOCK = ("clips_per_s", "seconds", "validation_seconds")


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
