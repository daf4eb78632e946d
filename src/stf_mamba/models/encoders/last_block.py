"""A transformer's last block where only its class token is read: the same numbers for a fraction of the work."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stf_mamba.models.encoders.timm_import import import_timm


def cls_only_block(block: Any, tokens: Tensor) -> Tensor:
    """The first row (N, 1, D) of ``block(tokens)`` for tokens (N, L, D), without computing the other rows.

    One query q a head meets keys ``K x + k`` and values ``V x + v`` of L tokens x. Its scores are
    ``q·(K x + k) = (Kᵀ q)·x + q·k``, in which ``q·k`` is the same for all tokens and leaves the softmax unchanged; its
    output is ``Σ a (V x + v) = V (Σ a x) + v``, because the weights a sum to one. So neither keys nor values are
    projected: of 12 D² multiplications per token, 2 · heads · D remain. Equal to the block in real arithmetic, and to
    rounding in floating point; the gradients likewise. The key's bias gets the gradient zero, which is its true one.

    Raises:
        ValueError: not timm's plain pre-norm ``Block`` (LayerScale allowed), or one with dropout, drop path, gate, or
            normalised queries and keys.
    """
    _require_plain(block)
    attention = block.attn
    heads, width = attention.num_heads, attention.head_dim
    inner = heads * width
    weight, bias = attention.qkv.weight, attention.qkv.bias  # rows: queries, keys, values
    normed = block.norm1(tokens)  # (N, L, D)

    query = F.linear(normed[:, 0], weight[:inner], None if bias is None else bias[:inner])
    query = query.reshape(-1, heads, width) * attention.scale  # (N, heads, d)
    keys = weight[inner : 2 * inner].unflatten(0, (heads, width))  # (heads, d, D)
    with torch.autocast(tokens.device.type, enabled=False):  # a fused attention keeps its scores in float32 too
        exact = normed.float() if normed.dtype in (torch.float16, torch.bfloat16) else normed
        scores = torch.einsum("nhd,hdw->nhw", query.to(exact.dtype), keys.to(exact.dtype)) @ exact.transpose(1, 2)
        mixed = scores.softmax(-1) @ exact  # (N, heads, D), of scores (N, heads, L)
    values = weight[2 * inner :].unflatten(0, (heads, width))  # (heads, d, D)
    attended = torch.einsum("nhw,hdw->nhd", mixed, values).flatten(1)  # (N, heads · d)
    if bias is not None:
        attended = attended + bias[2 * inner :]

    cls = tokens[:, :1] + block.ls1(attention.proj(attended.unsqueeze(1)))  # (N, 1, D)
    cls = cls + block.ls2(block.mlp(block.norm2(cls)))
    assert isinstance(cls, Tensor)
    return cls


def _require_plain(block: Any) -> None:
    timm = import_timm()
    if type(block) is not timm.models.vision_transformer.Block:
        raise ValueError(f"the last block is a {type(block).__name__}, expected timm's Block; run the block as it is")
    if type(block.attn) is not timm.layers.Attention:
        raise ValueError(
            f"the last block attends with {type(block.attn).__name__}, expected timm's Attention; "
            "run the block as it is"
        )
    attention = block.attn
    must_be_absent = {
        "drop path": (block.drop_path1, block.drop_path2),
        "normalised queries and keys": (attention.q_norm, attention.k_norm),
        "a norm after attention": (attention.norm,),
    }
    found = [what for what, parts in must_be_absent.items() if not all(isinstance(p, nn.Identity) for p in parts)]
    found += ["a gate"] if getattr(attention, "gate", None) is not None else []
    found += ["dropout"] if any(isinstance(p, nn.Dropout) and p.p > 0 for p in block.modules()) else []
    if found:
        raise ValueError(f"the last block has {', '.join(found)}, which this form leaves out; run the block as it is")
