"""Scores of runs, which are computed from their tables."""

from pathlib import Path

import polars as pl

from lab.common.errors import InputError, one_line
from lab.common.metrics import GOODPUT, GOODPUT_PER_USD, SLO_MET
from lab.leaderboard.one_run import TABLES
from lab.runs.run_directory import read_run_summary, scan
from sim.metrics.goodput_time import goodput_time

S_PER_HOUR = 3600


def score(directory: Path, metric: str) -> float:
    """Return a metric of a finished run; 0 if there is nothing to divide by.

    Raises:
        InputError: a table is missing or damaged.
    """
    tables = directory / TABLES
    try:
        summary = read_run_summary(tables)
        return _score(tables, metric, summary["warm_up_s"], summary["horizon_s"])
    except (InputError, OSError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise InputError(
            f"{directory}: its tables cannot be read ({one_line(error)}); delete it, and the same "
            "command repeats the run"
        ) from None


def _score(tables: Path, metric: str, warm_up_s: float, horizon_s: float) -> float:
    if metric == GOODPUT_PER_USD.name:  # This metric counts the whole run.
        met_s, _ = _met_and_active_s(tables, 0.0)
        usd = _cost_usd(tables)
        return met_s / S_PER_HOUR / usd if usd else 0.0
    met_s, active_s = _met_and_active_s(tables, warm_up_s)
    of_s = {GOODPUT.name: horizon_s - warm_up_s, SLO_MET.name: active_s}[metric]
    return met_s / of_s if of_s else 0.0


def _met_and_active_s(tables: Path, since_s: float) -> tuple[float, float]:
    """Return for how many seconds queries met their SLO, and lived, from a time on."""
    met_s = goodput_time(pl.col("met"), pl.col("deployed_s")).sum()
    windows = scan(tables, "windows").filter(pl.col("start_s") >= since_s)
    [row] = windows.select(met_s, pl.col("active_s").sum().alias("active")).collect().rows()
    return float(row[0]), float(row[1])


def _cost_usd(tables: Path) -> float:
    """Return the price of all rentals, of egress and of profiling."""
    hours = (pl.col("to_s") - pl.col("from_s")) / S_PER_HOUR
    parts = (
        scan(tables, "machines").select((hours * pl.col("price_usd_per_hour")).sum()),
        scan(tables, "queries").select(pl.col("egress_usd").sum()),
        scan(tables, "profiling").select(pl.col("cost_usd").sum()),
    )
    return float(sum(part.collect().item() for part in parts))
