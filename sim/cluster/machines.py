"""All machines of a cluster, the stations on them, and the deployments that use the stations.

For each of its replicas, a station has one slot of a machine. Its members are the deployments that
use it, each with a declared load.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from scenarios.applications.application import Model
from scenarios.applications.pipeline import KnobValue
from scenarios.cluster import DEVICE, Cluster
from sim.api.plan import Allocation
from sim.cluster.machine import WHOLE, GpuShare, Instance, Machine, Need, Room
from sim.cluster.members import Member, StationLoad, StationMembers

Result = TypeVar("Result")
StationKey = tuple[int, tuple[KnobValue, ...], str, Allocation]


@dataclass(eq=False)
class Station(StationMembers):
    """The control plane's state of a station, which serves one operator on one allocation."""

    id: int  # unique in the run
    key: StationKey  # the values that all members of the station have in common
    slots: tuple[GpuShare, ...]  # one per replica; none on a device
    at_once: int = 1  # requests that a server serves at the same time
    ready_ns: int = 0  # the time at which its weights are loaded

    def __post_init__(self) -> None:
        super().__init__(self.key[3].servers, self.at_once)


@dataclass(frozen=True, slots=True)
class StationDemand:
    """The resources that one operator of a plan requires."""

    key: StationKey  # operator, its knob values, node and allocation
    rate: float  # requests per second
    work: float  # load in servers, at nominal speed
    at_once: int = 1  # requests that a server serves at the same time
    model: Model | None = None  # the model that each replica loads; None for classical code
    memory_bytes: int = 0  # memory that each replica needs
    # the resources that each replica needs
    need: Need = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        allocation = self.allocation
        need = Need(
            allocation.profile,
            allocation.thread_percent,
            allocation.processes,
            self.model,
            self.memory_bytes,
        )
        object.__setattr__(self, "need", need)

    @property
    def place(self) -> str:
        """The name of the node, or of the device."""
        return self.key[2]

    @property
    def allocation(self) -> Allocation:
        """The required allocation."""
        return self.key[3]


class ByLoad:
    """Stations sorted by ascending load; among stations with equal load, the newest comes first."""

    def __init__(self) -> None:
        self._order: list[tuple[float, int, Station]] = []
        self._work: dict[int, float] = {}

    def put(self, station: Station) -> None:
        """Insert a station at its position; call this again whenever its load changes."""
        self.drop(station)
        work = self._work[station.id] = station.load.work
        insort(self._order, (work, -station.id, station))

    def drop(self, station: Station) -> None:
        """Remove a station, if it is in the list."""
        work = self._work.pop(station.id, None)
        if work is not None:
            # A shorter tuple sorts before its extensions.
            del self._order[bisect_left(self._order, (work, -station.id))]

    def __contains__(self, station: Station) -> bool:
        return station.id in self._work

    def __len__(self) -> int:
        return len(self._order)

    def fullest(self, more: float, most: float) -> Station | None:
        """Return the most loaded station with room; among equal loads, return the oldest station.

        A station has room if its load plus ``more`` does not exceed ``most``. The load, ``more``
        and ``most`` are measured in servers.
        """
        at = bisect_right(self._order, most, key=lambda place: place[0] + more)
        return self._order[at - 1][2] if at else None


