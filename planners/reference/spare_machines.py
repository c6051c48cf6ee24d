"""An example of a planner that sets how many machines are on standby."""

from dataclasses import dataclass
from typing import Annotated

from planners.common.ranges import WholeNumber
from planners.reference.greedy import Greedy
from scenarios.ranges import Range
from sim import PlanningContext


@dataclass(eq=False, repr=False)
class SpareMachines(Greedy):
    """Plan as `Greedy`, and keep some machines more than are in use.

    On each node, ``spare`` machines are rented in addition to those that have deployments, as far
    as there are so many. So a query that needs another machine need not wait until it has booted.
    The node's own ``standby`` is the smallest number on standby.

    Use it to see how standby is set, and what it saves and costs.

    Args:
        spare: number of unused machines of each node to keep.
        replan_every_s: seconds after which the number of machines in use is looked at again.
    """

    spare: WholeNumber = 1
    replan_every_s: Annotated[float, Range(gt=0)] = 5.0

    def plan(self, context: PlanningContext) -> None:
        """Plan for waiting queries, and keep the spare machines."""
        super().plan(context)
        for name, node in context.world.cluster.nodes.items():
            wanted = max(node.standby, context.world.machines_used(name) + self.spare)
            context.keep_standby(name, min(wanted, node.count))
