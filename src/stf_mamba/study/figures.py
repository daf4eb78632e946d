"""The study's five figures, drawn from what it left on the disk."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.atomic import write_bytes_atomically
from stf_mamba.study.claims import judge_claims
from stf_mamba.study.figure_backbones import plot_backbones
from stf_mamba.study.figure_capacity import plot_capacity
from stf_mamba.study.figure_signals import plot_signals
from stf_mamba.study.figure_summary import plot_summary
from stf_mamba.study.figure_temporal import plot_temporal
from stf_mamba.study.results import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
DPI = 200


def save_figures(study: Study, out: Path) -> dict[str, tuple[Path, ...]]:
    """Draw every figure into the folder ``out``; the same study gives the same bytes. Returns the files by figure."""
    out.mkdir(parents=True, exist_ok=True)
    return {name: save_formats(draw(study), out / name) for name, draw in FIGURES.items()}


def save_formats(figure: Figure, path: Path) -> tuple[Path, ...]:
    """Write a figure as PNG, SVG and PDF without dates. ``path`` has no suffix."""
    import matplotlib

    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    written = []
    with matplotlib.rc_context({"svg.hashsalt": path.name, "hatch.linewidth": 0.5}):
        for kind in FORMATS:
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=DPI, metadata=undated[kind])
            written.append(write_bytes_atomically(path.with_name(f"{path.name}.{kind}"), content.getbuffer()))
    return tuple(written)


def _summary(study: Study) -> Figure:
    return plot_summary(study, judge_claims(study))


FIGURES: dict[str, Callable[[Study], Figure]] = {
    "figure-1": plot_signals,
    "figure-2": plot_backbones,
    "figure-3": plot_temporal,
    "figure-4": plot_capacity,
    "figure-5": _summary,
}
