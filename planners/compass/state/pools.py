"""Resource pools, and the resources that stations and plans take from them.

Pools are the cores and GPUs of each node, and the backhaul from the edge site to the cloud.
Stations take whole cores and GPU instances. So a plan's demand depends on the room in existing
stations that it can join.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from planners.common.weak_cache import KEPT
from scenarios.cluster import Cluster
from scenarios.compiled import compiled
from scenarios.numerics import Floats, Ints
from sim import PlanningContext, PlanView

CORES, GPUS = "cores", "GPUs"
BACKHAUL = "backhaul", "up"

MOST_BACKHAUL = 0.95
"""Largest share of its time for which Compass plans to keep the backhaul busy.

At the default parameters of `PriceMatching`, prices aim at this share: at 0.95, which is 1.19
times the default ``max_utilisation`` of 0.8, a query with an average share of the link pays all
that its service is worth.
"""


@dataclass(frozen=True, eq=False)
class Pools:
    """The R resource pools of the working machines. Arrays have shape (R,)."""

    names: tuple[tuple[str, str], ...]  # node and resource; the last is the backhaul
    capacity: Floats  # cores, whole GPUs, or largest share of busy time of the backhaul
    usd_per_hour: Floats  # price of a unit
    per_machine: Floats  # units of one machine
    always_rented: Floats  # number of machines rented even if not in use
    max_utilisation: float  # share of a station's capacity up to which it accepts load

    @cached_property
    def scarcity(self) -> Floats:
        """The price of a unit of each pool at which a whole pool costs 1, of shape (R,)."""
        return np.asarray(1 / np.maximum(self.capacity, 1e-9))

    @property
    def most_backhaul(self) -> float:
        """The largest share of its time for which plans may keep the backhaul busy."""
        return max(MOST_BACKHAUL, self.max_utilisation)

    def rented(self, taken: Floats) -> Floats:
        """Return the units of each pool on the machines that must be rented, of shape (R,)."""
        needed = np.maximum(self.always_rented, np.ceil(taken / self.per_machine - 1e-9))
        machines = dict.fromkeys((node for node, _ in self.names), 0.0)
        for (node, _), many in zip(self.names, needed.tolist(), strict=True):
            machines[node] = max(machines[node], many)
        return np.array([machines[node] for node, _ in self.names]) * self.per_machine

    @classmethod
    def of(cls, context: PlanningContext) -> "Pools":
        """Return the pools of the cluster's working machines."""
        world = context.world
        up = tuple(world.machines_up(name) for name in world.cluster.nodes)
        standby = tuple(world.machines_on_standby(name) for name in world.cluster.nodes)
        return KEPT.of(
            world.cluster, ("pools", up, standby), lambda: cls._of(world.cluster, up, standby)
        )

    @classmethod
    def _of(cls, cluster: Cluster, up: Sequence[int], standby: Sequence[int]) -> "Pools":
        """Return the pools of a cluster, from each node's machines that work or are on standby."""
        rows: dict[tuple[str, str], tuple[float, ...]] = {}
        of_node = zip(up, standby, cluster.nodes.items(), strict=True)
        for machines, kept, (name, node) in of_node:
            rented, price = min(kept, machines), node.core_price_usd_per_hour
            rows[name, CORES] = machines * node.cores, price, node.cores, rented
            if node.gpus:
                price = max(map(node.slice_price_usd_per_hour, node.gpu_profiles))
                rows[name, GPUS] = machines * node.gpus, price, node.gpus, rented
        rows[BACKHAUL] = cluster.max_utilisation, 0.0, cluster.max_utilisation, 1
        capacity, price_of, per_machine, rented_of = (
            np.array(column, dtype=np.float64) for column in zip(*rows.values(), strict=True)
        )
        return cls(tuple(rows), capacity, price_of, per_machine, rented_of, cluster.max_utilisation)


