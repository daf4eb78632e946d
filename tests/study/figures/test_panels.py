"""What figures draw is computed apart from drawing; here it meets cases worked by hand."""

from types import SimpleNamespace

import pytest

from fabricated_study import fabricated_study
from stf_mamba.core.records import REAL
from stf_mamba.evaluation.metrics import Estimate
from stf_mamba.study.figures.encoders import beside, correlation_words, frame_level_reference, plot_capacity
from stf_mamba.study.figures.panels import counts_in_words, curve, footer, interval_words, row_label
from stf_mamba.study.figures.save import save_formats
from stf_mamba.study.figures.signals import groups, level_label
from stf_mamba.study.figures.summary import ranking, step_verdicts
from stf_mamba.study.results import Training


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    chosen = {"frame-efficientnet-b0": 0.0, "frame-resnet50": 1.0, "v8": 4.0}
    return fabricated_study(tmp_path_factory.mktemp("parts"), separation=chosen)


def _training(values, phases):
    history = [
        {"epoch": at, "phase": phase, "validation_loss": value, "train_loss": 0.5}
        for at, (value, phase) in enumerate(zip(values, phases, strict=True))
    ]
    return Training(42, None, tuple(history))


def test_a_curve_averages_the_epochs_that_every_training_reached():
    found = curve([_training([1.0, 2.0, 3.0], [0, 0, 1]), _training([3.0, 6.0], [0, 0])], "validation_loss")
    assert found.epochs == (1, 2)
    assert found.mean == (2.0, 4.0)
    assert found.lines[0] == ((1, 2, 3), (1.0, 2.0, 3.0))
    assert found.boundaries == (2,)


def test_a_curve_may_be_a_difference():
    assert curve([_training([1.0, 2.0], [0, 0])], "validation_loss", "train_loss").mean == (0.5, 1.5)


def test_the_baseline_is_the_best_of_the_mean_over_trainings(study):
    histories = [one.history for one in study.finished["frame-efficientnet-b0"].trainings]
    by_epoch = [sum(h[at]["validation_auc"] for h in histories) / len(histories) for at in range(6)]
    assert frame_level_reference(study) == pytest.approx(max(by_epoch))


def test_rows_are_ranked_by_the_second_data_set(study):
    order = ranking(study)
    aucs = [study.finished[key].result.cross.auc.value for key in order]
    assert order[0] == "v8"
    assert aucs == sorted(aucs, reverse=True)


def test_steps_count_the_verdicts_of_their_experiment():
    given = [(1, "refuted"), (1, "undecided"), (1, "refuted"), (4, "supported")]
    found = step_verdicts([SimpleNamespace(experiment=step, verdict=word) for step, word in given])
    assert found["1"] == "2 refuted, 1 undecided"
    assert found["4"] == "1 supported"
    assert found["2"] == found["3"] == found["5"] == "not run"


def test_real_videos_come_first_and_all_are_there(study):
    table = study.signals.consecutive
    found = groups(table, "srm")
    assert list(found) == ["real", "Deepfakes", "FaceSwap"]
    assert found["real"] == [row.value for row in table.rows if row.signal == "srm" and row.label == REAL]


def test_labels_and_footer_name_the_stand_in(study):
    assert row_label(study, "v8", 60).endswith("†")
    assert not row_label(study, "frame-resnet50", 60).endswith("†")
    assert "not run" in row_label(study, "frame-xception", 60)
    assert "† a miniature ViT stands in for DINOv2-ViT-B/14" in footer(study).replace("\n", " ")
    assert "says nothing about real deepfakes" in footer(study).replace("\n", " ")


def test_points_that_nearly_coincide_stand_beside_each_other():
    assert beside([10.0, 1.0, 10.0], 0.1) == pytest.approx([9.75, 1.0, 10.25])
    assert beside([10.0] * 20, 0.1)[-1] - 10.0 <= 0.5  # however many, nobody moves by more than half a share
    assert min(beside([0.0, 0.0, 9.0], 0.1)) == 0  # and nothing has fewer than no parameters


def test_counts_and_intervals_in_words(study):
    assert counts_in_words(study, tuple(study.finished), "cross") == "16 real and 32 fake videos"
    assert counts_in_words(study, ("frame-xception",), "cross") == "not run"
    bare = Estimate("AUC", 0.6, None, None, 0.95, 3, 4, 2, 1, 1)
    assert interval_words([bare]) == "no intervals: too few groups of people"
    assert interval_words([bare, study.finished["v8"].result.cross.auc]) == "lines: 95% interval over people"


def test_a_level_is_named_with_its_rate():
    assert level_label("crf 23", 0.1234) == "CRF 23\n0.12 bit/pixel"
    assert level_label("source", None) == "source"


def test_too_few_rows_have_no_correlation(study):
    assert "needs four rows" in correlation_words(study, tuple(study.finished))


def test_the_same_study_gives_the_same_bytes(study, tmp_path):
    first, second = (
        [path.read_bytes() for path in save_formats(plot_capacity(study), _made(tmp_path / place) / "figure-4")]
        for place in ("a", "b")
    )
    assert first == second


def _made(folder):
    folder.mkdir()
    return folder
