"""When to search for a query again, and the orders of one call."""

from abc import abstractmethod
from functools import cached_property

from planners.common.ranges import InRange, NonNegative
from planners.common.workers import Labour
from scenarios.queries import Query
from sim import Plan, Planner, PlanningContext

IN_VAIN = "in vain"
"""When a search for a query found nothing last, by query."""


def due(context: PlanningContext, query: Query, pause_s: float) -> bool:
    """Return whether to search: no search failed, the pause is over, or room was freed since."""
    failed_s: float | None = context.recall((IN_VAIN, query.id))
    last_release_s = context.world.last_release_s
    return rested(context, query, pause_s) or (
        failed_s is not None and last_release_s is not None and failed_s < last_release_s
    )


def rested(context: PlanningContext, query: Query, pause_s: float) -> bool:
    """Return whether the last failed search for a query, if any, is at least ``pause_s`` ago."""
    failed_s: float | None = context.recall((IN_VAIN, query.id))
    return failed_s is None or context.now_s >= failed_s + pause_s


def give_up(context: PlanningContext, query: Query) -> None:
    """Record that a search for a query found nothing."""
    context.remember((IN_VAIN, query.id), context.now_s, query)


class Orders:
    """Deploys plans, and checks what fits together with the plans already ordered in this call."""

    def __init__(self, context: PlanningContext) -> None:
        self._context = context
        self._given: list[tuple[Query, Plan]] = []

    @cached_property
    def labour(self) -> Labour:
        """The workers that were available before the first order."""
        return Labour(self._context)

    def fits(self, query: Query, plan: Plan) -> bool:
        """Return whether the cluster can deploy a plan once all orders given are carried out."""
        return self._context.fits(query, plan, self._given)

    def deploy(self, query: Query, plan: Plan) -> None:
        """Order a plan."""
        self._context.deploy(query, plan)
        self._given.append((query, plan))


class QueryByQuery(InRange, Planner):
    """Searches for waiting queries in order of arrival, one by one.

    Attributes:
        pause_s: seconds until a query without a plan is searched again; fewer if room is freed.
    """

    query_records: tuple[str, ...] = (IN_VAIN,)
    pause_s: NonNegative

    def plan(self, context: PlanningContext) -> None:
        """Search for each waiting query that is due, and deploy the plan found, if any."""
        self.serve(context, Orders(context))

    def serve(self, context: PlanningContext, orders: Orders) -> None:
        """Plan like `plan`, and add to given orders."""
        for query in context.waiting:
            if due(context, query, self.pause_s):
                plan = self.find(context, query, orders)
                if plan is None:
                    give_up(context, query)
                else:
                    orders.deploy(query, plan)

    @abstractmethod
    def find(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the plan for a query that fits in addition to given orders, or None."""
