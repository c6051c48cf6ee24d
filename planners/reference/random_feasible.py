"""Any plan that would do: the bar for planners that claim to choose well."""

from dataclasses import dataclass

from planners.common.feasible_plans import promising
from planners.common.orders import Orders, serve_waiting
from planners.common.ranges import above, at_least
from planners.common.retries import IN_VAIN
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import Plan, Planner, PlanningContext


@dataclass(eq=False, repr=False)
class RandomFeasible(Planner):
    """Deploy a random plan among those that look feasible and fit.

    Plans are looked at in random order, and the first that meets the SLO, in profiling and as
    predicted under the present load, and fits is deployed: each such plan is as likely as any
    other, until the budget is spent. From then on only plans whose configurations were profiled
    before are looked at. A profile that the budget cut short decides like a full one, while others
    leave it out if it rests on less than half of ``samples``.

    Choose it to tell how much of a planner's result comes from feasibility alone: what beats it
    chooses among feasible plans, and what does not only finds them.

    Args:
        seed: seed of the order. A query's order depends on the seed and its id only.
        samples: items profiled for each configuration; fewer let it look at more of them within its
            budget, and misjudge more.
        headroom: share of the latency bound that a prediction may use; below 1 as devices and links
            may be slower than nominal, and others may come.
        budget_s: planning seconds for each query. Too little, and what few configurations it drew
            may hold no accurate one.
        pause_s: seconds that a query is left alone after a search in vain, unless room became free.
            More saves planning; less serves sooner when load falls.

    Raises:
        ValueError: a parameter is out of range.
    """

    query_records = (IN_VAIN,)

    seed: int = 0
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
            context, orders, self.pause_s, lambda query: self._draw(context, query, orders)
        )

    def _draw(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the first plan of a random order that would do."""
        view = context.bulk.view(query)
        order = stream(self.seed, "random feasible", query.id).permutation(len(view))
        looked_at: set[int] = set()
        would_do: set[int] = set()
        for number in order.tolist():
            configuration = context.world.pipeline.configurations[int(view.configuration[number])]
            if configuration.index not in looked_at:
                looked_at.add(configuration.index)
                estimate = context.profile(query, configuration, self.samples)
                would_do.update(promising(context, query, view, estimate, self.headroom).tolist())
            if number in would_do:
                plan = view.plan(number)
                if orders.fits(query, plan):
                    return plan
        return None
