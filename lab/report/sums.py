"""Where time went, added up over the windows and operators of every run of a sweep.

Times are added as whole nanoseconds, in which the order of addition does not matter: so the same
tables give the same bytes, whichever thread read which part first.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lab.errors import InputError, one_line
from lab.figure_data import PARTS
from lab.report.sweep import Sweep
from sim.results import SCHEMAS

WINDOW_S = ("active_s", "deployed_s", "met_s", "late_s", "inaccurate_s", "too_dear_s")
WINDOW_COLUMNS = (
    *("query", "window", "completed", "start_s", "end_s", "active_s", "deployed_s"),
    *("met", "latency_met", "accuracy_met", "cost_met"),
)
WINDOW_SUMS = {
    "run": pl.String,
    "window": pl.Int64,
    **dict.fromkeys(("start_s", "end_s", *WINDOW_S), pl.Float64),
}
OPERATOR_SUMS = {
    "run": pl.String,
    "operator": pl.String,
    "at": pl.Int64,
    "completed": pl.Int64,
    **dict.fromkeys(PARTS, pl.Float64),
}


def totals(sweep: Sweep) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return sums over the queries of each window, and over the windows of each operator.

    Returns:
        ``windows``: one row for each run and window, with its bounds and seconds, summed over
        queries, in which they were active, deployed, met their SLO (``met_s``) or, deployed, did
        not because latency, accuracy or cost (``late_s``, ``inaccurate_s``, ``too_dear_s``) did
        not, the first of them. ``operators``: one row for each run and operator, with the
        ``completed`` requests and the seconds that they spent there by part.

    Raises:
        InputError: a table cannot be read.
    """
    names = sweep.runs["run"].to_list()
    window_parts, operator_parts = sweep.parts("windows"), sweep.parts("operators")

    def of_run(run: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        try:
            windows, served = _by_window(run, window_parts[run])
            return windows, _by_operator(run, operator_parts.get(run, []), served)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{sweep.directory}: {_unreadable(sweep, run, error)}") from None

    # So many runs at once keep all cores busy, and memory small.
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        found = list(pool.map(of_run, [run for run in names if run in window_parts]))
    windows = pl.concat([pl.DataFrame(schema=WINDOW_SUMS), *(one for one, _ in found)])
    operators = pl.concat([pl.DataFrame(schema=OPERATOR_SUMS), *(one for _, one in found)])
    order = pl.DataFrame({"run": names}, schema={"run": pl.String}).with_row_index("number")
    return _in_order(windows, order, "window"), _in_order(operators, order, "at")


def _by_window(run: str, paths: list[Path]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return sums by window, and how many requests each row of the table completed, if any."""
    rows = pl.read_parquet(paths, columns=list(WINDOW_COLUMNS))
    served = rows.select("query", "window", "completed").filter(pl.col("completed") > 0)
    if not rows["window"].is_sorted():
        rows = rows.sort("window")
    window = rows["window"].to_numpy()
    first = np.flatnonzero(np.diff(window, prepend=-1))  # of the rows of each window
    met, in_time, accurate, cheap = (
        rows[name].to_numpy() for name in ("met", "latency_met", "accuracy_met", "cost_met")
    )
    deployed_ns = _whole_ns(rows["deployed_s"].to_numpy())
    added_ns = {
        "active_s": _whole_ns(rows["active_s"].to_numpy()),
        "deployed_s": deployed_ns,
        "met_s": deployed_ns * met,
        "late_s": deployed_ns * (~met & ~in_time),
        "inaccurate_s": deployed_ns * (~met & in_time & ~accurate),
        "too_dear_s": deployed_ns * (~met & in_time & accurate & ~cheap),
    }
    sums = pl.DataFrame(
        {
            "run": [run] * len(first),
            "window": window[first],
            "start_s": np.minimum.reduceat(rows["start_s"].to_numpy(), first),
            "end_s": np.maximum.reduceat(rows["end_s"].to_numpy(), first),
            **{name: np.add.reduceat(added_ns[name], first) / 1e9 for name in WINDOW_S},
        },
        schema=WINDOW_SUMS,
    )
    return sums, served


def _whole_ns(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    scaled = seconds * 1e9
    return np.rint(scaled, out=scaled).astype(np.int64)


def _by_operator(run: str, paths: Sequence[Path], served: pl.DataFrame) -> pl.DataFrame:
    """Return sums by operator.

    A run writes a row for each operator of each window that completed requests, in the order of
    the windows: so rows need not be joined, which would take most of a report's time.

    Args:
        run: name of the run.
        paths: the parts of its table of operators.
        served: ``query``, ``window`` and ``completed`` of such windows.
    """
    at, completed = 0, 0
    names: list[str] = []
    added_ns: dict[str, list[int]] = {name: [] for name in PARTS}
    for path in paths:
        part = pl.read_parquet(path, columns=list(SCHEMAS["operators"]))
        if part.is_empty():
            continue
        if not names:
            first = part.row(0, named=True)
            names = part.filter(query=first["query"], window=first["window"])["operator"].to_list()
            added_ns = {name: [0] * len(names) for name in PARTS}
        rows = served.slice(at, part.height // len(names))
        if rows.is_empty():  # The run was killed between the writing of one table and of the other.
            break
        part = part.head(rows.height * len(names))
        if not _follows(part, names, rows):
            raise pl.exceptions.ShapeError(
                f"{run}/operators/{path.name} has other rows than its windows, or another order"
            )
        at += rows.height
        completed += rows["completed"].sum()
        count = rows["completed"].cast(pl.Float64).to_numpy()
        for name, added in added_ns.items():
            mean_s = part[f"{name}_s"].to_numpy().reshape(-1, len(names))
            for operator in range(len(names)):  # Column by column, in arrays that caches hold.
                added[operator] += int(_whole_ns(mean_s[:, operator] * count).sum())
    rows_ns = {
        "run": [run] * len(names),
        "operator": names,
        "at": range(len(names)),
        "completed": [completed] * len(names),
        **added_ns,
    }
    schema = {**OPERATOR_SUMS, **dict.fromkeys(PARTS, pl.Int64)}
    return pl.DataFrame(rows_ns, schema=schema).with_columns(pl.col(PARTS) / 1e9)


def _follows(part: pl.DataFrame, names: Sequence[str], rows: pl.DataFrame) -> bool:
    """Tell whether each row of windows has one of each operator, in that order."""
    operators, n = part["operator"], len(names)
    same = operators.head(n).to_list() == list(names)
    same = same and operators.slice(n).equals(operators.head(part.height - n))
    for key in ("query", "window"):
        keys = part[key].to_numpy().reshape(-1, n)
        same = same and bool((keys == rows[key].to_numpy()[:, None]).all())
    return same


def _unreadable(sweep: Sweep, run: str, error: Exception) -> str:
    """Name the first part file that cannot be read, or else say what polars says."""
    for table in ("windows", "operators"):
        for paths in sweep.parts(table, [run]).values():
            for path in paths:
                try:
                    found = pl.read_parquet_schema(path)
                except (pl.exceptions.PolarsError, OSError):
                    return f"{path.relative_to(sweep.directory)} is no Parquet file"
                if missing := [name for name in SCHEMAS[table] if name not in found]:
                    return (
                        f"{path.relative_to(sweep.directory)} has no column {missing[0]!r}, so it "
                        "is of another version"
                    )
    return one_line(error)


def _in_order(sums: pl.DataFrame, order: pl.DataFrame, within: str) -> pl.DataFrame:
    """Return sums in the order of the runs."""
    return sums.join(order, on="run").sort("number", within).drop("number")
