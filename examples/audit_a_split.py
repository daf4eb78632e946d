"""Why people are held out, and not videos: what a random split of FaceForensics++ shares, and what a proper one does.

python examples/audit_a_split.py [/data/ffpp]
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

import stf_mamba as stf
from demonstration import demonstration
from stf_mamba.datasets.audit import audit
from stf_mamba.datasets.splits import Split, identity_disjoint_split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ffpp", type=Path, nargs="?", help="the drawn miniature's without it")
    asked = parser.parse_args()

    records = stf.datasets.FaceForensics(asked.ffpp or demonstration() / "corpus" / "ffpp").records()
    names = np.random.default_rng(42).permutation([record.video_id for record in records]).tolist()
    half = len(names) // 2
    by_video = Split("videos at random", tuple(names[:half]), tuple(names[half:]))
    by_people = identity_disjoint_split(records, validation_fraction=0.5, seed=42)

    for split in (by_video, by_people):
        leaks = audit(split, records)
        kinds = ", ".join(f"{count} × {kind}" for kind, count in Counter(leak.kind for leak in leaks).items())
        print(f"{split.name}: {len(split.train)} train, {len(split.validation)} validate; shared: {kinds or 'nothing'}")
        for leak in leaks[:3]:
            print(f"  {leak.kind} {leak.value} in {' and '.join(leak.parts)}")


if __name__ == "__main__":
    main()
