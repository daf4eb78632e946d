"""The page of one clip: what it says is what was measured."""

import io

import numpy as np
import pytest
from planted_clips import moving

from stf_mamba.signals import SIGNALS
from stf_mamba.signals.picture import COLUMNS, plot_signals


@pytest.fixture(scope="module")
def measured():
    pictures, points = moving(np.random.default_rng(1), [(n % 3, 0) for n in range(6)], [(0, 0)] * 6)
    frames = np.rint(pictures).astype(np.uint8)
    return {name: signal.measure(frames, points) for name, signal in SIGNALS.items()}, frames


def test_every_signal_has_its_maps_its_course_and_its_value_with_unit(measured):
    results, frames = measured
    figure = plot_signals(results, frames)
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    titles = [axes.get_title() for axes in figure.axes]
    for result in results.values():
        assert any(f"value {result.value:.3g} {result.unit}" in title for title in titles)
        assert any(axes.get_ylabel() == result.map_unit for axes in figure.axes)
        courses = (axes.lines[0].get_ydata() for axes in figure.axes if axes.lines)
        assert any(np.array_equal(course, result.curve) for course in courses)
    shown = [image.get_array() for axes in figure.axes for image in axes.images if image.get_array().ndim == 2]
    drawn = [array for array in shown if array.shape == (96, 96)]
    assert len(drawn) == 2 * COLUMNS * len(results)  # a dim picture and a map each
    np.testing.assert_array_equal(np.ma.filled(drawn[1], np.nan), results["wavelet"].map[0])


def test_an_undefined_signal_is_left_out(measured):
    results, frames = measured
    figure = plot_signals({"flow": results["flow"]}, frames)
    assert sum(axes.get_title().startswith("value") for axes in figure.axes) == 1


def test_foreign_results_are_refused(measured):
    results, frames = measured
    with pytest.raises(ValueError, match="no signal"):
        plot_signals({}, frames)
    with pytest.raises(ValueError, match="'entropy'"):
        plot_signals({"entropy": results["flow"]}, frames)
    with pytest.raises(ValueError, match=r"\(5, 96, 96\), expected that of frames \(9, 96, 96, 3\)"):
        plot_signals(results, np.concatenate([frames, frames[:3]]))
