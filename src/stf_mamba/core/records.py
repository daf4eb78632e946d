"""What travels between the rooms of the house: frozen records, each to and from JSON.

Times are seconds of the container's own clock, boxes are pixels of the *displayed* (rotated) frame, images are RGB.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from stf_mamba.core.errors import StfError, VerdictError
from stf_mamba.core.files import read_json, write_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    UInt8Array = npt.NDArray[np.uint8]
    Float32Array = npt.NDArray[np.float32]
    Float64Array = npt.NDArray[np.float64]
else:  # numpy is not imported for the sake of annotations
    UInt8Array = Float32Array = Float64Array = Any

REAL = 0
FAKE = 1


class Outcome(StrEnum):
    """What can be said of a video. ``NOT_FLAGGED`` reads "no manipulation found", never "authentic"."""

    MANIPULATED = "manipulated"
    NOT_FLAGGED = "not_flagged"
    INCONCLUSIVE = "inconclusive"
    NOT_ANALYSABLE = "not_analysable"

    @property
    def words(self) -> str:
        """The outcome as a person should read it."""
        return {
            Outcome.MANIPULATED: "signs of manipulation found",
            Outcome.NOT_FLAGGED: "no manipulation found",
            Outcome.INCONCLUSIVE: "cannot tell",
            Outcome.NOT_ANALYSABLE: "not analysable",
        }[self]


class JsonRecord:
    """Adds ``to_json`` and ``from_json`` (validated by pydantic) to a frozen dataclass."""

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values: paths and fractions as text, tuples as lists."""
        record_type: Any = type(self)
        return _adapter(record_type).dump_python(self, mode="json")  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The record that ``to_json`` wrote.

        Raises:
            pydantic.ValidationError: a field is missing, unknown or of the wrong type.
        """
        record_type: Any = cls
        return _adapter(record_type).validate_python(value)  # type: ignore[no-any-return]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record as indented JSON; the file appears whole or not at all. Returns its path.

        Raises:
            ValueError: as ``write_json``, or a key of a dictionary is no text in Unicode.
        """
        plain = self.to_json()
        if "\ufffd" in repr(plain) and type(self).from_json(plain) != self:  # what stands for letters that are none
            raise ValueError("a key holds bytes that are no letters, which JSON cannot give back")
        return write_json(path, plain)


Record = TypeVar("Record", bound=JsonRecord)


