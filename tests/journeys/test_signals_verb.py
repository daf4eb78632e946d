"""``stf signals``: values with units and a page for each video, and bad files that stop nothing."""

import json

import typer
from typer.testing import CliRunner

from stf_mamba.cli.signals import NOTE, signals
from stf_mamba.signals import SIGNALS

app = typer.Typer()
app.command()(signals)


def test_values_pages_and_a_bad_file_between(corpus, tmp_path):
    real = sorted(corpus.ffpp_root.rglob("*.mp4"))[0]
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    result = CliRunner().invoke(app, [str(bad), str(real), "--out", str(tmp_path / "pages"), "--json"])
    assert result.exit_code == 3, result.output
    printed = json.loads(result.stdout)
    assert printed["note"] == NOTE
    assert "not readable" in printed["videos"][0]["reason"]
    assert "bad.mp4" in result.stderr
    assert [entry["signal"] for entry in printed["videos"][1]["signals"]] == list(SIGNALS)
    assert all(entry["value"] is None or entry["unit"] for entry in printed["videos"][1]["signals"])
    assert (tmp_path / "pages" / f"{real.stem}-signals.png").read_bytes().startswith(b"\x89PNG")
    plain = CliRunner().invoke(app, [str(real), "--out", str(tmp_path / "pages")])
    assert plain.exit_code == 0
    assert plain.stdout.rstrip().endswith(NOTE)
    assert all(signal.title in plain.stdout for signal in SIGNALS.values())


def test_a_missing_file_is_wrong_usage(tmp_path):
    assert CliRunner().invoke(app, [str(tmp_path / "none.mp4")]).exit_code == 2
