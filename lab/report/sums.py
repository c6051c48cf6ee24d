"""Where time went, added up over the windows and operators of every run of a sweep.

Times are added as whole nanoseconds, in which the order of addition does not matter: so the same
tables give the same bytes, whichever thread read which part first.
"""

from collections.abc import Sequence

import polars as pl

from lab.errors import InputError, one_line
from lab.figure_data import PARTS
from lab.report.sweep import Sweep
from sim.results import SCHEMAS

# So many runs are read at once: enough to keep all cores busy, few enough to keep memory small.
AT_ONCE = 16
WINDOW_S = ("active_s", "deployed_s", "met_s", "late_s", "inaccurate_s", "too_dear_s")


def _added_s(seconds: pl.Expr) -> pl.Expr:
    return (seconds * 1e9).round().cast(pl.Int64).sum() / 1e9


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
    windows: list[pl.DataFrame] = []
    operators: list[pl.DataFrame] = []
    runs = sweep.runs["run"].to_list()
    window_parts, operator_parts = sweep.parts("windows"), sweep.parts("operators")
    for at in range(0, len(runs), AT_ONCE):
        queries = []
        some = [run for run in runs[at : at + AT_ONCE] if run in window_parts]
        for run in some:
            table = pl.scan_parquet(window_parts[run])
            queries.append(_by_window(table, run))
            if run in operator_parts:
                queries.append(_by_operator(pl.scan_parquet(operator_parts[run]), table, run))
        try:
            frames = pl.collect_all(queries, engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{sweep.directory}: {_unreadable(sweep, some, error)}") from None
        for frame in frames:
            (operators if "operator" in frame.columns else windows).append(frame)
    order = pl.DataFrame({"run": runs}).with_row_index("number")
    return (
        _joined(windows, order, ("window",), ("start_s", "end_s", *WINDOW_S)),
        _joined(operators, order, ("at", "operator", "completed"), PARTS),
    )


def _by_window(table: pl.LazyFrame, run: str) -> pl.LazyFrame:
    late = ~pl.col("latency_met")
    inaccurate = ~late & ~pl.col("accuracy_met")
    dear = pl.col("latency_met") & pl.col("accuracy_met") & ~pl.col("cost_met")
    missed = ~pl.col("met")
    return (
        table.group_by("window")
        .agg(
            pl.col("start_s").min(),
            pl.col("end_s").max(),
            _added_s(pl.col("active_s")).alias("active_s"),
            _added_s(pl.col("deployed_s")).alias("deployed_s"),
            *(
                _added_s(pl.col("deployed_s") * counts).alias(name)
                for name, counts in (
                    ("met_s", pl.col("met")),
                    ("late_s", missed & late),
                    ("inaccurate_s", missed & inaccurate),
                    ("too_dear_s", missed & dear),
                )
            ),
        )
        .select(pl.lit(run).alias("run"), "window", "start_s", "end_s", *WINDOW_S)
    )


def _by_operator(table: pl.LazyFrame, windows: pl.LazyFrame, run: str) -> pl.LazyFrame:
    """Return sums by operator; windows say how many requests a mean was taken over."""
    return (
        table.with_row_index("at")
        .join(windows.select("query", "window", "completed"), on=["query", "window"])
        .group_by("operator")
        .agg(
            pl.col("at").min(),
            pl.col("completed").sum(),
            *(_added_s(pl.col(f"{part}_s") * pl.col("completed")).alias(part) for part in PARTS),
        )
        .select(pl.lit(run).alias("run"), "operator", "at", "completed", *PARTS)
    )


def _unreadable(sweep: Sweep, runs: Sequence[str], error: Exception) -> str:
    """Name the first part file that cannot be read, or else say what polars says."""
    for table in ("windows", "operators"):
        for paths in sweep.parts(table, runs).values():
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


def _joined(
    frames: list[pl.DataFrame], order: pl.DataFrame, names: Sequence[str], times: Sequence[str]
) -> pl.DataFrame:
    """Return the frames as one, in the order of the runs; their columns are there without rows."""
    if not frames:
        kinds = {"run": pl.String, **dict.fromkeys(names, pl.Int64)}
        schema = {**kinds, **dict.fromkeys(times, pl.Float64)}
        return pl.DataFrame(schema=schema | {"operator": pl.String} if "at" in names else schema)
    return pl.concat(frames).join(order, on="run").sort("number", names[0]).drop("number")
