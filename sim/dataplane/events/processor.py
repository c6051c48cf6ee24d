"""Stations whose servers share the cores of a host, in the event data plane.

All batches in service on a host work at the same speed; see ``EqualShares``. Speeds are whole
numbers, and time is in whole nanoseconds, so the work done is exact. Batches that end at the same
time end before any batch starts then.
"""

from functools import cache

from simpy.events import NORMAL

from sim.clock import Clock
from sim.dataplane.base.durations import NOMINAL
from sim.dataplane.base.interface import Processor, StationSpec
from sim.dataplane.events.sharing import EqualShares
from sim.dataplane.events.station import BatchJob, EventStation

FULL = 10**12
"""Speed of a server that has a core of its own. Speeds are rounded up, so that n servers that share
one core for a whole number of nanoseconds are never late by a nanosecond."""


class Cores(EqualShares):
    """The cores of one host, with the batches in service on it; work is in units of 1 / FULL ns."""

    def __init__(self, env: Clock, spec: Processor) -> None:
        super().__init__(env)
        self.spec = spec
        self.speed = cache(self._speed)

    @property
    def busy(self) -> int:
        """The number of batches in service."""
        return len(self._ends)

    def _speed(self, busy: int) -> int:
        """Return the speed of each of ``busy`` servers, in units of 1 / FULL."""
        slowdown = self.spec.slowdown
        full = round(FULL / slowdown[min(busy, len(slowdown)) - 1])
        return -(-full * min(self.spec.cores, busy) // busy)

    def _work(self, start_ns: int, end_ns: int, sharers: int) -> int:
        return self.speed(sharers) * (end_ns - start_ns)

    def _end_ns(self, start_ns: int, work: int, sharers: int) -> int:
        return start_ns - (-work // self.speed(sharers))


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

        self.cores.start(-(-work_ns * NOMINAL // self._rate) * FULL, end)

    def busy_until(self, now_ns: int) -> int:
        """Return the busy time in ns up to ``now_ns``, summed over servers."""
        return self.busy_ns + sum(now_ns - started_ns for _, started_ns in self.serving.values())
