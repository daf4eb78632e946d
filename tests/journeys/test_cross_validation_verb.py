"""`stf crossvalidate`: every video is held out once, and what is printed follows from what is written."""

import json
import shutil
from itertools import product

import pytest
from terminal import stf

from stf_mamba.evaluation.predictions import Predictions

NAME = "miniature-strangers"


@pytest.fixture(scope="module")
def cross_validated(home, tmp_path_factory):
    """The command and its answer: three folds of the miniature, one epoch each, with two strangers as the control."""
    folder = tmp_path_factory.mktemp("cross-validation")
    recipe = folder / "short.toml"
    short = home.recipe.read_text().replace("warmup_epochs = 1", "warmup_epochs = 0")
    recipe.write_text(short.replace("epochs = 4", "epochs = 1"))
    clips = shutil.copytree(home.clips, folder / "clips")
    strangers = sorted(home.corpus.celebdf_root.glob("Celeb-real/*.mp4"))
    listed = [f"{path},0,stranger-{number}" for number, path in enumerate(strangers)]
    (folder / "strangers.csv").write_text("\n".join(["path,label,identity", *listed]))
    clip_options = home.prepare_command[5:]  # after what names the data set
    prepare = ("prepare", "--dataset", "csv", "--root", folder / "strangers.csv", "--name", NAME, *clip_options)
    prepared = stf(*prepare, "--out", clips)
    assert prepared.exit_code == 0, prepared.stderr
    command = ("crossvalidate", recipe, "--clips", clips, "--dataset", "miniature-ffpp-c23", "--folds", 3)
    out = folder / "out"
    finished = stf(*command, "--out", out, "--control", NAME, "--threshold", "youden", "--json")
    assert finished.exit_code == 0, finished.stderr
    return command, out, json.loads(finished.stdout)["summary"]


def test_every_video_is_held_out_once_by_a_model_that_saw_none_of_its_people(home, cross_validated):
    _, out, summary = cross_validated
    rows = {row.video_id: row for row in Predictions.load(out / "out-of-fold-seed-42.csv").rows}
    held_out = [fold["video_ids"] for fold in summary["by_fold"]]
    assert sorted(video_id for fold in held_out for video_id in fold) == sorted(rows)
    assert len(rows) == 12
    people = [{person for video_id in fold for person in rows[video_id].identities} for fold in held_out]
    assert [len(of_fold) for of_fold in people] == [2, 2, 2]  # the miniature swaps its people in pairs
    assert len(set.union(*people)) == 6


def test_the_figures_follow_from_the_files(cross_validated):
    _, out, summary = cross_validated
    aucs, control_flags = [], []
    for fold in summary["by_fold"]:
        folder = out / "seed-42" / f"fold-{fold['fold']}"
        rows = Predictions.load(folder / "predictions.csv").rows
        pairs = list(product(*([row.score for row in rows if row.label == label] for label in (1, 0))))
        aucs.append(sum((fake > real) + 0.5 * (fake == real) for fake, real in pairs) / len(pairs))
        control = Predictions.load(folder / f"control-{NAME}.csv").rows
        control_flags += [row.score > fold["threshold"] for row in control]
    assert [fold["auc"] for fold in summary["by_fold"]] == pytest.approx(aucs)
    assert summary["mean_fold_auc"]["value"] == pytest.approx(sum(aucs) / 3)
    assert (summary["control_rate"]["videos"], summary["control_rate"]["models"]) == (2, 3)
    assert summary["control_rate"]["value"] == pytest.approx(sum(control_flags) / 6)
    assert (out / "cross-validation.png").read_bytes().startswith(b"\x89PNG")


def test_it_continues_with_what_is_there_and_compares(cross_validated):
    command, out, summary = cross_validated
    runs = {path: path.stat().st_mtime_ns for path in out.glob("seed-42/*/run/weights.safetensors")}
    again = stf(*command, "--out", out, "--compare", out)
    assert again.exit_code == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.glob("seed-42/*/run/weights.safetensors")} == runs
    assert len(runs) == 3
    lines = again.stdout.splitlines()
    table = [line.split() for line in lines if line.startswith("    42")]
    assert [(row[1], row[3]) for row in table] == [
        (str(fold["fold"]), f"{fold['auc']:.3f}") for fold in summary["by_fold"]
    ]
    assert "  control: not run" in lines
    mean = f"{summary['mean_fold_auc']['value']:.3f}"
    assert f"  mean fold AUC {mean} − {mean} = +0.000, no interval: too few groups of people (3)" in lines


def test_another_commands_folder_is_refused(cross_validated):
    command, out, _ = cross_validated
    refused = stf(*command, "--out", out, "--select", "last")
    assert refused.exit_code == 1
    assert "another select" in refused.error
