"""Pseudo-fakes: real clips with a face blended in, made so that they vary over time as face swaps do.

A self-blended clip gets its own face back, changed; a cross-blended clip gets another person's, colour-matched. The
identity-like change is drawn once per clip (``face_changes``, ``face_masks``); what varies from frame to frame are
separate processes (``temporal_processes``). Outside the mask a pseudo-fake is its real clip, bit by bit.

Source: self-blended images: Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from stf_mamba.augmentation.face_changes import FaceChange, change_patch, draw_face_change, match_colours
from stf_mamba.augmentation.temporal_processes import FrameChanges, draw_frame_changes
from stf_mamba.core.recipe import PseudoFakeRecipe
from stf_mamba.faces.masks import (
    FACE_CENTRE_PX,
    PATCH_CORNER_PX,
    PATCH_SIDE_PX,
    Similarities,
    crop_from_aligned,
    face_sides,
    head_turn,
    to_aligned,
)

if TYPE_CHECKING:
    from stf_mamba.core.records import Float32Array, Float64Array, UInt8Array


SMALLEST_PATCH_PX = 24
LARGEST_PATCH_PX = 512
SMALLEST_EYE_TO_MOUTH_PX = 4.0
AFFINE_HOLD_PX2 = 200.0  # the five points of an upright face spread by about 1000 px² across and 2000 px² down


@dataclass(frozen=True, eq=False)
class Donor:
    """Another person's clip, whose face is blended in.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB, as many frames as the clip that it is blended into.
        landmarks_px: (T, 5, 2) landmarks in its pixels.
    """

    frames: UInt8Array
    landmarks_px: Float64Array


@dataclass(frozen=True, eq=False)
class PseudoFake:
    """A clip with a blended face.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        mask: (T, H, W) float32 in [0, 1], the weight of the blended face; where it is 0 the frames are the real ones.
    """

    frames: UInt8Array
    mask: Float32Array


def make_pseudofake(
    frames: UInt8Array,
    landmarks_px: Float64Array,
    recipe: PseudoFakeRecipe,
    generator: np.random.Generator,
    donor: Donor | None = None,
) -> PseudoFake:
    """A pseudo-fake of a real clip: self-blended, or cross-blended where there is a donor.

    The same generator state gives the same change and the same processes whatever the recipe's amplitudes, so that
    the components can be compared one by one.

    Args:
        frames: (T, H, W, 3) uint8 RGB.
        landmarks_px: (T, 5, 2) landmarks in the clip's pixels (whole numbers are pixel centres), smoothed over time:
            the blended face follows them, and what trembles in them trembles in the pseudo-fake.
        recipe: amplitudes of drift, jitter, flicker and swim; ``crossed`` is the caller's affair.

    Raises:
        ValueError: shapes that do not fit, landmarks that are not finite, lie outside the clip, in one point, or in
            another order.
    """
    require_usable(frames, landmarks_px, "the clip")
    if donor is not None:
        require_usable(donor.frames, donor.landmarks_px, "the donor")
        if len(donor.frames) != len(frames):
            raise ValueError(
                f"the donor's frames have the shape {donor.frames.shape} and the clip's {frames.shape}; "
                "expected equally many frames; cut both to the shorter one"
            )
    change = draw_face_change(generator, crossed=donor is not None)
    changes = draw_frame_changes(generator, recipe, len(frames))
    places = crop_from_aligned(landmarks_px)
    aligned_px = to_aligned(landmarks_px, places)
    sides_px = face_sides(aligned_px, _head_turns(landmarks_px, donor))
    side = _patch_side_px(places)
    patches = _cut_patches(frames, _crop_from_patch(places, side), side)
    typical_mask = cast("Float32Array", cv2.resize(change.mask.weights(sides_px.mean(axis=0)), (side, side)))
    if donor is not None:
        donor_patches = _cut_patches(donor.frames, _donor_from_patch(donor.landmarks_px, aligned_px, side), side)
        patches = match_colours(donor_patches, patches, typical_mask)
    faces = _changed_faces(patches, typical_mask, change, changes)
    weights = [change.ratio * change.mask.weights(*limits) for limits in zip(sides_px, changes.swim_px, strict=True)]
    return _blend(frames, faces, weights, _displaced(places, change, changes))


def require_usable(frames: UInt8Array, landmarks_px: Float64Array, whose: str) -> None:
    """A clip (T, H, W, 3) and its landmarks (T, 5, 2) can be made a pseudo-fake of, or lend its face to one.

    Raises:
        ValueError: they cannot; ``whose`` says in the message which clip it is.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape or frames.dtype != np.uint8:
        raise ValueError(
            f"frames of {whose} are {frames.dtype} of the shape {frames.shape}, expected uint8 RGB (T, H, W, 3)"
        )
    if landmarks_px.shape != (len(frames), 5, 2):
        raise ValueError(
            f"landmarks of {whose} have the shape {landmarks_px.shape}, expected ({len(frames)}, 5, 2): five points "
            f"(x, y) for each of its frames {frames.shape}"
        )
    height, width = frames.shape[1:3]
    outside = ~((landmarks_px >= -0.5) & (landmarks_px <= (width - 0.5, height - 0.5))).all(axis=(1, 2))  # NaN too
    if outside.any():
        worst = int(np.argmax(outside))
        raise ValueError(
            f"landmarks (T, 5, 2) of {whose} in frame {worst} are {landmarks_px[worst].round(1).tolist()}, expected "
            f"finite points inside its {width} × {height} pixels; leave this clip out"
        )
    smallest_px = np.linalg.norm(landmarks_px[:, :2].mean(axis=1) - landmarks_px[:, 3:].mean(axis=1), axis=-1).min()
    if smallest_px < SMALLEST_EYE_TO_MOUTH_PX:
        raise ValueError(
            f"landmarks (T, 5, 2) of {whose} have eyes and mouth {smallest_px:.1f} px apart, expected at least "
            f"{SMALLEST_EYE_TO_MOUTH_PX:g} px; leave this clip out"
        )
    x_px = to_aligned(landmarks_px, crop_from_aligned(landmarks_px))[..., 0]
    if np.median(x_px[:, [1, 4]].sum(axis=1) - x_px[:, [0, 3]].sum(axis=1)) <= 0:
        raise ValueError(
            f"landmarks (T, 5, 2) of {whose} have the left eye and mouth corner on the right; expected the order left "
            "eye, right eye, nose, left and right mouth corner, as seen in the picture"
        )


