"""Processes that are replaced when one of them was killed, perhaps because memory ran out."""

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from threading import Lock
from typing import Any

CONTEXT: Any = get_context("spawn")
"""How processes start; a fork would copy the server's threads and locks."""


class Pool:
    """A number of processes, which start with the first task.

    Args:
        processes: their number.
        start: called in each process before its first task.
        words: returns the arguments of ``start``. It is called anew for processes that replace
            others, because a process that was killed can leave a lock or a queue unusable.
    """

    def __init__(
        self, processes: int, start: Callable[..., None], words: Callable[[], tuple[Any, ...]]
    ) -> None:
        self._processes, self._start, self._words = processes, start, words
        self._lock = Lock()
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., Any], *words: Any) -> "Future[Any]":
        """Hand a task to the processes."""
        with self._lock:
            if self._pool is not None:
                try:
                    return self._pool.submit(function, *words)
                except BrokenProcessPool:
                    pass
            self._pool = ProcessPoolExecutor(
                self._processes,
                mp_context=CONTEXT,
                initializer=self._start,
                initargs=self._words(),
            )
            return self._pool.submit(function, *words)

    def close(self) -> None:
        """End the processes once their tasks have ended; tasks that have not begun do not begin."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
