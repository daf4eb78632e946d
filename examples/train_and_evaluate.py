"""Train a recipe on one data set and evaluate it on another, which it has never seen.

python examples/train_and_evaluate.py [--ffpp /data/ffpp --celebdf /data/celebdf --recipe FILE --weights FILE]
"""

import argparse
from pathlib import Path

import stf_mamba as stf
from demonstration import demonstration

# Small enough to train from random values; a real recipe needs real weights.
SMALL = {
    "name": "example",
    "encoder": {"name": "vit_miniature", "trainable_blocks": 4},
    "temporal": {"layers": 1, "width": 32},
    "phases": [{"epochs": 2, "warmup_epochs": 1, "encoder_lr": 3e-4, "head_lr": 3e-3}],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ffpp", type=Path, help="FaceForensics++ at c23; the drawn miniature's without it")
    parser.add_argument("--celebdf", type=Path, help="Celeb-DF v2; the drawn miniature's without it")
    parser.add_argument("--recipe", type=Path, help="a small one for the miniature without it")
    parser.add_argument("--weights", help="of the encoder: a file, package:NAME or hf:OWNER/NAME@COMMIT")
    parser.add_argument("--out", type=Path, default=Path("runs/example"))
    asked = parser.parse_args()

    recipe = stf.Recipe.load(asked.recipe) if asked.recipe else stf.Recipe.from_table(SMALL)
    run = stf.train(recipe, asked.ffpp or demonstration() / "corpus" / "ffpp", asked.out, weights=asked.weights)
    predictions = stf.evaluate(run, stf.datasets.CelebDF(asked.celebdf or demonstration() / "corpus" / "celebdf"))
    print(predictions.save(asked.out / "predictions-celebdf.csv"))
    print(stf.metrics.auc(predictions))


if __name__ == "__main__":
    main()
