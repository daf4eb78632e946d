"""Key layouts of vision transformers: timm, DINOv2, Hugging Face."""

from __future__ import annotations

import re

import torch
from torch import Tensor

StateDict = dict[str, Tensor]


HF_DINOV2_BLOCK = {
    "norm1": "norm1",
    "attention.output.dense": "attn.proj",
    "attention.o_proj": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "layer_scale2.lambda1": "ls2.gamma",
}


# Queries, keys and values: as in the published files, and as transformers 5 calls them in memory.
HF_DINOV2_QKV = (
    ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
)


HF_DINOV2_REST = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}


def to_timm_layout(state: StateDict) -> StateDict:
    """The state with timm's names: Hugging Face DINOv2 renamed (queries, keys and values joined), others unchanged."""
    if "embeddings.cls_token" not in state:
        return state
    renamed: StateDict = {}
    for name, tensor in state.items():
        block = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+?)(\.weight|\.bias)?", name)
        if block is None:
            renamed[HF_DINOV2_REST.get(name, name)] = tensor
            continue
        number, part, ending = block.groups(default="")
        names = next((names for names in HF_DINOV2_QKV if part in names), None)
        if names is None:
            renamed[f"blocks.{number}.{HF_DINOV2_BLOCK.get(part, part)}{ending}"] = tensor
            continue
        parts = [state.get(f"encoder.layer.{number}.{other}{ending}") for other in names]
        if all(isinstance(other, Tensor) for other in parts):  # else the joined tensor is reported as missing
            renamed[f"blocks.{number}.attn.qkv{ending}"] = torch.cat([other for other in parts if other is not None])
    return renamed
