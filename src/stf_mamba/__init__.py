"""STF-Mamba: a deepfake video detector that shows its evidence.

What most programs need is here; it is imported when it is first used, so that ``import stf_mamba`` stays quick:
``load_detector``, ``write_case_report``, ``train``, ``evaluate``, ``Recipe``, ``Run``, ``Verdict``, ``Outcome``, and
the modules ``datasets`` and ``metrics``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stf_mamba import datasets
    from stf_mamba.api import evaluate, train
    from stf_mamba.core.recipe import Recipe
    from stf_mamba.core.records import Outcome, Verdict
    from stf_mamba.detection.case_report import write_case_report
    from stf_mamba.detection.detector import Detector, load_detector
    from stf_mamba.evaluation import metrics
    from stf_mamba.evaluation.runs import Run

    __version__: str

__all__ = [
    "Detector",
    "Outcome",
    "Recipe",
    "Run",
    "Verdict",
    "datasets",
    "evaluate",
    "load_detector",
    "metrics",
    "train",
    "write_case_report",
]

_HOMES = {
    "Detector": "detection.detector",
    "Outcome": "core.records",
    "Recipe": "core.recipe",
    "Run": "evaluation.runs",
    "Verdict": "core.records",
    "evaluate": "api",
    "load_detector": "detection.detector",
    "train": "api",
    "write_case_report": "detection.case_report",
}

_MODULES = {"datasets": "datasets", "metrics": "evaluation.metrics"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"stf_mamba.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"stf_mamba.{_MODULES[name]}")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("stf-mamba")
    raise AttributeError(f"module 'stf_mamba' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted((*__all__, "__version__"))
