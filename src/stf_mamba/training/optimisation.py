"""One optimiser step: parameter groups, rates, the loss, micro-batches, mixed precision, several processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stf_mamba.core import distributed
from stf_mamba.core.errors import DatasetError, RecipeError
from stf_mamba.core.recipe import PhaseRecipe, Recipe
from stf_mamba.core.records import FAKE, REAL
from stf_mamba.models.clip_detector import ClipDetector
from stf_mamba.models.heads import ClipOutput
from stf_mamba.training.items import ClipBatch


class StepResult(NamedTuple):
    """Mean loss of a global batch and norm of its gradient before clipping."""

    loss: float
    gradient_norm: float


class PhaseOptimiser:
    """AdamW over one phase of a recipe, which takes a step from a global batch that arrives in pieces.

    The loss is a sum over clips divided by the size of the global batch, so neither micro-batches nor processes change
    the result by more than the rounding of sums. That holds for models without batch statistics: vision transformers,
    and convolutional networks whose batch norms are all frozen.

    Args:
        class_weights: (2,) weights of real and fake clips in the loss.
        precision: of autocast, with a gradient scaler for float16; ``None`` for float32 throughout.
        from_tokens: batches hold the tokens of the frozen blocks instead of frames.

    Raises:
        RecipeError: a margin is asked for, and the head has no variance for it.
    """

    def __init__(
        self,
        model: ClipDetector,
        recipe: Recipe,
        phase: PhaseRecipe,
        class_weights: Tensor,
        device: torch.device,
        precision: torch.dtype | None,
        from_tokens: bool = False,
    ) -> None:
        require_margin_possible(model, recipe)
        model.encoder.train_encoder(phase.encoder_lr > 0)
        self.model, self.settings, self.device, self.precision = model, recipe.optimiser, device, precision
        self.class_weights = class_weights.to(device)
        self.forward = model.from_tokens if from_tokens else model
        self.adamw = torch.optim.AdamW(parameter_groups(model, phase, self.settings.weight_decay))
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)

    def step(self, pieces: Iterable[ClipBatch], batch_size: int, factor: float) -> StepResult:
        """Take one step.

        Args:
            pieces: micro-batches that make up this process's part of the global batch; may be none.
            batch_size: clips of the global batch, over all processes.
            factor: part of the full rates (``rate_factor``).

        Raises:
            FloatingPointError: the loss or the gradient is not finite; the weights are as before.
        """
        for group in self.adamw.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.model.zero_grad(set_to_none=True)  # also what an earlier phase left in parameters that are frozen now
        total = torch.zeros((), device=self.device)
        self.scaler.scale(total)  # sets the scaler up, also in a process without a clip
        for piece in pieces:
            loss = self._losses(piece).sum() / batch_size
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        distributed.add_up_gradients(self.model.parameters())
        mean_loss = distributed.add_up(float(total), self.device)
        if not math.isfinite(mean_loss):
            raise FloatingPointError(f"the loss is {mean_loss}")
        self.scaler.unscale_(self.adamw)
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip))
        if not self.scaler.is_enabled() and not math.isfinite(norm):  # a scaler skips such a step by itself
            raise FloatingPointError(f"the gradient's norm is {norm}")
        self.scaler.step(self.adamw)
        self.scaler.update()
        return StepResult(mean_loss, norm)

    def state_dict(self) -> dict[str, Any]:
        """Moments and loss scale: what continuing needs besides the model and the position."""
        return {"optimiser": self.adamw.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.adamw.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])

    def _losses(self, piece: ClipBatch) -> Tensor:
        """Weighted losses (B,) of a micro-batch."""
        inputs = piece.inputs.to(self.device, non_blocking=True)
        labels = piece.labels.to(self.device)
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision is not None):
            try:
                output = self.forward(inputs)
            except ValueError as error:  # the mixers refuse values that are not finite
                raise FloatingPointError(str(error)) from error
        assert isinstance(output, ClipOutput)
        losses = cross_entropy(output.logit, labels, self.settings.label_smoothing)
        if self.settings.margin > 0:
            head: Any = self.model.head
            standardised = (output.log_variance.float() - head.centre) / head.scale
            losses = losses + margin_hinge(standardised, labels, self.settings.margin)
        return self.class_weights[labels] * losses


@dataclass(frozen=True)
class RunningPhase:
    """A phase of a recipe while it trains.

    Attributes:
        number: from 0.
        first_epoch: of the training, from 0.
    """

    number: int
    recipe: PhaseRecipe
    first_epoch: int
    optimiser: PhaseOptimiser


def begin_phase(
    model: ClipDetector, recipe: Recipe, epoch: int, class_weights: Tensor, device: torch.device, from_tokens: bool
) -> RunningPhase:
    """The phase that an epoch belongs to, with a fresh optimiser; from now on the model trains as the phase says."""
    number, phase, first_epoch = phase_of(recipe, epoch)
    precision = autocast_dtype(device, recipe.optimiser.precision)
    optimiser = PhaseOptimiser(model, recipe, phase, class_weights, device, precision, from_tokens)
    return RunningPhase(number, phase, first_epoch, optimiser)


def parameter_groups(model: ClipDetector, phase: PhaseRecipe, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: encoder and the rest at their own rates, vectors (norms, biases, A, D, dt) without decay."""
    encoder = list(model.encoder.parameters())
    in_encoder = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in in_encoder]
    groups = []
    for parameters, rate in ((encoder, phase.encoder_lr), (rest, phase.head_lr)):
        for decayed in (True, False):
            chosen = [p for p in parameters if p.requires_grad and (p.ndim >= 2) == decayed]
            if chosen:
                decay = weight_decay if decayed else 0.0
                groups.append({"params": chosen, "lr": rate, "base_lr": rate, "weight_decay": decay})
    return groups


