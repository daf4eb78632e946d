"""Weights of a network: recognised by their keys, loaded strictly."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from stf_mamba.core.errors import WeightsError
from stf_mamba.core.files import write_bytes_atomically
from stf_mamba.core.recipe import EncoderRecipe
from stf_mamba.models.encoders.frame_encoder import FrameEncoder
from stf_mamba.models.encoders.registry import ENCODERS, build_encoder
from stf_mamba.models.encoders.timm_import import import_timm
from stf_mamba.models.encoders.vit import VIT_ENCODERS, VitEncoder
from stf_mamba.models.weights.checkpoints import NOT_IN_AN_ENCODER, read_bare_state, read_state_dict, unchunked
from stf_mamba.models.weights.efficientnet import is_efficientnet_pytorch, to_timm_efficientnet
from stf_mamba.models.weights.layouts import StateDict, to_timm_layout
from stf_mamba.models.weights.sface import is_onnx, sface_state

OWN_NORM = re.compile(r"norm\.(weight|bias)")


def save_state_dict(state: StateDict, path: str | os.PathLike[str]) -> Path:
    """Write tensors as safetensors; the file appears whole or not at all. Returns its path."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    return write_bytes_atomically(path, content)


def load_encoder_weights(encoder: FrameEncoder, path: str | os.PathLike[str]) -> None:
    """Load published weights into an encoder, strictly: every tensor finds its place or it is an error.

    Accepted key layouts: timm (torchvision's ResNet-50 has the same), the official DINOv2 repository, Hugging Face
    ``Dinov2Model``, for EfficientNets the packages ``efficientnet_pytorch`` and ``efficientnet_lite_pytorch``, and for
    SFace the OpenCV zoo's ONNX files; what trainings wrap around them (``checkpoints``) is taken off, so that a
    checkpoint of a DINO or DINOv2 training loads too. Classifiers and projection heads are left aside, shorter floats
    become float32. Position embeddings of another image size are resampled (bicubic, as timm does). A transformer of
    which only the first blocks are used leaves the others' tensors and the final norm aside and keeps its own norm.

    Raises:
        WeightsError: unreadable, or made for another architecture; the message lists what does not fit.
    """
    encoder.network.load_state_dict(_fitted(_read(path), encoder, path), strict=True)


def encoders_fitting(path: str | os.PathLike[str]) -> list[str]:
    """Names of the encoders, whole, that ``load_encoder_weights`` would load the file into. Nothing is loaded.

    Raises:
        WeightsError: unreadable.
    """
    bare = _read(path)
    fitting = []
    for name in ENCODERS:
        with torch.device("meta"):  # shapes alone
            encoder = build_encoder(EncoderRecipe(name, trainable_blocks=0))
        try:
            _fitted(bare, encoder, path)
        except WeightsError:
            continue
        fitting.append(name)
    return fitting


def _read(path: str | os.PathLike[str]) -> StateDict:
    return sface_state(path) if is_onnx(path) else read_bare_state(path)


def _fitted(bare: StateDict, encoder: FrameEncoder, path: str | os.PathLike[str]) -> StateDict:
    """The tensors of a file as the encoder's network names and shapes them."""
    state = to_timm_layout(bare)
    network = encoder.network
    target = network.state_dict()
    if is_efficientnet_pytorch(state) and hasattr(network, "conv_stem"):
        state = to_timm_efficientnet(state, network.blocks)
    state = {name: tensor for name, tensor in state.items() if not NOT_IN_AN_ENCODER.fullmatch(name)}
    if isinstance(encoder, VitEncoder):
        state = unchunked(state, path)
        _resample_positions(state, network)
        if encoder.has_own_norm:
            state = _first_blocks(state, encoder) | {name: target[name] for name in target if OWN_NORM.fullmatch(name)}
    state = _old_batch_counters(target) | state
    problems = describe_mismatch(state, target)
    if problems:
        raise WeightsError(
            f"{path} does not fit the encoder {encoder.name!r} ({ENCODERS[encoder.name].description}): "
            f"{'; '.join(problems)}. {_what_it_looks_like(state)}"
        )
    return state


def load_model_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a run's own weights into the model of its recipe, strictly.

    Raises:
        WeightsError: unreadable, or of another model.
    """
    state = read_state_dict(path)
    problems = describe_mismatch(state, model.state_dict())
    if problems:
        raise WeightsError(f"{path} does not fit the model of its recipe: {'; '.join(problems)}")
    model.load_state_dict(state, strict=True)


def describe_mismatch(state: StateDict, target: StateDict) -> list[str]:
    """What keeps ``state`` from being loaded strictly as ``target``: sentences, none where it fits."""
    missing = [name for name in target if name not in state]
    unexpected = [name for name in state if name not in target]
    reshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(target[name].shape)}"
        for name in target
        if name in state and state[name].shape != target[name].shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    return [f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds if names]


def _first_blocks(state: StateDict, encoder: VitEncoder) -> StateDict:
    """The state without the blocks that the encoder leaves out and without the final norm made for the last of them."""
    left_out = range(len(encoder.network.blocks), VIT_ENCODERS[encoder.name].blocks)
    unused = tuple(f"blocks.{number}." for number in left_out)
    return {
        name: tensor for name, tensor in state.items() if not name.startswith(unused) and not OWN_NORM.fullmatch(name)
    }


def _old_batch_counters(target: StateDict) -> StateDict:
    """Batch norms' counters, which files written before PyTorch 0.4.1 lack and no computation here reads."""
    return {name: tensor for name, tensor in target.items() if name.endswith(".num_batches_tracked")}


def _resample_positions(state: StateDict, network: nn.Module) -> None:
    """Fit position embeddings (1, 1 + grid², D) of another image size to the network's grid, in place."""
    positions = state.get("pos_embed")
    expected = network.state_dict()["pos_embed"]
    if positions is None or positions.ndim != 3 or positions.shape == expected.shape:
        return
    if positions.shape[2] != expected.shape[2] or round((positions.shape[1] - 1) ** 0.5) ** 2 != positions.shape[1] - 1:
        return
    resample_abs_pos_embed = import_timm().layers.resample_abs_pos_embed

    side = round((expected.shape[1] - 1) ** 0.5)
    state["pos_embed"] = resample_abs_pos_embed(positions, new_size=[side, side], num_prefix_tokens=1)


def _what_it_looks_like(state: StateDict) -> str:
    if not state.keys().isdisjoint(("_conv_stem.weight", "conv_stem.weight", "conv1.weight")):
        return "It holds a convolutional network; stf weights lists the encoders"
    blocks = {int(match[1]) for name in state if (match := re.match(r"blocks\.(\d+)\.", name))}
    embedding = state.get("cls_token")
    if not blocks or embedding is None:
        return (
            "It is in no known key layout (timm, torchvision, official DINOv2, Hugging Face Dinov2Model, "
            "efficientnet_pytorch)"
        )
    return f"It holds a vision transformer of {max(blocks) + 1} blocks and width {embedding.shape[-1]}"


def _first(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
