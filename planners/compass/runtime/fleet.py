"""The resources of active plans, kept between calls, and the recovery of records after a crash."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from planners.compass.runtime.watch import active_record, serving
from planners.compass.search.search import Search
from planners.compass.state.pools import Fleet, Market, Pools, ResourceUse, Standing
from planners.compass.state.records import (
    SearchState,
    keep_search_state,
    publish_order,
    seen_search_states,
    update_service,
)
from sim import Plan, PlanningContext

PLANS, STANDING = "compass plans", "compass standing"
"""Keys of the records of the plans that the last call saw, and of the stations that serve them."""


@dataclass(frozen=True, eq=False)
class SeenPlans:
    """The active plans that one call saw, and their resources."""

    queries: Sequence[int]  # ids of the queries that have a plan, running ones first
    plans: Mapping[int, Plan]  # plan of each query that has a record
    fleet: Fleet  # their resources


def fleet_of(context: PlanningContext) -> Fleet:
    """Return the resources of running queries, followed by those of searching queries.

    Only queries whose plan has changed since the last call, or which had no record then, are looked
    up.
    """
    before: SeenPlans = context.recall(PLANS) or SeenPlans([], {}, Fleet.of({}))
    plans, running = context.world.plans, context.bulk.running_by_id
    searching = {query.id: query for query in context.bulk.searching if query.id in plans}
    queries = [*running, *searching]
    if queries == before.queries and plans == before.plans:
        return before.fleet
    now = {query: plans[query] for query in queries}
    moved = [query for query, plan in now.items() if before.plans.get(query) is not plan]
    found = {query: serving(context, running.get(query) or searching[query]) for query in moved}
    uses = {query: record.uses for query, record in found.items() if record is not None}
    if len(uses) < len(found):
        now = {query: plan for query, plan in now.items() if query in uses or query not in found}
    fleet = before.fleet.changed(list(now), uses)
    context.remember(PLANS, SeenPlans(queries, now, fleet))
    return fleet


def standing_of(context: PlanningContext, takes: ResourceUse, pools: Pools) -> Standing:
    """Return the stations of active plans; the last result is reused if no plan has changed."""
    fleet = fleet_of(context)
    last: Standing | None = context.recall(STANDING)
    if last is not None and last.fleet is fleet and last.takes is takes and last.pools is pools:
        return last
    standing = Standing(fleet, takes, pools)
    context.remember(STANDING, standing)
    return standing


def recover_lost(
    context: PlanningContext, market: Market, search: Search, busy: Collection[int]
) -> set[int]:
    """Restore the missing records of running queries; return the ids of these queries.

    A query without a record would not be monitored, and its resources would be given to others.
    Profiling results are taken from the last checkpoint. If the checkpoint lacks results for a
    query, the query's active configuration is profiled. ``market`` does not include the resources
    of the returned queries.
    """
    looked_at = set()
    plans = context.world.plans
    queries = [query for query in context.running if query.id not in busy]
    every = seen_search_states(context, [query.id for query in queries])
    for query, known in zip(queries, every, strict=True):
        plan, found = plans[query.id], known or SearchState()
        index, stands = plan.configuration.index, query.id in market.standing
        if stands and index in found.profiled:
            continue
        looked_at.add(query.id)
        if index not in found.profiled:
            left_s = context.remaining(query)
            shown = search.look(context, query, plan.configuration)
            if shown is None:
                continue  # the budget is too small
            spent_s = found.spent_s + left_s - context.remaining(query)
            found = replace(found, profiled={**found.profiled, index: shown}, spent_s=spent_s)
            keep_search_state(context, query, found)
        view = context.bulk.view(query, search.model.choices)
        number = view.index_of(plan)
        if stands or number is None:
            continue
        record = active_record(
            context, query, market.pools, view, number, plan, found, search.model.load
        )
        update_service(context, query.id, ordered=record)
        publish_order(context, query.id, record.since_s)
    return looked_at
