"""Queries that are served while the record of it is lost: a planner's crash loses the last ones."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from planners.compass.runtime.orders import DUE
from planners.compass.runtime.watch import IN_FORCE, in_force
from planners.compass.search.search import FOUND, Search
from planners.compass.state.known import Found
from planners.compass.state.pools import Market
from sim import PlanningContext


def take_up(
    context: PlanningContext, market: Market, search: Search, busy: Collection[int]
) -> set[int]:
    """Put on record anew what serves running queries, where that is not known.

    Without it nobody would look after them, or others would be given what they hold. What was
    profiled by the last checkpoint still counts; else the configuration in force is profiled.

    Args:
        context: the planning context.
        market: the pools, and what is known to stand.
        search: what knows of plans.
        busy: ids of queries that are spoken for.

    Returns:
        The queries that were looked at: this market does not know what they use.
    """
    looked_at = set()
    plans = context.world.plans
    queries = [query for query in context.running if query.id not in busy]
    every: Iterator[Found | None] = context.bulk.recall_each((FOUND, query.id) for query in queries)
    for query, known in zip(queries, every, strict=True):
        plan, found = plans[query.id], known or Found()
        index, stands = plan.configuration.index, query.id in market.standing
        if stands and index in found.shown:
            continue
        looked_at.add(query.id)
        if index not in found.shown:
            left_s = context.remaining(query)
            shown = search.look(context, query, plan.configuration)
            if shown is None:
                continue  # The budget does not pay for it.
            spent_s = found.spent_s + left_s - context.remaining(query)
            found = replace(found, shown={**found.shown, index: shown}, spent_s=spent_s)
            context.remember((FOUND, query.id), found, query)
        view = context.bulk.view(query, search.model.choices)
        number = view.index_of(plan)
        if stands or number is None:
            continue
        record = in_force(
            context, query, market.pools, view, number, plan, found, search.model.load
        )
        context.remember((IN_FORCE, query.id), record)
        context.remember((DUE, query.id), record.since_s)
    return looked_at
