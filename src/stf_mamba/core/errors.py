"""Errors about the world: files, videos, data sets, weights, runs.

Every message names what was seen, what was expected, and the next step. Wrong arguments to a function are
``ValueError``; our own invariants are ``assert``.
"""

import os
from collections.abc import Iterable


class StfError(Exception):
    """Root of every error that STF-Mamba raises about the world outside the program.

    ``exit_code`` is what the command line returns: 1 for a failure, 2 for wrong usage, 3 for an input that
    cannot be analysed.
    """

    exit_code = 1


class UsageError(StfError):
    """The command line or a recipe asks for something that does not exist or does not fit together."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe cannot be read, holds an unknown key, or holds a value out of range."""


class VideoError(StfError):
    """A video cannot be opened or no frame of it can be decoded."""

    exit_code = 3


class DatasetError(StfError):
    """A data set's root does not have the layout that its adapter reads."""


class LeakError(DatasetError):
    """Two parts of a split share a person, a source or a file."""


class ClipStoreError(StfError):
    """Prepared clips are missing, incomplete, or were made with other settings."""


class ClipChoiceError(ClipStoreError):
    """What was asked of prepared clips is not among them, or is one of several and was not named."""

    exit_code = 2


class WeightsError(StfError):
    """A weights file is unreadable or does not fit the model it was given for."""


class ModelError(StfError):
    """A model gives no number for a clip: its weights are damaged, or its training diverged."""


class RunError(StfError):
    """A run folder is missing something, unreadable, or does not fit what is asked of it."""


class NoRunError(RunError):
    """A folder that was named as a run's is none."""

    exit_code = 2


class VerdictError(StfError):
    """A file is no saved verdict, or it is damaged."""


def holds_another(place: str | os.PathLike[str], what: str, differing: Iterable[str]) -> RunError:
    """The refusal to write over earlier work that differs in something."""
    return RunError(
        f"{place} holds {what} with another {' and '.join(differing)}; choose another --out, or repeat the command "
        "that started it to continue"
    )


class LeftOutWarning(UserWarning):
    """Files of a folder were not taken for videos."""


_SHOWN = 5


def first_few(values: Iterable[str], shown: int = _SHOWN) -> str:
    """The first values, and how many more there are."""
    everything = list(values)
    rest = len(everything) - shown
    return ", ".join(everything[:shown]) + (f" and {rest} more" if rest > 0 else "")
