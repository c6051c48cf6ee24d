"""Plans: a configuration, a placement and an allocation; and the space of all of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement, product
from math import fsum

import numpy as np
from numpy.typing import NDArray

from scenarios.application import Configuration, Pipeline
from scenarios.cluster import DEVICE, Cluster

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CORE = "core"


@dataclass(frozen=True, slots=True)
class Allocation:
    """What one operator gets on its node.

    Args:
        profile: ``"device"`` on the user's device, ``"core"`` for CPU cores, or the name of a
            GPU partition profile such as ``"1g.5gb"``.
        replicas: servers of the station: as many cores or GPU instances.
        max_batch: most requests that a server takes at once.
        max_wait_s: longest that a free server waits for a batch to fill.
    """

    profile: str
    replicas: int = 1
    max_batch: int = 1
    max_wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is served. Plans are compared by value; their hash is worked out once.

    Args:
        configuration: all knobs chosen.
        placement: node of each operator; the cluster picks the machine.
        allocation: what each operator gets there.
    """

    configuration: Configuration
    placement: tuple[str, ...]
    allocation: tuple[Allocation, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = (self.configuration, self.placement, self.allocation)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        where = " > ".join(
            f"{node}:{allocation.profile}"
            for node, allocation in zip(self.placement, self.allocation, strict=False)
        )
        return f"{self.configuration} @ {where}"


class PlanSpace:
    """Every plan with one replica per operator and no batching, in one fixed order.

    Plans are made when asked for; what bulk scoring needs of them is kept as arrays. A *layout* is
    a placement with its allocation; plan ``i`` joins configuration ``configuration[i]`` with layout
    ``layout[i]``.

    Args:
        pipeline: whose configurations.
        cluster: whose nodes and partition profiles.
    """

    def __init__(self, pipeline: Pipeline, cluster: Cluster) -> None:
        self._pipeline = pipeline
        self._made: dict[int, Plan] = {}
        self.layouts = tuple(_layouts(pipeline, cluster))
        configurations, layouts = len(pipeline.configurations), len(self.layouts)
        self.configuration: Integers = np.tile(np.arange(configurations), layouts)
        self.layout: Integers = np.repeat(np.arange(layouts), configurations)
        prices = [list_price_usd_per_hour(cluster, *layout) for layout in self.layouts]
        self.list_price_usd_per_hour: Floats = np.array(prices)[self.layout]
        self._by_cost = np.lexsort((self.configuration, self.layout, self.list_price_usd_per_hour))

    def __len__(self) -> int:
        return len(self.layout)

    def plan(self, index: int) -> Plan:
        """Return plan number ``index``; the same object every time."""
        plan = self._made.get(index)
        if plan is None:
            placement, allocation = self.layouts[self.layout[index]]
            configuration = self._pipeline.configurations[self.configuration[index]]
            plan = self._made[index] = Plan(configuration, placement, allocation)
        return plan

    def ordered(self, order: str) -> Iterator[Plan]:
        """Yield all plans.

        Args:
            order: ``"cost"`` for the lowest list price first, and among equals the richest
                configuration first; ``"enumeration"`` for the space's own order.

        Raises:
            ValueError: there is no such order.
        """
        if order == "cost":
            indices: Iterable[int] = self._by_cost.tolist()
        elif order == "enumeration":
            indices = range(len(self))
        else:
            raise ValueError(f"order={order!r}: choose cost or enumeration")
        return map(self.plan, indices)


def _layouts(
    pipeline: Pipeline, cluster: Cluster
) -> Iterator[tuple[tuple[str, ...], tuple[Allocation, ...]]]:
    """Yield every placement that moves up, with every allocation that its nodes offer."""
    places = cluster.places
    for placement in combinations_with_replacement(places, len(pipeline.operators)):
        choices: list[tuple[Allocation, ...]] = []
        for operator, place in zip(pipeline.operators, placement, strict=True):
            if place == DEVICE:
                choices.append((Allocation(DEVICE),))
            elif operator.kind == "cpu":
                choices.append((Allocation(CORE),))
            else:
                offered = cluster.nodes[place].gpu_profiles
                choices.append(tuple(Allocation(profile) for profile in offered))
        for allocation in product(*choices):
            yield placement, allocation


def list_price_usd_per_hour(
    cluster: Cluster, placement: Sequence[str], allocation: Sequence[Allocation]
) -> float:
    """Return what a plan costs when no other query shares its stations, in dollars per hour."""
    return fsum(
        operator_price_usd_per_hour(cluster, node, share)
        for node, share in zip(placement, allocation, strict=True)
    )


def operator_price_usd_per_hour(cluster: Cluster, node: str, allocation: Allocation) -> float:
    """Return the list price of one operator's allocation, in dollars per hour."""
    if node == DEVICE:
        return 0.0
    pool = cluster.nodes[node]
    if allocation.profile == CORE:
        return allocation.replicas * pool.core_price_usd_per_hour
    return allocation.replicas * pool.slice_price_usd_per_hour(allocation.profile)