class Machines:
    """All machines of a cluster and the stations on them.

    Attributes:
        pools: the machines of each node.
        up: the number of machines that work, by node.
        standby: the number of machines on standby, by node.
        stations: the stations of each key; deployments with the same key may share a station.
        holders: the station that holds each slot.
        backhaul: the deployments that send messages from the edge site to the cloud.
        changed: machines whose use changed since `sim.cluster.billing.Billing` last updated its
            prices.
        last_release_ns: the last time at which a deployment left or a machine recovered.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.pools = {
            name: [Machine(name, node, number) for number in range(node.count)]
            for name, node in cluster.nodes.items()
        }
        self.up = {name: len(pool) for name, pool in self.pools.items()}
        self.standby = {
            name: sum(machine.standby for machine in pool) for name, pool in self.pools.items()
        }
        self.stations: dict[StationKey, list[Station]] = {}
        self.holders: dict[GpuShare, Station] = {}
        self.backhaul = StationMembers()
        self.changed: set[Machine] = set()
        self.last_release_ns: int | None = None
        self._by_load: dict[StationKey, ByLoad] = {}  # Stations that are not on devices.
        self._parts: dict[GpuShare, None] = {}
        # by node, needs that all its machines refused since one of them last changed
        self._in_vain: dict[str, set[Room]] = {name: set() for name in self.pools}
        self._made = 0

    def all(self) -> Iterator[Machine]:
        """Yield every machine, node by node."""
        for pool in self.pools.values():
            yield from pool

    def keep_standby(self, node: str, count: int) -> list[Machine]:
        """Let ``count`` machines of a node be on standby; return those that joined or left.

        Rented machines join first, and failed ones last. Unused machines leave first. Among equals,
        the first of the pool join first, and the last leave first.
        """
        pool = self.pools[node]
        more = count - self.standby[node]
        if more > 0:
            others = (machine for machine in pool if not machine.standby)
            moved = sorted(others, key=lambda each: (not each.rented, not each.up))[:more]
        else:
            kept = (machine for machine in reversed(pool) if machine.standby)
            moved = sorted(kept, key=lambda each: bool(each.slots))[:-more]
        for machine in moved:
            machine.set_standby(more > 0)
        self.standby[node] += len(moved) if more > 0 else -len(moved)
        self.changed.update(moved)
        return moved

    def find(self, demand: StationDemand) -> Station | None:
        """Return the station that a demand would join: the most loaded one that has room for it."""
        if demand.place == DEVICE:
            return None
        alike = self._by_load.get(demand.key)
        if alike is None:
            return None
        most = self._cluster.max_utilisation * demand.allocation.servers
        return alike.fullest(demand.work, most)

    def load_for(self, demand: StationDemand, query: int) -> StationLoad:
        """Return the load of other queries at the station that a query's demand would join."""
        for station in self.stations.get(demand.key, ()):
            if station.serves(query):
                return station.load_without(query)
        found = self.find(demand)
        if found is not None:
            return found.load
        return StationLoad(demand.allocation.servers, at_once=demand.at_once)

    def join(
        self, deployment: int, query: int, demands: Sequence[StationDemand]
    ) -> list[tuple[Station, bool]] | str:
        """Add a deployment to stations for all of its demands, or to none.

        Return each operator's station and whether the station is new, or else the reason why there
        is no room.
        """
        got, undo = self._join(deployment, query, demands)
        if isinstance(got, str):
            undo()
        else:
            self._note_change(station for station, _ in got)
        return got

    def _join(
        self, deployment: int, query: int, demands: Sequence[StationDemand]
    ) -> tuple[list[tuple[Station, bool]] | str, Callable[[], None]]:
        """Do the steps of `join`; also return a function that undoes the steps that succeeded."""
        got: list[tuple[Station, bool]] = []
        undoing: list[Callable[[], None]] = []

        def undo() -> None:
            for each in reversed(undoing):
                each()

        for demand in demands:
            station = self.find(demand)
            if station is not None:
                got.append((station, False))
            else:
                made = self._open_station(demand, undoing)
                if isinstance(made, str):
                    return made, undo
                got.append((made, True))
            member = Member(query, demand.rate, demand.work)
            undoing.append(self._enter(got[-1][0], deployment, member))
        return got, undo

    def _enter(self, station: Station, deployment: int, member: Member) -> Callable[[], None]:
        leave = station.join(deployment, member)
        self._note_load(station)

        def undo() -> None:
            leave()
            self._note_load(station)

        return undo

    def first_that_fits(
        self,
        beside: Sequence[Sequence[StationDemand]],
        wanted: Iterable[Iterable[Sequence[StationDemand]]],
    ) -> list[int | None]:
        """Return the index of the first alternative in each list that ``join`` would accept.

        The index is None if no alternative fits. First, resources are reserved for the demands in
        ``beside`` that fit. Then, lists are handled in turn, and the alternative found for a list
        keeps its resources while later lists are handled. Alternatives are generated lazily. At the
        end, all resources are released.
        """
        made = self._made
        undoing: list[Callable[[], None]] = []

        def joins(demands: Sequence[StationDemand]) -> bool:
            number = -1 - len(undoing)
            got, undo = self._join(number, number, demands)
            if isinstance(got, str):
                undo()
                return False
            undoing.append(undo)
            return True

        try:
            for demands in beside:
                joins(demands)
            return [
                next((at for at, demands in enumerate(each) if joins(demands)), None)
                for each in wanted
            ]
        finally:
            for undo in reversed(undoing):
                undo()
            self._made = made

    def tried(
        self, demands: Sequence[StationDemand], look: Callable[[list[tuple[Station, bool]]], Result]
    ) -> Result | None:
        """Return what a function makes of the result of ``join``, or None if there is no room.

        All resources are released before this returns.
        """
        made = self._made
        got, undo = self._join(-1, -1, demands)
        try:
            return None if isinstance(got, str) else look(got)
        finally:
            undo()
            self._made = made

    def leave(self, deployment: int, stations: list[Station], now_ns: int) -> list[Station]:
        """Remove a deployment from its stations and links; return the stations left unused."""
        self.last_release_ns = now_ns
        gone = []
        self._note_change(stations)
        self.backhaul.leave(deployment)
        for station in stations:
            station.leave(deployment)
            self._note_load(station)
            if not station.members:
                if station in self.stations.get(station.key, ()):  # otherwise its machine failed
                    self._destroy(station, now_ns)
                gone.append(station)
        return gone

    def _open_station(
        self, demand: StationDemand, undoing: list[Callable[[], None]]
    ) -> Station | str:
        allocation = demand.allocation
        slots: list[GpuShare] = []
        if demand.place != DEVICE:
            limit = self._cluster.max_utilisation * allocation.servers
            if demand.work > limit:
                return (
                    f"{demand.place}:{allocation.profile} would be {demand.work:.2f} busy, "
                    f"above {limit:.2f}"
                )
            need = demand.need
            for _ in range(allocation.replicas):
                slot = self._take(demand.place, need, undoing)
                if slot is None:
                    return f"{demand.place} has no {allocation.profile} left"
                slots.append(slot)
        station = Station(self._made, demand.key, tuple(slots), demand.at_once)
        self._made += 1
        self.stations.setdefault(demand.key, []).append(station)
        if demand.place != DEVICE:
            self._by_load.setdefault(demand.key, ByLoad()).put(station)
        for slot in slots:
            slot.machine.slots[slot] = None
            self.holders[slot] = station
            if slot.need.thread_percent < WHOLE:
                self._parts[slot] = None
        undoing.append(lambda: self._forget(station))
        return station

    def _take(self, node: str, need: Need, undoing: list[Callable[[], None]]) -> GpuShare | None:
        """Take a slot of the first rented machine with room, or else of the first unrented one."""
        in_vain = self._in_vain[node]
        if need.room in in_vain:
            return None
        for machine in self._in_turn(node, need):
            taken = machine.take(need)
            if taken is not None:
                self._in_vain[node] = set()
                undoing += taken[1], lambda: self._in_vain.update({node: in_vain})
                return taken[0]
        in_vain.add(need.room)
        return None

    def _in_turn(self, node: str, need: Need) -> Iterator[Machine]:
        """Yield the machines of a node that may have room, rented machines before unrented ones."""
        idle = []
        for machine in self.pools[node]:
            if machine.may_take(need):
                if machine.rented:
                    yield machine
                else:
                    idle.append(machine)
        yield from idle

    def sharing(self) -> Iterator[Instance]:
        """Yield every GPU instance that several stations share."""
        for instance in dict.fromkeys(slot.instance for slot in self._parts):
            if instance is not None and len(instance.slots) > 1:
                yield instance

    def fail(self, machine: Machine, now_ns: int) -> list[Station]:
        """Let a machine fail; return the stations that fail with it."""
        dead = list(dict.fromkeys(self.holders[slot] for slot in machine.slots))
        self._lose(dead, now_ns)
        self._set_up(machine, False)
        machine.lose_instances()
        self.changed.add(machine)
        return dead

    def recover(self, machine: Machine, now_ns: int) -> None:
        """Return a failed machine to service."""
        self.last_release_ns = now_ns
        self._set_up(machine, True)
        self._in_vain[machine.node_name].clear()
        self.changed.add(machine)

    def _set_up(self, machine: Machine, up: bool) -> None:
        self.up[machine.node_name] += up - machine.up
        machine.up = up

    def fail_instance(self, instance: Instance, now_ns: int) -> list[Station]:
        """End all processes on a single GPU instance, and return their stations."""
        dead = list(dict.fromkeys(self.holders[slot] for slot in instance.slots))
        self._lose(dead, now_ns)
        instance.left.clear()
        return dead

    def _lose(self, stations: Sequence[Station], now_ns: int) -> None:
        self._note_change(stations)
        for station in stations:
            self._destroy(station, now_ns)
        if stations:
            self.last_release_ns = now_ns

    def _note_load(self, station: Station) -> None:
        alike = self._by_load.get(station.key)
        if alike is not None and station in alike:
            alike.put(station)

    def _note_change(self, stations: Iterable[Station]) -> None:
        self.changed.update(slot.machine for station in stations for slot in station.slots)

    def _destroy(self, station: Station, now_ns: int) -> None:
        self._forget(station)
        for slot in station.slots:
            slot.machine.give_back(slot, now_ns)
            self._in_vain[slot.machine.node_name].clear()

    def _forget(self, station: Station) -> None:
        self.stations[station.key].remove(station)
        if not self.stations[station.key]:
            del self.stations[station.key]
        alike = self._by_load.get(station.key)
        if alike is not None:
            alike.drop(station)
            if not alike:
                del self._by_load[station.key]
        for slot in station.slots:
            del slot.machine.slots[slot]
            del self.holders[slot]
            self._parts.pop(slot, None)
