"""Lets timm be imported beside a CPU-only torch.

PyPI's torchvision wheel is built for CUDA. Beside a CPU torch its compiled library cannot be loaded, and then its
import dies with ``operator torchvision::nms does not exist``, because it registers Python kernels for two operators
that the library would have defined. timm imports torchvision, so it dies too, although nothing in it that we use needs
a compiled operator.

Where the library loads, nothing is done here. Where it does not, the two operators' *names* are declared, so that the
imports pass; a call of ``torchvision.ops.nms`` still raises, it never returns anything.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import torch


def import_timm() -> ModuleType:
    """The ``timm`` module, imported safely whatever build of torchvision lies beside torch."""
    _declare_missing_operators()
    import timm

    module: ModuleType = timm
    return module


@cache
def _declare_missing_operators() -> torch.library.Library | None:
    """Returns the library that holds the declarations: the cache keeps it alive, as they die with it."""
    if _compiled_library_loads():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, Tensor dets_scale, Tensor scores_scale, float iou_threshold) -> Tensor",
    ):
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


def _compiled_library_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None, "torchvision is a dependency of timm"
    assert spec.origin is not None
    compiled = next(Path(spec.origin).parent.glob("_C*"), None)
    if compiled is None:
        return False
    try:
        torch.ops.load_library(compiled)  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return True
