"""Reads the rows of one query from a run's tables, and finds when each plan was active."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import polars as pl

from lab.analysis.run_data import events, per_output_length
from lab.common.errors import InputError
from lab.runs.run_directory import (
    check_parts,
    only_run,
    planner_directories,
    read_run_summary,
    scan,
)
from sim.metrics.results import SCHEMAS

KINDS = ("queries", "windows", "decisions", "offers", "profiling")


@dataclass(frozen=True)
class DeploymentInterval:
    """The time span in which one plan served a query."""

    order: Mapping[str, Any]  # the row of `decisions` that deployed the plan
    start_s: float  # when it became active
    # when it ended, by replacement, release, failure, or the query's departure
    end_s: float


def deployment_intervals(decisions: pl.DataFrame, departure_s: float) -> list[DeploymentInterval]:
    """Return when each plan was active, given a query's decisions sorted by time.

    A plan that was replaced while its models were loading never became active.
    """
    acted = decisions.filter(pl.col("outcome").is_in(["deployed", "released", "ended"]))
    found = []
    loading: Mapping[str, Any] | None = None
    serving: tuple[Mapping[str, Any], float] | None = None
    end = {"outcome": "released", "deployment": None, "decided_s": departure_s}
    for order in [*acted.iter_rows(named=True), end]:
        starts_s = inf if loading is None else loading["in_force_s"]
        if loading is not None and starts_s < order["decided_s"]:
            if serving is not None:
                found.append(DeploymentInterval(*serving, starts_s))
            serving, loading = (loading, starts_s), None
        if order["outcome"] == "deployed":
            loading = order
            continue
        ended = order["deployment"]  # None for a release, which ends all deployments of the query
        if loading is not None and ended in (None, loading["deployment"]):
            loading = None
        if serving is not None and ended in (None, serving[0]["deployment"]):
            found.append(DeploymentInterval(*serving, order["decided_s"]))
            serving = None
    return found


@dataclass(frozen=True)
class QueryRecord:
    """All rows of one query; each table is sorted by time."""

    run: Path
    planner: str
    query: int
    # Its row of `queries`; until that is written, the values known from other tables.
    query_row: Mapping[str, Any]
    closed: bool  # whether the row of `queries` is written
    profiling: pl.DataFrame  # profiling runs for the query
    offline: pl.DataFrame  # profiling runs for its data set, ahead of all queries
    offers: pl.DataFrame  # plans that the planner logged
    decisions: pl.DataFrame  # orders for the query, and deployments ended by failures
    windows: pl.DataFrame  # its windows with their verdicts
    operators: pl.DataFrame  # the latency of its windows by operator
    deployment_intervals: Sequence[DeploymentInterval]  # when each plan was active
    # Kind and time in seconds of each drift event during its life.
    events: Sequence[tuple[str, float]]
    # Whether latencies are divided by the output length; those of `operators` never are.
    per_output_length: bool
    arrival_s: float
    floor: float | None  # its accuracy floor; None if absent or unknown
    bound_s: float | None  # its latency bound; None if absent or unknown


def find_run(directory: Path) -> Path:
    """Return the only run at or below a directory; raise InputError unless there is exactly one."""
    return only_run(f"RUN={directory}", list(planner_directories(directory).values()))


def read_query(run: Path, query: int) -> QueryRecord:
    """Read a query's rows from a run's tables; raise InputError for an unknown query."""
    try:
        return _read(run, query)
    except (pl.exceptions.PolarsError, OSError) as error:
        check_parts(run)
        first = str(error).partition("\n")[0]
        raise InputError(f"RUN={run}: its tables cannot be read ({first})") from None


def _read(run: Path, query: int) -> QueryRecord:
    summary = read_run_summary(run)
    closed = _rows(run, "queries", query)
    windows = _rows(run, "windows", query, "window")
    decisions = _rows(run, "decisions", query, "decided_s", "triggered_s")
    offers = _rows(run, "offers", query, "at_s")
    profiling = _rows(run, "profiling", query, "at_s")
    if not any(frame.height for frame in (closed, windows, decisions, offers, profiling)):
        raise InputError(f"QUERY={query}: {_which_queries(run)}")
    row = (
        closed.row(0, named=True)
        if closed.height
        else _row_of_open_query(windows, decisions, offers, profiling, summary["simulated_s"])
    )
    ahead = pl.col("query").is_null() & (pl.col("dataset") == pl.lit(row["dataset"], pl.String))
    offline = scan(run, "profiling").filter(ahead).sort("at_s", maintain_order=True).collect()
    return QueryRecord(
        run,
        str(summary["planner"]),
        query,
        row,
        bool(closed.height),
        profiling,
        offline,
        offers,
        decisions,
        windows,
        # Windows in order of time, operators in order of the pipeline.
        _rows(run, "operators", query, "window"),
        deployment_intervals(decisions, row["departure_s"]),
        [event for event in events(run) if row["arrival_s"] <= event[1] < row["departure_s"]],
        per_output_length(run),
        *(row[name] for name in ("arrival_s", "slo_accuracy", "slo_latency_s")),
    )


def _rows(run: Path, table: str, query: int, *by: str) -> pl.DataFrame:
    rows = scan(run, table).filter(pl.col("query") == query).collect()
    return rows.sort(*by, maintain_order=True) if by else rows


def _which_queries(run: Path) -> str:
    """Return a clause on which queries a run has."""
    found = pl.concat([scan(run, table).select("query") for table in KINDS]).unique().collect()
    numbers = sorted(found["query"].drop_nulls())
    if not numbers:
        return "no such query; the run has no queries"
    return f"no such query; the run has queries {numbers[0]} to {numbers[-1]}"


def _row_of_open_query(
    windows: pl.DataFrame,
    decisions: pl.DataFrame,
    offers: pl.DataFrame,
    profiling: pl.DataFrame,
    simulated_s: float,
) -> dict[str, Any]:
    """Return the known part of the row of a query that is still open."""
    row: dict[str, Any] = dict.fromkeys(SCHEMAS["queries"])
    calls = pl.concat([decisions["triggered_s"], offers["triggered_s"]]).drop_nulls()
    since_s = calls.to_list()
    if windows.height:
        first = windows.row(0, named=True)
        since_s = [first["end_s"] - first["active_s"]]
        row |= {"tier": first["tier"], "slo_latency_s": first["slo_latency_s"]}
    if profiling.height:
        row["dataset"] = profiling["dataset"][0]
        since_s = since_s or [profiling["at_s"][0] - profiling["charged_s"][0]]
    return row | {"arrival_s": min(since_s), "departure_s": max(simulated_s, *since_s)}
