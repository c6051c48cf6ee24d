"""A planner that deploys a random feasible plan, as a lower bound for better planners."""

from dataclasses import dataclass

from planners.common.orders import Orders, QueryByQuery
from planners.common.ranges import Count, NonNegative, Positive
from planners.reference.greedy import promising
from scenarios.queries import Query
from scenarios.random_streams import stream
from sim import Plan, PlanningContext


@dataclass(eq=False, repr=False)
class RandomFeasible(QueryByQuery):
    """Deploy a random plan among those that fit and are expected to meet the SLO.

    Plans are tried in random order. The first plan that fits and meets the SLO is deployed. A plan
    is judged by profiling and by its predicted latency under the present load. Once the budget is
    spent, only plans of profiled configurations are tried. If the budget allows fewer than
    ``samples`` items, the mean of these items is used as it is.

    Args:
        seed: seed of the random orders; each query has an order of its own.
        samples: number of items on which each configuration is profiled.
        headroom: largest allowed predicted latency of a plan, as a share of the latency bound.
        budget_s: planning seconds for each query.
        pause_s: seconds from a failed search for a query to the next; freed room ends the pause.
    """

    behaviour = 1
    """1: versions begin."""

    seed: int = 0
    samples: Count = 50
    headroom: Positive = 0.8
    budget_s: float = 5.0
    pause_s: NonNegative = 10.0

    def find(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the first plan in random order that is feasible and fits, or None."""
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
