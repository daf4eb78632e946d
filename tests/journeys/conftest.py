"""One tiny corpus, its clips and one trained run, made once for all journeys and shared by the test workers."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from home_settings import CLIP_OPTIONS, RECIPE
from terminal import Argument, stf

from stf_mamba.datasets.drawn import DRAWN_PREFIX
from stf_mamba.datasets.miniature.corpus import Miniature, MiniatureSettings, make_miniature
from stf_mamba.evaluation.calibration import Calibration


@dataclass(frozen=True)
class Home:
    """What the journeys start from. Tests read it and write elsewhere.

    Attributes:
        corpus: the miniature; its FaceForensics++ part has 12 videos in three pairs of people.
        recipe: the recipe of ``run``.
        clips: its FaceForensics++ part, prepared in one go.
        run: the recipe trained on the official split, in one go.
        run_messages: what that training wrote on stderr.
    """

    corpus: Miniature
    recipe: Path
    clips: Path
    run: Path
    run_messages: Path

    @property
    def prepare_command(self) -> tuple[Argument, ...]:
        """What made ``clips``, but for ``--out``."""
        return ("prepare", "--dataset", "ffpp", "--root", self.corpus.ffpp_root, *CLIP_OPTIONS)

    @property
    def train_command(self) -> tuple[Argument, ...]:
        """What made ``run``, but for ``--out``."""
        return ("train", self.recipe, "--clips", self.clips, "--split", self.corpus.ffpp_root / "splits")


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of this test session that all its workers see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "journeys"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def corpus(common_folder: Path) -> Miniature:
    """The smallest miniature: 17 videos of 1.6 s, made once."""
    root = _once(common_folder / "corpus", lambda folder: make_miniature(folder, MiniatureSettings.tiny()))
    return Miniature(root / "ffpp", root / "celebdf", root / "held-out" / "manipulated.mp4")


@pytest.fixture(scope="session")
def home(common_folder: Path, corpus: Miniature) -> Home:
    """The corpus, its clips and a trained run, made once by the command line."""
    names = ("journey.toml", "clips", "run", "run-messages.txt")
    home = Home(corpus, *(common_folder / name for name in names))

    def prepare(folder: Path) -> None:
        home.recipe.write_text(RECIPE, encoding="utf-8")
        finished = stf(*home.prepare_command, "--out", folder)
        assert finished.exit_code == 0, finished.stderr

    def train(folder: Path) -> None:
        finished = stf(*home.train_command, "--out", folder)
        assert finished.exit_code == 0, finished.stderr
        home.run_messages.write_text(finished.stderr, encoding="utf-8")

    _once(home.clips, prepare)
    _once(home.run, train)
    return home


@pytest.fixture
def run_copy(home: Home, tmp_path: Path) -> Path:
    """A copy of the trained run, to be damaged."""
    return shutil.copytree(home.run, tmp_path / "run-copy")


@pytest.fixture
def suspicious_run(drawn_suspicious_run: Path) -> Path:
    """The same, as if it had been trained on filmed people: one of drawings decides nothing."""
    split = drawn_suspicious_run / "split.json"
    split.write_text(split.read_text(encoding="utf-8").replace(DRAWN_PREFIX, ""), encoding="utf-8")
    return drawn_suspicious_run


@pytest.fixture
def drawn_suspicious_run(run_copy: Path) -> Path:
    """The trained run with a calibration by which every video is manipulated: 1 / (1 + exp(-3)) = 0.95."""
    calibration = Calibration(
        (0.0,) * 5,
        (3.0,) * 5,
        n_real=2,
        n_fake=2,
        clusters=4,
        source="a hand-made calibration",
        auc=0.9,
        auc_low=0.8,
        auc_high=1.0,
    )
    calibration.save(run_copy / "calibration.json")
    return run_copy


def _once(target: Path, make: Callable[[Path], object]) -> Path:
    """``target``, made by whichever worker comes first, under a temporary name until it is whole."""
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.unfinished")
            make(unfinished)
            unfinished.rename(target)
    return target
