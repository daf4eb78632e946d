"""A published SBI checkpoint as a detector of ours.

Source: Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022, and the inference code that
its authors published: EfficientNet-B4 of the package ``efficientnet_pytorch`` with two outputs (real, fake), crops of
380 px, RGB in [0, 1] without further normalisation, a video's score the mean fake probability of its frames.
"""

from __future__ import annotations

import os
import re
from typing import Any

import torch
from torch import nn

from stf_mamba.errors import WeightsError
from stf_mamba.models.cnn_encoders import CnnEncoder
from stf_mamba.models.detector import ClipDetector, TemporalStack
from stf_mamba.models.heads import FrameMeanHead
from stf_mamba.models.weights import StateDict, describe_mismatch, read_state_dict

SBI_ENCODER = "efficientnet_b4_sbi"

# Modules of efficientnet_pytorch and of timm: outside the blocks, and in blocks with and without an expansion.
AROUND_BLOCKS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
EXPANDING_BLOCK = SQUEEZE | {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PLAIN_BLOCK = SQUEEZE | {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def load_sbi_checkpoint(path: str | os.PathLike[str]) -> ClipDetector:
    """The detector of a published SBI checkpoint, ready to score clips of 380 px crops (``stf prepare --size 380``).

    A frame's logit is the difference of the two outputs, fake minus real, whose sigmoid is the published softmax
    probability; a clip's is the logit of its frames' mean probability, so clips rank as the published score ranks
    them. Consistency and log-variance are those of the pooled features; the published detector has none.

    Raises:
        WeightsError: unreadable, or not such a checkpoint; the message lists what does not fit.
    """
    state = {name.removeprefix("net."): tensor for name, tensor in read_state_dict(path).items()}
    encoder = CnnEncoder(SBI_ENCODER, trainable_blocks=0)
    classifier = {name: state.pop(f"_fc.{name}", None) for name in ("weight", "bias")}
    head = FrameMeanHead(encoder.width, average="probabilities")
    expected = {"weight": (2, encoder.width), "bias": (2,)}
    renamed = to_timm_efficientnet(state, encoder.network.blocks)
    problems = describe_mismatch(renamed, encoder.network.state_dict())
    for name, tensor in classifier.items():
        if tensor is None or tuple(tensor.shape) != expected[name]:
            seen = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"
            problems.append(f"_fc.{name} is {seen} instead of {expected[name]}")
    if problems:
        raise WeightsError(
            f"{path} is no published SBI checkpoint (EfficientNet-B4 as efficientnet_pytorch names it, two outputs): "
            f"{'; '.join(problems)}. A run of recipes/sbi.toml is evaluated with stf evaluate instead"
        )
    encoder.network.load_state_dict(renamed, strict=True)
    with torch.no_grad():
        for name, parameter in head.classifier.named_parameters():
            real, fake = classifier[name]  # type: ignore[misc]  # shapes were checked above
            parameter.copy_((fake - real).view_as(parameter))
    return ClipDetector(encoder, nn.Identity(), TemporalStack([]), head).eval()


def to_timm_efficientnet(state: StateDict, groups: Any) -> StateDict:
    """The state under timm's names; names that ``efficientnet_pytorch`` does not use stay as they are.

    Args:
        groups: timm's ``blocks``, groups of blocks; ``efficientnet_pytorch`` numbers all blocks in one row.
    """
    blocks = [
        (f"blocks.{group}.{number}", EXPANDING_BLOCK if hasattr(block, "conv_pwl") else PLAIN_BLOCK)
        for group, members in enumerate(groups)
        for number, block in enumerate(members)
    ]
    renamed: StateDict = {}
    for name, tensor in state.items():
        match = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(_\w+)\.(\w+)", name)
        if match is None:
            renamed[name] = tensor
            continue
        number, module, parameter = match.groups()
        if number is None:
            renamed[f"{AROUND_BLOCKS.get(module, module)}.{parameter}"] = tensor
        elif int(number) < len(blocks):
            place, names = blocks[int(number)]
            renamed[f"{place}.{names.get(module, module)}.{parameter}"] = tensor
        else:
            renamed[name] = tensor
    return renamed
