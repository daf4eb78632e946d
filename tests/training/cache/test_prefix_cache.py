"""The cache of the frozen blocks: training from it is training; whole or absent; nothing stale, nothing damaged."""

import dataclasses
import json
import os
import signal
from collections import namedtuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stf_mamba.core.errors import ClipStoreError, UsageError
from stf_mamba.core.recipe import AugmentRecipe, DataRecipe, EncoderRecipe, Recipe, TemporalRecipe
from stf_mamba.core.seeds import derive_seed
from stf_mamba.models.clip_detector import build_detector
from stf_mamba.models.encoders.vit import VitEncoder
from stf_mamba.training.cache import filling as prefix_filling
from stf_mamba.training.cache.filling import estimate_bytes, fill, prefix_tokens
from stf_mamba.training.cache.precision import precision_report
from stf_mamba.training.cache.prefix_cache import CacheEntry, PrefixCache, cache_settings, frozen_sha256

FRAMES = 8
FRAME_VALUES = 50 * 96  # tokens of a frame × width
Usage = namedtuple("Usage", "total used free")


def a_recipe(trainable_blocks=2):
    return Recipe(
        encoder=EncoderRecipe(name="vit_miniature", trainable_blocks=trainable_blocks),
        temporal=TemporalRecipe(mixer="hydra", layers=1, width=64),
        data=DataRecipe(frames=FRAMES),
    )


def entries(count=3, views=1):
    return [CacheEntry(f"{number:064x}", "000.npy", view) for number in range(count) for view in range(views)]


def load(entry):
    """A clip whose frames differ a little, drawn from the entry's name."""
    generator = torch.Generator().manual_seed(derive_seed(entry.name))
    still = torch.randint(20, 236, (1, 3, 224, 224), generator=generator)
    return (still + torch.randint(-20, 20, (FRAMES, 3, 224, 224), generator=generator)).to(torch.uint8)


@pytest.fixture
def model():
    return build_detector(a_recipe())


def a_cache(root, model, storage="float32"):
    return PrefixCache.create(root, cache_settings(model.encoder, a_recipe(), "clips", storage))


def some_tokens(value=0.0):
    return torch.full((FRAMES, 50, 96), value)


# Training


def train(recipe, outputs_of, steps=3):
    """Losses and weights after a few AdamW steps on two clips each, from ``outputs_of(model, entries)``."""
    model = build_detector(recipe)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for step in range(steps):
        batch = entries(4)[2 * (step % 2) :][:2]
        optimiser.zero_grad()
        output = outputs_of(model, batch)
        loss = F.binary_cross_entropy_with_logits(output.logit, torch.tensor([0.0, 1.0])) + output.log_variance.std()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses), model.state_dict()


@pytest.mark.parametrize("trainable_blocks", [1, 2])
def test_training_from_the_cache_is_bit_identical_for_any_micro_batch(tmp_path, trainable_blocks):
    recipe = a_recipe(trainable_blocks)
    losses, weights = train(recipe, lambda model, batch: model(torch.stack([load(entry) for entry in batch])))
    assert len(losses.unique()) == len(losses)  # the weights do move the loss
    for frames_at_once in (1, 4, 8):
        model = build_detector(recipe)
        cache = PrefixCache.create(tmp_path / str(frames_at_once), cache_settings(model.encoder, recipe, "clips"))
        fill(cache, model, entries(4), load, frames_at_once)

        def from_cache(model, batch, cache=cache):
            tokens = torch.stack([cache.read(entry) for entry in batch])  # (B, T, L, D)
            return model.from_embeddings(model.encoder.suffix(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2]))

        cached_losses, cached_weights = train(recipe, from_cache)
        assert torch.equal(cached_losses, losses)
        assert all(torch.equal(cached_weights[name], tensor) for name, tensor in weights.items())
    assert not all(torch.equal(weights[name], t) for name, t in build_detector(recipe).state_dict().items())


# The key


