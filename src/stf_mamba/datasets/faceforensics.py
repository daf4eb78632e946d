"""FaceForensics++ as it lies on disk: the official tree and the flat mirrors.

Source: Rössler et al., "FaceForensics++: Learning to Detect Manipulated Facial Images", ICCV 2019, and the README of
its ``dataset`` folder for the layout and the file names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stf_mamba.core.errors import DatasetError, first_few
from stf_mamba.core.folders import NameFinder
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

# What the two kinds of originals show, by the name of their folder in the official tree.
ORIGINALS = {"youtube": "the YouTube sequences", "actors": "the actors' own videos"}

_PATTERNS = {
    "youtube": "original_sequences/youtube/{compression}/videos/NNN.mp4",
    "actors": "original_sequences/actors/{compression}/videos/AA__SCENE.mp4",
    "flat": "original/NNN.mp4 or original/AA__SCENE.mp4",
}
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

    Example:
        >>> import stf_mamba as stf
        >>> records = stf.datasets.FaceForensics("/data/ffpp", "c23", methods=["Deepfakes"]).records()  # doctest: +SKIP
        >>> records[0].video_id, records[0].label  # doctest: +SKIP
        ('ffpp/Deepfakes/000_003', 1)
    """

    root: Path | str
    compression: str = "c23"
    methods: Sequence[str] | None = None
    name = "ffpp"

    def records(self) -> list[VideoRecord]:
        """Every video, sorted by ``video_id``.

        Raises:
            DatasetError: another layout, no originals at this compression, a method that is not there or whose
                originals are not, a folder without videos, or a video whose name does not parse.
        """
        root = Path(self.root)
        require_root(root)
        originals, methods = self._folders(root)
        listed = list(methods) if self.methods is None else list(dict.fromkeys(self.methods))
        listed = [_one_called(method, methods) or method for method in listed]
        missing = [method for method in listed if method not in methods]
        if missing:
            raise DatasetError(
                f"{root}: no videos of {', '.join(missing)} at compression {self.compression}; methods found there: "
                f"{', '.join(methods) or 'none'}. Ask for one of them, or download what is missing."
            )
        records = self._originals_of(originals, listed, root)
        footage = {record.path.stem: record.path for record in records}
        for method in listed:
            records += [_with_its_sources(swap, footage) for swap in self._manipulated(methods[method], method)]
        return sorted_unique(records, root)

    def _originals_of(self, folders: Sequence[Path], listed: Sequence[str], root: Path) -> list[VideoRecord]:
        """The originals that the listed methods started from; all that are there where no method was asked for."""
        found = [original for folder in folders for original in self._originals(folder)]
        if not found:
            raise self._no_originals(root)
        needed = {"actors" if method == ACTORS_METHOD else "youtube" for method in listed}
        absent = sorted(needed - {kind for kind, _ in found})
        if absent:
            raise self._no_counterparts(root, absent[0], listed)
        wanted = frozenset(ORIGINALS) if self.methods is None else needed or {"youtube"}
        return [record for kind, record in found if kind in wanted]

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
        finder = NameFinder()
        found = {entry.name: finder.folder(entry / self.compression / "videos") for entry in sorted(folder.iterdir())}
        return {_one_called(name, METHODS) or name: videos for name, videos in found.items() if videos is not None}

    def _originals(self, folder: Path) -> Iterator[tuple[str, VideoRecord]]:
        """Each original with its kind; names tell them apart, for a flat mirror may keep both in one folder."""
        paths = videos_in(folder)
        matches = [_ORIGINAL_NAME.fullmatch(path.stem) for path in paths]
        unread = [path for path, match in zip(paths, matches, strict=True) if match is None]
        if unread:
            raise name_error(unread, "NNN.mp4 (YouTube sequence) or AA__SCENE.mp4 (actor)")
        for path, match in zip(paths, matches, strict=True):
            assert match is not None
            person = match["sequence"] or f"actor{match['actor']}"
            yield "youtube" if match["sequence"] else "actors", self._record(path, "real", REAL, (person,))

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

    def _no_counterparts(self, root: Path, kind: str, methods: Sequence[str]) -> DatasetError:
        """The error for videos whose originals are not there: fakes of people who are never seen as they are."""
        made = ", ".join(method for method in methods if (method == ACTORS_METHOD) == (kind == "actors"))
        pattern = f"{_PATTERNS[kind].format(compression=self.compression)}, or {_PATTERNS['flat']} in a flat mirror"
        others = [compression for compression in _compressions_of(root, [kind]) if compression != self.compression]
        there = f" There they are at compression {', '.join(others)}." if others else ""
        return DatasetError(
            f"{root}: the originals of {made}, {ORIGINALS[kind]}, are missing at compression {self.compression}; "
            f"expected: {pattern}.{there} Download them, or name other methods."
        )

    def _no_originals(self, root: Path) -> DatasetError:
        compressions = _compressions_of(root, ORIGINALS)
        next_step = (
            f"Compressions of the originals there: {first_few(compressions)}. Ask for one." if compressions else ""
        )
        inside = [entry.name for entry in sorted(root.iterdir()) if _looks_like_root(entry)]
        if inside:
            next_step = f"Give {root / inside[0]} as the root."
        patterns = [pattern.format(compression=self.compression) for pattern in _PATTERNS.values()]
        return layout_error(
            root, "FaceForensics++", patterns, next_step or "Give the folder that holds original_sequences or original."
        )


def _one_called(name: str, names: Iterable[str]) -> str | None:
    """The one of the names that ``name`` is, in any mixture of cases."""
    return next((one for one in names if one.lower() == name.lower()), None)


def _compressions_of(root: Path, kinds: Iterable[str]) -> list[str]:
    originals = child_folder(root, "original_sequences") or root / "original_sequences"
    folders = [folder for kind in kinds if (folder := child_folder(originals, kind)) is not None]
    return sorted({entry.name for folder in folders for entry in folder.iterdir() if child_folder(entry, "videos")})


def _with_its_sources(swap: VideoRecord, footage: Mapping[str, Path]) -> VideoRecord:
    """A manipulated video with its original, TTT of TTT_SSS and TT__SCENE of TT_SS__SCENE__XXXXXXXX, and its mask."""
    target, *rest = swap.path.stem.split("__")
    name = "__".join([target.split("_")[0], *rest[:-1]])
    mask = swap.path.parents[2] / "masks" / "videos" / swap.path.name
    return replace(swap, original=footage.get(name), mask=mask if mask.is_file() else None)


def _looks_like_root(folder: Path) -> bool:
    return any(child_folder(folder, name) for name in ("original_sequences", "manipulated_sequences", "original"))
