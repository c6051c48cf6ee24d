"""Machines: which cores and GPU slices are taken, which stations run on them, who uses those.

A *slot* is one core or one GPU instance of one machine. A station owns one slot per replica; the
deployments that use it are its members, each with a declared load. The world keeps capacity here:
slots never exceed a machine, and a card's instances are always a legal MIG layout.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from math import fsum

from hardware_models.mig import choose_start
from scenarios.application import KnobValue
from scenarios.cluster import DEVICE, Cluster, Node
from sim.plan import CORE, Allocation
from sim.prediction import StationLoad

StationKey = tuple[int, tuple[KnobValue, ...], str, Allocation]


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One core, or one GPU instance, of one machine.

    Args:
        machine: the machine.
        gpu: number of the card in the machine, or None for a core.
        profile: partition profile of the instance, or ``"core"``.
        start: first memory slice of the instance; 0 for a core.
    """

    machine: "Machine"
    gpu: int | None
    profile: str
    start: int = 0

    @property
    def price_usd_per_hour(self) -> float:
        """Share of the machine's price that the slot carries."""
        node = self.machine.node
        if self.gpu is None:
            return node.core_price_usd_per_hour
        return node.slice_price_usd_per_hour(self.profile)


@dataclass(eq=False)
class Machine:
    """One machine of a node.

    Args:
        node_name: name of its node.
        node: what the machines of the node are like.
        number: number within the node, from 0.
        free_cores: cores that no station holds.
        cards: GPU instances on each card.
        up: whether it works.
        ready_ns: when it has booted, or will have.
        down_until_ns: when it comes back, if it is down.
        slots: what stations hold.
    """

    node_name: str
    node: Node
    number: int
    free_cores: int = field(init=False)
    cards: list[tuple[tuple[str, int], ...]] = field(init=False)
    up: bool = field(default=True, init=False)
    ready_ns: int = field(default=0, init=False)
    down_until_ns: int = field(default=0, init=False)
    slots: dict[Slot, "Station"] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.free_cores = self.node.cores
        self.cards = [() for _ in range(self.node.gpus)]

    @property
    def rented(self) -> bool:
        """Whether the machine is paid for: on standby, or in use."""
        return self.up and (self.number < self.node.standby or bool(self.slots))

    def take(self, profile: str) -> Slot | None:
        """Take a core, or create a GPU instance; None if there is no room."""
        if not self.up:
            return None
        if profile == CORE:
            if self.free_cores == 0:
                return None
            self.free_cores -= 1
            return Slot(self, None, CORE)
        assert self.node.gpu_board is not None
        for gpu, layout in enumerate(self.cards):
            start = choose_start(self.node.gpu_board, layout, profile)
            if start is not None:
                self.cards[gpu] = tuple(sorted((*layout, (profile, start))))
                return Slot(self, gpu, profile, start)
        return None

    def room_for(self, profile: str) -> int:
        """Return how many more GPU instances of a profile could be created one after the other."""
        board = self.node.gpu_board
        if not self.up or board is None:
            return 0
        count = 0
        for layout in self.cards:
            start = choose_start(board, layout, profile)
            while start is not None:
                count += 1
                layout = tuple(sorted((*layout, (profile, start))))  # noqa: PLW2901
                start = choose_start(board, layout, profile)
        return count

    def give_back(self, slot: Slot) -> None:
        """Return a core, or destroy a GPU instance; its neighbours keep running."""
        if slot.gpu is None:
            self.free_cores += 1
        else:
            layout = list(self.cards[slot.gpu])
            layout.remove((slot.profile, slot.start))
            self.cards[slot.gpu] = tuple(layout)


@dataclass(frozen=True, slots=True)
class Member:
    """What a deployment declares to a station.

    Args:
        query: id of the query that it serves.
        rate: requests per second.
        work: load in servers, at nominal speed.
    """

    query: int
    rate: float
    work: float


@dataclass(eq=False)
class Station:
    """One operator of one application on one allocation, as the control plane sees it.

    Args:
        id: unique in the run.
        key: what members must agree on to share the station.
        slots: one per replica; none on a device.
        ready_ns: when its weights are loaded.
        members: by deployment; change them by ``join`` and ``leave`` only.
        load: what all members ask of it together.
    """

    id: int
    key: StationKey
    slots: tuple[Slot, ...]
    ready_ns: int = 0
    members: dict[int, Member] = field(default_factory=dict, init=False)
    load: StationLoad = field(init=False)
    _queries: set[int] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.load = StationLoad(self.key[3].replicas)

    def join(self, deployment: int, member: Member) -> None:
        """Add a deployment."""
        self.members[deployment] = member
        self._sum_up()

    def leave(self, deployment: int) -> None:
        """Take a deployment off, if it is a member."""
        if self.members.pop(deployment, None) is not None:
            self._sum_up()

    def _sum_up(self) -> None:
        # Summed anew at every change, so that rounding cannot pile up; it is asked far more often.
        members = self.members.values()
        self._queries = {member.query for member in members}
        self.load = self._load(members)

    def _load(self, members: Collection[Member]) -> StationLoad:
        return StationLoad(
            self.load.servers,
            fsum(member.rate for member in members),
            fsum(member.work for member in members),
        )

    def serves(self, query: int) -> bool:
        """Tell whether a deployment of a query is a member."""
        return query in self._queries

    def load_without(self, query: int) -> StationLoad:
        """Return what the members that serve other queries ask of the station."""
        if query not in self._queries:
            return self.load
        return self._load([member for member in self.members.values() if member.query != query])