def test_key_changes_with_everything_that_decides_the_tokens_and_with_nothing_that_trains(model):
    recipe = a_recipe()
    settings = cache_settings(model.encoder, recipe, "clips")
    changed = {
        "clips": cache_settings(model.encoder, recipe, "other clips"),
        "storage": cache_settings(model.encoder, recipe, "clips", "bfloat16"),
        "augment": cache_settings(
            model.encoder, dataclasses.replace(recipe, augment=AugmentRecipe(flip=0.25)), "clips"
        ),
        "seed": cache_settings(model.encoder, dataclasses.replace(recipe, seed=1), "clips"),
        "frames": cache_settings(model.encoder, dataclasses.replace(recipe, data=DataRecipe(frames=4)), "clips"),
        "blocks": cache_settings(VitEncoder("vit_miniature", 1), recipe, "clips"),
        "device": dataclasses.replace(settings, device="cuda"),
    }
    keys = {name: other.key for name, other in changed.items()}
    assert len({settings.key, *keys.values()}) == len(keys) + 1
    with torch.no_grad():
        for name, parameter in model.encoder.named_parameters():
            if name.startswith(("network.blocks.2.", "network.blocks.3.", "network.norm.")):
                parameter += 1
    assert cache_settings(model.encoder, recipe, "clips").key == settings.key


@pytest.mark.parametrize(
    "name", ["network.blocks.1.mlp.fc2.bias", "network.pos_embed", "network.cls_token", "network.patch_embed.proj.bias"]
)
def test_every_frozen_value_is_in_the_hash(model, name):
    before = frozen_sha256(model.encoder)
    with torch.no_grad():
        model.encoder.get_parameter(name).view(-1)[-1] += 1e-6
    assert frozen_sha256(model.encoder) != before


def test_the_hash_follows_the_normalisation_of_pixels(model):
    before = frozen_sha256(model.encoder)
    model.encoder.mean += 0.01
    assert frozen_sha256(model.encoder) != before


def test_what_a_prefix_gathers_is_in_the_hash():
    kinds = [("cls", 1), ("relations", 1), ("relations", 2)]
    torch.manual_seed(0)
    state = VitEncoder("vit_miniature", 0).network.state_dict()
    hashes = []
    for token, zoom in kinds:
        encoder = VitEncoder("vit_miniature", 0, token=token, zoom=zoom)
        encoder.network.load_state_dict(state)
        hashes.append(frozen_sha256(encoder))
    assert len(set(hashes)) == len(kinds)


def test_a_convolutional_encoders_hash_knows_its_frozen_stages():
    recipe = dataclasses.replace(a_recipe(), encoder=EncoderRecipe(name="cnn_miniature", trainable_blocks=2))
    encoder = build_detector(recipe).encoder
    before = frozen_sha256(encoder)
    with torch.no_grad():
        encoder.network.conv_head.weight += 1
    assert frozen_sha256(encoder) == before
    with torch.no_grad():
        encoder.network.bn1.running_mean += 1
    assert frozen_sha256(encoder) != before


def test_nothing_frozen_is_refused():
    with pytest.raises(UsageError, match=r"every block of vit_miniature trains.*lower encoder\.trainable_blocks"):
        cache_settings(VitEncoder("vit_miniature", 4), a_recipe(), "clips")


def test_a_cache_of_other_weights_is_refused(tmp_path, model):
    cache = a_cache(tmp_path, model)
    with torch.no_grad():
        model.encoder.network.cls_token += 1
    with pytest.raises(ValueError, match="not those of the cache"):
        fill(cache, model, entries(), load)


def test_entries_of_different_views_kinds_files_and_partners_are_apart():
    entry = CacheEntry("a" * 64, "000.npy")
    changes = ({"view": 1}, {"kind": "pseudo"}, {"file": "001.npy"}, {"partner": "b"}, {"sha256": "b" * 64})
    names = {entry.name, *(dataclasses.replace(entry, **change).name for change in changes)}
    assert len(names) == 6


@pytest.mark.parametrize("change", [{"sha256": "../x"}, {"view": -1}, {"kind": "a/b"}])
def test_entries_that_could_not_be_addressed_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        CacheEntry(**{"sha256": "a" * 64, "file": "000.npy", **change})


# Reading and writing


@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
def test_what_is_read_is_what_was_written_rounded_to_the_storage_type(tmp_path, model, storage):
    cache = a_cache(tmp_path, model, storage)
    tokens = torch.randn(FRAMES, 50, 96)
    cache.write(entries()[0], tokens)
    read = a_cache(tmp_path, model, storage).read(entries()[0])
    assert read.dtype == getattr(torch, storage)
    assert torch.equal(read, tokens.to(read.dtype))


