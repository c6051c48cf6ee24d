"""A planner that deploys one plan for all queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from planners.common.one_node import home_node
from planners.common.orders import Orders, QueryByQuery
from planners.common.ranges import Count
from scenarios.applications.pipeline import Configuration, KnobValue, Pipeline
from scenarios.cluster import DEVICE, Cluster
from scenarios.queries import Query
from scenarios.ranges import Range
from sim import CORE, Allocation, Plan, PlannerError, PlanningContext

Layout = tuple[tuple[str, ...], tuple[Allocation, ...]]


@dataclass(eq=False, repr=False)
class StaticPlan(QueryByQuery):
    """Deploy the same plan for every query, if the plan can run and fits.

    Profiling, SLOs and load are ignored. For each operator off the device, all queries share one
    station as long as it has room.

    Args:
        configuration: value of every knob, by name; by default the richest that can run.
        placement: place of each operator: ``"device"`` or a node. No operator can be on a lower
            tier than an operator before it. By default, all operators run on the highest working
            node that can run them.
        profile: GPU partition profile of GPU operators, like ``"3g.20gb"``; by default a whole GPU.
        replicas: number of GPU instances or cores of every operator off the device.
        cores: number of cores of operators that run on cores; by default ``replicas``.
        processes: number of processes of an operator that share each of its instances by MPS;
            language models always have one process.
        thread_percent: percent of each instance's threads that these processes can use together
            under MPS; language models can always use all threads.
        pause_s: seconds until a query without a plan is tried again; freed room ends this pause.
    """

    behaviour = 1
    """1: versions begin."""

    configuration: Mapping[str, KnobValue] | None = None
    placement: Sequence[str] | None = None
    profile: str | None = None
    replicas: Count = 1
    cores: Count | None = None
    processes: Count = 1
    thread_percent: Annotated[int, Range(ge=1, le=100)] = 100
    pause_s: float = 10.0

    def check_parameters(self, pipeline: Pipeline, cluster: Cluster) -> None:
        """Check placement, profile and configuration before the run, as `plan` does during the run.

        Raises:
            PlannerError: the pipeline or cluster does not allow one of these parameters.
        """
        if self.configuration is not None:
            _configuration(pipeline, self.configuration)
        if self.placement is not None:
            self._allocations(pipeline, cluster, self.placement)
        elif self.profile is not None:
            offered = [name for node in cluster.nodes.values() for name in node.all_gpu_profiles]
            if self.profile not in offered:
                raise PlannerError(
                    f"profile={self.profile!r}: no node offers it; name one of "
                    f"{', '.join(dict.fromkeys(offered))}, or none for a whole GPU"
                )

    def plan(self, context: PlanningContext) -> None:
        """Deploy the plan for each waiting query whose device can run it, if it fits."""
        if self._layout(context) is not None:
            super().plan(context)

    def find(self, context: PlanningContext, query: Query, orders: Orders) -> Plan | None:
        """Return the plan if the query's device can run its part and it fits, or else None."""
        layout = self._layout(context)
        plan = None if layout is None else self._plan(context, query, layout)
        return plan if plan is not None and orders.fits(query, plan) else None

    def _layout(self, context: PlanningContext) -> Layout | None:
        """Return placement and allocations, or None if no placement is given and no node works."""
        placement = self.placement
        if placement is None:
            node = home_node(context)
            if node is None:
                return None
            placement = (node,) * len(context.world.pipeline.operators)
        return tuple(placement), self._allocations(
            context.world.pipeline, context.world.cluster, placement
        )

    def _allocations(
        self, pipeline: Pipeline, cluster: Cluster, placement: Sequence[str]
    ) -> tuple[Allocation, ...]:
        """Return the allocation of each operator at its place."""
        operators = pipeline.operators
        if len(placement) != len(operators):
            raise PlannerError(
                f"placement={list(placement)}: name a place for each of the {len(operators)} "
                f"operators, {', '.join(operator.name for operator in operators)}"
            )
        places = {place: number for number, place in enumerate(cluster.places)}
        if places.keys() >= set(placement) and any(
            earlier is not None and places[placement[earlier]] > places[placement[operator]]
            for earlier, operator in pipeline.edges
        ):
            raise PlannerError(
                f"placement={list(placement)}: data move up only, in the order {', '.join(places)}"
            )
        return tuple(
            self._allocation(cluster, operator.kind, place)
            for operator, place in zip(operators, placement, strict=True)
        )

    def _plan(self, context: PlanningContext, query: Query, layout: Layout) -> Plan | None:
        """Return the plan, or None if the query's device cannot run its part."""
        configurations: Sequence[Configuration] = context.world.pipeline.configurations
        if self.configuration is not None:
            configurations = [_configuration(context.world.pipeline, self.configuration)]
        refusals = []
        for configuration in configurations:
            plan = Plan(configuration, *layout)
            refusal = context.world.refusal(query, plan)
            if refusal is None:
                return plan
            refusals.append(refusal)
        if DEVICE not in layout[0]:  # otherwise another query's device may run it
            raise PlannerError(refusals[0])
        return None

    def _allocation(self, cluster: Cluster, kind: str, place: str) -> Allocation:
        if place == DEVICE:
            return Allocation(DEVICE)
        if place not in cluster.nodes:
            places = ", ".join(cluster.places)
            raise PlannerError(f"placement: there is no {place!r}; choose from {places}")
        if kind == "cpu":
            return Allocation(CORE, self.replicas if self.cores is None else self.cores)
        profile = self._profile(cluster, place)
        if kind == "llm":  # an engine does not share its instance
            return Allocation(profile, self.replicas, max_batch=cluster.llm_sequences)
        return Allocation(
            profile, self.replicas, processes=self.processes, thread_percent=self.thread_percent
        )

    def _profile(self, cluster: Cluster, node: str) -> str:
        """Return the GPU partition profile to use on a node."""
        pool = cluster.nodes[node]
        offered = pool.all_gpu_profiles
        if not offered:
            raise PlannerError(f"placement: {node} has no GPU, which an operator there needs")
        if self.profile is None:
            return sorted(pool.gpu_profiles, key=pool.slice_price_usd_per_hour)[-1]
        if self.profile not in offered:
            raise PlannerError(
                f"profile={self.profile!r}: {node} offers {', '.join(offered)}; name one of them, "
                "or none for a whole GPU"
            )
        return self.profile


def _configuration(pipeline: Pipeline, values: Mapping[str, KnobValue]) -> Configuration:
    try:
        return pipeline.configuration(**values)
    except KeyError as error:
        raise PlannerError(f"configuration={dict(values)}: {error.args[0]}") from None
