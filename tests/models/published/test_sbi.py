"""A checkpoint in SBI's published layout gives the scores of a plain reading of its architecture.

The reference below reads the checkpoint by its own names, with padding computed as TensorFlow's SAME. It shares no code
with timm, whose network the loader fills.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from stf_mamba.core.errors import WeightsError
from stf_mamba.models.encoders.cnn import CnnEncoder
from stf_mamba.models.published.sbi import load_sbi_checkpoint
from stf_mamba.models.weights.loading import save_state_dict

# EfficientNet-B4 (Tan and Le 2019: B0's table, widths times 1.4 to the nearest 8, repeats times 1.8 rounded up):
# repeats, kernel, stride of the first, expansion, input and output channels.
GROUPS = (
    (2, 3, 1, 1, 48, 24),
    (4, 3, 2, 6, 24, 32),
    (4, 5, 2, 6, 32, 56),
    (6, 3, 2, 6, 56, 112),
    (6, 5, 1, 6, 112, 160),
    (8, 5, 2, 6, 160, 272),
    (2, 3, 1, 6, 272, 448),
)
STEM, FEATURES = 48, 1792


def blocks():
    """Kernel, stride, expansion, input and output channels of every block, in one row."""
    return [
        (kernel, stride if number == 0 else 1, expansion, source if number == 0 else target, target)
        for repeats, kernel, stride, expansion, source, target in GROUPS
        for number in range(repeats)
    ]


def drawn_checkpoint():
    generator = torch.Generator().manual_seed(7)
    state = {}

    def convolution(name, target, source, kernel, bias=False):
        fan = source * kernel**2
        state[f"{name}.weight"] = torch.randn(target, source, kernel, kernel, generator=generator) * (2 / fan) ** 0.5
        if bias:
            state[f"{name}.bias"] = torch.randn(target, generator=generator) * 0.1

    def norm(name, channels):
        state[f"{name}.weight"] = 0.75 + torch.rand(channels, generator=generator) / 2
        state[f"{name}.bias"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_mean"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_var"] = 0.75 + torch.rand(channels, generator=generator) / 2
        state[f"{name}.num_batches_tracked"] = torch.tensor(100)

    convolution("_conv_stem", STEM, 3, 3)
    norm("_bn0", STEM)
    for number, (kernel, _, expansion, source, target) in enumerate(blocks()):
        at, inner = f"_blocks.{number}", source * expansion
        if expansion > 1:
            convolution(f"{at}._expand_conv", inner, source, 1)
            norm(f"{at}._bn0", inner)
        convolution(f"{at}._depthwise_conv", inner, 1, kernel)
        norm(f"{at}._bn1", inner)
        convolution(f"{at}._se_reduce", source // 4, inner, 1, bias=True)
        convolution(f"{at}._se_expand", inner, source // 4, 1, bias=True)
        convolution(f"{at}._project_conv", target, inner, 1)
        norm(f"{at}._bn2", target)
    convolution("_conv_head", FEATURES, target, 1)
    norm("_bn1", FEATURES)
    state["_fc.weight"] = torch.randn(2, FEATURES, generator=generator) * 0.004  # outputs of order one
    state["_fc.bias"] = torch.tensor([0.3, -0.2])
    return {f"net.{name}": tensor for name, tensor in state.items()}


def published_features(state, x):
    """Pooled features (N, 1792) of RGB in [0, 1] (N, 3, H, W), computed from the checkpoint's own names."""

    def convolution(name, x, stride=1, groups=1):
        weight, bias = state[f"net.{name}.weight"], state.get(f"net.{name}.bias")
        kernel = weight.shape[-1]
        missing = max((math.ceil(x.shape[-1] / stride) - 1) * stride + kernel - x.shape[-1], 0)
        first = missing // 2
        x = F.pad(x, [first, missing - first] * 2)
        return F.conv2d(x, weight, bias, stride, groups=groups)

    def norm(name, x):
        mean, var, weight, bias = (
            state[f"net.{name}.{part}"].view(-1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-3).sqrt() * weight + bias

    def swish(x):
        return x * torch.sigmoid(x)

    x = swish(norm("_bn0", convolution("_conv_stem", x, stride=2)))
    for number, (_, stride, expansion, source, target) in enumerate(blocks()):
        at, entering = f"_blocks.{number}", x
        if expansion > 1:
            x = swish(norm(f"{at}._bn0", convolution(f"{at}._expand_conv", x)))
        x = swish(norm(f"{at}._bn1", convolution(f"{at}._depthwise_conv", x, stride, groups=x.shape[1])))
        squeezed = swish(convolution(f"{at}._se_reduce", x.mean((2, 3), keepdim=True)))
        x = x * torch.sigmoid(convolution(f"{at}._se_expand", squeezed))
        x = norm(f"{at}._bn2", convolution(f"{at}._project_conv", x))
        if stride == 1 and source == target:
            x = x + entering
    return swish(norm("_bn1", convolution("_conv_head", x))).mean((2, 3))


@pytest.fixture(scope="module")
def checkpoint():
    return drawn_checkpoint()


def write(state, folder):
    path = folder / "FFc23.tar"  # what the authors' training writes, optimiser included
    torch.save({"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]}, "epoch": 99}, path)
    return path


def test_scores_are_the_published_ones(checkpoint, tmp_path):
    detector = load_sbi_checkpoint(write(checkpoint, tmp_path))
    generator = torch.Generator().manual_seed(1)
    clip = torch.randint(0, 256, (2, 3, 380, 380), dtype=torch.uint8, generator=generator)
    clip[1] //= 4
    with torch.no_grad():
        features = published_features(checkpoint, clip / 255)
        outputs = features @ checkpoint["net._fc.weight"].T + checkpoint["net._fc.bias"]
        probabilities = outputs.softmax(1)[:, 1]
        ours = detector.encoder(clip)
        result = detector(clip[None])
    assert 0.1 < probabilities.min() < probabilities.max() - 0.1 < 0.8, "scores must differ and not saturate"
    torch.testing.assert_close(ours, features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(result.logit.sigmoid()[0], probabilities.mean(), atol=1e-5, rtol=0)
    assert result.consistency.shape == (1, 2)


def test_block_table_is_the_architecture(checkpoint):
    counted = sum(tensor.numel() for name, tensor in checkpoint.items() if name.endswith((".weight", ".bias")))
    assert counted - 2 * FEATURES - 2 == 17_548_616


def test_a_state_without_its_wrapper_loads_too(checkpoint, tmp_path):
    bare = {name.removeprefix("net."): tensor for name, tensor in checkpoint.items()}
    detector = load_sbi_checkpoint(save_state_dict(bare, tmp_path / "sbi.safetensors"))
    assert torch.equal(detector.encoder.network.conv_stem.weight, bare["_conv_stem.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("net._blocks.31._bn2.bias"), r"1 missing \(blocks\.6\.1\.bn3\.bias\)"),
        (lambda state: state.update({"net._blocks.32._bn2.bias": torch.zeros(448)}), r"1 unexpected \(_blocks\.32"),
        (lambda state: state.update({"net._fc.weight": torch.zeros(1000, FEATURES)}), r"_fc\.weight is of shape"),
        (lambda state: state.pop("net._fc.bias"), r"_fc\.bias is missing instead of \(2,\)"),
        (lambda state: state.update({"net._bn9.bias": torch.zeros(1)}), r"1 unexpected \(_bn9\.bias\)"),
    ],
)
def test_what_does_not_fit_is_named(checkpoint, tmp_path, change, message):
    state = dict(checkpoint)
    change(state)
    with pytest.raises(WeightsError, match=message):
        load_sbi_checkpoint(write(state, tmp_path))


def test_another_network_is_refused(tmp_path):
    path = save_state_dict(CnnEncoder("cnn_miniature", 0).network.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="is no published SBI checkpoint"):
        load_sbi_checkpoint(path)
