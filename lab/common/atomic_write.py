"""Files that nobody ever sees half of."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EIO
from pathlib import Path

POLARS_SAYS = re.compile(r"(?:.*underlying IO error: |^)(.*) \(os error (\d+)\)")
"""What polars says where it cannot write, of which not all are an OSError."""


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield where to write a file, which takes its place when the body is done.

    Of a body that fails nothing is left, and a file that was there stays as it was.

    Args:
        path: the place of the file.

    Raises:
        OSError: it cannot be written; the error names its place and the reason.
    """
    aside = path.with_name(f".{path.name}.tmp")
    try:
        yield aside
        os.replace(aside, path)
    except BaseException as error:
        with suppress(OSError):  # What the body raised says more.
            aside.unlink()
        if found := POLARS_SAYS.match(str(error)):
            raise OSError(int(found[2]), found[1], str(path)) from None
        # Of a full disk, the system names no file.
        if isinstance(error, OSError) and error.filename in (None, str(aside)):
            reason = error.strerror or str(error)
            raise OSError(error.errno or EIO, reason, str(path)) from None
        raise
