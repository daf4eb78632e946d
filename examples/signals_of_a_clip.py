"""Five forensic signals of the most prominent face of a video, on consecutive frames. Measurements, not verdicts.

python examples/signals_of_a_clip.py [interview.mp4]
"""

import argparse
from pathlib import Path

import numpy as np

from demonstration import demonstration
from stf_mamba.clips.cutting import cut_clips
from stf_mamba.clips.planning import find_clips
from stf_mamba.clips.records import ClipSettings
from stf_mamba.faces.cropping import CropPath
from stf_mamba.faces.detectors import load_face_detector
from stf_mamba.signals import SIGNALS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path, nargs="?", help="the drawn miniature's without it")
    asked = parser.parse_args()
    video = asked.video or demonstration() / "corpus" / "held-out" / "manipulated.mp4"

    detector = load_face_detector()
    settings = ClipSettings(detector.name, sampling="consecutive", window_s=None, clips_per_track=1, tracks=1)
    _, requests = find_clips(video, detector, settings)
    (clip,) = cut_clips(video, requests, settings.faces)
    path = CropPath(requests[0][0], settings.faces)
    landmarks_px = np.stack([path.landmarks_at(time_s) for time_s in clip.times_s])  # (T, 5, 2)
    print(f"{video}: {len(clip.times_s)} frames from {clip.times_s[0]:.2f} to {clip.times_s[-1]:.2f} s")
    for signal in SIGNALS.values():
        result = signal.measure(clip.frames, landmarks_px)
        print(f"  {signal.letter}  {signal.title:<28} {result.value:.4g} {result.unit}")


if __name__ == "__main__":
    main()
