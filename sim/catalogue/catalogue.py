"""The catalogue: nominal service times, capacities and delays, which planners may read.

Latency factors multiply service times that were measured on the reference hardware. A device has
the nominal speed of its model, and a link has the median capacity and delay of its technology; the
true values are hidden.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from hardware_models.devices import DeviceModel
from scenarios.applications.application import Application
from scenarios.applications.pipeline import Configuration, KnobValue, Pipeline
from scenarios.cluster import DEVICE, Cluster
from scenarios.network import PROCESSOR_SHARING, Network
from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from sim.api.plan import Allocation, Plan
from sim.catalogue.service_times import RefusalError, Service, device_service, node_service

TIERS = ("device", "edge", "cloud")
ACCESS, BACKHAUL = "access", "backhaul"
UP, DOWN = "up", "down"


@dataclass(frozen=True, slots=True)
class Crossing:
    """One direction of a link over which a message is sent."""

    link: str  # ``"access"`` between device and edge site, ``"backhaul"`` between site and cloud
    direction: str  # ``"up"`` or ``"down"``
    edge: int  # the pipeline's edge whose message is sent; for the answer, the number of edges
    mean_bytes: float  # mean size of the message


class Catalogue:
    """The nominal values of one scenario: its application, cluster and network."""

    def __init__(self, application: Application, cluster: Cluster, network: Network) -> None:
        self.application = application
        self.cluster = cluster
        self._network = network
        self._services: dict[Hashable, Service | RefusalError] = {}
        self.backhaul_bps = network.backhaul_bps
        self.backhaul_rtt_s = network.backhaul_round_trip_s
        self.shares_links = network.discipline == PROCESSOR_SHARING
        self._tier = {DEVICE: 0} | {
            name: TIERS.index(node.tier) for name, node in cluster.nodes.items()
        }

    def service(
        self,
        device: DeviceModel,
        operator: int,
        configuration: Configuration,
        place: str,
        allocation: Allocation,
    ) -> Service:
        """Return how an operator is served at ``place``, which is a node or the device."""
        if place != DEVICE:
            return self.on_node(operator, configuration, place, allocation)
        return self.on_device(operator, configuration, device)

    def on_node(
        self, operator: int, configuration: Configuration, node: str, allocation: Allocation
    ) -> Service:
        """Return how a node's allocation serves an operator; raise `RefusalError` if it cannot."""
        knobs = self.application.pipeline.operator_key(operator, configuration)
        return self._once(
            (operator, knobs, node, allocation),
            lambda: node_service(
                self.application, operator, configuration, self.cluster.nodes[node], allocation
            ),
        )

    def on_device(
        self, operator: int, configuration: Configuration, device: DeviceModel
    ) -> Service:
        """Return how a user's device serves an operator; raise `RefusalError` if it cannot."""
        knobs = self.application.pipeline.operator_key(operator, configuration)
        return self._once(
            (operator, knobs, device),
            lambda: device_service(self.application, operator, configuration, device),
        )

    def forget(self) -> None:
        """Clear the caches; values are computed again when they are needed."""
        self._services.clear()

    def _once(self, key: Hashable, work_out: Callable[[], Service]) -> Service:
        known = self._services.get(key)
        if known is None:
            try:
                known = work_out()
            except RefusalError as refusal:
                known = refusal
            self._services[key] = known
        if isinstance(known, RefusalError):
            raise RefusalError(str(known))
        return known

    def services(self, query: Query, plan: Plan) -> tuple[Service, ...]:
        """Return how a plan serves each operator; raise `RefusalError` if one cannot run."""
        here = [operator for operator, place in enumerate(plan.placement) if place == DEVICE]
        self.check_device(here, plan.configuration, query.device)
        return tuple(
            self.service(query.device, operator, plan.configuration, place, allocation)
            for operator, (place, allocation) in enumerate(
                zip(plan.placement, plan.allocation, strict=True)
            )
        )

    def check_device(
        self, operators: Sequence[int], configuration: Configuration, device: DeviceModel
    ) -> None:
        """Raise `RefusalError` unless a device can run all of these operators at the same time."""
        need = sum(
            self.on_device(operator, configuration, device).memory_bytes for operator in operators
        )
        if need > device.memory_bytes:
            raise RefusalError(
                f"device: the models need {need / 1e9:.1f} GB of memory together, a {device.name} "
                f"has {device.memory_bytes / 1e9:.1f} GB"
            )

    def hops(self, placement: Sequence[str]) -> Iterator[tuple[str, str, int]]:
        """Yield the link, the direction and the edge of every `Crossing` under a placement."""
        edges = self.application.pipeline.edges
        for edge, (earlier, operator) in enumerate(edges):
            at = 0 if earlier is None else self._tier[placement[earlier]]
            for level in range(at, self._tier[placement[operator]]):
                yield (ACCESS, BACKHAUL)[level], UP, edge
        for level in range(self._tier[placement[-1]] - 1, -1, -1):
            yield (ACCESS, BACKHAUL)[level], DOWN, len(edges)

    def crossings(self, query: Query, plan: Plan) -> Iterator[Crossing]:
        """Yield the links over which a request's messages and its answer are sent."""
        application = self.application
        message_bytes = application.datasets[query.dataset].message_bytes[plan.configuration.index]
        sizes = (*message_bytes.tolist(), application.answer_bytes)
        for link, direction, edge in self.hops(plan.placement):
            yield Crossing(link, direction, edge, sizes[edge])

    def egress_usd_per_answer(self, placement: Sequence[str]) -> float:
        """Return an average answer's egress price in dollars: 0 if it stays in the cloud."""
        node = self.cluster.nodes.get(placement[-1])
        if node is None or node.tier != "cloud":
            return 0.0
        return self.application.answer_bytes * node.egress_usd_per_byte

    def capacity_bps(self, query: Query, crossing: Crossing) -> float:
        """Return the nominal capacity of a link in bits per second."""
        if crossing.link == BACKHAUL:
            return self.backhaul_bps
        model = self._network.link(query.technology)
        return model.nominal_uplink_bps if crossing.direction == UP else model.nominal_downlink_bps

    def propagation_s(self, query: Query, crossing: Crossing) -> float:
        """Return the nominal one-way delay of a link: half its round trip."""
        if crossing.link == BACKHAUL:
            return self.backhaul_rtt_s / 2
        return self._network.link(query.technology).rtt_s / 2


