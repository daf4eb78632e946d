"""What ``import stf_mamba`` gives: quickly, completely, and in words where it gives nothing."""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import stf_mamba

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_dir_shows_the_interface_and_every_name_of_it_is_there():
    assert {"load_detector", "train", "evaluate", "metrics", "datasets", "Recipe"} <= set(stf_mamba.__all__)
    assert dir(stf_mamba) == sorted((*stf_mamba.__all__, "__version__"))
    assert all(getattr(stf_mamba, name) is not None for name in dir(stf_mamba))


def test_a_star_import_takes_all_of_it():
    taken = {}
    exec("from stf_mamba import *", taken)
    assert set(stf_mamba.__all__) <= set(taken)
    assert taken["train"] is stf_mamba.train


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'detect'; it has Detector, .*load_detector, .*train"):
        stf_mamba.detect  # noqa: B018


def test_the_version_has_one_home():
    declared = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]
    assert stf_mamba.__version__ == metadata.version("stf-mamba") == declared


def test_importing_it_imports_nothing_else():
    code = "import sys; before = set(sys.modules); import stf_mamba; dir(stf_mamba); print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} <= {"stf_mamba", *sys.stdlib_module_names}