@dataclass(frozen=True, slots=True)
class Demand:
    """What one operator of a plan asks for.

    Args:
        key: operator, its knob values, node and allocation.
        rate: requests per second.
        work: load in servers, at nominal speed.
    """

    key: StationKey
    rate: float
    work: float

    @property
    def place(self) -> str:
        """The node, or the device."""
        return self.key[2]

    @property
    def allocation(self) -> Allocation:
        """The allocation asked for."""
        return self.key[3]


class Machines:
    """All machines of a cluster and the stations on them.

    Args:
        cluster: the layout.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.pools = {
            name: [Machine(name, node, number) for number in range(node.count)]
            for name, node in cluster.nodes.items()
        }
        self.stations: dict[StationKey, list[Station]] = {}
        self._made = 0

    def all(self) -> Iterator[Machine]:
        """Yield every machine, node by node."""
        for pool in self.pools.values():
            yield from pool

    def find(self, demand: Demand) -> Station | None:
        """Return the station that a demand would join: the fullest that still has room for it."""
        if demand.place == DEVICE:
            return None
        limit = self._cluster.max_utilisation
        fitting = [
            station
            for station in self.stations.get(demand.key, ())
            if station.load.work + demand.work <= limit * station.load.servers
        ]
        return max(fitting, key=lambda station: station.load.work, default=None)

    def load_for(self, demand: Demand, query: int) -> StationLoad:
        """Return the load by others of the station that a query's demand would meet."""
        for station in self.stations.get(demand.key, ()):
            if station.serves(query):
                return station.load_without(query)
        found = self.find(demand)
        return StationLoad(demand.allocation.replicas) if found is None else found.load

    def join(
        self, deployment: int, query: int, demands: Sequence[Demand]
    ) -> list[tuple[Station, bool]] | str:
        """Give a deployment its stations, all of them or none.

        Args:
            deployment: number of the deployment.
            query: id of the query that it serves.
            demands: one per operator.

        Returns:
            Each operator's station and whether it is new, or the reason of the refusal.
        """
        got: list[tuple[Station, bool]] = []
        for demand in demands:
            station = self.find(demand)
            if station is not None:
                got.append((station, False))
            else:
                made = self._create(demand)
                if isinstance(made, str):
                    self.leave(deployment, [station for station, _ in got])
                    return made
                got.append((made, True))
            got[-1][0].join(deployment, Member(query, demand.rate, demand.work))
        return got

    def fits(self, demands: Sequence[Demand]) -> bool:
        """Tell whether ``join`` would succeed now, by trying it."""
        got = self.join(-1, -1, demands)
        if isinstance(got, str):
            return False
        self.leave(-1, [station for station, _ in got])
        return True

    def leave(self, deployment: int, stations: list[Station]) -> list[Station]:
        """Take a deployment off its stations; return those that are gone for lack of members."""
        gone = []
        for station in stations:
            station.leave(deployment)
            if not station.members:
                if station in self.stations.get(station.key, ()):  # Else its machine failed.
                    self._destroy(station)
                gone.append(station)
        return gone

    def _create(self, demand: Demand) -> Station | str:
        allocation = demand.allocation
        if demand.place != DEVICE:
            limit = self._cluster.max_utilisation
            if demand.work > limit * allocation.replicas:
                return (
                    f"{demand.place}:{allocation.profile} would be {demand.work:.2f} busy, "
                    f"above {limit * allocation.replicas:.2f}"
                )
        slots: list[Slot] = []
        if demand.place != DEVICE:
            for _ in range(allocation.replicas):
                slot = self._take(demand.place, allocation.profile)
                if slot is None:
                    for taken in slots:
                        taken.machine.give_back(taken)
                    return f"{demand.place} has no {allocation.profile} left"
                slots.append(slot)
        station = Station(self._made, demand.key, tuple(slots))
        self._made += 1
        self.stations.setdefault(demand.key, []).append(station)
        for slot in slots:
            slot.machine.slots[slot] = station
        return station

    def _take(self, node: str, profile: str) -> Slot | None:
        """Take a slot of a rented machine, or else of one yet to be rented; lowest number first."""
        pool = self.pools[node]
        for machine in sorted(pool, key=lambda machine: not machine.rented):  # stable
            slot = machine.take(profile)
            if slot is not None:
                return slot
        return None

    def fail(self, machine: Machine) -> list[Station]:
        """Take a machine down; return the stations that die with it."""
        dead = list(dict.fromkeys(machine.slots.values()))
        for station in dead:
            self._destroy(station)
        machine.up = False
        return dead

    def _destroy(self, station: Station) -> None:
        self.stations[station.key].remove(station)
        if not self.stations[station.key]:
            del self.stations[station.key]
        for slot in station.slots:
            del slot.machine.slots[slot]
            slot.machine.give_back(slot)
