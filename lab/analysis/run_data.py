"""Data for figures, read from the tables of runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lab.common.errors import InputError, shown
from lab.runs.run_directory import CONFIG, SUMMARY, configured, read_run_summary, scan
from sim.metrics.goodput_time import goodput_time

RunDirectories = Mapping[str, Path]

PARTS = ("queueing", "batching", "compute", "transfer")
MOST_POINTS = 2000
ROUNDING = 1e-3
"""Sums of times count as equal up to this relative difference, a rounding error."""

PER_LENGTH = ("application.latency_per", "output_length")
"""The key and value with which windows have latencies per output length, not in seconds."""


def by_window(directory: Path) -> pl.DataFrame:
    """Return each window's goodput, active and deployed queries, and cost; 0 without queries."""
    sums = (
        scan(directory, "windows")
        .group_by("window")
        .agg(
            pl.col("start_s").first(),
            pl.col("end_s").first(),
            goodput_time(pl.col("met"), pl.col("deployed_s")).sum().alias("goodput"),
            pl.col("deployed_s").sum().alias("deployed"),
            pl.col("active_s").sum().alias("active"),
            pl.col("cost_usd").sum(),
            pl.col("final").all(),
        )
        .sort("window")
        .collect()
    )
    if not sums.height:
        return sums
    length_s = sums["end_s"][0] - sums["start_s"][0]
    every = pl.DataFrame({"window": pl.int_range(sums["window"][-1] + 1, eager=True)})
    filled = every.join(sums, on="window", how="left").with_columns(
        (pl.col("window") * length_s).alias("start_s"),
        ((pl.col("window") + 1) * length_s).alias("end_s"),
        pl.col("goodput", "deployed", "active", "cost_usd").fill_null(0.0),
    )
    if not sums["final"][-1]:  # The horizon cut the last window short; queries show when.
        last_s = scan(directory, "queries").select(pl.col("departure_s").max()).collect().item()
        if last_s is not None and last_s > filled["start_s"][-1]:
            filled = filled.with_columns(pl.col("end_s").clip(upper_bound=last_s))
    observed_s = pl.col("end_s") - pl.col("start_s")
    return filled.with_columns(pl.col("goodput", "deployed", "active") / observed_s)


def latency_ratios(runs: RunDirectories) -> dict[str, np.ndarray]:
    """Return each window's p95 latency divided by its bound, by planner, or by tier for one run."""
    ratio = (pl.col("latency_p95_s") / pl.col("slo_latency_s")).alias("ratio")
    frames = {
        name: scan(directory, "windows")
        .filter(~pl.col("repeated") & pl.col("slo_latency_s").is_not_null())
        .select("tier", "slo_latency_s", ratio)
        .collect()
        for name, directory in runs.items()
    }
    if len(runs) > 1:
        groups = {name: frame["ratio"] for name, frame in frames.items()}
    else:
        (frame,) = frames.values()
        strictest_first = frame.sort("slo_latency_s")["tier"].unique(maintain_order=True)
        groups = {tier: frame.filter(tier=tier)["ratio"] for tier in strictest_first}
    return {name: ratios.to_numpy() for name, ratios in groups.items() if len(ratios)}


def part_means(directory: Path) -> pl.DataFrame:
    """Return the mean seconds of a run's completed requests, by operator and part of latency."""
    return mean_parts(scan(directory, "operators"), scan(directory, "windows")).collect()


def mean_parts(operators: pl.LazyFrame, windows: pl.LazyFrame) -> pl.LazyFrame:
    """Return the mean times of the completed requests in the windows, by operator and part."""
    weight = pl.col("completed")
    keys = ["query", "window"]
    return (
        operators.join(windows.select(*keys, weight), on=keys, maintain_order="left")
        .group_by("operator", maintain_order=True)
        .agg(((pl.col(f"{part}_s") * weight).sum() / weight.sum()).alias(part) for part in PARTS)
    )


