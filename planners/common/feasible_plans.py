"""The plans of a profiled configuration that are predicted to meet an SLO."""

from math import inf

import numpy as np

from planners.common.arrays import Integers
from scenarios.queries import Query
from sim import Estimate, PlanningContext, PlanView


def promising(
    context: PlanningContext, query: Query, view: PlanView, estimate: Estimate, headroom: float
) -> Integers:
    """Return numbers of a configuration's plans that should meet a query's SLO, the fastest first.

    A prediction under the present load may use a share ``headroom`` of the latency bound. Ties go
    to the cheaper plan. Empty if the accuracy is too low.
    """
    slo, measurement = query.slo, estimate.measurement
    if not estimate.accurate_enough(slo):
        return np.empty(0, dtype=np.int64)
    plans = np.flatnonzero(view.configuration == measurement.configuration.index)
    latency_s = context.bulk.predict_many(
        query,
        view,
        plans,
        measurement.operator_mean_s,
        measurement.time_cv,
        normalised=measurement.normalised,
    )[1]
    cost = view.cost_usd_per_hour[plans]
    bound_s = inf if slo.latency_s is None else headroom * slo.latency_s
    ceiling = inf if slo.cost_usd_per_hour is None else slo.cost_usd_per_hour
    do = np.isfinite(latency_s) & (latency_s <= bound_s) & (cost <= ceiling)
    order = np.lexsort((cost[do], latency_s[do]))
    return plans[do][order]
