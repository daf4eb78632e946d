"""A study that was killed runs what is missing, and nothing twice."""

import json

from terminal import partial_files, start, stf, wait_until

ROWS = ("frame-dinov2", "v8-frames-8")  # both of 8 frames, as the clips


def test_a_killed_study_continues_where_it_was(home, tmp_path):
    out = tmp_path / "study"
    command = (
        *("study", "--clips", home.clips, "--split", home.corpus.ffpp_root / "splits", "--out", out),
        *("--stand-in", "dinov2_vitb14=vit_miniature", "--only", ",".join(ROWS)),
    )
    first, second = (out / "rows" / key for key in ROWS)
    with start(*command) as process:
        # In the middle of the last row, with two epochs of it behind.
        wait_until(lambda: _epochs(second) >= 2, process)
        process.kill()
        process.wait()
    assert _epochs(second) < 12
    assert not (second / "row.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    assert first / "row.json" in kept

    finished = stf(*command)
    assert finished.exit_code == 0, finished.stderr
    assert "frame-dinov2: found finished" in finished.stderr
    assert "v8-frames-8: finished" in finished.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert _epochs(second) == 12
    assert partial_files(out) == []


def _epochs(row):
    path = row / "seed-42" / "history.json"
    return len(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else 0
