"""The teaching example: deploy the cheapest plan that looks feasible."""

from planners.common.ranges import at_least
from sim import Planner, PlanningContext


class CheapestFeasible(Planner):
    """Walk through all plans from the cheapest up and deploy the first that meets the SLO and fits.

    Greedy, one query after the other, in order of arrival. It looks at a plan alone, without
    queueing, and never revises a decision. Among plans of one price it tries the richest
    configuration first. A profile that the budget cut short decides like a full one, while others
    leave it out if it rests on less than half of ``samples``.

    Choose it to see how a planner is written, or as the bar that a better one has to clear.

    Args:
        samples: items profiled for each configuration; fewer let it look at more configurations
            within its budget, and misjudge more of them.
        budget_s: planning seconds for each query.

    Raises:
        ValueError: a parameter is out of range.
    """

    query_records = ("hopeless",)

    def __init__(self, samples: int = 50, budget_s: float = 5.0) -> None:
        at_least(1, samples=samples)
        self.samples = samples
        self.budget_s = budget_s

    def plan(self, context: PlanningContext) -> None:
        """Serve each waiting query, unless an earlier search found nothing for it."""
        for query in context.waiting:
            if context.recall(("hopeless", query.id)):
                continue
            feasible = False
            too_inaccurate = set()
            for plan in context.candidates(query, order="cost"):
                if plan.configuration in too_inaccurate:
                    continue
                estimate = context.profile(query, plan, self.samples)
                if not estimate.accurate_enough(query.slo):
                    too_inaccurate.add(plan.configuration)
                elif estimate.meets(query.slo):
                    feasible = True
                    if context.fits(query, plan):
                        context.deploy(query, plan)
                        break
            if not feasible:
                context.remember(("hopeless", query.id), True, query)