def test_damage_is_found_at_the_first_reading(tmp_path, model):
    cache = a_cache(tmp_path, model)
    entry = entries()[0]
    cache.write(entry, some_tokens())
    path = cache.entry_folder(entry) / "tokens.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ClipStoreError, match=r"checksum is \w+…, expected \w+….*remove .* and fill the cache again"):
        cache.read(entry)
    path.write_bytes(content[:1000])
    with pytest.raises(ClipStoreError, match="checksum"):
        cache.read(entry)
    (path.parent / "entry.json").write_text("{")
    with pytest.raises(
        ClipStoreError, match=r"entry\.json, line 1, column 2: no JSON .*; remove .* and fill the cache again"
    ):
        cache.read(entry)


def test_an_entry_moved_to_anothers_place_is_refused(tmp_path, model):
    cache = a_cache(tmp_path, model)
    first, second = entries(1, views=2)
    cache.write(first, some_tokens())
    cache.entry_folder(first).rename(cache.entry_folder(second))
    with pytest.raises(ClipStoreError, match="of another entry"):
        cache.read(second)


def test_a_missing_entry_names_the_next_step(tmp_path, model):
    with pytest.raises(ClipStoreError, match=r"entry\.json is missing; remove .* and fill the cache again"):
        a_cache(tmp_path, model).read(entries()[0])


def test_tokens_that_do_not_fit_are_refused(tmp_path, model):
    cache = a_cache(tmp_path, model, "float16")
    with pytest.raises(ValueError, match=r"of 8 frames, got \(3, 50, 96\)"):
        cache.write(entries()[0], some_tokens()[:3])
    with pytest.raises(ValueError, match="tokens of up to 70000 do not fit float16"):
        cache.write(entries()[0], some_tokens(7e4))
    assert not cache.has(entries()[0])


def test_a_full_disk_leaves_nothing_behind(tmp_path, model, monkeypatch):
    cache = a_cache(tmp_path, model)
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ClipStoreError, match="is full; free some space"):
        cache.write(entries()[0], some_tokens())
    assert list(cache.entry_folder(entries()[0]).parent.iterdir()) == []


def test_killed_while_writing_then_resumed(tmp_path, model):
    cache = a_cache(tmp_path, model)
    fill(cache, model, entries(1), load)
    child = os.fork()
    if child == 0:  # numpy alone runs here: torch's threads do not survive a fork
        os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
        cache.write(entries(2)[1], some_tokens())
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    shelf = cache.entry_folder(entries(2)[1]).parent
    assert len(list(shelf.glob(".*.partial"))) == 1
    resumed = a_cache(tmp_path, model)
    assert list(shelf.glob(".*.partial")) == []
    assert [resumed.has(entry) for entry in entries(2)] == [True, False]
    asked = []
    fill(resumed, model, entries(2), lambda entry: asked.append(entry) or load(entry))
    assert set(asked) == {entries(2)[1]}
    assert torch.equal(resumed.read(entries(2)[1]), prefix_tokens(model.encoder, load(entries(2)[1])))


def test_concurrent_writers_leave_one_whole_entry(tmp_path, model):
    cache = a_cache(tmp_path, model)
    entry = entries()[0]
    children = []
    for number in range(4):
        content = some_tokens(float(number))
        children.append(os.fork())
        if children[-1] == 0:
            cache.write(entry, content)
            os._exit(0)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0, 0]
    assert cache.read(entry).unique().numel() == 1
    assert [path.name for path in cache.entry_folder(entry).parent.iterdir()] == [entry.name]


def test_an_entry_finished_by_another_process_meanwhile_stays(tmp_path, model, monkeypatch):
    cache = a_cache(tmp_path, model)
    entry = entries()[0]
    cache.write(entry, some_tokens(1.0))
    answers = iter([False, True])  # not there when looked for, there when it is to be named
    monkeypatch.setattr(cache, "has", lambda entry: next(answers))
    cache.write(entry, some_tokens(2.0))
    assert float(cache.read(entry).max()) == 1.0
    assert [path.name for path in cache.entry_folder(entry).parent.iterdir()] == [entry.name]


# Filling


def test_the_size_is_told_before_anything_is_written_and_is_right(tmp_path, model):
    cache = a_cache(tmp_path, model)
    fill(cache, model, entries(1), load)
    told = []

    def on_message(message):
        told.append(message)
        assert not cache.has(entries(2)[1])

    done = []
    estimate = fill(cache, model, entries(3), load, on_message=on_message, on_progress=lambda *now: done.append(now))
    assert told == [estimate.words]
    assert "3 entries of 0.2 MB are 0.5 MB; 1 are stored, 0.3 MB to write" in told[0]
    assert done == [(1, 2), (2, 2)]
    assert estimate.entry_bytes == FRAMES * FRAME_VALUES * 4
    stored = np.load(cache.entry_folder(entries(2)[1]) / "tokens.npy")
    assert stored.nbytes == estimate.entry_bytes


