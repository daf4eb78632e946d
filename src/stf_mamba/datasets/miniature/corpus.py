"""A generated miniature of FaceForensics++ and Celeb-DF, for the demo and the tests.

Drawn talking heads, swapped by a program and encoded by real H.264, in the two data sets' own layouts. The real face
detector finds the heads, so every step from file to verdict runs on it. A miniature shows that the machinery works; a
result on it says nothing about real deepfakes. Its data sets are ``miniature-ffpp`` and ``miniature-celebdf``: see
``drawn``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stf_mamba.core.checks import require_between
from stf_mamba.core.errors import DatasetError
from stf_mamba.core.files import read_json, write_json, write_text_atomically
from stf_mamba.core.records import JsonRecord
from stf_mamba.datasets.drawn import MARK_NAME, SETTINGS_NAME, UNFINISHED_NAME
from stf_mamba.datasets.miniature.footage import Swap, SwapErrors, Take, named_generator
from stf_mamba.media.encoding import h264_video

# Larger than most real methods' errors, so that a small model finds them in minutes; FaceSwap, the oldest of the
# three, fails most and FaceShifter least.
SWAP_ERRORS = {
    "Deepfakes": SwapErrors(0.035, 0.025, 0.025, brightness=0.05, colour=0.025, leftover_colour=0.10),
    "FaceSwap": SwapErrors(0.045, 0.035, 0.035, brightness=0.09, colour=0.040, leftover_colour=0.20),
    "FaceShifter": SwapErrors(0.020, 0.015, 0.015, brightness=0.03, colour=0.015, leftover_colour=0.05),
}
CELEBDF_ERRORS = SwapErrors(0.030, 0.020, 0.020, brightness=0.06, colour=0.025, leftover_colour=0.10)

# Raised whenever the same settings would give other frames, so that two drawings never mix in one folder.
DRAWING_VERSION = 1

README = """\
This folder holds a generated miniature of the layouts of FaceForensics++ (ffpp) and Celeb-DF v2 (celebdf).

