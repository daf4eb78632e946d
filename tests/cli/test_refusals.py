"""Wrong usage of any verb: exit code 2 and a message, before anything heavy is imported and without a trace on disk."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stf_mamba.cli.app import VERBS

HERE = Path(__file__).parent
RECIPE = HERE.parents[1] / "recipes" / "v8.toml"
BY_FOLDS = HERE.parents[1] / "recipes" / "v8-relations-vit-tiny.toml"

# Names of the places that ``places`` makes; {} around them is filled in.
TRAIN = "train {recipe} --clips {clips} --out new"
CROSS = "crossvalidate {recipe} --clips {clips} --out new"
ESTIMATE = "estimate {recipe} --videos 30"
PREPARE = "prepare --dataset folder --root {folder} --out new"
SPLIT = "split identity --clips {clips} --out new.json"
STUDY = "study --clips {clips} --out new"
NO_CLIPS = "no prepared clips under {folder}; make some with: stf prepare"
NO_RUN = "{folder} is no training run"
A_FILE = "{file} is a file"
NO_DATASET = "which is not prepared in {clips}; it holds faces"
NO_DEVICE = "--device is 'tpu', expected auto, cpu, cuda"
NO_WEIGHTS = "no weights at {absent}"
NO_RECIPE = "{absent} is missing; give the path of a .toml file"

CASES = [
    ("demo --out {file}", A_FILE),
    ("demo --out {file}/in/it", A_FILE),
    ("detect", "Missing argument"),
    ("detect {absent}", "does not exist"),
    ("detect {file} --model {absent}", "{absent} is no training run"),
    ("detect {file} --model {folder}", NO_RUN),
    ("detect {file} --model {run} --out {file}", A_FILE),
    ("detect {file} --model {run} --device tpu", NO_DEVICE),
    ("detect {file} --model {run} --face-model {absent}", "does not exist"),
    ("detect {file} --model {run} --untrained", "do not go with --model"),
    ("detect {file} --model {run} --fail-on never", "'never' is not one of"),
    ("detect {file}", "no trained model was given"),
    ("detect {file} --untrained --recipe {absent}", NO_RECIPE),
    ("detect {file} --untrained --weights {absent}", NO_WEIGHTS),
    ("detect {folder} --model {run}", "{folder}: no video in it"),
    ("prepare --dataset folder --root {absent} --out new", "does not exist"),
    ("prepare --dataset csv --root {folder} --out new", "{folder} is a folder; --dataset csv expects a CSV file"),
    ("prepare --dataset ffpp --root {file} --out new", "{file} is a file; --dataset ffpp expects the data set's top"),
    ("prepare --dataset dfdc --root {folder} --out new", "'dfdc' is not one of"),
    ("prepare --dataset ffpp --root {folder} --out new --compression c99", "'c99' is not one of"),
    ("prepare --dataset celebdf --root {folder} --out new --part some", "'some' is not one of"),
    ("prepare --dataset folder --root {folder} --out {file}", A_FILE),
    (f"{PREPARE} --part all", "only celebdf takes a part"),
    (f"{PREPARE} --frames 1", "Invalid value for '--frames'"),
    (f"{PREPARE} --window-s -1", "Invalid value for '--window-s'"),
    (f"{PREPARE} --clips-per-track 0", "Invalid value for '--clips-per-track'"),
    (f"{PREPARE} --size 0", "Invalid value for '--size'"),
    (f"{PREPARE} --jobs 0", "Invalid value for '--jobs'"),
    (f"{PREPARE} --sampling often", "'often' is not one of"),
    (f"{PREPARE} --like {{folder}}", NO_RUN),
    (f"{PREPARE} --face-model {{absent}}", "does not exist"),
    ("pseudofakes --clips {folder} --out new", NO_CLIPS),
    ("pseudofakes --clips {clips} --out {file}", A_FILE),
    ("pseudofakes --clips {clips} --out new --count 0", "Invalid value for '--count'"),
    ("pseudofakes --clips {clips} --out new --recipe {absent}", NO_RECIPE),
    ("pseudofakes --clips {clips} --out new --dataset cars", f"--dataset is 'cars', {NO_DATASET}"),
    ("split random --clips {clips} --out new.json", "'random' is not one of"),
    ("split identity --clips {folder} --out new.json", NO_CLIPS),
    ("split identity --clips {clips} --out {folder}", "{folder} is a folder, and a file is to be written"),
    ("split identity --clips {clips} --out {file}/new.json", A_FILE),
    (f"{SPLIT} --validation-fraction 1", "--validation-fraction is 1, expected a fraction between 0 and 1"),
    (f"{SPLIT} --validation-fraction 0", "--validation-fraction is 0, expected a fraction between 0 and 1"),
    (f"{SPLIT} --validation-fraction nan", "--validation-fraction is nan, expected a fraction between 0 and 1"),
    (f"{SPLIT} --dataset cars", NO_DATASET),
    ("split official --clips {clips} --out new.json", "needs --lists FOLDER"),
    ("split official --clips {clips} --out new.json --lists {absent}", "does not exist"),
    ("split report --clips {clips} --out new.json", "--test-dataset"),
    ("split report --clips {clips} --out new.json --test-dataset cars", f"--test-dataset is 'cars', {NO_DATASET}"),
    ("split report --clips {clips} --out new.json --test-dataset faces --scale 0", "--scale is 0, expected"),
    ("split report --clips {clips} --out new.json --test-dataset faces --scale 1.5", "--scale is 1.5, expected"),
    ("audit --clips {folder} --split {file}", NO_CLIPS),
    ("audit --clips {clips} --split {absent}", "does not exist"),
    ("audit --clips {clips} --split {file} --dataset cars", NO_DATASET),
    ("estimate {absent} --videos 30", NO_RECIPE),
    ("estimate {recipe} --videos 0", "Invalid value for '--videos'"),
    (f"{ESTIMATE} --validation 0", "Invalid value for '--validation'"),
    (f"{ESTIMATE} --clips-per-video 0", "Invalid value for '--clips-per-video'"),
    (f"{ESTIMATE} --processes 0", "Invalid value for '--processes'"),
    (f"{ESTIMATE} --size 0", "Invalid value for '--size'"),
    (f"{ESTIMATE} --device tpu", NO_DEVICE),
    (f"{ESTIMATE} --real-videos 5", "--real-videos N belongs to 'both'"),
    (f"{ESTIMATE} --cache", "draws new views in every epoch"),
    ("estimate {by_folds} --videos 30 --validation 5", "leave out --validation"),
    ("train {absent} --clips {clips} --out new", NO_RECIPE),
    ("train {recipe} --clips {absent} --out new", "no prepared clips under {absent}"),
    ("train {recipe} --clips {folder} --out new", NO_CLIPS),
    ("train {recipe} --clips {clips} --out {file}", A_FILE),
    (f"{TRAIN} --dataset cars", NO_DATASET),
    (f"{TRAIN} --device tpu", NO_DEVICE),
    (f"{TRAIN} --weights {{absent}}", NO_WEIGHTS),
    (f"{TRAIN} --weights {{folder}}", "no weights at {folder}"),
    (f"{TRAIN} --split {{absent}}", "does not exist"),
    (f"{TRAIN} --cache {{file}}", A_FILE),
    (f"{TRAIN} --cache-storage float16", "belongs to a cache"),
    (f"{TRAIN} --cache cache --cache-storage int8", "'int8' is not one of"),
    ("crossvalidate {absent} --clips {clips} --out new", NO_RECIPE),
    ("crossvalidate {recipe} --clips {folder} --out new", NO_CLIPS),
    ("crossvalidate {recipe} --clips {clips} --out {file}", A_FILE),
    (f"{CROSS} --folds -2", "Invalid value for '--folds'"),
    (f"{CROSS} --folds 1", "Invalid value for '--folds'"),
    (f"{CROSS} --seeds 1,x", "expected whole numbers"),
    (f"{CROSS} --seeds 1,1", "expected each number once"),
    (f"{CROSS} --weights {{absent}}", NO_WEIGHTS),
    (f"{CROSS} --control cars", f"--control is 'cars', {NO_DATASET}"),
    (f"{CROSS} --compare {{folder}}", "{folder} was not made by stf crossvalidate"),
    (f"{CROSS} --dataset cars", NO_DATASET),
    (f"{CROSS} --device tpu", NO_DEVICE),
    (f"{CROSS} --grouping cars", "'cars' is not one of"),
    (f"{CROSS} --threshold high", "'high' is not one of"),
    ("crossvalidate {by_folds} --clips {clips} --out new --select best", "leave out --select best"),
    ("evaluate --clips {clips}", "nothing to evaluate"),
    ("evaluate {folder} --clips {clips}", NO_RUN),
    ("evaluate {run} --clips {folder}", NO_CLIPS),
    ("evaluate {run} --clips {clips} --dataset cars", NO_DATASET),
    ("evaluate {run} --clips {clips} --device tpu", NO_DEVICE),
    ("evaluate {run} --clips {clips} --part best", "'best' is not one of"),
    ("evaluate {run} --clips {clips} --out {folder}", "{folder} is a folder"),
    ("evaluate {run} --clips {clips} --settings ab", "--settings goes with --sbi-checkpoint"),
    ("evaluate --sbi-checkpoint {absent} --clips {clips} --out new.csv", "does not exist"),
    ("evaluate --sbi-checkpoint {file} --clips {clips}", "into --out FILE"),
    ("signals {absent}", "does not exist"),
    ("signals {file} --out {file}", A_FILE),
    ("signals {file} --face-model {absent}", "does not exist"),
    ("study --out new", "needs prepared clips"),
    ("study --clips {folder} --out new", NO_CLIPS),
    ("study --clips {clips} --out {file}", A_FILE),
    (f"{STUDY} --budget huge", "'huge' is not one of"),
    (f"{STUDY} --only v9", "no row 'v9'"),
    (f"{STUDY} --seeds x", "expected whole numbers"),
    (f"{STUDY} --folds 1", "Invalid value for '--folds'"),
    (f"{STUDY} --folds 3 --protocol report", "leave one of them out"),
    (f"{STUDY} --folds 3 --cross faces", "leave out --cross"),
    (f"{STUDY} --cross cars", f"--cross is 'cars', {NO_DATASET}"),
    (f"{STUDY} --split {{absent}}", "does not exist"),
    (f"{STUDY} --weights vit.pth", "expected NAME=VALUE"),
    (f"{STUDY} --weights dinov2_vitb14={{absent}}", NO_WEIGHTS),
    (f"{STUDY} --stand-in vit", "expected NAME=VALUE"),
    (f"{STUDY} --device tpu", NO_DEVICE),
    ("report {folder}", "{folder} was not made by stf study"),
    ("report {studied} --format pdf", "--format is 'pdf', expected any of html, docx, latex"),
    ("report {studied} --out {file}", A_FILE),
    ("weights {absent} --encoder dinov2_vitb14", NO_WEIGHTS),
    ("weights --encoder dinov2_vitb14", "needs a weights file"),
    *((f"{verb.__name__} --bogus", "No such option: --bogus") for verb in VERBS),
    ("bogus", "No such command 'bogus'"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Folders that look like what verbs ask for, filled with nothing that could be read."""
    root = tmp_path_factory.mktemp("places")
    for name in (
        "clips/abcd/manifests/faces.json",
        "clips/abcd/settings.json",
        "run/recipe.toml",
        "studied/study.json",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "folder").mkdir()
    (root / "mine.mp4").write_text("mine")
    names = {name: root / name for name in ("clips", "run", "studied", "folder", "absent")}
    return {**names, "file": root / "mine.mp4", "recipe": RECIPE, "by_folds": BY_FOLDS, "root": root}


@pytest.fixture(scope="module")
def refusals(places):
    """What came of each case, by its command; all of them in one fresh process."""
    commands = [command for command, _ in CASES]
    before = _tree(places["root"])
    done = subprocess.run(
        [sys.executable, HERE / "bare_process.py"],
        input=json.dumps([command.format(**places).split() for command in commands]),
        capture_output=True,
        text=True,
        check=True,
        cwd=places["root"],
    )
    assert _tree(places["root"]) == before
    return dict(zip(commands, json.loads(done.stdout), strict=True))


def _tree(root):
    return {path: path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


@pytest.mark.parametrize(("command", "message"), CASES, ids=[command for command, _ in CASES])
def test_it_is_refused_in_words_before_anything_is_loaded(refusals, places, command, message):
    found = refusals[command]
    assert found["exit_code"] == 2, found
    assert message.format(**places) in found["said"]


def test_every_verb_is_there():
    assert {command.split()[0] for command, _ in CASES} >= {verb.__name__ for verb in VERBS}
