"""A step: micro-batches, mixed precision and the margin, each against a step made by hand."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stf_mamba.core.errors import DatasetError, RecipeError
from stf_mamba.core.recipe import (
    DataRecipe,
    EncoderRecipe,
    HeadRecipe,
    OptimiserRecipe,
    PhaseRecipe,
    Recipe,
    TemporalRecipe,
)
from stf_mamba.models.clip_detector import build_detector
from stf_mamba.training.items import ClipBatch, in_pieces
from stf_mamba.training.optimisation import PhaseOptimiser, class_weights_of, cross_entropy, margin_hinge

CPU = torch.device("cpu")
PHASE = PhaseRecipe(1, 0, 1e-3, 1e-3)
RECIPE = Recipe(
    encoder=EncoderRecipe("vit_miniature", 1),
    temporal=TemporalRecipe("hydra", 1, 64),
    data=DataRecipe(frames=3),
    phases=(PHASE,),
)
WEIGHTS = torch.tensor([1.5, 0.75])
LABELS = [0, 1, 1, 0, 1]


def frames():
    return torch.randint(0, 256, (5, 3, 3, 224, 224), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def pieces(size):
    return [ClipBatch(frames()[piece], torch.tensor(LABELS)[piece]) for piece in in_pieces(range(5), size)]


def stepped(size, recipe=RECIPE, precision=None, start_scale=None):
    """The model and optimiser after one step in pieces of a size, and what the step returned."""
    model = build_detector(recipe)
    optimiser = PhaseOptimiser(model, recipe, PHASE, WEIGHTS, CPU, precision)
    if start_scale is not None:
        optimiser.scaler = torch.amp.GradScaler("cpu", init_scale=start_scale, enabled=precision == torch.float16)
    return model, optimiser, optimiser.step(iter(pieces(size)), 5, factor=1.0)


def gradient(model):
    """The clipped gradient that the step was taken with, as one vector."""
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_a_step_is_the_gradient_of_the_weighted_mean_clipped():
    model, _, result = stepped(None)
    plain = build_detector(RECIPE)
    output = plain(frames())
    losses = F.binary_cross_entropy_with_logits(output.logit, torch.tensor(LABELS).float(), reduction="none")
    loss = (losses * WEIGHTS[LABELS]).sum() / 5
    loss.backward()
    norm = gradient(plain).norm()
    assert result.loss == pytest.approx(loss.item(), rel=1e-6)
    assert result.gradient_norm == pytest.approx(float(norm), rel=1e-5)
    torch.testing.assert_close(gradient(model), gradient(plain) * min(1.0, 1.0 / float(norm)), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_micro_batches_add_up_to_the_whole_batch(size):
    whole, _, expected = stepped(None)
    parts, _, result = stepped(size)
    assert result == pytest.approx(expected, rel=1e-5)
    assert (gradient(parts) - gradient(whole)).norm() < 1e-5 * gradient(whole).norm()


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_micro_batches_add_up_under_autocast(precision):
    """Low precision rounds each clip by itself, so that pieces differ from the whole by far less than from float32."""
    exact, _, _ = stepped(None)
    whole, _, expected = stepped(None, precision=precision, start_scale=256.0)
    parts, optimiser, result = stepped(2, precision=precision, start_scale=256.0)
    rounding = (gradient(whole) - gradient(exact)).norm()
    assert rounding > 1e-4 * gradient(exact).norm()
    assert (gradient(parts) - gradient(whole)).norm() < 0.5 * rounding
    assert result.loss == pytest.approx(expected.loss, rel=1e-2)
    assert optimiser.scaler.is_enabled() == (precision == torch.float16)


def test_a_scale_that_overflows_skips_the_step_whatever_the_pieces():
    start = build_detector(RECIPE).state_dict()
    for size in (None, 2):
        model, optimiser, _ = stepped(size, precision=torch.float16, start_scale=2.0**127)
        assert optimiser.scaler.get_scale() == 2.0**126
        assert all(torch.equal(tensor, start[name]) for name, tensor in model.state_dict().items())


def test_a_process_without_a_clip_takes_part(monkeypatch):
    """Under a gradient scaler too, which learns of its scale only when something is scaled."""

    def add_zeros(parameters):  # what the other processes would add
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None

    monkeypatch.setattr("stf_mamba.core.distributed.add_up_gradients", add_zeros)
    optimiser = PhaseOptimiser(build_detector(RECIPE), RECIPE, PHASE, WEIGHTS, CPU, torch.float16)
    assert optimiser.step(iter([]), 5, factor=1.0) == (0.0, 0.0)


def test_what_an_earlier_phase_left_in_frozen_parameters_does_not_count():
    model, _, _ = stepped(None)
    frozen = PhaseRecipe(1, 0, 0.0, 1e-3)
    expected = PhaseOptimiser(build_detector(RECIPE), RECIPE, frozen, WEIGHTS, CPU, None)
    expected.model.load_state_dict(model.state_dict())
    after = PhaseOptimiser(model, RECIPE, frozen, WEIGHTS, CPU, None)
    assert after.step(iter(pieces(None)), 5, 1.0) == expected.step(iter(pieces(None)), 5, 1.0)


def test_a_loss_that_is_not_finite_changes_nothing():
    model = build_detector(RECIPE)
    optimiser = PhaseOptimiser(model, RECIPE, PHASE, torch.tensor([float("inf"), 1.0]), CPU, None)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(FloatingPointError, match="the loss is inf"):
        optimiser.step(iter(pieces(None)), 5, factor=1.0)
    assert all(torch.equal(tensor, start[name]) for name, tensor in model.state_dict().items())


def test_the_margin_by_hand():
    standardised = torch.tensor([-1.0, 0.2, 0.9, 1.5])
    # Half of the margin is 1: a real clip should lie at -1 or below, a fake one at 1 or above.
    expected_real, expected_fake = [0.0, 1.2, 1.9, 2.5], [2.0, 0.8, 0.1, 0.0]
    assert margin_hinge(standardised, torch.zeros(4, dtype=torch.long), 2.0).tolist() == pytest.approx(expected_real)
    assert margin_hinge(standardised, torch.ones(4, dtype=torch.long), 2.0).tolist() == pytest.approx(expected_fake)


def test_the_margin_is_added_with_the_losss_weights():
    recipe = replace(RECIPE, optimiser=OptimiserRecipe(margin=3.0))
    plain = build_detector(recipe)
    plain.head.standardise(torch.tensor([1.0, 3.0]))
    model = build_detector(recipe)
    model.head.standardise(torch.tensor([1.0, 3.0]))
    result = PhaseOptimiser(model, recipe, PHASE, WEIGHTS, CPU, None).step(iter(pieces(2)), 5, factor=0.0)
    with torch.no_grad():
        output = plain(frames())
    expected = 0.0
    for logit, log_variance, label in zip(output.logit, output.log_variance, LABELS, strict=True):
        z = (float(log_variance) - 2.0) / 1.0  # mean 2 and standard deviation 1 of the two values above
        missing = 1.5 - z if label == 1 else 1.5 + z
        weight = float(WEIGHTS[label])
        expected += weight * (float(nn.functional.softplus(logit * (1 - 2 * label))) + max(0.0, missing)) / 5
    assert result.loss == pytest.approx(expected, rel=1e-5)


def test_a_margin_needs_a_variance():
    recipe = replace(RECIPE, head=HeadRecipe("content"), optimiser=OptimiserRecipe(margin=1.0))
    with pytest.raises(RecipeError, match="the head 'content' uses no variance; set it to 0"):
        PhaseOptimiser(build_detector(recipe), recipe, PHASE, WEIGHTS, CPU, None)


def test_smoothing_moves_both_labels_by_hand():
    logits = torch.tensor([2.0, 2.0])
    losses = cross_entropy(logits, torch.tensor([0, 1]), smoothing=0.2)
    # Targets 0.1 and 0.9; cross entropy of a logit x and a target y is softplus(x) - x y.
    assert losses.tolist() == pytest.approx([2.126928 - 0.2, 2.126928 - 1.8], abs=1e-6)


def test_class_weights_by_hand():
    assert class_weights_of([0, 1, 1, 1], balance=True).tolist() == pytest.approx([2.0, 2 / 3])
    assert class_weights_of([0, 1, 1, 1], balance=False).tolist() == [1.0, 1.0]
    with pytest.raises(DatasetError, match="3 real and 0 fake"):
        class_weights_of([0, 0, 0], balance=True)
