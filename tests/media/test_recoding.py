"""What a real codec leaves of a clip, against a file on disk and the BT.709 equations."""

import os
import subprocess
import sys

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stf_mamba.core.errors import UsageError
from stf_mamba.media import recoding
from stf_mamba.media.recoding import encode, recode
from video_files import numbered_frames, read_number

both_codecs = pytest.mark.parametrize("codec", ["h264", "h265"])


def moving_picture(count=12, height=64, width=80, seed=0):
    """A soft random texture in colour that moves by two pixels a frame, (T, H, W, 3) uint8."""
    coarse = np.random.default_rng(seed).uniform(40, 215, (height // 4 + 2, (width + 2 * count) // 4 + 2, 3))
    rows = np.linspace(0, coarse.shape[0] - 1.001, height)
    columns = np.linspace(0, coarse.shape[1] - 1.001, width + 2 * count)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    upper = coarse[top][:, left] * (1 - right) + coarse[top][:, left + 1] * right
    lower = coarse[top + 1][:, left] * (1 - right) + coarse[top + 1][:, left + 1] * right
    wide = np.rint(upper * (1 - down) + lower * down).astype(np.uint8)
    return np.stack([wide[:, 2 * index : 2 * index + width] for index in range(count)])


def without_colour(frames):
    return np.repeat(frames[..., :1], 3, axis=-1)


def psnr_db(one, other):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2))


def n_bytes(frames, codec, crf):
    return sum(packet.size for packet in encode(frames, codec, crf))


@both_codecs
@pytest.mark.parametrize("count", [1, 2, 33])
def test_as_many_frames_in_the_same_order(codec, count):
    frames = np.stack(list(numbered_frames(count, 64, 64, first=100)))
    recoded = recode(frames, codec, 30)
    assert recoded.shape == frames.shape
    assert recoded.dtype == np.uint8
    assert [read_number(rgb) for rgb in recoded] == list(range(100, 100 + count))


@both_codecs
def test_a_higher_crf_costs_quality_and_saves_bytes(codec):
    frames = without_colour(moving_picture())  # what 4:2:0 takes from colour does not depend on the factor
    factors = [5, 18, 29, 40]
    quality = [psnr_db(frames, recode(frames, codec, crf)) for crf in factors]
    sizes = [n_bytes(frames, codec, crf) for crf in factors]
    assert quality == sorted(quality, reverse=True)
    assert sizes == sorted(sizes, reverse=True)
    assert quality[0] - quality[-1] > 6
    assert sizes[0] > 2 * sizes[-1]  # of both, up to 2 kB are the encoder's own signature


@both_codecs
@pytest.mark.parametrize("rgb", [(200, 60, 40), (30, 160, 90), (40, 50, 210), (235, 235, 235), (224, 172, 140)])
def test_colours_do_not_shift(codec, rgb):
    """A wrong matrix moves these by up to 20 levels, a wrong range the white one by 15."""
    frames = np.full((4, 48, 48, 3), rgb, np.uint8)
    recoded = recode(frames, codec, 1)
    assert np.abs(recoded.astype(int) - frames).max() <= 2


@both_codecs
def test_a_tiny_factor_loses_no_more_than_the_pixel_format(codec):
    """Grey pictures have no colour to lose: what remains is that limited range has 219 steps for 255."""
    grey = without_colour(moving_picture(count=5))
    assert np.abs(recode(grey, codec, 0).astype(int) - grey).max() <= (1 if codec == "h264" else 4)


