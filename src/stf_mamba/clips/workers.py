"""Worker processes that decode videos: started once, stopped without leaving anything behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_workers(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    jobs: int,
    set_up: Callable[..., None],
    arguments: tuple[Any, ...] = (),
) -> Iterator[tuple[Item, Result]]:
    """Each item with what ``work`` makes of it, in the order in which they are done.

    However the iteration ends, its processes have ended with it; they also end when this process is killed.

    Args:
        work: a function of a module, which processes that are started anew can import, as ``set_up``.
        jobs: processes.
        set_up: called with ``arguments`` in each process before its first item.

    Raises:
        BrokenProcessPool: a process was killed, or could not start.
        Exception: what ``work`` raised.
    """
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, context, _start, (os.getpid(), set_up, arguments))
    futures: dict[Future[Result], Item] = {}
    try:
        with stops_held_back():  # what is blocked here is blocked in the workers that start now
            futures = {executor.submit(work, item): item for item in items}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:  # the pool has ended the others
        raise
    except BaseException:
        with stops_held_back():
            workers = multiprocessing.active_children()
            for worker in workers:
                worker.terminate()
            for worker in workers:  # what is still dying may still begin a folder
                worker.join()
        raise
    finally:
        with stops_held_back():
            # Once, and waiting: after a call that does not wait nothing waits for the executor's own thread any more,
            # and Python's exit, which wakes it, may find a pipe that it closes at that moment.
            executor.shutdown(cancel_futures=True)


@contextmanager
def stops_held_back() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the end of the block, and Ctrl-C never reaches processes that start within it.

    The mask alone is not enough: another thread (of a progress bar, say) may take the signal, and Python would still
    raise it here. SIGTERM stays out of it: it is what stops the processes that start here.
    """
    is_main = threading.current_thread() is threading.main_thread()
    waiting: list[int] = []
    handlers = {
        number: signal.signal(number, lambda received, frame: waiting.append(received))
        for number in (signal.SIGINT, signal.SIGTERM)
        if is_main
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if waiting:
            signal.raise_signal(waiting[0])


def _start(parent: int, set_up: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    set_up(*arguments)


def _die_with(parent: int) -> None:
    """A pool's workers outlive a parent that is killed, waiting for work for ever; these do not."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
