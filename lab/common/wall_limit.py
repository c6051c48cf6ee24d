"""A limit of wall-clock time for a run, so that a planner that never returns blocks nothing."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import NoReturn

from lab.common.errors import InputError

KEY = "max_wall_s"
AGAIN_S = 1.0
"""Seconds between attempts to end a run whose planner caught the first one."""


class WallLimitError(Exception):
    """A run took longer than it may; the message is one sentence for the user."""


class TimeUp(BaseException):
    """Ends a run. Not an Exception, because the world contains the exceptions of planners."""


def check_limit(limit_s: float | None) -> None:
    """Raise InputError unless a limit is positive and this platform and thread can keep it."""
    if limit_s is None:
        return
    if limit_s <= 0:
        raise InputError(f"{KEY}={limit_s:g}: must be above 0 s, or null for no limit")
    if not hasattr(signal, "setitimer"):
        raise InputError(f"{KEY}={limit_s:g}: this platform has no alarms to end a run by")
    if threading.current_thread() is not threading.main_thread():
        raise InputError(f"{KEY}={limit_s:g}: only the main thread of a process can end a run so")


class WallLimit:
    """The wall-clock time in seconds that a run may take from now on; None for no limit."""

    def __init__(self, limit_s: float | None) -> None:
        self._end_s = None if limit_s is None else perf_counter() + limit_s

    @contextmanager
    def kept(self) -> Iterator[None]:
        """End the body by `TimeUp` when the time is up, between two steps of Python."""
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
            finally:  # An alarm may have come meanwhile.
                signal.signal(signal.SIGALRM, handler)
                signal.setitimer(signal.ITIMER_REAL, *timer)


def _end(*_: object) -> NoReturn:
    raise TimeUp
