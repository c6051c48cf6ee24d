"""Plans: a configuration, a placement and an allocation; and what they cost."""

from dataclasses import dataclass, field
from math import fsum

from scenarios.applications.pipeline import Configuration
from scenarios.cluster import DEVICE, Cluster

CORE = "core"
"""Profile of an allocation of CPU cores."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """What one operator gets on its node.

    Args:
        profile: ``"device"`` on the user's device, ``"core"`` for CPU cores, or the name of a
            GPU partition profile such as ``"1g.5gb"``.
        replicas: as many cores or GPU instances; each is a server of the station.
        max_batch: most requests that a server takes at once; for a language model, most sequences
            that an engine generates at once.
        max_wait_s: longest that a free server waits for a batch to fill.
        processes: processes of the operator that share each instance by MPS; each is a server.
        thread_percent: active threads of each instance that the operator's processes are limited
            to together, by MPS; below 100, other operators may get what is left.
    """

    profile: str
    replicas: int = 1
    max_batch: int = 1
    max_wait_s: float = 0.0
    processes: int = 1
    thread_percent: int = 100

    @property
    def servers(self) -> int:
        """Servers of a station with this allocation."""
        return self.replicas * self.processes

    def __str__(self) -> str:
        extras = [f"x{self.replicas}"] if self.replicas != 1 else []
        extras += [f"batch {self.max_batch}"] if self.max_batch != 1 else []
        extras += [f"{self.processes} processes"] if self.processes != 1 else []
        extras += [f"{self.thread_percent} %"] if self.thread_percent != 100 else []
        return " ".join((self.profile, *extras))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is served. Plans are compared by value; their hash is computed once.

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

    def __reduce__(self) -> tuple[type["Plan"], tuple[object, ...]]:
        """Drop the hash, because string hashes differ between processes."""
        return Plan, (self.configuration, self.placement, self.allocation)

    def list_price_usd_per_hour(self, cluster: Cluster) -> float:
        """Return the price if no other query shares the plan's stations, in dollars per hour."""
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
