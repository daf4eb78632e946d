"""A study runs rows once, keeps what other settings made apart, and lists what is done and what the rest takes."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from stf_mamba.cli.app import app
from stf_mamba.clips.records import ClipSettings
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import RunError
from stf_mamba.evaluation.runs import Run
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.study.budgets import BUDGETS
from stf_mamba.study.listing import list_keys
from stf_mamba.study.results import Study
from stf_mamba.study.running import StudyPlan, run_study
from synthetic import synthetic_data_set


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Drawn clips of 16 frames, of two data sets."""
    folder = tmp_path_factory.mktemp("study")
    store = ClipStore.create(folder / "clips", ClipSettings("none", FaceSettings(), frames=16))
    own, strangers = synthetic_data_set(store, 6), synthetic_data_set(store, 2, name="strangers")
    budget = replace(BUDGETS["miniature"], epochs=1, frames=8)
    return StudyPlan(folder / "study", budget, store, own, cross=strangers, generated=True)


def test_rows_run_once_and_what_cannot_run_says_why(plan):
    said = {}
    study = run_study(plan, ["frame-dinov2", "v8", "v8-frames-64"], on_row=said.__setitem__)
    assert set(study.finished) == {"frame-dinov2", "v8"}
    assert "prepare clips with --frames 64" in study.not_run["v8-frames-64"]
    result = study.finished["frame-dinov2"].result
    assert result.stands_in_for == "dinov2_vitb14"
    assert (result.cross.dataset, result.cross.auc.n_real, result.cross.auc.n_fake) == ("strangers", 2, 2)
    # A model that judges frames singly has a figure at that level too: the eight frames of each video's one clip.
    assert result.in_domain.frame_auc.n_real == 8 * result.in_domain.auc.n_real
    assert result.in_domain.auc.n_fake + result.in_domain.auc.n_real == len(study.finished["v8"].in_domain[0].rows)

    written = {path: path.stat().st_mtime_ns for path in plan.out.glob("rows/*/**/*") if path.is_file()}
    assert {plan.out / "rows" / key / "seed-42" / "weights.safetensors" for key in study.finished} <= set(written)
    run_study(plan, ["frame-dinov2", "v8"], on_row=said.__setitem__)
    assert (said["frame-dinov2"], said["v8"]) == ("found finished", "found finished")
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_another_recipe_or_other_data_never_mix(plan):
    run_study(plan, ["v8"])
    with pytest.raises(RunError, match="another recipe"):
        run_study(replace(plan, budget=replace(plan.budget, epochs=2)), ["v8"])
    with pytest.raises(RunError, match="another cross dataset"):
        run_study(replace(plan, cross=None), ["v8"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "v9"], "no row 'v9'"),
        (["--budget", "small"], "needs prepared clips"),
        (["--budget", "miniature", "--stand-in", "dinov2_vitb14=vit"], "--stand-in: 'vit' is no encoder"),
        (["--budget", "miniature", "--stand-in", "vit=vit_tiny16"], "--stand-in: 'vit' is no encoder"),
        (["--budget", "miniature", "--weights", "vit=package:w"], "--weights: 'vit' is no encoder"),
    ],
)
def test_wrong_arguments_are_wrong_usage(tmp_path, arguments, message):
    result = CliRunner().invoke(app, ["study", "--out", str(tmp_path / "s"), *arguments])
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")


def test_weights_that_are_not_there_are_told_before_anything_is_drawn(tmp_path):
    weights = "dinov2_vitb14=package:no-such-weights"
    result = CliRunner().invoke(
        app, ["study", "--budget", "miniature", "--out", str(tmp_path / "s"), "--weights", weights]
    )
    assert result.exit_code == 1
    assert "pip install no-such-weights" in result.output.replace("\n", " ")
    assert not (tmp_path / "s").exists()


def test_the_reports_way_is_a_study_of_its_own(plan, tmp_path):
    theirs = replace(plan, out=tmp_path / "report", protocol="report")
    result = run_study(theirs, ["frame-dinov2"]).finished["frame-dinov2"].result
    assert result.recipe.augment.draws == "frame"
    assert result.recipe.data.frames == 4
    (run,) = (theirs.out / "rows" / "frame-dinov2").glob("seed-*")
    split = Run.load(run).split
    assert split.name == "report"
    # The videos that chose the epoch are those that are reported: nothing is kept back.
    assert split.test == ()
    assert result.in_domain.auc.n_real + result.in_domain.auc.n_fake == len(split.validation)
    with pytest.raises(RunError, match="another protocol"):
        run_study(replace(theirs, protocol="right"), ["frame-dinov2"])
    with pytest.raises(ValueError, match="one split"):
        run_study(replace(theirs, folds=3), ["frame-dinov2"])


def test_the_list_shows_what_is_done_and_what_the_rest_takes(plan):
    run_study(plan, ["v8"])
    listed = {one.key: one for one in list_keys(plan, ["signals", "v8", "v8-frames-8", "v8-frames-64"], None)}
    assert listed["v8"].state == "finished"
    assert listed["v8"].seconds == Study.load(plan.out).finished["v8"].result.seconds
    assert listed["v8-frames-8"].state in ("ready", "finished")
    assert listed["v8-frames-8"].seconds > 0
    assert "--frames 64" in listed["v8-frames-64"].state
    assert not listed["v8-frames-64"].can_run
    assert "stf prepare --sampling consecutive" in listed["signals"].state
