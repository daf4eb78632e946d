"""Figures draw what the history and the verdict hold."""

import numpy as np

from stf_mamba.core.plotting import save_figure
from stf_mamba.core.records import ClipScore, TrackScore
from stf_mamba.detection.plots import plot_relations, plot_timeline


def test_consistency_marks_the_least_consistent_frame(tmp_path):
    clip = ClipScore(0.0, 0.4, 1.0, -8.0, (0.9, 0.7, 0.95), (0.0, 0.2, 0.4))
    figure = plot_timeline(TrackScore(0, 1.0, None, (clip,)))
    curve, mark = figure.axes[0].get_lines()
    np.testing.assert_allclose(curve.get_xydata(), [[0.0, 0.9], [0.2, 0.7], [0.4, 0.95]])
    np.testing.assert_allclose(mark.get_xydata(), [[0.2, 0.7]])
    assert save_figure(figure, tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]


def test_a_timeline_shows_what_frames_say_where_they_are_judged():
    clip = ClipScore(0.0, 0.4, 1.0, -8.0, (0.9, 0.7, 0.95), (0.0, 0.2, 0.4), (0.5, -1.0, 3.5))
    said, similarity = plot_timeline(TrackScore(0, 1.0, None, (clip,))).axes
    curve, mark = said.get_lines()[:2]
    np.testing.assert_allclose(curve.get_xydata(), [[0.0, 0.5], [0.2, -1.0], [0.4, 3.5]])
    np.testing.assert_allclose(mark.get_xydata(), [[0.4, 3.5]])
    np.testing.assert_allclose(similarity.get_lines()[0].get_xydata()[:, 1], [0.9, 0.7, 0.95])


def test_bars_of_comparisons_end_in_their_sum():
    (axes,) = plot_relations({"edge": 1.5, "eyes": -0.25}, 0.5).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "edge",
        "eyes",
        "average training clip",
        "logit",
    ]
    assert [bar.get_width() for bar in axes.patches] == [1.5, -0.25, 0.5, 1.75]
    assert axes.yaxis_inverted()
