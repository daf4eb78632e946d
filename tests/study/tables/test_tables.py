"""Tables of a fabricated study against its files, read another way."""

import dataclasses
import json

import pytest

from fabricated_study import fabricated_study
from stf_mamba.study.claims.comparisons import RowComparison
from stf_mamba.study.labels import study_labels
from stf_mamba.study.numbers import p_value, quantity, signed, with_interval
from stf_mamba.study.results import Study
from stf_mamba.study.rows import ROWS
from stf_mamba.study.signals import SignalTests
from stf_mamba.study.tables.comparisons import comparisons_table, protocols_table, variations_table
from stf_mamba.study.tables.experiments import (
    backbones_table,
    capacity_table,
    complete_table,
    setup_table,
    study_tables,
    temporal_table,
)
from stf_mamba.study.tables.table import Table, column_shares


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return fabricated_study(tmp_path_factory.mktemp("tables") / "split")


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return fabricated_study(tmp_path_factory.mktemp("tables") / "folds", "folds", {"v8": 1.0}, with_signals=False)


def compared(a: str, b: str, difference: float, low: float | None, high: float | None) -> RowComparison:
    """A comparison whose AUCs are 0.7 and 0.7 less the difference; without an interval it has no test either."""
    p = None if low is None else 0.0314
    return RowComparison(
        family="V8.0's settings",
        a=a,
        b=b,
        domain="in-domain",
        auc_a=0.7,
        auc_b=0.7 - difference,
        difference=difference,
        low=low,
        high=high,
        p=p,
        p_holm=None if p is None else 2 * p,
        delong_p=None,
        delong_p_holm=None,
        n_real=16,
        n_fake=32,
        detectable_difference=None,
    )


COMPARISONS = (
    compared("v8-frames-8", "v8", -0.1, -0.25, 0.05),
    compared("v8", "v8-mixer-gru", 0.1, -0.02, 0.22),
    compared("v8-head-content", "v8", -0.1, None, None),
)


def by_label(table: Table, label: str) -> dict[str, str]:
    row = next(row for row in table.rows if label in row)
    return dict(zip(table.columns, row, strict=True))


def test_a_table_refuses_an_empty_cell_and_a_row_of_another_length() -> None:
    with pytest.raises(ValueError, match="empty cell"):
        Table("t", "T", ("a", "b"), (("1", ""),))
    with pytest.raises(ValueError, match="1 cells under 2 columns"):
        Table("t", "T", ("a", "b"), (("1",),))


def test_columns_share_the_page_by_what_they_hold() -> None:
    shares = column_shares(Table("t", "T", ("a", "b"), (("1", "a long sentence of many words " * 4),)))
    assert sum(shares) == pytest.approx(1)
    assert shares[1] > 2 * shares[0]


def test_numbers_are_written_with_their_interval_and_two_digits_of_p() -> None:
    assert with_interval(0.81249, 0.7, 0.9) == "0.812 [0.700, 0.900]"
    assert with_interval(0.5, None, None) == "0.500 no interval"
    assert (p_value(0.03149), p_value(0.00000312), p_value(None)) == ("0.031", "< 0.0001", "no test")
    assert (p_value(0.0496), p_value(0.0504)) == ("0.0496", "0.0504")
    assert (signed(-0.25), signed(-0.00001), signed(0.5)) == ("−0.250", "0.000", "+0.500")
    assert quantity(-12.345, "px") == "−12.3 px"


def test_backbones_show_the_figures_of_row_json(split: Study) -> None:
    written = json.loads((split.folder / "rows/frame-resnet50/row.json").read_text())
    cells = by_label(backbones_table([split]), "ResNet-50 frame-level")
    auc, cross = written["in_domain"]["auc"], written["cross"]["auc"]
    assert cells["In-domain AUC"] == f"{auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]"
    assert cells["Gap"] == f"{auc['value'] - cross['value']:+.3f}".replace("-", "−")
    assert cells["Trainable (M)"] == f"{written['trainable_parameters'] / 1e6:.1f}"
    assert (cells["FF++ AUC (reported)"], cells["Celeb-DF AUC (reported)"]) == ("0.696", "0.607")


