"""The orders of one call, so that two queries are not promised the same room."""

from collections.abc import Callable

from planners.common.retries import due, give_up
from scenarios.queries import Query
from sim import Plan, PlanningContext


class Orders:
    """Deploys plans, and checks what fits together with the plans already ordered in this call."""

    def __init__(self, context: PlanningContext) -> None:
        self._context = context
        self._given: list[tuple[Query, Plan]] = []

    def fits(self, query: Query, plan: Plan) -> bool:
        """Return whether the cluster can deploy a plan once all orders given are carried out."""
        return self._context.fits(query, plan, self._given)

    def deploy(self, query: Query, plan: Plan) -> None:
        """Order a plan."""
        self._context.deploy(query, plan)
        self._given.append((query, plan))


def serve_waiting(
    context: PlanningContext,
    orders: Orders,
    pause_s: float,
    search: Callable[[Query], Plan | None],
) -> None:
    """Search for each waiting query that is due, and deploy the plan found, if any."""
    for query in context.waiting:
        if due(context, query, pause_s):
            plan = search(query)
            if plan is None:
                give_up(context, query)
            else:
                orders.deploy(query, plan)
