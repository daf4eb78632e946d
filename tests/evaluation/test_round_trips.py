"""What we write and read again is the same, for every text, or it is not written at all."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stf_mamba.clips.records import Manifest, ManifestEntry
from stf_mamba.core.errors import RunError
from stf_mamba.core.records import ClipScore, Outcome, TrackScore, Verdict, VideoRecord, load_record
from stf_mamba.evaluation.predictions import Prediction, Predictions
from stf_mamba.evaluation.stamped_csv import (
    from_cell,
    people_from_cell,
    people_to_cell,
    read_stamped_csv,
    to_cell,
    write_stamped_csv,
)
from stf_mamba.signals.table import Footage, SignalRow, SignalTable

# Every letter that Python knows, and the halves that stand for bytes of a file's name that are no letters.
BYTES = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
LETTERS = st.one_of(st.characters(), BYTES, st.sampled_from('"|[]#:,;\r\n\t\0 \u2028'))
TEXTS = st.text(LETTERS, max_size=8)
NAMES = ("x\ny", "x\u2028y", "x\ry", "x\r\ny", "a|b", "caf\udce9")
ODD = (*NAMES, '"', '"a"', "|", "[", "", " ", "#", "\ufeff", "\ufffd", "\0", "\x85")
MAYBE = st.none() | TEXTS
PEOPLE = st.lists(TEXTS, max_size=3).map(tuple)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0)
LABELS = st.sampled_from([None, 0, 1])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("round-trips") / "file"


def examples(test):
    for text in ODD:
        test = example(text=text)(test)
    return test


@examples
@given(text=TEXTS)
def test_every_text_survives_in_every_place_of_predictions(place, text):
    row = Prediction(text, text, 1, (text, "b", text), text, text, 0.5, Outcome.MANIPULATED, 2)
    predictions = Predictions((row, row), {"data set": text, "part": f"all {text}"})
    assert Predictions.load(predictions.save(place)) == predictions


@given(st.builds(Prediction, TEXTS, TEXTS, LABELS, PEOPLE, MAYBE, MAYBE, NUMBERS, st.sampled_from(Outcome), COUNTS))
def test_every_prediction_survives(place, row):
    assert Predictions.load(Predictions((row,), {}).save(place)).rows == (row,)


FOOTAGE = st.builds(
    Footage,
    st.fractions(min_value=Fraction(1, 100), max_value=1000),
    st.integers(1, 9999),
    st.integers(1, 9999),
    st.floats(0, 1e6),
)


@given(
    st.builds(
        SignalRow,
        TEXTS,
        TEXTS,
        NUMBERS,
        MAYBE,
        LABELS,
        PEOPLE,
        MAYBE,
        MAYBE,
        st.none() | FOOTAGE,
        st.integers(0),
        MAYBE,
    )
)
def test_every_row_of_signals_survives(place, row):
    table = SignalTable((row,), {"protocol": "consecutive"})
    assert SignalTable.load(table.save(place)) == table


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2).map(tuple), max_size=4).map(tuple), TEXTS)
def test_every_stamped_table_survives(place, rows, stamped):
    cells = [[to_cell(text) for text in row] for row in rows]
    write_stamped_csv(place, {"key": stamped}, ("one", "two"), cells)
    read = read_stamped_csv(place, ("one", "two"), lambda cell: tuple(map(from_cell, cell.values())), "rows", "again")
    assert read == (rows, {"key": stamped})


@given(PEOPLE)
def test_every_cast_survives(people):
    assert people_from_cell(people_to_cell(people)) == people


@examples
@given(text=TEXTS)
def test_every_text_survives_in_a_verdict(place, text):
    clip = ClipScore(0.0, 1.0, 0.5, -3.0, (0.5, 1.0), (0.0, 1.0), (), {"a comparison": 0.25})
    track = TrackScore(0, 0.5, 0.75, (clip,))
    verdict = Verdict(Outcome.INCONCLUSIVE, 0.75, (0.5, 1.0), (text, text), (track,), (), {"file": text, "all": [text]})
    verdict.save(place)
    assert load_record(Verdict, place, RunError, "again") == verdict


@examples
@given(text=TEXTS)
def test_a_name_in_a_verdict_survives_or_is_refused(place, text):
    verdict = Verdict(Outcome.INCONCLUSIVE, None, None, (), (), (), {text: "value"})
    try:
        verdict.save(place)
    except ValueError:
        assert any("\ud800" <= letter <= "\udfff" for letter in text)
    else:
        assert load_record(Verdict, place, RunError, "again") == verdict


@examples
@given(text=TEXTS)
def test_every_text_survives_in_a_manifest(place, text):
    record = VideoRecord(text, Path("videos", text.replace("\0", "0") or "0"), 1, (text,), text, text, text, text)
    manifest = Manifest(text, (ManifestEntry(record, text, 0, text),))
    manifest.save(place)
    assert load_record(Manifest, place, RunError, "again") == manifest


def test_what_json_would_join_is_refused_and_not_changed(place):
    halves = "\ud83d\ude00"
    with pytest.raises(ValueError, match="surrogates"):
        Predictions((Prediction(halves, "p", None, (), None, None, None, Outcome.INCONCLUSIVE, 0),), {}).save(place)
    with pytest.raises(ValueError, match="surrogates"):
        Manifest(halves, ()).save(place)


@pytest.mark.parametrize("key", ["a: b", "a:", "a\nb", "", " a", "\u2028"])
def test_a_key_that_would_not_come_back_is_refused(place, key):
    with pytest.raises(ValueError, match="cannot stand in the header"):
        Predictions((), {key: "value"}).save(place)


def test_a_table_that_a_spreadsheet_saved_again_reads_alike(place):
    row = Prediction("a", "a.mp4", 0, ("x", "y"), "m", None, 0.25, Outcome.NOT_FLAGGED, 1)
    predictions = Predictions((row,), {"part": "all"})
    text = predictions.save(place).read_text(encoding="utf-8")
    for written in (text.encode("utf-8-sig"), text.replace("\n", "\r\n").encode(), text.encode("utf-16")):
        place.write_bytes(written)
        assert Predictions.load(place) == predictions
