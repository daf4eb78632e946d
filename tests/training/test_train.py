"""The loop: its rates, its phases, what it learns, and that a stop changes nothing."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from stf_mamba.core import distributed
from stf_mamba.core.errors import DatasetError, LeakError, RunError, UsageError, WeightsError
from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, HeadRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.evaluate import evaluate
from stf_mamba.evaluation.metrics import auc
from stf_mamba.evaluation.runs import Run
from stf_mamba.models.clip_detector import build_detector
from stf_mamba.training.items import batches_of_epoch
from stf_mamba.training.optimisation import parameter_groups, rate_factor
from stf_mamba.training.parts import TrainingOptions
from stf_mamba.training.train import train
from stf_mamba.training.watcher import Watcher
from synthetic import FRAMES, synthetic_store

# What may differ between two runs that compute the same.
CLOCK = ("clips_per_s", "seconds", "validation_seconds")

RECIPE = Recipe(
    name="tiny",
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 64),
    data=DataRecipe(frames=FRAMES, batch_size=5, validation_fraction=0.5),
    phases=(PhaseRecipe(3, 1, 1e-4, 1e-3),),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return synthetic_store(tmp_path_factory.mktemp("clips"))


def test_rates_equal_torchs_own_schedulers():
    warmup, steps = 6, 40
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    linear = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / warmup, 1.0, warmup - 1)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps - warmup)
    reference = []
    for step in range(steps):
        reference.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if step < warmup - 1:
            linear.step()
        elif step >= warmup:
            cosine.step()
    assert [rate_factor(step, warmup, steps) for step in range(steps)] == pytest.approx(reference)


def test_groups_hold_every_trained_parameter_once_at_its_rate():
    model = build_detector(RECIPE)
    groups = parameter_groups(model, PhaseRecipe(encoder_lr=5e-6, head_lr=1e-4), 1e-4)
    seen = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(seen) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    encoder = {id(parameter) for parameter in model.encoder.parameters()}
    for group in groups:
        for parameter in group["params"]:
            assert group["base_lr"] == (5e-6 if id(parameter) in encoder else 1e-4)
            assert group["weight_decay"] == (1e-4 if parameter.ndim >= 2 else 0)


def test_an_epoch_shows_each_clip_once():
    batches = batches_of_epoch(23, 5, seed=1)
    assert sorted(index for batch in batches for index in batch) == list(range(23))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert batches != batches_of_epoch(23, 5, seed=2)


def test_learns_flicker_and_keeps_the_best_epoch(prepared, tmp_path):
    run = train(RECIPE, *prepared, tmp_path / "run")
    assert run.is_complete
    history = run.history()
    best = max(history, key=lambda entry: (entry["validation_auc"], -entry["validation_loss"]))
    assert [entry for entry in history if entry["best"]][-1] == best
    predictions = evaluate(run, *prepared, part="validation")
    assert auc(predictions).value == pytest.approx(best["validation_auc"])
    assert best["validation_auc"] > 0.9
    assert predictions.stamp["weights_sha256"] == run.weights_sha256()
    assert (run.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_content_head_is_standardised_on_the_training_clips_alone(prepared, tmp_path):
    store, manifest = prepared
    recipe = replace(RECIPE, head=HeadRecipe("standardised_content"), phases=(PhaseRecipe(1, 0, 0.0, 1e-9),))
    run = train(recipe, *prepared, tmp_path / "run")
    model = build_detector(recipe)
    videos = {entry.record.video_id: entry.sha256 for entry in manifest.entries}
    measured = []
    for video_id in run.split.train:
        for clip in store.video(videos[video_id]).clips:
            frames = torch.from_numpy(store.frames(videos[video_id], clip).copy()).permute(0, 3, 1, 2)
            measured.append(model.head.measured(model.mixed(model.embeddings(frames[None]))))
    measured = torch.cat(measured).detach()
    trained = run.model(torch.device("cpu")).head
    torch.testing.assert_close(trained.centre, measured.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(trained.scale, measured.std(0, correction=0), atol=1e-4, rtol=1e-3)


def test_a_stop_in_the_middle_of_an_epoch_changes_nothing(prepared, tmp_path):
    import signal

    whole = train(RECIPE, *prepared, tmp_path / "whole")

    def stop_once(report):
        if (report.epoch, report.step) == (1, 1):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, *prepared, tmp_path / "stopped", watcher=Watcher(on_step=stop_once))
    assert not Run.load(tmp_path / "stopped").is_complete
    messages = []
    resumed = train(RECIPE, *prepared, tmp_path / "stopped", watcher=Watcher(on_message=messages.append))
    assert messages == [f"continuing {tmp_path / 'stopped'} at epoch 2, step 2"]
    for name, tensor in load_file(whole.weights_path).items():
        assert torch.equal(tensor, load_file(resumed.weights_path)[name]), name
    timeless = [
        [{k: v for k, v in entry.items() if k not in CLOCK} for entry in run.history()] for run in (whole, resumed)
    ]
    assert timeless[0] == timeless[1]


def test_phases_freeze_and_release_the_encoder(prepared, tmp_path):
    recipe = replace(RECIPE, phases=(PhaseRecipe(1, 0, 0.0, 1e-3), PhaseRecipe(1, 0, 1e-3, 1e-4)))
    states = []

    def keep(report):
        states.append(torch.load(tmp_path / "run" / "state.pt", weights_only=True)["model"])

    run = train(recipe, *prepared, tmp_path / "run", watcher=Watcher(on_epoch=keep))
    assert [entry["phase"] for entry in run.history()] == [0, 1]
    start = build_detector(recipe).state_dict()
    name = "encoder.network.blocks.3.mlp.fc1.weight"
    assert torch.equal(states[0][name], start[name])
    assert not torch.equal(states[0]["projection.0.weight"], start["projection.0.weight"])
    assert not torch.equal(states[1][name], start[name])
    assert torch.equal(
        states[1]["encoder.network.blocks.0.mlp.fc1.weight"], start["encoder.network.blocks.0.mlp.fc1.weight"]
    )


def test_a_split_that_shares_people_is_refused(prepared, tmp_path):
    ids = [entry.record.video_id for entry in prepared[1].entries]
    with pytest.raises(LeakError, match="s:0"):
        train(RECIPE, *prepared, tmp_path / "run", split=Split("leaky", tuple(ids[::2]), tuple(ids[1::2])))
    assert not (tmp_path / "run").exists()


def test_one_class_is_refused(prepared, tmp_path):
    ids = [entry.record.video_id for entry in prepared[1].entries]
    reals_train = tuple(ids[0:8:2])
    with pytest.raises(DatasetError, match="4 real and 0 fake"):
        train(RECIPE, *prepared, tmp_path / "run", split=Split("one class", reals_train, tuple(ids[8:])))


def test_validation_needs_both_classes(prepared, tmp_path):
    ids = [entry.record.video_id for entry in prepared[1].entries]
    with pytest.raises(DatasetError, match="validation has 4 real and 0 fake videos with clips"):
        train(RECIPE, *prepared, tmp_path / "run", split=Split("one class", tuple(ids[8:]), tuple(ids[0:8:2])))


def test_more_frames_than_the_clips_have_are_refused_before_anything_is_written(prepared, tmp_path):
    recipe = replace(RECIPE, data=replace(RECIPE.data, frames=FRAMES + 1))
    with pytest.raises(UsageError, match="prepare clips with --frames 5"):
        train(recipe, *prepared, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_crops_of_another_size_are_refused_before_anything_is_written(prepared, tmp_path):
    recipe = replace(RECIPE, encoder=EncoderRecipe("efficientnet_b4_sbi", 0))
    with pytest.raises(UsageError, match=r"takes crops of 380 × 380 px, got \(224, 224\); prepare .* --size 380"):
        train(recipe, *prepared, tmp_path / "run", TrainingOptions(from_scratch=True))
    assert not (tmp_path / "run").exists()


def test_a_gradient_that_is_not_finite_leaves_a_clean_state(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", lambda parameters, largest: torch.tensor(float("nan")))
    with pytest.raises(RunError, match="the gradient's norm is nan"):
        train(RECIPE, *prepared, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert (state["epoch"], state["step"]) == (0, 0)
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_another_recipe_does_not_take_over_a_run(prepared, tmp_path):
    train(replace(RECIPE, phases=(PhaseRecipe(1, 0),)), *prepared, tmp_path / "run")
    with pytest.raises(RunError, match="another recipe; choose another --out"):
        train(RECIPE, *prepared, tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match=r"holds thesis\.txt and is no training run"):
        train(RECIPE, *prepared, tmp_path / "other")


def test_two_trainings_of_one_folder_do_not_meet(prepared, tmp_path):
    refusals = []

    def train_there_too(report):
        with pytest.raises(
            RunError, match=r"run is in use by process .* wait until it ends, stop it, or choose"
        ) as told:
            train(RECIPE, *prepared, tmp_path / "run")
        refusals.append(told)

    recipe = replace(RECIPE, phases=(PhaseRecipe(1, 0),))
    run = train(recipe, *prepared, tmp_path / "run", watcher=Watcher(on_epoch=train_there_too))
    assert len(refusals) == 1
    assert run.is_complete
    assert not (run.folder / ".lock").exists()


def test_processes_end_together_where_the_main_one_finds_the_folder_in_use(prepared, tmp_path, monkeypatch):
    """Seen from the second process, which holds nothing and leaves the message to the first."""
    monkeypatch.setattr(distributed, "is_main", lambda: False)
    monkeypatch.setattr(distributed, "gather", lambda refused: {"0": True, **refused})
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    with pytest.raises(SystemExit) as ended:
        train(RECIPE, *prepared, tmp_path / "run")
    assert ended.value.code == 1
    assert not (tmp_path / "run").exists()


def test_a_pretrained_encoder_wants_its_weights(prepared, tmp_path):
    recipe = replace(RECIPE, encoder=EncoderRecipe("vit_tiny16", 1))
    with pytest.raises(WeightsError, match="--weights FILE, or start from random values with --from-scratch"):
        train(recipe, *prepared, tmp_path / "run")


def test_a_loss_that_explodes_stops_with_the_state_kept(prepared, tmp_path):
    recipe = replace(RECIPE, phases=(PhaseRecipe(3, 0, 1e20, 1e20),))
    with pytest.raises(RunError, match=r"training diverged at epoch 1, step [2-9].*last state before it is kept"):
        train(recipe, *prepared, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert (state["epoch"], state["step"]) == (0, 0)
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_people_seen_in_training_are_not_evaluated_as_unseen(prepared, tmp_path):
    run = train(replace(RECIPE, phases=(PhaseRecipe(1, 0),)), *prepared, tmp_path / "run")
    with pytest.raises(LeakError, match="16 of 16 videos"):
        evaluate(run, *prepared, part="all")
    environment = json.loads((run.folder / "environment.json").read_text())
    total = sum(p.numel() for p in build_detector(RECIPE).parameters())
    assert environment["parameters"] == total
