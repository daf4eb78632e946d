"""Curves for TensorBoard, read back by TensorBoard: each step once, also after a stop and after a kill."""

import json
import shutil
import signal
from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.training.tensorboard import EPOCH_SCALARS, STEP_SCALARS, ScalarWriter
from stf_mamba.training.train import train
from stf_mamba.training.watcher import Watcher
from synthetic import FRAMES, synthetic_store

# Four steps an epoch: 8 clips in batches of 2.
RECIPE = Recipe(
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 32),
    data=DataRecipe(frames=FRAMES, batch_size=2, validation_fraction=0.5),
    phases=(PhaseRecipe(2, 1, 1e-4, 1e-3),),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return synthetic_store(tmp_path_factory.mktemp("clips"))


def curves(run_folder):
    """(step, value) points of every scalar, as TensorBoard shows them."""
    events = EventAccumulator(str(run_folder / "tensorboard"))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def without_clock(found):
    return {tag: points for tag, points in found.items() if tag != "step/clips_per_s"}


def test_curves_hold_every_step_and_epoch(prepared, tmp_path):
    reports = []
    run = train(RECIPE, *prepared, tmp_path / "run", watcher=Watcher(on_step=reports.append))
    found = curves(run.folder)
    assert set(found) == {*STEP_SCALARS, *EPOCH_SCALARS}
    assert found["step/loss"] == [(n + 1, pytest.approx(r.step_loss)) for n, r in enumerate(reports)]
    assert len(reports) == 8
    assert found["epoch/validation_auc"] == [
        (4 * (entry["epoch"] + 1), pytest.approx(entry["validation_auc"])) for entry in run.history()
    ]


def test_what_nothing_validated_has_no_curve(prepared, tmp_path):
    recipe = replace(RECIPE, data=replace(RECIPE.data, validation="folds"), phases=(PhaseRecipe(2, 0, 0.0, 1e-3),))
    run = train(recipe, *prepared, tmp_path / "run")
    found = curves(run.folder)
    assert set(found) == {*STEP_SCALARS, "epoch/train_loss"}
    assert len(found["epoch/train_loss"]) == 2


def test_a_run_that_was_stopped_or_killed_draws_the_same_curves(prepared, tmp_path):
    whole = train(RECIPE, *prepared, tmp_path / "whole")
    folder, saved = tmp_path / "run", tmp_path / "saved"

    def stop_at(step):
        def on_step(report):
            if report.steps_done == step:
                signal.raise_signal(signal.SIGINT)

        return Watcher(on_step=on_step)

    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, *prepared, folder, watcher=stop_at(3))
    shutil.copytree(folder, saved)
    with pytest.raises(KeyboardInterrupt):  # goes on to step 6, and then loses its state as after a kill
        train(RECIPE, *prepared, folder, watcher=stop_at(6))
    assert curves(folder)["step/loss"][-1][0] == 6
    for name in ("state.pt", "history.json"):
        shutil.copy(saved / name, folder / name)
    train(RECIPE, *prepared, folder)
    assert without_clock(curves(folder)) == without_clock(curves(whole.folder))


def test_a_later_file_has_a_later_name(tmp_path, monkeypatch):
    counter = event_file_writer.AtomicCounter(9)  # "9", then "10", which comes before it
    monkeypatch.setattr(event_file_writer, "_global_uid", counter)
    names = []
    for _ in range(2):
        ScalarWriter(tmp_path, 0, print).close()
        names.append({path.name for path in (tmp_path / "tensorboard").iterdir()})
    (first,) = names[0]
    (second,) = names[1] - names[0]
    assert (first[-2:], second[-3:]) == (".9", ".10")
    assert first < second


def test_without_tensorboard_one_message_says_how_to_get_them(prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    messages = []
    run = train(RECIPE, *prepared, tmp_path / "run", watcher=Watcher(on_message=messages.append))
    wanted = "TensorBoard is not installed, so no scalars are written: pip install 'stf-mamba[tensorboard]'"
    assert messages.count(wanted) == 1
    assert not (run.folder / "tensorboard").exists()
    assert len(json.loads((run.folder / "history.json").read_text())) == 2
