"""What the plans in force use, carried on from call to call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planners.compass.runtime.watch import serving
from planners.compass.state.pools import Fleet, Pools, ResourceUse, Standing
from planners.compass.state.records import shared, update_shared
from sim import Plan, PlanningContext


@dataclass(frozen=True, eq=False)
class SeenPlans:
    """What a call saw."""

    queries: Sequence[int]  # ids of queries with a plan, running ones first
    plans: Mapping[int, Plan]  # plans of those on record
    fleet: Fleet  # what those use


def fleet_of(context: PlanningContext) -> Fleet:
    """Return what running and searching queries use, running ones first.

    Looks up only queries whose plan changed since the last call, or had no record.
    """
    before = shared(context).plans or SeenPlans([], {}, Fleet.of({}))
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
    update_shared(context, plans=SeenPlans(queries, now, fleet))
    return fleet


def standing_of(context: PlanningContext, takes: ResourceUse, pools: Pools) -> Standing:
    """Return the stations of the plans in force, reused while nothing has changed."""
    fleet = fleet_of(context)
    last = shared(context).standing
    if last is not None and last.fleet is fleet and last.takes is takes and last.pools is pools:
        return last
    standing = Standing(fleet, takes, pools)
    update_shared(context, standing=standing)
    return standing
