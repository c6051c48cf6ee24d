"""All plans that could serve a query, as arrays, for evaluating many plans at once."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scenarios.applications.dataset import Dataset
from scenarios.cluster import DEVICE
from scenarios.numerics import Floats, Ints
from scenarios.queries import Query
from sim.api.choices import Choices
from sim.api.plan_view import PlanView, Records, StationKind, WayView, recorded, sealed
from sim.catalogue.catalogue import ACCESS, UP, Catalogue, Crossing
from sim.planning.plan_space import PlanSpace

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
S_PER_HOUR = 3600
VIEWS_KEPT = 256


@dataclass(frozen=True)
class Links:
    """The links of a query, at nominal or at true speeds."""

    # Time to send messages of sizes in bytes over the link of a crossing.
    sent_s: Callable[[Crossing, Floats], Floats]
    propagation_s: Callable[[Crossing], float]  # one-way delay of the link of a crossing


def nominal_links(nominal: Catalogue, query: Query) -> Links:
    """Return the links of a query with the catalogue's nominal values."""
    return Links(
        lambda crossing, size: 8 * size / nominal.capacity_bps(query, crossing),
        lambda crossing: nominal.propagation_s(query, crossing),
    )


class PlanViews:
    """The plan views of one run, which are created when first needed."""

    def __init__(self, nominal: Catalogue) -> None:
        self._nominal = nominal
        self._spaces: dict[Choices, PlanSpace] = {}
        self._stations: dict[Choices, tuple[tuple[StationKind, ...], list[Ints]]] = {}
        self._on_device: dict[Hashable, PlanView] = {}
        self._views: dict[Hashable, PlanView] = {}

    def space(self, choices: Choices) -> PlanSpace:
        """Return the space of all plans whose allocations are among the choices."""
        return _kept(self._spaces, choices, lambda: PlanSpace(self._nominal, choices))

    def view(self, query: Query, choices: Choices) -> PlanView:
        """Return the view of a query; queries with equal views share one object."""
        kind = query.device.name, query.technology, query.dataset, query.requests_per_s, choices
        return _kept(
            self._views,
            kind,
            lambda: self.with_links(query, choices, nominal_links(self._nominal, query)),
        )

    def with_links(self, query: Query, choices: Choices, links: Links) -> PlanView:
        """Return the view of a query with the given links instead of nominal ones."""
        blank = _kept(
            self._on_device,
            (query.device.name, choices),
            lambda: self._without_links(query, choices),
        )
        space = self.space(choices)
        dataset = self._nominal.application.datasets[query.dataset]
        pipeline = self._nominal.application.pipeline
        placement = space.layout_placement[blank.layout]
        option = space.layout_option[blank.layout]
        sent_s: dict[tuple[str, str], Floats] = {}

        def way(operators: Sequence[int], edges: Sequence[int]) -> WayView:
            figures = self._link_figures(space, dataset, links, edges, sent_s)
            access_s, down_s, up_s = (each[placement, blank.configuration] for each in figures[:3])
            waits_s = [
                np.array([each.max_wait_s for _, each in space.options[at]])[option[:, at]]
                for at in operators
            ]
            fixed_s = np.sum(waits_s, axis=0) + figures[3][placement]
            columns = np.array(operators), access_s, down_s + up_s, up_s, fixed_s
            return WayView(*map(sealed, columns))

        whole = way(range(len(pipeline.operators)), range(len(pipeline.edges) + 1))
        paths = pipeline.paths if len(pipeline.paths) > 1 else ()
        ways = tuple(way(*path) for path in paths) or (whole,)
        usd = [self._nominal.egress_usd_per_answer(each) for each in space.placements]
        egress_usd_per_hour = query.requests_per_s * S_PER_HOUR * np.array(usd)
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
            cost_usd_per_hour=sealed(
                blank.list_price_usd_per_hour + egress_usd_per_hour[placement]
            ),
            records=replace(blank.records, met=sealed(np.stack(met, axis=1)[blank.records.order])),
        )

    def _link_figures(
        self,
        space: PlanSpace,
        dataset: Dataset,
        links: Links,
        edges: Sequence[int],
        sent_s: dict[tuple[str, str], Floats],
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the transmission times, of shape (placements, C), and propagation delays of edges.

        The transmission times are those on the access uplink, on all downlinks, and on the
        backhaul's uplink.
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
            sealed(configuration),
            sealed(layout),
            sealed(np.column_stack(gathered("latency"))),
            sealed(np.column_stack(gathered("capacity"))),
            sealed(np.column_stack(gathered("crowded"))),
            sealed(np.column_stack(gathered("at_once"))),
            sealed(np.column_stack([servers[at][row] for at, row in columns])),
            access_s=unknown,
            backhaul_s=unknown,
            backhaul_up_s=unknown,
            fixed_s=unknown,
            ways=(),
            list_price_usd_per_hour=sealed(space.list_price_usd_per_hour[number]),
            cost_usd_per_hour=unknown,
            stations=stations,
            station=sealed(np.column_stack([of_option[at][row] for at, row in columns])),
            operator_key=sealed(space.keys.identity[configuration]),
            space=space,
            number=sealed(number),
            records=Records(
                sealed(order),
                sealed(np.concatenate([[0], np.cumsum(counts)])),
                sealed(np.argsort(order)),
                served=unknown,
                met=unknown,
            ),
        )
        return recorded(blank)


def _station_kinds(space: PlanSpace) -> tuple[tuple[StationKind, ...], list[Ints]]:
    """Return a space's kinds of station, and the index of the kind that each option uses."""
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
    """Return a key's cached value, or make and cache one; a full cache drops its oldest value."""
    if key not in known:
        if len(known) >= VIEWS_KEPT:
            del known[next(iter(known))]
        known[key] = make()
    return known[key]
