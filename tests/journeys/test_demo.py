"""The README's main job, on the smallest corpus."""

import json
from dataclasses import replace

from stf_mamba.cli.demo import demo_recipe, run_demo
from stf_mamba.core.recipe import PhaseRecipe
from stf_mamba.datasets.drawn import KNOWS_DRAWINGS_ONLY
from stf_mamba.datasets.miniature.corpus import MiniatureSettings
from stf_mamba.evaluation.predictions import Predictions


def test_demo_leaves_what_it_promises(corpus, tmp_path, capsys):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "corpus").symlink_to(corpus.ffpp_root.parent)  # drawn already, with the same settings
    recipe = replace(demo_recipe(42), phases=(PhaseRecipe(1, 0, 3e-4, 3e-3),))
    run = run_demo(tmp_path / "demo", settings=MiniatureSettings.tiny(), recipe=recipe)
    assert run.is_complete
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {
        "corpus",
        "clips",
        "run",
        "predictions-miniature-ffpp-c23.csv",
        "predictions-miniature-celebdf.csv",
        "held-out.json",
        "held-out.html",
    }
    assert (run.folder / "curves.png").is_file()
    assert Predictions.load(tmp_path / "demo" / "predictions-miniature-celebdf.csv").coverage == 1
    said = capsys.readouterr().out
    assert said.count("say nothing about real deepfakes") == 2
    assert "verdict on manipulated.mp4 (a swap): cannot tell" in said
    assert json.loads((tmp_path / "demo" / "held-out.json").read_text())["outcome"] == "inconclusive"
    assert KNOWS_DRAWINGS_ONLY in (tmp_path / "demo" / "held-out.html").read_text()
