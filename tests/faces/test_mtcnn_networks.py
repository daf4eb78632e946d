"""MTCNN's networks against an independent evaluation of the same weights."""

import importlib.util
import pickle
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from stf_mamba.core.errors import WeightsError
from stf_mamba.faces.mtcnn import MtcnnDetector
from stf_mamba.faces.mtcnn_networks import load_networks, normalised


@pytest.fixture(scope="module")
def networks():
    return load_networks()


class PlainLayers:
    """Keras' layers over NHWC float64, written from their documentation; reads the package's arrays in order."""

    def __init__(self, stem):
        folder = Path(importlib.util.find_spec("mtcnn").submodule_search_locations[0]) / "assets" / "weights"
        self.arrays = iter([array.astype(np.float64) for array in joblib.load(folder / f"{stem}.lz4")])

    def convolution(self, x):
        kernel, bias = next(self.arrays), next(self.arrays)
        windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))  # (N, H', W', C, h, w)
        return np.einsum("nyxchw,hwco->nyxo", windows, kernel) + bias

    def prelu(self, x):
        return np.maximum(x, 0) + next(self.arrays) * np.minimum(x, 0)

    def dense(self, x):
        return x @ next(self.arrays) + next(self.arrays)

    @staticmethod
    def pool(x, size, *, same):
        if same:
            missing = [(-(-side // 2) - 1) * 2 + size - side for side in x.shape[1:3]]
            padding = [(max(0, pad) // 2, max(0, pad) - max(0, pad) // 2) for pad in missing]
            x = np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=-np.inf)
        return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))

    @staticmethod
    def softmax(x):
        return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


class TestNetworks:
    """Each network equals an evaluation of the same arrays that shares no code with it."""

    @staticmethod
    def images(size):
        pixels = np.random.default_rng(4).integers(0, 256, (3, *size, 3), dtype=np.uint8)
        return pixels, (pixels.astype(np.float64) - 127.5) / 128

    def test_proposal_network(self, networks):
        pixels, x = self.images((31, 40))
        plain = PlainLayers("pnet")
        x = plain.pool(plain.prelu(plain.convolution(x)), 2, same=True)
        x = plain.prelu(plain.convolution(plain.prelu(plain.convolution(x))))
        box, face = plain.convolution(x), plain.softmax(plain.convolution(x))[..., 1]
        with torch.inference_mode():
            got_box, got_face = networks[0](normalised(pixels))
        np.testing.assert_allclose(got_box.permute(0, 2, 3, 1), box, atol=1e-5)
        np.testing.assert_allclose(got_face, face, atol=1e-5)

    def test_refinement_network(self, networks):
        pixels, x = self.images((24, 24))
        plain = PlainLayers("rnet")
        x = plain.pool(plain.prelu(plain.convolution(x)), 3, same=True)
        x = plain.pool(plain.prelu(plain.convolution(x)), 3, same=False)
        x = plain.prelu(plain.convolution(x)).transpose(0, 2, 1, 3).reshape(3, -1)  # columns before rows
        x = plain.prelu(plain.dense(x))
        box, face = plain.dense(x), plain.softmax(plain.dense(x))[:, 1]
        with torch.inference_mode():
            got_box, got_face = networks[1](normalised(pixels))
        np.testing.assert_allclose(got_box, box, atol=1e-5)
        np.testing.assert_allclose(got_face, face, atol=1e-5)

    def test_output_network(self, networks):
        pixels, x = self.images((48, 48))
        plain = PlainLayers("onet")
        x = plain.pool(plain.prelu(plain.convolution(x)), 3, same=True)
        x = plain.pool(plain.prelu(plain.convolution(x)), 3, same=False)
        x = plain.pool(plain.prelu(plain.convolution(x)), 2, same=True)
        x = plain.prelu(plain.convolution(x)).transpose(0, 2, 1, 3).reshape(3, -1)  # columns before rows
        x = plain.prelu(plain.dense(x))
        box, landmarks, face = plain.dense(x), plain.dense(x), plain.softmax(plain.dense(x))[:, 1]
        with torch.inference_mode():
            got_box, got_landmarks, got_face = networks[2](normalised(pixels))
        np.testing.assert_allclose(got_box, box, atol=1e-5)
        np.testing.assert_allclose(got_landmarks, np.stack([landmarks[:, :5], landmarks[:, 5:]], axis=-1), atol=1e-5)
        np.testing.assert_allclose(got_face, face, atol=1e-5)


class TestWeightsOfTheInstalledPackage:
    @staticmethod
    def package_at(monkeypatch, folder):
        spec = None if folder is None else SimpleNamespace(submodule_search_locations=[str(folder)])
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)

    def test_a_missing_package_is_said_with_the_command_that_installs_it(self, monkeypatch):
        self.package_at(monkeypatch, None)
        with pytest.raises(WeightsError, match=r"not installed; .*mtcnn==1\.0\.0"):
            MtcnnDetector()

    def test_a_missing_file_is_named(self, monkeypatch, tmp_path):
        self.package_at(monkeypatch, tmp_path)
        with pytest.raises(WeightsError, match=r"pnet\.lz4.*mtcnn==1\.0\.0"):
            MtcnnDetector()

    def test_another_file_is_refused_before_it_is_unpickled(self, monkeypatch, tmp_path):
        weights = tmp_path / "assets" / "weights" / "pnet.lz4"
        weights.parent.mkdir(parents=True)
        weights.write_bytes(pickle.dumps(MakesAFile(tmp_path / "unpickled")))
        self.package_at(monkeypatch, tmp_path)
        with pytest.raises(WeightsError, match=r"has sha256 .*, expected ea6b0c3e"):
            MtcnnDetector()
        assert not (tmp_path / "unpickled").exists()


class MakesAFile:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
