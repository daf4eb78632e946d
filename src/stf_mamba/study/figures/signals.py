"""Figure 1: five forensic signals of real and manipulated videos, and what compression leaves of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from stf_mamba.core.plotting import BLUE, GREY, ORANGE
from stf_mamba.core.records import REAL
from stf_mamba.evaluation.statistics.intervals import CONFIDENCE
from stf_mamba.signals import SIGNALS
from stf_mamba.signals.comparison import SignalStatistics
from stf_mamba.signals.table import SignalTable
from stf_mamba.study.figures.panels import COLOURS, empty_panel, legend_below, new_figure, tidy
from stf_mamba.study.labels import level_name
from stf_mamba.study.results import Study
from stf_mamba.study.signals import SignalTests, signal_tests

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_signals(study: Study, tests: SignalTests | None = None) -> Figure:
    """Values of every signal by manipulation method, with effects and corrected p; AUC against compression.

    Args:
        tests: of ``signal_tests``, where they are at hand.
    """
    tests = signal_tests(study) if tests is None else tests
    figure = new_figure(study, 7.2, _note(study))
    panels = figure.subplots(3, 2).ravel()
    table = study.signals.consecutive or study.signals.report
    for axes, (name, signal) in zip(panels, SIGNALS.items(), strict=False):
        axes.set_title(f"{signal.letter}. {signal.title}")
        if table is None or not groups(table, name):
            empty_panel(axes, "needs the study's row signals, with videos that can be measured")
        else:
            _draw_signal(axes, table, name, {test.method: test for test in tests.shown if test.signal == name})
        tidy(axes)
    panels[5].set_title("F. AUC by compression, mean of methods")
    _draw_compression(panels[5], tests)
    tidy(panels[5])
    return figure


def groups(table: SignalTable, signal: str) -> dict[str, list[float]]:
    """Measured values of one signal: real first, then by manipulation method."""
    found: dict[str, list[float]] = {}
    rows = [row for row in table.rows if row.signal == signal and row.value is not None and row.label is not None]
    for row in sorted(rows, key=lambda row: (row.label != REAL, row.method or "")):
        name = "real" if row.label == REAL else row.method or "fake"
        found.setdefault(name, []).append(float(row.value or 0.0))
    return found


def compression_aucs(tests: SignalTests) -> dict[str, dict[str, list[SignalStatistics]]]:
    """By signal and level, the statistics of every method."""
    found: dict[str, dict[str, list[SignalStatistics]]] = {name: {} for name in SIGNALS}
    for level, of_level in tests.levels.items():
        for test in of_level:
            found[test.signal].setdefault(level, []).append(test)
    return found


def level_label(level: str, bits_per_pixel: float | None) -> str:
    """A level's name with the median size of its files, where that was measured."""
    name = level_name(level)
    return name if bits_per_pixel is None else f"{name}\n{bits_per_pixel:.2g} bit/pixel"


def _draw_signal(axes: Axes, table: SignalTable, name: str, tests: dict[str, SignalStatistics]) -> None:
    values = groups(table, name)
    generator = np.random.default_rng(0)  # where points stand beside each other says nothing
    for place, (method, sample) in enumerate(values.items()):
        colour = BLUE if method == "real" else ORANGE
        axes.boxplot(sample, positions=[place], widths=0.5, showfliers=False, medianprops={"color": "black"})
        axes.plot(place + generator.uniform(-0.15, 0.15, len(sample)), sample, ".", color=colour, markersize=2.5)
    labels = []
    for method, sample in values.items():
        text = f"{_in_lines(method)}\nn = {len(sample)}"
        if method in tests:
            test = tests[method]
            text += f"\nr {_short(test.effect)}\n[{_short(test.low)}, {_short(test.high)}]\np {_p(test.p_holm)}"
        labels.append(text)
    axes.set_xticks(range(len(labels)), labels)
    unit = next((row.unit for row in table.rows if row.signal == name and row.unit), "no unit")
    axes.set_ylabel(unit)


def _note(study: Study) -> str:
    way = "on consecutive frames of the tracked face" if study.signals.consecutive else "the report's way"
    return (
        f"Boxes: quartiles and median; points: videos, measured {way}. r: rank-biserial effect, positive where fakes "
        f"are higher,\nwith its {CONFIDENCE:.0%} interval; p: corrected by Holm over all signals and methods."
    )


def _in_lines(method: str) -> str:
    """Long names at their inner capitals, as in NeuralTextures."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", method) if len(method) > 10 else method


def _short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".").replace("-", "−")


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".replace("0.", ".")


def _draw_compression(axes: Axes, tests: SignalTests) -> None:
    levels = list(tests.levels)
    if not levels:
        empty_panel(axes, "needs the study's row signals-compression")
        return
    for number, (name, by_level) in enumerate(compression_aucs(tests).items()):
        for at, level in enumerate(levels):
            of_level = by_level.get(level, [])
            if not of_level:
                continue
            x = at + (number - 2) * 0.12
            # The widest reach of the methods' intervals: an interval of their mean would need their covariance.
            axes.vlines(
                x,
                min(test.auc_low for test in of_level),
                max(test.auc_high for test in of_level),
                color=COLOURS[number],
            )
            axes.plot(
                x, np.mean([test.auc for test in of_level]), "o", color=COLOURS[number], markersize=3,
                label=SIGNALS[name].title if at == 0 else "_nolegend_",
            )  # fmt: skip
    axes.axhline(0.5, color=GREY, linestyle=":", label="chance")
    axes.set_xticks(range(len(levels)), [level_label(level, tests.bits_per_pixel.get(level)) for level in levels])
    axes.set_ylim(-0.05, 1.05)  # so that points at the ends are whole
    axes.set_ylabel(f"AUC, outermost {CONFIDENCE:.0%} limits")
    legend_below(axes, 2)
