"""Numbers that others have published, and those of the ablation report: reported, never measured here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportedRow:
    """What the ablation report says of one of its configurations.

    Attributes:
        in_domain, cross: AUC on FaceForensics++ at CRF 23 and on Celeb-DF v2; ``None`` where the report has none.
        parameters_m, trainable_m: millions of parameters; ``None`` where the report gives none.
        pretraining, finding: in the report's words.
        source: where it is written.
    """

    in_domain: float | None
    cross: float | None
    parameters_m: float | None
    trainable_m: float | None
    pretraining: str | None
    finding: str
    source: str


@dataclass(frozen=True)
class ReportedSignal:
    """What the ablation report says of one signal over its four manipulation methods.

    Attributes:
        label: its name in the report.
        p_low, p_high: smallest and largest p-value, not corrected for several tests.
        effect_low, effect_high: smallest and largest effect size, of the report's own kind.
    """

    label: str
    p_low: float
    p_high: float
    effect_low: float
    effect_high: float
    conclusion: str
    source: str


@dataclass(frozen=True)
class PublishedLevel:
    """One published AUC on Celeb-DF v2 with what is known of how it was taken."""

    auc: float
    protocol: str


@dataclass(frozen=True)
class PublishedResult:
    """A published detector, or a target, on Celeb-DF v2.

    Attributes:
        cross: AUC on Celeb-DF v2; of a target, the least that it asks for.
        accuracy: on FaceForensics++, where one was published in place of an AUC.
        levels: further published values of the same detector on the same test set.
    """

    label: str
    backbone: str
    temporal: str
    cross: float
    accuracy: float | None
    note: str
    source: str
    levels: tuple[PublishedLevel, ...] = ()


_TABLE_7 = "ablation report, section 7"
_SETUP_4 = "ablation report, sections 4.2 and 7"
_SUPERVISED = "ImageNet-1K supervised"

REPORTED_ROWS: dict[str, ReportedRow] = {
    "frame-efficientnet-b0": ReportedRow(0.6804, 0.6193, 5.3, 5.3, _SUPERVISED, "Honest supervised baseline", _SETUP_4),
    "frame-efficientnet-b4": ReportedRow(0.5493, 0.5263, 19.3, 19.3, _SUPERVISED, "More capacity → overfits", _SETUP_4),
    "frame-resnet50": ReportedRow(
        0.6957, 0.6070, 25.6, 25.6, "ImageNet-1K V2 supervised", "Standard ImageNet baseline", _SETUP_4
    ),
    "frame-xception": ReportedRow(0.6086, 0.6131, 22.9, 22.9, _SUPERVISED, "Deepfake detection standard", _SETUP_4),
    "frame-dinov2": ReportedRow(
        0.7872, 0.6557, 86.8, 14.4, "LVD-142M self-supervised", "SSL features survive CRF 23", _SETUP_4
    ),
    "bigru-efficientnet-b0": ReportedRow(
        0.6729, 0.6325, None, None, None, "Marginal gain, inconsistent", "ablation report, sections 5.3 and 7"
    ),
}

# Best validation AUC of the bidirectional GRU with a frozen backbone, and that of the first epoch with a free one.
REPORTED_PHASE_1_BEST, REPORTED_PHASE_2_FIRST = 0.576, 0.611
REPORTED_PHASES_SOURCE = "ablation report, section 5.4"

_SIGNALS_3 = "ablation report, section 3.3"

REPORTED_SIGNALS: dict[str, ReportedSignal] = {
    "wavelet": ReportedSignal(
        "HLL Wavelet Flicker", 0.64, 0.80, 0.02, 0.10, "FAILS — signal inverted under CRF 23", _SIGNALS_3
    ),
    "srm": ReportedSignal(
        "SRM Noise Sharpness", 0.78, 1.00, 0.003, 0.056, "FAILS — compression uniform noise", _SIGNALS_3
    ),
    "chromatic": ReportedSignal(
        "Chromatic Autocorr.", 0.68, 0.84, 0.021, 0.121, "FAILS — generator fingerprint lost", _SIGNALS_3
    ),
    "color": ReportedSignal(
        "Color Wasserstein", 0.69, 1.00, 0.012, 0.094, "FAILS — color grading indistinguishable", _SIGNALS_3
    ),
    "flow": ReportedSignal(
        "Optical Flow Disc.", 0.52, 0.76, 0.115, 0.318, "FAILS — natural motion masks artifact", _SIGNALS_3
    ),
}

PUBLISHED: dict[str, PublishedResult] = {
    "gattu": PublishedResult(
        label="Gattu et al. 2025",
        backbone="EfficientNet-B0 + Mamba",
        temporal="Mamba",
        cross=0.821,
        accuracy=0.9885,
        note="98.85 % on FaceForensics++ is an accuracy, not an AUC: the two are not comparable",
        source=_TABLE_7,
    ),
    "sbi": PublishedResult(
        label="SBI (Shiohara and Yamasaki 2022)",
        backbone="EfficientNet-B4 AdvProp",
        temporal="none",
        cross=0.9382,
        accuracy=None,
        note="the same detector is published at 0.813, 0.886, 0.929 and 0.938 on the same test set",
        source=_TABLE_7,
        levels=(
            PublishedLevel(0.813, "frame level"),
            PublishedLevel(0.886, "level and training footage not stated"),
            PublishedLevel(0.929, "video level, trained on c23"),
            PublishedLevel(0.938, "video level, trained on raw footage"),
        ),
    ),
    "target": PublishedResult(
        label="V8.0 target",
        backbone="DINOv2 + Hydra-Mamba",
        temporal="Hydra",
        cross=0.90,
        accuracy=None,
        note="a target of at least 0.90, which nobody has measured",
        source=_TABLE_7,
    ),
}

# What the ablation report says twice and differently, or wrongly.
REPORTED_INCONSISTENCIES: tuple[str, ...] = (
    "The report gives DINOv2's trainable parameters as 14.4 M (section 4.2) and as 7.0 M (section 6.2); blocks 10 and "
    "11 hold 14.2 M. The measured column is counted from the model.",
    "The report's key numbers and gap analysis name ResNet-50 (0.6070) as the best supervised CNN on Celeb-DF; by its "
    "own complete table it is EfficientNet-B0 (0.6193).",
    "The report puts DINOv2 0.043 above the best supervised CNN on Celeb-DF; by its own complete table the difference "
    "to EfficientNet-B0 is 0.0364.",
    "The report calls ResNet-50's gap (0.089) the largest of all models; by its own complete table DINOv2's is 0.1315.",
    "The report calls Xception the weakest supervised CNN; by its own complete table it is EfficientNet-B4.",
    "Gattu's 98.85 % on FaceForensics++ is an accuracy and stands in the report's AUC column.",
)
