"""Files that are no YuNet model."""

import pytest

from stf_mamba.core.errors import WeightsError
from stf_mamba.faces.detectors import load_face_detector


class TestYunetFiles:
    def test_a_missing_file_a_folder_and_files_of_other_kinds_are_weights_errors(self, tmp_path):
        (tmp_path / "text.onnx").write_text("not a model")
        (tmp_path / "empty.onnx").write_bytes(b"")
        (tmp_path / "other.onnx").write_bytes(onnx_that_copies_its_input())
        for name in ("missing.onnx", "", "text.onnx", "empty.onnx", "other.onnx"):
            with pytest.raises(WeightsError, match="built-in MTCNN"):
                load_face_detector(tmp_path / name)


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
