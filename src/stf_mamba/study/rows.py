"""The rows of the study: which recipe answers which question of which experiment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from stf_mamba.core.errors import UsageError
from stf_mamba.core.recipe import Recipe

# How an encoder was pretrained, in the words of the report's tables.
Backbone = Literal["supervised CNN", "self-supervised ViT"]


@dataclass(frozen=True)
class StudyRow:
    """One configuration: a recipe and its place in the study.

    Attributes:
        key: its name in commands and folders, and of its file in ``recipes/``.
        experiment: 2 to 5, as in the report; 5 holds V8.0, what the report lists next, and the baselines.
        label: its name in tables and figures.
        backbone: what kind of encoder it is meant to have.
        varies: the setting in which it differs from V8.0, such as ``sequence length``; ``None`` for rows of their own.
        value: that setting's value in words.
        published: key of the publication in ``published.PUBLISHED`` whose shape it has, if any.
    """

    key: str
    experiment: int
    label: str
    backbone: Backbone
    varies: str | None = None
    value: str | None = None
    published: str | None = None

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe as shipped, for the full budget."""
        return Recipe.load(recipes_folder() / f"{self.key}.toml")

    @property
    def question(self) -> str:
        """The question that the row answers."""
        return self.recipe.question

    @property
    def is_frame_level(self) -> bool:
        """Whether every frame is judged by itself."""
        return self.recipe.head.kind == "frame_mean" and self.recipe.temporal.layers == 0

    @property
    def temporal(self) -> str:
        """What mixes the frames, in words."""
        mixer, layers = self.recipe.temporal.mixer, self.recipe.temporal.layers
        if layers == 0 or mixer == "none":
            return "none"
        return MIXER_WORDS[mixer] if layers == 1 else f"{MIXER_WORDS[mixer]} × {layers}"


MIXER_WORDS = {
    "hydra": "Hydra",
    "bimamba": "two Mambas, summed",
    "mamba": "Mamba, one direction",
    "gru": "bidirectional GRU",
    "transformer": "transformer",
}

CNN: Backbone = "supervised CNN"
VIT: Backbone = "self-supervised ViT"
BASELINE, REFERENCE = "frame-efficientnet-b0", "v8"

_ROWS = (
    StudyRow("frame-efficientnet-b0", 2, "EfficientNet-B0 frame-level", CNN),
    StudyRow("frame-efficientnet-b4", 2, "EfficientNet-B4 frame-level", CNN),
    StudyRow("frame-resnet50", 2, "ResNet-50 frame-level", CNN),
    StudyRow("frame-xception", 2, "Xception frame-level", CNN),
    StudyRow("frame-dinov2", 2, "DINOv2-ViT-B/14 frame-level", VIT),
    StudyRow("bigru-efficientnet-b0", 3, "B0 + bidirectional GRU", CNN),
    StudyRow("v8", 5, "V8.0: DINOv2 + Hydra × 2 + variance", VIT),
    StudyRow("v8-frames-8", 5, "V8.0, 8 frames", VIT, "sequence length", "8 frames"),
    StudyRow("v8-frames-16", 5, "V8.0, 16 frames", VIT, "sequence length", "16 frames"),
    StudyRow("v8-frames-64", 5, "V8.0, 64 frames", VIT, "sequence length", "64 frames"),
    StudyRow("v8-layers-0", 5, "V8.0, no mixer, no projection", VIT, "mixer layers", "0"),
    StudyRow("v8-layers-1", 5, "V8.0, Hydra × 1", VIT, "mixer layers", "1"),
    StudyRow("v8-layers-4", 5, "V8.0, Hydra × 4", VIT, "mixer layers", "4"),
    StudyRow("v8-mixer-none", 5, "V8.0, projection, no mixer", VIT, "mixer", "none"),
    StudyRow("v8-mixer-bimamba", 5, "V8.0, two Mambas summed × 2", VIT, "mixer", "bimamba"),
    StudyRow("v8-mixer-mamba", 5, "V8.0, one-directional Mamba × 2", VIT, "mixer", "mamba"),
    StudyRow("v8-mixer-gru", 5, "V8.0, bidirectional GRU × 2", VIT, "mixer", "gru"),
    StudyRow("v8-mixer-transformer", 5, "V8.0, transformer × 2", VIT, "mixer", "transformer"),
    StudyRow("v8-head-variance-content", 5, "V8.0, variance + content", VIT, "head", "variance + content"),
    StudyRow("v8-head-content", 5, "V8.0, content head", VIT, "head", "content"),
    StudyRow("v8-head-frame-mean", 5, "V8.0, frame mean", VIT, "head", "frame mean"),
    StudyRow("v8-token-patches", 5, "V8.0, patch tokens", VIT, "token", "patches"),
    StudyRow("v8-token-zones", 5, "V8.0, middle and ring of the crop", VIT, "token", "zones"),
    StudyRow("v8-block-4", 5, "V8.0 after block 4", VIT, "encoder layer", "block 4"),
    StudyRow("v8-block-8", 5, "V8.0 after block 8", VIT, "encoder layer", "block 8"),
    StudyRow("v8-middle", 5, "V8.0 after block 4, zones, content", VIT, "best found", "block 4, zones, content"),
    StudyRow("v8-relations", 5, "Relations within enlarged frames, content", VIT, "best found", "relations, zoom 4"),
    StudyRow("v8-trained-0", 5, "V8.0, frozen encoder", VIT, "fine-tuned blocks", "0"),
    StudyRow("v8-trained-4", 5, "V8.0, 4 fine-tuned blocks", VIT, "fine-tuned blocks", "4"),
    StudyRow("gattu", 5, "Gattu's shape: B0 + one-directional Mamba", CNN, published="gattu"),
    StudyRow("sbi", 5, "SBI's shape: B4, self-blended training", CNN, published="sbi"),
)
ROWS: dict[str, StudyRow] = {row.key: row for row in _ROWS}

# Experiment 1 is no training: it has a key of its own beside the rows.
SIGNALS_KEY = "signals"
COMPRESSION_KEY = "signals-compression"
KEYS = (SIGNALS_KEY, COMPRESSION_KEY, *ROWS)

# V8.0's own value of each setting that other rows vary.
REFERENCE_VALUES = {
    "sequence length": "32 frames",
    "mixer layers": "2",
    "mixer": "hydra",
    "head": "variance",
    "token": "class token",
    "encoder layer": "last block",
    "fine-tuned blocks": "2",
}


def chosen_keys(only: str | None) -> tuple[str, ...]:
    """The keys that a comma-separated choice names, in the study's order; a trailing ``*`` takes every key so begun.

    Raises:
        UsageError: a name that fits no key.
    """
    if only is None:
        return KEYS
    chosen = set()
    for name in (part.strip() for part in only.split(",")):
        fitting = [key for key in KEYS if key == name or (name.endswith("*") and key.startswith(name[:-1]))]
        if not fitting:
            raise UsageError(f"no row {name!r} in the study; rows are {', '.join(KEYS)} (a trailing * takes several)")
        chosen.update(fitting)
    return tuple(key for key in KEYS if key in chosen)


def recipes_folder() -> Path:
    """Where the shipped recipes lie: inside an installed package, or beside the sources of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parents[1] / "recipes"
