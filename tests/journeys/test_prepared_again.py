"""What is prepared already is found again without a worker; what changed since is prepared anew."""

import shutil
import threading

import pytest

from stf_mamba.clips import preparation
from stf_mamba.clips.preparation import prepare
from stf_mamba.clips.store import ClipStore
from stf_mamba.datasets.faceforensics import FaceForensics


def _no_worker(*args, **kwargs):
    raise AssertionError("a worker was started")


@pytest.fixture
def again(home, tmp_path):
    """A store of which everything is prepared, its data set and the manifest's name."""
    shutil.copytree(home.clips, tmp_path / "clips")
    store = ClipStore.open(tmp_path / "clips")
    (name,) = store.manifests()
    return store, FaceForensics(home.corpus.ffpp_root, "c23").records(), name


def test_nothing_missing_starts_nothing(again, monkeypatch):
    store, records, name = again
    before = store.manifest(name)
    monkeypatch.setattr(preparation, "in_workers", _no_worker)
    monkeypatch.setattr(preparation, "find_clips", _no_worker)
    manifest, summary = prepare(records, store, name, jobs=2)
    assert manifest == before
    assert summary.reused == summary.videos == len(records)


def test_a_clip_that_is_gone_is_made_again(again):
    store, records, name = again
    lost = store.manifest(name).entries[0]
    shutil.rmtree(next(path for path in store.root.rglob(f"{lost.sha256}*") if path.is_dir()))
    assert not store.has(lost.sha256)
    manifest, summary = prepare(records, store, name, jobs=1)
    assert summary.reused == len(records) - 1
    assert manifest.entries[0] == lost
    assert store.has(lost.sha256)


def test_a_stop_leaves_no_thread_of_the_workers_behind(home, tmp_path):
    """A thread that still closes its pipes when Python exits ends a clean stop with a traceback."""
    before = set(threading.enumerate())
    records = FaceForensics(home.corpus.ffpp_root, "c23").records()
    settings = ClipStore.open(home.clips).settings

    def stop(record, video):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(records, ClipStore.create(tmp_path / "clips", settings), "miniature-ffpp-c23", jobs=2, on_video=stop)
    assert set(threading.enumerate()) - before == set()
