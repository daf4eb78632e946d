"""A budget takes the same from every row and leaves what the row is about."""

from dataclasses import replace

import pytest

from stf_mamba.core.errors import UsageError
from stf_mamba.models.clip_detector import build_detector
from stf_mamba.study.budgets import BUDGETS, planned_recipe
from stf_mamba.study.rows import KEYS, ROWS, chosen_keys


@pytest.mark.parametrize("key", list(ROWS))
def test_every_row_builds_in_the_miniature(key):
    recipe = planned_recipe(ROWS[key], BUDGETS["miniature"], {})
    build_detector(recipe)
    assert recipe.epochs <= 4
    if ROWS[key].varies == "sequence length":
        assert recipe.data.frames == ROWS[key].recipe.data.frames


def test_the_full_budget_is_the_recipe_itself():
    assert all(planned_recipe(row, BUDGETS["full"], {}) == row.recipe for row in ROWS.values())


def test_every_row_has_a_validation_part():
    row = ROWS["v8-relations"]
    recipe = replace(row.recipe, data=replace(row.recipe.data, validation="folds"))
    assert planned_recipe(row, BUDGETS["full"], {}, recipe).data.validation == "part"


def test_two_phases_stay_two_and_keep_the_tenth():
    phases = planned_recipe(ROWS["bigru-efficientnet-b0"], BUDGETS["small"], {}).phases
    assert [phase.epochs for phase in phases] == [4, 8]
    assert phases[0].encoder_lr == 0
    assert phases[1].head_lr == pytest.approx(phases[0].head_lr / 10)


def test_a_depth_keeps_its_share_of_the_stand_in():
    recipe = planned_recipe(ROWS["v8-block-8"], BUDGETS["full"], {"dinov2_vitb14": "vit_miniature"})
    assert recipe.encoder.blocks == 3  # 8 of 12 in a network of 4, rounded


def test_stand_ins_must_be_encoders_that_can():
    with pytest.raises(UsageError, match="is no encoder"):
        planned_recipe(ROWS["v8"], BUDGETS["full"], {"dinov2_vitb14": "vit"})
    with pytest.raises(UsageError, match="none to stand in with"):
        planned_recipe(ROWS["v8-token-zones"], BUDGETS["full"], {"dinov2_vitb14": "cnn_miniature"})


def test_rows_are_chosen_by_name_and_beginning():
    assert chosen_keys(None) == KEYS
    assert chosen_keys("v8-frames-*, gattu") == ("v8-frames-8", "v8-frames-16", "v8-frames-64", "gattu")
    with pytest.raises(UsageError, match="no row 'v9'"):
        chosen_keys("v8,v9")
