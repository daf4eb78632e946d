"""Every rule of a claim gives supported, refuted, undecided and not run where it should, on cases worked by hand."""

import math
from types import SimpleNamespace

import pytest
from scipy import stats

from stf_mamba.signals.comparison import SignalStatistics, SignalVerdict
from stf_mamba.signals.compression import CompressionFinding
from stf_mamba.study.claims import rules as claim_rules
from stf_mamba.study.claims.comparisons import RowComparison
from stf_mamba.study.claims.rules import ClaimVerdict
from stf_mamba.study.signals import SignalTests

SUPPORTED, REFUTED, UNDECIDED, NOT_RUN = ClaimVerdict
RESNET, XCEPTION, B0 = "frame-resnet50", "frame-xception", "frame-efficientnet-b0"
FOUND, ABSENT, OPEN = SignalVerdict.FOUND, SignalVerdict.ABSENT, SignalVerdict.UNDECIDED


def study(*keys, cross="celebdf", **finished):
    return SimpleNamespace(
        settings=SimpleNamespace(dataset="ffpp-c23", cross_dataset=cross),
        finished=dict.fromkeys(keys) | finished,
        not_run={},
    )


def compared(a, b, difference, reach, domain="cross", p=0.001):
    """a less b with an interval that reaches so far to both sides; none where ``reach`` is ``None``."""
    ends = (None, None) if reach is None else (difference - reach, difference + reach)
    values = ("capacity", a, b, domain, 0.6 + difference, 0.6, difference, *ends, p, p, None, None, 20, 30, 0.1)
    return RowComparison(*values)


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [(0.2, -0.1, SUPPORTED), (-0.2, 0.1, REFUTED), (0.1, 0.05, UNDECIDED)],
)
def test_a_gap_is_larger_by_the_difference_of_two_differences(inside, outside, expected):
    both = [compared(RESNET, B0, inside, 0.1, "in-domain"), compared(B0, RESNET, -outside, 0.1, "cross")]
    verdict, because = claim_rules.larger_gap(study(RESNET, B0), both, RESNET, [B0])
    assert verdict is expected
    reach = math.hypot(0.1, 0.1)
    ends = (inside - outside - reach, inside - outside + reach)
    interval = "[{:+.3f}, {:+.3f}]".format(*ends).replace("-", "−")
    assert because.startswith("gap of ‘ResNet-50 frame-level’ less that of ‘EfficientNet-B0 frame-level’ ")
    assert because.endswith(interval)


def test_several_gaps_are_corrected_together():
    # Alone p is 0.03; three of them have a corrected p of 0.09 each.
    gap, error = stats.norm.isf(0.015), 1.0
    reach = error / math.sqrt(2) * stats.norm.isf(0.025)
    others = [B0, XCEPTION, "frame-efficientnet-b4"]
    pairs = [
        compared(RESNET, other, gap / 2 * sign, reach, domain)
        for other in others
        for domain, sign in (("in-domain", 1), ("cross", -1))
    ]
    assert claim_rules.larger_gap(study(RESNET, *others), pairs, RESNET, others[:1])[0] is SUPPORTED
    assert claim_rules.larger_gap(study(RESNET, *others), pairs, RESNET, others)[0] is UNDECIDED


def test_a_gap_without_interval_data_or_row():
    none = [compared(RESNET, B0, 0.2, None, "in-domain"), compared(RESNET, B0, -0.2, 0.1, "cross")]
    assert claim_rules.larger_gap(study(RESNET, B0), none, RESNET, [B0])[0] is UNDECIDED
    assert claim_rules.larger_gap(study(RESNET, B0, cross=None), none, RESNET, [B0]) == (NOT_RUN, "no second data set")
    verdict, because = claim_rules.larger_gap(study(B0), none, RESNET, [B0])
    assert (verdict, because) == (NOT_RUN, "not run: ‘ResNet-50 frame-level’")


