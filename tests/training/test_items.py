"""Which items train, who makes them, and that no share of them is dropped or repeated."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stf_mamba.core.distributed import part_of
from stf_mamba.core.errors import DatasetError
from stf_mamba.core.recipe import AugmentRecipe, DataRecipe, PseudoFakeRecipe, Recipe
from stf_mamba.core.records import FAKE, REAL
from stf_mamba.datasets.splits import Split
from stf_mamba.training.items import (
    ItemReader,
    batches_of_epoch,
    in_pieces,
    list_clips,
    list_items,
    loader,
    view_of_epoch,
)
from synthetic import FRAMES, synthetic_store

STILL = AugmentRecipe(flip=0, brightness=0, contrast=0)


def recipe_of(fakes, crossed=0.0, augment=STILL, **data):
    return Recipe(
        data=DataRecipe(frames=FRAMES, fakes=fakes, **data),
        augment=augment,
        pseudofakes=PseudoFakeRecipe(crossed=crossed),
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    store, manifest = synthetic_store(tmp_path_factory.mktemp("clips"), people=3)
    ids = [entry.record.video_id for entry in manifest.entries]
    return store, list_clips(store, manifest, Split("all", tuple(ids), ()).train, DataRecipe(frames=FRAMES))


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 17),
    processes=st.integers(1, 5),
    micro_batch=st.none() | st.integers(1, 7),
    done=st.integers(0, 8),
)
def test_processes_neither_drop_nor_repeat(count, batch_size, processes, micro_batch, done):
    batches = batches_of_epoch(count, batch_size, seed=3)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    shown = [index for batch in batches[:done] for index in batch]
    for batch in batches[done:]:  # an epoch that was stopped goes on after its first ``done`` steps
        parts = [part_of(batch, process, processes) for process in range(processes)]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        for part in parts:
            pieces = in_pieces(part, micro_batch)
            assert all(0 < len(piece) <= (micro_batch or count) for piece in pieces)
            shown += [index for piece in pieces for index in piece]
    assert sorted(shown) == list(range(count))


@pytest.mark.parametrize(("fakes", "kinds"), [("real", "rfrfrf"), ("pseudo", "rrrppp"), ("both", "rfrfrfppp")])
def test_items_are_what_the_recipe_asks_for(prepared, fakes, kinds):
    _, clips = prepared
    items = list_items(clips, recipe_of(fakes))
    letters = {("stored", REAL): "r", ("stored", FAKE): "f", ("pseudo", FAKE): "p"}
    assert "".join(letters[item.kind, item.label] for item in items) == kinds
    assert all(item.clip.label == REAL for item in items if item.kind == "pseudo")


def test_a_stored_item_is_the_stored_clip(prepared):
    store, clips = prepared
    recipe = recipe_of("both")
    item = list_items(clips, recipe)[1]
    expected = torch.from_numpy(np.array(store.frames(item.clip.sha256, item.clip.clip))).permute(0, 3, 1, 2)
    reader = ItemReader(store, recipe, clips)
    for view in (None, 0, 3):  # nothing is augmented by this recipe
        assert torch.equal(reader.frames(item._replace(view=view)), expected)


def test_pseudo_fakes_change_the_face_and_follow_the_view(prepared):
    store, clips = prepared
    reader = ItemReader(store, recipe_of("pseudo"), clips)
    item = list_items(clips, reader.recipe)[-1]
    real, first, again, other = (
        reader.frames(item._replace(kind=kind, view=view))
        for kind, view in (("stored", 0), ("pseudo", 0), ("pseudo", 0), ("pseudo", 1))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    changed = (first != real).any(dim=1)  # (T, H, W)
    assert 0.02 < changed.float().mean() < 0.9


def test_crossed_pseudo_fakes_show_another_persons_face(prepared, monkeypatch):
    store, clips = prepared
    donors = []

    def note(frames, landmarks_px, recipe, generator, donor):
        donors.append(donor)
        return type("Made", (), {"frames": frames})

    monkeypatch.setattr("stf_mamba.training.items.make_pseudofake", note)
    reader = ItemReader(store, recipe_of("pseudo", crossed=1.0), clips)
    items = [item for item in list_items(clips, reader.recipe) if item.kind == "pseudo"]
    for view in range(6):
        for item in items:
            reader.frames(item._replace(view=view))
    reals = {clip.identities[0]: reader.stored(clip) for clip in reader.reals}
    for item, donor in zip(items * 6, donors, strict=True):
        (person,) = [who for who, frames in reals.items() if np.array_equal(frames, donor.frames)]
        assert person != item.clip.identities[0]
        assert donor.landmarks_px.shape == (FRAMES, 5, 2)
    assert len({donor.frames.tobytes() for donor in donors}) == 3


def test_a_person_alone_has_no_donor(prepared):
    _, clips = prepared
    alone = [clip for clip in clips if clip.identities == ("s:0",)]
    assert len(list_items(alone, recipe_of("pseudo", crossed=0.0))) == 2
    with pytest.raises(DatasetError, match=r"no real training clip of another person.*set it to 0"):
        list_items(alone, recipe_of("pseudo", crossed=0.1))


def test_a_clip_and_its_pseudo_fake_are_augmented_by_different_draws(prepared, monkeypatch):
    store, clips = prepared
    recipe = recipe_of("pseudo", augment=AugmentRecipe(flip=0, brightness=0.3, contrast=0))
    monkeypatch.setattr("stf_mamba.training.items.pseudo_clip", lambda reader, item: reader.stored(item.clip))
    reader = ItemReader(store, recipe, clips)
    stored = list_items(clips, recipe)[0]._replace(view=2)
    assert not torch.equal(reader.frames(stored), reader.frames(stored._replace(kind="pseudo")))


def test_views_come_round(prepared):
    store, clips = prepared
    recipe = recipe_of("real", augment=AugmentRecipe(), views=2)
    reader = ItemReader(store, recipe, clips)
    items = list_items(clips, recipe)

    def epoch(number, views):
        view = view_of_epoch(number, replace(recipe, data=replace(recipe.data, views=views)))
        of_epoch = [item._replace(view=view) for item in items]
        (batch,) = loader(reader.frames, of_epoch, [[0, 1]], torch.device("cpu"))
        return batch.inputs

    assert torch.equal(epoch(0, 2), epoch(2, 2))
    assert not torch.equal(epoch(0, 2), epoch(1, 2))
    assert not torch.equal(epoch(0, None), epoch(2, None))
    assert torch.equal(epoch(1, 2), epoch(1, None))


def test_a_stored_clip_with_more_frames_is_thinned_with_its_landmarks(prepared):
    store, clips = prepared
    recipe = recipe_of("pseudo")
    reader = ItemReader(store, replace(recipe, data=replace(recipe.data, frames=2)), clips)
    whole = ItemReader(store, recipe, clips)
    np.testing.assert_array_equal(reader.stored(clips[0]), whole.stored(clips[0])[[0, -1]])
    np.testing.assert_array_equal(reader.landmarks_px(clips[0]), whole.landmarks_px(clips[0])[[0, -1]])


def test_a_clip_whose_landmarks_do_not_fit_makes_no_pseudo_fake(prepared):
    store, clips = prepared
    recipe = recipe_of("pseudo", crossed=1.0)
    reader = ItemReader(store, recipe, clips)
    spoilt = reader.reals[0]
    landmarks_px = reader.landmarks_px
    reader.landmarks_px = lambda clip: landmarks_px(clip) - (500 if clip == spoilt else 0)
    reasons = reader.drop_unblendable()
    assert list(reasons) == [spoilt.video_id]
    assert "leave this clip out" in reasons[spoilt.video_id]
    items = list_items(clips, recipe, reader.reals)
    assert spoilt not in [item.clip for item in items if item.kind == "pseudo"]
    assert spoilt in [item.clip for item in items if item.kind == "stored"]
    assert all(reader.donor(item._replace(view=view)) != spoilt for item in items for view in range(5))


def test_no_clip_to_blend_is_said(prepared):
    _, clips = prepared
    with pytest.raises(DatasetError, match="no real training clip can be made a pseudo-fake of"):
        list_items(clips, recipe_of("pseudo"), [])
