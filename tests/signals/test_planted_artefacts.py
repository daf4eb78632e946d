"""A planted artefact moves its signal up; a change that its hypothesis does not speak of leaves the distribution."""

import cv2
import numpy as np
import pytest
from planted_clips import FRAMES, MOTION_PX, area_above, as_frames, face_weights, moving, still
from scipy import stats

from face_clips import SIDE_PX, landmarks
from stf_mamba.signals import SIGNALS

DRAWS = 16


def clean(generator):
    return as_frames(still(generator), generator), landmarks(FRAMES)


def flickering_face(generator):
    brightness = generator.normal(0, 3, (FRAMES, 1, 1, 1))
    return as_frames(still(generator) + brightness * face_weights(), generator), landmarks(FRAMES)


def finely_flickering(generator):
    """As strong a flicker, but of a checkerboard: high in time and in space."""
    y, x = np.indices((SIDE_PX, SIDE_PX))
    brightness = generator.normal(0, 3, (FRAMES, 1, 1, 1)) * (-1.0) ** (x + y)[..., None]
    return as_frames(still(generator) + brightness, generator), landmarks(FRAMES)


def face_without_noise(generator):
    frames, points = clean(generator)
    smooth = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in frames])
    return np.rint(frames + face_weights() * (smooth.astype(np.float32) - frames)).astype(np.uint8), points


def brighter(generator):
    return as_frames(still(generator) + 12, generator), landmarks(FRAMES)


def flat(generator):
    return as_frames(still(generator, contrast=0.0), generator), landmarks(FRAMES)


def fingerprinted_face(generator):
    pattern = generator.normal(0, 3, (1, SIDE_PX, SIDE_PX, 3))
    return as_frames(still(generator, contrast=0.0) + pattern * face_weights(), generator), landmarks(FRAMES)


def pattern_of_every_frame(generator):
    """The fingerprint's strength, drawn anew for each frame: noise as a sensor makes it."""
    pattern = generator.normal(0, 3, (FRAMES, SIDE_PX, SIDE_PX, 3))
    return as_frames(still(generator, contrast=0.0) + pattern * face_weights(), generator), landmarks(FRAMES)


def tinted_face(generator):
    return as_frames(still(generator) + np.array([25.0, 0, -25]) * face_weights(), generator), landmarks(FRAMES)


def tinted_picture(generator):
    return as_frames(still(generator) + np.array([25.0, 0, -25]), generator), landmarks(FRAMES)


def steps(generator):
    return generator.integers(-MOTION_PX, MOTION_PX + 1, (FRAMES, 2))


def resting(generator):
    pictures, points = moving(generator, np.zeros((FRAMES, 2)), np.zeros((FRAMES, 2)))
    return as_frames(pictures, generator, 1.0), points


def trembling_face(generator):
    pictures, points = moving(generator, steps(generator), np.zeros((FRAMES, 2)))
    return as_frames(pictures, generator, 1.0), points


def moving_camera(generator):
    together = steps(generator)
    pictures, points = moving(generator, together, together)
    return as_frames(pictures, generator, 1.0), points


CASES = {
    "wavelet": (clean, flickering_face, finely_flickering),
    "srm": (clean, face_without_noise, brighter),
    "chromatic": (flat, fingerprinted_face, pattern_of_every_frame),
    "color": (clean, tinted_face, tinted_picture),
    "flow": (resting, trembling_face, moving_camera),
}


def values(name, make, first_seed):
    draws = (make(np.random.default_rng(first_seed + draw)) for draw in range(DRAWS))
    return np.array([SIGNALS[name].measure(*draw).value for draw in draws])


@pytest.mark.parametrize("name", SIGNALS)
def test_an_artefact_moves_the_signal_up_and_its_null_does_not(name):
    make_clean, make_planted, make_null = CASES[name]
    of_clean, of_planted, of_null = (
        values(name, make, seed) for make, seed in ((make_clean, 0), (make_planted, 1000), (make_null, 2000))
    )
    assert area_above(of_planted, of_clean) > 0.95
    assert stats.ks_2samp(of_null, of_clean).pvalue > 0.05
    planted_shift = np.median(of_planted) - np.median(of_clean)
    assert abs(np.median(of_null) - np.median(of_clean)) < 0.25 * planted_shift


@pytest.mark.parametrize("name", SIGNALS)
def test_bad_input_names_the_shape(name):
    frames, points = clean(np.random.default_rng(0))
    measure = SIGNALS[name].measure
    shape = r"\(8, 96, 96, 3\)"
    with pytest.raises(ValueError, match=r"float32.*\(8, 96, 96, 3\)"):
        measure(frames.astype(np.float32), points)
    with pytest.raises(ValueError, match=r"\(96, 96, 3\)"):
        measure(frames[0], points)
    with pytest.raises(ValueError, match=rf"\(8, 0, 2\).*\(8, 5, 2\).*{shape}"):
        measure(frames, points[:, :0])
    with pytest.raises(ValueError, match=r"\(7, 5, 2\)"):
        measure(frames, points[1:])
    holed = points.copy()
    holed[3, 2, 1] = np.nan
    with pytest.raises(ValueError, match=r"\(8, 5, 2\) of frame 3"):
        measure(frames, holed)
    with pytest.raises(ValueError, match=r"\(8, 5, 2\) of frame 0 lie in one point"):
        measure(frames, np.full_like(points, 40))


@pytest.mark.parametrize("name", ["wavelet", "chromatic", "flow"])
def test_what_is_between_frames_needs_two(name):
    frames, points = clean(np.random.default_rng(0))
    for measure, arguments in ((SIGNALS[name].measure, (points[:1],)), (SIGNALS[name].report_variant, ())):
        with pytest.raises(ValueError, match=r"\(1, 96, 96, 3\), expected 2 or more"):
            measure(frames[:1], *arguments)


@pytest.mark.parametrize("name", SIGNALS)
def test_results_fit_together(name):
    frames, points = clean(np.random.default_rng(5))
    pixels = frames.copy()
    for result in (SIGNALS[name].measure(frames, points), SIGNALS[name].report_variant(frames)):
        assert result.value == pytest.approx(np.nanmean(result.curve), rel=1e-6)
        assert len(result.map) == len(result.curve)
        assert result.map.shape[1:] == frames.shape[1:3]
        assert result.map.dtype == np.float32
    np.testing.assert_array_equal(frames, pixels)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_face_outside_the_frames_has_no_value(name):
    from stf_mamba.signals.result import UndefinedSignalError

    frames, points = clean(np.random.default_rng(0))
    with pytest.raises(UndefinedSignalError, match="0 pixels"):
        SIGNALS[name].measure(frames, points + 500)
