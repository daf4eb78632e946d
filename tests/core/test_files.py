"""Whole or absent, and only the dead are cleaned up after."""

import hashlib
import os
import socket

import pytest

from stf_mamba.core.files import partial_path, remove_leftovers, sha256_of, write_text_atomically


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    write_text_atomically(target, "old")
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_text_atomically(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def fill(fail):
        with partial_path(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / "one").write_text("1")
            if fail:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(fail=True)
    assert list(tmp_path.iterdir()) == []
    fill(fail=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "one"]


def test_leftovers_of_the_dead_go_and_those_of_others_stay(tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    here = socket.gethostname()
    names = {
        f".a.json.{here}@{child}.partial": False,
        f".b.json.{here}@{os.getpid()}.partial": True,
        f".c.json.another-host@{child}.partial": True,
        "d.partial": True,
    }
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / f".folder.{here}@{child}.partial").mkdir()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {name for name, stays in names.items() if stays}


def test_hash_is_that_of_the_whole_file(tmp_path):
    path = tmp_path / "any.bin"
    path.write_bytes(bytes(range(256)) * 9000)
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
