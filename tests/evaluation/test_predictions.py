"""``predictions.csv`` is a contract: what is written is what is read, and a score is never made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stf_mamba.core.errors import RunError
from stf_mamba.core.records import Outcome
from stf_mamba.evaluation.predictions import COLUMNS, Prediction, Predictions

ROW = Prediction("ffpp/real/000", "a b/000.mp4", 0, ("ffpp:000",), "real", "c23", -1.25, Outcome.NOT_FLAGGED, 2)
BLIND = Prediction("ffpp/real/001", "c,d.mp4", 0, (), None, None, None, Outcome.NOT_ANALYSABLE, 0)


def test_contract_columns():
    assert COLUMNS == (
        "video_id",
        "path",
        "label",
        "identities",
        "method",
        "compression",
        "score",
        "outcome",
        "n_clips",
    )


def test_round_trip_with_stamp(tmp_path):
    predictions = Predictions((ROW, BLIND), {"dataset": "ffpp-c23", "frames": "32 of 32, uniform"})
    path = predictions.save(tmp_path / "p.csv")
    assert Predictions.load(path) == predictions
    assert path.read_text().splitlines()[0] == "# dataset: ffpp-c23"


@given(score=st.floats(allow_nan=False, allow_infinity=False))
def test_scores_keep_every_digit(score, tmp_path_factory):
    row = Prediction("a/b/c", "p", 1, ("x", "y"), "m", None, score, Outcome.INCONCLUSIVE, 1)
    path = Predictions((row,), {}).save(tmp_path_factory.mktemp("p") / "p.csv")
    assert Predictions.load(path).rows[0].score == score


def test_unscored_videos_count_against_coverage_and_not_as_scores():
    predictions = Predictions((ROW, BLIND), {})
    assert predictions.coverage == 0.5
    assert predictions.scored() == [ROW]
    assert Predictions((), {}).coverage == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "expected \\['video_id'"),
        ("", "has the columns \\[\\]"),
        (",".join(COLUMNS) + "\nx,y,2,,,,0.5,not_flagged,1\n", "line 2 does not parse: label 2"),
        (",".join(COLUMNS) + "\nx,y,1,,,,half,not_flagged,1\n", "line 2 does not parse"),
        ("# a: b\n" + ",".join(COLUMNS) + "\nx,y\n", "line 3 does not parse: 2 cells"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(RunError, match=message):
        Predictions.load(tmp_path / "p.csv")
