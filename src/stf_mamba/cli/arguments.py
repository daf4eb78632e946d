"""Checks of arguments, made while the command line is read: before anything heavy is imported, loaded or written."""

from __future__ import annotations

import re
from glob import escape
from pathlib import Path

import typer

from stf_mamba.core.errors import UsageError, first_few

DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")
ELSEWHERE = ("package:", "hf:")  # weights that are no file: ``models.weights.sources`` looks for them


def prepared_clips(folder: Path | None) -> Path | None:
    """A folder that ``stf prepare`` filled.

    Raises:
        UsageError: there are no clips in it.
    """
    if folder is not None and not any(folder.glob("*/settings.json")):
        raise UsageError(f"no prepared clips under {folder}; make some with: stf prepare --out {folder} ...")
    return folder


def require_dataset(clips: Path, name: str | None, option: str = "--dataset") -> None:
    """Refuses a data set that is not among the prepared ones; ``None`` stands for the only one.

    Raises:
        UsageError: no data set of this name under ``clips``.
    """
    if name is None or any(clips.glob(f"*/manifests/{escape(name)}.json")):
        return
    names = sorted({path.stem for path in clips.glob("*/manifests/*.json")})
    raise UsageError(
        f"{option} is {name!r}, which is not prepared in {clips}; it holds {first_few(names) or 'no data set yet'}"
    )


def trained_run(folder: Path | None) -> Path | None:
    """A folder that ``stf train`` made.

    Raises:
        UsageError: it holds no run.
    """
    if folder is not None and not (folder / "recipe.toml").is_file():
        raise UsageError(f"{folder} is no training run: there is no recipe.toml in it; make one with: stf train")
    return folder


def made_by(file: str, verb: str, folder: Path) -> Path:
    """A folder that another verb made, known by a file in it.

    Raises:
        UsageError: the file is not there.
    """
    if not (folder / file).is_file():
        raise UsageError(f"{folder} was not made by stf {verb}: there is no {file} in it; check the path")
    return folder


def known_device(name: str) -> str:
    """A device's name, whether or not this machine has it.

    Raises:
        UsageError: no kind of device is called so.
    """
    if DEVICE.fullmatch(name) is None:
        raise UsageError(f"--device is {name!r}, expected auto, cpu, cuda, or one of several such as cuda:1")
    return name


def weights_source(source: Path | None) -> Path | None:
    """A file of weights that is there, or the name of weights that are looked for elsewhere.

    Raises:
        UsageError: no such file.
    """
    if source is not None and not str(source).startswith(ELSEWHERE) and not source.is_file():
        raise UsageError(
            f"no weights at {source}; give a file (.safetensors, .pth), package:NAME or hf:OWNER/NAME@COMMIT"
        )
    return source


def folder_to_write(path: Path | None) -> Path | None:
    """A folder that is there or can be made.

    Raises:
        UsageError: it, or what should hold it, is a file.
    """
    if path is not None:
        for place in (path, *path.parents):
            if place.exists() and not place.is_dir():
                raise UsageError(f"{place} is a file, and {path} is to be a folder; choose another name")
    return path


def file_to_write(path: Path | None) -> Path | None:
    """A file that can be written: its place is no folder, and what holds it is one.

    Raises:
        UsageError: it is a folder, or what should hold it is a file.
    """
    if path is not None and path.is_dir():
        raise UsageError(f"{path} is a folder, and a file is to be written; choose a name in it")
    if path is not None:
        folder_to_write(path.parent)
    return path


def part_of_one(param: typer.CallbackParam, value: float) -> float:
    """A fraction between 0 and 1, both left out.

    Raises:
        UsageError: another number.
    """
    if not 0 < value < 1:
        raise UsageError(f"{param.opts[0]} is {value:g}, expected a fraction between 0 and 1, such as 0.2")
    return value


def positive_share(param: typer.CallbackParam, value: float) -> float:
    """A fraction above 0, up to and with 1.

    Raises:
        UsageError: another number.
    """
    if not 0 < value <= 1:
        raise UsageError(f"{param.opts[0]} is {value:g}, expected a number above 0, at most 1")
    return value


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """The numbers of an option that takes several, each once.

    Raises:
        UsageError: something else than whole numbers with commas, or one twice.
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option} is {text!r}, expected whole numbers with commas between them, such as 42,43"
        ) from None
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"{option} is {text!r}, expected each number once")
    return numbers


def named_values(option: str, texts: list[str] | None) -> dict[str, str]:
    """The values of a repeatable option NAME=VALUE.

    Raises:
        UsageError: another form.
    """
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{option} is {text!r}, expected NAME=VALUE")
        pairs[name] = value
    return pairs
