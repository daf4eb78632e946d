"""Every row of the study runs on the same few drawn clips, and the report of all of them has every figure."""

from dataclasses import replace

import pytest

from fabricated_study import write_signals
from stf_mamba.clips.records import ClipSettings
from stf_mamba.clips.store import ClipStore
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.signals import comparison
from stf_mamba.study.budgets import BUDGETS
from stf_mamba.study.report.write import FIGURES, make_report
from stf_mamba.study.results import Study
from stf_mamba.study.rows import ROWS
from stf_mamba.study.running import StudyPlan, run_study
from synthetic import synthetic_data_set

BUDGET = replace(BUDGETS["miniature"], epochs=1, frames=4, width=32)
FRAMES = 64  # of the row with the longest sequence


@pytest.fixture
def plan(tmp_path):
    """Two real and two fake clips in each part but training, of another data set as many."""
    store = ClipStore.create(tmp_path / "clips", ClipSettings("none", FaceSettings(), frames=FRAMES))
    own, strangers = synthetic_data_set(store, 6), synthetic_data_set(store, 2, name="strangers")
    return StudyPlan(tmp_path / "study", BUDGET, store, own, cross=strangers, generated=True)


def test_every_row_runs_and_every_figure_is_drawn(plan, tmp_path, monkeypatch):
    said = {}
    study = run_study(plan, list(ROWS), on_row=said.__setitem__)
    assert said == dict.fromkeys(ROWS, "finished")
    for key, finished in study.finished.items():
        result = finished.result
        assert result.in_domain.coverage == 1
        assert result.cross.coverage == 1
        assert 0 < result.trainable_parameters <= result.parameters
        assert (result.stands_in_for is None) == (result.recipe.encoder.name == ROWS[key].recipe.encoder.name)
    write_signals(plan.out / "signals")
    monkeypatch.setattr(comparison, "RESAMPLES", 50)  # how sharp an interval is does not matter here
    report = make_report([Study.load(plan.out)], tmp_path / "figures")
    assert [figure.name for figure in report.figures] == [f"Figure {number}" for number in range(1, 6)]
    assert {figure.table for figure in report.figures} == {table for table, _ in FIGURES.values()}
    # A stand-in decides nothing about the encoder that was meant, and generated footage is said to be so.
    assert any("standing in" in said for said in report.verdicts["not run"])
    assert report.warnings
