"""Checks of arguments: what is wrong is said with the value seen and what was expected."""

from __future__ import annotations

from collections.abc import Sequence

UNBOUNDED = float("inf")


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """An argument holds what it must.

    Raises:
        ValueError: it does not.
    """
    if not holds:
        raise ValueError(f"{name} is {value!r}, expected {expected}")


def require_between(name: str, value: float, low: float, high: float = UNBOUNDED) -> None:
    """A number is finite and from ``low`` to ``high``, both included.

    Raises:
        ValueError: it is not.
    """
    if not (low <= value <= high and value < UNBOUNDED):
        raise ValueError(f"{name} is {value}, expected {f'{low} or more' if high == UNBOUNDED else f'{low} to {high}'}")


def require_positive(name: str, value: float) -> None:
    """A number is above 0 and finite.

    Raises:
        ValueError: it is not.
    """
    if not 0 < value < UNBOUNDED:
        raise ValueError(f"{name} is {value}, expected a positive number")


def require_one_of(name: str, value: object, known: Sequence[object]) -> None:
    """A value is one of those that exist.

    Raises:
        ValueError: it is not.
    """
    require(value in known, name, value, f"one of {', '.join(map(str, known))}")


def require_seeds(seeds: Sequence[int]) -> None:
    """Seeds are given, and each once.

    Raises:
        ValueError: they are not.
    """
    if not 0 < len(seeds) == len(set(seeds)):
        raise ValueError(f"seeds are {list(seeds)}, expected at least one and each once")
