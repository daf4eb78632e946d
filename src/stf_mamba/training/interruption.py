"""Ctrl-C and SIGTERM as a wish to stop at the next good moment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_requests(on_first: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether a stop was asked for; a second signal raises ``KeyboardInterrupt`` at once.

    Python runs a signal's handler only between two of its own instructions, and a backward pass is a single one that
    may take many seconds. The answer to the first signal therefore comes from a thread that the system wakes.

    Args:
        on_first: called once, in that thread, as soon as the first signal arrives.
    """
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {number: signal.signal(number, note) for number in SIGNALS}
    except ValueError:  # not the main thread, where signals never arrive
        yield lambda: False
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reader, on_first), daemon=True)
    listener.start()
    try:
        yield lambda: bool(received)
    finally:
        signal.set_wakeup_fd(woken_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)  # ends the listener
        listener.join()
        os.close(reader)


def _listen(reader: int, on_first: Callable[[], None]) -> None:
    """Wait for the number of a signal that asks to stop; other signals with handlers are written here too."""
    while number := os.read(reader, 1):
        if number[0] in SIGNALS:
            on_first()
            return
