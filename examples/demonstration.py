"""What the examples fall back on where no data are given: the folder of ``stf demo``, made on first use (minutes)."""

import os
from pathlib import Path


def demonstration() -> Path:
    """``demo/``, or the folder that STF_DEMO names: a drawn ``corpus/``, a trained ``run/`` and predictions."""
    from stf_mamba.cli.demo import run_demo

    folder = Path(os.environ.get("STF_DEMO", "demo"))
    if not (folder / "predictions-miniature-ffpp-c23.csv").is_file():
        run_demo(folder)
    return folder
