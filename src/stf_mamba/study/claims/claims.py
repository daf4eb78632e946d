"""The ablation report's claims, each with a verdict computed from a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stf_mamba.core.records import JsonRecord
from stf_mamba.study.claims import rules
from stf_mamba.study.claims.comparisons import RowComparison, compare_rows
from stf_mamba.study.claims.rules import ClaimVerdict, Judgement
from stf_mamba.study.results import Study
from stf_mamba.study.signals import SignalTests, signal_tests

__all__ = ["Claim", "ClaimVerdict", "judge_claims"]

B0, B4, RESNET, XCEPTION = "frame-efficientnet-b0", "frame-efficientnet-b4", "frame-resnet50", "frame-xception"
CNNS = (B0, B4, RESNET, XCEPTION)
DINO, BIGRU, V8 = "frame-dinov2", "bigru-efficientnet-b0", "v8"
TARGET_AUC = 0.90
GRU_MARGIN = 0.05
LOSS_RANGE = 0.14  # the report calls 0.64 to 0.78 stable
REPORTED_TRAINABLE = (14.4, 7.0)  # millions, in two tables of the report


@dataclass(frozen=True)
class Claim(JsonRecord):
    """A claim of the report and what the study says of it.

    Attributes:
        experiment: 1 to 5 as in the report; 0 where it concerns the whole.
        section: of the ablation report.
        because: the numbers that decided, or what is missing.
    """

    key: str
    experiment: int
    section: str
    text: str
    verdict: ClaimVerdict
    because: str


Rule = Callable[[Study, Sequence[RowComparison]], Judgement]


@dataclass(frozen=True)
class _Stated:
    """A claim before it is judged.

    Attributes:
        rows: those it rests on.
        of_encoder: whether it speaks of these rows' encoders, so that a stand-in cannot decide it.
    """

    key: str
    experiment: int
    section: str
    text: str
    rule: Rule
    rows: tuple[str, ...] = ()
    of_encoder: bool = False


def judge_claims(
    study: Study, comparisons: Sequence[RowComparison] | None = None, tests: SignalTests | None = None
) -> tuple[Claim, ...]:
    """Every claim with its verdict: supported or refuted only by an interval, a corrected test or an equivalence
    bound, otherwise undecided; not run where a row is missing, or where another encoder stood in for the one that
    the claim is about.

    Args:
        comparisons, tests: of ``compare_rows`` and ``signal_tests``, where they are at hand.
    """
    compared = compare_rows(study) if comparisons is None else comparisons
    tested = signal_tests(study) if tests is None else tests
    return tuple(_judged(stated, study, compared) for stated in _stated(tested))


def _judged(stated: _Stated, study: Study, compared: Sequence[RowComparison]) -> Claim:
    verdict, because = stated.rule(study, compared)
    replaced = rules.stand_ins(study, stated.rows)
    words = ", ".join(f"{run} standing in for {meant}" for meant, run in replaced.items())
    if replaced and verdict is not ClaimVerdict.NOT_RUN:
        if stated.of_encoder:
            because = f"the encoder itself was not run; with {words} ({verdict}): {because}"
            verdict = ClaimVerdict.NOT_RUN
        else:
            because = f"{because}; with {words}"
    if study.settings.generated and stated.experiment and verdict is not ClaimVerdict.NOT_RUN:
        because += "; on generated footage, which says nothing about real deepfakes"
    return Claim(stated.key, stated.experiment, stated.section, stated.text, verdict, because)


def _stated(tests: SignalTests) -> tuple[_Stated, ...]:
    return (*_of_signals(tests), *_of_backbones(), *_of_capacity_and_time(), *_of_reference(), *_of_arithmetic())


def _of_signals(tests: SignalTests) -> tuple[_Stated, ...]:
    return (
        _Stated(
            "signals-fail", 1, "3.4", "All five handcrafted signals fail under c23.",
            lambda study, compared: rules.all_signals_fail(tests),
        ),
        _Stated(
            "signals-inverted", 1, "3.4", "Three signals are inverted: higher in real videos.",
            lambda study, compared: rules.signals_inverted(tests),
        ),
        _Stated(
            "compression-destroys", 1, "3.4", "Compression destroys the signals.",
            lambda study, compared: rules.compression_destroys(tests),
        ),
    )  # fmt: skip


def _of_backbones() -> tuple[_Stated, ...]:
    return (
        _better(
            "ssl-beats-cnns", 2, "4.4", "A self-supervised ViT beats the best supervised CNN.",
            [(DINO, cnn) for cnn in CNNS], True,
        ),
        _better(
            "resnet-best-cnn", 2, "1.1", "The best supervised CNN is ResNet-50.",
            [(RESNET, cnn) for cnn in CNNS if cnn != RESNET], True,
        ),
        _Stated(
            "resnet-largest-gap", 2, "4.4", "Of the CNNs ResNet-50 loses most on the second data set.",
            lambda study, compared: rules.larger_gap(study, compared, RESNET, [B0, B4, XCEPTION]),
            CNNS, True,
        ),
        _better(
            "xception-weakest", 2, "4.4", "Xception is the weakest supervised CNN.",
            [(cnn, XCEPTION) for cnn in CNNS if cnn != XCEPTION], True,
        ),
        _Stated(
            "b4-overfits", 2, "4.4", "EfficientNet-B4 overfits: validation loss rises while training loss falls.",
            lambda study, compared: rules.overfits(study, B4), (B4,), True,
        ),
        _Stated(
            "dinov2-stable", 2, "4.4", "DINOv2's validation loss stays stable throughout training.",
            lambda study, compared: rules.stable_loss(study, DINO, LOSS_RANGE), (DINO,), True,
        ),
    )  # fmt: skip


def _of_capacity_and_time() -> tuple[_Stated, ...]:
    return (
        _Stated(
            "bigru-gains-little", 3, "5.4", "A bidirectional GRU on B0 changes the AUC little (within ±0.05).",
            lambda study, compared: rules.equivalent(study, compared, BIGRU, B0, GRU_MARGIN), (BIGRU, B0),
        ),
        _Stated(
            "unfreezing-jump", 3, "5.4", "The validation AUC jumps in the first epoch after unfreezing the encoder.",
            lambda study, compared: rules.history_sign(study, BIGRU, "jump of the validation AUC", rules.jump),
            (BIGRU,),
        ),
        _better("b4-below-b0", 4, "6.3", "EfficientNet-B4 does worse than B0.", [(B0, B4)], True),
        _Stated(
            "capacity-uncorrelated", 4, "6.3", "Parameters and AUC of supervised CNNs are uncorrelated.",
            lambda study, compared: rules.uncorrelated(study, CNNS), CNNS,
        ),
    )  # fmt: skip


def _of_reference() -> tuple[_Stated, ...]:
    mixers = {
        "gru": "a bidirectional GRU",
        "mamba": "a Mamba of one direction",
        "transformer": "a transformer",
        "bimamba": "two Mambas summed",
    }
    return (
        _Stated(
            "variance-separates", 5, "8.3", "The variance of V8.0 separates real from fake.",
            lambda study, compared: rules.reaches(study, V8, 0.5), (V8,),
        ),
        _Stated(
            "fakes-vary-more", 5, "8.3", "Fakes have the higher variance.",
            lambda study, compared: rules.history_sign(study, V8, "log-variance of fakes less reals", rules.last_gap),
            (V8,),
        ),
        _Stated(
            "v8-target", 5, "9", "V8.0 reaches an AUC of 0.90.",
            lambda study, compared: rules.reaches(study, V8, TARGET_AUC), (V8,), True,
        ),
        _better(
            "variance-head-gains", 5, "9", "The variance head gains over a frame mean and over content.",
            [(V8, "v8-head-frame-mean"), (V8, "v8-head-content")],
        ),
        _better(
            "mixing-gains", 5, "9", "Temporal mixing gains over none.",
            [(V8, "v8-layers-0"), (V8, "v8-mixer-none")],
        ),
        *(
            _better(f"hydra-beats-{name}", 5, "8.2", f"Hydra beats {words}.", [(V8, f"v8-mixer-{name}")])
            for name, words in mixers.items()
        ),
        _better(
            "more-frames-help", 5, "8.4", "More frames help: 32 beat 8 and 16.",
            [(V8, "v8-frames-8"), (V8, "v8-frames-16")],
        ),
        _better("v8-beats-gattu", 5, "9", "V8.0 beats Gattu's shape, trained alike.", [(V8, "gattu")], True),
    )  # fmt: skip


def _of_arithmetic() -> tuple[_Stated, ...]:
    return (
        _Stated(
            "smoothing-inverts", 0, "2.2", "Label smoothing above 0 inverts a two-class loss.",
            lambda study, compared: _smoothing(),
        ),
        _Stated(
            "trainable-parameters", 0, "4.2, 6.3", "DINOv2's trainable parameters are 14.4 M, or 7.0 M.",
            lambda study, compared: _trainable(),
        ),
    )  # fmt: skip


def _better(
    key: str, experiment: int, section: str, text: str, pairs: list[tuple[str, str]], of_encoder: bool = False
) -> _Stated:
    rows = tuple(dict.fromkeys(row for pair in pairs for row in pair))
    return _Stated(
        key, experiment, section, text, lambda study, compared: rules.better(study, compared, pairs), rows, of_encoder
    )


def smoothed_minimum(smoothing: float) -> tuple[float, float]:
    """Smallest two-class cross-entropy under label smoothing, and the probability of the true class that has it."""
    probability = np.linspace(1e-4, 1 - 1e-4, 9999)
    loss = -(1 - smoothing / 2) * np.log(probability) - smoothing / 2 * np.log(1 - probability)
    best = int(np.argmin(loss))
    return float(loss[best]), float(probability[best])


def _smoothing() -> Judgement:
    amounts = (0.01, 0.05, 0.1, 0.2, 0.5)
    upright = all(least < math.log(2) and at > 0.5 for least, at in map(smoothed_minimum, amounts))
    least, at = smoothed_minimum(0.1)
    because = (
        f"with a smoothing of 0.1 the loss has its minimum {least:.3f} at a probability of {at:.2f} for the true "
        f"class, below ln 2 = {math.log(2):.3f} of a guess; alike for every smoothing tried, "
        f"{amounts[0]:g} to {amounts[-1]:g}"
    )
    return Judgement(ClaimVerdict.REFUTED if upright else ClaimVerdict.SUPPORTED, because)


def _trainable() -> Judgement:
    import torch

    from stf_mamba.core.recipe import EncoderRecipe
    from stf_mamba.models.clip_detector import count_parameters
    from stf_mamba.models.encoders.registry import build_encoder

    with torch.device("meta"):
        encoder = build_encoder(EncoderRecipe("dinov2_vitb14", 2))
    encoder.train_encoder(True)
    counted = count_parameters(encoder)[1]
    fits = any(round(counted / 1e6, 1) == reported for reported in REPORTED_TRAINABLE)
    reported = " and ".join(f"{value:.1f} M" for value in REPORTED_TRAINABLE)
    because = f"two trained blocks and the last norm hold {counted:,} parameters; reported are {reported}"
    return Judgement(ClaimVerdict.SUPPORTED if fits else ClaimVerdict.REFUTED, because)
