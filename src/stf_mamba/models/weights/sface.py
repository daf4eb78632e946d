"""SFace's weights: ONNX files as the OpenCV zoo publishes them, in float32 or quantised by blocks to int8."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from stf_mamba.core.errors import WeightsError
from stf_mamba.models.encoders.sface import STAGES
from stf_mamba.models.weights.layouts import StateDict

if TYPE_CHECKING:
    from collections.abc import Mapping

NORM_PARTS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_var"}


def is_onnx(path: str | os.PathLike[str]) -> bool:
    """Whether a file goes by ONNX's name."""
    return Path(path).suffix == ".onnx"


def sface_state(path: str | os.PathLike[str]) -> StateDict:
    """The state of ``SFaceNetwork`` from an ONNX file; int8 blocks are scaled back to float32.

    Raises:
        WeightsError: unreadable, or not SFace.
    """
    tensors = _tensors_of(Path(path))
    state: dict[str, Any] = {}
    try:
        for number in range(len(STAGES)):
            names = [f"conv_{number + 1}"] if number == 0 else [f"conv_{number + 1}_dw", f"conv_{number + 1}"]
            for place, name in enumerate(names):
                state |= _unit(f"stages.{number}.{place}", name, tensors)
        state |= _norm("map_norm", "bn1", tensors) | _norm("norm", "fc1", tensors)
        state |= {"embed.weight": tensors["pre_fc1_weight"], "embed.bias": tensors["pre_fc1_bias"]}
    except KeyError as missing:
        raise WeightsError(
            f"{path} is no SFace: it holds no {missing.args[0]}; expected face_recognition_sface_2021dec of the OpenCV "
            "zoo, in float32 or int8bq"
        ) from None
    return {name: torch.from_numpy(np.array(value, np.float32)) for name, value in state.items()}


def _unit(place: str, name: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{place}.conv.weight": tensors[f"{name}_conv2d_weight"],
        f"{place}.slope.weight": tensors[f"{name}_relu_gamma"].reshape(-1),
        **_norm(f"{place}.norm", f"{name}_batchnorm", tensors),
    }


def _norm(place: str, name: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    found = {f"{place}.{ours}": tensors[f"{name}_{theirs}"] for ours, theirs in NORM_PARTS.items()}
    return {**found, f"{place}.num_batches_tracked": np.array(0)}


def _tensors_of(file: Path) -> dict[str, Any]:
    """Arrays by name, those that stand in the file as int8 blocks under the name that they have in the float32 file."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    if not file.is_file():
        raise WeightsError(f"no weights file at {file}; give the path of an .onnx file")
    try:
        graph = onnx.load(file).graph
    except (OSError, DecodeError) as error:
        raise WeightsError(f"cannot read {file} as ONNX: {error}; download it again") from None
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            options = {option.name: onnx.helper.get_attribute_value(option) for option in node.attribute}
            name = node.input[0].removesuffix("_quantized")
            quantised, scales, zero_points = (stored[part] for part in node.input)
            values = _in_float32(quantised, scales, zero_points, options["axis"], options["block_size"])
            stored[name] = values.reshape(stored.get(f"{name}_shape", values.shape))
    return stored


def _in_float32(quantised: Any, scales: Any, zero_points: Any, axis: int, block_size: int) -> Any:
    """Values of int8 blocks of ``block_size`` along an axis, each block with its scale and its zero point.

    Source: ONNX operator ``DequantizeLinear``, version 21.
    """
    count = quantised.shape[axis]
    scale, zero = (np.repeat(part, block_size, axis).take(range(count), axis) for part in (scales, zero_points))
    return (quantised.astype(np.float32) - zero.astype(np.float32)) * scale
