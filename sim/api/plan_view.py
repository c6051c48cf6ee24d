"""All plans of a query as arrays."""

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
    """A kind of station off the device.

    Two queries share a real station if kinds and operator keys of their plans agree.

    Args:
        operator: index of the operator that it serves.
        node: where it is.
        profile: ``"core"`` or a GPU profile.
        thread_percent: share of each instance's threads.
        replicas: cores or GPU instances that one station takes.
        servers: servers that its members share.
        max_batch: most requests that a server takes at once.
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
    """One way through the operators, under all plans of a view.

    The times are those of ``sim.api.prediction.DagPath`` in seconds, each of shape (P,);
    ``operators`` are those on the way, shape (n,).
    """

    operators: Ints
    access_s: Floats
    backhaul_s: Floats
    backhaul_up_s: Floats
    fixed_s: Floats


@dataclass(frozen=True, eq=False)
class Records:
    """The plans of a view in order of their configurations.

    Searches look at all plans of a configuration together, so these lie together in memory.

    Args:
        order: the plans in this order, shape (P,).
        ends: where those of each configuration begin, and the last end, shape (C + 1,).
        place: where each plan is in it, shape (P,).
        served: columns ``station``, ``operator_key``, ``servers``, ``at_once``, and the factors of
            latency, of capacity and of crowding, shape (P, N, 7).
        met: ``access_s``, ``backhaul_s``, ``backhaul_up_s`` and ``fixed_s`` of all edges, and then
            of each of W ways, shape (P, 1 + W, 4).
    """

    order: Ints
    ends: Ints
    place: Ints
    served: Floats
    met: Floats


class PlanSource(Protocol):
    """Makes plans from their numbers."""

    def plan(self, index: int) -> Plan:
        """Return plan number ``index``; the same object every time."""


@dataclass(frozen=True, eq=False)
class PlanView:
    """All plans that a query's device can take part in: P plans, N operators, K station kinds.

    The figures are those that the planning context gives for single plans, at nominal speeds.
    Arrays are read-only. Similar queries share them.

    Args:
        configuration: index of the plan's configuration, shape (P,).
        layout: number of its layout, which is its placement with its allocation, shape (P,).
        latency_factors: time of a lone request over that on profiling hardware, shape (P, N).
        capacity_factors: what a request takes of a server over its profiled time, shape (P, N).
        crowded_factors: time of a request on a full server over its profiled time, shape (P, N).
        at_once: requests that a server serves at the same time, shape (P, N); above 1 for
            language models.
        servers: servers of each operator's station, shape (P, N).
        access_s: transmission time of all messages on the access uplink, shape (P,).
        backhaul_s: that of all messages on the backhaul and of the answer, shape (P,).
        backhaul_up_s: the part of it on the backhaul to the cloud, where others send too, shape
            (P,).
        fixed_s: propagation delays and longest batching waits, shape (P,). Where operators fork and
            join, the sum over all of them, as if one came after the other.
        ways: the ways through the operators, each with what is met on it; one for a chain.
        list_price_usd_per_hour: price if no other query shares the plan's stations, shape (P,).
        cost_usd_per_hour: that and egress, shape (P,).
        stations: the kinds of station that plans use; the same for all queries.
        station: which of them each operator uses, -1 on the device, shape (P, N).
        operator_key: a number of each operator's own and upstream knob values, shape (P, N); equal
            numbers mean equal values, in the views of all queries.
        space: the space that the plans are from; for the planning context.
        number: their numbers there, shape (P,).
        records: the figures once more, for compiled functions.
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
        """Return the view if operators ran faster by some factors, shape (P, N)."""
        return recorded(
            replace(
                self,
                latency_factors=self.latency_factors / speed,
                capacity_factors=self.capacity_factors / speed,
                crowded_factors=self.crowded_factors / speed,
            )
        )

    def plan(self, index: int) -> Plan:
        """Return plan number ``index`` of the view."""
        return self.space.plan(self.number.item(index))

    def index_of(self, plan: Plan) -> int | None:
        """Return the number of a plan in the view, or None if it is not there."""
        alike = np.flatnonzero(self.configuration == plan.configuration.index).tolist()
        return next((index for index in alike if self.plan(index) == plan), None)


def recorded(view: PlanView) -> PlanView:
    """Return a view with its records of how operators are served."""
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
