"""Measures of a run, as values that JSON can hold.

A measure is a function in this module or in a probe, never in a study. So stored runs stay valid
when the verdicts, tables or pictures of a study are edited.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from lab.runs.api import Result
from lab.runs.summary import plain, response_quantile_s

S_PER_HOUR = 3600.0
STEP_S = 30.0
"""Length of a step in a curve of goodput."""

OF_SUMMARY = (
    "queries",
    "requests",
    "false_acceptances",
    "deployments",
    "planning_device_hours",
    "planner_errors",
    "planner_error_first",
)


def totals(result: Result) -> Mapping[str, Any]:
    """Return goodput in the second half of a run, and the run's cost and response time.

    * ``goodput``: mean number of queries that meet their whole SLO, over the windows that begin in
      the second half.
    * ``active``: mean number of living queries in the same windows.
    * ``usd_per_query_hour``: cost of the run per hour in which a query meets its SLO, with that of
      profiling.
    * ``attributed_usd_per_query_hour``: cost attributed to queries, per such hour.
    * ``response_s``: Kaplan-Meier median of response times. If less than half of the queries were
      ever served, it is the longest life of a query, and ``response_is_bound`` is true.
    * ``response_p25_s``, ``response_p75_s``: the other quartiles; None if too few queries were
      served.
    * ``response_of_served_s``: median response time of the queries that were served.
    """
    summary = result.summary
    horizon_s = float(summary["horizon_s"])
    late = result.windows.filter(pl.col("start_s") >= horizon_s / 2)
    first_s = late["start_s"].min()
    span_s = horizon_s - (horizon_s if first_s is None else float(str(first_s)))
    hours = summary["service_goodput_mean"] * horizon_s / S_PER_HOUR
    served, in_vain = _responses(result.queries)
    low_s, median_s, high_s = (response_quantile_s(served, in_vain, q) for q in (0.25, 0.5, 0.75))
    values = {
        "goodput": float(late.filter("met")["deployed_s"].sum()) / span_s if span_s else None,
        "active": float(late["active_s"].sum()) / span_s if span_s else None,
        "usd_per_query_hour": summary["total_cost_usd"] / hours if hours else None,
        "attributed_usd_per_query_hour": summary["attributed_cost_usd"] / hours if hours else None,
        "slo_met": summary["slo_met_fraction"],
        "response_s": max(served + in_vain, default=None) if median_s is None else median_s,
        "response_is_bound": median_s is None,
        "response_p25_s": low_s,
        "response_p75_s": high_s,
        "response_of_served_s": float(np.median(served)) if served else None,
        "served": len(served) / max(1, len(served) + len(in_vain)),
    }
    return dict(plain(values)) | {key: summary[key] for key in OF_SUMMARY}


def curve(result: Result) -> Mapping[str, Any]:
    """Return `totals`, with the mean goodput in each time step of `STEP_S` as ``cells``."""
    windows = result.windows.filter(pl.col("met"))
    horizon_s = float(result.summary["horizon_s"])
    cells = []
    for step in range(int(horizon_s // STEP_S)):
        start_s, end_s = step * STEP_S, (step + 1) * STEP_S
        overlap = (
            pl.min_horizontal(pl.col("end_s"), pl.lit(end_s))
            - pl.max_horizontal(pl.col("start_s"), pl.lit(start_s))
        ).clip(0.0)
        share = pl.col("deployed_s") / (pl.col("end_s") - pl.col("start_s"))
        served_s = windows.select((overlap * share).sum()).item()
        cells.append({"time_s": end_s, "goodput": served_s / STEP_S})
    return {**totals(result), "cells": cells}


def totals_with_floor(result: Result) -> Mapping[str, Any]:
    """Return `totals`, and the share of deployments with a true accuracy below the query's floor.

    The share, ``below_floor``, is None without deployments. They include those of plans that the
    planner only tries, because none is certain to meet the floor.
    """
    floors = result.queries.select("query", "slo_accuracy")
    deployed = result.decisions.filter(outcome="deployed").join(floors, "query")
    below = (deployed["true_accuracy"] < deployed["slo_accuracy"]).mean()
    return {**totals(result), **plain({"below_floor": below})}


def spending(result: Result) -> Mapping[str, Any]:
    """Return how much time planning took.

    * ``device_hours``: hours for which profiling devices were used, online and offline.
    * ``device_hours_a_query``: the same hours per query.
    * ``profiling_s``, ``surrogates_s``, ``other_s``: planning seconds, averaged over queries.
    * ``first_search_s``: median, over deployed queries, of the seconds charged to the first search
      that deployed the query. They never exceed the budget of a search.
    * ``response_s``, ``response_is_bound`` and ``served``: as in `totals`.
    """
    queries, hours = result.queries, result.summary["planning_device_hours"]
    profiling_s, surrogates_s, all_s = (
        float(np.mean(queries[name].to_numpy()))
        for name in ("profiling_s", "surrogates_s", "planning_s")
    )
    values = {
        "queries": len(queries),
        "device_hours": hours,
        "device_hours_a_query": hours / max(1, len(queries)),
        "profiling_s": profiling_s,
        "surrogates_s": surrogates_s,
        "other_s": all_s - profiling_s - surrogates_s,
        "first_search_s": _first_deployed(result)["charged_s"].median(),
    }
    responses = totals(result)
    kept = "response_s", "response_is_bound", "served"
    return dict(plain(values)) | {key: responses[key] for key in kept}


def early(result: Result) -> Mapping[str, Any]:
    """Return response and planning times of the queries that arrived in the second half.

    * ``response_s``: Kaplan-Meier median of response times; None if less than half of the queries
      were ever served. ``served`` is the share of queries that were.
    * ``first_search_s``: median of the seconds charged to the first search that deployed a query.
    * ``configurations``: mean number of configurations profiled until that deployment.
    * ``profiling_device_s``: mean time for which profiling devices were used for a query.
    """
    late = result.queries.filter(pl.col("arrival_s") >= float(result.summary["horizon_s"]) / 2)
    first = _first_deployed(result).join(late.select("query"), "query")
    until = result.profiling.join(first, "query").filter(pl.col("at_s") <= pl.col("decided_s"))
    profiled = until.group_by("query").agg(pl.col("configuration").n_unique())
    served, in_vain = _responses(late)
    values = {
        "queries": len(late),
        "response_s": response_quantile_s(served, in_vain),
        "served": len(served) / max(1, len(late)),
        "first_search_s": first["charged_s"].median(),
        "configurations": profiled["configuration"].mean(),
        "profiling_device_s": late["profiling_device_s"].mean(),
    }
    return dict(plain(values))


DRIFT_HORIZON_S = 720.0
DRIFT_STEP_S = DRIFT_HORIZON_S / 2
SETTLED_S = 60.0
"""Queries are followed if they arrived at least this long before the step of a drift."""


def violations(result: Result) -> Mapping[str, Any]:
    """Return the active and violated seconds of the followed queries, by window."""
    followed = result.queries.filter(pl.col("arrival_s") <= DRIFT_STEP_S - SETTLED_S)["query"]
    windows = result.windows.filter(pl.col("query").is_in(followed.to_list()))
    by = windows.group_by("start_s").agg(
        pl.col("active_s").sum(),
        pl.col("active_s").filter(~pl.col("met")).sum().alias("violated_s"),
    )
    return {
        "followed": len(followed),
        "cells": by.sort("start_s").to_dicts(),
        "planner_errors": result.summary["planner_errors"],
    }


def _responses(queries: pl.DataFrame) -> tuple[list[float], list[float]]:
    return (
        queries["response_time_s"].drop_nulls().to_list(),
        queries["censored_after_s"].drop_nulls().to_list(),
    )


def _first_deployed(result: Result) -> pl.DataFrame:
    return (
        result.decisions.filter(pl.col("outcome") == "deployed")
        .sort("decided_s")
        .group_by("query")
        .agg(pl.col("charged_s", "decided_s").first())
    )
