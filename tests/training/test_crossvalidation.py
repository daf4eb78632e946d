"""Folds that never meet, trainings that are not repeated, and figures of held-out videos only."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from stf_mamba.clips.records import Manifest, ManifestEntry, StoredVideo
from stf_mamba.core.errors import DatasetError, LeakError, RunError, WeightsError
from stf_mamba.core.locks import sole_use
from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.core.records import FAKE, REAL, VideoRecord
from stf_mamba.core.seeds import derive_seed
from stf_mamba.evaluation.evaluate import evaluate
from stf_mamba.evaluation.fold_results import CrossValidation
from stf_mamba.evaluation.metrics import auc
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.runs import Run
from stf_mamba.training import crossvalidation
from stf_mamba.training.crossvalidation import CrossValidationOptions, cross_validate
from stf_mamba.training.fold_plan import plan_folds
from stf_mamba.training.parts import TrainingOptions
from stf_mamba.training.watcher import Watcher
from synthetic import FRAMES, synthetic_clip, synthetic_store, track

RECIPE = Recipe(
    name="tiny",
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 64),
    data=DataRecipe(frames=FRAMES, batch_size=4, validation_fraction=0.5),
    phases=(PhaseRecipe(2, 1, 1e-4, 1e-3),),
)


def with_donors(manifest, people_per_donor):
    """The manifest with a donor in every fake, who so links the people that share one."""
    entries = []
    for entry in manifest.entries:
        person = entry.record.identities[0]
        if entry.record.label == FAKE:
            donor = f"donor:{int(person.removeprefix('s:')) // people_per_donor}"
            entry = replace(entry, record=replace(entry.record, identities=(person, donor)))
        entries.append(entry)
    return replace(manifest, entries=tuple(entries))


def strangers(store, people=5):
    """A control of real clips of people that the data set does not have."""
    entries = []
    for person in range(people):
        sha256 = f"{derive_seed('stranger', person):064x}"
        store.write(sha256, StoredVideo(None, (track(),)), iter([synthetic_clip(f"stranger {person}", 0.0)]))
        record = VideoRecord(f"talk/real/{person}", Path(f"{person}.mp4"), REAL, (f"stranger:{person}",), "real")
        entries.append(ManifestEntry(record, sha256, 1, None))
    return Manifest("talk", tuple(entries))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    store, manifest = synthetic_store(tmp_path_factory.mktemp("clips"))
    manifest = with_donors(manifest, people_per_donor=2)
    faceless = VideoRecord("synthetic/real/faceless", Path("faceless.mp4"), REAL, ("s:faceless",), "real")
    unlabelled = replace(manifest.entries[0].record, video_id="synthetic/unknown/0", label=None)
    others = ManifestEntry(faceless, None, 0, "no face"), ManifestEntry(unlabelled, f"{1:064x}", 1, None)
    return store, replace(manifest, entries=(*manifest.entries, *others)), strangers(store)


@pytest.fixture(scope="module")
def finished(prepared, tmp_path_factory):
    """A cross-validation of two folds, one seed, with a control."""
    store, manifest, control = prepared
    out = tmp_path_factory.mktemp("crossvalidation") / "tiny"
    options = CrossValidationOptions(2, (7,), resamples=50)
    return out, cross_validate(RECIPE, store, manifest, out, options, control=control)


def people_of(manifest, video_ids):
    return {
        person for entry in manifest.entries if entry.record.video_id in video_ids for person in entry.record.identities
    }


def linked_in_a_ring(manifest, people_per_donor):
    """As ``with_donors``, with the donors in a ring: the first person of each is also swapped with the next donor."""
    manifest = with_donors(manifest, people_per_donor)
    fakes = [entry for entry in manifest.entries if entry.record.label == FAKE][::people_per_donor]
    donors = [entry.record.identities[1] for entry in fakes]
    bridges = [
        replace(
            entry,
            record=replace(
                entry.record,
                video_id=f"{entry.record.video_id}-bridge",
                identities=(entry.record.identities[0], donors[(number + 1) % len(donors)]),
            ),
            sha256=f"{derive_seed('bridge', number):064x}",
        )
        for number, entry in enumerate(fakes)
    ]
    return replace(manifest, entries=(*manifest.entries, *bridges))


def test_people_folds_divide_what_donors_link_into_one_component(tmp_path):
    manifest = linked_in_a_ring(synthetic_store(tmp_path, 24)[1], people_per_donor=3)
    with pytest.raises(DatasetError, match="1 components of people"):
        plan_folds(manifest, 4, (1,), 0.3, fold_seed=0)
    plan = plan_folds(manifest, 4, (1, 2), 0.3, fold_seed=0, grouping="people")
    everything = {entry.record.video_id for entry in manifest.entries}
    for seed in (1, 2):
        held_out = [video_id for fold in plan if fold.seed == seed for video_id in fold.split.test]
        assert sorted(held_out) == sorted(everything)
    for fold in plan:
        parts = [people_of(manifest, ids) for ids in fold.split.parts.values()]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert sum(map(len, fold.split.parts.values())) >= len(everything) / 2


@pytest.mark.parametrize(("folds", "people", "per_donor"), [(2, 8, 2), (4, 12, 1), (3, 18, 2)])
def test_no_person_and_no_donor_crosses_a_fold(tmp_path, folds, people, per_donor):
    manifest = with_donors(synthetic_store(tmp_path, people)[1], per_donor)
    plan = plan_folds(manifest, folds, (1, 2), 0.3, fold_seed=0)
    everything = {entry.record.video_id for entry in manifest.entries}
    for seed in (1, 2):
        held_out = [video_id for fold in plan if fold.seed == seed for video_id in fold.split.test]
        assert sorted(held_out) == sorted(everything)
    for fold in plan:
        parts = [people_of(manifest, ids) for ids in fold.split.parts.values()]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert set().union(*fold.split.parts.values()) == everything
    assert [fold.split.test for fold in plan[:folds]] == [fold.split.test for fold in plan[folds:]]
    assert [fold.split.validation for fold in plan[:folds]] != [fold.split.validation for fold in plan[folds:]]


def test_runs_were_trained_on_the_planned_parts_and_scored_on_the_others(prepared, finished):
    out, _ = finished
    manifest = prepared[1]
    for fold in plan_folds(manifest, 2, (7,), RECIPE.data.validation_fraction, RECIPE.seed):
        run = Run.load(out / fold.folder / "run")
        assert run.split == fold.split
        assert run.recipe == replace(RECIPE, seed=7)
        scored = Predictions.load(out / fold.folder / "predictions.csv")
        assert {row.video_id for row in scored.rows} == set(fold.split.test)
        trained_on = set(run.environment["identities"])
        assert not trained_on & people_of(manifest, set(fold.split.test))
        assert not (run.folder / "state.pt").exists()


def test_scores_are_those_of_the_folds_own_run(prepared, finished):
    out, result = finished
    for fold in result.summary.by_fold:
        folder = out / "seed-7" / f"fold-{fold.fold}"
        run = Run.load(folder / "run")
        again = evaluate(run, *prepared[:2], part="test")
        saved = Predictions.load(folder / "predictions.csv")
        assert [row.score for row in again.rows] == [row.score for row in saved.rows]
        assert fold.auc == pytest.approx(auc(again).value)
        assert saved.stamp["weights_sha256"] == run.weights_sha256() == fold.weights_sha256
        best = max(run.history(), key=lambda entry: (entry["validation_auc"], -entry["validation_loss"]))
        assert fold.epoch == best["epoch"] + 1
        assert fold.validation_auc == pytest.approx(best["validation_auc"])


def test_the_summary_holds_every_video_once(prepared, finished):
    _, result = finished
    manifest = prepared[1]
    usable = [e.record.video_id for e in manifest.entries if e.clips and e.record.label is not None]
    assert [row.video_id for row in result.ensemble.rows] == sorted(usable)
    assert result.summary.not_analysable == ("synthetic/real/faceless",)
    mean = result.summary.mean_fold_auc
    assert mean.value == pytest.approx(sum(fold.auc for fold in result.summary.by_fold) / 2)
    assert (mean.n_real, mean.n_fake, mean.clusters) == (8, 8, 4)
    assert result.summary.pooled_auc.value == pytest.approx(auc(result.scores[0]).value)
    assert result.summary.control_rate.videos == 5
    assert result.summary.control_rate.models == 2


def test_survives_saving(finished):
    out, result = finished
    loaded = CrossValidation.load(out)
    assert loaded.summary == result.summary
    assert [row.score for row in loaded.scores[0].rows] == [row.score for row in result.scores[0].rows]
    assert len(Predictions.load(out / "out-of-fold.csv").rows) == 16
    (out / "damaged").mkdir()
    (out / "damaged" / "cross-validation.json").write_text("{}")
    with pytest.raises(
        RunError,
        match=r"cross-validation\.json holds no Summary \(recipe: Field required\); repeat the stf crossvalidate",
    ):
        CrossValidation.load(out / "damaged")


def test_a_finished_fold_is_not_repeated_and_an_unfinished_one_continues(prepared, tmp_path, monkeypatch):
    store, manifest, control = prepared
    trained = []

    def counted(recipe, store, manifest, out, *others):
        trained.append(out.parent.name)
        return crossvalidation_train(recipe, store, manifest, out, *others)

    crossvalidation_train = crossvalidation.train
    monkeypatch.setattr(crossvalidation, "train", counted)

    def stop_in_the_second_fold(report):
        if len(trained) == 2 and report.epoch == 0:
            raise KeyboardInterrupt

    arguments = (RECIPE, store, manifest, tmp_path / "cv", CrossValidationOptions(2, (7,), resamples=10))
    with pytest.raises(KeyboardInterrupt):
        cross_validate(*arguments, watcher=Watcher(on_epoch=stop_in_the_second_fold))
    assert trained == ["fold-1", "fold-2"]
    first = (tmp_path / "cv" / "seed-7" / "fold-1" / "predictions.csv").read_bytes()
    resumed = cross_validate(*arguments)
    assert trained == ["fold-1", "fold-2", "fold-2"]
    assert (tmp_path / "cv" / "seed-7" / "fold-1" / "predictions.csv").read_bytes() == first
    seen = []
    again = cross_validate(*arguments, on_fold=lambda fold: seen.append((fold.seed, fold.fold)))
    assert len(trained) == 3
    assert again == resumed
    assert seen == [(7, 1), (7, 2)]
    with_control = cross_validate(*arguments, control=control)  # asked for afterwards
    assert len(trained) == 3
    assert with_control.summary.control_rate.models == 2
    assert dataclasses.replace(with_control.summary, control_rate=None) == again.summary


def test_interruption_changes_no_score(prepared, finished, tmp_path):
    store, manifest, _ = prepared
    arguments = (RECIPE, store, manifest, tmp_path / "cv", CrossValidationOptions(2, (7,), resamples=10))

    def stop(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(*arguments, watcher=Watcher(on_epoch=stop))
    resumed = cross_validate(*arguments)
    assert [row.score for row in resumed.ensemble.rows] == [row.score for row in finished[1].ensemble.rows]


def test_the_last_epoch_can_be_scored_instead_of_the_best(prepared, finished, tmp_path):
    store, manifest, _ = prepared
    out = tmp_path / "cv"
    result = cross_validate(RECIPE, store, manifest, out, CrossValidationOptions(2, (7,), select="last", resamples=10))
    for fold in result.summary.by_fold:
        folder = out / "seed-7" / f"fold-{fold.fold}"
        best_epoch = next(f.epoch for f in finished[1].summary.by_fold if f.fold == fold.fold)
        assert fold.epoch == RECIPE.epochs
        assert Predictions.load(folder / "predictions.csv").stamp["selected_on"] == "nothing, the last epoch"
        last, kept = load_file(folder / "last.safetensors"), load_file(folder / "run" / "weights.safetensors")
        same = all(bool((last[name] == kept[name]).all()) for name in last)
        assert same == (best_epoch == RECIPE.epochs)


def test_another_cross_validation_does_not_take_over_a_folder(prepared, finished, tmp_path):
    store, manifest, _ = prepared
    out, _ = finished
    with pytest.raises(RunError, match="another recipe and folds; choose another --out"):
        cross_validate(replace(RECIPE, seed=1), store, manifest, out, CrossValidationOptions(3, (7,)))
    fewer = replace(manifest, entries=manifest.entries[2:])
    with pytest.raises(RunError, match="another videos sha256"):
        cross_validate(RECIPE, store, fewer, out, CrossValidationOptions(2, (7,)))
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match=r"holds thesis\.txt and is no cross-validation"):
        cross_validate(RECIPE, store, manifest, tmp_path, CrossValidationOptions(2, (7,)))


def test_two_cross_validations_of_one_folder_do_not_meet(prepared, tmp_path):
    store, manifest, _ = prepared
    with sole_use(tmp_path / "cv", RunError, "kept"), pytest.raises(RunError, match="cv is in use by process"):
        cross_validate(RECIPE, store, manifest, tmp_path / "cv", CrossValidationOptions(2))


def test_a_missing_weights_file_is_an_error_of_weights(prepared, tmp_path):
    store, manifest, _ = prepared
    training = TrainingOptions(encoder_weights=tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match=r"absent\.pth: cannot be read"):
        cross_validate(RECIPE, store, manifest, tmp_path / "cv", CrossValidationOptions(2), training)
    assert not (tmp_path / "cv").exists()


def test_folds_that_cannot_be_made_are_refused_before_anything_is_trained(prepared, tmp_path):
    store, manifest, _ = prepared
    with pytest.raises(DatasetError, match=r"fold-5-of-5: no split gives .* 4 components of people"):
        cross_validate(RECIPE, store, manifest, tmp_path / "cv", CrossValidationOptions(5))
    two_components = with_donors(manifest, people_per_donor=4)
    with pytest.raises(
        DatasetError,
        match="seed 42, fold 1 of 2: the videos outside the fold cannot be divided into training and inner",
    ):
        cross_validate(RECIPE, store, two_components, tmp_path / "cv", CrossValidationOptions(2))
    assert not (tmp_path / "cv").exists()


def test_a_control_that_is_known_or_fake_is_refused(prepared, tmp_path):
    store, manifest, control = prepared
    known = replace(control, entries=(*control.entries, manifest.entries[0]))
    with pytest.raises(LeakError, match="1 of 6 videos of the control talk show people or files of synthetic"):
        cross_validate(RECIPE, store, manifest, tmp_path / "cv", CrossValidationOptions(2), control=known)
    fake = replace(control, entries=tuple(replace(e, record=replace(e.record, label=FAKE)) for e in control.entries))
    with pytest.raises(DatasetError, match="5 of 5 videos of the control talk are not labelled real"):
        cross_validate(RECIPE, store, manifest, tmp_path / "cv", CrossValidationOptions(2), control=fake)
    assert not (tmp_path / "cv").exists()


def test_a_file_under_two_names_is_a_leak(prepared):
    manifest = prepared[1]
    doubled = replace(manifest.entries[0], sha256=manifest.entries[14].sha256)
    with pytest.raises(LeakError, match="file"):
        plan_folds(replace(manifest, entries=(doubled, *manifest.entries[1:])), 2, (7,), 0.5, RECIPE.seed)


def test_seeds_must_be_given_once(prepared):
    with pytest.raises(ValueError, match=r"seeds are \[1, 1\]"):
        plan_folds(prepared[1], 2, (1, 1), 0.5, RECIPE.seed)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"folds": 1}, "folds is 1, expected 2 or more"),
        ({"folds": -2}, "folds is -2, expected 2 or more"),
        ({"seeds": ()}, r"seeds are \[\], expected at least one and each once"),
        ({"seeds": (7, 7)}, r"seeds are \[7, 7\]"),
        ({"grouping": "families"}, "grouping is 'families', expected one of components, people"),
        ({"select": "first"}, "select is 'first', expected one of None, best, last"),
        ({"threshold": "half"}, "threshold is 'half', expected one of youden, specificity, predictive"),
        ({"resamples": 0}, "resamples is 0, expected 1 or more"),
    ],
)
def test_options_out_of_range_are_refused_at_once(options, words):
    with pytest.raises(ValueError, match=words):
        CrossValidationOptions(**options)
