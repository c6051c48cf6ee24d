"""Which plans could serve a query at all, with everything in their favour, and what they take.

No planner may exceed the bound on goodput, so every doubt is resolved in favour of the plan:

* Every operator has a server of its own choice to itself: nothing waits, and nothing interferes.
  Servers off the device are as fast as the fastest of about a thousand of their hidden speeds.
* A request is one of the smallest quarter, and is sent when the link is among its fastest quarter
  of seconds. A plan whose request is late even so would serve less than half of a window's
  requests in time, while an SLO asks for nearly all.
* The link, the content and the device are the best ones that the query has from one window before
  the period until its end.
* Load is the declared one, which the world enforces: a station takes load up to `max_utilisation`
  of its servers, cores and GPU instances are divided at will, and every share of a station is as
  good as a whole one. The sizes of messages are those of the smallest requests that an SLO's
  quantile allows.
* The cost is that of stations which are filled completely.
"""

from dataclasses import dataclass, fields
from itertools import pairwise, product
from math import exp, sqrt
from typing import NamedTuple

import numpy as np

from hardware_models.devices import DeviceModel
from hardware_models.gpu.mig import profiles
from lab.runs.fronts import Best, Kinds, OnDevice, fronts
from planners.reference.optimum import FeasiblePlan, offers_of
from scenarios.applications.dataset import Dataset
from scenarios.cluster import DEVICE
from scenarios.numerics import Floats, Ints
from scenarios.random_streams import stream
from scenarios.requests import service_factors
from scenarios.scenario import Scenario
from sim.api.plan import CORE, Allocation
from sim.api.plan_view import StationKind
from sim.catalogue.catalogue import ACCESS, UP, Catalogue, ServiceTable, device_table, node_table
from sim.planning.plan_space import PlanSpace

QUICK = 0.25
"""Share of requests, and of a link's seconds, that count as the smallest and the fastest."""

DEVIATIONS = 3.0
"""The fastest server, in standard deviations of the logarithm of hidden speeds."""

SAMPLED = 2048
"""Number of requests from which the quantiles of their sizes are computed."""

FEW = 2.0
"""Standard deviations by which a window may have fewer requests than on average."""

S_PER_HOUR = 3600

CORES, CARDS = "cores", "cards"


class Requests(NamedTuple):
    """How small the requests of a data set are, relative to the mean."""

    small: float  # time and size of one of the smallest quarter, divided by its allowance
    sent: float  # what the smallest requests that an SLO allows add up to, a share of the whole


@dataclass(frozen=True)
class Resources:
    """The shared resources of a scenario: cores and cards of each node, and the backhaul."""

    names: tuple[tuple[str, str], ...]  # node and kind; the last two are directions of the backhaul
    whole: Floats  # what one machine has, or bits per second, of shape (R,)
    usd_per_hour: Floats  # price of a unit, of shape (R,)

    @classmethod
    def of(cls, scenario: Scenario) -> "Resources":
        """Return the resources of a scenario."""
        rows: list[tuple[tuple[str, str], float, float]] = []
        for name, node in scenario.cluster.nodes.items():
            rows.append(((name, CORES), node.cores, node.core_price_usd_per_hour))
            rows.append(((name, CARDS), node.gpus, node.gpu_price_usd_per_hour))
        rows += [(("backhaul", way), scenario.network.backhaul_bps, 0.0) for way in ("up", "down")]
        names, whole, prices = zip(*rows, strict=True)
        return cls(names, np.array(whole, dtype=float), np.array(prices, dtype=float))


