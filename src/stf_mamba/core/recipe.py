"""A training recipe: the one place of defaults. TOML in, resolved TOML out.

The defaults are V8.0 as the ablation report describes it (section 8.4); a recipe file lists its differences only.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from stf_mamba.core.checks import require
from stf_mamba.core.errors import RecipeError
from stf_mamba.core.files import read_text, write_text_atomically
from stf_mamba.core.records import JsonRecord


@dataclass(frozen=True)
class EncoderRecipe:
    """The frame encoder.

    Attributes:
        name: a key of ``models.encoders.registry.ENCODERS``.
        trainable_blocks: how many of the last blocks train, together with the final norm; 0 freezes everything.
        blocks: use only so many of the first blocks, with a norm of their own; ``None`` uses all.
        token: what a frame's embedding is: the class token, the mean of the patch tokens, both side by side, or the
            patches' means over the middle of the crop and over the ring around it (``zones``), or what tells these
            and the margin apart after every block of a frozen network (``relations``). ``stage_zones``, of SFace alone,
            are the zones after every stage.
        zoom: for ``relations``, the network sees the crop in zoom × zoom tiles of its own input size, enlarged to fill
            them; SFace sees it whole at zoom times its input size, with any token but ``cls``.
    """

    name: str = "dinov2_vitb14"
    trainable_blocks: int = 2
    blocks: int | None = None
    token: Literal["cls", "patches", "both", "zones", "stage_zones", "relations"] = "cls"
    zoom: int = 1

    def __post_init__(self) -> None:
        require(self.trainable_blocks >= 0, "encoder.trainable_blocks", self.trainable_blocks, "0 or more")
        require(self.blocks is None or self.blocks >= 1, "encoder.blocks", self.blocks, "1 or more, or left out")
        require(1 <= self.zoom <= 8, "encoder.zoom", self.zoom, "from 1 to 8")


@dataclass(frozen=True)
class TemporalRecipe:
    """What mixes the frames of a clip.

    Attributes:
        mixer: a key of ``models.mixers.registry.MIXERS``.
        layers: how many mixers follow each other. With 0 there is no projection either: the head reads the encoder's
            own embeddings (``mixer = "none"`` with 1 layer keeps the projection and mixes nothing).
        width: size of a frame's embedding after the projection.
    """

    mixer: str = "hydra"
    layers: int = 2
    width: int = 512

    def __post_init__(self) -> None:
        require(self.layers >= 0, "temporal.layers", self.layers, "0 or more")
        require(self.width >= 1, "temporal.width", self.width, "1 or more")


@dataclass(frozen=True)
class HeadRecipe:
    """What turns a clip's embeddings into a logit.

    Attributes:
        kind: a key of ``models.heads.HEADS``.
        epsilon: added to the variance before its logarithm: the variance of a clip of identical frames.
    """

    kind: str = "variance"
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        require(self.epsilon > 0, "head.epsilon", self.epsilon, "a positive number")


# The steps of augmentation, by how far their setting goes; 0 leaves a step out.
_STEPS_TO_1 = ("flip", "brightness", "contrast", "saturation", "rescale", "blur", "noise", "jpeg", "video_codec")
_STEPS_TO_HALF = ("shift", "zoom")


@dataclass(frozen=True)
class AugmentRecipe:
    """Clip-level augmentation: one draw per clip; the codec is real and comes last.

    Attributes:
        draws: ``clip`` flips, moves and colours every frame of a clip alike. ``frame`` draws these anew for each frame,
            as the ablation report's own training did: it writes temporal variance into real clips, and is here to show
            the difference that makes. What follows (scaling, blur, noise, JPEG, codec) is the same under both.
        flip: probability of a horizontal flip.
        brightness: largest relative change of brightness.
        contrast: largest relative change of contrast.
        saturation: largest relative change of saturation.
        shift: largest shift of the crop, as a part of its side.
        zoom: largest relative change of the crop's size.
        rescale: probability of scaling down and up again, to ``smallest_scale`` at least.
        blur: probability of a Gaussian blur, of ``largest_blur_px`` (standard deviation) at most.
        noise: probability of sensor noise, of ``largest_noise`` grey levels (standard deviation) at most; drawn anew
            for every frame, as a sensor does.
        jpeg: probability of JPEG on every frame, of quality ``jpeg_quality_min`` to 100.
        video_codec: probability of encoding the clip as a video, H.265 in ``h265`` of these cases, otherwise H.264, of
            a constant rate factor from ``crf_min`` to ``crf_max``. The encoder takes the clip for 25 frames a second,
            however far apart they are: what it saves between frames is truest for clips of consecutive ones.
    """

    draws: Literal["clip", "frame"] = "clip"
    flip: float = 0.5
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    rescale: float = 0.0
    smallest_scale: float = 0.4
    blur: float = 0.0
    largest_blur_px: float = 1.5
    noise: float = 0.0
    largest_noise: float = 6.0
    jpeg: float = 0.0
    jpeg_quality_min: int = 40
    video_codec: float = 0.0
    h265: float = 0.3
    crf_min: int = 18
    crf_max: int = 40

    def __post_init__(self) -> None:
        for name in (*_STEPS_TO_1, "h265"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"augment.{name}", value, "a number from 0 to 1")
        for name in _STEPS_TO_HALF:
            require(0 <= getattr(self, name) <= 0.5, f"augment.{name}", getattr(self, name), "a number from 0 to 0.5")
        require(0 < self.smallest_scale <= 1, "augment.smallest_scale", self.smallest_scale, "above 0, at most 1")
        for name in ("largest_blur_px", "largest_noise"):
            require(getattr(self, name) > 0, f"augment.{name}", getattr(self, name), "a positive number")
        require(1 <= self.jpeg_quality_min <= 100, "augment.jpeg_quality_min", self.jpeg_quality_min, "from 1 to 100")
        require(0 <= self.crf_min <= self.crf_max <= 51, "augment.crf_min", self.crf_min, "0 to crf_max, at most 51")

    @property
    def changes_nothing(self) -> bool:
        """Whether every step is set to 0, so that a clip leaves augmentation bit by bit as it came."""
        return not any(getattr(self, name) for name in (*_STEPS_TO_1, *_STEPS_TO_HALF))


@dataclass(frozen=True)
class PseudoFakeRecipe:
    """How fakes are made of real footage: one identity-like change per clip, and what varies from frame to frame.

    Amplitudes are relative to ``pseudofakes``' own unit amplitudes; 0 switches a component off.

    Attributes:
        crossed: part of the pseudo-fakes that blend another person's face in; the others blend the clip with itself.
        drift: slow, smooth change of the blended face's place, size and colour.
        jitter: independent displacement of the blended face in every frame.
        flicker: independent change of its brightness and colour in every frame.
        swim: movement of the blending boundary.
    """

    crossed: float = 0.25
    drift: float = 1.0
    jitter: float = 1.0
    flicker: float = 1.0
    swim: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.crossed <= 1, "pseudofakes.crossed", self.crossed, "a number from 0 to 1")
        for name in ("drift", "jitter", "flicker", "swim"):
            require(getattr(self, name) >= 0, f"pseudofakes.{name}", getattr(self, name), "0 or more")


@dataclass(frozen=True)
class DataRecipe:
    """Which clips train.

    Attributes:
        frames: frames of a clip that the model sees; a stored clip with more is thinned evenly.
        tracks: ``main`` trains on the face of each manipulated video that was changed, as its manifest has it, and on
            the most prominent one of the others, because a bystander in a manipulated video is real under a fake
            label; ``all`` trains on every face. Evaluation always looks at every face.
        fakes: train on the data set's manipulated clips, on one pseudo-fake of every real clip, or on both.
        validation: ``part`` sets a part of the videos aside, which chooses the epoch and calibrates the score.
            ``folds`` lets every video train: each is scored once by a model that saw nobody in it, these scores
            calibrate, and the last epoch of a training on all of them is kept (``training.out_of_fold``). It takes as
            many trainings as there are folds, and one more.
        validation_fraction: that part when no split is given, or the size of a fold.
        batch_size: clips of one optimisation step, over all processes together.
        micro_batch: clips that pass the model at once, in one process; their gradients add up to the step's.
            ``None`` passes the whole batch.
        balance: weigh the two classes equally in the loss, whatever their counts.
        views: so many augmented versions of each clip, taken in turn by the epochs; ``None`` draws a new one in every
            epoch. A cache of the frozen blocks needs a number.
    """

    frames: int = 32
    tracks: Literal["main", "all"] = "main"
    fakes: Literal["real", "pseudo", "both"] = "real"
    validation: Literal["part", "folds"] = "part"
    validation_fraction: float = 0.2
    batch_size: int = 8
    micro_batch: int | None = None
    balance: bool = True
    views: int | None = None

    def __post_init__(self) -> None:
        require(self.frames >= 2, "data.frames", self.frames, "2 or more")
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "1 or more")
        for name in ("micro_batch", "views"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"data.{name}", value, "1 or more, or left out")
        require(
            0 < self.validation_fraction < 1, "data.validation_fraction", self.validation_fraction, "between 0 and 1"
        )

    @property
    def folds(self) -> int:
        """How many folds of about ``validation_fraction`` there are; two at least."""
        return folds_of_about(self.validation_fraction)


def folds_of_about(fraction: float) -> int:
    """How many folds of about this part of the videos there are; two at least."""
    return max(2, round(1 / fraction))


@dataclass(frozen=True)
class PhaseRecipe:
    """A stretch of epochs with its own rates and its own warm-up and cosine.

    Attributes:
        epochs: length of the phase.
        warmup_epochs: epochs over which the rates rise linearly before the cosine lets them fall.
        encoder_lr: rate of the encoder's trainable blocks; 0 keeps the encoder frozen for the phase.
        head_lr: rate of projection, mixers and head.
    """

    epochs: int = 25
    warmup_epochs: int = 3
    encoder_lr: float = 5e-6
    head_lr: float = 1e-4

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "phases.epochs", self.epochs, "1 or more")
        require(
            0 <= self.warmup_epochs <= self.epochs,
            "phases.warmup_epochs",
            self.warmup_epochs,
            "0 to the phase's epochs",
        )
        require(self.encoder_lr >= 0, "phases.encoder_lr", self.encoder_lr, "0 or more")
        require(self.head_lr >= 0, "phases.head_lr", self.head_lr, "0 or more")


@dataclass(frozen=True)
class OptimiserRecipe:
    """AdamW and what stands around it.

    Attributes:
        weight_decay: on matrices; vectors (norms, biases, state-space parameters) are not decayed.
        gradient_clip: largest norm of the whole gradient.
        label_smoothing: moved from each label to the other; 0 as in the report.
        margin: wanted gap of the standardised log-variance between fake and real clips; what is missing of its half on
            either side of the centre is added to the loss. 0 for none.
        precision: ``auto`` is bfloat16 (float16 where the device has no bfloat16) autocast on CUDA, float32 on CPU.
    """

    weight_decay: float = 1e-4
    gradient_clip: float = 1.0
    label_smoothing: float = 0.0
    margin: float = 0.0
    precision: Literal["auto", "float32"] = "auto"

    def __post_init__(self) -> None:
        require(self.weight_decay >= 0, "optimiser.weight_decay", self.weight_decay, "0 or more")
        require(self.gradient_clip > 0, "optimiser.gradient_clip", self.gradient_clip, "a positive number")
        require(0 <= self.label_smoothing < 1, "optimiser.label_smoothing", self.label_smoothing, "from 0 to below 1")
        require(self.margin >= 0, "optimiser.margin", self.margin, "0 or more")


@dataclass(frozen=True)
class Recipe(JsonRecord):
    """Everything that decides what a training run computes, except its data and initial weights.

    Attributes:
        name: what the run is called in tables.
        question: the question that the row answers.
        seed: root of every draw of the run.
    """

    name: str = "v8"
    question: str = ""
    seed: int = 42
    encoder: EncoderRecipe = field(default_factory=EncoderRecipe)
    temporal: TemporalRecipe = field(default_factory=TemporalRecipe)
    head: HeadRecipe = field(default_factory=HeadRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    pseudofakes: PseudoFakeRecipe = field(default_factory=PseudoFakeRecipe)
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    phases: tuple[PhaseRecipe, ...] = field(default_factory=lambda: (PhaseRecipe(),))

    def __post_init__(self) -> None:
        require(len(self.phases) >= 1, "phases", self.phases, "at least one phase")

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def trains_as_stored(self) -> bool:
        """Whether training shows every clip as it is stored, in whichever view: no pseudo-fakes, nothing augmented."""
        return self.data.fakes == "real" and self.augment.changes_nothing

    @property
    def versions(self) -> int | None:
        """How many versions of a clip its views are: the number of views or, where they are all alike, one; ``None``
        for a new one in every epoch."""
        return 1 if self.trains_as_stored else self.data.views

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The recipe of a TOML file, defaults filled in.

        Raises:
            RecipeError: unreadable file, not TOML, an unknown key (with the nearest known one), a value out of range.

        Example:
            >>> import stf_mamba as stf
            >>> recipe = stf.Recipe.load("recipes/v8.toml")  # doctest: +SKIP
            >>> recipe.encoder.name, recipe.epochs  # doctest: +SKIP
            ('dinov2_vitb14', 25)
        """
        next_step = "give the path of a .toml file, such as one of those in recipes/"
        try:
            table = tomllib.loads(read_text(path, RecipeError, next_step))
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{path} is no TOML recipe ({error}); {next_step}") from error
        return cls.from_table(table, source=str(path))

    @classmethod
    def from_table(cls, table: dict[str, Any], source: str = "the recipe") -> Self:
        """The recipe of a parsed TOML table.

        Raises:
            RecipeError: as ``load``.
        """
        from pydantic import ValidationError

        try:
            return cls.from_json(table)
        except ValidationError as error:
            problems = "; ".join(_explain(problem) for problem in error.errors())
            raise RecipeError(f"{source}: {problems}") from None

    def to_toml(self) -> str:
        """The resolved recipe: every key, also those left at their defaults; TOML knows no ``None``, it is left out."""
        import tomli_w

        return tomli_w.dumps(_without_none(self.to_json()))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the resolved recipe as TOML, whole or not at all. Returns its path."""
        return write_text_atomically(path, self.to_toml())


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    """The table without its empty values, inner tables included. Lists (of phases) hold none."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }


def _explain(problem: Any) -> str:
    """One pydantic problem in words, with the nearest known key where a key is unknown."""
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        near = difflib.get_close_matches(where, _known_keys(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known at this level: {', '.join(_siblings(where))}"
        return f"unknown key {where!r}; {hint}"
    if problem["type"] == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {problem['msg']} (got {problem['input']!r})"


def _siblings(where: str) -> list[str]:
    parent = where.rpartition(".")[0]
    return [key for key in _known_keys() if key.rpartition(".")[0] == parent]


def _known_keys() -> list[str]:
    keys = []
    for name, value in Recipe().to_json().items():
        keys.append(name)
        inner = value[0] if name == "phases" else value
        if isinstance(inner, dict):
            prefix = "phases.0" if name == "phases" else name
            keys += [f"{prefix}.{key}" for key in inner]
    return keys
