"""What goes wrong inside a long run is a failure, never called wrong usage."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from stf_mamba.cli.app import app
from stf_mamba.core.recipe import Recipe
from synthetic import FRAMES, synthetic_store


@pytest.fixture
def arguments(tmp_path):
    """A recipe and clips that the verbs take, and where to put the result."""
    synthetic_store(tmp_path / "clips", people=2)
    recipe = Recipe()
    replace(recipe, data=replace(recipe.data, frames=FRAMES)).save(tmp_path / "recipe.toml")
    return {
        "crossvalidate": (
            "crossvalidate",
            tmp_path / "recipe.toml",
            "--clips",
            tmp_path / "clips",
            "--out",
            tmp_path / "cv",
        ),
        "study": ("study", "--clips", tmp_path / "clips", "--out", tmp_path / "study", "--only", "v8"),
    }


@pytest.mark.parametrize(
    ("verb", "works"),
    [
        ("crossvalidate", "stf_mamba.training.crossvalidation.cross_validate"),
        ("study", "stf_mamba.study.running.run_study"),
    ],
)
def test_a_value_error_of_the_work_is_no_wrong_usage(arguments, monkeypatch, verb, works):
    def fail(*given, **named):
        raise ValueError("a value inside the work")

    monkeypatch.setattr(works, fail)
    failed = CliRunner().invoke(app, [str(argument) for argument in arguments[verb]], prog_name="stf")
    assert failed.exit_code == 1
    assert isinstance(failed.exception, ValueError)
    assert "a value inside the work" in str(failed.exception)
