"""Reports tables of a run that cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from lab.common.errors import InputError, one_line
from lab.runs.run_directory import check_parts


@contextmanager
def reading(key: str, run: Path) -> Iterator[None]:
    """Raise InputError if the body cannot read a table of a run, which the user gave as `key`."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        check_parts(run)
        first = one_line(str(error).partition("\n")[0])
        raise InputError(f"{key}={run}: its tables cannot be read ({first})") from None
