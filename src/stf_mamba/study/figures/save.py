"""The study's five figures, drawn from what it left on the disk."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.files import write_bytes_atomically
from stf_mamba.study.claims.claims import Claim, judge_claims
from stf_mamba.study.figures.encoders import plot_backbones, plot_capacity, plot_temporal
from stf_mamba.study.figures.signals import plot_signals
from stf_mamba.study.figures.summary import plot_summary
from stf_mamba.study.results import Study
from stf_mamba.study.signals import SignalTests, signal_tests

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
DPI = 200


def save_figures(
    study: Study,
    out: Path,
    claims: Sequence[Claim] | None = None,
    tests: SignalTests | None = None,
    formats: Sequence[str] = FORMATS,
) -> dict[str, tuple[Path, ...]]:
    """Draw every figure into the folder ``out``; the same study gives the same bytes. Returns the files by figure.

    Args:
        claims, tests: of ``judge_claims`` and ``signal_tests``, where they are at hand.
    """
    tests = signal_tests(study) if tests is None else tests
    claims = judge_claims(study, tests=tests) if claims is None else claims
    out.mkdir(parents=True, exist_ok=True)
    return {name: save_formats(draw(study, claims, tests), out / name, formats) for name, draw in FIGURES.items()}


def save_formats(figure: Figure, path: Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """Write a figure as PNG, SVG and PDF without dates. ``path`` has no suffix."""
    import matplotlib

    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    written = []
    with matplotlib.rc_context({"svg.hashsalt": path.name, "hatch.linewidth": 0.5}):
        for kind in formats:
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=DPI, metadata=undated[kind])
            figure.set_layout_engine("none")  # the places found for the first format hold for all
            written.append(write_bytes_atomically(path.with_name(f"{path.name}.{kind}"), content.getbuffer()))
    return tuple(written)


FIGURES: dict[str, Callable[[Study, Sequence[Claim], SignalTests], Figure]] = {
    "figure-1": lambda study, claims, tests: plot_signals(study, tests),
    "figure-2": lambda study, claims, tests: plot_backbones(study),
    "figure-3": lambda study, claims, tests: plot_temporal(study),
    "figure-4": lambda study, claims, tests: plot_capacity(study),
    "figure-5": lambda study, claims, tests: plot_summary(study, claims),
}
