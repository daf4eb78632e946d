"""Sheets and videos of pseudo-fakes, read back."""

import av
import cv2
import numpy as np
import pytest

from face_clips import landmarks, moving_clip, still_clip
from stf_mamba.augmentation.pseudofakes import Donor, PseudoFake, make_pseudofake
from stf_mamba.augmentation.samples import sample_sheet, write_samples
from stf_mamba.core.recipe import PseudoFakeRecipe

KINDS = ("self-blended", "cross-blended", "drift", "jitter", "flicker", "swim")
FRAMES = 4


def test_every_kind_has_a_sheet_and_a_video(tmp_path):
    frames = still_clip(FRAMES)
    written = write_samples(frames, landmarks(FRAMES), Donor(moving_clip(FRAMES, 9), landmarks(FRAMES)), tmp_path / "s")
    assert sorted(written) == sorted((tmp_path / "s").iterdir())
    assert {path.name for path in written} == {f"{kind}.{ending}" for kind in KINDS for ending in ("png", "mp4")}
    fake = make_pseudofake(frames, landmarks(FRAMES), PseudoFakeRecipe(), np.random.default_rng(0))
    sheet = cv2.cvtColor(cv2.imread(str(tmp_path / "s/self-blended.png")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(sheet, sample_sheet(frames, fake))
    with av.open(str(tmp_path / "s/self-blended.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        shown = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    side_by_side = np.concatenate([frames, fake.frames], axis=2)
    assert shown.shape == side_by_side.shape
    assert np.abs(shown.astype(float) - side_by_side).mean() < 8  # 4:2:0 costs the colour of fine texture


def test_a_sheet_shows_real_mask_fake_and_difference():
    real = np.full((1, 2, 2, 3), 100, np.uint8)
    fake = real.copy()
    fake[0, 0, 0] = (110, 90, 200)
    mask = np.array([[[0.5, 0], [0, 0]]], np.float32)
    sheet = sample_sheet(real, PseudoFake(fake, mask), columns=1)
    assert sheet.shape == (8, 2, 3)
    np.testing.assert_array_equal(sheet[0:2], real[0])
    np.testing.assert_array_equal(sheet[2], [[128] * 3, [0] * 3])
    np.testing.assert_array_equal(sheet[4:6], fake[0])
    np.testing.assert_array_equal(sheet[6], [[168, 88, 255], [128] * 3])


def test_an_odd_size_is_refused(tmp_path):
    frames = still_clip(2)[:, :95]
    with pytest.raises(ValueError, match=r"\(2, 95, 96, 3\).*even"):
        write_samples(frames, landmarks(2), Donor(frames, landmarks(2)), tmp_path)