@both_codecs
def test_equals_a_file_read_back_with_the_bt709_equations(tmp_path, codec):
    frames = moving_picture(count=8)
    path = tmp_path / f"stream.{codec}"
    path.write_bytes(b"".join(bytes(packet) for packet in encode(frames, codec, 20)))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        pictures = [picture.to_ndarray(format="yuv420p") for picture in container.decode(video=0)]
        assert (context.colorspace, context.color_range) == (1, 1)  # ITU-T H.273: BT.709, limited
        assert (context.color_primaries, context.color_trc) == (1, 1)
    recoded = recode(frames, codec, 20)
    assert len(pictures) == len(recoded)
    for planes, rgb in zip(pictures, recoded, strict=True):
        luma_709 = rgb @ np.array([0.2126, 0.7152, 0.0722])  # Recommendation ITU-R BT.709-6, item 3.2
        stored = (planes[:64].astype(float) - 16) * 255 / 219
        inside = ((rgb > 0) & (rgb < 255)).all(axis=-1)  # where nothing was clipped
        assert inside.mean() > 0.9
        assert np.abs(luma_709 - stored)[inside].max() < 1.5


@both_codecs
@pytest.mark.parametrize(("height", "width"), [(33, 47), (48, 41), (8, 8), (1, 1)])
def test_odd_and_tiny_sizes(codec, height, width):
    ramp = np.linspace(60, 200, height)[:, None] + np.linspace(0, 30, width)[None]
    frames = np.repeat(np.rint(ramp).astype(np.uint8)[None, ..., None], 3, axis=-1).repeat(3, axis=0)
    recoded = recode(frames, codec, 10)
    assert recoded.shape == frames.shape
    assert psnr_db(frames, recoded) > 38


@both_codecs
def test_a_planted_flicker_survives(codec):
    frames = moving_picture(count=16)
    sign = np.where(np.arange(16) % 2, 1, -1)[:, None, None, None]
    flickering = np.clip(frames + 6 * sign, 0, 255).astype(np.uint8)

    def amplitude(clip):
        return np.abs(np.diff(clip.mean(axis=(1, 2, 3)), n=2)).mean() / 4  # second differences ignore the motion

    assert amplitude(flickering) == pytest.approx(6, abs=0.5)
    assert amplitude(recode(flickering, codec, 28)) > 4.5
    assert amplitude(recode(frames, codec, 28)) < 1.5


@both_codecs
@settings(max_examples=8)
@given(seed=st.integers(0, 1000), crf=st.integers(0, 51), height=st.integers(2, 40), width=st.integers(2, 40))
def test_the_same_clip_gives_the_same_bytes(codec, seed, crf, height, width):
    frames = np.random.default_rng(seed).integers(0, 256, (6, height, width, 3), dtype=np.uint8)
    once = [bytes(packet) for packet in encode(frames, codec, crf)]
    assert [bytes(packet) for packet in encode(frames, codec, crf)] == once
    assert np.array_equal(recode(frames, codec, crf), recode(frames, codec, crf))


@both_codecs
def test_another_process_gives_the_same_and_nothing_is_printed(codec):
    program = (
        "import hashlib, numpy as np\n"
        "from stf_mamba.media.recoding import recode\n"
        "frames = np.random.default_rng(3).integers(0, 256, (9, 50, 70, 3), dtype=np.uint8)\n"
        f"print(hashlib.sha256(recode(frames, {codec!r}, 27).tobytes()).hexdigest())\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
        for environment in ({**os.environ}, {**os.environ, "MALLOC_PERTURB_": "165"})  # other bytes in fresh memory
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64
    assert runs[0].stderr == runs[1].stderr == ""


def test_a_missing_encoder_is_named(monkeypatch):
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    monkeypatch.setitem(recoding.ENCODERS, "h265", "libx265_absent")
    with pytest.raises(UsageError, match="libx265_absent"):
        recode(frames, "h265", 25)
    assert recode(frames, "h264", 25).shape == frames.shape


@pytest.mark.parametrize(
    ("frames", "codec", "crf", "words"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), "h264", 20, "float32"),
        (np.zeros((2, 3, 8, 8), np.uint8), "h264", 20, r"\(2, 3, 8, 8\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), "h264", 20, "at least one"),
        (np.zeros((2, 8, 8, 3), np.uint8), "av1", 20, "av1"),
        (np.zeros((2, 8, 8, 3), np.uint8), "h264", 52, "52"),
    ],
)
def test_wrong_arguments(frames, codec, crf, words):
    with pytest.raises(ValueError, match=words):
        recode(frames, codec, crf)
