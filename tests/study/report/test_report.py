"""The report in its three formats, read back."""

import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fabricated_study import fabricated_study
from stf_mamba.cli.app import app
from stf_mamba.core.errors import StfError, UsageError
from stf_mamba.study.claims.claims import judge_claims
from stf_mamba.study.claims.comparisons import compare_rows
from stf_mamba.study.claims.rules import ClaimVerdict
from stf_mamba.study.figures import save
from stf_mamba.study.report.contents import Report
from stf_mamba.study.report.html_page import whole_intervals
from stf_mamba.study.report.latex import column_spec, escaped, latex_table
from stf_mamba.study.report.word_document import write_docx
from stf_mamba.study.report.write import GENERATED_WARNING, TITLE, write_report
from stf_mamba.study.results import Study
from stf_mamba.study.tables.table import Table

SEPARATION = {"frame-efficientnet-b0": 6.0, "frame-efficientnet-b4": 0.0, "v8": 8.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """B0 separates all videos, B4 none, and V8.0 all with a stand-in for its encoder."""
    root = tmp_path_factory.mktemp("report") / "study"
    return fabricated_study(root, separation=SEPARATION, seeds=(42,), with_signals=False)


@pytest.fixture(scope="module")
def written(study: Study, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Its report in every format."""
    return write_report([study], tmp_path_factory.mktemp("report") / "out")


@pytest.fixture
def _one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw Figure 2 alone, where others would only take time."""
    monkeypatch.setattr(save, "FIGURES", {"figure-2": save.FIGURES["figure-2"]})


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_beside_it_and_leads_to_every_table(written: dict[str, Path]) -> None:
    html = written["html"].read_text()
    page = Page(html)
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    places = {f"#{attributes['id']}" for _, attributes in page.tags if "id" in attributes}
    assert len(links) == 11
    assert set(links) <= places
    pictures = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 5
    assert all(source.startswith("data:image/") for source in pictures)
    assert not re.search(r"(src|href)=\"(https?:|//)", html)
    assert not any(tag in ("script", "link") for tag, _ in page.tags)


def test_the_page_begins_with_the_warning_and_the_counted_verdicts(study: Study, written: dict[str, Path]) -> None:
    page = Page(written["html"].read_text())
    text = " ".join(page.text.split())
    assert text.index(GENERATED_WARNING) < text.index("What may be concluded") < text.index("Contents")
    concluded = text.split("What may be concluded")[1].split("Contents")[0]
    claims = {claim.key: claim for claim in judge_claims(study, compare_rows(study))}
    for verdict, count in Counter(claim.verdict.value for claim in claims.values()).items():
        assert f"{count} {verdict}" in concluded
    for claim in claims.values():
        assert " ".join(f"{claim.text} — {claim.because}".split()) in concluded
    assert claims["b4-below-b0"].verdict is ClaimVerdict.SUPPORTED
    assert claims["variance-separates"].verdict is ClaimVerdict.SUPPORTED
    assert claims["v8-target"].verdict is ClaimVerdict.NOT_RUN  # a stand-in decides nothing about the encoder itself


def test_document_and_latex_list_every_claim(study: Study, written: dict[str, Path]) -> None:
    from docx import Document

    claims = judge_claims(study, compare_rows(study))
    document = Document(str(written["docx"]))
    said = [paragraph.text for paragraph in document.paragraphs]
    for verdict, count in Counter(claim.verdict.value for claim in claims).items():
        assert f"{verdict.capitalize()}: {count}" in said
    for claim in claims:
        assert f"{claim.text} — {claim.because}" in said
    latex = (written["latex"].parent / "claims.tex").read_text()
    assert all(escaped(claim.text) in latex for claim in claims)


def test_the_document_repeats_header_rows_and_turns_wide_pages(written: dict[str, Path]) -> None:
    from docx import Document

    document = Document(str(written["docx"]))
    assert document.core_properties.title == TITLE
    assert len(document.inline_shapes) == 5
    tables = document.tables
    assert len(tables) == 11
    assert all("w:tblHeader" in table.rows[0]._tr.xml for table in tables)
    assert not any("w:tblHeader" in table.rows[1]._tr.xml for table in tables)
    turned = {section.page_width > section.page_height for section in document.sections}
    assert turned == {True, False}
    text = [paragraph.text for paragraph in document.paragraphs]
    assert GENERATED_WARNING in text
    assert any(line.startswith("Figure 2. ") for line in text)


def test_the_document_of_the_same_report_is_the_same_file(tmp_path: Path) -> None:
    report = Report("Title", "", (), {}, (Table("t", "T", ("a",), (("1",),)),), ())
    assert write_docx(report, tmp_path / "a.docx").read_bytes() == write_docx(report, tmp_path / "b.docx").read_bytes()


def test_without_python_docx_the_error_says_what_to_install(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "docx", None)
    with pytest.raises(StfError, match=re.escape("pip install 'stf-mamba[report]'")):
        write_report([study], tmp_path / "out", ["docx"])
    assert not (tmp_path / "out").exists()


def test_latex_escapes_every_character_with_a_meaning() -> None:
    assert escaped("50 % of a_b & #1 $x^2~{y}") == (
        r"50 \% of a\_b \& \#1 \$x\textasciicircum{}2\textasciitilde{}\{y\}"
    )
    assert escaped("\\cmd <p> [0.1, 0.2]") == r"\textbackslash{}cmd \textless{}p\textgreater{} {[}0.1, 0.2{]}"


def test_latex_tables_have_as_many_cells_as_columns(written: dict[str, Path]) -> None:
    main = written["latex"]
    names = re.findall(r"\\input\{(.+?)\}", main.read_text())
    assert len(names) == 11
    for name in names:
        text = (main.parent / f"{name}.tex").read_text()
        columns = text.split(r"\begin{longtable}")[1].splitlines()[0].count("p{")
        rows = [line for line in text.splitlines() if line.endswith(r"\\") and not line.startswith(r"\caption")]
        assert rows
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {columns}
        for command in (r"\toprule", r"\midrule", r"\bottomrule"):
            assert command in text
        plain = re.sub(r"\\[%&#_${}]|\$\\[a-z]+\$|\$-\$", "", text)
        assert not re.search(r"[%#_$]", re.sub(r"tab:.*", "", plain))
        assert text.isascii()
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_turns_wide_tables_and_sets_figures_beside_their_table(written: dict[str, Path]) -> None:
    main = written["latex"]
    text = main.read_text()
    assert text.index(r"\input{backbones}") < text.index(r"../figures/figure-2.pdf") < text.index(r"\input{temporal}")
    turned = {path.stem for path in main.parent.glob("*.tex") if r"\begin{landscape}" in path.read_text()}
    assert {"signals", "compression", "compression-change", "complete"} <= turned
    assert not {"claims", "setup", "tables"} & turned


def test_latex_columns_fit_the_page_and_reported_cells_are_set_apart() -> None:
    table = Table("t", "T", ("Name", "AUC (reported)"), (("a" * 300, "0.619"), ("b", "0.526")))
    shares = [float(share) for share in re.findall(r"dimexpr ([0-9.]+)", column_spec(table))]
    assert len(shares) == 2
    assert sum(shares) <= 1
    assert r"\textit{0.619}" in latex_table(table)
    assert r"\textit{b}" not in latex_table(table)


@pytest.mark.parametrize("columns", [4, 17])
def test_columns_of_a_document_fill_the_page_and_hold_their_longest_word(columns: int, tmp_path: Path) -> None:
    from docx import Document

    rows = (("chromatic autocorrelation", *["0.5"] * (columns - 1)), ("SRM", *["[−0.264, +0.474]"] * (columns - 1)))
    made = Table("t", "T", tuple(f"Column {number}" for number in range(columns)), rows)
    (table,) = Document(str(write_docx(Report("Title", "", (), {}, (made,), ()), tmp_path / "a.docx"))).tables
    wide = columns > 6
    widths_mm = [column.width.mm for column in table.columns]
    assert sum(widths_mm) == pytest.approx(267 if wide else 180, abs=1)
    assert [cell.width.mm for cell in table.rows[1].cells] == widths_mm
    for place, width_mm in enumerate(widths_mm):
        longest = max((word for row in table._tbl.tr_lst for word in _words(row.tc_lst[place])), key=len)
        # Half an em is what a letter takes on average.
        assert len(longest) * 0.5 * (7 if wide else 8.5) * 25.4 / 72 <= width_mm, longest


def _words(cell) -> list[str]:
    return "".join(node.text or "" for node in cell.iter() if node.tag.endswith("}t")).split()


def test_intervals_stay_on_one_line_of_the_page_and_nothing_passes_unescaped() -> None:
    assert whole_intervals("a < b: +0.1 [−0.2, +0.4]") == ('a &lt; b: +0.1 <span class="whole">[−0.2, +0.4]</span>')


@pytest.mark.usefixtures("_one_figure")
def test_two_studies_have_their_figures_apart(study: Study, tmp_path: Path) -> None:
    other = fabricated_study(tmp_path / "other", "folds", {"v8": 1.0}, with_signals=False, protocol="report")
    written = write_report([study, other], tmp_path / "out", ["html", "latex"])
    html, latex = (written[name].read_text() for name in ("html", "latex"))
    assert (tmp_path / "out/figures/study-1/figure-2.svg").is_file()
    assert (tmp_path / "out/figures/study-2/figure-2.svg").is_file()
    assert html.count("<figure>") == 2
    assert "report: V8.0 reaches an AUC of 0.90." in html
    assert "Figure 2 (right). " in html
    assert "Figure 2 (report). " in html
    assert html.count("with its known faults") == 1
    assert "(right)}" in latex
    assert "(report)}" in latex


def test_only_the_reports_own_protocol_is_warned_of(written: dict[str, Path]) -> None:
    assert "with its known faults" not in written["html"].read_text()


def test_unknown_formats_and_no_study_are_wrong_usage(study: Study, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no report format pdf; formats are html, docx, latex"):
        write_report([study], tmp_path, ["html", "pdf"])
    with pytest.raises(UsageError, match="no study"):
        write_report([], tmp_path)


@pytest.mark.usefixtures("_one_figure")
def test_the_verb_writes_into_the_first_studys_folder(study: Study) -> None:
    done = CliRunner().invoke(app, ["report", str(study.folder), "--format", "html,latex"])
    assert done.exit_code == 0, done.output
    assert (study.folder / "report" / "report.html").is_file()
    assert (study.folder / "report" / "latex" / "tables.tex").is_file()
    assert not (study.folder / "report" / "report.docx").exists()
    assert "report.html" in done.output


def test_the_verb_says_where_no_study_is(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 2
    assert "study.json" in done.output.replace("\n", "")
