"""The video that several test files read."""

import pytest

from video_files import (
    numbered_frames,
    write_video,
)


@pytest.fixture(scope="session")
def b_frames(tmp_path_factory):
    """60 numbered frames at 25 fps, several groups of pictures, three B-frames in a row, with sound."""
    path = tmp_path_factory.mktemp("video") / "b.mp4"
    return write_video(path, numbered_frames(60), options={"bf": "3", "g": "24"}, audio=True)
