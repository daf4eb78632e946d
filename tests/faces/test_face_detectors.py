"""The detectors against each other on real frames."""

import av
import cv2
import numpy as np
import pytest

from stf_mamba.faces.detectors import load_face_detector
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.faces.tracking import find_face_tracks
from stf_mamba.faces.yunet import YunetDetector
from tracked_faces import overlap


def frames_of(path, every_s):
    """Frames of a real clip, at most one in ``every_s`` seconds, at most five."""
    frames, due_s = [], 0.0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time >= due_s:
                frames.append(frame.to_ndarray(format="rgb24"))
                due_s += every_s
            if len(frames) == 5:
                break
    return frames


def real_clips(shared):
    swaps = shared / "data" / "faceswap"
    return [
        *sorted((shared / "data" / "talking-heads").glob("*.m*")),
        *sorted(swaps.glob("original_sequences/youtube/c23/videos/*.mp4"))[::4],
        *sorted(swaps.glob("manipulated_sequences/Deepfakes/c23/videos/*.mp4"))[::4],
    ]


def test_without_a_file_the_detector_is_mtcnn():
    assert load_face_detector().name == "mtcnn-1.0.0"


@pytest.mark.real
class TestOnRealClips:
    def test_mtcnn_finds_what_yunet_finds_and_little_else(self, shared, mtcnn):
        yunet = YunetDetector(shared / "weights" / "yunet_n_640_640.onnx")
        overlaps, distances, extra, frames_seen = [], [], 0, 0
        for path in real_clips(shared):
            frames = frames_of(path, every_s=1.5)
            times_s = [0.0] * len(frames)
            frames_seen += len(frames)
            for ours, theirs in zip(mtcnn.detect(frames, times_s), yunet.detect(frames, times_s), strict=True):
                extra += max(0, len(ours) - len(theirs))
                for face in theirs:
                    best = max(ours, key=lambda other: overlap(other.box_px, face.box_px), default=None)
                    overlaps.append(0.0 if best is None else overlap(best.box_px, face.box_px))
                    if overlaps[-1] > 0.5:
                        apart = np.array(best.landmarks_px) - face.landmarks_px
                        distances.append(np.abs(apart).max() / face.side_px)
        assert len(overlaps) >= 100
        assert np.mean(np.array(overlaps) > 0.5) >= 0.98
        assert np.median(overlaps) > 0.85
        assert np.median(distances) < 0.06  # also proves the order of the five points
        assert extra <= 0.03 * frames_seen

    def test_small_faces_in_a_720p_frame_are_found(self, shared, mtcnn):
        found = looked = 0
        for path in real_clips(shared)[4::2]:
            frame = frames_of(path, every_s=0.0)[0]
            large = mtcnn.detect([frame], [0.0])[0]
            scale = 52 / large[0].side_px
            small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            height, width = small.shape[:2]
            placed = cv2.copyMakeBorder(small, 200, 520 - height, 400, 880 - width, cv2.BORDER_REPLICATE)
            expected = np.array(large[0].box_px) * scale + [400, 200, 400, 200]
            looked += 1
            found += any(overlap(face.box_px, expected) > 0.5 for face in mtcnn.detect([placed], [0.0])[0])
        assert looked >= 15
        assert found == looked

    @pytest.mark.parametrize("file", ["yunet_n_640_640.onnx", "yunet_n_dynamic.onnx"])
    def test_yunet_takes_files_of_fixed_and_of_any_input_size(self, shared, file):
        detector = load_face_detector(shared / "weights" / file)
        (frame,) = frames_of(shared / "data" / "talking-heads" / "lp_s18.mp4", every_s=99)
        ((face,),) = detector.detect([frame], [0.25])
        assert detector.name.startswith("yunet-")
        assert len(detector.name) == 6 + 12
        # The face of this 1280×720 clip as a person marks it, to the nearest 10 px.
        assert overlap(face.box_px, (660, 100, 880, 400)) > 0.8
        assert face.time_s == 0.25

    @pytest.mark.parametrize(
        "clip",
        [
            "talking-heads/asl_learn.mkv",
            "talking-heads/grid_bbaf2n.mpg",
            "talking-heads/lp_d0.mp4",
            "faceswap/original_sequences/youtube/c23/videos/011.mp4",
            "faceswap/manipulated_sequences/Deepfakes/c23/videos/007_902.mp4",
        ],
    )
    def test_a_real_clip_yields_one_track_over_nearly_its_whole_length(self, shared, mtcnn, clip):
        search = find_face_tracks(shared / "data" / clip, mtcnn, FaceSettings())
        assert len(search.tracks) == 1
        assert search.tracks[0].end_s - search.tracks[0].start_s > 0.85 * (search.times_s[-1] - search.times_s[0])
