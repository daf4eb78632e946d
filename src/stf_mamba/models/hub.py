"""Weights from the Hugging Face Hub, at a commit that is named: the same bytes today and in ten years."""

from __future__ import annotations

import os
import re
from pathlib import Path

from stf_mamba.errors import WeightsError

SCHEME = "hf:"
DEFAULT_FILE = "model.safetensors"
EXPECTED = f"{SCHEME}OWNER/NAME@COMMIT or {SCHEME}OWNER/NAME@COMMIT:FILE, COMMIT with all of its 40 digits"

_SOURCE = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})(?::(?P<file>.+))?")


def local_weights(source: str | os.PathLike[str]) -> Path:
    """The file of weights on this machine: a path as it is, or what ``hf:...`` names, fetched once and then kept.

    A branch or a tag is refused, since what it means may change. What was fetched lies in the Hub's own cache
    (``HF_HOME``) and is found there without the network.

    Args:
        source: a path, or ``hf:OWNER/NAME@COMMIT[:FILE]``; the file is ``model.safetensors`` where none is named.

    Raises:
        WeightsError: the name is not of that form, or the file cannot be fetched.
    """
    text = os.fspath(source)
    if not text.startswith(SCHEME):
        return Path(text)
    found = _SOURCE.fullmatch(text)
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