Nobody in it exists: the heads are drawn by a program, and the "manipulated" videos are made from the same drawn
footage by pasting another drawn face with a programmed, frame-by-frame error. It shows that the machinery works, from
the file to the verdict. A result on it says nothing about real deepfakes, and nothing about either data set.
Its data sets are therefore called miniature-ffpp and miniature-celebdf, and a model that was trained on it gives no
verdict but "cannot tell". Copies of a part know it by the file DRAWN.txt: leave it where it is.
"""


@dataclass(frozen=True)
class MiniatureSettings(JsonRecord):
    """What a miniature holds. The defaults are the demo's.

    Attributes:
        n_ffpp_identities: people of the FaceForensics++ part, filmed once each and swapped in pairs both ways.
        methods: swap methods of that part, keys of ``SWAP_ERRORS``.
        n_celebdf_identities: people of the Celeb-DF part.
        n_celebdf_takes: videos of each of them; each take is also given once to another person's face.
        n_youtube_real: further real videos there, each of somebody else.
        n_frames: length of every video.
        fps: frames a second.
        width_px, height_px: size of every video, even numbers for H.264's 4:2:0 chroma.
        crf: constant rate factor of the H.264 encoder, 0 (lossless) to 51; FaceForensics++ calls 23 "c23".
        seed: of every draw.
    """

    n_ffpp_identities: int = 12
    methods: tuple[str, ...] = ("Deepfakes", "FaceSwap")
    n_celebdf_identities: int = 6
    n_celebdf_takes: int = 2
    n_youtube_real: int = 4
    n_frames: int = 48
    fps: int = 25
    width_px: int = 320
    height_px: int = 240
    crf: int = 23
    seed: int = 42

    def __post_init__(self) -> None:
        if not (6 <= self.n_ffpp_identities <= 1000 and self.n_ffpp_identities % 2 == 0):
            raise ValueError(
                "n_ffpp_identities must be even and from 6 (a pair for each part of the split) to 1000, "
                f"got {self.n_ffpp_identities}"
            )
        unknown = [method for method in self.methods if method not in SWAP_ERRORS]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods must be one or more of {', '.join(SWAP_ERRORS)}, got {self.methods}")
        if self.n_celebdf_identities < 2:
            raise ValueError(f"n_celebdf_identities must be at least 2, got {self.n_celebdf_identities}")
        if self.width_px % 2 or self.height_px % 2 or self.height_px < 120 or self.width_px < self.height_px:
            raise ValueError(
                "width_px and height_px must be even, height_px at least 120 and width_px no less than it, "
                f"got {self.width_px} × {self.height_px}"
            )
        require_between("crf", self.crf, 0, 51)
        for name, least in (("n_celebdf_takes", 1), ("n_youtube_real", 0), ("n_frames", 1), ("fps", 1)):
            require_between(name, getattr(self, name), least)

    @classmethod
    def tiny(cls) -> Self:
        """The smallest miniature that exercises every layout: 18 videos of 1.6 s, for tests."""
        return cls(
            n_ffpp_identities=6,
            methods=("Deepfakes",),
            n_celebdf_identities=2,
            n_celebdf_takes=1,
            n_youtube_real=1,
            n_frames=40,
        )


@dataclass(frozen=True)
class Miniature:
    """Where a miniature lies.

    Attributes:
        ffpp_root: root of the FaceForensics++ part, compression ``c23``, with the split lists in ``splits``.
        celebdf_root: root of the Celeb-DF v2 part, with its list of test videos.
        held_out: a manipulated video of people who are in neither part.
    """

    ffpp_root: Path
    celebdf_root: Path
    held_out: Path


def make_miniature(
    root: Path | str,
    settings: MiniatureSettings | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Miniature:
    """The miniature of these settings under ``root``: made, continued where it was cut off, or found complete.

    Each video appears whole or not at all under its name, and ``miniature.json`` once all of them are there.

    Args:
        root: a folder of its own, made if it is missing.
        settings: ``None`` for the demo's.
        on_progress: called with the number of finished videos and of all videos, first with what was there already.

    Raises:
        DatasetError: ``root`` holds something else, or a miniature of other settings.
        OSError: ``root`` cannot be written.
    """
    folder = Path(root)
    settings = settings or MiniatureSettings()
    miniature = Miniature(folder / "ffpp", folder / "celebdf", folder / "held-out" / "manipulated.mp4")
    shoots = _plan(miniature, settings)
    videos = [video for shoot in shoots for video in shoot.videos]
    _claim(folder, settings)
    done = sum(video.is_file() for video in videos)
    report = on_progress or (lambda _done, _total: None)
    report(done, len(videos))
    for shoot in shoots:
        missing = [video for video in shoot.videos if not video.is_file()]
        if missing:
            _film(shoot, missing, settings)
            done += len(missing)
            report(done, len(videos))
    _write_lists(miniature, folder, settings)
    if (folder / UNFINISHED_NAME).exists():
        (folder / UNFINISHED_NAME).replace(folder / SETTINGS_NAME)
    return miniature


@dataclass(frozen=True)
class _PlannedSwap:
    video: Path
    source: str
    method: str
    errors: SwapErrors


@dataclass(frozen=True)
class _Shoot:
    """One take and the videos that are made from it. ``real`` is ``None`` where the real video is not kept."""

    person: str
    take: str
    real: Path | None
    swaps: tuple[_PlannedSwap, ...]

    @property
    def videos(self) -> tuple[Path, ...]:
        swapped = tuple(swap.video for swap in self.swaps)
        return swapped if self.real is None else (self.real, *swapped)


def _plan(miniature: Miniature, settings: MiniatureSettings) -> list[_Shoot]:
    method = settings.methods[0]
    held_out = _PlannedSwap(miniature.held_out, "held-out/source", method, SWAP_ERRORS[method])
    return [
        *_plan_ffpp(miniature.ffpp_root, settings),
        *_plan_celebdf(miniature.celebdf_root, settings),
        _Shoot("held-out/target", "held-out", None, (held_out,)),
    ]


def _plan_ffpp(root: Path, settings: MiniatureSettings) -> Iterator[_Shoot]:
    for pair in _ffpp_pairs(settings):
        for target, source in (pair, pair[::-1]):
            yield _Shoot(
                f"ffpp/{target}",
                f"ffpp/{target}",
                root / "original_sequences" / "youtube" / "c23" / "videos" / f"{target}.mp4",
                tuple(
                    _PlannedSwap(
                        root / "manipulated_sequences" / method / "c23" / "videos" / f"{target}_{source}.mp4",
                        f"ffpp/{source}",
                        method,
                        SWAP_ERRORS[method],
                    )
                    for method in settings.methods
                ),
            )


def _plan_celebdf(root: Path, settings: MiniatureSettings) -> Iterator[_Shoot]:
    n_people = settings.n_celebdf_identities
    for person in range(n_people):
        for take in range(settings.n_celebdf_takes):
            source = (person + 1 + take % (n_people - 1)) % n_people  # never the person themselves
            swap = _PlannedSwap(
                root / "Celeb-synthesis" / f"id{person}_id{source}_{take:04}.mp4",
                f"celebdf/id{source}",
                "Celeb-synthesis",
                CELEBDF_ERRORS,
            )
            name = f"id{person}_{take:04}"
            yield _Shoot(f"celebdf/id{person}", f"celebdf/{name}", root / "Celeb-real" / f"{name}.mp4", (swap,))
    for number in range(settings.n_youtube_real):
        name = f"celebdf/youtube{number:05}"
        yield _Shoot(name, name, root / "YouTube-real" / f"{number:05}.mp4", ())


def _ffpp_pairs(settings: MiniatureSettings) -> list[tuple[str, str]]:
    """The people in pairs, each of which is swapped both ways, as in the data set's own split lists."""
    order = named_generator(settings.seed, "ffpp/pairs").permutation(settings.n_ffpp_identities)
    return [(f"{first:03}", f"{second:03}") for first, second in order.reshape(-1, 2)]


