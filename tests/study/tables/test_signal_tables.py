"""Tables of Experiment 1 against the measured values, tested another way."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from fabricated_study import fabricated_study
from stf_mamba.study import signals as signal_tests_module
from stf_mamba.study.results import SignalTables
from stf_mamba.study.rows import ROWS
from stf_mamba.study.signals import SignalTests, signal_tests
from stf_mamba.study.tables.signals import (
    compression_change_table,
    compression_table,
    signals_table,
    summarised_signals,
)

V8 = {"v8": 1.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return fabricated_study(tmp_path_factory.mktemp("signal-tables"), separation=V8, seeds=(42,))


@pytest.fixture(scope="module")
def tests(study):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stf_mamba.signals.comparison.RESAMPLES", 50)
        return signal_tests(study)


def cells_of(table, *wanted):
    row = next(row for row in table.rows if set(wanted) <= set(row))
    return dict(zip(table.columns, row, strict=True))


def differences(table, signal, method):
    """Fake less real of each person, by the person filmed."""
    values = {(row.identities[0], row.method): row.value for row in table.rows if row.signal == signal}
    people = sorted({person for person, _ in values})
    return np.array([values[person, method] - values[person, "original"] for person in people])


def test_the_change_by_compression_is_that_of_the_measured_pairs(study, tests):
    table = compression_change_table([study], [tests])
    assert len(table.rows) == 10
    cells = cells_of(table, "optical-flow discontinuity", "FaceSwap")
    first, last = study.signals.compression["source"], study.signals.compression["crf 40"]
    before, after = (differences(level, "flow", "FaceSwap") for level in (first, last))
    assert cells["Levels"] == "source to CRF 40"
    assert cells["Difference at the first level"] == f"{np.median(before):+.3g} grey levels"
    assert cells["Median change"] == f"{np.median(before - after):+.3g} grey levels"
    assert cells["Pairs"] == "16"
    p = stats.wilcoxon(before - after, method="exact").pvalue
    assert cells["p"] == f"{p:.2g}"
    ranks = stats.rankdata(np.abs(before - after))
    effect = np.sum(ranks * np.sign(before - after)) / ranks.sum()
    assert cells["Effect of the change"].startswith(f"{effect:+.3f} [")
    assert cells["Verdict"] in ("shrinks", "no change shown")


def test_both_tables_show_the_median_bits_per_pixel(study, tests):
    written = json.loads((study.folder / "signals/compression/bits-per-pixel.json").read_text())
    middle = {level.replace("crf", "CRF"): f"{np.median(list(rates.values())):.3f}" for level, rates in written.items()}
    table = compression_table([study], [tests])
    shown = {(row[2], row[3]) for row in table.rows}
    assert shown == set(middle.items())
    change = cells_of(compression_change_table([study], [tests]), "colour Wasserstein", "Deepfakes")
    assert change["Bits per pixel"] == f"{middle['source']} to {middle['CRF 40']}"


def test_a_rate_that_was_not_measured_is_said(study, tests):
    bare = dataclasses.replace(tests, bits_per_pixel={"source": 0.5})
    assert {row[3] for row in compression_table([study], [bare]).rows} == {"0.500", "not run"}
    assert {row[4] for row in compression_change_table([study], [bare]).rows} == {"not run"}


def test_without_pairs_a_note_says_so(study, tests):
    table = compression_change_table([study], [dataclasses.replace(tests, changes=())])
    assert {row[-1] for row in table.rows} == {"too few pairs"}
    assert len(table.rows) == 10
    assert any(note.startswith("No pair of a fake and its real") and "right" in note for note in table.notes)
    assert not any(note.startswith("No pair") for note in compression_change_table([study], [tests]).notes)


def test_without_compression_and_signals_every_cell_says_not_run(study):
    nothing = SignalTests(None, None, {}, None, {})
    bare = dataclasses.replace(study, signals=SignalTables(None, None, {}))
    change = compression_change_table([bare], [nothing])
    assert len(change.rows) == 5
    assert all(set(row[3:]) == {"not run"} for row in change.rows)
    assert {row[-1] for row in compression_table([bare], [nothing]).rows} == {"not run"}
    assert summarised_signals(nothing) == "not run"


def test_one_level_has_no_change(study):
    level = {"source": study.signals.compression["source"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal_tests_module, "signal_statistics", lambda table, paired: ())
        found = signal_tests(dataclasses.replace(study, signals=SignalTables(None, None, level)))
    assert found.changes is None
    assert {row[3] for row in compression_change_table([study], [found]).rows} == {"not run"}


def test_signals_are_shown_in_both_ways_beside_the_reported_ranges(study, tests):
    table = signals_table([study], [tests])
    assert Counter(row[3] for row in table.rows) == {"consecutive frames": 10, "report's way": 10}
    cells = cells_of(table, "optical-flow discontinuity", "report's way")
    assert cells["Test"] == "unpaired"
    assert cells["p (reported)"] == "0.52 to 0.76"
    assert summarised_signals(tests).startswith("of 10 tests: ")


def test_too_few_videos_are_no_error(study, tests):
    empty = dataclasses.replace(tests, consecutive=(), report=None)
    verdicts = Counter(row[-4] for row in signals_table([study], [empty]).rows)
    assert verdicts == {"too few videos with a value": 5, "not run": 5}


def test_each_table_of_values_is_tested_once(study, monkeypatch):
    from stf_mamba.study.tables import experiments as tables

    seen = []
    monkeypatch.setattr(signal_tests_module, "signal_statistics", lambda table, paired: seen.append(paired) or ())
    made = tables.study_tables([study], [()])
    assert seen == [True, False, True, True, True]
    assert {"signals", "compression", "compression-change"} <= {table.key for table in made}
    assert len({row[1] for table in made if table.key == "complete" for row in table.rows}) > len(ROWS)
