"""What the command line says of itself: first steps, help of every verb, examples that hold."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
import typer
from typer.testing import CliRunner

from stf_mamba.cli import data, evaluation, options, study, training
from stf_mamba.cli.app import VERBS, app

HERE = Path(__file__).parent
NAMES = [verb.__name__ for verb in VERBS]


@pytest.fixture
def run(monkeypatch):
    """``stf`` in this process, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments: CliRunner().invoke(app, list(arguments), prog_name="stf")


def test_without_arguments_a_newcomer_sees_three_commands(run):
    said = run()
    assert said.exit_code == 0
    shown = [line.split()[1] for line in said.stdout.splitlines() if line.startswith("  stf ")]
    assert shown == ["doctor", "demo", "detect"]
    assert "stf --help" in said.stdout


def test_help_lists_every_verb_with_a_whole_sentence(run):
    said = run("-h")
    assert (said.exit_code, said.stdout) == (0, run("--help").stdout)
    listed = [line.split(maxsplit=1) for line in said.stdout.splitlines() if line[:2] == "  " and line[2:3].isalpha()]
    assert [words[0] for words in listed if words[0] in NAMES] == NAMES
    assert "..." not in said.stdout.partition("Commands:")[2]
    assert "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 " in " ".join(said.stdout.split())


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_verb_fits_80_columns_and_ends_with_an_example(run, name):
    said = run(name, "-h")
    assert (said.exit_code, said.stdout) == (0, run(name, "--help").stdout)
    lines = said.stdout.rstrip().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-2].strip() == "Example:"
    assert lines[-1].strip().startswith(f"stf {name}")


@pytest.fixture
def newcomers_folder(tmp_path, monkeypatch):
    """A working directory in which everything lies that the examples name."""
    folders = ("FaceForensics++", "clips/ab/manifests", "runs/v8", "recipes", "study")
    files = ("suspect.mp4", "vit.pth", "recipes/v8.toml", "runs/v8/recipe.toml", "study/study.json")
    clips = ("clips/ab/settings.json", "clips/ab/manifests/celebdf.json")
    for name in folders:
        (tmp_path / name).mkdir(parents=True)
    for name in (*files, *clips):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("verb", VERBS, ids=NAMES)
@pytest.mark.usefixtures("newcomers_folder")
def test_the_example_is_a_command_that_the_verb_takes(verb):
    stf, name, *arguments = shlex.split(VERBS[verb])
    assert (stf, name) == ("stf", verb.__name__)
    command = typer.main.get_command(app).commands[name]
    context = command.make_context(name, arguments)  # reads and checks the arguments, and runs nothing
    assert context.params


def test_the_examples_recipe_is_one_that_is_shipped():
    assert (HERE.parents[1] / "recipes" / "v8.toml").is_file()


def test_help_and_version_import_nothing_heavy():
    commands = [[], ["--help"], ["--version"], *([name, "--help"] for name in NAMES)]
    done = subprocess.run(
        [sys.executable, HERE / "bare_process.py"],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [found["exit_code"] for found in json.loads(done.stdout)] == [0] * len(commands)


def test_help_does_without_rich_and_pydantic():
    code = """
import sys
from stf_mamba.cli.app import app
app(["--help"], prog_name="stf", standalone_mode=False)
print(*sorted({"rich", "pydantic"} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Commands:" in done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    ("typed", "offered"), [("stf cro", "crossvalidate"), ("stf train --cache-", "--cache-storage")]
)
def test_the_shell_completes_verbs_and_options(typed, offered):
    words = {"_STF_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    assert CliRunner().invoke(app, [], prog_name="stf", env=words).stdout.split() == [offered]


def test_weights_without_an_encoder_tell_which_ones_they_fit(run, tmp_path):
    from stf_mamba.core.recipe import EncoderRecipe
    from stf_mamba.models.encoders.registry import build_encoder
    from stf_mamba.models.weights.loading import save_state_dict

    path = tmp_path / "w.safetensors"
    save_state_dict(build_encoder(EncoderRecipe("cnn_miniature", trainable_blocks=0)).network.state_dict(), path)
    assert run("weights", str(path)).stdout.startswith(f"{path} fits cnn_miniature; sha256 ")
    save_state_dict({"fc.weight": torch.zeros(1)}, path)
    refused = run("weights", str(path))
    assert refused.exit_code == 1
    assert "fits none of" in refused.output
    assert "add --encoder NAME" in " ".join(refused.output.split())


def test_choices_are_the_librarys():
    from stf_mamba.clips.records import ClipSettings
    from stf_mamba.datasets import DATASETS, celebdf
    from stf_mamba.evaluation import fold_results, protocol
    from stf_mamba.study.budgets import BUDGETS
    from stf_mamba.study.report.write import FORMATS
    from stf_mamba.training import crossvalidation
    from stf_mamba.training.cache import prefix_cache

    assert get_args(data.DatasetKind) == tuple(DATASETS)
    assert get_args(data.CelebDFPart) == get_args(celebdf.Part)
    assert get_args(data.Sampling) == get_args(get_type_hints(ClipSettings)["sampling"])
    assert set(get_args(evaluation.PartChoice)) == {"auto", *get_args(protocol.Part)}
    assert get_args(options.Grouping) == get_args(fold_results.Grouping)
    assert set(get_args(options.Storage)) == set(get_args(prefix_cache.StorageType))
    assert get_args(training.Select) == get_args(crossvalidation.Select)
    assert set(get_args(training.ThresholdRule)) == set(get_args(fold_results.ThresholdRule))
    assert get_args(study.BudgetName) == tuple(BUDGETS)
    assert study.FORMATS == FORMATS