# How each operator is served on each allocation, as arrays for evaluating many plans

Key = tuple[KnobValue, ...]
OperatorOption = tuple[str, Allocation]
"""A place, and an operator's allocation there."""


@dataclass(frozen=True, eq=False)
class OperatorKeys:
    """The key of each of N operators under each of C configurations.

    An operator's *key* consists of the values of its own and upstream knobs, which determine its
    service.
    """

    # Number of each operator's key in each configuration, from 0 for each operator; (C, N).
    column: Ints
    identity: Ints  # a number for each key of the pipeline, equal for equal keys, of shape (C, N)
    number: tuple[dict[Key, int], ...]  # for each operator, the column of each key
    # For each operator, one configuration per key that has this key.
    examples: tuple[tuple[Configuration, ...], ...]

    @classmethod
    def of(cls, pipeline: Pipeline) -> "OperatorKeys":
        """Return a pipeline's keys, numbered in the order of their first use by configurations."""
        identities: dict[Key, int] = {}
        column, identity, numbers, examples = [], [], [], []
        for operator in range(len(pipeline.operators)):
            keys = [pipeline.operator_key(operator, each) for each in pipeline.configurations]
            first: dict[Key, Configuration] = {}
            for key, configuration in zip(keys, pipeline.configurations, strict=True):
                first.setdefault(key, configuration)
            number = {key: at for at, key in enumerate(first)}
            column.append([number[key] for key in keys])
            identity.append([identities.setdefault(key, len(identities)) for key in keys])
            numbers.append(number)
            examples.append(tuple(first.values()))
        return cls(np.array(column).T, np.array(identity).T, tuple(numbers), tuple(examples))


@dataclass(frozen=True, eq=False)
class ServiceTable:
    """How one operator is served under each of O options and K keys; arrays have shape (O, K)."""

    # Time of a lone request / its time on profiling hardware; nan where the operator cannot run.
    latency: Floats
    capacity: Floats  # server time that a request takes, divided by its time on profiling hardware
    crowded: Floats  # time of a request on a full server, divided by the same time
    at_once: Ints  # requests that a server serves at the same time
    memory_bytes: Floats  # memory that a replica needs; infinite where the operator cannot run

    def with_device(self, row: "ServiceTable") -> "ServiceTable":
        """Return a copy whose first option, the device, is replaced by the option of ``row``."""
        return ServiceTable(
            *(
                np.concatenate((getattr(row, each.name), getattr(self, each.name)[1:]))
                for each in fields(self)
            )
        )


def node_table(
    nominal: Catalogue, keys: OperatorKeys, operator: int, options: Sequence[OperatorOption]
) -> ServiceTable:
    """Return how an operator is served under each option; the device's entries are empty."""
    # Replicas and batching waits do not change how one server serves.
    ones = [(place, each._replace(replicas=1, max_wait_s=0.0)) for place, each in options]
    return _table(
        [
            [
                None
                if place == DEVICE
                else _or_none(nominal.on_node, operator, example, place, one)
                for example in keys.examples[operator]
            ]
            for place, one in ones
        ]
    )


def device_table(
    nominal: Catalogue, keys: OperatorKeys, operator: int, device: DeviceModel
) -> ServiceTable:
    """Return how an operator is served on a device, as a table with one option."""
    examples = keys.examples[operator]
    return _table([[_or_none(nominal.on_device, operator, each, device) for each in examples]])


def _or_none(serve: Callable[..., Service], *arguments: Any) -> Service | None:
    try:
        return serve(*arguments)
    except RefusalError:
        return None


def _table(rows: list[list[Service | None]]) -> ServiceTable:
    nan, inf = float("nan"), float("inf")
    figures = np.array(
        [
            [
                (nan, nan, nan, 1, inf)
                if service is None
                else (
                    service.factor,
                    service.factor * service.work_factor,
                    service.factor * service.crowded_factor,
                    service.at_once,
                    service.memory_bytes,
                )
                for service in row
            ]
            for row in rows
        ],
        dtype=np.float64,
    )
    latency, capacity, crowded, at_once, memory_bytes = np.moveaxis(figures, -1, 0).copy()
    return ServiceTable(latency, capacity, crowded, at_once.astype(np.int64), memory_bytes)
