"""A study's report as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.files import write_text_atomically

if TYPE_CHECKING:
    from markupsafe import Markup

    from stf_mamba.study.report.contents import Report, ReportFigure

MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def write_html(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write the page, its figures inside. Returns its path."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("stf_mamba.study.report"), autoescape=select_autoescape(("html.j2",)), trim_blocks=True
    )
    environment.filters["whole_intervals"] = whole_intervals
    page = environment.get_template("study_report.html.j2").render(report=report, picture=picture_uri)
    return write_text_atomically(path, page)


def whole_intervals(text: str) -> Markup:
    """The text for a page, escaped, with every interval in brackets kept on one line."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"\[[^\[\]]+\]", r'<span class="whole">\g<0></span>', str(escape(text))))


def picture_uri(figure: ReportFigure) -> str | None:
    """The figure as a data URI; ``None`` where it was saved in no format that a browser shows."""
    path = figure.file(".svg", ".png")
    if path is None:
        return None
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
