"""Ctrl-C, kill -9 and a full disk while clips are prepared: nothing is lost, and the same command continues."""

import json
import signal
import subprocess
import time

import pytest
from terminal import (
    children,
    finish,
    has_loaded,
    is_running,
    messages,
    partial_files,
    start,
    stf,
    wait_until,
    with_group,
)

from stf_mamba.clips.store import ClipStore
from stf_mamba.core.errors import ClipStoreError

FILLER_BYTES = 54_000_000
DISK_BYTES = 68_000_000  # leaves room for three of the twelve videos: each has three clips of 1.2 MB


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_whole_videos_and_the_same_command_goes_on(home, tmp_path, number):
    clips = tmp_path / "clips"
    with start(*home.prepare_command, "--jobs", 2, "--out", clips) as process:
        wait_until(lambda: len(_finished_videos(clips)) >= 2, process)
        process.send_signal(number)
        stopped = finish(process)
    _assert_stopped(stopped)
    _assert_goes_on(home, clips)


def test_ctrl_c_in_a_terminal_reaches_workers_that_still_import(home, tmp_path):
    """A terminal signals the whole group. Nothing may come of it but the one message, also if workers are faster."""
    clips = tmp_path / "clips"
    with start(*home.prepare_command, "--jobs", 2, "--out", clips) as process:
        wait_until(lambda: any(has_loaded(worker, "numpy") for worker in _workers(process)), process)
        process.send_signal(signal.SIGSTOP)
        for _ in range(5):  # an import may swallow one
            with_group(process, signal.SIGINT)
            time.sleep(0.2)
        process.send_signal(signal.SIGCONT)
        stopped = finish(process)
    _assert_stopped(stopped)
    assert partial_files(clips) == []


def test_a_killed_preparation_loses_only_what_was_half_written(home, tmp_path):
    clips = tmp_path / "clips"
    with start(*home.prepare_command, "--jobs", 2, "--out", clips) as process:
        wait_until(lambda: len(_finished_videos(clips)) >= 2 and bool(partial_files(clips)), process)
        workers = _workers(process)
        process.kill()
        process.wait()
        kept = {path: path.stat().st_mtime_ns for path in _finished_videos(clips)}
        _assert_whole(clips)
        # Workers would wait for ever for work that nobody sends: they end with their parent.
        deadline_s = time.monotonic() + 20
        while any(is_running(worker) for worker in workers) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert len(workers) == 2
        assert [worker for worker in workers if is_running(worker)] == []
    _assert_goes_on(home, clips)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.fixture
def small_disk(tmp_path):
    """A file system in memory, too small for all clips as long as ``filler`` lies on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small tmpfs cannot be mounted here: {getattr(error, 'stderr', '') or error}")
    try:
        (folder / "filler").write_bytes(bytes(FILLER_BYTES))
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_keeps_finished_videos_and_space_lets_it_go_on(home, small_disk):
    clips = small_disk / "clips"
    stopped = stf(*home.prepare_command, "--jobs", 2, "--out", clips)
    assert stopped.exit_code == 1
    assert f"the disk that holds {clips} is full" in stopped.error
    assert "run the same command again" in stopped.error
    assert partial_files(clips) == []
    (small_disk / "filler").unlink()
    _assert_goes_on(home, clips)


def test_a_full_disk_stops_a_training_with_one_message(home, small_disk):
    (small_disk / "more").write_bytes(bytes(DISK_BYTES - FILLER_BYTES - 2_000_000))  # no state of 9 MB fits
    stopped = stf(*home.train_command, "--out", small_disk / "run")
    assert stopped.exit_code == 1
    assert f"the disk that holds {small_disk / 'run'} is full" in stopped.error
    assert "run the same command again" in stopped.error
    assert partial_files(small_disk) == []


def _assert_stopped(stopped):
    assert stopped.exit_code == 130
    assert messages(stopped.stderr) == ["stopped; what was finished is kept: run the same command again to continue"]


def _assert_goes_on(home, clips):
    """What lies there is whole; the same command reuses it, and the end is as if nothing had happened."""
    kept = len(_finished_videos(clips))
    assert 0 < kept < 12
    _assert_whole(clips)
    with pytest.raises(ClipStoreError, match="run stf prepare to its end"):
        ClipStore.open(clips).manifest()
    again = stf(*home.prepare_command, "--jobs", 2, "--out", clips, "--json")
    assert again.exit_code == 0, again.stderr
    summary = json.loads(again.stdout)
    assert (summary["analysed"], summary["reused"]) == (12, kept)
    assert partial_files(clips) == []
    assert _contents(clips) == _contents(home.clips)


def _workers(process):
    """Ids of the worker processes of a preparation."""
    return [number for number, command in children(process).items() if "spawn_main" in command]


def _finished_videos(clips):
    """The records of videos that have their final name."""
    return [path for path in clips.glob("*/videos/*/*/video.json") if "partial" not in path.parent.name]


def _assert_whole(clips):
    store = ClipStore.open(clips)
    for folder in store.folder.glob("videos/*/[!.]*"):
        video = store.video(folder.name)
        assert len(video.clips) == 3
        for clip in video.clips:
            assert store.frames(folder.name, clip).shape == (8, 224, 224, 3)


def _contents(clips):
    """Every file of a clip store, by its path within it."""
    return {path.relative_to(clips): path.read_bytes() for path in clips.rglob("*") if path.is_file()}
