"""One draw a clip: what is identical stays identical, what is off changes nothing, and each step does what it says."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stf_mamba.augmentation.augment import augment_clip
from stf_mamba.core.recipe import AugmentRecipe
from stf_mamba.media.recoding import recode

OFF = {"flip": 0.0, "brightness": 0.0, "contrast": 0.0}
STEPS = {
    "saturation": {"saturation": 0.5},
    "shift": {"shift": 0.1},
    "zoom": {"zoom": 0.1},
    "rescale": {"rescale": 1.0},
    "blur": {"blur": 1.0},
    "noise": {"noise": 1.0},
    "jpeg": {"jpeg": 1.0},
    "video_codec": {"video_codec": 1.0},
}
PART = st.floats(0, 1)


def draw(frames, seed, **recipe):
    return augment_clip(frames, AugmentRecipe(**recipe), torch.Generator().manual_seed(seed))


def textured(count=3, height=24, width=28, seed=0):
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator(seed))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def pillow_jpeg(frame, quality):
    content = io.BytesIO()
    Image.fromarray(frame.permute(1, 2, 0).numpy()).save(content, "jpeg", quality=quality, subsampling="4:2:0")
    return torch.from_numpy(np.array(Image.open(content))).permute(2, 0, 1)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    flip=PART,
    brightness=PART,
    contrast=PART,
    saturation=PART,
    shift=st.floats(0, 0.5),
    zoom=st.floats(0, 0.5),
    rescale=PART,
    blur=PART,
    jpeg=PART,
)
def test_identical_frames_stay_identical_before_noise_and_codec(seed, size, **recipe):
    frame = textured(1, *size, seed=seed)
    augmented = draw(frame.expand(4, 3, *size), seed, **recipe)
    assert augmented.dtype == torch.uint8
    assert augmented.shape == (4, 3, *size)
    assert (augmented == augmented[:1]).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_what_is_off_changes_no_bit(seed):
    frames = textured(seed=seed)
    assert torch.equal(draw(frames, seed, **OFF), frames)
    assert torch.equal(draw(frames, seed, **OFF, rescale=1.0, smallest_scale=1.0), frames)


def test_the_clip_that_came_in_is_left_alone():
    frames = textured()
    before = frames.clone()
    everything = {name: value for step in STEPS.values() for name, value in step.items()}
    draw(frames, 1, flip=1.0, brightness=0.5, contrast=0.5, **everything)
    assert torch.equal(frames, before)


@pytest.mark.parametrize("step", STEPS)
def test_the_seed_decides(step):
    frames = textured()
    settings_of_step = {**OFF, **STEPS[step]}
    results = [draw(frames, seed, **settings_of_step) for seed in range(6)]
    assert all(torch.equal(result, draw(frames, seed, **settings_of_step)) for seed, result in enumerate(results))
    assert any(not torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("step", STEPS)
def test_switching_a_step_on_leaves_the_other_draws(step):
    """The dark side tells the flip and the grey tells the brightness, whatever else was done to the clip."""
    dark = torch.full((3, 3, 32, 16), 60, dtype=torch.uint8)
    frames = torch.cat([dark, dark + 60], dim=-1)
    for seed in range(8):
        plain = draw(frames, seed, flip=0.5, brightness=0.4, contrast=0.0).double()
        changed = draw(frames, seed, flip=0.5, brightness=0.4, contrast=0.0, **STEPS[step]).double()
        for columns in (slice(0, 8), slice(24, 32)):
            assert abs(plain[..., columns].mean() - changed[..., columns].mean()) < 3


def test_the_codec_comes_last_and_keeps_the_other_draws():
    frames = textured(count=4, height=32, width=32)
    before = {"saturation": 0.3, "zoom": 0.1, "rescale": 1.0, "blur": 1.0, "noise": 1.0, "jpeg": 1.0}
    plain = draw(frames, 5, **before).permute(0, 2, 3, 1).numpy()
    for codec, h265 in (("h264", 0.0), ("h265", 1.0)):
        augmented = draw(frames, 5, **before, video_codec=1.0, h265=h265, crf_min=31, crf_max=31)
        assert np.array_equal(augmented.permute(0, 2, 3, 1).numpy(), recode(plain, codec, 31))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_the_defaults_are_those_of_the_first_recipe(seed):
    """Flip at a half, then brightness and contrast to a tenth, around the mean of the whole clip: worked in float64."""
    frames = textured(seed=seed)
    flip, brightness, contrast = torch.rand(3, generator=generator(seed)).tolist()
    expected = frames.flip(-1) if flip < 0.5 else frames
    middle = frames.double().mean()
    levels = ((expected.double() - middle) * (0.9 + 0.2 * contrast) + middle) * (0.9 + 0.2 * brightness)
    assert (draw(frames, seed).double() - levels.clamp(0, 255)).abs().max() <= 0.5 + 1e-9


def test_flip_alone_is_a_flip():
    frames = textured()
    assert torch.equal(draw(frames, 0, **OFF | {"flip": 1.0}), frames.flip(-1))
    assert torch.equal(draw(frames, 0, **OFF), frames)


def test_contrast_turns_around_the_clips_mean():
    frames = torch.full((3, 3, 4, 4), 100, dtype=torch.uint8)
    assert torch.equal(draw(frames, 3, flip=0, brightness=0, contrast=1.0), frames)


def test_saturation_keeps_luma_and_grey_and_scales_colour():
    coloured = torch.tensor([150, 100, 90], dtype=torch.uint8)[None, :, None, None].expand(2, 3, 4, 4)
    grey = torch.full((2, 3, 4, 4), 77, dtype=torch.uint8)
    spreads = []
    for seed in range(8):
        changed = draw(coloured, seed, **OFF, saturation=0.6)[0, :, 0, 0].double()
        assert changed @ torch.tensor([0.2126, 0.7152, 0.0722]).double() == pytest.approx(109.908, abs=0.6)
        spreads.append(float(changed[0] - changed[2]) / 60)
        assert torch.equal(draw(grey, seed, **OFF, saturation=0.6), grey)
    assert 0.35 < min(spreads) < 0.8
    assert 1.2 < max(spreads) < 1.65


def test_shift_and_zoom_stay_within_their_bounds_around_the_centre():
    """Ramps along x and y tell where each pixel of the new crop came from."""
    side = 64
    ramp = (32 + 3 * torch.arange(side)).to(torch.uint8)
    frames = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side), ramp.expand(side, side)])[None]
    sizes, moves = [], []
    for seed in range(12):
        moved = ((draw(frames, seed, **OFF, shift=0.1, zoom=0.2)[0].double() - 32) / 3).numpy()
        x, y = moved[0, side // 2], moved[1, :, side // 2]
        inner = np.arange(side // 4, 3 * side // 4)  # far enough from the repeated border
        for came_from in (x, y):
            size, start = np.polyfit(inner, came_from[inner], 1)
            assert came_from[inner] == pytest.approx(start + size * inner, abs=0.3)
            sizes.append(size)
            moves.append((start + size * (side - 1) / 2 - (side - 1) / 2) / side)
        assert np.ptp(moved[0][:, side // 2]) < 0.4  # no turn, no shear
        assert sizes[-1] == pytest.approx(sizes[-2], abs=0.025)  # one size; a level is a third of a pixel in 31
        assert 0 <= moved.min() <= moved.max() <= side - 1  # the border repeats; nothing is invented
    assert 0.8 - 0.0125 <= min(sizes) < 0.9
    assert 1.1 < max(sizes) <= 1.2 + 0.0125
    assert -0.1 - 0.005 <= min(moves) < -0.05
    assert 0.05 < max(moves) <= 0.1 + 0.005


def test_zoom_alone_keeps_the_centre():
    ramp = (32 + 3 * torch.arange(64)).to(torch.uint8).expand(1, 3, 64, 64)
    for seed in range(4):
        middle = draw(ramp, seed, **OFF, zoom=0.3)[0, 0, 32, 31:33].double().mean()
        assert float(middle) == pytest.approx(32 + 3 * 31.5, abs=1)


def test_blur_spreads_a_point_by_its_standard_deviation():
    point = torch.zeros(1, 3, 41, 41, dtype=torch.uint8)
    point[..., 18:23, 18:23] = 255
    place = torch.arange(41).double() - 20
    deviations = []
    for seed in range(12):
        profile = draw(point, seed, **OFF, blur=1.0, largest_blur_px=3.0)[0, 0].double().sum(0)
        variance = (profile * place**2).sum() / profile.sum() - 2  # a bar of five pixels has a variance of 2
        deviations.append(max(float(variance), 0) ** 0.5)
    assert max(deviations) < 3.1
    assert max(deviations) > 2
    assert min(deviations) < 1


def test_scaling_down_and_up_removes_detail_and_keeps_what_is_smooth():
    checkers = (torch.arange(48)[:, None] + torch.arange(48)) % 2 * 100 + 78
    smooth = 60 + torch.arange(48)[:, None] + torch.arange(48)
    frames = torch.stack([checkers, smooth, smooth]).to(torch.uint8)[None]
    for seed in range(8):
        scaled = draw(frames, seed, **OFF, rescale=1.0, smallest_scale=0.4)[0].double()[:, 6:-6, 6:-6]
        assert scaled[0].std() < 0.9 * 50
        assert (scaled[1] - smooth[6:-6, 6:-6]).abs().max() < 3


def test_noise_is_new_in_every_frame_and_as_strong_in_each():
    grey = torch.full((6, 3, 64, 64), 128, dtype=torch.uint8)
    strengths = []
    for seed in range(8):
        noise = draw(grey, seed, **OFF, noise=1.0, largest_noise=8.0).double() - 128
        per_frame = noise.flatten(1).std(dim=1)
        correlation = torch.corrcoef(noise.flatten(1)) - torch.eye(6)
        strengths.append(float(per_frame.mean()))
        assert per_frame.max() < 1.1 * per_frame.min() + 0.1
        assert noise.mean().abs() < 0.1
        assert per_frame.mean() < 0.5 or correlation.abs().max() < 0.05  # 12 288 samples: five deviations
    assert max(strengths) < 8.2
    assert max(strengths) > 1.5 * min(strengths)


def test_jpeg_is_what_another_library_makes_of_it_at_one_quality_a_clip():
    """Against Pillow's own libjpeg; swapped colour channels would be far off at every quality."""
    frames = torch.nn.functional.interpolate(textured(2, 9, 11).double(), (72, 88), mode="bicubic").clamp(0, 255)
    frames = frames.round().to(torch.uint8)
    by_quality = {quality: torch.stack([pillow_jpeg(frame, quality) for frame in frames]) for quality in range(30, 101)}
    drawn = []
    for seed in range(8):
        saved = draw(frames, seed, **OFF, jpeg=1.0, jpeg_quality_min=40).double()
        errors = {quality: (saved - other.double()).abs().max() for quality, other in by_quality.items()}
        drawn.append(min(errors, key=errors.get))
        assert errors[drawn[-1]] <= 2
    assert min(drawn) >= 40
    assert max(drawn) - min(drawn) > 20


