"""A training's curves draw what its history holds."""

import numpy as np

from stf_mamba.evaluation.plots import plot_history

HISTORY = [
    {
        "epoch": epoch,
        "phase": int(epoch >= 2),
        "train_loss": 0.7 - 0.1 * epoch,
        "validation_loss": 0.6,
        "validation_auc": auc,
        "log_variance_gap": 0.1 * epoch,
        "best": auc in (0.5, 0.8),
    }
    for epoch, auc in enumerate((0.5, 0.8, 0.7))
]


def lines(axes):
    return {line.get_label(): np.asarray(line.get_xydata()) for line in axes.get_lines()}


def test_history_is_drawn_as_it_is():
    loss, auc, gap = plot_history(HISTORY, "a run").axes
    np.testing.assert_allclose(lines(loss)["training clips"], [[1, 0.7], [2, 0.6], [3, 0.5]])
    np.testing.assert_allclose(lines(auc)["validation"][:, 1], [0.5, 0.8, 0.7])
    np.testing.assert_allclose(lines(auc)["kept"], [[2, 0.8]])
    np.testing.assert_allclose(lines(auc)["phase boundary"][:, 0], 2.5)
    np.testing.assert_allclose(lines(gap)["fake − real"][:, 1], [0, 0.1, 0.2])


def test_a_history_without_validation_is_its_loss_alone():
    gone = dict.fromkeys(("validation_loss", "validation_auc", "log_variance_gap"))
    (loss,) = plot_history([{**entry, **gone} for entry in HISTORY], "a run").axes
    np.testing.assert_allclose(lines(loss)["training clips"], [[1, 0.7], [2, 0.6], [3, 0.5]])
    assert set(lines(loss)) == {"training clips", "phase boundary"}
