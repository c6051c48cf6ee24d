"""The selfish planner: the best there is for each query, as it comes."""

from dataclasses import dataclass

from planners.common.feasible_plans import promising
from planners.common.orders import Orders, serve_waiting
from planners.common.ranges import above, at_least
from planners.common.retries import IN_VAIN
from scenarios.queries import Query
from sim import Plan, Planner, PlanningContext


@dataclass(eq=False, repr=False)
class Greedy(Planner):
    """Deploy the richest accurate configuration on its fastest plan that is in time and fits.

    The mirror image of CheapestFeasible: queries are served in order of arrival, each as well as is
    possible, with no regard to cost below the SLO's ceiling or to who comes after. It does foresee
    queueing: a plan is looked at under the present load. A profile that the budget cut short
    decides like a full one, while others leave it out if it rests on less than half of ``samples``.

    Choose it to see what selfishness costs under load, and that with machines to spare it costs
    money only.

    Args:
        samples: items profiled for each configuration; fewer let it look at more configurations
            within its budget, and misjudge more of them.
        headroom: share of the latency bound that a prediction may use; below 1 as devices and links
            may be slower than nominal, and others may come.
        budget_s: planning seconds for each query. The richest configurations come first, so it
            matters only to queries that need fast ones.
        pause_s: seconds that a query is left alone after a search in vain, unless room became free.
            More saves planning; less serves sooner when load falls.

    Raises:
        ValueError: a parameter is out of range.
    """

    query_records = (IN_VAIN,)

    samples: int = 50
    headroom: float = 0.8
    budget_s: float = 5.0
    pause_s: float = 10.0

    def __post_init__(self) -> None:
        at_least(1, samples=self.samples)
        above(0, headroom=self.headroom)
        at_least(0, pause_s=self.pause_s)

    def plan(self, context: PlanningContext) -> None:
        """Serve each waiting query, unless nothing was found for it a moment ago."""
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
