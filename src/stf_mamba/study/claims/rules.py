"""The rules by which a claim of the ablation report is judged: verdict and the sentence of numbers that decided.

Every rule answers supported or refuted only where an interval, a corrected test or an equivalence bound says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from stf_mamba.evaluation.statistics.intervals import ALPHA, CONFIDENCE, normal_quantile
from stf_mamba.evaluation.statistics.significance import holm, rank_correlation
from stf_mamba.signals.comparison import SignalStatistics, SignalVerdict
from stf_mamba.study.claims.comparisons import Domain, RowComparison, compare_two
from stf_mamba.study.numbers import NO_INTERVAL, p_value, signed
from stf_mamba.study.results import FinishedRow, Study
from stf_mamba.study.rows import ROWS
from stf_mamba.study.signals import SignalTests

FEW_RESAMPLES = 500  # of comparisons that only a claim asks for
CORRELATION_MARGIN = 0.3


class ClaimVerdict(StrEnum):
    """What the study allows to say of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    NOT_RUN = "not run"


class Judgement(NamedTuple):
    """A verdict and one computed sentence."""

    verdict: ClaimVerdict
    because: str


History = tuple[dict[str, Any], ...]


def decisive_domain(study: Study) -> Domain:
    """The second data set where there is one, otherwise the study's own."""
    return "in-domain" if study.settings.cross_dataset is None else "cross"


def better(study: Study, compared: Sequence[RowComparison], pairs: Sequence[tuple[str, str]]) -> Judgement:
    """In every pair (a, b) a has the higher AUC on the decisive data set.

    Supported where every difference is positive at a corrected p below ``ALPHA``; refuted where one is negative so.
    """
    if absent := missing(study, [key for pair in pairs for key in pair]):
        return absent
    domain = decisive_domain(study)
    found = [_pair(study, compared, a, b, domain) for a, b in pairs]
    if any(one is None for one in found):
        return Judgement(ClaimVerdict.NOT_RUN, "the rows share no real or no fake test video")
    known = [one for one in found if one is not None]
    return Judgement(_of_signs(_signs(known)), f"{_place(study, domain)}: " + "; ".join(map(_in_words, known)))


def equivalent(
    study: Study, compared: Sequence[RowComparison], a: str, b: str, margin: float, domain: Domain | None = None
) -> Judgement:
    """The rows' AUCs differ by less than the margin: supported where the interval lies inside, refuted outside."""
    if absent := missing(study, [a, b]):
        return absent
    found = _pair(study, compared, a, b, domain or decisive_domain(study))
    if found is None:
        return Judgement(ClaimVerdict.NOT_RUN, "the rows share no real or no fake test video")
    verdict = _within(found.low, found.high, margin)
    return Judgement(verdict, f"{_place(study, found.domain)}: {_in_words(found)}; margin ±{margin:g}")


def larger_gap(study: Study, compared: Sequence[RowComparison], key: str, others: Sequence[str]) -> Judgement:
    """The row loses more AUC on the second data set than each other row; both data sets' errors are independent."""
    if study.settings.cross_dataset is None:
        return Judgement(ClaimVerdict.NOT_RUN, "no second data set")
    if absent := missing(study, [key, *others]):
        return absent
    parts, ps, gaps = [], [], []
    for other in others:
        inside, cross = (_pair(study, compared, key, other, domain) for domain in ("in-domain", "cross"))
        errors = [_error(one) for one in (inside, cross)]
        if inside is None or cross is None or errors[0] is None or errors[1] is None:
            return Judgement(
                ClaimVerdict.UNDECIDED, f"no interval of the difference of {named(key)} and {named(other)}"
            )
        gap, error = inside.difference - cross.difference, math.hypot(errors[0], errors[1])
        ps.append(float(2 * stats.norm.sf(abs(gap) / error)) if error > 0 else 1.0)
        gaps.append(gap)
        reach = normal_quantile(CONFIDENCE) * error
        words = f"gap of {named(key)} less that of {named(other)}"
        parts.append(f"{words} {signed(gap)} {_interval(gap - reach, gap + reach)}")
    signs = [math.copysign(1, gap) if p < ALPHA else 0 for gap, p in zip(gaps, holm(ps).tolist(), strict=True)]
    return Judgement(_of_signs(signs), "; ".join(parts))


