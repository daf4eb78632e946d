"""One draw a clip: what is identical stays identical."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stf_mamba.augment import augment_clip
from stf_mamba.recipe import AugmentRecipe


def draw(frames, seed, **recipe):
    return augment_clip(frames, AugmentRecipe(**recipe), torch.Generator().manual_seed(seed))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), flip=st.floats(0, 1), brightness=st.floats(0, 1), contrast=st.floats(0, 1))
def test_identical_frames_stay_identical(seed, flip, brightness, contrast):
    frame = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    augmented = draw(frame.expand(5, 3, 8, 8), seed, flip=flip, brightness=brightness, contrast=contrast)
    assert augmented.dtype == torch.uint8
    assert (augmented == augmented[:1]).all()


def test_the_seed_decides():
    frames = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(draw(frames, 1, brightness=0.5), draw(frames, 1, brightness=0.5))
    assert not torch.equal(draw(frames, 1, brightness=0.5), draw(frames, 2, brightness=0.5))


def test_flip_alone_is_a_flip():
    frames = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(draw(frames, 0, flip=1.0, brightness=0, contrast=0), frames.flip(-1))
    assert torch.equal(draw(frames, 0, flip=0.0, brightness=0, contrast=0), frames)


def test_contrast_turns_around_the_clips_mean():
    frames = torch.full((3, 3, 4, 4), 100, dtype=torch.uint8)
    assert torch.equal(draw(frames, 3, flip=0, brightness=0, contrast=1.0), frames)
