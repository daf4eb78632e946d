"""What the benchmarks share: calls that take turns, and the machine they ran on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def take_turns(calls: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median seconds of each call; the calls alternate, after one warm-up each."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine(threads: int) -> dict[str, Any]:
    """Processor, cores, threads, torch and the load before the run."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }
