"""From a clip's embeddings to a logit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST_SPREAD = 1e-6  # a number whose standard deviation over the training clips is smaller does not vary


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


class ClipHead(nn.Module):
    """What every head has. All compute in float32, also under autocast.

    Attributes:
        epsilon: added to the variance before its logarithm: the variance of a clip of identical frames.
        uses_variance: whether the logit depends on the log-variance; to the other heads it is an observation that does
            not train.
    """

    uses_variance: ClassVar[bool] = False

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def observe(self, embeddings: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log-variance (B,) and consistency (B, T) of float32 embeddings (B, T, D), as ``ClipOutput`` has them."""
        distance = half_squared_chord(embeddings, mask)  # (B, T)
        log_variance = (masked_variance(distance, mask) + self.epsilon).log()  # (B,)
        return log_variance, 1 - distance if mask is None else (1 - distance) * mask

    def frame_logits(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor | None:
        """The logits of a clip's frames (B, T), whose mean over the valid frames is the clip's; zero where the mask is
        off, ``None`` where the clip's logit is no such mean."""
        return None


class LinearHead(ClipHead, ABC):
    """A head whose logit is a sum over the numbers of the clip's mean embedding, so that it can be taken apart."""

    classifier: nn.Linear

    @abstractmethod
    def terms(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """What each number of each frame adds (B, T, D), in float32: summed over the numbers and averaged over the
        valid frames they are the logit without the classifier's bias; zero where the mask is off."""

    def frame_logits(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor | None:
        """Each frame's share of the logit (B, T): what it shows, on the scale of its clip."""
        logits = self.terms(embeddings, mask).sum(-1) + self.classifier.bias
        return logits if mask is None else logits * mask


class StandardisingHead(ClipHead, ABC):
    """A head that measures what it reads on training clips before anything trains.

    Attributes:
        centre, scale: what it reads is shifted and divided by; 0 and 1 before ``standardise``.
    """

    centre: Tensor
    scale: Tensor

    @abstractmethod
    def measured(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """What ``standardise`` wants of each clip (B, ...), in float32."""

    @abstractmethod
    def standardise(self, measured: Tensor) -> None:
        """Set centre and scale by what was ``measured`` of N training clips (N, ...).

        Raises:
            ValueError: no clip, or a value that is not finite.
        """


class VarianceHead(StandardisingHead):
    """Variance of the frames' cosine similarity to the clip's mean, mapped to a logit by an increasing line.

    The variance is that of half squared chord lengths ``|u - v|² / 2`` between unit vectors, which equal ``1 - cos``
    but do not cancel where the cosine is near one. The slope is a softplus, so more variance can only mean more
    suspicion.

    The log-variance is first standardised by two constants measured on the training clips (``standardise``), so that
    the line starts where the data are and a small learning rate can move it.

    Source: ablation report, sections 8.3 and 8.4; the half-chord form and the monotone map are ours.
    """

    uses_variance = True

    def __init__(self, epsilon: float = 1e-8) -> None:
        super().__init__(epsilon)
        self.raw_slope = nn.Parameter(torch.tensor(0.5413))  # softplus(0.5413) = 1
        self.bias = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("centre", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))

    @property
    def slope(self) -> Tensor:
        """Change of the logit per standard deviation of the log-variance; always positive."""
        return F.softplus(self.raw_slope)

    def measured(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Log-variances (B,)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.observe(embeddings.float(), mask)[0]

    def standardise(self, measured: Tensor) -> None:
        """Centre and scale the line by the log-variances (N,) of training clips."""
        _require_finite_clips(measured)
        self.centre.copy_(measured.mean())
        self.scale.copy_(measured.std(correction=0).clamp(min=0.1))

    def forward(self, embeddings: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for embeddings (B, T, D) and an optional mask (B, T), true where a frame is valid."""
        with torch.autocast(embeddings.device.type, enabled=False):
            log_variance, consistency = self.observe(embeddings.float(), mask)
            logit = self.slope * (log_variance - self.centre) / self.scale + self.bias
        return ClipOutput(logit, log_variance, consistency)


class VarianceContentHead(VarianceHead):
    """The variance head's logit plus a linear map of what the clip shows: its mean embedding, layer-normalised.

    The map starts at zero, so training starts from the pure variance head. For the same mean embedding more variance
    can still only mean more suspicion.
    """

    def __init__(self, width: int, epsilon: float = 1e-8) -> None:
        super().__init__(epsilon)
        self.content = nn.Linear(width, 1, bias=False)  # the line's bias serves both
        nn.init.zeros_(self.content.weight)

    def forward(self, embeddings: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for embeddings (B, T, D) and an optional mask (B, T), true where a frame is valid."""
        output = super().forward(embeddings, mask)
        with torch.autocast(embeddings.device.type, enabled=False):
            mean = masked_mean(embeddings.float(), mask).squeeze(1)  # (B, D)
            content = self.content(F.layer_norm(mean, mean.shape[-1:])).squeeze(-1)  # (B,)
        return output._replace(logit=output.logit + content)


class PooledHead(ClipHead, ABC):
    """A linear map of one embedding of a clip, after a ``LayerNorm``."""

    def __init__(self, width: int, epsilon: float = 1e-8) -> None:
        super().__init__(epsilon)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, 1)

    def forward(self, embeddings: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for embeddings (B, T, D) and an optional mask (B, T), true where a frame is valid."""
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            logit = self.classifier(self.norm(self.pooled(embeddings, mask))).squeeze(-1)  # (B,)
            return ClipOutput(logit, *self.observe(embeddings, mask))

    @abstractmethod
    def pooled(self, embeddings: Tensor, mask: Tensor | None) -> Tensor:
        """What the map reads of a clip (B, D)."""


class ContentHead(PooledHead, LinearHead):
    """A linear map of the clip's mean embedding, after a ``LayerNorm``: what it shows, not how it varies."""

    def pooled(self, embeddings: Tensor, mask: Tensor | None) -> Tensor:
        """The mean embedding of each clip (B, D)."""
        return masked_mean(embeddings, mask).squeeze(1)

    def terms(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """What each number of each frame adds to the logit (B, T, D)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            read = scaled_by_mean(embeddings.float(), mask, self.norm.eps)
            terms = self.classifier.weight[0] * (read * self.norm.weight + self.norm.bias)
            return terms if mask is None else terms * mask.unsqueeze(-1)


class StandardisedContentHead(StandardisingHead, LinearHead):
    """A linear map of the clip's mean embedding, each of whose numbers is standardised over the training clips.

    The mean is first brought to one length (layer-normalised): what counts is its direction, not how strong everything
    in a picture is. Then each number is centred and scaled by training clips of both classes (``standardise``), so that
    those of small spread weigh as much as the others, as in a regularised logistic regression. The map starts at zero.
    """

    def __init__(self, width: int, epsilon: float = 1e-8) -> None:
        super().__init__(epsilon)
        self.classifier = nn.Linear(width, 1)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def measured(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean embeddings of one length (B, D)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            mean = masked_mean(embeddings.float(), mask).squeeze(1)
            return F.layer_norm(mean, mean.shape[-1:])

    def standardise(self, measured: Tensor) -> None:
        """Centre and scale each number by those of training clips (N, D). One that does not vary keeps its size."""
        _require_finite_clips(measured)
        spread = measured.std(0, correction=0)
        self.centre.copy_(measured.mean(0))
        self.scale.copy_(spread.where(spread > SMALLEST_SPREAD, 1.0))

    def forward(self, embeddings: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for embeddings (B, T, D) and an optional mask (B, T), true where a frame is valid."""
        with torch.autocast(embeddings.device.type, enabled=False):
            standardised = (self.measured(embeddings, mask) - self.centre) / self.scale  # (B, D)
            logit = self.classifier(standardised).squeeze(-1)
            return ClipOutput(logit, *self.observe(embeddings.float(), mask))

    def terms(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """What each number of each frame adds to the logit (B, T, D)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            read = scaled_by_mean(embeddings.float(), mask)
            terms = self.classifier.weight[0] * (read - self.centre) / self.scale
            return terms if mask is None else terms * mask.unsqueeze(-1)


class LastStepHead(PooledHead):
    """A linear map of the last valid frame's embedding, after a ``LayerNorm``.

    After a bidirectional mixer this is the step at which the backward direction has seen one frame only: a pooling that
    is here to show the difference, not to be preferred.

    Source: the bidirectional GRU of the ablation report's Experiment 3, as it was trained.
    """

    def pooled(self, embeddings: Tensor, mask: Tensor | None) -> Tensor:
        """The last valid embedding of each clip (B, D)."""
        if mask is None:
            return embeddings[:, -1]
        places = torch.arange(mask.shape[1], device=mask.device).where(mask, -1).amax(1)  # (B,)
        return embeddings[torch.arange(len(embeddings), device=mask.device), places]


class FrameMeanHead(ClipHead):
    """Every frame judged by itself with a linear map; the clip's verdict is their mean.

    Args:
        average: ``logits`` takes the mean of the frames' logits; ``probabilities`` takes the mean of their fake
            probabilities, as published frame-level detectors do, and returns its logit.
    """

    def __init__(
        self, width: int, epsilon: float = 1e-8, average: Literal["logits", "probabilities"] = "logits"
    ) -> None:
        super().__init__(epsilon)
        self.average = average
        self.classifier = nn.Linear(width, 1)

    def forward(self, embeddings: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for embeddings (B, T, D) and an optional mask (B, T), true where a frame is valid."""
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            logits = self.classifier(embeddings)  # (B, T, 1)
            if self.average == "logits":
                logit = masked_mean(logits, mask).flatten()  # (B,)
            else:
                logit = logit_of_mean_probability(logits.squeeze(-1), mask)
            return ClipOutput(logit, *self.observe(embeddings, mask))

    def frame_logits(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor | None:
        """Each frame's own logit (B, T), zero where the mask is off, also where the clip averages probabilities."""
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = self.classifier(embeddings.float()).squeeze(-1)
            assert isinstance(logits, Tensor)
            return logits if mask is None else logits * mask


# Each takes the width of an embedding and the epsilon of its variance.
HEADS: dict[str, Callable[[int, float], ClipHead]] = {
    "variance": lambda width, epsilon: VarianceHead(epsilon),
    "variance+content": VarianceContentHead,
    "content": ContentHead,
    "standardised_content": StandardisedContentHead,
    "last_step": LastStepHead,
    "frame_mean": FrameMeanHead,
}


def logit_of_mean_probability(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """``logit(mean(sigmoid(logits)))`` (B,) over the valid frames of (B, T), exact also where sigmoid saturates."""
    log_fake, log_real = F.logsigmoid(logits), F.logsigmoid(-logits)
    if mask is not None:
        log_fake, log_real = (log.masked_fill(~mask, -torch.inf) for log in (log_fake, log_real))
    return log_fake.logsumexp(1) - log_real.logsumexp(1)  # the number of frames cancels


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


def scaled_by_mean(embeddings: Tensor, mask: Tensor | None, epsilon: float = 1e-5) -> Tensor:
    """Embeddings (B, T, D) shifted and scaled alike, so that their mean over the valid frames is layer-normalised."""
    mean = masked_mean(embeddings, mask)  # (B, 1, D)
    variance = mean.var(-1, correction=0, keepdim=True)
    return (embeddings - mean.mean(-1, keepdim=True)) / (variance + epsilon).sqrt()


def masked_variance(values: Tensor, mask: Tensor | None) -> Tensor:
    """Variance over time (B,) of values (B, T), divided by the number of valid frames."""
    deviation = values - masked_mean(values.unsqueeze(-1), mask).squeeze(-1)  # (B, T)
    return masked_mean(deviation.square().unsqueeze(-1), mask).reshape(-1)


def _require_finite_clips(measured: Tensor) -> None:
    if measured.numel() == 0 or not bool(measured.isfinite().all()):
        raise ValueError(f"need finite values of at least one training clip, got {tuple(measured.shape)}")
