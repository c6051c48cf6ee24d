"""Processes that end with the process that started them, even if that one is killed."""

import ctypes
import os
import signal
import sys
from functools import cache
from threading import Thread
from time import sleep

from lab.common.resources import MachineError

CHECK_S = 0.2
"""Seconds between two checks that the parent process is alive."""
PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>
QUIET = "ignore:resource_tracker:UserWarning"
"""Option of Python for joblib's tracker, which cleans up after a killed command and warns of it."""
_exit = os._exit  # The guard of planners refuses `os._exit` later on.


@cache
def end_with(parent: int) -> None:
    """End this process as soon as its parent process, of the given number, has ended.

    On Linux, the kernel kills it. Elsewhere, a thread checks the parent every `CHECK_S`.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            sleep(CHECK_S)
        _exit(1)

    Thread(target=watch, daemon=True).start()


def workers_end_with_this_process() -> None:
    """Let joblib's worker processes end with this process."""
    from joblib.parallel import BACKENDS, register_parallel_backend

    if "loky" not in BACKENDS:
        raise MachineError(
            "joblib cannot start processes, because this machine gives it no semaphores; on Linux, "
            "let /dev/shm be writable"
        )
    if QUIET not in sys.warnoptions:
        sys.warnoptions.append(QUIET)
    loky, parent = BACKENDS["loky"], os.getpid()

    def backend(**options: object) -> object:
        return loky(**{"initializer": end_with, "initargs": (parent,)} | options)

    register_parallel_backend("loky", backend)
