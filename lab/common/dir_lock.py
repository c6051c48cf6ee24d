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
    """Lock a directory; the lock ends with the process at the latest.

    Where the file system has no locks (some network folders), nothing is locked.

    Args:
        directory: a directory that exists.
        otherwise: what to say if another process holds the lock; without it, wait for the lock.

    Raises:
        InputError: another process holds the lock.
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
