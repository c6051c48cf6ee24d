"""Sentences for what a machine refuses: memory, threads, open files, libraries."""

from contextlib import suppress
from errno import EAGAIN, EMFILE, ENFILE, ENOMEM

from lab.common.errors import one_line

LIMITS = {
    "memory": ("RLIMIT_AS", "bytes of address space"),
    "threads": ("RLIMIT_NPROC", "processes and threads"),
    "files": ("RLIMIT_NOFILE", "open files"),
}
"""Limits of a process, as ``resource`` names them, with what they limit."""
EXHAUSTED = {EMFILE: "files", ENFILE: "files", ENOMEM: "memory", EAGAIN: "threads"}
LIBRARIES = (".so", ".dylib", ".pyd", ".dll")
PANIC = "PanicException"
"""Name of the exception by which libraries in Rust report a failure; it is no `Exception`."""


def shortage(error: BaseException) -> str | None:
    """Return a sentence if an exception means that the machine lacks something; else None."""
    seen: BaseException | None = error
    while seen is not None:
        if sentence := _shortage(seen):
            return sentence
        seen = seen.__cause__ or seen.__context__
    return None


def _shortage(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return f"out of memory{_limit('memory')}"
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return f"no further thread can be started{_limit('threads')}"
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        return f"{error.strerror}{_limit(EXHAUSTED[error.errno])}"
    if type(error).__name__ == PANIC:
        return f"a library failed, perhaps for lack of memory or threads: {one_line(error)}"
    if isinstance(error, ImportError) and str(error.path).endswith(LIBRARIES):
        return f"a library cannot be loaded: {one_line(error)}{_limit('memory')}"
    return None


def _limit(what: str) -> str:
    """Return a clause on the process's limit, if it has one."""
    name, words = LIMITS[what]
    with suppress(ImportError):  # Windows has no such limits.
        import resource

        if (soft := resource.getrlimit(getattr(resource, name))[0]) != resource.RLIM_INFINITY:
            return f" (limit of this process: {soft:,} {words})"
    return ""
