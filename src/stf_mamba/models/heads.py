"""From a clip's embeddings to a logit."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ClipOutput(NamedTuple):
    """What the model says of B clips of T frames.

    Attributes:
        logit: (B,) higher is more suspicious.
        log_variance: (B,) natural logarithm of the consistency's variance plus epsilon.
        consistency: (B, T) cosine similarity of each frame to the clip's mean; zero where the mask is off.
    """

    logit: Tensor
    log_variance: Tensor
    consistency: Tensor


class VarianceHead(nn.Module):
    """Variance of the frames' cosine similarity to the clip's mean, mapped to a logit by an increasing line.

    The variance is that of half squared chord lengths ``|u - v|² / 2`` between unit vectors, which equal ``1 - cos``
    but do not cancel where the cosine is near one. Everything runs in float32, also under autocast. The slope is a
    softplus, so more variance can only mean more suspicion.

    The log-variance is first standardised by two constants measured on the training clips (``standardise``), so that
    the line starts where the data are and a small learning rate can move it.

    Source: ablation report, sections 8.3 and 8.4; the half-chord form and the monotone map are ours.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, epsilon: float = 1e-8) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.raw_slope = nn.Parameter(torch.tensor(0.5413))  # softplus(0.5413) = 1
        self.bias = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("centre", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))

    @property
    def slope(self) -> Tensor:
        """Change of the logit per standard deviation of the log-variance; always positive."""
        return F.softplus(self.raw_slope)

    def standardise(self, log_variances: Tensor) -> None:
        """Centre and scale the line by the log-variances (N,) of the training clips before they are trained on.

        Raises:
            ValueError: no clip, or a value that is not finite.
        """
        if log_variances.numel() == 0 or not bool(log_variances.isfinite().all()):
            raise ValueError(f"need finite log-variances of at least one clip, got {log_variances.tolist()}")
        self.centre.copy_(log_variances.mean())
        self.scale.copy_(log_variances.std(correction=0).clamp(min=0.1))

    def forward(self, embeddings: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for embeddings (B, T, D) and an optional mask (B, T), true where a frame is valid."""
        with torch.autocast(embeddings.device.type, enabled=False):
            distance = half_squared_chord(embeddings.float(), mask)  # (B, T)
            log_variance = (masked_variance(distance, mask) + self.epsilon).log()  # (B,)
            logit = self.slope * (log_variance - self.centre) / self.scale + self.bias
            consistency = 1 - distance if mask is None else (1 - distance) * mask
        return ClipOutput(logit, log_variance, consistency)


HEADS = {"variance": VarianceHead}


def half_squared_chord(embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
    """``1 - cos`` (B, T) between each embedding (B, T, D) and the mean of the clip's valid embeddings."""
    centre = masked_mean(embeddings, mask)  # (B, 1, D)
    difference = F.normalize(embeddings, dim=-1) - F.normalize(centre, dim=-1)
    return difference.square().sum(-1) / 2


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over time (B, 1, D) of values (B, T, D), over the valid frames only."""
    if mask is None:
        return values.mean(1, keepdim=True)
    weights = mask.unsqueeze(-1).to(values.dtype)  # (B, T, 1)
    return (values * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)


def masked_variance(values: Tensor, mask: Tensor | None) -> Tensor:
    """Variance over time (B,) of values (B, T), divided by the number of valid frames."""
    deviation = values - masked_mean(values.unsqueeze(-1), mask).squeeze(-1)  # (B, T)
    return masked_mean(deviation.square().unsqueeze(-1), mask).reshape(-1)