def test_estimate_of_a_vit_b_clip_by_hand():
    # 32 frames × (1 + 16²) tokens × 768 × 4 bytes = 25,264,128 bytes; half of it in two bytes.
    assert estimate_bytes(10, 3, 32, 257, 768, "float32") == 30 * 25_264_128
    assert estimate_bytes(1, 1, 32, 257, 768, "bfloat16") == 12_632_064


def test_too_little_room_is_refused_before_anything_is_written(tmp_path, model, monkeypatch):
    cache = a_cache(tmp_path, model)
    free = prefix_filling.RESERVED_BYTES + 3 * FRAMES * FRAME_VALUES * 4 - 1
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(2**40, 0, free))
    with pytest.raises(UsageError, match=r"1.1 GB are free; choose a folder on another disk, lower data.views"):
        fill(cache, model, entries(3), load)
    assert not any(cache.has(entry) for entry in entries(3))
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(2**40, 0, free + 1))
    fill(cache, model, entries(3), load)
    assert all(cache.has(entry) for entry in entries(3))


def test_a_full_cache_asks_for_no_room(tmp_path, model, monkeypatch):
    cache = a_cache(tmp_path, model)
    fill(cache, model, entries(2), load)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(2**40, 0, 0))
    estimate = fill(cache, model, entries(2), load)
    assert estimate.bytes_to_write == 0
    assert estimate.entry_bytes == FRAMES * FRAME_VALUES * 4


def test_tokens_are_float32_also_under_autocast(model):
    clip = load(entries()[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(prefix_tokens(model.encoder, clip), prefix_tokens(model.encoder, clip, frames_at_once=3))
        inside = prefix_tokens(model.encoder, clip)
    assert torch.equal(inside, prefix_tokens(model.encoder, clip))


# Precision


def test_float32_has_no_error_and_fewer_bits_have_more(model):
    clips = [prefix_tokens(model.encoder, load(entry)) for entry in entries(3)]
    exact, half, brain = (precision_report(model, clips, d) for d in (torch.float32, torch.float16, torch.bfloat16))
    for name in ("log_variance", "logit", "deviation", "gradient"):
        assert getattr(exact, name).worst == 0
        assert getattr(brain, name).worst >= getattr(brain, name).median > 0
    for name in ("deviation", "gradient"):
        # bfloat16 keeps three bits fewer than float16: about eight times the error.
        assert 4 < getattr(brain, name).worst / getattr(half, name).worst < 16


def test_errors_are_those_of_the_models_own_outputs(model):
    tokens = prefix_tokens(model.encoder, load(entries()[0]))
    report = precision_report(model, [tokens], torch.bfloat16)
    rounded = tokens.bfloat16().float()
    with torch.no_grad():
        outputs = [model.from_embeddings(model.encoder.suffix(t)[None]) for t in (tokens, rounded)]
        embeddings = [model.encoder.suffix(t) for t in (tokens, rounded)]
    assert report.log_variance.worst == float((outputs[1].log_variance - outputs[0].log_variance).abs())
    assert report.logit.median == float((outputs[1].logit - outputs[0].logit).abs())
    exact, seen = (e - e.mean(0, keepdim=True) for e in embeddings)
    assert report.deviation.worst == pytest.approx(float((seen - exact).norm() / exact.norm()), rel=1e-5)


def test_a_reduced_type_tells_its_error_whenever_it_is_used(tmp_path, model):
    told = []
    cache = a_cache(tmp_path, model, "bfloat16")
    fill(cache, model, entries(2), load, on_message=told.append)
    assert told[1].startswith("tokens stored as bfloat16, median and worst error over 2 clips: log-variance")
    fill(a_cache(tmp_path, model, "bfloat16"), model, entries(2), load, on_message=told.append)
    assert told[3] == told[1]
    report = json.loads((cache.folder / "precision.json").read_text())
    assert report["log_variance"]["worst"] > 0


def test_no_clip_no_report(model):
    with pytest.raises(ValueError, match="at least one clip"):
        precision_report(model, [], torch.bfloat16)
