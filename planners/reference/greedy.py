"""A greedy planner: each query, in order of arrival, gets the best plan for itself."""

from dataclasses import dataclass
from math import inf

import numpy as np

from planners.common.orders import Orders, QueryByQuery
from planners.common.ranges import Count, NonNegative, Positive
from scenarios.numerics import Ints
from scenarios.queries import Query
from sim import Estimate, Plan, PlanningContext, PlanView


def promising(
    context: PlanningContext, query: Query, view: PlanView, estimate: Estimate, headroom: float
) -> Ints:
    """Return a configuration's plans that should meet a query's SLO, as indices by latency.

    The latency predicted under the present load must be at most ``headroom`` times the bound. Among
    plans of equal latency, the cheaper comes first. The result is empty if accuracy is too low.
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


@dataclass(eq=False, repr=False)
class Greedy(QueryByQuery):
    """Deploy the richest accurate configuration, with its fastest plan that is in time and fits.

    Queries are served in order of arrival. Each gets the best service possible, at any cost up to
    the SLO's ceiling. Plans are predicted under the present load. If the budget allows fewer than
    ``samples`` items, the mean of these items is used as it is.

    Args:
        samples: number of items on which each configuration is profiled.
        headroom: largest allowed predicted latency of a plan, as a share of the latency bound.
        budget_s: planning seconds for each query; richer configurations are profiled first.
        pause_s: seconds from a failed search for a query to the next; freed room ends the pause.
    """

    behaviour = 1
    """1: versions begin."""

    samples: Count = 50
    headroom: Positive = 0.8
    budget_s: float = 5.0
    pause_s: NonNegative = 10.0

    def find(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the fastest suitable plan of the richest configuration that has one, or None."""
        view = context.bulk.view(query)
        for configuration in context.world.pipeline.configurations:
            estimate = context.profile(query, configuration, self.samples)
            for number in promising(context, query, view, estimate, self.headroom).tolist():
                plan = view.plan(number)
                if orders.fits(query, plan):
                    return plan
        return None
