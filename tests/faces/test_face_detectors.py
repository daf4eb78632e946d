"""The detectors against a drawn face, an independent evaluation of the networks, and each other on real frames."""

import importlib.util
import pickle
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import joblib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from stf_mamba.core.errors import WeightsError
from stf_mamba.faces.detectors import load_face_detector
from stf_mamba.faces.mtcnn import MtcnnDetector, _non_maximum_suppression
from stf_mamba.faces.mtcnn_networks import load_networks, normalised
from stf_mamba.faces.settings import FaceSettings
from stf_mamba.faces.tracking import find_face_tracks
from stf_mamba.faces.yunet import YunetDetector

# Where ``drawn_face`` puts eyes, nose tip and mouth corners, in units of the face's height from its middle.
DRAWN_LANDMARKS = np.array([[-0.17, -0.1], [0.17, -0.1], [0.0, 0.1], [-0.14, 0.285], [0.14, 0.285]])


def drawn_face(height_px, centre=(160, 120), frame_size=(320, 240)):
    """A frame (H, W, 3) uint8 RGB with one face, drawn four times larger and shrunk."""
    canvas = np.full((frame_size[1] * 4, frame_size[0] * 4, 3), 120, np.uint8)
    s = height_px * 4

    def at(x, y):
        return round(centre[0] * 4 + x * s), round(centre[1] * 4 + y * s)

    def ellipse(middle, axes, colour, thickness=-1, start=0, end=360):
        size = (round(axes[0] * s), round(axes[1] * s))
        cv2.ellipse(canvas, at(*middle), size, 0, start, end, colour, thickness)

    ellipse((0, -0.08), (0.48, 0.58), (60, 40, 30))  # hair
    ellipse((0, 0.04), (0.40, 0.52), (224, 172, 138))  # skin
    for side in (-1, 1):
        ellipse((side * 0.17, -0.1), (0.09, 0.045), (245, 245, 245))
        ellipse((side * 0.17, -0.1), (0.042, 0.042), (40, 30, 25))
        ellipse((side * 0.17, -0.17), (0.12, 0.05), (60, 40, 30), round(0.03 * s), 190, 350)
    cv2.line(canvas, at(0, -0.08), at(-0.02, 0.1), (200, 145, 112), round(0.03 * s))
    ellipse((0, 0.12), (0.07, 0.035), (180, 120, 95), round(0.025 * s), 0, 180)
    ellipse((0, 0.29), (0.14, 0.045), (170, 70, 70))
    cv2.line(canvas, at(-0.14, 0.285), at(0.14, 0.285), (110, 40, 40), max(1, round(0.015 * s)))
    return cv2.resize(cv2.GaussianBlur(canvas, (0, 0), 0.015 * s), frame_size, interpolation=cv2.INTER_AREA)


def overlap(a, b):
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(0, width) * max(0, height)
    return intersection / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection)


@pytest.fixture(scope="module")
def mtcnn():
    return MtcnnDetector()


