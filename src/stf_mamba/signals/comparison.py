"""What the measured signals say about real and fake: tests, effects with intervals, power, equivalence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np

from stf_mamba.core.records import FAKE, REAL, Float64Array, JsonRecord
from stf_mamba.core.seeds import derive_seed
from stf_mamba.evaluation.statistics.auc import area_under_roc
from stf_mamba.evaluation.statistics.intervals import ALPHA, CONFIDENCE
from stf_mamba.evaluation.statistics.power import (
    mann_whitney_detectable_auc,
    mann_whitney_power,
    signed_rank_detectable_effect,
    signed_rank_power,
)
from stf_mamba.evaluation.statistics.resampling import RESAMPLES, bootstrap, people_weights, percentile_interval
from stf_mamba.evaluation.statistics.significance import holm, mann_whitney_test, signed_rank_test
from stf_mamba.signals import SIGNALS
from stf_mamba.signals.table import SignalRow, SignalTable

# A rank-biserial effect of 0.3 is an AUC of 0.65 between unpaired samples: a detector that nobody could use.
EQUIVALENCE_MARGIN = 0.3
FEWEST_PAIRS = 2


class SignalVerdict(StrEnum):
    """What the tests allow to say. A signal is called absent only where equivalence is shown."""

    FOUND = "found"
    ABSENT = "absent within the margin"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class SignalStatistics(JsonRecord):
    """How one signal differs between one method's fakes and the reals.

    Attributes:
        design: ``paired`` (Wilcoxon, on fakes whose own real is at hand) or ``unpaired`` (Mann-Whitney).
        n_real, n_fake: videos that were measured; ``n_pairs`` reals with their fakes, ``None`` where unpaired.
        effect: rank-biserial correlation, positive where fakes are higher; ``low`` and ``high`` at ``confidence``.
        p, p_holm: two-sided, before and after Holm's correction over the family of all rows.
        auc: fakes above reals, unpaired, with a percentile interval from drawing people.
        detectable_effect: what the test finds with a power of 0.8 at Holm's strictest level; ``None`` if not even 1.
        power_at_margin: its power at an effect as large as ``margin``, at that level.
        equivalence_low, equivalence_high: interval of the effect at 1 − 2 alpha; inside ± ``margin`` it is equivalent
            to none (two one-sided tests, each row at its own level). Unpaired it also holds the interval from drawing
            people, whichever reaches further.
        verdict: found at a corrected p below alpha, unpaired only where the AUC's interval leaves out 0.5 as well.
    """

    signal: str
    method: str
    compression: str | None
    design: Literal["paired", "unpaired"]
    n_real: int
    n_fake: int
    n_pairs: int | None
    effect: float
    low: float
    high: float
    confidence: float
    p: float
    p_holm: float
    auc: float
    auc_low: float
    auc_high: float
    detectable_effect: float | None
    power_at_margin: float
    margin: float
    equivalence_low: float
    equivalence_high: float
    verdict: SignalVerdict


def signal_statistics(
    table: SignalTable, margin: float = EQUIVALENCE_MARGIN, alpha: float = ALPHA, paired: bool = True
) -> tuple[SignalStatistics, ...]:
    """Test each signal, method and compression: fakes against the reals of the same data set and compression.

    Paired where at least half of the fakes have their own real in the table: the same person in the same shot. Fakes
    of one real count once, by their mean; fakes without their real are left out there. The tests take videos for
    independent, though people are in several: unpaired verdicts therefore ask the intervals from drawing people too. A
    donor's face in several pairs is not allowed for.

    Args:
        margin: effects within ± ``margin`` count as absent.
        paired: False tests unpaired throughout, as the report did.

    Raises:
        ValueError: no method has two measured fakes and reals, or a number out of range.
    """
    groups = list(_groups(table.rows, paired))
    if not groups:
        raise ValueError("no method has two fakes and two reals with a value; measure more videos")
    adjusted = holm([group.p() for group in groups]).tolist()
    return tuple(group.statistics(p, len(groups), margin, alpha) for group, p in zip(groups, adjusted, strict=True))


def differences_by_real(table: SignalTable) -> dict[tuple[str, str], dict[str, float]]:
    """Fakes minus their own real, by signal and method and then by the real's id, for fakes that have their real.

    The fakes of one real count by their mean, as in ``signal_statistics``.
    """
    measured = [row for row in table.rows if row.value is not None]
    found: dict[tuple[str, str], dict[str, float]] = {}
    methods = sorted({(row.signal, row.method or "") for row in measured if row.label == FAKE})
    for signal, method in sorted(methods, key=lambda place: (list(SIGNALS).index(place[0]), place[1])):
        here = [row for row in measured if row.signal == signal]
        reals = [row for row in here if row.label == REAL]
        pairs = _pairs(reals, [row for row in here if row.label == FAKE and (row.method or "") == method])
        found[signal, method] = {
            real.video_id: float(_values(fakes).mean() - _values([real])[0]) for real, fakes in _by_real(reals, pairs)
        }
    return found


@dataclass(frozen=True)
class _Group:
    """What one row of the statistics rests on; ``differences`` is ``None`` where the design is unpaired."""

    reals: Sequence[SignalRow]
    fakes: Sequence[SignalRow]
    differences: Float64Array | None

    def p(self) -> float:
        return self._effect(CONFIDENCE)[3]

    def statistics(self, p_holm: float, family: int, margin: float, alpha: float) -> SignalStatistics:
        effect, low, high, p = self._effect(CONFIDENCE)
        _, equivalence_low, equivalence_high, _ = self._effect(1 - 2 * alpha)
        detectable, power = self._sensitivity(margin, alpha / family)
        auc, over_people = self._auc()
        auc_low, auc_high = percentile_interval(over_people)
        found = p_holm < alpha
        if self.differences is None:  # many videos of few people say less than their number
            found = found and not auc_low <= 0.5 <= auc_high
            inner_low, inner_high = percentile_interval(over_people, 1 - 2 * alpha)
            equivalence_low = min(equivalence_low, 2 * inner_low - 1)
            equivalence_high = max(equivalence_high, 2 * inner_high - 1)
        verdict = SignalVerdict.UNDECIDED
        if found:
            verdict = SignalVerdict.FOUND
        elif -margin < equivalence_low and equivalence_high < margin:
            verdict = SignalVerdict.ABSENT
        fake = self.fakes[0]
        return SignalStatistics(
            signal=fake.signal,
            method=fake.method or "fake",
            compression=fake.compression,
            design="unpaired" if self.differences is None else "paired",
            n_real=len(self.reals),
            n_fake=len(self.fakes),
            n_pairs=None if self.differences is None else len(self.differences),
            effect=effect,
            low=low,
            high=high,
            confidence=CONFIDENCE,
            p=p,
            p_holm=p_holm,
            auc=auc,
            auc_low=auc_low,
            auc_high=auc_high,
            detectable_effect=detectable,
            power_at_margin=power,
            margin=margin,
            equivalence_low=equivalence_low,
            equivalence_high=equivalence_high,
            verdict=verdict,
        )

    def _effect(self, confidence: float) -> tuple[float, float, float, float]:
        """Effect, its interval, and p."""
        if self.differences is not None:
            signed = signed_rank_test(self.differences, confidence)
            return signed.effect, signed.low, signed.high, signed.p
        ranked = mann_whitney_test(_values(self.fakes), _values(self.reals), confidence)
        return ranked.effect, ranked.low, ranked.high, ranked.p

    def _sensitivity(self, margin: float, level: float) -> tuple[float | None, float]:
        """Detectable effect, and power at the margin, of a test at this level."""
        if self.differences is not None:
            pairs = int((self.differences != 0).sum())
            return signed_rank_detectable_effect(pairs, alpha=level), signed_rank_power(margin, pairs, level)
        counts = len(self.fakes), len(self.reals)
        detectable_auc = mann_whitney_detectable_auc(*counts, alpha=level)
        power = mann_whitney_power((1 + margin) / 2, *counts, level)
        return None if detectable_auc is None else 2 * detectable_auc - 1, power

    def _auc(self) -> tuple[float, Float64Array]:
        """AUC, and the AUCs (R,) of resamples of people."""
        rows = [*self.reals, *self.fakes]
        scores = _values(rows)
        labels = np.array([row.label for row in rows], np.float64)
        name = self.fakes[0]
        generator = np.random.default_rng(derive_seed("signal AUC", name.signal, name.method, name.compression))
        draws = people_weights([row.identities for row in rows], generator, RESAMPLES)
        figures = bootstrap(lambda weights: np.array([area_under_roc(scores, labels, weights)]), labels, draws)
        return area_under_roc(scores, labels, np.ones(len(rows))), figures[:, 0]


def _groups(rows: Sequence[SignalRow], paired: bool) -> Iterator[_Group]:
    """Signals in the table of signals' order, then methods and compressions by name."""
    measured = [row for row in rows if row.value is not None]
    reals, fakes = defaultdict(list), defaultdict(list)
    for row in measured:
        place = row.signal, _dataset(row), row.compression or ""
        if row.label == REAL:
            reals[place].append(row)
        elif row.label == FAKE:
            fakes[(*place, row.method or "")].append(row)
    order = list(SIGNALS)
    for key in sorted(fakes, key=lambda key: (order.index(key[0]), *key[1:])):
        here = reals[key[:3]]
        if min(len(here), len(fakes[key])) < FEWEST_PAIRS:
            continue
        pairs = _pairs(here, fakes[key]) if paired else {}
        enough = sum(map(len, pairs.values())) >= len(fakes[key]) / 2 and len(pairs) >= FEWEST_PAIRS
        differences = [_values(group).mean() - real.value for real, group in _by_real(here, pairs)]
        yield _Group(here, fakes[key], np.array(differences) if enough else None)


def _pairs(reals: Sequence[SignalRow], fakes: Sequence[SignalRow]) -> dict[str, list[SignalRow]]:
    """The fakes of each real, by the real's id: the person filmed is the same, and the shot; in doubt none."""
    found = defaultdict(list)
    for fake in fakes:
        originals = [real for real in reals if _shows_the_same(real, fake)]
        if len(originals) == 1:
            found[originals[0].video_id].append(fake)
    return dict(found)


def _shows_the_same(real: SignalRow, fake: SignalRow) -> bool:
    people = bool(fake.identities) and real.identities[:1] == fake.identities[:1]
    return people and real.footage is not None and fake.footage is not None and real.footage.is_of(fake.footage)


def _by_real(
    reals: Sequence[SignalRow], pairs: dict[str, list[SignalRow]]
) -> Iterator[tuple[SignalRow, list[SignalRow]]]:
    for real in reals:
        if real.video_id in pairs:
            yield real, pairs[real.video_id]


def _values(rows: Sequence[SignalRow]) -> Float64Array:
    return np.array([row.value for row in rows], np.float64)


def _dataset(row: SignalRow) -> str:
    return row.video_id.split("/", 1)[0]
