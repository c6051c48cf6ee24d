"""An autoscaler of single operators: upgrade what computes too long, replicate what waits."""

from collections.abc import Iterator
from dataclasses import replace

from planners.baselines.variants import Market, with_operator
from planners.common.offline_profiles import own_knobs
from planners.common.workers import Labour
from scenarios.applications.pipeline import Pipeline
from scenarios.queries import Query
from sim import Plan, PlanningContext, WindowReport

FASTER = 0.9
"""Share of its present time that an upgrade must get an operator to."""
MOST_SPREAD = 10.0


def late_window(context: PlanningContext, query: Query, settle_s: float) -> WindowReport | None:
    """Return a running query's last window if it was late, and all under the plan in force.

    Args:
        context: the planning context.
        query: the query.
        settle_s: how long the plan must have been in force when the window began.
    """
    reports, since_s = context.telemetry(query), context.world.active_since_s(query)
    if since_s is None or len(reports) < 2 or reports[-2].end_s < since_s + settle_s:
        return None
    last = reports[-1]
    if not last.completed:
        return None
    return None if last.good >= query.slo.latency_quantile * last.born else last


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
