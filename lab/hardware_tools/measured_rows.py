"""A user's measurements as rows of a table, and the file that they are written to."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hardware_models.gpu.mig import boards, profiles
from hardware_models.reference import REFERENCE_SLICES
from hardware_models.tables import read_file, user_table
from lab.common.atomic_write import written_aside
from lab.common.console import say
from lab.common.errors import InputError, choices
from lab.hardware_tools.calibration import Protocol, Timing

Row = dict[str, Any]
GPU_LATENCY, DEVICE_LATENCY = CALIBRATED = "gpu_latency", "device_latency"
NO_GPU = -1  # as ncnn's benchmark writes it


@dataclass(frozen=True)
class Given:
    """Facts that a file of measurements does not state; the user gives each by an option."""

    model: str | None = None  # name of the operator
    gpu: str | None = None  # name of the board
    slices: int | None = None  # compute slices; None for a whole board
    processes: int = 1  # number of processes or instances of the operator that share the board
    batch: int | None = None  # batch size
    tensor_parallel: int = 1  # number of boards for one model
    device: str | None = None  # name of the device, if it is not a GPU
    backend: str = "cpu"  # backend on the device
    threads: int = 1  # threads on the device

    def __post_init__(self) -> None:
        for name in ("slices", "processes", "batch", "tensor_parallel", "threads"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise InputError(f"--{name.replace('_', '-')}={number}: must be 1 or more")

    def need(self, *names: str) -> list[Any]:
        """Return the values of options; raise InputError if one is missing."""
        for name in names:
            if getattr(self, name) is None:
                raise InputError(f"--{name.replace('_', '-')} is required for these rows")
        return [getattr(self, name) for name in names]


@dataclass(frozen=True)
class Output:
    """Where rows are written, and which source is recorded in them."""

    path: Path | None  # a CSV file; None for the screen
    append: bool  # whether to add the rows to an existing file
    source: str  # tool that measured them
    source_url: str | None  # address of a publication; None for unpublished rows

    def contents(self, rows: pl.DataFrame, table: str) -> pl.DataFrame:
        """Return the contents of the file as texts: its existing rows and the new ones.

        ``rows`` has all columns of the table except ``source`` and ``source_url``, and optionally
        further columns. Raises InputError if the file exists without ``append`` or has other
        columns. Raises TableError if a value is not allowed or a key occurs twice.
        """
        rows = rows.with_columns(
            source=pl.lit(self.source, pl.String), source_url=pl.lit(self.source_url, pl.String)
        )
        columns = user_table(rows, table, f"rows of {table}").columns
        text = rows.select(*columns, pl.exclude(columns)).cast(pl.String)
        if self.path is None or not self.path.exists():
            return text
        if not self.append:
            raise InputError(
                f"--out={self.path}: already exists; name another file or add --append"
            )
        before = read_file(self.path)
        if before.columns != text.columns:
            raise InputError(f"--out={self.path}: has other columns, {', '.join(before.columns)}")
        text = pl.concat([before.cast(pl.String), text])
        user_table(text, table, self.path)
        return text

    def write(self, contents: pl.DataFrame) -> None:
        """Write the file, or print the rows."""
        if self.path is None:
            say(contents.write_csv().rstrip("\n"))
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        place = self.path.resolve()  # A symbolic link is kept.
        with written_aside(place) as aside:
            contents.write_csv(aside)
            if place.exists():
                shutil.copymode(place, aside)
        say(f"{self.path}: {contents.height} rows")


def provenance(unit: str, kind: str, note: str) -> Row:
    """Return the provenance columns of a row except its source."""
    return {"unit": unit, "kind": kind, "note": note}


def gpu_latency_row(given: Given, batch: int, latency_ms: float, note: str, kind: str) -> Row:
    """Return a row of table ``gpu_latency``; raise InputError if model or board is missing."""
    given.need("model", "gpu")
    slices = given.slices
    if slices is None:  # A whole board; an unknown board is treated like an A100.
        parts = profiles(str(given.gpu)).values() if given.gpu in boards() else ()
        slices = max((each.compute_slices for each in parts), default=REFERENCE_SLICES)
    return {
        "model": given.model,
        "gpu": given.gpu,
        "mig_gpcs": slices,
        "batch": batch,
        "mps_procs": given.processes,
        "batch_latency_ms": latency_ms,
        **provenance("ms", kind, note),
    }


def check_calibration(
    table: str, given: Given, batches: Sequence[int], protocol: Protocol, output: Output
) -> None:
    """Check, before timing, that rows can be written; raise InputError or TableError if not."""
    if table not in CALIBRATED:
        raise InputError(f"--table={table}: cannot be calibrated; {choices(table, CALIBRATED)}")
    given.need("model", "gpu" if table == GPU_LATENCY else "device")
    if table == DEVICE_LATENCY and [*batches] != [1]:
        shown = ",".join(map(str, batches))
        raise InputError(f"--batches={shown}: must be 1, the only batch size of table {table}")
    if table == DEVICE_LATENCY and given.processes != 1:
        raise InputError(f"--processes={given.processes}: must be 1 for table {table}")
    trial = [Timing(batch, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1) for batch in batches]
    output.contents(calibrated_rows(table, trial, given, protocol), table)


def calibrated_rows(
    table: str, timings: Sequence[Timing], given: Given, protocol: Protocol
) -> pl.DataFrame:
    """Return timings as rows, with the columns ``repeats``, ``ci_low_ms``, ``ci_high_ms`` added."""
    each = "" if protocol.processes == 1 else f" in each of {protocol.processes} processes"
    note = (
        f"{protocol.repeats} timed batches{each} after {protocol.warmup} untimed; "
        f"ci_low_ms to ci_high_ms: {100 * protocol.confidence:g} % order-statistic interval of the "
        f"median"
    )

    rows = []
    for one in timings:
        if table == GPU_LATENCY:
            words = f"median of {note}"
            row = gpu_latency_row(given, one.batch, one.median_ms, words, "measured")
        else:
            row = _device_latency(one, given, note)
        interval = {"ci_low_ms": one.low_ms, "ci_high_ms": one.high_ms}
        rows.append({**row, "repeats": one.timed, **interval})
    return pl.DataFrame(rows)


def _device_latency(timing: Timing, given: Given, note: str) -> Row:
    return {
        "device": given.device,
        "model": given.model,
        "backend": given.backend,
        "threads": given.threads,
        "gpu_device": NO_GPU,
        "min_ms": timing.least_ms,
        "max_ms": timing.most_ms,
        "avg_ms": timing.mean_ms,
        **provenance("ms per inference, batch 1", "measured", f"avg_ms: mean of {note}"),
    }
