"""An EfficientNet's tensors as the packages ``efficientnet_pytorch`` and ``efficientnet_lite_pytorch`` name them."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

# Their modules and timm's: outside the blocks, and in blocks with and without an expansion.
AROUND_BLOCKS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
EXPANDING_BLOCK = SQUEEZE | {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PLAIN_BLOCK = SQUEEZE | {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def is_efficientnet_pytorch(state: dict[str, Tensor]) -> bool:
    """Whether a state's names are those of the two packages."""
    return "_conv_stem.weight" in state


def to_timm_efficientnet(state: dict[str, Tensor], groups: Any) -> dict[str, Tensor]:
    """The state under timm's names; names that the two packages do not use stay as they are.

    Args:
        groups: timm's ``blocks``, groups of blocks; the packages number all blocks in one row.
    """
    blocks = [
        (f"blocks.{group}.{number}", EXPANDING_BLOCK if hasattr(block, "conv_pwl") else PLAIN_BLOCK)
        for group, members in enumerate(groups)
        for number, block in enumerate(members)
    ]
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        match = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(_\w+)\.(\w+)", name)
        if match is None:
            renamed[name] = tensor
            continue
        number, module, parameter = match.groups()
        if number is None:
            renamed[f"{AROUND_BLOCKS.get(module, module)}.{parameter}"] = tensor
        elif int(number) < len(blocks):
            place, names = blocks[int(number)]
            renamed[f"{place}.{names.get(module, module)}.{parameter}"] = tensor
        else:
            renamed[name] = tensor
    return renamed
