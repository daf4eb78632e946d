"""Worker processes that decode videos: started once, stopped without leaving anything behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sigint_held_back() -> Iterator[None]:
    """Ctrl-C waits until the end of the block, and never reaches processes that start within it.

    The mask alone is not enough: another thread (of a progress bar, say) may take the signal, and Python would still
    raise it here.
    """
    is_main = threading.current_thread() is threading.main_thread()
    waiting: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: waiting.append(number)) if is_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if waiting:
            signal.raise_signal(signal.SIGINT)


def die_with(parent: int) -> None:
    """A pool's workers outlive a parent that is killed, waiting for work for ever; these do not."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
