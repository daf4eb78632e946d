"""From clips to a video's score, and what an evaluation refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stf_mamba.clips.records import Manifest, ManifestEntry, StoredVideo
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import ModelError, RunError, UsageError
from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, PhaseRecipe, Recipe, TemporalRecipe
from stf_mamba.core.records import FAKE, Outcome, VideoRecord
from stf_mamba.datasets.splits import Split
from stf_mamba.evaluation.evaluate import evaluate, predict
from stf_mamba.evaluation.protocol import natural_part
from stf_mamba.evaluation.runs import Run
from stf_mamba.evaluation.scoring import score_stored_video, thin, video_score
from stf_mamba.models.clip_detector import build_detector
from stf_mamba.training.train import train
from stf_mamba.training.watcher import Watcher
from synthetic import FRAMES, SETTINGS, synthetic_clip, synthetic_store, track

RECIPE = Recipe(
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 32),
    data=DataRecipe(frames=FRAMES, batch_size=8, validation_fraction=0.5),
    phases=(PhaseRecipe(1, 0, 1e-4, 1e-3),),
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    return build_detector(RECIPE).eval()


@pytest.mark.parametrize(("available", "wanted"), [(32, 32), (32, 8), (32, 2), (5, 3)])
def test_thinning_keeps_both_ends_and_even_steps(available, wanted):
    indices = thin(available, wanted)
    assert (len(set(indices)), indices[0], indices[-1]) == (wanted, 0, available - 1)
    assert np.ptp(np.diff(indices)) <= 1
    with pytest.raises(ValueError, match="prepare clips with --frames 33"):
        thin(32, 33)


def test_mean_over_clips_and_maximum_over_tracks(model, tmp_path):
    store = ClipStore.create(tmp_path, SETTINGS)
    shown = [(0, 0.0), (0, 80.0), (1, 5.0)]
    clips = [replace(synthetic_clip(str(number), flicker), track_id=id_) for number, (id_, flicker) in enumerate(shown)]
    store.write("ab" * 32, StoredVideo(None, (track(0), track(1))), iter(clips))
    tracks = score_stored_video(model, store, "ab" * 32, FRAMES, CPU)
    logits = []
    for clip in clips:
        frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)[None]
        with torch.no_grad():
            logits.append(model(frames).logit.item())
    expected = {0: (logits[0] + logits[1]) / 2, 1: logits[2]}
    assert {t.track_id: t.logit for t in tracks} == pytest.approx(expected, abs=1e-4)
    assert tracks[0].logit == max(t.logit for t in tracks) == video_score(tracks)
    assert tracks[0].faces == track().faces
    assert video_score(()) is None


@pytest.mark.parametrize("parameter", ["head.bias", "projection.0.weight"])
def test_a_model_that_gives_no_number_gives_no_score(tmp_path, parameter):
    """The head's own logit, or what enters the mixers, which refuse it themselves."""
    store, manifest = synthetic_store(tmp_path, people=1)
    broken = build_detector(RECIPE).eval()
    values = dict(broken.named_parameters())[parameter]
    torch.nn.init.constant_(values, float("nan"))
    with pytest.raises(ModelError, match=r"the model gives no number: .*(finite|holds NaN)"):
        predict(broken, store, manifest.entries, FRAMES, CPU, None, {})


def test_a_run_without_a_finished_epoch_says_how_it_goes_on(tmp_path):
    store, manifest = synthetic_store(tmp_path / "clips", people=6)
    folder = tmp_path / "run"

    def stop(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, store, manifest, folder, watcher=Watcher(on_step=stop))
    run = Run.load(folder)
    recipe, split = folder / "recipe.toml", folder / "split.json"
    words = f"not finished: no epoch .* continue it with: stf train {recipe} --split {split} --out {folder} --clips"
    for use in (lambda: evaluate(run, store, manifest, "validation"), lambda: run.model(CPU)):
        with pytest.raises(RunError, match=words):
            use()
    finished = train(Recipe.load(recipe), store, manifest, folder, split=Split.load(split))
    assert finished.is_complete
    finished.weights_path.unlink()
    with pytest.raises(RunError, match=r"weights\.safetensors is missing, and the training .* was finished"):
        evaluate(finished, store, manifest, "validation")


def test_a_video_without_clips_is_counted_and_never_scored(model, tmp_path):
    store = ClipStore.create(tmp_path, SETTINGS)
    record = VideoRecord("d/m/blind", Path("blind.mp4"), FAKE)
    entry = ManifestEntry(record, None, 0, "no face found")
    (row,) = predict(model, store, [entry], FRAMES, CPU, None, {}).rows
    assert (row.score, row.outcome, row.n_clips) == (None, Outcome.NOT_ANALYSABLE, 0)


def test_evaluation_wants_the_runs_clips_and_a_part_with_videos(tmp_path):
    store, manifest = synthetic_store(tmp_path / "clips", people=6)
    run = train(RECIPE, store, manifest, tmp_path / "run")
    assert natural_part(run, manifest) == "validation"
    with pytest.raises(UsageError, match="no video of synthetic is in the test part"):
        evaluate(run, store, manifest, "test")
    other = ClipStore.create(tmp_path / "clips", replace(SETTINGS, window_s=None))
    with pytest.raises(UsageError, match=f"stf prepare --like {run.folder}"):
        evaluate(run, other, manifest, "validation")
    stranger = VideoRecord("elsewhere/m/x", Path("x.mp4"), FAKE, ("e:1",))
    unseen = Manifest("elsewhere", (ManifestEntry(stranger, None, 0, "no face found"),))
    assert natural_part(run, unseen) == "all"
    assert evaluate(run, store, unseen).coverage == 0
