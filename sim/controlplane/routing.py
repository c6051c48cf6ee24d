"""Creation of the data plane's links, stations and routes, with their true speeds."""

from itertools import chain

import numpy as np

from scenarios.applications.application import LanguageModel
from scenarios.applications.dataset import Tokens
from scenarios.cluster import DEVICE
from scenarios.queries import QueryTruth
from scenarios.scenario import Scenario
from sim.api.plan import Plan
from sim.catalogue.catalogue import ACCESS, BACKHAUL, DOWN, UP, Catalogue
from sim.clock import NS_PER_S, ns
from sim.cluster.machines import Station
from sim.cluster.queries import Deployment, QueryState
from sim.controlplane.speeds import HiddenSpeeds
from sim.dataplane.base.durations import NEVER
from sim.dataplane.base.interface import (
    DataPlane,
    LinkSpec,
    Processor,
    Route,
    StationSpec,
    Visit,
)
from sim.dataplane.base.rate_profile import RateProfile, constant, stepwise

LinkName = tuple[str, str, int | None]


class RouteBuilder:
    """Creates the links, stations and routes of a run, with their true speeds."""

    def __init__(
        self, data: DataPlane, scenario: Scenario, nominal: Catalogue, speeds: HiddenSpeeds
    ) -> None:
        self._speeds = speeds
        self._data = data
        self._application = scenario.application
        self._cluster = scenario.cluster
        self._link_discipline = scenario.network.discipline
        self._priorities = {tier: rank for rank, tier in enumerate(scenario.tiers)}
        self._nominal = nominal
        self._links: dict[LinkName, int] = {}
        self._links_made = 0
        for direction in (UP, DOWN):
            self._add_link(
                (BACKHAUL, direction, None),
                constant(round(nominal.backhaul_bps / 8)),
                nominal.backhaul_rtt_s / 2,
            )

    def add_access_link(self, query: int, truth: QueryTruth, now_ns: int) -> None:
        """Add the private access link of a new query, in both directions."""
        for direction, capacity in (
            (UP, truth.uplink_bytes_per_s),
            (DOWN, truth.downlink_bytes_per_s),
        ):
            starts_ns = now_ns + NS_PER_S * np.arange(len(capacity))
            profile = RateProfile(starts_ns, capacity)
            self._add_link((ACCESS, direction, query), profile, truth.access_rtt_s / 2)

    def remove_access_link(self, query: int) -> None:
        """Remove the access link of a query that has no more requests in flight."""
        for direction in (UP, DOWN):
            self._data.remove_link(self._links.pop((ACCESS, direction, query)))

    def _add_link(self, name: LinkName, capacity: RateProfile, propagation_s: float) -> None:
        link = self._links[name] = self._links_made
        self._links_made += 1
        self._data.add_link(LinkSpec(link, capacity, ns(propagation_s), self._link_discipline))

    def add_station(self, state: QueryState, station: Station, plan: Plan) -> None:
        """Add a new station of a plan; a station on a device slows down as the device does."""
        operator, _, place, allocation = station.key
        service = self._nominal.service(
            state.query.device, operator, plan.configuration, place, allocation
        )
        speed = constant()
        if not station.slots:
            speed = stepwise([(ns(at_s), factor) for at_s, factor in state.truth.slowdowns])
        self._data.add_station(
            StationSpec(
                station.id,
                allocation.servers,
                allocation.max_batch,
                ns(allocation.max_wait_s),
                service.batch_factor
                if station.slots  # A device serves a batch one by one.
                else tuple(float(size) for size in range(1, allocation.max_batch + 1)),
                speed,
                iterations=service.iterations
                and service.iterations.at_speed(self._speeds.of(station)),
                batch_time=self._application.operators[operator].batch_time,
                discipline=self._cluster.discipline,
                shed_late=self._cluster.shed_late,
                processor=self._processor(station),
            )
        )

    def _processor(self, station: Station) -> Processor | None:
        """Return the cores that a station shares with others, if any."""
        slot = next(iter(station.slots), None)
        if slot is None or slot.instance is not None:
            return None
        node = slot.machine.node
        if node.replicas_per_core == 1:
            return None
        number = list(self._cluster.nodes).index(slot.machine.node_name)
        return Processor(number, node.shared_cores, tuple(node.core_slowdown))

    def route(self, state: QueryState, deployment: Deployment) -> Route:
        """Return the route of a deployment's requests."""
        query, plan = state.query, deployment.plan
        dataset = self._application.datasets[query.dataset]
        times_s = dataset.service_time_s[plan.configuration.index].tolist()
        services = self._nominal.services(query, plan)
        crossings = list(self._nominal.crossings(query, plan))
        edges = self._application.pipeline.edges
        visits: list[Visit] = []

        def send(edge: int, operator: int, after: tuple[int, ...]) -> tuple[int, ...]:
            """Add the links of an edge after the visits ``after``; return the last added visit."""
            for crossing in crossings:
                if crossing.edge == edge:
                    owner = query.id if crossing.link == ACCESS else None
                    link = self._links[crossing.link, crossing.direction, owner]
                    visits.append(Visit(operator, None, link, crossing.mean_bytes, after))
                    after = (len(visits) - 1,)
            return after

        served: list[tuple[int, ...]] = []  # the visit at which each operator serves
        for operator in range(len(plan.placement)):
            ways = [
                send(edge, operator, () if earlier is None else served[earlier])
                for edge, (earlier, to) in enumerate(edges)
                if to == operator
            ]
            station = deployment.stations[operator]
            work: float | Tokens
            if isinstance(self._application.model(operator, plan.configuration), LanguageModel):
                work = dataset.tokens(plan.configuration.index, operator)
            else:
                time_s = times_s[operator] * services[operator].factor
                if plan.placement[operator] == DEVICE:
                    time_s /= state.truth.device_factor
                work = time_s / self._speeds.of(station) * NS_PER_S
            after = tuple(chain.from_iterable(ways))
            fixed = services[operator].fixed_share
            visits.append(Visit(operator, station.id, None, work, after, fixed))
            served.append((len(visits) - 1,))
        send(len(edges), len(plan.placement), served[-1])
        bound_s = query.slo.latency_s
        return Route(
            deployment.number,
            tuple(visits),
            NEVER if bound_s is None else ns(bound_s),
            self._priorities[query.tier],
        )
