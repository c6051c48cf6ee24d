"""What the last regrouping found, and what of it is still to be ordered.

A regrouping is carried out over some calls: who moves needs room beside what it has, and machines
of those that give way have to be drained first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from planners.compass.runtime.orders import orders_of
from planners.compass.state.known import Offer
from planners.compass.state.records import search_state, shared, update_shared
from scenarios.queries import Query
from sim import Choices, Plan, PlanningContext


@dataclass(frozen=True)
class PendingRepack:
    """What queries are to be served by.

    Args:
        since_s: when this was found.
        offers: the plan of each query that is to get another, by id; None for who is to go.
        wanting: ids of those that were not served well.
    """

    since_s: float
    offers: Mapping[int, Offer | None]
    wanting: frozenset[int]


def under_way(context: PlanningContext) -> PendingRepack | None:
    """Return the last regrouping, as long as it is tried to carry it out.

    For as long as machines may take to be drained.
    """
    last = shared(context).repack
    if last is None or not last.offers:
        return None
    return last if context.now_s <= last.since_s + context.world.cluster.drain_timeout_s else None


def to_order(
    context: PlanningContext, last: PendingRepack, choices: Choices
) -> list[tuple[Query, Offer, Plan]]:
    """Return what of a regrouping is still to be ordered, for queries that wait first.

    Queries that got what they were to get, gave way for good, or departed, are struck from the
    record; and so are those that were to give way, if all others got what they were to get.

    Args:
        context: the planning context.
        last: the regrouping.
        choices: those of the views that offers are numbered in.
    """
    left = dict(last.offers)
    missing = []
    orders = orders_of(context)
    here = {query.id for query in (*context.waiting, *context.running, *context.bulk.searching)}
    gave_way = {query.id for query in context.waiting if left.get(query.id) is None}
    for query in (*context.waiting, *context.running):
        offer = left.get(query.id)
        if offer is not None:
            if offer.configuration not in search_state(context, query).profiled:
                del left[query.id]  # What was profiled for it is lost, by a crash of the planner.
                continue
            plan = context.bulk.view(query, choices).plan(offer.number)
            if context.plan_of(query) == plan:
                del left[query.id]
            elif query.id not in orders or orders[query.id].plan != plan:
                missing.append((query, offer, plan))
    left = {query: offer for query, offer in left.items() if query in here - gave_way}
    if all(offer is None for offer in left.values()):
        left = {}
    if len(left) < len(last.offers):
        update_shared(context, repack=replace(last, offers=left))
    return missing
