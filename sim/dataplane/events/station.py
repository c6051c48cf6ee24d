"""The links and the batching stations of the event data plane."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from simpy import Event, Interrupt
from simpy.events import NORMAL

from scenarios.applications.dataset import Tokens
from scenarios.applications.pipeline import AVERAGE
from sim.clock import NS_PER_S, Clock
from sim.dataplane.base.durations import (
    NEVER,
    NOMINAL,
    alone_ns,
    average_batch_ns,
    batch_ns,
    whole,
)
from sim.dataplane.base.interface import DROPPED, LOST, SHED, LinkSpec, StationSpec, Visit
from sim.dataplane.base.queueing import batch_ready_ns, is_late, room
from sim.dataplane.events.request import LOW, Request, ScheduledEvent, call_at, interrupt


@dataclass(slots=True, eq=False)
class StationJob:
    """A request at a station."""

    request: Request
    operator: int  # the operator that serves it
    entered_ns: int  # the time at which it arrived
    served: ScheduledEvent  # occurs when its service ends


@dataclass(slots=True, eq=False)
class BatchJob(StationJob):
    """A request at a station that serves batches."""

    work_ns: int  # its service time at nominal speed if it is served alone


AnyJob = TypeVar("AnyJob", bound=StationJob)


class Queue(Generic[AnyJob]):
    """The requests that wait at a station, sorted by rank, arrival, query, number and leg."""

    def __init__(self, env: Clock, spec: StationSpec) -> None:
        self.env = env
        self.spec = spec
        self.waiting: list[tuple[int, int, int, int, int, AnyJob]] = []
        self.failed = False
        self.slowdown = 1.0
        self.busy_ns = 0

    def _put(self, job: AnyJob) -> None:
        place = job.request.place(self.spec.discipline, self.env.now)
        heappush(self.waiting, (*place, job))

    def _drop_last(self, count: int) -> None:
        if count > 0:
            self.waiting.sort()
            for *_, job in self.waiting[-count:]:
                interrupt(job.request, DROPPED)
            del self.waiting[-count:]

    def withdraw(self, request: Request) -> None:
        """Remove a request from the queue, if it is waiting here."""
        kept = [each for each in self.waiting if each[-1].request is not request]
        if len(kept) < len(self.waiting):
            heapify(kept)
            self.waiting = kept

    def _lose(self, served: Iterable[Request]) -> None:
        self.failed = True
        lost = [job.request for *_, job in sorted(self.waiting)]
        self.waiting.clear()
        for request in (*lost, *served):
            interrupt(request, LOST)


class EventStation(Queue[BatchJob]):
    """A station: the queue that the replicas of one operator share."""

    def __init__(self, env: Clock, spec: StationSpec) -> None:
        super().__init__(env, spec)
        self.serving: dict[ScheduledEvent, tuple[list[Request], int]] = {}
        self.free_since = deque([env.now] * spec.servers)
        self._next_dispatch_ns: int | None = None

    def enter(self, request: Request, visit: Visit) -> ScheduledEvent:
        """Queue a request; the returned event occurs when its service ends."""
        operator, mean_ns = visit.operator, visit.mean
        assert not isinstance(mean_ns, Tokens)
        served = ScheduledEvent(self.env)
        if self.failed:
            raise Interrupt(LOST)  # In the process of the request itself, which calls this.
        variability = request.variability[operator]
        work_ns = alone_ns(mean_ns, visit.fixed_share, request.size, variability)
        self._put(BatchJob(request, operator, self.env.now, served, work_ns))
        if (
            self.free_since or self.spec.capacity is not None
        ):  # otherwise there is nothing to decide
            self._dispatch_at(self.env.now)
        return served

    def _dispatch_at(self, when_ns: int) -> None:
        if self._next_dispatch_ns is None or when_ns < self._next_dispatch_ns:
            self._next_dispatch_ns = when_ns
            call_at(self.env, when_ns, LOW, self._dispatch)

    def _dispatch(self, _: Event) -> None:
        """Start a batch on each free server for which a batch is full or has waited long enough."""
        now, spec = self.env.now, self.spec
        self._next_dispatch_ns = None
        if spec.capacity is not None:
            most = room(spec.capacity, len(self.free_since), spec.max_batch)
            self._drop_last(len(self.waiting) - most)
        while self.free_since and self.waiting:
            first_ns = min(job.entered_ns for *_, job in self.waiting)
            filled_ns = now if len(self.waiting) >= spec.max_batch else NEVER
            ready_ns = batch_ready_ns(first_ns, filled_ns, spec.max_wait_ns)
            if now < ready_ns:
                self._dispatch_at(ready_ns)
                return
            self._start_batch(now)

    def _start_batch(self, now: int) -> None:
        """Start a batch on the server that has been free for the longest time."""
        batch: list[BatchJob] = []
        while self.waiting and len(batch) < self.spec.max_batch:
            first = heappop(self.waiting)[-1]
            if self.spec.shed_late and is_late(first.request.deadline_ns, now):
                interrupt(first.request, SHED)
            else:
                batch.append(first)
        if not batch:
            return
        self._start(batch, self.free_since.popleft())

    def _start(self, batch: list[BatchJob], freed_ns: int) -> None:
        """Start a batch on a server that is free since ``freed_ns``."""
        now = self.env.now
        for job in batch:
            request, operator = job.request, job.operator
            request.queueing_ns[operator] = max(0, freed_ns - job.entered_ns)
            request.batching_ns[operator] = now - max(job.entered_ns, freed_ns)
        factor = self.spec.batch_factor[len(batch) - 1] if len(batch) > 1 else 1.0
        works_ns = [each.work_ns for each in batch]
        if self.spec.batch_time == AVERAGE:
            work_ns = average_batch_ns(sum(works_ns), len(batch), factor)
            self._serve(batch, batch_ns(work_ns, 1.0, self.slowdown))
        else:
            self._serve(batch, batch_ns(max(works_ns), factor, self.slowdown))

    def _serve(self, batch: list[BatchJob], work_ns: int) -> None:
        """Serve a batch that takes ``work_ns`` at nominal speed, from now on."""
        now = self.env.now
        finish_ns = self.spec.speed.finish_ns(now, work_ns * NOMINAL)
        self.busy_ns += finish_ns - now
        for job in batch:
            job.request.compute_ns[job.operator] = finish_ns - now
            self.env.schedule(job.served, NORMAL, finish_ns - now)
        last = batch[-1].served
        self.serving[last] = [each.request for each in batch], finish_ns
        last.callbacks.append(self._release)

    def _release(self, served: Event) -> None:
        del self.serving[served]  # type: ignore[arg-type]
        self.free_since.append(self.env.now)
        if self.waiting:
            self._dispatch_at(self.env.now)

    def busy_until(self, now_ns: int) -> int:
        """Return the busy time in ns up to ``now_ns``, summed over servers."""
        return self.busy_ns - sum(finish_ns - now_ns for _, finish_ns in self.serving.values())

    def fail(self) -> None:
        """Let the station fail: requests that are there or arrive there later are lost."""
        self._lose(request for batch, _ in self.serving.values() for request in batch)


class Link:
    """One direction of a link: messages are transmitted one after the other, then propagate."""

    def __init__(self, env: Clock, spec: LinkSpec) -> None:
        self.env = env
        self.spec = spec
        self.free_at_ns = 0
        self.arriving: list[tuple[int, int, int, Request, int, int, ScheduledEvent]] = []

    def enter(self, request: Request, visit: Visit) -> ScheduledEvent:
        """Send a message; the returned event occurs when it has arrived completely."""
        arrived = ScheduledEvent(self.env)
        assert not isinstance(visit.mean, Tokens)
        size_bytes = whole(visit.mean * request.size)
        place = request.query, request.number, request.leg
        self.arriving.append((*place, request, visit.operator, size_bytes, arrived))
        if len(self.arriving) == 1:
            call_at(self.env, self.env.now, LOW, self._admit)
        return arrived

    def _admit(self, _: Event) -> None:
        """Compute the departures of the messages that arrived at this time; the link is FIFO."""
        now, spec = self.env.now, self.spec
        self.arriving.sort()
        for _query, _number, _leg, request, operator, size_bytes, arrived in self.arriving:
            start_ns = max(now, self.free_at_ns)
            self.free_at_ns = spec.capacity.finish_ns(start_ns, size_bytes * NS_PER_S)
            delay_ns = self.free_at_ns + spec.propagation_ns - now
            request.transfer_ns[operator] += delay_ns
            self.env.schedule(arrived, NORMAL, delay_ns)
        self.arriving.clear()