@dataclass(frozen=True)
class Uses:
    """The stations that a plan of N operators uses, as Compass estimates them."""

    station: Ints  # kind of each operator's station, -1 on the device, of shape (N,)
    operator_key: Ints  # number of each operator's knob values, of shape (N,)
    filled: Floats  # share of a station that the query fills, of shape (N,)
    backhaul: float = 0.0  # share of time for which it keeps the backhaul busy


@dataclass(frozen=True, eq=False)
class Fleet:
    """The resources that Q queries' active plans of N operators use; see `Uses`."""

    query: Ints  # ids, of shape (Q,)
    station: Ints  # of shape (Q, N)
    operator_key: Ints  # of shape (Q, N)
    filled: Floats  # of shape (Q, N)
    backhaul: Floats  # of shape (Q,)

    @classmethod
    def of(cls, uses: Mapping[int, Uses]) -> "Fleet":
        """Return the fleet of the queries in ``uses``, a mapping from ids to the stations used."""
        each = uses.values()
        shape = len(each), -1 if each else 0
        return cls(
            np.array(list(uses), dtype=np.int64),
            np.array([one.station for one in each], dtype=np.int64).reshape(shape),
            np.array([one.operator_key for one in each], dtype=np.int64).reshape(shape),
            np.array([one.filled for one in each], dtype=np.float64).reshape(shape),
            np.array([one.backhaul for one in each], dtype=np.float64),
        )

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.query)

    @cached_property
    def row(self) -> Mapping[int, int]:
        """The row of each query, by id."""
        return dict(zip(self.query.tolist(), range(len(self)), strict=True))

    def changed(self, order: Sequence[int], uses: Mapping[int, Uses]) -> "Fleet":
        """Return the fleet of the queries ``order``, with rows replaced or added from ``uses``."""
        every = self.and_also(Fleet.of(uses))
        by_query = np.argsort(every.query, kind="stable")
        # if a query is in both, its last row is its present use
        last = np.searchsorted(every.query[by_query], order, side="right") - 1
        return every.rows(by_query[last])

    def and_also(self, other: "Fleet") -> "Fleet":
        """Concatenate two fleets; if a query is in both, `row` must not be used."""
        if not len(self) or not len(other):
            return self if len(self) else other
        return Fleet(
            *(
                np.concatenate([getattr(self, one.name), getattr(other, one.name)])
                for one in fields(Fleet)
            )
        )

    def rows(self, rows: Sequence[int] | Ints) -> "Fleet":
        """Return the fleet of the queries in these rows."""
        at = np.asarray(rows, dtype=np.int64)
        return Fleet(*(getattr(self, one.name)[at] for one in fields(Fleet)))


