"""A wish to stop is answered at once and fulfilled after every kind of step."""

import os
import signal
import threading
import time

import pytest
import torch
from safetensors.torch import load_file

from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.evaluation import evaluate as evaluation
from stf_mamba.training.interruption import stop_requests
from stf_mamba.training.items import ItemReader
from stf_mamba.training.loop import STOPPING
from stf_mamba.training.train import train
from stf_mamba.training.watcher import Watcher
from synthetic import FRAMES, synthetic_store

# Three steps an epoch of 8 clips: 3, 3 and 2, each in micro-batches of at most 2.
RECIPE = Recipe(
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 32),
    data=DataRecipe(frames=FRAMES, batch_size=3, micro_batch=2, validation_fraction=0.5),
    phases=(PhaseRecipe(1, 0, 1e-4, 1e-3), PhaseRecipe(1, 0, 0.0, 1e-3)),
)
CLOCK = ("clips_per_s", "seconds", "validation_seconds")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return synthetic_store(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def whole(prepared, tmp_path_factory):
    return train(RECIPE, *prepared, tmp_path_factory.mktemp("whole") / "run")


def test_the_answer_comes_while_the_program_is_inside_one_long_call():
    """A decomposition stands for a long backward pass: within it, Python runs no handler in this thread."""
    answered_s = []
    matrix = torch.randn(1200, 1200, dtype=torch.float64)
    with stop_requests(lambda: answered_s.append(time.monotonic())) as asked:
        sender = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
        started_s = time.monotonic()
        sender.start()
        torch.linalg.svd(matrix)
        ended_s = time.monotonic()
        assert asked()
    assert ended_s - started_s > 0.5, "the call is too short to show anything"
    assert answered_s[0] - started_s < 0.5 * (ended_s - started_s)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_signal_stops_at_once():
    answers = []
    with stop_requests(lambda: answers.append("stopping")) as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert answers == ["stopping"]


def test_without_a_signal_nothing_is_said_or_left():
    answers, threads = [], threading.active_count()
    with stop_requests(lambda: answers.append("stopping")) as asked:
        assert not asked()
    assert (answers, threading.active_count()) == ([], threads)


def interrupt_at_call(monkeypatch, owner, name, number):
    """Send a signal during the ``number``-th call (from 1) of a function; counts on over several trainings."""
    original, calls = getattr(owner, name), []

    def interrupted(*args):
        calls.append(name)
        if len(calls) == number:
            signal.raise_signal(signal.SIGINT)
        return original(*args)

    monkeypatch.setattr(owner, name, interrupted)


def assert_resumes_to_the_same_end(prepared, whole, folder):
    messages = []
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, *prepared, folder, watcher=Watcher(on_message=messages.append))
    assert messages == [STOPPING]
    resumed = train(RECIPE, *prepared, folder)
    expected, found = load_file(whole.weights_path), load_file(resumed.weights_path)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    histories = [
        [{key: value for key, value in entry.items() if key not in CLOCK} for entry in run.history()]
        for run in (whole, resumed)
    ]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("item", [1, 2, 3, 6, 8, 9, 16])
def test_a_stop_while_any_clip_is_loaded_changes_nothing(prepared, whole, tmp_path, monkeypatch, item):
    """Items are read inside a step, one by one: the 2nd and 3rd, for example, in different micro-batches of one.

    Before the first step, the eight clips of the training part are read once to standardise the head.
    """
    interrupt_at_call(monkeypatch, ItemReader, "frames", 8 + item)
    assert_resumes_to_the_same_end(prepared, whole, tmp_path / "run")


@pytest.mark.parametrize("video", [1, 5, 8, 9, 20])
def test_a_stop_while_any_video_is_validated_changes_nothing(prepared, whole, tmp_path, monkeypatch, video):
    """Two validations of 8 videos, and one more to calibrate."""
    interrupt_at_call(monkeypatch, evaluation, "score_stored_video", video)
    assert_resumes_to_the_same_end(prepared, whole, tmp_path / "run")
