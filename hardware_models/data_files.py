"""Reads data files of users. A stranger's configuration can name any file of the machine."""

from pathlib import Path
from stat import S_ISREG

MOST_BYTES = 4_000_000_000


def content(path: str | Path) -> bytes:
    """Return the content of a regular file; raise OSError if it is another kind, or too large.

    Files of the system, such as ``/proc/self/environ``, have no size and count as empty: messages
    and results could otherwise have secrets.
    """
    state = Path(path).stat()
    if not S_ISREG(state.st_mode):
        raise OSError("it is not a regular file")
    if state.st_size > MOST_BYTES:
        raise OSError(f"it is larger than {MOST_BYTES:,} bytes")
    return Path(path).read_bytes() if state.st_size else b""
