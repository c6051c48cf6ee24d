"""INFaaS-style: each operator the cheapest variant that will do, scaled when it turns out late."""

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
from planners.common.ranges import above, at_least
from planners.common.retries import IN_VAIN
from planners.common.windows import late_window
from planners.common.workers import Labour, crews
from scenarios.application import Pipeline
from scenarios.queries import Query
from sim import Plan, Planner, PlanningContext, WindowReport

FASTER = 0.9
"""Share of its present time that an upgrade must get an operator to."""

MOST_SPREAD = 10.0
"""Most that the quantile of an operator's time is taken to be over its mean."""


@dataclass(eq=False, repr=False)
class INFaaS(Planner):
    """Give each operator its cheapest variant that meets its share of the SLO; scale what is late.

    In the style of INFaaS (Romero et al., USENIX ATC 2021), which serves single models: users state
    latency and accuracy, and it picks among profiled model-variants and hardware, and scales. It
    knows no pipelines.

    *Ahead*, when the first query of a data set arrives, each operator's variants are profiled, the
    other operators at their richest. This is planning cost, and no response time.

    *At arrival* the SLO is split over operators. Latency: ``headroom`` of the bound, in proportion
    to the operators' times in the richest configuration. Accuracy: with m operators that have
    knobs, each may lower accuracy to the m-th root of floor over accuracy of the richest. Each
    operator gets the cheapest variant and workers that meet its share, of equals the least busy.
    Where no variant is accurate enough, the most accurate is taken; where none is fast enough, the
    fastest of those. All operators run on one node, the one where that is cheapest and fits.

    *Every* ``replan_every_s`` an autoscaler looks at telemetry. If a query's last window was late,
    the operator that most exceeds its share gets a replica more if its requests mostly wait, and
    else is upgraded to the cheapest variant and workers that are at least a tenth faster and no
    less accurate than it must be.

    All is from memory of the paper and unverified, but that variants are profiled, that the
    cheapest that meets latency and accuracy is picked, for each operator alone, and that an
    autoscaler upgrades and replicates. The split is ours: that of the Compass authors, if they had
    one, is not known. Departures: theirs scales within seconds, here telemetry comes once a window;
    theirs also scales down, which the departure of queries does here; a plan above the SLO's cost
    ceiling is not deployed; the node is chosen by price alone, so a query gets the cheapest one on
    which it falls short of its shares, even if they are met on a dearer one.

    Choose it to see what planning operator by operator loses: it does not see the network, nor that
    one operator's saving is another's room, nor what variants do to each other's accuracy.

    Args:
        budget_s: planning seconds of each data set's profile; operators' variants are few, and 600
            s are enough for all shipped applications that answer within seconds.
        samples: items profiled for each variant. Fewer let more be seen within the budget, and
            misjudge more of them.
        headroom: share of the latency bound that is split over operators; the rest is for the
            network and for waiting, which it does not foresee.
        replan_every_s: period of the autoscaler. Below the length of a window nothing is gained.
        settle_s: how long a deployment must have been in force when a window begins that counts.
        pause_s: seconds that a query is left alone after a search in vain, unless room became free.
            More saves planning; less serves sooner when load falls.

    Raises:
        ValueError: a parameter is out of range.
    """

    query_records = (IN_VAIN,)

    budget_s: float = 600.0
    samples: int = 100
    headroom: float = 0.7
    replan_every_s: float = 10.0
    settle_s: float = 30.0
    pause_s: float = 10.0

    def __post_init__(self) -> None:
        at_least(1, samples=self.samples)
        above(0, headroom=self.headroom)
        at_least(0, settle_s=self.settle_s, pause_s=self.pause_s)

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
        """Return what a query could hire; None if not even the richest variants are profiled."""
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
        """Return the plan of the node where each operator's cheapest choice is cheapest in sum."""
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
    """Tell whether a plan can be run, is not too dear, and fits."""
    ceiling = query.slo.cost_usd_per_hour
    if ceiling is not None and plan.list_price_usd_per_hour(context.world.cluster) > ceiling:
        return False
    return context.world.refusal(query, plan) is None and orders.fits(query, plan)


def scaled(
    pipeline: Pipeline, plan: Plan, report: WindowReport, market: Market, labour: Labour
) -> Iterator[Plan]:
    """Yield plans in which the operator that most exceeds its goal is scaled, the best first.

    If its requests compute longer than they wait, upgrades come first, the cheapest of them ahead;
    then, or if they mostly wait, one replica more. An operator's quantile of time is taken to be as
    many times its mean as that of the whole latency is. Nothing is yielded if no operator exceeds
    its goal: time lost on the network is not looked for.

    Args:
        pipeline: the pipeline.
        plan: the plan in force.
        report: a late window of it.
        market: what the query could hire.
        labour: who is to be had.
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
