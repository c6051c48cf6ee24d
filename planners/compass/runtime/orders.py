"""Plans that were ordered but do not serve yet.

Until a query's search is over, its order holds no room and the planning context does not know it.
Checks of what fits must include these orders.
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
"""Key of the orders of a call that hold no room yet, each with its query."""


def order(context: PlanningContext, query: Query, record: ActivePlan) -> None:
    """Order a plan for a query, and remember its prediction."""
    context.deploy(query, record.plan)
    _promised(context)[query.id] = query, record
    update_service(context, query.id, ordered=record)
    keep_order(context, query, record.since_s)


def release(context: PlanningContext, query: Query) -> None:
    """Release a running query's deployment."""
    context.release(query)
    _promised(context).pop(query.id, None)


def orders_of(context: PlanningContext) -> Mapping[int, ActivePlan]:
    """Return the orders that the planning context's plans do not show, by query.

    These are the orders of this call and of searches under way, and plans whose models are being
    loaded while another plan serves.
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
    """Check which plans fit, in turn, in addition to orders that hold no room yet."""
    found = first_that_fits(context, [(query, (plan,)) for query, plan in wanted])
    return [number is not None for number in found]


def first_that_fits(
    context: PlanningContext, wanted: Sequence[tuple[Query, Sequence[Plan]]]
) -> list[int | None]:
    """Return the number of each query's first plan that fits, or None; see `fit`."""
    asking = {query.id for query, _ in wanted}
    # these queries would replace their own orders
    promised = [
        (query, record.plan)
        for query, record in _promised(context).values()
        if query.id not in asking
    ]
    return context.bulk.first_that_fits(wanted, promised)


def _promised(context: PlanningContext) -> dict[int, tuple[Query, ActivePlan]]:
    """Return the orders of searches under way and of this call, which `order` adds to."""
    return KEPT.of(context, PROMISED, lambda: _under_way(context))


def _under_way(context: PlanningContext) -> dict[int, tuple[Query, ActivePlan]]:
    """Return the orders of searches of earlier calls that are still under way."""
    found = {}
    for query in context.bulk.searching:
        last = service_state(context, query.id).ordered
        if last is None or last_order_s(context, query.id) == last.since_s:
            continue  # its last order was carried out; this search ordered nothing
        if last.plan == context.plan_of(query):
            continue  # it was carried out, and a crash lost the record
        found[query.id] = query, last
    return found
