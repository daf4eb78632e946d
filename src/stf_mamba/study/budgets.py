"""How much of a row is run: the full recipe, a small one for two cores, or the miniature's; and with which encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stf_mamba.core.errors import UsageError
from stf_mamba.core.recipe import DataRecipe, EncoderRecipe, PhaseRecipe, Recipe
from stf_mamba.models.encoders.cnn import CNN_ENCODERS
from stf_mamba.models.encoders.registry import ENCODERS
from stf_mamba.models.encoders.sface import SFACE_ENCODERS, STAGES
from stf_mamba.models.encoders.vit import VIT_ENCODERS
from stf_mamba.study.rows import StudyRow


@dataclass(frozen=True)
class Budget:
    """What a budget takes from every row alike. ``None`` leaves the recipe's own.

    Attributes:
        epochs: of all phases together, at most; phases keep their shares.
        rate_factor: on every learning rate; fewer and smaller steps need larger ones.
        width: of the projection, at most.
        batch_size: clips a step, at most.
        frames: of a clip, at most; rows that vary the sequence length keep theirs.
        views: augmented versions of a clip, so that frozen blocks can be cached.
        trainable_blocks: of the encoder, at most; rows that vary it keep theirs.
        stand_ins: encoder to run, by the encoder that is meant.
    """

    name: str
    epochs: int | None = None
    rate_factor: float = 1.0
    width: int | None = None
    batch_size: int | None = None
    frames: int | None = None
    views: int | None = None
    trainable_blocks: int | None = None
    stand_ins: dict[str, str] = field(default_factory=dict)


_DRAWN = {
    "dinov2_vitb14": "vit_miniature",
    **dict.fromkeys(("efficientnet_b0", "efficientnet_b4", "efficientnet_b4_sbi"), "cnn_miniature"),
    **dict.fromkeys(("resnet50", "xception"), "cnn_miniature"),
}
BUDGETS = {
    "miniature": Budget("miniature", 3, 20.0, 64, 4, 16, None, None, _DRAWN),
    "small": Budget("small", 12, 10.0, 192, 8, None, 2, 2),
    "full": Budget("full"),
}


def planned_recipe(row: StudyRow, budget: Budget, stand_ins: Mapping[str, str], recipe: Recipe | None = None) -> Recipe:
    """The row's recipe as this budget runs it.

    Args:
        stand_ins: beside the budget's own, which they override.
        recipe: in the place of the row's own, where a protocol changes it first.

    Raises:
        UsageError: a stand-in that is no encoder, or one without tokens for a row that chooses among them.
    """
    planned = recipe or row.recipe
    encoder = _encoder(row, planned.encoder, budget, {**budget.stand_ins, **stand_ins})
    return replace(
        planned,
        encoder=encoder,
        temporal=replace(planned.temporal, width=_at_most(planned.temporal.width, budget.width)),
        data=_data(row, planned.data, budget),
        phases=_phases(planned.phases, budget, frozen=encoder.trainable_blocks == 0),
    )


def block_count(encoder: str) -> int:
    """Blocks of a transformer, stages of a convolutional network."""
    if encoder in SFACE_ENCODERS:
        return len(STAGES)
    return VIT_ENCODERS[encoder].blocks if encoder in VIT_ENCODERS else len(CNN_ENCODERS[encoder].stages)


def _encoder(row: StudyRow, meant: EncoderRecipe, budget: Budget, stand_ins: Mapping[str, str]) -> EncoderRecipe:
    name = stand_ins.get(meant.name, meant.name)
    if name not in ENCODERS:
        raise UsageError(f"--stand-in {meant.name}={name}: {name} is no encoder; expected one of {', '.join(ENCODERS)}")
    if name not in VIT_ENCODERS and (meant.blocks is not None or meant.token != "cls"):
        raise UsageError(f"{row.key} chooses among a transformer's tokens and blocks; {name} has none to stand in with")
    available = block_count(name)
    blocks = meant.blocks
    if blocks is not None and name != meant.name:
        blocks = max(1, round(blocks * available / block_count(meant.name)))
    trainable = meant.trainable_blocks
    if row.varies != "fine-tuned blocks":
        trainable = _at_most(trainable, budget.trainable_blocks)
    return replace(meant, name=name, blocks=blocks, trainable_blocks=min(trainable, blocks or available))


def _data(row: StudyRow, data: DataRecipe, budget: Budget) -> DataRecipe:
    frames = data.frames if row.varies == "sequence length" else _at_most(data.frames, budget.frames)
    batch_size = _at_most(data.batch_size, budget.batch_size)
    # Every row chooses its epoch and its threshold the same way, on a validation part.
    return replace(data, frames=frames, batch_size=batch_size, views=data.views or budget.views, validation="part")


def _phases(phases: tuple[PhaseRecipe, ...], budget: Budget, frozen: bool) -> tuple[PhaseRecipe, ...]:
    total = sum(phase.epochs for phase in phases)
    share = 1.0 if budget.epochs is None else min(1.0, budget.epochs / total)
    planned = []
    for phase in phases:
        epochs = max(1, round(phase.epochs * share))
        warmup = min(phase.warmup_epochs, max(0, epochs - 1)) if share == 1 else min(1, epochs - 1)
        encoder_lr = 0.0 if frozen else phase.encoder_lr * budget.rate_factor
        planned.append(PhaseRecipe(epochs, warmup, encoder_lr, phase.head_lr * budget.rate_factor))
    return tuple(planned)


def _at_most(value: int, limit: int | None) -> int:
    return value if limit is None else min(value, limit)
