"""The frames of a sweep as files and as tables on the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lab.analysis.run_data import PARTS
from lab.analysis.sweep_analysis import Analysis
from lab.analysis.sweep_frames import NAMES, Sweep, unreadable
from lab.common.atomic_write import written_aside
from lab.common.errors import InputError
from lab.common.formatting import interval, number
from lab.common.metrics import DRAWN, REPORTED, SLO_MET

# Larger tables are not copied to one file; they can be scanned in the runs' directories.
MOST_ROWS = 10_000_000
# Longer tables would make browsers slow.
MOST_SHOWN = 2_000
TABLES = ("queries", "windows")
DIGITS = 4
ONE_SEED = "There is only one seed, so there are no intervals."
FEWER = (
    " Where some seeds have no value, the mean is over the others; means.parquet has their number. "
    "A median response time is missing if fewer than half of the queries were ever served."
)
LABELS = {metric.name: metric.title for metric in REPORTED}


@dataclass(frozen=True)
class Cell:
    """A cell of a table on the page."""

    text: str  # what it shows
    value: str | float  # what it is sorted by


@dataclass(frozen=True)
class Table:
    """A table on the page."""

    title: str
    about: str  # explains how to read it
    head: list[str]  # names of the columns
    rows: list[list[Cell]]
    more: int  # number of rows left out
    file: str  # name of the file with all rows


def write_frames(analysis: Analysis, folder: Path) -> list[str]:
    """Write the frames as Parquet files; return the names of tables too large to write."""
    folder.mkdir(parents=True, exist_ok=True)
    pooled = analysis.pooled
    frames = {
        "runs": analysis.sweep.runs,
        "without_results": analysis.sweep.without,
        "means": analysis.means,
        "differences": analysis.differences,
        "pareto": analysis.pareto,
        "goodput": analysis.goodput,
        "time": analysis.time,
        "latency": analysis.latency,
        "tiers": analysis.tiers if analysis.tiers.height else None,
        "pooled_means": None if pooled is None else pooled.means,
        "pooled_differences": None if pooled is None else pooled.differences,
    }
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        if frame is None:
            path.unlink(missing_ok=True)
        else:
            _write(analysis.sweep, [], frame.lazy(), path)
    large = []
    for name in TABLES:
        path = folder / f"{name}.parquet"
        if analysis.sweep.count(name) > MOST_ROWS:
            path.unlink(missing_ok=True)
            large.append(name)
        else:
            _write(analysis.sweep, [name], analysis.sweep.scan(name), path)
    return large


def _write(sweep: Sweep, read: Sequence[str], frame: pl.LazyFrame, path: Path) -> None:
    """Write a frame atomically; `read` names the tables of the sweep that it was made from."""
    try:
        with written_aside(path) as aside:
            frame.sink_parquet(aside, compression="lz4")
    except pl.exceptions.PolarsError as error:
        raise InputError(unreadable(sweep, read, None, error)) from None


def tables(analysis: Analysis) -> Iterator[Table]:
    """Yield the tables of the page."""
    sweep = analysis.sweep
    keys = list(sweep.keys)
    if sweep.without.height:
        yield _table("Jobs without results", "", sweep.without, "without_results")
    one_seed = analysis.seeds == 1
    if analysis.means.height:
        counts = analysis.means.group_by("setting", "planner").agg(pl.col("n").n_unique())
        some_lack = bool((counts["n"] > 1).any())
        about = "Means over seeds, with 95 % intervals; n counts seeds."
        yield _table(
            "Metrics" if one_seed else "Means",
            ONE_SEED if one_seed else about + FEWER * some_lack,
            _wide(analysis.means, keys),
            "means",
        )
    differences = analysis.differences.filter(
        pl.col("metric").is_in([metric.name for metric in DRAWN])
    )
    if differences.height:
        tests = [
            pl.struct(pl.lit(None, pl.Float64).alias("mean"), "low", "high").alias("95 % interval"),
            pl.col("p_holm").alias("p"),
        ]
        yield _table(
            "Differences" if one_seed else "Paired differences over seeds",
            f"First planner minus second. {ONE_SEED}"
            if one_seed
            else "First planner minus second. p is that of the paired t-test, adjusted for all "
            "pairs of a setting and metric, not over settings.",
            differences.select(
                *keys,
                pl.col("metric").replace(LABELS),
                "planner",
                pl.col("other").alias("minus"),
                "n",
                "difference",
                *([] if one_seed else tests),
                "ratio",
            ),
            "differences",
        )
    if analysis.pareto.height:
        yield _table(
            "Trade-offs",
            "A planner is dominated if another one is at least as good in goodput, cost and "
            "response time and better in one of them, over the seeds that all planners of a "
            "setting finished."
            + ("" if one_seed else " Response times are medians over seeds, not means."),
            analysis.pareto.drop("setting", "planner_sees_truth").rename(LABELS, strict=False),
            "pareto",
        )
    if analysis.tiers.height:
        yield _table(
            "Classes of service",
            "Share of the lifetime of a class's queries in which their SLO was met, over the seeds "
            "that all planners of a setting finished. "
            + (ONE_SEED if one_seed else "Means over seeds, with 95 % intervals."),
            analysis.tiers.select(
                *keys,
                "tier",
                "planner",
                "n",
                "queries",
                pl.struct("mean", "low", "high").alias(SLO_MET.title),
            ),
            "tiers",
        )
    if analysis.time.height:
        yield _table(
            "How the lifetime of queries was spent",
            "Shares of the queries' lifetime. If an SLO was missed for several reasons, the first "
            "one counts.",
            analysis.time.drop("setting").rename({"active_s": "lived (s)"}),
            "time",
        )
    if analysis.latency.height:
        yield _table(
            "Where latency goes",
            "Mean time of a completed request at each operator, in seconds.",
            analysis.latency.drop("setting", "latency_mean_s").with_columns(
                pl.sum_horizontal(PARTS).alias("total")
            ),
            "latency",
        )
    metrics = [metric.name for metric in REPORTED if metric.name in sweep.runs.columns]
    yield _table(
        "Runs",
        "",
        sweep.runs.select(
            *[name for name in NAMES if name != "setting"],
            *keys,
            "simulated_s",
            *[name for name in metrics if name not in keys],
        ).rename(LABELS, strict=False),
        "runs",
    )


def _wide(means: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return a row for each setting and planner, with a column for each metric."""
    shown = means.with_columns(
        pl.struct("mean", "low", "high").alias("cell"),
        pl.col("n").max().over("setting", "planner"),
    )
    return (
        shown.pivot(
            "metric", index=["setting", *keys, "planner", "n"], values="cell", maintain_order=True
        )
        .drop("setting")
        .rename(LABELS, strict=False)
    )


def _table(title: str, about: str, frame: pl.DataFrame, file: str) -> Table:
    # Keys of the configuration are not changed.
    head = [name if "." in name else name.replace("_", " ") for name in frame.columns]
    rows = [[cell(value) for value in row] for row in frame.head(MOST_SHOWN).iter_rows()]
    return Table(title, about, head, rows, frame.height - len(rows), f"{file}.parquet")


def cell(value: Any) -> Cell:
    """Return a value as a cell; a mapping has a mean and an interval, or only an interval."""
    if isinstance(value, dict):
        mean, low, high = value.values()
        parts = number(mean, DIGITS, missing=""), interval(low, high, DIGITS)
        text = " ".join(part for part in parts if part)
        first = mean if mean is not None else low
        return Cell(text or "-", "" if first is None else first)
    if value is None:
        return Cell("-", "")
    if isinstance(value, bool):
        return Cell("yes" if value else "no", str(int(value)))
    if isinstance(value, int):
        return Cell(f"{value:,}" if abs(value) >= 10_000 else str(value), value)
    if isinstance(value, float):
        return Cell(number(value, DIGITS), value)
    return Cell(str(value), str(value))
