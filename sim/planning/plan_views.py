"""All plans that a query could be served by, as arrays, for scoring and matching in bulk."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scenarios.application import Dataset
from scenarios.cluster import DEVICE
from scenarios.queries import Query
from sim.api.plan import Plan
from sim.catalogue.catalogue import ACCESS, UP, Catalogue, Crossing
from sim.planning.plan_space import Choices, PlanSpace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
S = TypeVar("S", bound=np.generic)
S_PER_HOUR = 3600
VIEWS_KEPT = 256
STATION, KEY, SERVERS, AT_ONCE, LATENCY, CAPACITY, CROWDED = range(7)
"""Columns of ``Records.served``: ``station``, ``operator_key`` and so on."""
ALL = 0
"""Row of ``Records.met`` for all edges; those of the ways follow."""
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
    """One way through the operators, under all plans of a view; see ``sim.api.prediction.Way``.

    Args:
        operators: the operators on it, shape (n,).
        access_s: transmission time of its messages on the access uplink, shape (P,).
        backhaul_s: that on the backhaul and of the answer, shape (P,).
        backhaul_up_s: the part of it on the backhaul to the cloud, shape (P,).
        fixed_s: propagation delays and longest batching waits, shape (P,).
    """

    operators: Integers
    access_s: Floats
    backhaul_s: Floats
    backhaul_up_s: Floats
    fixed_s: Floats


@dataclass(frozen=True, eq=False)
class Records:
    """The plans of a view in order of their configurations, all figures of one side by side.

    Plans of a configuration are looked at together: so they are read from one place in memory.

    Args:
        order: the plans in this order, shape (P,).
        ends: where those of each configuration begin, and the last end, shape (C + 1,).
        place: where each plan is in it, shape (P,).
        served: columns ``station``, ``operator_key``, ``servers``, ``at_once``, and the factors of
            latency, of capacity and of crowding, shape (P, N, 7).
        met: ``access_s``, ``backhaul_s``, ``backhaul_up_s`` and ``fixed_s`` of all edges, and then
            of each of W ways, shape (P, 1 + W, 4).
    """

    order: Integers
    ends: Integers
    place: Integers
    served: Floats
    met: Floats


@dataclass(frozen=True, eq=False)
class PlanView:
    """All plans that a query's device can take part in: P plans, N operators, K station kinds.

    The figures are those that the planning context tells of single plans, at nominal speeds.
    Arrays are read-only, and shared by all queries that are alike.

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

    configuration: Integers
    layout: Integers
    latency_factors: Floats
    capacity_factors: Floats
    crowded_factors: Floats
    at_once: Integers
    servers: Integers
    access_s: Floats
    backhaul_s: Floats
    backhaul_up_s: Floats
    fixed_s: Floats
    ways: tuple[WayView, ...]
    list_price_usd_per_hour: Floats
    cost_usd_per_hour: Floats
    stations: tuple[StationKind, ...]
    station: Integers
    operator_key: Integers
    space: PlanSpace
    number: Integers
    records: Records

    def __len__(self) -> int:
        return len(self.configuration)

    def at_speed(self, speed: Floats) -> "PlanView":
        """Return the view if operators ran faster by some factors, shape (P, N)."""
        return _recorded(
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


@dataclass(frozen=True)
class Links:
    """The links of a query, as believed or as they are.

    Args:
        sent_s: time to transmit messages of sizes in bytes over the link of a crossing.
        propagation_s: one-way delay of the link of a crossing.
    """

    sent_s: Callable[[Crossing, Floats], Floats]
    propagation_s: Callable[[Crossing], float]


def nominal_links(nominal: Catalogue, query: Query) -> Links:
    """Return the links that the catalogue states for a query."""
    return Links(
        lambda crossing, size: 8 * size / nominal.capacity_bps(query, crossing),
        lambda crossing: nominal.propagation_s(query, crossing),
    )


class PlanViews:
    """The views of one run, made when asked for.

    Args:
        nominal: the catalogue of the scenario.
    """

    def __init__(self, nominal: Catalogue) -> None:
        self._nominal = nominal
        self._spaces: dict[Choices, PlanSpace] = {}
        self._stations: dict[Choices, tuple[tuple[StationKind, ...], list[Integers]]] = {}
        self._on_device: dict[Hashable, PlanView] = {}
        self._views: dict[Hashable, PlanView] = {}

    def space(self, choices: Choices) -> PlanSpace:
        """Return the space of all plans with some allocations."""
        return _kept(self._spaces, choices, lambda: PlanSpace(self._nominal, choices))

    def view(self, query: Query, choices: Choices) -> PlanView:
        """Return the view of a query, by what of the query it depends on."""
        kind = query.device.name, query.technology, query.dataset, query.requests_per_s, choices
        return _kept(
            self._views,
            kind,
            lambda: self.with_links(query, choices, nominal_links(self._nominal, query)),
        )

    def with_links(self, query: Query, choices: Choices, links: Links) -> PlanView:
        """Return the view of a query whose links are as given."""
        blank = _kept(
            self._on_device,
            (query.device.name, choices),
            lambda: self._without_links(query, choices),
        )
        dataset = self._nominal.application.datasets[query.dataset]
        pipeline = self._nominal.application.pipeline
        every = range(len(pipeline.edges) + 1)
        sent_s: dict[tuple[str, str], Floats] = {}
        whole, *parts = (
            self._way(blank, dataset, links, operators, edges, sent_s)
            for operators, edges in (
                (tuple(range(len(pipeline.operators))), every),
                *(pipeline.paths if len(pipeline.paths) > 1 else ()),
            )
        )
        usd = [self._nominal.egress_usd_per_answer(each) for each in blank.space.placements]
        egress_usd_per_hour = query.requests_per_s * S_PER_HOUR * np.array(usd)
        placement = blank.space.layout_placement[blank.layout]
        ways = tuple(parts or (whole,))
        met = [
            np.column_stack([way.access_s, way.backhaul_s, way.backhaul_up_s, way.fixed_s])
            for way in (whole, *ways)
        ]
        return replace(
            blank,
            access_s=whole.access_s,
            backhaul_s=whole.backhaul_s,
            backhaul_up_s=whole.backhaul_up_s,
            fixed_s=whole.fixed_s,
            ways=ways,
            cost_usd_per_hour=_sealed(
                blank.list_price_usd_per_hour + egress_usd_per_hour[placement]
            ),
            records=replace(blank.records, met=_sealed(np.stack(met, axis=1)[blank.records.order])),
        )

    def _way(
        self,
        view: PlanView,
        dataset: Dataset,
        links: Links,
        operators: tuple[int, ...],
        edges: Sequence[int],
        sent_s: dict[tuple[str, str], Floats],
    ) -> WayView:
        """Return what is met on some edges and at some operators, under all plans of a view."""
        space, configuration = view.space, view.configuration
        access_s, down_s, up_s, fixed_s = self._link_figures(space, dataset, links, edges, sent_s)
        placement = space.layout_placement[view.layout]
        option = space.layout_option[view.layout]
        waits_s = [
            np.array([each.max_wait_s for _, each in space.options[at]])[option[:, at]]
            for at in operators
        ]
        return WayView(
            _sealed(np.array(operators)),
            _sealed(access_s[placement, configuration]),
            _sealed((down_s + up_s)[placement, configuration]),
            _sealed(up_s[placement, configuration]),
            _sealed(np.sum(waits_s, axis=0) + fixed_s[placement]),
        )

    def _link_figures(
        self,
        space: PlanSpace,
        dataset: Dataset,
        links: Links,
        edges: Sequence[int],
        sent_s: dict[tuple[str, str], Floats],
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Return transmission times, shape (placements, C), and propagation delays, on some edges.

        The times are on the access uplink, on all ways down, and on the backhaul up. Those of all
        sizes on a link are kept in ``sent_s``.
        """
        sizes, number = np.unique(dataset.message_bytes, return_inverse=True)
        number = number.reshape(dataset.message_bytes.shape)
        sizes = np.append(sizes, self._nominal.application.answer_bytes)
        shape = len(space.placements), len(dataset.message_bytes)
        access_s, down_s, up_s = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        fixed_s = np.zeros(shape[0])
        for row, placement in enumerate(space.placements):
            for link, direction, edge in self._nominal.hops(placement):
                if edge not in edges:
                    continue
                crossing = Crossing(link, direction, edge, 0.0)
                fixed_s[row] += links.propagation_s(crossing)
                way = link, direction
                if way not in sent_s:
                    sent_s[way] = links.sent_s(crossing, sizes)
                if direction != UP:
                    down_s[row] += sent_s[way][-1]
                else:
                    into = access_s if link == ACCESS else up_s
                    into[row] += sent_s[way][number[:, edge]]
        return access_s, down_s, up_s, fixed_s

    def _without_links(self, query: Query, choices: Choices) -> PlanView:
        """Return all of a view that depends on the device alone."""
        space = self.space(choices)
        number = np.flatnonzero(space.on(query.device))
        layout, configuration = space.layout[number], space.configuration[number]
        option, column = space.layout_option[layout], space.keys.column[configuration]
        tables = space.tables_on(query.device)

        def gathered(figure: str) -> list[NDArray[np.generic]]:
            return [
                getattr(table, figure)[option[:, at], column[:, at]]
                for at, table in enumerate(tables)
            ]

        stations, of_option = _kept(self._stations, choices, lambda: _station_kinds(space))
        servers = [np.array([each.servers for _, each in row]) for row in space.options]
        columns = list(enumerate(option.T))
        order = np.argsort(configuration, kind="stable")
        counts = np.bincount(configuration, minlength=len(space.keys.column))
        unknown = np.zeros(0)
        blank = PlanView(
            _sealed(configuration),
            _sealed(layout),
            _sealed(np.column_stack(gathered("latency"))),
            _sealed(np.column_stack(gathered("capacity"))),
            _sealed(np.column_stack(gathered("crowded"))),
            _sealed(np.column_stack(gathered("at_once"))),
            _sealed(np.column_stack([servers[at][row] for at, row in columns])),
            access_s=unknown,
            backhaul_s=unknown,
            backhaul_up_s=unknown,
            fixed_s=unknown,
            ways=(),
            list_price_usd_per_hour=_sealed(space.list_price_usd_per_hour[number]),
            cost_usd_per_hour=unknown,
            stations=stations,
            station=_sealed(np.column_stack([of_option[at][row] for at, row in columns])),
            operator_key=_sealed(space.keys.identity[configuration]),
            space=space,
            number=_sealed(number),
            records=Records(
                _sealed(order),
                _sealed(np.concatenate([[0], np.cumsum(counts)])),
                _sealed(np.argsort(order)),
                served=unknown,
                met=unknown,
            ),
        )
        return _recorded(blank)


def _recorded(view: PlanView) -> PlanView:
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
    records = replace(view.records, served=_sealed(served[view.records.order]))
    return replace(view, records=records)


def _station_kinds(space: PlanSpace) -> tuple[tuple[StationKind, ...], list[Integers]]:
    """Return all kinds of station of a space, and which one each option of an operator uses."""
    kinds: list[StationKind] = []
    of_option = []
    for operator, options in enumerate(space.options):
        numbers = []
        for place, each in options:
            numbers.append(-1 if place == DEVICE else len(kinds))
            if place != DEVICE:
                kinds.append(
                    StationKind(
                        operator,
                        place,
                        each.profile,
                        each.thread_percent,
                        each.replicas,
                        each.servers,
                        each.max_batch,
                    )
                )
        of_option.append(np.array(numbers, dtype=np.int64))
    return tuple(kinds), of_option


def _kept(known: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """Return what is kept under a key, made if need be; of many, the oldest is let go."""
    if key not in known:
        if len(known) >= VIEWS_KEPT:
            del known[next(iter(known))]
        known[key] = make()
    return known[key]


def _sealed(array: NDArray[S]) -> NDArray[S]:
    array.setflags(write=False)
    return array
