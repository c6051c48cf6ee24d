"""The orders of one call, so that two queries are not promised the same room."""

from scenarios.queries import Query
from sim import Plan, PlanningContext


class Orders:
    """Deploys plans, and tells what fits beside those that it deployed before.

    Args:
        context: the planning context of the call.
    """

    def __init__(self, context: PlanningContext) -> None:
        self._context = context
        self._given: list[tuple[Query, Plan]] = []

    def fits(self, query: Query, plan: Plan) -> bool:
        """Tell whether the cluster could deploy a plan once all orders given are carried out."""
        return self._context.fits(query, plan, self._given)

    def deploy(self, query: Query, plan: Plan) -> None:
        """Order a plan."""
        self._context.deploy(query, plan)
        self._given.append((query, plan))
