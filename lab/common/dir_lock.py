"""One process at a time writes into a directory."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lab.common.errors import InputError

LOCK = ".lock"
"""The file that is locked; it is there only while the lock is held."""
UNDER_WAY = "another process writes into it; wait for its end, or name another directory"


@contextmanager
def held(directory: Path, otherwise: str = "") -> Iterator[None]:
    """Lock an existing directory, if its file system has locks, until the body or the process ends.

    If another process holds the lock, wait, or raise InputError with the text `otherwise`.
    """
    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(blocking=not otherwise)
    except Timeout:
        raise InputError(otherwise) from None
    except OSError:
        pass  # No locks here. Where nothing can be written, the first result says so.
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows does not remove open files.
                (directory / LOCK).unlink()
        lock.release()