class Servable:
    """The kinds of plan of a scenario, with the allocations that default plans have.

    Other allocations, such as shares of GPU instances, are added by `allow` once a plan has them.
    """

    def __init__(self, scenario: Scenario, nominal: Catalogue, space: PlanSpace) -> None:
        self.resources = Resources.of(scenario)
        self._scenario, self._nominal, self._space = scenario, nominal, space
        self._tables = list(space.tables)
        self._options = [list(options) for options in space.options]
        self._requests: dict[str, Requests] = {}
        self._layouts: tuple[Ints, Ints] | None = None  # options, (L, N), and placements, (L,)
        self._alone: dict[str, tuple[ServiceTable, ...]] = {}
        self._kinds: dict[str, tuple[Kinds, Ints]] = {}
        self._on_device: dict[tuple[str, str], OnDevice] = {}

    def allow(self, operator: int, place: str, allocation: Allocation) -> None:
        """Let plans give an operator this allocation, too."""
        share = allocation._replace(replicas=1, max_wait_s=0.0)
        if self._scenario.application.operators[operator].kind != "llm":
            share = share._replace(max_batch=1)  # Declared load does not depend on batches.
        option = place, share
        if place == DEVICE or option in self._options[operator]:
            return
        new, old = node_table(self._nominal, self._space.keys, operator, [option]), self._tables
        names = [each.name for each in fields(ServiceTable)]
        both = [(getattr(old[operator], name), getattr(new, name)) for name in names]
        old[operator] = ServiceTable(*map(np.concatenate, both))
        self._options[operator].append(option)
        self._layouts = None
        self._kinds.clear()
        self._on_device.clear()

    def requests(self, name: str) -> Requests:
        """Return how small the smallest requests of a data set are."""
        if name not in self._requests:
            self._requests[name] = _requests(self._scenario, name)
        return self._requests[name]

    def kinds(self, name: str) -> Kinds:
        """Return the kinds of plan for the queries of a data set."""
        return self._made(name)[0]

    def on_device(self, name: str, model: DeviceModel) -> OnDevice:
        """Return what a device does under each kind of plan of a data set."""
        key = name, model.name
        if key not in self._on_device:
            self._on_device[key] = self._run_on(name, model)
        return self._on_device[key]

    def plans(self, name: str, model: DeviceModel, best: Best) -> tuple[Ints, Floats]:
        """Return what those plans take that could serve each query, and that a bound needs.

        The first plan of each query, and the end, have shape (Q + 1,); the demands, (k, R).
        """
        begin, chosen = self._chosen(name, model, best, every=False)
        return begin, self._made(name)[0].demand[chosen]

    def _chosen(self, name: str, model: DeviceModel, best: Best, every: bool) -> tuple[Ints, Ints]:
        """Return the kinds of plan that could serve each query, as `fronts` does."""
        application = self._scenario.application
        requests, window_s = self.requests(name), application.window_s
        kinds, device = self._made(name)[0], self.on_device(name, model)
        born = application.requests_per_s * window_s
        fewest = max(0.2, 1 - FEW / sqrt(born)) * application.requests_per_s * requests.sent
        return fronts(
            kinds,
            device,
            best,
            requests.small,
            requests.small if application.latency_per == "output_length" else 1.0,
            fewest,
            window_s,
            every,
        )

    def offers(self, name: str, model: DeviceModel, best: Best) -> list[list[FeasiblePlan]]:
        """Return those plans of each query that an integer program needs."""
        begin, chosen = self._chosen(name, model, best, every=True)
        kinds, layout = self._made(name)
        layouts, _ = self._every_layout()
        keys = self._space.keys
        stations, of_option = self._stations()
        option, configuration = layouts[layout], kinds.configuration
        station = np.column_stack([of[row] for of, row in zip(of_option, option.T, strict=True)])
        view = _Stations(stations, station, keys.identity[configuration])
        load = np.zeros(station.shape)
        dataset = self._scenario.application.datasets[name]
        for at, table in enumerate(self._tables):
            its = table.capacity[option[:, at], keys.column[configuration, at]]
            load[:, at] = dataset.service_time_s[configuration, at] * its
        load *= self._scenario.application.requests_per_s
        free = np.zeros(len(layout))
        sent = kinds.demand[:, -2]
        return [
            offers_of(view, its, load[its], free[its], None, sent[its])
            for first, last in pairwise(begin.tolist())
            for its in [chosen[first:last]]
        ]

    def _made(self, name: str) -> tuple[Kinds, Ints]:
        """Return the kinds of plan for a data set, and their layouts, of shape (T,)."""
        if name not in self._kinds:
            self._kinds[name] = self._make(name)
        return self._kinds[name]

    def _make(self, name: str) -> tuple[Kinds, Ints]:
        application, cluster = self._scenario.application, self._scenario.cluster
        dataset, rate = application.datasets[name], application.requests_per_s
        resources, keys = self.resources, self._space.keys
        layouts, placement = self._every_layout()
        shape = len(layouts), len(keys.column)
        runs = np.ones(shape, dtype=bool)
        demand = np.zeros((*shape, len(resources.names)))
        paths = application.pipeline.paths
        node_s = np.zeros((len(paths), *shape))
        fastest = exp(DEVIATIONS * cluster.speed_log_sd)
        for at, table in enumerate(self._tables):
            option, column = layouts[:, at], keys.column[:, at]
            away = option[:, None] > 0
            time_s = dataset.service_time_s[:, at]
            latency, capacity = (
                each[option][:, column] for each in (table.latency, table.capacity)
            )
            runs &= ~away | ~np.isnan(latency)
            for row, path in enumerate(paths):
                if at in path.operators:
                    node_s[row] += np.where(away, latency * time_s / fastest, 0.0)
            resource, units = self._taken(at)
            work = rate * time_s * capacity / cluster.max_utilisation * units[option][:, None]
            rows, columns = np.indices(shape)
            into = rows, columns, np.broadcast_to(resource[option][:, None], shape)
            np.add.at(demand, into, np.where(away, work, 0.0))
        sent = self._sent(dataset)
        messages = rate * 8 * self.requests(name).sent
        demand[..., -2] = messages * sent.trunk_up[placement]
        demand[..., -1] = messages * sent.trunk_down[placement][:, None]
        usd = np.array(
            [self._nominal.egress_usd_per_answer(each) for each in self._space.placements]
        )
        egress = rate * S_PER_HOUR * self.requests(name).sent * usd[placement]
        layout, number = np.nonzero(runs)
        capacity = resources.whole * self._machines()
        scarce = (demand[layout, number] / np.maximum(capacity, 1e-300)).sum(axis=1)
        order = np.argsort(scarce, kind="stable")
        layout, number = layout[order], number[order]
        place = placement[layout]
        takes = np.ascontiguousarray(demand[layout, number])
        by_path = (
            node_s[:, layout, number] + sent.trunk_s[:, place, number],
            *(
                each[:, place, number]
                for each in (sent.up, sent.down, sent.crossings, sent.fixed_s)
            ),
        )
        return (
            Kinds(
                number,
                takes,
                takes @ resources.usd_per_hour + egress[layout],
                sent.whole_up[place, number],
                *map(np.ascontiguousarray, by_path),
            ),
            layout,
        )

    def _machines(self) -> Floats:
        """Return the number of machines that have each resource, of shape (R,)."""
        nodes = self._scenario.cluster.nodes
        return np.array(
            [nodes[name].count if name in nodes else 1 for name, _ in self.resources.names]
        )

    def _every_layout(self) -> tuple[Ints, Ints]:
        """Return the options of each layout's operators, (L, N), and its placement, (L,)."""
        if self._layouts is None:
            layouts, placement = [], []
            for number, places in enumerate(self._space.placements):
                offered = [
                    [at for at, (where, _) in enumerate(options) if where == place]
                    for options, place in zip(self._options, places, strict=True)
                ]
                some = list(product(*offered))
                layouts += some
                placement += [number] * len(some)
            self._layouts = np.array(layouts, dtype=np.int64), np.array(placement, dtype=np.int64)
        return self._layouts

    def _stations(self) -> tuple[tuple[StationKind, ...], list[Ints]]:
        """Return the kinds of station, and that of each operator's options; -1 on the device."""
        kinds: list[StationKind] = []
        of_option = []
        for operator, options in enumerate(self._options):
            numbers = [-1]
            for place, share in options[1:]:
                numbers.append(len(kinds))
                kinds.append(
                    StationKind(
                        operator,
                        place,
                        share.profile.removesuffix("+me"),
                        share.thread_percent,
                        1,
                        share.servers,
                        share.max_batch,
                    )
                )
            of_option.append(np.array(numbers))
        return tuple(kinds), of_option

    def _taken(self, operator: int) -> tuple[Ints, Floats]:
        """Return the resource of each option of an operator, and what a server takes of it."""
        number = {each: at for at, each in enumerate(self.resources.names)}
        resource, units = [0], [0.0]
        for place, share in self._options[operator][1:]:
            if share.profile == CORE:
                resource.append(number[place, CORES])
                units.append(1.0)
                continue
            board = self._scenario.cluster.nodes[place].gpu_board
            assert board is not None
            part = profiles(board)[share.profile].compute_fraction
            resource.append(number[place, CARDS])
            units.append(part * share.thread_percent / 100 / share.processes)
        return np.array(resource), np.array(units)

    def _sent(self, dataset: Dataset) -> "_Sent":
        application, nominal = self._scenario.application, self._nominal
        paths, placements = application.pipeline.paths, self._space.placements
        message_bytes = dataset.message_bytes
        shape = len(paths), len(placements), len(message_bytes)
        up, down, crossings, trunk_s, fixed_s = (np.zeros(shape) for _ in range(5))
        whole_up, trunk_up = np.zeros(shape[1:]), np.zeros(shape[1:])
        trunk_down = np.zeros(shape[1])
        for row, placement in enumerate(placements):
            for link, direction, edge in nominal.hops(placement):
                answer = edge == message_bytes.shape[1]
                size = np.full(len(message_bytes), application.answer_bytes)
                if not answer:
                    size = message_bytes[:, edge]
                on = [at for at, path in enumerate(paths) if edge in path.edges]
                if link == ACCESS:
                    crossings[on, row] += 1
                    (up if direction == UP else down)[on, row] += size
                    if direction == UP:
                        whole_up[row] += size
                    continue
                # As if the network were idle, and in the unit of a small request's time.
                trunk_s[on, row] += 8 * size / nominal.backhaul_bps
                fixed_s[on, row] += nominal.backhaul_rtt_s / 2
                if direction == UP:
                    trunk_up[row] += size
                else:
                    trunk_down[row] += application.answer_bytes
        return _Sent(whole_up, trunk_up, trunk_down, up, down, crossings, trunk_s, fixed_s)

    def _run_on(self, name: str, model: DeviceModel) -> OnDevice:
        application, keys = self._scenario.application, self._space.keys
        kinds, layout = self._made(name)
        layouts, _ = self._every_layout()
        configuration = kinds.configuration
        time_s = application.datasets[name].service_time_s[configuration]
        paths = application.pipeline.paths
        if model.name not in self._alone:
            self._alone[model.name] = tuple(
                device_table(self._nominal, keys, at, model) for at in range(len(self._tables))
            )
        tables = self._alone[model.name]
        need, work_s = np.zeros(len(layout)), np.zeros(len(layout))
        along_s = np.zeros((len(paths), len(layout)))
        for at in range(len(self._tables)):
            table = tables[at]
            here, column = layouts[layout, at] == 0, keys.column[configuration, at]
            its_s = np.where(here, np.nan_to_num(table.latency[0, column]) * time_s[:, at], 0.0)
            need += np.where(here, table.memory_bytes[0, column], 0.0)
            work_s = np.maximum(work_s, its_s)
            for row, path in enumerate(paths):
                if at in path.operators:
                    along_s[row] += its_s
        return OnDevice(need <= model.memory_bytes, work_s, along_s)


