"""Options that several verbs share, each with its check, and what they name once it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from stf_mamba.cli.arguments import (
    folder_to_write,
    known_device,
    prepared_clips,
    weights_source,
)
from stf_mamba.core.errors import UsageError

if TYPE_CHECKING:
    from stf_mamba.clips.records import Manifest
    from stf_mamba.clips.store import ClipStore
    from stf_mamba.core.records import VideoRecord
    from stf_mamba.datasets.splits import Split

# Choices that the library names in modules which are heavy to import; a test holds them equal.
Grouping: TypeAlias = Literal["components", "people"]
Storage: TypeAlias = Literal["float32", "float16", "bfloat16"]

DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, ... or auto.", callback=known_device)]
FaceModelOption = Annotated[
    Path | None,
    typer.Option(
        "--face-model",
        help="A YuNet .onnx file; the built-in detector (MTCNN) without it.",
        exists=True,
        dir_okay=False,
    ),
]
DatasetNameOption = Annotated[
    str | None, typer.Option("--dataset", help="Which prepared data set, where the clips hold several.")
]
SettingsOption = Annotated[
    str | None, typer.Option("--settings", help="Which clip settings (the beginning of their key), if several.")
]
ClipsOption = Annotated[
    Path, typer.Option("--clips", help="The folder that stf prepare filled.", callback=prepared_clips)
]
SplitOption = Annotated[
    Path | None,
    typer.Option("--split", help="A split file, or a folder with FF++'s train/val/test.json.", exists=True),
]
EncoderWeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        help="Pretrained weights of the encoder: a file, package:NAME, or hf:OWNER/NAME@COMMIT.",
        callback=weights_source,
    ),
]
FromScratchOption = Annotated[bool, typer.Option("--from-scratch", help="Start from random values instead.")]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        help="Keep the frozen blocks' output here: computed once, shared between runs.",
        callback=folder_to_write,
    ),
]
CacheStorageOption = Annotated[
    Storage, typer.Option("--cache-storage", help="A shorter type takes half the disk and costs precision.")
]
GroupingOption = Annotated[
    Grouping, typer.Option("--grouping", help="Hold out people, or whole components of linked people.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


@contextmanager
def wrong_values_are_wrong_usage() -> Iterator[None]:
    """Turns the ``ValueError`` of a check of arguments into a ``UsageError``; not for anything that works for long."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


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
