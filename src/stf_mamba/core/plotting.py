"""Figures of runs. Computing stands apart: what is drawn comes from histories and predictions."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.files import write_bytes_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Okabe and Ito's colours, which stay apart for colour-blind readers.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure in the format of the path's suffix, whole or not at all. Returns its path."""
    target = Path(path)
    content = io.BytesIO()
    figure.savefig(content, format=target.suffix.removeprefix("."), dpi=150)
    return write_bytes_atomically(target, content.getbuffer())
