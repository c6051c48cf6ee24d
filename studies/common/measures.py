"""What is taken from a run: values that JSON can hold."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from lab.runs.api import Result
from lab.runs.summary import plain, response_quantile_s

S_PER_HOUR = 3600.0


def totals(result: Result) -> Mapping[str, Any]:
    """Return goodput of the second half, cost, and response time of a run.

    * ``goodput``: mean number of queries that meet their whole SLO, and ``active`` of queries that
      live, in windows that begin in the second half.
    * ``usd_per_query_hour``: the bill for an hour in which a query's SLO is met, over the whole
      run; ``attributed_usd_per_query_hour`` likewise, of the part that queries answer for.
    * ``response_s``: Kaplan-Meier median of response times; where less than half were ever served,
      the longest time that any query lived, and ``response_is_bound`` says so.
    * ``response_of_served_s``: median response time of those that were served.
    """
    summary, queries = result.summary, result.queries
    horizon_s = float(summary["horizon_s"])
    late = result.windows.filter(pl.col("start_s") >= horizon_s / 2)
    first_s = late["start_s"].min()
    span_s = horizon_s - (horizon_s if first_s is None else float(str(first_s)))
    hours = summary["service_goodput_mean"] * horizon_s / S_PER_HOUR
    served = queries["response_time_s"].drop_nulls().to_list()
    in_vain = queries["censored_after_s"].drop_nulls().to_list()
    median_s = response_quantile_s(served, in_vain)
    values = {
        "goodput": float(late.filter("met")["deployed_s"].sum()) / span_s if span_s else None,
        "active": float(late["active_s"].sum()) / span_s if span_s else None,
        "usd_per_query_hour": summary["deployment_cost_usd"] / hours if hours else None,
        "attributed_usd_per_query_hour": summary["attributed_cost_usd"] / hours if hours else None,
        "slo_met": summary["slo_met_fraction"],
        "response_s": max(served + in_vain, default=None) if median_s is None else median_s,
        "response_is_bound": median_s is None,
        "response_of_served_s": float(np.median(served)) if served else None,
        "served": len(served) / max(1, len(served) + len(in_vain)),
    }
    kept = (
        "queries",
        "requests",
        "false_acceptances",
        "deployments",
        "planning_device_hours",
        "planning_charged_s",
        "planning_wall_s",
        "deployment_cost_usd",
        "idle_cost_usd",
        "planner_errors",
        "planner_error_first",
        "planner_sees_truth",
    )
    return dict(plain(values)) | {key: summary[key] for key in kept}
