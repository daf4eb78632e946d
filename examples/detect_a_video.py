"""A verdict on a video, as data and as a page.

python examples/detect_a_video.py [--video interview.mp4 --model runs/v8] [--out verdicts]
"""

import argparse
from pathlib import Path

import stf_mamba as stf
from demonstration import demonstration


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, help="a video; the drawn miniature's without it")
    parser.add_argument("--model", type=Path, help="a run folder made by stf train; the demonstration's without it")
    parser.add_argument("--out", type=Path, default=Path("verdicts"))
    asked = parser.parse_args()

    detector = stf.load_detector(asked.model or demonstration() / "run", device="cpu")
    verdict = detector.detect(asked.video or demonstration() / "corpus" / "held-out" / "manipulated.mp4")

    probability = "no probability" if verdict.probability is None else f"probability {verdict.probability:.2f}"
    print(f"{verdict.outcome.words}, {probability}")
    for reason in verdict.reasons:
        print(f"  {reason}")
    asked.out.mkdir(parents=True, exist_ok=True)
    print(verdict.save(asked.out / "verdict.json"))
    print(stf.write_case_report(verdict, asked.out / "verdict.html"))


if __name__ == "__main__":
    main()
