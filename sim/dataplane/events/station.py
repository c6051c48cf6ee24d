"""Stations that serve batches, and links, of the event data plane."""

from collections import deque
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from simpy import Event, Interrupt
from simpy.events import NORMAL

from sim.clock import NS_PER_S, Clock
from sim.dataplane.base.durations import NEVER, NOMINAL, batch_ns, whole
from sim.dataplane.base.interface import DROPPED, LOST, SHED, LinkSpec, StationSpec
from sim.dataplane.base.queueing import batch_ready_ns, is_late, room
from sim.dataplane.events.request import LOW, Request, ScheduledEvent, interrupt


class Waiting(NamedTuple):
    """A request in a queue, which is ordered by rank, arrival, query, number and leg."""

    rank: int
    entered_ns: int
    query: int
    number: int
    leg: int
    request: Request
    operator: int
    work_ns: int
    served: ScheduledEvent


class EventStation:
    """A queue that the replicas of one operator share."""

    def __init__(self, env: Clock, spec: StationSpec) -> None:
        self.env = env
        self.spec = spec
        self.waiting: list[Waiting] = []
        self.serving: dict[ScheduledEvent, tuple[list[Request], int]] = {}
        self.free_since = deque([env.now] * spec.servers)
        self.failed = False
        self.slowdown = 1.0
        self.busy_ns = 0
        self._next_dispatch_ns: int | None = None

    def enter(self, request: Request, operator: int, mean_ns: float) -> ScheduledEvent:
        """Queue a request; the returned moment comes when its service ends."""
        served = ScheduledEvent(self.env)
        if self.failed:
            raise Interrupt(LOST)  # In the process of the request itself, which calls this.
        work_ns = whole(mean_ns * request.size * request.variability[operator])
        place = request.place(self.spec.discipline, self.env.now)
        heappush(self.waiting, Waiting(*place, request, operator, work_ns, served))
        if self.free_since or self.spec.capacity is not None:  # Else there is nothing to decide.
            self._dispatch_at(self.env.now)
        return served

    def _dispatch_at(self, when_ns: int) -> None:
        if self._next_dispatch_ns is None or when_ns < self._next_dispatch_ns:
            self._next_dispatch_ns = when_ns
            dispatch = ScheduledEvent(self.env)
            dispatch.callbacks.append(self._dispatch)
            self.env.schedule(dispatch, LOW, when_ns - self.env.now)

    def _dispatch(self, _: Event) -> None:
        """Give work to every free server, unless a batch is still filling."""
        now, spec = self.env.now, self.spec
        self._next_dispatch_ns = None
        if spec.capacity is not None:
            most = room(spec.capacity, len(self.free_since), spec.max_batch)
            if len(self.waiting) > most:
                self._drop_last(len(self.waiting) - most)
        while self.free_since and self.waiting:
            first_ns = min(each.entered_ns for each in self.waiting)
            filled_ns = now if len(self.waiting) >= spec.max_batch else NEVER
            ready_ns = batch_ready_ns(first_ns, filled_ns, spec.max_wait_ns)
            if now < ready_ns:
                self._dispatch_at(ready_ns)
                return
            self._serve(now)

    def _serve(self, now: int) -> None:
        """Start a batch on the server that has been free longest."""
        batch: list[Waiting] = []
        while self.waiting and len(batch) < self.spec.max_batch:
            first = heappop(self.waiting)
            if self.spec.shed_late and is_late(first.request.deadline_ns, now):
                interrupt(first.request, SHED)
            else:
                batch.append(first)
        if not batch:
            return
        freed_ns = self.free_since.popleft()
        factor = self.spec.batch_factor[len(batch) - 1] if len(batch) > 1 else 1.0
        work_ns = batch_ns(max(each.work_ns for each in batch), factor, self.slowdown)
        finish_ns = self.spec.speed.finish_ns(now, work_ns * NOMINAL)
        self.busy_ns += finish_ns - now
        for _, entered_ns, _, _, _, request, operator, _, served in batch:
            request.queueing_ns[operator] = max(0, freed_ns - entered_ns)
            request.batching_ns[operator] = now - max(entered_ns, freed_ns)
            request.compute_ns[operator] = finish_ns - now
            self.env.schedule(served, NORMAL, finish_ns - now)
        last = batch[-1].served
        self.serving[last] = [each.request for each in batch], finish_ns
        last.callbacks.append(self._release)

    def _release(self, served: Event) -> None:
        """Free the server of a batch that is done."""
        del self.serving[served]  # type: ignore[arg-type]
        self.free_since.append(self.env.now)
        if self.waiting:
            self._dispatch_at(self.env.now)

    def busy_until(self, now_ns: int) -> int:
        """Return how long servers were busy, summed over them."""
        return self.busy_ns - sum(finish_ns - now_ns for _, finish_ns in self.serving.values())

    def _drop_last(self, count: int) -> None:
        self.waiting.sort()
        for last in self.waiting[-count:]:
            interrupt(last.request, DROPPED)
        del self.waiting[-count:]

    def withdraw(self, request: Request) -> None:
        """Take a request out of the queue, if it waits here."""
        kept = [each for each in self.waiting if each.request is not request]
        if len(kept) < len(self.waiting):
            heapify(kept)
            self.waiting = kept

    def fail(self) -> None:
        """Lose everything that waits or is served here, now and from now on."""
        self.failed = True
        lost = [each.request for each in sorted(self.waiting)]
        lost += [request for batch, _ in self.serving.values() for request in batch]
        self.waiting.clear()
        for request in lost:
            interrupt(request, LOST)


class Link:
    """One direction of a link: bytes leave one after the other, then propagate."""

    def __init__(self, env: Clock, spec: LinkSpec) -> None:
        self.env = env
        self.spec = spec
        self.free_at_ns = 0
        self.arriving: list[tuple[int, int, int, Request, int, int, ScheduledEvent]] = []

    def enter(self, request: Request, operator: int, mean_bytes: float) -> ScheduledEvent:
        """Send a message; the returned moment comes when all of it has arrived."""
        arrived = ScheduledEvent(self.env)
        size_bytes = whole(mean_bytes * request.size)
        place = request.query, request.number, request.leg
        self.arriving.append((*place, request, operator, size_bytes, arrived))
        if len(self.arriving) == 1:
            admit = ScheduledEvent(self.env)
            admit.callbacks.append(self._admit)
            self.env.schedule(admit, LOW)
        return arrived

    def _admit(self, _: Event) -> None:
        """Line up the messages that came at this moment; FIFO makes their departures certain."""
        now, spec = self.env.now, self.spec
        self.arriving.sort()
        for _query, _number, _leg, request, operator, size_bytes, arrived in self.arriving:
            start_ns = max(now, self.free_at_ns)
            self.free_at_ns = spec.capacity.finish_ns(start_ns, size_bytes * NS_PER_S)
            delay_ns = self.free_at_ns + spec.propagation_ns - now
            request.transfer_ns[operator] += delay_ns
            self.env.schedule(arrived, NORMAL, delay_ns)
        self.arriving.clear()
