"""INFaaS-style: the cheapest sufficient variant of each operator, scaled when it is late."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from planners.baselines.variants import (
    Goal,
    Market,
    Variant,
    assembled,
    offers,
    registered,
    variants,
    with_operator,
)
from planners.common.offline_profiles import own_knobs, profile_ahead
from planners.common.orders import Orders, serve_waiting
from planners.common.ranges import Count, InRange, NonNegative, Positive
from planners.common.retries import IN_VAIN
from planners.common.windows import late_window
from planners.common.workers import Labour, crews
from scenarios.applications.pipeline import Pipeline
from scenarios.queries import Query
from sim import Plan, Planner, PlanningContext, WindowReport

FASTER = 0.9
"""Most time of an upgraded operator, over its present time."""

MOST_SPREAD = 10.0
"""Most that the quantile of an operator's time is taken to be over its mean."""


@dataclass(eq=False, repr=False)
class INFaaS(InRange, Planner):
    """Give each operator its cheapest variant that meets its share of the SLO; scale late ones.

    In the style of INFaaS (Romero et al., USENIX ATC 2021), which serves single models: users state
    latency and accuracy, and it picks among profiled variants and hardware, and scales.

    *Ahead*, at the first query of a data set, each operator's variants are profiled with the other
    operators at their richest. This is planning cost, not response time.

    *At arrival* the SLO is split over operators. Each gets a part of ``headroom`` times the bound
    in proportion to its time in the richest configuration. With m operators that have knobs, each
    may lower accuracy to the m-th root of floor over richest accuracy. Each operator gets the
    cheapest variant and workers that meet its share; the least busy among equals; else the most
    accurate, then the fastest. All run on the cheapest node where that fits.

    *Every* ``replan_every_s``, if a query's last window was late, the operator that most exceeds
    its share is scaled. It gets one more replica if its requests mostly wait; otherwise the
    cheapest upgrade that is at least a tenth faster and accurate enough.

    ``docs/planners.md`` says what of it is confirmed, and how it departs from the paper.

    Args:
        budget_s: planning seconds of each data set's profile.
        samples: items profiled for each variant.
        headroom: share of the latency bound that is split; the rest is for network and waiting.
        replan_every_s: period of the autoscaler.
        settle_s: how long a plan must have been in force when a window begins that counts.
        pause_s: seconds between two searches for a query without a plan, unless room is freed.
    """

    query_records = (IN_VAIN,)

    budget_s: float = 600.0
    samples: Count = 100
    headroom: Positive = 0.7
    replan_every_s: float = 10.0
    settle_s: NonNegative = 30.0
    pause_s: NonNegative = 10.0

    def plan(self, context: PlanningContext) -> None:
        """Serve waiting queries, and at ticks scale the running ones that are late."""
        labour, orders = Labour(context), Orders(context)
        serve_waiting(
            context,
            orders,
            self.pause_s,
            lambda query: self._cheapest(context, query, labour, orders),
        )
        if context.trigger == "tick":
            for query in context.running:
                self._scale(context, query, labour, orders)

    def _scale(
        self, context: PlanningContext, query: Query, labour: Labour, orders: Orders
    ) -> None:
        """Scale a running query's slowest operator, if its last window was late."""
        plan = context.plan_of(query)
        if plan is None or query.id in context.world.loading:
            return
        report = late_window(context, query, self.settle_s)
        market = None if report is None else self._market(context, query)
        if report is None or market is None:
            return
        for larger in scaled(context.world.pipeline, plan, report, market, labour):
            if _possible(context, query, larger, orders):
                orders.deploy(query, larger)
                return

    def _market(self, context: PlanningContext, query: Query) -> Market | None:
        """Return a query's goals and offers; None if the richest variants are not profiled."""
        profile = profile_ahead(
            context, query.dataset, registered(context.world.pipeline), self.samples
        )
        if not profile or profile[0].measurement.configuration.index:
            return None
        choices = variants(context.world.pipeline, profile)
        crew_of = crews(context, query, {each.measurement.configuration for each in profile})
        limit = context.world.cluster.max_utilisation
        found = tuple(offers(each, crew_of, query.requests_per_s, limit) for each in choices)
        context.charge(query, "step", sum(map(len, found)))
        return Market(self._goals(context, query, choices, profile[0].accuracy_mean), found)

    def _goals(
        self,
        context: PlanningContext,
        query: Query,
        choices: Sequence[Sequence[Variant]],
        richest_accuracy: float,
    ) -> tuple[Goal, ...]:
        times_s = [each[0].time_s for each in choices]
        bound_s = inf if query.slo.latency_s is None else self.headroom * query.slo.latency_s
        tunable = sum(bool(operator.knobs) for operator in context.world.pipeline.operators)
        needed = (query.slo.accuracy or 0.0) / max(richest_accuracy, 1e-9)
        quality = needed ** (1 / max(1, tunable))
        return tuple(
            Goal(bound_s * time_s / sum(times_s), quality if operator.knobs else 0.0)
            for operator, time_s in zip(context.world.pipeline.operators, times_s, strict=True)
        )

    def _cheapest(
        self, context: PlanningContext, query: Query, labour: Labour, orders: Orders
    ) -> Plan | None:
        """Return each operator's cheapest choices on the node where their sum is least."""
        market = self._market(context, query)
        if market is None:
            return None
        plans = []
        for node in context.world.cluster.nodes:
            chosen = [
                min(offered, key=goal.shortfall)
                for goal, offered in zip(market.goals, market.on(node, labour), strict=True)
                if offered
            ]
            if len(chosen) == len(market.goals):
                plans.append(assembled(context.world.pipeline, chosen))
        plans.sort(key=lambda plan: plan.list_price_usd_per_hour(context.world.cluster))
        return next((each for each in plans if _possible(context, query, each, orders)), None)


