"""The heads: variance exact where a cosine cancels, monotone, at its floor for a still clip; all blind to padding."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from stf_mamba.models.heads import (
    HEADS,
    ContentHead,
    FrameMeanHead,
    LastStepHead,
    StandardisedContentHead,
    VarianceContentHead,
    VarianceHead,
    half_squared_chord,
    logit_of_mean_probability,
)

SHAPES = {"B": st.integers(1, 3), "T": st.integers(2, 9), "D": st.integers(2, 16), "seed": st.integers(0, 10_000)}


def embeddings(B, T, D, seed, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(B, 1, D, generator=generator, dtype=torch.float64)
    return base + spread * torch.randn(B, T, D, generator=generator, dtype=torch.float64)


@settings(max_examples=40)
@given(**SHAPES)
def test_equals_the_definition_by_cosine_in_float64(B, T, D, seed):
    x = embeddings(B, T, D, seed)
    cosine = F.cosine_similarity(x, x.mean(1, keepdim=True), dim=-1)
    expected = torch.log(cosine.var(1, correction=0) + 1e-8)
    output = VarianceHead()(x)
    # Eight float32 roundings of values of order one; the logarithm divides by the variance plus epsilon.
    tolerance = 8 * np.finfo(np.float32).eps / (float(cosine.var(1, correction=0).min()) + 1e-8)
    torch.testing.assert_close(output.consistency.double(), cosine, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.log_variance.double(), expected, atol=tolerance, rtol=0)


def test_keeps_small_variances_that_a_float32_cosine_loses():
    x = embeddings(4, 32, 512, seed=1, spread=1e-3)
    exact = 1 - F.cosine_similarity(x, x.mean(1, keepdim=True), dim=-1)
    by_chord = half_squared_chord(x.float()).double()
    by_cosine = 1 - F.cosine_similarity(x.float(), x.float().mean(1, keepdim=True), dim=-1).double()
    error = (by_chord / exact - 1).abs().max()
    assert error < 1e-3
    assert (by_cosine / exact - 1).abs().max() > 30 * error


@settings(max_examples=40)
@given(first=st.floats(1e-6, 1), second=st.floats(1e-6, 1), slope=st.floats(-20, 20))
def test_more_variance_is_never_less_suspicious(first, second, slope):
    head = VarianceHead()
    head.raw_slope.data.fill_(slope)
    x = embeddings(1, 8, 4, seed=3, spread=0.3)
    mean = x.mean(1, keepdim=True)
    outputs = [head(mean + (x - mean) * spread) for spread in sorted((first, second))]
    if outputs[0].log_variance <= outputs[1].log_variance:
        assert outputs[0].logit <= outputs[1].logit


@settings(max_examples=40)
@given(**SHAPES, padding=st.integers(1, 5))
def test_padding_changes_nothing(B, T, D, seed, padding):
    x = embeddings(B, T, D, seed)
    mask = torch.cat([torch.ones(B, T, dtype=torch.bool), torch.zeros(B, padding, dtype=torch.bool)], 1)
    padded = torch.cat([x, torch.randn(B, padding, D, dtype=torch.float64)], 1)
    plain, masked = VarianceHead()(x), VarianceHead()(padded, mask)
    torch.testing.assert_close(masked.log_variance, plain.log_variance, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(masked.consistency[:, :T], plain.consistency, atol=1e-6, rtol=0)
    assert not masked.consistency[:, T:].any()


def test_identical_frames_reach_the_floor():
    x = torch.randn(2, 1, 16).expand(2, 32, 16)
    output = VarianceHead(epsilon=1e-6)(x)
    torch.testing.assert_close(output.log_variance, torch.full((2,), math.log(1e-6)))
    torch.testing.assert_close(output.consistency, torch.ones(2, 32))


def test_standardised_logits_start_centred():
    head = VarianceHead()
    log_variances = torch.tensor([-9.0, -7.0, -8.0, -6.0])
    head.standardise(log_variances)
    logits = head.slope * (log_variances - head.centre) / head.scale + head.bias
    assert logits.mean().abs() < 1e-3
    assert logits.std(correction=0).item() == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ValueError, match="finite"):
        head.standardise(torch.tensor([float("nan")]))


def test_gradients_equal_finite_differences():
    head = VarianceHead().double()
    x = embeddings(1, 5, 6, seed=4).requires_grad_()

    def log_variance(values):  # the head works in float32: checked through its float64 twin
        return (half_squared_chord(values).var(1, correction=0) + head.epsilon).log()

    assert torch.autograd.gradcheck(log_variance, (x,))
    ours = torch.autograd.grad(head(x).log_variance.sum(), x)[0]
    exact = torch.autograd.grad(log_variance(x).sum(), x)[0]
    torch.testing.assert_close(ours, exact, atol=1e-4, rtol=1e-3)


def test_autocast_does_not_reach_it():
    x = embeddings(2, 32, 64, seed=5, spread=0.05).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = VarianceHead()(x)
    assert inside.logit.dtype == torch.float32
    torch.testing.assert_close(inside.log_variance, VarianceHead()(x).log_variance)


def trained(kind, width):
    """A head whose parameters all differ from their start."""
    head = HEADS[kind](width, 1e-8)
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return head


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_ignores_padding_and_reports_the_same_observations(kind):
    head = trained(kind, 6)
    x = embeddings(3, 5, 6, seed=11).float()
    mask = torch.cat([torch.ones(3, 5, dtype=torch.bool), torch.zeros(3, 4, dtype=torch.bool)], 1)
    plain, masked = head(x), head(torch.cat([x, torch.randn(3, 4, 6)], 1), mask)
    observed = VarianceHead()(x)
    assert torch.equal(plain.log_variance, observed.log_variance)
    assert torch.equal(plain.consistency, observed.consistency)
    torch.testing.assert_close(masked.logit, plain.logit, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(masked.consistency[:, :5], plain.consistency, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", HEADS)
def test_no_head_computes_in_lower_precision(kind):
    head, x = trained(kind, 64), embeddings(2, 32, 64, seed=5, spread=0.05).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = head(x)
    assert inside.logit.dtype == torch.float32
    torch.testing.assert_close(inside.logit, head(x).logit)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_says_truly_whether_it_uses_the_variance(kind):
    # The same mean embedding, which is also the last frame's, with frames spread further from it: only a variance term
    # can tell these clips apart.
    head = trained(kind, 6)
    x = embeddings(1, 8, 6, seed=3, spread=0.3).float()
    mean = x.mean(1, keepdim=True)
    x = torch.cat([x, mean], 1)
    calm, restless = (head(mean + (x - mean) * spread) for spread in (0.5, 2.0))
    assert restless.log_variance > calm.log_variance
    if head.uses_variance:
        assert restless.logit > calm.logit
        head.standardise(torch.tensor([-9.0, -7.0]))
        assert head.centre == -8
    else:
        torch.testing.assert_close(restless.logit, calm.logit, atol=1e-5, rtol=1e-5)


def test_content_starts_at_zero_beside_the_variance_and_can_learn():
    x = embeddings(4, 8, 6, seed=12).float()
    head = VarianceContentHead(6)
    assert isinstance(head, VarianceHead)
    assert torch.equal(head(x).logit, VarianceHead()(x).logit)
    head(x).logit[0].backward()
    mean = x[0].mean(0)
    expected = (mean - mean.mean()) / (mean.var(correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(head.content.weight.grad[0], expected)


def test_content_is_a_linear_map_of_the_normalised_mean():
    x = torch.tensor([[[1.0, 3.0], [3.0, 5.0]]])  # mean (2, 4), normalised (-1, 1)
    head = ContentHead(2)
    with torch.no_grad():
        head.classifier.weight.copy_(torch.tensor([[2.0, 5.0]]))
        head.classifier.bias.fill_(0.5)
    assert head(x).logit.item() == pytest.approx(-2 + 5 + 0.5, abs=1e-4)


def test_standardised_content_weighs_numbers_by_their_spread_over_the_training_clips():
    generator = torch.Generator().manual_seed(3)
    clips = torch.randn(40, 4, 5, generator=generator) * torch.tensor([9.0, 3.0, 1.0, 0.3, 0.1]) + 2
    head = StandardisedContentHead(5)
    assert head(clips).logit.tolist() == [0.0] * 40  # untrained it says nothing of any clip
    head.standardise(head.measured(clips))
    mean = clips.mean(1)
    unit = (mean - mean.mean(1, keepdim=True)) / (mean.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    wanted = (unit - unit.mean(0)) / unit.std(0, correction=0)
    with torch.no_grad():
        head.classifier.weight.copy_(torch.tensor([[1.0, -2.0, 3.0, 0.5, 4.0]]))
        head.classifier.bias.fill_(0.25)
    torch.testing.assert_close(head(clips).logit, wanted @ head.classifier.weight[0] + 0.25, atol=1e-4, rtol=1e-4)
    # The same relations in a picture of more contrast: another length, the same direction.
    stronger = (clips - clips.mean((1, 2), keepdim=True)) * 7
    torch.testing.assert_close(head(stronger).logit, head(clips).logit, atol=1e-2, rtol=1e-3)


def test_standardised_content_leaves_numbers_that_do_not_vary_and_refuses_none():
    head = StandardisedContentHead(3)
    head.standardise(torch.tensor([[1.0, 5.0, 2.0], [3.0, 5.0, 4.0]]))
    assert head.centre.tolist() == [2.0, 5.0, 3.0]
    assert head.scale.tolist() == [1.0, 1.0, 1.0]
    head.standardise(torch.tensor([[1.0, 5.0, 2.0], [5.0, 5.0, 2.5]]))
    assert head.scale.tolist() == [2.0, 1.0, 0.25]
    for bad in (torch.empty(0, 3), torch.full((2, 3), torch.nan)):
        with pytest.raises(ValueError, match="finite"):
            head.standardise(bad)


@pytest.mark.parametrize("kind", ["content", "standardised_content"])
def test_a_linear_head_s_logit_can_be_taken_apart(kind):
    head, x = trained(kind, 6), embeddings(3, 5, 6, seed=1).float() * 4 + 2
    if kind == "standardised_content":
        head.standardise(head.measured(embeddings(9, 5, 6, seed=3).float() * 3 + 1))
    mask = torch.tensor([[True] * 5, [True, True, False, False, False], [False, True, True, True, True]])
    for seen in (None, mask):
        logit = head(x, seen).logit
        valid = torch.ones(3, 5) if seen is None else seen.float()
        of_frames = head.frame_logits(x, seen)
        torch.testing.assert_close((of_frames * valid).sum(1) / valid.sum(1), logit)
        torch.testing.assert_close(of_frames, of_frames * valid)  # what is masked says nothing
        terms = head.terms(x, seen)
        torch.testing.assert_close(terms.sum((1, 2)) / valid.sum(1) + head.classifier.bias, logit)
        assert of_frames.std() > 0.1


def test_frames_that_are_judged_singly_keep_their_logits():
    x = embeddings(2, 4, 6, seed=2).float()
    for average in ("logits", "probabilities"):
        head = FrameMeanHead(6, average=average)
        found, logit = head.frame_logits(x), head(x).logit
        together = found.mean(1) if average == "logits" else logit_of_mean_probability(found)
        torch.testing.assert_close(together, logit)
        alone = torch.stack([head(frame[:, None]).logit for frame in x.unbind(1)], 1)  # as clips of one frame
        torch.testing.assert_close(found, alone)
    assert head.frame_logits(x, torch.tensor([[True, False] * 2] * 2))[:, 1::2].tolist() == [[0.0, 0.0]] * 2


@pytest.mark.parametrize("head", [VarianceHead(), VarianceContentHead(6), LastStepHead(6)])
def test_other_heads_do_not_judge_frames(head):
    assert head.frame_logits(embeddings(2, 4, 6, seed=2)) is None


def test_last_step_is_a_linear_map_of_the_last_valid_frame():
    x = torch.tensor([[[5.0, 1.0], [3.0, 5.0], [9.0, 2.0]], [[5.0, 1.0], [7.0, 4.0], [2.0, 6.0]]])
    head = LastStepHead(2)
    with torch.no_grad():
        head.classifier.weight.copy_(torch.tensor([[2.0, 5.0]]))
        head.classifier.bias.fill_(0.5)
    # Two values become (1, -1) or (-1, 1): a logit of -2.5 or 3.5.
    assert head(x).logit.tolist() == pytest.approx([-2.5, 3.5], abs=1e-4)
    mask = torch.tensor([[True, True, False], [False, True, False]])
    assert head(x, mask).logit.tolist() == pytest.approx([3.5, -2.5], abs=1e-4)


def test_frame_mean_averages_logits_or_probabilities():
    x = torch.tensor([[[0.0], [4.0], [100.0]]])
    mask = torch.tensor([[True, True, False]])
    by_logit, by_probability = FrameMeanHead(1), FrameMeanHead(1, average="probabilities")
    for head in (by_logit, by_probability):
        with torch.no_grad():
            head.classifier.weight.fill_(1)
            head.classifier.bias.fill_(0)
    assert by_logit(x, mask).logit.item() == pytest.approx(2.0)
    mean = (0.5 + 1 / (1 + math.exp(-4))) / 2
    assert by_probability(x, mask).logit.item() == pytest.approx(math.log(mean / (1 - mean)), abs=1e-5)


@settings(max_examples=40)
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=8))
def test_logit_of_mean_probability_equals_its_definition_in_float64(logits):
    values = torch.tensor([logits], dtype=torch.float64)
    fake = np.mean(1 / (1 + np.exp(-np.array(logits))))
    real = np.mean(1 / (1 + np.exp(np.array(logits))))
    assert logit_of_mean_probability(values).item() == pytest.approx(math.log(fake / real), abs=1e-9)


def test_logit_of_mean_probability_does_not_saturate():
    assert logit_of_mean_probability(torch.tensor([[200.0, 200.0]])).item() == pytest.approx(200)
    assert logit_of_mean_probability(torch.tensor([[-200.0, -200.0]])).item() == pytest.approx(-200)
