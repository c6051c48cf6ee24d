"""Sums of times over the windows and operators of a sweep's finished runs.

Times are summed as integer nanoseconds, so that sums do not depend on the order of addition.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from lab.analysis.run_data import PARTS
from lab.analysis.sweep_frames import Sweep, unreadable
from lab.common.errors import InputError
from lab.runs.run_directory import rerun_hint
from sim.clock import NS_PER_S
from sim.metrics.goodput_time import goodput_time

WINDOW_S = ("active_s", "deployed_s", "met_s", "late_s", "inaccurate_s", "too_dear_s")
TABLES = ("windows", "operators")
KEYS = ("query", "window")
SERVED = ("completed", "latency_mean_s")
BOUNDS = ("start_s", "end_s")
LIVED = ("active_s", "deployed_s")
VERDICTS = ("met", "repeated", "latency_met", "accuracy_met", "cost_met")
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

Sums = tuple[pl.DataFrame, pl.DataFrame]


def totals(sweep: Sweep) -> Sums:
    """Return two frames of sums, the first by run and window, the second by run and operator.

    Unfinished runs are left out, because some of their windows can lack operators. The first frame
    has the start and end of each window, and the seconds for which queries were active or deployed.
    It also has the seconds for which their SLO was met (``met_s``) or missed. If several bounds
    were missed, the seconds count for the first of latency (``late_s``), accuracy
    (``inaccurate_s``) and cost (``too_dear_s``). The second frame has the number of ``completed``
    requests, and the seconds that they spent in each part of latency at the operator. Its column
    ``latency_s`` is their total latency, or null if latencies are per output length. Raises
    InputError if a table cannot be read or does not match the other one.
    """
    names = sweep.finished["run"].to_list()
    parts = {table: sweep.parts(table, names) for table in TABLES}
    windows, operators = [pl.DataFrame(schema=WINDOW_SUMS)], [pl.DataFrame(schema=OPERATOR_SUMS)]
    for run in names:
        try:
            summed = _of_run(sweep, run, parts)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(unreadable(sweep, TABLES, [run], error)) from None
        for frames, frame in zip((windows, operators), summed, strict=True):
            frames.append(frame.select(pl.lit(run).alias("run"), pl.all()))
    return pl.concat(windows), pl.concat(operators)


def _of_run(sweep: Sweep, run: str, parts: Mapping[str, Mapping[str, list[Path]]]) -> Sums:
    """Return the two frames of one run, in the order of its windows and of its operators."""
    columns = {
        "windows": (*KEYS, *SERVED, *BOUNDS, *LIVED, *VERDICTS),
        "operators": (*KEYS, "operator", *MEANS),
    }
    tables = []
    for table in TABLES:
        if run not in parts[table]:
            raise InputError(
                f"{sweep.directory}: {run}/{table} is missing, though the run has finished; "
                f"{rerun_hint(sweep.directory / run)}"
            )
        tables.append(pl.scan_parquet(parts[table][run], glob=False).select(columns[table]))
    windows, operators = pl.collect_all([_by_window(tables[0]), _by_operator(*tables)])
    windows = _in_s(windows, WINDOW_S)
    operators = _in_s(operators, ("latency_s", *PARTS))
    if (operators["unknown"] > 0).any() or operators["rows"].n_unique() > 1:
        raise InputError(
            f"{sweep.directory}: {run}/operators does not match its windows; "
            f"{rerun_hint(sweep.directory / run)}"
        )
    if run in sweep.per_length:
        operators = operators.with_columns(latency_s=pl.lit(None, pl.Float64))
    operators = operators.with_row_index("at").with_columns(pl.col("at").cast(pl.Int64))
    return windows, operators.select(name for name in OPERATOR_SUMS if name != "run")


def _by_window(windows: pl.LazyFrame) -> pl.LazyFrame:
    """Return sums by window; a query without requests in a window misses no bound there."""
    met, *parts = (pl.col(name) for name in ("met", "latency_met", "accuracy_met", "cost_met"))
    verdicts, failed = [met], ~met & ~pl.col("repeated")
    for part in parts:
        verdicts.append(failed & ~part)
        failed &= part
    deployed_s = pl.col("deployed_s")
    times_s = [
        pl.col("active_s"),
        deployed_s,
        *(goodput_time(verdict, deployed_s) for verdict in verdicts),
    ]
    return (
        windows.group_by("window")
        .agg(
            pl.col("start_s").min(),
            pl.col("end_s").max(),
            *(_sum_ns(time_s).alias(name) for name, time_s in zip(WINDOW_S, times_s, strict=True)),
        )
        .sort("window")
    )


def _by_operator(windows: pl.LazyFrame, operators: pl.LazyFrame) -> pl.LazyFrame:
    """Return sums by operator, with the numbers of all ``rows`` and of those without a window."""
    served = windows.filter(pl.col("completed") > 0).select(*KEYS, *SERVED)
    weight = pl.col("completed")
    return (
        operators.with_row_index("row")  # Keeping the order in the join would be slower.
        .join(served, on=KEYS, how="left")
        .group_by("operator")
        .agg(
            pl.col("row").min(),
            pl.len().alias("rows"),
            weight.null_count().alias("unknown"),
            weight.sum(),
            _sum_ns(weight * pl.col("latency_mean_s")).alias("latency_s"),
            *(_sum_ns(pl.col(f"{name}_s") * weight).alias(name) for name in PARTS),
        )
        .sort("row")
    )


def _sum_ns(time_s: pl.Expr) -> pl.Expr:
    return (time_s * NS_PER_S).round().cast(pl.Int64).sum()


def _in_s(sums: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Convert sums from ns to s by numpy, because polars multiplies by an inexact reciprocal."""
    return sums.with_columns(pl.Series(name, sums[name].to_numpy() / NS_PER_S) for name in names)
