"""What both commands do around their work: signals, streams, and failures of the machine."""

import sys
from collections.abc import Callable
from contextlib import suppress

from lab.common.errors import one_line
from lab.common.resources import shortage
from lab.common.signals import Ending, ending_signals
from lab.common.streams import Streams

FAILED = 1


def run_command(name: str, work: Callable[[], int]) -> int:
    """Run a command's work; return its exit status, or that of what stopped it.

    One sentence on standard error, after the command's name, tells why the work was stopped or
    which output was lost. An exception that is a fault of this program is raised again.
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
        if failure := lost.get("stdout"):
            complain(f"standard output cannot be written: {failure.strerror or one_line(failure)}")
        if lost:
            status = status or FAILED
        streams.lost()
    return status
