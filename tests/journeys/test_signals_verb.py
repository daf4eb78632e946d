"""``stf signals``: values with units and a page for each video, and bad files that stop nothing."""

import json
import shutil

from PIL import Image
from typer.testing import CliRunner

from stf_mamba.cli.app import app
from stf_mamba.cli.signals import NOTE
from stf_mamba.core.files import sha256_of
from stf_mamba.signals import SIGNALS


def test_values_pages_and_a_bad_file_between(corpus, tmp_path):
    real = sorted(corpus.ffpp_root.rglob("*.mp4"))[0]
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    result = CliRunner().invoke(app, ["signals", str(bad), str(real), "--out", str(tmp_path / "pages"), "--json"])
    assert result.exit_code == 3, result.output
    printed = json.loads(result.stdout)
    assert printed["note"] == NOTE
    assert "not readable" in printed["videos"][0]["reason"]
    assert "bad.mp4" in result.stderr
    assert [entry["signal"] for entry in printed["videos"][1]["signals"]] == list(SIGNALS)
    assert all(entry["value"] is None or entry["unit"] for entry in printed["videos"][1]["signals"])
    assert (tmp_path / "pages" / f"{real.stem}-signals.png").read_bytes().startswith(b"\x89PNG")
    plain = CliRunner().invoke(app, ["signals", str(real), "--out", str(tmp_path / "pages")])
    assert plain.exit_code == 0
    assert [page.name for page in (tmp_path / "pages").iterdir()] == [f"{real.stem}-signals.png"]
    assert plain.stdout.rstrip().endswith(NOTE)
    assert all(signal.title in plain.stdout for signal in SIGNALS.values())


def test_another_file_of_the_same_name_does_not_replace_a_page(corpus, tmp_path):
    two = sorted(corpus.ffpp_root.rglob("*.mp4"))[:2]
    for number, source in enumerate(two):
        (tmp_path / str(number)).mkdir()
        shutil.copy(source, tmp_path / str(number) / "x.mp4")
        assert (
            CliRunner()
            .invoke(app, ["signals", str(tmp_path / str(number) / "x.mp4"), "--out", str(tmp_path)])
            .exit_code
            == 0
        )
    pages = [tmp_path / "x-signals.png", tmp_path / "x.mp4-signals.png"]
    assert sorted(tmp_path.glob("*.png")) == sorted(pages)
    assert [Image.open(page).info["Source"] for page in pages] == [sha256_of(source) for source in two]


def test_a_missing_file_is_wrong_usage(tmp_path):
    assert CliRunner().invoke(app, ["signals", str(tmp_path / "none.mp4")]).exit_code == 2
