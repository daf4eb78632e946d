"""The report's way: what it changes in a recipe and leaves, and a split in which only the people put in leak."""

import dataclasses

import pytest

from stf_mamba.core.errors import DatasetError
from stf_mamba.core.recipe import OptimiserRecipe, Recipe
from stf_mamba.core.records import VideoRecord
from stf_mamba.datasets.audit import audit, require_disjoint
from stf_mamba.datasets.protocols import PUBLISHED_LEAKS, report_split
from stf_mamba.study.ablation_protocol import report_recipe
from stf_mamba.study.rows import ROWS


def differences(before, after):
    """Dotted keys whose values differ."""
    before, after = before.to_json(), after.to_json()
    return {
        f"{section}.{key}": after[section][key]
        for section in before
        if isinstance(before[section], dict)
        for key in before[section]
        if before[section][key] != after[section][key]
    } | {key: after[key] for key in before if not isinstance(before[key], dict) and before[key] != after[key]}


@pytest.mark.parametrize("key", ROWS)
def test_a_row_changes_as_the_report_trained_it_and_no_further(key):
    row = ROWS[key]
    expected = {"augment.draws": "frame"}
    if row.experiment in (2, 3):
        expected["data.frames"] = 4
    if key == "bigru-efficientnet-b0":
        expected["head.kind"] = "last_step"
    assert differences(row.recipe, report_recipe(row.recipe, row)) == expected


def test_a_recipe_of_no_row_keeps_its_frames_and_smooths_no_label():
    recipe = dataclasses.replace(Recipe(), optimiser=OptimiserRecipe(label_smoothing=0.1))
    expected = {"augment.draws": "frame", "optimiser.label_smoothing": 0.0}
    assert differences(recipe, report_recipe(recipe, None)) == expected


def ring(people):
    """Of each person one real video and one swap, whose face is the next person's."""
    names = [f"ffpp:{number:03d}" for number in range(people)]
    reals = [VideoRecord(f"ffpp/real/{name[5:]}", "x.mp4", 0, (name,), "real") for name in names]
    swaps = [
        VideoRecord(f"ffpp/Deepfakes/{a[5:]}_{b[5:]}", "x.mp4", 1, (a, b), "Deepfakes")
        for a, b in zip(names, names[1:] + names[:1], strict=True)
    ]
    return reals + swaps


@pytest.mark.parametrize(("people", "wanted"), [(4, 1), (26, 2), (130, 10)])
def test_targets_are_apart_sources_leak_and_both_labels_are_in_both_parts(people, wanted):
    records = ring(people)
    split = report_split(records, seed=3)
    assert (split.name, split.test) == ("report", ())
    assert sorted(split.train + split.validation) == sorted(record.video_id for record in records)
    label = {record.video_id: record.label for record in records}
    assert [label[i] for i in split.validation].count(0) == [label[i] for i in split.validation].count(1) == wanted
    assert {label[i] for i in split.train} == {0, 1}
    leaks = audit(split, records)
    assert {leak.kind for leak in leaks} == {"source"}
    require_disjoint(split, records, tolerated=PUBLISHED_LEAKS[split.name])


def test_the_seed_decides_and_the_order_of_records_does_not():
    records = ring(40)
    assert report_split(records[::-1], 1) == report_split(records, 1)
    assert report_split(records, 1).sha256 != report_split(records, 2).sha256


def test_the_fraction_is_of_each_labels_videos():
    assert len(report_split(ring(20), 1, validation_fraction=0.25).validation) == 10
    with pytest.raises(ValueError, match=r"validation_fraction is 1\.0"):
        report_split(ring(20), 1, validation_fraction=1.0)


def test_what_cannot_be_divided_is_named():
    with pytest.raises(DatasetError, match="1 real and 1 fake videos of 1 people"):
        report_split(ring(2)[::2], 1)
    unlabelled = VideoRecord("ffpp/other/1", "x.mp4")
    with pytest.raises(DatasetError, match="1 videos have no label: ffpp/other/1"):
        report_split([*ring(4), unlabelled], 1)
