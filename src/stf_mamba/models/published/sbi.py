"""A published SBI checkpoint as a detector of ours.

Source: Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022, and the inference code that
its authors published: EfficientNet-B4 of the package ``efficientnet_pytorch`` with two outputs (real, fake), crops of
380 px, RGB in [0, 1] without further normalisation, a video's score the mean fake probability of its frames.
"""

from __future__ import annotations

import os

import torch
from torch import nn

from stf_mamba.core.errors import WeightsError
from stf_mamba.models.clip_detector import ClipDetector, TemporalStack
from stf_mamba.models.encoders.cnn import CnnEncoder
from stf_mamba.models.heads import FrameMeanHead
from stf_mamba.models.weights.checkpoints import read_bare_state
from stf_mamba.models.weights.efficientnet import to_timm_efficientnet
from stf_mamba.models.weights.loading import describe_mismatch

SBI_ENCODER = "efficientnet_b4_sbi"


def load_sbi_checkpoint(path: str | os.PathLike[str]) -> ClipDetector:
    """The detector of a published SBI checkpoint, ready to score clips of 380 px crops (``stf prepare --size 380``).

    A frame's logit is the difference of the two outputs, fake minus real, whose sigmoid is the published softmax
    probability; a clip's is the logit of its frames' mean probability, so clips rank as the published score ranks
    them. Consistency and log-variance are those of the pooled features; the published detector has none.

    Raises:
        WeightsError: unreadable, or not such a checkpoint; the message lists what does not fit.
    """
    state = read_bare_state(path)
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
