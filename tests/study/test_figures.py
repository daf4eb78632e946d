"""Figures read a study's files alone and say what is missing."""

import pytest
from fabricated_study import fabricated_study

from stf_mamba.study.figures import FIGURES, save_figures


@pytest.mark.parametrize("design", ["split", "folds"])
def test_every_figure_comes_in_every_format(tmp_path, design):
    saved = save_figures(fabricated_study(tmp_path / "study", design, seeds=(42,)), tmp_path / "figures")
    assert set(saved) == {f"figure-{number}" for number in range(1, 6)}
    for paths in saved.values():
        assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]
        assert all(path.stat().st_size > 1000 for path in paths)


def _words(figure):
    return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_a_figure_without_its_rows_says_so(tmp_path):
    study = fabricated_study(tmp_path, separation={"v8": 1.0}, seeds=(42,), with_signals=False)
    for name in ("figure-1", "figure-2", "figure-3", "figure-4"):
        assert "not run" in _words(FIGURES[name](study))
    assert "not run" not in FIGURES["figure-5"](study).axes[0].get_title()


def test_the_summary_ranks_rows_by_the_second_data_set(tmp_path):
    study = fabricated_study(tmp_path, separation={"v8": 3.0, "frame-resnet50": 0.0}, seeds=(42,))
    ranked = FIGURES["figure-5"](study).axes[0]
    aucs = [row.result.cross.auc.value for row in study.finished.values()]
    labels = [label.get_text() for label in ranked.get_yticklabels()]
    best = max(zip(aucs, study.finished.values(), strict=True), key=lambda pair: pair[0])[1]
    assert labels[-1] == best.row.label


def test_reported_numbers_are_hatched(tmp_path):
    study = fabricated_study(tmp_path, separation={"frame-resnet50": 0.5}, seeds=(42,))
    bars = FIGURES["figure-2"](study).axes[1].patches
    hatched = [bar for bar in bars if bar.get_hatch()]
    assert sorted(round(bar.get_width(), 4) for bar in hatched) == [0.6070, 0.6957]
