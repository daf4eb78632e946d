"""A pool of processes that leaves none behind, and Ctrl-C that waits for the end of what must not be torn apart."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures.process import BrokenProcessPool

import pytest

from stf_mamba.clips.workers import in_workers, stops_held_back

_factor = 0


def set_factor(factor):
    global _factor
    _factor = factor


def multiplied(number):
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 0:
        raise ZeroDivisionError("planted")
    return _factor * number


def test_each_item_comes_with_its_result_from_processes_that_were_set_up():
    assert dict(in_workers([1, 2, 3], multiplied, 2, set_factor, (10,))) == {1: 10, 2: 20, 3: 30}
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(("item", "error"), [(0, ZeroDivisionError), (13, BrokenProcessPool)])
def test_an_error_of_the_work_or_of_a_process_ends_all(item, error):
    with pytest.raises(error):
        list(in_workers([item], multiplied, 2, set_factor, (10,)))
    assert multiprocessing.active_children() == []


def test_sigterm_waits_for_the_end_of_the_block_and_is_not_inherited():
    reached, received = [], []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with stops_held_back():
            signal.raise_signal(signal.SIGTERM)
            reached.append(list(received))
            assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (reached, received) == ([[]], [signal.SIGTERM])


def test_a_signal_that_another_thread_takes_is_raised_after_the_block():
    reached = []
    ready, done = threading.Event(), threading.Event()
    taker = threading.Thread(target=lambda: (ready.set(), done.wait(10)))  # does not block the signal
    taker.start()
    ready.wait(10)

    def interrupted():
        with stops_held_back():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            reached.append("end of the block")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    done.set()
    taker.join()
    assert reached == ["end of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_signal_nothing_is_raised():
    with stops_held_back():
        pass
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
