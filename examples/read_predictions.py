"""Figures with intervals from a file of predictions: for all of it, and for each manipulation method.

python examples/read_predictions.py [runs/v8/predictions-celebdf-all.csv]
"""

import argparse
from dataclasses import replace
from pathlib import Path

import stf_mamba as stf
from demonstration import demonstration
from stf_mamba.core.records import REAL
from stf_mamba.evaluation.predictions import Predictions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="the demonstration's without it")
    asked = parser.parse_args()

    predictions = Predictions.load(asked.file or demonstration() / "predictions-miniature-ffpp-c23.csv")
    for key in ("dataset", "part", "level", "trained_on", "split"):
        print(f"{key:<12} {predictions.stamp.get(key, 'not said')}")
    print(f"coverage     {predictions.coverage:.3f} of {len(predictions.rows)} videos")
    for figure in (stf.metrics.auc, stf.metrics.average_precision, stf.metrics.equal_error_rate):
        print(figure(predictions))

    methods = sorted({row.method for row in predictions.rows if row.label != REAL and row.method is not None})
    for method in methods:
        rows = tuple(row for row in predictions.rows if row.label == REAL or row.method == method)
        print(f"{method}: {stf.metrics.auc(replace(predictions, rows=rows))}")


if __name__ == "__main__":
    main()
