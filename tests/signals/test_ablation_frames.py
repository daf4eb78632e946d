"""The report's own input: numbered frames of a generated video."""

import numpy as np
import pytest

from stf_mamba.core.errors import VideoError
from stf_mamba.signals.ablation_frames import report_frames
from video_files import numbered_frames, read_number, write_video


def test_frames_are_spread_over_the_whole_video(tmp_path):
    # The number fills the middle of each frame, which is what the crop keeps: 0.6 of 160 pixels.
    pictures = []
    for picture in numbered_frames(94, 96, 96):
        pictures.append(np.pad(picture, ((32, 32), (72, 72), (0, 0))))
    path = write_video(tmp_path / "numbered.mp4", pictures)
    frames = report_frames(path)
    assert frames.shape == (32, 224, 224, 3)
    assert [read_number(frame) for frame in frames] == list(range(0, 94, 3))


def test_too_few_frames_are_refused(tmp_path):
    path = write_video(tmp_path / "short.mp4", list(numbered_frames(31)))
    with pytest.raises(VideoError, match="31 frames"):
        report_frames(path)
