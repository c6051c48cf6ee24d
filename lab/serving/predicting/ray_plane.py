"""The queues and batches of Ray Serve, as stations of the event data plane.

Ray Serve differs from the stations of the simulated world in three rules; `lab.serving.ray_service`
describes them. Each replica has a queue of its own, and a request joins the replica with the fewest
requests. A replica closes a batch when it is full, or when its first request has waited as long as
is allowed, even if the replica is still busy; closed batches are executed in turn. After a batch, a
replica is occupied with sending its results.

The engine's own processes, which pass requests on, use the cores of the host, too: on the way to an
operator or to the client, one request at a time is a job of the host, which slows its batches.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from simpy import Event
from simpy.events import NORMAL

from scenarios.applications.dataset import Tokens
from sim.clock import Clock
from sim.dataplane.base.durations import alone_ns
from sim.dataplane.base.interface import Processor, StationSpec, Visit
from sim.dataplane.events.plane import EventsPlane
from sim.dataplane.events.processor import Cores, SharedStation
from sim.dataplane.events.request import LOW, Request, ScheduledEvent, call_at
from sim.dataplane.events.station import BatchJob

PathTimes = Sequence[Sequence[Sequence[int]]]


@dataclass(eq=False)
class Replica:
    """One server with its own queue."""

    number: int
    free_since_ns: int
    busy: bool = False
    requests: int = 0  # requests that it has, waiting or in service
    joined: int = 0  # requests that ever joined it
    open: list[BatchJob] = field(default_factory=list)  # the batch that is being collected
    closed: deque[list[BatchJob]] = field(default_factory=deque)


class RayStation(SharedStation):
    """An operator's replicas under Ray Serve, on a host whose cores they share.

    Args:
        env: the clock.
        spec: the station.
        cores: the cores of the host.
        after_ns: by size of a batch from 1, for how long it occupies the replica after its end.
        factors: what its time is multiplied by, by its size from 1 and the number of its first
            request; empty for 1.
    """

    def __init__(
        self,
        env: Clock,
        spec: StationSpec,
        cores: Cores,
        after_ns: Sequence[int],
        factors: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__(env, spec, cores)
        self.replicas = [Replica(number, env.now) for number in range(spec.servers)]
        self.after_ns = after_ns
        self.factors = factors
        self._of: dict[Event, Replica] = {}

    def enter(self, request: Request, visit: Visit) -> ScheduledEvent:
        """Queue a request at a replica; the returned event occurs when its service ends."""
        operator, mean_ns = visit.operator, visit.mean
        assert not isinstance(mean_ns, Tokens)
        served = ScheduledEvent(self.env)
        work_ns = alone_ns(mean_ns, visit.fixed_share, request.size, request.variability[operator])
        # Ray compares two replicas that it draws; among equals, the next in turn is taken here.
        replica = min(self.replicas, key=lambda each: (each.requests, each.joined, each.number))
        replica.requests += 1
        replica.joined += 1
        replica.open.append(BatchJob(request, operator, self.env.now, served, work_ns))
        if len(replica.open) == self.spec.max_batch:
            self._close(replica)
        elif len(replica.open) == 1:
            batch = replica.open

            def waited(_: Event) -> None:
                if replica.open is batch:
                    self._close(replica)

            call_at(self.env, self.env.now + self.spec.max_wait_ns, LOW, waited)
        return served

    def _close(self, replica: Replica) -> None:
        replica.closed.append(replica.open)
        replica.open = []
        if not replica.busy:
            self._next(replica)

    def _next(self, replica: Replica) -> None:
        batch = replica.closed.popleft()
        replica.busy = True
        self._of[batch[-1].served] = replica
        self._start(batch, replica.free_since_ns)

    def _serve(self, batch: list[BatchJob], work_ns: int) -> None:
        if self.factors:
            factor = self.factors[len(batch) - 1][batch[0].request.number]
            work_ns = max(1, round(work_ns * factor))
        super()._serve(batch, work_ns)

    def _release(self, served: Event) -> None:
        requests, _ = self.serving.pop(served)  # type: ignore[call-overload]
        replica = self._of.pop(served)
        replica.requests -= len(requests)
        replica.free_since_ns = self.env.now

        def free(_: Event) -> None:
            replica.busy = False
            if replica.closed:
                self._next(replica)

        if after_ns := self.after_ns[len(requests) - 1]:
            call_at(self.env, self.env.now + after_ns, LOW, free)
        else:
            free(served)


class HostCores(Cores):
    """The cores of a host on which jobs of a measured length slow the batches in service."""

    def __init__(self, env: Clock, spec: Processor) -> None:
        super().__init__(env, spec)
        self._others = 0

    @property
    def busy(self) -> int:
        """The number of batches and other jobs in service."""
        return super().busy + self._others

    def change(self, jobs: int) -> None:
        """Let so many other jobs begin, or end if the number is negative."""
        self._count()
        self._others += jobs
        self._plan_end()

    def _work(self, start_ns: int, end_ns: int, sharers: int) -> int:
        return super()._work(start_ns, end_ns, sharers + self._others)

    def _end_ns(self, start_ns: int, work: int, sharers: int) -> int:
        return super()._end_ns(start_ns, work, sharers + self._others)


class Path:
    """A way on which the engine passes one request at a time, which is a job on the host's cores.

    Args:
        env: the clock.
        cores: the cores of the host.
        times_ns: how long that takes: first of a request that finds the path free, and then of one
            that had to wait; by the number of jobs on the host from 1, itself included, of which
            the last also holds for more; and by the number of the request.
        more_ns: how much later the request arrives, while the next one can be passed.
    """

    def __init__(self, env: Clock, cores: HostCores, times_ns: PathTimes, more_ns: int) -> None:
        self.env = env
        self.cores = cores
        self.times_ns = times_ns
        self.more_ns = more_ns
        self._waiting: deque[tuple[Request, int, int, ScheduledEvent]] = deque()
        self._busy = False

    def enter(self, request: Request, visit: Visit) -> ScheduledEvent:
        """Send a request; the returned event occurs when it has arrived."""
        arrived = ScheduledEvent(self.env)
        self._waiting.append((request, visit.operator, self.env.now, arrived))
        if not self._busy:
            self._pass(queued=False)
        return arrived

    def _next(self, _: Event) -> None:
        self._busy = False
        if self._waiting:
            self._pass(queued=True)

    def _pass(self, queued: bool) -> None:
        self._busy = True
        request, operator, entered_ns, arrived = self._waiting.popleft()
        self.cores.change(+1)
        by_jobs = self.times_ns[queued]
        times_ns = by_jobs[min(self.cores.busy, len(by_jobs)) - 1]

        def passed(_: Event) -> None:
            request.transfer_ns[operator] += self.env.now + self.more_ns - entered_ns
            self.env.schedule(arrived, NORMAL, self.more_ns)
            self.cores.change(-1)
            call_at(self.env, self.env.now, LOW, self._next)  # The request's batch begins before.

        call_at(self.env, self.env.now + times_ns[request.number], NORMAL, passed)


class RayPlane(EventsPlane):
    """The event data plane with Ray Serve's queues and batches at its stations."""

    def add_station(
        self,
        spec: StationSpec,
        after_ns: Sequence[int] = (),
        factors: Sequence[Sequence[float]] = (),
    ) -> None:
        """Add a station, which must have a processor; see `RayStation` for the other arguments."""
        assert spec.processor is not None
        after_ns = after_ns or (0,) * spec.max_batch
        cores = self._cores(spec.processor)
        self.stations[spec.id] = RayStation(self.env, spec, cores, after_ns, factors)

    def add_path(
        self, path: int, processor: Processor, times_ns: PathTimes, more_ns: int = 0
    ) -> None:
        """Add a path in place of a link; see `Path`."""
        self.links[path] = Path(self.env, self._cores(processor), times_ns, more_ns)  # type: ignore[assignment]

    def _cores(self, processor: Processor) -> HostCores:
        found = self.processors.setdefault(processor, HostCores(self.env, processor))
        assert isinstance(found, HostCores)
        return found
