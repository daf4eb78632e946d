"""A run's folder, read back."""

import pytest

from stf_mamba.core.errors import NoRunError
from stf_mamba.evaluation.runs import Run


def test_a_folder_without_a_run_is_wrong_usage_and_tells_what_is_missing(tmp_path):
    (tmp_path / "recipe.toml").touch()
    with pytest.raises(
        NoRunError, match=r"clips\.json, split\.json, environment\.json missing; make one with: stf train"
    ):
        Run.load(tmp_path)
    assert NoRunError.exit_code == 2
