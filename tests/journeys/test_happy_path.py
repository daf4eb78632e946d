"""From video files to predictions and a verdict, through the command line."""

import hashlib
import html.parser
import json
import re
import shutil
from dataclasses import replace

from terminal import partial_files, stf

from stf_mamba.clips.records import Manifest
from stf_mamba.clips.store import ClipStore
from stf_mamba.core.records import Outcome, Verdict
from stf_mamba.datasets.drawn import KNOWS_DRAWINGS_ONLY
from stf_mamba.evaluation.evaluate import evaluate
from stf_mamba.evaluation.predictions import Predictions
from stf_mamba.evaluation.runs import Run


class _Loads(html.parser.HTMLParser):
    """What a page would fetch: sources, linked files, and addresses in styles."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.images = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.images += tag == "img"
        for name, value in attributes:
            if name in ("src", "srcset", "href", "xlink:href", "data", "action", "poster"):
                self.addresses.append(value or "")
            if name == "style":
                self._read_style(value or "")

    def handle_data(self, text: str) -> None:
        self._read_style(text)

    def _read_style(self, text: str) -> None:
        self.addresses += re.findall(r"url\(\s*['\"]?([^'\")]*)", text) + re.findall(r"@import\s+['\"]([^'\"]*)", text)


def test_preparing_again_reuses_every_video(home):
    before = _modification_times(home.clips)
    again = stf(*home.prepare_command, "--out", home.clips, "--json")
    assert again.exit_code == 0
    summary = json.loads(again.stdout)
    assert (summary["videos"], summary["analysed"], summary["reused"]) == (12, 12, 12)
    assert summary["reasons"] == {}
    assert len(before) == summary["clips"] > 12
    assert _modification_times(home.clips) == before
    assert partial_files(home.clips) == []


def test_a_finished_run_is_not_trained_again(home):
    before = {path.name: path.stat().st_mtime_ns for path in home.run.iterdir()}
    again = stf(*home.train_command, "--out", home.run)
    assert again.exit_code == 0
    assert "complete already" in again.stderr
    assert {path.name: path.stat().st_mtime_ns for path in home.run.iterdir()} == before


def test_training_reports_each_epoch_and_warns_of_nothing(home):
    messages = home.run_messages.read_text(encoding="utf-8")
    for epoch in (1, 2, 3, 4):
        assert messages.count(f"epoch   {epoch}/4  loss") == 1
    assert "Warning" not in messages
    assert partial_files(home.run) == []


def test_evaluation_writes_predictions_with_their_protocol(home, tmp_path):
    path = tmp_path / "results" / "predictions.csv"  # in a folder that does not exist yet
    evaluated = stf("evaluate", home.run, "--clips", home.clips, "--out", path, "--json")
    assert evaluated.exit_code == 0, evaluated.stderr
    result = json.loads(evaluated.stdout)
    assert result["part"] == "test"
    assert result["coverage"] == 1.0

    predictions = Predictions.load(path)
    (first, second) = json.loads((home.corpus.ffpp_root / "splits" / "test.json").read_text())[0]
    expected = {f"miniature-ffpp/real/{first}": 0, f"miniature-ffpp/real/{second}": 0}
    expected |= {f"miniature-ffpp/Deepfakes/{first}_{second}": 1, f"miniature-ffpp/Deepfakes/{second}_{first}": 1}
    assert {row.video_id: row.label for row in predictions.rows} == expected
    assert predictions.stamp["weights_sha256"] == _sha256(home.run / "weights.safetensors")
    assert {"dataset", "split_sha256", "frames", "crop_margin", "aggregation", "level", "versions"} <= set(
        predictions.stamp
    )
    auc = next(figure for figure in result["figures"] if "AUC" in figure["name"])
    assert auc["value"] == _auc_by_counting_pairs(predictions)


def test_a_foreign_data_set_is_prepared_like_the_run_and_scored_whole(home, tmp_path):
    clips = tmp_path / "clips"
    prepared = stf(
        "prepare",
        "--dataset",
        "celebdf",
        "--root",
        home.corpus.celebdf_root,
        "--like",
        home.run,
        "--jobs",
        1,
        "--out",
        clips,
    )
    assert prepared.exit_code == 0, prepared.stderr
    assert "miniature-celebdf: 3 of 3 videos analysed" in prepared.stdout
    evaluated = stf("evaluate", home.run, "--clips", clips, "--out", tmp_path / "celebdf.csv")
    assert evaluated.exit_code == 0, evaluated.stderr
    assert "miniature-celebdf, all part, video level; coverage 1.000" in evaluated.stdout
    predictions = Predictions.load(tmp_path / "celebdf.csv")
    assert sorted(row.label for row in predictions.scored()) == [0, 0, 1]


def test_detection_leaves_a_verdict_and_a_page_of_its_own(home, suspicious_run, tmp_path):
    detect = ("detect", home.corpus.held_out, "--model", suspicious_run, "--out", tmp_path / "verdicts", "--json")
    detected = stf(*detect, "--fail-on", "manipulated")
    assert detected.exit_code == 10, detected.stderr
    (printed,) = json.loads(detected.stdout)
    saved = json.loads((tmp_path / "verdicts" / "manipulated.json").read_text(encoding="utf-8"))
    assert saved == printed

    verdict = Verdict.from_json(saved)
    assert verdict.to_json() == saved
    assert verdict.outcome is Outcome.MANIPULATED
    assert verdict.interval is not None
    assert 0.5 < verdict.interval[0] <= verdict.probability <= verdict.interval[1]
    assert verdict.provenance["sha256"] == _sha256(home.corpus.held_out)
    assert verdict.provenance["model"]["weights_sha256"] == _sha256(suspicious_run / "weights.safetensors")
    clips = [clip for track in verdict.tracks for clip in track.clips]
    assert {len(clip.consistency) for clip in clips} == {8}

    page = _Loads()
    page.feed((tmp_path / "verdicts" / "manipulated.html").read_text(encoding="utf-8"))
    assert page.images == 8 * len(clips)
    assert [address[:40] for address in page.addresses if not address.startswith(("data:", "#"))] == []


def test_a_model_of_drawings_decides_nothing_about_any_file(home, drawn_suspicious_run, tmp_path):
    """Whatever its calibration says, and whatever the data set was called."""
    environment = drawn_suspicious_run / "environment.json"
    environment.write_text(environment.read_text().replace("miniature-ffpp-c23", "ffpp-c23"))
    detect = ("detect", home.corpus.held_out, "--model", drawn_suspicious_run, "--out", tmp_path)
    detected = stf(*detect, "--fail-on", "manipulated")
    assert detected.exit_code == 0, detected.stderr
    assert detected.stdout.splitlines()[0].endswith(": cannot tell")
    verdict = Verdict.from_json(json.loads((tmp_path / "manipulated.json").read_text(encoding="utf-8")))
    assert (verdict.outcome, verdict.probability, verdict.interval) == (Outcome.INCONCLUSIVE, None, None)
    assert [track.probability for track in verdict.tracks] == [None]
    assert verdict.reasons[0] == KNOWS_DRAWINGS_ONLY
    assert verdict.provenance["model"]["drawn"] is True
    page = (tmp_path / "manipulated.html").read_text(encoding="utf-8")
    assert page.count(KNOWS_DRAWINGS_ONLY) == 2
    assert "Cannot tell" in page
    assert "probability of manipulation" not in page


def test_an_evaluation_of_other_videos_by_a_model_of_drawings_decides_nothing(home, drawn_suspicious_run):
    run, store = Run.load(drawn_suspicious_run), ClipStore.open(home.clips)
    drawn = store.manifest()
    assert {row.outcome for row in evaluate(run, store, drawn, "test", "cpu").rows} == {Outcome.MANIPULATED}
    filmed = [replace(entry.record, video_id=f"csv/{entry.record.path.stem}", identities=()) for entry in drawn.entries]
    entries = tuple(replace(entry, record=record) for entry, record in zip(drawn.entries, filmed, strict=True))
    found = evaluate(run, store, Manifest("filmed", entries[:2]), "all", "cpu")
    assert {row.outcome for row in found.rows} == {Outcome.INCONCLUSIVE}


def test_an_outcome_that_was_not_asked_about_is_no_failure(home, tmp_path):
    detected = stf(
        "detect", home.corpus.held_out, "--model", home.run, "--out", tmp_path, "--json", "--fail-on", "manipulated"
    )
    assert detected.exit_code == 0, detected.stderr
    (printed,) = json.loads(detected.stdout)
    assert Verdict.from_json(printed).outcome is Outcome.INCONCLUSIVE
    assert printed["probability"] is None
    assert printed["reasons"][0] == KNOWS_DRAWINGS_ONLY


def test_a_video_that_was_trained_on_is_told_from_a_new_one(home, tmp_path):
    trained = Run.load(home.run).split.train[0]
    entries = ClipStore.open(home.clips).manifest("miniature-ffpp-c23").entries
    path = next(entry.record.path for entry in entries if entry.record.video_id == trained)
    renamed = shutil.copy(path, tmp_path / "another-name.mp4")
    detected = stf("detect", renamed, home.corpus.held_out, "--model", home.run, "--out", tmp_path / "out", "--json")
    assert detected.exit_code == 0, detected.stderr
    seen, new = (" ".join(verdict["reasons"]) for verdict in json.loads(detected.stdout))
    assert "trained or calibrated on this very file" in seen
    assert "this very file" not in new


def _modification_times(clips):
    return {path: path.stat().st_mtime_ns for path in clips.rglob("*.npy")}


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _auc_by_counting_pairs(predictions):
    """Part of the (fake, real) pairs in which the fake scores higher, ties counted half."""
    scores = {label: [row.score for row in predictions.scored() if row.label == label] for label in (0, 1)}
    wins = [(fake > real) + 0.5 * (fake == real) for fake in scores[1] for real in scores[0]]
    return sum(wins) / len(wins)