def reaches(study: Study, key: str, level: float) -> Judgement:
    """The row's AUC on the decisive data set: supported with the interval above the level, refuted with it below."""
    if absent := missing(study, [key]):
        return absent
    result = study.finished[key].result
    measured = result.in_domain if result.cross is None else result.cross
    auc = measured.auc
    because = f"{measured.dataset}: {auc}, against {level:g}"
    if auc.low is None or auc.high is None:
        return Judgement(ClaimVerdict.UNDECIDED, because)
    if auc.low > level:
        return Judgement(ClaimVerdict.SUPPORTED, because)
    return Judgement(ClaimVerdict.REFUTED if auc.high < level else ClaimVerdict.UNDECIDED, because)


def uncorrelated(study: Study, keys: Sequence[str]) -> Judgement:
    """Spearman's correlation of parameters and AUC: supported with its interval within ±0.3, refuted without 0."""
    if absent := missing(study, keys):
        return absent
    results = [study.finished[key].result for key in keys]
    aucs = [(one.in_domain if one.cross is None else one.cross).auc.value for one in results]
    try:
        found = rank_correlation([one.parameters for one in results], aucs)
    except ValueError as error:
        return Judgement(ClaimVerdict.UNDECIDED, str(error))
    because = f"rho {signed(found.rho, 2)} {_interval(found.low, found.high)}, {_p(found.p)}, {found.n} CNNs"
    if found.low is not None and found.high is not None:
        if found.low > -CORRELATION_MARGIN and found.high < CORRELATION_MARGIN:
            return Judgement(ClaimVerdict.SUPPORTED, because)
        if not found.low <= 0 <= found.high:
            return Judgement(ClaimVerdict.REFUTED, because)
    return Judgement(ClaimVerdict.UNDECIDED, f"{because}; margin ±{CORRELATION_MARGIN}")


def history_sign(study: Study, key: str, what: str, change: Callable[[History], float | None]) -> Judgement:
    """A figure of the row's histories is positive: its mean over trainings with Student's interval decides."""
    if absent := missing(study, [key]):
        return absent
    values = history_values(study.finished[key], change)
    if not values:
        return Judgement(ClaimVerdict.NOT_RUN, f"{named(key)}: no training recorded the {what}")
    low, high, words = over_trainings(values)
    return Judgement(_of_signs([_sign(low, high)]), f"{what} {words}")


def overfits(study: Study, key: str) -> Judgement:
    """The validation loss rises while the training loss falls, by straight lines through every training's epochs."""
    if absent := missing(study, [key]):
        return absent
    parts, signs = [], []
    for field, words in (("validation_loss", "validation loss"), ("train_loss", "training loss")):
        values = history_values(study.finished[key], lambda history, field=field: trend(history, field))  # type: ignore[misc]
        if not values:
            return Judgement(ClaimVerdict.NOT_RUN, f"{named(key)}: trainings of fewer than two epochs with a {words}")
        low, high, text = over_trainings(values)
        signs.append(_sign(low, high))
        parts.append(f"change of the {words} {text}")
    verdict = ClaimVerdict.UNDECIDED
    if signs == [1, -1]:
        verdict = ClaimVerdict.SUPPORTED
    elif signs[0] == -1:
        verdict = ClaimVerdict.REFUTED
    return Judgement(verdict, "; ".join(parts))


def stable_loss(study: Study, key: str, margin: float) -> Judgement:
    """The validation loss's change over a training lies within the margin (interval inside) or beyond (outside)."""
    if absent := missing(study, [key]):
        return absent
    values = history_values(study.finished[key], lambda history: trend(history, "validation_loss"))
    if not values:
        return Judgement(ClaimVerdict.NOT_RUN, f"{named(key)}: trainings of fewer than two epochs")
    low, high, text = over_trainings(values)
    return Judgement(_within(low, high, margin), f"change of the validation loss {text}; margin ±{margin:g}")


def trend(history: History, field: str) -> float | None:
    """Change from the first epoch to the last on the straight line through all; ``None`` with fewer than two."""
    values = [epoch[field] for epoch in history if epoch.get(field) is not None]
    if len(values) < 2:
        return None
    return float(np.polyfit(np.arange(len(values)), values, 1)[0]) * (len(values) - 1)


