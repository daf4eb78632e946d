"""The scripts of ``examples/``, on the corpus and the run of the journeys in the place of the demonstration's."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import stf_mamba as stf
from stf_mamba.cli.app import app
from stf_mamba.core.records import FAKE, REAL, Outcome
from stf_mamba.evaluation.predictions import Prediction, Predictions

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(home, tmp_path, monkeypatch, capsys):
    """Runs a script by name in a folder of its own; gives what it printed."""
    demo = tmp_path / "demo"
    demo.mkdir()
    (demo / "corpus").symlink_to(home.corpus.ffpp_root.parent)
    (demo / "run").symlink_to(home.run)
    _predictions().save(demo / "predictions-miniature-ffpp-c23.csv")
    monkeypatch.setenv("STF_DEMO", str(demo))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def _predictions():
    """Five people; of each a real video and two fakes, one of which a method makes worse than the other."""
    rows = []
    for person in range(5):
        for method, label, score in (("real", REAL, 0.0), ("good", FAKE, -1.0), ("bad", FAKE, 1.0 + person)):
            name = f"ffpp/{method}/{person:03}"
            rows.append(Prediction(name, name, label, (f"p{person}",), method, "c23", score, Outcome.INCONCLUSIVE, 1))
    return Predictions(tuple(rows), {"dataset": "ffpp-c23", "level": "video"})


def test_detect_a_video(example, tmp_path):
    said = example("detect_a_video.py")
    verdict = json.loads((tmp_path / "verdicts" / "verdict.json").read_text(encoding="utf-8"))
    assert said[0].startswith(stf.Outcome(verdict["outcome"]).words)
    assert [line.strip() for line in said[1:-2]] == verdict["reasons"]
    assert "<html" in (tmp_path / "verdicts" / "verdict.html").read_text(encoding="utf-8")


def test_train_and_evaluate(example, tmp_path):
    said = example("train_and_evaluate.py")
    run = stf.Run.load(tmp_path / "runs" / "example")
    assert run.is_complete
    predictions = Predictions.load(run.folder / "predictions-celebdf.csv")
    assert predictions.stamp["trained_on"] == "miniature-ffpp-c23"
    assert said[-1] == str(stf.metrics.auc(predictions))


def test_read_predictions(example):
    said = example("read_predictions.py")
    assert said[0].split() == ["dataset", "ffpp-c23"]
    assert said[5] == "coverage     1.000 of 15 videos"
    # The bad fakes lie above every real video, the good ones below.
    assert said[6].startswith("AUC 0.500 [")
    assert [line.split(" [")[0] for line in said[9:]] == ["bad: AUC 1.000", "good: AUC 0.000"]


def test_audit_a_split(example):
    said = example("audit_a_split.py")
    assert said[0].startswith("videos at random: 6 train, 6 validate; shared: ")
    assert "target" in said[0]
    assert said[-1].endswith("shared: nothing")


def test_signals_of_a_clip(example, home, tmp_path):
    said = example("signals_of_a_clip.py")
    asked = ["signals", str(home.corpus.held_out), "--json", "--out", str(tmp_path / "signals")]
    (video,) = json.loads(CliRunner().invoke(app, asked).stdout)["videos"]
    for line, signal in zip(said[1:], video["signals"], strict=True):
        assert line.endswith(f"{signal['title']:<28} {signal['value']:.4g} {signal['unit']}")
