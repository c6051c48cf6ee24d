"""Reading the tables of a run directory."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sim.metrics.results import SCHEMAS


def scan(directory: Path, table: str) -> pl.LazyFrame:
    """Return a table of ``SCHEMAS`` of a run as a lazy frame, without rows if none is written."""
    if table not in SCHEMAS:
        raise ValueError(f"table={table!r}: must be one of {', '.join(SCHEMAS)}")
    parts = sorted((Path(directory) / table).glob("part-*.parquet"))
    if not parts:
        return pl.LazyFrame(schema=dict(SCHEMAS[table]))
    return scan_parts(parts)


def scan_parts(parts: Sequence[Path]) -> pl.LazyFrame:
    """Return part files as a lazy frame; names may hold characters of glob patterns."""
    return pl.scan_parquet(list(parts), glob=False)