def jump(history: History) -> float | None:
    """Validation AUC of the second phase's first epoch less that of the first phase's last one; ``None`` where nothing
    of the encoder was unfrozen between them."""
    first, second = ([epoch for epoch in history if epoch["phase"] == phase] for phase in (0, 1))
    if not first or not second or second[0].get("encoder_lr") == 0:
        return None
    before, after = first[-1]["validation_auc"], second[0]["validation_auc"]
    return None if None in (before, after) else float(after - before)


def last_gap(history: History) -> float | None:
    """Log-variance of fakes less that of reals after the last epoch."""
    gap = history[-1].get("log_variance_gap") if history else None
    return None if gap is None else float(gap)


def history_values(row: FinishedRow, change: Callable[[History], float | None]) -> list[float]:
    """The figure of each training that has it."""
    found = [change(training.history) for training in row.trainings]
    return [value for value in found if value is not None]


def over_trainings(values: Sequence[float]) -> tuple[float | None, float | None, str]:
    """Student's interval of the mean over trainings (``None`` with fewer than two), and both in words."""
    mean, low, high = float(np.mean(values)), None, None
    if len(values) > 1:
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)) * error
        low, high = mean - reach, mean + reach
    trainings = "one training" if len(values) == 1 else f"{len(values)} trainings"
    return low, high, f"{signed(mean)} {_interval(low, high)} ({trainings})"


def all_signals_fail(tests: SignalTests) -> Judgement:
    """Supported where every signal is absent by equivalence, refuted where one is found."""
    rows = tests.consecutive
    if not rows:
        return _unmeasured(rows)
    counts = Counter(row.verdict for row in rows)
    detectable = [1.0 if row.detectable_effect is None else row.detectable_effect for row in rows]
    because = (
        f"of {len(rows)} signals by method {counts[SignalVerdict.FOUND]} found, {counts[SignalVerdict.ABSENT]} absent "
        f"within ±{rows[0].margin:g}, {counts[SignalVerdict.UNDECIDED]} undecided; effects up to "
        f"{max(abs(row.effect) for row in rows):.2f}, detectable from {max(detectable):.2f}"
    )
    if counts[SignalVerdict.FOUND]:
        return Judgement(ClaimVerdict.REFUTED, because)
    absent = counts[SignalVerdict.ABSENT] == len(rows)
    return Judgement(ClaimVerdict.SUPPORTED if absent else ClaimVerdict.UNDECIDED, because)


def signals_inverted(tests: SignalTests, wanted: int = 3) -> Judgement:
    """Supported where so many signals are found higher in reals; refuted where so few can be left that may be."""
    rows = tests.consecutive
    if not rows:
        return _unmeasured(rows)
    names = {row.signal for row in rows}
    inverted = {row.signal for row in rows if row.verdict is SignalVerdict.FOUND and row.effect < 0}
    possible = {row.signal for row in rows if row.low <= 0 and row.verdict is not SignalVerdict.ABSENT}
    because = f"of {len(names)} signals {len(inverted)} found higher in reals, {len(possible)} at most"
    if len(inverted) >= wanted:
        return Judgement(ClaimVerdict.SUPPORTED, because)
    return Judgement(ClaimVerdict.REFUTED if len(possible) < wanted else ClaimVerdict.UNDECIDED, because)


def compression_destroys(tests: SignalTests) -> Judgement:
    """Supported where every effect shrinks with compression, refuted where one grows."""
    if not tests.levels:
        return Judgement(ClaimVerdict.NOT_RUN, "the signals were not measured on re-encoded footage")
    if tests.changes is None:
        return Judgement(ClaimVerdict.NOT_RUN, f"one level only, {', '.join(tests.levels)}; two or more are compared")
    found = tests.changes
    if not found:
        return Judgement(ClaimVerdict.NOT_RUN, "the re-encoded footage holds no pairs of a fake and its real")
    counts = Counter(one.verdict for one in found)
    because = f"of {len(found)} effects {counts['shrinks']} shrink, {counts['grows']} grow, the others show no change"
    if counts["grows"]:
        return Judgement(ClaimVerdict.REFUTED, because)
    return Judgement(ClaimVerdict.SUPPORTED if counts["shrinks"] == len(found) else ClaimVerdict.UNDECIDED, because)


def _unmeasured(rows: Sequence[SignalStatistics] | None) -> Judgement:
    why = "the signals were not measured" if rows is None else "no method has two fakes and two reals with a value"
    return Judgement(ClaimVerdict.NOT_RUN, why)