def _claim(folder: Path, settings: MiniatureSettings) -> None:
    """Mark ``folder`` as this miniature's, and remove what a killed run left half written."""
    wanted = {"drawing_version": DRAWING_VERSION, "settings": settings.to_json()}
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder} is a file; a miniature needs a folder. Name another path.")
    folder.mkdir(parents=True, exist_ok=True)
    markers = [folder / name for name in (SETTINGS_NAME, UNFINISHED_NAME) if (folder / name).is_file()]
    for marker in markers:
        found = _read_marker(marker)
        if found != wanted:
            raise DatasetError(
                f"{folder} holds a miniature of other settings ({_differences(found, wanted)}). Name an empty folder, "
                "or remove this one."
            )
    if not markers:
        # A kill in the first instant may leave the marker's own partial file, and nothing else.
        foreign = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(f".{UNFINISHED_NAME}."))
        if foreign:
            raise DatasetError(
                f"{folder} is not empty (there is {foreign[0]}) and not a miniature: no {SETTINGS_NAME}. "
                "Name an empty or a new folder."
            )
        write_json(folder / UNFINISHED_NAME, wanted)
    for partial in folder.rglob(".*.partial"):
        partial.unlink(missing_ok=True)


def _read_marker(path: Path) -> Any:
    return read_json(path, DatasetError, "remove the folder and make it anew")


def _differences(found: Any, wanted: dict[str, Any]) -> str:
    """The settings in which two miniatures differ, in words."""
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        return f"its {SETTINGS_NAME} does not read as one of ours"
    if found.get("drawing_version") != wanted["drawing_version"]:
        return f"drawing version {found.get('drawing_version')}, expected {wanted['drawing_version']}"
    there, asked = found["settings"], wanted["settings"]
    names = [name for name in {**asked, **there} if there.get(name) != asked.get(name)]
    return ", ".join(f"{name} is {there.get(name)}, expected {asked.get(name)}" for name in names)


def _film(shoot: _Shoot, missing: list[Path], settings: MiniatureSettings) -> None:
    """Draw one take and write those of its videos that are missing."""
    size_px = (settings.width_px, settings.height_px)
    take = Take(
        shoot.person, shoot.take, n_frames=settings.n_frames, fps=settings.fps, size_px=size_px, seed=settings.seed
    )
    planned = [swap for swap in shoot.swaps if swap.video in missing]
    swaps = [Swap(take, swap.source, swap.method, swap.errors, seed=settings.seed) for swap in planned]
    with ExitStack() as open_videos:
        for video in missing:
            video.parent.mkdir(parents=True, exist_ok=True)
        writers = {video: open_videos.enter_context(h264_video(video, settings.fps, settings.crf)) for video in missing}
        for index in range(settings.n_frames):
            real, *swapped = take.frames(index, swaps)
            if shoot.real in writers:
                writers[shoot.real](real)
            for swap, frame in zip(planned, swapped, strict=True):
                writers[swap.video](frame)


def _write_lists(miniature: Miniature, folder: Path, settings: MiniatureSettings) -> None:
    """Write the FaceForensics++ split lists, the Celeb-DF test list, the README, and the mark of each part."""
    pairs = _ffpp_pairs(settings)
    n_held = max(1, len(pairs) // 5)
    parts = {"train": pairs[: -2 * n_held], "val": pairs[-2 * n_held : -n_held], "test": pairs[-n_held:]}
    (miniature.ffpp_root / "splits").mkdir(exist_ok=True)
    for part, members in parts.items():
        write_json(miniature.ffpp_root / "splits" / f"{part}.json", members)
    root = miniature.celebdf_root
    lines = []
    for shoot in _plan_celebdf(root, settings):
        if shoot.person != "celebdf/id0":  # left out of the list, as most of the real data set is
            # The data set's own list writes 1 for a real video.
            lines += [f"{int(video == shoot.real)} {video.relative_to(root).as_posix()}\n" for video in shoot.videos]
    write_text_atomically(root / "List_of_testing_videos.txt", "".join(sorted(lines)))
    write_text_atomically(folder / "README.txt", README)
    for part_root in (miniature.ffpp_root, miniature.celebdf_root, miniature.held_out.parent):
        write_text_atomically(part_root / MARK_NAME, README)
