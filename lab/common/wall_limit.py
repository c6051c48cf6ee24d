"""A limit of wall-clock time for a run: a planner that never returns holds nobody up for ever."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import NoReturn

from lab.common.errors import InputError

KEY = "max_wall_s"
AGAIN_S = 1.0
"""Seconds after which a run goes on being ended whose planner has caught the first attempt."""


class WallLimitError(Exception):
    """A run took longer than it may; the message is one sentence for the user."""


class TimeUp(BaseException):
    """Ends a run, as Ctrl-C does; what a planner raises is contained, and this is not."""


def check_limit(limit_s: float | None) -> None:
    """Refuse a limit that is none, or that cannot be kept here.

    Raises:
        InputError: it is not above 0, or this platform or thread has no alarms.
    """
    if limit_s is None:
        return
    if limit_s <= 0:
        raise InputError(f"{KEY}={limit_s:g}: must be above 0 s, or null for no limit")
    if not hasattr(signal, "setitimer"):
        raise InputError(f"{KEY}={limit_s:g}: this platform has no alarms to end a run by")
    if threading.current_thread() is not threading.main_thread():
        raise InputError(f"{KEY}={limit_s:g}: only the main thread of a process can end a run so")


class WallLimit:
    """What is left of the time that a run may take, from now on.

    Args:
        limit_s: seconds of wall-clock time; None for no limit, which changes nothing.
    """

    def __init__(self, limit_s: float | None) -> None:
        self._end_s = None if limit_s is None else perf_counter() + limit_s

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the limit in the body, which is ended where it goes on for longer.

        It ends between two steps of Python: what computes in compiled code is ended after that.

        Raises:
            TimeUp: the time is up.
        """
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
