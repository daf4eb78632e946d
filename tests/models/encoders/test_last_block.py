"""The last block pruned to its class token: the same row, the same gradients, and nothing that it does not know."""

import pytest
import torch

from stf_mamba.models.encoders.last_block import cls_only_block
from stf_mamba.models.encoders.timm_import import import_timm

timm = import_timm()
Block, ResPostBlock = timm.models.vision_transformer.Block, timm.models.vision_transformer.ResPostBlock


def a_block(**options):
    torch.manual_seed(0)
    block = Block(dim=48, num_heads=3, **options)
    for parameter in block.parameters():  # biases and scales that are not trivial
        torch.nn.init.normal_(parameter, std=0.3)
    return block


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("init_values", [None, 1e-5])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_equals_the_blocks_own_class_row_and_gradients(qkv_bias, init_values, dtype, tolerance):
    block = a_block(qkv_bias=qkv_bias, init_values=init_values).to(dtype)
    tokens = torch.randn(3, 17, 48, dtype=dtype, requires_grad=True)
    pull = torch.randn(3, 1, 48, dtype=dtype)
    inputs = [tokens, *block.parameters()]
    expected = block(tokens)[:, :1]
    expected_gradients = torch.autograd.grad(expected, inputs, pull)
    row = cls_only_block(block, tokens)
    gradients = torch.autograd.grad(row, inputs, pull)
    torch.testing.assert_close(row, expected, rtol=tolerance, atol=tolerance)
    for gradient, exact in zip(gradients, expected_gradients, strict=True):
        error = (gradient - exact).norm() / exact.norm()
        assert error < tolerance


def test_every_parameter_has_a_gradient_and_only_the_class_tokens_row_leaves():
    block = a_block(qkv_bias=True)
    row = cls_only_block(block, torch.randn(2, 5, 48))
    assert row.shape == (2, 1, 48)
    row.sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"qk_norm": True}, "normalised queries and keys"),
        ({"drop_path": 0.1}, "drop path"),
        ({"proj_drop": 0.1}, "dropout"),
        ({"attn_drop": 0.1}, "dropout"),
        ({"scale_attn_norm": True}, "a norm after attention"),
        ({"attn_layer": timm.layers.DiffAttention}, "DiffAttention"),
    ],
)
def test_refuses_what_it_would_leave_out(options, what):
    with pytest.raises(ValueError, match=what):
        cls_only_block(Block(dim=48, num_heads=3, **options), torch.randn(1, 5, 48))


def test_refuses_another_kind_of_block():
    with pytest.raises(ValueError, match="ResPostBlock"):
        cls_only_block(ResPostBlock(dim=48, num_heads=3), torch.randn(1, 5, 48))
