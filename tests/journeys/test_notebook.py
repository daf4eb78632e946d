"""The study's notebook runs from its first cell to its last on the smallest drawn corpus, and once more."""

import ast
import copy
import re
import sys
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from stf_mamba.datasets.miniature.corpus import MiniatureSettings
from stf_mamba.study.results import Study

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "stf-mamba-v8-ablation-study.ipynb"
ROWS = ("frame-dinov2", "v8")
PARAMETERS = {
    "FOLDER": "study",
    "ROWS": ["signals", "signals-compression", *ROWS],
    "CORPUS": asdict(MiniatureSettings.tiny()),
    "CORPUS_FRAMES": 16,
    "CRFS": (40,),
}


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def place(tmp_path_factory, corpus):
    place = tmp_path_factory.mktemp("notebook")
    (place / "study").mkdir()
    (place / "study" / "corpus").symlink_to(corpus.ffpp_root.parent)  # drawn already, with the same settings
    return place


@pytest.fixture(scope="module")
def runs(stored, place):
    """The notebook's cells as run, and the cells that run anything as run again after them."""
    notebook = _with_parameters(stored)
    once = len(notebook.cells)
    for cell in notebook.cells[:once]:
        if cell.id.endswith("-run"):
            notebook.cells.append(nbformat.from_dict({**cell, "id": f"{cell.id}-again"}))
    # Without folders to look in, the only kernel is that of the running interpreter.
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(notebook, km=manager, timeout=600, resources={"metadata": {"path": str(place)}})
    client.execute(cleanup_kc=True)  # the kernel ends with the notebook
    return notebook.cells[:once], notebook.cells[once:]


def test_every_cell_runs_and_shows_what_the_study_left(runs, place):
    cells, _ = runs
    study = Study.load(place / "study")
    assert set(study.finished) == set(ROWS)
    assert not study.not_run
    assert list(study.signals.compression) == ["source", "crf 40"]
    for name in ("report.html", "report.docx", "latex"):
        assert (place / "study" / "report" / name).exists()
    assert {"Setup", "Rows", "Claims", "Complete table"} <= set(re.findall(r"<h4>(.*?)</h4>", _html(cells)))
    for finished in study.finished.values():
        assert f">{finished.result.in_domain.auc.value:.3f} " in _html(cells)


def test_the_five_figures_stand_in_their_order(runs, place):
    cells, _ = runs
    pictures = [output for output in _outputs(cells) if "image/png" in output.get("data", {})]
    assert len(pictures) == 5
    assert re.findall(r"<em>(Figure \d)\.", _html(cells)) == [f"Figure {number}" for number in range(1, 6)]
    assert {path.name for path in (place / "study" / "plots").iterdir()} == {
        f"figure-{number}.{kind}" for number in range(1, 6) for kind in ("png", "svg", "pdf")
    }


def test_generated_footage_is_said_first(runs):
    cells, _ = runs
    said = next(cell for cell in cells if cell.id == "data").outputs[0]
    assert "say nothing about real deepfakes" in " ".join(said["text"].split())


def test_a_second_run_finds_everything_finished(runs, place):
    first, second = (
        re.findall(r"^(\S+): (finished|found finished|not run.*)$", _printed(cells), re.M) for cells in runs
    )
    assert first == [(key, "finished") for key in ROWS]
    assert second == [(key, "found finished") for key in ROWS]
    # The report was written between the two runs, so a row that is older was not written again.
    report = (place / "study" / "report" / "report.html").stat().st_mtime_ns
    assert all(path.stat().st_mtime_ns < report for path in place.glob("study/rows/*/row.json"))


def test_the_stored_notebook_is_valid_and_without_outputs(stored):
    nbformat.validate(stored)
    assert (stored.nbformat, stored.nbformat_minor) == (4, 5)
    assert stored.metadata.kernelspec.name == "python3"
    code = _code(stored.cells)
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert code[0].metadata.tags == ["parameters"]


def test_the_notebook_imports_the_library_and_little_else(stored):
    allowed = {"stf_mamba", *sys.stdlib_module_names} - {"os", "subprocess", "importlib", "runpy"}
    for cell in _code(stored.cells):
        names = _imported(ast.parse(cell.source))  # a shell line or a magic is no Python
        assert {name for name in names if name.split(".")[0] not in allowed} <= {"IPython.display"}


def test_no_result_is_typed_into_the_text(stored):
    text = " ".join(cell.source for cell in stored.cells if cell.cell_type == "markdown")
    assert set(re.findall(r"\d+\.\d+", text)) <= {"8.0", "0.5", "0.05"}  # the model's name, chance, the usual level


def _with_parameters(stored):
    """A copy of the notebook with this test's parameters in the tagged cell."""
    notebook = copy.deepcopy(stored)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    for name, value in PARAMETERS.items():
        assert re.search(rf"^{name} = ", parameters.source, re.M), f"the notebook has no parameter {name}"
        parameters.source += f"\n{name} = {value!r}"
    return notebook


def _code(cells):
    return [cell for cell in cells if cell.cell_type == "code"]


def _outputs(cells):
    return [output for cell in _code(cells) for output in cell.outputs]


def _html(cells):
    return "".join(output.get("data", {}).get("text/html", "") for output in _outputs(cells))


def _printed(cells):
    return "".join(output.text for output in _outputs(cells) if output.output_type == "stream")


def _imported(tree):
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names
