"""The sentences of a verdict against numbers that ask for them."""

import pytest

from fixed_faces import SURE
from stf_mamba.core.records import Outcome
from stf_mamba.detection.reasons import OFF_CENTRE, decision_reasons


@pytest.mark.parametrize(
    ("probability", "interval", "is_explained"),
    [
        (0.62, (0.60, 0.83), True),
        (0.81, (0.60, 0.83), True),
        (0.70, (0.60, 0.83), False),
        (0.66, (0.60, 0.83), False),  # within the middle half: 0.6575 to 0.7725
        (0.95, (0.95, 0.95), False),
    ],
)
def test_a_probability_off_the_middle_of_its_interval_is_explained(probability, interval, is_explained):
    reasons = decision_reasons(Outcome.MANIPULATED, probability, interval, SURE)
    assert (OFF_CENTRE in reasons) == is_explained
    assert len(reasons) == 1 + is_explained
