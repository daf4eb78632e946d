"""Figures read a study's files alone, keep everything on the page, and say what is missing."""

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fabricated_study import fabricated_study
from stf_mamba.signals import comparison
from stf_mamba.study.claims import rules as claim_rules
from stf_mamba.study.claims.claims import judge_claims
from stf_mamba.study.claims.comparisons import compare_rows
from stf_mamba.study.figures.encoders import draw_scatter
from stf_mamba.study.figures.save import DPI, FIGURES, save_figures
from stf_mamba.study.signals import signal_tests

SEPARATION = {"frame-efficientnet-b0": 0.4, "frame-dinov2": 1.0, "bigru-efficientnet-b0": 0.5, "v8": 1.2}


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A study with signals, its claims and its tests."""
    return _judged(fabricated_study(tmp_path_factory.mktemp("figures"), "split", SEPARATION, seeds=(42,)))


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """A study without signals and second data set."""
    root = tmp_path_factory.mktemp("figures")
    return _judged(fabricated_study(root, "folds", SEPARATION, seeds=(42,), with_signals=False))


def _judged(study):
    with pytest.MonkeyPatch.context() as patch:  # what is drawn matters here, not how sharp its intervals are
        patch.setattr(comparison, "RESAMPLES", 50)
        patch.setattr(claim_rules, "FEW_RESAMPLES", 50)
        tests = signal_tests(study)
        return study, judge_claims(study, compare_rows(study, 50), tests), tests


def test_every_figure_comes_in_every_format(split, tmp_path):
    study, claims, tests = split
    saved = save_figures(study, tmp_path, claims, tests)
    assert set(saved) == {f"figure-{number}" for number in range(1, 6)}
    for paths in saved.values():
        assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]
        png, svg, pdf = paths
        assert png.read_bytes().startswith(b"\x89PNG")
        assert ElementTree.parse(svg).getroot().tag.endswith("svg")
        assert pdf.read_bytes().startswith(b"%PDF")


@pytest.fixture(scope="module")
def bare(split):
    """A study of few people: no interval anywhere."""
    study, claims, tests = split
    finished = {
        key: replace(
            one, result=replace(one.result, in_domain=_bare(one.result.in_domain), cross=_bare(one.result.cross))
        )
        for key, one in study.finished.items()
    }
    return replace(study, finished=finished), claims, tests


def _bare(measured):
    return replace(measured, auc=replace(measured.auc, low=None, high=None))


@pytest.mark.parametrize("design", ["split", "folds", "bare"])
def test_nothing_leaves_the_page_and_nothing_covers_another_thing(design, request):
    for name, draw in FIGURES.items():
        figure = draw(*request.getfixturevalue(design))
        figure.set_dpi(DPI)  # as saved: words are wider or narrower at other resolutions
        canvas, page = FigureCanvasAgg(figure), figure.bbox
        canvas.draw()
        renderer = canvas.get_renderer()
        for axes in figure.axes:
            box = axes.get_tightbbox(renderer)
            assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, (name, axes.get_title())
            assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, (name, axes.get_title())
            assert not _neighbours_meet(axes, renderer), (name, axes.get_title())
            legend = axes.get_legend()
            if legend is not None:
                assert not any(
                    legend.get_window_extent(renderer).overlaps(other.get_window_extent(renderer))
                    for other in (*figure.axes, axes.xaxis.label, *axes.get_xticklabels())
                ), (name, axes.get_title())


def test_few_trained_parameters_have_ticks_that_can_be_read(split):
    study, _, _ = split
    finished = {
        key: replace(one, result=replace(one.result, trainable_parameters=193)) for key, one in study.finished.items()
    }
    figure = Figure(figsize=(3.5, 3))
    axes = figure.subplots()
    draw_scatter(axes, replace(study, finished=finished), tuple(finished))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert not _neighbours_meet(axes, canvas.get_renderer())


def test_a_figure_without_its_rows_says_so(tmp_path):
    study = fabricated_study(tmp_path, separation={"v8": 1.0}, seeds=(42,), with_signals=False)
    tests = signal_tests(study)
    for name in ("figure-1", "figure-2", "figure-3", "figure-4"):
        assert "not run" in _words(FIGURES[name](study, (), tests)).lower()


def test_reported_numbers_are_hatched_and_measured_ones_are_not(split):
    bars = [bar for axes in FIGURES["figure-2"](*split).axes for bar in axes.patches]
    lengths = {
        hatched: {round(side, 4) for bar in bars if bool(bar.get_hatch()) is hatched for side in _sides(bar)}
        for hatched in (True, False)
    }
    reported = {0.6070, 0.6957, 0.6193, 0.7872}
    assert reported <= lengths[True]
    assert not reported & lengths[False]


def test_bars_say_on_how_many_videos_they_rest(split):
    bars = FIGURES["figure-2"](*split).axes[-1]
    texts = [text.get_text() for text in bars.get_legend().get_texts()]
    assert {"ffpp-c23, 16 real and 32 fake videos", "celebdf, 16 real and 32 fake videos"} <= set(texts)


def _neighbours_meet(axes, renderer):
    """Whether labels beneath a panel run into each other."""
    labels = [label for label in axes.get_xticklabels() if label.get_text()]
    inside = [label.get_window_extent(renderer) for label in labels if _is_inside(axes, label.get_position()[0])]
    return any(left.x1 > right.x0 for left, right in pairwise(inside))


def _is_inside(axes, x):
    low, high = axes.get_xlim()
    return low <= x <= high


def _words(figure):
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    return " ".join([*texts, *(text.get_text() for text in figure.texts)])


def _sides(bar):
    return bar.get_width(), bar.get_height()