def test_an_auc_without_interval_or_with_missing_videos_says_so(split: Study) -> None:
    finished = split.finished["frame-resnet50"]
    bare = dataclasses.replace(finished.result.in_domain.auc, value=0.625, low=None, high=None)
    measured = dataclasses.replace(finished.result.in_domain, auc=bare, coverage=0.9)
    result = dataclasses.replace(finished.result, in_domain=measured)
    changed = dataclasses.replace(
        split, finished={"frame-resnet50": dataclasses.replace(finished, result=result)}, not_run={}
    )
    table = backbones_table([changed])
    assert by_label(table, "ResNet-50 frame-level")["In-domain AUC"] == "0.625 no interval, 90.0 % of the videos"
    assert by_label(table, "Xception frame-level")["In-domain AUC"] == "not run"


def test_the_phases_are_the_mean_of_hand_written_histories(split: Study) -> None:
    def training(seed: int, *aucs: float) -> object:
        history = tuple({"phase": at // 2, "validation_auc": auc} for at, auc in enumerate(aucs))
        return dataclasses.replace(split.finished["bigru-efficientnet-b0"].trainings[0], seed=seed, history=history)

    finished = dataclasses.replace(
        split.finished["bigru-efficientnet-b0"],
        trainings=(training(1, 0.6, 0.5, 0.7, 0.9), training(2, 0.4, 0.5, 0.6, 0.5)),
    )
    changed = dataclasses.replace(split, finished={**split.finished, "bigru-efficientnet-b0": finished})
    cells = by_label(temporal_table([changed]), "B0 + bidirectional GRU")
    # Best of phase 1: 0.6 and 0.5; first of phase 2: 0.7 and 0.6; best of phase 2: 0.9 and 0.6.
    assert cells["Phase 1, best validation AUC"] == "0.550"
    assert cells["Phase 2, first epoch"] == "0.650"
    assert cells["Phase 2, best"] == "0.750"
    assert cells["Jump at the boundary"] == "+0.100"


def test_capacity_says_when_the_validation_loss_was_lowest(split: Study) -> None:
    finished = split.finished["frame-efficientnet-b4"]
    history = tuple({"phase": 0, "validation_loss": loss} for loss in (0.69, 0.6, 0.7, 0.75))
    one = dataclasses.replace(finished.trainings[0], history=history)
    changed = dataclasses.replace(
        split, finished={"frame-efficientnet-b4": dataclasses.replace(finished, trainings=(one,))}
    )
    cells = by_label(capacity_table([changed]), "EfficientNet-B4 frame-level")
    assert cells["Epoch of the lowest validation loss"] == "2.0 of 4"
    assert cells["Validation loss, lowest to last"] == "0.600 to 0.750"
    assert cells["Rise after the lowest"] == "+0.150"


def test_differences_to_v8_are_turned_the_same_way(split: Study) -> None:
    table = variations_table([split], [COMPARISONS])
    assert by_label(table, "8 frames†")["Less V8.0, in-domain"] == "−0.100 [−0.250, +0.050]"
    # The comparison was V8.0 less the other: its interval turns with it.
    assert by_label(table, "gru†")["Less V8.0, in-domain"] == "−0.100 [−0.220, +0.020]"
    assert by_label(table, "content†")["Less V8.0, in-domain"] == "−0.100 no interval"
    assert by_label(table, "32 frames (V8.0)†")["Less V8.0, in-domain"] == "reference"


def test_every_setting_has_v8_as_a_row_of_its_group(split: Study) -> None:
    rows = variations_table([split], [()]).rows
    settings = {row.varies for row in ROWS.values() if row.varies}
    assert {row[0] for row in rows if row[1].endswith("(V8.0)†")} == settings


def test_the_complete_table_names_every_row_and_why_one_is_missing(split: Study) -> None:
    table = complete_table([split], [SignalTests(None, None, {}, None, {})])
    assert [row[1].rstrip("†") for row in table.rows[1 : 1 + len(ROWS)]] == [row.label for row in ROWS.values()]
    assert by_label(table, ROWS["sbi"].label)["State"] == "not run: no weights of efficientnet_b4_sbi"
    published = [row for row in table.rows if row[0] == "*"]
    measured = [place for place, name in enumerate(table.columns) if name in ("In-domain AUC", "Second data set AUC")]
    assert published
    assert all(row[place] == "—" for row in published for place in measured)


def test_a_study_without_signals_and_second_data_set_says_so(folds: Study) -> None:
    tables = {table.key: table for table in study_tables([folds])}
    assert all("not run" in row for row in tables["signals"].rows)
    assert tables["complete"].rows[0][7] == "not run"
    assert by_label(tables["complete"], ROWS["v8"].label + "†")["Second data set AUC"] == "no second data set"


def test_studies_stand_side_by_side_under_their_protocols(split: Study, folds: Study) -> None:
    other = dataclasses.replace(folds, settings=dataclasses.replace(folds.settings, protocol="report"))
    assert study_labels([split, other]) == ("right", "report")
    assert study_labels([split, folds]) == ("right, split", "right, folds")
    assert setup_table([split, other]).columns == ("Setting", "right", "report")
    protocols = [row[1] for row in backbones_table([split, other]).rows if row[0] == "ResNet-50 frame-level"]
    assert protocols == ["right", "report"]


def test_rows_of_both_protocols_stand_beside_each_other_with_their_difference(
    split: Study, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tables") / "report"
    separation = {"v8": 3.0, "v8-layers-0": 1.0}
    report = fabricated_study(root, separation=separation, with_signals=False, protocol="report")
    table = protocols_table([report, split])
    assert [row[:3] for row in table.rows] == [
        (ROWS["v8"].label + "†", "ffpp-c23, in-domain", "right and report"),
        (ROWS["v8"].label + "†", "celebdf, second data set", "right and report"),
    ]
    right, wrong = (
        json.loads((study.folder / "rows/v8/row.json").read_text())["cross"]["auc"] for study in (split, report)
    )
    cells = dict(zip(table.columns, table.rows[1], strict=True))
    assert cells["AUC, right protocol"] == f"{right['value']:.3f} [{right['low']:.3f}, {right['high']:.3f}]"
    assert cells["AUC, report's protocol"] == f"{wrong['value']:.3f} [{wrong['low']:.3f}, {wrong['high']:.3f}]"
    assert cells["Report minus right"] == f"{wrong['value'] - right['value']:+.3f}"
    assert cells["Test videos, report"] == "16 real, 32 fake"
    assert any("no paired" in note and "no test" in note for note in table.notes)


def test_the_protocols_are_compared_only_where_studies_of_both_are_there(folds: Study) -> None:
    other = dataclasses.replace(folds, settings=dataclasses.replace(folds.settings, protocol="report"))
    assert "protocols" not in [table.key for table in study_tables([folds])]
    assert "protocols" in [table.key for table in study_tables([folds, other])]


def test_a_row_run_with_a_stand_in_is_marked_in_every_table(split: Study) -> None:
    for table in (backbones_table([split]), complete_table([split], [SignalTests(None, None, {}, None, {})])):
        names = {cell for row in table.rows for cell in row}
        assert {"DINOv2-ViT-B/14 frame-level†", "ResNet-50 frame-level"} <= names
        assert "DINOv2-ViT-B/14 frame-level" not in names
        assert any(note.startswith("† ") for note in table.notes)
    own = dataclasses.replace(split, settings=dataclasses.replace(split.settings, stand_ins={}))
    assert not any("†" in text for row in backbones_table([own]).rows for text in row)
    assert not any(note.startswith("†") for note in backbones_table([own]).notes)


def test_comparisons_without_a_test_say_so(split: Study) -> None:
    cells = by_label(comparisons_table([split], [COMPARISONS]), ROWS["v8-head-content"].label + "†")
    assert (cells["p"], cells["DeLong p"], cells["Difference"]) == ("no test", "no test", "−0.100 no interval")


def test_no_table_names_a_place_on_this_machine(folds: Study) -> None:
    text = "".join(cell for table in study_tables([folds]) for row in table.rows for cell in row)
    assert str(folds.folder.parent) not in text


def test_tables_of_no_study_are_refused() -> None:
    with pytest.raises(ValueError, match="no study"):
        study_tables([])
