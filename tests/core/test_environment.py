"""The device that was asked for, or wrong usage."""

import pytest
import torch

from stf_mamba.core.environment import choose_device
from stf_mamba.core.errors import UsageError


def test_auto_takes_what_there_is():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_wrong_usage(name):
    with pytest.raises(UsageError, match=rf"no device '{name}' on this machine .*choose cpu, cuda or auto"):
        choose_device(name)
