"""The face detector, loaded once."""

import pytest

from stf_mamba.faces.mtcnn import MtcnnDetector


@pytest.fixture(scope="session")
def mtcnn():
    return MtcnnDetector()
