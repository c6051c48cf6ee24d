"""One process at a time writes into a directory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.common.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


UNDER_WAY = "another process writes into it; wait for its end, or name another directory"


@contextmanager
def held(directory: Path, otherwise: str = "") -> Iterator[None]:
    """Hold a directory; the lock ends with the process at the latest, and leaves no file.

    Where there are no such locks (Windows, some network folders), nothing is held.

    Args:
        directory: a directory that exists.
        otherwise: what to say if another process holds it; without this, wait until none does.

    Raises:
        InputError: another process holds it.
    """
    descriptor = os.open(directory, os.O_RDONLY) if fcntl else None
    try:
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if otherwise else 0))
            except BlockingIOError:
                raise InputError(otherwise) from None
            except OSError:
                pass  # A folder without locks.
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