class Standing:
    """The existing stations, the resources that they take, and the room in them.

    Attributes:
        taken: number of units of each pool that are in use, of shape (R,).
        queries: number of queries that use each pool, of shape (R,).
        left: largest room in any single station, by kind of station and operator key.
    """

    def __init__(self, fleet: Fleet, takes: "ResourceUse", pools: Pools) -> None:
        self.fleet = fleet
        self.takes = takes
        self.pools = pools
        many = len(pools.names)
        self.taken: Floats = np.zeros(many)
        self.queries: Floats = np.zeros(many)
        self._total: Floats = np.zeros((0, 0))
        self._whole: Floats = np.zeros((0, 0))
        self.left: Floats = np.zeros((0, 0))
        if not len(fleet):
            return
        station, key = fleet.station, fleet.operator_key
        self._total = np.zeros((int(station.max()) + 1, int(key.max()) + 1))
        query, operator = np.nonzero(station >= 0)
        kind = station[query, operator]
        np.add.at(self._total, (kind, key[query, operator]), fleet.filled[query, operator])
        used = np.zeros((len(fleet), many), dtype=bool)
        used[query, takes.pool[kind]] = True
        self.queries += used.sum(axis=0)
        first = np.argsort(fleet.query, kind="stable")  # the order does not depend on searches
        self._whole, self.left = _packed(first, station, key, fleet.filled, *self._total.shape)
        kinds = len(self._total)
        units = self._whole.sum(axis=1) * takes.units[:kinds]
        self.taken = np.asarray(np.bincount(takes.pool[:kinds], units, many), dtype=np.float64)
        self.taken[-1] += fleet.backhaul.sum()
        self.queries[-1] += (fleet.backhaul > 0).sum()

    def __contains__(self, query: int) -> bool:
        return query in self.fleet.row

    def backhaul(self, query: int) -> float:
        """Return the share of time for which a query's plan keeps the backhaul busy, or 0."""
        row = self.fleet.row.get(query)
        return 0.0 if row is None else float(self.fleet.backhaul[row])

    def but(self, queries: Collection[int]) -> Fleet:
        """Return the fleet without the given queries."""
        return self.fleet.rows(
            [row for query, row in self.fleet.row.items() if query not in queries]
        )

    def share(self, query: int) -> Floats:
        """Return a query's share of its stations, in units of each pool, of shape (R,)."""
        share: Floats = self.shares(np.array([self.fleet.row[query]]))[0]
        return share

    def paid(self, queries: Sequence[int], prices: Floats) -> list[float]:
        """Return what each of the given queries pays for its resources."""
        shares = self.shares(np.array([self.fleet.row[query] for query in queries], dtype=int))
        # one by one, because sums of products depend on the batch size
        return [float(share @ prices) for share in shares]

    def shares(self, rows: Ints) -> Floats:
        """Return `share` for k rows of the fleet, of shape (k, R)."""
        fleet, takes = self.fleet, self.takes
        shares = np.zeros((len(rows), len(self.taken)))
        station, filled = fleet.station[rows], fleet.filled[rows]
        row, operator = np.nonzero((station >= 0) & (filled > 0))
        kind = station[row, operator]
        its = kind, fleet.operator_key[rows][row, operator]
        whole = filled[row, operator] / self._total[its] * self._whole[its]
        np.add.at(shares, (row, takes.pool[kind]), whole * takes.units[kind])
        shares[:, -1] += fleet.backhaul[rows]
        return shares

    def dearer(self, price: float, prices: Floats) -> list[tuple[int, float]]:
        """Return the id and payment of each query that pays more than ``price``."""
        shares = self.shares(np.arange(len(self.fleet)))
        # roughly first, because sums of products depend on the batch size
        rows = np.flatnonzero(shares @ prices > price * (1 - 1e-9)).tolist()
        paid = [(int(self.fleet.query[row]), float(shares[row] @ prices)) for row in rows]
        return [each for each in paid if each[1] > price]


@compiled
def _packed(
    order: Ints, station: Ints, key: Ints, filled: Floats, kinds: int, keys: int
) -> tuple[Floats, Floats]:
    """Return the number of stations by kind and key, and the largest room in any single one.

    The method is bin packing by best fit (Johnson et al., "Worst-case performance bounds for simple
    one-dimensional packing algorithms", 1974), which takes O(open stations) for each operator of a
    query. Queries join in ``order``, of shape (Q,), as in the simulated world. A query is not split
    over stations: three queries that each fill 0.6 take three stations. The result is an estimate,
    because more stations can be open after queries have left or moved. Both results have shape
    (kinds, keys).
    """
    # The stations of a kind and key form a chain, from the last opened (`last`) back (`before`).
    whole, left = np.zeros((kinds, keys)), np.zeros((kinds, keys))
    room = np.empty(station.size)
    last, before = np.full((kinds, keys), -1), np.empty(station.size, dtype=np.int64)
    made = 0
    for query in order:
        for operator in range(station.shape[1]):
            kind, part = station[query, operator], filled[query, operator]
            if kind < 0 or part <= 0:
                continue
            its, chosen = key[query, operator], -1
            at = last[kind, its]
            while at >= 0:
                if part <= room[at] + 1e-9 and (chosen < 0 or room[at] <= room[chosen]):
                    chosen = at
                at = before[at]
            if chosen < 0:
                chosen, made = made, made + 1
                before[chosen], last[kind, its] = last[kind, its], chosen
                room[chosen] = 1.0
                whole[kind, its] += 1
            room[chosen] = max(0.0, room[chosen] - part)
    for kind in range(kinds):
        for its in range(keys):
            at = last[kind, its]
            while at >= 0:
                left[kind, its] = max(left[kind, its], room[at])
                at = before[at]
    return whole, left


