"""The event data plane: every request is a process that queues, batches, computes and transfers.

This is the reference. A request is born at its source, follows the route of the deployment that is
in force at its birth, and at each stop waits in a queue until it is served:

    source  ->  [link -> station] x operators  ->  link  ->  answer

Time is in whole nanoseconds. At one timestamp, orders of the control plane come first (URGENT),
then everything that arrives (NORMAL), then dispatch (LOW): a server that picks its next request
sees all that have arrived by then, ordered by (arrival, query, request).
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from heapq import heapify, heappop, heappush

from simpy import Event, Interrupt, Process
from simpy.events import NORMAL, URGENT, EventPriority

from scenarios.requests import RequestBlock
from sim.clock import NS_PER_S, Clock
from sim.data_plane import (
    COMPLETED,
    DROPPED,
    IN_FLIGHT,
    LOST,
    UNSERVED,
    LinkSpec,
    Recorder,
    RequestRecord,
    Route,
    StationSpec,
)
from sim.rate_profile import NOMINAL

LOW = EventPriority(NORMAL + 1)


class Moment(Event):
    """An event that is known to happen, at a time that is decided later."""

    def __init__(self, env: Clock) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None


class Request(RequestRecord):
    """A request under way: its record, and what decides its service times."""

    __slots__ = ("number", "process", "size", "variability")

    def __init__(
        self, query: int, number: int, arrival_ns: int, size: float, variability: list[float]
    ) -> None:
        zeros = [0] * len(variability)
        super().__init__(
            query,
            arrival_ns,
            None,
            IN_FLIGHT,
            arrival_ns,
            zeros,
            zeros.copy(),
            zeros.copy(),
            [*zeros, 0],
        )
        self.number = number
        self.size = size
        self.variability = variability
        self.process: Process | None = None


class Station:
    """A queue that the replicas of one operator share."""

    def __init__(self, env: Clock, spec: StationSpec) -> None:
        self.env = env
        self.spec = spec
        self.waiting: list[tuple[int, int, int, Request, int, int, Moment]] = []
        self.serving: dict[Moment, list[Request]] = {}
        self.free_since = deque([env.now] * spec.servers)
        self.failed = False
        self._next_dispatch_ns: int | None = None

    def enter(self, request: Request, operator: int, mean_ns: float) -> Moment:
        """Queue a request; the returned moment comes when its service ends."""
        served = Moment(self.env)
        if self.failed:
            raise Interrupt(LOST)  # In the process of the request itself, which calls this.
        work_ns = max(1, round(mean_ns * request.size * request.variability[operator]))
        heappush(
            self.waiting,
            (self.env.now, request.query, request.number, request, operator, work_ns, served),
        )
        if self.free_since or self.spec.capacity is not None:  # Else there is nothing to decide.
            self._dispatch_at(self.env.now)
        return served

    def _dispatch_at(self, when_ns: int) -> None:
        if self._next_dispatch_ns is None or when_ns < self._next_dispatch_ns:
            self._next_dispatch_ns = when_ns
            dispatch = Moment(self.env)
            dispatch.callbacks.append(self._dispatch)
            self.env.schedule(dispatch, LOW, when_ns - self.env.now)

    def _dispatch(self, _: Event) -> None:
        """Give work to every free server, unless a batch is still filling."""
        now, spec = self.env.now, self.spec
        self._next_dispatch_ns = None
        excess = len(self.waiting) - (spec.capacity or 0) - len(self.free_since) * spec.max_batch
        if spec.capacity is not None and excess > 0:
            self._drop_last(excess)
        while self.free_since and self.waiting:
            full_ns = self.waiting[0][0] + spec.max_wait_ns
            if len(self.waiting) < spec.max_batch and now < full_ns:
                self._dispatch_at(full_ns)
                return
            self._serve(now)

    def _serve(self, now: int) -> None:
        """Start a batch on the server that has been free longest."""
        freed_ns = self.free_since.popleft()
        count = min(len(self.waiting), self.spec.max_batch)
        batch = [heappop(self.waiting) for _ in range(count)]
        work_ns = max(member[5] for member in batch)
        if count > 1:
            work_ns = round(work_ns * self.spec.batch_factor[count - 1])
        finish_ns = self.spec.speed.finish_ns(now, work_ns * NOMINAL)
        for entered_ns, _, _, request, operator, _, served in batch:
            request.queueing_ns[operator] = max(0, freed_ns - entered_ns)
            request.batching_ns[operator] = now - max(entered_ns, freed_ns)
            request.compute_ns[operator] = finish_ns - now
            self.env.schedule(served, NORMAL, finish_ns - now)
        last = batch[-1][6]
        self.serving[last] = [member[3] for member in batch]
        last.callbacks.append(self._release)

    def _release(self, served: Event) -> None:
        """Free the server of a batch that is done."""
        del self.serving[served]  # type: ignore[arg-type]
        self.free_since.append(self.env.now)
        if self.waiting:
            self._dispatch_at(self.env.now)

    def _drop_last(self, count: int) -> None:
        self.waiting.sort()
        for member in self.waiting[-count:]:
            _interrupt(member[3], DROPPED)
        del self.waiting[-count:]

    def withdraw(self, request: Request) -> None:
        """Take a request out of the queue, if it waits here."""
        kept = [member for member in self.waiting if member[3] is not request]
        if len(kept) < len(self.waiting):
            heapify(kept)
            self.waiting = kept

    def fail(self) -> None:
        """Lose everything that waits or is served here, now and from now on."""
        self.failed = True
        lost = [member[3] for member in sorted(self.waiting, key=lambda member: member[:3])]
        lost += [request for batch in self.serving.values() for request in batch]
        self.waiting.clear()
        for request in lost:
            _interrupt(request, LOST)


class Link:
    """One direction of a link: bytes leave one after the other, then propagate."""

    def __init__(self, env: Clock, spec: LinkSpec) -> None:
        self.env = env
        self.spec = spec
        self.free_at_ns = 0
        self.arriving: list[tuple[int, int, Request, int, int, Moment]] = []

    def enter(self, request: Request, operator: int, mean_bytes: float) -> Moment:
        """Send a message; the returned moment comes when all of it has arrived."""
        arrived = Moment(self.env)
        size_bytes = max(1, round(mean_bytes * request.size))
        self.arriving.append(
            (request.query, request.number, request, operator, size_bytes, arrived)
        )
        if len(self.arriving) == 1:
            admit = Moment(self.env)
            admit.callbacks.append(self._admit)
            self.env.schedule(admit, LOW)
        return arrived

    def _admit(self, _: Event) -> None:
        """Line up the messages that came at this moment; FIFO makes their departures certain."""
        now, spec = self.env.now, self.spec
        self.arriving.sort()
        for _query, _number, request, operator, size_bytes, arrived in self.arriving:
            start_ns = max(now, self.free_at_ns)
            self.free_at_ns = spec.capacity.finish_ns(start_ns, size_bytes * NS_PER_S)
            delay_ns = self.free_at_ns + spec.propagation_ns - now
            request.transfer_ns[operator] += delay_ns
            self.env.schedule(arrived, NORMAL, delay_ns)
        self.arriving.clear()


Stop = tuple[Callable[[Request, int, float], Moment], int, float]


class EventsPlane:
    """The data plane that follows every request event by event; see ``DataPlane``.

    Args:
        recorder: is told of each request's birth and end.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.env = Clock()
        self.recorder = recorder
        self.stations: dict[int, Station] = {}
        self.links: dict[int, Link] = {}
        self.sources: dict[int, Process] = {}
        self.routes: dict[int, tuple[int, list[Stop]]] = {}
        self.under_way: dict[int, dict[Request, None]] = {}

    # What the control plane orders

    def add_station(self, spec: StationSpec) -> None:
        """Make a station known."""
        self.stations[spec.id] = Station(self.env, spec)

    def add_link(self, spec: LinkSpec) -> None:
        """Make a link known."""
        self.links[spec.id] = Link(self.env, spec)

    def remove_station(self, station: int) -> None:
        """Forget a station."""
        del self.stations[station]

    def remove_link(self, link: int) -> None:
        """Forget a link."""
        del self.links[link]

    def open_source(self, at_ns: int, query: int, blocks: Iterator[RequestBlock]) -> None:
        """Let a query's requests be born from ``at_ns`` on."""

        def start() -> None:
            self.sources[query] = self.env.process(self._source(query, blocks))

        self._order(at_ns, start)

    def close_source(self, at_ns: int, query: int) -> None:
        """Let no request of a query be born at ``at_ns`` or later."""

        def stop() -> None:
            source = self.sources.pop(query)
            if source.is_alive:
                source.interrupt()
            self.routes.pop(query, None)

        self._order(at_ns, stop)

    def route(self, at_ns: int, query: int, route: Route | None) -> None:
        """Send requests born at ``at_ns`` or later along a route; None leaves them unserved."""

        def switch() -> None:
            if route is None:
                self.routes.pop(query, None)
            else:
                self.routes[query] = (route.deployment, self._stops(route))

        self._order(at_ns, switch)

    def fail_station(self, at_ns: int, station: int) -> None:
        """Lose what a station holds, and all that reaches it afterwards."""
        self._order(at_ns, self.stations[station].fail)

    def abort(self, at_ns: int, deployment: int) -> None:
        """Drop what a deployment still has in flight."""

        def drop() -> None:
            for request in self.under_way.get(deployment, ()):
                for station in self.stations.values():
                    station.withdraw(request)
                _interrupt(request, DROPPED)

        self._order(at_ns, drop)

    def _order(self, at_ns: int, action: Callable[[], None]) -> None:
        order = Moment(self.env)
        order.callbacks.append(lambda _: action())
        self.env.schedule(order, URGENT, at_ns - self.env.now)

    def _stops(self, route: Route) -> list[Stop]:
        stops: list[Stop] = []
        for visit in route.visits:
            place: Station | Link = (
                self.links[visit.link] if visit.link is not None else self.stations[visit.station]  # type: ignore[index]
            )
            stops.append((place.enter, visit.operator, visit.mean))
        return stops

    # What requests do

    def _source(self, query: int, blocks: Iterator[RequestBlock]) -> Generator[Event, None, None]:
        """Give birth to the requests of a query, until the source is closed."""
        env, number = self.env, 0
        try:
            for block in blocks:
                for arrival_ns, size, variability in zip(
                    block.arrival_ns.tolist(),
                    block.size.tolist(),
                    block.variability.tolist(),
                    strict=True,
                ):
                    if arrival_ns > env.now:
                        yield env.timeout(arrival_ns - env.now)
                    request = Request(query, number, arrival_ns, size, variability)
                    number += 1
                    self._admit(request)
        except Interrupt:
            return

    def _admit(self, request: Request) -> None:
        """Send a new request on its way, or end it at once if nothing serves its query."""
        route = self.routes.get(request.query)
        if route is None:
            self.recorder.born(request.query, request.arrival_ns, None)
            self._end(request, UNSERVED)
            return
        request.deployment, stops = route
        self.recorder.born(request.query, request.arrival_ns, request.deployment)
        self.under_way.setdefault(request.deployment, {})[request] = None
        request.process = self.env.process(self._travel(request, stops))

    def _travel(self, request: Request, stops: list[Stop]) -> Generator[Event, None, None]:
        """Follow a route to its end: this is the life of a request."""
        try:
            for enter, operator, mean in stops:
                yield enter(request, operator, mean)
            outcome = COMPLETED
        except Interrupt as interrupt:
            outcome = str(interrupt.cause)
        fellows = self.under_way[request.deployment]  # type: ignore[index]
        del fellows[request]
        if not fellows:
            del self.under_way[request.deployment]  # type: ignore[arg-type]
        self._end(request, outcome)

    def _end(self, request: Request, outcome: str) -> None:
        request.outcome = outcome
        request.ended_ns = self.env.now
        self.recorder.ended(request)

    # What the control plane learns

    def in_flight(self, deployment: int) -> int:
        """Return how many requests of a deployment are under way, as of the last cut."""
        return len(self.under_way.get(deployment, ()))

    def advance(self, until_ns: int) -> None:
        """Move requests through every event before ``until_ns``, which becomes the clock."""
        if until_ns > self.env.now:
            self.env.run(until=until_ns)

    def finish(self) -> None:
        """Report all that is under way at the horizon as in flight."""
        for requests in self.under_way.values():
            for request in requests:
                self._end(request, IN_FLIGHT)


def _interrupt(request: Request, outcome: str) -> None:
    """End a request where it is; its process wakes at once and takes note of the outcome."""
    assert request.process is not None
    if request.process.is_alive:  # One that was aborted is served to the end all the same.
        request.process.interrupt(outcome)
