"""What planning takes: device-hours of profiling, and seconds by what they went into."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from lab.runs.api import Result
from lab.runs.summary import plain, response_quantile_s
from studies.common.measures import totals


def spending(result: Result) -> Mapping[str, Any]:
    """Return what planning took.

    * ``device_hours``: time of profiling devices, online and offline, and ``device_hours_a_query``.
    * ``profiling_s``, ``surrogates_s``, ``other_s``: planning seconds of a query, means.
    * ``first_search_s``: median over the queries that were deployed of the seconds that were
      charged to the search that deployed first, which are never more than its budget.
    * ``response_s``, ``response_is_bound`` and ``served``, as `totals` has them.
    """
    queries, summary = result.queries, result.summary
    first = (
        result.decisions.filter(pl.col("outcome") == "deployed")
        .group_by("query")
        .agg(pl.col("charged_s").sort_by("decided_s").first())
    )
    profiling_s, surrogates_s, all_s = (
        float(np.mean(queries[name].to_numpy()))
        for name in ("profiling_s", "surrogates_s", "planning_s")
    )
    values = {
        "queries": len(queries),
        "device_hours": summary["planning_device_hours"],
        "device_hours_a_query": summary["planning_device_hours"] / max(1, len(queries)),
        "profiling_s": profiling_s,
        "surrogates_s": surrogates_s,
        "other_s": all_s - profiling_s - surrogates_s,
        "first_search_s": first["charged_s"].median(),
    }
    responses = totals(result)
    kept = "response_s", "response_is_bound", "served"
    return dict(plain(values)) | {key: responses[key] for key in kept}


def early(result: Result) -> Mapping[str, Any]:
    """Return response and planning of the queries that arrived in the second half.

    * ``response_s``: Kaplan-Meier median of their response times, None where less than half were
      ever served; ``served`` is the share that was.
    * ``first_search_s``: median of the seconds charged to the search that deployed first.
    * ``configurations``: mean number of configurations that were profiled until then.
    * ``profiling_device_s``: mean time of profiling devices.
    """
    late = result.queries.filter(pl.col("arrival_s") >= float(result.summary["horizon_s"]) / 2)
    first = (
        result.decisions.filter(pl.col("outcome") == "deployed")
        .sort("decided_s")
        .group_by("query")
        .agg(pl.col("charged_s", "decided_s").first())
        .join(late.select("query"), "query")
    )
    until = result.profiling.join(first, "query").filter(pl.col("at_s") <= pl.col("decided_s"))
    profiled = until.group_by("query").agg(pl.col("configuration").n_unique())
    values = {
        "queries": len(late),
        "response_s": response_quantile_s(
            late["response_time_s"].drop_nulls().to_list(),
            late["censored_after_s"].drop_nulls().to_list(),
        ),
        "served": late["response_time_s"].count() / max(1, len(late)),
        "first_search_s": first["charged_s"].median(),
        "configurations": profiled["configuration"].mean(),
        "profiling_device_s": late["profiling_device_s"].mean(),
    }
    return dict(plain(values))