class TestMtcnnOnADrawnFace:
    @pytest.mark.parametrize("height_px", [30, 50, 80, 120, 160])
    def test_box_and_landmarks_lie_where_they_were_drawn(self, mtcnn, height_px):
        ((face,),) = mtcnn.detect([drawn_face(height_px)], [1.5])
        assert face.time_s == 1.5
        assert face.score > 0.9
        expected = (160 - 0.40 * height_px, 120 - 0.48 * height_px, 160 + 0.40 * height_px, 120 + 0.56 * height_px)
        assert overlap(face.box_px, expected) > 0.85
        landmarks = (np.array(face.landmarks_px) - [160, 120]) / height_px
        assert np.abs(landmarks - DRAWN_LANDMARKS).max() < 0.05

    def test_a_moved_face_moves_box_and_landmarks(self, mtcnn):
        first, moved = mtcnn.detect([drawn_face(80), drawn_face(80, centre=(232, 150))], [0.0, 0.1])
        assert np.array(moved[0].box_px) - first[0].box_px == pytest.approx([72, 30, 72, 30], abs=5)
        shift = np.array(moved[0].landmarks_px) - first[0].landmarks_px
        assert shift == pytest.approx(np.tile([72, 30], (5, 1)), abs=4)

    def test_all_faces_are_found_best_first(self, mtcnn):
        frame = np.concatenate([drawn_face(60), drawn_face(120), drawn_face(90)], axis=1)
        (faces,) = mtcnn.detect([frame], [0.0])
        assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
        assert sorted(round(face.centre_px[0] / 160) for face in faces) == [1, 3, 5]

    def test_a_batch_finds_what_single_frames_give_also_for_mixed_shapes(self, mtcnn):
        frames = [drawn_face(80), drawn_face(50, (100, 60), (240, 200)), np.full((240, 320, 3), 90, np.uint8)]
        together = mtcnn.detect(frames, [0.0, 0.2, 0.4])
        for faces, frame, time_s in zip(together, frames, [0.0, 0.2, 0.4], strict=True):
            (alone,) = mtcnn.detect([frame], [time_s])
            assert len(faces) == len(alone)
            for face, same in zip(faces, alone, strict=True):
                assert face.time_s == time_s
                assert face.box_px == pytest.approx(same.box_px, abs=1e-3)
        assert [len(faces) for faces in together] == [1, 1, 0]

    def test_a_small_face_in_a_large_frame_is_found_by_the_second_search(self, mtcnn, monkeypatch):
        frame = np.full((720, 1280, 3), 120, np.uint8)
        frame[400:640, 800:1120] = drawn_face(22)
        ((face,),) = mtcnn.detect([frame], [0.0])
        assert face.centre_px == pytest.approx((960, 521), abs=3)
        monkeypatch.setattr(mtcnn, "LONGER_SIDE_PER_FACE", mtcnn.LONGER_SIDE_PER_FACE[:1])
        assert mtcnn.detect([frame], [0.0]) == [[]]

    @pytest.mark.parametrize("shape", [(1, 1, 3), (11, 300, 3), (12, 12, 3), (20, 20, 3)])
    def test_tiny_frames_hold_no_face(self, mtcnn, shape):
        assert mtcnn.detect([np.zeros(shape, np.uint8)], [0.0]) == [[]]

    def test_no_frames_give_no_lists(self, mtcnn):
        assert mtcnn.detect([], []) == []

    @pytest.mark.parametrize(
        ("frames", "times_s", "message"),
        [
            ([np.zeros((20, 20, 3), np.uint8)], [], "each frame needs its time"),
            ([np.zeros((20, 20), np.uint8)], [0.0], r"\(20, 20\)"),
            ([np.zeros((20, 20, 3), np.float32)], [0.0], "float32"),
            ([np.zeros((0, 20, 3), np.uint8)], [0.0], r"\(0, 20, 3\)"),
        ],
    )
    def test_wrong_arguments_are_named(self, mtcnn, frames, times_s, message):
        with pytest.raises(ValueError, match=message):
            mtcnn.detect(frames, times_s)


@pytest.fixture(scope="module")
def networks():
    return load_networks()


