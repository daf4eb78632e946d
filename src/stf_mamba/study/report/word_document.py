"""A study's report as a Word document."""

from __future__ import annotations

import os
import zipfile
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stf_mamba.core.errors import StfError
from stf_mamba.core.files import write_bytes_atomically
from stf_mamba.study.tables.table import Table, column_shares

if TYPE_CHECKING:
    from stf_mamba.study.report.contents import Report, ReportFigure

# The same study gives the same file: no time of writing goes in.
WRITTEN = datetime(2000, 1, 1, tzinfo=UTC)
PORTRAIT_MM, LANDSCAPE_MM, MARGIN_MM = (210, 297), (297, 210), 15
CELL_MARGIN_MM = 0.7
SMALL_PT, NORMAL_PT = 7, 8.5
REPORTED_SHADE = "EDEFF1"


def require_docx() -> None:
    """Check that python-docx is there.

    Raises:
        StfError: it is not.
    """
    try:
        import docx  # noqa: F401
    except ImportError:
        raise StfError(
            "python-docx is not installed, and a Word report needs it; pip install 'stf-mamba[report]', or leave "
            "docx out of --format"
        ) from None


def write_docx(report: Report, path: str | os.PathLike[str]) -> Path:
    """Write the document: tables with repeated header rows, wide ones on landscape pages. Returns its path.

    Raises:
        StfError: python-docx is not installed.
    """
    require_docx()
    from docx import Document

    document = Document()
    properties = document.core_properties
    properties.title, properties.subject = report.title, report.subtitle
    properties.author = properties.last_modified_by = "STF-Mamba"
    properties.created = properties.modified = WRITTEN
    properties.comments = " ".join(report.warnings)
    _turn(document.sections[0], wide=False)
    _opening(document, report)
    for number, table in enumerate(report.tables, start=1):
        _page_for(document, wide=table.is_wide)
        document.add_heading(table.title, level=1)
        caption = document.add_paragraph(f"Table {number}. {table.title}", style="Caption")
        caption.paragraph_format.keep_with_next = True
        _table(document, table)
        for note in table.notes:
            document.add_paragraph(note, style="List Bullet")
        for figure in report.figures_of(table):
            _figure(document, figure)
    content = BytesIO()
    document.save(content)
    return write_bytes_atomically(path, _without_times(content))


def _opening(document: Any, report: Report) -> None:
    document.add_heading(report.title, level=0)
    document.add_paragraph(report.subtitle)
    for warning in report.warnings:
        document.add_paragraph().add_run(warning).bold = True
    document.add_heading("What may be concluded", level=1)
    if not report.verdicts:
        document.add_paragraph("No claim was judged.")
    for verdict, claims in report.verdicts.items():
        document.add_heading(f"{verdict.capitalize()}: {len(claims)}", level=2)
        for claim in claims:
            document.add_paragraph(claim, style="List Bullet")


def _page_for(document: Any, wide: bool) -> None:
    """Go on in the wanted direction; only a turn starts a page of its own."""
    from docx.enum.section import WD_SECTION

    section = document.sections[-1]
    if (section.page_width > section.page_height) != wide:
        _turn(document.add_section(WD_SECTION.NEW_PAGE), wide)


def _turn(section: Any, wide: bool) -> None:
    from docx.enum.section import WD_ORIENT
    from docx.shared import Mm

    width, height = LANDSCAPE_MM if wide else PORTRAIT_MM
    section.orientation = WD_ORIENT.LANDSCAPE if wide else WD_ORIENT.PORTRAIT
    section.page_width, section.page_height = Mm(width), Mm(height)
    section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Mm(MARGIN_MM)


def _table(document: Any, table: Table) -> None:
    from docx.oxml import OxmlElement
    from docx.shared import Emu

    if not table.rows:
        document.add_paragraph("not run")
        return
    made = document.add_table(rows=0, cols=len(table.columns), style="Table Grid")
    made.autofit = False
    _set_cell_margins(made)
    widths = [Emu(int(share * _text_width(document))) for share in column_shares(table)]
    for column, width in zip(made.columns, widths, strict=True):
        column.width = width
    for place, cells in enumerate((table.columns, *table.rows)):
        row = made.add_row()
        properties = row._tr.get_or_add_trPr()
        properties.append(OxmlElement("w:cantSplit"))
        if place == 0:
            properties.append(OxmlElement("w:tblHeader"))
        for column, (cell, text) in enumerate(zip(row.cells, cells, strict=True)):
            cell.width = widths[column]
            _write_cell(cell, text, place == 0, column in table.reported_columns, table.is_wide)


def _set_cell_margins(made: Any) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Mm

    margins = OxmlElement("w:tblCellMar")
    for side in ("left", "right"):
        margin = OxmlElement(f"w:{side}")
        margin.set(qn("w:w"), str(int(Mm(CELL_MARGIN_MM).twips)))
        margin.set(qn("w:type"), "dxa")
        margins.append(margin)
    properties = made._tbl.tblPr
    look = properties.find(qn("w:tblLook"))  # the schema wants the margins before it
    if look is None:
        properties.append(margins)
    else:
        look.addprevious(margins)


def _text_width(document: Any) -> int:
    section = document.sections[-1]
    return int(section.page_width - section.left_margin - section.right_margin)


def _write_cell(cell: Any, text: str, bold: bool, reported: bool, small: bool) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Pt

    paragraph = cell.paragraphs[0]
    paragraph.paragraph_format.space_after = Pt(0)
    run = paragraph.add_run(text)
    run.font.size, run.bold, run.italic = Pt(SMALL_PT if small else NORMAL_PT), bold, reported
    if reported:
        shade = OxmlElement("w:shd")
        for name, value in (("val", "clear"), ("color", "auto"), ("fill", REPORTED_SHADE)):
            shade.set(qn(f"w:{name}"), value)
        cell._tc.get_or_add_tcPr().append(shade)


def _figure(document: Any, figure: ReportFigure) -> None:
    from docx.shared import Emu

    picture = figure.file(".png")
    if picture is None:
        return
    section = document.sections[-1]
    height = section.page_height - section.top_margin - section.bottom_margin
    shape = document.add_picture(str(picture), width=Emu(_text_width(document)))
    highest = int(0.85 * height)
    if shape.height > highest:
        shape.width, shape.height = Emu(int(shape.width * highest / shape.height)), Emu(highest)
    document.paragraphs[-1].paragraph_format.keep_with_next = True
    document.add_paragraph(f"{figure.name}. {figure.caption}", style="Caption")


def _without_times(content: BytesIO) -> bytes:
    """The same archive with a fixed time in every entry."""
    written = BytesIO()
    with zipfile.ZipFile(content) as source, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            entry = zipfile.ZipInfo(name, WRITTEN.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, source.read(name))
    return written.getvalue()
