"""Training and evaluation in one call: what is refused leaves nothing behind."""

import pytest

import stf_mamba as stf
from stf_mamba.core.errors import DatasetError


def test_a_missing_data_set_leaves_nothing_behind(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere does not exist"):
        stf.train(stf.Recipe(), tmp_path / "nowhere", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_of_another_layout_leaves_nothing_behind(tmp_path):
    (tmp_path / "data").mkdir()
    for adapter in (stf.datasets.CelebDF(tmp_path / "data"), tmp_path / "data"):
        with pytest.raises(DatasetError, match="does not have the layout"):
            stf.train(stf.Recipe(), adapter, tmp_path / "run", clips=tmp_path / "clips")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
