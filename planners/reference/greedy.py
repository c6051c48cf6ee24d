"""The selfish planner: the best plan for each query in order of arrival."""

from dataclasses import dataclass

from planners.common.feasible_plans import promising
from planners.common.orders import Orders, serve_waiting
from planners.common.ranges import Count, InRange, NonNegative, Positive
from planners.common.retries import IN_VAIN
from scenarios.queries import Query
from sim import Plan, Planner, PlanningContext


@dataclass(eq=False, repr=False)
class Greedy(InRange, Planner):
    """Deploy the richest accurate configuration on its fastest plan that is in time and fits.

    Queries are served in order of arrival, each as well as possible, whatever the cost below the
    SLO's ceiling. Plans are predicted under the present load. A profile that the budget cut short
    counts in full.

    Args:
        samples: items profiled for each configuration.
        headroom: share of the latency bound that a prediction may use.
        budget_s: planning seconds for each query; the richest configurations come first.
        pause_s: seconds between two searches for a query without a plan, unless room is freed.
    """

    query_records = (IN_VAIN,)

    samples: Count = 50
    headroom: Positive = 0.8
    budget_s: float = 5.0
    pause_s: NonNegative = 10.0

    def plan(self, context: PlanningContext) -> None:
        """Serve each waiting query that is due for a search."""
        orders = Orders(context)
        serve_waiting(
            context, orders, self.pause_s, lambda query: self._best(context, query, orders)
        )

    def _best(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the fastest plan of the richest configuration that has any."""
        view = context.bulk.view(query)
        for configuration in context.world.pipeline.configurations:
            estimate = context.profile(query, configuration, self.samples)
            for number in promising(context, query, view, estimate, self.headroom).tolist():
                plan = view.plan(number)
                if orders.fits(query, plan):
                    return plan
        return None
