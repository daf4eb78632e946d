"""Whole or absent, and only the dead are cleaned up after."""

import hashlib
import os
import socket

import pytest

from stf_mamba.core.errors import ClipStoreError, DatasetError, RunError
from stf_mamba.core.files import (
    partial_path,
    read_json,
    read_text,
    remove_leftovers,
    sha256_of,
    write_errors_as,
    write_text_atomically,
)


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_text_reads_alike_whichever_system_wrote_it(tmp_path, encoding, line_end):
    path = tmp_path / "a.txt"
    path.write_bytes(line_end.join(["Zoë", "b", ""]).encode(encoding))
    assert read_text(path, DatasetError, "again") == "Zoë\nb\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.txt is missing; write it again$"),
        (b"a\nb\xe9c", r"a\.txt, line 2: byte 3 is no UTF-8 \(invalid continuation byte\); write it again$"),
        ("a\nb".encode("utf-16-le"), r"a\.txt, line 1: a NUL character.*; write it again$"),
        (b"\xff\xfea", r"a\.txt, line 1: byte 2 is no UTF-16 \(truncated data\); write it again$"),
    ],
)
def test_what_is_no_text_says_where_and_what_to_do(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_text(tmp_path / "a.txt", DatasetError, "write it again")
    with pytest.raises(RunError, match="cannot be read"):
        read_text(tmp_path, RunError, "give a file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"a\.json, line 1, column 1: empty; again"),
        ('{"a": 1,\n "b" 2}', r"a\.json, line 2, column 6: no JSON \(Expecting ':' delimiter\); again"),
        ('{"a": NaN}', "NaN is no finite number; again"),
        ("[-Infinity]", "-Infinity is no finite number"),
        ("[" * 100_000, r"a\.json"),
    ],
)
def test_what_is_no_json_says_where_and_what_to_do(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(RunError, match=message):
        read_json(tmp_path / "a.json", RunError, "again")


def test_json_of_another_system_reads_alike(tmp_path):
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "a.json").write_bytes('{"a":\r\n ["ë"]}'.encode(encoding))
        assert read_json(tmp_path / "a.json", RunError, "again") == {"a": ["ë"]}


@pytest.mark.parametrize(("number", "words"), [(28, "the disk that holds OUT is full; free some"), (13, "permissions")])
def test_a_failed_write_says_what_happened_and_what_is_kept(number, words):
    said = pytest.raises(ClipStoreError, match=rf"{words}.*: all of it is kept$")
    with said, write_errors_as(ClipStoreError, "OUT", "all of it is kept"):
        raise OSError(number, os.strerror(number))
