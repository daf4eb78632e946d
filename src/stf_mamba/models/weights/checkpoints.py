"""Checkpoint files as people publish them: read without running code, and taken out of what trainings wrap around."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stf_mamba.core.errors import WeightsError
from stf_mamba.models.weights.layouts import StateDict

# Where checkpoints keep the state of the network, the one to use first: of a student and its teacher the teacher is
# what DINO and DINOv2 evaluate.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "teacher", "student")

# Modules that trainings put around a network: parallel and compiled ones, and the names that a network has in theirs.
OUTER_MODULES = ("module", "_orig_mod", "model", "net", "teacher", "student", "backbone", "dinov2")

# Modules that stand anywhere in a name and add nothing to it.
INNER_MODULES = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")

# Parts that a frame encoder has no place for: classifiers and projections, and the token that stands for masked
# patches during pretraining.
NOT_IN_AN_ENCODER = re.compile(r"((dino_|ibot_)?head|_?fc|classifier|fc_norm)\..*|mask_token")

# What a training of a student keeps beside its teacher.
BESIDE_A_TEACHER = re.compile(r"student\..*|\w+_loss\..*")

UNREADABLE = (OSError, SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError)

_TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*m")
_REFUSED_CLASS = re.compile(r"GLOBAL ([\w.]+)")


def read_state_dict(path: str | os.PathLike[str]) -> StateDict:
    """The tensors of a safetensors file or of a torch checkpoint, on the CPU, under the names that they have there.

    What a file is, its content says, not its suffix. A torch checkpoint is read with ``weights_only=True``, so that it
    cannot run code; what it keeps the state under (``WRAPPERS``) is taken off.

    Raises:
        WeightsError: no such file, a class of Python in it, nothing in it that is a state dictionary, or a
            value that is not finite.
    """
    file = Path(path)
    if not file.is_file():
        raise WeightsError(f"no weights file at {file}; give the path of a .safetensors, .pth or .pt file")
    try:
        content = load_file(file) if _is_safetensors(file) else read_torch(file)
    except UNREADABLE as error:
        why = why_unreadable(error, "download or export it again")
        raise WeightsError(f"cannot read {file} ({file.stat().st_size} bytes) as weights: {why}") from None
    while isinstance(content, dict):
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{file} holds no state dictionary (names → tensors); export the model's state_dict()")
    _require_finite(content, file)
    return content


def _require_finite(state: StateDict, file: Path) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool((finite := tensor.float().isfinite()).all()):
            raise WeightsError(
                f"{file}: {int((~finite).sum())} of {finite.numel()} values of {name} are not finite; "
                "whatever it is loaded into would give no number: train or export it again, or take another file"
            )


def read_torch(path: Path) -> Any:
    """What a torch checkpoint holds, on the CPU; no code in it is run. Raises one of ``UNREADABLE``."""
    with path.open("rb") as stream:  # of a path, torch takes the suffix for the format
        return torch.load(stream, map_location="cpu", weights_only=True)


def why_unreadable(error: Exception, otherwise: str) -> str:
    """Why torch or safetensors did not read a file and what to do about it; ``otherwise``, where no class was met."""
    said = _TERMINAL_CODE.sub("", str(error))
    refused = _REFUSED_CLASS.search(said)
    if refused is not None:
        return (
            f"it holds an object of the class {refused[1].rstrip('.')}, and no class is loaded, for that can run code. "
            "Where you trust the file, write its tensors alone with Python: "
            "checkpoint = torch.load(FILE, weights_only=False); "
            'torch.save(checkpoint["model"], NEW_FILE), or the key that holds the state dictionary'
        )
    if isinstance(error, LookupError):  # a pickle's machine ran out of what it was to work on
        return f"it is no file that torch wrote; {otherwise}"
    first_line = next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
    return f"{first_line}; {otherwise}"


def read_bare_state(path: str | os.PathLike[str]) -> StateDict:
    """The tensors of a file under the network's own names: without the modules that trainings put around it.

    An outer module goes where all names begin with it; beside it there may be what no encoder holds (classifiers,
    projection heads), and beside a teacher its student: these are left out then.

    Raises:
        WeightsError: as ``read_state_dict``, or two tensors would get one name.
    """
    state = read_state_dict(path)
    inner = _renamed(state, _without_inner, path)
    while outer := next((module for module in OUTER_MODULES if _is_around_all(module, inner)), None):
        start = f"{outer}."
        inner = {name.removeprefix(start): tensor for name, tensor in inner.items() if name.startswith(start)}
    return inner


def unchunked(state: StateDict, path: str | os.PathLike[str]) -> StateDict:
    """The state of a transformer whose blocks were kept in chunks, ``blocks.CHUNK.BLOCK.``, with its blocks in a row.

    The state of another network stays as it is.

    Raises:
        WeightsError: two tensors would get one name.

    Source: the official DINOv2 repository, ``BlockChunk``: a block keeps its own number in every chunk.
    """
    if "cls_token" not in state:
        return state
    return _renamed(state, lambda name: re.sub(r"^blocks\.\d+\.(\d+\.)", r"blocks.\1", name), path)


def _renamed(state: StateDict, rename: Callable[[str], str], path: str | os.PathLike[str]) -> StateDict:
    renamed = {rename(name): tensor for name, tensor in state.items()}
    if len(renamed) < len(state):
        raise WeightsError(
            f"{path}: {len(state) - len(renamed)} of {len(state)} tensors have the name of another one without what "
            "its training wrapped around it; export the network's own state"
        )
    return renamed


def _is_safetensors(file: Path) -> bool:
    """Eight bytes with the length of the header, which is a JSON object."""
    with file.open("rb") as stream:
        start = stream.read(9)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= file.stat().st_size - 8


def _without_inner(name: str) -> str:
    for module in INNER_MODULES:
        name = name.replace(module, "")
    return name


def _is_around_all(module: str, names: Collection[str]) -> bool:
    beside = BESIDE_A_TEACHER if module == "teacher" else NOT_IN_AN_ENCODER
    others = [name for name in names if not name.startswith(f"{module}.")]
    return len(others) < len(names) and all(beside.fullmatch(name) for name in others)
