"""Tables of a fabricated study against its files, read another way."""

import dataclasses
import json
from pathlib import Path

import pytest
import study_stubs

from fabricated_study import fabricated_study
from stf_mamba.study.cells import Table, p_value, study_labels, with_interval
from stf_mamba.study.results import Study
from stf_mamba.study.rows import ROWS
from stf_mamba.study.tables import (
    backbones_table,
    capacity_table,
    comparisons_table,
    complete_table,
    setup_table,
    study_tables,
    temporal_table,
    variations_table,
)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return fabricated_study(tmp_path_factory.mktemp("tables") / "split")


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return fabricated_study(tmp_path_factory.mktemp("tables") / "folds", "folds", {"v8": 1.0}, with_signals=False)


@pytest.fixture(autouse=True)
def _stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    study_stubs.install(monkeypatch)


def by_label(table: Table, label: str) -> dict[str, str]:
    row = next(row for row in table.rows if label in row)
    return dict(zip(table.columns, row, strict=True))


def test_a_table_refuses_an_empty_cell_and_a_row_of_another_length() -> None:
    with pytest.raises(ValueError, match="empty cell"):
        Table("t", "T", ("a", "b"), (("1", ""),))
    with pytest.raises(ValueError, match="1 cells under 2 columns"):
        Table("t", "T", ("a", "b"), (("1",),))


def test_numbers_are_written_with_their_interval_and_two_digits_of_p() -> None:
    assert with_interval(0.81249, 0.7, 0.9) == "0.812 [0.700, 0.900]"
    assert with_interval(0.5, None, None) == "0.500 no interval"
    assert (p_value(0.03149), p_value(0.00000312), p_value(None)) == ("0.031", "< 0.0001", "no test")


def test_backbones_show_the_figures_of_row_json(split: Study) -> None:
    written = json.loads((split.folder / "rows/frame-resnet50/row.json").read_text())
    cells = by_label(backbones_table([split]), "ResNet-50 frame-level")
    auc, cross = written["in_domain"]["auc"], written["cross"]["auc"]
    assert cells["In-domain AUC"] == f"{auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]"
    assert cells["Gap"] == f"{auc['value'] - cross['value']:+.3f}"
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
    table = variations_table([split], [study_stubs.COMPARISONS])
    assert by_label(table, "8 frames")["Less V8.0, in-domain"] == "-0.100 [-0.250, +0.050]"
    # The comparison was V8.0 less the other: its interval turns with it.
    assert by_label(table, "gru")["Less V8.0, in-domain"] == "-0.100 [-0.220, +0.020]"
    assert by_label(table, "content")["Less V8.0, in-domain"] == "-0.100 no interval"
    assert by_label(table, "32 frames (V8.0)")["Less V8.0, in-domain"] == "reference"


def test_every_setting_has_v8_as_a_row_of_its_group(split: Study) -> None:
    rows = variations_table([split], [()]).rows
    settings = {row.varies for row in ROWS.values() if row.varies}
    assert {row[0] for row in rows if row[1].endswith("(V8.0)")} == settings


def test_the_complete_table_names_every_row_and_why_one_is_missing(split: Study) -> None:
    table = complete_table([split])
    assert [row[1] for row in table.rows[1 : 1 + len(ROWS)]] == [row.label for row in ROWS.values()]
    assert by_label(table, ROWS["sbi"].label)["State"] == "not run: no weights of efficientnet_b4_sbi"
    published = [row for row in table.rows if row[0] == "*"]
    measured = [place for place, name in enumerate(table.columns) if name in ("In-domain AUC", "Second data set AUC")]
    assert published
    assert all(row[place] == "—" for row in published for place in measured)


def test_a_study_without_signals_and_second_data_set_says_so(folds: Study) -> None:
    tables = {table.key: table for table in study_tables([folds])}
    assert all("not run" in row for row in tables["signals"].rows)
    assert tables["complete"].rows[0][7] == "not run"
    assert by_label(tables["complete"], ROWS["v8"].label)["Second data set AUC"] == "no second data set"


def test_studies_stand_side_by_side_under_their_protocols(split: Study, folds: Study) -> None:
    other = dataclasses.replace(folds, settings=dataclasses.replace(folds.settings, protocol="report"))
    assert study_labels([split, other]) == ("right", "report")
    assert study_labels([split, folds]) == ("right, split", "right, folds")
    assert setup_table([split, other]).columns == ("Setting", "right", "report")
    protocols = [row[1] for row in backbones_table([split, other]).rows if row[0] == "ResNet-50 frame-level"]
    assert protocols == ["right", "report"]


def test_comparisons_without_a_test_say_so(split: Study) -> None:
    cells = by_label(comparisons_table([split], [study_stubs.COMPARISONS]), ROWS["v8-head-content"].label)
    assert (cells["p"], cells["DeLong p"], cells["Difference"]) == ("no test", "no test", "-0.100 no interval")


def test_no_table_names_a_place_on_this_machine(split: Study, tmp_path: Path) -> None:
    text = "".join(cell for table in study_tables([split]) for row in table.rows for cell in row)
    assert str(split.folder.parent) not in text


def test_tables_of_no_study_are_refused() -> None:
    with pytest.raises(ValueError, match="no study"):
        study_tables([])