class PlainLayers:
    """Keras' layers over NHWC float64, written from their documentation; reads the package's arrays in order."""

    def __init__(self, stem):
        folder = Path(importlib.util.find_spec("mtcnn").submodule_search_locations[0]) / "assets" / "weights"
        self.arrays = iter([array.astype(np.float64) for array in joblib.load(folder / f"{stem}.lz4")])

    def convolution(self, x):
        kernel, bias = next(self.arrays), next(self.arrays)
        windows = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))  # (N, H', W', C, h, w)
        return np.einsum("nyxchw,hwco->nyxo", windows, kernel) + bias

    def prelu(self, x):
        return np.maximum(x, 0) + next(self.arrays) * np.minimum(x, 0)

    def dense(self, x):
        return x @ next(self.arrays) + next(self.arrays)

    @staticmethod
    def pool(x, size, *, same):
        if same:
            missing = [(-(-side // 2) - 1) * 2 + size - side for side in x.shape[1:3]]
            padding = [(max(0, pad) // 2, max(0, pad) - max(0, pad) // 2) for pad in missing]
            x = np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=-np.inf)
        return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))

    @staticmethod
    def softmax(x):
        return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


class TestNetworks:
    """Each network equals an evaluation of the same arrays that shares no code with it."""

    @staticmethod
    def images(size):
        pixels = np.random.default_rng(4).integers(0, 256, (3, *size, 3), dtype=np.uint8)
        return pixels, (pixels.astype(np.float64) - 127.5) / 128

    def test_proposal_network(self, networks):
        pixels, x = self.images((31, 40))
        plain = PlainLayers("pnet")
        x = plain.pool(plain.prelu(plain.convolution(x)), 2, same=True)
        x = plain.prelu(plain.convolution(plain.prelu(plain.convolution(x))))
        box, face = plain.convolution(x), plain.softmax(plain.convolution(x))[..., 1]
        with torch.inference_mode():
            got_box, got_face = networks[0](normalised(pixels))
        np.testing.assert_allclose(got_box.permute(0, 2, 3, 1), box, atol=1e-5)
        np.testing.assert_allclose(got_face, face, atol=1e-5)

    def test_refinement_network(self, networks):
        pixels, x = self.images((24, 24))
        plain = PlainLayers("rnet")
        x = plain.pool(plain.prelu(plain.convolution(x)), 3, same=True)
        x = plain.pool(plain.prelu(plain.convolution(x)), 3, same=False)
        x = plain.prelu(plain.convolution(x)).transpose(0, 2, 1, 3).reshape(3, -1)  # columns before rows
        x = plain.prelu(plain.dense(x))
        box, face = plain.dense(x), plain.softmax(plain.dense(x))[:, 1]
        with torch.inference_mode():
            got_box, got_face = networks[1](normalised(pixels))
        np.testing.assert_allclose(got_box, box, atol=1e-5)
        np.testing.assert_allclose(got_face, face, atol=1e-5)

    def test_output_network(self, networks):
        pixels, x = self.images((48, 48))
        plain = PlainLayers("onet")
        x = plain.pool(plain.prelu(plain.convolution(x)), 3, same=True)
        x = plain.pool(plain.prelu(plain.convolution(x)), 3, same=False)
        x = plain.pool(plain.prelu(plain.convolution(x)), 2, same=True)
        x = plain.prelu(plain.convolution(x)).transpose(0, 2, 1, 3).reshape(3, -1)  # columns before rows
        x = plain.prelu(plain.dense(x))
        box, landmarks, face = plain.dense(x), plain.dense(x), plain.softmax(plain.dense(x))[:, 1]
        with torch.inference_mode():
            got_box, got_landmarks, got_face = networks[2](normalised(pixels))
        np.testing.assert_allclose(got_box, box, atol=1e-5)
        np.testing.assert_allclose(got_landmarks, np.stack([landmarks[:, :5], landmarks[:, 5:]], axis=-1), atol=1e-5)
        np.testing.assert_allclose(got_face, face, atol=1e-5)


class TestWeightsOfTheInstalledPackage:
    @staticmethod
    def package_at(monkeypatch, folder):
        spec = None if folder is None else SimpleNamespace(submodule_search_locations=[str(folder)])
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)

    def test_a_missing_package_is_said_with_the_command_that_installs_it(self, monkeypatch):
        self.package_at(monkeypatch, None)
        with pytest.raises(WeightsError, match=r"not installed; .*mtcnn==1\.0\.0"):
            MtcnnDetector()

    def test_a_missing_file_is_named(self, monkeypatch, tmp_path):
        self.package_at(monkeypatch, tmp_path)
        with pytest.raises(WeightsError, match=r"pnet\.lz4.*mtcnn==1\.0\.0"):
            MtcnnDetector()

    def test_another_file_is_refused_before_it_is_unpickled(self, monkeypatch, tmp_path):
        weights = tmp_path / "assets" / "weights" / "pnet.lz4"
        weights.parent.mkdir(parents=True)
        weights.write_bytes(pickle.dumps(MakesAFile(tmp_path / "unpickled")))
        self.package_at(monkeypatch, tmp_path)
        with pytest.raises(WeightsError, match=r"has sha256 .*, expected ea6b0c3e"):
            MtcnnDetector()
        assert not (tmp_path / "unpickled").exists()


class MakesAFile:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class TestNonMaximumSuppression:
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 1), st.integers(0, 20), st.integers(0, 20), st.integers(1, 15), st.integers(1, 15)
            ),
            max_size=25,
        ),
        st.floats(0.1, 0.9),
    )
    def test_keeps_a_box_exactly_if_no_better_kept_one_of_its_frame_overlaps_it(self, drawn, limit):
        boxes = np.array([(f, x, y, x + w, y + h) for f, x, y, w, h in drawn], np.float32).reshape(-1, 5)
        scores = np.random.default_rng(len(drawn)).permutation(len(drawn)).astype(np.float32)
        kept = _non_maximum_suppression(boxes, scores, limit).tolist()
        assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
        for index, box in enumerate(boxes):
            better = [other for other in kept if scores[other] > scores[index] and boxes[other][0] == box[0]]
            overlaps = [overlap(box[1:].astype(float), boxes[other][1:].astype(float)) for other in better]
            if any(abs(value - limit) < 1e-6 for value in overlaps):
                continue
            assert (index in kept) == (not any(value > limit for value in overlaps))

    def test_relative_to_the_smaller_box_a_contained_one_goes(self):
        boxes = np.array([[0, 0, 0, 10, 10], [0, 2, 2, 5, 5]], np.float32)
        scores = np.array([0.9, 0.8], np.float32)
        assert _non_maximum_suppression(boxes, scores, 0.7).tolist() == [0, 1]
        assert _non_maximum_suppression(boxes, scores, 0.7, relative_to_smaller=True).tolist() == [0]


