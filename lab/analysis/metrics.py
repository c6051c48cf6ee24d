"""What planners are compared by in a report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A figure of a run's summary.

    Args:
        name: its key in the summary.
        label: what tables and figures call it.
        unit: its unit; empty if it has none.
        more_is_better: whether large values are good.
        best: what the best planner has, as in "has the ...".
    """

    name: str
    label: str
    unit: str
    more_is_better: bool
    best: str

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


GOODPUT = Metric(
    *("service_goodput_mean", "service goodput", "queries", True, "highest service goodput")
)
RESPONSE = Metric(
    *("response_time_p50_s", "median response time", "s", False, "shortest median response time")
)
COST = Metric("deployment_cost_usd", "deployment cost", "USD", False, "lowest deployment cost")
METRICS = (
    GOODPUT,
    Metric("slo_met_fraction", "SLO met, share of time", "", True, "largest share of time"),
    RESPONSE,
    COST,
    Metric("planning_device_hours", "profiling", "device-hours", False, "least profiling"),
    Metric("response_censored", "never well served", "queries", False, "fewest queries left"),
    Metric("false_acceptances", "false acceptances", "", False, "fewest false acceptances"),
    Metric("planning_charged_s", "planning, charged", "s", False, "least planning"),
    Metric("idle_cost_usd", "idle cost", "USD", False, "lowest idle cost"),
    Metric("planner_errors", "planner errors", "", False, "fewest planner errors"),
)
DRAWN = METRICS[:5]
CLAIMED = (GOODPUT, RESPONSE, COST)