PER_FRAME = {
    "flip": {"flip": 0.5},
    "brightness": {"brightness": 0.3},
    "contrast": {"contrast": 0.5},
    "saturation": {"saturation": 0.5},
    "shift": {"shift": 0.2},
    "zoom": {"zoom": 0.2},
}


@pytest.mark.parametrize("step", PER_FRAME)
def test_draws_for_each_frame_tell_identical_frames_apart(step):
    frames = textured(1).expand(12, 3, 24, 28)
    by_frame = draw(frames, 4, **OFF | PER_FRAME[step], draws="frame")
    by_clip = draw(frames, 4, **OFF | PER_FRAME[step], draws="clip")
    assert (by_frame.shape, by_frame.dtype) == (frames.shape, torch.uint8)
    assert not (by_frame == by_frame[:1]).all()
    assert (by_clip == by_clip[:1]).all()


def test_draws_for_each_frame_reach_geometry_and_colour_only():
    frames = textured(1).expand(4, 3, 24, 28)
    for later in ({"rescale": 1.0}, {"blur": 1.0}, {"jpeg": 1.0}):
        same = draw(frames, 3, **OFF, **later, draws="frame")
        assert torch.equal(same, draw(frames, 3, **OFF, **later, draws="clip"))
        assert not torch.equal(same, frames)
    assert torch.equal(draw(frames, 3, **OFF, draws="frame"), frames)


def test_each_frames_contrast_turns_around_its_own_mean():
    flat = torch.tensor([40, 100, 200], dtype=torch.uint8)[:, None, None, None].expand(3, 3, 4, 4)
    assert torch.equal(draw(flat, 3, flip=0, brightness=0, contrast=1.0, draws="frame"), flat)
    assert not torch.equal(draw(flat, 3, flip=0, brightness=0, contrast=1.0, draws="clip"), flat)
