"""Wall-clock limits of a run and of one call of a planner, and interrupts that no planner can stop.

A thread watches the time. At a limit, it raises an exception in the thread of the run, first by a
signal, which also ends waiting, and then by the interpreter, because a planner can disable signals.
If the planner ends by neither, the process ends. If the planner does not even let another thread
run, a timer of processor time ends the process.
"""

import ctypes
import faulthandler
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import perf_counter
from types import FrameType
from typing import Any, NoReturn, Protocol

from lab.common.errors import InputError
from scenarios.compiled import working_s
from sim.planning.guard import place_of

RUN, CALL = "max_wall_s", "max_call_s"
KEYS = (RUN, CALL)
"""Keys of the limits, which do not affect results."""
AGAIN_S = 1.0
"""Seconds between attempts to end a run, in case the planner catches the exception."""
GRACE_S = 10.0
"""Seconds after the first attempt at which the process ends."""
MOST_S = 1e8
"""The longest allowed limit, three years."""
INTERRUPTS = ("SIGINT", "SIGTERM", "SIGHUP")


def check_limits(limits_s: Mapping[str, float | None]) -> None:
    """Raise InputError unless each limit is in range; ``limits_s`` has them by key."""
    for key, limit_s in limits_s.items():
        if limit_s is not None and limit_s <= 0:
            raise InputError(f"{key}={limit_s:g}: must be above 0 s, or null for no limit")
        if limit_s is not None and limit_s > MOST_S:
            raise InputError(f"{key}={limit_s:g}: must be {MOST_S:g} s or less, or null")


class WallLimitError(Exception):
    """A run exceeded a wall-clock limit; the message is one sentence for the user."""


class TimeUp(BaseException):
    """Ends a run; it is a BaseException, because planners catch Exceptions."""


class Watched(Protocol):
    """A guard, of which a limit needs to know only whether the planner is at work."""

    called_s: float | None  # when the present call of the planner began, by `working_s`


