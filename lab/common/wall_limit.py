"""A wall-clock limit for a run, which also ends a planner that never returns."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import NoReturn

from lab.common.errors import InputError

KEY = "max_wall_s"
AGAIN_S = 1.0
"""Seconds between attempts to end a run, in case the planner catches the exception."""

MOST_S = 1e9
"""Longest limit in seconds; a timer of the operating system can count so many."""


class WallLimitError(Exception):
    """A run exceeded its wall-clock limit; the message is one sentence for the user."""


class TimeUp(BaseException):
    """Ends a run; it is a BaseException, because the simulator catches planners' Exceptions."""


def check_limit(limit_s: float | None) -> None:
    """Raise InputError unless a limit is positive and this platform and thread support it."""
    if limit_s is None:
        return
    if limit_s <= 0:
        raise InputError(f"{KEY}={limit_s:g}: must be above 0 s, or null for no limit")
    if limit_s > MOST_S:
        raise InputError(f"{KEY}={limit_s:g}: must be {MOST_S:g} s or less, or null for no limit")
    if not hasattr(signal, "setitimer"):
        raise InputError(f"{KEY}={limit_s:g}: this platform has no timer signals to end a run")
    if threading.current_thread() is not threading.main_thread():
        raise InputError(f"{KEY}={limit_s:g}: a limit works only in the main thread of a process")


class WallLimit:
    """A wall-clock limit in seconds, counted from the object's creation; None means no limit."""

    def __init__(self, limit_s: float | None) -> None:
        self._end_s = None if limit_s is None else perf_counter() + limit_s

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """At the limit, raise `TimeUp` between two instructions of the ``with`` body."""
        if self._end_s is None:
            yield
            return
        left_s = self._end_s - perf_counter()
        if left_s <= 0:
            raise TimeUp
        handler = signal.getsignal(signal.SIGALRM)
        timer = signal.getitimer(signal.ITIMER_REAL)
        try:
            signal.signal(signal.SIGALRM, _end)
            signal.setitimer(signal.ITIMER_REAL, left_s, AGAIN_S)
            yield
        finally:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)
            finally:  # The alarm can have gone off in the line above.
                signal.signal(signal.SIGALRM, handler)
                signal.setitimer(signal.ITIMER_REAL, *timer)


def _end(*_: object) -> NoReturn:
    raise TimeUp
