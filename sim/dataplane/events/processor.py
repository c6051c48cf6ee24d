"""Stations whose servers share the cores of a host, in the event data plane.

All batches in service on a host work at the same speed, which changes whenever one starts or ends.
So one counter per host, the work that each of them would have done since the host was first used,
tells when a batch ends: when the counter has grown by the batch's work. This takes O(log busy
servers) per start and end, however often the speed changes between them. (It is the virtual time of
Parekh and Gallager, "A generalized processor sharing approach to flow control", 1993.)

Speeds are whole numbers, and time is in whole nanoseconds, so the counter is exact, and no result
depends on the order in which batches start at one time. A batch ends at the first whole nanosecond
at which its work is done. Batches that end at the same time end before any batch starts then.
"""

from collections.abc import Callable
from functools import cache
from heapq import heappop, heappush
from itertools import count

from simpy import Event
from simpy.events import NORMAL

from sim.clock import Clock
from sim.dataplane.base.durations import NOMINAL
from sim.dataplane.base.interface import Processor, StationSpec
from sim.dataplane.events.request import call_at
from sim.dataplane.events.station import BatchJob, EventStation

FULL = 10**12
"""Speed of a server that has a core of its own. Speeds are rounded up, so that n servers that share
one core for a whole number of nanoseconds are never late by a nanosecond."""


class Cores:
    """The cores of one host, with the batches in service on it."""

    def __init__(self, env: Clock, spec: Processor) -> None:
        self.env = env
        self.spec = spec
        self.speed = cache(self._speed)
        self._done = (
            0  # work done by each batch that was always in service, in units of 1 / FULL ns
        )
        self._since_ns = env.now  # the time up to which ``_done`` is counted
        self._ends: list[tuple[int, int, Callable[[], None]]] = []
        self._number = count()
        self._plan = 0  # number of the planned end, to recognise one that is out of date

    @property
    def busy(self) -> int:
        """The number of batches in service."""
        return len(self._ends)

    def _speed(self, busy: int) -> int:
        """Return the speed of each of ``busy`` servers, in units of 1 / FULL."""
        slowdown = self.spec.slowdown
        full = round(FULL / slowdown[min(busy, len(slowdown)) - 1])
        return -(-full * min(self.spec.cores, busy) // busy)

    def start(self, work_ns: int, end: Callable[[], None]) -> None:
        """Serve a batch that takes ``work_ns`` on a core of its own; then call ``end``."""
        self._count()
        heappush(self._ends, (self._done + work_ns * FULL, next(self._number), end))
        self._plan_end()

    def _count(self) -> None:
        now = self.env.now
        if self._ends:
            self._done += self.speed(len(self._ends)) * (now - self._since_ns)
        self._since_ns = now

    def _plan_end(self) -> None:
        self._plan += 1
        if not self._ends:
            return
        plan = self._plan
        left = self._ends[0][0] - self._done
        end_ns = self.env.now - (-left // self.speed(len(self._ends)))

        def end(_: Event) -> None:
            if self._plan == plan:
                self._end()

        call_at(self.env, end_ns, NORMAL, end)

    def _end(self) -> None:
        self._count()
        while self._ends and self._ends[0][0] <= self._done:
            heappop(self._ends)[-1]()
        self._plan_end()


class SharedStation(EventStation):
    """A station whose servers share the cores of a host with other servers."""

    def __init__(self, env: Clock, spec: StationSpec, cores: Cores) -> None:
        super().__init__(env, spec)
        self.cores = cores
        self._rate = int(spec.speed.rates[0])

    def _serve(self, batch: list[BatchJob], work_ns: int) -> None:
        started_ns = self.env.now
        last = batch[-1].served
        last.callbacks.append(self._release)
        # With its start in place of its end, which is not known yet.
        self.serving[last] = [each.request for each in batch], started_ns

        def end() -> None:
            took_ns = self.env.now - started_ns
            self.busy_ns += took_ns
            for job in batch:
                job.request.compute_ns[job.operator] = took_ns
                self.env.schedule(job.served, NORMAL)

        self.cores.start(-(-work_ns * NOMINAL // self._rate), end)

    def busy_until(self, now_ns: int) -> int:
        """Return the busy time in ns up to ``now_ns``, summed over servers."""
        return self.busy_ns + sum(now_ns - started_ns for _, started_ns in self.serving.values())
