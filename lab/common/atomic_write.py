"""Atomic writes: a file is either written completely or left as it was."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EIO
from pathlib import Path

POLARS_SAYS = re.compile(r"(?:.*underlying IO error: |^)(.*) \(os error (\d+)\)")
"""Messages of polars about files that it cannot write; not all of its errors are OSErrors."""


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path; its file replaces `path` if the body ends without an exception.

    Raises OSError with the file's name and the reason if it cannot be written.
    """
    aside = path.with_name(f".{path.name}.tmp")
    try:
        # A stranger's directory can have a link there, which would be followed, or a named pipe.
        aside.unlink(missing_ok=True)
        yield aside
        os.replace(aside, path)
    except BaseException as error:
        with suppress(OSError):  # The error of the body is the one to report.
            aside.unlink()
        if found := POLARS_SAYS.match(str(error)):
            raise OSError(int(found[2]), found[1], str(path)) from None
        # If the disk is full, the system's error does not name the file.
        if isinstance(error, OSError) and error.filename in (None, str(aside)):
            reason = error.strerror or str(error)
            raise OSError(error.errno or EIO, reason, str(path)) from None
        raise
