"""Rules for when to search for a query again, and the plans ordered in one call."""

from abc import abstractmethod
from functools import cached_property

from planners.common.ranges import InRange, NonNegative
from planners.common.workers import Labour
from scenarios.queries import Query
from sim import Plan, Planner, PlanningContext

IN_VAIN = "in vain"
"""Key of the record of when the last failed search for a query took place."""


def due(context: PlanningContext, query: Query, pause_s: float) -> bool:
    """Return True if no search for a query has failed, the pause is over, or room was freed."""
    failed_s: float | None = context.recall((IN_VAIN, query.id))
    last_release_s = context.world.last_release_s
    return rested(context, query, pause_s) or (
        failed_s is not None and last_release_s is not None and failed_s < last_release_s
    )


def rested(context: PlanningContext, query: Query, pause_s: float) -> bool:
    """Return whether the last failed search for a query, if any, was ``pause_s`` or more ago."""
    failed_s: float | None = context.recall((IN_VAIN, query.id))
    return failed_s is None or context.now_s >= failed_s + pause_s


def give_up(context: PlanningContext, query: Query) -> None:
    """Record that a search for a query found no plan."""
    context.remember((IN_VAIN, query.id), context.now_s, query)


class Orders:
    """Deploys plans, and checks whether others fit in addition to those ordered in this call."""

    def __init__(self, context: PlanningContext) -> None:
        self._context = context
        self._given: list[tuple[Query, Plan]] = []

    @cached_property
    def labour(self) -> Labour:
        """The workers that were available before the first order."""
        return Labour(self._context)

    def fits(self, query: Query, plan: Plan) -> bool:
        """Return whether a plan fits in addition to all plans ordered so far."""
        return self._context.fits(query, plan, self._given)

    def deploy(self, query: Query, plan: Plan) -> None:
        """Deploy a plan, and count it in later checks."""
        self._context.deploy(query, plan)
        self._given.append((query, plan))


class QueryByQuery(InRange, Planner):
    """Base of planners that search for waiting queries one by one, in order of arrival.

    Attributes:
        pause_s: seconds from a failed search for a query to the next; freed room ends the pause.
    """

    query_records: tuple[str, ...] = (IN_VAIN,)
    pause_s: NonNegative

    def plan(self, context: PlanningContext) -> None:
        """Search for each waiting query that is due, and deploy the plan if one is found."""
        self.serve(context, Orders(context))

    def serve(self, context: PlanningContext, orders: Orders) -> None:
        """Plan like `plan`, and add the deployed plans to ``orders``."""
        for query in context.waiting:
            if due(context, query, self.pause_s):
                plan = self.find(context, query, orders)
                if plan is None:
                    give_up(context, query)
                else:
                    orders.deploy(query, plan)

    @abstractmethod
    def find(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return, for a query, a plan that fits in addition to ``orders``, or None."""
