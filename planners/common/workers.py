"""Workers: the ways to run one operator on cores or GPU instances, with their prices."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from scenarios.applications.pipeline import Configuration
from scenarios.numerics import Ints
from scenarios.queries import Query
from sim import CORE, Allocation, PlanningContext
from sim.api.plan import operator_price_usd_per_hour


@dataclass(frozen=True, slots=True)
class Worker:
    """One way to run one operator: a node, an allocation there, its price and its speed."""

    node: str
    allocation: Allocation  # its allocation there
    price_usd_per_hour: float  # list price of the allocation
    latency_factor: float  # ratio of a lone request's time to that on profiling hardware
    capacity_factor: float  # ratio of a request's server time to that on profiling hardware

    def enough_for(self, work_s_per_s: float, max_utilisation: float) -> "Worker":
        """Return the worker with as many replicas as a load needs.

        ``work_s_per_s`` is the load in profiled seconds of work per second.
        """
        replicas = max(1, ceil(work_s_per_s * self.capacity_factor / max_utilisation))
        return replace(
            self,
            allocation=self.allocation._replace(replicas=replicas),
            price_usd_per_hour=replicas * self.price_usd_per_hour,
        )


Crew = tuple[tuple[Worker, ...], ...]
"""For each operator, the workers that could run it, each with one replica."""


def crews(
    context: PlanningContext, query: Query, configurations: Collection[Configuration]
) -> dict[Configuration, Crew]:
    """Return, for each configuration, each operator's workers on nodes (not on user devices).

    An operator's work depends only on its own and upstream knobs. So an operator can have workers
    even in a configuration that cannot run as a whole.
    """
    view = context.bulk.view(query)
    allocations = [
        Allocation(kind.profile, kind.replicas, kind.max_batch) for kind in view.stations
    ]
    prices = [
        operator_price_usd_per_hour(context.world.cluster, kind.node, allocation)
        for kind, allocation in zip(view.stations, allocations, strict=True)
    ]

    def crew_for(operator: int, plans: Ints) -> tuple[Worker, ...]:
        kinds, first = np.unique(view.station[plans, operator], return_index=True)
        return tuple(
            Worker(
                view.stations[kind].node,
                allocations[kind],
                prices[kind],
                float(view.latency_factors[plan, operator]),
                float(view.capacity_factors[plan, operator]),
            )
            for kind, plan in zip(kinds.tolist(), plans[first].tolist(), strict=True)
            if kind >= 0
        )

    everything = np.arange(len(view))
    of_cores = {  # a core has the same factor for all operators
        operator: crew_for(operator, everything)
        for operator, each in enumerate(context.world.pipeline.operators)
        if each.kind == "cpu"
    }
    shape = [len(knob.choices) for knob in context.world.pipeline.knobs] or [1]
    # configurations are numbered like the product of choices
    positions = np.stack(np.unravel_index(view.configuration, shape))
    found: dict[Configuration, Crew] = {}
    for configuration in configurations:
        crew = []
        for operator, upstream in enumerate(context.world.pipeline.upstream_knobs):
            if operator in of_cores:
                crew.append(of_cores[operator])
                continue
            knobs = list(upstream)
            chosen = np.array(np.unravel_index(configuration.index, shape))[knobs, None]
            alike = (positions[knobs] == chosen).all(axis=0)
            crew.append(crew_for(operator, np.flatnonzero(alike)))
        found[configuration] = tuple(crew)
    return found


class Labour:
    """The workers available in one call: free cores and instances, and stations of other queries.

    Availability is checked per operator. Only ``context.fits`` can say whether a whole plan fits.
    """

    def __init__(self, context: PlanningContext) -> None:
        self._context = context
        self._free: dict[tuple[str, str], int] = {}
        self._stations = set()
        for query in context.running:
            plan = context.plan_of(query)
            if plan is not None:
                for operator, share in enumerate(plan.allocation):
                    knobs = context.world.pipeline.operator_key(operator, plan.configuration)
                    self._stations.add((operator, knobs, plan.placement[operator], share))

    def offers(self, operator: int, configuration: Configuration, worker: Worker) -> bool:
        """Return whether a worker is available for one operator of a configuration."""
        knobs = self._context.world.pipeline.operator_key(operator, configuration)
        if (operator, knobs, worker.node, worker.allocation) in self._stations:
            return True
        return self._count(worker.node, worker.allocation.profile) >= worker.allocation.replicas

    def _count(self, node: str, profile: str) -> int:
        key = node, profile
        if key not in self._free:
            self._free[key] = (
                self._context.world.free_cores(node)
                if profile == CORE
                else self._context.world.free_instances(node, profile)
            )
        return self._free[key]
