"""What both commands do around their work: signals, streams, and failures of the machine."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import sleep

from lab.common.errors import one_line
from lab.common.resources import shortage
from lab.common.signals import Ending, ending_signals
from lab.common.streams import Streams

FAILED = 1
READER_GONE = 128 + 13
"""The exit status if standard output is closed early, as if SIGPIPE had ended the command."""
GRACE_S = 30.0
"""Seconds for which Python may wait at its end for what a planner from elsewhere left."""


def run_command(name: str, work: Callable[[], int]) -> int:
    """Run a command's work; return its exit status, or that of what stopped it.

    One sentence on standard error, after the command's name, tells why the work was stopped or
    which output was lost; a pipe whose reader has ended is no loss. An exception that is a fault of
    this program is raised again.
    """
    streams = Streams()

    def complain(sentence: str) -> None:
        print(f"{name}: {sentence}", file=sys.stderr)

    status = FAILED
    try:
        with ending_signals():
            try:
                status = work()
            except KeyboardInterrupt as error:
                complain(": ".join(["interrupted", *map(str, error.args)]))
                status = Ending.status()
            except BaseException as error:
                sentence = shortage(error)
                if sentence is None:
                    raise
                with suppress(MemoryError):
                    complain(sentence)
    finally:
        lost = streams.lost()
        failure = lost.get("stdout")
        if isinstance(failure, BrokenPipeError):  # Its reader, such as head, wants no more.
            status = status or READER_GONE
        elif failure:
            complain(f"standard output cannot be written: {failure.strerror or one_line(failure)}")
        if lost:
            status = status or FAILED
        streams.lost()
        guard = sys.modules.get("sim.planning.guard")  # It takes long to import.
        if guard is not None and guard.strangers_ran():
            ending = (guard.end_process, complain, status)
            with suppress(RuntimeError):  # The machine gives no further thread.
                threading.Thread(target=_end_in_time, args=ending, daemon=True).start()
    return status


def _end_in_time(
    end_process: Callable[[int], None], complain: Callable[[str], None], status: int
) -> None:
    """End the process with its status if Python does not end in time after its main thread."""
    threading.main_thread().join()
    sleep(GRACE_S)
    with suppress(BaseException):
        complain(
            f"a planner left something that runs at the end of the program; after {GRACE_S:g} s, "
            f"the program ends all the same, with status {status}"
        )
    end_process(status)
