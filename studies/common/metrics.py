"""Metrics by which studies compare planners, and the ranges that the paper claims for ratios."""

from lab.analysis.paired import PairedMetric

GOODPUT = PairedMetric("goodput", "goodput", more_is_better=True)
COST = PairedMetric("usd_per_query_hour", "cost", more_is_better=False, endless=True)
ATTRIBUTED = PairedMetric(
    "attributed_usd_per_query_hour", "attributed cost", more_is_better=False, endless=True
)
RESPONSE = PairedMetric(
    "response_s", "response time", more_is_better=False, endless=True, bound="response_is_bound"
)
RESPONSE_OF_SERVED = PairedMetric(
    "response_of_served_s", "response time of served queries", more_is_better=False, endless=True
)
DEVICE_HOURS = PairedMetric("planning_device_hours", "profiling", more_is_better=False)
SLO_MET = PairedMetric("slo_met", "time with the SLO met", more_is_better=True)

TITLES = {
    metric.name: metric.title
    for metric in (
        GOODPUT,
        COST,
        ATTRIBUTED,
        RESPONSE,
        RESPONSE_OF_SERVED,
        DEVICE_HOURS,
        SLO_MET,
    )
}
"""Title of each metric in tables, by its name."""

PAPER = {"goodput": (2.4, 5.1), "usd_per_query_hour": (3.8, 4.5), "response_s": (4.2, 10.5)}
"""Ranges of the abstract of arXiv 2504.16397v2, by the name of the metric."""


OWN_ARMS = ("videostorm_60s",)
"""Planners that the paper does not have, which studies compare without judging a claim by them.

VideoStorm's authors do not limit its offline profile, for which the paper allows 5 or 15 s.
"""


def paper_range(metric: str) -> str:
    """Return, in words, the paper's range for the ratio of a metric; empty without a range."""
    return "" if metric not in PAPER else "{:g} to {:g}".format(*PAPER[metric])
