"""What telemetry windows show about the active plan of a query."""

from itertools import pairwise
from math import inf, isfinite

from scenarios.queries import Query
from sim import PlanningContext, Prediction, WindowReport

MOST_SLOWDOWN = 10.0


def whole_window(
    context: PlanningContext, query: Query, settle_s: float = 0.0
) -> WindowReport | None:
    """Return a running query's last window if the active plan served during all of it.

    The plan must have been active for ``settle_s`` when the window began.
    """
    reports, since_s = context.telemetry(query), context.world.active_since_s(query)
    if since_s is None or len(reports) < 2 or reports[-2].end_s < since_s + settle_s:
        return None
    return reports[-1]


def late_window(
    context: PlanningContext, query: Query, settle_s: float = 0.0
) -> WindowReport | None:
    """Return the `whole_window` if requests completed in it but too few met the latency bound."""
    last = whole_window(context, query, settle_s)
    if last is None or not last.completed:
        return None
    return None if last.good >= query.slo.latency_quantile * last.born else last


def slowdown(predicted: Prediction, window: WindowReport) -> float:
    """Return the ratio of observed to predicted latency, but within 1 and `MOST_SLOWDOWN`."""
    ratio = inf
    if isfinite(window.latency_quantile_s):
        ratio = window.latency_quantile_s / predicted.latency_quantile_s
    elif window.completed:  # some requests never completed
        ratio = window.latency_mean_s / predicted.latency_mean_s
    return min(MOST_SLOWDOWN, max(1.0, ratio))


def share_in_time(context: PlanningContext, query: Query) -> float | None:
    """Return the probability that a window of the active plan keeps the latency bound, or None.

    It is estimated by Laplace's rule of succession from the windows of telemetry during which the
    plan was active: (good windows + 1) / (windows + 2). The result is None without such windows.
    """
    reports, since_s = context.telemetry(query), context.world.active_since_s(query)
    if since_s is None:
        return None
    whole = [
        report
        for before, report in pairwise(reports)
        if before.end_s >= since_s and report.born > 0
    ]
    if not whole:
        return None
    good = sum(report.good >= query.slo.latency_quantile * report.born for report in whole)
    return (good + 1) / (len(whole) + 2)


def window_s(context: PlanningContext) -> float:
    """Return the length of the SLO's windows, or 0 if no running query has two of them yet."""
    every = (context.telemetry(query)[-2:] for query in context.running)
    return next((last[1].end_s - last[0].end_s for last in every if len(last) == 2), 0.0)


def forgiven(context: PlanningContext, query: Query, away_s: float) -> bool:
    """Return whether a window can be met although no request is served for so many seconds."""
    return away_s <= (1 - query.slo.latency_quantile) * window_s(context)
