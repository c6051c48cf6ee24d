"""The event data plane, in which every request is a process that queues, computes and transfers.

This data plane is the reference. A request is created at its source, and follows the route that is
active at that time:

    source  ->  [link -> station] x operators  ->  link  ->  answer

Where the route forks, a request continues as several branches, each in its own process. Where
branches join, the next leg begins when the last branch has arrived. If a branch ends early, every
leg that waits for the branch gets the branch's outcome, and the other branches continue.

Time is in whole nanoseconds. At equal times, orders of the control plane take effect first
(URGENT), then arrivals (NORMAL), then dispatch (LOW). So when a server chooses its next request,
all arrivals are in the queue, sorted by the queue's discipline and then by (arrival, query,
request, leg).
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
from simpy import Event, Interrupt, Process
from simpy.events import URGENT

from scenarios.cluster import FIFO
from scenarios.requests import RequestBlock
from sim.clock import Clock
from sim.dataplane.base.interface import (
    COMPLETED,
    DROPPED,
    IN_FLIGHT,
    UNSERVED,
    Leg,
    LinkSpec,
    Processor,
    Recorder,
    Route,
    StationSpec,
    Visit,
)
from sim.dataplane.base.request_rows import rows_of
from sim.dataplane.events.generation import GenerationStation
from sim.dataplane.events.processor import Cores, SharedStation
from sim.dataplane.events.request import Request, ScheduledEvent, call_at, interrupt, worse
from sim.dataplane.events.sharing import SharedLink
from sim.dataplane.events.station import EventStation, Link

Stop = tuple[Callable[[Request, Visit], ScheduledEvent], Visit]


class EventsPlane:
    """The data plane that simulates every request event by event; see ``DataPlane``."""

    def __init__(self, recorder: Recorder) -> None:
        self.env = Clock()
        self.recorder = recorder
        self.stations: dict[int, EventStation | GenerationStation] = {}
        self.processors: dict[Processor, Cores] = {}
        self.links: dict[int, Link | SharedLink] = {}
        self.sources: dict[int, Process] = {}
        self.routes: dict[int, tuple[Route, list[list[Stop]]]] = {}
        self.under_way: dict[int, dict[Request, list[Request]]] = {}  # and their branches
        self.born: list[Request] = []
        self.ended: list[Request] = []

    # Orders of the control plane

    def add_station(self, spec: StationSpec) -> None:
        if spec.processor is not None:
            cores = self.processors.setdefault(spec.processor, Cores(self.env, spec.processor))
            self.stations[spec.id] = SharedStation(self.env, spec, cores)
            return
        kind = EventStation if spec.iterations is None else GenerationStation
        self.stations[spec.id] = kind(self.env, spec)

    def add_link(self, spec: LinkSpec) -> None:
        kind = Link if spec.discipline == FIFO else SharedLink
        self.links[spec.id] = kind(self.env, spec)

    def remove_station(self, station: int) -> None:
        del self.stations[station]

    def remove_link(self, link: int) -> None:
        del self.links[link]

    def open_source(self, at_ns: int, query: int, blocks: Iterator[RequestBlock]) -> None:
        def start() -> None:
            self.sources[query] = self.env.process(self._source(query, blocks))

        self._order(at_ns, start)

    def close_source(self, at_ns: int, query: int) -> None:
        def stop() -> None:
            source = self.sources.pop(query)
            if source.is_alive:
                source.interrupt()
            self.routes.pop(query, None)

        self._order(at_ns, stop)

    def route(self, at_ns: int, query: int, route: Route | None) -> None:
        def switch() -> None:
            if route is None:
                self.routes.pop(query, None)
            else:
                self.routes[query] = (route, [self._stops(leg) for leg in route.legs])

        self._order(at_ns, switch)

    def fail_station(self, at_ns: int, station: int) -> None:
        self._order(at_ns, self.stations[station].fail)

    def slow_down(self, at_ns: int, station: int, factor: float) -> None:
        slowed = self.stations[station]  # it may be removed before that moment

        def change() -> None:
            slowed.slowdown = factor

        self._order(at_ns, change)

    def busy_ns(self, station: int) -> int:
        return self.stations[station].busy_until(self.env.now)

    def abort(self, at_ns: int, deployment: int) -> None:
        def drop() -> None:
            for branches in self.under_way.get(deployment, {}).values():
                for branch in branches:
                    for station in self.stations.values():
                        station.withdraw(branch)
                    interrupt(branch, DROPPED)

        self._order(at_ns, drop)

    def _order(self, at_ns: int, action: Callable[[], None]) -> None:
        call_at(self.env, at_ns, URGENT, lambda _: action())

    def _stops(self, leg: Leg) -> list[Stop]:
        stops: list[Stop] = []
        for visit in leg.visits:
            place: Any = self.links if visit.station is None else self.stations
            stop = visit.link if visit.station is None else visit.station
            stops.append((place[stop].enter, visit))
        return stops

    # The processes of requests

    def _source(self, query: int, blocks: Iterator[RequestBlock]) -> Generator[Event, None, None]:
        env, number = self.env, 0
        try:
            for block in blocks:
                for arrival_ns, size, length, allowance, variability in zip(
                    block.arrival_ns.tolist(),
                    block.size.tolist(),
                    block.length.tolist(),
                    block.allowance.tolist(),
                    block.variability.tolist(),
                    strict=True,
                ):
                    if arrival_ns > env.now:
                        yield env.timeout(arrival_ns - env.now)
                    none = [0] * len(variability)
                    request = Request(
                        query,
                        number,
                        arrival_ns,
                        size,
                        length,
                        allowance,
                        variability,
                        queueing_ns=none.copy(),
                        batching_ns=none.copy(),
                        compute_ns=none.copy(),
                        transfer_ns=[*none, 0],
                    )
                    number += 1
                    self._admit(request)
        except Interrupt:
            return

    def _admit(self, request: Request) -> None:
        """Start the process of a new request, or end it if no deployment serves its query."""
        active = self.routes.get(request.query)
        self.born.append(request)
        if active is None:
            self._end(request, UNSERVED)
            return
        route, legs = active
        request.deployment = route.deployment
        request.bound_ns, request.priority = route.bound_ns, route.priority
        # The request itself follows the last leg; copies follow the others.
        branches = [copy(request) for _ in legs[1:]] + [request]
        self.under_way.setdefault(request.deployment, {})[request] = branches
        travels: list[Process] = []
        for number, (branch, leg, stops) in enumerate(zip(branches, route.legs, legs, strict=True)):
            branch.leg = number
            awaited = [travels[each] for each in leg.after]
            branch.process = self.env.process(self._travel(branch, awaited, stops))
            travels.append(branch.process)

    def _travel(
        self, branch: Request, awaited: Sequence[Process], stops: list[Stop]
    ) -> Generator[Event, str, str]:
        """Move a branch along a leg once the preceding legs have ended; return its outcome."""
        outcome = COMPLETED
        try:
            for earlier in awaited:
                outcome = worse(outcome, (yield earlier))
            if outcome == COMPLETED:
                for enter, visit in stops:
                    yield enter(branch, visit)
        except Interrupt as interrupt:
            outcome = str(interrupt.cause)
        fellows = self.under_way[branch.deployment]  # type: ignore[index]
        if branch in fellows:  # the request itself, after its last leg
            del fellows[branch]
            if not fellows:
                del self.under_way[branch.deployment]  # type: ignore[arg-type]
            self._end(branch, outcome)
        return outcome

    def _end(self, request: Request, outcome: str) -> None:
        request.outcome = outcome
        request.ended_ns = self.env.now
        self.ended.append(request)

    def _tell(self) -> None:
        told = dict.fromkeys(self.born + self.ended)
        if told:
            row = {request: number for number, request in enumerate(told)}
            born, ended = (
                np.array([row[each] for each in some], np.int64) for some in (self.born, self.ended)
            )
            self.recorder.record(rows_of(list(told)), born, ended)
        self.born, self.ended = [], []

    # Queries of the control plane

    def in_flight(self, deployment: int) -> int:
        return len(self.under_way.get(deployment, ()))

    def advance(self, until_ns: int) -> None:
        if until_ns > self.env.now:
            self.env.run(until=until_ns)
            self._tell()

    def finish(self) -> None:
        for requests in self.under_way.values():
            for request in requests:
                self._end(request, IN_FLIGHT)
        self._tell()
