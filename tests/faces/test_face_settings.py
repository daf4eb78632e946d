"""Settings of the search for faces."""

import math

import pytest

from stf_mamba.faces.settings import FaceSettings


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("detection_interval_s", 0),
            ("margin", -1.0),
            ("size_px", 0),
            ("min_side_px", math.nan),
            ("min_duration_s", -0.1),
            ("min_hit_ratio", 1.5),
            ("min_score", -0.1),
            ("max_side_ratio", 1.0),
            ("smoothing_s", math.inf),
            ("max_gap_s", 0.1),
        ],
    )
    def test_values_out_of_range_are_named(self, name, value):
        with pytest.raises(ValueError, match=name):
            FaceSettings(**{name: value})

    def test_survives_json(self):
        settings = FaceSettings(align=True, margin=1.5)
        assert FaceSettings.from_json(settings.to_json()) == settings
