"""The model: encoder → projection → temporal mixers → head, assembled from a recipe."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stf_mamba.core.errors import RecipeError
from stf_mamba.core.recipe import Recipe
from stf_mamba.models.encoders.frame_encoder import FrameEncoder
from stf_mamba.models.encoders.registry import build_encoder
from stf_mamba.models.heads import HEADS, ClipHead, ClipOutput, LinearHead, StandardisedContentHead, masked_mean
from stf_mamba.models.mixers.registry import MIXERS, NoMixer, build_mixer
from stf_mamba.models.mixers.sequence import checked_sequence


class ClipDetector(nn.Module):
    """Scores clips of face crops.

    ``frames (B, T, 3, 224, 224)`` → encoder ``(B, T, D)`` → ``Linear`` + ``LayerNorm`` ``(B, T, W)`` → mixers
    ``(B, T, W)`` → head. A frame-level model has neither projection nor mixers: its head reads the encoder's
    embeddings. Source: ablation report, section 8.4.
    """

    def __init__(self, encoder: FrameEncoder, projection: nn.Module, temporal: TemporalStack, head: ClipHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = projection
        self.temporal = temporal
        self.head = head

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for B clips.

        Args:
            frames: (B, T, 3, H, W) RGB, uint8 or floats in [0, 1].
            mask: (B, T), true where a frame is valid; ``None`` for all.

        Raises:
            ValueError: wrong rank, no frame, or a clip without a valid frame.
        """
        return self.from_embeddings(self.embeddings(frames, mask), mask)

    def from_tokens(self, tokens: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for what the encoder's ``prefix`` made of each frame, (B, T, ...): everything that trains.

        Raises:
            ValueError: a clip without a valid frame.
        """
        return self.from_embeddings(self.embeddings_of_tokens(tokens, mask), mask)

    def from_embeddings(self, embeddings: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for frame embeddings (B, T, D): everything after the encoder."""
        return self.judged(self.mixed(embeddings, mask), mask)

    def judged(self, mixed: Tensor, mask: Tensor | None = None) -> ClipOutput:
        """The output for what the head reads (B, T, W), as ``mixed`` returns it."""
        output = self.head(mixed, mask)
        assert isinstance(output, ClipOutput)
        return output

    def embeddings(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frame embeddings (B, T, D) of clips, as ``forward`` takes them.

        Raises:
            ValueError: as ``forward``.
        """
        if frames.ndim != 5 or frames.shape[2] != 3 or frames.shape[1] == 0:
            raise ValueError(f"frames must be (B, T, 3, H, W) with T of at least 1, got {tuple(frames.shape)}")
        _require_valid_frames(mask, frames.shape[:2])
        return torch.unflatten(self.encoder(frames.flatten(0, 1)), 0, frames.shape[:2])

    def embeddings_of_tokens(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frame embeddings (B, T, D) of tokens, as ``from_tokens`` takes them.

        Raises:
            ValueError: a clip without a valid frame.
        """
        _require_valid_frames(mask, tokens.shape[:2])
        return torch.unflatten(self.encoder.suffix(tokens.flatten(0, 1)), 0, tokens.shape[:2])

    def mixed(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the head reads (B, T, W) of frame embeddings (B, T, D)."""
        mixed = self.temporal(self.projection(embeddings), mask)
        assert isinstance(mixed, Tensor)
        return mixed

    def evidence(self, mixed: Tensor) -> ClipEvidence:
        """What stands behind the logits of clips whose every frame is valid, from what the head reads (B, T, W)."""
        relations = None
        if self.reads_relations:
            assert isinstance(self.head, LinearHead)
            relations = self.encoder.by_relation(self.head.terms(mixed).mean(1))
        return ClipEvidence(None if self.temporal.mixes_frames else self.head.frame_logits(mixed), relations)

    @property
    def reads_relations(self) -> bool:
        """Whether the logit is a sum over what the encoder compares within a picture, each against the average training
        clip, and a constant: that clip's logit."""
        is_direct = isinstance(self.projection, nn.Identity) and not self.temporal.mixes_frames
        return is_direct and bool(self.encoder.relations) and isinstance(self.head, StandardisedContentHead)


class ClipEvidence(NamedTuple):
    """What stands behind the logits of B clips of T frames.

    Attributes:
        frame_logits: (B, T) as ``ClipHead.frame_logits``; ``None`` too where a mixer has passed on to each frame what
            the others show.
        relations: (B, R) what each comparison within the picture adds to the logit of the average training clip;
            ``None`` where the model does not read such comparisons alone.
    """

    frame_logits: Tensor | None
    relations: Tensor | None


class TemporalStack(nn.Module):
    """Mixers that follow each other, each adding what it makes of the frames' *deviations* from the clip's mean.

    A mixer has edges: its convolution and both scans see fewer neighbours near the ends of a clip, so equal frames
    would come out unequal and a still picture would look inconsistent. The deviation of equal frames is zero, and a
    gated mixer without input biases (Hydra, Mamba) maps zero to zero; so a still picture keeps zero variance, and small
    deviations stay small. The choice is ours; the report does not say what surrounds its mixers.
    """

    def __init__(self, mixers: list[nn.Module]) -> None:
        super().__init__()
        self.mixers = nn.ModuleList(mixers)

    @property
    def mixes_frames(self) -> bool:
        """Whether a frame's embedding afterwards depends on the other frames."""
        return any(not isinstance(mixer, NoMixer) for mixer in self.mixers)

    def forward(self, embeddings: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embeddings (B, T, W) after every mixer.

        Raises:
            ValueError: what ``checked_sequence`` refuses, also where there is no mixer.
        """
        if not self.mixers:
            return checked_sequence(embeddings, mask, embeddings.shape[-1])
        for mixer in self.mixers:
            deviation = embeddings - masked_mean(embeddings, mask)
            if mask is not None:
                deviation = deviation * mask.unsqueeze(-1)
            embeddings = embeddings + mixer(deviation, mask)
        return embeddings


def build_detector(recipe: Recipe) -> ClipDetector:
    """The untrained model that a recipe describes; draws its initial values from ``recipe.seed`` alone.

    With ``temporal.layers = 0`` it is frame-level: no projection, ``temporal.width`` has no part in it. The mixer
    ``none`` in one layer or more keeps the projection: the row that differs from a mixing model by the mixing alone.

    Raises:
        RecipeError: an encoder, mixer or head that does not exist, or more trainable blocks than there are.
    """
    if recipe.temporal.mixer not in MIXERS:
        raise RecipeError(f"temporal.mixer is {recipe.temporal.mixer!r}, expected one of {', '.join(MIXERS)}")
    if recipe.head.kind not in HEADS:
        raise RecipeError(f"head.kind is {recipe.head.kind!r}, expected one of {', '.join(HEADS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            encoder = build_encoder(recipe.encoder)
        except ValueError as error:
            raise RecipeError(f"encoder: {error}") from None
        if recipe.temporal.layers == 0:
            head = HEADS[recipe.head.kind](encoder.width, recipe.head.epsilon)
            return ClipDetector(encoder, nn.Identity(), TemporalStack([]), head)
        width = recipe.temporal.width
        projection = nn.Sequential(nn.Linear(encoder.width, width), nn.LayerNorm(width))
        try:
            mixers = [build_mixer(recipe.temporal.mixer, width) for _ in range(recipe.temporal.layers)]
        except ValueError as error:
            raise RecipeError(f"temporal: {error}") from None
        head = HEADS[recipe.head.kind](width, recipe.head.epsilon)
    return ClipDetector(encoder, projection, TemporalStack(mixers), head)


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """All parameters of a module, and those that train."""
    parameters = list(module.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def _require_valid_frames(mask: Tensor | None, shape: torch.Size) -> None:
    if mask is not None and (mask.shape != shape or not bool(mask.any(1).all())):
        raise ValueError(f"mask must be {tuple(shape)} with a valid frame in every clip, got {tuple(mask.shape)}")