def _possible(context: PlanningContext, query: Query, plan: Plan, orders: Orders) -> bool:
    """Return whether a plan can be run, keeps to the cost ceiling, and fits."""
    ceiling = query.slo.cost_usd_per_hour
    if ceiling is not None and plan.list_price_usd_per_hour(context.world.cluster) > ceiling:
        return False
    return context.world.refusal(query, plan) is None and orders.fits(query, plan)


def scaled(
    pipeline: Pipeline, plan: Plan, report: WindowReport, market: Market, labour: Labour
) -> Iterator[Plan]:
    """Yield plans that scale the operator that most exceeds its goal, the best first.

    If its requests compute longer than they wait, upgrades come first, by price. One more replica
    follows. An operator's quantile is its mean times the ratio of quantile to mean of the whole
    latency. Yields nothing if no operator exceeds its goal; network time is not considered.
    """
    spread = min(MOST_SPREAD, max(1.0, report.latency_quantile_s / report.latency_mean_s))
    taken_s = [sum(pair) for pair in zip(report.waiting_s, report.compute_s, strict=True)]
    excess = [
        spread * time_s / goal.time_s for time_s, goal in zip(taken_s, market.goals, strict=True)
    ]
    worst = max(range(len(excess)), key=excess.__getitem__)
    if excess[worst] <= 1:
        return
    if report.waiting_s[worst] <= report.compute_s[worst]:
        yield from _upgrades(pipeline, plan, worst, market, labour)
    share = plan.allocation[worst]
    more = replace(share, replicas=share.replicas + 1)
    yield with_operator(pipeline, plan, worst, more)


def _upgrades(
    pipeline: Pipeline, plan: Plan, operator: int, market: Market, labour: Labour
) -> Iterator[Plan]:
    """Yield the plan with each faster choice for one operator, the cheapest first."""
    values = plan.configuration.values[own_knobs(pipeline, operator)]
    share, node = plan.allocation[operator], plan.placement[operator]
    current = next(
        (
            each
            for each in market.offers[operator]
            if each.worker.node == node
            and each.variant.values == values
            and each.worker.allocation.profile == share.profile
        ),
        None,
    )
    if current is None:
        return
    least = min(market.goals[operator].quality, current.variant.quality)
    faster = [
        each
        for each in market.on(node, labour)[operator]
        if each.time_s <= FASTER * current.time_s and each.variant.quality >= least
    ]
    for each in sorted(faster, key=lambda each: (each.worker.price_usd_per_hour, each.busy)):
        allocation = each.worker.allocation
        replicas = max(share.replicas, allocation.replicas)
        more = replace(allocation, replicas=replicas)
        yield with_operator(pipeline, plan, operator, more, each.variant)
