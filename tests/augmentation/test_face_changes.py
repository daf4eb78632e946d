"""The change of a face that is drawn once per clip, worked by hand and held to its declared ranges."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_clips import still_clip
from stf_mamba.augmentation.face_changes import (
    LARGEST_BRIGHTNESS,
    LARGEST_CHANNEL_GAIN,
    SMALLEST_RESOLUTION,
    change_patch,
    draw_face_change,
    match_colours,
)
from stf_mamba.faces.masks import PATCH_SIDE_PX, WHOLE_FACES


def detail(patch):
    return cv2.Laplacian(patch.astype(np.float32), cv2.CV_32F).std()


@pytest.fixture
def untouched():
    """A change that changes nothing."""
    drawn = draw_face_change(np.random.default_rng(0), crossed=False)
    return dataclasses.replace(
        drawn,
        ratio=1.0,
        shift_px=np.zeros(2),
        scale=1.0,
        warp_px=np.zeros((2, PATCH_SIDE_PX, PATCH_SIDE_PX), np.float32),
        resolution=1.0,
        texture="none",
        spread=np.eye(3),
        gains=np.ones(3),
    )


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.booleans())
def test_draws_stay_in_their_ranges(seed, crossed):
    change = draw_face_change(np.random.default_rng(seed), crossed)
    assert 0.5 <= change.ratio <= 1
    assert SMALLEST_RESOLUTION <= change.resolution <= 1
    largest_gain = (1 + LARGEST_BRIGHTNESS) * (1 + LARGEST_CHANNEL_GAIN)
    assert (np.abs(change.gains - 1) <= largest_gain - 1 + 1e-9).all()
    grey = change.colour_map(np.full(3, 90.0)) @ (90, 90, 90, 1)
    np.testing.assert_allclose(grey, 90 * change.gains, rtol=1e-6)  # the mean colour moves by the gains alone
    if crossed:
        assert change.ratio == 1
        assert change.mask.region in WHOLE_FACES


def test_an_empty_change_leaves_a_patch_as_it_is(untouched):
    patch = still_clip(1)[0]
    np.testing.assert_array_equal(change_patch(patch, untouched), patch)
    np.testing.assert_array_equal(untouched.colour_map(np.array([90.0, 80, 70])), np.eye(3, 4))


def test_contrast_turns_about_the_mean_and_gains_multiply(untouched):
    change = dataclasses.replace(untouched, spread=1.5 * np.eye(3), gains=np.array([1.1, 1.0, 0.9]))
    colour_map = change.colour_map(np.array([100.0, 80.0, 60.0]))
    # Red 120 is 20 above its mean: 1.1 · (100 + 30) = 143; green at its mean stays; blue 50: 0.9 · (60 − 15) = 40.5.
    np.testing.assert_allclose(colour_map @ (120, 80, 50, 1), [143, 80, 40.5])


def test_hue_and_saturation_leave_greys_grey():
    spread = draw_face_change(np.random.default_rng(4), crossed=False).spread
    moved = spread @ (10.0, 10.0, 10.0)
    np.testing.assert_allclose(moved, moved[0], rtol=1e-3)


@pytest.mark.parametrize(("texture", "more"), [("blur", False), ("denoise", False), ("sharpen", True)])
def test_texture_changes_take_or_give_detail(untouched, texture, more):
    patch = still_clip(1, seed=3)[0]
    noisy = np.clip(patch + np.random.default_rng(0).normal(0, 5, patch.shape), 0, 255).astype(np.uint8)
    ratio = detail(change_patch(noisy, dataclasses.replace(untouched, texture=texture, texture_strength=1.0)))
    ratio /= detail(noisy)
    assert ratio > 1.3 if more else ratio < 0.8


def test_a_warp_fetches_from_where_it_says(untouched):
    warp_px = np.zeros((2, PATCH_SIDE_PX, PATCH_SIDE_PX), np.float32)
    warp_px[0] = 2 * PATCH_SIDE_PX / 96  # aligned pixels: 2 pixels of a patch of 96
    patch = still_clip(1)[0]
    warped = change_patch(patch, dataclasses.replace(untouched, warp_px=warp_px))
    np.testing.assert_array_equal(warped[:, :-2], patch[:, 2:])


def test_matched_patches_have_the_mean_and_spread_of_their_references():
    weights = np.zeros((96, 96), np.float32)
    weights[20:70, 20:70] = 1
    patches = [(still_clip(1, seed)[0] * 0.6).astype(np.uint8) for seed in range(3)]
    references = [np.clip(still_clip(1, seed)[0] * 0.8 + (30, 0, 10), 0, 255).astype(np.uint8) for seed in range(7, 10)]
    matched = match_colours(patches, references, weights)

    def lab_statistics(pictures):
        inside = np.concatenate([cv2.cvtColor(one, cv2.COLOR_RGB2LAB)[20:70, 20:70] for one in pictures])
        return inside.mean(axis=(0, 1)), inside.std(axis=(0, 1))  # OpenCV's 8-bit Lab: another path than the function's

    for measured, wanted in zip(lab_statistics(matched), lab_statistics(references), strict=True):
        np.testing.assert_allclose(measured, wanted, atol=1.5)
    assert np.abs(lab_statistics(patches)[0] - lab_statistics(references)[0]).max() > 10
