"""The verb that reports a study: ``stf report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stf_mamba.cli_options import reports_errors


@reports_errors
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="STUDY...", help="Folders that stf study wrote; several stand side by side.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The report's folder; report in the first study's folder without it.")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Any of html, docx and latex, separated by commas.")
    ] = "html,docx,latex",
) -> None:
    """Report studies from their files alone: tables, figures and what may be concluded."""
    from stf_mamba.study.report.write import write_report
    from stf_mamba.study.results import Study

    studies = [Study.load(folder) for folder in runs]
    names = tuple(dict.fromkeys(name.strip() for name in formats.split(",") if name.strip()))
    for name, path in write_report(studies, out or runs[0] / "report", names).items():
        typer.echo(f"{name}: {path}")
