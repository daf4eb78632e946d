"""Files and folders that are whole or absent, whatever interrupts their writing; texts of any system, read alike.

Something half-written bears a name that says which process writes it: ``.NAME.HOST@PID.partial``. What a process that
is gone left behind can therefore be told from what another one is writing right now.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from stf_mamba.core.errors import StfError, VideoError

SUFFIX = ".partial"


@contextmanager
def partial_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The name to write a file or folder under; at the end of the block it gets its own, after an error it is removed.

    Raises:
        OSError: what the block raises, or the final name cannot be given.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{socket.gethostname()}@{os.getpid()}{SUFFIX}")
    try:
        yield partial
        partial.replace(target)
    except BaseException:
        _remove(partial)
        raise


def write_bytes_atomically(path: str | os.PathLike[str], content: bytes | memoryview) -> Path:
    """Write a file that appears whole or not at all, on the disk and not only in its cache. Returns its path.

    Raises:
        OSError: the disk is full (``errno.ENOSPC``) or the folder cannot be written; nothing stays behind.
    """
    with partial_path(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(path)


def write_text_atomically(path: str | os.PathLike[str], text: str) -> Path:
    """Write ``text`` as UTF-8; otherwise as ``write_bytes_atomically``.

    What UTF-8 cannot hold (bytes in the name of a file) is written as an escape, which JSON reads back as it was.
    """
    return write_bytes_atomically(path, text.encode(errors="backslashreplace"))


def write_json(path: str | os.PathLike[str], value: Any, indent: int = 2) -> Path:
    """Write plain values as indented JSON; the file appears whole or not at all. Returns its path.

    Raises:
        ValueError: a number is not finite, or two halves of a letter stand beside each other: JSON has no word for it.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    if re.search("[\ud800-\udbff][\udc00-\udfff]", text):
        raise ValueError("a text holds two surrogates side by side, which JSON reads back as one letter")
    return write_text_atomically(path, text + "\n")


@contextmanager
def write_errors_as(failure: type[StfError], place: str | os.PathLike[str], kept: str) -> Iterator[None]:
    """Turns an ``OSError`` of the block into ``failure``: what happened, and what to do about it.

    Args:
        kept: what a repeated command finds again, as a sentence without its full stop.
    """
    try:
        yield
    except OSError as error:
        raise write_failure(failure, error, place, kept) from error


def write_failure(failure: type[StfError], error: OSError, place: str | os.PathLike[str], kept: str) -> StfError:
    """The error for a write below ``place`` that failed. Arguments as ``write_errors_as``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return failure(f"the disk that holds {place} is full; free some space and run the same command again: {kept}")
    return failure(
        f"cannot write below {place}: {error.strerror or error}; check the folder's permissions, or choose another "
        f"--out: {kept}"
    )


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that no longer run left half-written in a folder."""
    for partial in folder.glob(f".*@*{SUFFIX}"):
        owner, _, number = partial.name.removesuffix(SUFFIX).rpartition("@")
        if owner.endswith(f".{socket.gethostname()}") and number.isdecimal() and not _is_running(int(number)):
            _remove(partial)


def _remove(partial: Path) -> None:
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# What the beginning of a text says of its encoding; the longer marks first.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(
    path: str | os.PathLike[str], failure: type[StfError], next_step: str, keep_line_ends: bool = False
) -> str:
    """The text of a file, whichever system wrote it: UTF-8, or UTF-16 and UTF-32 with their byte order mark.

    Args:
        failure, next_step: the error to raise, and what its message says to do about it.
        keep_line_ends: as they are, else each is one ``\\n``.

    Raises:
        StfError: ``failure``, where the file is missing, cannot be read or is no text; the message says where.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise failure(f"{path} is missing; {next_step}") from error
    except OSError as error:
        raise failure(f"{path} cannot be read ({error.strerror or error}); {next_step}") from error
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise failure(
            f"{path}, line {line}: byte {error.start} is no {encoding.removesuffix('-sig').upper()} "
            f"({error.reason}); {next_step}"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise failure(f"{path}, line {line}: a NUL character, so it is no text in UTF-8 or is damaged; {next_step}")
    return text if keep_line_ends else text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | os.PathLike[str], failure: type[StfError], next_step: str) -> Any:
    """What a JSON file holds.

    Raises:
        StfError: ``failure``, as ``read_text``, or where it is no JSON; NaN and infinity are none.
    """
    text = read_text(path, failure, next_step)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        seen = "empty" if not text.strip() else f"no JSON ({error.msg})"
        raise failure(f"{path}, line {error.lineno}, column {error.colno}: {seen}; {next_step}") from error
    except (ValueError, RecursionError) as error:
        raise failure(f"{path} cannot be read: {error}; {next_step}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no finite number")


def names_for(file_name: str, sha256: str | None) -> Iterator[str]:
    """Names, without end, for what is made of a file, to be tried in turn: that of the file without suffix, with it,
    with the beginning of its hash, then with a number.

    Example:
        >>> from itertools import islice
        >>> list(islice(names_for("x.mp4", "0123456789abcdef"), 4))
        ['x', 'x.mp4', 'x-01234567', 'x-01234567-2']
    """
    stem = Path(file_name).stem
    marked = stem if sha256 is None else f"{stem}-{sha256[:8]}"
    yield from dict.fromkeys((stem, file_name, marked))
    yield from (f"{marked}-{number}" for number in count(2))


def sha256_of(path: str | os.PathLike[str], failure: type[StfError] = VideoError) -> str:
    """The file's SHA-256 in hexadecimal, read in pieces.

    Args:
        failure: the kind of error for what the file is.

    Raises:
        StfError: ``failure``: the file is missing or cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise failure(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error
