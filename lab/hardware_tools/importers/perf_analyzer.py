"""CSV reports of Triton's ``perf_analyzer -f``, one row a concurrency, latencies in microseconds.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/perf_analyzer/docs/measurements_metrics.html
"""

from pathlib import Path

import polars as pl

from hardware_models.tables import read_file
from lab.common.errors import InputError
from lab.hardware_tools.measured_rows import Given, gpu_latency_row

US_PER_MS = 1e3
INFER, QUEUE, P50 = "Server Compute Infer", "Server Queue", "p50 latency"
COLUMNS = {"Concurrency": pl.Int64, **dict.fromkeys((INFER, QUEUE, P50), pl.Float64)}


def read(path: Path, given: Given) -> pl.DataFrame:
    """Return the latency of a batch as a row of table ``gpu_latency``.

    It is the server's compute time, without queue and network, at a concurrency of one batch for
    each of the given processes.

    Args:
        path: the report, of ``perf_analyzer -b BATCH --concurrency-range ... -f FILE``.
        given: model, board, batch and processes (instances).

    Raises:
        InputError: the file is no such report, or lacks that concurrency.
    """
    batch = given.batch_size()
    frame = read_file(path)
    for name in COLUMNS:
        if name not in frame.columns:
            raise InputError(
                f"{path}: has no column {name!r}; it must be a report of perf_analyzer "
                f"--concurrency-range, written by -f"
            )
    numbers = frame.select(pl.col(name).cast(kind, strict=False) for name, kind in COLUMNS.items())
    found = numbers.filter(pl.col("Concurrency") == given.processes)
    if found.height != 1:
        has = ", ".join(map(str, sorted(numbers["Concurrency"].drop_nulls())))
        raise InputError(
            f"{path}: must have one row of concurrency {given.processes}, that of --processes; "
            f"it has {has or 'none'}"
        )
    row = found.row(0, named=True)
    for name, value in row.items():
        if value is None:
            raise InputError(f"{path}: column {name!r} must hold a number")
    note = (
        f"server compute time at concurrency {given.processes}; besides, {row[QUEUE]:g} us in "
        f"queue; {row[P50]:g} us from end to end (median)"
    )
    latency_ms = row[INFER] / US_PER_MS
    return pl.DataFrame([gpu_latency_row(given, batch, latency_ms, note, "measured")])
