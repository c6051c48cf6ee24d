"""Plans and their prices; a plan consists of a configuration, a placement and allocations."""

from math import fsum
from typing import NamedTuple

from scenarios.applications.pipeline import Configuration
from scenarios.applications.values import value
from scenarios.cluster import DEVICE, Cluster

CORE = "core"
"""Profile of an allocation of CPU cores."""


@value
class Allocation(NamedTuple):
    """The resources that one operator gets on its node.

    Args:
        profile: ``"device"`` on the user's device, ``"core"`` for CPU cores, or the name of a
            GPU partition profile such as ``"1g.5gb"``.
        replicas: the number of cores or GPU instances, each of which is a server of the station.
        max_batch: largest number of requests that a server takes at once; for a language model, the
            largest number of sequences that an engine generates at once.
        max_wait_s: longest time in seconds that a free server waits for a full batch.
        processes: number of the operator's processes that share each instance by MPS; each process
            is a server.
        thread_percent: percentage of each instance's threads to which MPS limits all processes of
            the operator together; if it is below 100, other operators can use the rest.
    """

    profile: str
    replicas: int = 1
    max_batch: int = 1
    max_wait_s: float = 0.0
    processes: int = 1
    thread_percent: int = 100

    @property
    def servers(self) -> int:
        """Number of servers of a station with this allocation."""
        return self.replicas * self.processes

    def __str__(self) -> str:
        extras = [f"x{self.replicas}"] if self.replicas != 1 else []
        extras += [f"batch {self.max_batch}"] if self.max_batch != 1 else []
        extras += [f"{self.processes} processes"] if self.processes != 1 else []
        extras += [f"{self.thread_percent} %"] if self.thread_percent != 100 else []
        return " ".join((self.profile, *extras))


@value
class Plan(NamedTuple):
    """A plan, which says how a query is served. Plans compare by value.

    Args:
        configuration: the values of all knobs.
        placement: the node of each operator; the cluster chooses the machine.
        allocation: the resources of each operator on its node.
    """

    configuration: Configuration
    placement: tuple[str, ...]
    allocation: tuple[Allocation, ...]

    def list_price_usd_per_hour(self, cluster: Cluster) -> float:
        """Return the plan's price per hour, in dollars, if no other query shares its stations."""
        return fsum(
            operator_price_usd_per_hour(cluster, node, share)
            for node, share in zip(self.placement, self.allocation, strict=True)
        )

    def __str__(self) -> str:
        where = " > ".join(
            f"{node}:{allocation}"
            for node, allocation in zip(self.placement, self.allocation, strict=False)
        )
        return f"{self.configuration} @ {where}"


def operator_price_usd_per_hour(cluster: Cluster, node: str, allocation: Allocation) -> float:
    """Return the list price of one operator's allocation, in dollars per hour."""
    if node == DEVICE:
        return 0.0
    pool = cluster.nodes[node]
    if allocation.profile == CORE:
        return allocation.replicas * pool.core_price_usd_per_hour
    share = allocation.replicas * allocation.thread_percent / 100
    return share * pool.slice_price_usd_per_hour(allocation.profile)