def rate_factor(step: int, warmup_steps: int, steps: int) -> float:
    """Part of the full rate at a step (from 0): linear up to 1 over the warm-up, then half a cosine down to 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


def phase_of(recipe: Recipe, epoch: int) -> tuple[int, PhaseRecipe, int]:
    """Number, recipe and first epoch of the phase that an epoch belongs to; the last phase beyond its end."""
    start = 0
    for number, phase in enumerate(recipe.phases):
        if epoch < start + phase.epochs or number == len(recipe.phases) - 1:
            return number, phase, start
        start += phase.epochs
    raise AssertionError("a recipe has at least one phase")


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross entropy (B,) in nats of logits and labels (B,), computed in float32.

    Args:
        smoothing: part of each label that is shared out evenly between both.
    """
    targets = labels.float() * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")


def margin_hinge(standardised: Tensor, labels: Tensor, margin: float) -> Tensor:
    """What each clip's standardised log-variance (B,) lacks of half the margin on its label's side of zero, (B,)."""
    side = torch.where(labels == FAKE, 1.0, -1.0)
    return F.relu(margin / 2 - side * standardised)


def class_weights_of(labels: Sequence[int], balance: bool) -> Tensor:
    """Weights (2,) of real and fake clips whose mean over the clips is 1; both 1 without ``balance``.

    Raises:
        DatasetError: one of the classes is missing.
    """
    counts = [labels.count(label) for label in (REAL, FAKE)]
    if 0 in counts:
        raise DatasetError(
            f"training clips are {counts[REAL]} real and {counts[FAKE]} fake; both classes are needed: "
            "check the data set's labels and what stf prepare could not analyse"
        )
    if not balance:
        return torch.ones(2)
    return torch.tensor([len(labels) / (2 * count) for count in counts])


def autocast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """bfloat16 or, where the device has none, float16 on CUDA; ``None`` (float32) elsewhere and when asked for."""
    if device.type != "cuda" or precision == "float32":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def require_margin_possible(model: ClipDetector, recipe: Recipe) -> None:
    """A margin on the log-variance needs a head that uses one.

    Raises:
        RecipeError: it does not.
    """
    if recipe.optimiser.margin > 0 and not model.head.uses_variance:
        raise RecipeError(
            f"optimiser.margin is {recipe.optimiser.margin}, and the head {recipe.head.kind!r} uses no variance; "
            'set it to 0, or take a head with a variance such as "variance"'
        )
