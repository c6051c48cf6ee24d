"""Planning on one node: which one, in which partitions, and what a plan takes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from planners.ladders import Use
from scenarios.application import Configuration
from scenarios.queries import Query
from sim import Allocation, Desk, Estimate, Plan

CORE = "core"


@dataclass(frozen=True, slots=True)
class Partition:
    """What GPU operators may get on the home node, and how fast everything runs there.

    Args:
        profile: name of the GPU partition profile; empty if no operator needs a GPU.
        fraction: its share of a whole GPU.
        latency_factors: time of each operator there over that on the profiling hardware.
    """

    profile: str
    fraction: float
    latency_factors: tuple[float, ...]


def home_node(desk: Desk) -> str | None:
    """Return the node that serves all: the highest that works, with a GPU if one is needed."""
    needs_gpu = any(operator.kind == "gpu" for operator in desk.pipeline.operators)
    for name, node in reversed(desk.cluster.nodes.items()):
        if (node.gpu_profiles or not needs_gpu) and desk.machines_up(name):
            return name
    return None


def partitions(desk: Desk, node: str, query: Query) -> tuple[Partition, ...]:
    """Return the GPU partitions of the home node that differ in speed, smallest first."""
    key = "videostorm partitions", node
    known: tuple[Partition, ...] | None = desk.recall(key)
    if known is None:
        pool, found = desk.cluster.nodes[node], {}
        needs_gpu = any(operator.kind == "gpu" for operator in desk.pipeline.operators)
        whole = max((pool.slice_price_usd_per_hour(each) for each in pool.gpu_profiles), default=1)
        for profile in pool.gpu_profiles if needs_gpu else ("",):
            # The price of an instance is its share of the GPU's, by compute slices.
            fraction = pool.slice_price_usd_per_hour(profile) / whole if needs_gpu else 0.0
            if fraction not in found:
                replicas = [1] * len(desk.pipeline.operators)
                plan = _plan(desk, node, desk.pipeline.configurations[0], profile, replicas)
                factors = desk.latency_factors(query, plan)
                found[fraction] = Partition(profile, fraction, factors)
        known = tuple(found[fraction] for fraction in sorted(found))
        desk.remember(key, known)
    return known


def _plan(
    desk: Desk, node: str, configuration: Configuration, profile: str, replicas: Sequence[int]
) -> Plan:
    """Return the plan that runs every operator on one node."""
    return Plan(
        configuration,
        (node,) * len(replicas),
        tuple(
            Allocation(CORE if operator.kind == "cpu" else profile, count)
            for operator, count in zip(desk.pipeline.operators, replicas, strict=True)
        ),
    )


def plan_on(
    desk: Desk, node: str, query: Query, estimate: Estimate, partition: Partition
) -> tuple[Plan, tuple[Use, ...]]:
    """Return the plan on a partition, and what it takes of the node's GPUs (0) and cores (1)."""
    pool, limit = desk.cluster.nodes[node], desk.cluster.max_utilisation
    servers = [
        query.requests_per_s * time_s * factor / limit
        for time_s, factor in zip(
            estimate.measurement.operator_mean_s.tolist(), partition.latency_factors, strict=True
        )
    ]
    plan = _plan(
        desk,
        node,
        estimate.measurement.configuration,
        partition.profile,
        [max(1, ceil(count)) for count in servers],
    )
    machines = max(1, desk.machines_up(node))
    gpu_share = partition.fraction / max(1, pool.gpus * machines)
    core_share = 1 / (pool.cores * machines)
    uses = []
    for number, (operator, count) in enumerate(zip(desk.pipeline.operators, servers, strict=True)):
        knobs = desk.pipeline.operator_key(number, plan.configuration)
        allocation = plan.allocation[number]
        on_gpu = operator.kind == "gpu"
        share = gpu_share if on_gpu else core_share
        station = number, knobs, allocation.profile, allocation.replicas
        filled = count / allocation.replicas
        uses.append(Use(station, 1 - on_gpu, filled, share * allocation.replicas))
    return plan, tuple(uses)