def latency_mean(directory: Path) -> float | None:
    """Return completed requests' mean latency in s; None if it is unknown or per output length."""
    if per_output_length(directory):
        return None
    return mean_latency_s(scan(directory, "windows"), scan(directory, "operators"))


def mean_latency_s(windows: pl.LazyFrame, operators: pl.LazyFrame) -> float | None:
    """Return the mean latency in s of completed requests whose parts are known; None without."""
    mean_s: float | None = (
        windows.join(operators, on=["query", "window"], how="semi")
        .filter(pl.col("completed") > 0)
        .select(
            (pl.col("latency_mean_s") * pl.col("completed")).sum()
            / pl.when(pl.len() > 0).then(pl.col("completed").sum())
        )
        .collect()
        .item()
    )
    return mean_s


def per_output_length(directory: Path) -> bool:
    """Return whether the windows of a run have latencies per output length."""
    return bool(configured(directory, PER_LENGTH[0], object) == PER_LENGTH[1])


def plan_notation(directory: Path) -> str:
    """Return a sentence on how a run's plans are written; empty if the application has no knobs."""
    operators = operators_of(directory)
    knobs = [str(knob) for one in operators.values() for knob in one.get("knobs") or ()]
    if not knobs:
        return ""
    return f"A plan is written as {'/'.join(knobs)} @ places of {' > '.join(operators)}."


def operators_of(directory: Path) -> dict[str, dict[str, Any]]:
    """Return the declarations of a run's operators; empty if the application has none."""
    found = configured(directory, "application.operators", dict) or {}
    for name, one in found.items():
        parts = [one.get("knobs"), one.get("after")] if isinstance(one, dict) else [one]
        if not all(isinstance(part, list | dict | None) for part in parts):
            raise InputError(
                f"{directory / CONFIG}: is not the configuration of a run: "
                f"application.operators.{name}={shown(one)}"
            )
    return found


def at_once(sum_s: float, mean_s: float | None) -> bool:
    """Return whether operators worked in parallel, so that their times exceed the latency."""
    return mean_s is not None and sum_s > (1 + ROUNDING) * mean_s


def response_times(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the served queries' response times and the other queries' censoring times in s."""
    frame = scan(directory, "queries").select("response_time_s", "censored_after_s").collect()
    served = frame["response_time_s"].drop_nulls().to_numpy()
    censored = frame.filter(pl.col("response_time_s").is_null())["censored_after_s"]
    return served, censored.drop_nulls().to_numpy()


def bill(directory: Path) -> tuple[float, float] | None:
    """Return the attributed and the idle cost of a finished run in USD; None if unknown."""
    if not (directory / SUMMARY).is_file():
        return None
    summary = read_run_summary(directory)
    owed, idle = summary.get("attributed_cost_usd"), summary.get("idle_cost_usd")
    return None if owed is None or idle is None else (float(owed), float(idle))


def events(directory: Path) -> list[tuple[str, float]]:
    """Return the kind and the time in seconds of each drift event of a run whose time is known."""
    found = configured(directory, "drift.events", list) or []
    try:
        # A time that the user took from the environment is a text in the file.
        return [
            (str(event["kind"]), float(event["at_s"]))
            for event in found
            if not (isinstance(event["at_s"], str) and "${" in event["at_s"])
        ]
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{directory / CONFIG}: is not the configuration of a run: drift.events={shown(found)}"
        ) from None


def distribution(values: np.ndarray, left: float, right: float) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the empirical distribution function between `left` and `right`."""
    finite = np.sort(values[np.isfinite(values)])
    share = np.arange(1, len(finite) + 1) / len(values)
    if len(finite) > MOST_POINTS:
        kept = np.linspace(0, len(finite) - 1, MOST_POINTS).astype(int)
        finite, share = finite[kept], share[kept]
    reached = len(values[np.isfinite(values)]) / len(values)
    return np.array([left, *finite, right]), np.array([0.0, *share, reached])
