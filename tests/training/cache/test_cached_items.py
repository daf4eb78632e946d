"""Training from a cache of the frozen blocks is training without one, bit by bit, and only cheaper."""

import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from stf_mamba.core.errors import RunError, UsageError
from stf_mamba.core.recipe import (
    AugmentRecipe,
    DataRecipe,
    EncoderRecipe,
    HeadRecipe,
    PhaseRecipe,
    Recipe,
    TemporalRecipe,
)
from stf_mamba.models.encoders.vit import VitEncoder
from stf_mamba.models.weights.loading import save_state_dict
from stf_mamba.training.cache.cached_items import CachePlace
from stf_mamba.training.loop import STOPPING
from stf_mamba.training.parts import TrainingOptions
from stf_mamba.training.train import train
from stf_mamba.training.watcher import Watcher
from synthetic import FRAMES, synthetic_store

CLOCK = ("clips_per_s", "seconds", "validation_seconds")

RECIPE = Recipe(
    name="tiny",
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 64),
    data=DataRecipe(frames=FRAMES, batch_size=5, validation_fraction=0.5, views=2),
    augment=AugmentRecipe(noise=1.0),
    phases=(PhaseRecipe(3, 1, 1e-4, 1e-3),),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return synthetic_store(tmp_path_factory.mktemp("clips"))


@pytest.mark.parametrize("head", ["variance", "content"])
def test_the_cache_changes_nothing(prepared, tmp_path, head):
    recipe = replace(RECIPE, head=HeadRecipe(head))
    plain = train(recipe, *prepared, tmp_path / "plain")
    cached = train(recipe, *prepared, tmp_path / "cached", cached_in(tmp_path / "cache"))
    assert _without_clock(cached.history()) == _without_clock(plain.history())
    expected, found = load_file(plain.weights_path), load_file(cached.weights_path)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_stop_and_a_second_run_compute_no_frame_again(prepared, tmp_path, monkeypatch):
    whole = train(RECIPE, *prepared, tmp_path / "whole", cached_in(tmp_path / "cache"))
    computed = []
    prefix = VitEncoder.prefix
    monkeypatch.setattr(VitEncoder, "prefix", lambda self, frames: computed.append(1) or prefix(self, frames))

    class StoppedError(Exception):
        pass

    def stop(report):
        if (report.epoch, report.step) == (1, 1):
            raise StoppedError

    with pytest.raises(StoppedError):
        train(RECIPE, *prepared, tmp_path / "again", cached_in(tmp_path / "cache"), watcher=Watcher(on_step=stop))
    again = train(RECIPE, *prepared, tmp_path / "again", cached_in(tmp_path / "cache"))
    assert computed == []
    assert _without_clock(again.history()) == _without_clock(whole.history())


@pytest.mark.parametrize("views", [None, 1, 3])
def test_where_nothing_is_drawn_all_views_and_seeds_share_what_is_computed(prepared, tmp_path, monkeypatch, views):
    still = AugmentRecipe(flip=0.0, brightness=0.0, contrast=0.0)
    head = HeadRecipe("content")
    recipe = replace(RECIPE, head=head, augment=still, data=replace(RECIPE.data, views=views))
    plain = train(recipe, *prepared, tmp_path / "plain")
    computed = []
    prefix = VitEncoder.prefix
    monkeypatch.setattr(VitEncoder, "prefix", lambda self, frames: computed.append(1) or prefix(self, frames))
    cached = train(recipe, *prepared, tmp_path / "cached", cached_in(tmp_path / "cache"))
    entries = list((tmp_path / "cache").rglob("tokens.npy"))
    assert len(entries) == sum(entry.clips for entry in prepared[1].entries)  # training and validation together
    assert _without_clock(cached.history()) == _without_clock(plain.history())
    expected, found = load_file(plain.weights_path), load_file(cached.weights_path)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    weights = tmp_path / "frozen.safetensors"
    save_state_dict(cached.model("cpu").encoder.network.state_dict(), weights)
    pretrained = TrainingOptions(weights, cache=CachePlace(tmp_path / "shared"))
    train(recipe, *prepared, tmp_path / "seed 42", pretrained)
    computed.clear()
    train(replace(recipe, seed=43), *prepared, tmp_path / "seed 43", pretrained)
    assert computed == []


def test_the_size_is_told_before_and_the_progress_while_it_fills(prepared, tmp_path):
    events = []
    watcher = Watcher(on_message=events.append, on_cached=lambda done, missing: events.append((done, missing)))
    train(RECIPE, *prepared, tmp_path / "run", cached_in(tmp_path / "cache"), watcher=watcher)
    size, *rest = events
    assert "to write" in size
    missing = rest[0][1]
    assert [event for event in rest if isinstance(event, tuple)] == [(n, missing) for n in range(1, missing + 1)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_the_cache_fills_keeps_what_it_holds(prepared, tmp_path, number):
    messages, cached, rest = [], [], []

    def stop_at_the_third(done, missing):
        cached.append(missing)
        if done == 3:
            signal.raise_signal(number)

    watcher = Watcher(on_message=messages.append, on_cached=stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, *prepared, tmp_path / "run", cached_in(tmp_path / "cache"), watcher=watcher)
    assert messages[-1] == STOPPING
    assert len(cached) == len(list((tmp_path / "cache").rglob("tokens.npy"))) == 3
    watcher = Watcher(on_cached=lambda done, missing: rest.append(missing))
    resumed = train(RECIPE, *prepared, tmp_path / "run", cached_in(tmp_path / "cache"), watcher=watcher)
    assert set(rest) == {cached[0] - 3}
    assert resumed.is_complete


def test_a_shorter_storage_type_tells_its_error(prepared, tmp_path):
    messages = []
    cache = cached_in(tmp_path / "cache", "bfloat16")
    train(RECIPE, *prepared, tmp_path / "run", cache, watcher=Watcher(on_message=messages.append))
    assert any("bfloat16" in message and "log-variance" in message for message in messages)


def test_a_run_does_not_go_on_with_another_storage_type(prepared, tmp_path):
    train(RECIPE, *prepared, tmp_path / "run", cached_in(tmp_path / "cache"))
    train(RECIPE, *prepared, tmp_path / "run")  # float32 tokens are what no cache computes
    with pytest.raises(RunError, match="another cache storage"):
        train(RECIPE, *prepared, tmp_path / "run", cached_in(tmp_path / "cache", "float16"))


def test_a_storage_type_that_does_not_exist_is_refused_at_once():
    with pytest.raises(ValueError, match=r"cache\.storage is 'float8', expected one of float32, float16, bfloat16"):
        cached_in("cache", "float8")


def test_endless_views_cannot_be_cached(prepared, tmp_path):
    recipe = replace(RECIPE, data=replace(RECIPE.data, views=None))
    with pytest.raises(UsageError, match=r"give data\.views"):
        train(recipe, *prepared, tmp_path / "run", cached_in(tmp_path / "cache"))


def test_nothing_frozen_cannot_be_cached(prepared, tmp_path):
    recipe = replace(RECIPE, encoder=replace(RECIPE.encoder, trainable_blocks=4))
    with pytest.raises(UsageError, match=r"lower encoder\.trainable_blocks"):
        train(recipe, *prepared, tmp_path / "run", cached_in(tmp_path / "cache"))


def cached_in(root, storage="float32"):
    return TrainingOptions(cache=CachePlace(root, storage))


def _without_clock(history):
    return [{key: value for key, value in epoch.items() if key not in CLOCK} for epoch in history]
