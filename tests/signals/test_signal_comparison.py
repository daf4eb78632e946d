"""Statistics of signals: who is compared with whom, the numbers by the library's own tests, and what they allow."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from stf_mamba.evaluation.statistics.significance import holm, mann_whitney_test, signed_rank_test
from stf_mamba.signals import SIGNALS
from stf_mamba.signals.comparison import SignalVerdict, signal_statistics
from stf_mamba.signals.table import Footage, SignalRow, SignalTable

SHOT = Footage(Fraction(25), 400, 300, 10.0)


def row(person, label, value, *, donor="x", signal="flow", footage=SHOT, method=None, compression="c23"):
    method = method or ("Swap" if label else "real")
    people = (person, donor) if label else (person,)
    return SignalRow(
        f"drawn/{method}/{person}_{donor}", signal, value, "px", label, people, method, compression, footage, 1, None
    )


def table(*rows):
    return SignalTable(tuple(rows), {})


def test_pairs_are_the_same_person_in_the_same_shot():
    other_shot = Footage(Fraction(25), 400, 300, 5.0)
    other_rate = Footage(Fraction(30), 400, 300, 10.0)
    rows = [
        *(row(f"p{number}", 0, float(number)) for number in range(6)),
        *(row(f"p{number}", 1, number + 0.5 + 0.1 * number) for number in range(6)),
        row("p0", 1, 9.5, donor="y"),  # the same real once more: counts by its mean
        row("p1", 1, -99.0, donor="y", footage=other_shot),
        row("p2", 1, -99.0, donor="y", footage=other_rate),
        row("p3", 1, -99.0, donor="y", compression="c40"),
        row("p4", 1, None, donor="y"),
        row("stranger", 1, -99.0),
    ]
    (found,) = signal_statistics(table(*rows))
    differences = [(0.5 + 9.5) / 2, 0.6, 0.7, 0.8, 0.9, 1.0]
    expected = signed_rank_test(differences)
    assert (found.design, found.n_pairs, found.n_real, found.n_fake) == ("paired", 6, 6, 10)
    assert (found.effect, found.low, found.high, found.p) == (
        expected.effect,
        expected.low,
        expected.high,
        pytest.approx(stats.wilcoxon(differences).pvalue),
    )
    assert found.effect == 1  # any of the others would have brought a negative difference


def test_a_fake_cut_a_little_shorter_still_has_its_real():
    cut = Footage(Fraction(25), 400, 300, 9.2)
    rows = [row(f"p{n}", 0, float(n)) for n in range(3)] + [row(f"p{n}", 1, n + 1.0 + n, footage=cut) for n in range(3)]
    assert signal_statistics(table(*rows))[0].design == "paired"


def test_without_partners_the_samples_are_compared_as_a_whole():
    generator = np.random.default_rng(0)
    reals, fakes = generator.normal(0, 1, 12), generator.normal(1, 1, 15)
    rows = [row(f"r{n}", 0, value) for n, value in enumerate(reals)]
    rows += [row(f"f{n}", 1, value) for n, value in enumerate(fakes)]
    (found,) = signal_statistics(table(*rows))
    expected = mann_whitney_test(fakes, reals)
    assert (found.design, found.n_pairs) == ("unpaired", None)
    assert (found.effect, found.p, found.auc) == (expected.effect, expected.p, pytest.approx(expected.auc))
    inner = mann_whitney_test(fakes, reals, 0.9)  # two one-sided tests at 5 %
    assert found.equivalence_low <= inner.low < inner.high <= found.equivalence_high
    assert found.auc_low < found.auc < found.auc_high


def test_many_videos_of_few_people_do_not_make_a_finding():
    generator = np.random.default_rng(4)
    rows = []
    for label, means in ((0, (-1.5, 0.0, 1.5)), (1, (-0.5, 1.0, 2.5))):
        for number, mean in enumerate(means):
            values = generator.normal(mean, 0.3, 30)
            people = f"{'rf'[label]}{number}"
            rows += [row(people, label, value, donor=people) for value in values]
    (found,) = signal_statistics(table(*rows))
    assert found.p_holm < 1e-4
    assert found.auc_low < 0.5 < found.auc_high
    assert found.verdict is SignalVerdict.UNDECIDED


def test_pairing_can_be_refused_as_the_report_did():
    rows = [row(f"p{n}", 0, float(n)) for n in range(20)] + [row(f"p{n}", 1, n + 0.1 + n / 1000) for n in range(20)]
    (paired,) = signal_statistics(table(*rows))
    (unpaired,) = signal_statistics(table(*rows), paired=False)
    assert paired.verdict is SignalVerdict.FOUND
    assert unpaired.design == "unpaired"
    assert unpaired.p > 0.5


def test_the_family_is_every_signal_and_method():
    generator = np.random.default_rng(2)
    rows = []
    for signal in SIGNALS:
        rows += [row(f"r{n}", 0, value, signal=signal) for n, value in enumerate(generator.normal(0, 1, 10))]
        for method in ("Swap", "Reenactment"):
            shifted = generator.normal(0.8, 1, 10)
            rows += [row(f"f{n}", 1, value, signal=signal, method=method) for n, value in enumerate(shifted)]
    found = signal_statistics(table(*rows))
    assert [(one.signal, one.method) for one in found] == [(s, m) for s in SIGNALS for m in ("Reenactment", "Swap")]
    np.testing.assert_allclose([one.p_holm for one in found], holm([one.p for one in found]))
    assert found[0].detectable_effect > signal_statistics(table(*rows[:30]))[0].detectable_effect


def test_absent_needs_equivalence_and_a_small_sample_stays_undecided():
    # Fakes above and below reals in exactly equal measure: no effect, in a small and in a large sample.
    def balanced(count):
        reals = [row(f"r{n}", 0, float(n)) for n in range(count)]
        return table(*reals, *(row(f"f{n}", 1, float(n)) for n in range(count)))

    (small,), (large,) = signal_statistics(balanced(12)), signal_statistics(balanced(150))
    assert small.effect == large.effect == 0
    assert small.p == large.p == pytest.approx(1)
    assert small.verdict is SignalVerdict.UNDECIDED
    assert small.detectable_effect > small.margin
    assert large.verdict is SignalVerdict.ABSENT
    assert large.detectable_effect < large.margin
    assert large.power_at_margin > 0.8 > small.power_at_margin
    assert signal_statistics(balanced(150), margin=0.05)[0].verdict is SignalVerdict.UNDECIDED


def test_true_nulls_are_rarely_found_and_real_shifts_mostly():
    generator = np.random.default_rng(7)
    found = {0.0: 0, 1.5: 0}
    for shift in found:
        for _ in range(40):
            reals = [row(f"r{n}", 0, value) for n, value in enumerate(generator.normal(0, 1, 15))]
            fakes = [row(f"f{n}", 1, value) for n, value in enumerate(generator.normal(shift, 1, 15))]
            found[shift] += signal_statistics(table(*reals, *fakes))[0].verdict is SignalVerdict.FOUND
    assert found[0.0] <= 5  # at 5 %, six or more of 40 have a probability of 1.4 %
    assert found[1.5] >= 34


def test_a_table_without_two_classes_is_refused():
    with pytest.raises(ValueError, match="two fakes and two reals"):
        signal_statistics(table(*(row(f"r{n}", 0, float(n)) for n in range(9))))
