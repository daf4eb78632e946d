"""What this machine has, and what is missing for STF-Mamba to work."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import av
import torch

from stf_mamba.core.environment import versions
from stf_mamba.core.errors import StfError
from stf_mamba.faces.detectors import load_face_detector
from stf_mamba.models.encoders.timm_import import import_timm

NEEDED_CODECS: tuple[tuple[str, Literal["r", "w"]], ...] = (
    ("h264", "r"),
    ("hevc", "r"),
    ("vp9", "r"),
    ("libx264", "w"),
    ("libx265", "w"),
)


def examine() -> tuple[dict[str, str], list[str]]:
    """Facts by name, and the problems found, each a sentence with the next step."""
    problems = []
    facts = versions()
    facts["cores"] = str(os.cpu_count())
    facts["torch threads"] = str(torch.get_num_threads())
    cuda = torch.cuda.is_available()
    facts["cuda"] = torch.cuda.get_device_name(0) if cuda else "none; everything runs on the CPU"
    facts["free disk here"] = f"{shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB"
    for codec, mode in NEEDED_CODECS:
        try:
            av.codec.Codec(codec, mode)
        except ValueError:
            what = "decoder" if mode == "r" else "encoder"
            problems.append(f"this build of PyAV has no {codec} {what}; install av from PyPI")
    try:
        facts["face detector"] = load_face_detector().name
    except StfError as error:
        problems.append(str(error))
    try:
        facts["encoders"] = f"timm {import_timm().__version__}"
    except (ImportError, RuntimeError) as error:
        problems.append(f"timm cannot be imported ({error}); reinstall torch, torchvision and timm together")
    facts["tensorboard"] = _tensorboard()
    return facts, problems


def _tensorboard() -> str:
    try:
        return version("tensorboard")
    except PackageNotFoundError:
        return "none, training writes no scalars for it; pip install 'stf-mamba[tensorboard]'"
