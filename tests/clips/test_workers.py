"""Ctrl-C waits for the end of what must not be torn apart, whichever thread of the process takes the signal."""

import os
import signal
import threading
import time

import pytest

from stf_mamba.clips.workers import sigint_held_back


def test_a_signal_that_another_thread_takes_is_raised_after_the_block():
    reached = []
    ready, done = threading.Event(), threading.Event()
    taker = threading.Thread(target=lambda: (ready.set(), done.wait(10)))  # does not block the signal
    taker.start()
    ready.wait(10)

    def interrupted():
        with sigint_held_back():
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
    with sigint_held_back():
        pass
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
