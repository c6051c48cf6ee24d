"""All plans that a query can have, as arrays."""

from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from scenarios.numerics import Floats, Ints
from sim.api.plan import Plan

S = TypeVar("S", bound=np.generic)

STATION, KEY, SERVERS, AT_ONCE, LATENCY, CAPACITY, CROWDED = range(7)
"""Columns of ``Records.served``: ``station``, ``operator_key`` and so on."""
ALL = 0
"""Row of ``Records.met`` for all edges; the rows of the ways follow."""
ACCESS_S, BACKHAUL_S, BACKHAUL_UP_S, FIXED_S = range(4)
"""Columns of ``Records.met``."""


@dataclass(frozen=True, slots=True)
class StationKind:
    """A kind of station that is not on a device.

    Two queries can share a station if their plans use the same kind of station with the same
    operator key.

    Args:
        operator: index of the operator that it serves.
        node: the node of the station.
        profile: ``"core"`` or a GPU profile.
        thread_percent: percentage of each instance's threads.
        replicas: number of cores or GPU instances that one station takes.
        servers: number of servers that the members of the station share.
        max_batch: largest number of requests that a server takes at once.
    """

    operator: int
    node: str
    profile: str
    thread_percent: int
    replicas: int
    servers: int
    max_batch: int


@dataclass(frozen=True, eq=False)
class WayView:
    """One path through the operators, under all plans of a view.

    The times are those of ``sim.api.prediction.DagPath``, in seconds, each of shape (P,).
    ``operators`` has the indices of the n operators on the path.
    """

    operators: Ints
    access_s: Floats
    backhaul_s: Floats
    backhaul_up_s: Floats
    fixed_s: Floats


@dataclass(frozen=True, eq=False)
class Records:
    """The values of a view's plans, sorted by configuration.

    Searches read all plans of a configuration together, so those plans are adjacent in memory.

    Args:
        order: indices of the plans, sorted by configuration, of shape (P,).
        ends: indices in ``order`` at which the plans of each configuration begin, followed by the
            index at which the last configuration's plans end; of shape (C + 1,).
        place: position of each plan in ``order``, of shape (P,).
        served: the values of ``station``, ``operator_key``, ``servers`` and ``at_once``, followed
            by the factors of latency, capacity and crowding; of shape (P, N, 7).
        met: the values of ``access_s``, ``backhaul_s``, ``backhaul_up_s`` and ``fixed_s``, of shape
            (P, 1 + W, 4). For each plan, the first row is for all edges, and each other row is for
            one of the W paths.
    """

    order: Ints
    ends: Ints
    place: Ints
    served: Floats
    met: Floats


class PlanSource(Protocol):
    """Constructs plans from their indices."""

    def plan(self, index: int) -> Plan:
        """Return the plan at index ``index``; later calls return the same object."""


@dataclass(frozen=True, eq=False)
class PlanView:
    """All plans that the cluster and the query's device can run: P plans, N operators, K kinds.

    The values equal those that the planning context gives for single plans at nominal speeds.
    Arrays are read-only; views of similar queries share them.

    Args:
        configuration: index of the plan's configuration, of shape (P,).
        layout: number of the plan's layout, which is its placement with its allocations, of shape
            (P,).
        latency_factors: time of a request that is served alone, divided by its time on profiling
            hardware, of shape (P, N).
        capacity_factors: server time that a request takes, divided by its profiled time, of shape
            (P, N).
        crowded_factors: time of a request on a full server, divided by its profiled time, of shape
            (P, N).
        at_once: number of requests that a server serves at the same time, of shape (P, N); it is
            above 1 for language models.
        servers: number of servers of each operator's station, of shape (P, N).
        access_s: transmission time of all messages on the access uplink, of shape (P,).
        backhaul_s: transmission time of the answer and of all messages on the backhaul, of shape
            (P,).
        backhaul_up_s: the part of ``backhaul_s`` on the backhaul to the cloud, which other queries
            share, of shape (P,).
        fixed_s: propagation delays and longest batching waits, of shape (P,). Where operators fork
            and join, it is the sum over all operators, as if they formed a chain.
        ways: the paths through the operators with their times; a chain has one path.
        list_price_usd_per_hour: price if no other query shares the plan's stations, of shape (P,).
        cost_usd_per_hour: the list price plus egress, of shape (P,).
        stations: the kinds of station that plans use, which are the same for all queries.
        station: index in ``stations`` of the kind that each operator uses, or -1 on the device; of
            shape (P, N).
        operator_key: a number that identifies the values of each operator's own and upstream knobs,
            of shape (P, N); equal numbers mean equal values, even in views of different queries.
        space: the plan space to which the plans belong, for use by the planning context.
        number: indices of the plans in that space, of shape (P,).
        records: the same values in another layout, for compiled functions.
    """

    configuration: Ints
    layout: Ints
    latency_factors: Floats
    capacity_factors: Floats
    crowded_factors: Floats
    at_once: Ints
    servers: Ints
    access_s: Floats
    backhaul_s: Floats
    backhaul_up_s: Floats
    fixed_s: Floats
    ways: tuple[WayView, ...]
    list_price_usd_per_hour: Floats
    cost_usd_per_hour: Floats
    stations: tuple[StationKind, ...]
    station: Ints
    operator_key: Ints
    space: PlanSource
    number: Ints
    records: Records

    def __len__(self) -> int:
        return len(self.configuration)

    def at_speed(self, speed: Floats) -> "PlanView":
        """Return a copy whose operators run faster by the factors ``speed``, of shape (P, N)."""
        return recorded(
            replace(
                self,
                latency_factors=self.latency_factors / speed,
                capacity_factors=self.capacity_factors / speed,
                crowded_factors=self.crowded_factors / speed,
            )
        )

    def plan(self, index: int) -> Plan:
        """Return the plan at index ``index`` of the view."""
        return self.space.plan(self.number.item(index))

    def index_of(self, plan: Plan) -> int | None:
        """Return the index of a plan in the view, or None if the plan is not in the view."""
        alike = np.flatnonzero(self.configuration == plan.configuration.index).tolist()
        return next((index for index in alike if self.plan(index) == plan), None)


def recorded(view: PlanView) -> PlanView:
    """Return a copy of the view with its ``records`` filled in."""
    columns = (
        view.station,
        view.operator_key,
        view.servers,
        view.at_once,
        view.latency_factors,
        view.capacity_factors,
        view.crowded_factors,
    )
    served = np.stack([column.astype(np.float64) for column in columns], axis=2)
    records = replace(view.records, served=sealed(served[view.records.order]))
    return replace(view, records=records)


def sealed(array: NDArray[S]) -> NDArray[S]:
    """Make an array read-only, and return it."""
    array.setflags(write=False)
    return array