@pytest.mark.parametrize(
    ("difference", "reach", "expected"),
    [
        (0.01, 0.02, SUPPORTED),
        (0.2, 0.1, REFUTED),
        (-0.2, 0.1, REFUTED),
        (0.03, 0.04, UNDECIDED),
        (0.01, None, UNDECIDED),
    ],
)
def test_rows_are_equivalent_where_the_whole_interval_is_within_the_margin(difference, reach, expected):
    given = study(B0, XCEPTION), [compared(B0, XCEPTION, difference, reach)]
    verdict, because = claim_rules.equivalent(*given, B0, XCEPTION, 0.05)
    assert verdict is expected
    assert because.startswith("celebdf, second data set: ‘EfficientNet-B0 frame-level’ less ‘Xception frame-level’")
    assert because.endswith("margin ±0.05")
    assert claim_rules.equivalent(study(B0), [], B0, XCEPTION, 0.05)[0] is NOT_RUN


def correlated(parameters, aucs):
    rows = {
        f"row-{at}": SimpleNamespace(
            result=SimpleNamespace(
                parameters=count,
                in_domain=SimpleNamespace(auc=SimpleNamespace(value=0.0)),
                cross=SimpleNamespace(auc=SimpleNamespace(value=auc)),
            )
        )
        for at, (count, auc) in enumerate(zip(parameters, aucs, strict=True))
    }
    return claim_rules.uncorrelated(study(**rows), list(rows))


def test_a_correlation_is_absent_present_or_open():
    many = range(400)
    verdict, because = correlated(many, [at * 7 % 20 for at in many])
    assert verdict is SUPPORTED
    assert "400 CNNs" in because
    assert correlated(range(12), [*range(10), 11, 10])[0] is REFUTED
    assert correlated(range(12), [*range(0, -10, -1), -11, -10])[0] is REFUTED
    assert correlated(range(4), [0.5, 0.7, 0.6, 0.4])[0] is UNDECIDED
    assert correlated(range(4), [0.5] * 4)[0] is UNDECIDED
    assert claim_rules.uncorrelated(study(B0), [B0, XCEPTION])[0] is NOT_RUN


def trained(*curves):
    """One training a pair of validation and training losses by epoch."""
    trainings = [
        SimpleNamespace(
            history=tuple(
                {"validation_loss": validation, "train_loss": train} for validation, train in zip(*curve, strict=True)
            )
        )
        for curve in curves
    ]
    return study(**{B0: SimpleNamespace(trainings=trainings)})


RISING, FALLING, FLAT = (0.6, 0.7, 0.8), (0.6, 0.5, 0.4), (0.6, 0.61, 0.6)


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ([(RISING, FALLING)] * 3, SUPPORTED),
        ([(FALLING, FALLING)] * 3, REFUTED),
        ([(RISING, RISING)] * 3, UNDECIDED),
        ([(RISING, FALLING), (FALLING, FALLING)], UNDECIDED),
        ([(RISING, FALLING)], UNDECIDED),
        ([((0.6,), (0.6,))] * 3, NOT_RUN),
    ],
)
def test_overfitting_needs_a_rising_and_a_falling_loss_in_several_trainings(curves, expected):
    assert claim_rules.overfits(trained(*curves), B0)[0] is expected


def test_overfitting_names_the_changes_and_the_missing_row():
    because = claim_rules.overfits(trained(*[(RISING, FALLING)] * 3), B0).because
    assert "validation loss +0.200 [+0.200, +0.200] (3 trainings)" in because
    assert "training loss −0.200" in because
    assert claim_rules.overfits(study(), B0) == (NOT_RUN, "not run: ‘EfficientNet-B0 frame-level’")


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ([(FLAT, FALLING)] * 3, SUPPORTED),
        ([(RISING, FALLING)] * 3, REFUTED),
        ([(FALLING, FALLING)] * 3, REFUTED),
        ([(FLAT, FALLING), (RISING, FALLING)], UNDECIDED),
        ([(FLAT, FALLING)], UNDECIDED),
        ([((0.6,), (0.6,))] * 2, NOT_RUN),
    ],
)
def test_a_loss_is_stable_where_its_change_is_within_the_margin(curves, expected):
    assert claim_rules.stable_loss(trained(*curves), B0, 0.1)[0] is expected


def test_a_loss_of_no_row_is_not_run():
    assert claim_rules.stable_loss(study(), B0, 0.1)[0] is NOT_RUN


