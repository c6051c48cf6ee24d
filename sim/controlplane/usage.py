"""Tables ``machines`` and ``allocations``: which machines are rented, and who holds what on them.

The tables state all that billing depends on, so that every cost except egress follows from them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sim.clock import seconds
from sim.cluster.machine import Machine
from sim.cluster.machines import Machines, Station
from sim.cluster.queries import Deployment
from sim.metrics.results import ResultTables

RELEASED, FAILED, HORIZON = "released", "failed", "horizon"
"""The ways in which a rental or an allocation ends."""


@dataclass(slots=True)
class _Allocation:
    """The slots of a station, as one of the deployments that share them has them."""

    deployment: Deployment
    operator: int
    station: Station
    work: float  # the load that the deployment declared, in servers
    from_ns: int
    drained_from_ns: int | None = None


@dataclass(slots=True)
class _Rental:
    from_ns: int
    standby: bool  # whether the machine was on standby at some time
    used_until_ns: int | None = None


class Usage:
    """Writes the rows of both tables, each when its rental or allocation ends.

    Every method is called after the change that it notes, at the time of the change. Rows that
    begin and end within one instant are written, too.
    """

    def __init__(self, machines: Machines, operators: Sequence[str], tables: ResultTables) -> None:
        self._operators = operators
        self._tables = tables
        self._rentals: dict[Machine, _Rental] = {}
        self._allocations: dict[tuple[int, int], _Allocation] = {}  # by deployment and station
        for machine in machines.all():
            self.note(machine, 0)

    def note(self, machine: Machine, now_ns: int) -> None:
        """Note whether a machine is rented now, and on standby."""
        rental = self._rentals.get(machine)
        if not machine.rented:
            if rental is not None:
                self._end_rental(machine, now_ns, RELEASED if machine.up else FAILED)
        elif rental is None:
            self._rentals[machine] = _Rental(now_ns, machine.standby)
        elif machine.standby:
            rental.standby = True

    def reserve(self, deployment: Deployment, now_ns: int) -> None:
        """Note that a deployment joined its stations."""
        for operator, station in enumerate(deployment.stations):
            if station.slots:  # otherwise, it is on a device
                work = station.members[deployment.number].work
                self._allocations[deployment.number, station.id] = _Allocation(
                    deployment, operator, station, work, now_ns
                )
        self._note_machines(deployment.stations, now_ns)

    def drain(self, deployment: Deployment, now_ns: int) -> None:
        """Note that a deployment gets no new requests from now on."""
        for station in deployment.stations:
            held = self._allocations.get((deployment.number, station.id))
            if held is not None:
                held.drained_from_ns = now_ns

    def leave(self, deployment: Deployment, now_ns: int) -> None:
        """Note that a deployment left its stations."""
        for station in deployment.stations:
            self._end_allocation(deployment.number, station, now_ns, RELEASED)
        self._note_machines(deployment.stations, now_ns)

    def fail(self, stations: Sequence[Station], now_ns: int) -> None:
        """Note that stations failed, whose deployments have not left them yet."""
        for station in stations:
            for deployment in station.members:
                self._end_allocation(deployment, station, now_ns, FAILED)
        self._note_machines(stations, now_ns)

    def close(self, now_ns: int) -> None:
        """Write everything that has not ended by the horizon."""
        for held in list(self._allocations.values()):
            self._end_allocation(held.deployment.number, held.station, now_ns, HORIZON)
        for machine in list(self._rentals):
            self._end_rental(machine, now_ns, HORIZON)

    def _note_machines(self, stations: Iterable[Station], now_ns: int) -> None:
        for station in stations:
            for slot in station.slots:
                self.note(slot.machine, now_ns)

    def _end_rental(self, machine: Machine, now_ns: int, ended: str) -> None:
        rental, node = self._rentals.pop(machine), machine.node
        until_ns = rental.used_until_ns
        self._tables.add(
            "machines",
            {
                "node": machine.node_name,
                "machine": machine.number,
                "tier": node.tier,
                "type": node.machine,
                "region": node.region,
                "purchase": node.purchase,
                "standby": rental.standby,
                "cores": node.cores,
                "gpus": node.gpus,
                "gpu_model": node.gpu_board,
                "price_usd_per_hour": node.price_usd_per_hour,
                "core_price_usd_per_hour": node.core_price_usd_per_hour,
                "gpu_price_usd_per_hour": node.gpu_price_usd_per_hour,
                "from_s": seconds(rental.from_ns),
                "ready_s": seconds(max(machine.ready_ns, rental.from_ns)),
                "used_until_s": None if until_ns is None else seconds(until_ns),
                "to_s": seconds(now_ns),
                "ended": ended,
            },
        )

    def _end_allocation(self, deployment: int, station: Station, now_ns: int, ended: str) -> None:
        held = self._allocations.pop((deployment, station.id), None)
        if held is None:
            return  # The station failed earlier, or it is on a device.
        drained_ns = held.drained_from_ns
        used_ns = now_ns if drained_ns is None else drained_ns
        for replica, slot in enumerate(station.slots):
            rental, instance = self._rentals[slot.machine], slot.instance
            rental.used_until_ns = max(used_ns, rental.used_until_ns or 0)
            self._tables.add(
                "allocations",
                {
                    "query": held.deployment.query,
                    "deployment": deployment,
                    "operator": self._operators[held.operator],
                    "station": station.id,
                    "replica": replica,
                    "node": slot.machine.node_name,
                    "machine": slot.machine.number,
                    "card": None if instance is None else instance.gpu,
                    "first_slice": None if instance is None else instance.start,
                    "profile": slot.need.profile,
                    "thread_percent": slot.need.thread_percent,
                    "price_usd_per_hour": slot.price_usd_per_hour,
                    "declared_load": held.work,
                    "from_s": seconds(held.from_ns),
                    "ready_s": seconds(slot.ready_ns),
                    "drained_from_s": None if drained_ns is None else seconds(drained_ns),
                    "to_s": seconds(now_ns),
                    "ended": ended,
                },
            )
