"""What the tables of a run hold of one query, and which plan was in force for it when."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import polars as pl

from lab.analysis.run_data import events, per_output_length
from lab.common.errors import InputError
from lab.runs.run_directory import only_run, planner_directories, read_summary, scan
from sim.metrics.results import SCHEMAS

KINDS = ("queries", "windows", "decisions", "offers", "profiling")


@dataclass(frozen=True)
class DeploymentInterval:
    """A time during which one plan served a query."""

    order: Mapping[str, Any]  # the row of `decisions` that deployed the plan
    start_s: float  # when it came into force
    # When another one replaced it, it was released, a failure ended it, or the query left.
    end_s: float


def deployment_intervals(decisions: pl.DataFrame, departure_s: float) -> list[DeploymentInterval]:
    """Return when each deployed plan was in force, by the decisions on one query in order of time.

    A plan that was replaced while its models were loading never came into force.
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
        ended = order["deployment"]  # None for a release, of all that the query has
        if loading is not None and ended in (None, loading["deployment"]):
            loading = None
        if serving is not None and ended in (None, serving[0]["deployment"]):
            found.append(DeploymentInterval(*serving, order["decided_s"]))
            serving = None
    return found


@dataclass(frozen=True)
class QueryRecord:
    """All rows of one query, each table in order of time."""

    run: Path
    planner: str
    query: int
    # Its row of `queries`; while that is not written, what other tables tell of it.
    asked: Mapping[str, Any]
    closed: bool  # whether that row is written
    profiling: pl.DataFrame  # profiling runs for the query
    offline: pl.DataFrame  # profiling runs for its data set, ahead of all queries
    offers: pl.DataFrame  # plans on record
    decisions: pl.DataFrame  # orders for it, and what failures ended
    windows: pl.DataFrame  # its windows, as judged
    operators: pl.DataFrame  # where the latency of its windows went
    deployment_intervals: Sequence[DeploymentInterval]  # which plan served it when
    # Kind and time in seconds of each drift event during its life.
    events: Sequence[tuple[str, float]]
    # Whether its latencies are over the length of a request's output; those of `operators` are
    # plain seconds all the same.
    per_output_length: bool
    arrival_s: float
    floor: float | None  # its accuracy floor, if it has one and that is known
    bound_s: float | None  # its latency bound, likewise


def find_run(directory: Path) -> Path:
    """Return the one run directory at or below a directory; InputError for none or several."""
    return only_run(f"RUN={directory}", list(planner_directories(directory).values()))


def read_query(run: Path, query: int) -> QueryRecord:
    """Read what a run's tables hold of a query; InputError if there is none."""
    try:
        return _read(run, query)
    except (pl.exceptions.PolarsError, json.JSONDecodeError, KeyError, OSError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"RUN={run}: its tables cannot be read ({first})") from None


def _read(run: Path, query: int) -> QueryRecord:
    summary = read_summary(run)
    asked = _rows(run, "queries", query)
    windows = _rows(run, "windows", query, "window")
    decisions = _rows(run, "decisions", query, "decided_s", "triggered_s")
    offers = _rows(run, "offers", query, "at_s")
    profiling = _rows(run, "profiling", query, "at_s")
    if not any(frame.height for frame in (asked, windows, decisions, offers, profiling)):
        raise InputError(f"QUERY={query}: {_which_queries(run)}")
    row = (
        asked.row(0, named=True)
        if asked.height
        else _as_far_as_known(windows, decisions, offers, profiling, summary["simulated_s"])
    )
    ahead = pl.col("query").is_null() & (pl.col("dataset") == pl.lit(row["dataset"], pl.String))
    offline = scan(run, "profiling").filter(ahead).sort("at_s", maintain_order=True).collect()
    return QueryRecord(
        run,
        str(summary["planner"]),
        query,
        row,
        bool(asked.height),
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
    """Say which queries a run has."""
    found = pl.concat([scan(run, table).select("query") for table in KINDS]).unique().collect()
    numbers = sorted(found["query"].drop_nulls())
    if not numbers:
        return "no such query; the run has no queries"
    return f"no such query; the run has queries {numbers[0]} to {numbers[-1]}"


def _as_far_as_known(
    windows: pl.DataFrame,
    decisions: pl.DataFrame,
    offers: pl.DataFrame,
    profiling: pl.DataFrame,
    simulated_s: float,
) -> dict[str, Any]:
    """Return what is known of a query that the run has not closed yet."""
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
