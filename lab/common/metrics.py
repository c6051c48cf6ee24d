"""The metrics of a run's summary. `docs/how_to/adding_a_metric.md` explains how to add one."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

ValueRange = tuple[float, float]
"""The smallest and the largest possible value."""

ANY: ValueRange = (-inf, inf)
SHARE: ValueRange = (0.0, 1.0)


@dataclass(frozen=True)
class Metric:
    """A metric of a run's summary."""

    name: str  # key in the summary
    label: str = ""  # name in tables and figures; by default, `name` with spaces
    unit: str = ""  # unit in tables and figures; empty for shares and counts
    more_is_better: bool | None = None  # None if neither larger nor smaller values are better
    range: ValueRange = (0.0, inf)
    best: str = ""  # completes "PLANNER has the ..." for the planner with the best mean
    of_service: bool = False  # whether more machines never make its mean worse
    null_is_late: bool = False  # whether a missing value counts as later than any number
    by_tier: bool = False  # whether the summary also has ``NAME_by_tier``

    @property
    def title(self) -> str:
        """The label, followed by the unit in brackets unless the unit is empty."""
        label = self.label or self.name.replace("_", " ")
        return f"{label} ({self.unit})" if self.unit else label


GOODPUT = Metric(
    "service_goodput_mean",
    "service goodput",
    "queries",
    more_is_better=True,
    best="highest service goodput",
    of_service=True,
)
SLO_MET = Metric(
    "slo_met_fraction",
    "SLO met, share of time",
    more_is_better=True,
    range=SHARE,
    best="largest share of time",
    of_service=True,
    by_tier=True,
)
RESPONSE = Metric(
    "response_time_p50_s",
    "median response time",
    "s",
    more_is_better=False,
    best="shortest median response time",
    of_service=True,
    null_is_late=True,
)
COST = Metric(
    "deployment_cost_usd",
    "deployment cost",
    "USD",
    more_is_better=False,
    best="lowest deployment cost",
)
PROFILING_COST = Metric(
    "profiling_cost_usd", "profiling cost", "USD", more_is_better=False, best="cheapest profiling"
)
TOTAL_COST = Metric(
    "total_cost_usd", "cost with profiling", "USD", more_is_better=False, best="lowest cost"
)
GOODPUT_PER_USD = Metric(
    "goodput_per_usd",
    "goodput per dollar",
    "query-hours/USD",
    more_is_better=True,
    best="highest goodput per dollar",
)
PROFILING = Metric(
    "planning_device_hours",
    "profiling",
    "device-hours",
    more_is_better=False,
    best="least profiling",
)
CENSORED = Metric("response_censored", "without a response", "queries", more_is_better=False)
FALSE_ACCEPTANCES = Metric("false_acceptances", more_is_better=False)
PLANNING = Metric("planning_charged_s", "planning, charged", "s", more_is_better=False)
BOUND = Metric("goodput_bound", "best possible, share of time", range=SHARE)
GAP = Metric("goodput_gap", "gap to the best possible", more_is_better=False, range=(-1.0, 1.0))
IDLE = Metric("idle_cost_usd", "idle cost", "USD", more_is_better=False)
ERRORS = Metric("planner_errors", more_is_better=False)
QUERIES = Metric("queries", by_tier=True)

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        SLO_MET,
        Metric("queries_met_share", more_is_better=True, range=SHARE, of_service=True),
        GOODPUT,
        Metric("active_queries_mean", unit="queries"),
        RESPONSE,
        CENSORED,
        FALSE_ACCEPTANCES,
        Metric("deployments"),
        Metric("deployments_refused"),
        Metric("deployments_assumed"),
        Metric("deployments_extrapolated"),
        QUERIES,
        Metric("requests"),
        Metric("completed", more_is_better=True, of_service=True),
        Metric("unserved", more_is_better=False, of_service=True),
        Metric("lost", more_is_better=False),
        Metric("dropped", more_is_better=False),
        Metric("shed", more_is_better=False),
        Metric("in_flight"),
        COST,
        Metric("attributed_cost_usd", unit="USD", more_is_better=False),
        IDLE,
        PROFILING_COST,
        TOTAL_COST,
        GOODPUT_PER_USD,
        PROFILING,
        PLANNING,
        Metric("planning_wall_s", unit="s of wall time", more_is_better=False),
        Metric("planner_crashes"),
        ERRORS,
        Metric("profiling_runs_lost"),
        Metric("profiles_restored"),
        Metric("profiles_measured"),
        Metric("horizon_s", unit="s"),
        Metric("simulated_s", unit="s"),
        Metric("warm_up_s", unit="s"),
        Metric("wall_s", unit="s of wall time", more_is_better=False),
        BOUND,
        GAP,
        Metric("goodput_optimum", "best possible in whole stations, share of time", range=SHARE),
        Metric("bound_wall_s", unit="s of wall time", more_is_better=False),
    )
}
"""All metrics by name."""

HEADLINES = (GOODPUT, SLO_MET, RESPONSE, PROFILING, COST, PROFILING_COST, GOODPUT_PER_USD)
"""Metrics that a comparison prints; its frames have all metrics."""

DRAWN = (GOODPUT, SLO_MET, RESPONSE, COST, PROFILING)
"""Metrics that a report draws."""

REPORTED = (
    *DRAWN,
    BOUND,
    GAP,
    PROFILING_COST,
    TOTAL_COST,
    GOODPUT_PER_USD,
    CENSORED,
    FALSE_ACCEPTANCES,
    PLANNING,
    IDLE,
    ERRORS,
)
"""Metrics in the tables of a report."""

CLAIMED = (GOODPUT, RESPONSE, COST)
"""Metrics for which a report names the best planner; each needs ``best``."""

BY_TIER = {f"{metric.name}_by_tier": metric.name for metric in METRICS.values() if metric.by_tier}
"""Metrics by class of service: the key in a summary, and the name of the metric."""


def range_of(name: str) -> ValueRange:
    """Return the range of a metric, or of its values in one class of service; `ANY` if unknown."""
    metric = METRICS.get(metric_and_tier(name)[0])
    return ANY if metric is None else metric.range


def of_tier(metric: str, tier: str) -> str:
    """Return the name of a metric for one class of service, such as ``queries.premium``."""
    return f"{metric}.{tier}"


def metric_and_tier(name: str) -> tuple[str, str]:
    """Split a name into the metric and the class of service; the latter can be empty."""
    metric, _, tier = name.partition(".")
    return (metric, tier) if metric in BY_TIER.values() else (name, "")


def by_tier(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Return a summary's values for single classes of service, by the names from `of_tier`."""
    return {
        of_tier(metric, str(tier)): value
        for key, metric in BY_TIER.items()
        for tier, value in (summary.get(key) or {}).items()
    }