def load_record(
    record_type: type[Record], path: str | os.PathLike[str], failure: type[StfError], next_step: str
) -> Record:
    """The record that ``save`` wrote.

    Args:
        failure, next_step: the error to raise, and what its message says to do about it.

    Raises:
        StfError: ``failure``, where the file is missing, no JSON, or another record; the message names the field.
    """
    from pydantic import ValidationError

    value = read_json(path, failure, next_step)
    try:
        return record_type.from_json(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise failure(f"{path} holds no {record_type.__name__} ({place}: {first['msg']}); {next_step}") from error


def differing_fields(before: Any, now: Any, ignored: Collection[str] = ()) -> list[str]:
    """Names of the fields in which two records of one type differ, words apart."""
    names = (one.name for one in dataclasses.fields(before) if one.name not in ignored)
    return [name.replace("_", " ") for name in names if getattr(before, name) != getattr(now, name)]


@dataclass(frozen=True)
class VideoRecord(JsonRecord):
    """A video as its data set describes it. The probed fields stay ``None`` until the file has been opened.

    Attributes:
        video_id: ``dataset/method/name``, unique over every data set; same-named videos of two methods differ here.
        path: where the file lies.
        label: 0 real, 1 fake, ``None`` unknown. Adapters convert once, whatever their data set's own convention.
        identities: people in it, the person filmed first; for a swap the face put in comes second.
        method: manipulation method, or ``"real"``.
        compression: ``raw``, ``c23``, ... or ``None`` where the data set has no such notion.
        split: ``train``, ``validation`` or ``test`` where the data set's authors fixed it.
        original: the real footage that a manipulated video was made from, frame by frame, where the data set has it.
        mask: a video that is bright where a manipulated one was changed, where the data set has it.
    """

    video_id: str
    path: Path
    label: int | None = None
    identities: tuple[str, ...] = ()
    method: str | None = None
    compression: str | None = None
    split: str | None = None
    sha256: str | None = None
    fps: Fraction | None = None
    duration_s: float | None = None
    codec: str | None = None
    original: Path | None = None
    mask: Path | None = None

    def __post_init__(self) -> None:
        if self.label not in (None, REAL, FAKE):
            raise ValueError(f"label must be 0 (real), 1 (fake) or None, got {self.label!r}")

    @property
    def dataset(self) -> str:
        """The data set's name: the first part of ``video_id``."""
        return self.video_id.split("/", 1)[0]


@dataclass(frozen=True)
class Face(JsonRecord):
    """One face in one frame.

    Attributes:
        time_s: presentation time of the frame.
        box_px: left, top, right, bottom; may reach outside the frame.
        landmarks_px: five (x, y) points in the order left eye, right eye, nose, left and right mouth corner, as seen
            in the picture.
        score: the detector's confidence in [0, 1].
    """

    time_s: float
    box_px: tuple[float, float, float, float]
    landmarks_px: tuple[tuple[float, float], ...]
    score: float

    @property
    def centre_px(self) -> tuple[float, float]:
        """Centre (x, y) of the box."""
        left, top, right, bottom = self.box_px
        return (left + right) / 2, (top + bottom) / 2

    @property
    def side_px(self) -> float:
        """The longer side of the box."""
        left, top, right, bottom = self.box_px
        return max(right - left, bottom - top)


@dataclass(frozen=True)
class FaceTrack(JsonRecord):
    """One person's face through time: detections in the order of their times."""

    id: int
    faces: tuple[Face, ...]

    @property
    def start_s(self) -> float:
        """Time of the first detection."""
        return self.faces[0].time_s

    @property
    def end_s(self) -> float:
        """Time of the last detection."""
        return self.faces[-1].time_s


@dataclass(frozen=True)
class DroppedTrack(JsonRecord):
    """A face that was seen and not analysed, and why; the reason reaches the verdict."""

    start_s: float
    end_s: float
    side_px: float
    reason: str


@dataclass(frozen=True, eq=False)
class Clip:
    """Face crops of one track. ``frames`` is (T, H, W, 3) uint8 RGB, ``times_s`` the T presentation times."""

    track_id: int
    times_s: tuple[float, ...]
    frames: UInt8Array


@dataclass(frozen=True)
class ClipScore(JsonRecord):
    """What the model says of one clip.

    Attributes:
        logit: higher is more suspicious.
        log_variance: natural logarithm of the variance of ``consistency`` (plus the head's epsilon).
        consistency: cosine similarity of each frame to the clip's mean, T values in [-1, 1].
        times_s: presentation time of each frame.
        frame_logits: of each frame, T values; the clip's is their mean (where a model averages the frames'
            probabilities, that of their mean probability). Empty where a clip is not judged frame by frame.
        relations: what each comparison of two parts of the picture adds to the logit of the average training clip, by
            its name in words. Empty where the model does not read comparisons alone.
    """

    start_s: float
    end_s: float
    logit: float
    log_variance: float
    consistency: tuple[float, ...]
    times_s: tuple[float, ...]
    frame_logits: tuple[float, ...] = ()
    relations: dict[str, float] = field(default_factory=dict)

    @property
    def constant(self) -> float:
        """The logit less what the comparisons add: that of the average training clip."""
        return self.logit - sum(self.relations.values())


@dataclass(frozen=True)
class TrackScore(JsonRecord):
    """One face track's score.

    Attributes:
        logit: mean over its clips.
        probability: calibrated for a whole video, or ``None`` without a calibration.
        faces: where the face was, so that a reader can cut the same crops again.
    """

    track_id: int
    logit: float
    probability: float | None
    clips: tuple[ClipScore, ...]
    faces: tuple[Face, ...] = ()


@dataclass(frozen=True)
class Verdict(JsonRecord):
    """What STF-Mamba says of one video, with its reasons.

    Attributes:
        outcome: one of four; no number is given for a video that could not be analysed.
        probability: calibrated probability that the video is manipulated, or ``None`` without a calibration.
        interval: 90 % interval of ``probability``, or ``None``.
        reasons: sentences that a person can check.
        tracks: the face tracks that were scored, the most suspicious first.
        dropped: faces that were seen and not scored.
        provenance: file hash, model hash, settings, versions: what it takes to repeat the verdict.
    """

    outcome: Outcome
    probability: float | None
    interval: tuple[float, float] | None
    reasons: tuple[str, ...]
    tracks: tuple[TrackScore, ...] = ()
    dropped: tuple[DroppedTrack, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The verdict that ``save`` wrote.

        Raises:
            VerdictError: the file is missing, unreadable, or no verdict.

        Example:
            >>> verdict = Verdict.load("verdicts/interview.json")  # doctest: +SKIP
        """
        return load_record(cls, path, VerdictError, "give the JSON that stf detect wrote, unchanged")

    @property
    def score(self) -> float | None:
        """The largest track logit (DESIGN: maximum over tracks), or ``None`` where nothing was scored."""
        return max((track.logit for track in self.tracks), default=None)


@cache
def _adapter(record_type: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    assert dataclasses.is_dataclass(record_type)
    setattr(record_type, "__pydantic_config__", ConfigDict(extra="forbid"))  # noqa: B010 (unknown to type checkers)
    return TypeAdapter(record_type)
