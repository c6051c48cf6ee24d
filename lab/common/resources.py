"""Sentences for what a machine refuses: memory, threads, open files, libraries."""

import os
import re
import sys
import time
import warnings
from errno import EAGAIN, EMFILE, ENFILE, ENOMEM
from threading import Event, Thread

from lab.common.errors import one_line

LIMITS = {
    "memory": ("RLIMIT_AS", "bytes of address space"),
    "data": ("RLIMIT_DATA", "bytes of data"),
    "threads": ("RLIMIT_NPROC", "processes and threads"),
    "files": ("RLIMIT_NOFILE", "open files"),
}
"""Limits of a process, as ``resource`` names them, with what they limit."""
EXHAUSTED = {EMFILE: "files", ENFILE: "files", ENOMEM: "memory", EAGAIN: "threads"}
LIBRARIES = (".so", ".dylib", ".pyd", ".dll")
PANIC = "PanicException"
"""Name of the exception by which libraries in Rust report a failure; it is no `Exception`."""


LEAST_BYTES, BYTES_PER_CORE = 2_250_000_000, 8_000_000
"""Address space that the libraries take, and that the stacks of their threads take for a core."""

LEAST_DATA = 600_000_000
"""Private memory that the libraries take; with less of it, they can wait forever."""

LEAST_FILES = 16
"""Open files without which the libraries fail at length."""

THREADS, THREADS_PER_CORE = 4, 4
"""Threads that the libraries start, altogether and for each core."""
ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
"""Environment variables by which the libraries of a new process use one thread, if they are 1."""
NUMBA_FILE = ".numba_config.yaml"
"""A file in the current directory from which numba would take its options."""
NUMBA_PLACES = "NUMBA_CACHE_LOCATOR_CLASSES"
NUMBA_WARNING = "Environment variable 'NUMBA_"
"""How a warning of numba begins that a variable has no valid value; a traceback follows."""
COUNTS = ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
"""Environment variables with a number of threads that the libraries do not check in a sentence."""
MOST_CORES = 32
"""Further cores are not counted, so that the check takes milliseconds at most."""


class MachineError(Exception):
    """The machine or the environment is unfit; the message is one sentence for the user."""


def check_machine() -> None:
    """Raise MachineError, or RuntimeError for lack of threads, if the program could not work.

    They could end this process or wait forever if they found that out themselves.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    least = LEAST_BYTES + BYTES_PER_CORE * cores
    needs = {"memory": least, "data": LEAST_DATA + BYTES_PER_CORE * cores}
    for what, need in needs.items() if sys.platform == "linux" else ():
        if (limit := _limit_of(what)) is not None and limit < need:
            raise MachineError(f"out of memory{_limit(what)}; at least {need:,} bytes are needed")
    if (limit := _limit_of("files")) is not None and limit < LEAST_FILES:
        raise MachineError(f"too few open files{_limit('files')}; {LEAST_FILES} are needed")
    try:
        os.getcwd()
    except OSError as error:
        raise MachineError(f"the current directory: {error.strerror}; change to another") from None
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise MachineError("NUMBA_DISABLE_JIT: the simulator needs compiled functions; unset it")
    if os.environ.get(NUMBA_PLACES):
        raise MachineError(f"{NUMBA_PLACES}: would import a module to store machine code; unset it")
    try:
        time.time()
    except OverflowError:
        raise MachineError("the clock of this machine is after the year 2262; set it") from None
    warnings.filterwarnings("error", NUMBA_WARNING, RuntimeWarning)
    warnings.filterwarnings("ignore", ".*joblib will operate in serial mode", UserWarning)
    if os.path.lexists(NUMBA_FILE):
        raise MachineError(
            f"{NUMBA_FILE}: a file in the current directory must not set up the compiler; run the "
            "program in another directory"
        )
    for name in COUNTS:
        if (given := os.environ.get(name)) and not re.fullmatch("0*[1-9][0-9]{0,8}", given):
            raise MachineError(f"{name}={given}: must be a whole number of 1 or more, or unset")
    _start_threads(THREADS + THREADS_PER_CORE * min(cores, MOST_CORES))


def _start_threads(count: int) -> None:
    """Let so many threads exist at the same time; raise RuntimeError if that is not possible."""
    end, started = Event(), []
    try:
        for _ in range(count):
            thread = Thread(target=end.wait, daemon=True)
            thread.start()
            started.append(thread)
    finally:
        end.set()
        for thread in started:
            thread.join()


def shortage(error: BaseException) -> str | None:
    """Return a sentence if an exception means that the machine lacks something; else None."""
    seen: BaseException | None = error
    while seen is not None:
        sentence = str(seen) if isinstance(seen, MachineError) else _shortage(seen)
        if sentence:
            return sentence
        seen = seen.__cause__ or seen.__context__
    return None


def _shortage(error: BaseException) -> str | None:  # noqa: PLR0911 -- one for each kind
    if isinstance(error, MemoryError):
        return f"out of memory{_limit('memory')}"
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return f"no further thread can be started{_limit('threads')}"
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        return f"{error.strerror}{_limit(EXHAUSTED[error.errno])}"
    if isinstance(error, RuntimeWarning) and str(error).startswith(NUMBA_WARNING):
        return one_line(str(error).splitlines()[0])
    if type(error).__name__ == PANIC:
        return f"a library failed, perhaps for lack of memory or threads: {one_line(error)}"
    if isinstance(error, ImportError) and str(error.path).endswith(LIBRARIES):
        return f"a library cannot be loaded: {one_line(error)}{_limit('memory')}"
    return None


def _limit(what: str) -> str:
    """Return a clause on the process's limit, if it has one."""
    limit = _limit_of(what)
    return "" if limit is None else f" (limit of this process: {limit:,} {LIMITS[what][1]})"


def _limit_of(what: str) -> int | None:
    """Return a limit of this process; None if it has none, as on Windows."""
    try:
        import resource
    except ImportError:
        return None
    soft = resource.getrlimit(getattr(resource, LIMITS[what][0]))[0]
    return None if soft == resource.RLIM_INFINITY else soft
