"""Plans that were ordered but are not active yet.

An order takes effect when the query's search ends. Until then, the planning context does not know
the order and reserves no resources for it. So a check of whether another plan fits must count these
orders.
"""

from collections.abc import Mapping, Sequence

from planners.common.weak_cache import KEPT
from planners.compass.state.records import (
    ActivePlan,
    keep_order,
    last_order_s,
    service_state,
    update_service,
)
from scenarios.queries import Query
from sim import Plan, PlanningContext

PROMISED = "compass promised"
"""Key of the orders for which no resources are reserved yet, each with its query."""


def order(context: PlanningContext, query: Query, record: ActivePlan) -> None:
    """Order a plan for a query, and record the predictions for it."""
    context.deploy(query, record.plan)
    _promised(context)[query.id] = query, record
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
    for number, plan in context.world.loading.items():
        last = service_state(context, number).ordered
        if (
            number not in found
            and last is not None
            and last.plan == plan != context.world.plans[number]
        ):
            found[number] = last
    return found


def fit(context: PlanningContext, wanted: Sequence[tuple[Query, Plan]]) -> list[bool]:
    """Return whether each plan fits in addition to pending orders and to the plans before it."""
    found = first_that_fits(context, [(query, (plan,)) for query, plan in wanted])
    return [number is not None for number in found]


def first_that_fits(
    context: PlanningContext, wanted: Sequence[tuple[Query, Sequence[Plan]]]
) -> list[int | None]:
    """Return the index of each query's first plan that fits, or None; `fit` defines fitting."""
    asking = {query.id for query, _ in wanted}
    # these queries would replace their own orders
    promised = [
        (query, record.plan)
        for query, record in _promised(context).values()
        if query.id not in asking
    ]
    return context.bulk.first_that_fits(wanted, promised)


def _promised(context: PlanningContext) -> dict[int, tuple[Query, ActivePlan]]:
    """Return the orders of searches that have not ended, and those of this call (see `order`)."""
    return KEPT.of(context, PROMISED, lambda: _under_way(context))


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
