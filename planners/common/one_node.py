"""Planning on one node: the choice of node, its GPU partitions, and plans' use of resources."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil

from scenarios.applications.pipeline import Configuration
from scenarios.queries import Query
from sim import CORE, Allocation, Estimate, Plan, PlanningContext


@dataclass(frozen=True, slots=True)
class Partition:
    """A GPU partition profile and its share of a whole GPU; an empty name means no GPU."""

    profile: str
    fraction: float


@dataclass(frozen=True, slots=True)
class Use:
    """An option's use of one station; options with equal ``kind`` share whole slots."""

    kind: Hashable  # equal for all users of the same slots
    resource: int  # index of the resource that the slots consist of
    slots: float  # number of slots that the option fills, usually below 1
    share: float  # one slot's share of the pool's resource


def home_node(context: PlanningContext) -> str | None:
    """Return the highest working node, with a GPU if the application needs one, or None."""
    needs_gpu = _needs_gpu(context)
    for name, node in reversed(context.world.cluster.nodes.items()):
        if (node.gpu_profiles or not needs_gpu) and context.world.machines_up(name):
            return name
    return None


def _needs_gpu(context: PlanningContext) -> bool:
    return any(operator.kind != "cpu" for operator in context.world.pipeline.operators)


def partitions(context: PlanningContext, node: str) -> tuple[Partition, ...]:
    """Return the GPU partitions that a node offers, smallest first."""
    if not _needs_gpu(context):
        return (Partition("", 0.0),)
    pool = context.world.cluster.nodes[node]
    # An instance's price is its share of the GPU's, by compute slices.
    prices = {profile: pool.slice_price_usd_per_hour(profile) for profile in pool.gpu_profiles}
    whole = max(prices.values())
    by_price = sorted(prices, key=lambda profile: prices[profile])
    return tuple(Partition(each, prices[each] / whole) for each in by_price)


def _plan(
    context: PlanningContext,
    node: str,
    configuration: Configuration,
    profile: str,
    replicas: Sequence[int],
) -> Plan:
    """Return the plan that runs every operator on one node."""
    return Plan(
        configuration,
        (node,) * len(replicas),
        tuple(
            Allocation(
                CORE if operator.kind == "cpu" else profile,
                count,
                context.world.cluster.llm_sequences if operator.kind == "llm" else 1,
            )
            for operator, count in zip(context.world.pipeline.operators, replicas, strict=True)
        ),
    )


def plan_on(
    context: PlanningContext, node: str, query: Query, estimate: Estimate, partition: Partition
) -> tuple[Plan, tuple[Use, ...]] | None:
    """Return the plan on a partition, and its use of the node's GPUs (index 0) and cores (1).

    Returns None if the plan cannot run there, for example for lack of memory.
    """
    pool, limit = context.world.cluster.nodes[node], context.world.cluster.max_utilisation
    configuration, operators = estimate.measurement.configuration, context.world.pipeline.operators
    least = _plan(context, node, configuration, partition.profile, [1] * len(operators))
    if context.world.refusal(query, least) is not None:
        return None
    servers = [
        query.requests_per_s * time_s * factor / limit
        for time_s, factor in zip(
            estimate.measurement.operator_mean_s.tolist(),
            context.world.capacity_factors(query, least),
            strict=True,
        )
    ]
    replicas = [max(1, ceil(count)) for count in servers]
    plan = _plan(context, node, configuration, partition.profile, replicas)
    machines = max(1, context.world.machines_up(node))
    gpu_share = partition.fraction / max(1, pool.gpus * machines)
    core_share = 1 / (pool.cores * machines)
    uses = []
    for number, (operator, count) in enumerate(zip(operators, servers, strict=True)):
        knobs = context.world.pipeline.operator_key(number, plan.configuration)
        allocation = plan.allocation[number]
        on_gpu = operator.kind != "cpu"
        share = gpu_share if on_gpu else core_share
        station = number, knobs, allocation.profile, allocation.replicas
        filled = count / allocation.replicas
        uses.append(Use(station, 1 - on_gpu, filled, share * allocation.replicas))
    return plan, tuple(uses)