@dataclass(frozen=True, eq=False)
class ResourceUse:
    """The resources that one station of each kind takes; the last row is the user's device."""

    pool: Ints  # pool of each kind, of shape (kinds + 1,)
    units: Floats  # units of that pool in one station, 0 on the device, of shape (kinds + 1,)
    servers: Floats  # servers of one station, of shape (kinds + 1,)

    @classmethod
    def of(cls, context: PlanningContext, pools: Pools, view: PlanView) -> "ResourceUse":
        """Return the resources for the kinds of station in a view."""
        number = {name: index for index, name in enumerate(pools.names)}
        pool, units, servers = [], [], []
        for kind in view.stations:
            node = context.world.cluster.nodes[kind.node]
            if kind.profile in node.all_gpu_profiles:
                whole = pools.usd_per_hour[number[kind.node, GPUS]]
                share = node.slice_price_usd_per_hour(kind.profile) / whole
                pool.append(number[kind.node, GPUS])
                units.append(kind.replicas * share * kind.thread_percent / 100)
            else:
                pool.append(number[kind.node, CORES])
                units.append(float(kind.replicas))
            servers.append(float(kind.servers))
        return cls(
            np.array([*pool, 0], dtype=np.int64), np.array([*units, 0.0]), np.array([*servers, 1.0])
        )

    def filled(
        self, pools: Pools, view: PlanView, plans: Ints, rate: float, operator_time_s: Floats
    ) -> Floats:
        """Return the shares of stations that plans would fill, of shape (k, N); 0 on the device.

        ``operator_time_s`` is measured on profiling hardware, of shape (k, N).
        """
        station = view.station[plans]
        work = rate * operator_time_s * view.capacity_factors[plans]
        return np.where(station < 0, 0.0, work / (pools.max_utilisation * self.servers[station]))


@compiled
def opens(filled: float, room: float) -> bool:
    """Return whether a query that fills a share of a station needs a new station.

    A new station is needed if the share exceeds the room by more than a rounding error.
    """
    return filled > room + 1e-12


@compiled
def share_taken(filled: float, room: float, waste: float) -> float:
    """Return the share of a station that is charged to a query that fills ``filled`` of it.

    If the station is new, the part ``waste`` of its spare capacity is charged in addition.
    """
    if filled > 0 and opens(filled, room):
        return float(filled + waste * max(0.0, np.ceil(filled) - filled))
    return filled


@compiled
def room_in(left: Floats, kind: int, key: int) -> float:
    """Return the room that ``Standing.left`` has for the station that an operator would join."""
    return float(left[kind, key]) if kind < left.shape[0] and key < left.shape[1] else 0.0


def takes_of(context: PlanningContext, pools: Pools, view: PlanView) -> ResourceUse:
    """Return the resources for a view's kinds of station; views of one space share them."""
    return KEPT.of(view.space, "takes", lambda: ResourceUse.of(context, pools, view))


@dataclass(frozen=True)
class Market:
    """The pools, their prices, and the existing stations."""

    pools: Pools
    prices: Floats  # price of a unit of each pool, of shape (R,)
    standing: Standing
    value: float = 0.0  # worth of certain service minus that of none, in units of price

    def loss(self, price: float, probability: float) -> float:
        """Return the loss: the price, plus the worth of service times the risk of failing."""
        return price + (1 - probability) * self.value
