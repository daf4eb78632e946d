"""Arguments out of range are refused with the value seen and what was expected."""

import math

import pytest

from stf_mamba.core.checks import require, require_between, require_one_of, require_positive, require_seeds


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: require(False, "frames", "many", "a number"), "frames is 'many', expected a number"),
        (lambda: require_between("zoom", 9, 1, 8), "zoom is 9, expected 1 to 8"),
        (lambda: require_between("layers", -1, 0), "layers is -1, expected 0 or more"),
        (lambda: require_between("share", math.nan, 0, 1), "share is nan, expected 0 to 1"),
        (lambda: require_positive("margin", 0), "margin is 0, expected a positive number"),
        (lambda: require_positive("margin", math.inf), "margin is inf, expected a positive number"),
        (lambda: require_positive("margin", math.nan), "margin is nan, expected a positive number"),
        (lambda: require_one_of("token", "all", ("cls", "both")), "token is 'all', expected one of cls, both"),
        (lambda: require_seeds(()), r"seeds are \[\], expected at least one and each once"),
        (lambda: require_seeds((1, 1)), r"seeds are \[1, 1\], expected"),
    ],
)
def test_what_is_out_of_range_is_refused(check, words):
    with pytest.raises(ValueError, match=words):
        check()


def test_the_ends_of_a_range_belong_to_it():
    require_between("zoom", 1, 1, 8)
    require_between("zoom", 8, 1, 8)
    require_between("layers", 0, 0)
    require_positive("margin", 1e-300)
    require_one_of("token", None, (None, "cls"))
    require_seeds((1, 2))
