"""Nominal figures: what the catalogue says, which planners may know.

Latency factors multiply service times measured on the reference hardware. A device is taken at the
nominal speed of its model and a link at the median of its technology; the true ones are hidden.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from hardware_models.compute import (
    cpu_latency_factor,
    gpu_latency_factor,
    gpu_work_on_cpu_factor,
)
from hardware_models.links import link_model, wide_area_rtt_s
from scenarios.application import Application
from scenarios.cluster import DEVICE, Cluster
from scenarios.network import Network
from scenarios.queries import Query
from sim.plan import Allocation, Plan

TIERS = ("device", "edge", "cloud")
ACCESS, BACKHAUL = "access", "backhaul"
UP, DOWN = "up", "down"


@dataclass(frozen=True, slots=True)
class Crossing:
    """One direction of one link that a message crosses.

    Args:
        link: ``"access"`` between device and edge site, ``"backhaul"`` between site and cloud.
        direction: ``"up"`` or ``"down"``.
        operator: the operator that the message is for; the number of operators for the answer.
        mean_bytes: mean size of the message.
    """

    link: str
    direction: str
    operator: int
    mean_bytes: float


class Nominal:
    """The catalogue of one scenario.

    Args:
        application: whose operators and messages.
        cluster: whose nodes.
        network: whose links.
    """

    def __init__(self, application: Application, cluster: Cluster, network: Network) -> None:
        self.application = application
        self.cluster = cluster
        self.backhaul_bps = network.backhaul_bps
        self.backhaul_rtt_s = (
            wide_area_rtt_s() if network.backhaul_rtt_s is None else network.backhaul_rtt_s
        )
        self._tier = {DEVICE: 0} | {
            name: TIERS.index(node.tier) for name, node in cluster.nodes.items()
        }

    def latency_factor(
        self, query: Query, operator: int, place: str, allocation: Allocation
    ) -> float:
        """Return service time at a place, on an allocation, over that on reference hardware."""
        kind = self.application.operators[operator].kind
        if place == DEVICE:
            speed = query.device.relative_speed
            return cpu_latency_factor(speed) if kind == "cpu" else gpu_work_on_cpu_factor(speed)
        node = self.cluster.nodes[place]
        if kind == "cpu":
            return cpu_latency_factor(node.cpu_relative_speed)
        assert node.gpu_board is not None
        return gpu_latency_factor(node.gpu_board, allocation.profile)

    def latency_factors(self, query: Query, plan: Plan) -> tuple[float, ...]:
        """Return the latency factor of every operator under a plan."""
        return tuple(
            self.latency_factor(query, operator, place, allocation)
            for operator, (place, allocation) in enumerate(
                zip(plan.placement, plan.allocation, strict=True)
            )
        )

    def crossings(self, query: Query, plan: Plan) -> Iterator[Crossing]:
        """Yield the links that a request crosses, in order, its answer's way back included."""
        application = self.application
        message_bytes = application.datasets[query.dataset].message_bytes
        at = 0
        for operator, place in enumerate(plan.placement):
            size = float(message_bytes[plan.configuration.index, operator])
            for level in range(at, self._tier[place]):
                yield Crossing((ACCESS, BACKHAUL)[level], UP, operator, size)
            at = self._tier[place]
        for level in range(at - 1, -1, -1):
            yield Crossing(
                (ACCESS, BACKHAUL)[level],
                DOWN,
                len(application.operators),
                application.answer_bytes,
            )

    def capacity_bps(self, query: Query, crossing: Crossing) -> float:
        """Return the nominal capacity of a link in bits per second."""
        if crossing.link == BACKHAUL:
            return self.backhaul_bps
        model = link_model(query.technology)
        return model.nominal_uplink_bps if crossing.direction == UP else model.nominal_downlink_bps

    def propagation_s(self, query: Query, crossing: Crossing) -> float:
        """Return the nominal one-way delay of a link: half its round trip."""
        round_trip = (
            self.backhaul_rtt_s if crossing.link == BACKHAUL else link_model(query.technology).rtt_s
        )
        return round_trip / 2