class WallLimit:
    """The limits of one run, in seconds; None means no limit.

    Args:
        run_s: limit of the run, counted from the object's creation.
        call_s: limit of one call of the planner, without compilation.
        stuck: called in another thread if a planner cannot be stopped; it ends the process. Without
            it, attempts to end the run go on.
    """

    def __init__(
        self,
        run_s: float | None,
        call_s: float | None = None,
        stuck: Callable[[], NoReturn] | None = None,
    ) -> None:
        self._run_s, self._call_s, self._stuck = run_s, call_s, stuck
        self._started_s = perf_counter()
        self._thread = threading.get_ident()
        self._in_main = threading.current_thread() is threading.main_thread()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._armed = self._interrupted = False
        self.reached: str | None = None  # the key of the limit that was reached
        self.place: str | None = None  # file and line at which the planner was

    def ending(self, _: BaseException | None) -> BaseException | None:
        """Return the exception that must end the run now, whatever the planner raised or caught."""
        if self._interrupted:
            return KeyboardInterrupt()
        return None if self.reached is None else TimeUp()

    @contextmanager
    def watching(self, guard: Watched) -> Iterator[None]:
        """Watch the limits while the ``with`` body runs."""
        restore = self._listen() if self._in_main else []
        timer = getattr(signal, "ITIMER_REAL", None) if restore else None
        silent = timer is not None and signal.getitimer(timer)[0] == 0
        watcher = threading.Thread(target=self._watch, args=(guard,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join(AGAIN_S)
            if timer is not None and silent:  # A planner's own alarm would end the process now.
                signal.setitimer(timer, 0)
            for number, handler in restore:
                signal.signal(number, handler)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """At a limit, raise `TimeUp` between two instructions of the ``with`` body."""
        self._armed = True
        if self._run_over():
            self.reached = RUN
            raise TimeUp
        try:
            yield
        finally:
            self._armed = False
            if self.reached is not None:
                with self._lock:  # No attempt is under way now, and none is left over.
                    _raise_in(self._thread, None)

    def _listen(self) -> list[tuple[int, Any]]:
        """Set handlers of signals; return the earlier ones."""
        before: list[tuple[int, Any]] = []

        def note(handler: Callable[[int, FrameType | None], Any]) -> Callable[..., Any]:
            def noted(number: int, frame: FrameType | None) -> Any:
                self._interrupted = True
                return handler(number, frame)

            return noted

        for name in INTERRUPTS:
            number = getattr(signal, name, None)
            handler = None if number is None else signal.getsignal(number)
            if number is not None and callable(handler):
                before.append((number, handler))
                signal.signal(number, note(handler))
        if hasattr(signal, "SIGALRM"):
            before.append((signal.SIGALRM, signal.getsignal(signal.SIGALRM)))
            signal.signal(signal.SIGALRM, self._end)
        return before

    def _end(self, *_: object) -> None:
        if self._armed and self.reached is not None:
            raise TimeUp

    # In the thread that watches

    def _watch(self, guard: Watched) -> None:
        attempts = 0
        with _timer_of_last_resort(self._call_s, self._stuck is not None) as still_alive:
            while not self._over.wait(self._wait_s(guard)):
                still_alive()
                self.reached = self.reached or self._late(guard)
                if self.reached is None:
                    continue
                if self.place is None and guard.called_s is not None:
                    self.place = _place(self._thread)
                with self._lock:
                    if self._armed:
                        self._interrupt(attempts)
                        attempts += 1
                if self._stuck and attempts * AGAIN_S > GRACE_S and guard.called_s is not None:
                    self._stuck()

    def _wait_s(self, guard: Watched) -> float:
        """Return the seconds until the next limit, but at most `AGAIN_S`."""
        return min(AGAIN_S, AGAIN_S if self.reached else max(1e-3, self._left_s(guard)))

    def _left_s(self, guard: Watched) -> float:
        left_s, called_s = float("inf"), guard.called_s
        if self._run_s is not None:
            left_s = self._started_s + self._run_s - perf_counter()
        if self._call_s is not None and called_s is not None:
            left_s = min(left_s, called_s + self._call_s - working_s())
        return left_s

    def _run_over(self) -> bool:
        return self._run_s is not None and perf_counter() - self._started_s >= self._run_s

    def _late(self, guard: Watched) -> str | None:
        if self._left_s(guard) > 0:
            return None
        return RUN if self._run_over() else CALL

    def _interrupt(self, attempts: int) -> None:
        if self._in_main and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(self._thread, signal.SIGALRM)
            if attempts == 0:
                return
        _raise_in(self._thread, TimeUp)


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Raise an exception in a thread at its next instruction, or cancel that."""
    exception = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception)


def _place(thread: int) -> str | None:
    """Return the file and line of the planner author's code that a thread executes."""
    stack = []
    frame = sys._current_frames().get(thread)
    while frame is not None:
        stack.append((frame, frame.f_lineno))
        frame = frame.f_back
    return place_of(reversed(stack))


@contextmanager
def _timer_of_last_resort(
    limit_s: float | None, ends_process: bool
) -> Iterator[Callable[[], None]]:
    """End the process if the function that is yielded is not called for too long.

    The limit is in seconds of processor time, so that a process can be suspended. At the limit, the
    stack is printed, because nothing else can run.
    """
    timer = getattr(signal, "ITIMER_VIRTUAL", None)
    if limit_s is None or timer is None or not ends_process:
        yield lambda: None
        return
    most_s = limit_s + GRACE_S
    with suppress(RuntimeError, OSError, ValueError):  # There is no standard error.
        faulthandler.register(signal.SIGVTALRM, file=2, all_threads=False, chain=True)
    try:

        def still_alive() -> None:
            signal.setitimer(timer, most_s)

        still_alive()
        yield still_alive
    finally:
        signal.setitimer(timer, 0)
        faulthandler.unregister(signal.SIGVTALRM)
