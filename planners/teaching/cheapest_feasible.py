"""An example of a planner: deploy the cheapest plan that profiling shows to be feasible."""

from dataclasses import dataclass

from planners.common.ranges import Count, InRange
from sim import Planner, PlanningContext


@dataclass(eq=False, repr=False)
class CheapestFeasible(InRange, Planner):
    """Try plans in order of rising cost, and deploy the first that meets the SLO and fits.

    Queries are served in order of arrival and never replanned. Queueing is ignored. Among plans of
    equal cost, those with richer configurations come first. If the budget allows fewer than
    ``samples`` items, the mean of these items is used as it is.

    Use it to see how a planner is written, or as a baseline.

    Args:
        samples: number of items on which each configuration is profiled.
        budget_s: planning seconds for each query.
    """

    behaviour = 1
    """1: versions begin."""

    query_records = ("hopeless",)

    samples: Count = 50
    budget_s: float = 5.0

    def plan(self, context: PlanningContext) -> None:
        """Search for each waiting query, unless an earlier search found no feasible plan for it.

        A search that was shortened by a wait, and did not profile all it wanted, is repeated.
        """
        for query in context.waiting:
            if context.recall(("hopeless", query.id)):
                continue
            feasible, all_profiled = False, True
            shortened = context.remaining(query) < self.budget_s - 1e-6  # by a wait
            too_inaccurate = set()
            for plan in context.candidates(query, order="cost"):
                if plan.configuration in too_inaccurate:
                    continue
                estimate = context.profile(query, plan, self.samples)
                all_profiled &= estimate.count >= self.samples
                if not estimate.accurate_enough(query.slo):
                    too_inaccurate.add(plan.configuration)
                elif estimate.meets(query.slo):
                    feasible = True
                    if context.fits(query, plan):
                        context.deploy(query, plan)
                        break
            if not feasible and (all_profiled or not shortened):
                context.remember(("hopeless", query.id), True, query)
