"""Checkpoints as trainings leave them: whatever is wrapped around a network comes off, and no code is run."""

import argparse
import re

import pytest
import torch
from safetensors.torch import save_file

from stf_mamba.core.errors import WeightsError
from stf_mamba.models.encoders.cnn import CnnEncoder
from stf_mamba.models.encoders.vit import VitEncoder
from stf_mamba.models.weights.checkpoints import read_state_dict
from stf_mamba.models.weights.loading import load_encoder_weights

HEADS = ("head.mlp.0.weight", "head.last_layer.weight_g", "dino_head.mlp.0.weight", "ibot_head.last_layer.weight_v")


def drawn(seed):
    torch.manual_seed(seed)
    return VitEncoder("vit_miniature", 0)


@pytest.fixture(scope="module")
def state():
    return dict(drawn(0).network.state_dict())


def under(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def with_heads(state):
    return state | {name: torch.zeros(2, 2) for name in HEADS}


def chunked(state, chunk):
    """As the official DINOv2 repository names blocks that it trains in chunks: the block's own number in each."""
    renamed = {}
    for name, tensor in state.items():
        first, _, rest = name.partition(".")
        number = rest.partition(".")[0]
        renamed[f"blocks.{int(number) // chunk}.{rest}" if first == "blocks" else name] = tensor
    return renamed


LAYOUTS = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer_state_dict": {"lr": 0.1}},
    "model": lambda s: {"model": s},
    "wrapped twice": lambda s: {"model": {"state_dict": s}},
    "parallel": lambda s: under("module.", s),
    "compiled": lambda s: under("_orig_mod.", s),
    "compiled inside": lambda s: under("model.backbone._orig_mod.", s),
    "parallel, compiled, in a model": lambda s: {"state_dict": under("module._orig_mod.model.", s)},
    "a DINO training": lambda s: {
        "student": under("module.backbone.", {name: tensor + 1 for name, tensor in s.items()}),
        "teacher": with_heads(under("backbone.", s)),
        "optimizer": {"param_groups": []},
        "epoch": 99,
    },
    "a DINO training's student alone": lambda s: {"student": under("module.backbone.", s)},
    "a DINOv2 training": lambda s: {"teacher": with_heads(under("backbone.", chunked(s, 1)))},
    "a DINOv2 training in shards": lambda s: {
        "model": under("student.backbone._fsdp_wrapped_module.", {name: tensor + 1 for name, tensor in s.items()})
        | under("teacher.", with_heads(under("backbone._fsdp_wrapped_module.", chunked(s, 1))))
        | {"dino_loss.center": torch.zeros(1, 4), "ibot_patch_loss.center": torch.zeros(1, 4)},
        "iteration": 9,
    },
    "blocks in chunks": lambda s: chunked(s, 1),
    "half precision": lambda s: {name: tensor.half() for name, tensor in s.items()},
    "bfloat16": lambda s: {name: tensor.bfloat16() for name, tensor in s.items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_network(state, layout, tmp_path):
    torch.save(LAYOUTS[layout](state), tmp_path / "checkpoint.pth")
    encoder = drawn(1)
    load_encoder_weights(encoder, tmp_path / "checkpoint.pth")
    short = {"half precision": torch.float16, "bfloat16": torch.bfloat16}.get(layout, torch.float32)
    for name, tensor in encoder.network.state_dict().items():
        assert tensor.dtype is torch.float32
        assert torch.equal(tensor, state[name].to(short).float()), name


def test_a_wrapped_convolutional_network_keeps_its_blocks_in_groups(tmp_path):
    torch.manual_seed(0)
    state = dict(CnnEncoder("cnn_miniature", 0).network.state_dict())
    assert any(name.startswith("blocks.3.0.") for name in state)
    torch.save({"state_dict": under("module.", state)}, tmp_path / "w.pth")
    encoder = CnnEncoder("cnn_miniature", 1)
    load_encoder_weights(encoder, tmp_path / "w.pth")
    assert all(torch.equal(tensor, state[name]) for name, tensor in encoder.network.state_dict().items())


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.bin", "w"])
def test_the_content_says_what_a_file_is(state, tmp_path, name):
    for write in (torch.save, save_file):
        write(state, tmp_path / name)
        assert read_state_dict(tmp_path / name).keys() == state.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("module.norm.weight"), r"1 missing \(norm\.weight\)"),
        (lambda s: s.update({"module.extra": torch.zeros(1)}), r"1 unexpected \(extra\)"),
        (lambda s: s.update({"extra": torch.zeros(1)}), r"unexpected \(module\."),
    ],
)
def test_a_wrapped_network_loads_as_strictly(state, tmp_path, change, message):
    wrapped = under("module.", state)
    change(wrapped)
    torch.save(wrapped, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        load_encoder_weights(drawn(1), tmp_path / "w.pth")


def test_two_tensors_of_one_name_are_an_error_and_not_overwritten(state, tmp_path):
    torch.save(state | {"_orig_mod.norm.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: 1 of \d+ tensors have the name of another one"):
        load_encoder_weights(drawn(1), tmp_path / "w.pth")
    from_0_in_each = {re.sub(r"^blocks\.(\d+)\.", r"blocks.\1.0.", name): tensor for name, tensor in state.items()}
    torch.save(from_0_in_each, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="tensors have the name of another one"):
        load_encoder_weights(drawn(1), tmp_path / "w.pth")


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize(
    ("held", "named"),
    [
        (argparse.Namespace(arch="vit_small"), r"argparse\.Namespace"),
        (torch.nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
        (print, r"(\w+\.)?print"),
    ],
)
def test_a_class_in_a_checkpoint_is_named_with_the_way_out(tmp_path, held, named, as_zip):
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": {"a": torch.zeros(1)}, "args": held}, path, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(WeightsError, match=rf"object of the class {named}, and no class is loaded") as refused:
        read_state_dict(path)
    assert 'torch.save(checkpoint["model"], NEW_FILE)' in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert "download" not in str(refused.value)
