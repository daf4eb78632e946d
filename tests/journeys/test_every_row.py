"""Every row of the study runs on the smallest corpus, and its report has every figure: the miniature, made smaller."""

from dataclasses import replace

from stf_mamba.datasets.miniature.corpus import MiniatureSettings
from stf_mamba.study.budgets import BUDGETS
from stf_mamba.study.miniature import FRAMES, miniature_data
from stf_mamba.study.report.write import FIGURES, make_report
from stf_mamba.study.rows import ROWS
from stf_mamba.study.running import StudyPlan, run_study
from stf_mamba.study.signals import run_compression, run_signals

BUDGET = replace(BUDGETS["miniature"], epochs=1, frames=4, width=32)


def test_every_row_runs_and_every_figure_is_drawn(tmp_path):
    data = miniature_data(tmp_path, replace(MiniatureSettings.tiny(), n_frames=FRAMES + 8))
    plan = StudyPlan(tmp_path, BUDGET, data.store, data.ffpp, cross=data.celebdf, generated=True)
    run_signals(data.consecutive, data.consecutive_ffpp, tmp_path)
    run_compression(data.consecutive, data.consecutive_ffpp, tmp_path, (40,))
    said = {}
    study = run_study(plan, list(ROWS), on_row=said.__setitem__)
    assert said == dict.fromkeys(ROWS, "finished")
    for key, finished in study.finished.items():
        result = finished.result
        assert result.in_domain.coverage == 1
        assert result.cross is not None
        assert result.trainable_parameters > 0
        assert (result.stands_in_for is None) == (result.recipe.encoder.name == ROWS[key].recipe.encoder.name)
    report = make_report([study], tmp_path / "figures")
    assert [figure.name for figure in report.figures] == [f"Figure {number}" for number in range(1, 6)]
    assert {figure.table for figure in report.figures} == {table for table, _ in FIGURES.values()}
    # A stand-in decides nothing about the encoder that was meant, and generated footage is said to be so.
    assert any("standing in" in said for said in report.verdicts["not run"])
    assert report.warnings
