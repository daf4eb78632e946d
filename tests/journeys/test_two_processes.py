"""``torchrun``: two processes are as good as one, and as hard to kill."""

import json
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from terminal import TIMEOUT_S, TORCHRUN, children, partial_files, run, started, stf, wait_until

from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.models.encoders.vit import VitEncoder
from stf_mamba.training.cache.cached_items import CachePlace
from stf_mamba.training.parts import TrainingOptions
from stf_mamba.training.train import train
from synthetic import FRAMES, synthetic_store

EPOCHS = 8

# Eleven training clips, four real and seven fake: batches of 5, 5 and 1, so that the second process has parts of two
# clips, two clips and none; and micro-batches of 2 and 1.
RECIPE = Recipe(
    name="two processes",
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 64),
    data=DataRecipe(frames=FRAMES, batch_size=5, micro_batch=2),
    phases=(PhaseRecipe(EPOCHS, 1, 1e-4, 1e-3),),
)
TOGETHER = (*TORCHRUN, "--standalone", "--nproc-per-node", 2, "-m", "stf_mamba")
CLOCK = ("clips_per_s", "seconds", "validation_seconds")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Clips, split and recipe on disk, and the command that trains on them but for ``--out``."""
    folder = tmp_path_factory.mktemp("prepared")
    store, manifest = synthetic_store(folder / "clips", people=10)
    ids = [entry.record.video_id for entry in manifest.entries]  # real and fake in turn, two of each person
    split = Split("uneven", (*ids[0:8], ids[9], ids[11], ids[13]), tuple(ids[14:]))
    split.save(folder / "split.json")
    RECIPE.save(folder / "recipe.toml")
    command = ("train", folder / "recipe.toml", "--clips", folder / "clips", "--split", folder / "split.json")
    return store, manifest, split, command


@pytest.fixture(scope="module")
def together(prepared, tmp_path_factory):
    """What two undisturbed processes trained."""
    folder = tmp_path_factory.mktemp("together") / "run"
    finished = run([*TOGETHER, *prepared[3], "--out", folder])
    assert finished.exit_code == 0, finished.stderr
    assert json.loads((folder / "environment.json").read_text())["processes"] == 2
    # One process speaks and writes for both.
    assert len(list((folder / "tensorboard").iterdir())) == 1
    assert len(finished.stdout.splitlines()) == 1
    assert finished.stderr.count(f"epoch   1/{EPOCHS}  loss") == 1
    assert partial_files(folder) == []
    return folder


def test_two_processes_fill_one_cache_and_score_out_of_fold_as_one_does(prepared, tmp_path, monkeypatch):
    store, manifest, _, command = prepared
    data = replace(RECIPE.data, views=1, validation="folds", validation_fraction=0.5)
    recipe = replace(RECIPE, data=data, phases=(PhaseRecipe(1, 0, 1e-4, 1e-3),))
    recipe.save(tmp_path / "recipe.toml")
    cached = ("--cache", tmp_path / "cache", "--out", tmp_path / "run")
    finished = run([*TOGETHER, "train", tmp_path / "recipe.toml", *command[2:4], *cached])
    assert finished.exit_code == 0, finished.stderr
    monkeypatch.setattr(VitEncoder, "prefix", None)  # what one process of its own would miss, it could not compute
    options = TrainingOptions(device="cpu", cache=CachePlace(tmp_path / "cache"))
    alone = train(recipe, store, manifest, tmp_path / "alone", options)
    losses = [[entry["train_loss"] for entry in history(folder)] for folder in (tmp_path / "run", alone.folder)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    found, expected = (Predictions.load(folder / "out-of-fold.csv").rows for folder in (tmp_path / "run", alone.folder))
    assert [row.video_id for row in found] == [row.video_id for row in expected]
    assert len(found) == len(manifest.entries)
    assert [row.score for row in found] == pytest.approx([row.score for row in expected], rel=1e-2, abs=1e-2)


def last_weights(folder):
    return torch.load(folder / "state.pt", weights_only=True)["model"]


def history(folder):
    path = folder / "history.json"
    entries = json.loads(path.read_text()) if path.is_file() else []
    return [{key: value for key, value in entry.items() if key not in CLOCK} for entry in entries]


def distance(first, second):
    return sum(float((first[name].double() - second[name].double()).square().sum()) for name in first) ** 0.5


def test_the_same_losses_and_weights_as_one_process(prepared, together, tmp_path):
    store, manifest, split, _ = prepared
    torch.set_num_threads(1)
    alone = train(RECIPE, store, manifest, tmp_path / "alone", TrainingOptions(device="cpu"), split).folder
    # One process with other micro-batches adds up in another order too: what two processes may differ by.
    whole = replace(RECIPE, data=replace(RECIPE.data, micro_batch=None))
    other = train(whole, store, manifest, tmp_path / "other", TrainingOptions(device="cpu"), split).folder
    unweighted = replace(RECIPE, data=replace(RECIPE.data, balance=False))
    wrong = train(unweighted, store, manifest, tmp_path / "wrong", TrainingOptions(device="cpu"), split).folder
    reference, found = last_weights(alone), last_weights(together)
    rounding, deviation = distance(reference, last_weights(other)), distance(reference, found)
    assert 0 < deviation < 10 * rounding
    assert deviation < 0.02 * distance(reference, last_weights(wrong)), "a mistake in the weights would not show"
    for entry, expected in zip(history(together), history(alone), strict=True):
        for key in ("train_loss", "validation_loss", "log_variance_gap"):
            assert entry[key] == pytest.approx(expected[key], rel=1e-3), (entry["epoch"], key)


def test_processes_that_were_killed_and_then_stopped_resume_bit_for_bit(prepared, together, tmp_path):
    folder = tmp_path / "run"
    command = [*TOGETHER, *prepared[3], "--out", folder]
    with started(command) as process:
        wait_until(lambda: len(history(folder)) >= 1, process)
        workers = children(process)
        assert len(workers) == 2
        for worker in workers:  # torchrun gives each a session of its own, so that its group does not hold them
            os.kill(worker, signal.SIGKILL)
        process.kill()
        process.wait()
    killed = len(history(folder))
    assert 1 <= killed < EPOCHS - 1
    with started(command) as process:
        wait_until(lambda: len(history(folder)) > killed, process)
        os.kill(process.pid, signal.SIGINT)  # torchrun passes it on
        _, stderr = process.communicate(timeout=TIMEOUT_S)  # torchrun itself ends with a traceback
    assert f"continuing {folder} at epoch" in stderr
    assert "stopping after this step" in stderr
    assert killed < len(history(folder)) < EPOCHS
    again = run(command)
    assert again.exit_code == 0, again.stderr
    assert f"continuing {folder} at epoch" in again.stderr
    expected, found = last_weights(together), last_weights(folder)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    expected, found = (load_file(place / "weights.safetensors") for place in (together, folder))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert history(folder) == history(together)


def test_an_evaluation_is_shared_out_and_told_once(prepared, together, tmp_path):
    alone, both = tmp_path / "alone.csv", tmp_path / "both.csv"
    _, _, split, command = prepared
    folder = shutil.copytree(together, tmp_path / "run")
    arguments = ("evaluate", folder, *command[2:4], "--part", "validation", "--json", "--out")
    expected = stf(*arguments, alone)
    finished = run([*TOGETHER, *arguments, both])
    assert (expected.exit_code, finished.exit_code) == (0, 0), finished.stderr
    rows = Predictions.load(alone).rows
    assert len(rows) == len(split.validation)
    assert Predictions.load(both).rows == rows
    told = json.loads(finished.stdout)  # one document
    assert told == json.loads(expected.stdout) | {"predictions": str(both)}
    (bar,) = [line for line in finished.stderr.splitlines() if "scoring" in line]
    assert f"{len(rows)}/{len(rows)} videos" in bar
    last_of = {rows[number].video_id for number in (-1, -2)}  # each process scored every second video
    (shown,) = [video_id for video_id in last_of if video_id in bar]
    assert shown == rows[(len(rows) - 1) // 2 * 2].video_id