def missing(study: Study, keys: Sequence[str]) -> Judgement | None:
    """Not run, naming the rows that lack; ``None`` where all finished."""
    absent = [key for key in dict.fromkeys(keys) if key not in study.finished]
    reasons = [named(key) + (f" ({study.not_run[key]})" if key in study.not_run else "") for key in absent]
    return Judgement(ClaimVerdict.NOT_RUN, f"not run: {', '.join(reasons)}") if absent else None


def named(key: str) -> str:
    """A row's label in quotation marks, because labels hold commas and plus signs."""
    return f"‘{ROWS[key].label}’"


def stand_ins(study: Study, keys: Sequence[str]) -> dict[str, str]:
    """The encoder that was run in these rows, by the encoder that was meant, where they differ."""
    found = {}
    for key in keys:
        meant = ROWS[key].recipe.encoder.name
        finished = study.finished.get(key)
        if finished is not None and finished.result.stands_in_for is not None:
            found[finished.result.stands_in_for] = finished.result.recipe.encoder.name
        elif meant in study.settings.stand_ins:
            found[meant] = study.settings.stand_ins[meant]
    return found


def _pair(study: Study, compared: Sequence[RowComparison], a: str, b: str, domain: Domain) -> RowComparison | None:
    """a against b; the corrected p is that of the declared family, or ``None``."""
    for one in reversed(compared):  # a pair that two families declare is taken from its narrower, later one
        if one.domain == domain and {one.a, one.b} == {a, b}:
            if one.a == a:
                return one
            low, high = (None if end is None else -end for end in (one.high, one.low))
            swapped = {"a": a, "b": b, "auc_a": one.auc_b, "auc_b": one.auc_a, "low": low, "high": high}
            return replace(one, **swapped, difference=-one.difference)  # type: ignore[arg-type]
    return compare_two("claim", study.finished[a], study.finished[b], domain, FEW_RESAMPLES)


def _signs(found: Sequence[RowComparison]) -> list[float]:
    """1, −1 or 0 (not decided) of each, at the stricter of its family's correction and the claim's own."""
    own = holm([1.0 if one.p is None else one.p for one in found]).tolist()
    strict = [max(p, one.p_holm or 0.0) for p, one in zip(own, found, strict=True)]
    return [math.copysign(1, one.difference) if p < ALPHA else 0 for p, one in zip(strict, found, strict=True)]


def _of_signs(signs: Sequence[float]) -> ClaimVerdict:
    if min(signs) < 0:
        return ClaimVerdict.REFUTED
    return ClaimVerdict.SUPPORTED if min(signs) > 0 else ClaimVerdict.UNDECIDED


def _sign(low: float | None, high: float | None) -> int:
    if low is None or high is None:
        return 0
    return int(low > 0) - int(high < 0)


def _within(low: float | None, high: float | None, margin: float) -> ClaimVerdict:
    if low is None or high is None:
        return ClaimVerdict.UNDECIDED
    if -margin < low and high < margin:
        return ClaimVerdict.SUPPORTED
    return ClaimVerdict.REFUTED if low > margin or high < -margin else ClaimVerdict.UNDECIDED


def _error(one: RowComparison | None) -> float | None:
    if one is None or one.low is None or one.high is None:
        return None
    return (one.high - one.low) / (2 * normal_quantile(CONFIDENCE))


def _place(study: Study, domain: Domain) -> str:
    """The data set's name with its part in the study."""
    settings = study.settings
    return f"{settings.dataset}, in-domain" if domain == "in-domain" else f"{settings.cross_dataset}, second data set"


def _in_words(one: RowComparison) -> str:
    words = f"{named(one.a)} less {named(one.b)} {signed(one.difference)} {_interval(one.low, one.high)}"
    if one.p_holm is not None:
        words += f", corrected {_p(one.p_holm)}"
    elif one.p is not None:
        words += f", {_p(one.p)}"
    detectable = "" if one.detectable_difference is None else f", detectable {one.detectable_difference:.3f}"
    return f"{words}{detectable} ({one.n_real} real, {one.n_fake} fake)"


def _interval(low: float | None, high: float | None) -> str:
    return NO_INTERVAL if low is None or high is None else f"[{signed(low)}, {signed(high)}]"


def _p(p: float) -> str:
    words = p_value(p)
    return f"p {words}" if words.startswith("<") else f"p = {words}"
