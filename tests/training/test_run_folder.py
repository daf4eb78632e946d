"""A run's folder by itself: begun once, refused to whoever means something else, and whole at every moment."""

import errno
from dataclasses import replace

import pytest
import torch

from stf_mamba.core.errors import RunError
from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.runs import Run
from stf_mamba.training import run_folder
from stf_mamba.training.run_folder import (
    Beginning,
    finish_folder,
    has_state,
    is_complete,
    open_folder,
    read_state,
    write_history,
    write_state,
    write_weights,
)
from synthetic import FRAMES, synthetic_store

CPU = torch.device("cpu")
PARAMETERS = (10, 4)
RECIPE = Recipe(
    name="tiny",
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 64),
    data=DataRecipe(frames=FRAMES, batch_size=2),
    phases=(PhaseRecipe(1, 0, 1e-4, 1e-3),),
)
HISTORY = [{"epoch": 0, "phase": 0, "train_loss": 0.5, "validation_loss": 0.6, "validation_auc": 0.7,
            "log_variance_gap": 0.1, "best": True}]  # fmt: skip


@pytest.fixture(scope="module")
def beginning(tmp_path_factory):
    """Two people train, one validates and one is kept back."""
    store, manifest = synthetic_store(tmp_path_factory.mktemp("clips"), people=4)
    ids = [entry.record.video_id for entry in manifest.entries]
    return Beginning(RECIPE, store, manifest, Split("mine", tuple(ids[:4]), tuple(ids[4:6]), tuple(ids[6:])))


def test_a_new_folder_is_a_run_that_can_be_read_back(beginning, tmp_path):
    run = open_folder(tmp_path / "a" / "run", beginning, CPU, PARAMETERS)
    assert (run.recipe, run.split) == (beginning.recipe, beginning.split)
    assert Run.load(run.folder) == run
    environment = run.environment
    assert (environment["parameters"], environment["trainable_parameters"]) == PARAMETERS
    assert environment["identities"] == ["s:0", "s:1", "s:2"]  # nobody of the part that is kept back
    assert len(environment["files_sha256"]) == 6
    assert (environment["complete"], is_complete(run.folder), has_state(run.folder)) == (False, False, False)
    assert read_state(run.folder) is None


def test_a_folder_without_a_state_is_begun_anew_by_another_recipe(beginning, tmp_path):
    open_folder(tmp_path, beginning, CPU, PARAMETERS)
    other = replace(beginning, recipe=replace(RECIPE, seed=7))
    assert Run.load(open_folder(tmp_path, other, CPU, PARAMETERS).folder).recipe.seed == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": replace(RECIPE, seed=7)}, "recipe"),
        ({"split": Split("other", ("synthetic/real/000-0",), ())}, "split"),
        ({"token_storage": "float16"}, "cache storage"),
        ({"recipe": replace(RECIPE, seed=7), "token_storage": "float16"}, "recipe and cache storage"),
    ],
)
def test_a_run_with_a_state_is_not_taken_over(beginning, tmp_path, changes, words):
    open_folder(tmp_path, beginning, CPU, PARAMETERS)
    write_state(tmp_path, {"step": 1})
    with pytest.raises(RunError, match=f"holds a run with another {words}; choose another --out"):
        open_folder(tmp_path, replace(beginning, **changes), CPU, PARAMETERS)
    assert open_folder(tmp_path, beginning, CPU, PARAMETERS).recipe == RECIPE


def test_somebody_elses_folder_is_refused_and_kept(beginning, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match=r"holds thesis\.txt and is no training run"):
        open_folder(tmp_path, beginning, CPU, PARAMETERS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_is_written_is_read_back_and_a_damaged_state_is_named(beginning, tmp_path):
    run = open_folder(tmp_path, beginning, CPU, PARAMETERS)
    state = {"step": 3, "model": {"weight": torch.arange(4.0)}}
    write_state(tmp_path, state)
    found = read_state(tmp_path)
    assert found["step"] == 3
    assert torch.equal(found["model"]["weight"], state["model"]["weight"])
    write_history(tmp_path, HISTORY)
    write_weights(tmp_path, state["model"])
    assert list(run.history()) == HISTORY
    (tmp_path / "state.pt").write_bytes((tmp_path / "state.pt").read_bytes()[:-50])
    with pytest.raises(RunError, match=r"cannot read .*state\.pt: .*; remove .* and train again"):
        read_state(tmp_path)


def test_a_full_disk_keeps_the_old_state(beginning, tmp_path, monkeypatch):
    open_folder(tmp_path, beginning, CPU, PARAMETERS)
    write_state(tmp_path, {"step": 1})

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_folder, "write_bytes_atomically", full)
    with pytest.raises(RunError, match="what was saved before is kept"):
        write_state(tmp_path, {"step": 2})
    assert read_state(tmp_path) == {"step": 1}


def test_a_finished_run_says_so_and_has_its_curves(beginning, tmp_path):
    run = finish_folder(open_folder(tmp_path, beginning, CPU, PARAMETERS), None, HISTORY)
    assert run.is_complete
    assert Run.load(tmp_path).is_complete
    assert is_complete(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "calibration.json").exists()
    with pytest.raises(RunError, match="another recipe"):  # complete, though nothing is left to continue from
        open_folder(tmp_path, replace(beginning, recipe=replace(RECIPE, seed=7)), CPU, PARAMETERS)
