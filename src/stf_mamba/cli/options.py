"""What the verbs share: options by name, and how errors reach the person at the terminal."""

from __future__ import annotations

import functools
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from stf_mamba.cli.progress import stderr
from stf_mamba.core.errors import LeftOutWarning, StfError, UsageError

if TYPE_CHECKING:
    from stf_mamba.clips.records import Manifest
    from stf_mamba.clips.store import ClipStore
    from stf_mamba.core.records import VideoRecord
    from stf_mamba.datasets.splits import Split

EXIT_NOT_ANALYSABLE = 3
EXIT_FAIL_ON = 10
EXIT_INTERRUPTED = 130

Verb = TypeVar("Verb", bound=Callable[..., Any])


class PartName(StrEnum):
    """Parts of a split, as an option."""

    AUTO = "auto"
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    ALL = "all"


class SplitKind(StrEnum):
    """Rules for splits, as an argument."""

    IDENTITY = "identity"
    OFFICIAL = "official"
    REPORT = "report"
    REPORT_CORRECTED = "report-corrected"


class Sampling(StrEnum):
    """How a clip's frames are chosen, as an option."""

    UNIFORM = "uniform"
    CONSECUTIVE = "consecutive"


class GroupingName(StrEnum):
    """What a fold holds out, as an option."""

    COMPONENTS = "components"
    PEOPLE = "people"


class SelectName(StrEnum):
    """Which epoch's weights a fold is scored with, as an option."""

    BEST = "best"
    LAST = "last"


class ThresholdName(StrEnum):
    """How a fold's flagging threshold is chosen, as an option."""

    SPECIFICITY = "specificity"
    PREDICTIVE = "predictive"
    YOUDEN = "youden"


class CacheStorage(StrEnum):
    """Type in which a cache keeps tokens, as an option."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, ... or auto.")]
FaceModelOption = Annotated[
    Path | None, typer.Option("--face-model", help="A YuNet .onnx file; the built-in detector (MTCNN) without it.")
]
DatasetNameOption = Annotated[
    str | None, typer.Option("--dataset", help="Which prepared data set, where the clips hold several.")
]
SettingsOption = Annotated[
    str | None, typer.Option("--settings", help="Which clip settings (the beginning of their key), if several.")
]
ClipsOption = Annotated[Path, typer.Option("--clips", help="The folder that stf prepare filled.")]
EncoderWeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", help="Pretrained weights of the encoder: a file, package:NAME, or hf:OWNER/NAME@COMMIT."),
]
FromScratchOption = Annotated[bool, typer.Option("--from-scratch", help="Start from random values instead.")]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", help="Keep the frozen blocks' output here: computed once, shared between runs."),
]
CacheStorageOption = Annotated[
    CacheStorage, typer.Option("--cache-storage", help="A shorter type takes half the disk and costs precision.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def reports_errors(verb: Verb) -> Verb:
    """Turns errors of the world into one message and their exit code, and Ctrl-C into 130."""

    @functools.wraps(verb)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            with left_out_files_are_said():
                return verb(*args, **kwargs)
        except StfError as error:
            stderr().print(f"[red]error:[/red] {plain(str(error))}")
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            stderr().print(f"[red]error:[/red] {plain(str(error))}; check the path, its permissions and the free space")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more finds nothing left to stop, only a message to spoil
            stderr().print("stopped; what was finished is kept: run the same command again to continue")
            raise typer.Exit(EXIT_INTERRUPTED) from None

    return run  # type: ignore[return-value]


@contextmanager
def left_out_files_are_said() -> Iterator[None]:
    """Prints what was not taken for a video as a note, without the place in the code that warned of it."""
    by_python = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, LeftOutWarning):
            stderr().print(f"[yellow]note:[/yellow] {plain(str(message))}")
        else:
            by_python(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = by_python


@contextmanager
def wrong_values_are_wrong_usage() -> Iterator[None]:
    """Turns the library's ``ValueError`` about values that come from options into a ``UsageError``."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """The numbers of an option that takes several.

    Raises:
        UsageError: something else than whole numbers with commas.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option} is {text!r}, expected whole numbers with commas between them, such as 42,43"
        ) from None


def open_clips(root: Path, name: str | None, settings: str | None) -> tuple[ClipStore, Manifest]:
    """The clips that ``stf prepare`` left in a folder, and the data set that was meant."""
    from stf_mamba.clips.store import ClipStore

    store = ClipStore.open(root, settings)
    return store, store.manifest(name)


def load_split(path: Path, records: list[VideoRecord]) -> Split:
    """A split file, or the official split of these videos where the path is a folder with FF++'s lists."""
    from stf_mamba.datasets.protocols import official_ffpp_split
    from stf_mamba.datasets.splits import Split

    if path.is_dir():
        return official_ffpp_split(records, path)
    return Split.load(path)


def plain(text: str) -> str:
    """Text that rich prints as it is, brackets included."""
    return text.replace("[", r"\[")
