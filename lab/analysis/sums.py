"""Where time went, added up over the windows and operators of the finished runs of a sweep."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import Any

import numpy as np
import polars as pl

from lab.analysis.run_data import PARTS
from lab.analysis.sweep_frames import Sweep, made_anew, unreadable
from lab.analysis.window_sums import add_operators, add_windows
from lab.common.errors import InputError

# In the order of `ACTIVE`, `DEPLOYED` and so on of `lab.analysis.window_sums`.
WINDOW_S = ("active_s", "deployed_s", "met_s", "late_s", "inaccurate_s", "too_dear_s")
TABLES = ("windows", "operators")
KEYS = ("query", "window")
SERVED = (*KEYS, "completed", "latency_mean_s")
BOUNDS = ("start_s", "end_s")
LIVED = ("active_s", "deployed_s")
VERDICTS = ("met", "repeated", "latency_met", "accuracy_met", "cost_met")
WINDOW_COLUMNS = (*SERVED, *BOUNDS, *LIVED, *VERDICTS)
MEANS = tuple(f"{name}_s" for name in PARTS)
WINDOW_SUMS = {
    "run": pl.String,
    "window": pl.Int64,
    **dict.fromkeys((*BOUNDS, *WINDOW_S), pl.Float64),
}
OPERATOR_SUMS = {
    "run": pl.String,
    "operator": pl.String,
    "at": pl.Int64,
    "completed": pl.Int64,
    "latency_s": pl.Float64,
    **dict.fromkeys(PARTS, pl.Float64),
}


# Of fewer bytes, a process of its own would hardly have begun when all is added up.
LEAST_APART_BYTES = 300_000_000

# Runs whose tables are in memory at the same time.
MOST_AT_ONCE = 32

Sums = tuple[pl.DataFrame, pl.DataFrame]


def totals_meanwhile(sweep: Sweep) -> Callable[[], Sums]:
    """Add up a sweep: a large one in a process of its own, while figures are drawn in this.

    Threads would not do: what they need of the interpreter, they would take from the drawing.

    Returns:
        What gives the sums of ``totals``; those of a large sweep, or its errors, when it is called.

    Raises:
        InputError: a table of a sweep that is not large cannot be read.
    """
    tables = (sweep.parts(table, sweep.finished["run"]).values() for table in TABLES)
    files = (path for table in tables for paths in table for path in paths)
    if sum(path.stat().st_size for path in files) < LEAST_APART_BYTES:
        sums = totals(sweep)
        return lambda: sums
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    apart = context.Process(target=_add_up, args=(sweep, sending), daemon=True)
    apart.start()
    sending.close()

    def found() -> Sums:
        try:
            result: Sums | InputError | None = receiving.recv()
        except EOFError:
            result = None
        apart.join()
        if result is None:
            if apart.exitcode is not None and apart.exitcode < 0:
                raise InputError(
                    f"{sweep.directory}: the process that adds up its windows was killed, perhaps "
                    "for want of memory"
                )
            return totals(sweep)  # It could not start, as where a script is not guarded.
        if isinstance(result, InputError):
            raise result
        return result

    return found


def _add_up(sweep: Sweep, sending: Connection) -> None:
    """Add up in a process of its own, and send the sums, or why there are none."""
    signal(SIGINT, SIG_IGN)  # An interrupt ends the process that waits, and so this one.
    try:
        result: Sums | InputError = totals(sweep)
    except InputError as error:
        result = error
    with suppress(BrokenPipeError):  # Nobody waits any longer.
        sending.send(result)


def totals(sweep: Sweep) -> Sums:
    """Return sums over the queries of each window, and over the windows of each operator.

    They are of finished runs, as all that is made of them: one that goes on may write windows of
    which the operators are not there yet.

    Returns:
        ``windows``: one row for each run and window, with its bounds and seconds, summed over
        queries, in which they were active, deployed, met their SLO (``met_s``) or, deployed, did
        not because latency, accuracy or cost (``late_s``, ``inaccurate_s``, ``too_dear_s``) did
        not, the first of them; none of these without requests to judge by. ``operators``: one row
        for each run and operator, with the ``completed`` requests, the seconds that they spent
        there by part, and those that they took as a whole (``latency_s``; null where windows have
        latencies over the length of the output).

    Raises:
        InputError: a table cannot be read.
    """
    names = sweep.finished["run"].to_list()
    window_parts, operator_parts = parts = [sweep.parts(table, names) for table in TABLES]
    for run in names:
        for table, its in zip(TABLES, parts, strict=True):
            if run not in its:
                raise InputError(
                    f"{sweep.directory}: {run}/{table} is missing, though the run has finished; "
                    f"{made_anew(run)}"
                )

    def of_run(run: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        try:
            windows, served = _by_window(run, window_parts[run])
            if run in sweep.per_length:
                served = served.with_columns(latency_mean_s=None)
            return windows, _by_operator(run, operator_parts[run], served)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(unreadable(sweep, TABLES, [run], error)) from None

    # Polars loads NumPy with the first array it meets, and fails if two threads meet one at once.
    pl.Series(np.zeros(0))
    # Four runs for each core: while one waits for its files or for the interpreter, others go on.
    with ThreadPoolExecutor(min(MOST_AT_ONCE, 4 * pl.thread_pool_size())) as pool:
        found = list(pool.map(of_run, names))
    windows = pl.concat([pl.DataFrame(schema=WINDOW_SUMS), *(one for one, _ in found)])
    operators = pl.concat([pl.DataFrame(schema=OPERATOR_SUMS), *(one for _, one in found)])
    order = pl.DataFrame({"run": names}, schema={"run": pl.String}).with_row_index("number")
    return _in_order(windows, order, "window"), _in_order(operators, order, "at")


def _by_window(run: str, paths: list[Path]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return sums by window, and what each row of the table completed, if anything.

    That is how many requests, and their mean latency.
    """
    rows = pl.read_parquet(paths, columns=list(WINDOW_COLUMNS), glob=False)
    if rows.is_empty():
        return pl.DataFrame(schema=WINDOW_SUMS), rows.select(*SERVED)
    served = rows.select(*SERVED).filter(pl.col("completed") > 0)
    if not rows["window"].is_sorted():
        rows = rows.sort("window")
    first = np.flatnonzero(np.diff(rows["window"].to_numpy(), prepend=-1))
    added_s = np.empty((len(first), 2))
    added_ns = np.zeros((len(first), len(WINDOW_S)), np.int64)
    verdicts = _arrays(rows, VERDICTS)
    add_windows(first, _arrays(rows, BOUNDS), _arrays(rows, LIVED), verdicts, added_s, added_ns)
    sums = {
        "run": [run] * len(first),
        "window": rows["window"].gather(first),
        **dict(zip(BOUNDS, added_s.T, strict=True)),
        **dict(zip(WINDOW_S, added_ns.T / 1e9, strict=True)),
    }
    return pl.DataFrame(sums, schema=WINDOW_SUMS), served.rechunk()


