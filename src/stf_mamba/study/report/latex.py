"""A study's tables and figures as LaTeX: one file a table, and one that inputs them all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.files import write_text_atomically
from stf_mamba.study.tables.table import Table, column_shares

if TYPE_CHECKING:
    from stf_mamba.study.report.contents import Report, ReportFigure

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    # A bracket at the start of a row would be read as an argument of the \\ before it.
    "[": "{[}",
    "]": "{]}",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": r"$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "–": "--",
    "—": "---",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "†": r"\dag{}",
    "²": r"$^2$",
    "·": r"$\cdot$",
    "√": r"$\surd$",
}
TEXT_WIDTH = 0.97


def write_latex(report: Report, folder: str | os.PathLike[str]) -> Path:
    """Write a ``.tex`` file for each table and ``tables.tex``, which inputs them with their figures. Returns its path.

    The document needs the packages that the first line of ``tables.tex`` names, and is built in this folder.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for table in report.tables:
        write_text_atomically(root / f"{table.key}.tex", latex_table(table))
    lines = [r"% \usepackage{booktabs,longtable,array,graphicx,pdflscape}"]
    lines += [rf"\textbf{{{escaped(warning)}}}" + "\n" for warning in report.warnings]
    for table in report.tables:
        lines.append(rf"\input{{{table.key}}}")
        lines += [line for figure in report.figures_of(table) for line in _figure(figure, root)]
    return write_text_atomically(root / "tables.tex", "\n".join(lines) + "\n")


def _figure(figure: ReportFigure, root: Path) -> tuple[str, ...]:
    picture = figure.file(".pdf", ".png")
    if picture is None:
        return ()
    of_study = f" ({figure.study})" if figure.study else ""
    path = Path(os.path.relpath(picture, root)).as_posix()
    return (
        r"\begin{figure}[htbp]\centering",
        rf"\includegraphics[width=\linewidth,height=0.85\textheight,keepaspectratio]{{{path}}}",
        rf"\caption{{{escaped(figure.caption + of_study)}}}",
        r"\end{figure}",
    )


def latex_table(table: Table) -> str:
    """The table as a ``longtable`` whose head repeats, on its side where wide; reported columns are in italics."""
    head = " & ".join(rf"\textbf{{{escaped(name)}}}" for name in table.columns) + r" \\"
    body = [
        " & ".join(
            rf"\textit{{{escaped(cell)}}}" if place in table.reported_columns else escaped(cell)
            for place, cell in enumerate(row)
        )
        + r" \\"
        for row in table.rows
    ]
    lines = [
        *([r"\begin{landscape}"] if table.is_wide else []),
        r"{\scriptsize\setlength{\tabcolsep}{2pt}",
        rf"\begin{{longtable}}{{{column_spec(table)}}}",
        rf"\caption{{{escaped(table.title)}}}\label{{tab:{table.key}}} \\",
        r"\toprule",
        head,
        r"\midrule",
        r"\endfirsthead",
        r"\toprule",
        head,
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endlastfoot",
        *(body or [rf"\multicolumn{{{len(table.columns)}}}{{l}}{{not run}} \\"]),
        r"\end{longtable}",
        *(rf"\noindent {escaped(note)}\par" for note in table.notes),
        "}",
        *([r"\end{landscape}"] if table.is_wide else []),
    ]
    return "\n".join(lines) + "\n"


def column_spec(table: Table) -> str:
    """One paragraph column for each column, as wide as its text asks for within the page."""
    shares = [TEXT_WIDTH * share for share in column_shares(table)]
    return "".join(
        rf">{{\raggedright\arraybackslash}}p{{\dimexpr {share:.4f}\linewidth-2\tabcolsep\relax}}" for share in shares
    )


def escaped(text: str) -> str:
    """The text with every character that LaTeX would read as a command written out."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))
