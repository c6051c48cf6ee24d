"""Plans that were ordered but are not active yet.

An order takes effect when the query's search ends. Until then, the planning context does not know
the order and reserves no resources for it. So a check of whether another plan fits must count these
orders. The planning context refuses no plan for lack of room on the backhaul, so this check also
counts the load of the backhaul.
"""

from collections.abc import Collection, Mapping, Sequence
from math import fsum
from typing import NamedTuple

from planners.common.weak_cache import KEPT
from planners.compass.state.pools import Market
from planners.compass.state.records import (
    ActivePlan,
    keep_order,
    last_order_s,
    service_state,
    update_service,
)
from scenarios.queries import Query
from sim import Plan, PlanningContext

PROMISED, MOVING = "compass promised", "compass moving"
"""Keys of the orders for which no resources are reserved yet, each with its query, and of the
orders of plans that are loading while another plan serves.
"""

ROUNDING = 1e-9
"""Tolerance for sums of shares of the backhaul, which depend on the order of their terms."""


class Wanted(NamedTuple):
    """A query and the plans that could serve it, the best first."""

    query: Query
    plans: Sequence[Plan]
    backhaul: Sequence[float]  # share of time for which each plan keeps the backhaul busy


def order(context: PlanningContext, query: Query, record: ActivePlan) -> None:
    """Order a plan for a query, and record the predictions for it."""
    context.deploy(query, record.plan)
    _promised(context)[query.id] = query, record
    _moving(context).pop(query.id, None)
    update_service(context, query.id, ordered=record)
    keep_order(context, query, record.since_s)


def release(context: PlanningContext, query: Query) -> None:
    """Release a running query's deployment."""
    context.release(query)
    _promised(context).pop(query.id, None)


def orders_of(context: PlanningContext) -> Mapping[int, ActivePlan]:
    """Return, by query id, the orders that are not yet active plans of the planning context.

    They are the orders of this call, those of searches that have not ended, and plans whose models
    are loading while another plan serves.
    """
    found = {number: record for number, (_, record) in _promised(context).items()}
    others = _moving(context).items()
    return {**found, **{query: record for query, record in others if query not in found}}


def backhaul_room(context: PlanningContext, market: Market, asking: Collection[int] = ()) -> float:
    """Return the share of time for which more plans may keep the backhaul busy; it can be negative.

    Active plans, plans that are loading and orders under way count. While a query moves, the plan
    counts that uses the link more. Orders of the queries ``asking`` do not count, because a new
    order would replace them.
    """
    standing = market.standing
    ordered = fsum(
        max(0.0, record.uses.backhaul - standing.backhaul(query))
        for query, record in orders_of(context).items()
        if query not in asking
    )
    return market.pools.most_backhaul - float(standing.taken[-1]) - ordered


def first_that_fits(
    context: PlanningContext, market: Market, wanted: Sequence[Wanted]
) -> list[int | None]:
    """Return the index of each query's first plan that fits, or None.

    A plan fits if machines and the backhaul have room for it in addition to active plans, to plans
    that are loading, to orders under way and to the plans found for the queries before it. A query
    can always move to a plan that uses the backhaul no more than its present plan.
    """
    asking = {each.query.id for each in wanted}
    # these queries would replace their own orders
    counted = [
        (query, record.plan)
        for query, record in _promised(context).values()
        if query.id not in asking
    ]
    found: list[int | None] = []
    left = backhaul_room(context, market, asking)
    while len(found) < len(wanted):
        rest = wanted[len(found) :]
        more = [_more_backhaul(market, each) for each in rest]
        some = [[at for at, share in enumerate(its) if _goes(share, left)] for its in more]
        of_machines = context.bulk.first_that_fits(
            [
                (each.query, [each.plans[at] for at in numbers])
                for each, numbers in zip(rest, some, strict=True)
            ],
            counted,
        )
        for each, its, numbers, place in zip(rest, more, some, of_machines, strict=True):
            number = None if place is None else numbers[place]
            if number is not None:
                if not _goes(its[number], left):
                    break  # The queries before it took this room, so its other plans are next.
                left -= its[number]
                counted.append((each.query, each.plans[number]))
            found.append(number)
    return found


def _more_backhaul(market: Market, wanted: Wanted) -> list[float]:
    """Return by how much each plan uses the backhaul more than the query's present plan."""
    now = market.standing.backhaul(wanted.query.id)
    return [max(0.0, share - now) for share in wanted.backhaul]


def _goes(share: float, left: float) -> bool:
    """Return whether the backhaul has room for a further share of its time."""
    return share <= max(0.0, left) + ROUNDING


def _promised(context: PlanningContext) -> dict[int, tuple[Query, ActivePlan]]:
    """Return the orders of searches that have not ended, and those of this call (see `order`)."""
    return KEPT.of(context, PROMISED, lambda: _under_way(context))


def _moving(context: PlanningContext) -> dict[int, ActivePlan]:
    """Return the orders of plans that are loading while another plan serves."""

    def find() -> dict[int, ActivePlan]:
        loading = context.world.loading
        plans = context.world.plans if loading else {}
        queries = [query for query, plan in loading.items() if plans[query] != plan]
        every = ((each, service_state(context, each).ordered) for each in queries)
        return {query: last for query, last in every if last and last.plan == loading[query]}

    return KEPT.of(context, MOVING, find)


def _under_way(context: PlanningContext) -> dict[int, tuple[Query, ActivePlan]]:
    """Return the orders of earlier calls whose searches have not ended."""
    found = {}
    for query in context.bulk.searching:
        last = service_state(context, query.id).ordered
        if last is None or last_order_s(context, query.id) == last.since_s:
            continue  # its last order was carried out; this search ordered nothing
        if last.plan == context.plan_of(query):
            continue  # it was carried out, and a crash lost the record
        found[query.id] = query, last
    return found
