"""Hash, probe and decode a video by presentation time.

Times are seconds of the container's own clock, which need not begin at zero. Frames are exact: everything is decoded
in order from the start, nothing is reached by seeking.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from stf_mamba.core.errors import VideoError
from stf_mamba.media.colour import RgbConverter, conversion_notes
from stf_mamba.media.decoding import Damage, TimedPicture, timed_pictures
from stf_mamba.media.times import TIME_TOLERANCE_S

if TYPE_CHECKING:
    import os

    from stf_mamba.core.records import UInt8Array


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: its presentation time and its (H, W, 3) uint8 RGB, turned upright."""

    time_s: float
    rgb: UInt8Array


class FrameStream:
    """Decodes the main video stream in presentation order and yields the frames that ``select`` wants.

    Memory is constant but for the list of times. A packet that fails to decode is counted and passed over. A frame
    without a time comes one frame interval after its predecessor, and times always ascend (see ``decoding``).

    Args:
        path: the video.
        select: called once with the time of each frame, in order; only selected frames are converted to RGB.
        stop_s: decoding ends after the last frame at or before this time.

    Raises:
        VideoError: while iterating, as ``probe``; or the picture changes its size.

    Attributes:
        times_s: presentation times of all frames decoded so far, selected or not.
        notes: what a reader of a verdict should know of how the selected frames were converted, each sentence once.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        select: Callable[[float], bool] = lambda _: True,
        *,
        stop_s: float | None = None,
    ) -> None:
        self.times_s: list[float] = []
        self.notes: tuple[str, ...] = ()
        self._path = Path(path)
        self._select = select
        self._stop_s = math.inf if stop_s is None else stop_s + TIME_TOLERANCE_S
        self._damage = Damage()

    @property
    def damaged_packets(self) -> int:
        """Packets so far that failed to decode, or whose picture the decoder had to make up in part."""
        return self._damage.packets

    @property
    def frames_after_damage(self) -> int:
        """Frames so far that came between damage and the next key frame; they may show smears."""
        return self._damage.frames_after

    def __iter__(self) -> Iterator[Frame]:
        self.times_s.clear()
        self.notes = ()
        convert = RgbConverter()
        with closing(timed_pictures(self._path, self._damage)) as pictures:
            for shown in pictures:
                if shown.time_s > self._stop_s:
                    break
                self.times_s.append(shown.time_s)
                if self._select(shown.time_s):
                    self.notes = tuple(dict.fromkeys((*self.notes, *conversion_notes(shown.picture, shown.matrix))))
                    yield Frame(shown.time_s, _to_rgb(convert, shown, self._path))


def frames_at(path: str | os.PathLike[str], times_s: Sequence[float]) -> Iterator[Frame]:
    """For each time in turn the frame on screen at that moment: the last one that begins at or before it.

    Args:
        path: the video.
        times_s: ascending; a time twice gives its frame twice.

    Raises:
        ValueError: the times do not ascend.
        VideoError: see ``probe``; or no frame is on screen at one of the times.
    """
    if any(later < earlier for earlier, later in pairwise(times_s)):
        raise ValueError("times_s must ascend; sort them first")
    return _frames_at(Path(path), times_s)


def _to_rgb(convert: RgbConverter, shown: TimedPicture, path: Path) -> UInt8Array:
    import av

    picture = shown.picture
    try:
        return convert(picture, shown.matrix)
    except av.FFmpegError as error:
        raise VideoError(
            f"{path}: the pictures' colours (format {picture.format.name}, matrix {picture.colorspace!r}) cannot be "
            f"converted to RGB ({error}); re-encode it as BT.709 first"
        ) from error


def _frames_at(path: Path, times_s: Sequence[float]) -> Iterator[Frame]:
    convert = RgbConverter()
    wanted = iter(times_s)
    target = next(wanted, None)
    on_screen: TimedPicture | None = None
    with closing(timed_pictures(path, Damage())) as pictures:
        while target is not None:
            following = next(pictures, None)
            until_s = following.time_s if following else on_screen.end_s if on_screen else -math.inf
            frame: Frame | None = None
            while target is not None and target + TIME_TOLERANCE_S < until_s:
                if on_screen is None:
                    raise _nothing_on_screen(path, target, f"the first frame begins at {until_s:.3f} s")
                frame = frame or Frame(on_screen.time_s, _to_rgb(convert, on_screen, path))
                yield frame
                target = next(wanted, None)
            if following is None and target is not None:
                raise _nothing_on_screen(path, target, f"the last frame ends at {until_s:.3f} s")
            on_screen = following


def _nothing_on_screen(path: Path, time_s: float, bound: str) -> VideoError:
    return VideoError(
        f"{path}: no frame is on screen at {time_s:.3f} s; {bound}. Ask for times within the video; if they come from "
        "an earlier reading, the file has changed since."
    )
