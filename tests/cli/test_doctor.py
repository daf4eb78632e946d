"""`stf doctor`: what this machine has, and for whatever is missing the next step and exit code 1."""

import json
from importlib.metadata import PackageNotFoundError, version

import pytest
from typer.testing import CliRunner

from stf_mamba.cli import doctor
from stf_mamba.cli.app import app
from stf_mamba.core.errors import WeightsError


def test_a_machine_that_can_run_the_tests_has_no_problem():
    told = CliRunner().invoke(app, ["doctor", "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["problems"] == []
    assert found["facts"]["torch"] == version("torch")
    assert found["facts"]["face detector"] == "mtcnn-1.0.0"
    assert found["facts"]["encoders"] == f"timm {version('timm')}"
    plain = CliRunner().invoke(app, ["doctor"])
    assert plain.exit_code == 0
    assert {line.split()[0] for line in plain.stdout.splitlines()} == {name.split()[0] for name in found["facts"]}


@pytest.fixture
def bare(monkeypatch):
    """A machine with neither an encoder, nor the detector's weights, nor timm, nor TensorBoard."""

    def missing(*arguments):
        raise WeightsError("the face detector's weights are not installed; pip install mtcnn==1.0.0")

    def no_timm():
        raise ImportError("no module timm")

    def no_package(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "NEEDED_CODECS", (("h264", "r"), ("no_such_codec", "r"), ("no_such_codec", "w")))
    monkeypatch.setattr(doctor, "load_face_detector", missing)
    monkeypatch.setattr(doctor, "import_timm", no_timm)
    monkeypatch.setattr(doctor, "version", no_package)


def test_what_is_missing_is_said_with_the_next_step(bare):
    told = CliRunner().invoke(app, ["doctor", "--json"])
    assert told.exit_code == 1
    found = json.loads(told.stdout)
    decoder, encoder, detector, timm = found["problems"]
    assert decoder == "this build of PyAV has no no_such_codec decoder; install av from PyPI"
    assert encoder == "this build of PyAV has no no_such_codec encoder; install av from PyPI"
    assert "pip install mtcnn==1.0.0" in detector
    assert timm == "timm cannot be imported (no module timm); reinstall torch, torchvision and timm together"
    assert not {"face detector", "encoders"} & set(found["facts"])
    assert "pip install 'stf-mamba[tensorboard]'" in found["facts"]["tensorboard"]


def test_each_problem_has_a_line_of_its_own(bare):
    told = CliRunner().invoke(app, ["doctor"])
    assert told.exit_code == 1
    assert [line.startswith("problem: ") for line in told.stdout.splitlines()[-4:]] == [True] * 4
    assert told.stdout.count("problem: ") == 4
