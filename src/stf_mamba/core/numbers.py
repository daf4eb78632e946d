"""The one check that numbers are finite: NaN ties with the highest score and wins every comparison by being in none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stf_mamba.core.records import Float64Array

MaybeNumbers = npt.ArrayLike | Sequence[float | None] | Sequence[Sequence[float | None]]


def require_finite(name: str, values: MaybeNumbers) -> Float64Array:
    """The values as float64, of any shape; a missing value (``None``) is not finite.

    Raises:
        ValueError: a value is NaN, infinite or missing; the message counts them and says where the first one is.
    """
    given = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(given)
    if finite.all():
        return given
    if given.ndim == 0:
        raise ValueError(f"{name} is {given.item()}, expected a finite number")
    first = tuple(int(place) for place in np.argwhere(~finite)[0])
    raise ValueError(
        f"{name} holds {int((~finite).sum())} of {given.size} values that are not finite, the first at "
        f"{first[0] if len(first) == 1 else first} ({given[first].item()}); leave them out"
    )