def _head_turns(landmarks_px: Float64Array, donor: Donor | None) -> Float64Array:
    """(T, 1 or 2) how far the head of the clip and, if there is one, that of the donor are turned."""
    everybody_px = [landmarks_px] if donor is None else [landmarks_px, donor.landmarks_px]
    return np.stack([head_turn(to_aligned(points_px, crop_from_aligned(points_px))) for points_px in everybody_px], 1)


def _patch_side_px(places: Similarities) -> int:
    """Side of a patch that has as many pixels as the clip has there."""
    side = round(PATCH_SIDE_PX * float(np.median(np.abs(places.turn_and_scale))))
    return min(max(side, SMALLEST_PATCH_PX), LARGEST_PATCH_PX)


def _cut_patches(frames: UInt8Array, crop_from_patch: Float64Array, side: int) -> list[UInt8Array]:
    """Each frame's face as (side, side, 3) uint8 RGB, by the maps (T, 2, 3) from the patch to the frame."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return [
        cast("UInt8Array", cv2.warpAffine(frame, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE))
        for frame, matrix in zip(frames, crop_from_patch, strict=True)
    ]


def _changed_faces(
    patches: list[UInt8Array], mask: Float32Array, change: FaceChange, changes: FrameChanges
) -> list[Float32Array]:
    """Each patch (S, S, 3) as the model would write it: (S', S', 3) float32 RGB, in grey levels that may overshoot.

    Args:
        mask: (S, S) what counts for the face's mean colour.
    """
    mean_rgb = np.average(np.mean(patches, axis=0), axis=(0, 1), weights=mask)
    colour_map = change.colour_map(mean_rgb)
    side = max(SMALLEST_PATCH_PX, round(change.resolution * len(mask)))
    faces = []
    for patch, gains in zip(patches, changes.gains, strict=True):
        small = cast("UInt8Array", cv2.resize(patch, (side, side), interpolation=cv2.INTER_AREA))
        face = cv2.transform(change_patch(small, change).astype(np.float32), gains[:, None] * colour_map)
        faces.append(cast("Float32Array", face))
    return faces


def _blend(
    frames: UInt8Array, faces: list[Float32Array], weights: list[Float32Array], places: Similarities
) -> PseudoFake:
    """``frames`` with patches ``faces`` (S', S', 3) at their ``places``, as far as ``weights`` (128, 128) say."""
    size = frames.shape[2], frames.shape[1]
    face_matrices = _crop_from_patch(places, len(faces[0]))
    mask_matrices = _crop_from_patch(places, PATCH_SIDE_PX)
    blended, masks = frames.copy(), np.empty(frames.shape[:3], np.float32)
    for index, (face, weight) in enumerate(zip(faces, weights, strict=True)):
        masks[index] = cv2.warpAffine(weight, mask_matrices[index], size, flags=cv2.INTER_LINEAR)
        placed = cv2.warpAffine(
            face, face_matrices[index], size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        _blend_frame(blended[index], cast("Float32Array", np.clip(placed, 0, 255)), masks[index])
    return PseudoFake(blended, np.clip(masks, 0, 1))  # interpolation may round to just above 1


def _blend_frame(frame: UInt8Array, face: Float32Array, mask: Float32Array) -> None:
    """Blend ``face`` (H, W, 3) into ``frame`` (H, W, 3), in place and only where ``mask`` (H, W) is not 0."""
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    if width == 0:
        return
    part = np.s_[top : top + height, left : left + width]
    real = frame[part].astype(np.float32)
    frame[part] = np.rint(real + mask[part][..., None] * (face[part] - real)).astype(np.uint8)


def _displaced(places: Similarities, change: FaceChange, changes: FrameChanges) -> Similarities:
    """``places`` with the displacement of the clip and of its frames put before them."""
    centre = complex(*FACE_CENTRE_PX)
    turn = change.scale * changes.turn_and_scale  # (T,), about the face's centre
    shift = (change.shift_px + changes.shift_px) @ (1, 1j)  # (T,)
    return Similarities(
        places.turn_and_scale * turn, places.turn_and_scale * (centre - turn * centre + shift) + places.offset
    )


def _crop_from_patch(places: Similarities, side: int) -> Float64Array:
    """(T, 2, 3) affine maps from a patch of ``side`` pixels to the clip; whole numbers are pixel centres in both."""
    step = PATCH_SIDE_PX / side  # aligned pixels
    first = complex(*(PATCH_CORNER_PX + step / 2))  # where the patch's first pixel has its centre
    turn, shift = places.turn_and_scale * step, places.turn_and_scale * first + places.offset
    rows = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])  # (2, 3, T)
    return cast("Float64Array", np.moveaxis(rows, -1, 0))


def _donor_from_patch(donor_px: Float64Array, aligned_px: Float64Array, side: int) -> Float64Array:
    """(T, 2, 3) affine maps from a patch of ``side`` pixels to the donor's frames.

    They bring the clip's landmarks (T, 5, 2), in aligned pixels, to the donor's ``donor_px`` (T, 5, 2): least squares,
    held towards the donor's similarity where the five points leave the map open.
    """
    turn = crop_from_aligned(donor_px).turn_and_scale
    similar = np.moveaxis(np.array([[turn.real, -turn.imag], [turn.imag, turn.real]]), -1, 0)  # (T, 2, 2)
    middle_px, donor_middle_px = aligned_px.mean(axis=1), donor_px.mean(axis=1)  # (T, 2)
    centred, donor_centred = aligned_px - middle_px[:, None], donor_px - donor_middle_px[:, None]
    hold = AFFINE_HOLD_PX2 * np.eye(2)
    products = donor_centred.swapaxes(1, 2) @ centred + similar @ hold  # (T, 2, 2)
    linear = products @ np.linalg.inv(centred.swapaxes(1, 2) @ centred + hold)
    step = PATCH_SIDE_PX / side
    first = (PATCH_CORNER_PX + step / 2 - middle_px)[..., None]  # (T, 2, 1)
    return np.concatenate([linear * step, linear @ first + donor_middle_px[..., None]], axis=-1)