class _Stations(NamedTuple):
    """The stations that plans use, as a plan view has them."""

    stations: tuple[StationKind, ...]
    station: Ints
    operator_key: Ints


class _Sent(NamedTuple):
    """The messages under P placements and C configurations, along W paths."""

    whole_up: Floats  # bytes on the access uplink, of shape (P, C)
    trunk_up: Floats  # bytes on the backhaul to the cloud, of shape (P, C)
    trunk_down: Floats  # bytes on the way back, of shape (P,)
    # along each path, of shape (W, P, C)
    up: Floats  # bytes on the access uplink
    down: Floats  # bytes on the access downlink
    crossings: Floats  # crossings of the access link
    trunk_s: Floats  # seconds of sending over the backhaul
    fixed_s: Floats  # seconds of propagation on the backhaul


def _requests(scenario: Scenario, name: str) -> Requests:
    application = scenario.application
    dataset = application.datasets[name]

    def of(purpose: str) -> np.random.Generator:
        return stream(0, "bound", application.name, name, purpose)

    size = dataset.request_size.draw(of("size"), SAMPLED)
    length = dataset.output_length.draw(of("length"), SAMPLED)
    least = np.minimum(1.0, size)  # A share of a service may not scale with size.
    for operator in application.operators:
        factors = service_factors(
            operator,
            scenario.cluster.service_cv,
            lambda its, purpose: lambda count: its.draw(of(purpose), count),
        )(SAMPLED)
        generated = length if operator.kind == "llm" else 1.0
        least = np.minimum(least, np.minimum(1.0, size) * generated * factors)
    allowance = length if application.latency_per == "output_length" else np.ones(SAMPLED)
    quantile = min(tier.slo(1.0).latency_quantile for tier in scenario.tiers.values())
    smallest = np.sort(size)[: int(quantile * SAMPLED)]
    return Requests(
        float(np.quantile(least / allowance, QUICK)), float(smallest.sum() / size.sum())
    )
