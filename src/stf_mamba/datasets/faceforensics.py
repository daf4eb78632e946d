"""FaceForensics++ as it lies on disk: the official tree and the flat mirrors.

Source: Rössler et al., "FaceForensics++: Learning to Detect Manipulated Facial Images", ICCV 2019, and the README of
its ``dataset`` folder for the layout and the file names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stf_mamba.core.errors import DatasetError, first_few
from stf_mamba.core.records import FAKE, REAL, VideoRecord
from stf_mamba.datasets.listing import child_folder, layout_error, name_error, require_root, sorted_unique, videos_in

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", "DeepFakeDetection")
ACTORS_METHOD = "DeepFakeDetection"

# Sequences cut from one YouTube video: 1000 sequences come from 977 videos. Two of these groups straddle train and test
# of the official split (755 and 756, 954 and 955), five straddle train and validation. Source: the data set's
# conversion_dict.json, which maps each sequence to its YouTube video.
SHARED_YOUTUBE_SOURCES: tuple[tuple[str, ...], ...] = (
    ("331", "332"),
    ("524", "525"),
    ("566", "567"),
    ("605", "606"),
    ("614", "615"),
    ("618", "619"),
    ("639", "640"),
    ("685", "686", "687"),
    ("755", "756"),
    ("766", "767"),
    ("769", "770"),
    ("787", "788"),
    ("837", "838"),
    ("875", "876"),
    ("883", "884"),
    ("937", "938"),
    ("942", "943"),
    ("954", "955"),
    ("967", "968"),
    ("973", "974"),
    ("982", "983"),
    ("993", "994"),
)

_PATTERNS = (
    "original_sequences/youtube/{compression}/videos/NNN.mp4 (official tree)",
    "original_sequences/actors/{compression}/videos/AA__SCENE.mp4 (official tree)",
    "original/NNN.mp4 (flat mirror)",
)
_ORIGINAL_NAME = re.compile(r"(?P<sequence>\d{3})|(?P<actor>\d{2})__\w+")
_SWAP_NAME = re.compile(r"(\d{3})_(\d{3})")
_ACTOR_SWAP_NAME = re.compile(r"(\d{2})_(\d{2})__\w+__[A-Za-z0-9]{8}")


@dataclass(frozen=True)
class FaceForensics:
    """FaceForensics++ at one compression level.

    A video's id is ``ffpp/METHOD/NAME``, an original's ``ffpp/real/NAME``. The people of the YouTube sequences are
    ``ffpp:000`` to ``ffpp:999``, as targets and as sources alike; the actors are ``ffpp:actor01`` to ``ffpp:actor28``.

    Attributes:
        root: the folder that holds ``original_sequences`` (official tree) or ``original`` (flat mirror).
        compression: ``raw``, ``c23`` or ``c40``. A flat mirror does not say its own: there the caller's word stands.
        methods: manipulation methods to list, with the originals that they were made from; ``None`` lists every method
            that is present at this compression.
    """

    root: Path | str
    compression: str = "c23"
    methods: Sequence[str] | None = None
    name = "ffpp"

    def records(self) -> list[VideoRecord]:
        """Every video, sorted by ``video_id``.

        Raises:
            DatasetError: another layout, no originals at this compression, a method that is not there, a folder
                without videos, or a video whose name does not parse.
        """
        root = Path(self.root)
        require_root(root)
        originals, methods = self._folders(root)
        listed = list(methods) if self.methods is None else list(dict.fromkeys(self.methods))
        missing = [method for method in listed if method not in methods]
        if missing:
            raise DatasetError(
                f"{root}: no videos of {', '.join(missing)} at compression {self.compression}; methods found there: "
                f"{', '.join(methods) or 'none'}. Ask for one of them, or download what is missing."
            )
        kinds = _kinds_of_originals(self.methods)
        records = [record for folder in originals for record in self._originals(folder, kinds)]
        if not records:
            raise self._no_originals(root)
        for method in listed:
            records += self._manipulated(methods[method], method)
        return sorted_unique(records, root)

    def _folders(self, root: Path) -> tuple[list[Path], dict[str, Path]]:
        """Folders of originals, and folders of manipulated videos by method."""
        originals_root = child_folder(root, "original_sequences")
        manipulated_root = child_folder(root, "manipulated_sequences")
        if originals_root or manipulated_root:
            originals = self._at_compression(originals_root)
            return list(originals.values()), self._at_compression(manipulated_root)
        flat_originals = child_folder(root, "original")
        methods = {method: folder for method in METHODS if (folder := child_folder(root, method))}
        if flat_originals is None:
            raise self._no_originals(root)
        return [flat_originals], methods

    def _at_compression(self, folder: Path | None) -> dict[str, Path]:
        """Video folders of this compression by the name of the sequence kind or method that they belong to."""
        if folder is None:
            return {}
        return {
            entry.name: entry / self.compression / "videos"
            for entry in sorted(folder.iterdir())
            if (entry / self.compression / "videos").is_dir()
        }

    def _originals(self, folder: Path, kinds: frozenset[str]) -> Iterator[VideoRecord]:
        """The originals of the wanted kinds; names tell them apart, for a flat mirror may keep both in one folder."""
        paths = videos_in(folder)
        matches = [_ORIGINAL_NAME.fullmatch(path.stem) for path in paths]
        unread = [path for path, match in zip(paths, matches, strict=True) if match is None]
        if unread:
            raise name_error(unread, "NNN.mp4 (YouTube sequence) or AA__SCENE.mp4 (actor)")
        for path, match in zip(paths, matches, strict=True):
            assert match is not None
            if ("youtube" if match["sequence"] else "actors") in kinds:
                person = match["sequence"] or f"actor{match['actor']}"
                yield self._record(path, "real", REAL, (person,))

    def _manipulated(self, folder: Path, method: str) -> Iterator[VideoRecord]:
        pattern, prefix, expected = _SWAP_NAME, "", "TTT_SSS.mp4 (target_source)"
        if method == ACTORS_METHOD:
            pattern, prefix = _ACTOR_SWAP_NAME, "actor"
            expected = "TT_SS__SCENE__XXXXXXXX.mp4 (target_source__scene__8 characters)"
        paths = videos_in(folder)
        unread = [path for path in paths if not pattern.fullmatch(path.stem)]
        if unread:
            raise name_error(unread, expected)
        for path in paths:
            match = pattern.fullmatch(path.stem)
            assert match is not None
            yield self._record(path, method, FAKE, (prefix + match[1], prefix + match[2]))

    def _record(self, path: Path, method: str, label: int, people: tuple[str, ...]) -> VideoRecord:
        return VideoRecord(
            video_id=f"{self.name}/{method}/{path.stem}",
            path=path,
            label=label,
            identities=tuple(f"{self.name}:{person}" for person in people),
            method=method,
            compression=self.compression,
        )

    def _no_originals(self, root: Path) -> DatasetError:
        compressions = sorted({folder.parent.name for folder in root.glob("original_sequences/*/*/videos")})
        next_step = (
            f"Compressions of the originals there: {first_few(compressions)}. Ask for one." if compressions else ""
        )
        inside = [entry.name for entry in sorted(root.iterdir()) if _looks_like_root(entry)]
        if inside:
            next_step = f"Give {root / inside[0]} as the root."
        patterns = [pattern.format(compression=self.compression) for pattern in _PATTERNS]
        return layout_error(
            root, "FaceForensics++", patterns, next_step or "Give the folder that holds original_sequences or original."
        )


def _kinds_of_originals(methods: Sequence[str] | None) -> frozenset[str]:
    if methods is None:
        return frozenset({"youtube", "actors"})
    return frozenset("actors" if method == ACTORS_METHOD else "youtube" for method in methods) or frozenset({"youtube"})


def _looks_like_root(folder: Path) -> bool:
    return any(child_folder(folder, name) for name in ("original_sequences", "manipulated_sequences", "original"))