def _by_operator(run: str, paths: Sequence[Path], served: pl.DataFrame) -> pl.DataFrame:
    """Return sums by operator.

    A run writes a row for each operator of each window that completed requests, in the order of
    the windows: so rows need not be joined, which would take most of a report's time. Within a
    window operators have one order throughout a run, so that their names are read of the first
    window of each part.

    Args:
        run: name of the run.
        paths: the parts of its table of operators.
        served: ``query``, ``window``, ``completed`` and ``latency_mean_s`` of such windows.
    """
    done = 0
    names: list[str] = []
    added_ns = np.zeros((len(PARTS), 0), np.int64)
    keys, counts = _arrays(served, KEYS), served["completed"].to_numpy()
    for path in paths:
        part = pl.read_parquet(path, columns=[*KEYS, *MEANS], glob=False)
        if part.is_empty():
            continue
        of_part = _operators(path, part)
        if not names:
            names = of_part
            added_ns = np.zeros((len(PARTS), len(names)), np.int64)
        matches = of_part == names
        for piece in _pieces(part):
            matches = matches and add_operators(
                done, piece[: len(KEYS)], piece[len(KEYS) :], keys, counts, added_ns
            )
            done += len(piece[0])
        if not matches:
            raise pl.exceptions.ShapeError(
                f"{run}/operators/{path.name} has other rows than its windows, or another order"
            )
        if done % len(names):
            raise pl.exceptions.ShapeError(
                f"{run}/operators/{path.name} ends in the midst of a window"
            )
    told = served.head(done // max(1, len(names)))
    latency_s = (told["completed"] * told["latency_mean_s"]).sum()
    sums = {
        "run": [run] * len(names),
        "operator": names,
        "at": range(len(names)),
        "completed": [told["completed"].sum()] * len(names),
        "latency_s": [None if told["latency_mean_s"].null_count() else latency_s] * len(names),
        **dict(zip(PARTS, added_ns / 1e9, strict=True)),
    }
    return pl.DataFrame(sums, schema=OPERATOR_SUMS)


def _operators(path: Path, part: pl.DataFrame) -> list[str]:
    """Return the names of the operators of a part's first window."""
    of_first = (part["query"] == part["query"][0]) & (part["window"] == part["window"][0])
    first = pl.read_parquet(path, columns=["operator"], n_rows=of_first.sum(), glob=False)
    return first["operator"].to_list()


def _arrays(rows: pl.DataFrame, columns: Sequence[str]) -> Any:  # a tuple, as long as columns
    """Return columns as arrays; those with nulls, which our runs never have, are refused."""
    _check_whole(rows, columns)
    return tuple(rows[name].rechunk().to_numpy() for name in columns)


def _pieces(rows: pl.DataFrame) -> Iterator[Any]:
    """Yield rows as arrays of each column, in the pieces in which they lie in memory, uncopied."""
    _check_whole(rows, rows.columns)
    pieces = [rows[name].get_chunks() for name in rows.columns]
    if len({tuple(map(len, column)) for column in pieces}) > 1:
        pieces = [[rows[name].rechunk()] for name in rows.columns]
    for columns in zip(*pieces, strict=True):
        yield tuple(column.to_numpy() for column in columns)


def _check_whole(rows: pl.DataFrame, columns: Sequence[str]) -> None:
    """Refuse columns with nulls."""
    if sparse := [name for name in columns if rows[name].null_count()]:
        raise pl.exceptions.SchemaError(f"{', '.join(sparse)}: some are null")


def _in_order(sums: pl.DataFrame, order: pl.DataFrame, within: str) -> pl.DataFrame:
    """Return sums in the order of the runs."""
    return sums.join(order, on="run").sort("number", within).drop("number")
