"""The report of one study, or of several side by side: the same tables and figures as HTML, DOCX and LaTeX."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.errors import UsageError
from stf_mamba.study.claims.claims import judge_claims
from stf_mamba.study.claims.comparisons import compare_rows
from stf_mamba.study.labels import study_labels
from stf_mamba.study.report.contents import Report, ReportFigure
from stf_mamba.study.results import Study, StudySettings
from stf_mamba.study.signals import tests_of
from stf_mamba.study.tables.experiments import study_tables

if TYPE_CHECKING:
    from stf_mamba.study.claims.claims import Claim
    from stf_mamba.study.signals import SignalTests

FORMATS = ("html", "docx", "latex")
TITLE = "Study of STF-Mamba V8.0"
GENERATED_WARNING = (
    "The footage of this study was drawn by a program. Its figures show that the study runs; they say nothing about "
    "real deepfakes."
)
REPORT_WARNING = (
    "The protocol “report” repeats the ablation report's way of training and testing with its known faults. Verdicts "
    "under it show what those faults do; they are no conclusions about detectors."
)
# Which table each figure stands under, and what it shows.
FIGURES = {
    "figure-1": (
        "signals",
        "Five forensic signals of real and manipulated videos by method, with effect and corrected p (A to E), and "
        "their AUC by level of compression (F)",
    ),
    "figure-2": (
        "backbones",
        "Encoders that judge single frames: validation AUC (a) and validation loss less training loss (b) by epoch, "
        "and AUC on the test videos beside reported values (c)",
    ),
    "figure-3": (
        "temporal",
        "EfficientNet-B0 with a bidirectional GRU: validation AUC by epoch over both training phases (a), and AUC on "
        "the test videos beside the frame-level row and reported values (b)",
    ),
    "figure-4": (
        "capacity",
        "Validation AUC of EfficientNet-B0 and B4 by epoch (a), trainable parameters and AUC of the backbones (b), and "
        "their AUC by data set beside reported values (c)",
    ),
    "figure-5": (
        "complete",
        "Finished rows by AUC, with reported values hatched (A), their trainable parameters and AUC (B), and the "
        "verdicts on the report's claims by step (C)",
    ),
}


def write_report(
    studies: Sequence[Study], out: str | os.PathLike[str], formats: Sequence[str] = FORMATS
) -> dict[str, Path]:
    """Write the report in each format. Returns the main file of each format, by its name.

    Figures lie in ``figures`` beside the pages; LaTeX has a folder of its own.

    Raises:
        UsageError: an unknown format, or no study.
        StfError: DOCX without python-docx.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UsageError(f"no report format {', '.join(unknown) or 'given'}; formats are {', '.join(FORMATS)}")
    if not studies:
        raise UsageError("no study to report; give the folder that stf study wrote with --out")
    root = Path(out)
    if "docx" in formats:
        from stf_mamba.study.report.word_document import require_docx

        require_docx()
    root.mkdir(parents=True, exist_ok=True)
    report = make_report(studies, root / "figures")
    return {name: _write(report, root, name) for name in formats}


def make_report(studies: Sequence[Study], figures: Path) -> Report:
    """Tables, figures and verdicts of the studies; the figures' files are put into their folder."""
    labels = study_labels(studies)
    verdicts: dict[str, list[str]] = {}
    compared = [compare_rows(study) for study in studies]
    tests = tests_of(studies)
    judged = [judge_claims(*found) for found in zip(studies, compared, tests, strict=True)]
    for label, claims in zip(labels, judged, strict=True):
        prefix = f"{label}: " if len(studies) > 1 else ""
        for claim in claims:
            verdicts.setdefault(claim.verdict.value, []).append(f"{prefix}{claim.text} — {claim.because}")
    settings = [study.settings for study in studies]
    trained = ", ".join(dict.fromkeys(f"{one.dataset} ({one.videos} videos, {one.design})" for one in settings))
    crossed = ", ".join(dict.fromkeys(one.cross_dataset or "none" for one in settings))
    return Report(
        title=TITLE,
        subtitle=f"Data set: {trained}. Second data set: {crossed}. Protocol: {', '.join(labels)}.",
        warnings=_warnings(settings),
        verdicts={word: tuple(said) for word, said in sorted(verdicts.items(), key=lambda item: _order(item[0]))},
        tables=study_tables(studies, compared, judged, tests),
        figures=_draw(studies, judged, tests, figures),
    )


def _warnings(settings: Sequence[StudySettings]) -> tuple[str, ...]:
    found = []
    if any(one.generated for one in settings):
        found.append(GENERATED_WARNING)
    if any(one.protocol == "report" for one in settings):
        found.append(REPORT_WARNING)
    return tuple(found)


def _order(verdict: str) -> int:
    words = ("supported", "refuted", "undecided", "not run")
    return words.index(verdict) if verdict in words else len(words)


def _draw(
    studies: Sequence[Study], judged: Sequence[Sequence[Claim]], tests: Sequence[SignalTests], folder: Path
) -> tuple[ReportFigure, ...]:
    from stf_mamba.study.figures.save import save_figures

    drawn = []
    labelled = zip(studies, study_labels(studies), judged, tests, strict=True)
    for place, (study, label, claims, found) in enumerate(labelled, start=1):
        own = folder if len(studies) == 1 else folder / f"study-{place}"
        own.mkdir(parents=True, exist_ok=True)
        saved = save_figures(study, own, claims, found)
        for key, (table, caption) in FIGURES.items():
            if saved.get(key):
                number = f"Figure {key.removeprefix('figure-')}"
                one_of = label if len(studies) > 1 else None
                name = f"{number} ({one_of})" if one_of else number
                drawn.append(ReportFigure(name, table, caption, tuple(saved[key]), one_of))
    return tuple(drawn)


def _write(report: Report, root: Path, name: str) -> Path:
    if name == "html":
        from stf_mamba.study.report.html_page import write_html

        return write_html(report, root / "report.html")
    if name == "docx":
        from stf_mamba.study.report.word_document import write_docx

        return write_docx(report, root / "report.docx")
    from stf_mamba.study.report.latex import write_latex

    return write_latex(report, root / "latex")