class TestYunetFiles:
    def test_a_missing_file_a_folder_and_files_of_other_kinds_are_weights_errors(self, tmp_path):
        (tmp_path / "text.onnx").write_text("not a model")
        (tmp_path / "empty.onnx").write_bytes(b"")
        (tmp_path / "other.onnx").write_bytes(onnx_that_copies_its_input())
        for name in ("missing.onnx", "", "text.onnx", "empty.onnx", "other.onnx"):
            with pytest.raises(WeightsError, match="built-in MTCNN"):
                load_face_detector(tmp_path / name)

    def test_without_a_file_the_detector_is_mtcnn(self):
        assert load_face_detector().name == "mtcnn-1.0.0"


def onnx_that_copies_its_input():
    """A valid ONNX model of one Identity node, written byte by byte: fields of protobuf messages by number."""

    def text(number, content):
        content = content.encode() if isinstance(content, str) else content
        assert len(content) < 128
        return bytes([number << 3 | 2, len(content)]) + content

    def number(field, value):
        return bytes([field << 3, value])

    def tensor(name):
        dimensions = b"".join(text(1, number(1, size)) for size in (1, 3, 64, 64))
        return text(1, name) + text(2, text(1, number(1, 1) + text(2, dimensions)))

    node = text(1, "input") + text(2, "output") + text(4, "Identity")
    graph = text(1, node) + text(2, "graph") + text(11, tensor("input")) + text(12, tensor("output"))
    return number(1, 8) + text(7, graph) + text(8, text(1, "") + number(2, 13))


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
