"""What a run ran on: versions of the libraries, the device that was chosen."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from stf_mamba.core.errors import UsageError

LIBRARIES = ("stf-mamba", "torch", "timm", "numpy", "av", "opencv-python-headless")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a score depends on."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def choose_device(name: str) -> torch.device:
    """The device of a name: ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        UsageError: a device that torch does not know or this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"no device {name!r} on this machine ({reason}); choose cpu, cuda or auto") from None
    return device
