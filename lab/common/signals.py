"""Signals that end a command as Ctrl-C does, so that the results so far are kept.

Schedulers and containers send SIGTERM; a terminal that closes sends SIGHUP.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Ending:
    """The signal that ended the command of this process."""

    number: ClassVar[int | None] = None

    @classmethod
    def status(cls) -> int:
        """Return the exit status of an interrupted command, as shells do: 128 and the number."""
        return 128 + int(cls.number or signal.SIGINT)


@contextmanager
def ending_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first signal of `ENDING` in the body; end at a second one.

    A signal that is ignored at the start, as SIGHUP is under ``nohup``, stays ignored. Outside the
    main thread, the signals keep their handlers.
    """
    Ending.number = None
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    ours = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def end(number: int, _: Any) -> NoReturn:
        Ending.number = number
        # Python prints a traceback if a signal still waits when it gets its default handler. So
        # those that came at the same moment are dropped: one more makes Python handle them now.
        for each in ours:
            signal.signal(each, lambda *_: None)
        signal.raise_signal(number)
        for each in ours:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
