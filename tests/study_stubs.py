"""Stand-ins for what judges and draws a study, so that tests of tables and reports need neither."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from stf_mamba.study.results import Study


class Verdict(StrEnum):
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class StubClaim:
    key: str
    experiment: int
    section: str
    text: str
    verdict: Verdict
    because: str


@dataclass(frozen=True)
class StubComparison:
    a: str
    b: str
    difference: float
    low: float | None
    high: float | None
    domain: str = "in-domain"
    family: str = "V8.0's settings"
    auc_a: float = 0.7
    auc_b: float = 0.8
    p: float | None = 0.0314
    p_holm: float | None = 0.0628
    delong_p: float | None = None
    delong_p_holm: float | None = None
    detectable_difference: float | None = None
    n_real: int = 16
    n_fake: int = 32


CLAIMS = (
    StubClaim("gain", 3, "5.3", "A temporal model gains 1.3 %", Verdict.UNDECIDED, "p 0.2 & an interval over 0"),
    StubClaim("best", 2, "4.4", "DINOv2 is best on <Celeb-DF>", Verdict.REFUTED, "ResNet_50 is higher"),
    StubClaim("target", 0, "9", "The target is reached", Verdict.NOT_RUN, "no second data set"),
)
COMPARISONS = (
    StubComparison("v8-frames-8", "v8", -0.1, -0.25, 0.05),
    StubComparison("v8", "v8-mixer-gru", 0.1, -0.02, 0.22, auc_a=0.8, auc_b=0.7),
    StubComparison("v8-head-content", "v8", -0.1, None, None, p=None, p_holm=None),
)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins where tables and reports import from."""
    for place in ("report.write", "tables.experiments", "tables.comparisons"):
        for name, stand_in in {"judge_claims": _judge, "compare_rows": _compare}.items():
            monkeypatch.setattr(f"stf_mamba.study.{place}.{name}", stand_in, raising=False)
    monkeypatch.setattr("stf_mamba.study.figures.save.save_figures", _save_figures)


def _judge(study: Study, comparisons: object = None, tests: object = None) -> tuple[StubClaim, ...]:
    return CLAIMS


def _compare(study: Study) -> tuple[StubComparison, ...]:
    return COMPARISONS


def _save_figures(study: Study, out: Path, claims: object = None, tests: object = None) -> dict[str, tuple[Path, ...]]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    paths = (out / "figure-2.png", out / "figure-2.svg")
    for path in paths:
        figure.savefig(path)
    return {"figure-2": paths}
