"""What storing an encoder's tokens in fewer bits costs, judged by what the detector reads and learns from them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from stf_mamba.core.records import JsonRecord
from stf_mamba.models.clip_detector import ClipDetector


@dataclass(frozen=True)
class ErrorSize(JsonRecord):
    """Median and largest error over clips."""

    median: float
    worst: float


@dataclass(frozen=True)
class PrecisionReport(JsonRecord):
    """Errors that rounding the tokens makes, against the same tokens in float32.

    Attributes:
        dtype: type that the tokens were rounded to.
        clips: clips that were measured.
        log_variance: absolute error, in nats.
        logit: absolute error.
        deviation: error of the frame embeddings' deviations from their clip's mean, relative (2-norm) to them.
        gradient: error of the logit's gradient with respect to every trained parameter, relative (2-norm) to it.
    """

    dtype: str
    clips: int
    log_variance: ErrorSize
    logit: ErrorSize
    deviation: ErrorSize
    gradient: ErrorSize

    @property
    def words(self) -> str:
        """The report in one sentence."""
        return (
            f"tokens stored as {self.dtype}, median and worst error over {self.clips} clips: "
            f"log-variance {self.log_variance.median:.2g} and {self.log_variance.worst:.2g} nats, "
            f"logit {self.logit.median:.2g} and {self.logit.worst:.2g}, "
            f"deviation between frames {self.deviation.median:.2%} and {self.deviation.worst:.2%}, "
            f"gradient {self.gradient.median:.2%} and {self.gradient.worst:.2%}"
        )


def precision_report(model: ClipDetector, clips: Iterable[Tensor], dtype: torch.dtype) -> PrecisionReport:
    """The errors that rounding each clip's tokens (T, L, D), float32, to ``dtype`` makes in the model's float32 output.

    Raises:
        ValueError: no clip.
    """
    errors = [_errors(_read_out(model, tokens), _read_out(model, tokens.to(dtype).float())) for tokens in clips]
    if not errors:
        raise ValueError("need the tokens of at least one clip to report a precision, got none")
    sizes = [ErrorSize(statistics.median(values), max(values)) for values in zip(*errors, strict=True)]
    return PrecisionReport(str(dtype).removeprefix("torch."), len(errors), *sizes)


class _ReadOut(NamedTuple):
    log_variance: Tensor  # ()
    logit: Tensor  # ()
    deviation: Tensor  # (T, D)
    gradient: Tensor  # (parameters,)


def _read_out(model: ClipDetector, tokens: Tensor) -> _ReadOut:
    device = model.encoder.mean.device
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.autocast(device.type, enabled=False):
        embeddings = model.encoder.suffix(tokens.to(device))  # (T, D)
        output = model.from_embeddings(embeddings.unsqueeze(0))
        gradients = torch.autograd.grad(output.logit.sum(), parameters, allow_unused=True)
    used = [gradient.flatten() for gradient in gradients if gradient is not None]
    deviation = (embeddings - embeddings.mean(0)).detach()
    return _ReadOut(output.log_variance[0].detach(), output.logit[0].detach(), deviation, torch.cat(used))


def _errors(exact: _ReadOut, rounded: _ReadOut) -> tuple[float, float, float, float]:
    return (
        float((rounded.log_variance - exact.log_variance).abs()),
        float((rounded.logit - exact.logit).abs()),
        _relative_error(rounded.deviation, exact.deviation),
        _relative_error(rounded.gradient, exact.gradient),
    )


def _relative_error(values: Tensor, exact: Tensor) -> float:
    error = (values - exact).norm()
    return float(error / exact.norm()) if error > 0 else 0.0