def signals_of(*rows):
    """Tests of signals, each given as name, effect, reach of its interval and verdict."""
    made = [
        SignalStatistics(
            *(name, "Deepfakes", "c23", "paired", 20, 20, 20, effect, effect - reach, effect + reach, 0.95, 0.01),
            *(0.02, 0.6, 0.5, 0.7, 0.4, 0.5, 0.3, effect - reach, effect + reach, verdict),
        )
        for name, effect, reach, verdict in rows
    ]
    return SignalTests(tuple(made), None, {}, None, {})


def test_signals_fail_where_all_are_absent_and_not_where_one_is_found():
    absent, found = ("flow", 0.0, 0.2, ABSENT), ("srm", 0.8, 0.1, FOUND)
    assert claim_rules.all_signals_fail(signals_of(absent, absent))[0] is SUPPORTED
    verdict, because = claim_rules.all_signals_fail(signals_of(absent, found))
    assert verdict is REFUTED
    assert because.startswith("of 2 signals by method 1 found, 1 absent within ±0.3, 0 undecided; effects up to 0.80")
    assert claim_rules.all_signals_fail(signals_of(absent, ("srm", 0.2, 0.4, OPEN)))[0] is UNDECIDED


def test_signals_are_inverted_where_enough_are_found_higher_in_reals():
    inverted = [(name, -0.8, 0.1, FOUND) for name in ("wavelet", "srm", "flow")]
    upright = [(name, 0.8, 0.1, FOUND) for name in ("chromatic", "color")]
    assert claim_rules.signals_inverted(signals_of(*inverted, *upright))[0] is SUPPORTED
    assert claim_rules.signals_inverted(signals_of(*inverted[:2], *upright))[0] is REFUTED
    open_one = ("flow", 0.1, 0.3, OPEN)
    verdict, because = claim_rules.signals_inverted(signals_of(*inverted[:2], open_one, *upright))
    assert verdict is UNDECIDED
    assert because == "of 5 signals 2 found higher in reals, 3 at most"
    # Absent within the margin is not inverted, whichever sign its estimate has.
    assert claim_rules.signals_inverted(signals_of(*inverted[:2], ("flow", -0.1, 0.1, ABSENT), *upright))[0] is REFUTED


@pytest.mark.parametrize("rule", [claim_rules.all_signals_fail, claim_rules.signals_inverted])
def test_signals_that_were_not_measured_say_why(rule):
    assert rule(SignalTests(None, None, {}, None, {})) == (NOT_RUN, "the signals were not measured")
    verdict, because = rule(SignalTests((), None, {}, None, {}))
    assert verdict is NOT_RUN
    assert "two fakes and two reals" in because


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (("shrinks", "shrinks"), SUPPORTED),
        (("shrinks", "grows"), REFUTED),
        (("shrinks", "no change shown"), UNDECIDED),
        ((), NOT_RUN),
    ],
)
def test_compression_destroys_where_every_effect_shrinks(verdicts, expected):
    changes = tuple(
        CompressionFinding("flow", "Deepfakes", 0.5, 0.1, 0.8, 0.95, 1.0, 2.0, 0.01, 0.02, 20, word)
        for word in verdicts
    )
    levels = {"source": (), "crf 40": ()}
    assert claim_rules.compression_destroys(SignalTests(None, None, levels, changes, {}))[0] is expected


def test_compression_needs_two_levels():
    verdict, because = claim_rules.compression_destroys(SignalTests(None, None, {"source": ()}, None, {}))
    assert (verdict, because) == (NOT_RUN, "one level only, source; two or more are compared")
    verdict, because = claim_rules.compression_destroys(SignalTests(None, None, {}, None, {}))
    assert verdict is NOT_RUN
    assert "re-encoded" in because


def test_a_sentence_names_rows_by_label_and_says_which_p_it_gives():
    pairs = [(B0, XCEPTION)]
    verdict, because = claim_rules.better(study(B0, XCEPTION), [compared(B0, XCEPTION, 0.1, 0.05)], pairs)
    assert verdict is SUPPORTED
    assert because == (
        "celebdf, second data set: ‘EfficientNet-B0 frame-level’ less ‘Xception frame-level’ +0.100 [+0.050, +0.150], "
        "corrected p = 0.001, detectable 0.100 (20 real, 30 fake)"
    )
