"""Recovery of records of running queries that a planner's crash has lost."""

from collections.abc import Collection
from dataclasses import replace

from planners.compass.runtime.watch import in_force
from planners.compass.search.search import Search
from planners.compass.state.known import SearchState
from planners.compass.state.pools import Market
from planners.compass.state.records import (
    keep_search_state,
    publish_order,
    seen_search_states,
    update_service,
)
from sim import PlanningContext


def recover_lost(
    context: PlanningContext, market: Market, search: Search, busy: Collection[int]
) -> set[int]:
    """Restore the missing records of running queries; return the queries looked at.

    Without a record nobody would look after them, or others would get what they hold. Profiles of
    the last checkpoint still count; otherwise the configuration in force is profiled. ``market``
    does not know what the returned queries use.
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
                continue  # The budget does not pay for it.
            spent_s = found.spent_s + left_s - context.remaining(query)
            found = replace(found, profiled={**found.profiled, index: shown}, spent_s=spent_s)
            keep_search_state(context, query, found)
        view = context.bulk.view(query, search.model.choices)
        number = view.index_of(plan)
        if stands or number is None:
            continue
        record = in_force(
            context, query, market.pools, view, number, plan, found, search.model.load
        )
        update_service(context, query.id, ordered=record)
        publish_order(context, query.id, record.since_s)
    return looked_at
