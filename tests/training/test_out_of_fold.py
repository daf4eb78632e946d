"""Every video trains: each is scored out of fold, by a model that saw nobody in it, and these scores calibrate."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stf_mamba.core.errors import DatasetError, LeakError, RunError, WeightsError
from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, HeadRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.core.records import FAKE, REAL, VideoRecord
from stf_mamba.datasets.splits import identity_disjoint_split
from stf_mamba.evaluation.evaluate import evaluate
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.runs import Run
from stf_mamba.models.encoders.registry import build_encoder
from stf_mamba.models.encoders.vit import VitEncoder
from stf_mamba.models.weights.loading import save_state_dict
from stf_mamba.training.cache.cached_items import CachePlace
from stf_mamba.training.crossvalidation import CrossValidationOptions, cross_validate
from stf_mamba.training.fold_plan import validation_folds
from stf_mamba.training.parts import TrainingOptions
from stf_mamba.training.train import train
from stf_mamba.training.watcher import Watcher
from synthetic import FRAMES, synthetic_store

RECIPE = Recipe(
    name="every video",
    encoder=EncoderRecipe("vit_miniature", 0),
    temporal=TemporalRecipe("none", 0),
    head=HeadRecipe("standardised_content"),
    data=DataRecipe(frames=FRAMES, batch_size=4, validation="folds", validation_fraction=0.5, views=1),
    phases=(PhaseRecipe(2, 0, 0.0, 1e-3),),
)
SCRATCH = TrainingOptions(from_scratch=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return synthetic_store(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory) -> Run:
    return train(RECIPE, *prepared, tmp_path_factory.mktemp("runs") / "run", SCRATCH)


def records(manifest) -> dict[str, VideoRecord]:
    return {entry.record.video_id: entry.record for entry in manifest.entries}


def people_of(manifest, video_ids) -> set[str]:
    by_id = records(manifest)
    return {person for video_id in video_ids for person in by_id[video_id].identities}


def test_every_video_trains_and_is_scored_by_a_model_that_saw_nobody_in_it(prepared, finished):
    store, manifest = prepared
    everything = set(records(manifest))
    assert finished.is_complete
    assert set(finished.split.train) == everything
    assert finished.split.validation == ()
    scores = {row.video_id: row.score for row in finished.out_of_fold().rows}
    assert set(scores) == everything
    held_out = []
    for fold in (1, 2):
        run = Run.load(finished.folder / "folds" / f"fold-{fold}")
        assert not people_of(manifest, run.split.train) & people_of(manifest, run.split.test)
        assert not (run.folder / "state.pt").exists()
        held_out += run.split.test
        again = evaluate(run, store, manifest, part="test")  # by another way to the same model and videos
        for row in again.rows:
            assert row.score == pytest.approx(scores[row.video_id], abs=1e-5)
    assert sorted(held_out) == sorted(everything)


def test_the_kept_weights_are_the_last_epochs_and_the_calibration_is_of_the_out_of_fold_scores(finished):
    state = torch.load(finished.folder / "state.pt", weights_only=True)
    kept = load_file(finished.weights_path)
    assert all(torch.equal(state["model"][name], value) for name, value in kept.items())
    calibration = finished.calibration()
    assert calibration.n_real + calibration.n_fake == len(finished.split.train)
    assert calibration.source == "out-of-fold scores of 16 training videos of synthetic"
    assert [entry["validation_auc"] for entry in finished.history()] == [None, None]
    assert [entry["best"] for entry in finished.history()] == [False, True]
    assert (finished.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_finished_is_not_done_again(prepared, finished):
    messages: list[str] = []
    run = train(RECIPE, *prepared, finished.folder, SCRATCH, watcher=Watcher(on_message=messages.append))
    assert run.is_complete
    assert messages == [f"{run.folder} is complete already; nothing to train"]


def test_a_run_tells_which_of_its_trainings_begins_and_how_long_each_takes(prepared, tmp_path):
    events: list[object] = []
    watcher = Watcher(
        on_step=lambda report: events.append(report),
        on_training=lambda number, trainings: events.append((number, trainings)),
    )
    train(RECIPE, *prepared, tmp_path / "run", SCRATCH, watcher=watcher)
    assert [event for event in events if isinstance(event, tuple)] == [(1, 3), (2, 3), (3, 3)]
    steps = [event for event in events if not isinstance(event, tuple)]
    assert all(step.training_s == pytest.approx(8 * step.step_s) for step in steps[-8:])  # two epochs of four steps
    assert steps[-1].left_s == pytest.approx(0.0, abs=1e-2)


def test_seen_people_are_refused_and_the_out_of_fold_scores_pointed_to(prepared, finished):
    with pytest.raises(LeakError, match=r"out-of-fold\.csv"):
        evaluate(finished, *prepared)


def test_a_stop_in_the_second_fold_changes_nothing(prepared, finished, tmp_path):
    messages: list[str] = []

    def stop(report) -> None:
        if "fold 2" in messages[-1] and report.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    watcher = Watcher(on_message=messages.append, on_step=stop)
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, *prepared, tmp_path / "run", SCRATCH, watcher=watcher)
    first = tmp_path / "run/folds/fold-1/weights.safetensors"
    written = first.stat().st_mtime_ns
    messages.clear()
    run = train(RECIPE, *prepared, tmp_path / "run", SCRATCH, watcher=Watcher(on_message=messages.append))
    assert first.stat().st_mtime_ns == written
    assert any("continuing" in message and "fold-2" in message for message in messages)
    assert any("training on all 16" in message for message in messages)
    assert run.weights_path.read_bytes() == finished.weights_path.read_bytes()
    assert run.out_of_fold() == finished.out_of_fold()
    assert run.calibration() == finished.calibration()


def stopped_after_the_folds(finished: Run, place: Path) -> Path:
    """A copy of the run as it is when every fold is scored and the training of all videos has not begun."""
    shutil.copytree(finished.folder, place)
    for name in ("state.pt", "weights.safetensors", "history.json", "calibration.json", "curves.png"):
        (place / name).unlink()
    environment = json.loads((place / "environment.json").read_text())
    (place / "environment.json").write_text(json.dumps({**environment, "complete": False}))
    return place


def test_finished_folds_are_continued_from(prepared, finished, tmp_path):
    place = stopped_after_the_folds(finished, tmp_path / "run")
    (place / "out-of-fold.csv").unlink()
    steps: list[int] = []
    watcher = Watcher(on_step=lambda report: steps.append(report.step))
    run = train(RECIPE, *prepared, place, SCRATCH, watcher=watcher)
    assert len(steps) == 2 * 4  # two epochs of sixteen clips: nothing but the training of all videos
    assert run.out_of_fold() == finished.out_of_fold()
    assert run.weights_path.read_bytes() == finished.weights_path.read_bytes()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (replace(RECIPE, seed=7), "another recipe and split|another recipe"),
        (replace(RECIPE, phases=(PhaseRecipe(1, 0, 0.0, 1e-3),)), "another recipe"),
        (replace(RECIPE, data=replace(RECIPE.data, validation="part")), "another recipe"),
    ],
)
def test_another_recipe_takes_over_neither_the_run_nor_its_folds(prepared, finished, tmp_path, changed, words):
    place = stopped_after_the_folds(finished, tmp_path / "run")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    for folder in (finished.folder, place):
        with pytest.raises(RunError, match=words):
            train(changed, *prepared, folder, SCRATCH)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_scores_of_other_weights_are_not_believed(prepared, finished, tmp_path):
    place = stopped_after_the_folds(finished, tmp_path / "run")
    for name in ("weights.safetensors", "predictions.csv"):
        first, second = (place / f"folds/fold-{fold}" / name for fold in (1, 2))
        if name == "predictions.csv":
            shutil.copy(second, first)
    with pytest.raises(RunError, match="not made by the weights beside it"):
        train(RECIPE, *prepared, place, SCRATCH)


def test_scores_that_are_gone_are_not_made_up(prepared, finished, tmp_path):
    place = tmp_path / "run"
    shutil.copytree(finished.folder, place)
    (place / "out-of-fold.csv").unlink()
    environment = json.loads((place / "environment.json").read_text())
    (place / "environment.json").write_text(json.dumps({**environment, "complete": False}))
    with pytest.raises(RunError, match="is missing, on which this run is calibrated"):
        train(RECIPE, *prepared, place, SCRATCH)


def test_a_fold_does_not_start_from_random_values_where_weights_are_meant(prepared, tmp_path):
    recipe = replace(RECIPE, encoder=EncoderRecipe("vit_tiny16", 0, blocks=1))
    weights = tmp_path / "encoder.safetensors"
    save_state_dict(build_encoder(EncoderRecipe("vit_tiny16", 0)).network.state_dict(), weights)
    messages: list[str] = []

    def stop(report) -> None:
        if "fold 2" in messages[-1]:
            signal.raise_signal(signal.SIGINT)

    watcher = Watcher(on_message=messages.append, on_step=stop)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, *prepared, tmp_path / "run", TrainingOptions(weights), watcher=watcher)
    shutil.rmtree(tmp_path / "run/folds/fold-2")  # not begun yet
    with pytest.raises(WeightsError, match="none were given"):
        train(recipe, *prepared, tmp_path / "run")
    with pytest.raises(RunError, match="another encoder weights file"):
        train(recipe, *prepared, tmp_path / "run", SCRATCH)
    run = train(recipe, *prepared, tmp_path / "run", TrainingOptions(weights))
    hashes = [Run.load(place).environment["encoder_weights_sha256"] for place in (run.folder / "folds").iterdir()]
    assert hashes == [run.environment["encoder_weights_sha256"]] * 2


def test_a_file_under_two_names_is_not_trained_and_scored(prepared, finished, tmp_path):
    store, manifest = prepared
    fold = Run.load(finished.folder / "folds/fold-1").split
    files = {entry.record.video_id: entry.sha256 for entry in manifest.entries}
    entries = [
        replace(entry, sha256=files[fold.test[0]]) if entry.record.video_id == fold.train[0] else entry
        for entry in manifest.entries
    ]
    with pytest.raises(LeakError, match="file"):
        train(RECIPE, store, replace(manifest, entries=tuple(entries)), tmp_path / "run", SCRATCH)
    assert not (tmp_path / "run").exists()


def test_too_many_folds_are_refused_before_anything_is_written(prepared, tmp_path):
    recipe = replace(RECIPE, data=replace(RECIPE.data, validation_fraction=0.05))
    with pytest.raises(DatasetError, match=r"larger data\.validation_fraction \(is 0\.05\)"):
        train(recipe, *prepared, tmp_path / "run", SCRATCH)
    assert not (tmp_path / "run").exists()
    with pytest.raises(DatasetError, match=r"larger data\.validation_fraction"):
        cross_validate(recipe, *prepared, tmp_path / "cv", CrossValidationOptions(2), SCRATCH)
    assert not (tmp_path / "cv").exists()


def test_no_epoch_is_chosen_where_nothing_validates(prepared, tmp_path):
    with pytest.raises(ValueError, match="keeps the last epoch"):
        cross_validate(RECIPE, *prepared, tmp_path / "cv", CrossValidationOptions(2, select="best"), SCRATCH)


def test_a_cache_changes_nothing(prepared, finished, tmp_path):
    cached = replace(SCRATCH, cache=CachePlace(tmp_path / "cache"))
    run = train(RECIPE, *prepared, tmp_path / "run", cached)
    assert run.weights_path.read_bytes() == finished.weights_path.read_bytes()
    assert [row.score for row in run.out_of_fold().rows] == pytest.approx(
        [row.score for row in finished.out_of_fold().rows], abs=1e-5
    )


def test_a_given_split_keeps_its_other_parts_unseen(prepared, tmp_path):
    _, manifest = prepared
    split = identity_disjoint_split(records(manifest).values(), 0.25, 0.25)
    run = train(RECIPE, *prepared, tmp_path / "run", SCRATCH, split)
    assert {row.video_id for row in run.out_of_fold().rows} == set(split.train)
    for fold in (1, 2):
        of_fold = Run.load(run.folder / "folds" / f"fold-{fold}").split
        assert {*of_fold.train, *of_fold.test} == set(split.train)
    with pytest.raises(LeakError, match="--part validation"):
        evaluate(run, *prepared, part="all")
    predictions = evaluate(run, *prepared, part="validation")
    assert {row.video_id for row in predictions.rows} == set(split.validation)
    assert predictions.stamp["selected_on"] == "nothing, the last epoch"


def test_cross_validation_holds_people_out_of_the_folds_within_as_well(prepared, tmp_path):
    _, manifest = prepared
    result = cross_validate(RECIPE, *prepared, tmp_path / "cv", CrossValidationOptions(2, resamples=50), SCRATCH)
    assert result.summary.select == "last"
    for fold in (1, 2):
        folder = tmp_path / f"cv/seed-42/fold-{fold}"
        tested = people_of(manifest, [row.video_id for row in Predictions.load(folder / "predictions.csv").rows])
        scored_inside = {row.video_id for row in Predictions.load(folder / "validation.csv").rows}
        assert scored_inside == set(Run.load(folder / "run").split.train)
        runs = [folder / "run", *(folder / "run/folds").iterdir()]
        assert len(runs) == 3
        for place in runs:
            seen = set(json.loads((place / "environment.json").read_text())["identities"])
            assert seen
            assert not seen & tested


def test_folds_hold_out_components_where_they_are_small_and_people_where_they_are_not():
    def video(name: str, label: int, *people: str) -> VideoRecord:
        return VideoRecord(name, Path(name), label, people, None)

    apart = [video(f"{n}-{label}", label, f"p{n}") for n in range(6) for label in (REAL, FAKE)]
    for split in validation_folds(apart, 3, 1):
        assert len(split.test) == 4
        assert len(split.train) == 8
    donors = [(n, n // 2) for n in range(8)] + [(1, 1), (3, 2), (5, 3)]  # a chain that links all eight people
    linked = [video(f"{n}-{FAKE}-{donor}", FAKE, f"p{n}", f"d{donor}") for n, donor in donors]
    linked += [video(f"{n}-{REAL}", REAL, f"p{n}") for n in range(8)]
    people = {record.video_id: set(record.identities) for record in linked}
    held_out = []
    for split in validation_folds(linked, 2, 1):
        assert not set().union(*(people[i] for i in split.train)) & set().union(*(people[i] for i in split.test))
        held_out += split.test
    assert sorted(held_out) == sorted(people)
    with pytest.raises(DatasetError, match="both"):
        validation_folds(apart[:2], 2, 1)


def test_relations_are_computed_once_a_clip_without_asking(prepared, tmp_path, monkeypatch):
    seen: list[int] = []
    relations = VitEncoder._relations

    def counted(self, frames):
        if len(frames) > 1:  # a single one tells how large they will be
            seen.append(len(frames))
        return relations(self, frames)

    monkeypatch.setattr(VitEncoder, "_relations", counted)
    encoder = EncoderRecipe("vit_miniature", 0, token="relations")
    run = train(replace(RECIPE, encoder=encoder), *prepared, tmp_path / "run", SCRATCH)
    assert (run.folder / "cache").is_dir()
    assert sum(seen) == 2 * 16 * FRAMES  # once as they train, in their one view, and once as they are stored
    seen.clear()
    other = replace(RECIPE, encoder=encoder, data=replace(RECIPE.data, views=None))  # a new view in every epoch
    run = train(other, *prepared, tmp_path / "other", SCRATCH)
    assert not (run.folder / "cache").exists()
    assert sum(seen) > 2 * 16 * FRAMES
