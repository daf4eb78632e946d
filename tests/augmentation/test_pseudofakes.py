"""Pseudo-fakes of drawn clips: real outside the mask, still when everything is off, each component where it belongs."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_clips import SCALE, landmarks, moving_clip, still_clip
from stf_mamba.augmentation import pseudofakes
from stf_mamba.augmentation.face_changes import draw_face_change
from stf_mamba.augmentation.pseudofakes import Donor, make_pseudofake
from stf_mamba.core.recipe import PseudoFakeRecipe
from stf_mamba.faces.masks import PATCH_SIDE_PX, draw_mask_shape

COMPONENTS = ("drift", "jitter", "flicker", "swim")
OFF = PseudoFakeRecipe(**dict.fromkeys(COMPONENTS, 0.0))
AMPLITUDES = st.floats(0, 3)


def only(component, amplitude=1.0):
    return dataclasses.replace(OFF, **{component: amplitude})


def fake_of(frames, recipe, seed=0, donor=None):
    return make_pseudofake(frames, landmarks(len(frames)), recipe, np.random.default_rng(seed), donor)


def donor_of(frames, seed=50):
    return Donor(moving_clip(frames, seed), landmarks(frames, (3.0, -2.0)))


def autocorrelation(series):
    centred = series - series.mean(axis=0)
    return (centred[1:] * centred[:-1]).sum() / (centred**2).sum()


def mask_centres(mask):
    """(T, 2) x and y of the centre of mass."""
    y, x = np.indices(mask.shape[1:])
    return np.stack([(mask * x).sum((1, 2)), (mask * y).sum((1, 2))], 1) / mask.sum((1, 2))[:, None]


@pytest.fixture
def plain_face(monkeypatch):
    """The identity-like change is none at all, under a whole-face mask; returns a function that alters it."""

    def replace(**differences):
        mask = draw_mask_shape(np.random.default_rng(1), {("brows to chin",): 1.0})
        nothing = {
            "mask": mask,
            "ratio": 1.0,
            "shift_px": np.zeros(2),
            "scale": 1.0,
            "warp_px": np.zeros((2, PATCH_SIDE_PX, PATCH_SIDE_PX), np.float32),
            "resolution": 1.0,
            "texture": "none",
            "spread": np.eye(3),
            "gains": np.ones(3),
        }

        def draw(generator, crossed):
            return dataclasses.replace(draw_face_change(generator, crossed), **(nothing | differences))

        monkeypatch.setattr(pseudofakes, "draw_face_change", draw)

    replace()
    return replace


@settings(max_examples=30)
@given(st.integers(0, 2**32), AMPLITUDES, AMPLITUDES, AMPLITUDES, AMPLITUDES, st.booleans())
def test_outside_the_mask_every_pixel_is_the_real_one(seed, drift, jitter, flicker, swim, crossed):
    frames = moving_clip(3)
    before = frames.copy()
    recipe = PseudoFakeRecipe(drift=drift, jitter=jitter, flicker=flicker, swim=swim)
    fake = fake_of(frames, recipe, seed, donor_of(3) if crossed else None)
    assert fake.frames.shape == frames.shape
    assert fake.frames.dtype == np.uint8
    assert fake.mask.shape == frames.shape[:3]
    assert fake.mask.dtype == np.float32
    assert 0 <= fake.mask.min() < fake.mask.max() <= 1
    outside = fake.mask == 0
    np.testing.assert_array_equal(fake.frames[outside], frames[outside])
    assert 0.3 < outside.mean() < 1
    assert (fake.frames != frames).any()
    np.testing.assert_array_equal(frames, before)


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_with_all_components_off_a_still_clip_gives_a_still_pseudofake(seed, crossed):
    frames = still_clip(6)
    donor = Donor(still_clip(6, seed=9), landmarks(6)) if crossed else None
    fake = fake_of(frames, OFF, seed, donor)
    assert (fake.frames == fake.frames[0]).all()
    assert (fake.mask == fake.mask[0]).all()
    assert (fake.frames != frames).any()


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_alone_makes_a_still_clip_vary(component):
    fake = fake_of(still_clip(6), only(component))
    assert (fake.frames != fake.frames[0]).any()


@pytest.mark.parametrize("crossed", [False, True])
def test_same_generator_same_clip_other_generator_other_clip(crossed):
    frames, donor = moving_clip(3), donor_of(3) if crossed else None
    first, again, other = (fake_of(frames, PseudoFakeRecipe(), seed, donor) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.mask != other.mask).any()


def test_jitter_moves_the_face_without_memory_and_drift_with_it():
    frames = still_clip(48)
    jittered, drifted = (mask_centres(fake_of(frames, only(name)).mask) for name in ("jitter", "drift"))
    assert jittered.std() > 0.1
    assert abs(autocorrelation(jittered)) < 0.35  # 2 / √(2 · 48) is the 95 % limit of white noise, plus some room
    assert drifted.std() > 0.1
    assert autocorrelation(drifted) > 0.9


def test_flicker_changes_colour_in_place(plain_face):
    frames = still_clip(48)
    fake = fake_of(frames, only("flicker"))
    assert (fake.mask == fake.mask[0]).all()
    inside = fake.mask[0] == fake.mask.max()
    levels = fake.frames[:, inside].astype(float).mean(axis=1)  # (T, 3)
    assert levels.std(axis=0).min() > 0.3
    assert abs(autocorrelation(levels)) < 0.35
    # The picture itself is the same one: frames differ by one factor per channel, up to rounding.
    first, brightest = fake.frames[0][inside].astype(float), fake.frames[levels[:, 1].argmax()][inside].astype(float)
    gain = brightest.mean(axis=0) / first.mean(axis=0)
    assert np.abs(gain * first - brightest).max() < 1.2


def test_swim_changes_pixels_near_the_boundary_only(plain_face):
    plain_face(gains=np.full(3, 1.2))
    frames = still_clip(24)
    still, swimming = fake_of(frames, OFF).mask[0], fake_of(frames, only("swim")).mask
    varies = (swimming != swimming[0]).any(axis=0)
    assert varies.any()
    fake = fake_of(frames, only("swim")).frames
    steady = ~varies
    assert (fake[:, steady] == fake[0, steady]).all()
    # The boundary moves by a few times its unit of 1.2 aligned pixels: within 4 units of pixels that are half masked.
    rows, columns = np.nonzero((still > 0) & (still < 1))
    for row, column in zip(*np.nonzero(varies), strict=True):
        assert np.hypot(rows - row, columns - column).min() < 4 * 1.2 * SCALE + 1
    assert (still[steady] == 1).any()


def test_amplitude_scales_a_component():
    frames = still_clip(24)
    once, twice = (mask_centres(fake_of(frames, only("jitter", amplitude)).mask) for amplitude in (1.0, 2.0))
    assert twice.std(axis=0).max() / once.std(axis=0).max() == pytest.approx(2, rel=0.1)


def test_without_a_change_the_face_comes_back_as_it_was(plain_face):
    frames = moving_clip(2)
    turn = np.deg2rad(10)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (landmarks(2) - 48) @ rotation.T + 48
    fake = make_pseudofake(frames, points, OFF, np.random.default_rng(0))
    assert (fake.mask == 1).any()
    error = np.abs(fake.frames.astype(float) - frames)[fake.mask == 1]
    # Two cubic interpolations of a texture blurred by 2 px, of 30 grey levels.
    assert error.mean() < 1.5


def test_a_shift_moves_the_face_by_as_many_pixels(plain_face):
    plain_face(shift_px=np.array([5.0, 0.0]))  # aligned pixels, 0.6 of which make one of the clip: 3 px to the right
    ramp = np.repeat(np.arange(96, dtype=np.uint8)[None, :, None] * 2 + 20, 96, axis=0).repeat(3, axis=2)
    fake = fake_of(np.stack([ramp, ramp]), OFF)
    inside = fake.mask[0] == 1
    moved = ramp.astype(float)[inside] - fake.frames[0].astype(float)[inside]
    np.testing.assert_allclose(moved.mean(axis=0), 2 * 5 * SCALE, atol=0.3)


def test_the_mask_follows_the_landmarks():
    frames = np.repeat(still_clip(1), 3, axis=0)
    points = landmarks(3)
    points[1] += (4, 0)
    points[2] += (0, -3)
    mask = make_pseudofake(frames, points, OFF, np.random.default_rng(0)).mask
    np.testing.assert_allclose(mask[1], np.roll(mask[0], 4, axis=1), atol=1e-4)
    np.testing.assert_allclose(mask[2], np.roll(mask[0], -3, axis=0), atol=1e-4)


def test_a_cross_blended_face_is_the_donors(plain_face):
    across = np.tile((100 + 60 * np.sin(np.arange(96) * 2 * np.pi / 12))[None, :, None], (96, 1, 3)).astype(np.uint8)
    clip, donor = np.stack([across] * 2), np.stack([across.swapaxes(0, 1)] * 2)
    fake = fake_of(clip, OFF, donor=Donor(donor, landmarks(2)))
    core = fake.mask[0] == 1
    down, sideways = (np.abs(step)[core].mean() for step in np.gradient(fake.frames[0].astype(float), axis=(0, 1)))
    assert down > 10 * sideways
    rest = fake.mask[0] == 0
    down, sideways = (np.abs(step)[rest].mean() for step in np.gradient(fake.frames[0].astype(float), axis=(0, 1)))
    assert sideways > 5 * down


def test_the_donors_landmarks_come_to_lie_on_the_clips(plain_face):
    nose = 2
    donor_px = landmarks(2, (5.0, 4.0)) + np.array([0.0, 0.0])
    donor_px[..., 0] = 48 + 0.9 * (donor_px[..., 0] - 48)  # narrower, which an affine map undoes and no similarity
    picture = np.full((2, 96, 96, 3), 60, np.uint8)
    x, y = donor_px[0, nose].round().astype(int)
    picture[:, y - 1 : y + 2, x - 1 : x + 2] = 250
    plain = np.full((2, 96, 96, 3), 60, np.uint8)
    plain[:, ::2] = 100  # so that there is a spread to match
    fake = fake_of(plain, OFF, donor=Donor(picture, donor_px)).frames[0].astype(float).mean(axis=-1)
    region = np.where(fake_of(plain, OFF).mask[0] == 1, fake, 0)
    seen_y, seen_x = np.unravel_index(region.argmax(), region.shape)
    np.testing.assert_allclose((seen_x, seen_y), landmarks(1)[0, nose], atol=1.6)


@pytest.mark.parametrize(
    ("frames", "points", "words"),
    [
        (still_clip(2)[..., 0], landmarks(2), r"\(2, 96, 96\)"),
        (still_clip(2).astype(np.float32), landmarks(2), "float32"),
        (still_clip(2)[:0], landmarks(2)[:0], r"\(0, 96, 96, 3\)"),
        (still_clip(2), landmarks(3), r"\(3, 5, 2\)"),
        (still_clip(2), landmarks(2)[:, :4], r"\(2, 4, 2\)"),
        (still_clip(2), landmarks(2) * np.nan, r"\(T, 5, 2\).*finite"),
        (still_clip(2), landmarks(2, (60.0, 0.0)), r"\(T, 5, 2\).*inside its 96 × 96"),
        (still_clip(2), landmarks(2)[:, [1, 0, 2, 4, 3]], r"\(T, 5, 2\).*order left eye"),
        (still_clip(2), landmarks(2) * 0 + 40, r"\(T, 5, 2\).*0.0 px apart"),
    ],
)
def test_bad_input_is_named(frames, points, words):
    for donor in (None, Donor(frames, points)):
        clip = (frames, points) if donor is None else (still_clip(2), landmarks(2))
        with pytest.raises(ValueError, match=words):
            make_pseudofake(*clip, PseudoFakeRecipe(), np.random.default_rng(0), donor)


def test_a_donor_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 96, 96, 3\).*\(3, 96, 96, 3\)"):
        fake_of(still_clip(3), PseudoFakeRecipe(), donor=donor_of(4))
