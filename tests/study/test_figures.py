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
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    return " ".join([*texts, *(text.get_text() for text in figure.texts)])


def test_a_figure_without_its_rows_says_so(tmp_path):
    study = fabricated_study(tmp_path, separation={"v8": 1.0}, seeds=(42,), with_signals=False)
    for name in ("figure-1", "figure-2", "figure-3", "figure-4"):
        assert "not run" in _words(FIGURES[name](study)).lower()


def test_reported_numbers_are_hatched_and_measured_ones_are_not(tmp_path):
    study = fabricated_study(tmp_path, separation={"frame-resnet50": 0.5}, seeds=(42,))
    bars = [bar for axes in FIGURES["figure-2"](study).axes for bar in axes.patches]
    lengths = {
        hatched: {round(side, 4) for bar in bars if bool(bar.get_hatch()) is hatched for side in _sides(bar)}
        for hatched in (True, False)
    }
    assert {0.6070, 0.6957} <= lengths[True]
    assert not {0.6070, 0.6957} & lengths[False]


def _sides(bar):
    return bar.get_width(), bar.get_height()
